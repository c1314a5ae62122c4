/* db_pg.c - PostgreSQL: group commit on one connection per client, reads on others.
 *
 * The batches gathered in a turn, and those that come while a transaction is in flight, go as one pipelined
 * BEGIN … COMMIT. If a statement is refused, those before its batch go again without it, its batch is answered when
 * they are committed, and those behind it wait for the next group: the order of answers is that of submission,
 * and only the guilty fails. What was in flight when a connection is lost is repeated (writes are idempotent).
 * Everything here runs on the client's loop, but the blocking calls at the end. */
#include "server/db_pg.h"
#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 256, GROUP_BYTES = 1 << 20, READS_IN_FLIGHT = 16, TRIES_MAX = 12 };
enum { AGAIN_MS = 20, AWAY_MS = 500, CLOSE_POLL_MS = 10, CLOSE_WAIT_MS = 2000 };

struct pg {                 /* the database's own */
	PGconn *conn;           /* for blocking calls, under now_lock */
	struct pg_threads *threads;
};

struct pg_client {
	struct db_client *client;
	struct loop *loop;
	struct pg_conn write, *reads;
	unsigned connections;
	size_t outstanding;
	/* writes */
	struct db_job_list queue, group;
	size_t group_limit;
	bool in_flight, away;
	bool plain;                     /* this group: every execution by itself, to find the guilty */
	unsigned retries;               /* of this group, in a row */
	struct timer again;
	uint64_t again_at_us;           /* 0: not waiting */
	struct timer pace;
	uint64_t sent_us;               /* the last group */
	bool draining;
	uint64_t settled;
	/* the first error of the segment in flight */
	enum pg_fault fault;
	enum sterna_result refusal;
	struct db_job *guilty;
	/* reads */
	struct db_job_list held, waiting;
	struct timer expire;
};

static void send_reads(struct pg_client *p);
static void send_group(struct pg_client *p);

static void job_end(struct pg_client *p, struct db_job *j, enum sterna_result rc)
{
	p->outstanding--;
	db_job_finish(j, rc);
}

/* list: what goes to the head of to */
static void put_first(struct db_job_list *to, struct db_job_list *list)
{
	db_jobs_join(list, to);
	db_jobs_join(to, list);
}

static void log_refusal(const struct pg_expect *x, const PGresult *res)
{
	/* The primary message and the code only: details hold the values. */
	log_error("db", "the database refused a statement",
		"name", x->exec != NULL ? x->exec->stmt->name : "transaction",
		"detail", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY),
		"code", PQresultErrorField(res, PG_DIAG_SQLSTATE));
}

/* --- reads --- */

static void set_expire(struct pg_client *p)
{
	uint64_t due = UINT64_MAX;
	const uint64_t now = db_clock_us();

	if (p->held.first != NULL)
		due = p->held.first->deadline_us;
	if (p->waiting.first != NULL && p->waiting.first->deadline_us < due)
		due = p->waiting.first->deadline_us;
	for (unsigned i = 0; i < p->connections; i++) {
		const struct pg_expect *x = p->reads[i].first;

		while (x != NULL && x->job == NULL)
			x = x->next;
		if (x != NULL && x->job->deadline_us < due)
			due = x->job->deadline_us;
	}
	if (due == UINT64_MAX)
		timer_cancel(&p->expire);
	else
		timer_set(&p->expire, due > now ? due - now : 0);
}

static void drop_expired(struct pg_client *p, struct db_job_list *list)
{
	const uint64_t now = db_clock_us();
	struct db_job_list all;

	db_jobs_init(&all);
	db_jobs_join(&all, list);
	for (struct db_job *j; (j = db_jobs_take(&all)) != NULL;) {
		if (now >= j->deadline_us)
			job_end(p, j, STERNA_EUNAVAILABLE);
		else
			db_jobs_add(list, j);
	}
}

