/* test_dialback.c - keys: of one triple only, also where the fields run together. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/dialback.h"

static const unsigned char secret[32] = "s3cr3tf0rd14lb4ck", other[32] = "an0th3r";

START_TEST(a_key_is_ours_for_its_triple_only)
{
	char key[DIALBACK_KEY_SIZE];

	dialback_key(secret, "xmpp.example.com", "example.org", "D60000229F", key);
	ck_assert_uint_eq(strlen(key), 64);
	ck_assert(dialback_is_ours(secret, "xmpp.example.com", "example.org", "D60000229F", key));
	ck_assert(!dialback_is_ours(secret, "example.org", "xmpp.example.com", "D60000229F", key));
	ck_assert(!dialback_is_ours(secret, "xmpp.example.com", "example.org", "D60000229E", key));
	ck_assert(!dialback_is_ours(other, "xmpp.example.com", "example.org", "D60000229F", key));
}
END_TEST

START_TEST(fields_do_not_run_together)
{
	char a[DIALBACK_KEY_SIZE], b[DIALBACK_KEY_SIZE];

	dialback_key(secret, "a.example", "b.example", "1", a);
	dialback_key(secret, "a.example b.example", "", "1", b);
	ck_assert_str_ne(a, b);
	dialback_key(secret, "a", "bc", "d", a);
	dialback_key(secret, "ab", "c", "d", b);
	ck_assert_str_ne(a, b);
	dialback_key(secret, "a", "1:b", "c", a);
	dialback_key(secret, "a1:b", "", "c", b);
	ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(what_is_no_key_is_not_ours)
{
	char key[DIALBACK_KEY_SIZE + 1];

	ck_assert(!dialback_is_ours(secret, "a", "b", "1", ""));
	dialback_key(secret, "a", "b", "1", key);
	key[0] ^= 1;
	ck_assert(!dialback_is_ours(secret, "a", "b", "1", key));
	key[0] ^= 1;
	strcat(key, "0");
	ck_assert(!dialback_is_ours(secret, "a", "b", "1", key));
	key[63] = '\0';
	ck_assert(!dialback_is_ours(secret, "a", "b", "1", key));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dialback");
	TCase *c = tcase_create("keys");

	tcase_add_test(c, a_key_is_ours_for_its_triple_only);
	tcase_add_test(c, fields_do_not_run_together);
	tcase_add_test(c, what_is_no_key_is_not_ours);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
