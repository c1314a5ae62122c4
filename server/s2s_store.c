/* s2s_store.c - rows of what waits for other servers, so that a restart or a crash loses none of it.
 *
 * A row names the row of the sender's archive that has the stanza, or holds it itself; it commits with what else the
 * stanza writes, before the sender's acknowledgement. It goes when the peer has confirmed the stanza, or when that
 * goes back to its sender. Ids grow in the order of the queue. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/archive.h"

static const struct db_stmt queue_put = {
	.name = "s2s_queue_put", .params = "ttititi",
	.sql = "INSERT INTO s2s_queue (remote, local, id, owner, archive_id, stanza, expires) VALUES ($1, $2, $3, $4, $5, $6, $7) "
	       "ON CONFLICT (remote, local, id) DO NOTHING",
};
static const struct db_stmt queue_confirmed = {
	.name = "s2s_queue_confirmed", .params = "tti",
	.sql = "DELETE FROM s2s_queue WHERE remote = $1 AND local = $2 AND id <= $3",
};
static const struct db_stmt queue_drop = {
	.name = "s2s_queue_drop", .params = "tti", .sql = "DELETE FROM s2s_queue WHERE remote = $1 AND local = $2 AND id = $3",
};
/* By the key, page by page; what was queued by this process is not looked at. */
static const struct db_stmt queue_page = {
	.name = "s2s_queue_page", .params = "ttii", .columns = "ttitti",
	.sql = "SELECT q.remote, q.local, q.id, q.stanza, a.stanza, q.expires FROM s2s_queue q "
	       "LEFT JOIN archive a ON a.owner = q.owner AND a.id = q.archive_id "
	       "WHERE (q.remote, q.local, q.id) > ($1, $2, $3) AND q.id < $4 ORDER BY q.remote, q.local, q.id LIMIT 200",
};

/* A message that is worth keeping, and what changes a subscription: all else is of no use later. */
static bool is_durable(const struct stanza *st)
{
	switch (st->type) {
	case PRESENCE_SUBSCRIBE:
	case PRESENCE_SUBSCRIBED:
	case PRESENCE_UNSUBSCRIBE:
	case PRESENCE_UNSUBSCRIBED:
		return true;
	case MESSAGE_ERROR:
		return false;
	default:
		return st->kind == STERNA_MESSAGE && stanza_is_storable(st);
	}
}

int64_t s2s_store(struct s2s_link *l, struct sterna_call *c)
{
	const struct stanza *st = c->stanza;
	const struct config_s2s *config = &l->worker->server->config->s2s;
	const char *owner = NULL;
	int64_t archive_id = 0;
	struct buf text = BUF_INIT;

	if (!is_durable(st))
		return 0;
	const int64_t id = worker_next_id(l->worker);

	if (!archive_carried(st, &owner, &archive_id))
		stanza_write_stored(&text, c->stanza);
	db_batch_add(call_batch(c), &queue_put, (const struct db_value[]){ db_text(jid_full(l->remote)),
		db_text(jid_full(l->host->jid)), DB_INT(id), db_text(owner), owner != NULL ? DB_INT(archive_id) : DB_NULL,
		db_textn(owner == NULL ? buf_data(&text) : NULL, buf_len(&text)),
		DB_INT(loop_wall_us(l->worker->loop) + config->queue_time.us) });
	buf_release(&text);
	return id;
}

static void write_row(struct worker *w, const char *remote, const char *local, const struct db_stmt *stmt, int64_t id)
{
	struct db_batch *b = db_batch_new(w->db);

	db_batch_add(b, stmt, (const struct db_value[]){ db_text(remote), db_text(local), DB_INT(id) });
	db_batch_commit(&b, NULL, NULL);
}

void s2s_store_confirmed(struct s2s_link *l, int64_t up_to)
{
	write_row(l->worker, jid_full(l->remote), jid_full(l->host->jid), &queue_confirmed, up_to);
}

void s2s_store_drop(struct s2s_link *l, int64_t id)
{
	write_row(l->worker, jid_full(l->remote), jid_full(l->host->jid), &queue_drop, id);
}

