/* test_db.c - one suite for every database: SQLite in a file and in memory, and PostgreSQL if the environment
 * variable STERNA_TEST_PG has a conninfo (see tests/pg); its schema public is dropped. */
#include <check.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "server/db.h"
#include "server/mem.h"

static struct loop *loop;
static struct db *db;
static struct db_client *client;
static char dir[64], sql_dir[128];
static struct db_options options;
static struct timer watchdog;
static bool inside;                     /* a call of db.h is running */
static bool postgres;

static const struct db_stmt create = {
	.name = "test_create", .params = "", .pg = "CREATE TABLE t (k bigint PRIMARY KEY, v text, b bytea)",
	.sqlite = "CREATE TABLE t (k bigint PRIMARY KEY, v text, b blob)",
};
static const struct db_stmt insert = {
	.name = "test_insert", .params = "itb", .sql = "INSERT INTO t (v, k, b) VALUES ($2, $1, $3)",
};
static const struct db_stmt put = {
	.name = "test_put", .params = "it",
	.sql = "INSERT INTO t (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
};
static const struct db_stmt count_rows = {
	.name = "test_count", .params = "", .columns = "i", .sql = "SELECT count(*) FROM t",
};
static const struct db_stmt get = {
	.name = "test_get", .params = "i", .columns = "itb", .sql = "SELECT k, v, b FROM t WHERE k = $1",
};
static const struct db_stmt insert_many = {
	.name = "test_insert_many", .params = "itb", .sql = "INSERT INTO t (v, k, b) VALUES ($2, $1, $3)",
	.pg_bulk = "INSERT INTO t (k, v, b) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])",
	.commutes = true,
};
static const struct db_stmt put_many = {
	.name = "test_put_many", .params = "it",
	.sql = "INSERT INTO t (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
	.pg_bulk = "INSERT INTO t (k, v) SELECT * FROM unnest($1::bigint[], $2::text[])"
		" ON CONFLICT (k) DO UPDATE SET v = excluded.v",
};
static const struct db_stmt broken = {
	.name = "test_broken", .params = "", .sql = "INSERT INTO no_such_table VALUES (1)",
};

static void on_watchdog(struct timer *t, void *arg)
{
	(void)arg;
	loop_stop(t->loop);
	ck_abort_msg("the database did not answer");
}

static void start(void)
{
	ck_assert_int_eq(loop_new(&loop), STERNA_OK);
	timer_init(&watchdog, loop, on_watchdog, NULL);
	timer_set(&watchdog, 8000000);
	ck_assert_int_eq(db_open(&options, &db), STERNA_OK);
	ck_assert_int_eq(db_exec_now(db, &create, NULL, NULL, NULL), STERNA_OK);
	client = db_client_new(db, loop);
}

static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/sterna-test-db-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sql_dir, sizeof sql_dir, "%s/sql", dir);
	ck_assert_int_eq(mkdir(sql_dir, 0700), 0);
}

static void setup_file(void)
{
	static char path[96];

	make_dir();
	snprintf(path, sizeof path, "%s/db", dir);
	options = (struct db_options){ .driver = "sqlite", .path = path, .sql_dir = sql_dir };
	start();
}

static void setup_memory(void)
{
	make_dir();
	options = (struct db_options){ .driver = "sqlite", .path = ":memory:", .sql_dir = sql_dir };
	start();
}

static void admin(const char *sql)
{
	PGconn *conn = PQconnectdb(getenv("STERNA_TEST_PG"));

	ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
	PGresult *res = PQexec(conn, sql);

	ck_assert_msg(PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK, "%s",
		PQerrorMessage(conn));
	PQclear(res);
	PQfinish(conn);
}

