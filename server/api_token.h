/* api_token.h - what scripts show to the API (rest.h) instead of a password: "sterna_ID_SECRET". The table holds the
 * SHA-256 of it alone. A token is good for the commands that its scopes name, as long as its owner has the role for
 * them, the account is not disabled, and it is not too old.
 * Threads: the worker's; pure functions anywhere. */
#ifndef STERNA_API_TOKEN_H
#define STERNA_API_TOKEN_H

#include "server/server.h"

enum { API_TOKEN_ID = 16, API_TOKEN_SECRET = 64, API_TOKEN_HASH = 64 }; /* hexadecimal digits */
#define API_TOKEN_PREFIX "sterna_"
enum { API_TOKEN_LEN = 7 + API_TOKEN_ID + 1 + API_TOKEN_SECRET };

/** Of that form? id: API_TOKEN_ID + 1 bytes. */
bool api_token_id(const char *token, char *id);
/** hash: API_TOKEN_HASH + 1 bytes. */
void api_token_hash(const char *token, char *hash);

/** Scopes are texts with a comma between them: "all"; "read", whatever changes nothing; the name of a command, or its
 *  first words ("user": user add, user show…). Commands that change tokens or roles want "all" or their own name in full. */
bool api_scopes_allow(const char *scopes, const struct sterna_command *c);
/** Is it "all", "read", or the beginning of this command's name? */
bool api_scope_names(const char *scope, size_t len, const struct sterna_command *c);

/** A token that somebody shows. fn: on the worker's loop, later; owner NULL: it is good for nothing (or, with rc not
 *  STERNA_OK, that could not be found out). Its use is noted in the table, once a minute at most. */
struct api_token {
	enum sterna_result rc;
	const char *owner, *scopes;      /* borrowed */
	int64_t expires_us;
};
typedef void api_token_fn(void *arg, const struct api_token *t);
void api_token_check(struct worker *w, const char *token, api_token_fn *fn, void *arg);

#endif
