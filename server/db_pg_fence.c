/* db_pg_fence.c - before a new connection writes, what an older one still has under way is over.
 *
 * A group whose answer did not come is repeated on a new connection. Its first try may still lie before the server, in
 * a backend that was stopped, or that has read all and not noticed that nobody listens: it would be executed later, and
 * older values would win over newer ones. The same goes for what a process left behind that was killed. So a connection
 * for writes holds a lock, in shared mode, and its successor ends those who hold it and waits until they are gone. A tool
 * that works while a server runs holds another lock: each would else end what the other has under way, again and again. */
#include "server/db_pg.h"
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FENCE_MS = 3000, AGAIN_MS = 20 };

/* The classes of locks, "STRN" and the next; the object is which process holds it. */
enum { OF_SERVERS = 1398035022, OF_TOOLS };

#define HOLDERS "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %d AND pid <> pg_backend_pid() " \
	"AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

/* The rows of one statement; NULL: it was refused, or no answer came in time. */
static PGresult *ask(PGconn *conn, const char *sql, uint64_t until_us)
{
	PGresult *res, *last = NULL;

	if (!PQsendQuery(conn, sql))
		return NULL;
	for (;;) {
		const uint64_t now = db_clock_us();
		struct pollfd p = { .fd = PQsocket(conn), .events = POLLIN };

		if (PQisBusy(conn)) {
			if (now >= until_us || poll(&p, 1, (int)((until_us - now) / 1000) + 1) < 0 || !PQconsumeInput(conn)) {
				PQclear(last);
				return NULL;
			}
			continue;
		}
		res = PQgetResult(conn);
		if (res == NULL)
			break;
		PQclear(last);
		last = res;
	}
	if (last != NULL && PQresultStatus(last) != PGRES_TUPLES_OK) {
		PQclear(last);
		last = NULL;
	}
	return last;
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

bool pg_fence(PGconn *conn, unsigned process, bool beside, int before_pid)
{
	const int class = beside ? OF_TOOLS : OF_SERVERS;
	const uint64_t until_us = db_clock_us() + FENCE_MS * UINT64_C(1000);
	char lock[96], end[512];
	PGresult *res;

	snprintf(lock, sizeof lock, "SELECT pg_advisory_lock_shared(%d, %u)", class, process);
	res = ask(conn, lock, until_us);
	if (res == NULL)
		return false;
	PQclear(res);
	/* Those of another server; and the one that this one takes the place of. */
	snprintf(end, sizeof end, "SELECT pg_terminate_backend(pid) " HOLDERS " AND (%s AND objid <> %u OR pid = %d)", class,
		beside ? "false" : "true", process, before_pid);
	for (bool any = false;; any = true) {
		res = ask(conn, end, until_us);
		if (res == NULL)
			return false;
		const int left = PQntuples(res);

		PQclear(res);
		if (left == 0 && any)
			log_notice("db", "an older connection for writes was ended first");
		if (left == 0)
			return true;
		if (db_clock_us() >= until_us)
			return false;
		pause_ms(AGAIN_MS);
	}
}

/* --- at the start --- */

enum { ALONE_MS = 50, LEAVES_MS = 1500, RETURNS_MS = 8000, YOUNG_S = 20 };

#define HERE "l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.database = (SELECT oid FROM pg_database " \
	"WHERE datname = current_database())"
#define OTHERS "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.classid = 1398035022 AND " HERE

/* Two that start in the same moment see no connections for writes of each other: they have none yet. So who looks whether
 * it is alone holds a lock, from before the look until its process ends; the object is 0. */
#define STARTER "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.classid = 1398035024 " \
	"AND l.pid <> pg_backend_pid() AND " HERE

struct others {
	int64_t count, newest_us;            /* when the youngest of their connections was made */
	char where[64];
};

static void on_others(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct others *o = arg;

	if (rc != STERNA_OK || db_rows_count(rows) == 0)
		return;
	o->count = db_int(rows, 0, 0);
	o->newest_us = db_int(rows, 0, 2);
	if (o->count > 0)
		snprintf(o->where, sizeof o->where, "%s", db_str(rows, 0, 1, NULL));
}

static enum sterna_result look(struct db *db, struct others *o)
{
	static const struct db_stmt get = {
		.name = "fence_others", .params = "", .columns = "iti",
		.sql = "",
		.pg = "SELECT count(*), coalesce(min(host(a.client_addr)), 'this machine'), "
		      "coalesce(max((extract(epoch FROM a.backend_start) * 1000000)::bigint), 0) " OTHERS,
		.sqlite = "SELECT 0, '', 0",
	};

	o->count = 0;
	return db_exec_now(db, &get, NULL, on_others, o);
}

static void on_flag(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	*(bool *)arg = rc == STERNA_OK && db_rows_count(rows) > 0 && db_int(rows, 0, 0) != 0;
}

/* The lock of those that start, on the connection that stays open until the end. Waits for one that holds it and goes:
 * killed a moment ago, or refused itself. */
static enum sterna_result take_start(struct db *db, unsigned wait_ms, bool *held)
{
	static const struct db_stmt take = {
		.name = "fence_start", .params = "", .columns = "i", .sql = "",
		.pg = "SELECT pg_try_advisory_lock(1398035024, 0)", .sqlite = "SELECT 1",
	};
	const uint64_t until_us = db_clock_us() + wait_ms * UINT64_C(1000);
	enum sterna_result rc = db_exec_now(db, &take, NULL, on_flag, held);

	for (; rc == STERNA_OK && !*held && db_clock_us() < until_us; rc = db_exec_now(db, &take, NULL, on_flag, held))
		pause_ms(ALONE_MS);
	return rc;
}

/* Who holds it began lately: it has perhaps no connections for writes yet, that could come back. */
static enum sterna_result look_at_starter(struct db *db, struct others *o)
{
	static const struct db_stmt get = {
		.name = "fence_starter", .params = "i", .columns = "iti", .sql = "",
		.pg = "SELECT count(*), coalesce(min(host(a.client_addr)), 'this machine'), 0::bigint " STARTER
		      " AND extract(epoch FROM clock_timestamp() - a.backend_start) < $1",
		.sqlite = "SELECT 0 * $1, '', 0",
	};
	const struct db_value young = DB_INT(YOUNG_S);

	o->count = 0;
	return db_exec_now(db, &get, &young, on_others, o);
}

/* Ends the connections of all others; whoever lives comes back. */
static enum sterna_result end_others(struct db *db)
{
	static const struct db_stmt writers = {
		.name = "fence_end", .params = "", .columns = "i", .sql = "",
		.pg = "SELECT count(pg_terminate_backend(l.pid)) " OTHERS, .sqlite = "SELECT 0",
	};
	static const struct db_stmt starters = {
		.name = "fence_end_start", .params = "", .columns = "i", .sql = "",
		.pg = "SELECT count(pg_terminate_backend(l.pid)) " STARTER, .sqlite = "SELECT 0",
	};
	const enum sterna_result rc = db_exec_now(db, &writers, NULL, NULL, NULL);

	return rc == STERNA_OK ? db_exec_now(db, &starters, NULL, NULL, NULL) : rc;
}

static enum sterna_result refuse(const struct others *o, char *who, size_t size)
{
	snprintf(who, size, "%s", o->where);
	return STERNA_EEXISTS;
}

/* A server that lives comes back, perhaps before one has looked; what a dead one has left (a network that was cut) does
 * not. */
static enum sterna_result outlast(struct db *db, struct others *o, bool held, char *who, size_t size)
{
	const uint64_t until_us = db_clock_us() + RETURNS_MS * UINT64_C(1000);
	const int64_t before_us = o->newest_us;
	enum sterna_result rc = end_others(db);

	for (; rc == STERNA_OK && db_clock_us() < until_us; pause_ms(ALONE_MS)) {
		rc = look(db, o);
		if (rc == STERNA_OK && o->count > 0 && o->newest_us > before_us)
			return refuse(o, who, size);
	}
	if (rc == STERNA_OK && !held)
		rc = take_start(db, 0, &held);
	return rc == STERNA_OK && !held ? refuse(o, who, size) : rc;
}

enum sterna_result db_is_alone(struct db *db, char *who, size_t size)
{
	const uint64_t until_us = db_clock_us() + LEAVES_MS * UINT64_C(1000);
	struct others o = { .where = "" };
	bool held = false;
	enum sterna_result rc = take_start(db, LEAVES_MS, &held);

	if (rc == STERNA_OK && !held && (rc = look_at_starter(db, &o)) == STERNA_OK && o.count > 0) {
		rc = take_start(db, RETURNS_MS, &held);
		if (rc == STERNA_OK && !held)
			return refuse(&o, who, size);
	}
	/* Connections of a process that was killed go by themselves, at once. */
	if (rc == STERNA_OK)
		rc = look(db, &o);
	for (; rc == STERNA_OK && o.count > 0 && db_clock_us() < until_us; rc = look(db, &o))
		pause_ms(ALONE_MS);
	if (rc != STERNA_OK || (held && o.count == 0))
		return rc;
	return outlast(db, &o, held, who, size);
}
