/* XEP-0060: a node's configuration, preconditions, members, and who may read and publish. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/xml.h"
#include "xep/pubsub.h"

static const struct pubsub_limits limits = { .nodes = 4, .items = 1000, .members = 10, .page = 100, .payload = 65536 };
static struct sterna_call call;

static void setup(void)
{
	memset(&call, 0, sizeof call);
}

static void teardown(void)
{
	arena_free(&call.arena);
}

/* A form with one field, as fields are given: var, then values up to NULL. */
static const struct sterna_elem *form(const char *var, const char *value, const char *second)
{
	struct sterna_elem *x = sterna_elem(&call, "x", NS_DATA);
	struct sterna_elem *f = sterna_form_field(x, var, NULL, value);

	if (second != NULL)
		sterna_text(f, "value", second);
	return x;
}

static enum pubsub_result set(struct pubsub_config *cfg, const char *var, const char *value)
{
	return pubsub_config_set(cfg, &call, form(var, value, NULL), &limits);
}

static enum pubsub_result meets(const struct pubsub_config *cfg, const char *var, const char *value)
{
	return pubsub_config_meets(cfg, &call, form(var, value, NULL), &limits);
}

START_TEST(account_node_is_for_contacts_and_keeps_one_item)
{
	struct pubsub_config cfg;

	pubsub_config_default(&cfg, false, "http://jabber.org/protocol/tune");
	ck_assert_uint_eq(cfg.access, PUBSUB_PRESENCE);
	ck_assert_uint_eq(cfg.publishers, PUBSUB_BY_PUBLISHERS);
	ck_assert_uint_eq(cfg.max_items, 1);
	ck_assert(cfg.persist);
	pubsub_config_default(&cfg, false, NULL);
	ck_assert_uint_eq(cfg.access, PUBSUB_PRESENCE);
}
END_TEST

START_TEST(keys_are_open_and_lists_are_private)
{
	static const struct {
		const char *node;
		unsigned access;
	} nodes[] = {
		{ "eu.siacs.conversations.axolotl.devicelist", PUBSUB_OPEN },
		{ "eu.siacs.conversations.axolotl.bundles:4711", PUBSUB_OPEN },
		{ "urn:xmpp:omemo:2:devices", PUBSUB_OPEN }, { "urn:xmpp:omemo:2:bundles", PUBSUB_OPEN },
		{ "urn:xmpp:omemo:2:devices:not", PUBSUB_PRESENCE },
		{ "urn:xmpp:openpgp:0:public-keys:1357B01865B2503C18453D208CAC2A9678548E35", PUBSUB_OPEN },
		{ "urn:xmpp:openpgp:0:secret-key", PUBSUB_WHITELIST }, { "urn:xmpp:bookmarks:1", PUBSUB_WHITELIST },
		{ "storage:bookmarks", PUBSUB_WHITELIST }, { "urn:xmpp:mds:displayed:0", PUBSUB_WHITELIST },
	};
	struct pubsub_config cfg;

	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		pubsub_config_default(&cfg, false, nodes[i].node);
		ck_assert_msg(cfg.access == nodes[i].access, "%s", nodes[i].node);
	}
}
END_TEST

START_TEST(form_is_taken_whole_or_not_at_all)
{
	struct pubsub_config cfg;
	struct sterna_elem *x;

	pubsub_config_default(&cfg, false, NULL);
	ck_assert_int_eq(set(&cfg, "pubsub#title", "Tunes"), PUBSUB_OK);
	x = sterna_elem(&call, "x", NS_DATA);
	sterna_form_field(x, "pubsub#title", NULL, "Others");
	sterna_form_field(x, "pubsub#access_model", NULL, "nobody");
	ck_assert_int_eq(pubsub_config_set(&cfg, &call, x, &limits), PUBSUB_BAD_ACCESS);
	ck_assert_str_eq(cfg.title, "Tunes");
	ck_assert_int_eq(set(&cfg, "pubsub#no_such", "1"), PUBSUB_UNKNOWN_FIELD);
	ck_assert_int_eq(set(&cfg, "title", "1"), PUBSUB_UNKNOWN_FIELD);
	ck_assert_int_eq(set(&cfg, "FORM_TYPE", "whatever"), PUBSUB_OK);
	pubsub_config_clear(&cfg);
}
END_TEST

