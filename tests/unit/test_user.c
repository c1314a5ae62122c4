/* test_user.c - accounts on the storage: SQLite, and PostgreSQL if STERNA_TEST_PG has a conninfo (its schema public
 * is dropped). */
#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/user.h"
#include "server/user_impl.h"

static struct config *config;
static struct db *db;
static struct users *users;
static char dir[64], path[96];

static void start(struct db_options o)
{
	static const char text[] = "hosts: { example.org: {}, b.example: {} }\nauth: { iterations: 4096 }\n";
	struct config_error err;

	o.sql_dir = TEST_SQL_DIR;
	ck_assert_int_eq(config_load_text(text, sizeof text - 1, "t", "/", &config, &err), STERNA_OK);
	ck_assert_int_eq(db_open(&o, &db), STERNA_OK);
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_OK);
	ck_assert_int_eq(users_new(&(struct users_options){ .db = db, .config = config, .wait_ms = 20000 }, &users),
		STERNA_OK);
}

static void setup_sqlite(void)
{
	snprintf(dir, sizeof dir, "/tmp/sterna-test-user-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/db", dir);
	start((struct db_options){ .driver = "sqlite", .path = path });
}

static void setup_pg(void)
{
	PGconn *c = PQconnectdb(getenv("STERNA_TEST_PG"));

	PQclear(PQexec(c, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"));
	PQfinish(c);
	start((struct db_options){ .driver = "postgresql", .conninfo = getenv("STERNA_TEST_PG") });
}

static void teardown(void)
{
	users_free(&users);
	db_close(&db);
	config_unref(&config);
	if (dir[0] != '\0') {
		char command[128];

		snprintf(command, sizeof command, "rm -rf '%s'", dir);
		ck_assert_int_eq(system(command), 0);
		dir[0] = '\0';
	}
}

static struct jid *jid(const char *text)
{
	const char *why = "";
	struct jid *j = NULL;

	ck_assert_msg(user_address(users, text, &j, &why) == STERNA_OK, "%s: %s", text, why);
	return j;
}

struct seen {
	char text[512];
	struct user_info last;
};

static void on_user(void *arg, const struct user_info *i)
{
	struct seen *s = arg;
	const size_t n = strlen(s->text);

	s->last = *i;
	snprintf(s->text + n, sizeof s->text - n, "%s%s;", i->jid, i->disabled ? "!" : "");
}

static void on_count(void *arg, const struct db_rows *rows)
{
	*(int64_t *)arg = db_int(rows, 0, 0);
}

static int64_t rows_of(const struct db_stmt *s)
{
	int64_t n = -1;

	ck_assert_int_eq(users_read(users, s, (const struct db_value[]){ db_text("romeo@example.org") }, on_count, &n),
		STERNA_OK);
	return n;
}

START_TEST(makes_an_account_once)
{
	struct jid *j = jid("Romeo@EXAMPLE.org");
	struct user_details d;
	struct seen seen = { "" };

	ck_assert_int_eq(user_create(users, j, "secret"), STERNA_OK);
	ck_assert_int_eq(user_create(users, j, "other"), STERNA_EEXISTS);
	ck_assert_int_eq(user_get(users, j, &d, on_user, &seen), STERNA_OK);
	ck_assert_str_eq(seen.text, "romeo@example.org;");
	ck_assert_str_eq(d.mechanisms, "SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512");
	ck_assert_int_eq(d.iterations, 4096);
	jid_unref(&j);
}
END_TEST

START_TEST(refuses_addresses_that_no_account_has)
{
	static const char *const bad[] = { "example.org", "a@example.org/r", "a@elsewhere.org", "@", "", "a b@example.org" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const char *why = NULL;
		struct jid *j = NULL;

		ck_assert_int_ne(user_address(users, bad[i], &j, &why), STERNA_OK);
		ck_assert_ptr_null(j);
		ck_assert_ptr_nonnull(why);
	}
}
END_TEST

START_TEST(refuses_passwords_that_nobody_could_type)
{
	struct jid *j = jid("romeo@example.org");

	ck_assert_int_eq(user_create(users, j, ""), STERNA_EINVAL);
	ck_assert_int_eq(user_create(users, j, "a\x07" "b"), STERNA_EINVAL);
	ck_assert_int_eq(user_create(users, j, "\xff"), STERNA_EINVAL);
	ck_assert_int_eq(user_get(users, j, NULL, on_user, &(struct seen){ "" }), STERNA_ENOTFOUND);
	jid_unref(&j);
}
END_TEST

static const struct db_stmt token_put = { .name = "t_token", .params = "tb",
	.sql = "INSERT INTO fast_token (owner, client_id, slot, mech, token_hash, created, expires) "
	       "VALUES ($1, 'c', 0, 'HT-SHA-256-NONE', $2, 1, 2)" };
static const struct db_stmt token_count = { .name = "t_tokens", .params = "t", .columns = "i",
	.sql = "SELECT count(*) FROM fast_token WHERE owner = $1" };
static const struct db_stmt key_get = { .name = "t_key", .params = "t", .columns = "ib",
	.sql = "SELECT 0, stored_key FROM credential WHERE jid = $1 AND mech = 'SCRAM-SHA-256'" };

static void on_key(void *arg, const struct db_rows *rows)
{
	ck_assert_uint_eq(db_rows_count(rows), 1);
	memcpy(arg, db_str(rows, 0, 1, NULL), 32);
}

START_TEST(a_new_password_ends_the_old_one_and_its_tokens)
{
	const struct db_value who[] = { db_text("romeo@example.org"), DB_BLOB("x", 1) };
	struct jid *j = jid("romeo@example.org");
	unsigned char before[32], after[32];

	ck_assert_int_eq(user_set_password(users, j, "x"), STERNA_ENOTFOUND);
	ck_assert_int_eq(user_create(users, j, "secret"), STERNA_OK);
	struct db_batch *b = users_batch(users);

	db_batch_add(b, &token_put, who);
	ck_assert_int_eq(users_commit(users, &b), STERNA_OK);
	ck_assert_int_eq(rows_of(&token_count), 1);
	ck_assert_int_eq(users_read(users, &key_get, who, on_key, before), STERNA_OK);
	ck_assert_int_eq(user_set_password(users, j, "another"), STERNA_OK);
	ck_assert_int_eq(users_read(users, &key_get, who, on_key, after), STERNA_OK);
	ck_assert_mem_ne(before, after, 32);
	ck_assert_int_eq(rows_of(&token_count), 0);
	jid_unref(&j);
}
END_TEST

START_TEST(a_deleted_account_leaves_nothing)
{
	static const struct db_stmt fill[] = {
		{ .name = "t_roster", .params = "t", .sql = "INSERT INTO roster (owner, contact) VALUES ($1, 'c@d')" },
		{ .name = "t_archive", .params = "t",
			.sql = "INSERT INTO archive (owner, id, peer, flags, stanza) VALUES ($1, 1, 'c@d', 3, '<m/>')" },
		{ .name = "t_vcard", .params = "t", .sql = "INSERT INTO vcard (owner, xml) VALUES ($1, '<v/>')" },
	};
	static const struct db_stmt left = { .name = "t_left", .params = "t", .columns = "i",
		.sql = "SELECT (SELECT count(*) FROM roster WHERE owner = $1) + (SELECT count(*) FROM vcard WHERE owner = $1)"
		       " + (SELECT count(*) FROM archive WHERE owner = $1)"
		       " + (SELECT count(*) FROM credential WHERE jid = $1)"
		       " + (SELECT count(*) FROM account WHERE jid = $1)" };
	struct jid *j = jid("romeo@example.org");
	struct db_batch *b;
	struct user_details d;

	ck_assert_int_eq(user_delete(users, j), STERNA_ENOTFOUND);
	ck_assert_int_eq(user_create(users, j, "secret"), STERNA_OK);
	b = users_batch(users);
	for (size_t i = 0; i < sizeof fill / sizeof *fill; i++)
		db_batch_add(b, &fill[i], (const struct db_value[]){ db_text(jid_bare(j)) });
	ck_assert_int_eq(users_commit(users, &b), STERNA_OK);
	ck_assert_int_eq(user_get(users, j, &d, on_user, &(struct seen){ "" }), STERNA_OK);
	ck_assert_int_eq(d.contacts, 1);
	ck_assert_int_eq(d.archived, 1);
	ck_assert_int_eq(d.offline, 1);
	ck_assert_int_eq(rows_of(&left), 7);
	ck_assert_int_eq(user_delete(users, j), STERNA_OK);
	ck_assert_int_eq(rows_of(&left), 0);
	jid_unref(&j);
}
END_TEST

START_TEST(disables_and_enables)
{
	struct jid *j = jid("romeo@example.org");
	struct seen seen = { "" };

	ck_assert_int_eq(user_disable(users, j, NULL), STERNA_ENOTFOUND);
	ck_assert_int_eq(user_create(users, j, "secret"), STERNA_OK);
	ck_assert_int_eq(user_disable(users, j, "left the house"), STERNA_OK);
	ck_assert_int_eq(user_get(users, j, NULL, on_user, &seen), STERNA_OK);
	ck_assert_int_eq(user_enable(users, j), STERNA_OK);
	ck_assert_int_eq(user_get(users, j, NULL, on_user, &seen), STERNA_OK);
	ck_assert_str_eq(seen.text, "romeo@example.org!;romeo@example.org;");
	jid_unref(&j);
}
END_TEST

/* --- many --- */

struct report {
	char text[1024];
	size_t done;
};

static void on_wrong(void *arg, unsigned line, const char *what)
{
	struct report *r = arg;
	const size_t n = strlen(r->text);

	snprintf(r->text + n, sizeof r->text - n, "%u: %s\n", line, what);
}

static void on_progress(void *arg, size_t done, size_t total)
{
	struct report *r = arg;

	ck_assert_uint_le(done, total);
	r->done = done;
}

static enum sterna_result many(const char *text, bool skip, struct report *r, struct user_bulk_result *out)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	const struct user_bulk o = { .threads = 2, .skip_existing = skip, .wrong = on_wrong, .progress = on_progress,
		.arg = r };

	ck_assert_ptr_nonnull(f);
	*r = (struct report){ "" };
	const enum sterna_result rc = user_create_many(users, f, &o, out);

	fclose(f);
	return rc;
}

START_TEST(many_are_made_in_batches)
{
	char *text = xalloc(64 * 230);
	struct user_bulk_result out;
	struct report r;
	size_t n = 0;

	for (int i = 0; i < 230; i++)
		n += (size_t)sprintf(text + n, "# no. %d\n  user%03d@%s \t pass word %d\r\n\n", i, i,
			i % 2 ? "example.org" : "b.example", i);
	ck_assert_int_eq(many(text, false, &r, &out), STERNA_OK);
	ck_assert_uint_eq(out.created, 230);
	ck_assert_uint_eq(r.done, 230);
	ck_assert_str_eq(r.text, "");
	free(text);

	struct jid *j = jid("user007@example.org");
	struct user_details d;

	ck_assert_int_eq(user_get(users, j, &d, on_user, &(struct seen){ "" }), STERNA_OK);
	ck_assert_int_eq(d.iterations, 4096);
	jid_unref(&j);
}
END_TEST

static void on_number(void *arg, const struct user_info *i)
{
	(void)i;
	++*(size_t *)arg;
}

START_TEST(lists_pages_and_hosts)
{
	struct db_batch *b = users_batch(users);
	size_t all = 0, one = 0;

	for (int i = 0; i < 1010; i++) {
		char text[64];

		snprintf(text, sizeof text, "u%d@%s", i, i % 10 ? "example.org" : "b.example");
		db_batch_add(b, &user_insert_stmt, (const struct db_value[]){ db_text(text), DB_INT(i) });
	}
	ck_assert_int_eq(users_commit(users, &b), STERNA_OK);
	ck_assert_int_eq(user_list(users, NULL, on_number, &all), STERNA_OK);
	ck_assert_int_eq(user_list(users, "b.example", on_number, &one), STERNA_OK);
	ck_assert_uint_eq(all, 1010);
	ck_assert_uint_eq(one, 101);
}
END_TEST

START_TEST(wrong_lines_are_named_and_nothing_is_written)
{
	struct jid *j = jid("old@example.org"), *k = jid("good@example.org");
	struct user_bulk_result out;
	struct report r;

	ck_assert_int_eq(user_create(users, j, "x"), STERNA_OK);
	ck_assert_int_eq(many("good@example.org p\nnobody@example.com p\n\nlonely@example.org\nold@example.org p\n"
		"GOOD@example.org p\nx@example.org \x01\n", false, &r, &out), STERNA_EINVAL);
	ck_assert_str_eq(r.text,
		"2: its domain is none of the configured hosts\n"
		"4: there is no password after the address\n"
		"7: the password is too long, or has characters that are not allowed (RFC 8265)\n"
		"6: the same account as in line 1\n"
		"5: the account is there already\n");
	ck_assert_uint_eq(out.wrong, 5);
	ck_assert_int_eq(user_get(users, k, NULL, on_user, &(struct seen){ "" }), STERNA_ENOTFOUND);
	ck_assert_int_eq(many("good@example.org p\nold@example.org p\n", true, &r, &out), STERNA_OK);
	ck_assert_uint_eq(out.created, 1);
	ck_assert_uint_eq(out.skipped, 1);
	jid_unref(&j);
	jid_unref(&k);
}
END_TEST

static void add_tests(TCase *c)
{
	tcase_set_timeout(c, 60);
	tcase_add_test(c, makes_an_account_once);
	tcase_add_test(c, refuses_addresses_that_no_account_has);
	tcase_add_test(c, refuses_passwords_that_nobody_could_type);
	tcase_add_test(c, a_new_password_ends_the_old_one_and_its_tokens);
	tcase_add_test(c, a_deleted_account_leaves_nothing);
	tcase_add_test(c, disables_and_enables);
	tcase_add_test(c, many_are_made_in_batches);
	tcase_add_test(c, lists_pages_and_hosts);
	tcase_add_test(c, wrong_lines_are_named_and_nothing_is_written);
}

int main(void)
{
	Suite *s = suite_create("user");
	TCase *c = tcase_create("sqlite");
	SRunner *r;

	tcase_add_checked_fixture(c, setup_sqlite, teardown);
	add_tests(c);
	suite_add_tcase(s, c);
	if (getenv("STERNA_TEST_PG") != NULL) {
		c = tcase_create("postgresql");
		tcase_add_checked_fixture(c, setup_pg, teardown);
		add_tests(c);
		suite_add_tcase(s, c);
	}
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
