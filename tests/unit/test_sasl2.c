/* The pure parts of what goes along with a login: ids of user agents, stable resources, upgrade tasks. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/bind2.h"
#include "server/token.h"
#include "server/upgrade.h"
#include "server/xml.h"

START_TEST(a_user_agent_has_a_uuid)
{
	ck_assert(token_client_is_valid("d4565fa7-4d72-4749-b3d3-740edbf87770"));
	ck_assert(token_client_is_valid("D4565FA7-4D72-4749-B3D3-740EDBF87770"));
	ck_assert(!token_client_is_valid(NULL));
	ck_assert(!token_client_is_valid(""));
	ck_assert(!token_client_is_valid("d4565fa7-4d72-4749-b3d3-740edbf8777"));
	ck_assert(!token_client_is_valid("d4565fa7-4d72-4749-b3d3-740edbf877700"));
	ck_assert(!token_client_is_valid("d4565fa7x4d72-4749-b3d3-740edbf87770"));
	ck_assert(!token_client_is_valid("d4565fa7-4d72-4749-b3d3-740edbf8777g"));
}
END_TEST

START_TEST(a_stable_resource_depends_on_secret_account_and_agent)
{
	char a[BIND2_STABLE_SIZE], b[BIND2_STABLE_SIZE];

	bind2_stable("secret", 6, "juliet@example.org", "agent", a);
	ck_assert_uint_eq(strlen(a), BIND2_STABLE_SIZE - 1);
	bind2_stable("secret", 6, "juliet@example.org", "agent", b);
	ck_assert_str_eq(a, b);
	bind2_stable("Secret", 6, "juliet@example.org", "agent", b);
	ck_assert_str_ne(a, b);
	bind2_stable("secret", 6, "romeo@example.org", "agent", b);
	ck_assert_str_ne(a, b);
	bind2_stable("secret", 6, "juliet@example.org", "agent2", b);
	ck_assert_str_ne(a, b);
	bind2_stable("secret", 6, "juliet@example.or", "gagent", b);
	ck_assert_str_ne(a, b);
}
END_TEST

static struct sterna_elem *parsed(struct arena *a, const char *text)
{
	struct sterna_elem *e = NULL;

	ck_assert_int_eq(xml_parse(a, text, strlen(text), &e), STERNA_OK);
	return e;
}

START_TEST(upgrades_are_asked_for_by_name)
{
	struct arena *a = arena_new(1024);

	ck_assert_uint_eq(upgrade_asked(a, parsed(a, "<authenticate xmlns='urn:xmpp:sasl:2'/>")), 0);
	ck_assert_uint_eq(upgrade_asked(a, parsed(a, "<authenticate xmlns='urn:xmpp:sasl:2'>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-1</upgrade>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP</upgrade>"
		"<upgrade xmlns='urn:example'>UPGR-SCRAM-SHA-256</upgrade></authenticate>")), 1u << SCRAM_SHA512);
	arena_free(&a);
}
END_TEST

START_TEST(an_upgrade_gives_the_keys_of_the_password)
{
	struct arena *a = arena_new(1024);
	struct upgrade u = { .hash = SCRAM_SHA256, .iterations = 4096, .salt = "0123456789abcde" };
	struct sterna_elem *data = elem_new(a, "task-data", "urn:xmpp:sasl:2");
	struct credential c;

	upgrade_salt(&u, a, data);
	const struct sterna_elem *salt = elem_child(data, "salt", "urn:xmpp:scram-upgrade:0");

	ck_assert_str_eq(elem_attr(salt, "iterations"), "4096");
	ck_assert_str_eq(elem_text(a, salt), "MDEyMzQ1Njc4OWFiY2RlAA==");
	/* PBKDF2-HMAC-SHA-256("pencil", the salt, 4096) */
	data = parsed(a, "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>"
		"a7zlT3baKMjRnFXKQ8GNEWCy5QKBc2uO5uJjjGcFppQ=</hash></task-data>");
	ck_assert_int_eq(upgrade_finish(&u, a, data, &c), STERNA_OK);
	ck_assert(credential_matches(&c, "pencil", 6));
	ck_assert(!credential_matches(&c, "pencils", 7));
	u.hash = SCRAM_SHA512;
	ck_assert_int_eq(upgrade_finish(&u, a, data, &c), STERNA_EINVAL);
	arena_free(&a);
}
END_TEST

START_TEST(what_is_no_salted_password_is_refused)
{
	static const char *const wrong[] = {
		"<task-data xmlns='urn:xmpp:sasl:2'/>",
		"<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'/></task-data>",
		"<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>!!!!</hash></task-data>",
		"<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:example'>AAAA</hash></task-data>",
	};
	const struct upgrade u = { .hash = SCRAM_SHA256, .iterations = 4096 };
	struct credential c;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct arena *a = arena_new(1024);

		ck_assert_int_eq(upgrade_finish(&u, a, parsed(a, wrong[i]), &c), STERNA_EINVAL);
		arena_free(&a);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sasl2");
	TCase *t = tcase_create("sasl2");

	tcase_add_test(t, a_user_agent_has_a_uuid);
	tcase_add_test(t, a_stable_resource_depends_on_secret_account_and_agent);
	tcase_add_test(t, upgrades_are_asked_for_by_name);
	tcase_add_test(t, an_upgrade_gives_the_keys_of_the_password);
	tcase_add_test(t, what_is_no_salted_password_is_refused);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
