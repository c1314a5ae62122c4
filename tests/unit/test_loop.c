/* test_loop.c - timers, deferred work, the mailbox. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/loop.h"
#include "server/mem.h"

static struct loop *loop;

static void setup(void)
{
	ck_assert_int_eq(loop_new(&loop), STERNA_OK);
}

static void teardown(void)
{
	loop_free(&loop);
	ck_assert_ptr_null(loop);
}

struct seen {
	int order[64], n;
};

struct step {
	struct timer timer;
	struct task task;
	struct seen *seen;
	int id;
};

static void on_timer(struct timer *t, void *arg)
{
	struct step *s = arg;

	(void)t;
	s->seen->order[s->seen->n++] = s->id;
}

static void on_last(struct timer *t, void *arg)
{
	on_timer(t, arg);
	loop_stop(t->loop);
}

START_TEST(timers_fire_in_the_order_they_are_due)
{
	struct seen seen = { .n = 0 };
	struct step s[20];

	for (int i = 0; i < 20; i++) {
		s[i] = (struct step){ .seen = &seen, .id = i };
		timer_init(&s[i].timer, loop, i == 19 ? on_last : on_timer, &s[i]);
	}
	for (int i = 0; i < 20; i++)
		timer_set(&s[(i * 7) % 20].timer, 1000 + (uint64_t)((i * 7) % 20) * 200);
	timer_cancel(&s[5].timer);
	timer_cancel(&s[5].timer);
	ck_assert(!timer_is_set(&s[5].timer));
	timer_set(&s[3].timer, 1); /* sooner than all */
	loop_run(loop);
	ck_assert_int_eq(seen.n, 19);
	ck_assert_int_eq(seen.order[0], 3);
	for (int i = 2; i < seen.n; i++)
		ck_assert_int_lt(seen.order[i - 1], seen.order[i]);
}
END_TEST

static void on_task(struct task *t, void *arg)
{
	struct step *s = arg;

	s->seen->order[s->seen->n++] = s->id;
	if (s->id == 1) {
		s->id = 2;
		loop_defer(loop, t); /* the same turn */
	} else {
		loop_stop(loop);
	}
}

START_TEST(a_task_runs_once_and_may_defer_again)
{
	struct seen seen = { .n = 0 };
	struct step s = { .seen = &seen, .id = 1 }, never = { .seen = &seen, .id = 9 };

	task_init(&s.task, on_task, &s);
	task_init(&never.task, on_task, &never);
	loop_defer(loop, &s.task);
	loop_defer(loop, &s.task);
	loop_defer(loop, &never.task);
	loop_undefer(loop, &never.task);
	loop_run(loop);
	ck_assert_int_eq(seen.n, 2);
	ck_assert_int_eq(seen.order[1], 2);
}
END_TEST

struct numbered {
	struct mail mail;
	int thread, n;
};

static int last[2], total;

static void on_mail(struct mail *m, struct loop *l)
{
	struct numbered *x = (struct numbered *)m;

	ck_assert_int_eq(x->n, last[x->thread] + 1);
	last[x->thread] = x->n;
	if (++total == 20000)
		loop_stop(l);
	free(x);
}

static void *poster(void *arg)
{
	for (int i = 1; i <= 10000; i++) {
		struct numbered *x = xalloc(sizeof *x);

		x->mail.run = on_mail;
		x->thread = *(int *)arg;
		x->n = i;
		loop_post(loop, &x->mail);
	}
	return NULL;
}

START_TEST(mail_keeps_each_senders_order)
{
	pthread_t t[2];
	int id[2] = { 0, 1 };

	last[0] = last[1] = total = 0;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, poster, &id[i]), 0);
	loop_run(loop);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(total, 20000);
	ck_assert_uint_eq(loop_mail_depth(loop), 0);
}
END_TEST

