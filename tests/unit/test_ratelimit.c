/* test_ratelimit.c - a bucket gives what its rate says, over any splitting of time; a table stays within its bounds. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "server/ratelimit.h"

static const uint64_t seed[2] = { 1, 2 };
static const struct sterna_rate ten = { 10, 1000000 }, none = { 0, 1000000 };
static struct ratelimit_table *t;

static void setup(void)
{
	t = ratelimit_table_new(4, 1000, seed);
}

static void teardown(void)
{
	ratelimit_table_free(&t);
}

START_TEST(begins_full_and_fills_evenly)
{
	struct ratelimit r;

	ratelimit_init(&r, &ten, 500);
	ck_assert(ratelimit_take(&r, &ten, 500, 10));
	ck_assert(!ratelimit_take(&r, &ten, 500, 1));
	ck_assert_uint_eq(ratelimit_wait_us(&r, &ten, 500, 1), 100000);
	ck_assert(!ratelimit_take(&r, &ten, 100499, 1));
	ck_assert_uint_eq(ratelimit_wait_us(&r, &ten, 100499, 1), 1);
	ck_assert(ratelimit_take(&r, &ten, 100500, 1));
	ck_assert(!ratelimit_take(&r, &ten, 100500, 1));
	ck_assert(ratelimit_take(&r, &ten, 50000000, 10));
	ck_assert(!ratelimit_take(&r, &ten, 50000000, 1));
	ck_assert(!ratelimit_take(&r, &ten, 0, 1));     /* a clock that goes back gives nothing */
	ck_assert(ratelimit_take(&r, &none, 0, UINT64_MAX));
}
END_TEST

START_TEST(loses_and_gains_nothing_by_small_steps)
{
	static const struct sterna_rate odd = { 7, 1000003 }, bytes = { 4 << 20, 1000000 };
	struct ratelimit r;
	uint64_t taken = 0;

	ratelimit_init(&r, &odd, 0);
	for (uint64_t now = 0; now <= 100 * UINT64_C(1000003); now += 997)
		taken += ratelimit_take(&r, &odd, now, 1);
	ck_assert_uint_le(taken, 707);
	ck_assert_uint_ge(taken, 705);
	ratelimit_init(&r, &bytes, 0);
	taken = 0;
	for (uint64_t now = 0; now <= 1000000; now += 10)
		while (ratelimit_take(&r, &bytes, now, 64))
			taken += 64;
	ck_assert_uint_le(taken, UINT64_C(8) << 20);
	ck_assert_uint_ge(taken, (UINT64_C(8) << 20) - 4096);
}
END_TEST

START_TEST(charges_into_debt)
{
	struct ratelimit r;

	ratelimit_init(&r, &ten, 0);
	ck_assert_uint_eq(ratelimit_charge(&r, &ten, 0, 10), 0);
	ck_assert_uint_eq(ratelimit_charge(&r, &ten, 0, 5), 500000);
	ck_assert(!ratelimit_take(&r, &ten, 500000, 1));
	ck_assert(ratelimit_take(&r, &ten, 600000, 1));
	ratelimit_charge(&r, &ten, 600000, UINT64_MAX);
	ratelimit_charge(&r, &ten, 600000, UINT64_MAX);
	ck_assert_uint_gt(ratelimit_wait_us(&r, &ten, 600000, 1), 1000000);
	ck_assert_uint_eq(ratelimit_charge(&r, &none, 0, UINT64_MAX), 0);
}
END_TEST

START_TEST(survives_extreme_rates)
{
	static const struct sterna_rate huge = { UINT64_MAX, 1 }, slow = { 1, INT64_MAX };
	struct ratelimit r;

	ratelimit_init(&r, &huge, 0);
	ck_assert(ratelimit_take(&r, &huge, 0, INT64_MAX));
	ck_assert(ratelimit_take(&r, &huge, 1, INT64_MAX));
	ratelimit_init(&r, &slow, 0);
	ck_assert(ratelimit_take(&r, &slow, 0, 1));
	ck_assert(!ratelimit_take(&r, &slow, UINT64_C(1) << 62, 1));
	ck_assert(ratelimit_take(&r, &slow, INT64_MAX, 1));
}
END_TEST

START_TEST(obeys_a_changed_rate)
{
	static const struct sterna_rate two = { 2, 1000000 };
	struct ratelimit r;

	ratelimit_init(&r, &ten, 0);
	ck_assert(ratelimit_take(&r, &two, 0, 2));
	ck_assert(!ratelimit_take(&r, &two, 0, 1));
	ck_assert(ratelimit_take(&r, &ten, 1000000, 10));
}
END_TEST

START_TEST(limits_each_key_by_itself)
{
	uint64_t wait = 0;

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ratelimit_table_take(t, "a", 1, 0, &ten, 5, 1, NULL), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_has(t, "a", 1, 0, &ten, 5, 1), STERNA_ELIMIT);
	ck_assert_int_eq(ratelimit_table_has(t, "a", 1, 1, &ten, 5, 10), STERNA_OK); /* takes none */
	ck_assert_int_eq(ratelimit_table_take(t, "a", 1, 0, &ten, 5, 1, &wait), STERNA_ELIMIT);
	ck_assert_uint_eq(wait, 100000);
	ck_assert_int_eq(ratelimit_table_take(t, "a", 1, 1, &ten, 5, 1, NULL), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_take(t, "b", 1, 0, &ten, 5, 1, NULL), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_take(t, "c", 1, 0, &none, 5, 1, NULL), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_count(t), 2);
	ck_assert_int_eq(ratelimit_table_take(t, "a", 1, 2, &ten, 5, 1, NULL), STERNA_EINVAL);
}
END_TEST

