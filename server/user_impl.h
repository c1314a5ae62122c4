/* user_impl.h - what the files of user.h and the import share. */
#ifndef STERNA_USER_IMPL_H
#define STERNA_USER_IMPL_H

#include "server/user.h"

struct users {
	struct db *db;
	const struct config *config;
	struct loop *loop;
	struct db_client *client;
	struct timer patience;
	unsigned wait_ms;
	bool gave_up;
};

/** Rows for a reader that blocks. */
typedef void users_rows_fn(void *arg, const struct db_rows *rows);
enum sterna_result users_read(struct users *u, const struct db_stmt *s, const struct db_value *values,
	users_rows_fn *fn, void *arg) STERNA_CHECKED;
/** The configuration that these users were made with; borrowed. */
static inline const struct config *users_config(const struct users *u)
{
	return u->config;
}
struct db_batch *users_batch(struct users *u);
/** Takes the batch, waits until it is committed. */
enum sterna_result users_commit(struct users *u, struct db_batch **b) STERNA_CHECKED;
/** Runs the loop until *pending is 0. @return false: it took too long; the client was replaced by a fresh one, and
 *  whatever waited has had its answer */
bool users_wait(struct users *u, const unsigned *pending);

/** The statements of one new account: a row that must not be there yet, and its keys. */
void user_add_account(struct db_batch *b, const char *jid, int64_t now_us, const struct credential_set *keys);
/** That of an account that is not to be used, for a reason that its owner may read. */
void user_add_disabled(struct db_batch *b, const char *jid, const char *reason);
/** Those of a new password: other keys, no tokens. */
void user_add_password(struct db_batch *b, const char *jid, const struct credential_set *keys);
/** Those of its end: all that the core stores of it. */
void user_add_removal(struct db_batch *b, const char *jid);
/** Keys of an account that is there (or comes earlier in b); replaces those of the same hash. */
void user_put_credential(struct db_batch *b, const char *jid, const struct credential *c);
enum sterna_result user_exists(struct users *u, const char *jid, bool *out) STERNA_CHECKED;
extern const struct db_stmt user_exists_stmt, user_insert_stmt;

#endif