/* A database that stands still keeps its connections. Its answer, should it come, is nobody's any more. */
static void drop_in_flight(struct pg_client *p, struct pg_conn *k)
{
	const uint64_t now = db_clock_us();

	for (struct pg_expect *x = k->first; x != NULL; x = x->next) {
		struct db_job *j = x->job;

		if (j == NULL || now < j->deadline_us)
			continue;
		for (struct pg_expect *y = x; y != NULL; y = y->next)
			if (y->job == j) {
				y->job = NULL;
				y->exec = NULL;
			}
		job_end(p, j, STERNA_EUNAVAILABLE);
	}
}

static void on_expire(struct timer *t, void *arg)
{
	struct pg_client *p = arg;

	(void)t;
	drop_expired(p, &p->held);
	drop_expired(p, &p->waiting);
	for (unsigned i = 0; i < p->connections; i++)
		drop_in_flight(p, &p->reads[i]);
	set_expire(p);
}

static void release_held(struct pg_client *p)
{
	while (p->held.first != NULL && p->held.first->seq <= p->settled)
		db_jobs_add(&p->waiting, db_jobs_take(&p->held));
	send_reads(p);
}

static struct pg_conn *idlest(struct pg_client *p)
{
	struct pg_conn *best = NULL;

	for (unsigned i = 0; i < p->connections; i++) {
		struct pg_conn *k = &p->reads[i];

		if (k->conn != NULL && k->syncs < READS_IN_FLIGHT && (best == NULL || k->syncs < best->syncs))
			best = k;
	}
	return best;
}

static void send_reads(struct pg_client *p)
{
	struct pg_conn *k;

	while (p->waiting.first != NULL && (k = idlest(p)) != NULL) {
		struct db_job *j = p->waiting.first;

		if (!pg_send_exec(k, j->first, j) || !pg_send_sync(k, j)) {
			pg_conn_lost(k, NULL);
			continue;
		}
		db_jobs_take(&p->waiting);      /* after its Sync is expected: from now on lost() finds it there */
		j->rc = STERNA_OK;
		if (!pg_flush(k))
			pg_conn_lost(k, NULL);
	}
	set_expire(p);
}

static void read_over(struct pg_client *p, struct db_job *j)
{
	if (j->rc != STERNA_EAGAIN) {
		job_end(p, j, j->rc);
	} else if (++j->tries >= TRIES_MAX || db_clock_us() >= j->deadline_us) {
		job_end(p, j, STERNA_EUNAVAILABLE);
	} else {
		struct db_job_list one;

		db_jobs_init(&one);
		db_jobs_add(&one, j);
		put_first(&p->waiting, &one);
	}
	send_reads(p);
}

static void on_read_result(void *arg, struct pg_conn *k, const struct pg_expect *x, PGresult **res)
{
	struct pg_client *p = arg;

	if (x->what == PG_SYNC) {
		if (x->job != NULL)
			read_over(p, x->job);
		else
			send_reads(p);
		return;
	}
	const enum pg_fault fault = pg_fault_of(k->conn, *res);

	if (x->job == NULL && fault != PG_STALE && fault != PG_LOST)
		return; /* it was answered when its time was up */
	switch (fault) {
	case PG_FINE:
		if (x->what == PG_EXEC) {
			db_rows_free(&x->job->rows);
			x->job->rows = pg_rows(x->exec->stmt, res);
		}
		break;
	case PG_SKIPPED:
		break;
	case PG_GUILTY:
		x->job->rc = pg_refusal(*res);
		log_refusal(x, *res);
		break;
	case PG_RETRY: case PG_AWAY:
		x->job->rc = STERNA_EAGAIN;
		break;
	case PG_STALE: case PG_LOST:
		pg_conn_lost(k, PQresultErrorField(*res, PG_DIAG_MESSAGE_PRIMARY));
	}
}

/* Reads in flight wait again. */
static void reclaim_reads(struct pg_client *p, const struct pg_conn *k)
{
	struct db_job_list again;

	db_jobs_init(&again);
	for (const struct pg_expect *x = k->first; x != NULL; x = x->next) {
		if (x->what != PG_SYNC || x->job == NULL)
			continue;
		if (++x->job->tries >= TRIES_MAX)
			job_end(p, x->job, STERNA_EUNAVAILABLE);
		else
			db_jobs_add(&again, x->job);
	}
	put_first(&p->waiting, &again);
}

