/* db_driver.h - what db.c and the drivers (db_sqlite.c, db_pg.c) share. Not for anyone else.
 *
 * A job is a batch of writes or one read; it lies in its own arena. db.c gathers the jobs of a turn and
 * hands them to the driver in the order submitted; the driver gives each back once, with db_job_finish(). */
#ifndef STERNA_DB_DRIVER_H
#define STERNA_DB_DRIVER_H

#include <pthread.h>
#include "server/db.h"
#include "server/log.h"
#include "server/mem.h"

/* A commit costs as much as several messages, and an fsync: the next one begins this long after the last one began,
 * but for so many batches that wait. What comes after a pause is never delayed. SQLite has one writer for all workers,
 * PostgreSQL one for each. */
enum { DB_PACE_SQLITE_US = 3000, DB_PACE_PG_US = 6000, DB_PACE_MOST = 64 };

/* --- results --- */
struct db_cell {
	const char *p;               /* NULL: SQL NULL; for integers any other pointer */
	size_t len;
	int64_t i;
};
struct db_rows {
	struct arena *arena;         /* holds the struct itself, and the cells */
	size_t count, columns, room;
	struct db_cell *cells;
	void *owned;                 /* where the cells' bytes lie, if not in the arena */
	void (*release)(void *owned);
};
struct db_rows *db_rows_new(const struct db_stmt *s);
struct db_cell *db_rows_add(struct db_rows *r);  /**< a row of zeroed cells, until the next call */
void db_rows_free(struct db_rows **r);

/* --- jobs --- */
struct db_exec {
	struct db_exec *next;
	const struct db_stmt *stmt;
	struct db_value *values;     /* as many as stmt->params has letters */
};
struct db_job {
	struct db_job *next;
	struct arena *arena;         /* holds the job itself */
	struct db_client *client;    /* NULL: given up, nobody waits */
	struct db_exec *first, **tail;
	size_t count, bytes;
	db_fn *fn;
	void *arg;
	bool read;
	uint64_t seq;                /* a write: its number, from 1; a read: of the last write before it */
	uint64_t deadline_us;        /* a read: on db_clock_us() */
	unsigned tries;              /* for the driver */
	unsigned again;              /* a failure is not told yet, but the job submitted once more, so often … */
	bool (*may)(const void *arg);   /* … where this says so; NULL: always */
	enum sterna_result rc;
	struct db_rows *rows;
};
struct db_batch {
	struct db_job job;
};
struct db_job_list {
	struct db_job *first, **tail;
	size_t count;
};
void db_jobs_init(struct db_job_list *l);
void db_jobs_add(struct db_job_list *l, struct db_job *j);
void db_jobs_join(struct db_job_list *l, struct db_job_list *more);     /**< more behind l; empties more */
struct db_job *db_jobs_take(struct db_job_list *l);                     /**< the first, or NULL */

/** Gives a job back: its callback runs on the client's loop, after those given back before. Any thread. */
void db_job_finish(struct db_job *j, enum sterna_result rc);
/** Answers for a job that a thread still holds (its client was set to NULL). */
void db_job_answer(struct db_client *c, db_fn *fn, void *arg, enum sterna_result rc);
void db_job_free(struct db_job *j);
/** What is known of the database, for the client's db_on_state(); any thread. */
void db_client_state(struct db_client *c, bool up);

/* --- a statement's place among a connection's prepared ones, by name and text: a module may have been
 * unloaded and another loaded at the same address --- */
struct db_prepared {
	struct db_prepared *next;
	char *name, *sql;
	unsigned number;             /* unique within the cache */
	bool ready;
	void *handle;
};
struct db_cache {
	struct db_prepared *slots[256];
	unsigned made;
};
struct db_prepared *db_cache_get(struct db_cache *k, const char *name, const char *sql);
void db_cache_clear(struct db_cache *k, void (*drop)(void *handle));

struct db_driver {
	const char *name;
	enum sterna_result (*open)(struct db *db);
	void (*close)(struct db *db);
	void (*client_new)(struct db_client *c);
	/** Gives back every job of the client; then no thread knows it any more. */
	void (*client_free)(struct db_client *c, unsigned wait_ms);
	void (*submit)(struct db_client *c, struct db_job_list *jobs);
	/* Blocking, on a connection of their own, under db->now_lock. */
	enum sterna_result (*now)(struct db *db, const struct db_exec *e, struct db_rows **rows);
	enum sterna_result (*script)(struct db *db, const char *sql);
	const char *suffix;          /* of its migrations: ".pg.sql" */
	const char *lock, *unlock, *rollback;   /* scripts: a transaction that no other migration enters */
	const char *maintain;        /* a statement with the time in ms as $1; or NULL */
};
extern const struct db_driver db_sqlite, db_pg;
/** As db_open(), over a driver that has no name in the configuration: the simulation's. */
enum sterna_result db_open_with(const struct db_driver *driver, const struct db_options *o, struct db **out) STERNA_CHECKED;

struct db {
	const struct db_driver *driver;
	struct db_options o;         /* with copies of the texts */
	pthread_mutex_t now_lock;    /* recursive */
	void *impl;
};

struct db_wake;
struct db_client {
	struct db *db;
	struct loop *loop;
	void *impl;
	/* the loop's thread */
	struct db_job_list gathered; /* in this turn */
	struct task submit;
	uint64_t seq;
	size_t write_bytes, read_bytes;
	bool up, closing;
	void (*on_state)(void *arg, bool up);
	void *state_arg;
	/* under lock */
	pthread_mutex_t lock;
	struct db_job_list done;
	bool up_now;
	struct db_wake *wake;        /* a mail on its way to the loop */
};

uint64_t db_clock_us(void);      /**< CLOCK_MONOTONIC */
#define db_log_error(what, name, detail) log_error("db", what, "name", (name), "detail", (detail))
#define db_log_notice(what, name) log_notice("db", what, "name", (name))

#endif
