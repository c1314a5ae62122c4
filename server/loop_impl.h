/* loop_impl.h - what a driver of a loop (epoll, the simulation) sees. Not for anyone else. */
#ifndef STERNA_LOOP_IMPL_H
#define STERNA_LOOP_IMPL_H

#include <stdatomic.h>
#include "server/loop.h"

struct loop_ops {
	void (*run)(struct loop *l);
	void (*stop)(struct loop *l);
	void (*wake)(struct loop *l);   /* thread-safe: a mail has come to an empty box */
	void (*io_set)(struct io *io, unsigned events);
	void (*io_clear)(struct io *io);
	void (*io_set_patient)(struct io *io, bool on);
	void (*random)(struct loop *l, void *out, size_t n);
	void (*free)(struct loop *l);   /* frees the driver's struct, which embeds struct loop first */
};

struct loop {
	const struct loop_ops *ops;
	uint64_t now_us;
	int64_t wall_us;
	struct timer **heap;
	size_t heap_len, heap_size;
	struct task *tasks, **tasks_end;
	_Atomic(struct mail *) box;     /* newest first; taken whole */
	atomic_size_t depth;
	uint64_t longest_us;
	size_t late;                    /* patient descriptors whose turn has not come */
};

void loop_init(struct loop *l, const struct loop_ops *ops);
void loop_clear(struct loop *l);
/** The parts of a turn, in this order: time is set by the driver, then these. */
bool loop_run_mail(struct loop *l);             /**< all that was in the box; true if there was any */
bool loop_run_timers(struct loop *l);           /**< all that are due at now_us */
bool loop_run_tasks(struct loop *l);            /**< until none is left */
/** When the earliest timer is due, UINT64_MAX if none. */
uint64_t loop_next_due_us(const struct loop *l);

/* --- loop_epoll.c, for the threads that run such loops (crew.c) --- */
enum { LOOP_TELLS_NOTHING = -2, LOOP_AGAIN_MS = 10 };
/** One turn; waits so long for something to happen (-1: for as long as it takes; 0: not), or does not ask the system
 *  what has happened at all. The thread must have adopted the loop. */
void loop_turn(struct loop *l, int wait_ms);
/** How long the thread may sleep before the loop's next turn: 0 not at all, -1 until something happens. */
int loop_wait_ms(const struct loop *l);
int loop_fd(const struct loop *l);              /**< can be polled: readable when something has happened */
void loop_begin(struct loop *l);                /**< adopts it, and runs what was posted before */
bool loop_is_stopped(const struct loop *l);
/** This thread runs the loop from now on: it need not be woken by its own mails, and has to look at loop_wait_ms()
 *  before each sleep. The thread that ran it before has left it, with a lock between. */
void loop_adopt(struct loop *l);
void loop_leave(struct loop *l);
void loop_wake(struct loop *l);                 /**< thread-safe: the thread that runs it has a turn */

#endif