static void setup_postgres(void)
{
	make_dir();
	postgres = true;
	admin("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
	options = (struct db_options){ .driver = "postgresql", .conninfo = getenv("STERNA_TEST_PG"),
		.sql_dir = sql_dir, .read_wait_ms = 4000 };
	start();
}

static void teardown(void)
{
	char command[128];

	db_client_free(&client, 2000);
	ck_assert_ptr_null(client);
	db_close(&db);
	timer_cancel(&watchdog);
	loop_free(&loop);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* --- what callbacks saw --- */

struct seen {
	int order[1024];
	enum sterna_result rc[1024];
	int n, stop_at;
};
struct ask {
	struct seen *seen;
	int id;
	int64_t number;              /* the first cell of a read */
};

static void on_done(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct ask *a = arg;
	struct seen *s = a->seen;

	ck_assert(!inside);
	if (rows != NULL && db_rows_count(rows) > 0)
		a->number = db_int(rows, 0, 0);
	s->order[s->n] = a->id;
	s->rc[s->n++] = rc;
	if (s->n == s->stop_at)
		loop_stop(loop);
}

static void commit(struct db_batch *b, struct ask *a)
{
	inside = true;
	db_batch_commit(&b, on_done, a);
	ck_assert_ptr_null(b);
	inside = false;
}

static void write_row(struct ask *a, struct seen *s, int id, const struct db_stmt *stmt, int64_t k)
{
	struct db_batch *b = db_batch_new(client);

	*a = (struct ask){ s, id, -1 };
	db_batch_add(b, stmt, (const struct db_value[]){ DB_INT(k), db_text("value"), DB_NULL });
	commit(b, a);
}

static void ask_count(struct ask *a, struct seen *s, int id)
{
	*a = (struct ask){ s, id, -1 };
	inside = true;
	db_read(client, &count_rows, NULL, on_done, a);
	inside = false;
}

static void on_number(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	ck_assert_int_eq(rc, STERNA_OK);
	*(int64_t *)arg = db_int(rows, 0, 0);
}

static int64_t count_now(void)
{
	int64_t n = -1;

	ck_assert_int_eq(db_exec_now(db, &count_rows, NULL, on_number, &n), STERNA_OK);
	return n;
}

/* --- the suite --- */

START_TEST(answers_come_in_the_order_of_commits)
{
	struct seen seen = { .stop_at = 300 };
	struct ask asks[300];

	for (int i = 0; i < 300; i++)
		write_row(&asks[i], &seen, i, &put, i % 7);
	ck_assert_uint_gt(db_queued_bytes(client), 0);
	loop_run(loop);
	for (int i = 0; i < 300; i++) {
		ck_assert_int_eq(seen.order[i], i);
		ck_assert_int_eq(seen.rc[i], STERNA_OK);
	}
	ck_assert_int_eq(count_now(), 7);
	ck_assert_uint_eq(db_queued_bytes(client), 0);
	ck_assert(db_is_up(client));
}
END_TEST

START_TEST(a_batch_commits_as_a_whole_or_not_at_all)
{
	struct seen seen = { .stop_at = 2 };
	struct ask a[2] = { { &seen, 0, -1 }, { &seen, 1, -1 } };
	struct db_batch *b = db_batch_new(client);

	for (int i = 0; i < 3; i++)
		db_batch_add(b, &insert, (const struct db_value[]){ DB_INT(i / 2), db_text("x"), DB_NULL });
	ck_assert_uint_eq(db_batch_count(b), 3);
	commit(b, &a[0]);
	b = db_batch_new(client);
	db_batch_add(b, &put, (const struct db_value[]){ DB_INT(7), db_text("x") });
	db_batch_add(b, &broken, NULL);
	commit(b, &a[1]);
	b = db_batch_new(client);
	db_batch_add(b, &put, (const struct db_value[]){ DB_INT(9), db_text("x") });
	db_batch_drop(&b);
	loop_run(loop);
	ck_assert_int_eq(seen.rc[0], STERNA_EEXISTS);
	ck_assert_int_eq(seen.rc[1], STERNA_EIO);
	ck_assert_int_eq(count_now(), 0);
}
END_TEST

START_TEST(a_refused_batch_leaves_the_others_of_its_group_alone)
{
	struct seen seen = { .stop_at = 60 };
	struct ask asks[60];

	for (int i = 0; i < 60; i++)
		write_row(&asks[i], &seen, i, &insert, i % 10 == 9 ? 0 : i);
	loop_run(loop);
	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(seen.order[i], i);
		ck_assert_int_eq(seen.rc[i], i % 10 == 9 ? STERNA_EEXISTS : STERNA_OK);
	}
	ck_assert_int_eq(count_now(), 54);
}
END_TEST

static void on_values(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	size_t len;

	(void)arg;
	ck_assert_int_eq(rc, STERNA_OK);
	ck_assert_uint_eq(db_rows_count(rows), 1);
	ck_assert_int_eq(db_int(rows, 0, 0), INT64_MIN);
	ck_assert_str_eq(db_str(rows, 0, 1, &len), "");
	ck_assert_uint_eq(len, 0);
	ck_assert(!db_is_null(rows, 0, 1));
	const char *bytes = db_str(rows, 0, 2, &len);

	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(bytes, "a\0b\xff\0", 6);
	loop_stop(loop);
}

static void on_nulls(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	(void)arg;
	ck_assert_int_eq(rc, STERNA_OK);
	ck_assert(db_is_null(rows, 0, 1) && db_is_null(rows, 0, 2));
	ck_assert_ptr_null(db_str(rows, 0, 2, NULL));
	ck_assert_int_eq(db_int(rows, 0, 0), 5);
}

static int asked, allowed;
static bool makes_room;

static bool may_repeat(const void *arg)
{
	static const struct db_stmt drop = {
		.name = "test_drop", .params = "i", .sql = "DELETE FROM t WHERE k = $1",
	};

	(void)arg;
	if (makes_room) {
		struct db_batch *b = db_batch_new(client);

		db_batch_add(b, &drop, (const struct db_value[]){ DB_INT(1) });
		db_batch_commit(&b, NULL, NULL);
	}
	return asked++ < allowed;
}

/* @return what is told of a row that is there already, when it is put up to three times more */
static enum sterna_result put_again(bool room, int may)
{
	struct seen seen = { .stop_at = 1 };
	struct ask a = { &seen, 0, -1 };
	struct db_batch *b = db_batch_new(client);

	asked = 0;
	allowed = may;
	makes_room = room;
	db_batch_add(b, &insert, (const struct db_value[]){ DB_INT(1), db_text("again"), DB_NULL });
	db_batch_repeat(b, 3, may_repeat);
	commit(b, &a);
	loop_run(loop);
	ck_assert_int_eq(seen.n, 1);
	ck_assert_uint_eq(db_queued_bytes(client), 0);
	return seen.rc[0];
}

START_TEST(a_batch_that_failed_is_submitted_again)
{
	ck_assert_int_eq(put_again(false, 9), STERNA_OK); /* it did not fail: nobody is asked */
	ck_assert_int_eq(asked, 0);
	ck_assert_int_eq(put_again(false, 9), STERNA_EEXISTS);
	ck_assert_int_eq(asked, 3);
	ck_assert_int_eq(put_again(false, 1), STERNA_EEXISTS); /* it may not for the second time */
	ck_assert_int_eq(asked, 2);
	ck_assert_int_eq(put_again(true, 9), STERNA_OK); /* behind what was submitted since */
	ck_assert_int_eq(asked, 1);
	ck_assert_int_eq(count_now(), 1);
}
END_TEST

START_TEST(many_executions_go_as_one_and_fail_alone)
{
	struct seen seen = { .stop_at = 130 };
	struct ask asks[130];

	for (int i = 0; i < 130; i++) {
		struct db_batch *b = db_batch_new(client);
		const struct db_value values[] = { DB_INT(i == 77 ? 76 : i), db_text("x"),
			i % 2 == 0 ? DB_NULL : DB_BLOB("\0\1", 2) };

		asks[i] = (struct ask){ &seen, i, -1 };
		db_batch_add(b, &insert_many, values);
		db_batch_add(b, &put_many, (const struct db_value[]){ DB_INT(1000 + i), db_text("first") });
		/* A key twice in one statement, which PostgreSQL refuses. */
		for (int n = 0; n < 5; n++)
			db_batch_add(b, &put_many, (const struct db_value[]){ DB_INT(2000 + i - n % (i > 99 ? 4 : 9)),
				db_text("second") });
		commit(b, &asks[i]);
	}
	loop_run(loop);
	for (int i = 0; i < 130; i++)
		ck_assert(seen.order[i] == i && seen.rc[i] == (i == 77 ? STERNA_EEXISTS : STERNA_OK));
	ck_assert_int_eq(count_now(), 129 + 129 + 134);
}
END_TEST

START_TEST(many_values_come_back_as_they_were)
{
	struct seen seen = { .stop_at = 1 };
	struct ask a = { &seen, 0, -1 };
	struct db_batch *b = db_batch_new(client);

	db_batch_add(b, &insert_many, (const struct db_value[]){ DB_INT(INT64_MIN), db_text(""),
		DB_BLOB("a\0b\xff", 5) });
	db_batch_add(b, &insert_many, (const struct db_value[]){ DB_INT(5), db_text(NULL), DB_NULL });
	for (int i = 10; i < 20; i++)
		db_batch_add(b, &insert_many, (const struct db_value[]){ DB_INT(i), db_text("x"), DB_NULL });
	commit(b, &a);
	loop_run(loop);
	ck_assert_int_eq(seen.rc[0], STERNA_OK);
	ck_assert_int_eq(count_now(), 12);
	ck_assert_int_eq(db_exec_now(db, &get, (const struct db_value[]){ DB_INT(INT64_MIN) }, on_values, NULL),
		STERNA_OK);
	ck_assert_int_eq(db_exec_now(db, &get, (const struct db_value[]){ DB_INT(5) }, on_nulls, NULL), STERNA_OK);
}
END_TEST

START_TEST(a_read_sees_what_was_submitted_before)
{
	struct seen seen = { .stop_at = 200 };
	struct ask writes[100], reads[100];

	for (int i = 0; i < 100; i++) {
		write_row(&writes[i], &seen, i, &put, i);
		ask_count(&reads[i], &seen, 1000 + i);
	}
	loop_run(loop);
	for (int i = 0; i < 100; i++)
		ck_assert_int_ge(reads[i].number, i + 1);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(seen.rc[i], STERNA_OK);
}
END_TEST

START_TEST(values_come_back_as_they_were)
{
	struct db_batch *b = db_batch_new(client);

	db_batch_add(b, &insert, (const struct db_value[]){ DB_INT(INT64_MIN), db_text(""),
		DB_BLOB("a\0b\xff", 5) });
	db_batch_add(b, &insert, (const struct db_value[]){ DB_INT(5), db_text(NULL), DB_NULL });
	db_batch_commit(&b, NULL, NULL);
	db_read(client, &get, (const struct db_value[]){ DB_INT(INT64_MIN) }, on_values, NULL);
	loop_run(loop);
	ck_assert_int_eq(db_exec_now(db, &get, (const struct db_value[]){ DB_INT(5) }, on_nulls, NULL), STERNA_OK);
	ck_assert_int_eq(db_exec_now(db, &broken, NULL, NULL, NULL), STERNA_EIO);
}
END_TEST

START_TEST(a_client_that_closes_answers_everything)
{
	struct seen seen = { .stop_at = -1 };
	struct ask asks[101];

	for (int i = 0; i < 100; i++)
		write_row(&asks[i], &seen, i, &put, i);
	ask_count(&asks[100], &seen, 100);
	db_client_free(&client, 3000);
	ck_assert_int_eq(seen.n, 101);
	for (int i = 0; i < 100; i++)
		ck_assert(seen.order[i] == i && seen.rc[i] == STERNA_OK);
	ck_assert_int_eq(asks[100].number, 100);
	ck_assert_int_eq(count_now(), 100);
	client = db_client_new(db, loop);
	seen.n = 0;
	for (int i = 0; i < 101; i++)
		write_row(&asks[i], &seen, i, &insert, 1000 + i);
	db_client_free(&client, 0);
	ck_assert_int_eq(seen.n, 101);
	for (int i = 0; i < 101; i++)
		ck_assert_int_ne(seen.rc[i], STERNA_EEXISTS);
}
END_TEST

START_TEST(a_full_queue_answers_unavailable)
{
	struct seen seen = { .stop_at = 400 };
	struct ask asks[400];
	int refused = 0;

	db_client_free(&client, 1000);
	db_close(&db);
	options.queue_bytes = 64 << 10;
	ck_assert_int_eq(db_open(&options, &db), STERNA_OK);
	if (strcmp(options.driver, "sqlite") == 0 && strcmp(options.path, ":memory:") == 0)
		ck_assert_int_eq(db_exec_now(db, &create, NULL, NULL, NULL), STERNA_OK);
	client = db_client_new(db, loop);
	for (int i = 0; i < 400; i++)
		write_row(&asks[i], &seen, i, &insert, i);
	loop_run(loop);
	for (int i = 0; i < 400; i++) {
		ck_assert(seen.rc[i] == STERNA_OK || seen.rc[i] == STERNA_EUNAVAILABLE);
		refused += seen.rc[i] != STERNA_OK;
	}
	ck_assert_int_gt(refused, 0);
	ck_assert_int_lt(refused, 400);
	ck_assert_int_eq(count_now(), 400 - refused);
	ck_assert_uint_eq(db_queued_bytes(client), 0);
}
END_TEST

/* --- migrations --- */

static void script(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", sql_dir, name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static int64_t number_of(const char *sql)
{
	const struct db_stmt s = { .name = "test_number", .params = "", .columns = "i", .sql = sql };
	int64_t n = -1;

	ck_assert_int_eq(db_exec_now(db, &s, NULL, on_number, &n), STERNA_OK);
	return n;
}

START_TEST(migrations_run_once_in_order)
{
	int from, to;

	script("0002_more.sql", "INSERT INTO m VALUES (2); INSERT INTO m VALUES (3)");
	script("0001_first.pg.sql", "CREATE TABLE m (n bigint); INSERT INTO m VALUES (1);");
	script("0001_first.sqlite.sql", "CREATE TABLE m (n bigint); INSERT INTO m VALUES (1);");
	script("README", "none");
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_OK);
	ck_assert(from == 0 && to == 2);
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_OK);
	ck_assert(from == 2 && to == 2);
	ck_assert_int_eq(number_of("SELECT count(*) FROM m"), 3);
	script("0003_third.sql", "INSERT INTO m VALUES (4)");
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_OK);
	ck_assert(from == 2 && to == 3);
}
END_TEST

