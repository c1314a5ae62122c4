/* Stored keys: right for their password, of no use for another, faked without a trace. */
#include "server/credential.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

enum { FEW = 16 }; /* iterations, so that tests are quick */

static const uint8_t salt[SCRAM_SALT_LEN] = "0123456789abcde";

START_TEST(record_matches_its_password_only)
{
	struct credential c;

	ck_assert_int_eq(scram_derive((enum scram_hash)_i, "pencil", 6, salt, sizeof salt, FEW, &c), STERNA_OK);
	ck_assert(credential_is_valid(&c));
	ck_assert(credential_matches(&c, "pencil", 6));
	ck_assert(!credential_matches(&c, "Pencil", 6));
	ck_assert(!credential_matches(&c, "penci", 5));
	ck_assert(!credential_matches(&c, "", 0));
	credential_clear(&c);
	ck_assert_uint_eq(c.salt_len, 0);
}
END_TEST

START_TEST(bounds_are_kept)
{
	static char longest[PASSWORD_MAX + 1];
	struct credential c;

	memset(longest, 'x', sizeof longest);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, longest, PASSWORD_MAX, salt, 16, 1, &c), STERNA_OK);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, longest, PASSWORD_MAX + 1, salt, 16, 1, &c), STERNA_ELIMIT);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, "a", 1, salt, 0, 1, &c), STERNA_ELIMIT);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, "a", 1, salt, SCRAM_SALT_MAX + 1, 1, &c), STERNA_ELIMIT);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, "a", 1, salt, 16, 0, &c), STERNA_ELIMIT);
	ck_assert_int_eq(scram_derive(SCRAM_SHA1, "a", 1, salt, 16, SCRAM_ITERATIONS_MAX + 1, &c), STERNA_ELIMIT);
}
END_TEST

START_TEST(set_has_a_record_for_every_hash)
{
	uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN] = { { 1 }, { 2 }, { 3 } };
	struct credential_set set;

	ck_assert_int_eq(credential_set_derive("pencil", 6, (const uint8_t(*)[SCRAM_SALT_LEN])salts, FEW, &set), STERNA_OK);
	for (int h = 0; h < SCRAM_HASH_COUNT; h++) {
		ck_assert_int_eq(set.of[h].hash, h);
		ck_assert_mem_eq(set.of[h].salt, salts[h], SCRAM_SALT_LEN);
		ck_assert(credential_matches(&set.of[h], "pencil", 6));
	}
	credential_set_clear(&set);
	ck_assert_int_eq(credential_set_derive("", 0, (const uint8_t(*)[SCRAM_SALT_LEN])salts, FEW, &set), STERNA_EINVAL);
}
END_TEST

START_TEST(fake_is_stable_and_of_normal_shape)
{
	struct credential a, b, other, hash, server;

	credential_fake("secretsecretsecret", 18, SCRAM_SHA256, "nosuch", 4096, &a);
	credential_fake("secretsecretsecret", 18, SCRAM_SHA256, "nosuch", 4096, &b);
	credential_fake("secretsecretsecret", 18, SCRAM_SHA256, "nosuch2", 4096, &other);
	credential_fake("secretsecretsecret", 18, SCRAM_SHA512, "nosuch", 4096, &hash);
	credential_fake("terceSterceSterceS", 18, SCRAM_SHA256, "nosuch", 4096, &server);
	ck_assert(credential_is_valid(&a));
	ck_assert_uint_eq(a.salt_len, SCRAM_SALT_LEN);
	ck_assert_uint_eq(a.iterations, 4096);
	ck_assert_mem_eq(&a, &b, sizeof a);
	ck_assert_mem_ne(a.salt, other.salt, SCRAM_SALT_LEN);
	ck_assert_mem_ne(a.salt, hash.salt, SCRAM_SALT_LEN);
	ck_assert_mem_ne(a.salt, server.salt, SCRAM_SALT_LEN);
	ck_assert_mem_ne(a.stored_key, a.server_key, 32);
}
END_TEST

START_TEST(names_are_found_and_no_others)
{
	enum scram_hash h;

	for (int i = 0; i < SCRAM_HASH_COUNT; i++) {
		ck_assert(scram_hash_from_name(scram_hash_name((enum scram_hash)i), &h));
		ck_assert_int_eq(h, i);
	}
	ck_assert(!scram_hash_from_name("SCRAM-SHA-1-PLUS", &h));
	ck_assert_ptr_null(credential_upgrade_name(SCRAM_SHA1));
	ck_assert(credential_upgrade_from_name("UPGR-SCRAM-SHA-512", &h));
	ck_assert_int_eq(h, SCRAM_SHA512);
	ck_assert(!credential_upgrade_from_name("UPGR-SCRAM-SHA-1", &h));
	ck_assert(!credential_upgrade_from_name("SCRAM-SHA-512", &h));
}
END_TEST

START_TEST(upgrade_makes_the_record_of_the_password)
{
	struct credential c;
	uint8_t salted[32], zero[32] = { 0 };

	PKCS5_PBKDF2_HMAC("pencil", 6, salt, sizeof salt, FEW, EVP_sha256(), sizeof salted, salted);
	ck_assert_int_eq(credential_from_salted(SCRAM_SHA256, salted, 32, salt, sizeof salt, FEW, &c), STERNA_OK);
	ck_assert(credential_matches(&c, "pencil", 6));
	ck_assert_int_eq(credential_from_salted(SCRAM_SHA256, salted, 31, salt, sizeof salt, FEW, &c), STERNA_EINVAL);
	ck_assert_int_eq(credential_from_salted(SCRAM_SHA512, salted, 32, salt, sizeof salt, FEW, &c), STERNA_EINVAL);
	ck_assert_int_eq(credential_from_salted(SCRAM_SHA256, zero, 32, salt, sizeof salt, FEW, &c), STERNA_EINVAL);
}
END_TEST

START_TEST(records_out_of_bounds_are_not_valid)
{
	struct credential c;

	ck_assert_int_eq(scram_derive(SCRAM_SHA1, "a", 1, salt, 16, 1, &c), STERNA_OK);
	c.salt_len = SCRAM_SALT_MAX + 1;
	ck_assert(!credential_is_valid(&c));
	c.salt_len = 16;
	c.iterations = 0;
	ck_assert(!credential_is_valid(&c));
	c.iterations = 1;
	c.hash = SCRAM_HASH_COUNT;
	ck_assert(!credential_is_valid(&c));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("credential");
	TCase *tc = tcase_create("credential");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, record_matches_its_password_only, 0, SCRAM_HASH_COUNT);
	tcase_add_test(tc, bounds_are_kept);
	tcase_add_test(tc, set_has_a_record_for_every_hash);
	tcase_add_test(tc, fake_is_stable_and_of_normal_shape);
	tcase_add_test(tc, names_are_found_and_no_others);
	tcase_add_test(tc, upgrade_makes_the_record_of_the_password);
	tcase_add_test(tc, records_out_of_bounds_are_not_valid);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
