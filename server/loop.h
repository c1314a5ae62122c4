/* loop.h - the seam to time, randomness, timers, descriptors and other threads (rule 8).
 *
 * One loop per worker. loop.c holds what every loop has (timer heap, mailbox, deferred work); loop_epoll.c drives it
 * with epoll; tests/sim/ drives it with a virtual clock. Threads: everything belongs to the thread that runs the loop,
 * one at any time (crew.h), except loop_post(). Times are in microseconds and end in _us. */
#ifndef STERNA_LOOP_H
#define STERNA_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

struct loop;

/* --- time and randomness --- */
uint64_t loop_now_us(const struct loop *l);  /**< monotonic, as of the start of this turn */
int64_t loop_wall_us(const struct loop *l);  /**< Unix time in microseconds, as of this turn */
/** Bytes for secrets and ids. Also callable from helper threads. */
void loop_random(struct loop *l, void *out, size_t n);

/* --- timers: embedded in their owner, cost nothing while unset --- */
struct timer;
typedef void timer_fn(struct timer *t, void *arg);
struct timer {
	struct loop *loop;
	timer_fn *fn;
	void *arg;
	uint64_t due_us;
	size_t slot;       /* place in the heap plus one; 0: not set */
};
void timer_init(struct timer *t, struct loop *l, timer_fn *fn, void *arg);
void timer_set(struct timer *t, uint64_t after_us); /**< once; setting again moves it */
void timer_cancel(struct timer *t);                 /**< also when not set; must precede the owner's end */
static inline bool timer_is_set(const struct timer *t)
{
	return t->slot != 0;
}

/* --- work at the end of this turn, after all input of the turn was handled --- */
struct task;
typedef void task_fn(struct task *t, void *arg);
struct task {
	task_fn *fn;
	void *arg;
	struct task *next;
	bool queued;
};
void task_init(struct task *t, task_fn *fn, void *arg);
/** Run t->fn once when the turn ends; queueing it twice is once. Tasks may defer tasks: same turn. */
void loop_defer(struct loop *l, struct task *t);
/** What was deferred, now: for an owner that ends. */
void loop_run_deferred(struct loop *l);
/** Mail and deferred work that is here now: for an owner that ends with its loop. @return false: there was none */
bool loop_drain(struct loop *l);
void loop_undefer(struct loop *l, struct task *t);  /**< not any more; also when not queued */

/* --- mailbox: the one door for other threads --- */
struct mail;
typedef void mail_fn(struct mail *m, struct loop *l);
struct mail {
	struct mail *next;
	mail_fn *run;      /* called on the loop's thread; owns m from then on */
};
/** Thread-safe, wakes the loop if its box was empty; order per sending thread is kept. */
void loop_post(struct loop *l, struct mail *m);
/** Take back a mail that has not been run, on the loop's own thread: for an owner that goes before its loop.
 *  @return false  it is being run in this turn, or was: it still comes, or has come */
bool loop_unpost(struct loop *l, struct mail *m);
size_t loop_mail_depth(const struct loop *l);       /**< mails posted and not yet run; approximate */

/* --- descriptors (not in the simulation) --- */
struct io;
typedef void io_fn(struct io *io, unsigned what, void *arg);
enum { IO_READ = 1, IO_WRITE = 2 };
struct io {
	struct loop *loop;
	int fd;
	io_fn *fn;
	void *arg;
	unsigned events;   /* what is watched now */
	unsigned late;     /* patient: what has happened and was not told yet */
	bool patient, begun, muted; /* begun: was told something before; muted: the system need not tell of late again */
	bool added, refused;    /* the system watches it; it had no memory for that, and is asked again */
	struct io *prev, *next; /* patient: those whose turn has not come; or those that were refused */
};
void io_init(struct io *io, struct loop *l, int fd, io_fn *fn, void *arg); /**< watches nothing yet */
void io_watch(struct io *io, unsigned events);      /**< level-triggered; 0: nothing */
void io_clear(struct io *io);                       /**< forget it; does not close fd */
/** Strangers wait for those who are known: what happens at a patient descriptor is told when all else of the turn is
 *  done, one after another until a short time has passed, and the rest in the next turns. Who was told something
 *  before comes before newcomers, so that what was begun ends, and each in order. */
void io_set_patient(struct io *io, bool on);
/** Has something happened at it that is not told yet? Then it is us who are slow. */
static inline bool io_is_late(const struct io *io)
{
	return io->late != 0;
}
/** How many descriptors of the loop are late; for metrics. */
size_t loop_late(const struct loop *l);

/* --- life --- */
enum sterna_result loop_new(struct loop **out);     /**< a real loop (epoll) */
void loop_run(struct loop *l);                      /**< returns after loop_stop(); may be run again */
void loop_stop(struct loop *l);                     /**< from its own thread; post a mail to get there */
void loop_free(struct loop **l);                    /**< runs no more mails: they are dropped unrun */
/** Longest turn since the last call, in microseconds (a metric). */
uint64_t loop_longest_turn_us(struct loop *l);

#endif
