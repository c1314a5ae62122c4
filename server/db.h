/* db.h - the one asynchronous interface to storage: PostgreSQL (db_pg.c) and SQLite (db_sqlite.c).
 *
 * Callbacks are never called from within the call that asks; always later, on the client's loop, in the
 * order in which the writes were committed. Threads: a db is shared; a client belongs to its loop's
 * thread. All writes are idempotent by construction (keys chosen by us, ON CONFLICT): a driver repeats
 * batches whose outcome it does not know after a lost connection, and only answers STERNA_EUNCERTAIN when
 * it gives up (close with work in flight), or when a repeated plain INSERT finds its key: it may be its own. */
#ifndef STERNA_DB_H
#define STERNA_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/loop.h"
#include "server/result.h"

/** A prepared statement; a static const object, prepared once per connection on first use. SQL is never
 *  glued together. Parameters are $1, $2 … in both spellings. */
struct db_stmt {
	const char *name;            /* unique in the process, [a-z0-9_]+ */
	const char *params;          /* a letter per parameter: t text, i 64-bit integer, b bytes */
	const char *columns;         /* a letter per result column, likewise; NULL or "": none */
	const char *sql;             /* what both databases speak */
	const char *pg, *sqlite;     /* where one needs another spelling; else NULL */
	/* For speed with PostgreSQL, or NULL: the same with an array for each parameter (… FROM unnest($1::text[],
	 * $2::bigint[])), for many executions at once: those that follow each other in a group; with commutes,
	 * all of the group, also past other statements and out of the order of batches. Writes only. */
	const char *pg_bulk;
	bool commutes;
};

struct db_value {
	char type;                   /* 't', 'i', 'b', or 0 for NULL */
	int64_t i;
	const void *p;               /* t, b: borrowed until the call that takes it returns */
	size_t len;
};
#define DB_NULL ((struct db_value){ 0, 0, NULL, 0 })
#define DB_INT(n) ((struct db_value){ 'i', (n), NULL, 0 })
#define DB_BLOB(bytes, n) ((struct db_value){ 'b', 0, (bytes), (n) })
static inline struct db_value db_textn(const char *s, size_t len)
{
	return (struct db_value){ (char)(s != NULL ? 't' : 0), 0, s, len };
}
struct db_value db_text(const char *s);  /**< NULL is SQL NULL */

/** A result; borrowed for the time of the callback. */
struct db_rows;
size_t db_rows_count(const struct db_rows *r);
bool db_is_null(const struct db_rows *r, size_t row, size_t column);
int64_t db_int(const struct db_rows *r, size_t row, size_t column);          /**< 0 for NULL */
/** NUL-terminated; NULL for SQL NULL; len may be NULL. Also for bytes. */
const char *db_str(const struct db_rows *r, size_t row, size_t column, size_t *len);

/** rc: STERNA_OK; STERNA_EEXISTS (a unique key, nothing written); STERNA_EUNAVAILABLE (nothing was or
 *  will be written); STERNA_EUNCERTAIN; STERNA_EIO (the database refused: logged; nothing written).
 *  rows: for reads with STERNA_OK, else NULL. */
typedef void db_fn(void *arg, enum sterna_result rc, const struct db_rows *rows);

struct db_options {
	const char *driver;          /* "sqlite" or "postgresql" */
	const char *path;            /* sqlite: the file; ":memory:" is shared within the db */
	const char *conninfo;        /* postgresql: libpq's, several hosts allowed, without password */
	const char *password;        /* or NULL */
	const char *sync;            /* sqlite: "full" (default: power-safe), "normal" */
	unsigned connections;        /* postgresql: per client, for reads (1 more for writes); default 1 */
	size_t queue_bytes;          /* writes that may wait while the database is away, per client */
	unsigned read_wait_ms;       /* how long a read waits for a database that is away */
	unsigned answer_wait_ms;     /* postgresql: silence after which a connection counts as lost; default 10 s */
	bool beside;                 /* postgresql: a tool that writes beside a server: neither ends the other's connections */
	const char *sql_dir;         /* where the migrations lie */
	void *arg;                   /* the simulation's driver's */
};

