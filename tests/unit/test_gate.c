/* test_gate.c - so many at a time, the others in order. */
#include <check.h>
#include "server/gate.h"

enum { N = 6 };

static struct loop *loop;
static struct gate gate;
static struct pass pass[N];
static int order[N + 1], n;

static void setup(void)
{
	ck_assert_int_eq(loop_new(&loop), STERNA_OK);
	gate_init(&gate, loop, 2);
	for (int i = 0; i < N; i++)
		pass[i] = (struct pass){ 0 };
	n = 0;
}

static void teardown(void)
{
	gate_clear(&gate);
	loop_free(&loop);
}

static void on_inside(struct pass *p)
{
	order[n++] = (int)(p - pass);
}

static void on_glance(struct pass *p)
{
	on_inside(p);
	gate_leave(p);
}

START_TEST(so_many_at_a_time_in_order)
{
	for (int i = 0; i < N; i++)
		gate_enter(&gate, &pass[i], on_inside);
	ck_assert_int_eq(n, 2);
	ck_assert_uint_eq(gate.waiting, 4);
	gate_leave(&pass[1]);
	ck_assert_int_eq(n, 2); /* not from within a call of the one who leaves */
	loop_run_deferred(loop);
	ck_assert_int_eq(n, 3);
	gate_leave(&pass[1]); /* twice is once */
	gate_leave(&pass[5]); /* who waits keeps its place */
	loop_run_deferred(loop);
	ck_assert_int_eq(n, 3);
	gate_leave(&pass[0]);
	gate_leave(&pass[2]);
	loop_run_deferred(loop);
	ck_assert_int_eq(n, 5);
	gate_leave(&pass[3]);
	loop_run_deferred(loop);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(order[i], i);
	ck_assert_uint_eq(gate.waiting, 0);
	ck_assert_uint_eq(gate.inside, 2);
}
END_TEST

START_TEST(who_leaves_at_once_holds_nobody_up)
{
	gate_enter(&gate, &pass[0], on_inside);
	gate_enter(&gate, &pass[1], on_inside);
	for (int i = 2; i < N; i++)
		gate_enter(&gate, &pass[i], on_glance);
	gate_leave(&pass[0]);
	loop_run_deferred(loop);
	ck_assert_int_eq(n, N);
	ck_assert_uint_eq(gate.inside, 1);
	gate_enter(&gate, &pass[0], on_glance);
	ck_assert_int_eq(n, N + 1);
	ck_assert_uint_eq(gate.inside, 1);
}
END_TEST

/* A place that is free belongs to those who wait. */
START_TEST(nobody_comes_before_those_who_wait)
{
	for (int i = 0; i < 3; i++)
		gate_enter(&gate, &pass[i], on_inside);
	gate_leave(&pass[0]);
	gate_enter(&gate, &pass[3], on_inside);
	loop_run_deferred(loop);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(order[2], 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate");
	TCase *tc = tcase_create("gate");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, so_many_at_a_time_in_order);
	tcase_add_test(tc, who_leaves_at_once_holds_nobody_up);
	tcase_add_test(tc, nobody_comes_before_those_who_wait);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
