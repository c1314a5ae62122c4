/* test_pie.c - what goes out by XEP-0227 comes in again; what is broken is refused with its line. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/pie.h"
#include "server/user_impl.h"

#define HEAD "<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n"
#define USER HEAD "<host jid='capulet.com'>\n<user name='juliet'>\n"
#define END "</user></host></server-data>\n"

static struct config *config;
static struct db *db;
static struct users *users;
static char dir[64], path[96];
static struct pie_counts counts;
static struct pie_error err;
static char notes[2048];

static void open_db(void)
{
	const struct db_options o = { .driver = "sqlite", .path = ":memory:", .sql_dir = TEST_SQL_DIR };

	ck_assert_int_eq(db_open(&o, &db), STERNA_OK);
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_OK);
	ck_assert_int_eq(users_new(&(struct users_options){ .db = db, .config = config, .wait_ms = 20000 }, &users),
		STERNA_OK);
}

static void close_db(void)
{
	users_free(&users);
	db_close(&db);
}

static void setup(void)
{
	static const char text[] = "hosts: { capulet.com: {}, montague.net: {} }\nauth: { iterations: 4096 }\n";
	struct config_error e;

	snprintf(dir, sizeof dir, "/tmp/sterna-test-pie-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/in.xml", dir);
	ck_assert_int_eq(config_load_text(text, sizeof text - 1, "t", "/", &config, &e), STERNA_OK);
	notes[0] = '\0';
	open_db();
}

static void teardown(void)
{
	char command[128];

	close_db();
	config_unref(&config);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void on_left_out(void *arg, const char *file, unsigned long line, const char *what)
{
	const size_t n = strlen(notes);

	(void)arg;
	(void)file;
	snprintf(notes + n, sizeof notes - n, "%lu: %s\n", line, what);
}

static void save(const char *name, const char *text)
{
	char *file = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	free(file);
}

static enum sterna_result in(const char *text)
{
	const struct pie_options o = { .left_out = on_left_out };

	save("in.xml", text);
	return pie_import(users, path, &o, &counts, &err);
}

static void ok(const char *text)
{
	const enum sterna_result rc = in(text);

	ck_assert_msg(rc == STERNA_OK, "%s:%lu: %s", err.file, err.line, err.message);
}

static char *out(void)
{
	const struct pie_options o = { .left_out = on_left_out };
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	ck_assert_int_eq(pie_export(users, f, &o, &counts), STERNA_OK);
	fclose(f);
	return text;
}

static const char full[] = USER
	"<!-- comments are no harm -->"
	"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>"
	"<iter-count>10000</iter-count><salt>TmFDbE5hQ2xOYUNs</salt>"
	"<server-key>0pXWGK0GZJ6TR73AIUN3ITYtA1g=</server-key>"
	"<stored-key>Q6qT/SbybblGCZz8e8eSfCJOQic=</stored-key></scram-credentials>\n"
	"<query xmlns='jabber:iq:roster'><item jid='romeo@montague.net' name='Romeo &amp; &lt;co&gt;' subscription='both'>"
	"<group>Friends</group><group>Ä</group></item>"
	"<item jid='nurse@capulet.com' subscription='none' ask='subscribe'/></query>\n"
	"<presence xmlns='jabber:client' type='subscribe' id='x1' from='mercutio@montague.net'>"
	"<nick xmlns='http://jabber.org/protocol/nick'>M</nick></presence>\n"
	"<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><defaultnick>H</defaultnick></exodus></query>\n"
	"<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard>\n"
	"<query xmlns='jabber:iq:privacy'><default name='public'/><list name='public'>"
	"<item type='jid' value='tybalt@example.com' action='deny' order='1'/><item action='allow' order='2'/></list></query>\n"
	"<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>romeo@montague.net</jid></always><never/></prefs>\n"
	"<offline-messages><message xmlns='jabber:client' from='romeo@montague.net/orchard' to='juliet@capulet.com'"
	" type='chat' xml:lang='en'><body>Neither, fair saint</body>"
	"<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2020-07-21T00:32:29Z'>Offline Storage</delay></message>"
	"</offline-messages>\n"
	"<archive xmlns='urn:xmpp:pie:0#mam'>"
	"<result xmlns='urn:xmpp:mam:2' id='28482-98726-73623'><forwarded xmlns='urn:xmpp:forward:0'>"
	"<delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client' to='juliet@capulet.com/b'"
	" from='romeo@montague.net/orchard' type='chat'><body>one</body></message></forwarded></result>"
	"<result xmlns='urn:xmpp:mam:2' id='5d398'><forwarded xmlns='urn:xmpp:forward:0'>"
	"<delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client'"
	" to='romeo@montague.net/orchard' from='juliet@capulet.com/b' type='chat'><body>two</body></message>"
	"</forwarded></result></archive>\n" END;

START_TEST(takes_in_what_the_specification_has)
{
	ok(full);
	ck_assert_str_eq(notes, "");
	ck_assert_uint_eq(counts.users, 1);
	ck_assert_uint_eq(counts.contacts, 2);
	ck_assert_uint_eq(counts.messages, 2);
	ck_assert_uint_eq(counts.waiting, 1);
	ck_assert_uint_eq(counts.others, 3);
	ck_assert_uint_eq(counts.without_password, 0);
}
END_TEST

START_TEST(what_goes_out_comes_in_again)
{
	ok(full);
	char *first = out();

	ck_assert_ptr_nonnull(strstr(first, "name='Romeo &amp; &lt;co&gt;'"));
	ck_assert_ptr_nonnull(strstr(first, "<group>Friends</group><group>Ä</group>"));
	ck_assert_ptr_nonnull(strstr(first, "xml:lang='en'"));
	ck_assert_ptr_nonnull(strstr(first, "mechanism='SCRAM-SHA-1'"));
	ck_assert_ptr_nonnull(strstr(first, "stamp='2020-07-21T00:32:29.000000Z'"));
	ck_assert(strstr(first, "<body>one</body>") < strstr(first, "<body>two</body>"));
	close_db();
	open_db();
	ok(first);
	char *second = out();

	ck_assert_str_eq(first, second);
	ok(first); /* again: nothing doubles */
	free(second);
	second = out();
	ck_assert_str_eq(first, second);
	ck_assert_str_eq(notes, "");
	free(first);
	free(second);
}
END_TEST

