/* deliver.h - which sessions get a stanza: RFC 6121 §8.5. */
#ifndef STERNA_DELIVER_H
#define STERNA_DELIVER_H

#include "server/call.h"

/** For a message to c->account: fills c->targets. */
enum deliver_plan deliver_plan_message(struct sterna_call *c);
/** While hooks waited, sessions have come or gone: it is to be planned anew. */
bool deliver_plan_is_stale(const struct sterna_call *c);
/** Write the message to its targets; their XEP-0198 numbers into c->sm_tags. */
void deliver_message(struct sterna_call *c);

#endif
