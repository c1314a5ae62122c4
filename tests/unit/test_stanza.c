/* test_stanza.c - types, addresses, errors, writing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/stanza.h"
#include "server/xml.h"

static struct stanza *st;

static enum sterna_result make(const char *xml)
{
	struct arena *a = arena_new(1024);
	struct sterna_elem *e = NULL;

	ck_assert_int_eq(xml_parse(a, xml, strlen(xml), &e), STERNA_OK);
	const enum sterna_result rc = stanza_new(&a, e, &st);

	ck_assert((rc == STERNA_OK) == (a == NULL)); /* taken exactly if it is made */
	arena_free(&a);
	return rc;
}

static void teardown(void)
{
	stanza_unref(&st);
}

static char *written(const char *to)
{
	struct buf b = BUF_INIT;

	stanza_write(&b, st, to);
	char *text = xstrdup(buf_str(&b));

	buf_release(&b);
	return text;
}

static void is_written(const char *to, const char *want)
{
	char *text = written(to);

	ck_assert_str_eq(text, want);
	free(text);
}

/* RFC 7622: others compare the text */
START_TEST(addresses_are_written_as_they_are_prepared)
{
	ck_assert_int_eq(make("<message to='Romeo@XN--Bcher-kva.Example/R' from='b\303\274cher.example'/>"), STERNA_OK);
	is_written(NULL, "<message to='romeo@b\303\274cher.example/R' from='b\303\274cher.example'/>");
}
END_TEST

/* RFC 6121 §5.2.2, §4.7.1; RFC 6120 §8.2.3 */
START_TEST(types_are_those_of_the_kind)
{
	static const struct {
		const char *xml;
		enum stanza_type type;
	} rows[] = {
		{ "<message/>", MESSAGE_NORMAL }, { "<message type='chat'/>", MESSAGE_CHAT },
		{ "<message type='news'/>", MESSAGE_NORMAL }, { "<message type='get'/>", MESSAGE_NORMAL },
		{ "<presence/>", PRESENCE_AVAILABLE }, { "<presence type='unavailable'/>", PRESENCE_UNAVAILABLE },
		{ "<presence type='probe'/>", PRESENCE_PROBE }, { "<iq type='get'/>", IQ_GET }, { "<iq type='result'/>", IQ_RESULT },
		{ "<presence type='available'/>", TYPE_INVALID }, { "<iq/>", TYPE_INVALID }, { "<iq type='chat'/>", TYPE_INVALID },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert_int_eq(make(rows[i].xml), STERNA_OK);
		ck_assert_msg(st->type == rows[i].type, "%s", rows[i].xml);
		stanza_unref(&st);
	}
	ck_assert_int_eq(make("<body/>"), STERNA_EINVAL);
	ck_assert_int_eq(make("<message xmlns='urn:example'/>"), STERNA_EINVAL);
}
END_TEST

START_TEST(addresses_are_prepared_or_refused)
{
	ck_assert_int_eq(make("<message to='Juliet@Example.COM/Balcony'/>"), STERNA_OK);
	ck_assert_str_eq(jid_full(st->to), "juliet@example.com/Balcony");
	stanza_unref(&st);
	ck_assert_int_eq(make("<message to='@example.com'/>"), STERNA_ELIMIT);
	ck_assert_int_eq(make("<message from='a b@example.com'/>"), STERNA_ELIMIT);
}
END_TEST

START_TEST(from_is_the_attribute_and_the_field)
{
	struct jid *j = NULL;

	ck_assert_int_eq(make("<message from='mallory@example.net' to='a@example.com'><body>1 &lt; 2</body></message>"), STERNA_OK);
	is_written(NULL, "<message from='mallory@example.net' to='a@example.com'><body>1 &lt; 2</body></message>");
	ck_assert_int_eq(jid_parse("romeo@example.net/x", 19, &j), STERNA_OK);
	stanza_set_from(st, j);
	jid_unref(&j);
	is_written(NULL, "<message from='romeo@example.net/x' to='a@example.com'><body>1 &lt; 2</body></message>");
	ck_assert_str_eq(jid_full(st->from), "romeo@example.net/x");
}
END_TEST

