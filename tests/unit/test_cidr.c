/* test_cidr.c - addresses and networks. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/cidr.h"

static bool in(const char *network, const char *address)
{
	struct cidr c;
	struct ip ip;

	ck_assert_int_eq(cidr_parse(network, &c), STERNA_OK);
	ck_assert_int_eq(ip_parse(address, &ip), STERNA_OK);
	return cidr_has(&c, &ip);
}

START_TEST(a_network_has_its_addresses_and_no_others)
{
	ck_assert(in("192.0.2.0/24", "192.0.2.0"));
	ck_assert(in("192.0.2.0/24", "192.0.2.255"));
	ck_assert(!in("192.0.2.0/24", "192.0.3.0"));
	ck_assert(in("192.0.2.128/25", "192.0.2.200"));
	ck_assert(!in("192.0.2.128/25", "192.0.2.127"));
	ck_assert(in("192.0.2.1", "192.0.2.1"));
	ck_assert(!in("192.0.2.1", "192.0.2.0"));
	ck_assert(in("0.0.0.0/0", "203.0.113.9"));
	ck_assert(!in("0.0.0.0/0", "2001:db8::1"));
	ck_assert(in("2001:db8::/32", "2001:db8:ffff::1"));
	ck_assert(!in("2001:db8::/32", "2001:db9::"));
	ck_assert(in("::/0", "2001:db8::1"));
	ck_assert(in("2001:db8::1", "2001:db8::1"));
	ck_assert(in("2001:db8:0:8000::/49", "2001:db8:0:8000::1"));
	ck_assert(!in("2001:db8:0:8000::/49", "2001:db8:0:7fff::1"));
}
END_TEST

START_TEST(an_ipv4_address_is_the_same_in_either_family)
{
	ck_assert(in("192.0.2.0/24", "::ffff:192.0.2.7"));
	ck_assert(in("::ffff:192.0.2.0/120", "192.0.2.7"));
}
END_TEST

START_TEST(nonsense_is_no_network)
{
	static const char *const bad[] = { "", "/", "/8", "192.0.2.0/", "192.0.2.0/33", "192.0.2.1/24", "192.0.2.0/-1",
		"192.0.2.0/+8", "192.0.2.0/ 24", "192.0.2.0/024", "192.0.2.0/24x", "192.0.2/24", "192.0.2.0.0", "example.net",
		"2001:db8::/129", "2001:db8::1/32", "2001:db8::/9999", "fe80::1%eth0",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/16" };
	struct cidr c;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(cidr_parse(bad[i], &c) == STERNA_EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(a_set_has_what_was_added)
{
	struct cidr_set s = CIDR_SET_INIT;
	struct ip ip;

	ck_assert_int_eq(ip_parse("10.1.2.3", &ip), STERNA_OK);
	ck_assert(!cidr_set_has(&s, &ip));
	ck_assert(!cidr_set_has(NULL, &ip));
	ck_assert_int_eq(cidr_set_add(&s, "192.168.0.0/16"), STERNA_OK);
	ck_assert_int_eq(cidr_set_add(&s, "nonsense"), STERNA_EINVAL);
	ck_assert(!cidr_set_has(&s, &ip));
	ck_assert_int_eq(cidr_set_add(&s, "10.0.0.0/8"), STERNA_OK);
	ck_assert(cidr_set_has(&s, &ip));
	cidr_set_clear(&s);
	ck_assert(!cidr_set_has(&s, &ip));
}
END_TEST

START_TEST(a_mask_makes_a_key)
{
	struct ip a, b;

	ck_assert_int_eq(ip_parse("2001:db8:1:2:3::4", &a), STERNA_OK);
	ck_assert_int_eq(ip_parse("2001:db8:1:2::", &b), STERNA_OK);
	a = ip_mask(&a, 64);
	ck_assert(ip_equal(&a, &b));
	b = ip_mask(&b, 128);
	ck_assert(ip_equal(&a, &b));
	b = ip_mask(&b, 0);
	ck_assert_int_eq(ip_parse("::", &a), STERNA_OK);
	ck_assert(ip_equal(&a, &b));
}
END_TEST

START_TEST(peers_are_written_as_logs_want_them)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(5222) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(65535) };
	struct sockaddr un = { .sa_family = AF_UNIX };
	char text[IP_TEXT_SIZE];
	struct ip ip;

	inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
	ip_format_peer((struct sockaddr *)&v4, text);
	ck_assert_str_eq(text, "192.0.2.1:5222");
	inet_pton(AF_INET6, "2001:db8:1111:2222:3333:4444:5555:6666", &v6.sin6_addr);
	ip_format_peer((struct sockaddr *)&v6, text);
	ck_assert_str_eq(text, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);
	ip_format_peer((struct sockaddr *)&v6, text);
	ck_assert_str_eq(text, "192.0.2.1:65535");
	ck_assert(ip_from_sockaddr((struct sockaddr *)&v6, &ip) && ip_is_v4(&ip));
	ck_assert_uint_eq(ip_port((struct sockaddr *)&v6), 65535);
	ip_format_peer(&un, text);
	ck_assert_str_eq(text, "unix");
	ck_assert(!ip_from_sockaddr(&un, &ip));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cidr");
	TCase *tc = tcase_create("cidr");

	tcase_add_test(tc, a_network_has_its_addresses_and_no_others);
	tcase_add_test(tc, an_ipv4_address_is_the_same_in_either_family);
	tcase_add_test(tc, nonsense_is_no_network);
	tcase_add_test(tc, a_set_has_what_was_added);
	tcase_add_test(tc, a_mask_makes_a_key);
	tcase_add_test(tc, peers_are_written_as_logs_want_them);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
