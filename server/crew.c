/* crew.c - who runs which loop, and when that changes.
 *
 * Thread i begins with none of the loops (the first: with all) and only ever runs a range of them that starts with
 * loop i. Giving halves the range; what was given last comes back first, and makes the range whole again. */
#include "server/crew.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "server/loop_impl.h"
#include "server/mem.h"

enum {
	WINDOW_US = 20000,      /* in such pieces a thread looks at how busy it is */
	BUSY_PERCENT = 70,      /* for so many of them in a row: it gives */
	BUSY_WINDOWS = 2,
	CALM_PERCENT = 35,      /* both together, for so long: it takes back */
	CALM_US = 500000,
	STALE_US = 200000,      /* who said nothing for so long sleeps */
	MAIL_ROUNDS = 4,        /* among its own loops, before the system is asked again */
	GIVEN_MOST = 7,
};

struct hand {
	struct crew *crew;
	pthread_t thread;
	unsigned index, count;          /* runs the loops index … index + count - 1 */
	int epoll_fd;                   /* theirs that have not stopped */
	unsigned live;
	bool ready[CREW_MOST];
	bool unseen[CREW_MOST];         /* the system had no memory to watch it: it is looked at */
	unsigned unseen_count;
	unsigned given[GIVEN_MOST], gifts;
	struct hand *giver;
	uint64_t window_us, slept_us, calm_us;
	unsigned busy_windows, percent;
	/* for others to see */
	_Atomic uint64_t said_us;
	_Atomic unsigned said_percent;
	atomic_bool recalled;
	/* under the crew's lock */
	pthread_cond_t has_got;
	_Atomic unsigned got;           /* looked at without it too */
};

struct crew {
	pthread_mutex_t lock;
	unsigned count;
	struct loop *loop[CREW_MOST];
	bool stopped[CREW_MOST];        /* each its thread's */
	atomic_uint running, awake;     /* loops; threads */
	struct hand hand[];
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* --- loops come and go --- */

static void begin_window(struct hand *h, uint64_t now)
{
	h->window_us = now;
	h->slept_us = 0;
}

static void adopt(struct hand *h, unsigned i)
{
	struct crew *c = h->crew;
	struct epoll_event v = { .events = EPOLLIN, .data.u32 = i };

	if (c->stopped[i])
		return;
	h->unseen[i] = epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, loop_fd(c->loop[i]), &v) != 0;
	h->unseen_count += h->unseen[i];
	loop_adopt(c->loop[i]);
	h->ready[i] = true;     /* what happened on the way */
	h->live++;
}

static void release(struct hand *h, unsigned i)
{
	struct crew *c = h->crew;

	if (c->stopped[i])
		return;
	epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, loop_fd(c->loop[i]), NULL);
	h->unseen_count -= h->unseen[i];
	h->unseen[i] = false;
	loop_leave(c->loop[i]);
	h->ready[i] = false;
	h->live--;
}

/* Its last n loops. */
static void give(struct hand *h, struct hand *to, unsigned n)
{
	struct crew *c = h->crew;

	for (unsigned i = h->index + h->count - n; i < h->index + h->count; i++)
		release(h, i);
	h->count -= n;
	if (h->count == 0)
		atomic_fetch_sub(&c->awake, 1);
	pthread_mutex_lock(&c->lock);
	atomic_fetch_add(&to->got, n);
	pthread_cond_signal(&to->has_got);
	pthread_mutex_unlock(&c->lock);
	loop_wake(c->loop[to->index]);
}

static void take_got(struct hand *h)
{
	struct crew *c = h->crew;
	const uint64_t now = now_us();

	pthread_mutex_lock(&c->lock);
	const unsigned n = atomic_exchange(&h->got, 0);

	pthread_mutex_unlock(&c->lock);
	if (h->count > 0)
		h->gifts--;     /* only what was given last comes back */
	else
		atomic_fetch_add(&c->awake, 1);
	for (unsigned i = h->index + h->count; i < h->index + h->count + n; i++)
		adopt(h, i);
	h->count += n;
	begin_window(h, now);
	h->busy_windows = 0;
	h->calm_us = 0;
}

