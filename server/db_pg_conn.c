/* db_pg_conn.c - one connection to PostgreSQL: dialling, pipeline, results, errors.
 *
 * libpq looks up host names and shakes hands in blocking calls, and gives each of several hosts its time only
 * there; so a short-lived thread of its own dials, and the loop gets the open connection by mail. */
#include "server/db_pg.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 2000, PATIENCE_MAX_MS = 120000 };
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

/* --- errors, parameters, rows --- */

enum pg_fault pg_fault_of(PGconn *conn, const PGresult *res)
{
	static const struct { const char *state; enum pg_fault fault; } known[] = {
		{ "08", PG_LOST },      /* connection exception */
		{ "0A000", PG_STALE },  /* a cached plan must not change its result type */
		{ "25006", PG_LOST },   /* read-only transaction: no primary any more */
		{ "25P0", PG_LOST },
		{ "26000", PG_STALE },  /* no such prepared statement */
		{ "40", PG_RETRY },     /* serialisation failure, deadlock */
		{ "42P05", PG_STALE },  /* exists already */
		{ "53", PG_AWAY },      /* disk full, out of memory, too many connections */
		{ "55P03", PG_RETRY },  /* lock not available */
		{ "57014", PG_RETRY },  /* cancelled */
		{ "57P", PG_LOST },     /* shutdown, starting up */
		{ "58", PG_AWAY },      /* I/O error */
	};
	const ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_PIPELINE_SYNC)
		return PG_FINE;
	if (status == PGRES_PIPELINE_ABORTED)
		return PG_SKIPPED;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (state == NULL || PQstatus(conn) != CONNECTION_OK)
		return PG_LOST;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strncmp(state, known[i].state, strlen(known[i].state)) == 0)
			return known[i].fault;
	return PG_GUILTY;
}

enum sterna_result pg_refusal(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, "23505") == 0 ? STERNA_EEXISTS : STERNA_EIO;
}

void pg_params_set(struct pg_params *p, const char *types, const struct db_value *values)
{
	p->count = (int)strlen(types);
	assert(p->count <= PG_PARAMS_MAX);      /* a statement of ours, no peer's choice */
	for (int i = 0; i < p->count; i++) {
		const struct db_value *v = &values[i];

		p->formats[i] = 1;
		p->types[i] = types[i] == 'i' ? OID_INT8 : types[i] == 'b' ? OID_BYTEA : OID_TEXT;
		p->lengths[i] = (int)v->len;
		p->values[i] = v->type == 0 ? NULL : v->p;
		if (v->type == 'i') {
			for (int n = 0; n < 8; n++)
				p->ints[i][n] = (unsigned char)((uint64_t)v->i >> (56 - 8 * n));
			p->values[i] = (const char *)p->ints[i];
			p->lengths[i] = 8;
		}
	}
}

/* Integers of any width, and booleans. */
static int64_t int_of(const unsigned char *p, int len)
{
	uint64_t n = len > 0 && p[0] >= 0x80 ? UINT64_MAX : 0;

	for (int i = 0; i < len && i < 8; i++)
		n = n << 8 | p[i];
	return (int64_t)n;
}

static void clear_result(void *res)
{
	PQclear(res);
}

struct db_rows *pg_rows(const struct db_stmt *s, PGresult **result)
{
	struct db_rows *rows = db_rows_new(s);
	PGresult *res = *result;

	*result = NULL;
	rows->owned = res;
	rows->release = clear_result;
	for (int row = 0; row < PQntuples(res); row++) {
		struct db_cell *cells = db_rows_add(rows);

		for (int i = 0; i < (int)rows->columns && i < PQnfields(res); i++) {
			if (PQgetisnull(res, row, i))
				continue;
			cells[i].p = PQgetvalue(res, row, i);
			cells[i].len = (size_t)PQgetlength(res, row, i);
			if (s->columns[i] == 'i')
				cells[i].i = int_of((const unsigned char *)cells[i].p, (int)cells[i].len);
		}
	}
	return rows;
}