static void on_read_lost(void *arg, struct pg_conn *k)
{
	reclaim_reads(arg, k);
	send_reads(arg);        /* on another connection, if there is one */
}

static void on_read_ready(void *arg, struct pg_conn *k)
{
	(void)k;
	send_reads(arg);
}

static const struct pg_events read_events = { on_read_result, on_read_ready, on_read_lost };

/* --- writes --- */

static void again_in(struct pg_client *p, unsigned ms)
{
	uint16_t dice;

	loop_random(p->loop, &dice, sizeof dice);
	const uint64_t after_us = (uint64_t)ms * (500 + dice % 1000);

	p->again_at_us = db_clock_us() + after_us;
	timer_set(&p->again, after_us);
}

static void on_again(struct timer *t, void *arg)
{
	struct pg_client *p = arg;

	(void)t;
	p->again_at_us = 0;
	send_group(p);
}

static void put_group_back(struct pg_client *p)
{
	for (struct db_job *j = p->group.first; j != NULL; j = j->next)
		j->rc = STERNA_OK;
	put_first(&p->queue, &p->group);
	p->in_flight = false;
}

static void take_group(struct pg_client *p)
{
	size_t bytes = 0;

	while (p->queue.first != NULL && p->group.count < p->group_limit && bytes < GROUP_BYTES) {
		bytes += p->queue.first->bytes;
		db_jobs_add(&p->group, db_jobs_take(&p->queue));
	}
}

static void finish_group(struct pg_client *p)
{
	for (struct db_job *j; (j = db_jobs_take(&p->group)) != NULL;) {
		p->settled = j->seq;
		job_end(p, j, j->rc);
	}
	p->retries = 0;
	p->plain = false;
}

static bool send_transaction(struct pg_client *p)
{
	struct pg_conn *k = &p->write;
	const PGTransactionStatusType status = PQtransactionStatus(k->conn);
	bool good = status == PQTRANS_IDLE || pg_send_control(k, "ROLLBACK");

	good = good && pg_send_control(k, "BEGIN");
	for (struct db_job *j = p->group.first; j != NULL; j = j->next)
		if (j->tries == 0)
			j->tries = 1;           /* from now on its outcome may be unknown */
	return good && pg_send_group(k, &p->group, p->plain) && pg_send_control(k, "COMMIT") &&
		pg_send_sync(k, NULL) && pg_flush(k);
}

static void on_pace(struct timer *t, void *arg)
{
	(void)t;
	send_group(arg);
}

/* A little later more share the commit (db_driver.h); not when there are many already, or a read waits for them. */
static bool is_too_soon(struct pg_client *p)
{
	const uint64_t due = p->sent_us + DB_PACE_PG_US, now = db_clock_us();

	if (now >= due || p->queue.count >= DB_PACE_MOST || p->queue.count >= p->group_limit || p->held.first != NULL
		|| p->draining)
		return false;
	timer_set(&p->pace, due - now);
	return true;
}

static void send_group(struct pg_client *p)
{
	if (p->write.conn == NULL || p->in_flight || p->again_at_us != 0)
		return;
	if (p->group.first == NULL && p->queue.first != NULL && !is_too_soon(p))
		take_group(p);
	if (p->group.first == NULL)
		return;
	timer_cancel(&p->pace);
	p->sent_us = db_clock_us();
	p->in_flight = true;
	p->fault = PG_FINE;
	p->guilty = NULL;
	if (!send_transaction(p))
		pg_conn_lost(&p->write, NULL);
}

static void set_away(struct pg_client *p, bool away)
{
	p->away = away;
	db_client_state(p->client, !away && p->write.conn != NULL);
}

