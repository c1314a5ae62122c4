/* db_sqlite.c - the embedded database: WAL, one writer thread with group commit, reader threads.
 *
 * The writer takes every batch that waits, of all clients, as one transaction. Only if a batch of it fails is
 * the group done again with a savepoint for each, so that the guilty one alone is refused. When the disk is
 * full or fails, the group goes back to the head of the queue and is tried again with back-off.
 * A read waits until the batches that its client submitted before are settled. ":memory:" has one connection,
 * which writer, reader and blocking calls take in turn under now_lock. */
#include "server/db_driver.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 2, GROUP_MAX = 1024, RETRY_MIN_MS = 50, RETRY_MAX_MS = 2000, READ_RETRY_MS = 50 };
enum { BUSY_WRITER_MS = 2000, BUSY_NOW_MS = 10000 };

struct lite_conn {
	sqlite3 *db;
	struct db_cache cache;
};

struct lite_client {
	struct lite_client *next;
	struct db_client *client;
	uint64_t settled;            /* every write up to this number is committed or refused */
	size_t outstanding;
};

struct lite {
	struct db *db;
	bool memory;
	struct lite_conn write, now, read[READERS];
	pthread_t writer, reader[READERS];
	unsigned readers;
	pthread_mutex_t lock;        /* all below */
	pthread_cond_t to_write, to_read, settled;
	struct db_job_list writes, reads, held, group;
	struct db_job *reading[READERS];
	struct lite_client *clients;
	uint64_t began_us;           /* the last group */
	bool stop, down, pacing;     /* pacing: the writer lets more batches join; a full group or a read wakes it */
};

/* --- one connection --- */

/* EUNAVAILABLE: not the statement's fault, trying later may work. */
static enum sterna_result lite_result(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE:
		return STERNA_OK;
	case SQLITE_BUSY: case SQLITE_LOCKED: case SQLITE_FULL: case SQLITE_IOERR: case SQLITE_CANTOPEN:
	case SQLITE_READONLY: case SQLITE_NOMEM: case SQLITE_PROTOCOL: case SQLITE_INTERRUPT:
		return STERNA_EUNAVAILABLE;
	case SQLITE_CONSTRAINT:
		if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
			rc == SQLITE_CONSTRAINT_ROWID)
			return STERNA_EEXISTS;
		return STERNA_EIO;
	default:
		return STERNA_EIO;
	}
}

static enum sterna_result conn_script(struct lite_conn *k, const char *sql)
{
	return lite_result(sqlite3_exec(k->db, sql, NULL, NULL, NULL));
}

static void finalize(void *handle)
{
	sqlite3_finalize(handle);
}

static void conn_close(struct lite_conn *k)
{
	db_cache_clear(&k->cache, finalize);
	sqlite3_close(k->db);
	k->db = NULL;
}

/* What the operator has to change: EINVAL. Locked by another program: EUNAVAILABLE. */
static enum sterna_result open_result(const struct lite_conn *k, enum sterna_result rc)
{
	switch (sqlite3_errcode(k->db) & 0xff) {
	case SQLITE_CANTOPEN: case SQLITE_READONLY: case SQLITE_NOTADB: case SQLITE_PERM:
		return STERNA_EINVAL;
	default:
		return rc;
	}
}

static enum sterna_result conn_open(struct lite_conn *k, const struct db_options *o, int busy_ms)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	const bool normal = o->sync != NULL && strcmp(o->sync, "normal") == 0;
	enum sterna_result rc = lite_result(sqlite3_open_v2(o->path, &k->db, flags, NULL));

	if (rc == STERNA_OK) {
		sqlite3_extended_result_codes(k->db, 1);
		sqlite3_busy_timeout(k->db, busy_ms);
		rc = conn_script(k, "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864");
	}
	if (rc == STERNA_OK)
		rc = conn_script(k, normal ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
	if (rc != STERNA_OK) {
		db_log_error("cannot open the SQLite database; do the folder and the rights allow it?", o->path,
			sqlite3_errmsg(k->db));
		rc = open_result(k, rc);
		conn_close(k);
	}
	return rc;
}