/* --- dialling --- */

static void no_notice(void *arg, const PGresult *res)
{
	(void)arg, (void)res;
}

PGconn *pg_connect(const struct db_options *o)
{
	/* What comes later wins: conninfo may change the first ones. */
	const char *const names[] = { "gssencmode", "target_session_attrs", "connect_timeout", "fallback_application_name",
		"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"dbname", "client_encoding", o->password != NULL ? "password" : NULL, NULL };
	const char *const values[] = { "disable", "read-write", "3", "sterna", "5", "2", "2", "6000",
		o->conninfo != NULL ? o->conninfo : "", "UTF8", o->password, NULL };
	PGconn *conn = PQconnectdbParams(names, values, 1);

	if (conn == NULL)
		abort();        /* out of memory, as in xalloc() */
	PQsetNoticeReceiver(conn, no_notice, NULL);
	return conn;
}

struct pg_threads {
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	unsigned running;
	unsigned process;       /* pg_fence()'s */
	bool closed;            /* the last one frees this */
};

struct pg_threads *pg_threads_new(void)
{
	struct pg_threads *t = xalloc(sizeof *t);
	pthread_condattr_t monotonic;

	/* Not by the loops: the simulation has no PostgreSQL. */
	if (getrandom(&t->process, sizeof t->process, 0) != sizeof t->process)
		t->process = (unsigned)getpid();
	t->process &= INT32_MAX;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->fewer, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return t;
}

static void threads_destroy(struct pg_threads *t)
{
	pthread_cond_destroy(&t->fewer);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void pg_threads_free(struct pg_threads **threads, unsigned wait_ms)
{
	struct pg_threads *t = *threads;
	const uint64_t end = db_clock_us() + (uint64_t)wait_ms * 1000;
	const struct timespec until = { (time_t)(end / 1000000), (long)(end % 1000000) * 1000 };

	*threads = NULL;
	pthread_mutex_lock(&t->lock);
	while (t->running > 0 && db_clock_us() < end)
		pthread_cond_timedwait(&t->fewer, &t->lock, &until);
	t->closed = true;
	const bool last = t->running == 0;

	pthread_mutex_unlock(&t->lock);
	if (last)
		threads_destroy(t);
}

static void threads_enter(struct pg_threads *t)
{
	pthread_mutex_lock(&t->lock);
	t->running++;
	pthread_mutex_unlock(&t->lock);
}

static void threads_leave(struct pg_threads *t)
{
	pthread_mutex_lock(&t->lock);
	const bool last = --t->running == 0 && t->closed;

	pthread_cond_signal(&t->fewer);
	pthread_mutex_unlock(&t->lock);
	if (last)
		threads_destroy(t);
}

struct pg_dial {
	struct mail mail;
	struct pg_threads *threads;
	pthread_mutex_t lock;
	struct db_options own;          /* a copy: the thread may outlive the database */
	struct loop *loop;
	struct pg_conn *to;             /* NULL: nobody waits any more */
	PGconn *conn;                   /* when done */
	bool done;
	bool fence;                     /* it is for writes */
	int before_pid;                 /* its predecessor's backend, at before_at; 0: none */
	char before_at[160];
	const char *why;                /* it is not to be used */
};

static void dial_free(struct pg_dial *d)
{
	PQfinish(d->conn);
	pthread_mutex_destroy(&d->lock);
	free((char *)d->own.conninfo);
	if (d->own.password != NULL)
		explicit_bzero((char *)d->own.password, strlen(d->own.password));
	free((char *)d->own.password);
	free(d);
}

static void where(const PGconn *conn, char *out, size_t size)
{
	const char *host = PQhost(conn), *port = PQport(conn);

	snprintf(out, size, "%s:%s", host != NULL ? host : "", port != NULL ? port : "");
}

static const char *fence(const struct pg_dial *d, PGconn *conn)
{
	char at[sizeof d->before_at];

	if (!d->fence || PQstatus(conn) != CONNECTION_OK)
		return NULL;
	where(conn, at, sizeof at);
	if (pg_fence(conn, d->threads->process, d->own.beside, strcmp(at, d->before_at) == 0 ? d->before_pid : 0))
		return NULL;
	return "an older connection still writes, or no answer";
}

static void *dial_thread(void *arg)
{
	struct pg_dial *d = arg;
	struct pg_threads *threads = d->threads;
	PGconn *conn = pg_connect(&d->own);

	d->why = fence(d, conn);

	pthread_mutex_lock(&d->lock);
	const bool wanted = d->to != NULL;

	d->conn = conn;
	d->done = true;
	if (wanted)
		loop_post(d->loop, &d->mail);   /* under the lock: the loop lives as long as someone waits */
	pthread_mutex_unlock(&d->lock);
	if (!wanted)
		dial_free(d);
	threads_leave(threads);
	return NULL;
}

/* Done, and its mail not run yet: nobody waits for it. */
static void dial_forget(struct pg_dial *d)
{
	d->to = NULL;
	if (loop_unpost(d->loop, &d->mail))
		dial_free(d);
}

static void redial_later(struct pg_conn *k)
{
	uint16_t dice;

	loop_random(k->loop, &dice, sizeof dice);
	k->redial_at_us = db_clock_us() + (uint64_t)k->backoff_ms * (500 + dice % 1000) + 1;
	timer_set(&k->redial, k->redial_at_us - db_clock_us());
	k->backoff_ms = k->backoff_ms == 0 ? BACKOFF_MIN_MS
		: k->backoff_ms * 2 < BACKOFF_MAX_MS ? k->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void on_io(struct io *io, unsigned what, void *arg);

static void said_lost(struct pg_conn *k, const char *why)
{
	if (k->loud && !k->said_lost) {
		k->said_lost = true;
		log_error("db", "PostgreSQL is away; trying again until it is back", "detail", why);
	}
}

static void take_connection(struct pg_conn *k)
{
	struct pg_dial *d = k->dial;
	PGconn *conn = d->conn;

	d->conn = NULL;
	k->dial = NULL;
	if (d->why != NULL || PQstatus(conn) != CONNECTION_OK || PQsetnonblocking(conn, 1) != 0 || !PQenterPipelineMode(conn)) {
		said_lost(k, d->why != NULL ? d->why : PQerrorMessage(conn));
		PQfinish(conn);
		redial_later(k);
		return;
	}
	k->conn = conn;
	k->backoff_ms = 0;
	k->pid = PQbackendPID(conn);
	where(conn, k->at, sizeof k->at);
	io_init(&k->io, k->loop, PQsocket(conn), on_io, k);
	io_watch(&k->io, IO_READ);
	if (k->said_lost)
		log_notice("db", "PostgreSQL is back", "host", PQhost(conn), "port", PQport(conn));
	k->said_lost = false;
	k->on->ready(k->arg, k);
}

static void on_dialled(struct mail *m, struct loop *l)
{
	struct pg_dial *d = (struct pg_dial *)m;

	(void)l;
	pthread_mutex_lock(&d->lock);   /* the thread is about to let it go */
	struct pg_conn *to = d->to;

	pthread_mutex_unlock(&d->lock);
	if (to != NULL)
		take_connection(to);
	dial_free(d);
}

static void dial(struct pg_conn *k)
{
	struct pg_dial *d = xalloc(sizeof *d);
	pthread_attr_t detached;
	pthread_t thread;

	d->mail.run = on_dialled;
	d->threads = k->threads;
	d->loop = k->loop;
	d->to = k;
	d->own.conninfo = k->o->conninfo != NULL ? xstrdup(k->o->conninfo) : NULL;
	d->own.password = k->o->password != NULL ? xstrdup(k->o->password) : NULL;
	d->own.beside = k->o->beside;
	pthread_mutex_init(&d->lock, NULL);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	d->fence = k->writes;
	d->before_pid = k->pid;
	memcpy(d->before_at, k->at, sizeof d->before_at);
	k->dial = d;
	threads_enter(k->threads);
	if (pthread_create(&thread, &detached, dial_thread, d) != 0) {
		threads_leave(k->threads);
		k->dial = NULL;
		dial_free(d);
		redial_later(k);
	}
	pthread_attr_destroy(&detached);
}

static void on_redial(struct timer *t, void *arg)
{
	struct pg_conn *k = arg;

	(void)t;
	if (k->conn == NULL && k->dial == NULL)
		dial(k);
}

/* Nobody waits for the thread any more; a connection that it has made is closed by it, or by its mail. */
static void dial_leave(struct pg_conn *k)
{
	struct pg_dial *d = k->dial;

	if (d == NULL)
		return;
	k->dial = NULL;
	pthread_mutex_lock(&d->lock);
	d->to = NULL;
	const bool done = d->done;

	pthread_mutex_unlock(&d->lock);
	if (done)
		dial_forget(d);
}

/* --- the pipeline --- */

static void expect(struct pg_conn *k, enum pg_what what, const struct db_exec *e, struct db_job *j,
	struct db_prepared *p)
{
	struct pg_expect *x = xalloc(sizeof *x);

	if (k->first == NULL) {
		k->heard_us = db_clock_us();
		if (!timer_is_set(&k->silence))
			timer_set(&k->silence, (uint64_t)k->patience_ms * 1000);
	}
	*x = (struct pg_expect){ .what = what, .exec = e, .job = j, .prepared = p };
	*k->tail = x;
	k->tail = &x->next;
}

static void expect_pop(struct pg_conn *k)
{
	struct pg_expect *x = k->first;

	k->first = x->next;
	if (k->first == NULL)
		k->tail = &k->first;
	free(x);
}

bool pg_send_control(struct pg_conn *k, const char *sql)
{
	if (!PQsendQueryParams(k->conn, sql, 0, NULL, NULL, NULL, NULL, 0))
		return false;
	expect(k, PG_CONTROL, NULL, NULL, NULL);
	return true;
}

bool pg_send_params(struct pg_conn *k, const char *sql, const struct pg_params *params, const struct db_exec *e,
	struct db_job *j)
{
	struct db_prepared *p = db_cache_get(&k->cache, e->stmt->name, sql);
	char name[16];

	snprintf(name, sizeof name, "s%u", p->number);
	if (!p->ready) {
		if (!PQsendPrepare(k->conn, name, sql, params->count, params->types))
			return false;
		p->ready = true;
		expect(k, PG_PREPARE, e, j, p);
	}
	if (!PQsendQueryPrepared(k->conn, name, params->count, params->values, params->lengths, params->formats, 1))
		return false;
	expect(k, PG_EXEC, e, j, NULL);
	return true;
}

bool pg_send_exec(struct pg_conn *k, const struct db_exec *e, struct db_job *j)
{
	struct pg_params params;

	pg_params_set(&params, e->stmt->params, e->values);
	return pg_send_params(k, e->stmt->pg != NULL ? e->stmt->pg : e->stmt->sql, &params, e, j);
}

bool pg_send_sync(struct pg_conn *k, struct db_job *j)
{
	if (!PQpipelineSync(k->conn))
		return false;
	expect(k, PG_SYNC, NULL, j, NULL);
	k->syncs++;
	return true;
}

bool pg_flush(struct pg_conn *k)
{
	const int left = PQflush(k->conn);

	if (left < 0)
		return false;
	io_watch(&k->io, left > 0 ? IO_READ | IO_WRITE : IO_READ);
	return true;
}

static void disconnect(struct pg_conn *k)
{
	timer_cancel(&k->silence);
	io_clear(&k->io);
	PQfinish(k->conn);
	k->conn = NULL;
	k->syncs = 0;
	db_cache_clear(&k->cache, NULL);
}

void pg_conn_lost(struct pg_conn *k, const char *why)
{
	if (k->conn == NULL)
		return;
	said_lost(k, why != NULL ? why : PQerrorMessage(k->conn));
	disconnect(k);
	k->on->lost(k->arg, k);
	while (k->first != NULL)
		expect_pop(k);
	redial_later(k);
}

/* Nothing for so long: another host may be the primary by now. Slow and still cannot be told apart, so that the next
 * try has more time. */
static void on_silence(struct timer *t, void *arg)
{
	struct pg_conn *k = arg;
	const uint64_t now = db_clock_us(), end = k->heard_us + (uint64_t)k->patience_ms * 1000;

	if (k->conn == NULL || k->first == NULL)
		return;
	if (now < end) {
		timer_set(t, end - now);
		return;
	}
	k->patience_ms = k->patience_ms * 2 < PATIENCE_MAX_MS ? k->patience_ms * 2 : PATIENCE_MAX_MS;
	pg_conn_lost(k, "it does not answer");
}

/* One step of the results; false: no more for now. */
static bool next_result(struct pg_conn *k)
{
	PGresult *res = PQgetResult(k->conn);
	struct pg_expect *x = k->first;

	k->heard_us = db_clock_us();
	k->patience_ms = k->o->answer_wait_ms;

	if (res == NULL) {      /* the end of a command's results */
		if (!x->seen) {
			pg_conn_lost(k, "answers out of step");
			return false;
		}
		expect_pop(k);
		return true;
	}
	const bool sync = PQresultStatus(res) == PGRES_PIPELINE_SYNC;

	if (x->prepared != NULL && pg_fault_of(k->conn, res) != PG_FINE)
		x->prepared->ready = false;
	x->seen = true;
	if (sync != (x->what == PG_SYNC)) {     /* an error at Sync counts as a lost connection, too */
		PQclear(res);
		pg_conn_lost(k, "answers out of step");
		return false;
	}
	if (!sync) {
		k->on->result(k->arg, k, x, &res);
	} else {                /* popped first: what is sent now comes behind it */
		const struct pg_expect copy = *x;

		expect_pop(k);
		k->syncs--;
		k->on->result(k->arg, k, &copy, &res);
	}
	PQclear(res);
	return k->conn != NULL;
}

static void on_io(struct io *io, unsigned what, void *arg)
{
	struct pg_conn *k = arg;

	(void)io;
	if ((what & IO_READ) != 0 && !PQconsumeInput(k->conn)) {
		pg_conn_lost(k, NULL);
		return;
	}
	while (k->first != NULL && !PQisBusy(k->conn))
		if (!next_result(k))
			return;
	if (!pg_flush(k))
		pg_conn_lost(k, NULL);
}

void pg_conn_tick(struct pg_conn *k)
{
	if (k->conn != NULL) {
		on_io(&k->io, IO_READ | IO_WRITE, k);
		return;
	}
	if (k->dial == NULL) {
		if (db_clock_us() >= k->redial_at_us) {
			timer_cancel(&k->redial);
			dial(k);
		}
		return;
	}
	struct pg_dial *d = k->dial;

	pthread_mutex_lock(&d->lock);
	const bool done = d->done;

	pthread_mutex_unlock(&d->lock);
	if (done) {
		take_connection(k);
		dial_forget(d);
	}
}

void pg_conn_start(struct pg_conn *k, const struct db_options *o, struct pg_threads *t, struct loop *l,
	const struct pg_events *on, void *arg, bool loud)
{
	*k = (struct pg_conn){ .o = o, .threads = t, .on = on, .arg = arg, .loop = l, .loud = loud, .writes = loud };
	k->tail = &k->first;
	k->patience_ms = o->answer_wait_ms;
	timer_init(&k->redial, l, on_redial, k);
	timer_init(&k->silence, l, on_silence, k);
	dial(k);
}

void pg_conn_stop(struct pg_conn *k)
{
	timer_cancel(&k->redial);
	timer_cancel(&k->silence);
	dial_leave(k);
	if (k->conn != NULL)
		disconnect(k);
	while (k->first != NULL)
		expect_pop(k);
}
