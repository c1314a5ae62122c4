/* ids.c - worker_next_id(), and the stored time that it does not leave far behind. */
#include "server/ids.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/server.h"

enum { NOTE_SWEEPS = 5, SLACK_MS = 30000, STEP_MS = 100 };

/* Never back: of the nodes and workers that store it the newest counts. Milliseconds as 13 digits compare as text. */
static const struct db_stmt clock_put = {
	.name = "clock_put", .params = "t",
	.sqlite = "INSERT INTO kv (ns, key, value) VALUES ('server', 'clock', CAST($1 AS blob)) "
		  "ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value WHERE CAST(kv.value AS blob) < excluded.value",
	.pg = "INSERT INTO kv (ns, key, value) VALUES ('server', 'clock', convert_to($1, 'UTF8')) "
	      "ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value WHERE kv.value < excluded.value",
};
static const struct db_stmt clock_get = {
	.name = "clock_get", .params = "", .columns = "b",
	.sql = "SELECT value FROM kv WHERE ns = 'server' AND key = 'clock'",
};

/* What waits for other servers goes in the order of its ids, and is confirmed by them (s2s_store.c): none of ours may be
 * below one of these, also where the clock was set back by less than SLACK_MS. */
static const struct db_stmt queue_newest = {
	.name = "s2s_queue_newest", .params = "", .columns = "i", .sql = "SELECT coalesce(max(id), 0) FROM s2s_queue",
};

static int64_t now_ms(const struct worker *w)
{
	return (int64_t)(loop_now_us(w->loop) / 1000);
}

static int64_t wall_ms(const struct worker *w)
{
	return loop_wall_us(w->loop) / 1000;
}

/* --- storing the time --- */

struct note {
	struct worker *worker;
	int64_t ms, ahead_ms;            /* the time; and how far it is ahead of the monotonic clock */
};

static void told(struct server *s, int64_t ms, int64_t ahead_ms)
{
	atomic_store(&s->clock_noted_ms, ms);
	atomic_store(&s->clock_ahead_ms, ahead_ms);
}

static void on_noted(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct note *n = arg;

	(void)rows;
	n->worker->noting = false;
	if (rc == STERNA_OK)
		told(n->worker->server, n->ms, n->ahead_ms);
	free(n);
}

static void note_time(struct worker *w)
{
	const int64_t last_ms = (int64_t)(w->last_id >> 20), ms = wall_ms(w) > last_ms ? wall_ms(w) : last_ms;
	struct note *n;
	struct db_batch *b;
	char text[24];

	if (w->noting || w->db == NULL || !db_is_up(w->db))
		return;
	n = xalloc(sizeof *n);
	n->worker = w;
	n->ms = ms;
	n->ahead_ms = ms - now_ms(w);
	w->noting = true;
	snprintf(text, sizeof text, "%013" PRId64, ms);
	b = db_batch_new(w->db);
	const struct db_value v = db_text(text);

	db_batch_add(b, &clock_put, &v);
	db_batch_commit(&b, on_noted, n);
}

void ids_sweep(struct worker *w)
{
	const int64_t last_ms = (int64_t)(w->last_id >> 20);

	/* One does it for all, but for one that is ahead of the clock: it has seen another time. */
	if ((w->index == 0 && ++w->sweeps % NOTE_SWEEPS == 1) ||
		(last_ms > wall_ms(w) + SLACK_MS / 2 && last_ms > atomic_load(&w->server->clock_noted_ms)))
		note_time(w);
}

void ids_stop(struct worker *w)
{
	if (w->last_id >> 20 > (uint64_t)atomic_load(&w->server->clock_noted_ms))
		note_time(w);
}

/* --- ids --- */

int64_t worker_next_id(struct worker *w)
{
	/* Milliseconds in the upper 44 bits; below, the worker (6 bits) and a count (14 bits): no two are equal,
	 * and each worker's grow, also when the clock goes back. */
	const int64_t most_ms = now_ms(w) + atomic_load(&w->server->clock_ahead_ms) + SLACK_MS;
	int64_t ms = wall_ms(w);

	if (ms > atomic_load(&w->server->clock_noted_ms) + SLACK_MS)
		note_time(w);
	if (ms > most_ms)
		ms = most_ms - SLACK_MS;
	uint64_t id = (uint64_t)ms << 20 | (uint64_t)(w->index & 63) << 14;

	if (id <= w->last_id) {
		/* Set back: the next process must not begin below what this one has given. */
		const int64_t last_ms = (int64_t)(w->last_id >> 20);

		if (last_ms > ms + STEP_MS && last_ms > atomic_load(&w->server->clock_noted_ms))
			note_time(w);
		id = w->last_id + 1;
		if ((id >> 14 & 63) != (w->index & 63)) /* the count is full: on to the next millisecond */
			id = ((w->last_id >> 20) + 1) << 20 | (uint64_t)(w->index & 63) << 14;
	}
	w->last_id = id;
	return (int64_t)id;
}

/* --- the start --- */

static void on_clock(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	const char *text = rc == STERNA_OK && db_rows_count(rows) > 0 ? db_str(rows, 0, 0, NULL) : NULL;

	*(int64_t *)arg = text != NULL ? strtoll(text, NULL, 10) : 0;
}

static void on_newest(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	*(int64_t *)arg = rc == STERNA_OK && db_rows_count(rows) > 0 ? db_int(rows, 0, 0) : 0;
}

enum sterna_result ids_load(struct server *s)
{
	const int64_t now = wall_ms(s->workers[0]);
	int64_t noted_ms = 0, from_ms = now, newest = 0;
	enum sterna_result rc = db_exec_now(s->db, &clock_get, NULL, on_clock, &noted_ms);
	char text[24];

	if (rc == STERNA_OK)
		rc = db_exec_now(s->db, &queue_newest, NULL, on_newest, &newest);
	if (rc != STERNA_OK)
		return rc;
	if (noted_ms > now) {
		log_warning("server", "the clock is behind what it was; ids of the archive go on from there", "behind_ms",
			LOG_INT(noted_ms - now));
		from_ms = noted_ms + SLACK_MS;
	}
	if (newest >> 20 >= from_ms)
		from_ms = (newest >> 20) + 1;
	for (unsigned i = 0; i < s->worker_count; i++)
		s->workers[i]->last_id = (uint64_t)from_ms << 20;
	told(s, from_ms, from_ms - now_ms(s->workers[0]));
	snprintf(text, sizeof text, "%013" PRId64, from_ms);
	const struct db_value v = db_text(text);

	return db_exec_now(s->db, &clock_put, &v, NULL, NULL);
}
