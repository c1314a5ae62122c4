/* test_proxy.c - headers of the PROXY protocol, whole, split and wrong. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/cidr.h"
#include "server/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define LIT(s) s, sizeof(s) - 1

/* Every shorter beginning of a good header asks for more; what follows it is left alone. */
static void good(const char *bytes, size_t len, const char *src, const char *dst)
{
	char more[PROXY_MAX + 64], text[IP_TEXT_SIZE];
	struct proxy_header h;
	size_t used = 99;

	for (size_t n = 0; n < len; n++) {
		char *exact = malloc(n > 0 ? n : 1); /* so that ASan sees a read beyond */

		memcpy(exact, bytes, n);
		ck_assert_msg(proxy_parse(exact, n, &h, &used) == STERNA_EAGAIN, "at %zu", n);
		free(exact);
	}
	memcpy(more, bytes, len);
	memcpy(more + len, "<stream", 7);
	ck_assert_int_eq(proxy_parse(more, len + 7, &h, &used), STERNA_OK);
	ck_assert_uint_eq(used, len);
	ck_assert_int_eq(h.known, src != NULL);
	if (src == NULL)
		return;
	ip_format_peer((struct sockaddr *)&h.src, text);
	ck_assert_str_eq(text, src);
	ip_format_peer((struct sockaddr *)&h.dst, text);
	ck_assert_str_eq(text, dst);
}

static void bad(const char *bytes, size_t len, enum sterna_result why)
{
	struct proxy_header h;
	size_t used;

	ck_assert_msg(proxy_parse(bytes, len, &h, &used) == why, "%.*s", (int)len, bytes);
	ck_assert(!h.known || why == STERNA_OK);
}

START_TEST(version_1_names_the_client)
{
	good(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 51000 5222\r\n"), "192.0.2.1:51000", "203.0.113.2:5222");
	good(LIT("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "[2001:db8::1]:1", "[2001:db8::2]:65535");
	good(LIT("PROXY UNKNOWN\r\n"), NULL, NULL);
	good(LIT("PROXY UNKNOWN ffff:f...f ffff 65535 65535 and more\r\n"), NULL, NULL);
}
END_TEST

START_TEST(version_1_is_read_strictly)
{
	char longest[PROXY_V1_MAX + 1];

	bad(LIT("<stream:stream"), STERNA_EINVAL);
	bad(LIT("\x16\x03\x01"), STERNA_EINVAL);
	bad(LIT("PROXYTCP4"), STERNA_EINVAL);
	bad(LIT("PROXY \r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 51000\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 51000 5222\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 51000 5222 1\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 51000 5222 \r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4  192.0.2.1 203.0.113.2 51000 5222\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 051000 5222\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 65536 5222\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1 203.0.113.2 -1 5222\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP6 192.0.2.1 203.0.113.2 1 2\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP5 192.0.2.1 203.0.113.2 1 2\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY UNKNOWNX\r\n"), STERNA_EINVAL);
	bad(LIT("PROXY TCP4 192.0.2.1\0 203.0.113.2 1 2\r\n"), STERNA_EINVAL);
	memset(longest, 'x', sizeof longest);
	memcpy(longest, "PROXY UNKNOWN ", 14);
	bad(longest, PROXY_V1_MAX - 1, STERNA_EAGAIN);
	bad(longest, PROXY_V1_MAX, STERNA_EINVAL);
	bad(longest, sizeof longest, STERNA_EINVAL);
}
END_TEST

START_TEST(version_2_names_the_client)
{
	good(LIT(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66"), "192.0.2.1:51000",
		"203.0.113.2:5222");
	/* a NOOP of two bytes follows */
	good(LIT(SIGNATURE "\x21\x11\x00\x11\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66\x04\x00\x02\x00\x00"),
		"192.0.2.1:51000", "203.0.113.2:5222");
	good(LIT(SIGNATURE "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
			   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x01\xff\xff"),
		"[2001:db8::1]:1", "[2001:db8::2]:65535");
	good(LIT(SIGNATURE "\x20\x00\x00\x00"), NULL, NULL);              /* LOCAL */
	good(LIT(SIGNATURE "\x20\x11\x00\x03\x01\x02\x03"), NULL, NULL);
	good(LIT(SIGNATURE "\x21\x00\x00\x00"), NULL, NULL);              /* UNSPEC */
}
END_TEST

START_TEST(version_2_is_read_strictly)
{
	bad(LIT(SIGNATURE "\x11\x11\x00\x0c"), STERNA_EINVAL);            /* version 1 */
	bad(LIT(SIGNATURE "\x22\x11\x00\x0c"), STERNA_EINVAL);            /* command 2 */
	bad(LIT(SIGNATURE "\x21\x41\x00\x0c"), STERNA_EINVAL);            /* family 4 */
	bad(LIT(SIGNATURE "\x21\x13\x00\x0c"), STERNA_EINVAL);            /* protocol 3 */
	bad(LIT(SIGNATURE "\x21\x11\xff\xff"), STERNA_ELIMIT);
	bad(LIT(SIGNATURE "\x21\x11\x00\x04\xc0\x00\x02\x01"), STERNA_EINVAL);
	bad(LIT(SIGNATURE "\x21\x12\x00\x0c\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66"), STERNA_EINVAL); /* UDP */
	bad(LIT(SIGNATURE "\x21\x11\x00\x0e\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66\x04\x00"), STERNA_EINVAL);
	bad(LIT(SIGNATURE "\x21\x11\x00\x0f\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66\x04\x00\x01"),
		STERNA_EINVAL);
	bad(LIT("\r\n\r\n\0\r\nQUIX"), STERNA_EINVAL);
}
END_TEST

/* Bit by bit from the polynomial, the other way round than the code under test: CRC-32C of "123456789" is e3069283. */
static uint32_t reference_crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = 0xffffffff, out = 0;

	for (size_t i = 0; i < 8 * len; i++) {
		const uint32_t bit = (bytes[i / 8] >> (i % 8)) & 1, top = crc >> 31;

		crc = (crc << 1) ^ ((bit ^ top) ? 0x1edc6f41u : 0);
	}
	for (int i = 0; i < 32; i++)
		out |= ((crc >> i) & 1) << (31 - i);
	return ~out;
}

START_TEST(version_2s_sum_is_checked)
{
	uint8_t h[] = SIGNATURE "\x21\x11\x00\x13\xc0\x00\x02\x01\xcb\x00\x71\x02\xc7\x38\x14\x66\x03\x00\x04\0\0\0\0";
	const size_t len = sizeof h - 1;
	const uint32_t crc = reference_crc32c(h, len);

	ck_assert_uint_eq(reference_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	bad((char *)h, len, STERNA_EINVAL);
	for (int i = 0; i < 4; i++)
		h[len - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
	good((char *)h, len, "192.0.2.1:51000", "203.0.113.2:5222");
	h[16] ^= 1;
	bad((char *)h, len, STERNA_EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy");
	TCase *tc = tcase_create("proxy");

	tcase_add_test(tc, version_1_names_the_client);
	tcase_add_test(tc, version_1_is_read_strictly);
	tcase_add_test(tc, version_2_names_the_client);
	tcase_add_test(tc, version_2_is_read_strictly);
	tcase_add_test(tc, version_2s_sum_is_checked);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
