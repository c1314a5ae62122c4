/* subscription.h - subscribe, subscribed, unsubscribe, unsubscribed (RFC 6121 §3), and the roster's pushes. */
#ifndef STERNA_SUBSCRIPTION_H
#define STERNA_SUBSCRIPTION_H

#include "server/call.h"
#include "server/roster.h"

struct account;

bool subscription_is(enum stanza_type t);
/** The sender's side. @return true: the stanza goes on (bare to bare); false: it ends here
 *  @param[out] show  when it has gone on, presence_show() is to follow: the contact may see us from now on */
bool subscription_out(struct sterna_call *c, bool *show);
/** The account approves beforehand what this contact will ask for (§3.4): its request goes to nobody then, and is answered.
 *  @return false: the roster is full */
bool subscription_preapprove(struct sterna_call *c, const struct jid *contact);
/** The recipient's side. */
void subscription_in(struct sterna_call *c);
/** Requests that nobody has answered yet, to a session that has become available (§3.1.3). */
void subscription_pending(struct sterna_session *s);
/** Requests to contacts of other servers that were not answered in s2s.queue_time are sent again (§3.1.2). */
void subscription_again(struct sterna_session *s);
/** The item has changed: new version, stored in c's batch, pushed to interested sessions after the commit. */
void roster_changed(struct sterna_call *c, struct account *a, struct roster_item *i);

#endif
