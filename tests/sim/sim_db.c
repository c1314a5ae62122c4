/* sim_db.c - storage on the simulation's schedule: the real statements on a SQLite database in memory, executed when
 * the simulation says so. Clients commit independently of each other, each in its order, as with PostgreSQL.
 *
 * A job waits in its client's queue until a step takes it: a crash before that loses it. A step commits and posts
 * the answers to the client's loop: a crash between that and the loop's turn loses the answers only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim.h"

enum { READ_WAIT_US = 5000000, GROUP_MAX = 8 };

struct sim_client_db {
	struct db_client *client;
	struct db_job_list jobs;         /* in the order submitted: a read sees the writes before it */
	uint64_t waits_since_us;         /* of the first, on the virtual clock */
};

struct sim_db {
	struct sim *sim;                 /* db_options.arg */
	sqlite3 *sql;
	struct db_cache cache;
	struct sim_client_db *clients[SIM_WORKERS_MAX];
};

static int bind_value(sqlite3_stmt *s, int i, const struct db_value *v)
{
	switch (v->type) {
	case 'i':
		return sqlite3_bind_int64(s, i, v->i);
	case 't':
		return sqlite3_bind_text64(s, i, v->p, v->len, SQLITE_STATIC, SQLITE_UTF8);
	case 'b':
		return sqlite3_bind_blob64(s, i, v->p, v->len, SQLITE_STATIC);
	default:
		return sqlite3_bind_null(s, i);
	}
}

static void take_row(sqlite3_stmt *s, const struct db_stmt *stmt, struct db_rows *rows)
{
	struct db_cell *cells = db_rows_add(rows);

	for (size_t i = 0; i < rows->columns; i++) {
		const int at = (int)i;

		if (sqlite3_column_type(s, at) == SQLITE_NULL)
			continue;
		if (stmt->columns[i] == 'i') {
			cells[i].i = sqlite3_column_int64(s, at);
			cells[i].p = "";
			continue;
		}
		const void *p = stmt->columns[i] == 'b' ? sqlite3_column_blob(s, at) : sqlite3_column_text(s, at);

		cells[i].len = (size_t)sqlite3_column_bytes(s, at);
		cells[i].p = arena_strndup(rows->arena, p != NULL ? p : "", cells[i].len);
	}
}

static enum sterna_result exec(struct sim_db *d, const struct db_exec *e, struct db_rows *rows)
{
	const char *sql = e->stmt->sqlite != NULL ? e->stmt->sqlite : e->stmt->sql;
	struct db_prepared *p = db_cache_get(&d->cache, e->stmt->name, sql);
	sqlite3_stmt *s = p->handle;
	int rc = s != NULL ? SQLITE_OK : sqlite3_prepare_v3(d->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL);

	p->handle = s;
	for (size_t i = 0; rc == SQLITE_OK && e->stmt->params[i] != '\0'; i++) {
		char name[24];

		snprintf(name, sizeof name, "$%zu", i + 1);
		const int at = sqlite3_bind_parameter_index(s, name);

		rc = at > 0 ? bind_value(s, at, &e->values[i]) : SQLITE_OK;
	}
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW && rows != NULL)
			take_row(s, e->stmt, rows);
	}
	if (rc != SQLITE_DONE && rc != SQLITE_CONSTRAINT)
		db_log_error("the simulated database refused a statement", e->stmt->name, sqlite3_errmsg(d->sql));
	sqlite3_reset(s);
	return rc == SQLITE_DONE ? STERNA_OK : rc == SQLITE_CONSTRAINT ? STERNA_EEXISTS : STERNA_EIO;
}

