/* lane.h - one at a time: for each address of a service (a room, a node), and for each sender and recipient while a
 * stop on the recipient's side waits for a read. What comes meanwhile waits behind it, in order (RFC 6120 §10.1).
 * Threads: the worker's. */
#ifndef STERNA_LANE_H
#define STERNA_LANE_H

#include "server/call.h"

/** Run fn now, or when those before have left. @return false: too many wait; c was not taken */
bool lane_enter(struct sterna_call *c, const char *key, void (*fn)(struct sterna_call *c));
/** If there is a lane of that name, wait in it: fn runs when those before have left.
 *  @param[out] full  too many wait; c was not taken
 *  @return whether c was taken */
bool lane_join(struct sterna_call *c, const char *key, void (*fn)(struct sterna_call *c), bool *full);
/** c begins to wait: a lane of that name, with c in it. */
void lane_take(struct sterna_call *c, const char *key);
/** The handler is through with its stanza and has submitted what it writes; commits need not be waited for. c may be
 *  freed by then, so first take its lane. NULL does nothing. */
struct lane *lane_of(struct sterna_call *c);
void lane_leave(struct worker *w, struct lane *l);

#endif