/* --- how busy, and what follows --- */

static void split(struct hand *h)
{
	struct crew *c = h->crew;
	const unsigned n = h->count / 2;
	struct hand *to = &c->hand[h->index + h->count - n];

	/* What is on its way back belongs behind what is here. */
	if (h->gifts > 0 && atomic_load(&c->hand[h->given[h->gifts - 1]].recalled))
		return;
	if (atomic_load(&h->got) > 0)
		return;
	to->giver = h;
	h->given[h->gifts++] = to->index;
	give(h, to, n);
	h->busy_windows = 0;
	h->calm_us = 0;
}

/* The thread that it gave to last may have so little to do that one is enough for both. */
static void look_at_gift(struct hand *h, uint64_t now)
{
	struct hand *other = &h->crew->hand[h->given[h->gifts - 1]];
	const bool stale = atomic_load(&other->said_us) + STALE_US < now;
	const unsigned both = h->percent + (stale ? 0 : atomic_load(&other->said_percent));

	if (both >= CALM_PERCENT) {
		h->calm_us = 0;
	} else if (h->calm_us == 0) {
		h->calm_us = now;
	} else if (now - h->calm_us >= CALM_US) {
		h->calm_us = now;
		atomic_store(&other->recalled, true);
		loop_wake(h->crew->loop[other->index]);
	}
}

static void give_back(struct hand *h)
{
	if (h->gifts == 0 && h->percent < CALM_PERCENT && h->count > 0)
		give(h, h->giver, h->count);
	atomic_store(&h->recalled, false);      /* last: until then it may be on its way */
}

static void look(struct hand *h, uint64_t now)
{
	const uint64_t took = now - h->window_us;

	if (took < WINDOW_US)
		return;
	h->percent = (unsigned)((took - h->slept_us) * 100 / took);
	atomic_store(&h->said_percent, h->percent);
	atomic_store(&h->said_us, now);
	begin_window(h, now);
	h->busy_windows = h->percent >= BUSY_PERCENT ? h->busy_windows + 1 : 0;
	if (h->live > 1 && h->busy_windows >= BUSY_WINDOWS && h->gifts < GIVEN_MOST)
		split(h);
	else if (h->gifts > 0)
		look_at_gift(h, now);
}

/* --- a thread's life --- */

static void note_stopped(struct hand *h)
{
	struct crew *c = h->crew;

	for (unsigned i = h->index; i < h->index + h->count; i++) {
		if (c->stopped[i] || !loop_is_stopped(c->loop[i]))
			continue;
		release(h, i);
		c->stopped[i] = true;
		if (atomic_fetch_sub(&c->running, 1) > 1)
			continue;
		pthread_mutex_lock(&c->lock);
		for (unsigned k = 0; k < c->count; k++)
			pthread_cond_signal(&c->hand[k].has_got);
		pthread_mutex_unlock(&c->lock);
	}
}

/* The turns of those that have something to do; mail goes round among them without asking the system. */
static void run_all(struct hand *h)
{
	const unsigned end = h->index + h->count;
	bool any = true;

	for (int round = 0; any && round <= MAIL_ROUNDS; round++) {
		any = false;
		for (unsigned i = h->index; i < end; i++) {
			struct loop *l = h->crew->loop[i];

			if (h->crew->stopped[i] || loop_is_stopped(l))
				continue;
			if (h->ready[i])
				loop_turn(l, 0);
			else if (round == 0 ? loop_wait_ms(l) == 0 : loop_mail_depth(l) > 0)
				loop_turn(l, LOOP_TELLS_NOTHING);
			else
				continue;
			h->ready[i] = false;
			any = true;
		}
	}
}

static int shortest_wait(const struct hand *h)
{
	int shortest = h->unseen_count > 0 && h->count > 1 ? LOOP_AGAIN_MS : -1;

	for (unsigned i = h->index; i < h->index + h->count; i++) {
		const int ms = h->crew->stopped[i] ? -1 : loop_wait_ms(h->crew->loop[i]);

		if (h->ready[i])
			return 0;
		if (ms >= 0 && (shortest < 0 || ms < shortest))
			shortest = ms;
	}
	return shortest;
}

