/* route.h - the way of a stanza: accept, out, hop, in, answer, deliver. Threads: the worker given. */
#ifndef STERNA_ROUTE_H
#define STERNA_ROUTE_H

#include "server/call.h"

/** A stanza from a client, checked for shape here (RFC 6120 §8.1, §8.2.3). Takes st; 'from' is stamped. */
void route_from_session(struct sterna_session *s, struct stanza **st, struct ack *ack);
/** Has it what every stanza must have (RFC 6120 §8.1, §8.2.3)? If not: <bad-request/>. */
bool route_shape_ok(const struct stanza *st);
/** A stanza of that shape with an authenticated 'from': from a component, a peer, or the server itself. Takes st. From here
 *  it hops to its recipient's owner. ack: held for it where it must be. */
void route_hop(struct worker *w, struct stanza **st, struct ack *ack);
/** What a module or an account sends by itself; only as that account, or the host. Takes st. */
void route_own(struct worker *w, struct stanza **st, struct account *a, struct ack **ack);
/** Presence of a subscription (RFC 6121 §3) that an account of ours sends without a client: its roster, pushes and all
 *  that follows are as if a client had sent it. 'from' is the account's bare JID. On its owner, at once or later; if there
 *  is no such account, nothing. Takes st. */
void route_subscription(struct worker *w, struct stanza **st);
/** Answer c's stanza with an error, if it may be answered at all. */
void route_refuse(struct sterna_call *c, enum sterna_condition condition, const char *text);
/** The error reply of st, on its way. */
void route_error(struct worker *w, struct stanza *st, enum sterna_condition condition, const char *text);

#endif