/* --- after a restart --- */

struct s2s_loading {
	struct worker *worker;
	struct timer again;          /* the database was away */
	char *remote, *local;        /* the last one read */
	int64_t id, before;
};

enum { AGAIN_US = 1000000 };

static void load_page(struct s2s_loading *g);

static void end(struct s2s_loading *g)
{
	struct worker *w = g->worker;

	w->s2s_loading = NULL;
	timer_cancel(&g->again);
	free(g->remote);
	free(g->local);
	free(g);
	s2s_loaded(w);
}

static void on_again(struct timer *t, void *arg)
{
	(void)t;
	load_page(arg);
}

static struct stanza *read_stanza(const struct db_rows *rows, size_t n)
{
	size_t len = 0;
	const char *text = db_str(rows, n, 3, &len);
	struct arena *a;
	struct sterna_elem *e = NULL;
	struct stanza *st = NULL;

	if (text == NULL)
		text = db_str(rows, n, 4, &len);
	if (text == NULL)
		return NULL; /* the archive has forgotten it */
	a = arena_new(1024 + len);
	if (xml_parse(a, text, len, &e) != STERNA_OK || stanza_new(&a, e, &st) != STERNA_OK)
		log_error("s2s", "a stored stanza cannot be read", "remote", db_str(rows, n, 0, NULL), "id",
			LOG_INT(db_int(rows, n, 2)));
	arena_free(&a);
	return st;
}

static void take_row(struct worker *w, const struct db_rows *rows, size_t n)
{
	const char *remote = db_str(rows, n, 0, NULL), *local = db_str(rows, n, 1, NULL);
	struct host *h = server_host(w->server, local);
	struct jid *j = NULL;
	struct stanza *st;

	if (s2s_owner(w->server, remote) != w || jid_parse(remote, strlen(remote), &j) != STERNA_OK)
		return;
	st = h != NULL ? read_stanza(rows, n) : NULL;
	struct s2s_link *l = st != NULL && st->to != NULL ? s2s_link(w, h, j) : NULL;

	if (l != NULL)
		s2s_queue_restore(l, &st, db_int(rows, n, 2), db_int(rows, n, 5));
	else if (st == NULL)
		write_row(w, remote, local, &queue_drop, db_int(rows, n, 2)); /* its host or its text is gone */
	stanza_unref(&st);
	jid_unref(&j);
}

static void on_page(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct s2s_loading *g = arg;
	const size_t count = rc == STERNA_OK ? db_rows_count(rows) : 0;

	if (rc == STERNA_EUNAVAILABLE && !g->worker->stopping) {
		timer_set(&g->again, AGAIN_US);
		return;
	}
	for (size_t n = 0; n < count; n++)
		take_row(g->worker, rows, n);
	if (count == 0) {
		end(g);
		return;
	}
	free(g->remote);
	free(g->local);
	g->remote = xstrdup(db_str(rows, count - 1, 0, NULL));
	g->local = xstrdup(db_str(rows, count - 1, 1, NULL));
	g->id = db_int(rows, count - 1, 2);
	load_page(g);
}

static void load_page(struct s2s_loading *g)
{
	db_read(g->worker->db, &queue_page, (const struct db_value[]){ db_text(g->remote), db_text(g->local), DB_INT(g->id),
		DB_INT(g->before) }, on_page, g);
}

void s2s_load(struct worker *w)
{
	struct s2s_loading *g;

	s2s_lookup_init(w);
	if (!s2s_is_on(w->server))
		return;
	g = w->s2s_loading = xalloc(sizeof *g);
	g->worker = w;
	g->remote = xstrdup("");
	g->local = xstrdup("");
	g->before = worker_next_id(w);
	timer_init(&g->again, w->loop, on_again, g);
	load_page(g);
}

void s2s_load_cancel(struct worker *w)
{
	struct s2s_loading *g = w->s2s_loading;

	if (g != NULL && timer_is_set(&g->again))
		end(g);
}
