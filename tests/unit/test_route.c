/* test_route.c - the delivery rules of RFC 6121 §8.5, as its summary table has them, over a whole server. Where the
 * RFC leaves a choice (ignore or answer), the table has ours. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/harness.h"

#define ROMEO "romeo@example.net/orchard"
#define BARE "juliet@example.com"
#define BALCONY BARE "/balcony"
#define CHAMBER BARE "/chamber"

/* S: silently ignored; E: an error; O: stored until a session comes; D: delivered to the balcony; A: to all. */
static const char *const types[] = { "normal", "chat", "groupchat", "headline", "error", NULL };
static const struct row {
	const char *condition, *to;
	const char *first, *second;      /* presence of the balcony and the chamber; NULL: not there */
	bool exists;
	const char *outcome;             /* by type */
} table[] = {
	{ "no account, bare JID", "nobody@example.com", NULL, NULL, false, "EEESS" },
	{ "no account, full JID", "nobody@example.com/x", NULL, NULL, false, "EEESS" },
	{ "no resources, bare JID", BARE, NULL, NULL, true, "OOESS" },
	{ "no resources, full JID", BALCONY, NULL, NULL, true, "EOESS" },
	{ "negative only, bare JID", BARE, "-1", NULL, true, "OOESS" },
	{ "negative only, its full JID", BALCONY, "-1", NULL, true, "DDDDD" },
	{ "negative only, another full JID", BARE "/x", "-1", NULL, true, "EOESS" },
	{ "one, bare JID", BARE, "0", NULL, true, "DDEDS" },
	{ "one, its full JID", BALCONY, "0", NULL, true, "DDDDD" },
	{ "one, another full JID", BARE "/x", "0", NULL, true, "EDESS" },
	{ "several, bare JID", BARE, "0", "5", true, "AAEAS" },
	{ "several, a full JID", BALCONY, "0", "5", true, "DDDDD" },
	{ "several, another full JID", BARE "/x", "0", "5", true, "EAESS" },
	{ "one of them negative, bare JID", BARE, "0", "-1", true, "DDEDS" },
};

static void appear(struct test *t, const char *full, const char *priority)
{
	char text[100];

	if (priority == NULL)
		return;
	snprintf(text, sizeof text, "<presence><priority>%s</priority></presence>", priority);
	test_send(t, full, text);
}

static bool is_message(const char *text, const char *id)
{
	char want[16];

	snprintf(want, sizeof want, "id='%s'", id);
	return strncmp(text, "<message", 8) == 0 && strstr(text, want) != NULL;
}

/* Whether it came to this session; a new session gets what was stored. */
static bool came(struct test *t, const char *full, const char *id)
{
	const char *text = test_recv(t, full);

	return is_message(text, id);
}

static char outcome(struct test *t, const struct row *r, const char *id)
{
	const char *back = test_recv(t, ROMEO);

	if (*back != '\0') {
		ck_assert_msg(is_message(back, id) && strstr(back, "<service-unavailable ") != NULL, "%s", back);
		return 'E';
	}
	const bool first = r->first != NULL && came(t, BALCONY, id), second = r->second != NULL && came(t, CHAMBER, id);

	if (first && second)
		return 'A';
	if (first)
		return 'D';
	ck_assert(!second);
	if (!r->exists)
		return 'S';
	/* Was it stored? Then the next who appears gets it. */
	test_send(t, BARE "/later", "<presence/>");
	const char *text;
	bool stored = false;

	while (*(text = test_recv(t, BARE "/later")) != '\0')
		stored |= is_message(text, id) && strstr(text, "urn:xmpp:delay") != NULL;
	return stored ? 'O' : 'S';
}

START_TEST(messages_go_where_the_table_says)
{
	const struct row *r = &table[_i];

	for (size_t n = 0; types[n] != NULL; n++) {
		struct test *t = test_new(NULL, NULL);
		char text[300];

		test_login(t, ROMEO);
		if (r->exists)
			test_account(t, BARE);
		appear(t, BALCONY, r->first);
		appear(t, CHAMBER, r->second);
		if (r->first != NULL)
			test_drop(t, BALCONY);
		if (r->second != NULL)
			test_drop(t, CHAMBER);
		snprintf(text, sizeof text, "<message type='%s' id='m' to='%s'><body>hi</body></message>", types[n], r->to);
		test_send(t, ROMEO, text);
		const char got = outcome(t, r, "m");

		ck_assert_msg(got == r->outcome[n], "%s, type %s: %c, not %c", r->condition, types[n], got, r->outcome[n]);
		test_free(&t);
	}
}
END_TEST

