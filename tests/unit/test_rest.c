/* test_rest.c - the API's values: queries, bodies, pages, problems; what tokens and scopes are. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/api_token.h"
#include "server/rest_answer.h"

static json_t *fields_of(const char *query, struct rest_page *p)
{
	const char *why = NULL;
	json_t *fields = NULL;

	ck_assert_int_eq(rest_query(query, 50, p, &fields, &why), STERNA_OK);
	return fields;
}

START_TEST(a_query_is_fields)
{
	struct rest_page p = { .size = 10 };
	json_t *fields = fields_of("jid=a%40b+c&x=1&&x=2&empty=&flag&page=3&page-size=50", &p);

	ck_assert_str_eq(json_string_value(json_object_get(fields, "jid")), "a@b c");
	ck_assert_uint_eq(json_array_size(json_object_get(fields, "x")), 2);
	ck_assert_str_eq(json_string_value(json_object_get(fields, "empty")), "");
	ck_assert_str_eq(json_string_value(json_object_get(fields, "flag")), "");
	ck_assert(json_object_get(fields, "page") == NULL);
	ck_assert(p.number == 3 && p.size == 50);
	json_decref(fields);
}
END_TEST

START_TEST(a_broken_query_is_refused_with_what_is_wrong)
{
	static const struct { const char *query, *why; } rows[] = { { "a=%", "query" }, { "a=%4", "query" }, { "a=%g0", "query" },
		{ "a=%00", "query" }, { "%=a", "query" }, { "a=%ff", "query" }, { "page=", "page" }, { "page=-1", "page" },
		{ "page=1000000", "page" }, { "page-size=0", "page-size" }, { "page-size=51", "page-size" } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rest_page p = { .size = 10 };
		const char *why = NULL;
		json_t *fields = NULL;

		ck_assert_int_eq(rest_query(rows[i].query, 50, &p, &fields, &why), STERNA_EINVAL);
		ck_assert_str_eq(why, rows[i].why);
	}
}
END_TEST

START_TEST(results_are_cut_into_pages)
{
	const struct rest_page p = { .number = 1, .size = 2 };
	json_t *result = json_pack("{s:[iiiii], s:[ii], s:s}", "long", 0, 1, 2, 3, 4, "short", 0, 1, "text", "x");
	json_t *all = rest_result(result, &p), *part = json_object_get(all, "result"), *page = json_object_get(all, "page");

	ck_assert_uint_eq(json_array_size(json_object_get(part, "long")), 2);
	ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(part, "long"), 0)), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(part, "short")), 0);
	ck_assert_str_eq(json_string_value(json_object_get(part, "text")), "x");
	ck_assert_int_eq(json_integer_value(json_object_get(page, "total")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(page, "next")), 2);
	json_decref(all);
	json_decref(result);
	all = rest_result(NULL, &p);
	ck_assert(json_is_null(json_object_get(all, "result")) && json_object_get(all, "page") == NULL);
	json_decref(all);
}
END_TEST

START_TEST(scopes_name_commands_by_whole_words)
{
	static const struct sterna_command show = { .name = "user show", .flags = STERNA_COMMAND_READ }, add = { .name = "user add" },
		create = { .name = "api token create" };

	ck_assert(api_scopes_allow("user", &show) && api_scopes_allow("status,user show", &show));
	ck_assert(!api_scopes_allow("use", &show) && !api_scopes_allow("user s", &show) && !api_scopes_allow("", &show));
	ck_assert(!api_scopes_allow("user show more", &show) && !api_scopes_allow(",,", &show));
	ck_assert(api_scopes_allow("read", &show) && !api_scopes_allow("read", &add));
	ck_assert(api_scopes_allow("all", &create) && api_scopes_allow("api token create", &create));
	ck_assert(!api_scopes_allow("api", &create) && !api_scopes_allow("api token", &create));
}
END_TEST

START_TEST(a_token_has_one_form)
{
	char token[API_TOKEN_LEN + 2] = "sterna_", id[API_TOKEN_ID + 1];

	for (size_t i = strlen(token); i < API_TOKEN_LEN; i++)
		token[i] = i == 7 + API_TOKEN_ID ? '_' : 'a';
	ck_assert(api_token_id(token, id));
	ck_assert_str_eq(id, "aaaaaaaaaaaaaaaa");
	token[API_TOKEN_LEN] = 'a';
	ck_assert(!api_token_id(token, id));
	token[API_TOKEN_LEN] = '\0';
	token[10] = 'A';
	ck_assert(!api_token_id(token, id));
	ck_assert(!api_token_id("", id));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rest");
	TCase *tc = tcase_create("rest");

	tcase_add_test(tc, a_query_is_fields);
	tcase_add_test(tc, a_broken_query_is_refused_with_what_is_wrong);
	tcase_add_test(tc, results_are_cut_into_pages);
	tcase_add_test(tc, scopes_name_commands_by_whole_words);
	tcase_add_test(tc, a_token_has_one_form);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
