/* test_bench.c - the load generator's own parts: what it counts must be right. */
#include <check.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "tests/bench/hist.h"
#include "tests/bench/scan.h"
#include "tests/bench/scram.h"

static const char stream[] =
	"<?xml version='1.0'?><stream:stream from='a>b' xmlns='jabber:client'>"
	"<stream:features><a/><b>t</b></stream:features> <message a=\"'>\"><body>x &gt; y</body></message><r/>"
	"</stream:stream>";

static const enum scan_found finds[] = { SCAN_STREAM, SCAN_STANZA, SCAN_STANZA, SCAN_STANZA, SCAN_END };

START_TEST(a_stream_is_cut_the_same_at_every_split)
{
	const size_t whole = sizeof stream - 1;

	for (size_t split = 0; split <= whole; split++) {
		struct scan s = { 0 };
		size_t at = 0, end = 0, n = 0;

		for (size_t have = split; have <= whole; have += whole - split > 0 ? whole - split : 1)
			for (enum scan_found f; (f = scan_next(&s, stream + at, have - at, &end)) != SCAN_MORE; at += end) {
				ck_assert_uint_lt(n, sizeof finds / sizeof *finds);
				ck_assert_int_eq(f, finds[n++]);
			}
		ck_assert_uint_eq(n, sizeof finds / sizeof *finds);
		ck_assert_uint_eq(at, whole);
	}
}
END_TEST

START_TEST(a_histogram_is_right_within_a_hundredth)
{
	struct hist *h = calloc(1, sizeof *h);

	ck_assert_uint_eq(hist_at(h, .99), 0);
	for (uint64_t v = 1; v <= 100000; v++)
		hist_add(h, v);
	ck_assert_uint_eq(hist_at(h, 0.0001), 10);
	ck_assert_uint_ge(hist_at(h, .5), 50000);
	ck_assert_uint_le(hist_at(h, .5), 50500);
	ck_assert_uint_ge(hist_at(h, .999), 99900);
	ck_assert_uint_eq(hist_at(h, 1), 100000);
	hist_add(h, UINT64_MAX);
	ck_assert_uint_eq(h->max, UINT64_MAX);
	free(h);
}
END_TEST

/* RFC 5802 §5 */
START_TEST(scram_answers_as_in_the_rfc)
{
	static const char server[] = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
	static const char want[] =
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
	static const char ends[] = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=";
	struct scram s = { .nonce = "fyko+d2lbbFgONRv9qkxdawL", .first_bare = "n=user,r=fyko+d2lbbFgONRv9qkxdawL" };
	struct scram_cache cache = { 0 };
	char challenge[256], answer[512], text[512] = "", end[64];

	const int n = EVP_EncodeBlock((unsigned char *)challenge, (const unsigned char *)server, sizeof server - 1);
	const size_t len = scram_answer(&s, &cache, "pencil", challenge, (size_t)n, answer, sizeof answer);

	ck_assert_uint_gt(len, 0);
	EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)answer, (int)len);
	ck_assert_str_eq(text, want);
	const int m = EVP_EncodeBlock((unsigned char *)end, (const unsigned char *)ends, sizeof ends - 1);

	ck_assert(scram_verify(&s, end, (size_t)m));
	end[5]++;
	ck_assert(!scram_verify(&s, end, (size_t)m));
	s.nonce[0]++; /* not our nonce in the challenge */
	ck_assert_uint_eq(scram_answer(&s, &cache, "pencil", challenge, (size_t)n, answer, sizeof answer), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench");
	TCase *all = tcase_create("all");

	tcase_add_test(all, a_stream_is_cut_the_same_at_every_split);
	tcase_add_test(all, a_histogram_is_right_within_a_hundredth);
	tcase_add_test(all, scram_answers_as_in_the_rfc);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