START_TEST(another_to_is_written_and_the_own_one_stays)
{
	ck_assert_int_eq(make("<presence from='a@b.example' id='1' to='c@d.example'><show>away</show></presence>"), STERNA_OK);
	char *text = written("it's@d.example/\"x\"");

	ck_assert_ptr_nonnull(strstr(text, "<show>away</show></presence>"));
	ck_assert_ptr_null(strstr(text, "c@d.example"));
	ck_assert_ptr_null(strstr(text, "it's@")); /* escaped */
	free(text);
	is_written(NULL, "<presence from='a@b.example' id='1' to='c@d.example'><show>away</show></presence>");
}
END_TEST

START_TEST(a_change_is_written_after_touch)
{
	ck_assert_int_eq(make("<message id='1'><body>a</body></message>"), STERNA_OK);
	is_written(NULL, "<message id='1'><body>a</body></message>");
	elem_add_text_elem(st->arena, st->elem, "thread", "t");
	stanza_touch(st);
	is_written(NULL, "<message id='1'><body>a</body><thread>t</thread></message>");
}
END_TEST

START_TEST(stored_text_is_the_stanza_again)
{
	struct buf b = BUF_INIT;

	ck_assert_int_eq(make("<message to='a@b.example'><x xmlns='urn:example:x'><y>&amp;</y></x></message>"), STERNA_OK);
	stanza_write_stored(&b, st);
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "xmlns='jabber:client'"));
	stanza_unref(&st);
	ck_assert_int_eq(make(buf_str(&b)), STERNA_OK);
	is_written(NULL, "<message to='a@b.example'><x xmlns='urn:example:x'><y>&amp;</y></x></message>");
	buf_release(&b);
}
END_TEST

/* RFC 6120 §8.3.1: back to the sender, same kind and id; never in answer to an error or a result. */
START_TEST(an_error_goes_back_once)
{
	static const char *const mute[] = { "<message type='error' from='a@b.example' id='1'/>",
		"<iq type='result' from='a@b.example' id='1'/>", "<iq type='error' from='a@b.example' id='1'/>",
		"<presence type='unavailable' from='a@b.example' id='1'/>", "<presence type='probe' from='a@b.example'/>", NULL };

	ck_assert_int_eq(make("<iq type='get' from='a@b.example/r' to='c@d.example' id='7'><q xmlns='urn:example:q'/></iq>"),
		STERNA_OK);
	struct stanza *e = stanza_error(st, STERNA_ITEM_NOT_FOUND, "no <such> thing", NULL, NULL);

	ck_assert_ptr_nonnull(e);
	ck_assert_str_eq(jid_full(e->to), "a@b.example/r");
	ck_assert_str_eq(jid_full(e->from), "c@d.example");
	ck_assert_str_eq(stanza_id(e), "7");
	ck_assert_int_eq(e->type, IQ_ERROR);
	const struct sterna_elem *error = elem_child(e->elem, "error", NS_CLIENT);

	ck_assert_str_eq(elem_attr(error, "type"), "cancel");
	ck_assert_ptr_nonnull(elem_child(error, "item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas"));
	ck_assert_ptr_null(stanza_error(e, STERNA_BAD_REQUEST, NULL, NULL, NULL));
	stanza_unref(&e);
	stanza_unref(&st);
	for (size_t i = 0; mute[i] != NULL; i++) {
		ck_assert_int_eq(make(mute[i]), STERNA_OK);
		ck_assert_msg(stanza_error(st, STERNA_BAD_REQUEST, NULL, NULL, NULL) == NULL, "%s", mute[i]);
		stanza_unref(&st);
	}
}
END_TEST

