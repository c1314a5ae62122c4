/* test_crew.c - loops that change their thread lose nothing, and are run by one at a time. */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "server/crew.h"
#include "server/mem.h"

enum { LOOPS = 5, TOKENS = 8, PATIENCE_S = 60, BURN_US = 3000 };

/* One loop with what belongs to it: plain numbers that only one thread may touch at a time. */
struct place {
	struct loop *loop;
	struct timer timer;
	struct io io;
	int fd[2];
	unsigned long hops, bytes;
	unsigned last[TOKENS];
	atomic_bool inside;     /* somebody runs it */
	atomic_bool told;       /* of a byte */
	struct mail end;
};

struct token {
	struct mail mail;
	struct place *at;
	int id;
	unsigned hop;
};

/* The system as it is without memory: epoll_ctl(2) refuses to watch anything more. */
static atomic_bool no_memory;

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *v)
{
	if (op == EPOLL_CTL_ADD && atomic_load(&no_memory)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, v);
}

static struct place place[LOOPS];
static struct token token[TOKENS];
static atomic_bool hot, ending;
static atomic_uint stopped_tokens, wrong;
static struct crew *crew;
static bool ended;

/* Check's own assertions are for its thread. */
static void must(bool so)
{
	if (!so)
		atomic_fetch_add(&wrong, 1);
}

static void enter(struct place *p)
{
	must(!atomic_exchange(&p->inside, true));
}

static void leave(struct place *p)
{
	atomic_store(&p->inside, false);
}

/* Each goes round on its own way; those that meet the end stay. */
static void on_token(struct mail *m, struct loop *l)
{
	struct token *t = (struct token *)m;
	struct place *p = t->at;

	enter(p);
	must(p->loop == l);
	must(++t->hop > p->last[t->id]);
	p->last[t->id] = t->hop;
	p->hops++;
	t->at = &place[(size_t)(p - place + 1 + t->id) % LOOPS];
	leave(p);
	if (atomic_load(&ending))
		atomic_fetch_add(&stopped_tokens, 1);
	else
		loop_post(t->at->loop, &t->mail);
}

static void on_byte(struct io *io, unsigned what, void *arg)
{
	struct place *p = arg;
	char buf[64];

	enter(p);
	must(what == IO_READ);
	const ssize_t n = read(io->fd, buf, sizeof buf);

	must(n > 0);
	p->bytes += (unsigned long)n;
	atomic_store(&p->told, true);
	leave(p);
}

static void on_timer(struct timer *t, void *arg)
{
	struct place *p = arg;
	struct timespec a, b;

	enter(p);
	clock_gettime(CLOCK_MONOTONIC, &a);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while (atomic_load(&hot) && (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 < BURN_US);
	timer_set(t, atomic_load(&hot) ? 0 : 20000);
	leave(p);
}

static void on_end(struct mail *m, struct loop *l)
{
	(void)m;
	loop_stop(l);
}

static void end_all(void)
{
	if (ended)
		return;
	ended = true;
	for (int i = 0; i < LOOPS; i++)
		loop_post(place[i].loop, &place[i].end);
	crew_join(crew);
}

static void setup(void)
{
	struct loop *loops[LOOPS];

	ended = false;
	atomic_store(&hot, false);
	atomic_store(&ending, false);
	atomic_store(&stopped_tokens, 0);
	memset(place, 0, sizeof place);
	memset(token, 0, sizeof token);
	for (int i = 0; i < LOOPS; i++) {
		struct place *p = &place[i];

		ck_assert_int_eq(loop_new(&p->loop), STERNA_OK);
		ck_assert_int_eq(pipe(p->fd), 0);
		io_init(&p->io, p->loop, p->fd[0], on_byte, p);
		io_watch(&p->io, IO_READ);
		timer_init(&p->timer, p->loop, on_timer, p);
		timer_set(&p->timer, 1000);
		p->end.run = on_end;
		loops[i] = p->loop;
	}
	ck_assert_int_eq(crew_start(loops, LOOPS, &crew), STERNA_OK);
}

static void teardown(void)
{
	atomic_store(&ending, true);
	end_all();
	crew_free(&crew);
	ck_assert_ptr_null(crew);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	for (int i = 0; i < LOOPS; i++) {
		timer_cancel(&place[i].timer);
		io_clear(&place[i].io);
		close(place[i].fd[0]);
		close(place[i].fd[1]);
		loop_free(&place[i].loop);
	}
}

static void send_tokens(void)
{
	for (int i = 0; i < TOKENS; i++) {
		token[i] = (struct token){ { .run = on_token }, &place[i % LOOPS], i, 0 };
		loop_post(token[i].at->loop, &token[i].mail);
	}
}

/* Bytes come in while it is waited; every one must have arrived in the end. */
static unsigned long wait_for_threads(unsigned n)
{
	unsigned long written = 0;

	for (int i = 0; i < PATIENCE_S * 1000 && crew_awake(crew) != n; i++) {
		for (int k = 0; k < LOOPS; k++)
			ck_assert_int_eq(write(place[k].fd[1], "x", 1), 1);
		written++;
		usleep(1000);
	}
	ck_assert_uint_eq(crew_awake(crew), n);
	return written;
}

START_TEST(threads_come_with_the_load_and_go_with_it)
{
	unsigned long written = 0;

	written += wait_for_threads(1);
	send_tokens();
	for (int i = 0; i < 2; i++) {
		atomic_store(&hot, true);
		written += wait_for_threads(LOOPS);
		atomic_store(&hot, false);
		/* Tokens that never rest keep it busy. */
		atomic_store(&ending, true);
		for (int k = 0; k < PATIENCE_S * 1000 && atomic_load(&stopped_tokens) < TOKENS; k++)
			usleep(1000);
		ck_assert_uint_eq(atomic_load(&stopped_tokens), TOKENS);
		written += wait_for_threads(1);
		atomic_store(&ending, false);
		atomic_store(&stopped_tokens, 0);
		for (int k = 0; k < TOKENS; k++)
			loop_post(token[k].at->loop, &token[k].mail);
	}
	atomic_store(&ending, true);
	for (int k = 0; k < PATIENCE_S * 1000 && atomic_load(&stopped_tokens) < TOKENS; k++)
		usleep(1000);
	end_all();
	unsigned long hops = 0, hopped = 0;

	for (int i = 0; i < LOOPS; i++) {
		char rest[64];

		ck_assert_int_eq(write(place[i].fd[1], "x", 1), 1);
		const ssize_t n = read(place[i].fd[0], rest, sizeof rest);

		ck_assert_int_gt(n, 0); /* what came at the very end, and that one */
		ck_assert_uint_eq(place[i].bytes + (unsigned long)n - 1, written);
		hops += place[i].hops;
	}
	for (int i = 0; i < TOKENS; i++)
		hopped += token[i].hop;
	ck_assert_uint_eq(hops, hopped);
}
END_TEST

START_TEST(one_thread_is_enough_for_little)
{
	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < LOOPS; k++)
			ck_assert_int_eq(write(place[k].fd[1], "x", 1), 1);
		usleep(1000);
	}
	ck_assert_uint_eq(crew_awake(crew), 1);
	end_all();
	for (int i = 0; i < LOOPS; i++)
		ck_assert_uint_gt(place[i].bytes, 0);
}
END_TEST

