/* test_jid.c - RFC 7622: its examples, where a JID is cut, the limits of its parts, domains. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include "server/jid.h"
#include "server/utf.h"

static struct jid *parsed(const char *text)
{
	struct jid *j = NULL;

	ck_assert_msg(jid_parse(text, strlen(text), &j) == STERNA_OK, "refused: %s", text);
	return j;
}

static void same(const char *text, const char *normal)
{
	struct jid *j = parsed(text);

	ck_assert_str_eq(jid_full(j), normal);
	jid_unref(&j);
	ck_assert_ptr_null(j);
}

static void refused(const char *text)
{
	struct jid *j = NULL;

	ck_assert_msg(jid_parse(text, strlen(text), &j) != STERNA_OK, "accepted: %s", text);
	ck_assert_ptr_null(j);
}

static const char *or_none(const char *s)
{
	return s != NULL ? s : "(none)";
}

START_TEST(accepts_the_examples_of_rfc7622)
{
	static const struct {
		const char *text, *full, *bare, *local, *domain, *resource;
	} ex[] = {
#define NONE "(none)"
#define AT "@example.com"
		{ "juliet" AT, "juliet" AT, "juliet" AT, "juliet", "example.com", NONE },
		{ "juliet" AT "/foo", "juliet" AT "/foo", "juliet" AT, "juliet", "example.com", "foo" },
		{ "juliet" AT "/foo bar", "juliet" AT "/foo bar", "juliet" AT, "juliet", "example.com", "foo bar" },
		{ "juliet" AT "/foo@bar", "juliet" AT "/foo@bar", "juliet" AT, "juliet", "example.com", "foo@bar" },
		{ "foo\\20bar" AT, "foo\\20bar" AT, "foo\\20bar" AT, "foo\\20bar", "example.com", NONE },
		{ "fussball" AT, "fussball" AT, "fussball" AT, "fussball", "example.com", NONE },
		{ "fu\u00dfball" AT, "fu\u00dfball" AT, "fu\u00dfball" AT, "fu\u00dfball", "example.com", NONE },
		{ "\u03c0" AT, "\u03c0" AT, "\u03c0" AT, "\u03c0", "example.com", NONE },
		{ "\u03a3" AT "/foo", "\u03c3" AT "/foo", "\u03c3" AT, "\u03c3", "example.com", "foo" },
		{ "\u03c3" AT "/foo", "\u03c3" AT "/foo", "\u03c3" AT, "\u03c3", "example.com", "foo" },
		{ "\u03c2" AT "/foo", "\u03c2" AT "/foo", "\u03c2" AT, "\u03c2", "example.com", "foo" },
		{ "king" AT "/\u265a", "king" AT "/\u265a", "king" AT, "king", "example.com", "\u265a" },
		{ "example.com", "example.com", "example.com", NONE, "example.com", NONE },
		{ "example.com/foobar", "example.com/foobar", "example.com", NONE, "example.com", "foobar" },
		{ "a.example.com/b@example.net", "a.example.com/b@example.net", "a.example.com", NONE,
			"a.example.com", "b@example.net" },
	};

	for (size_t i = 0; i < sizeof ex / sizeof *ex; i++) {
		struct jid *j = parsed(ex[i].text);

		ck_assert_str_eq(jid_full(j), ex[i].full);
		ck_assert_str_eq(jid_bare(j), ex[i].bare);
		ck_assert_str_eq(or_none(jid_local(j)), ex[i].local);
		ck_assert_str_eq(jid_domain(j), ex[i].domain);
		ck_assert_str_eq(or_none(jid_resource(j)), ex[i].resource);
		jid_unref(&j);
	}
}
END_TEST

/* Example 18, a leading space in the resourcepart, is legal by the rules (RFC errata 4560). */
START_TEST(refuses_the_examples_of_rfc7622)
{
	static const char *const bad[] = {
		"\"juliet\"@example.com", "foo bar@example.com", "@example.com/", "henry\u2163@example.com",
		"\u265a@example.com", "juliet@", "/foobar",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(bad[i]);
	same("juliet@example.com/ foo", "juliet@example.com/ foo");
}
END_TEST

START_TEST(cuts_at_the_first_slash_then_at_the_first_at)
{
	same("a@b/c@d/e", "a@b/c@d/e");
	same("a@b//", "a@b//");
	same("b/@", "b/@");
	refused("a@b@c");
	refused("@b");
	refused("a@/c");
	refused("a@b/");
	refused("");
	refused("@");
	refused("/");
	refused("a@\xef\xbc\x8f");           /* fullwidth solidus makes no resource */
	refused("a\xef\xbc\xa0" "b@c");      /* fullwidth at is no separator, nor part of a local */
	refused("a\xef\xb9\xab" "b@c");      /* small at */
	refused("a@b\xef\xbc\xa0" "c");
	refused("a@b\xe2\x84\x80" "c");      /* ACCOUNT OF: "a/c" */
}
END_TEST

START_TEST(maps_case_and_width_of_local_and_domain_only)
{
	same("JULIET@EXAMPLE.COM/Balcony", "juliet@example.com/Balcony");
	same("\uff2a\uff35\uff2c\uff29\uff25\uff34@\uff25x.com/\uff21", "juliet@ex.com/\uff21");
	same("e\u0301@example.com/e\u0301\u00a0x", "\u00e9@example.com/\u00e9 x");
}
END_TEST

START_TEST(refuses_what_no_part_may_hold)
{
	static const char locals[] = "\"&'/:<>@ \x7f\t\n\x01";
	char text[32];

	for (const char *c = locals; *c != '\0'; c++) {
		snprintf(text, sizeof text, "a%cb@example.com", *c);
		if (*c != '/')
			refused(text);
	}
	for (int c = 1; c < 0x20; c++) {
		snprintf(text, sizeof text, "a@example.com/x%c", c);
		refused(text);
	}
	refused("a@example.com/\x7f");
	refused("a@example.com/\xc0\x80");
	refused("a@example.com/\xed\xa0\x80");
	refused("\xff@example.com");
	refused("a@\xff" "example.com");
	struct jid *j = NULL;
	ck_assert_int_eq(jid_parse("a\0b@c", 5, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_parse("ab@c\0d", 6, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_parse("ab@\u00e9\0d", 7, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_parse("ab@c/\0", 6, &j), STERNA_EINVAL);
}
END_TEST

static enum sterna_result with_parts(size_t local, size_t resource, const char *unit)
{
	static char l[4096], r[4096];
	struct jid *j = NULL;
	const size_t u = strlen(unit);

	for (size_t i = 0; i + u <= local; i += u)
		memcpy(l + i, unit, u + 1);
	memset(r, 'R', resource);
	r[resource] = '\0';
	const enum sterna_result rc = jid_make(l, "example.com", r, &j);

	if (rc == STERNA_OK) {
		ck_assert_uint_eq(strlen(jid_local(j)), local);
		ck_assert_uint_eq(strlen(jid_resource(j)), resource);
		ck_assert_uint_eq(strlen(jid_full(j)), local + resource + 13);
	}
	jid_unref(&j);
	return rc;
}

START_TEST(parts_hold_1023_bytes_and_no_more)
{
	ck_assert_int_eq(with_parts(1023, 1023, "a"), STERNA_OK);
	ck_assert_int_eq(with_parts(1024, 1, "a"), STERNA_ELIMIT);
	ck_assert_int_eq(with_parts(1, 1024, "a"), STERNA_ELIMIT);
	ck_assert_int_eq(with_parts(4000, 1, "a"), STERNA_ELIMIT);
	ck_assert_int_eq(with_parts(1022, 1, "\u00e9"), STERNA_OK);
	ck_assert_int_eq(with_parts(1024, 1, "\u00e9"), STERNA_ELIMIT);
}
END_TEST

START_TEST(domains_hold_1023_bytes_and_labels_63)
{
	char d[1100];
	struct jid *j = NULL;

	for (int i = 0; i < 1024; i++)
		d[i] = i % 64 == 63 ? '.' : 'd';
	d[1023] = '\0';
	ck_assert_int_eq(jid_parse(d, 1023, &j), STERNA_OK);
	ck_assert_uint_eq(strlen(jid_domain(j)), 1023);
	jid_unref(&j);
	memcpy(d + 1023, ".", 2);            /* with the dot that goes */
	ck_assert_int_eq(jid_parse(d, 1024, &j), STERNA_OK);
	jid_unref(&j);
	memcpy(d + 1023, ".d", 3);
	ck_assert_int_eq(jid_parse(d, 1025, &j), STERNA_ELIMIT);
	memset(d, 'd', 64);
	memcpy(d + 64, ".example", 9);
	refused(d);
	same(d + 1, d + 1);
}
END_TEST

START_TEST(a_text_over_3071_bytes_is_no_jid)
{
	char text[3073];
	struct jid *j = NULL;

	memset(text, 'x', sizeof text);
	ck_assert_int_eq(jid_parse(text, 3072, &j), STERNA_ELIMIT);
	for (int i = 0; i < 1023; i++)
		text[1024 + i] = i % 2 ? '.' : 'd';
	text[1023] = '@';
	text[2047] = '/';
	ck_assert_int_eq(jid_parse(text, 3071, &j), STERNA_OK);
	ck_assert_uint_eq(strlen(jid_full(j)), 3071);
	ck_assert_uint_eq(strlen(jid_bare(j)), 2047);
	jid_unref(&j);
}
END_TEST

START_TEST(domains_are_u_labels)
{
	same("B\u00fccher.Example", "b\u00fccher.example");
	same("xn--bcher-kva.example", "b\u00fccher.example");
	same("XN--BCHER-KVA.example", "b\u00fccher.example");
	same("fa\u00df.de", "fa\u00df.de");                    /* not transitional: no "fass" */
	same("xn--fa-hia.de", "fa\u00df.de");
	same("\uff45\uff58.com", "ex.com");
	same("\uff58\uff4e--bcher-kva.example", "b\u00fccher.example");
	same("bu\u0308cher.example", "b\u00fccher.example");
	same("a\u3002b\uff0ec\uff61", "a.b.c");
	same("example.com.", "example.com");
	same("l\u00b7l.example", "l\u00b7l.example");
	same("\u05d0\u05d1.\u05d2", "\u05d0\u05d1.\u05d2");
	same("localhost", "localhost");
	same("a--b.example", "a--b.example");
}
END_TEST

START_TEST(refuses_what_is_no_domain)
{
	static const char *const bad[] = {
		".", "..", "a..b", ".a", "a..", "-a", "a-", "-", "a_b", "a b", "a!b", "ab--cd.example",
		"xn--", "xn--a", "xn--999999999999", "xn--abc-", "xn--bcher-kv", "xn---", "xn--\u00fc",
		"xn--Fa-hia\u00df", "xn--wca", "xn--B-6ea", "xn--jm6c", "xn--oh7c", "xn--e-xbb", "xn--a-qib",
		"b\uff20c", "b\uff0fc", "b\u2100c", "a\uff3fb", "\u00f6\uff3f", "a\u2260b", "\u00f6\u2260", "\u3002", "a\u3002\u3002b",
		"\u265a.example",                      /* a symbol: in UTS 46, not in IDNA2008 */
		"xn--45h.example",                     /* the same in ACE */
		"a\u00b7b.example", "\u0301a.example", "a\u200db.example",
		"\u05d0a.example", "1.\u05d0", "a\u05d0", "\u0660\u06f0.example",
		"\u0378.example",                      /* unassigned */
		"::1", "[::1", "::1]", "[]",
		"[1.2.3.4]", "[::1%eth0]",
		"[::g]", "[v1.x]", "[::1]x", "localhost:22",
		"a\u2024b", "\u2488com",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(bad[i]);
}
END_TEST

/* Between two letters: nothing turns into a separator, and what is refused does not just vanish. */
START_TEST(every_code_point_in_a_domain_is_mapped_once)
{
	for (UChar32 c = 1; c <= 0x10FFFF; c++) {
		char in[8] = "b", once[64], twice[64];
		int32_t n = 1;

		n += utf8_put(in + n, c);
		in[n++] = 'c';
		if (precis_domain(in, (size_t)n, once, sizeof once) != STERNA_OK)
			continue;
		ck_assert_msg(strpbrk(once, "@/:[]_ ") == NULL, "U+%04X", (unsigned)c);
		ck_assert_msg(strcmp(once, "bc") != 0 || u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) ||
			u_charType(c) == U_FORMAT_CHAR, "U+%04X vanishes", (unsigned)c);
		ck_assert_msg(precis_domain(once, strlen(once), twice, sizeof twice) == STERNA_OK &&
			strcmp(once, twice) == 0, "U+%04X is not stable", (unsigned)c);
	}
}
END_TEST

START_TEST(an_ip_address_is_a_domain)
{
	same("a@127.0.0.1/r", "a@127.0.0.1/r");
	same("[2001:0DB8:0::0001]", "[2001:db8::1]");
	same("a@[::1]/x", "a@[::1]/x");
}
END_TEST

START_TEST(gives_its_bare_its_domain_and_siblings)
{
	struct jid *j = parsed("Romeo@example.net/orchard"), *bare = jid_to_bare(j), *domain = jid_to_domain(j);
	struct jid *other = NULL, *same_bare = jid_to_bare(bare), *same_domain = jid_to_domain(domain);

	ck_assert_str_eq(jid_full(bare), "romeo@example.net");
	ck_assert_ptr_null(jid_resource(bare));
	ck_assert_str_eq(jid_full(domain), "example.net");
	ck_assert_ptr_null(jid_local(domain));
	ck_assert_ptr_eq(bare, same_bare);
	ck_assert_ptr_eq(domain, same_domain);
	ck_assert_int_eq(jid_with_resource(bare, "Gar\u00a0ten", &other), STERNA_OK);
	ck_assert_str_eq(jid_full(other), "romeo@example.net/Gar ten");
	ck_assert(jid_bare_equal(j, other) && !jid_equal(j, other) && jid_bare_equal(j, bare));
	ck_assert(!jid_equal(j, bare) && !jid_equal(j, NULL) && jid_equal(NULL, NULL) && jid_equal(j, j));
	ck_assert_uint_eq(jid_hash(j), jid_hash(other));
	jid_unref(&other);
	ck_assert_int_eq(jid_with_resource(bare, "", &other), STERNA_EINVAL);
	ck_assert_int_eq(jid_with_resource(domain, "x", &other), STERNA_OK);
	ck_assert_str_eq(jid_full(other), "example.net/x");
	jid_unref(&other);
	jid_unref(&same_bare);
	jid_unref(&same_domain);
	jid_unref(&bare);
	jid_unref(&domain);
	jid_unref(&j);
	jid_unref(&j);
	ck_assert_ptr_null(jid_ref(NULL));
}
END_TEST

START_TEST(makes_from_parts_that_are_not_prepared)
{
	struct jid *j = NULL;

	ck_assert_int_eq(jid_make("Ju", "EX.com.", "R", &j), STERNA_OK);
	ck_assert_str_eq(jid_full(j), "ju@ex.com/R");
	jid_unref(&j);
	ck_assert_int_eq(jid_make(NULL, "ex.com", NULL, &j), STERNA_OK);
	ck_assert_str_eq(jid_full(j), "ex.com");
	jid_unref(&j);
	ck_assert_int_eq(jid_make("", "ex.com", NULL, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_make(NULL, "ex.com", "", &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_make("a", "", NULL, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_make("a", NULL, NULL, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_make("a/b", "c", NULL, &j), STERNA_EINVAL);
	ck_assert_int_eq(jid_make("a", "b/c", NULL, &j), STERNA_EINVAL);
	ck_assert_ptr_null(j);
}
END_TEST

/* The shard of an account hangs on these: they never change. */
START_TEST(the_hash_is_the_same_everywhere)
{
	struct jid *j = parsed("juliet@example.com/x"), *k = parsed("example.com");

	ck_assert_uint_eq(jid_hash(j), UINT32_C(0x89ab1b79));
	ck_assert_uint_eq(jid_hash(k), UINT32_C(0xf1d5a1b3));
	jid_unref(&j);
	jid_unref(&k);
}
END_TEST

START_TEST(the_hash_spreads_accounts_over_shards)
{
	unsigned count[64] = { 0 };
	char text[40];

	for (int i = 0; i < 64000; i++) {
		snprintf(text, sizeof text, "user%d@example.com", i);
		struct jid *j = parsed(text);

		count[jid_hash(j) % 64]++;
		jid_unref(&j);
	}
	for (int i = 0; i < 64; i++)
		ck_assert_msg(count[i] > 850 && count[i] < 1150, "shard %d: %u", i, count[i]);
}
END_TEST

static void *hold_and_drop(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		struct jid *mine = jid_ref(arg);

		jid_unref(&mine);
	}
	return NULL;
}

START_TEST(is_shared_between_threads)
{
	struct jid *j = parsed("a@b/c");
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, hold_and_drop, j), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	ck_assert_str_eq(jid_full(j), "a@b/c");
	jid_unref(&j);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jid");
	TCase *t = tcase_create("jid");

	tcase_set_timeout(t, 600);          /* all of Unicode, on a machine that is busy */
	tcase_add_test(t, accepts_the_examples_of_rfc7622);
	tcase_add_test(t, refuses_the_examples_of_rfc7622);
	tcase_add_test(t, cuts_at_the_first_slash_then_at_the_first_at);
	tcase_add_test(t, maps_case_and_width_of_local_and_domain_only);
	tcase_add_test(t, refuses_what_no_part_may_hold);
	tcase_add_test(t, parts_hold_1023_bytes_and_no_more);
	tcase_add_test(t, domains_hold_1023_bytes_and_labels_63);
	tcase_add_test(t, a_text_over_3071_bytes_is_no_jid);
	tcase_add_test(t, domains_are_u_labels);
	tcase_add_test(t, refuses_what_is_no_domain);
	tcase_add_test(t, every_code_point_in_a_domain_is_mapped_once);
	tcase_add_test(t, an_ip_address_is_a_domain);
	tcase_add_test(t, gives_its_bare_its_domain_and_siblings);
	tcase_add_test(t, makes_from_parts_that_are_not_prepared);
	tcase_add_test(t, the_hash_is_the_same_everywhere);
	tcase_add_test(t, the_hash_spreads_accounts_over_shards);
	tcase_add_test(t, is_shared_between_threads);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