START_TEST(the_same_file_twice_is_as_once)
{
	ok(full);
	char *first = out();

	ok(full);
	char *second = out();

	ck_assert_str_eq(first, second);
	free(first);
	free(second);
}
END_TEST

START_TEST(a_disabled_account_stays_disabled)
{
	struct jid *j = NULL;
	const char *why;

	ck_assert_int_eq(user_address(users, "juliet@capulet.com", &j, &why), STERNA_OK);
	ck_assert_int_eq(user_create(users, j, "secret"), STERNA_OK);
	ck_assert_int_eq(user_disable(users, j, "<gone>"), STERNA_OK);
	char *first = out();

	close_db();
	open_db();
	ok(first);
	char *second = out();

	ck_assert_str_eq(first, second);
	ck_assert_ptr_nonnull(strstr(second, "<disabled xmlns='urn:sterna:pie:0'>&lt;gone&gt;"));
	jid_unref(&j);
	free(first);
	free(second);
}
END_TEST

START_TEST(a_password_becomes_keys)
{
	ok(HEAD "<host jid='capulet.com'><user name='juliet' password='secret'>" END);
	char *text = out();

	ck_assert_ptr_nonnull(strstr(text, "SCRAM-SHA-512"));
	ck_assert_ptr_null(strstr(text, "secret"));
	free(text);
}
END_TEST

START_TEST(what_is_not_understood_is_left_out_and_said)
{
	ok(HEAD "<x xmlns='a:b'/><host jid='capulet.com'><user name='juliet'>\n"
		"<thing xmlns='urn:thing'><deep/></thing>\n"
		"<query xmlns='jabber:iq:roster'><item jid='@@'/></query>\n" END);
	ck_assert_str_eq(notes, "3: <x xmlns='a:b'/>\n4: <thing xmlns='urn:thing'/>\n"
		"5: a contact whose address is not valid (RFC 7622)\n");
	ck_assert_uint_eq(counts.left_out, 3);
	ck_assert_uint_eq(counts.without_password, 1);
}
END_TEST