struct db;
struct db_client;
struct db_batch;

/** Opens (a helper thread for SQLite); does not wait for PostgreSQL to be there. */
enum sterna_result db_open(const struct db_options *o, struct db **out) STERNA_CHECKED;
/** Brings the schema to the newest version under a lock, blocking; called before clients are made.
 *  @param[out] from,to  schema versions before and after; may be NULL
 *  @return STERNA_EUNAVAILABLE no database; STERNA_ELIMIT the schema is newer than this program;
 *          STERNA_EIO a migration failed and was rolled back (logged) */
enum sterna_result db_migrate(struct db *db, int *from, int *to) STERNA_CHECKED;
/** Work that falls due with time: PostgreSQL's partitions of the archive for this month and the next two.
 *  Blocking; at start-up after db_migrate(), and daily from a helper thread. now_ms: Unix time. */
enum sterna_result db_maintain(struct db *db, int64_t now_ms) STERNA_CHECKED;
void db_close(struct db **db);       /**< after its clients; waits for what was submitted */

struct db_client *db_client_new(struct db *db, struct loop *l);
/** What was submitted is still tried for up to wait_ms; what is left gets its callback before this
 *  returns (EUNCERTAIN or EUNAVAILABLE). From then on everything is refused, and answered by the next call of
 *  this. Runs no other code of the loop. Never from a db_fn of this client. @return true: callbacks were run */
bool db_client_stop(struct db_client *c, unsigned wait_ms);
/** The same, and the client's end. */
void db_client_free(struct db_client **c, unsigned wait_ms);
bool db_is_up(const struct db_client *c);        /**< as far as is known */
/** Told on the loop when that changes. */
void db_on_state(struct db_client *c, void (*fn)(void *arg, bool up), void *arg);
size_t db_queued_bytes(const struct db_client *c);
/** More than half of queue_bytes: whoever can should bring no more, before writes are refused. */
bool db_is_filling(const struct db_client *c);

/** Writes that commit together or not at all. */
struct db_batch *db_batch_new(struct db_client *c);
void db_batch_add(struct db_batch *b, const struct db_stmt *s, const struct db_value *values); /**< copies */
size_t db_batch_count(const struct db_batch *b);
/** Takes the batch. It joins the group that this turn's end sends; fn (may be NULL) after its commit.
 *  Batches of one client commit in the order submitted. */
void db_batch_commit(struct db_batch **b, db_fn *fn, void *arg);
/** Its statements do no harm when they run twice: where it fails, or nobody knows whether it was written, it is submitted
 *  once more, behind what was submitted since, up to so often before fn hears of it. may (NULL: always) is asked before
 *  each time, with fn's arg: what came since may have made it wrong. */
void db_batch_repeat(struct db_batch *b, unsigned times, bool (*may)(const void *arg));
void db_batch_drop(struct db_batch **b);

/** One statement that reads. It sees every batch that this client submitted before (the driver waits
 *  for them). */
void db_read(struct db_client *c, const struct db_stmt *s, const struct db_value *values, db_fn *fn, void *arg);

/* Blocking form for tools (sternactl, migrations, tests), no loop needed; never on a worker. fn may be NULL. */
enum sterna_result db_exec_now(struct db *db, const struct db_stmt *s, const struct db_value *values,
	db_fn *fn, void *arg) STERNA_CHECKED;

/** Blocks for some seconds where somebody else may be there: does another running server write to this database? Before
 *  workers do. One that was killed is told apart by that it does not come back when its connections are ended.
 *  @param[out] who  on STERNA_EEXISTS: from where it is connected; size bytes
 *  @return STERNA_EEXISTS; or as db_exec_now() */
enum sterna_result db_is_alone(struct db *db, char *who, size_t size) STERNA_CHECKED;

#endif