/* Sleep until there is something to do, and do it. */
static void work_once(struct hand *h)
{
	struct epoll_event events[CREW_MOST];
	const int ms = shortest_wait(h);
	const uint64_t before = now_us();
	uint64_t after;

	if (h->count == 1) {            /* without the way round */
		h->ready[h->index] = false;
		loop_turn(h->crew->loop[h->index], ms);
		after = loop_now_us(h->crew->loop[h->index]);
	} else {
		const int n = epoll_wait(h->epoll_fd, events, CREW_MOST, ms);

		after = now_us();
		for (int i = 0; i < n; i++)
			h->ready[events[i].data.u32] = true;
		for (unsigned i = h->index; h->unseen_count > 0 && i < h->index + h->count; i++)
			h->ready[i] |= h->unseen[i];
		run_all(h);
	}
	if (ms != 0)
		h->slept_us += after - before;
}

static bool wait_for_loops(struct hand *h)
{
	struct crew *c = h->crew;

	pthread_mutex_lock(&c->lock);
	while (atomic_load(&h->got) == 0 && atomic_load(&c->running) > 0)
		pthread_cond_wait(&h->has_got, &c->lock);
	pthread_mutex_unlock(&c->lock);
	return atomic_load(&c->running) > 0;
}

static void *hand_run(void *arg)
{
	struct hand *h = arg;

	while (h->live > 0 || wait_for_loops(h)) {
		if (atomic_load(&h->got) > 0)
			take_got(h);
		if (h->live == 0)
			continue;
		work_once(h);
		note_stopped(h);
		look(h, now_us());
		if (atomic_load(&h->recalled))
			give_back(h);
	}
	return NULL;
}

/* --- life --- */

void crew_free(struct crew **crew)
{
	struct crew *c = *crew;

	*crew = NULL;
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->count; i++) {
		if (c->hand[i].epoll_fd >= 0)
			close(c->hand[i].epoll_fd);
		pthread_cond_destroy(&c->hand[i].has_got);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool start_thread(struct hand *h)
{
	char name[16];

	if (pthread_create(&h->thread, NULL, hand_run, h) != 0)
		return false;
	snprintf(name, sizeof name, "worker-%u", h->index);
	pthread_setname_np(h->thread, name);
	return true;
}

/* Threads that have begun end at once: nothing runs any more. */
static enum sterna_result give_up(struct crew *c, unsigned started)
{
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->running, 0);
	for (unsigned i = 0; i < started; i++)
		pthread_cond_signal(&c->hand[i].has_got);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(c->hand[i].thread, NULL);
	crew_free(&c);
	return STERNA_ELIMIT;
}

enum sterna_result crew_start(struct loop *const *loops, unsigned count, struct crew **out)
{
	struct crew *c = xalloc(sizeof *c + count * sizeof *c->hand);
	bool good = true;

	pthread_mutex_init(&c->lock, NULL);
	c->count = count;
	memcpy(c->loop, loops, count * sizeof *loops);
	atomic_init(&c->running, count);
	atomic_init(&c->awake, 0);
	for (unsigned i = 0; i < count; i++) {
		c->hand[i].crew = c;
		c->hand[i].index = i;
		c->hand[i].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		pthread_cond_init(&c->hand[i].has_got, NULL);
		good &= c->hand[i].epoll_fd >= 0;
	}
	/* The first begins when all are there. */
	for (unsigned i = 0; i < count; i++)
		if (!good || !start_thread(&c->hand[i]))
			return give_up(c, i);
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->hand[0].got, count);
	pthread_cond_signal(&c->hand[0].has_got);
	pthread_mutex_unlock(&c->lock);
	*out = c;
	return STERNA_OK;
}

void crew_join(struct crew *c)
{
	for (unsigned i = 0; c != NULL && i < c->count; i++)
		pthread_join(c->hand[i].thread, NULL);
}

unsigned crew_awake(const struct crew *c)
{
	return c != NULL ? atomic_load(&c->awake) : 0;
}
