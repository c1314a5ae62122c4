/* test_log.c - what a log line looks like, and what cannot get into it. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/log.h"

static char last[8192];
static unsigned lines;

static void keep(void *arg, const char *line, size_t len)
{
	(void)arg;
	ck_assert_uint_lt(len, sizeof last);
	memcpy(last, line, len);
	last[len] = '\0';
	lines++;
}

static int64_t fixed_clock(void)
{
	return INT64_C(1000000000123456);
}

static void setup(void)
{
	ck_assert_int_eq(log_open(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_JSON, NULL }), STERNA_OK);
	log_set_sink(keep, NULL);
	log_set_clock(fixed_clock);
	lines = 0;
	last[0] = '\0';
}

static void teardown(void)
{
	log_set_sink(NULL, NULL);
	log_set_clock(NULL);
	log_clear_level(NULL);
	log_close();
}

START_TEST(writes_one_json_object_a_line)
{
	log_error("tls", "cannot use certificate", "file", "a b.crt", "count", LOG_INT(-5), "size", LOG_UINT(7u));
	ck_assert_str_eq(last, "{\"time\":\"2001-09-09T01:46:40.123456Z\",\"level\":\"error\",\"component\":\"tls\","
		"\"message\":\"cannot use certificate\",\"file\":\"a b.crt\",\"count\":-5,\"size\":7}\n");
}
END_TEST

START_TEST(writes_readable_lines)
{
	ck_assert_int_eq(log_open(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL }), STERNA_OK);
	log_warning("tls", "no \"thing\"", "file", "a b.crt", "jid", "a@b/c", "n", LOG_INT(3), "empty", "");
	ck_assert_str_eq(last, "2001-09-09T01:46:40.123456Z warning tls: no \\\"thing\\\" file=\"a b.crt\" jid=a@b/c n=3 "
		"empty=\"\"\n");
}
END_TEST

START_TEST(leaves_out_null_values_and_a_key_without_value)
{
	log_info("a", "m", "none", NULL, "some", "x", "alone");
	ck_assert_ptr_nonnull(strstr(last, "\"message\":\"m\",\"some\":\"x\"}\n"));
	log_info("a", "m", "k", "v", NULL);
	ck_assert_ptr_nonnull(strstr(last, "\"message\":\"m\",\"k\":\"v\"}\n"));
}
END_TEST

START_TEST(escapes_what_could_forge_a_line)
{
	log_info("a", "m", "x", "1\n{\"level\":\"error\"}\r\033[2J\x7f\xc2\x85\xe2\x80\xae\xff\xc0\xaf\\");
	ck_assert_ptr_nonnull(strstr(last, "\"x\":\"1\\n{\\\"level\\\":\\\"error\\\"}\\u000d\\u001b[2J\\u007f\\u0085\\u202e"
		"\\ufffd\\ufffd\\ufffd\\\\\"}\n"));
	ck_assert_ptr_eq(strchr(last, '\n'), last + strlen(last) - 1);
	log_info("a", "m", "x", "\1" "1,\"y\":2");      /* no way to pass for a number */
	ck_assert_ptr_nonnull(strstr(last, "\"x\":\"\\u00011,\\\"y\\\":2\""));
	log_info("a", "m", "x", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa6 \xed\xa0\x80 \xe2\x82");
	ck_assert_ptr_nonnull(strstr(last, "\"x\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa6 \\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\"}"));
}
END_TEST

START_TEST(bounds_values_and_lines)
{
	char big[5000];

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	log_info("a", "m", "x", big);
	ck_assert_uint_lt(strlen(last), 1200);
	ck_assert_ptr_nonnull(strstr(last, "\xe2\x80\xa6\"}\n"));
	memset(big, '\1', sizeof big - 1);
	log_info("a", "m", "x", big, "y", "last");
	ck_assert_uint_le(strlen(last), 4096);
	ck_assert_ptr_nonnull(strstr(last, "\"message\":\"m\",\"truncated\":true}\n"));
}
END_TEST