START_TEST(a_failing_migration_is_rolled_back)
{
	int from, to;

	script("0001_first.sql", "CREATE TABLE m (n bigint)");
	script("0002_bad.sql", "INSERT INTO m VALUES (1); INSERT INTO nowhere VALUES (1)");
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_EIO);
	ck_assert(from == 0 && to == 1);
	ck_assert_int_eq(number_of("SELECT count(*) FROM m"), 0);
	script("0002_bad.sql", "INSERT INTO m VALUES (1)");
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_OK);
	ck_assert(from == 1 && to == 2);
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	int from, to;
	char path[256];

	script("0001_first.sql", "CREATE TABLE m (n bigint)");
	script("0002_second.sql", "INSERT INTO m VALUES (1)");
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_OK);
	snprintf(path, sizeof path, "%s/0002_second.sql", sql_dir);
	unlink(path);
	ck_assert_int_eq(db_migrate(db, &from, &to), STERNA_ELIMIT);
	ck_assert(from == 2 && to == 2);
	script("0003_gap.sql", "INSERT INTO m VALUES (1)");
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_EIO);
}
END_TEST

START_TEST(the_core_schema_is_created)
{
	const char *const srcdir = getenv("srcdir");

	db_client_free(&client, 1000);
	db_close(&db);
	snprintf(sql_dir, sizeof sql_dir, "%s/sql", srcdir != NULL ? srcdir : ".");
	ck_assert_int_eq(db_open(&options, &db), STERNA_OK);
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_OK);
	client = db_client_new(db, loop);
	const int64_t now_ms = 1700000000000;   /* November 2023 */
	const struct db_stmt add = { .name = "test_archive", .params = "i",
		.sql = "INSERT INTO archive (owner, id, peer, stanza) VALUES ('a@b', $1, 'c@d', '<message/>')" };

	for (int64_t day = 0; day < 90; day += 30)
		ck_assert_int_eq(db_exec_now(db, &add, (const struct db_value[]){
			DB_INT((now_ms + day * 86400000) << 20) }, NULL, NULL), STERNA_OK);
	ck_assert_int_eq(db_maintain(db, now_ms), STERNA_OK);
	ck_assert_int_eq(db_maintain(db, now_ms), STERNA_OK);
	ck_assert_int_eq(number_of("SELECT count(*) FROM archive"), 3);
	if (postgres) {
		ck_assert_int_eq(number_of("SELECT count(*) FROM archive_2023_11"), 1);
		ck_assert_int_eq(number_of("SELECT count(*) FROM archive_2024_01"), 1);
		ck_assert_int_eq(number_of("SELECT count(*) FROM archive_default"), 0);
	}
}
END_TEST

