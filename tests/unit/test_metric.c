/* test_metric.c - what is counted is what is written. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "server/log.h"
#include "server/metric.h"

enum { SENT, OPEN, TURN, COMMIT, PAIR };
static const char *const kinds[] = { "message", "presence", "iq", NULL };
static const char *const sides[] = { "in", "o\"ut\\", NULL };
static const uint64_t bounds[] = { 1000, 10000, 0 };
static const struct sterna_metric table[] = {
	[SENT] = { "sterna_sent_total", "Stanzas\nsent \\ written.", METRIC_COUNTER, .labels = { { "kind", kinds } } },
	[OPEN] = { "sterna_open", "Open.", METRIC_GAUGE },
	[TURN] = { "sterna_turn_seconds", "Longest.", METRIC_GAUGE_MAX, .scale = 1e-6 },
	[COMMIT] = { "sterna_commit_seconds", "Commit.", METRIC_HISTOGRAM, .labels = { { "kind", kinds } },
		.bounds = bounds, .scale = 1e-6 },
	[PAIR] = { "sterna_pair_total", "Pair.", METRIC_COUNTER, .labels = { { "kind", kinds }, { "side", sides } } },
	{ 0 }
};

static struct metrics *m;
static struct metric_set *set;
static struct buf out;

static void setup(void)
{
	m = metrics_new(2);
	ck_assert_int_eq(metrics_add(m, table, &set), STERNA_OK);
	out = (struct buf)BUF_INIT;
}

static void teardown(void)
{
	metrics_remove(m, &set);
	metrics_free(&m);
	buf_release(&out);
}

static void has(const char *line)
{
	const char *at;

	buf_release(&out);
	metrics_write(m, &out);
	at = strstr(buf_str(&out), line);
	ck_assert_msg(at != NULL && (at == buf_data(&out) || at[-1] == '\n'), "no %s in\n%s", line, buf_str(&out));
}

START_TEST(sums_workers)
{
	metric_add(set, 0, SENT, 2, 5);
	metric_add(set, 1, SENT, 2, 6);
	metric_add(set, metrics_workers(m), SENT, 2, 1);
	metric_add(set, 99, SENT, 0, 1);
	has("sterna_sent_total{kind=\"iq\"} 12\n");
	has("sterna_sent_total{kind=\"message\"} 1\n");
	has("sterna_sent_total{kind=\"presence\"} 0\n");
	has("# HELP sterna_sent_total Stanzas\\nsent \\\\ written.\n# TYPE sterna_sent_total counter\n");
	ck_assert_int_eq(metrics_read(m, "sterna_sent_total", 2), 12);
	metric_add(set, 0, OPEN, 0, 3);
	metric_add(set, 1, OPEN, 0, -1);
	has("sterna_open 2\n");
	metric_store(set, 0, TURN, 0, 1500);
	metric_store(set, 1, TURN, 0, 900);
	has("sterna_turn_seconds 0.0015\n");
}
END_TEST

START_TEST(ignores_labels_out_of_range)
{
	metric_add(set, 0, SENT, 3, 1);
	metric_observe(set, 0, COMMIT, 3, 1);
	ck_assert_int_eq(metrics_read(m, "sterna_open", 0), 0);
	ck_assert_int_eq(metrics_read(m, "sterna_open", 1), 0);
	ck_assert_int_eq(metrics_read(m, "sterna_none", 0), 0);
	has("sterna_open 0\n");
}
END_TEST

START_TEST(writes_cumulative_histograms)
{
	metric_observe(set, 0, COMMIT, 1, 1000);
	metric_observe(set, 1, COMMIT, 1, 1001);
	metric_observe(set, 1, COMMIT, 1, 2000000);
	has("sterna_commit_seconds_bucket{kind=\"presence\",le=\"0.001\"} 1\n"
		"sterna_commit_seconds_bucket{kind=\"presence\",le=\"0.01\"} 2\n"
		"sterna_commit_seconds_bucket{kind=\"presence\",le=\"+Inf\"} 3\n"
		"sterna_commit_seconds_sum{kind=\"presence\"} 2.002001\n"
		"sterna_commit_seconds_count{kind=\"presence\"} 3\n");
	has("sterna_commit_seconds_count{kind=\"iq\"} 0\n");
	ck_assert_int_eq(metrics_read(m, "sterna_commit_seconds", 1), 3);
}
END_TEST

START_TEST(has_two_labels_and_escapes_values)
{
	metric_add(set, 0, PAIR, metric_label2(2, 1, 2), 4);
	has("sterna_pair_total{kind=\"iq\",side=\"o\\\"ut\\\\\"} 4\n");
	has("sterna_pair_total{kind=\"iq\",side=\"in\"} 0\n");
}
END_TEST

START_TEST(refuses_bad_tables)
{
	const struct sterna_metric bad[][2] = {
		{ { "open", "Help.", METRIC_GAUGE } }, { { "sterna_Open", "Help.", METRIC_GAUGE } },
		{ { "sterna_x", "Help.", METRIC_COUNTER } }, { { "sterna_x_total", "Help.", METRIC_GAUGE } },
		{ { "sterna_x", "", METRIC_GAUGE } }, { { "sterna_x", "Help.", METRIC_HISTOGRAM } },
		{ { "sterna_x", "Help.", METRIC_HISTOGRAM, .bounds = (const uint64_t[]){ 2, 1, 0 } } },
		{ { "sterna_x", "Help.", METRIC_GAUGE, .labels = { { "kind", (const char *const[]){ NULL } } } } },
		{ { "sterna_x", "Help.", METRIC_GAUGE, .labels = { { NULL, NULL }, { "kind", kinds } } } },
	};
	static const struct sterna_metric twice[] = { { "sterna_y", "Help.", METRIC_GAUGE },
		{ "sterna_y", "Help.", METRIC_GAUGE }, { 0 } };
	struct metric_set *other = NULL;

	log_set_level("metric", LOG_LEVEL_OFF);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_int_eq(metrics_add(m, bad[i], &other), STERNA_EINVAL);
	ck_assert_int_eq(metrics_add(m, table, &other), STERNA_EEXISTS);
	ck_assert_int_eq(metrics_add(m, twice, &other), STERNA_EEXISTS);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(forgets_a_removed_table)
{
	static const struct sterna_metric more[] = { { "sterna_more", "More.", METRIC_GAUGE }, { 0 } };
	struct metric_set *first = NULL, *second = NULL;

	ck_assert_int_eq(metrics_add(m, more, &first), STERNA_OK);
	metric_add(first, 0, 0, 0, 7);
	has("sterna_more 7\n");
	metrics_remove(m, &first);
	ck_assert_ptr_null(first);
	buf_release(&out);
	metrics_write(m, &out);
	ck_assert_ptr_null(strstr(buf_str(&out), "more"));
	ck_assert_int_eq(metrics_add(m, more, &second), STERNA_OK);
	has("sterna_more 0\n");
	metrics_remove(m, &set);
	metrics_remove(m, &second);
	buf_release(&out);
	metrics_write(m, &out);
	ck_assert_uint_eq(buf_len(&out), 0);
}
END_TEST

static void on_read(void *arg)
{
	metric_store(arg, 0, OPEN, 0, 42);
}

START_TEST(asks_readers_first)
{
	metrics_on_read(m, on_read, set);
	has("sterna_open 42\n");
	metric_store(set, 0, OPEN, 0, 1);
	metrics_on_read(m, NULL, set);
	has("sterna_open 1\n");
}
END_TEST

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10000; i++)
		metric_add(set, 2, OPEN, 0, 1);
	return NULL;
}

START_TEST(loses_nothing_between_threads)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(metrics_read(m, "sterna_open", 0), 40000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metric");
	TCase *t = tcase_create("metric");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, sums_workers);
	tcase_add_test(t, ignores_labels_out_of_range);
	tcase_add_test(t, writes_cumulative_histograms);
	tcase_add_test(t, has_two_labels_and_escapes_values);
	tcase_add_test(t, refuses_bad_tables);
	tcase_add_test(t, forgets_a_removed_table);
	tcase_add_test(t, asks_readers_first);
	tcase_add_test(t, loses_nothing_between_threads);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
