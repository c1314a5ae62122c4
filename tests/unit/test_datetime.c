/* test_datetime.c - XEP-0082: its examples, the calendar against the C library, the limits. */
#include <check.h>
#include <string.h>
#include <time.h>
#include "server/datetime.h"

static int64_t parsed(const char *text)
{
	int64_t us = INT64_MIN;

	if (datetime_parse(text, strlen(text), &us) != STERNA_OK)
		ck_abort_msg("%s", text);
	return us;
}

START_TEST(reads_the_examples_of_xep0082)
{
	ck_assert_int_eq(parsed("1969-07-21T02:56:15Z"), INT64_C(-14159025000000));
	ck_assert_int_eq(parsed("1969-07-20T21:56:15-05:00"), INT64_C(-14159025000000));
	ck_assert_int_eq(parsed("2001-09-09T01:46:40Z"), INT64_C(1000000000000000));
}
END_TEST

START_TEST(reads_fractions_of_any_length)
{
	const int64_t s = INT64_C(1000000000000000);

	ck_assert_int_eq(parsed("2001-09-09T01:46:40.5Z"), s + 500000);
	ck_assert_int_eq(parsed("2001-09-09T01:46:40.000001Z"), s + 1);
	ck_assert_int_eq(parsed("2001-09-09T01:46:40.123456789012345678901234567890Z"), s + 123456);
	ck_assert_int_eq(parsed("1969-12-31T23:59:59.999999Z"), -1);
}
END_TEST

START_TEST(reads_every_offset)
{
	const int64_t s = INT64_C(1000000000000000);

	ck_assert_int_eq(parsed("2001-09-09T07:16:40+05:30"), s);
	ck_assert_int_eq(parsed("2001-09-09T15:46:40+14:00"), s);
	ck_assert_int_eq(parsed("2001-09-08T11:46:40-14:00"), s);
	ck_assert_int_eq(parsed("2001-09-09T01:46:40-00:00"), s);
	ck_assert_int_eq(parsed("2001-09-08T24:00:00Z"), parsed("2001-09-09T00:00:00Z"));
}
END_TEST

START_TEST(refuses_what_is_no_moment)
{
	static const char *const bad[] = {
		"", "2001", "2001-09-09", "2001-09-09T01:46:40", "2001-09-09T01:46Z", "2001-09-09 01:46:40Z",
		"2001-09-09t01:46:40Z", "2001-09-09T01:46:40z", "2001-09-09T01:46:40.Z", "2001-09-09T01:46:40,5Z",
		"2001-09-09T01:46:60Z", "2001-09-09T01:60:00Z", "2001-09-09T25:00:00Z", "2001-09-09T24:00:01Z",
		"2001-09-09T24:00:00.1Z", "2001-13-09T01:46:40Z", "2001-00-09T01:46:40Z", "2001-02-29T01:46:40Z",
		"1900-02-29T00:00:00Z", "2001-04-31T00:00:00Z", "2001-09-00T00:00:00Z", "0000-01-01T00:00:00Z",
		"-2001-09-09T01:46:40Z", "12001-09-09T01:46:40Z", "+2001-09-09T01:46:40Z", "20010909T01:46:40",
		"2001-09-09T01:46:40+0530", "2001-09-09T01:46:40+5:30", "2001-09-09T01:46:40+05:60",
		"2001-09-09T01:46:40+14:01", "2001-09-09T01:46:40+99:99", "2001-09-09T01:46:40Z ",
		" 2001-09-09T01:46:40Z", "2001-09-09T01:46:40ZZ", "2001-09-09T01:46:4\xd9\xa0Z",
		"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T24:00:00Z",
	};
	int64_t us = 7;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(datetime_parse(bad[i], strlen(bad[i]), &us) == STERNA_EINVAL, "%s", bad[i]);
	ck_assert_int_eq(datetime_parse("2001-09-09T01:46:40Z\0", 21, &us), STERNA_EINVAL);
	ck_assert_int_eq(us, 7);
}
END_TEST

START_TEST(reads_no_byte_beyond_the_length)
{
	const char whole[] = "2001-09-09T01:46:40.5+05:30";
	int64_t us;

	for (size_t len = 0; len < sizeof whole - 1; len++)
		ck_assert_int_eq(datetime_parse(whole, len, &us), STERNA_EINVAL);
}
END_TEST

START_TEST(writes_what_the_calendar_says_on_every_day)
{
	char out[DATETIME_SIZE], want[64];

	for (int64_t us = DATETIME_MIN_US; us < DATETIME_MAX_US; us += INT64_C(86400000000)) {
		const int64_t moment = us + INT64_C(12345678901);  /* 03:25:45.678901 */
		const time_t s = (time_t)((moment - 678901) / 1000000);
		struct tm tm;

		/* Millions of rounds: Check is told of failures only. */
		if (gmtime_r(&s, &tm) == NULL)
			ck_abort_msg("no calendar for %lld", (long long)s);
		strftime(want, sizeof want, "-%m-%dT%H:%M:%SZ", &tm);
		datetime_format(moment, out);
		if (strcmp(out + 4, want) != 0 || (out[0] - '0') * 1000 + (out[1] - '0') * 100 + (out[2] - '0') * 10 + out[3] - '0' !=
		    tm.tm_year + 1900)
			ck_abort_msg("%s, not %d%s", out, tm.tm_year + 1900, want);
		if (parsed(datetime_format_us(moment, out)) != moment)
			ck_abort_msg("%s is read as another moment", out);
	}
}
END_TEST

START_TEST(stays_within_its_limits)
{
	char out[DATETIME_SIZE];

	ck_assert_str_eq(datetime_format(INT64_C(1000000000000000), out), "2001-09-09T01:46:40Z");
	ck_assert_str_eq(datetime_format_us(INT64_C(1000000000000042), out), "2001-09-09T01:46:40.000042Z");
	ck_assert_str_eq(datetime_format(-1, out), "1969-12-31T23:59:59Z");
	ck_assert_str_eq(datetime_format_us(INT64_MIN, out), "0001-01-01T00:00:00.000000Z");
	ck_assert_str_eq(datetime_format_us(INT64_MAX, out), "9999-12-31T23:59:59.999999Z");
	ck_assert_int_eq(parsed("0001-01-01T00:00:00Z"), DATETIME_MIN_US);
	ck_assert_int_eq(parsed("9999-12-31T23:59:59.9999999Z"), DATETIME_MAX_US);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("datetime");
	TCase *t = tcase_create("datetime");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, reads_the_examples_of_xep0082);
	tcase_add_test(t, reads_fractions_of_any_length);
	tcase_add_test(t, reads_every_offset);
	tcase_add_test(t, refuses_what_is_no_moment);
	tcase_add_test(t, reads_no_byte_beyond_the_length);
	tcase_add_test(t, writes_what_the_calendar_says_on_every_day);
	tcase_add_test(t, stays_within_its_limits);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