/* --- faults --- */

struct states {
	int down, up;
};

static void on_state(void *arg, bool up)
{
	struct states *s = arg;

	*(up ? &s->up : &s->down) += 1;
}

static void lift_limit(struct timer *t, void *arg)
{
	ck_assert_int_eq(((struct seen *)arg)->n, 0);
	if (db_is_up(client)) {          /* the writer has not come to it yet */
		timer_set(t, 50000);
		return;
	}
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
}

START_TEST(writes_wait_while_the_disk_is_full)
{
	struct seen seen = { .stop_at = 50 };
	struct ask asks[50];
	struct states states = { 0, 0 };
	struct timer lift;
	char *big = xalloc(20001);

	memset(big, 'x', 20000);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 128 << 10, RLIM_INFINITY });
	db_on_state(client, on_state, &states);
	timer_init(&lift, loop, lift_limit, &seen);
	timer_set(&lift, 200000);
	for (int i = 0; i < 50; i++) {
		struct db_batch *b = db_batch_new(client);

		asks[i] = (struct ask){ &seen, i, -1 };
		db_batch_add(b, &put, (const struct db_value[]){ DB_INT(i), db_text(big) });
		commit(b, &asks[i]);
	}
	loop_run(loop);
	for (int i = 0; i < 50; i++)
		ck_assert(seen.order[i] == i && seen.rc[i] == STERNA_OK);
	ck_assert(states.down == 1 && states.up == 1 && db_is_up(client));
	ck_assert_int_eq(count_now(), 50);
	free(big);
}
END_TEST