START_TEST(broken_files_are_refused_with_their_line_and_nothing_is_stored)
{
	static const struct { const char *text; unsigned long line; const char *says; } bad[] = {
		{ USER "<vCard xmlns='vcard-temp'>\n</user>", 6, "mismatched tag" },
		{ "<!DOCTYPE a [<!ENTITY x 'y'>]>\n" HEAD, 1, "document type" },
		{ "<html/>", 1, "no file of XEP-0227" },
		{ USER, 5, "no element found" },
		{ HEAD "<host jid='elsewhere.org'>\n<user name='a'>\n" END, 4, "not configured" },
		{ HEAD "<host jid='capulet.com'>\n<user name='a b'>\n" END, 4, "no address" },
		{ HEAD "<host jid='capulet.com'><user>" END, 3, "without 'name'" },
		{ HEAD "<host>" END, 3, "without 'jid'" },
		{ USER "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>1x</iter-count>"
			"</scram-credentials>" END, 5, "not right" },
		{ HEAD "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='../etc/passwd'/></server-data>", 3, "include" },
		{ HEAD "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='%2e%2e/x'/></server-data>", 3, "include" },
		{ HEAD "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='loop.xml'/></server-data>", 1, "too deeply" },
	};

	save("loop.xml", "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='loop.xml'/>");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_int_ne(in(bad[i].text), STERNA_OK);
		ck_assert_msg(err.line == bad[i].line || bad[i].says == NULL, "%zu: line %lu: %s", i, err.line, err.message);
		ck_assert_msg(bad[i].says == NULL || strstr(err.message, bad[i].says) != NULL, "%zu: %s", i, err.message);
	}
	char *text = out();

	ck_assert_ptr_null(strstr(text, "<user"));
	free(text);
}
END_TEST

START_TEST(depth_is_limited)
{
	char *text = xalloc(200000);
	size_t n = (size_t)sprintf(text, "%s", USER);

	for (int i = 0; i < 200; i++)
		n += (size_t)sprintf(text + n, "<a xmlns='u:a'>");
	ck_assert_int_eq(in(text), STERNA_ELIMIT);
	free(text);
}
END_TEST

START_TEST(included_files_take_the_place_of_the_include)
{
	save("capulet.com.xml", "<host xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' jid='capulet.com'>"
		"<xi:include href='juliet%20x.xml'/><user name='nurse'/></host>");
	save("juliet x.xml", "<user xmlns='urn:xmpp:pie:0' name='juliet'><vCard xmlns='vcard-temp'><FN>J</FN></vCard></user>");
	ok(HEAD "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='capulet.com.xml'/></server-data>");
	ck_assert_uint_eq(counts.users, 2);
	ck_assert_uint_eq(counts.others, 1);
}
END_TEST

START_TEST(many_messages_are_paged_in_order)
{
	struct buf b = BUF_INIT;
	char *text;

	buf_puts(&b, USER "<archive xmlns='urn:xmpp:pie:0#mam'>");
	for (int i = 0; i < 700; i++)
		buf_addf(&b, "<result xmlns='urn:xmpp:mam:2' id='a%d'><forwarded xmlns='urn:xmpp:forward:0'>"
			"<delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client'"
			" to='romeo@montague.net' from='juliet@capulet.com/b'><body>no. %03d</body></message>"
			"</forwarded></result>", i, i);
	buf_puts(&b, "</archive>" END);
	ok(buf_str(&b));
	buf_release(&b);
	text = out();
	ck_assert_uint_eq(counts.messages, 700);
	const char *at = text;

	for (int i = 0; i < 700; i++) {
		char want[16];

		snprintf(want, sizeof want, "no. %03d", i);
		at = strstr(at, want);
		ck_assert_msg(at != NULL, "%s is missing, or out of order", want);
	}
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pie");
	TCase *c = tcase_create("pie");
	SRunner *r;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, takes_in_what_the_specification_has);
	tcase_add_test(c, what_goes_out_comes_in_again);
	tcase_add_test(c, the_same_file_twice_is_as_once);
	tcase_add_test(c, a_disabled_account_stays_disabled);
	tcase_add_test(c, a_password_becomes_keys);
	tcase_add_test(c, what_is_not_understood_is_left_out_and_said);
	tcase_add_test(c, broken_files_are_refused_with_their_line_and_nothing_is_stored);
	tcase_add_test(c, depth_is_limited);
	tcase_add_test(c, included_files_take_the_place_of_the_include);
	tcase_add_test(c, many_messages_are_paged_in_order);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
