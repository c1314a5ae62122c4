/* ids.h - ids of the archive stay unique and growing, also over restarts and when the clock is set.
 *
 * An id has the time in its upper bits (server.h). What makes it safe: no id is more than half a minute above the
 * newest time that is stored, plus what has passed since by the monotonic clock. When the clock jumps ahead, ids go on
 * from where they are until the new time is stored; when it is set back, they go on from the last one; after a
 * restart, from above the stored time if the clock is behind that. Threads: a worker's own, but for the start. */
#ifndef STERNA_IDS_H
#define STERNA_IDS_H

#include "server/result.h"

struct server;
struct worker;

/** At the start, blocking, before the workers run. */
enum sterna_result ids_load(struct server *s) STERNA_CHECKED;
/** Every few seconds: stores the time, when it is due. */
void ids_sweep(struct worker *w);
/** The worker stops: the next process begins above what this one has given. */
void ids_stop(struct worker *w);

#endif