START_TEST(closing_while_the_disk_is_full_answers_unavailable)
{
	struct seen seen = { .stop_at = -1 };
	struct ask asks[2];
	char *big = xalloc(300001);
	struct db_batch *b = db_batch_new(client);

	memset(big, 'x', 300000);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 128 << 10, RLIM_INFINITY });
	asks[0] = (struct ask){ &seen, 0, -1 };
	db_batch_add(b, &put, (const struct db_value[]){ DB_INT(1), db_text(big) });
	commit(b, &asks[0]);
	ask_count(&asks[1], &seen, 1);
	db_client_free(&client, 200);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
	ck_assert_int_eq(seen.n, 2);
	ck_assert_int_eq(seen.rc[1], STERNA_EUNAVAILABLE);
	ck_assert(seen.rc[0] == STERNA_EUNAVAILABLE || seen.rc[0] == STERNA_EUNCERTAIN);
	ck_assert_int_eq(count_now(), 0);
	free(big);
}
END_TEST

/* A stream of batches, while the server cuts the connections again and again. */
struct stream {
	struct seen seen;
	struct ask asks[1000], reads[40];
	struct seen read_seen;
	struct timer next, cut;
	int sent, cuts;
};

static void on_next(struct timer *t, void *arg)
{
	struct stream *s = arg;

	for (int i = 0; i < 10 && s->sent < 1000; i++, s->sent++)
		write_row(&s->asks[s->sent], &s->seen, s->sent, &put, s->sent);
	if (s->sent % 50 == 0 && s->sent / 50 <= 20)
		ask_count(&s->reads[s->sent / 50], &s->read_seen, s->sent);
	if (s->sent < 1000)
		timer_set(t, 3000);
}

