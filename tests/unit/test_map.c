/* test_map.c - strings to pointers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/map.h"

enum { MANY = 3000 };
static char keys[MANY][16];
static struct map m;

static void setup(void)
{
	map_init(&m, 1, 2);
	for (int i = 0; i < MANY; i++)
		snprintf(keys[i], sizeof keys[i], "k%d", i);
}

static void teardown(void)
{
	map_clear(&m);
}

START_TEST(finds_what_was_put)
{
	for (int i = 0; i < MANY; i++)
		map_put(&m, keys[i], &keys[i]);
	ck_assert_uint_eq(m.count, MANY);
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_eq(map_get(&m, keys[i]), &keys[i]);
	ck_assert_ptr_null(map_get(&m, "k"));
	ck_assert_ptr_null(map_get(&m, ""));
}
END_TEST

START_TEST(an_empty_map_has_nothing)
{
	size_t at = 0;

	ck_assert_ptr_null(map_get(&m, "a"));
	ck_assert_ptr_null(map_remove(&m, "a"));
	ck_assert_ptr_null(map_next(&m, &at));
}
END_TEST

START_TEST(putting_again_replaces_value_and_key)
{
	char same[] = "k1";

	map_put(&m, keys[1], &keys[1]);
	map_put(&m, same, &keys[2]);
	ck_assert_uint_eq(m.count, 1);
	ck_assert_ptr_eq(map_get(&m, "k1"), &keys[2]);
	size_t at = 0;

	ck_assert_ptr_eq(map_next(&m, &at)->key, same);
}
END_TEST

START_TEST(what_is_removed_is_gone_and_others_stay)
{
	for (int i = 0; i < MANY; i++)
		map_put(&m, keys[i], &keys[i]);
	for (int i = 0; i < MANY; i += 2)
		ck_assert_ptr_eq(map_remove(&m, keys[i]), &keys[i]);
	ck_assert_uint_eq(m.count, MANY / 2);
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_eq(map_get(&m, keys[i]), i % 2 == 0 ? NULL : &keys[i]);
}
END_TEST

START_TEST(coming_and_going_does_not_make_it_grow)
{
	for (int round = 0; round < 100; round++)
		for (int i = 0; i < 100; i++) {
			map_put(&m, keys[(round * 100 + i) % MANY], &m);
			ck_assert_ptr_eq(map_remove(&m, keys[(round * 100 + i) % MANY]), &m);
		}
	ck_assert_uint_eq(m.count, 0);
	ck_assert_uint_le(m.size, 64);
}
END_TEST

START_TEST(walks_over_each_once_also_when_it_is_removed)
{
	struct map_entry *e;
	unsigned seen = 0;

	for (int i = 0; i < MANY; i++)
		map_put(&m, keys[i], &keys[i]);
	for (size_t at = 0; (e = map_next(&m, &at)) != NULL; seen++)
		if (seen % 3 == 0)
			map_remove(&m, e->key);
	ck_assert_uint_eq(seen, MANY);
	ck_assert_uint_eq(m.count, MANY - MANY / 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("map");
	TCase *c = tcase_create("map");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, finds_what_was_put);
	tcase_add_test(c, an_empty_map_has_nothing);
	tcase_add_test(c, putting_again_replaces_value_and_key);
	tcase_add_test(c, what_is_removed_is_gone_and_others_stay);
	tcase_add_test(c, coming_and_going_does_not_make_it_grow);
	tcase_add_test(c, walks_over_each_once_also_when_it_is_removed);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
