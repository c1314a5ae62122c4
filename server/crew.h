/* crew.h - the threads that run the workers' loops: one for all while there is little to do, as many as there are
 * loops when there is much.
 *
 * A worker owns accounts, rooms and streams; a thread is only who runs it at the moment. A message between two
 * workers of one thread costs no wake-up of another thread (which is most of what a message costs at a low rate).
 * When a thread has little time to sleep, it gives half of its loops to a thread that has none; when both have
 * little to do again, it takes them back. A loop is run by one thread at any time, and changes it only between two
 * turns, under a lock: nothing that belongs to a loop needs to know. */
#ifndef STERNA_CREW_H
#define STERNA_CREW_H

#include "server/loop.h"

enum { CREW_MOST = 64 };

struct crew;

/** Start a thread for each of count loops (1 to CREW_MOST, real ones); the first begins to run them all. The array
 *  is copied, the loops stay the caller's, and must outlive the crew.
 *  @return STERNA_ELIMIT  the system gives no more threads or descriptors; none runs */
enum sterna_result crew_start(struct loop *const *loops, unsigned count, struct crew **out);
/** Wait until each loop was stopped (loop_stop()) and the threads have ended. NULL is allowed. */
void crew_join(struct crew *c);
/** After crew_join(). */
void crew_free(struct crew **c);
/** Threads that run a loop at the moment; thread-safe, for metrics. NULL: 0 */
unsigned crew_awake(const struct crew *c);

#endif
