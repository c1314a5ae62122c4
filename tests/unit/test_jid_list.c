/* Lists of JIDs: what block lists and archive preferences match (XEP-0191 §5). */
#include <check.h>
#include <string.h>
#include "xep/jid_list.h"

static bool matches(const struct jid_list *l, const char *text)
{
	struct jid *j = NULL;

	ck_assert_int_eq(jid_parse(text, strlen(text), &j), STERNA_OK);
	const bool found = jid_list_matches(l, j);

	jid_unref(&j);
	return found;
}

START_TEST(items_are_there_once)
{
	struct jid_list l = { 0 };

	ck_assert(jid_list_add(&l, "b@x"));
	ck_assert(jid_list_add(&l, "a@x"));
	ck_assert(!jid_list_add(&l, "b@x"));
	ck_assert_uint_eq(l.count, 2);
	ck_assert_str_eq(l.item[0], "a@x");
	ck_assert(jid_list_remove(&l, "a@x"));
	ck_assert(!jid_list_remove(&l, "a@x"));
	ck_assert(jid_list_has(&l, "b@x"));
	jid_list_clear(&l);
	ck_assert_uint_eq(l.count, 0);
	jid_list_clear(&l);
}
END_TEST

START_TEST(item_matches_by_what_it_names)
{
	static const struct {
		const char *item, *jid;
		bool match;
	} cases[] = {
		{ "u@d/r", "u@d/r", true }, { "u@d/r", "u@d/s", false }, { "u@d/r", "u@d", false },
		{ "u@d", "u@d/r", true }, { "u@d", "u@d", true }, { "u@d", "v@d/r", false }, { "u@d", "d", false },
		{ "d", "d", true }, { "d", "u@d", true }, { "d", "u@d/r", true }, { "d", "d/r", true }, { "d", "e.d", false },
		{ "d/r", "d/r", true }, { "d/r", "d/s", false }, { "d/r", "d", false }, { "d/r", "u@d/s", false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct jid_list l = { 0 };

		jid_list_add(&l, "a@a");
		jid_list_add(&l, cases[i].item);
		jid_list_add(&l, "z@z");
		ck_assert_msg(matches(&l, cases[i].jid) == cases[i].match, "%s and %s", cases[i].item, cases[i].jid);
		jid_list_clear(&l);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jid_list");
	TCase *t = tcase_create("jid_list");

	tcase_add_test(t, items_are_there_once);
	tcase_add_test(t, item_matches_by_what_it_names);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
