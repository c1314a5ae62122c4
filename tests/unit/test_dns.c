/* test_dns.c - records as they are on the wire, and the order of SRV records. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/dial.h"
#include "server/dns.h"

static struct dns_answer *a;

static void setup(void)
{
	a = calloc(1, sizeof *a);
}

static void teardown(void)
{
	free(a);
}

static bool take(enum dns_type type, const char *data, size_t len)
{
	return dns_take(a, type, (const unsigned char *)data, len);
}

START_TEST(reads_addresses)
{
	char text[IP_TEXT_SIZE];

	ck_assert(take(DNS_A, "\xc0\x00\x02\x01", 4));
	ck_assert(take(DNS_AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16));
	ck_assert_uint_eq(a->count, 2);
	ip_format(&a->record[0].ip, text);
	ck_assert_str_eq(text, "192.0.2.1");
	ip_format(&a->record[1].ip, text);
	ck_assert_str_eq(text, "2001:db8::1");
	ck_assert(!take(DNS_A, "\xc0\x00\x02", 3));
	ck_assert(!take(DNS_AAAA, "\xc0\x00\x02\x01", 4));
	ck_assert_uint_eq(a->count, 2);
}
END_TEST

START_TEST(reads_services)
{
	ck_assert(take(DNS_SRV, "\0\x05\0\x0a\x14\x95\4Xmpp\7example\0", 6 + 14));
	ck_assert_str_eq(a->record[0].srv.target, "xmpp.example");
	ck_assert_uint_eq(a->record[0].srv.priority, 5);
	ck_assert_uint_eq(a->record[0].srv.weight, 10);
	ck_assert_uint_eq(a->record[0].srv.port, 5269);
	ck_assert(take(DNS_SRV, "\0\0\0\0\0\0\0", 7));
	ck_assert_str_eq(a->record[1].srv.target, "");
}
END_TEST

START_TEST(refuses_what_is_no_record)
{
	char longest[300];

	ck_assert(!take(DNS_SRV, "", 0));
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0", 6));                    /* no name */
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\4xmpp", 11));             /* no end */
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\x7fxmpp\0", 12));         /* a label beyond the end */
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\xc0\x0c", 8));            /* compressed */
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\4xm p\0", 12));           /* no host's name */
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\4xm.p\0", 12));
	ck_assert(!take(DNS_SRV, "\0\0\0\0\0\0\4xmpp\0x", 13));          /* more behind it */
	memset(longest, 0, sizeof longest);
	for (size_t at = 6; at + 64 < sizeof longest; at += 64) {
		longest[at] = 63;
		memset(longest + at + 1, 'a', 63);
	}
	ck_assert(!take(DNS_SRV, longest, 6 + 4 * 64 + 1));              /* longer than a name can be */
	ck_assert(take(DNS_SRV, longest + 64, 0) == false);
	ck_assert_uint_eq(a->count, 0);
}
END_TEST

START_TEST(reads_tlsa)
{
	char data[DNS_TLSA_MAX + 4] = { 3, 1, 1 };

	ck_assert(take(DNS_TLSA, data, 35));
	ck_assert_uint_eq(a->record[0].tlsa.usage, 3);
	ck_assert_uint_eq(a->record[0].tlsa.len, 32);
	ck_assert(!take(DNS_TLSA, data, 3));
	ck_assert(take(DNS_TLSA, data, DNS_TLSA_MAX + 3));
	ck_assert(!take(DNS_TLSA, data, DNS_TLSA_MAX + 4));
}
END_TEST

START_TEST(keeps_no_more_than_it_can)
{
	for (unsigned i = 0; i < DNS_RECORDS; i++)
		ck_assert(take(DNS_A, "\1\2\3\4", 4));
	ck_assert(!take(DNS_A, "\1\2\3\4", 4));
	ck_assert_uint_eq(a->count, DNS_RECORDS);
}
END_TEST

static struct dns_srv srv(uint16_t priority, uint16_t weight, const char *target)
{
	struct dns_srv s = { .priority = priority, .weight = weight, .port = 1 };

	strcpy(s.target, target);
	return s;
}

START_TEST(services_are_ordered_by_priority_then_by_chance)
{
	const uint32_t zero[4] = { 0 }, high[4] = { 0, 100, 0, 0 };
	struct dns_srv s[4] = { srv(20, 0, "last"), srv(10, 0, "zero"), srv(10, 100, "heavy"), srv(5, 1, "first") };

	dns_order_srv(s, 4, zero);
	ck_assert_str_eq(s[0].target, "first");
	ck_assert_str_eq(s[1].target, "zero");
	ck_assert_str_eq(s[2].target, "heavy");
	ck_assert_str_eq(s[3].target, "last");
	dns_order_srv(s, 4, high);
	ck_assert_str_eq(s[1].target, "heavy");
	ck_assert_str_eq(s[2].target, "zero");
	dns_order_srv(s, 0, zero);
	dns_order_srv(s, 1, zero);
}
END_TEST

/* Over all chances each is first as often as its weight says. */
START_TEST(weights_are_shares)
{
	unsigned heavy = 0;

	for (uint32_t chance = 0; chance < 4004; chance++) {
		const uint32_t chances[2] = { chance, 0 };
		struct dns_srv s[2] = { srv(1, 25, "light"), srv(1, 75, "heavy") };

		dns_order_srv(s, 2, chances);
		heavy += strcmp(s[0].target, "heavy") == 0;
	}
	ck_assert_uint_gt(heavy, 2900);
	ck_assert_uint_lt(heavy, 3100);
}
END_TEST

START_TEST(knows_addresses_that_are_not_for_everybody)
{
	static const char *const inner[] = { "127.0.0.1", "10.1.2.3", "169.254.169.254", "172.31.0.1", "192.168.1.1", "0.0.0.0",
		"100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1",
		"::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::" };
	static const char *const outer[] = { "8.8.8.8", "172.32.0.1", "193.0.0.1", "2a00::1", "2606:4700::1" };
	struct ip ip;

	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		ck_assert_msg(ip_parse(inner[i], &ip) == STERNA_OK && !dial_is_public(&ip), "%s", inner[i]);
	for (size_t i = 0; i < sizeof outer / sizeof *outer; i++)
		ck_assert_msg(ip_parse(outer[i], &ip) == STERNA_OK && dial_is_public(&ip), "%s", outer[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dns");
	TCase *c = tcase_create("records");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, reads_addresses);
	tcase_add_test(c, reads_services);
	tcase_add_test(c, refuses_what_is_no_record);
	tcase_add_test(c, reads_tlsa);
	tcase_add_test(c, keeps_no_more_than_it_can);
	tcase_add_test(c, services_are_ordered_by_priority_then_by_chance);
	tcase_add_test(c, weights_are_shares);
	tcase_add_test(c, knows_addresses_that_are_not_for_everybody);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
