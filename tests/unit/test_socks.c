/* test_socks.c - the part of SOCKS 5 that bytestreams use, whole, split and wrong. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/socks.h"

#define HASH "972b7bf47291ca609517f67f86b5081086052dad"
#define LIT(s) (const unsigned char *)(s), sizeof(s) - 1

START_TEST(a_greeting_without_authentication_is_taken)
{
	static const unsigned char with[] = "\x05\x03\x02\x00\x01rest";
	size_t used = 99;

	for (size_t n = 0; n < 5; n++) {
		unsigned char *exact = malloc(n > 0 ? n : 1); /* so that ASan sees a read beyond */

		memcpy(exact, with, n);
		ck_assert_msg(socks_greeting(exact, n, &used) == STERNA_EAGAIN, "at %zu", n);
		free(exact);
	}
	ck_assert_int_eq(socks_greeting(with, sizeof with - 1, &used), STERNA_OK);
	ck_assert_uint_eq(used, 5);
}
END_TEST

START_TEST(other_greetings_are_refused)
{
	size_t used = 0;

	ck_assert_int_eq(socks_greeting(LIT("\x04\x01\x00"), &used), STERNA_EINVAL);
	ck_assert_int_eq(socks_greeting(LIT("GET / HTTP/1.1\r\n"), &used), STERNA_EINVAL);
	ck_assert_int_eq(socks_greeting(LIT("\x05\x00"), &used), STERNA_EINVAL);
	ck_assert_int_eq(socks_greeting(LIT("\x05\x02\x01\x02"), &used), STERNA_EDENIED);
	ck_assert_uint_eq(used, 4);
}
END_TEST

START_TEST(a_request_names_a_hash)
{
	static const unsigned char request[] = "\x05\x01\x00\x03\x28" "972B7bf47291ca609517f67f86b5081086052daD" "\x00\x07rest";
	enum socks_reply reply = SOCKS_DONE;
	struct socks_request r;
	size_t used = 99;

	for (size_t n = 0; n < 47; n++) {
		unsigned char *exact = malloc(n > 0 ? n : 1);

		memcpy(exact, request, n);
		ck_assert_msg(socks_request(exact, n, &r, &used, &reply) == STERNA_EAGAIN, "at %zu", n);
		free(exact);
	}
	ck_assert_int_eq(socks_request(request, sizeof request - 1, &r, &used, &reply), STERNA_OK);
	ck_assert_uint_eq(used, 47);
	ck_assert_str_eq(r.hash, HASH);
	ck_assert_int_eq(r.port[1], 7);
}
END_TEST

static void denied(const unsigned char *bytes, size_t len, enum socks_reply why)
{
	enum socks_reply reply = SOCKS_DONE;
	struct socks_request r;
	size_t used;

	ck_assert_int_eq(socks_request(bytes, len, &r, &used, &reply), STERNA_EDENIED);
	ck_assert_int_eq(reply, why);
}

START_TEST(other_requests_are_refused)
{
	enum socks_reply reply = SOCKS_DONE;
	struct socks_request r;
	size_t used;

	denied(LIT("\x05\x02"), SOCKS_NO_SUCH_COMMAND);
	denied(LIT("\x05\x03\x00\x03"), SOCKS_NO_SUCH_COMMAND);
	denied(LIT("\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"), SOCKS_NOT_ALLOWED);
	denied(LIT("\x05\x01\x00\x04"), SOCKS_NOT_ALLOWED);
	denied(LIT("\x05\x01\x00\x05"), SOCKS_NO_SUCH_ADDRESS);
	denied(LIT("\x05\x01\x00\x03\x0b" "example.org" "\x00\x50"), SOCKS_NOT_ALLOWED);
	denied(LIT("\x05\x01\x00\x03\x28" "972b7bf47291ca609517f67f86b5081086052daX" "\x00\x00"), SOCKS_NOT_ALLOWED);
	ck_assert_int_eq(socks_request(LIT("\x04\x01"), &r, &used, &reply), STERNA_EINVAL);
	ck_assert_int_eq(socks_request(LIT("\x05\x01\x01"), &r, &used, &reply), STERNA_EINVAL);
}
END_TEST

START_TEST(answers_repeat_what_was_asked_for)
{
	struct socks_request r = { .hash = HASH, .port = { 0, 7 } };
	struct buf out = BUF_INIT;

	socks_write_method(&out, true);
	socks_write_method(&out, false);
	socks_write_reply(&out, SOCKS_DONE, &r);
	socks_write_reply(&out, SOCKS_NO_SUCH_COMMAND, NULL);
	static const char expected[] = "\x05\x00\x05\xff\x05\x00\x00\x03\x28" HASH "\x00\x07\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00";

	ck_assert_uint_eq(buf_len(&out), sizeof expected - 1);
	ck_assert_mem_eq(buf_data(&out), expected, sizeof expected - 1);
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("socks");
	TCase *c = tcase_create("socks");
	SRunner *r;
	int failed;

	tcase_add_test(c, a_greeting_without_authentication_is_taken);
	tcase_add_test(c, other_greetings_are_refused);
	tcase_add_test(c, a_request_names_a_hash);
	tcase_add_test(c, other_requests_are_refused);
	tcase_add_test(c, answers_repeat_what_was_asked_for);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
