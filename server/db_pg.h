/* db_pg.h - what db_pg.c (groups, reads) and db_pg_conn.c (one connection) share; the only files that know libpq. */
#ifndef STERNA_DB_PG_H
#define STERNA_DB_PG_H

#include <libpq-fe.h>
#include "server/db_driver.h"

/** What an error means for the one who asked. */
enum pg_fault {
	PG_FINE,
	PG_SKIPPED,     /* because of an earlier error in its segment */
	PG_GUILTY,      /* the statement is refused */
	PG_RETRY,       /* serialisation, deadlock, cancelled: the same again */
	PG_AWAY,        /* no disk, memory, connection: the same later */
	PG_STALE,       /* what is prepared does not fit any more: the same on a new connection, once */
	PG_LOST,        /* this connection is of no use any more, or no primary */
};
enum pg_fault pg_fault_of(PGconn *conn, const PGresult *res);
enum sterna_result pg_refusal(const PGresult *res);     /**< of a PG_GUILTY: EEXISTS or EIO */
/** Rows of a result; takes *res. */
struct db_rows *pg_rows(const struct db_stmt *s, PGresult **res);

/** Parameters as libpq wants them, all binary. Points into the values. */
enum { PG_PARAMS_MAX = 64 };
struct pg_params {
	int count, lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
	Oid types[PG_PARAMS_MAX];
	const char *values[PG_PARAMS_MAX];
	unsigned char ints[PG_PARAMS_MAX][8];
};
void pg_params_set(struct pg_params *p, const char *types, const struct db_value *values);

/** Blocking, a few seconds at most: ends other servers' connections for writes, and that of before_pid (0: none), and
 *  waits until they are gone. process: a number below 2^31, one for each process. beside: of a tool, which ends
 *  only its own, and which no server ends. @return false: not now */
bool pg_fence(PGconn *conn, unsigned process, bool beside, int before_pid);
/** Blocking, with a time limit per host; finds the primary among several hosts. Any thread. Never NULL. */
PGconn *pg_connect(const struct db_options *o);

/* --- one connection in pipeline mode, owned by a loop; it connects, and connects again, by itself --- */
enum pg_what { PG_PREPARE, PG_CONTROL, PG_EXEC, PG_SYNC };
struct pg_expect {              /* a result that is due */
	struct pg_expect *next;
	enum pg_what what;
	const struct db_exec *exec;
	struct db_job *job;
	struct db_prepared *prepared;
	bool seen;
};
struct pg_conn;
struct pg_events {
	/** A result; at PG_SYNC the segment is over. May send, and may call pg_conn_lost(). */
	void (*result)(void *arg, struct pg_conn *k, const struct pg_expect *x, PGresult **res);
	void (*ready)(void *arg, struct pg_conn *k);
	void (*lost)(void *arg, struct pg_conn *k);     /**< k->first: what was due and never came */
};
struct pg_dial;
/** The threads that dial for a database. db_close() waits for them a while: a process that ends beneath them
 *  would take the libraries away that they run in. */
struct pg_threads;
struct pg_threads *pg_threads_new(void);
void pg_threads_free(struct pg_threads **t, unsigned wait_ms);  /**< what still runs then ends by itself */
struct pg_conn {
	const struct db_options *o;
	struct pg_threads *threads;
	const struct pg_events *on;
	void *arg;
	struct loop *loop;
	PGconn *conn;                   /* NULL while not connected */
	struct io io;
	struct db_cache cache;
	struct pg_expect *first, **tail;
	size_t syncs;                   /* segments in flight */
	struct pg_dial *dial;
	struct timer redial;
	uint64_t redial_at_us;
	unsigned backoff_ms;
	/* An answer is due and does not come: a database that stands still keeps its connections. */
	struct timer silence;
	uint64_t heard_us;              /* the last answer, or when the first one became due */
	unsigned patience_ms;           /* grows while it is tried in vain */
	bool writes;                    /* to be fenced */
	int pid;                        /* of the backend now or before; 0: none */
	char at[160];                   /* where that is */
	bool loud, said_lost;           /* one connection of a client speaks for all in the log */
};
void pg_conn_start(struct pg_conn *k, const struct db_options *o, struct pg_threads *t, struct loop *l,
	const struct pg_events *on, void *arg, bool loud);
void pg_conn_stop(struct pg_conn *k);                   /**< without a call of lost() */
/** Sending; false: the connection is lost, call pg_conn_lost(). Nothing leaves before pg_flush(). */
bool pg_send_control(struct pg_conn *k, const char *sql);
bool pg_send_exec(struct pg_conn *k, const struct db_exec *e, struct db_job *j);
bool pg_send_params(struct pg_conn *k, const char *sql, const struct pg_params *params, const struct db_exec *e,
	struct db_job *j);
/** The statements of the jobs whose rc is STERNA_OK (db_pg_group.c). Of many executions sent as one the job is
 *  NULL where the result is expected; plain: none of that. */
bool pg_send_group(struct pg_conn *k, const struct db_job_list *group, bool plain);
bool pg_send_sync(struct pg_conn *k, struct db_job *j);
bool pg_flush(struct pg_conn *k);
void pg_conn_lost(struct pg_conn *k, const char *why);
/** For a loop that does not run: input, output, dialling. */
void pg_conn_tick(struct pg_conn *k);

#endif
