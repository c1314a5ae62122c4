/* loop_epoll.c - the real loop: epoll, an eventfd that wakes it, the system's clocks. A thread runs one (loop_run), or
 * several in turn (crew.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "server/log.h"
#include "server/loop_impl.h"
#include "server/mem.h"

enum {
	EVENTS_MAX = 256,       /* taken of the system at once */
	OWN_MAIL_ROUNDS = 4,    /* what a turn posts to itself runs in it, so often; then others have their turn */
	PATIENT_US = 300,       /* of a turn, for patient descriptors: about one TLS handshake */
	NEWCOMER = 8,           /* each so many of them is a newcomer, if there is one */
	LONGEST_WAIT_MS = 86400000,
};

struct io_list {
	struct io *first, *last;
};

struct loop_epoll {
	struct loop base;
	struct io_list begun, newcomers, refused;
	unsigned told;
	int epoll_fd, wake_fd;
	bool stop;
	_Atomic(const void *) runner;   /* the thread that runs it, NULL: none at the moment */
	/* of the turn that is on: what of it is still to be told */
	struct epoll_event *events;
	int next, count;
};

/* Its address tells threads apart. */
static _Thread_local char self;

static uint64_t now_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void set_time(struct loop *l)
{
	l->now_us = now_us(CLOCK_MONOTONIC);
	l->wall_us = (int64_t)now_us(CLOCK_REALTIME);
}

static void list_add(struct io_list *l, struct io *io)
{
	io->prev = l->last;
	*(l->last != NULL ? &l->last->next : &l->first) = io;
	l->last = io;
}

static void list_remove(struct io_list *l, struct io *io)
{
	*(io->prev != NULL ? &io->prev->next : &l->first) = io->next;
	*(io->next != NULL ? &io->next->prev : &l->last) = io->prev;
	io->prev = io->next = NULL;
}

/* --- what is watched --- */

/* Without memory for one more (epoll_ctl(2): ENOMEM, ENOSPC) it is tried again until there is some. */
static void note_refusal(struct io *io, bool refused)
{
	struct loop_epoll *e = (struct loop_epoll *)io->loop;

	if (io->refused == refused)
		return;
	io->refused = refused;
	if (refused) {
		log_warning("loop", "the system watches no more descriptors for now", "error", strerrordesc_np(errno));
		list_add(&e->refused, io);
	} else {
		list_remove(&e->refused, io);
	}
}

static void watch(struct io *io, unsigned events)
{
	struct loop_epoll *e = (struct loop_epoll *)io->loop;
	struct epoll_event v = { .events = ((events & IO_READ) != 0 ? EPOLLIN : 0u) | ((events & IO_WRITE) != 0 ? EPOLLOUT : 0u),
		.data.ptr = io };
	const int op = v.events == 0 ? EPOLL_CTL_DEL : io->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int rc = 0;

	/* A descriptor that was closed before is forgotten already. */
	if (io->added || op == EPOLL_CTL_ADD)
		rc = epoll_ctl(e->epoll_fd, op, io->fd, &v);
	if (rc != 0 && op == EPOLL_CTL_MOD && errno == ENOENT)
		rc = epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, io->fd, &v);
	note_refusal(io, rc != 0 && op != EPOLL_CTL_DEL && (errno == ENOMEM || errno == ENOSPC));
	io->added = op != EPOLL_CTL_DEL && !io->refused;
}

static void watch_again(struct loop_epoll *e)
{
	for (struct io *io = e->refused.first, *next; io != NULL; io = next) {
		next = io->next;
		watch(io, io->events);
	}
}

/* --- patient descriptors --- */

static struct io_list *list_of(struct io *io)
{
	struct loop_epoll *e = (struct loop_epoll *)io->loop;

	return io->begun ? &e->begun : &e->newcomers;
}

static void make_late(struct io *io, unsigned events)
{
	struct io_list *l = list_of(io);

	if (io->late == 0) {
		list_add(l, io);
		io->loop->late++;
	} else if (!io->muted) {
		watch(io, 0);   /* left over from the turn before: the system would tell of it in each */
		io->muted = true;
	}
	io->late |= events;
}

/* What it was late with. */
static unsigned take_late(struct io *io)
{
	struct io_list *l = list_of(io);
	const unsigned events = io->late;

	if (events == 0)
		return 0;
	list_remove(l, io);
	io->late = 0;
	io->loop->late--;
	if (io->muted) {
		io->muted = false;
		watch(io, io->events);
	}
	return events;
}

static void run_patient(struct loop_epoll *e)
{
	const uint64_t until = e->base.late > 0 ? now_us(CLOCK_MONOTONIC) + PATIENT_US : 0;

	while (e->base.late > 0) {
		const bool newcomer = e->begun.first == NULL || (e->newcomers.first != NULL && e->told % NEWCOMER == NEWCOMER - 1);
		struct io *io = newcomer ? e->newcomers.first : e->begun.first;
		/* Its owner may wait for something else by now. */
		const unsigned events = take_late(io) & io->events;

		e->told++;
		io->begun = true;
		if (events != 0)
			io->fn(io, events, io->arg);
		loop_run_tasks(&e->base);
		if (now_us(CLOCK_MONOTONIC) >= until)
			break;
	}
}

static void set_patient(struct io *io, bool on)
{
	io->patient = on;
	if (!on)
		take_late(io); /* the system tells of it again in the next turn */
}

/* --- a turn --- */

/* A hang-up or an error shows itself to whoever reads or writes. */
static unsigned what_happened(uint32_t events)
{
	if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		return IO_READ | IO_WRITE;
	return ((events & EPOLLIN) != 0 ? IO_READ : 0u) | ((events & EPOLLOUT) != 0 ? IO_WRITE : 0u);
}