START_TEST(values_have_their_notation)
{
	static const struct {
		const char *var, *value;
		enum pubsub_result rc;
	} values[] = {
		{ "pubsub#persist_items", "1", PUBSUB_OK }, { "pubsub#persist_items", "false", PUBSUB_OK },
		{ "pubsub#persist_items", "yes", PUBSUB_BAD_VALUE }, { "pubsub#persist_items", "", PUBSUB_BAD_VALUE },
		{ "pubsub#max_items", "max", PUBSUB_OK }, { "pubsub#max_items", "1000", PUBSUB_OK },
		{ "pubsub#max_items", "0", PUBSUB_OK }, { "pubsub#max_items", "1001", PUBSUB_BAD_VALUE },
		{ "pubsub#max_items", "-1", PUBSUB_BAD_VALUE }, { "pubsub#max_items", "1x", PUBSUB_BAD_VALUE },
		{ "pubsub#max_items", "4294967295", PUBSUB_BAD_VALUE }, { "pubsub#max_items", "99999999999", PUBSUB_BAD_VALUE },
		{ "pubsub#max_payload_size", "65536", PUBSUB_OK }, { "pubsub#max_payload_size", "65537", PUBSUB_BAD_VALUE },
		{ "pubsub#access_model", "whitelist", PUBSUB_OK }, { "pubsub#access_model", "white", PUBSUB_BAD_ACCESS },
		{ "pubsub#access_model", "", PUBSUB_BAD_ACCESS }, { "pubsub#access_model", "open|presence", PUBSUB_BAD_ACCESS },
		{ "pubsub#send_last_published_item", "on_sub_and_presence", PUBSUB_OK },
		{ "pubsub#purge_offline", "0", PUBSUB_OK }, { "pubsub#purge_offline", "false", PUBSUB_OK },
		{ "pubsub#purge_offline", "1", PUBSUB_BAD_VALUE },
	};
	struct pubsub_config cfg;

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		pubsub_config_default(&cfg, false, NULL);
		ck_assert_msg(set(&cfg, values[i].var, values[i].value) == values[i].rc, "%s=%s", values[i].var,
			values[i].value);
		pubsub_config_clear(&cfg);
	}
}
END_TEST

START_TEST(long_texts_are_refused)
{
	char text[514];
	struct pubsub_config cfg;

	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	pubsub_config_default(&cfg, false, NULL);
	ck_assert_int_eq(set(&cfg, "pubsub#title", text), PUBSUB_BAD_VALUE);
	text[512] = '\0';
	ck_assert_int_eq(set(&cfg, "pubsub#title", text), PUBSUB_OK);
	pubsub_config_clear(&cfg);
}
END_TEST

START_TEST(precondition_is_met_by_the_same_value_alone)
{
	struct pubsub_config cfg;

	pubsub_config_default(&cfg, false, "urn:xmpp:bookmarks:1");
	ck_assert_int_eq(meets(&cfg, "pubsub#access_model", "whitelist"), PUBSUB_OK);
	ck_assert_int_eq(meets(&cfg, "pubsub#access_model", "open"), PUBSUB_NOT_MET);
	ck_assert_int_eq(meets(&cfg, "pubsub#persist_items", "true"), PUBSUB_OK);
	ck_assert_int_eq(meets(&cfg, "pubsub#persist_items", "0"), PUBSUB_NOT_MET);
	ck_assert_int_eq(meets(&cfg, "pubsub#max_items", "max"), PUBSUB_OK);
	ck_assert_int_eq(meets(&cfg, "pubsub#max_items", "1000"), PUBSUB_OK);
	ck_assert_int_eq(meets(&cfg, "pubsub#max_items", "999"), PUBSUB_NOT_MET);
	ck_assert_int_eq(meets(&cfg, "pubsub#title", "t"), PUBSUB_NOT_MET);
	ck_assert_int_eq(meets(&cfg, "pubsub#no_such", "1"), PUBSUB_UNKNOWN_FIELD);
	ck_assert_uint_eq(cfg.access, PUBSUB_WHITELIST);
}
END_TEST