START_TEST(counts_what_is_held)
{
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 0, 2, 1), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 0, 2, 1), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 0, 2, 1), STERNA_ELIMIT);
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 1, 1, 1), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_held(t, "a", 1, 0), 2);
	ratelimit_table_release(t, "a", 1, 0, 1);
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 0, 2, 1), STERNA_OK);
	for (int i = 0; i < 5; i++)
		ratelimit_table_release(t, "a", 1, 0, 1);
	ratelimit_table_release(t, "unknown", 7, 0, 1);
	ck_assert_uint_eq(ratelimit_table_held(t, "a", 1, 0), 0);
	ck_assert_uint_eq(ratelimit_table_held(t, "a", 1, 1), 1);
}
END_TEST

START_TEST(stays_within_its_bound)
{
	char key[2] = "a";

	for (int i = 0; i < 3; i++, key[0]++)
		ck_assert_int_eq(ratelimit_table_hold(t, key, 1, 0, 9, 1), STERNA_OK);
	for (int i = 0; i < 20; i++, key[0]++)
		ck_assert_int_eq(ratelimit_table_take(t, key, 1, 0, &ten, 2, 1, NULL), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_count(t), 4);
	ck_assert_int_eq(ratelimit_table_hold(t, "x", 1, 0, 9, 3), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_hold(t, "y", 1, 0, 9, 3), STERNA_ELIMIT);
	ck_assert_int_eq(ratelimit_table_take(t, "y", 1, 0, &ten, 3, 1, NULL), STERNA_ELIMIT);
	ratelimit_table_release(t, "a", 1, 0, 4);
	ck_assert_int_eq(ratelimit_table_hold(t, "y", 1, 0, 9, 5), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_held(t, "a", 1, 0), 0);
	ck_assert_uint_eq(ratelimit_table_held(t, "b", 1, 0), 1);
	ck_assert_uint_eq(ratelimit_table_count(t), 4);
}
END_TEST

START_TEST(forgets_at_once_who_took_nothing)
{
	ck_assert_int_eq(ratelimit_table_hold(t, "a", 1, 0, 9, 1), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_hold(t, "b", 1, 0, 9, 1), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_take(t, "b", 1, 1, &ten, 1, 10, NULL), STERNA_OK);
	ratelimit_table_release(t, "a", 1, 0, 2);
	ck_assert_uint_eq(ratelimit_table_count(t), 1);
	ratelimit_table_release(t, "b", 1, 0, 2);
	ck_assert_uint_eq(ratelimit_table_count(t), 1);
	ck_assert_int_eq(ratelimit_table_take(t, "b", 1, 1, &ten, 2, 10, NULL), STERNA_ELIMIT);
}
END_TEST

START_TEST(forgets_what_is_idle)
{
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ratelimit_table_take(t, "a", 1, 0, &ten, 0, 1, NULL), STERNA_OK);
	ck_assert_int_eq(ratelimit_table_take(t, "b", 1, 0, &ten, 1000, 1, NULL), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_count(t), 2);
	ck_assert_int_eq(ratelimit_table_take(t, "b", 1, 0, &ten, 1001, 1, NULL), STERNA_OK);
	ck_assert_uint_eq(ratelimit_table_count(t), 1);
}
END_TEST

START_TEST(grows_and_finds_again)
{
	char key[16];

	ratelimit_table_free(&t);
	t = ratelimit_table_new(100000, 1000, seed);
	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(ratelimit_table_hold(t, key, (size_t)snprintf(key, sizeof key, "%d", i), 1, 1, 0), STERNA_OK);
	for (int i = 0; i < 5000; i++)
		ck_assert_uint_eq(ratelimit_table_held(t, key, (size_t)snprintf(key, sizeof key, "%d", i), 1), 1);
	ck_assert_uint_eq(ratelimit_table_count(t), 5000);
}
END_TEST

START_TEST(takes_an_ipv6_network_for_one_address)
{
	struct ip a, b, c, ka, kb, kc;

	ck_assert_int_eq(ip_parse("2001:db8:1:2:3::1", &a), STERNA_OK);
	ck_assert_int_eq(ip_parse("2001:db8:1:2:ffff::2", &b), STERNA_OK);
	ck_assert_int_eq(ip_parse("2001:db8:1:3::1", &c), STERNA_OK);
	ka = ratelimit_address(&a);
	kb = ratelimit_address(&b);
	kc = ratelimit_address(&c);
	ck_assert(ip_equal(&ka, &kb) && !ip_equal(&ka, &kc));
	ck_assert_int_eq(ip_parse("192.0.2.1", &a), STERNA_OK);
	ck_assert_int_eq(ip_parse("192.0.2.2", &b), STERNA_OK);
	ka = ratelimit_address(&a);
	kb = ratelimit_address(&b);
	ck_assert(ip_equal(&ka, &a) && !ip_equal(&ka, &kb));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ratelimit");
	TCase *tc = tcase_create("ratelimit");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, begins_full_and_fills_evenly);
	tcase_add_test(tc, loses_and_gains_nothing_by_small_steps);
	tcase_add_test(tc, charges_into_debt);
	tcase_add_test(tc, survives_extreme_rates);
	tcase_add_test(tc, obeys_a_changed_rate);
	tcase_add_test(tc, limits_each_key_by_itself);
	tcase_add_test(tc, counts_what_is_held);
	tcase_add_test(tc, stays_within_its_bound);
	tcase_add_test(tc, forgets_at_once_who_took_nothing);
	tcase_add_test(tc, forgets_what_is_idle);
	tcase_add_test(tc, grows_and_finds_again);
	tcase_add_test(tc, takes_an_ipv6_network_for_one_address);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
