/* Heads and chunks of HTTP, forwarded addresses, frames of WebSocket: also split anywhere. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/http_form.h"
#include "server/http_forwarded.h"
#include "server/http_head.h"
#include "server/mem.h"
#include "server/ws_frame.h"

enum { MAX = 4096 };

static enum sterna_result parse(const char *text, struct http_head *h, char **copy)
{
	size_t seen = 0;

	*copy = xstrdup(text);
	return http_head_parse(*copy, strlen(text), MAX, &seen, h);
}

static void expect_status(const char *text, unsigned status)
{
	struct http_head h;
	char *copy;
	const enum sterna_result rc = parse(text, &h, &copy);

	ck_assert_msg(rc == STERNA_EINVAL && h.status == status, "%s: %d %u", text, rc, h.status);
	free(copy);
}

static void field_is(const char *body, size_t len, const char *field, const char *expected)
{
	char *got = http_form_field(body, len, field, 16);

	if (expected == NULL)
		ck_assert_ptr_null(got);
	else
		ck_assert_str_eq(got, expected);
	free(got);
}

START_TEST(fields_of_a_form)
{
	static const char body[] = "name=ju%6Ciet+c&empty=&flag&p%61ss=%C3%A4%26%3D&%zz=1&name=second&nul=a%00b&bad=%C3&long=12345678901234567";

	field_is(body, sizeof body - 1, "name", "juliet c");
	field_is(body, sizeof body - 1, "empty", "");
	field_is(body, sizeof body - 1, "flag", "");
	field_is(body, sizeof body - 1, "pass", "\xc3\xa4&=");
	field_is(body, sizeof body - 1, "%zz", "1");
	field_is(body, sizeof body - 1, "nul", NULL);
	field_is(body, sizeof body - 1, "bad", NULL);
	field_is(body, sizeof body - 1, "long", NULL);
	field_is(body, sizeof body - 1, "none", NULL);
	field_is("", 0, "name", NULL);
	field_is("&&=&", 4, "", "");
	field_is("name=%4", 7, "name", "%4");
}
END_TEST

START_TEST(reads_a_head)
{
	struct http_head h;
	char *copy;

	ck_assert_int_eq(parse("\r\nPUT /a%20b/%C3%A4?c=%20d&e HTTP/1.1\r\nHost: example.org:5281\r\nX-One:  a b \t\r\n"
		"Content-Length: 0012\r\nExpect: 100-Continue\r\nConnection: a, Close\r\n\r\nbody", &h, &copy), STERNA_OK);
	ck_assert_str_eq(h.method, "PUT");
	ck_assert_str_eq(h.path, "/a b/\xc3\xa4");
	ck_assert_str_eq(h.query, "c=%20d&e");
	ck_assert_str_eq(h.host, "example.org:5281");
	ck_assert_str_eq(http_head_get(&h, "x-ONE"), "a b");
	ck_assert_ptr_null(http_head_get(&h, "x"));
	ck_assert(h.has_length && h.content_length == 12 && h.expects_continue && !h.keep_alive && !h.chunked);
	ck_assert_str_eq(copy + h.size, "body");
	free(copy);
	ck_assert_int_eq(parse("GET https://other.example/x HTTP/1.1\r\nHost: a\r\n\r\n", &h, &copy), STERNA_OK);
	ck_assert_str_eq(h.host, "other.example");
	ck_assert_str_eq(h.path, "/x");
	free(copy);
	ck_assert_int_eq(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h, &copy), STERNA_OK);
	ck_assert(h.is_1_0 && h.keep_alive && *h.host == '\0');
	free(copy);
}
END_TEST

START_TEST(refuses_what_is_doubtful)
{
	static const struct { unsigned status; const char *text; } bad[] = {
		{ 400, "GET / HTTP/1.1\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
		{ 400, "GET /%0 HTTP/1.1\r\nHost: a\r\n\r\n" }, { 400, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n" }, { 400, "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 400, "GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n" }, { 400, "GET / HTTP/1.1 \r\nHost: a\r\nX\r\n\r\n" },
		{ 505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n" }, { 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" }, { 417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n" },
		{ 501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		expect_status(bad[i].text, bad[i].status);
	char *big = xalloc(MAX + 64);

	memset(big, 'a', MAX + 63);
	memcpy(big, "GET /", 5);
	expect_status(big, 431);
	free(big);
}
END_TEST

START_TEST(splits_do_not_matter)
{
	const char text[] = "POST /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	char copy[sizeof text];
	struct http_head h;
	size_t seen = 0;

	memcpy(copy, text, sizeof text);
	for (size_t n = 0; n < sizeof text - 1; n++)
		ck_assert_int_eq(http_head_parse(copy, n, MAX, &seen, &h), STERNA_EAGAIN);
	ck_assert_int_eq(http_head_parse(copy, sizeof text - 1, MAX, &seen, &h), STERNA_OK);
	ck_assert_str_eq(h.method, "POST");
}
END_TEST

/* The content, or NULL. step: bytes at a time. */
static const char *unchunk(const char *text, size_t step, char out[64])
{
	struct http_chunks c = { 0 };
	size_t at = 0, n = 0;

	while (text[at] != '\0') {
		const size_t left = strlen(text + at);
		const char *data = NULL;
		size_t used, len;
		const enum sterna_result rc = http_chunks_feed(&c, text + at, left < step ? left : step, &used, &data, &len);

		if (len > 0)
			memcpy(out + n, data, len);
		n += len;
		at += used;
		out[n] = '\0';
		if (rc != STERNA_EAGAIN)
			return rc == STERNA_OK && strcmp(text + at, "next") == 0 ? out : NULL;
	}
	return NULL;
}

