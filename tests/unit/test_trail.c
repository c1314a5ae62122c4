/* test_trail.c - steps of an attempt: bounded, and fit to be shown. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/trail.h"

static struct trail t;

START_TEST(the_last_step_that_failed_is_the_cause)
{
	trail_begin(&t, 100, 5);
	ck_assert_ptr_null(trail_failure(&t));
	trail_add(&t, 150, "connect", false, "192.0.2.1: %s", "refused");
	trail_add(&t, 200, "connect", true, "192.0.2.2");
	ck_assert_str_eq(trail_failure(&t)->text, "192.0.2.1: refused");
	trail_add(&t, 300, "tls", false, "no");
	ck_assert_str_eq(trail_failure(&t)->what, "tls");
	ck_assert_uint_eq(trail_failure(&t)->at_us, 200);
	trail_begin(&t, 400, 6);
	ck_assert_ptr_null(trail_failure(&t));
}
END_TEST

START_TEST(steps_and_texts_are_bounded)
{
	char text[1000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	trail_begin(&t, 0, 0);
	for (int i = 0; i < 100; i++)
		trail_add(&t, (uint64_t)i, "a", true, "%s", text);
	trail_add(&t, 200, "last", false, "cause");
	ck_assert_uint_eq(t.count, TRAIL_STEPS);
	ck_assert_uint_eq(strlen(t.step[0].text), TRAIL_TEXT - 1);
	ck_assert_str_eq(trail_failure(&t)->text, "cause");
}
END_TEST

START_TEST(no_control_characters_and_no_half_ones)
{
	char text[TRAIL_TEXT + 10];

	trail_begin(&t, 0, 0);
	trail_add(&t, 0, "a", true, "%s", "a\nb\x7f" "c");
	ck_assert_str_eq(t.step[0].text, "a b c");
	memset(text, 'x', sizeof text);
	memcpy(text + TRAIL_TEXT - 2, "\u00e9", 3);
	trail_add(&t, 0, "b", true, "%s", text);
	ck_assert_uint_eq(strlen(t.step[1].text), TRAIL_TEXT - 2);
	memcpy(text + TRAIL_TEXT - 3, "\u00e9", 3);
	trail_add(&t, 0, "c", true, "%s", text);
	ck_assert_uint_eq(strlen(t.step[2].text), TRAIL_TEXT - 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trail");
	TCase *c = tcase_create("steps");

	tcase_add_test(c, the_last_step_that_failed_is_the_cause);
	tcase_add_test(c, steps_and_texts_are_bounded);
	tcase_add_test(c, no_control_characters_and_no_half_ones);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