/* Cut the group behind the guilty batch; what is before it goes again. */
static void refuse(struct pg_client *p)
{
	struct db_job_list kept, rest;

	db_jobs_init(&kept);
	db_jobs_init(&rest);
	/* Repeated after a lost connection, it may have met itself. */
	p->guilty->rc = p->refusal == STERNA_EEXISTS && p->guilty->tries > 1 ? STERNA_EUNCERTAIN : p->refusal;
	for (struct db_job *j; (j = db_jobs_take(&p->group)) != NULL && j != p->guilty;)
		db_jobs_add(&kept, j);
	db_jobs_join(&rest, &p->group);
	put_first(&p->queue, &rest);
	const bool alone = kept.first == NULL;

	db_jobs_add(&kept, p->guilty);
	db_jobs_join(&p->group, &kept);
	p->group_limit = p->group_limit > 1 ? p->group_limit / 2 : 1;
	if (alone)
		finish_group(p);
}

/* BEGIN or COMMIT was refused, or the group was tried too often: one by one, to find the guilty. */
static void refuse_any(struct pg_client *p)
{
	if (p->group.count == 1) {
		if (p->group.first->rc == STERNA_OK)
			p->group.first->rc = p->refusal;
		finish_group(p);
		return;
	}
	p->group_limit = 1;
	put_group_back(p);
}

static void transaction_over(struct pg_client *p)
{
	p->in_flight = false;
	switch (p->fault) {
	case PG_FINE: case PG_SKIPPED:
		finish_group(p);
		p->group_limit = p->group_limit * 2 < GROUP_MAX ? p->group_limit * 2 : GROUP_MAX;
		if (p->away) {
			log_notice("db", "PostgreSQL writes again");
			set_away(p, false);
		}
		break;
	case PG_GUILTY:
		if (p->guilty != NULL)
			refuse(p);
		else
			refuse_any(p);
		break;
	case PG_RETRY:
		if (p->plain && p->retries == 0) {
			p->retries = 1;
		} else if (++p->retries < TRIES_MAX) {
			again_in(p, AGAIN_MS);
		} else {
			p->refusal = STERNA_EIO;
			p->retries = 0;
			refuse_any(p);
		}
		break;
	case PG_AWAY:
		put_group_back(p);
		again_in(p, AWAY_MS);
		set_away(p, true);
		break;
	case PG_STALE: case PG_LOST:
		pg_conn_lost(&p->write, NULL);
		return;
	}
	release_held(p);
	send_group(p);
}

static void on_write_result(void *arg, struct pg_conn *k, const struct pg_expect *x, PGresult **res)
{
	struct pg_client *p = arg;

	if (x->what == PG_SYNC) {
		transaction_over(p);
		return;
	}
	enum pg_fault fault = pg_fault_of(k->conn, *res);

	if (fault == PG_FINE || fault == PG_SKIPPED || p->fault != PG_FINE)
		return;
	if (fault == PG_STALE)
		fault = p->group.first->tries > 1 ? PG_GUILTY : PG_LOST;
	p->fault = fault;
	if (fault == PG_GUILTY && x->exec != NULL && x->job == NULL) {
		p->fault = PG_RETRY;    /* one of many: the same group, plain */
		p->plain = true;
		if (x->what == PG_PREPARE)      /* the spelling for many is wrong */
			log_refusal(x, *res);
		return;
	}
	p->guilty = x->job;
	p->refusal = pg_refusal(*res);
	if (fault == PG_LOST)
		pg_conn_lost(k, PQresultErrorField(*res, PG_DIAG_MESSAGE_PRIMARY));
	else if ((fault == PG_GUILTY && p->refusal != STERNA_EEXISTS) || (fault == PG_AWAY && !p->away) ||
		(fault == PG_RETRY && p->retries + 1 == TRIES_MAX))
		log_refusal(x, *res);
}

static void on_write_lost(void *arg, struct pg_conn *k)
{
	struct pg_client *p = arg;

	(void)k;
	for (struct db_job *j = p->in_flight ? p->group.first : NULL; j != NULL; j = j->next)
		j->tries = 2;
	put_group_back(p);
	db_client_state(p->client, false);
}

static void on_write_ready(void *arg, struct pg_conn *k)
{
	struct pg_client *p = arg;

	(void)k;
	db_client_state(p->client, !p->away);
	send_group(p);
}

