/* register.h - accounts that people make for themselves (XEP-0077 2.4), on a stream that is encrypted and not
 * authenticated yet, where the host allows it. Changing the password and leaving: register_iq.h.
 * Threads: the stream's worker. */
#ifndef STERNA_REGISTER_H
#define STERNA_REGISTER_H

#include "server/credential.h"
#include "server/stream.h"

#define NS_REGISTER "jabber:iq:register"

/** <register/>, where the host allows it. */
void register_features(struct stream *s, struct arena *a, struct sterna_elem *features);
/** An IQ before authentication. */
void register_on_iq(struct stream *s, struct arena **a, struct sterna_elem *e);
/** The stream ends: what is under way finds it no more. */
void register_cancel(struct stream *s);

/** The same without a stream, for who was invited: with the token of an invitation, by the same rules.
 *  @param ip    the asker's address, which so many accounts may be made from; peer: for the log and the audit
 *  @param done  once, later, on the worker: condition 0: the account is there; jid: of it, or NULL; text: why not, or NULL;
 *               STERNA_ITEM_NOT_FOUND: the token is not good (any more) */
typedef void register_done_fn(void *arg, unsigned condition, const char *text, const struct jid *jid);
struct register_wish {
	struct host *host;
	const char *token, *name, *password;
	const struct ip *ip;
	const char *peer;
};
void register_begin(struct worker *w, const struct register_wish *wish, register_done_fn *done, void *arg);

/** Keys of a password, made on a helper thread. fn: on the worker, later; keys NULL unless rc is STERNA_OK.
 *  @param prepared by user_password()
 *  @return STERNA_ELIMIT too much to do: fn is not called */
typedef void register_keys_fn(void *arg, enum sterna_result rc, const struct credential_set *keys);
enum sterna_result register_keys(struct worker *w, const char *prepared, register_keys_fn *fn, void *arg) STERNA_CHECKED;

#endif
