/* test_loop.c - timers, deferred work, the mailbox. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
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
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