static const struct pg_events write_events = { on_write_result, on_write_ready, on_write_lost };

/* --- the driver --- */

static void pg_client_new(struct db_client *c)
{
	struct pg_client *p = xalloc(sizeof *p);
	struct pg *n = c->db->impl;

	c->impl = p;
	p->client = c;
	p->loop = c->loop;
	p->group_limit = GROUP_MAX;
	db_jobs_init(&p->queue);
	db_jobs_init(&p->group);
	db_jobs_init(&p->held);
	db_jobs_init(&p->waiting);
	timer_init(&p->again, c->loop, on_again, p);
	timer_init(&p->pace, c->loop, on_pace, p);
	timer_init(&p->expire, c->loop, on_expire, p);
	p->connections = c->db->o.connections;
	p->reads = xalloc(p->connections * sizeof *p->reads);
	pg_conn_start(&p->write, &c->db->o, n->threads, c->loop, &write_events, p, true);
	for (unsigned i = 0; i < p->connections; i++)
		pg_conn_start(&p->reads[i], &c->db->o, n->threads, c->loop, &read_events, p, false);
}

static void pg_submit(struct db_client *c, struct db_job_list *jobs)
{
	struct pg_client *p = c->impl;

	for (struct db_job *j; (j = db_jobs_take(jobs)) != NULL;) {
		p->outstanding++;
		db_jobs_add(!j->read ? &p->queue : j->seq > p->settled ? &p->held : &p->waiting, j);
	}
	send_group(p);
	send_reads(p);
}

/* The loop does not run: wait for the sockets here. */
static void drain(struct pg_client *p, unsigned wait_ms)
{
	const uint64_t end = db_clock_us() + (uint64_t)wait_ms * 1000;
	struct pollfd *fds = xalloc((p->connections + 1) * sizeof *fds);

	p->draining = true;
	send_group(p);
	while (p->outstanding > 0 && db_clock_us() < end) {
		nfds_t n = 0;

		for (unsigned i = 0; i <= p->connections; i++) {
			const struct pg_conn *k = i == 0 ? &p->write : &p->reads[i - 1];

			if (k->conn != NULL)
				fds[n++] = (struct pollfd){ .fd = PQsocket(k->conn), .events = (short)
					(POLLIN | ((k->io.events & IO_WRITE) != 0 ? POLLOUT : 0)) };
		}
		poll(fds, n, CLOSE_POLL_MS);
		for (unsigned i = 0; i <= p->connections; i++)
			pg_conn_tick(i == 0 ? &p->write : &p->reads[i - 1]);
		if (p->again_at_us != 0 && db_clock_us() >= p->again_at_us) {
			timer_cancel(&p->again);
			on_again(&p->again, p);
		}
		on_expire(&p->expire, p);
	}
	free(fds);
}

static void give_up(struct pg_client *p, struct db_job_list *list)
{
	for (struct db_job *j; (j = db_jobs_take(list)) != NULL;)
		job_end(p, j, !j->read && j->tries > 0 ? STERNA_EUNCERTAIN : STERNA_EUNAVAILABLE);
}

static void pg_client_free(struct db_client *c, unsigned wait_ms)
{
	struct pg_client *p = c->impl;

	drain(p, wait_ms);
	for (unsigned i = 0; i < p->connections; i++) {
		reclaim_reads(p, &p->reads[i]);
		pg_conn_stop(&p->reads[i]);
	}
	pg_conn_stop(&p->write);
	timer_cancel(&p->again);
	timer_cancel(&p->pace);
	timer_cancel(&p->expire);
	give_up(p, &p->group);
	give_up(p, &p->queue);
	give_up(p, &p->held);
	give_up(p, &p->waiting);
	assert(p->outstanding == 0);
	free(p->reads);
	free(p);
}

/* --- blocking calls --- */

