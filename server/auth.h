/* auth.h - authentication on a client's stream: SASL (RFC 6120 §6), around the exchange of sasl.h: fetches the keys,
 * has slow work done elsewhere, counts tries, and brings the stream to its account's owner.
 * Threads: the stream's worker. */
#ifndef STERNA_AUTH_H
#define STERNA_AUTH_H

#include "server/sasl.h"
#include "server/stream.h"

struct auth;

/** Mechanisms, channel bindings (XEP-0440) for the features of a stream nobody is authenticated on. */
void auth_features(struct stream *s, struct arena *a, struct sterna_elem *features);
/** SASL1's elements. */
void auth_on_auth(struct stream *s, struct arena **a, struct sterna_elem *e);
void auth_on_response(struct stream *s, struct arena **a, struct sterna_elem *e);
void auth_on_abort(struct stream *s, struct arena **a, struct sterna_elem *e);
void auth_free(struct auth **a);

/** How an exchange speaks on its stream: SASL1 or SASL2. */
struct auth_profile {
	void (*challenge)(struct stream *s, const char *data, size_t len);
	/** On the account's owner, the account ready: say so, enter the next state. data NULL: none. */
	void (*success)(struct stream *s, struct account *acc, const char *data, size_t len);
	void (*failure)(struct stream *s, const char *condition);
};
/** Begin an exchange. initial: decoded, NULL if there was none. */
void auth_begin(struct stream *s, const struct auth_profile *p, const char *mechanism, const char *initial, size_t len);
/** Feed it. */
void auth_continue(struct stream *s, const char *data, size_t len);
void auth_cancel(struct stream *s);
/** Is an exchange of that profile under way? */
bool auth_is(const struct stream *s, const struct auth_profile *p);
/** Someone is proven by other means (FAST): go to the owner and succeed. */
void auth_proven(struct stream *s, const struct auth_profile *p, const char *local, const char *mechanism,
	const char *data, size_t len);
/** A failed try: counts it, answers by the profile, ends the stream after too many. */
void auth_failed(struct stream *s, const struct auth_profile *p, const char *condition, const char *reason);
/** <failure/> in the profile's namespace, with SASL1's condition in it. */
void auth_send_failure(struct stream *s, const char *ns, const char *condition);
/** What is offered on this stream now: mask of 1u << enum sasl_mech. */
unsigned auth_offer(struct stream *s);
/** Types of channel binding that the stream has: mask of 1u << enum sasl_binding; and the data of one. */
unsigned auth_bindings(struct stream *s);
enum sterna_result auth_binding(struct stream *s, const char *type, unsigned char *out, size_t size, size_t *len);

extern const struct db_stmt credential_select;
bool credential_from_row(const struct db_rows *rows, size_t row, struct credential *out);

#endif
