/* purge.h - archives that are to go: of a room that was destroyed. Their rows are deleted in steps, so that nobody waits
 * behind one long statement. What is to go is noted in a table, with the batch of whatever ends it; so it goes on after
 * a restart. One worker does it for all.
 *
 * Until then the rows are there: who reads an archive of the same address next leaves out what is not newer.
 * Threads: purge_add() any worker's; the others: those of the worker. */
#ifndef STERNA_PURGE_H
#define STERNA_PURGE_H

#include <stdint.h>

struct db_batch;
struct server;
struct worker;

/** Rows of this owner's archive up to this id. */
void purge_add(struct server *s, struct db_batch *b, const char *owner, int64_t up_to);
void purge_start(struct worker *w);  /**< what an earlier process has left */
void purge_sweep(struct worker *w);  /**< every two seconds */
void purge_stop(struct worker *w);

#endif