/* Each condition of RFC 6120 §8.3.3 has its name and a type that it may have; §8.3.2: text and an own condition beside. */
START_TEST(conditions_have_their_names_and_types)
{
	static const struct {
		enum sterna_condition condition;
		const char *name, *type;
	} rows[] = {
		{ STERNA_BAD_REQUEST, "bad-request", "modify" }, { STERNA_CONFLICT, "conflict", "cancel" },
		{ STERNA_FEATURE_NOT_IMPLEMENTED, "feature-not-implemented", "cancel" },
		{ STERNA_FORBIDDEN, "forbidden", "auth" }, { STERNA_GONE, "gone", "cancel" },
		{ STERNA_INTERNAL_SERVER_ERROR, "internal-server-error", "cancel" },
		{ STERNA_ITEM_NOT_FOUND, "item-not-found", "cancel" }, { STERNA_JID_MALFORMED, "jid-malformed", "modify" },
		{ STERNA_NOT_ACCEPTABLE, "not-acceptable", "modify" }, { STERNA_NOT_ALLOWED, "not-allowed", "cancel" },
		{ STERNA_NOT_AUTHORIZED, "not-authorized", "auth" }, { STERNA_POLICY_VIOLATION, "policy-violation", "modify" },
		{ STERNA_RECIPIENT_UNAVAILABLE, "recipient-unavailable", "wait" }, { STERNA_REDIRECT, "redirect", "modify" },
		{ STERNA_REGISTRATION_REQUIRED, "registration-required", "auth" },
		{ STERNA_REMOTE_SERVER_NOT_FOUND, "remote-server-not-found", "cancel" },
		{ STERNA_REMOTE_SERVER_TIMEOUT, "remote-server-timeout", "wait" },
		{ STERNA_RESOURCE_CONSTRAINT, "resource-constraint", "wait" },
		{ STERNA_SERVICE_UNAVAILABLE, "service-unavailable", "cancel" },
		{ STERNA_SUBSCRIPTION_REQUIRED, "subscription-required", "auth" },
		{ STERNA_UNDEFINED_CONDITION, "undefined-condition", "cancel" },
		{ STERNA_UNEXPECTED_REQUEST, "unexpected-request", "wait" },
	};

	_Static_assert(sizeof rows / sizeof *rows == STERNA_UNEXPECTED_REQUEST, "all of them");
	ck_assert_int_eq(make("<message from='a@b.example/r' to='c@d.example' id='7'><body>x</body></message>"), STERNA_OK);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(128);
		struct stanza *e = stanza_error(st, rows[i].condition, "why", elem_new(a, "own", "urn:example:own"), NULL);
		const struct sterna_elem *error = elem_child(e->elem, "error", NS_CLIENT);

		ck_assert_str_eq(condition_name(rows[i].condition), rows[i].name);
		ck_assert_str_eq(elem_attr(error, "type"), rows[i].type);
		ck_assert_ptr_nonnull(elem_child(error, rows[i].name, NS_STANZAS));
		ck_assert_str_eq(elem_text(e->arena, elem_child(error, "text", NS_STANZAS)), "why");
		ck_assert_ptr_nonnull(elem_child(error, "own", "urn:example:own"));
		ck_assert_ptr_null(elem_child(e->elem, "body", NS_CLIENT)); /* it may be left out, and is: one knows what one said */
		ck_assert_int_eq(e->type, MESSAGE_ERROR);
		stanza_unref(&e);
		arena_free(&a);
	}
	stanza_unref(&st);
}
END_TEST

START_TEST(what_people_would_miss_is_storable)
{
	static const struct {
		const char *xml;
		bool storable;
	} rows[] = {
		{ "<message type='chat'><body>a</body></message>", true }, { "<message><body>a</body></message>", true },
		{ "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", false },
		{ "<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>", true },
		{ "<message type='headline'><body>a</body></message>", false },
		{ "<message type='error'><body>a</body></message>", false },
		{ "<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>", true },
		{ "<presence><status>a</status></presence>", false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert_int_eq(make(rows[i].xml), STERNA_OK);
		ck_assert_msg(stanza_is_storable(st) == rows[i].storable, "%s", rows[i].xml);
		stanza_unref(&st);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stanza");
	TCase *c = tcase_create("stanza");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, types_are_those_of_the_kind);
	tcase_add_test(c, addresses_are_prepared_or_refused);
	tcase_add_test(c, addresses_are_written_as_they_are_prepared);
	tcase_add_test(c, from_is_the_attribute_and_the_field);
	tcase_add_test(c, another_to_is_written_and_the_own_one_stays);
	tcase_add_test(c, a_change_is_written_after_touch);
	tcase_add_test(c, stored_text_is_the_stanza_again);
	tcase_add_test(c, an_error_goes_back_once);
	tcase_add_test(c, conditions_have_their_names_and_types);
	tcase_add_test(c, what_people_would_miss_is_storable);

	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
