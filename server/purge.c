/* purge.c - archives that are to go, step by step. */
#include "server/purge.h"
#include "server/server.h"

/* STEP rows are a few milliseconds of the database; between two steps others have their turn. A batch that was noted may
 * be committed a while after: so it is looked for some times. */
enum { STEP = 500, PAUSE_US = 20000, LOOKS = 15 };

static const struct db_stmt note = {
	.name = "purge_note", .params = "ti",
	.sql = "INSERT INTO archive_purge (owner, up_to) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET"
	       " up_to = excluded.up_to WHERE archive_purge.up_to < excluded.up_to",
};
static const struct db_stmt next = {
	.name = "purge_next", .params = "", .columns = "ti",
	.sql = "SELECT owner, up_to FROM archive_purge ORDER BY owner LIMIT 1",
};
static const struct db_stmt some = {
	.name = "purge_some", .params = "tii",
	.sql = "DELETE FROM archive WHERE owner = $1 AND id <= (SELECT max(id) FROM (SELECT id FROM archive WHERE owner = $1"
	       " AND id <= $2 ORDER BY id LIMIT $3) AS first_of)",
};
/* Not if more was noted meanwhile. */
static const struct db_stmt done = {
	.name = "purge_done", .params = "ti",
	.sql = "DELETE FROM archive_purge WHERE owner = $1 AND up_to = $2 AND NOT EXISTS (SELECT 1 FROM archive"
	       " WHERE owner = $1 AND id <= $2)",
};

void purge_add(struct server *s, struct db_batch *b, const char *owner, int64_t up_to)
{
	db_batch_add(b, &note, (const struct db_value[]){ db_text(owner), DB_INT(up_to) });
	atomic_store(&s->purge_wanted, true);
}

/* After a failure the next sweep looks again. */
static void on_step(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct worker *w = arg;

	(void)rows;
	if (rc == STERNA_OK && !w->stopping)
		timer_set(&w->purge_next, PAUSE_US);
	else
		w->purging = false;
}

static void on_next(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct worker *w = arg;
	const char *owner = rc == STERNA_OK && db_rows_count(rows) > 0 ? db_str(rows, 0, 0, NULL) : NULL;
	struct db_batch *b;

	if (rc != STERNA_OK)
		w->purge_looks = LOOKS;
	if (owner == NULL || w->stopping) {
		w->purging = false;
		return;
	}
	const int64_t up_to = db_int(rows, 0, 1);

	b = db_batch_new(w->db);
	db_batch_add(b, &some, (const struct db_value[]){ db_text(owner), DB_INT(up_to), DB_INT(STEP) });
	db_batch_add(b, &done, (const struct db_value[]){ db_text(owner), DB_INT(up_to) });
	w->purge_looks = LOOKS;
	db_batch_commit(&b, on_step, w);
}

static void look(struct worker *w)
{
	w->purging = true;
	db_read(w->db, &next, NULL, on_next, w);
}

static void on_timer(struct timer *t, void *arg)
{
	(void)t;
	look(arg);
}

void purge_start(struct worker *w)
{
	timer_init(&w->purge_next, w->loop, on_timer, w);
	w->purge_looks = w->index == 0 ? 1 : 0;
}

void purge_sweep(struct worker *w)
{
	if (w->index != 0 || w->purging || !db_is_up(w->db))
		return;
	if (atomic_exchange(&w->server->purge_wanted, false))
		w->purge_looks = LOOKS;
	if (w->purge_looks == 0)
		return;
	w->purge_looks--;
	look(w);
}

void purge_stop(struct worker *w)
{
	timer_cancel(&w->purge_next);
}
