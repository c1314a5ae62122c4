/* loop_event.c - the real loop: libevent over epoll, an eventfd that wakes it, the system's clocks. */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "server/loop_impl.h"
#include "server/mem.h"

enum {
	OWN_MAIL_ROUNDS = 4,    /* what a turn posts to itself runs in it, so often; then others have their turn */
	PATIENT_US = 300,       /* of a turn, for patient descriptors: about one TLS handshake */
	NEWCOMER = 8,           /* each so many of them is a newcomer, if there is one */
};

struct io_list {
	struct io *first, *last;
};

struct loop_event {
	struct loop base;
	struct io_list begun, newcomers;
	unsigned told;
	struct event_base *events;
	struct event *wake, *tick;
	int wake_fd;
	bool stop, in_turn;
	pthread_t thread;
};

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

/* The first callback of a turn sets its time: the wait before it does not count. */
static void begin_turn(struct loop *l)
{
	struct loop_event *e = (struct loop_event *)l;

	if (e->in_turn)
		return;
	e->in_turn = true;
	set_time(l);
}

static void run_patient(struct loop_event *e);

static void end_turn(struct loop *l)
{
	struct loop_event *e = (struct loop_event *)l;

	begin_turn(l);
	loop_run_timers(l);
	loop_run_tasks(l);
	for (int round = 0; round < OWN_MAIL_ROUNDS && loop_run_mail(l); round++)
		loop_run_tasks(l);
	run_patient(e);
	const uint64_t took = now_us(CLOCK_MONOTONIC) - l->now_us;

	if (took > l->longest_us)
		l->longest_us = took;
	e->in_turn = false;
}

/* A turn: wait, descriptors and mail as they come, timers, deferred work. */
static void run(struct loop *l)
{
	struct loop_event *e = (struct loop_event *)l;

	e->thread = pthread_self();
	e->stop = false;
	loop_run_mail(l); /* what was posted before the loop ran woke nobody */
	end_turn(l);
	while (!e->stop) {
		const bool at_once = loop_mail_depth(l) > 0 || l->late > 0;
		const uint64_t now = now_us(CLOCK_MONOTONIC), due = at_once ? now : loop_next_due_us(l);

		if (due != UINT64_MAX) {
			const uint64_t wait = due > now ? due - now : 0;
			const struct timeval tv = { (time_t)(wait / 1000000), (suseconds_t)(wait % 1000000) };

			event_add(e->tick, &tv);
		} else {
			event_del(e->tick);
		}
		event_base_loop(e->events, EVLOOP_ONCE);
		end_turn(l);
	}
}

static void io_set(struct io *io, unsigned events);

/* --- patient descriptors --- */

static struct io_list *list_of(struct io *io)
{
	struct loop_event *e = (struct loop_event *)io->loop;

	return io->begun ? &e->begun : &e->newcomers;
}

static void make_late(struct io *io, unsigned events)
{
	struct io_list *l = list_of(io);

	if (io->late == 0) {
		io->prev = l->last;
		*(l->last != NULL ? &l->last->next : &l->first) = io;
		l->last = io;
		io->loop->late++;
	} else if (!io->muted) {
		event_del(io->impl); /* left over from the turn before: the system would tell of it in each */
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
	*(io->prev != NULL ? &io->prev->next : &l->first) = io->next;
	*(io->next != NULL ? &io->next->prev : &l->last) = io->prev;
	io->prev = io->next = NULL;
	io->late = 0;
	io->loop->late--;
	if (io->muted) {
		io->muted = false;
		io_set(io, io->events);
	}
	return events;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin_turn(arg);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;
	const unsigned events = ((what & EV_READ) != 0 ? IO_READ : 0u) | ((what & EV_WRITE) != 0 ? IO_WRITE : 0u);

	(void)fd;
	begin_turn(io->loop);
	if (io->patient)
		make_late(io, events);
	else
		io->fn(io, events, io->arg);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t n;

	(void)what;
	while (read((int)fd, &n, sizeof n) < 0 && errno == EINTR)
		;
	begin_turn(l);
	loop_run_mail(l);
}

static void wake(struct loop *l)
{
	struct loop_event *e = (struct loop_event *)l;
	const uint64_t one = 1;

	/* From the loop's own turn: it looks before it sleeps. */
	if (pthread_equal(e->thread, pthread_self()) && e->in_turn)
		return;
	while (write(((struct loop_event *)l)->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static void stop(struct loop *l)
{
	((struct loop_event *)l)->stop = true;
	event_base_loopbreak(((struct loop_event *)l)->events);
}

static void io_set(struct io *io, unsigned events)
{
	struct loop_event *e = (struct loop_event *)io->loop;

	if (io->muted)
		return; /* until its turn comes */
	const short what = (short)(((events & IO_READ) != 0 ? EV_READ : 0) | ((events & IO_WRITE) != 0 ? EV_WRITE : 0));

	if (io->impl != NULL)
		event_del(io->impl);
	if (what == 0)
		return;
	if (io->impl == NULL) {
		io->impl = event_new(e->events, io->fd, (short)(what | EV_PERSIST), on_io, io);
		if (io->impl == NULL)
			abort();
	} else {
		event_assign(io->impl, e->events, io->fd, (short)(what | EV_PERSIST), on_io, io);
	}
	event_add(io->impl, NULL);
}

static void run_patient(struct loop_event *e)
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

static void io_forget(struct io *io)
{
	io->muted = false;
	take_late(io);
	if (io->impl != NULL)
		event_free(io->impl);
	io->impl = NULL;
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
	struct loop_event *e = (struct loop_event *)l;

	if (e->wake != NULL)
		event_free(e->wake);
	if (e->tick != NULL)
		event_free(e->tick);
	if (e->events != NULL)
		event_base_free(e->events);
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
	struct loop_event *e = xalloc(sizeof *e);
	struct event_config *config = event_config_new();

	loop_init(&e->base, &ops);
	e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (config != NULL) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		e->events = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (e->events != NULL && e->wake_fd >= 0)
		e->wake = event_new(e->events, e->wake_fd, EV_READ | EV_PERSIST, on_wake, e);
	if (e->events != NULL)
		e->tick = event_new(e->events, -1, 0, on_tick, e);
	if (e->wake == NULL || e->tick == NULL || event_add(e->wake, NULL) != 0) {
		free_loop(&e->base);
		return STERNA_EIO;
	}
	set_time(&e->base);
	*out = &e->base;
	return STERNA_OK;
}
