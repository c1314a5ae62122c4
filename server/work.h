/* work.h - slow work (password hashing, files) on helper threads, so that no loop blocks (rule 5).
 *
 * A work is embedded first in the struct of whoever wants it done. fn runs on a helper thread and touches
 * nothing but that struct; done runs on the loop that asked, as a mail. An inline pool runs fn at once, in
 * the caller's thread, and posts done the same way: the simulation's pool.
 * Threads: work_submit() and work_pool_stats() from any; new and free from the one that owns the pool. */
#ifndef STERNA_WORK_H
#define STERNA_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/loop.h"
#include "server/result.h"

struct work;
typedef void work_fn(struct work *w);

struct work {
	struct mail mail;   /* the pool's: brings done home */
	struct work *next;  /* the pool's */
	struct loop *loop;  /* where done runs */
	work_fn *fn;        /* on a helper thread */
	work_fn *done;      /* on loop's thread; owns the work from then on, frees what embeds it */
	bool cancelled;     /* in done: the pool was freed before fn ran; there is no result */
};

struct work_pool;

struct work_pool_stats {
	size_t depth;      /* accepted, fn not started yet */
	uint64_t run;      /* fn calls ended since the pool began */
	uint64_t refused;  /* submissions refused because the queue was full */
};

void work_init(struct work *w, struct loop *loop, work_fn *fn, work_fn *done);

/** A pool of helper threads; they block all signals.
 *  @param threads   at least 1
 *  @param max_depth works that may wait; a submission beyond it is refused
 *  @return STERNA_EIO the system gives no thread */
enum sterna_result work_pool_new(unsigned threads, size_t max_depth, struct work_pool **out) STERNA_CHECKED;
struct work_pool *work_pool_new_inline(void);

/** Have w done. From STERNA_OK until w->done is called, w belongs to the pool. First in, first started.
 *  done is never called from within.
 *  @return STERNA_ELIMIT the queue is full; w is still the caller's, nothing will be called:
 *          answer <temporary-auth-failure/>, <resource-constraint/> or the like */
enum sterna_result work_submit(struct work_pool *pool, struct work *w) STERNA_CHECKED;

void work_pool_stats(struct work_pool *pool, struct work_pool_stats *out);

/** Wait for the works that run now; those that wait are posted home as cancelled. Sets *p to NULL.
 *  Before the loops end, so that every done is called; nobody may submit any more. */
void work_pool_free(struct work_pool **p);

#endif
