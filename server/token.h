/* token.h - where the tokens of XEP-0484 are kept: two for each user agent of an account, the current one and one
 * that was given out and has not been used yet (§5.1). The mathematics is in fast.h.
 *
 * The table holds a nonce; the token is made of it with the server's secret, so that rows alone (a backup, a replica)
 * let nobody in. Threads: the worker's; callbacks come later, on its loop. */
#ifndef STERNA_TOKEN_H
#define STERNA_TOKEN_H

#include "server/fast.h"
#include "server/server.h"

/** A user agent's id as XEP-0388 §2.3 has it: the text of a UUID. */
bool token_client_is_valid(const char *id);

struct token_attempt {
	const char *owner;                /* bare JID; these three and binding are borrowed for the call of token_check() */
	const char *client_id;
	const struct fast_message *message;
	enum fast_mech mech;
	const uint8_t *binding;
	size_t binding_len;
	uint64_t count;                   /* 0: none */
	bool invalidate;                  /* the token ends with this login */
};
struct token_verdict {
	enum sterna_result rc;            /* not STERNA_OK: the storage could not say */
	enum fast_verdict verdict;
	const uint8_t *response;          /* on FAST_NEW, FAST_CURRENT; borrowed */
	size_t response_len;
	bool due;                         /* old enough for a new one */
};
typedef void token_check_fn(void *arg, const struct token_verdict *v);
/** Compare with the stored tokens. What a success changes (count, rotation, end) is committed before fn is told. */
void token_check(struct worker *w, const struct token_attempt *t, token_check_fn *fn, void *arg);

/** A new token for a user agent; one that was given out and never used ends. fn: when it is stored.
 *  token NULL: could not be stored, tell nothing */
typedef void token_issue_fn(void *arg, const struct fast_token *token);
void token_issue(struct worker *w, const char *owner, const char *client_id, enum fast_mech m, token_issue_fn *fn,
	void *arg);
/** All tokens of an account end: its password has changed. Adds to b. */
void token_revoke_all(struct db_batch *b, const char *owner);

#endif
