/* Slow work leaves the loop's thread and comes home to it. */
#include "server/work.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include "server/mem.h"

enum { WORKS = 8 };

struct bench {
	struct loop *loop;
	sem_t started, go;          /* fn says it began; fn may end */
	pthread_t home;
	int order[WORKS], n_done, n_cancelled, expected;
};

struct job {
	struct work work;
	struct bench *bench;
	int number;
	bool hold, ran;
	pthread_t thread;
};

static void on_run(struct work *w)
{
	struct job *j = (struct job *)w;

	j->thread = pthread_self();
	if (j->hold) {
		sem_post(&j->bench->started);
		sem_wait(&j->bench->go);
	}
	j->ran = true;
}

static void on_done(struct work *w)
{
	struct job *j = (struct job *)w;
	struct bench *b = j->bench;

	ck_assert(pthread_equal(pthread_self(), b->home));
	ck_assert(j->ran != w->cancelled);
	if (w->cancelled)
		b->n_cancelled++;
	b->order[b->n_done++] = j->number;
	free(j);
	if (b->n_done == b->expected)
		loop_stop(b->loop);
}

static void bench_init(struct bench *b, int expected)
{
	*b = (struct bench){ .expected = expected, .home = pthread_self() };
	ck_assert_int_eq(loop_new(&b->loop), STERNA_OK);
	sem_init(&b->started, 0, 0);
	sem_init(&b->go, 0, 0);
}

static void bench_clear(struct bench *b)
{
	loop_free(&b->loop);
	sem_destroy(&b->started);
	sem_destroy(&b->go);
}

static struct job *job_new(struct bench *b, int number, bool hold)
{
	struct job *j = xalloc(sizeof *j);

	work_init(&j->work, b->loop, on_run, on_done);
	j->bench = b;
	j->number = number;
	j->hold = hold;
	return j;
}

START_TEST(works_start_in_order_and_come_home)
{
	struct work_pool_stats stats;
	struct work_pool *pool;
	struct bench b;

	bench_init(&b, WORKS);
	ck_assert_int_eq(work_pool_new(1, WORKS, &pool), STERNA_OK);
	for (int i = 0; i < WORKS; i++)
		ck_assert_int_eq(work_submit(pool, &job_new(&b, i, false)->work), STERNA_OK);
	loop_run(b.loop);
	for (int i = 0; i < WORKS; i++)
		ck_assert_int_eq(b.order[i], i);
	work_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.depth, 0);
	ck_assert_uint_eq(stats.refused, 0);
	work_pool_free(&pool);
	ck_assert_ptr_null(pool);
	bench_clear(&b);
}
END_TEST

START_TEST(several_threads_work_at_once)
{
	struct work_pool *pool;
	struct bench b;

	bench_init(&b, 2);
	ck_assert_int_eq(work_pool_new(2, WORKS, &pool), STERNA_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(work_submit(pool, &job_new(&b, i, true)->work), STERNA_OK);
	sem_wait(&b.started);
	sem_wait(&b.started); /* both are in fn now */
	sem_post(&b.go);
	sem_post(&b.go);
	loop_run(b.loop);
	ck_assert_int_eq(b.n_done, 2);
	work_pool_free(&pool);
	bench_clear(&b);
}
END_TEST

START_TEST(full_queue_refuses_and_leaves_the_work_alone)
{
	struct work_pool_stats stats;
	struct work_pool *pool;
	struct job *extra;
	struct bench b;

	bench_init(&b, 3);
	ck_assert_int_eq(work_pool_new(1, 2, &pool), STERNA_OK);
	ck_assert_int_eq(work_submit(pool, &job_new(&b, 0, true)->work), STERNA_OK);
	sem_wait(&b.started);
	ck_assert_int_eq(work_submit(pool, &job_new(&b, 1, false)->work), STERNA_OK);
	ck_assert_int_eq(work_submit(pool, &job_new(&b, 2, false)->work), STERNA_OK);
	extra = job_new(&b, 3, false);
	ck_assert_int_eq(work_submit(pool, &extra->work), STERNA_ELIMIT);
	free(extra);
	work_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.depth, 2);
	ck_assert_uint_eq(stats.refused, 1);
	sem_post(&b.go);
	loop_run(b.loop);
	ck_assert_int_eq(b.n_done, 3);
	work_pool_free(&pool);
	bench_clear(&b);
}
END_TEST

static void *let_go(void *arg)
{
	struct bench *b = arg;
	const struct timespec a_while = { .tv_nsec = 50 * 1000 * 1000 };

	nanosleep(&a_while, NULL);
	sem_post(&b->go);
	return NULL;
}

START_TEST(freeing_the_pool_cancels_what_waits)
{
	struct work_pool *pool;
	pthread_t helper;
	struct bench b;

	bench_init(&b, 3);
	ck_assert_int_eq(work_pool_new(1, WORKS, &pool), STERNA_OK);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(work_submit(pool, &job_new(&b, i, i == 0)->work), STERNA_OK);
	sem_wait(&b.started);
	ck_assert_int_eq(pthread_create(&helper, NULL, let_go, &b), 0);
	work_pool_free(&pool);
	pthread_join(helper, NULL);
	loop_run(b.loop);
	ck_assert_int_eq(b.n_done, 3);
	ck_assert_int_eq(b.n_cancelled, 2);
	bench_clear(&b);
}
END_TEST

START_TEST(inline_pool_runs_at_once_but_posts_done)
{
	struct work_pool_stats stats;
	struct work_pool *pool = work_pool_new_inline();
	struct bench b;
	struct job *j;

	bench_init(&b, 1);
	j = job_new(&b, 0, false);
	ck_assert_int_eq(work_submit(pool, &j->work), STERNA_OK);
	ck_assert(j->ran);
	ck_assert(pthread_equal(j->thread, b.home));
	ck_assert_int_eq(b.n_done, 0);
	loop_run(b.loop);
	ck_assert_int_eq(b.n_done, 1);
	work_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.run, 1);
	work_pool_free(&pool);
	bench_clear(&b);
}
END_TEST

static void on_run_signals(struct work *w)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	ck_assert_int_eq(sigismember(&now, SIGTERM), 1);
	on_run(w);
}

START_TEST(helpers_take_no_signals)
{
	struct work_pool *pool;
	sigset_t now;
	struct bench b;
	struct job *j;

	bench_init(&b, 1);
	ck_assert_int_eq(work_pool_new(1, 1, &pool), STERNA_OK);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	ck_assert_int_eq(sigismember(&now, SIGTERM), 0);
	j = job_new(&b, 0, false);
	j->work.fn = on_run_signals;
	ck_assert_int_eq(work_submit(pool, &j->work), STERNA_OK);
	loop_run(b.loop);
	work_pool_free(&pool);
	bench_clear(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("work");
	TCase *tc = tcase_create("work");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(tc, works_start_in_order_and_come_home);
	tcase_add_test(tc, several_threads_work_at_once);
	tcase_add_test(tc, full_queue_refuses_and_leaves_the_work_alone);
	tcase_add_test(tc, freeing_the_pool_cancels_what_waits);
	tcase_add_test(tc, inline_pool_runs_at_once_but_posts_done);
	tcase_add_test(tc, helpers_take_no_signals);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
