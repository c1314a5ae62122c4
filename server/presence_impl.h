/* presence_impl.h - what presence.c and presence_show.c share. */
#ifndef STERNA_PRESENCE_IMPL_H
#define STERNA_PRESENCE_IMPL_H

#include "server/presence.h"

/** The server's own probe for one of its users (prober: a session), answered at the contact's worker. */
void presence_answer(struct worker *w, const struct jid *contact, const struct jid *prober);
/** A probe has come for c->account. */
void presence_probed(struct sterna_call *c);

#endif