START_TEST(configuration_survives_its_json)
{
	struct pubsub_config cfg, back;

	pubsub_config_default(&cfg, false, NULL);
	ck_assert_int_eq(set(&cfg, "pubsub#description", "a \"word\"\n<b/>"), PUBSUB_OK);
	ck_assert_int_eq(set(&cfg, "pubsub#item_expire", "3600"), PUBSUB_OK);
	ck_assert_int_eq(set(&cfg, "pubsub#access_model", "roster"), PUBSUB_OK);
	ck_assert_int_eq(pubsub_config_set(&cfg, &call, form("pubsub#roster_groups_allowed", "a", "b"), &limits), PUBSUB_OK);
	char *json = pubsub_config_json(&cfg);

	pubsub_config_default(&back, false, NULL);
	ck_assert(pubsub_config_parse(&back, json));
	ck_assert_str_eq(back.description, cfg.description);
	ck_assert_str_eq(back.groups, "a\nb");
	ck_assert_uint_eq(back.item_expire, 3600);
	ck_assert_uint_eq(back.access, PUBSUB_ROSTER);
	ck_assert_uint_eq(back.max_payload, PUBSUB_MAX);
	free(json);
	pubsub_config_clear(&cfg);
	pubsub_config_clear(&back);
	pubsub_config_default(&back, false, NULL);
	ck_assert(!pubsub_config_parse(&back, "{\"access_model\":\"nobody\"}"));
	ck_assert(!pubsub_config_parse(&back, "[]"));
	ck_assert(!pubsub_config_parse(&back, "{"));
	ck_assert(!pubsub_config_parse(&back, NULL));
}
END_TEST

/* --- who may --- */

static const struct pubsub_who owner = { "juliet@h", "juliet@h/a", true, true, NULL },
	contact = { "romeo@h", "romeo@h/a", false, true, NULL }, stranger = { "tybalt@h", "tybalt@h/a", false, false, NULL };

START_TEST(access_models_let_in_whom_they_name)
{
	static const struct {
		unsigned access;
		enum pubsub_refusal contact, stranger;
	} models[] = {
		{ PUBSUB_OPEN, PUBSUB_ALLOWED, PUBSUB_ALLOWED },
		{ PUBSUB_PRESENCE, PUBSUB_ALLOWED, PUBSUB_NEEDS_PRESENCE },
		{ PUBSUB_ROSTER, PUBSUB_NEEDS_GROUP, PUBSUB_NEEDS_GROUP },
		{ PUBSUB_AUTHORIZE, PUBSUB_NEEDS_SUBSCRIPTION, PUBSUB_NEEDS_SUBSCRIPTION },
		{ PUBSUB_WHITELIST, PUBSUB_CLOSED, PUBSUB_CLOSED },
		{ 99, PUBSUB_CLOSED, PUBSUB_CLOSED },
	};
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");

	for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
		n->cfg.access = models[i].access;
		ck_assert_int_eq(pubsub_may_read(n, &owner), PUBSUB_ALLOWED);
		ck_assert_int_eq(pubsub_may_read(n, &contact), models[i].contact);
		ck_assert_int_eq(pubsub_may_read(n, &stranger), models[i].stranger);
	}
	pubsub_clear(&ps);
}
END_TEST

START_TEST(roster_group_needs_presence_too)
{
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");
	struct sterna_elem *item = sterna_elem(&call, "item", "jabber:iq:roster");
	struct pubsub_who who = contact;

	n->cfg.access = PUBSUB_ROSTER;
	n->cfg.groups = xstrdup("Friends\nCapulets");
	who.roster_item = item;
	sterna_text(item, "group", "Friend");
	ck_assert_int_eq(pubsub_may_read(n, &who), PUBSUB_NEEDS_GROUP);
	sterna_text(item, "group", "Capulets");
	ck_assert_int_eq(pubsub_may_read(n, &who), PUBSUB_ALLOWED);
	who.sees = false;
	ck_assert_int_eq(pubsub_may_read(n, &who), PUBSUB_NEEDS_GROUP);
	pubsub_clear(&ps);
}
END_TEST

