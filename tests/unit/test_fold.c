/* test_fold.c - texts without regard to case. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/fold.h"

static void gives(const char *text, size_t len, const char *wanted)
{
	char *folded = fold_text(text, len);

	ck_assert_str_eq(folded, wanted);
	free(folded);
}

START_TEST(case_is_gone)
{
	gives("Verona", 6, "verona");
	gives("ÉCOLE", strlen("ÉCOLE"), "école");
	gives("ΟΔΟΣ οδος", strlen("ΟΔΟΣ οδος"), "οδοσ οδοσ");
	gives("12:3 _", 6, "12:3 _");
}
END_TEST

START_TEST(a_fold_may_be_longer)
{
	gives("\xc8\xba", 2, "\xe2\xb1\xa5"); /* U+023A, two bytes, to U+2C65, three */
}
END_TEST

START_TEST(what_is_no_utf8_is_left_out)
{
	gives("a\xff\xc3(B", 5, "a(b");
	gives("", 0, "");
	gives("abc", 2, "ab");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fold");
	TCase *c = tcase_create("fold");

	tcase_add_test(c, case_is_gone);
	tcase_add_test(c, a_fold_may_be_longer);
	tcase_add_test(c, what_is_no_utf8_is_left_out);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