static enum sterna_result pg_open(struct db *db)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(db->o.conninfo != NULL ? db->o.conninfo : "", &why);

	if (options == NULL) {  /* the reason is not logged: it may quote a password */
		log_error("db", "the connection string of PostgreSQL cannot be read; see libpq's manual, 34.1.1");
		PQfreemem(why);
		return STERNA_EINVAL;
	}
	PQconninfoFree(options);
	struct pg *n = xalloc(sizeof *n);

	n->threads = pg_threads_new();
	db->impl = n;
	return STERNA_OK;
}

static void pg_close(struct db *db)
{
	struct pg *n = db->impl;

	PQfinish(n->conn);
	pg_threads_free(&n->threads, CLOSE_WAIT_MS);
	free(n);
}

static bool now_connected(struct db *db)
{
	struct pg *n = db->impl;

	if (n->conn != NULL && PQstatus(n->conn) == CONNECTION_OK)
		return true;
	PQfinish(n->conn);
	n->conn = pg_connect(&db->o);
	if (PQstatus(n->conn) == CONNECTION_OK)
		return true;
	log_error("db", "cannot connect to PostgreSQL", "detail", PQerrorMessage(n->conn));
	PQfinish(n->conn);
	n->conn = NULL;
	return false;
}

static void now_lost(struct pg *n)
{
	PQfinish(n->conn);
	n->conn = NULL;
}

static enum sterna_result now_answer(struct pg *n, enum pg_fault fault, const PGresult *res, const char *name)
{
	if (fault == PG_FINE)
		return STERNA_OK;
	const enum sterna_result refusal = fault == PG_GUILTY || fault == PG_STALE ? pg_refusal(res) : STERNA_EUNAVAILABLE;

	if (refusal != STERNA_EEXISTS)
		log_error("db", "the database refused a statement", "name", name,
			"detail", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY),
			"code", PQresultErrorField(res, PG_DIAG_SQLSTATE));
	if (fault == PG_LOST)
		now_lost(n);
	return refusal;
}

static enum sterna_result pg_now(struct db *db, const struct db_exec *e, struct db_rows **rows)
{
	struct pg *n = db->impl;
	const char *sql = e->stmt->pg != NULL ? e->stmt->pg : e->stmt->sql;
	struct pg_params p;

	pg_params_set(&p, e->stmt->params, e->values);
	for (int attempt = 0;; attempt++) {
		if (!now_connected(db))
			return attempt == 0 ? STERNA_EUNAVAILABLE : STERNA_EUNCERTAIN;
		const bool within = PQtransactionStatus(n->conn) != PQTRANS_IDLE;
		PGresult *res = PQexecParams(n->conn, sql, p.count, p.types, p.values, p.lengths, p.formats, 1);
		const enum pg_fault fault = pg_fault_of(n->conn, res);

		if ((fault == PG_LOST || fault == PG_RETRY) && !within && attempt < 2) {
			if (fault == PG_LOST)
				now_lost(n);    /* idempotent: once more on a new connection */
			PQclear(res);
			continue;
		}
		const enum sterna_result rc = now_answer(n, fault, res, e->stmt->name);

		if (rc == STERNA_OK)
			*rows = pg_rows(e->stmt, &res);
		PQclear(res);
		return rc;
	}
}

static enum sterna_result pg_script(struct db *db, const char *sql)
{
	struct pg *n = db->impl;

	if (!now_connected(db))
		return STERNA_EUNAVAILABLE;
	PGresult *res = PQexec(n->conn, sql);
	const enum sterna_result rc = now_answer(n, pg_fault_of(n->conn, res), res, "script");

	PQclear(res);
	return rc;
}

const struct db_driver db_pg = {
	.name = "postgresql",
	.open = pg_open,
	.close = pg_close,
	.client_new = pg_client_new,
	.client_free = pg_client_free,
	.submit = pg_submit,
	.now = pg_now,
	.script = pg_script,
	.suffix = ".pg.sql",
	/* The key is "STERNA" in ASCII. */
	.lock = "BEGIN; SELECT pg_advisory_xact_lock(91621405380161)",
	.unlock = "COMMIT",
	.rollback = "ROLLBACK",
	.maintain = "SELECT archive_partitions($1)",
};
