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

enum { ALONE_MS = 50, LEAVES_MS = 1500, RETURNS_MS = 8000 };

#define OTHERS "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory' " \
	"AND l.objsubid = 2 AND l.classid = 1398035022 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"

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

enum sterna_result db_is_alone(struct db *db, char *who, size_t size)
{
	static const struct db_stmt end = {
		.name = "fence_end", .params = "", .columns = "i", .sql = "",
		.pg = "SELECT count(pg_terminate_backend(l.pid)) " OTHERS, .sqlite = "SELECT 0",
	};
	uint64_t until_us = db_clock_us() + LEAVES_MS * UINT64_C(1000);
	struct others o = { .where = "" };
	enum sterna_result rc = look(db, &o);

	/* Connections of a process that was killed go by themselves, at once. */
	for (; rc == STERNA_OK && o.count > 0 && db_clock_us() < until_us; rc = look(db, &o))
		pause_ms(ALONE_MS);
	if (rc != STERNA_OK || o.count == 0)
		return rc;
	/* A server that lives comes back, perhaps before one has looked; what a dead one has left (a network that was cut) does
	 * not. */
	const int64_t before_us = o.newest_us;

	rc = db_exec_now(db, &end, NULL, NULL, NULL);
	until_us = db_clock_us() + RETURNS_MS * UINT64_C(1000);
	for (; rc == STERNA_OK && db_clock_us() < until_us; pause_ms(ALONE_MS)) {
		rc = look(db, &o);
		if (rc == STERNA_OK && o.count > 0 && o.newest_us > before_us) {
			snprintf(who, size, "%s", o.where);
			return STERNA_EEXISTS;
		}
	}
	return rc;
}