static void on_pipe(struct io *io, unsigned what, void *arg)
{
	char c;

	ck_assert_uint_eq(what, IO_READ);
	ck_assert_int_eq(read(io->fd, &c, 1), 1);
	if (++*(int *)arg == 3)
		loop_stop(io->loop);
}

struct note {
	struct mail mail;
	struct seen *seen;
	int id;
};

static void on_note(struct mail *m, struct loop *l)
{
	struct note *n = (struct note *)m;

	n->seen->order[n->seen->n++] = n->id;
	if (n->id == 2) {
		ck_assert(!loop_unpost(l, &n[1].mail)); /* its turn has come, too */
		ck_assert(!loop_unpost(l, m));
	}
	if (n->id == 3)
		loop_stop(l);
}

START_TEST(mail_taken_back_is_not_run)
{
	struct seen seen = { .n = 0 };
	struct note n[4];

	for (int i = 0; i < 4; i++) {
		n[i] = (struct note){ { NULL, on_note }, &seen, i };
		loop_post(loop, &n[i].mail);
	}
	ck_assert(loop_unpost(loop, &n[1].mail));
	ck_assert(!loop_unpost(loop, &n[1].mail));
	ck_assert_uint_eq(loop_mail_depth(loop), 3);
	loop_run(loop);
	ck_assert_int_eq(seen.n, 3);
	ck_assert(seen.order[0] == 0 && seen.order[1] == 2 && seen.order[2] == 3);
}
END_TEST

START_TEST(a_watched_descriptor_is_reported_while_readable)
{
	int fd[2], n = 0;
	struct io io;

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "abc", 3), 3);
	io_init(&io, loop, fd[0], on_pipe, &n);
	io_watch(&io, IO_READ);
	loop_run(loop);
	ck_assert_int_eq(n, 3);
	io_watch(&io, 0);
	io_clear(&io);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* --- patient descriptors --- */

struct stranger {
	struct io io;
	int fd[2], id;
	unsigned burn_us;       /* how long it takes */
	struct seen *seen;
	uint64_t turn_us[8];    /* the turns in which it was told */
	int n, ends;            /* ends: the loop ends when it was told so often in all */
	struct stranger *wakes; /* is written to when this one is told */
};

static void burn(unsigned us)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000 < (long)us);
}

static void on_stranger(struct io *io, unsigned what, void *arg)
{
	struct stranger *s = arg;
	char byte;

	ck_assert_uint_eq(what, IO_READ);
	ck_assert_int_eq(read(io->fd, &byte, 1), 1);
	ck_assert(!io_is_late(io));
	s->turn_us[s->n++ % 8] = loop_now_us(io->loop);
	s->seen->order[s->seen->n++] = s->id;
	if (s->wakes != NULL)
		ck_assert_int_eq(write(s->wakes->fd[1], "x", 1), 1);
	burn(s->burn_us);
	if (s->seen->n == s->ends)
		loop_stop(io->loop);
}

static void meet(struct stranger *s, int id, struct seen *seen, int ends, bool patient)
{
	*s = (struct stranger){ .id = id, .seen = seen, .ends = ends };
	ck_assert_int_eq(pipe(s->fd), 0);
	io_init(&s->io, loop, s->fd[0], on_stranger, s);
	io_set_patient(&s->io, patient);
	io_watch(&s->io, IO_READ);
}

static void say(struct stranger *s, const char *text)
{
	ck_assert_int_eq(write(s->fd[1], text, strlen(text)), (ssize_t)strlen(text));
}

static void part(struct stranger *s)
{
	io_clear(&s->io);
	ck_assert(!io_is_late(&s->io));
	close(s->fd[0]);
	close(s->fd[1]);
}

START_TEST(strangers_wait_for_those_who_are_known)
{
	struct seen seen = { .n = 0 };
	struct stranger stranger, known;

	meet(&stranger, 0, &seen, 2, true);
	meet(&known, 1, &seen, 2, false);
	say(&stranger, "x");
	say(&known, "x");
	loop_run(loop);
	ck_assert(seen.order[0] == 1 && seen.order[1] == 0);
	part(&stranger);
	part(&known);
}
END_TEST