START_TEST(affiliation_goes_before_the_access_model)
{
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");

	n->cfg.access = PUBSUB_WHITELIST;
	pubsub_set_member(n, PUBSUB_KIND_AFFILIATION, "tybalt@h", PUBSUB_MEMBER);
	ck_assert_int_eq(pubsub_may_read(n, &stranger), PUBSUB_ALLOWED);
	ck_assert(!pubsub_may_publish(n, &stranger));
	pubsub_set_member(n, PUBSUB_KIND_AFFILIATION, "tybalt@h", PUBSUB_PUBLISHER);
	ck_assert(pubsub_may_publish(n, &stranger));
	pubsub_set_member(n, PUBSUB_KIND_AFFILIATION, "tybalt@h", PUBSUB_PUBLISH_ONLY);
	ck_assert(pubsub_may_publish(n, &stranger));
	n->cfg.access = PUBSUB_OPEN;
	ck_assert_int_eq(pubsub_may_read(n, &stranger), PUBSUB_CLOSED);
	pubsub_set_member(n, PUBSUB_KIND_AFFILIATION, "tybalt@h", PUBSUB_OUTCAST);
	n->cfg.publishers = PUBSUB_BY_ALL;
	ck_assert_int_eq(pubsub_may_read(n, &stranger), PUBSUB_IS_OUTCAST);
	ck_assert(!pubsub_may_publish(n, &stranger));
	pubsub_set_member(n, PUBSUB_KIND_AFFILIATION, "tybalt@h", PUBSUB_NONE);
	ck_assert_uint_eq(n->member_count, 0);
	ck_assert(pubsub_may_publish(n, &stranger));
	pubsub_clear(&ps);
}
END_TEST

START_TEST(subscribers_publish_where_the_model_says_so)
{
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");

	n->cfg.access = PUBSUB_AUTHORIZE;
	n->cfg.publishers = PUBSUB_BY_SUBSCRIBERS;
	pubsub_set_member(n, PUBSUB_KIND_SUBSCRIPTION, "romeo@h/a", PUBSUB_PENDING);
	ck_assert_int_eq(pubsub_may_read(n, &contact), PUBSUB_NEEDS_SUBSCRIPTION);
	pubsub_set_member(n, PUBSUB_KIND_SUBSCRIPTION, "romeo@h/a", PUBSUB_SUBSCRIBED);
	ck_assert_int_eq(pubsub_may_read(n, &contact), PUBSUB_ALLOWED);
	ck_assert(pubsub_may_publish(n, &contact));
	ck_assert(!pubsub_may_publish(n, &stranger));
	pubsub_clear(&ps);
}
END_TEST

START_TEST(sequence_rises_also_when_the_clock_goes_back)
{
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");

	ck_assert_int_eq(pubsub_next_seq(n, 1000), 1000);
	ck_assert_int_eq(pubsub_next_seq(n, 1000), 1001);
	ck_assert_int_eq(pubsub_next_seq(n, 5), 1002);
	ck_assert_int_eq(pubsub_next_seq(n, 2000), 2000);
	pubsub_clear(&ps);
}
END_TEST

START_TEST(small_last_item_is_remembered_a_large_one_is_not)
{
	struct pubsub ps = { 0 };
	struct pubsub_node *n = pubsub_add(&ps, "n");
	char large[5000];

	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	ck_assert(!n->last_known);
	pubsub_note_last(n, "<item/>", 7);
	ck_assert(n->last_known);
	ck_assert_str_eq(n->last, "<item/>");
	const unsigned changes = n->changes;

	pubsub_note_last(n, large, 8);
	ck_assert(!n->last_known);
	ck_assert_ptr_null(n->last);
	ck_assert_uint_ne(n->changes, changes);
	pubsub_note_last(n, NULL, 0);
	ck_assert(n->last_known);
	pubsub_clear(&ps);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pubsub");
	TCase *t = tcase_create("pubsub");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, account_node_is_for_contacts_and_keeps_one_item);
	tcase_add_test(t, keys_are_open_and_lists_are_private);
	tcase_add_test(t, form_is_taken_whole_or_not_at_all);
	tcase_add_test(t, values_have_their_notation);
	tcase_add_test(t, long_texts_are_refused);
	tcase_add_test(t, precondition_is_met_by_the_same_value_alone);
	tcase_add_test(t, configuration_survives_its_json);
	tcase_add_test(t, access_models_let_in_whom_they_name);
	tcase_add_test(t, roster_group_needs_presence_too);
	tcase_add_test(t, affiliation_goes_before_the_access_model);
	tcase_add_test(t, subscribers_publish_where_the_model_says_so);
	tcase_add_test(t, sequence_rises_also_when_the_clock_goes_back);
	tcase_add_test(t, small_last_item_is_remembered_a_large_one_is_not);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