static void take_wake(struct loop_epoll *e)
{
	uint64_t n;

	while (read(e->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
		;
	loop_run_mail(&e->base);
}

static void tell(struct loop_epoll *e)
{
	while (e->next < e->count && !e->stop) {
		const struct epoll_event *v = &e->events[e->next++];
		struct io *io = v->data.ptr;

		if (io == NULL)
			continue;       /* its owner went in this turn */
		if (v->data.ptr == e) {
			take_wake(e);
			continue;
		}
		/* As of now: in this turn its owner may have come to wait for something else. */
		const unsigned events = what_happened(v->events) & io->events;

		if (events == 0)
			continue;
		if (io->patient)
			make_late(io, events);
		else
			io->fn(io, events, io->arg);
	}
}

void loop_turn(struct loop *l, int wait_ms)
{
	struct loop_epoll *e = (struct loop_epoll *)l;
	struct epoll_event events[EVENTS_MAX];
	const int n = wait_ms == LOOP_TELLS_NOTHING ? 0 : epoll_wait(e->epoll_fd, events, EVENTS_MAX, wait_ms);

	set_time(l);
	e->events = events;
	e->next = 0;
	e->count = n > 0 ? n : 0;
	tell(e);
	e->count = 0;
	e->events = NULL;
	loop_run_timers(l);
	loop_run_tasks(l);
	for (int round = 0; round < OWN_MAIL_ROUNDS && loop_run_mail(l); round++)
		loop_run_tasks(l);
	run_patient(e);
	watch_again(e);
	const uint64_t took = now_us(CLOCK_MONOTONIC) - l->now_us;

	if (took > l->longest_us)
		l->longest_us = took;
}

int loop_wait_ms(const struct loop *l)
{
	if (loop_mail_depth(l) > 0 || l->late > 0)
		return 0;
	const uint64_t due = loop_next_due_us(l), now = due != UINT64_MAX ? now_us(CLOCK_MONOTONIC) : 0;
	const uint64_t longest = ((const struct loop_epoll *)l)->refused.first != NULL ? LOOP_AGAIN_MS : LONGEST_WAIT_MS;

	if (due == UINT64_MAX)
		return longest == LOOP_AGAIN_MS ? LOOP_AGAIN_MS : -1;
	if (due <= now)
		return 0;
	return due - now < longest * 1000 ? (int)((due - now + 999) / 1000) : (int)longest;
}

int loop_fd(const struct loop *l)
{
	return ((const struct loop_epoll *)l)->epoll_fd;
}

bool loop_is_stopped(const struct loop *l)
{
	return ((const struct loop_epoll *)l)->stop;
}

void loop_begin(struct loop *l)
{
	struct loop_epoll *e = (struct loop_epoll *)l;

	e->stop = false;
	loop_adopt(l);
	set_time(l);
	loop_run_mail(l);       /* what was posted before woke nobody */
	loop_turn(l, LOOP_TELLS_NOTHING);
}

void loop_adopt(struct loop *l)
{
	atomic_store(&((struct loop_epoll *)l)->runner, &self);
}

void loop_leave(struct loop *l)
{
	atomic_store(&((struct loop_epoll *)l)->runner, NULL);
}

static void run(struct loop *l)
{
	loop_begin(l);
	while (!loop_is_stopped(l))
		loop_turn(l, loop_wait_ms(l));
	loop_leave(l);
}

void loop_wake(struct loop *l)
{
	const uint64_t one = 1;

	while (write(((struct loop_epoll *)l)->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static void wake(struct loop *l)
{
	/* The thread that runs it looks before it sleeps. Only that thread can be what is compared with here. */
	if (atomic_load_explicit(&((struct loop_epoll *)l)->runner, memory_order_relaxed) != &self)
		loop_wake(l);
}

static void stop(struct loop *l)
{
	((struct loop_epoll *)l)->stop = true;
}

static void io_set(struct io *io, unsigned events)
{
	if (!io->muted)         /* else when its turn comes */
		watch(io, events);
}

static void io_forget(struct io *io)
{
	struct loop_epoll *e = (struct loop_epoll *)io->loop;

	io->muted = false;
	take_late(io);
	watch(io, 0);
	note_refusal(io, false);
	for (int i = e->next; i < e->count; i++)
		if (e->events[i].data.ptr == io)
			e->events[i].data.ptr = NULL;
}

static void get_random(struct loop *l, void *out, size_t n)
{
	char *at = out;

	(void)l;
	while (n > 0) {
		const ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno != EINTR)
			abort(); /* without randomness there are no secrets */
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

static void free_loop(struct loop *l)
{
	struct loop_epoll *e = (struct loop_epoll *)l;

	if (e->epoll_fd >= 0)
		close(e->epoll_fd);
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	free(e);
}

static const struct loop_ops ops = {
	.run = run,
	.stop = stop,
	.wake = wake,
	.io_set = io_set,
	.io_clear = io_forget,
	.io_set_patient = set_patient,
	.random = get_random,
	.free = free_loop,
};

enum sterna_result loop_new(struct loop **out)
{
	struct loop_epoll *e = xalloc(sizeof *e);
	struct epoll_event v = { .events = EPOLLIN, .data.ptr = e };

	loop_init(&e->base, &ops);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->epoll_fd < 0 || e->wake_fd < 0 || epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->wake_fd, &v) != 0) {
		free_loop(&e->base);
		return STERNA_EIO;
	}
	set_time(&e->base);
	*out = &e->base;
	return STERNA_OK;
}