START_TEST(chunks)
{
	char out[64];

	for (size_t step = 1; step < 40; step++) {
		ck_assert_str_eq(unchunk("5\r\nhello\r\nA;x=\"y\"\r\n 123456789\r\n0\r\n\r\nnext", step, out), "hello 123456789");
		ck_assert_str_eq(unchunk("1 \r\na\r\n0\r\nTrailer: b\r\nC: d\r\n\r\nnext", step, out), "a");
		ck_assert_ptr_null(unchunk("5\r\nhello0\r\n\r\nnext", step, out));
		ck_assert_ptr_null(unchunk("5\nhello\r\n0\r\n\r\nnext", step, out));
		ck_assert_ptr_null(unchunk("\r\n", step, out));
		ck_assert_ptr_null(unchunk("fffffffffffffffff\r\n", step, out));
	}
}
END_TEST

START_TEST(forwarded)
{
	struct cidr_set proxies = CIDR_SET_INIT;
	struct ip ip, expected;
	bool found;

	ck_assert_int_eq(cidr_set_add(&proxies, "10.0.0.0/8"), STERNA_OK);
	ck_assert_int_eq(ip_parse("203.0.113.7", &expected), STERNA_OK);
	ck_assert_int_eq(http_forwarded_for("1.1.1.1, 203.0.113.7, 10.0.0.2,10.0.0.1", &proxies, &ip), STERNA_OK);
	ck_assert(ip_equal(&ip, &expected));
	ck_assert_int_eq(http_forwarded_for("for=1.1.1.1, proto=https;For=\"203.0.113.7:80\"", &proxies, &ip), STERNA_OK);
	ck_assert(ip_equal(&ip, &expected));
	ck_assert_int_eq(http_forwarded_for("203.0.113.7, unknown", &proxies, &ip), STERNA_ENOTFOUND);
	ck_assert_int_eq(http_forwarded_for("", &proxies, &ip), STERNA_ENOTFOUND);
	ck_assert_int_eq(http_forwarded_for(NULL, &proxies, &ip), STERNA_ENOTFOUND);
	ck_assert(http_forwarded_https("http, https", &found) && found);
	ck_assert(!http_forwarded_https("https, http", &found) && found);
	ck_assert(!http_forwarded_https("for=1.1.1.1", &found) && !found);
	ck_assert(http_forwarded_https("for=1.1.1.1; proto=\"https\"", &found) && found);
	cidr_set_clear(&proxies);
}
END_TEST

/* What a server writes, masked so that it can read it. */
static void mask(const struct buf *in, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)buf_data(in);
	const size_t head = (p[1] & 0x7f) == 126 ? 4 : (p[1] & 0x7f) == 127 ? 10 : 2;
	static const unsigned char key[4] = { 1, 2, 3, 250 };

	buf_add(out, p, head);
	out->data[out->start + 1] = (char)(p[1] | 0x80);
	buf_add(out, key, 4);
	for (size_t i = head; i < buf_len(in); i++)
		buf_putc(out, (char)(p[i] ^ key[(i - head) & 3]));
}

START_TEST(frames_come_back)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 70001 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t step = 1; step < 100000; step = step * 7 + 1) {
			struct buf written = BUF_INIT, masked = BUF_INIT, got = BUF_INIT;
			struct ws_reader r = { 0 };
			char out[1000];
			bool over = false;
			const size_t at = ws_begin(&written);

			for (size_t n = 0; n < sizes[i]; n++)
				buf_putc(&written, (char)('a' + n % 26));
			ws_end(&written, at);
			mask(&written, &masked);
			for (size_t from = 0, used, len; from < buf_len(&masked); from += used) {
				size_t n = buf_len(&masked) - from;

				n = n < step ? n : step;
				n = n < sizeof out ? n : sizeof out;
				const enum ws_event e = ws_read(&r, buf_data(&masked) + from, n, 80000, &used, out, &len);

				if (e == WS_ERROR || over)
					ck_abort_msg("an error, or too much");
				buf_add(&got, out, len);
				over = e == WS_MESSAGE;
			}
			ck_assert(over);
			ck_assert_uint_eq(buf_len(&got), sizes[i]);
			for (size_t n = 0; n < sizes[i]; n++)
				over = over && buf_data(&got)[n] == (char)('a' + n % 26);
			ck_assert(over);
			buf_release(&written);
			buf_release(&masked);
			buf_release(&got);
		}
}
END_TEST

static Suite *http_suite(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, fields_of_a_form);
	tcase_add_test(t, reads_a_head);
	tcase_add_test(t, refuses_what_is_doubtful);
	tcase_add_test(t, splits_do_not_matter);
	tcase_add_test(t, chunks);
	tcase_add_test(t, forwarded);
	tcase_add_test(t, frames_come_back);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(http_suite());

	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