START_TEST(tests_levels_by_component)
{
	enum log_level level = LOG_LEVEL_OFF;

	log_debug("tls", "m");
	ck_assert_uint_eq(lines, 0);
	ck_assert(!log_may(LOG_LEVEL_DEBUG));
	ck_assert_int_eq(log_set_level("tls", LOG_LEVEL_DEBUG), STERNA_OK);
	ck_assert_int_eq(log_set_level("sasl", LOG_LEVEL_OFF), STERNA_OK);
	log_debug("tls", "m");
	ck_assert_uint_eq(lines, 1);
	log_debug("stream", "m");
	log_error("sasl", "m");
	ck_assert_uint_eq(lines, 1);
	ck_assert(log_enabled("tls", LOG_LEVEL_DEBUG));
	ck_assert(!log_enabled("stream", LOG_LEVEL_DEBUG));
	log_clear_level("tls");
	ck_assert(!log_may(LOG_LEVEL_DEBUG));
	ck_assert_int_eq(log_set_level(NULL, LOG_LEVEL_ERROR), STERNA_OK);
	log_warning("stream", "m");
	ck_assert_uint_eq(lines, 1);
	ck_assert(log_level_parse("notice", &level));
	ck_assert_int_eq(level, LOG_LEVEL_NOTICE);
	ck_assert(!log_level_parse("Notice", &level));
	ck_assert_int_eq(log_set_level("a-name-that-is-much-too-long-for-it", LOG_LEVEL_INFO), STERNA_ELIMIT);
}
END_TEST

START_TEST(does_not_evaluate_values_below_the_level)
{
	int calls = 0;

	log_debug("a", "m", "n", LOG_INT(++calls));
	ck_assert_int_eq(calls, 0);
	log_info("a", "m", "n", LOG_INT(++calls));
	ck_assert_int_eq(calls, 1);
}
END_TEST

static unsigned count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned n = 0;

	ck_assert_ptr_nonnull(f);
	for (int c = fgetc(f); c != EOF; c = fgetc(f))
		n += c == '\n';
	fclose(f);
	return n;
}

START_TEST(reopens_its_file_after_rotation)
{
	char dir[] = "/tmp/sterna-log-XXXXXX", path[64], moved[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/log", dir);
	snprintf(moved, sizeof moved, "%s/log.1", dir);
	log_set_sink(NULL, NULL);
	ck_assert_int_eq(log_open(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_AUTO, path }), STERNA_OK);
	log_info("a", "one");
	ck_assert_int_eq(rename(path, moved), 0);
	log_info("a", "two");
	ck_assert_int_eq(log_reopen(), STERNA_OK);
	log_info("a", "three");
	ck_assert_uint_eq(count_lines(moved), 2);
	ck_assert_uint_eq(count_lines(path), 1);
	unlink(path);
	unlink(moved);
	rmdir(dir);
	ck_assert_int_eq(log_reopen(), STERNA_EIO);
	ck_assert_int_eq(log_open(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_AUTO, "/nonexistent/log" }), STERNA_EIO);
}
END_TEST

START_TEST(drops_and_counts_rather_than_wait)
{
	int fds[2], saved = dup(STDERR_FILENO);
	const uint64_t before = log_dropped();
	char sink[65536];
	ssize_t n;

	log_set_sink(NULL, NULL);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	for (int i = 0; i < 2000; i++)
		log_info("a", "a line of some length that fills the pipe");
	ck_assert_uint_gt(log_dropped(), before);
	n = read(fds[0], sink, sizeof sink);
	ck_assert_int_gt((int)n, 0);
	log_info("a", "after");
	n = read(fds[0], sink, sizeof sink - 1);
	ck_assert_int_gt((int)n, 0);
	sink[n] = '\0';
	ck_assert_ptr_nonnull(strstr(sink, "lines were dropped"));
	ck_assert_ptr_nonnull(strstr(sink, "\"after\""));
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, writes_one_json_object_a_line);
	tcase_add_test(t, writes_readable_lines);
	tcase_add_test(t, leaves_out_null_values_and_a_key_without_value);
	tcase_add_test(t, escapes_what_could_forge_a_line);
	tcase_add_test(t, bounds_values_and_lines);
	tcase_add_test(t, tests_levels_by_component);
	tcase_add_test(t, does_not_evaluate_values_below_the_level);
	tcase_add_test(t, reopens_its_file_after_rotation);
	tcase_add_test(t, drops_and_counts_rather_than_wait);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
