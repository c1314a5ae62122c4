/* test_base64.c - RFC 4648 §10's vectors, and what a strict reader refuses. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/base64.h"

static const struct {
	const char *bytes, *text;
} vectors[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

START_TEST(speaks_the_vectors_of_rfc4648)
{
	char text[16], bytes[16];
	size_t n = 99;

	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		const size_t len = strlen(vectors[i].bytes);

		ck_assert_int_eq(base64_encode(vectors[i].bytes, len, text, sizeof text), STERNA_OK);
		ck_assert_str_eq(text, vectors[i].text);
		ck_assert_int_eq(base64_decode(text, strlen(text), bytes, sizeof bytes, &n), STERNA_OK);
		ck_assert_uint_eq(n, len);
		ck_assert_mem_eq(bytes, vectors[i].bytes, len);
	}
}
END_TEST

START_TEST(every_value_has_its_character)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char bytes[48];
	char text[65];
	size_t n;

	ck_assert_int_eq(base64_decode(alphabet, 64, bytes, sizeof bytes, &n), STERNA_OK);
	ck_assert_uint_eq(n, 48);
	for (unsigned i = 0; i < 64; i++) {
		const unsigned at = i * 6 / 8, shift = i * 6 % 8;
		const unsigned pair = bytes[at] << 8 | (at + 1 < 48 ? bytes[at + 1] : 0);

		ck_assert_uint_eq(pair >> (10 - shift) & 63, i);
	}
	ck_assert_int_eq(base64_encode(bytes, 48, text, sizeof text), STERNA_OK);
	ck_assert_str_eq(text, alphabet);
}
END_TEST

START_TEST(every_other_character_is_refused_at_every_place)
{
	unsigned char bytes[6];
	size_t n = 99;

	for (int c = 0; c < 256; c++) {
		const char one = (char)c;
		const int good = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c);

		for (size_t at = 0; at < 8; at++) {
			char text[8] = { 'Z', 'm', '9', 'v', 'Z', 'm', '8', 'A' };
			const int pad = c == '=' && at == 7;

			text[at] = one;
			ck_assert_int_eq(base64_decode(text, 8, bytes, sizeof bytes, &n),
				good || pad ? STERNA_OK : STERNA_EINVAL);
		}
	}
}
END_TEST

START_TEST(only_one_text_stands_for_some_bytes)
{
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "=", "==", "===", "====", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zg=v", "Zm8=Zm8=",
		"Zm9v\n", "Zm9v\n\n\n\n", " Zm9v", "Zm 9v", "Zm-_", "Zm9vYg", "Zm9v====",
	};
	char bytes[16];
	size_t n = 99;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(base64_decode(bad[i], strlen(bad[i]), bytes, sizeof bytes, &n) == STERNA_EINVAL, "%s",
			bad[i]);
	ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(writes_nothing_beyond_the_room)
{
	char text[5] = "....", bytes[4] = "...";
	size_t n = 99;

	ck_assert_int_eq(base64_encode("foo", 3, text, 4), STERNA_ELIMIT);
	ck_assert_str_eq(text, "....");
	ck_assert_int_eq(base64_encode("foo", 3, text, 5), STERNA_OK);
	ck_assert_int_eq(base64_encode("", 0, text, 0), STERNA_ELIMIT);
	ck_assert_int_eq(base64_encode("x", SIZE_MAX, text, 5), STERNA_ELIMIT);
	ck_assert_int_eq(base64_decode("Zm9v", 4, bytes, 2, &n), STERNA_ELIMIT);
	ck_assert_int_eq(base64_decode("Zm8=", 4, bytes, 2, &n), STERNA_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(bytes[2], '.');
}
END_TEST

START_TEST(all_bytes_survive)
{
	unsigned char in[256], back[256];
	char text[BASE64_TEXT_LEN(256) + 1];
	size_t n;

	for (int i = 0; i < 256; i++)
		in[i] = (unsigned char)(i * 167 + 13);
	for (size_t len = 0; len <= 256; len++) {
		ck_assert_int_eq(base64_encode(in, len, text, sizeof text), STERNA_OK);
		ck_assert_uint_eq(strlen(text), BASE64_TEXT_LEN(len));
		ck_assert_int_eq(base64_decode(text, strlen(text), back, len, &n), STERNA_OK);
		ck_assert_uint_eq(n, len);
		ck_assert_mem_eq(in, back, len);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base64");
	TCase *t = tcase_create("base64");

	tcase_add_test(t, speaks_the_vectors_of_rfc4648);
	tcase_add_test(t, every_value_has_its_character);
	tcase_add_test(t, every_other_character_is_refused_at_every_place);
	tcase_add_test(t, only_one_text_stands_for_some_bytes);
	tcase_add_test(t, writes_nothing_beyond_the_room);
	tcase_add_test(t, all_bytes_survive);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
