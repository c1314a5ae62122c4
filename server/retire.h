/* retire.h - what a reload replaces comes to its end when nobody reads it any more.
 *
 * Workers read configurations and options without locks, and keep no pointer into them beyond the turn in which they
 * got it: who needs a value longer copies it. So what was replaced may go when each worker has begun another turn.
 * Who is no worker (helper threads, threads of modules) holds a reference of its own.
 * Threads: the main one. */
#ifndef STERNA_RETIRE_H
#define STERNA_RETIRE_H

#include "server/server.h"

/** Call end(thing) on the main thread, in another turn than this one, when all workers have begun a new turn; at once if
 *  they do not run; at the latest when the server ends. */
void server_retire(struct server *s, void (*end)(void *thing), void *thing);
/** What still waits ends now. For server_free(): after the workers. */
void server_retire_all(struct server *s);

#endif
