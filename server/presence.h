/* presence.h - who sees whom: RFC 6121 §4. Threads: the worker of the account concerned. */
#ifndef STERNA_PRESENCE_H
#define STERNA_PRESENCE_H

#include "server/call.h"

struct account;

/** The session's own presence, without 'to' (§4.2, §4.4, §4.5). */
void presence_broadcast(struct sterna_call *c);
/** To someone (§4.6): remember who must hear of the end.
 *  @return false  it went to so many already that one more could not be remembered: to be refused */
bool presence_directed(struct sterna_call *c);
/** The session is freed: whom it had sent presence to is not told any more (the process ends, and others with it). */
void presence_forget(struct sterna_session *s);
/** Presence has come for c->account: available, unavailable, error, probe. */
void presence_in(struct sterna_call *c);
/** A probe of someone who may not see who it asks for, or for whom there is no such account: the same answer (§4.3.2). */
void presence_refuse_probe(struct worker *w, const struct stanza *probe);
/** The session ends without having said so (§4.5.2). */
void presence_gone(struct sterna_session *s);
/** To one contact: the presence of all available sessions (§3.1.6), or that they are unavailable. */
void presence_show(struct account *a, const struct jid *contact);
void presence_hide(struct account *a, const struct jid *contact);
/** Those that this item stands for (a full or bare JID, a domain, domain/resource) and to whom sessions have sent their
 *  presence directly hear that it ends (§4.6), and nothing later. */
void presence_hide_directed(struct account *a, const char *item);
/** A session is back after the process ended: others are told, it is told of others. */
void presence_refresh(struct sterna_session *s);

/** It has sent presence to that address: that hears when the session goes. @return false: too many */
bool presence_remember(struct sterna_session *s, const char *to);

#endif
