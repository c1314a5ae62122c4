/* test_threat.c - counting within a time, bounded; places; rules; and the module, as the clock goes on. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "modules/threat.h"
#include "tests/unit/harness.h"

extern const struct sterna_module sterna_module_threat;

#define SECOND INT64_C(1000000)
static const uint64_t seed[2] = { 1, 2 };
static uint64_t total;

START_TEST(counts_within_a_time)
{
	const struct threat_rule_config r = { .count = 3, .within = { 10 * SECOND }, .hold = { 60 * SECOND } };
	struct threat_counts *c = threat_counts_new(1 << 20, seed);

	ck_assert(!threat_count(c, 0, &r, "a", NULL, 1, 1 * SECOND, &total));
	ck_assert(!threat_count(c, 0, &r, "a", NULL, 1, 2 * SECOND, &total));
	ck_assert(!threat_count(c, 0, &r, "b", NULL, 1, 2 * SECOND, &total));      /* somebody else */
	ck_assert(!threat_count(c, 1, &r, "a", NULL, 1, 2 * SECOND, &total));      /* another rule */
	ck_assert(!threat_count(c, 0, &r, "a", NULL, 1, 11 * SECOND + 1, &total)); /* the first is too old */
	ck_assert_uint_eq(total, 2);
	ck_assert(threat_count(c, 0, &r, "a", NULL, 1, 12 * SECOND - 1, &total));
	ck_assert_uint_eq(total, 3);
	for (int i = 0; i < 10; i++)
		ck_assert(!threat_count(c, 0, &r, "a", NULL, 1, 13 * SECOND, &total)); /* silent */
	ck_assert(threat_count(c, 0, &r, "a", NULL, 1, 72 * SECOND, &total) == false); /* that was long ago */
	threat_count(c, 0, &r, "a", NULL, 1, 73 * SECOND, &total);
	ck_assert(threat_count(c, 0, &r, "a", NULL, 1, 74 * SECOND, &total));
	threat_forget(c, 0, "a");
	ck_assert(!threat_count(c, 0, &r, "a", NULL, 1, 75 * SECOND, &total));
	ck_assert_uint_eq(total, 1);
	threat_counts_free(&c);
}
END_TEST

START_TEST(counts_what_differs_and_adds_up)
{
	const struct threat_rule_config r = { .count = 3, .within = { 10 * SECOND }, .hold = { SECOND } };
	struct threat_counts *c = threat_counts_new(1 << 20, seed);

	for (int i = 0; i < 50; i++)
		ck_assert(!threat_count(c, 0, &r, "a", i % 2 == 0 ? "x" : "y", 1, SECOND, &total));
	ck_assert_uint_eq(total, 2);
	ck_assert(threat_count(c, 0, &r, "a", "z", 1, 2 * SECOND, &total));
	ck_assert(!threat_count(c, 1, &r, "a", NULL, 2, SECOND, &total));
	ck_assert(threat_count(c, 1, &r, "a", NULL, 40, SECOND, &total));
	ck_assert_uint_eq(total, 42);
	threat_counts_free(&c);
}
END_TEST

START_TEST(a_clock_that_is_set_back_does_not_silence)
{
	const struct threat_rule_config r = { .count = 1, .within = { 10 * SECOND }, .hold = { 60 * SECOND } };
	struct threat_counts *c = threat_counts_new(1 << 20, seed);

	ck_assert(threat_count(c, 0, &r, "a", NULL, 1, 1000000 * SECOND, &total));
	ck_assert(threat_count(c, 0, &r, "a", NULL, 1, 1000 * SECOND, &total));
	threat_counts_free(&c);
}
END_TEST

START_TEST(memory_is_bounded)
{
	const struct threat_rule_config r = { .count = 100, .within = { 600 * SECOND }, .hold = { SECOND } };
	struct threat_counts *c = threat_counts_new(64 << 10, seed);
	char key[32], what[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "192.0.2.%d", i);
		(void)threat_count(c, 0, &r, key, NULL, 1, i * 1000, &total);
		ck_assert_uint_le(threat_counts_bytes(c), 64 << 10);
	}
	ck_assert_uint_gt(threat_counts_keys(c), 100);
	/* one alone that does much is not forgotten for it, and has its limit too */
	for (int i = 0; i < 5000; i++) {
		snprintf(what, sizeof what, "%d", i);
		(void)threat_count(c, 0, &r, "one", what, 1, 20000 * 1000, &total);
	}
	ck_assert_uint_le(total, 100);
	ck_assert_uint_le(threat_counts_bytes(c), 64 << 10);
	threat_counts_free(&c);
}
END_TEST

START_TEST(nobody_travels_so_fast)
{
	const struct threat_rule_config r = { .count = 1, .speed = 1000, .within = { 24 * 3600 * SECOND }, .hold = { SECOND } };
	const struct threat_place berlin = { 52.52, 13.4, 20 }, sydney = { -33.87, 151.2, 50 }, potsdam = { 52.39, 13.06, 20 };
	struct threat_counts *c = threat_counts_new(1 << 20, seed);
	unsigned speed = 0;

	ck_assert(!threat_travel(c, 0, &r, "j", &berlin, SECOND, &speed));
	ck_assert(!threat_travel(c, 0, &r, "j", &potsdam, 2 * SECOND, &speed)); /* within what is not certain */
	ck_assert(threat_travel(c, 0, &r, "j", &sydney, 3600 * SECOND, &speed));
	ck_assert_uint_gt(speed, 15000);
	ck_assert_uint_lt(speed, 17000);
	ck_assert(!threat_travel(c, 0, &r, "j", &berlin, (3600 + 20 * 3600) * SECOND, &speed)); /* a flight */
	ck_assert(!threat_travel(c, 0, &r, "j", &sydney, (3600 + 60 * 3600) * SECOND, &speed)); /* too long ago to tell */
	threat_counts_free(&c);
}
END_TEST