static void on_cut(struct timer *t, void *arg)
{
	struct stream *s = arg;

	admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	      " WHERE application_name = 'sterna' AND pid <> pg_backend_pid()");
	if (++s->cuts < 4)
		timer_set(t, 70000);
}

START_TEST(cut_connections_lose_and_double_nothing)
{
	struct stream *s = xalloc(sizeof *s);
	struct states states = { 0, 0 };

	s->seen.stop_at = 1000;
	s->read_seen.stop_at = -1;
	db_on_state(client, on_state, &states);
	timer_init(&s->next, loop, on_next, s);
	timer_init(&s->cut, loop, on_cut, s);
	timer_set(&s->next, 0);
	timer_set(&s->cut, 50000);
	loop_run(loop);
	timer_cancel(&s->cut);
	for (int i = 0; i < 1000; i++)
		ck_assert(s->seen.order[i] == i && s->seen.rc[i] == STERNA_OK);
	for (int i = 0; i < s->read_seen.n; i++)
		ck_assert(s->read_seen.rc[i] == STERNA_OK &&
			s->reads[s->read_seen.order[i] / 50].number >= s->read_seen.order[i]);
	ck_assert_int_gt(s->cuts, 0);
	ck_assert_int_gt(states.down, 0);
	ck_assert_int_eq(count_now(), 1000);
	db_client_free(&client, 2000);
	free(s);
}
END_TEST