static void script(struct sim_db *d, const char *sql)
{
	if (sqlite3_exec(d->sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		db_log_error("the simulated database refused a script", sql, sqlite3_errmsg(d->sql));
}

/* --- steps --- */

/* What becomes of a job whose database is flaky. */
enum fate { FATE_FINE, FATE_REFUSED, FATE_WRITTEN, FATE_UNWRITTEN };

static enum fate fate_of(struct sim *s)
{
	const unsigned n = s->db_flaky ? sim_below(s, 1000) : 999;

	return n < 4 ? FATE_REFUSED : n < 7 ? FATE_WRITTEN : n < 10 ? FATE_UNWRITTEN : FATE_FINE;
}

static void run_read(struct sim_db *d, struct db_job *j)
{
	const enum fate fate = fate_of(d->sim);

	if (fate != FATE_FINE) {
		log_notice("sim", "a read fails", "statement", j->first->stmt->name);
		db_job_finish(j, fate == FATE_REFUSED ? STERNA_EIO : STERNA_EUNAVAILABLE);
		return;
	}
	j->rows = db_rows_new(j->first->stmt);
	db_job_finish(j, exec(d, j->first, j->rows));
}

static enum sterna_result run_batch(struct sim_db *d, const struct db_job *j)
{
	enum sterna_result rc = STERNA_OK;

	script(d, "SAVEPOINT batch");
	for (const struct db_exec *e = j->first; e != NULL && rc == STERNA_OK; e = e->next)
		rc = exec(d, e, NULL);
	if (rc != STERNA_OK)
		script(d, "ROLLBACK TO batch");
	script(d, "RELEASE batch");
	return rc;
}

/* The outcome may be another than the one that is told. */
static enum sterna_result run_fated(struct sim_db *d, const struct db_job *j)
{
	const enum fate fate = fate_of(d->sim);

	if (fate != FATE_FINE)
		log_notice("sim", "a batch does not end well", "fate", fate == FATE_REFUSED ? "refused" : fate == FATE_WRITTEN
			? "written, and not told" : "not written, and not told", "first", j->first->stmt->name);
	switch (fate) {
	case FATE_REFUSED:
		return STERNA_EIO;
	case FATE_WRITTEN:
		(void)!run_batch(d, j);
		return STERNA_EUNCERTAIN;
	case FATE_UNWRITTEN:
		return STERNA_EUNCERTAIN;
	default:
		return run_batch(d, j);
	}
}

static void run_group(struct sim_db *d, struct sim_client_db *c, unsigned most)
{
	struct db_job_list done;

	db_jobs_init(&done);
	script(d, "BEGIN");
	while (most-- > 0 && c->jobs.first != NULL && !c->jobs.first->read) {
		struct db_job *j = db_jobs_take(&c->jobs);

		j->rc = run_fated(d, j);
		db_jobs_add(&done, j);
	}
	script(d, "COMMIT");
	for (struct db_job *j; (j = db_jobs_take(&done)) != NULL;)
		db_job_finish(j, j->rc);
}

/* While it is away, writes stay and reads are answered when they have waited long enough. */
static bool give_up_read(struct sim *s, struct sim_client_db *c)
{
	struct db_job_list kept;
	bool any = false;

	if (s->now_us < c->waits_since_us + READ_WAIT_US)
		return false;
	db_jobs_init(&kept);
	for (struct db_job *j; (j = db_jobs_take(&c->jobs)) != NULL;) {
		if (j->read) {
			any = true;
			db_job_finish(j, STERNA_EUNAVAILABLE);
		} else {
			db_jobs_add(&kept, j);
		}
	}
	db_jobs_join(&c->jobs, &kept);
	c->waits_since_us = s->now_us;
	return any;
}

bool sim_db_step(struct sim *s, unsigned worker)
{
	struct sim_db *d = s->db->impl;
	struct sim_client_db *c = d->clients[worker];

	if (c == NULL || c->jobs.first == NULL)
		return false;
	if (s->db_down)
		return give_up_read(s, c);
	if (s->db_full && !c->jobs.first->read)
		return give_up_read(s, c); /* reads behind them wait for them */
	if (c->jobs.first->read)
		run_read(d, db_jobs_take(&c->jobs));
	else
		run_group(d, c, 1 + sim_below(s, GROUP_MAX));
	c->waits_since_us = s->now_us;
	return true;
}

bool sim_db_is_idle(const struct sim *s)
{
	const struct sim_db *d = s->db->impl;

	for (unsigned i = 0; i < SIM_WORKERS_MAX; i++)
		if (d->clients[i] != NULL && d->clients[i]->jobs.first != NULL)
			return false;
	return true;
}

void sim_db_set_down(struct sim *s, bool down)
{
	struct sim_db *d = s->db->impl;

	s->db_down = down;
	for (unsigned i = 0; i < SIM_WORKERS_MAX; i++)
		if (d->clients[i] != NULL)
			db_client_state(d->clients[i]->client, !down);
}

void sim_db_set_full(struct sim *s, bool full)
{
	struct sim_db *d = s->db->impl;

	s->db_full = full;
	for (unsigned i = 0; i < SIM_WORKERS_MAX; i++)
		if (d->clients[i] != NULL && !s->db_down)
			db_client_state(d->clients[i]->client, !full);
}

/* --- the driver --- */

static void finalize(void *handle)
{
	sqlite3_finalize(handle);
}

static enum sterna_result db_begin(struct db *db)
{
	struct sim_db *d = xalloc(sizeof *d);

	d->sim = db->o.arg;
	db->impl = d;
	if (sqlite3_open_v2(db->o.path, &d->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI
		| SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		abort();
	return STERNA_OK;
}

static void db_end(struct db *db)
{
	struct sim_db *d = db->impl;

	db_cache_clear(&d->cache, finalize);
	sqlite3_close(d->sql);
	free(d);
}

/* What is left when the process dies, or when the server ends while the database is away. */
static void give_up(struct sim_client_db *c, enum sterna_result writes)
{
	for (struct db_job *j; (j = db_jobs_take(&c->jobs)) != NULL;)
		db_job_finish(j, j->read ? STERNA_EUNAVAILABLE : writes);
}

static void client_begin(struct db_client *c)
{
	struct sim_db *d = c->db->impl;
	struct sim_client_db *k = xalloc(sizeof *k);
	unsigned i = 0;

	while (i < SIM_WORKERS_MAX && d->clients[i] != NULL)
		i++;
	if (i == SIM_WORKERS_MAX)
		abort();
	d->clients[i] = k;
	k->client = c;
	db_jobs_init(&k->jobs);
	c->impl = k;
	c->up_now = true;
}

static void client_end(struct db_client *c, unsigned wait_ms)
{
	struct sim_db *d = c->db->impl;
	struct sim_client_db *k = c->impl;

	(void)wait_ms;
	while (!d->sim->db_dead && !d->sim->db_down && !d->sim->db_full && k->jobs.first != NULL) {
		if (k->jobs.first->read)
			run_read(d, db_jobs_take(&k->jobs));
		else
			run_group(d, k, GROUP_MAX);
	}
	give_up(k, STERNA_EUNCERTAIN);
	for (unsigned i = 0; i < SIM_WORKERS_MAX; i++)
		if (d->clients[i] == k)
			d->clients[i] = NULL;
	free(k);
}

static void submit(struct db_client *c, struct db_job_list *jobs)
{
	struct sim_db *d = c->db->impl;
	struct sim_client_db *k = c->impl;

	if (k->jobs.first == NULL)
		k->waits_since_us = d->sim->now_us;
	db_jobs_join(&k->jobs, jobs);
	if (d->sim->db_dead)
		give_up(k, STERNA_EUNCERTAIN);
}

static enum sterna_result now(struct db *db, const struct db_exec *e, struct db_rows **rows)
{
	*rows = db_rows_new(e->stmt);
	return exec(db->impl, e, *rows);
}

static enum sterna_result run_script(struct db *db, const char *sql)
{
	struct sim_db *d = db->impl;

	return sqlite3_exec(d->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? STERNA_OK : STERNA_EIO;
}

const struct db_driver sim_db_driver = {
	.name = "simulation", .open = db_begin, .close = db_end, .client_new = client_begin, .client_free = client_end,
	.submit = submit, .now = now, .script = run_script, .suffix = ".sqlite.sql",
	.lock = "BEGIN EXCLUSIVE", .unlock = "COMMIT", .rollback = "ROLLBACK",
};