START_TEST(keys_are_in_normal_form)
{
	static const struct { const char *by, *text, *key; } cases[] = {
		{ "address", "192.0.2.1:5222", "192.0.2.1" }, { "address", "192.0.2.1", "192.0.2.1" },
		{ "address", "[2001:db8:0:1:2:3:4:5]:5222", "2001:db8:0:1::" }, { "address", "unix", NULL }, { "address", "", NULL },
		{ "address", "[2001:db8::1", NULL }, { "jid", "Romeo@Example.NET/x", "romeo@example.net" },
		{ "jid", "uid 0", "uid 0" }, { "domain:jid", "romeo@example.net/x", "example.net" }, { "domain:jid", "uid 0", NULL },
		{ "other", "x", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct threat_rule_config cfg = { .by = cases[i].by, .event = "x", .count = 1 };
		const struct sterna_datum data[] = { STERNA_PERSONAL("address", cases[i].text), STERNA_PERSONAL("jid", cases[i].text),
			{ 0 } };
		struct threat_rule r;
		char key[128] = "";

		ck_assert_ptr_null(threat_rule_check(&cfg, &r));
		const bool got = threat_key(&r, &(struct sterna_audit_event){ .type = "sterna.x.v1", .data = data }, key, sizeof key);

		ck_assert_msg(got == (cases[i].key != NULL), "%s of '%s'", cases[i].by, cases[i].text);
		if (got)
			ck_assert_str_eq(key, cases[i].key);
	}
}
END_TEST

START_TEST(rules_that_cannot_be_are_told)
{
	const char *isolate[] = { "isolate" }, *suspend[] = { "alert", "suspend" };
	const struct threat_rule_config wrong[] = {
		{ .by = "address", .action = { suspend, 2 } }, { .by = "domain:jid", .action = { suspend, 2 } },
		{ .by = "subject", .action = { isolate, 1 } }, { .by = "subject", .distinct = "a", .sum = "b" },
		{ .by = "address", .speed = 1000 },
	};
	struct threat_rule r;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_ptr_nonnull(threat_rule_check(&wrong[i], &r));
	for (size_t i = 0; i < threat_usual_count; i++) {
		ck_assert_ptr_null(threat_rule_check(&threat_usual[i], &r));
		ck_assert_uint_eq(r.actions, THREAT_ALERT);
	}
}
END_TEST

/* --- the module, by the server's clock --- */

static char heard[4096]; /* by the test's own module */

static void on_heard(struct sterna_call *c, const struct sterna_audit_event *e)
{
	(void)c;
	for (const struct sterna_datum *d = e->data; d != NULL && d->name != NULL
		&& strncmp(e->type, "sterna.threat.", 14) == 0; d++) {
		const size_t n = strlen(heard);

		if (d->kind == STERNA_DATUM_NUMBER)
			snprintf(heard + n, sizeof heard - n, "%s=%lld;", d->name, (long long)d->number);
		else
			snprintf(heard + n, sizeof heard - n, "%s=%s;", d->name, d->text);
	}
}

STERNA_MODULE(zprobe, .summary = "test", .audit = on_heard);

static void contact(struct test *t, int n)
{
	char xml[256];

	snprintf(xml, sizeof xml, "<iq type='set' id='r%d'><query xmlns='jabber:iq:roster'><item jid='c%d@example.com'/></query></iq>",
		n, n);
	test_send(t, "juliet@example.net/a", xml);
}

START_TEST(acts_by_the_servers_clock)
{
	static const struct sterna_module *const modules[] = { &sterna_module_threat, &sterna_module_zprobe, NULL };
	struct test *t = test_new_with(modules, "modules:\n  threat:\n    dry_run: true\n    rules:\n      many:\n"
		"        { event: roster.changed, distinct: contact, count: 3, within: 4m, hold: 1h, action: [alert, suspend] }\n");

	heard[0] = '\0';
	test_clock(t, 1000000000);
	for (int i = 0; i < 2; i++)
		contact(t, i);
	test_pass(t, 300 * (uint64_t)SECOND);
	contact(t, 2);
	ck_assert_str_eq(heard, "");                     /* never three of them in four minutes */
	contact(t, 3);
	contact(t, 4);
	ck_assert_str_eq(heard, "detection=1;rule=many;target=juliet@example.net;count=3;actions=alert suspend;mode=dry;"
		"until=2001-09-09T02:51:40Z;");
	for (int i = 5; i < 20; i++)
		contact(t, i);
	ck_assert_ptr_null(strstr(heard, "detection=2"));
	test_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threat");
	TCase *c = tcase_create("threat");

	tcase_add_test(c, counts_within_a_time);
	tcase_add_test(c, counts_what_differs_and_adds_up);
	tcase_add_test(c, a_clock_that_is_set_back_does_not_silence);
	tcase_add_test(c, memory_is_bounded);
	tcase_add_test(c, nobody_travels_so_fast);
	tcase_add_test(c, keys_are_in_normal_form);
	tcase_add_test(c, rules_that_cannot_be_are_told);
	tcase_add_test(c, acts_by_the_servers_clock);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