static const struct db_stmt all = {
	.name = "test_all", .params = "", .columns = "itb", .sql = "SELECT * FROM t",
};

static void on_row(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	int *n = arg;

	ck_assert_int_eq(rc, STERNA_OK);
	ck_assert_uint_eq(db_rows_count(rows), 0);
	if (++*n == 2) {
		loop_stop(loop);
		return;
	}
	admin("ALTER TABLE t ADD COLUMN more text");
	db_read(client, &all, NULL, on_row, n);
}

START_TEST(statements_are_prepared_anew_when_a_table_changed)
{
	int n = 0;

	db_read(client, &all, NULL, on_row, &n);
	loop_run(loop);
	ck_assert_int_eq(n, 2);
}
END_TEST

static void on_cancel(struct timer *t, void *arg)
{
	(void)t, (void)arg;
	admin("SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
	      " WHERE application_name = 'sterna' AND pid <> pg_backend_pid()");
}

static void on_release(struct timer *t, void *arg)
{
	(void)t;
	PQclear(PQexec(arg, "ROLLBACK"));
}

START_TEST(a_cancelled_statement_is_tried_again)
{
	struct seen seen = { .stop_at = 1 };
	struct ask a;
	PGconn *conn = PQconnectdb(getenv("STERNA_TEST_PG"));

	PQclear(PQexec(conn, "BEGIN; LOCK TABLE t"));
	write_row(&a, &seen, 0, &insert, 1);
	struct timer cancel, release;

	timer_init(&cancel, loop, on_cancel, NULL);
	timer_init(&release, loop, on_release, conn);
	timer_set(&cancel, 150000);
	timer_set(&release, 300000);
	loop_run(loop);
	ck_assert_int_eq(seen.rc[0], STERNA_OK);
	ck_assert_int_eq(count_now(), 1);
	PQfinish(conn);
}
END_TEST

