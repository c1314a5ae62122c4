/* loop.c - what every loop has: timer heap, mailbox, work deferred to the end of the turn. */
#include "server/loop_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

uint64_t loop_now_us(const struct loop *l)
{
	return l->now_us;
}

int64_t loop_wall_us(const struct loop *l)
{
	return l->wall_us;
}

void loop_random(struct loop *l, void *out, size_t n)
{
	l->ops->random(l, out, n);
}

void loop_init(struct loop *l, const struct loop_ops *ops)
{
	l->ops = ops;
	l->tasks_end = &l->tasks;
	atomic_init(&l->box, NULL);
	atomic_init(&l->depth, 0);
}

void loop_clear(struct loop *l)
{
	for (size_t i = 0; i < l->heap_len; i++)
		l->heap[i]->slot = 0;
	free(l->heap);
	l->heap = NULL;
	l->heap_len = l->heap_size = 0;
}

/* --- timers: a binary heap; slot is the index plus one --- */

static void heap_put(struct loop *l, size_t i, struct timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	while (i > 0 && l->heap[(i - 1) / 2]->due_us > t->due_us) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->heap_len)
			break;
		if (child + 1 < l->heap_len && l->heap[child + 1]->due_us < l->heap[child]->due_us)
			child++;
		if (l->heap[child]->due_us >= t->due_us)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

void timer_init(struct timer *t, struct loop *l, timer_fn *fn, void *arg)
{
	*t = (struct timer){ .loop = l, .fn = fn, .arg = arg };
}

void timer_set(struct timer *t, uint64_t after_us)
{
	struct loop *l = t->loop;
	const uint64_t due = l->now_us + after_us < l->now_us ? UINT64_MAX : l->now_us + after_us;

	if (t->slot != 0) {
		const bool later = due > t->due_us;

		t->due_us = due;
		if (later)
			heap_down(l, t->slot - 1);
		else
			heap_up(l, t->slot - 1);
		return;
	}
	if (l->heap_len == l->heap_size) {
		l->heap_size = l->heap_size > 0 ? l->heap_size * 2 : 64;
		l->heap = xrealloc(l->heap, l->heap_size * sizeof(*l->heap));
	}
	t->due_us = due;
	heap_put(l, l->heap_len++, t);
	heap_up(l, t->slot - 1);
}

void timer_cancel(struct timer *t)
{
	if (t->slot == 0)
		return;
	struct loop *l = t->loop;
	const size_t i = t->slot - 1;
	struct timer *last = l->heap[--l->heap_len];

	t->slot = 0;
	if (last == t)
		return;
	heap_put(l, i, last);
	heap_up(l, i);
	heap_down(l, last->slot - 1);
}

uint64_t loop_next_due_us(const struct loop *l)
{
	return l->heap_len > 0 ? l->heap[0]->due_us : UINT64_MAX;
}

bool loop_run_timers(struct loop *l)
{
	bool any = false;
	/* Bounded by what was set before: a timer that sets itself to "now" waits for the next turn. */
	size_t budget = l->heap_len;

	while (budget-- > 0 && l->heap_len > 0 && l->heap[0]->due_us <= l->now_us) {
		struct timer *t = l->heap[0];

		timer_cancel(t);
		t->fn(t, t->arg);
		any = true;
	}
	return any;
}

/* --- end of the turn --- */

void task_init(struct task *t, task_fn *fn, void *arg)
{
	*t = (struct task){ .fn = fn, .arg = arg };
}

void loop_defer(struct loop *l, struct task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*l->tasks_end = t;
	l->tasks_end = &t->next;
}

void loop_undefer(struct loop *l, struct task *t)
{
	if (!t->queued)
		return;
	for (struct task **at = &l->tasks; *at != NULL; at = &(*at)->next) {
		if (*at != t)
			continue;
		*at = t->next;
		if (l->tasks_end == &t->next)
			l->tasks_end = at;
		break;
	}
	t->queued = false;
}

bool loop_run_tasks(struct loop *l)
{
	bool any = false;

	while (l->tasks != NULL) {
		struct task *t = l->tasks;

		l->tasks = t->next;
		if (l->tasks == NULL)
			l->tasks_end = &l->tasks;
		t->queued = false;
		t->fn(t, t->arg);
		any = true;
	}
	return any;
}

void loop_run_deferred(struct loop *l)
{
	loop_run_tasks(l);
}

/* --- mailbox: pushed newest first by anyone, taken whole and turned round by the owner --- */

void loop_post(struct loop *l, struct mail *m)
{
	struct mail *head = atomic_load_explicit(&l->box, memory_order_relaxed);

	atomic_fetch_add_explicit(&l->depth, 1, memory_order_relaxed);
	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&l->box, &head, m, memory_order_release,
		memory_order_relaxed));
	if (head == NULL)
		l->ops->wake(l);
}

bool loop_unpost(struct loop *l, struct mail *m)
{
	struct mail *kept = atomic_exchange_explicit(&l->box, NULL, memory_order_acquire), *empty;
	bool found = false;

	for (struct mail **p = &kept; *p != NULL; p = &(*p)->next) {
		if (*p == m) {
			*p = m->next;
			found = true;
			break;
		}
	}
	atomic_fetch_sub_explicit(&l->depth, found, memory_order_relaxed);
	do { /* what was posted meanwhile is newer: before what was kept */
		struct mail *newer = atomic_exchange_explicit(&l->box, NULL, memory_order_acquire), **end = &newer;

		while (*end != NULL)
			end = &(*end)->next;
		*end = kept;
		kept = newer;
		empty = NULL;
	} while (!atomic_compare_exchange_strong_explicit(&l->box, &empty, kept, memory_order_release,
		memory_order_relaxed));
	return found;
}

size_t loop_mail_depth(const struct loop *l)
{
	return atomic_load_explicit(&l->depth, memory_order_relaxed);
}

bool loop_run_mail(struct loop *l)
{
	struct mail *newest = atomic_exchange_explicit(&l->box, NULL, memory_order_acquire), *oldest = NULL;

	if (newest == NULL)
		return false;
	while (newest != NULL) {
		struct mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct mail *m = oldest;

		oldest = m->next;
		atomic_fetch_sub_explicit(&l->depth, 1, memory_order_relaxed);
		m->run(m, l);
	}
	return true;
}

bool loop_drain(struct loop *l)
{
	const bool mail = loop_run_mail(l);

	return loop_run_tasks(l) || mail;
}

/* --- driver calls --- */

void io_watch(struct io *io, unsigned events)
{
	if (io->events != events)
		io->loop->ops->io_set(io, events);
	io->events = events;
}

void io_init(struct io *io, struct loop *l, int fd, io_fn *fn, void *arg)
{
	*io = (struct io){ .loop = l, .fd = fd, .fn = fn, .arg = arg };
}

void io_clear(struct io *io)
{
	if (io->loop != NULL)
		io->loop->ops->io_clear(io);
	io->events = 0;
}

void io_set_patient(struct io *io, bool on)
{
	io->loop->ops->io_set_patient(io, on);
}

size_t loop_late(const struct loop *l)
{
	return l->late;
}

void loop_run(struct loop *l)
{
	l->ops->run(l);
}

void loop_stop(struct loop *l)
{
	l->ops->stop(l);
}

void loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	loop_clear(*l);
	(*l)->ops->free(*l);
	*l = NULL;
}

uint64_t loop_longest_turn_us(struct loop *l)
{
	const uint64_t longest = l->longest_us;

	l->longest_us = 0;
	return longest;
}