/* What could not be watched is, as soon as there is memory: nothing that comes is forgotten. */
START_TEST(without_memory_to_watch_nothing_is_forgotten)
{
	struct loop *loops[2];
	struct crew *two = NULL;
	struct place p = { .loop = NULL };
	struct mail end[2] = { { .run = on_end }, { .run = on_end } };
	struct timespec since, now;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(loop_new(&loops[i]), STERNA_OK);
	ck_assert_int_eq(pipe(p.fd), 0);
	atomic_store(&no_memory, true);
	io_init(&p.io, loops[1], p.fd[0], on_byte, &p);
	io_watch(&p.io, IO_READ);
	ck_assert(p.io.refused);
	ck_assert_int_eq(crew_start(loops, 2, &two), STERNA_OK);
	ck_assert_int_eq(write(p.fd[1], "abc", 3), 3);
	clock_gettime(CLOCK_MONOTONIC, &since);
	usleep(50000);
	ck_assert(!atomic_load(&p.told));
	atomic_store(&no_memory, false);
	do {
		usleep(1000);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!atomic_load(&p.told) && now.tv_sec - since.tv_sec < PATIENCE_S);
	ck_assert(atomic_load(&p.told));
	for (int i = 0; i < 2; i++)
		loop_post(loops[i], &end[i]);
	crew_join(two);
	crew_free(&two);
	ck_assert_uint_eq(p.bytes, 3);
	io_clear(&p.io);
	for (int i = 0; i < 2; i++) {
		loop_free(&loops[i]);
		close(p.fd[i]);
	}
}
END_TEST

START_TEST(a_crew_of_one_runs_and_ends)
{
	struct loop *alone;
	struct crew *one = NULL;
	struct mail end = { .run = on_end };

	ck_assert_int_eq(loop_new(&alone), STERNA_OK);
	ck_assert_int_eq(crew_start(&alone, 1, &one), STERNA_OK);
	loop_post(alone, &end);
	crew_join(one);
	ck_assert_uint_eq(crew_awake(one), 1);
	crew_free(&one);
	crew_join(one);
	crew_free(&one);
	loop_free(&alone);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crew");
	TCase *t = tcase_create("crew"), *alone = tcase_create("alone");
	SRunner *r;

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, threads_come_with_the_load_and_go_with_it);
	tcase_add_test(t, one_thread_is_enough_for_little);
	suite_add_tcase(s, t);
	tcase_add_test(alone, without_memory_to_watch_nothing_is_forgotten);
	tcase_add_test(alone, a_crew_of_one_runs_and_ends);
	suite_add_tcase(s, alone);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
