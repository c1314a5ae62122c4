/* web_join.h - what the page of an invitation (web_invite.c) and making an account on it (web_join.c) share. */
#ifndef MODULES_WEB_JOIN_H
#define MODULES_WEB_JOIN_H

#include "modules/web.h"

/** Borrowed for the call. */
struct invitation {
	const char *token, *host, *inviter, *username;
	bool contact, account;
	int64_t expires;                     /* Unix time */
};

/** The token in the path. @return NULL: that is none, which was answered */
const char *web_invite_token(struct sterna_mod *m, struct sterna_http_request *r);
/** Look it up: fn is the rest of the handler. */
void web_invite_look(struct sterna_mod *m, struct sterna_http_request *r, const char *token, sterna_http_rows_fn *fn);
/** What was found. @return false: it is not good (any more), which was answered */
bool web_invite_read(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows,
	struct invitation *out);
/** Its page. bad: what was wrong with what was sent with its form, or W_WORDS. */
void web_invite_show(struct sterna_mod *m, struct sterna_http_request *r, const struct invitation *i, unsigned status,
	enum web_word bad);
/** The form to make an account with; nothing where a password would go in the clear. */
void web_join_form(struct web_page *p, const struct invitation *i, enum web_word bad);

#endif
