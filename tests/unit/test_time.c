/* test_time.c - XEP-0202; and the harness itself. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/harness.h"

extern const struct sterna_module sterna_module_time;

START_TEST(answers_utc_and_offset)
{
	struct test *t = test_new(&sterna_module_time, "utc_only: true");   /* linked in; in-memory SQLite */

	test_clock(t, 1000000000);
	test_send(t, "romeo@example.net/a", "<iq type='get' id='q1' to='example.net'>"
		"<time xmlns='urn:xmpp:time'/></iq>");
	ck_assert_str_eq(test_recv(t, "romeo@example.net/a"),
		"<iq type='result' id='q1' from='example.net' to='romeo@example.net/a'>"
		"<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2001-09-09T01:46:40Z</utc></time></iq>");
	test_free(&t);
}
END_TEST

START_TEST(is_not_there_without_the_module)
{
	struct test *t = test_new(NULL, NULL);

	test_send(t, "romeo@example.net/a", "<iq type='get' id='q1' to='example.net'><time xmlns='urn:xmpp:time'/></iq>");
	ck_assert_ptr_nonnull(strstr(test_recv(t, "romeo@example.net/a"), "<service-unavailable "));
	test_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("time");
	TCase *c = tcase_create("time");

	tcase_add_test(c, answers_utc_and_offset);
	tcase_add_test(c, is_not_there_without_the_module);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
