/* lane.h - one at a time for each address of a service (a room, a node): while a handler waits for a read, what
 * comes for the same bare JID waits behind it, in order. Threads: the worker's. */
#ifndef STERNA_LANE_H
#define STERNA_LANE_H

#include "server/call.h"

/** Run fn now, or when those before have left. @return false: too many wait; c was not taken */
bool lane_enter(struct sterna_call *c, const char *key, void (*fn)(struct sterna_call *c));
/** The handler is through with its stanza; commits need not be waited for. Also for calls without a lane. */
void lane_leave(struct sterna_call *c);

#endif
