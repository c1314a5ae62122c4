/* XEP-0115: the verification string of answers, and the cache of features. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/xml.h"
#include "xep/caps_cache.h"

/* The hash of what stands in <query/>; NULL: it has none. */
static const char *ver_of(const char *inner)
{
	static char ver[CAPS_VER_SIZE];
	struct sterna_call c = { 0 };
	struct arena *a = arena_new(4096);
	struct sterna_elem *e = NULL;
	char *text = xasprintf("<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>", inner);

	ck_assert_int_eq(xml_parse(a, text, strlen(text), &e), STERNA_OK);
	const bool ok = caps_ver(&c, e, ver);

	free(text);
	arena_free(&a);
	arena_free(&c.arena);
	return ok ? ver : NULL;
}

START_TEST(simple_client_has_the_hash_of_5_2)
{
	ck_assert_str_eq(ver_of("<feature var='http://jabber.org/protocol/muc'/>"
		"<identity category='client' name='Exodus 0.9.1' type='pc'/>"
		"<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/caps'/>"
		"<feature var='http://jabber.org/protocol/disco#items'/>"), "QgayPKawpkPSDYmwT/WM94uAlu0=");
}
END_TEST

START_TEST(complex_client_has_the_hash_of_5_3)
{
	ck_assert_str_eq(ver_of("<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"
		"<identity xml:lang='el' category='client' name='&#x3A8; 0.11' type='pc'/>"
		"<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>"
		"<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>"
		"<x xmlns='jabber:x:data' type='result'>"
		"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>"
		"<field var='ip_version'><value>ipv6</value><value>ipv4</value></field>"
		"<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>"
		"<field var='software'><value>Psi</value></field>"
		"<field var='software_version'><value>0.11</value></field></x>"), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
}
END_TEST

START_TEST(feature_that_begins_another_comes_first)
{
	const char *order = "<feature var='urn:a'/><feature var='urn:a#b'/>";
	char ver[CAPS_VER_SIZE];

	strcpy(ver, ver_of(order)); /* of "urn:a<urn:a#b<", which another program has made */
	ck_assert_str_eq(ver, "WIhlzg32M8j3JLSEzGBFfvqC+vM=");
	ck_assert_str_eq(ver_of("<feature var='urn:a#b'/><feature var='urn:a'/>"), ver);
}
END_TEST

START_TEST(doubles_are_not_well_formed)
{
	ck_assert_ptr_null(ver_of("<feature var='a'/><feature var='a'/>"));
	ck_assert_ptr_null(ver_of("<identity category='c' type='t'/><identity category='c' type='t'/>"));
	ck_assert_ptr_null(ver_of("<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field></x>"
		"<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field>"
		"<field var='v'><value>1</value></field></x>"));
	ck_assert_ptr_null(ver_of("<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value>"
		"<value>b</value></field></x>"));
	ck_assert_ptr_null(ver_of("<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field>"
		"<field var='FORM_TYPE' type='hidden'><value>b</value></field></x>"));
}
END_TEST

START_TEST(form_without_hidden_type_does_not_count)
{
	char plain[CAPS_VER_SIZE];

	strcpy(plain, ver_of("<feature var='a'/>"));
	ck_assert_str_eq(ver_of("<feature var='a'/><x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>f</value></field></x>"),
		plain);
	ck_assert_str_eq(ver_of("<feature var='a'/><x xmlns='jabber:x:data'><field var='v'><value>f</value></field></x>"), plain);
}
END_TEST

START_TEST(cache_forgets_what_was_not_used_for_longest)
{
	struct caps_cache *cache = caps_cache_new(4); /* one set */
	char name[] = "0", *features;

	for (; *name < '4'; ++*name) {
		features = xstrdup("\nurn:a\nurn:a+notify\n");
		caps_cache_put(cache, name, &features);
		ck_assert_ptr_null(features);
	}
	ck_assert(caps_cache_knows(cache, "0"));
	features = xstrdup("\n");
	caps_cache_put(cache, "4", &features);
	ck_assert(caps_cache_knows(cache, "0"));
	ck_assert(!caps_cache_knows(cache, "1"));
	ck_assert(caps_cache_has(cache, "0", "urn:a+notify"));
	ck_assert(caps_cache_has(cache, "0", "urn:a"));
	ck_assert(!caps_cache_has(cache, "0", "urn:"));
	ck_assert(!caps_cache_has(cache, "0", ""));
	ck_assert(!caps_cache_has(cache, "4", "urn:a"));
	caps_cache_free(&cache);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("caps");
	TCase *t = tcase_create("caps");

	tcase_add_test(t, simple_client_has_the_hash_of_5_2);
	tcase_add_test(t, complex_client_has_the_hash_of_5_3);
	tcase_add_test(t, feature_that_begins_another_comes_first);
	tcase_add_test(t, doubles_are_not_well_formed);
	tcase_add_test(t, form_without_hidden_type_does_not_count);
	tcase_add_test(t, cache_forgets_what_was_not_used_for_longest);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