static int bind_value(sqlite3_stmt *s, size_t n, const struct db_value *v)
{
	char name[8] = "$";
	size_t at = 1;

	/* SQLite numbers $1, $2 … by their first appearance, not by the name. */
	if (n >= 100)
		name[at++] = (char)('0' + n / 100);
	if (n >= 10)
		name[at++] = (char)('0' + n / 10 % 10);
	name[at] = (char)('0' + n % 10);
	const int i = sqlite3_bind_parameter_index(s, name);

	if (i == 0)
		return SQLITE_OK;
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

	for (size_t i = 0; i < rows->columns && (int)i < sqlite3_column_count(s); i++) {
		struct db_cell *c = &cells[i];

		if (sqlite3_column_type(s, (int)i) == SQLITE_NULL)
			continue;
		if (stmt->columns[i] == 'i') {
			c->i = sqlite3_column_int64(s, (int)i);
			c->p = "";
			continue;
		}
		const void *p = stmt->columns[i] == 'b' ? sqlite3_column_blob(s, (int)i)
							: sqlite3_column_text(s, (int)i);

		c->len = (size_t)sqlite3_column_bytes(s, (int)i);
		c->p = arena_strndup(rows->arena, p, c->len);
	}
}

static enum sterna_result conn_exec(struct lite_conn *k, const struct db_exec *e, struct db_rows *rows)
{
	const char *sql = e->stmt->sqlite != NULL ? e->stmt->sqlite : e->stmt->sql;
	struct db_prepared *p = db_cache_get(&k->cache, e->stmt->name, sql);
	int rc = SQLITE_OK;

	if (p->handle == NULL) {
		sqlite3_stmt *made = NULL;

		rc = sqlite3_prepare_v3(k->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL);
		p->handle = made;
	}
	sqlite3_stmt *s = p->handle;

	for (size_t i = 0; rc == SQLITE_OK && e->stmt->params[i] != '\0'; i++)
		rc = bind_value(s, i + 1, &e->values[i]);
	if (rc == SQLITE_OK)
		while ((rc = sqlite3_step(s)) == SQLITE_ROW)
			if (rows != NULL)
				take_row(s, e->stmt, rows);
	const enum sterna_result result = lite_result(rc);

	if (result == STERNA_EIO)
		db_log_error("the database refused a statement", e->stmt->name, sqlite3_errmsg(k->db));
	if (s != NULL) {
		sqlite3_reset(s);
		sqlite3_clear_bindings(s);
	}
	return result;
}

/* --- the writer --- */

static void roll_back(struct lite_conn *k)
{
	if (!sqlite3_get_autocommit(k->db))     /* a full disk has rolled back by itself */
		conn_script(k, "ROLLBACK");
}

static enum sterna_result run_batch(struct lite_conn *k, const struct db_job *j)
{
	enum sterna_result rc = STERNA_OK;

	for (const struct db_exec *e = j->first; e != NULL && rc == STERNA_OK; e = e->next)
		rc = conn_exec(k, e, NULL);
	return rc;
}

static enum sterna_result run_guarded(struct lite_conn *k, struct db_job *j)
{
	enum sterna_result rc = conn_script(k, "SAVEPOINT batch");

	if (rc != STERNA_OK)
		return rc;
	j->rc = run_batch(k, j);
	if (j->rc == STERNA_EUNAVAILABLE)
		return j->rc;
	if (j->rc != STERNA_OK)
		rc = conn_script(k, "ROLLBACK TO batch");
	return rc == STERNA_OK ? conn_script(k, "RELEASE batch") : rc;
}

/* One transaction. EUNAVAILABLE: nothing is written, later. EAGAIN: nothing is written, once more, guarded. */
static enum sterna_result run_group(struct lite_conn *k, struct db_job_list *group, bool guarded)
{
	enum sterna_result rc = conn_script(k, "BEGIN IMMEDIATE");

	for (struct db_job *j = group->first; j != NULL; j = j->next)
		j->rc = STERNA_OK;      /* not what an earlier attempt left */
	for (struct db_job *j = group->first; j != NULL && rc == STERNA_OK; j = j->next) {
		if (guarded) {
			rc = run_guarded(k, j);
			continue;
		}
		rc = j->rc = run_batch(k, j);
		if (rc != STERNA_OK && rc != STERNA_EUNAVAILABLE && group->count > 1)
			rc = STERNA_EAGAIN;
	}
	if (rc == STERNA_OK)
		rc = conn_script(k, "COMMIT");
	if (rc == STERNA_OK)
		return rc;
	roll_back(k);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one that is counted is in the list */
	if (rc == STERNA_EAGAIN || (group->count == 1 && group->first->rc != STERNA_OK))
		return rc;
	return STERNA_EUNAVAILABLE;     /* whatever BEGIN or COMMIT says: the batches are not guilty */
}

