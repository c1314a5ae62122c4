/* floordb.c - the least that an archive in PostgreSQL costs: rows like an archive's, inserted by one
 * connection in pipelined batches that commit together, as fast as they go or at a fixed rate. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "server/mem.h"
#include "tests/bench/usage.h"

enum { STANZA = 420 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_plain(PGconn *db, const char *sql)
{
	PGresult *res = PQexec(db, sql);
	const bool ok = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;

	if (!ok)
		fputs(PQerrorMessage(db), stderr);
	PQclear(res);
	return ok;
}

static bool prepare(PGconn *db)
{
	PGresult *res;

	if (!run_plain(db, "SET client_min_messages = warning") ||
		!run_plain(db, "DROP TABLE IF EXISTS floor_archive") ||
		!run_plain(db, "CREATE TABLE floor_archive (owner bigint, id bigint, with_jid text, stanza text, "
			       "PRIMARY KEY (owner, id))"))
		return false;
	res = PQprepare(db, "put", "INSERT INTO floor_archive VALUES ($1, $2, $3, $4)", 4, NULL);
	const bool ok = PQresultStatus(res) == PGRES_COMMAND_OK;

	PQclear(res);
	return ok;
}

/** One batch: all rows in one implicit transaction up to the sync. */
static bool put(PGconn *db, unsigned rows, unsigned long *id, const char *stanza)
{
	char owner[24], number[24];
	const char *const values[4] = { owner, number, "juliet@example.net", stanza };
	bool ok = true;

	for (unsigned i = 0; i < rows; i++, ++*id) {
		snprintf(owner, sizeof owner, "%lu", *id % 100);
		snprintf(number, sizeof number, "%lu", *id);
		ok = ok && PQsendQueryPrepared(db, "put", 4, values, NULL, NULL, 0) == 1;
	}
	if (!ok || PQpipelineSync(db) != 1)
		return false;
	for (bool synced = false; !synced;) {
		PGresult *res = PQgetResult(db);

		if (res == NULL) {
			if (PQstatus(db) == CONNECTION_BAD)
				return false;
			continue;
		}
		const ExecStatusType status = PQresultStatus(res);

		synced = status == PGRES_PIPELINE_SYNC;
		ok = ok && (synced || status == PGRES_COMMAND_OK);
		PQclear(res);
	}
	return ok;
}

static double own_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	char stanza[STANZA + 1];
	unsigned long id = 0;

	if (argc < 5) {
		fputs("usage: floordb CONNINFO POSTMASTER_PID BATCH SECONDS [ROWS_PER_SECOND]\n", stderr);
		return 2;
	}
	const pid_t pid = (pid_t)atoi(argv[2]);
	const unsigned batch = (unsigned)strtoul(argv[3], NULL, 10);
	const double seconds = strtod(argv[4], NULL), rate = argc > 5 ? strtod(argv[5], NULL) : 0;
	PGconn *db = PQconnectdb(argv[1]);

	if (PQstatus(db) != CONNECTION_OK || batch == 0 || !prepare(db) || PQenterPipelineMode(db) != 1) {
		fputs(PQerrorMessage(db), stderr);
		PQfinish(db);
		return 1;
	}
	memset(stanza, 'x', STANZA);
	stanza[STANZA] = '\0';
	usage_settle(&pid, 1, 5000);
	const double cpu = usage_cpu(&pid, 1).cpu_s, own = own_cpu_s(), began = now_s();
	bool ok = true;

	while (ok && now_s() - began < seconds) {
		const double ahead = rate > 0 ? (double)id / rate - (now_s() - began) : 0;
		const struct timespec nap = { .tv_nsec = (long)(ahead * 1e9) % 1000000000 };

		if (ahead > 0)
			nanosleep(&nap, NULL);
		ok = put(db, batch, &id, stanza);
	}
	const double took = now_s() - began, mine = own_cpu_s() - own;

	usage_settle(&pid, 1, 5000);
	printf("{\"scenario\":\"floordb\",\"batch\":%u,\"rows\":%lu,\"per_second\":%.1f,\"database_cpu_us\":%.2f,"
	       "\"client_cpu_us\":%.2f}\n",
		batch, id, (double)id / took, (usage_cpu(&pid, 1).cpu_s - cpu) * 1e6 / (double)id,
		mine * 1e6 / (double)id);
	PQfinish(db);
	return ok && id > 0 ? 0 : 1;
}