START_TEST(nothing_listens_reads_time_out_writes_wait)
{
	struct seen seen = { .stop_at = 1 };
	struct ask a[3];

	db_client_free(&client, 1000);
	db_close(&db);
	options.conninfo = "host=127.0.0.1 port=1 user=nobody dbname=none";
	options.read_wait_ms = 150;
	ck_assert_int_eq(db_open(&options, &db), STERNA_OK);
	client = db_client_new(db, loop);
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_EIO);       /* an empty folder */
	script("0001_first.sql", "CREATE TABLE m (n bigint)");
	ck_assert_int_eq(db_migrate(db, NULL, NULL), STERNA_EUNAVAILABLE);
	ck_assert_int_eq(db_exec_now(db, &count_rows, NULL, NULL, NULL), STERNA_EUNAVAILABLE);
	ask_count(&a[0], &seen, 0);
	write_row(&a[1], &seen, 1, &put, 1);
	loop_run(loop);
	ck_assert(seen.n == 1 && seen.order[0] == 0 && seen.rc[0] == STERNA_EUNAVAILABLE);
	ck_assert(!db_is_up(client));
	ck_assert_uint_gt(db_queued_bytes(client), 0);
	db_client_free(&client, 50);
	ck_assert(seen.n == 2 && seen.order[1] == 1 && seen.rc[1] == STERNA_EUNAVAILABLE);
}
END_TEST

START_TEST(the_second_host_is_found)
{
	struct seen seen = { .stop_at = 1 };
	struct ask a;
	char *second = strstr(getenv("STERNA_TEST_PG"), "host=127.0.0.1 port="), two[256];

	if (second == NULL)
		return;
	const int port = atoi(strstr(second, "port=") + 5);

	snprintf(two, sizeof two, "host=127.0.0.1,127.0.0.1 port=1,%d %s", port, strstr(second, "user="));
	db_client_free(&client, 1000);
	db_close(&db);
	options.conninfo = two;
	ck_assert_int_eq(db_open(&options, &db), STERNA_OK);
	client = db_client_new(db, loop);
	write_row(&a, &seen, 0, &put, 1);
	loop_run(loop);
	ck_assert_int_eq(seen.rc[0], STERNA_OK);
}
END_TEST

static TCase *common(const char *name, void (*setup)(void))
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, answers_come_in_the_order_of_commits);
	tcase_add_test(t, a_batch_commits_as_a_whole_or_not_at_all);
	tcase_add_test(t, a_refused_batch_leaves_the_others_of_its_group_alone);
	tcase_add_test(t, a_batch_that_failed_is_submitted_again);
	tcase_add_test(t, many_executions_go_as_one_and_fail_alone);
	tcase_add_test(t, many_values_come_back_as_they_were);
	tcase_add_test(t, a_read_sees_what_was_submitted_before);
	tcase_add_test(t, values_come_back_as_they_were);
	tcase_add_test(t, a_client_that_closes_answers_everything);
	tcase_add_test(t, a_full_queue_answers_unavailable);
	tcase_add_test(t, migrations_run_once_in_order);
	tcase_add_test(t, a_failing_migration_is_rolled_back);
	tcase_add_test(t, a_newer_schema_is_refused);
	tcase_add_test(t, the_core_schema_is_created);
	return t;
}

int main(void)
{
	Suite *s = suite_create("db");
	TCase *file = common("sqlite file", setup_file);

	tcase_add_test(file, writes_wait_while_the_disk_is_full);
	tcase_add_test(file, closing_while_the_disk_is_full_answers_unavailable);
	suite_add_tcase(s, file);
	suite_add_tcase(s, common("sqlite memory", setup_memory));
	if (getenv("STERNA_TEST_PG") != NULL) {
		TCase *pg = common("postgresql", setup_postgres);

		tcase_add_test(pg, cut_connections_lose_and_double_nothing);
		tcase_add_test(pg, statements_are_prepared_anew_when_a_table_changed);
		tcase_add_test(pg, a_cancelled_statement_is_tried_again);
		tcase_add_test(pg, nothing_listens_reads_time_out_writes_wait);
		tcase_add_test(pg, the_second_host_is_found);
		suite_add_tcase(s, pg);
	}
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