static void job_end(struct lite *l, struct db_job *j, enum sterna_result rc)    /* under l->lock */
{
	if (j->client == NULL) {
		db_job_free(j);
		return;
	}
	struct lite_client *lc = j->client->impl;

	if (!j->read)
		lc->settled = j->seq;
	if (--lc->outstanding == 0)
		pthread_cond_broadcast(&l->settled);
	db_job_finish(j, rc);
}

/* Reads whose writes are settled may go; those that waited too long are answered. */
static void sort_held(struct lite *l)
{
	struct db_job_list all;
	const uint64_t now = db_clock_us();

	db_jobs_init(&all);
	db_jobs_join(&all, &l->held);
	for (struct db_job *j; (j = db_jobs_take(&all)) != NULL;) {
		if (((struct lite_client *)j->client->impl)->settled >= j->seq)
			db_jobs_add(&l->reads, j);
		else if (now >= j->deadline_us)
			job_end(l, j, STERNA_EUNAVAILABLE);
		else
			db_jobs_add(&l->held, j);
	}
	if (l->reads.first != NULL)
		pthread_cond_broadcast(&l->to_read);
}

static void set_down(struct lite *l, bool down)
{
	if (l->down == down)
		return;
	l->down = down;
	if (down)
		db_log_error("the database cannot write; trying again until it can", l->db->o.path,
			sqlite3_errmsg(l->write.db));
	else
		db_log_notice("the database writes again", l->db->o.path);
	for (struct lite_client *lc = l->clients; lc != NULL; lc = lc->next)
		db_client_state(lc->client, !down);
}

static void wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_cond_timedwait(cond, lock, &t);
}

static void take_group(struct lite *l)
{
	for (struct db_job *j; l->group.count < GROUP_MAX && (j = db_jobs_take(&l->writes)) != NULL;)
		db_jobs_add(&l->group, j);
}

/* Not written: back to the head of the queue, without those that were given up meanwhile. */
static void put_back(struct lite *l)
{
	struct db_job_list all;

	db_jobs_init(&all);
	for (struct db_job *j; (j = db_jobs_take(&l->group)) != NULL;) {
		if (j->client == NULL)
			db_job_free(j);
		else
			db_jobs_add(&all, j);
	}
	db_jobs_join(&all, &l->writes);
	db_jobs_join(&l->writes, &all);
}

static bool is_full(const struct lite *l)
{
	return l->writes.count >= DB_PACE_MOST || l->held.first != NULL || l->stop;
}

/* A little later more share the fsync (db_driver.h). Memory has none. */
static void let_join(struct lite *l)
{
	const uint64_t due = l->began_us + DB_PACE_SQLITE_US;

	l->pacing = true;
	for (uint64_t now; !l->memory && !is_full(l) && (now = db_clock_us()) < due;)
		wait_ms(&l->to_write, &l->lock, (unsigned)((due - now + 999) / 1000));
	l->pacing = false;
	l->began_us = db_clock_us();
}