/* §8.5.2.1.1 and §4.7.2.3: without presence a session is no target for the bare JID. */
START_TEST(a_session_without_presence_gets_what_is_for_its_full_jid_only)
{
	struct test *t = test_new(NULL, NULL);

	test_login(t, BALCONY);
	test_send(t, ROMEO, "<message type='chat' id='a' to='" BARE "'><body>1</body></message>");
	ck_assert_str_eq(test_recv(t, BALCONY), "");
	test_send(t, ROMEO, "<message type='chat' id='b' to='" BALCONY "'><body>2</body></message>");
	ck_assert(is_message(test_recv(t, BALCONY), "b"));
	test_free(&t);
}
END_TEST

/* §8.1.2.1: whatever the client writes, 'from' is its full JID. */
START_TEST(from_is_the_sender)
{
	struct test *t = test_new(NULL, NULL);

	test_login(t, BALCONY);
	test_send(t, ROMEO, "<message id='a' from='romeo@example.net' to='" BALCONY "'><body>1</body></message>");
	ck_assert_str_eq(test_recv(t, BALCONY),
		"<message id='a' from='" ROMEO "' to='" BALCONY "'><body>1</body></message>");
	test_free(&t);
}
END_TEST

/* §8.5.2.1.3, §8.5.3.2.3: an IQ is answered once, by the server or by the one it is for. */
START_TEST(every_request_is_answered)
{
	static const char *const to[] = { BARE, BALCONY, BARE "/x", "nobody@example.com", "example.com", "example.org", NULL };
	struct test *t = test_new(NULL, NULL);

	test_send(t, BALCONY, "<presence/>");
	test_drop(t, BALCONY);
	for (size_t i = 0; to[i] != NULL; i++) {
		char text[200];

		snprintf(text, sizeof text, "<iq type='get' id='q' to='%s'><x xmlns='urn:example:x'/></iq>", to[i]);
		test_send(t, ROMEO, text);
		const bool passed_on = strstr(test_recv(t, BALCONY), "urn:example:x") != NULL;

		ck_assert_msg(passed_on == (strcmp(to[i], BALCONY) == 0), "%s", to[i]);
		if (!passed_on)
			ck_assert_msg(strstr(test_recv(t, ROMEO), "type='error'") != NULL, "%s", to[i]);
		ck_assert_str_eq(test_recv(t, ROMEO), "");
	}
	test_free(&t);
}
END_TEST

/* §5.2.2, RFC 6120 §10.1: in the order sent, also through storage. */
START_TEST(order_holds_from_storage_to_live)
{
	struct test *t = test_new(NULL, NULL);
	char text[200];

	test_account(t, BARE);
	for (int i = 0; i < 250; i++) {
		snprintf(text, sizeof text, "<message type='chat' id='m%d' to='" BARE "'><body>%d</body></message>", i, i);
		test_send(t, ROMEO, text);
	}
	test_send(t, BALCONY, "<presence/>");
	test_send(t, ROMEO, "<message type='chat' id='m250' to='" BARE "'><body>250</body></message>");
	ck_assert_ptr_nonnull(strstr(test_recv(t, BALCONY), "<presence"));
	for (int i = 0; i <= 250; i++) {
		snprintf(text, sizeof text, "m%d", i);
		ck_assert_msg(is_message(test_recv(t, BALCONY), text), "%s", text);
	}
	test_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *c = tcase_create("route");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, messages_go_where_the_table_says, 0, sizeof table / sizeof *table);
	tcase_add_test(c, a_session_without_presence_gets_what_is_for_its_full_jid_only);
	tcase_add_test(c, from_is_the_sender);
	tcase_add_test(c, every_request_is_answered);
	tcase_add_test(c, order_holds_from_storage_to_live);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