/* Each takes longer than a turn has for them: so one a turn, and who is known in between. */
START_TEST(a_turn_takes_few_strangers)
{
	struct seen seen = { .n = 0 };
	struct stranger s[6], known;

	meet(&known, 9, &seen, 7, false);
	for (int i = 0; i < 6; i++) {
		meet(&s[i], i, &seen, 7, true);
		s[i].burn_us = 2000;
		say(&s[i], "x");
	}
	s[0].wakes = &known;
	loop_run(loop);
	ck_assert_int_eq(seen.n, 7);
	ck_assert_int_eq(seen.order[1], 9);
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(s[i].turn_us[0], s[k].turn_us[0]);
	ck_assert_uint_eq(loop_late(loop), 0);
	for (int i = 0; i < 6; i++)
		part(&s[i]);
	part(&known);
}
END_TEST

/* What was begun ends before new things begin, but newcomers are not forgotten. */
START_TEST(newcomers_come_after_those_who_have_begun)
{
	struct seen seen = { .n = 0 };
	struct stranger begun, newcomer;
	int at = 0;

	meet(&begun, 0, &seen, 1, true);
	say(&begun, "x");
	loop_run(loop);
	begun.ends = 40;
	begun.burn_us = 1000;
	meet(&newcomer, 1, &seen, 40, true);
	say(&newcomer, "x");
	for (int i = 0; i < 38; i++)
		say(&begun, "x");
	loop_run(loop);
	while (seen.order[at] != 1)
		at++;
	ck_assert_int_gt(at, 1);
	ck_assert_int_le(at, 9);
	part(&begun);
	part(&newcomer);
}
END_TEST

static void on_meanwhile(struct io *io, unsigned what, void *arg)
{
	struct stranger *s = arg;
	char byte;

	(void)what;
	ck_assert_int_eq(read(io->fd, &byte, 1), 1);
	s->n++;
	burn(1000);
	if (s->n == 1)
		return;
	/* The others have been late for two turns. */
	ck_assert_uint_eq(loop_late(io->loop), 3);
	io_clear(&s->wakes[0].io);              /* goes */
	io_watch(&s->wakes[1].io, 0);           /* does not look */
	io_set_patient(&s->wakes[2].io, false); /* is known from now on */
	ck_assert_uint_eq(loop_late(io->loop), 1);
}

START_TEST(who_waits_may_change_its_mind)
{
	struct seen seen = { .n = 0 };
	struct stranger first, s[3];

	meet(&first, 9, &seen, -1, true);
	first.io.fn = on_meanwhile;
	first.io.begun = true;
	first.wakes = s;
	say(&first, "xx");
	for (int i = 0; i < 3; i++) {
		meet(&s[i], i, &seen, 1, true);
		say(&s[i], "x");
	}
	loop_run(loop);
	ck_assert_int_eq(seen.n, 1);
	ck_assert_int_eq(seen.order[0], 2);
	s[1].ends = 2;
	io_watch(&s[1].io, IO_READ);
	loop_run(loop);
	ck_assert_int_eq(seen.order[1], 1);
	for (int i = 0; i < 3; i++)
		part(&s[i]);
	part(&first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("loop");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, timers_fire_in_the_order_they_are_due);
	tcase_add_test(tc, a_task_runs_once_and_may_defer_again);
	tcase_add_test(tc, mail_keeps_each_senders_order);
	tcase_add_test(tc, mail_taken_back_is_not_run);
	tcase_add_test(tc, a_watched_descriptor_is_reported_while_readable);
	tcase_add_test(tc, strangers_wait_for_those_who_are_known);
	tcase_add_test(tc, a_turn_takes_few_strangers);
	tcase_add_test(tc, newcomers_come_after_those_who_have_begun);
	tcase_add_test(tc, who_waits_may_change_its_mind);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