static void *writer(void *arg)
{
	struct lite *l = arg;
	unsigned retry_ms = RETRY_MIN_MS;

	pthread_mutex_lock(&l->lock);
	for (;;) {
		while (l->writes.first == NULL && !l->stop)
			pthread_cond_wait(&l->to_write, &l->lock);
		if (l->writes.first == NULL)
			break;
		let_join(l);
		take_group(l);
		pthread_mutex_unlock(&l->lock);
		if (l->memory)
			pthread_mutex_lock(&l->db->now_lock);
		enum sterna_result rc = run_group(&l->write, &l->group, false);

		if (rc == STERNA_EAGAIN)
			rc = run_group(&l->write, &l->group, true);
		if (l->memory)
			pthread_mutex_unlock(&l->db->now_lock);
		pthread_mutex_lock(&l->lock);
		set_down(l, rc == STERNA_EUNAVAILABLE);
		if (rc == STERNA_EUNAVAILABLE) {
			put_back(l);
			sort_held(l);
			wait_ms(&l->to_write, &l->lock, retry_ms);
			retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
			continue;
		}
		retry_ms = RETRY_MIN_MS;
		for (struct db_job *j; (j = db_jobs_take(&l->group)) != NULL;)
			job_end(l, j, j->rc);
		sort_held(l);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* --- readers --- */

static struct db_rows *run_read(struct lite *l, struct lite_conn *k, struct db_job *j, enum sterna_result *rc)
{
	struct db_rows *rows = db_rows_new(j->first->stmt);

	if (l->memory)
		pthread_mutex_lock(&l->db->now_lock);
	*rc = conn_exec(k, j->first, rows);
	if (l->memory)
		pthread_mutex_unlock(&l->db->now_lock);
	return rows;
}

static void read_one(struct lite *l, unsigned n, struct db_job *j)      /* under l->lock */
{
	enum sterna_result rc;

	l->reading[n] = j;
	for (;;) {
		pthread_mutex_unlock(&l->lock);
		struct db_rows *rows = run_read(l, l->memory ? &l->write : &l->read[n], j, &rc);

		pthread_mutex_lock(&l->lock);
		j->rows = rows;
		if (rc != STERNA_EUNAVAILABLE || j->client == NULL || db_clock_us() >= j->deadline_us)
			break;
		db_rows_free(&j->rows);
		wait_ms(&l->to_read, &l->lock, READ_RETRY_MS);
	}
	l->reading[n] = NULL;
	job_end(l, j, rc);
}

static void *reader(void *arg)
{
	struct lite *l = arg;
	unsigned n = 0;

	pthread_mutex_lock(&l->lock);
	while (!pthread_equal(l->reader[n], pthread_self()))
		n++;
	while (!l->stop) {
		struct db_job *j = db_jobs_take(&l->reads);

		if (j != NULL) {
			read_one(l, n, j);
		} else if (l->held.first != NULL) {
			wait_ms(&l->to_read, &l->lock, 100);
			sort_held(l);
		} else {
			pthread_cond_wait(&l->to_read, &l->lock);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* --- the driver --- */

static void lite_close(struct db *db)
{
	struct lite *l = db->impl;

	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->to_write);
	pthread_cond_broadcast(&l->to_read);
	pthread_mutex_unlock(&l->lock);
	if (l->readers > 0) {
		pthread_join(l->writer, NULL);
		for (unsigned i = 0; i < l->readers; i++)
			pthread_join(l->reader[i], NULL);
	}
	for (unsigned i = 0; i < READERS; i++)
		conn_close(&l->read[i]);
	conn_close(&l->now);
	conn_close(&l->write);
	pthread_cond_destroy(&l->to_write);
	pthread_cond_destroy(&l->to_read);
	pthread_cond_destroy(&l->settled);
	pthread_mutex_destroy(&l->lock);
	free(l);
	db->impl = NULL;
}

static enum sterna_result start_threads(struct lite *l)
{
	enum sterna_result rc = STERNA_OK;

	if (pthread_create(&l->writer, NULL, writer, l) != 0)
		return STERNA_EIO;
	pthread_mutex_lock(&l->lock);   /* readers look for themselves in the table */
	while (rc == STERNA_OK && l->readers < (l->memory ? 1 : READERS)) {
		if (pthread_create(&l->reader[l->readers], NULL, reader, l) != 0)
			rc = STERNA_EIO;
		else
			l->readers++;
	}
	pthread_mutex_unlock(&l->lock);
	if (rc != STERNA_OK && l->readers == 0) {
		pthread_mutex_lock(&l->lock);
		l->stop = true;
		pthread_cond_broadcast(&l->to_write);
		pthread_mutex_unlock(&l->lock);
		pthread_join(l->writer, NULL);
	}
	return rc;
}

static enum sterna_result lite_open(struct db *db)
{
	struct lite *l = xalloc(sizeof *l);
	pthread_condattr_t monotonic;
	enum sterna_result rc;

	if (db->o.path == NULL)
		db->o.path = xstrdup(":memory:");
	db->impl = l;
	l->db = db;
	l->memory = strcmp(db->o.path, ":memory:") == 0;
	db_jobs_init(&l->writes);
	db_jobs_init(&l->reads);
	db_jobs_init(&l->held);
	db_jobs_init(&l->group);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->to_write, &monotonic);
	pthread_cond_init(&l->to_read, &monotonic);
	pthread_cond_init(&l->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
	rc = conn_open(&l->write, &db->o, BUSY_WRITER_MS);
	if (rc == STERNA_OK && !l->memory)
		rc = conn_open(&l->now, &db->o, BUSY_NOW_MS);
	for (unsigned i = 0; i < READERS && rc == STERNA_OK && !l->memory; i++)
		rc = conn_open(&l->read[i], &db->o, BUSY_WRITER_MS);
	for (unsigned i = 0; i < READERS && rc == STERNA_OK && !l->memory; i++)
		rc = conn_script(&l->read[i], "PRAGMA query_only = ON");
	if (rc == STERNA_OK)
		rc = start_threads(l);
	if (rc != STERNA_OK)
		lite_close(db);
	return rc == STERNA_EUNAVAILABLE ? STERNA_EIO : rc;
}

static void lite_client_new(struct db_client *c)
{
	struct lite *l = c->db->impl;
	struct lite_client *lc = xalloc(sizeof *lc);

	lc->client = c;
	c->impl = lc;
	pthread_mutex_lock(&l->lock);
	lc->next = l->clients;
	l->clients = lc;
	c->up_now = !l->down;
	pthread_mutex_unlock(&l->lock);
}

static void lite_submit(struct db_client *c, struct db_job_list *jobs)
{
	struct lite *l = c->db->impl;
	struct lite_client *lc = c->impl;
	bool wrote = false;

	pthread_mutex_lock(&l->lock);
	for (struct db_job *j; (j = db_jobs_take(jobs)) != NULL;) {
		lc->outstanding++;
		wrote |= !j->read;
		db_jobs_add(!j->read ? &l->writes : j->seq > lc->settled ? &l->held : &l->reads, j);
	}
	/* While it is down the writer waits for its next attempt. */
	if ((wrote || l->held.first != NULL) && !l->down && (!l->pacing || is_full(l)))
		pthread_cond_signal(&l->to_write);
	if (l->reads.first != NULL || l->held.first != NULL)
		pthread_cond_broadcast(&l->to_read);
	pthread_mutex_unlock(&l->lock);
}

static void give_up(struct lite *l, struct db_job_list *list, const struct db_client *c)
{
	struct db_job_list all;

	db_jobs_init(&all);
	db_jobs_join(&all, list);
	for (struct db_job *j; (j = db_jobs_take(&all)) != NULL;) {
		if (j->client == c)
			job_end(l, j, STERNA_EUNAVAILABLE);
		else
			db_jobs_add(list, j);
	}
}

static void lite_client_free(struct db_client *c, unsigned ms)
{
	struct lite *l = c->db->impl;
	struct lite_client *lc = c->impl;
	const uint64_t end = db_clock_us() + (uint64_t)ms * 1000;

	pthread_mutex_lock(&l->lock);
	for (uint64_t now; lc->outstanding > 0 && (now = db_clock_us()) < end;)
		wait_ms(&l->settled, &l->lock, (unsigned)((end - now + 999) / 1000));
	for (struct db_job *j = l->group.first; j != NULL; j = j->next) {
		if (j->client != c)
			continue;
		db_job_answer(c, j->fn, j->arg, STERNA_EUNCERTAIN);
		j->client = NULL;
	}
	for (unsigned i = 0; i < READERS; i++) {
		if (l->reading[i] == NULL || l->reading[i]->client != c)
			continue;
		db_job_answer(c, l->reading[i]->fn, l->reading[i]->arg, STERNA_EUNAVAILABLE);
		l->reading[i]->client = NULL;
	}
	give_up(l, &l->writes, c);
	give_up(l, &l->reads, c);
	give_up(l, &l->held, c);
	for (struct lite_client **p = &l->clients; *p != NULL; p = &(*p)->next) {
		if (*p == lc) {
			*p = lc->next;
			break;
		}
	}
	pthread_mutex_unlock(&l->lock);
	free(lc);
}

static enum sterna_result lite_now(struct db *db, const struct db_exec *e, struct db_rows **rows)
{
	struct lite *l = db->impl;

	*rows = db_rows_new(e->stmt);
	return conn_exec(l->memory ? &l->write : &l->now, e, *rows);
}

static enum sterna_result lite_script(struct db *db, const char *sql)
{
	struct lite *l = db->impl;
	struct lite_conn *k = l->memory ? &l->write : &l->now;
	/* A full disk has ended the transaction already. */
	if (sql == db->driver->rollback && sqlite3_get_autocommit(k->db))
		return STERNA_OK;
	const enum sterna_result rc = conn_script(k, sql);

	if (rc != STERNA_OK)
		db_log_error("the database refused a script", db->o.path, sqlite3_errmsg(k->db));
	return rc;
}

const struct db_driver db_sqlite = {
	.name = "sqlite",
	.open = lite_open,
	.close = lite_close,
	.client_new = lite_client_new,
	.client_free = lite_client_free,
	.submit = lite_submit,
	.now = lite_now,
	.script = lite_script,
	.suffix = ".sqlite.sql",
	.lock = "BEGIN EXCLUSIVE",
	.unlock = "COMMIT",
	.rollback = "ROLLBACK",
};
