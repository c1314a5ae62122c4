/* archive.c - rows of the account's log, and what waits in it. */
#include "server/archive.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/datetime.h"
#include "server/session.h"
#include "server/sm.h"

#define NS_DELAY "urn:xmpp:delay"

const struct db_stmt archive_insert = {
	.name = "archive_insert", .params = "tittiittt",
	.sql = "INSERT INTO archive (owner, id, peer, resource, flags, kind, sm, origin_id, stanza) "
	       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (owner, id) DO NOTHING",
	/* Nothing that goes before it in a group hangs on the row's not being there yet: its id is new. */
	.pg_bulk = "INSERT INTO archive (owner, id, peer, resource, flags, kind, sm, origin_id, stanza) SELECT * FROM "
		   "unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], "
		   "$8::text[], $9::text[]) ON CONFLICT (owner, id) DO NOTHING",
	.commutes = true,
};
const struct db_stmt archive_extent = {
	.name = "archive_extent", .params = "t", .columns = "ii",
	.sql = "SELECT min(id), max(id) FROM archive WHERE owner = $1 AND (flags & 1) <> 0",
};
const struct db_stmt offline_count = {
	.name = "offline_count", .params = "t", .columns = "i",
	.sql = "SELECT count(*) FROM archive WHERE owner = $1 AND (flags & 2) <> 0",
};
static const struct db_stmt offline_select = {
	.name = "offline_select", .params = "t", .columns = "itti",
	.sql = "SELECT id, stanza, sm, flags FROM archive WHERE owner = $1 AND (flags & 2) <> 0 ORDER BY id LIMIT 100",
};
static const struct db_stmt offline_taken = {
	.name = "offline_taken", .params = "tit",
	.sql = "UPDATE archive SET flags = flags & 1, sm = $3 WHERE owner = $1 AND id = $2",
};
static const struct db_stmt mark_offline = {
	.name = "archive_mark_offline", .params = "ti",
	.sql = "UPDATE archive SET flags = flags | 2 WHERE owner = $1 AND id = $2",
};
static const struct db_stmt drop_hidden = {
	.name = "archive_drop_hidden", .params = "ti",
	.sql = "DELETE FROM archive WHERE owner = $1 AND id = $2 AND flags = 0",
};

int64_t archive_id(struct sterna_call *c)
{
	if (c->archive_id == 0)
		c->archive_id = worker_next_id(c->worker);
	return c->archive_id;
}

/* XEP-0359: the sender's own id, so that a repetition can be recognised. */
static const char *origin_id(const struct stanza *st)
{
	const struct sterna_elem *e = elem_child(st->elem, "origin-id", "urn:xmpp:sid:0");

	return e != NULL ? elem_attr(e, "id") : NULL;
}

struct archive_row {
	const char *owner_bare, *peer_bare, *resource, *tags, *origin, *text;
	size_t tags_len, text_len;
	int64_t id, flags, kind;
};

static void add_row(struct db_batch *b, const struct archive_row *r)
{
	db_batch_add(b, &archive_insert, (const struct db_value[]){
		db_text(r->owner_bare), DB_INT(r->id), db_text(r->peer_bare), db_text(r->resource), DB_INT(r->flags),
		DB_INT(r->kind), db_textn(r->tags_len > 0 ? r->tags : NULL, r->tags_len), db_text(r->origin),
		db_textn(r->text, r->text_len) });
}

static struct archive_row row_of(struct sterna_call *c, int64_t flags, const struct jid *peer, struct buf *text)
{
	const int64_t id = archive_id(c);

	if ((flags & ARCHIVE_SHOWN) != 0)
		c->account->newest_shown = id;
	stanza_write_stored(text, c->stanza);
	return (struct archive_row){
		.owner_bare = jid_bare(c->account->jid), .peer_bare = jid_bare(peer), .resource = jid_resource(peer),
		.tags = buf_len(&c->sm_tags) > 0 ? buf_data(&c->sm_tags) : NULL, .tags_len = buf_len(&c->sm_tags),
		.origin = origin_id(c->stanza), .text = buf_data(text), .text_len = buf_len(text),
		.id = id, .flags = flags, .kind = c->stanza->type };
}

static void put(struct sterna_call *c, int64_t flags, const struct jid *peer)
{
	struct buf text = BUF_INIT;
	const struct archive_row r = row_of(c, flags, peer, &text);

	add_row(call_batch(c), &r);
	buf_release(&text);
}

void archive_put(struct db_batch *b, const char *owner, int64_t id, const struct jid *peer,
	const struct sterna_elem *stanza)
{
	const struct sterna_elem *origin = elem_child(stanza, "origin-id", "urn:xmpp:sid:0");
	struct buf text = BUF_INIT;

	elem_write(&text, stanza, NULL);
	const struct archive_row r = {
		.owner_bare = owner, .peer_bare = jid_bare(peer), .resource = jid_resource(peer),
		.origin = origin != NULL ? elem_attr(origin, "id") : NULL, .text = buf_data(&text),
		.text_len = buf_len(&text), .id = id, .flags = ARCHIVE_SHOWN, .kind = MESSAGE_GROUPCHAT };

	add_row(b, &r);
	buf_release(&text);
}

static const char *keep(struct arena *a, const char *s)
{
	return s != NULL ? arena_strndup(a, s, strlen(s)) : NULL;
}

static void carry(struct sterna_call *c)
{
	struct arena *a = c->stanza->arena;
	struct archive_row *r = arena_alloc(a, sizeof *r);
	struct buf text = BUF_INIT;

	*r = row_of(c, ARCHIVE_SHOWN, c->stanza->to, &text);
	r->owner_bare = keep(a, r->owner_bare);
	r->peer_bare = keep(a, r->peer_bare);
	r->resource = keep(a, r->resource);
	r->origin = keep(a, r->origin);
	r->tags = r->tags_len > 0 ? arena_strndup(a, r->tags, r->tags_len) : NULL;
	r->text = arena_strndup(a, r->text, r->text_len);
	buf_release(&text);
	c->stanza->carried = r;
}

void archive_untag_carried(struct stanza *st)
{
	if (st->carried == NULL)
		return;
	st->carried->tags_len = 0;
	st->carried->origin = NULL;
}

bool archive_carried(const struct stanza *st, const char **owner, int64_t *id)
{
	if (st->carried == NULL)
		return false;
	*owner = st->carried->owner_bare;
	*id = st->carried->id;
	return true;
}

void archive_take_carried(struct sterna_call *c)
{
	if (c->stanza->carried == NULL)
		return;
	add_row(call_batch(c), c->stanza->carried);
	c->stanza->carried = NULL;
}

static bool to_self(const struct sterna_call *c)
{
	return c->stanza->to == NULL || jid_bare_equal(c->stanza->from, c->stanza->to);
}

void archive_sent(struct sterna_call *c)
{
	if (c->stanza->kind != STERNA_MESSAGE || c->account->anonymous || (c->marks & STERNA_ARCHIVE) == 0
		|| (c->marks & (STERNA_NO_ARCHIVE | STERNA_NO_STORE)) != 0 || to_self(c))
		return;
	/* Also without XEP-0198: this session's own reads wait until it is stored. */
	if (c->ack == NULL && c->session != NULL)
		c->ack = ack_new(c->session, 0);
	sm_tag_in(c->ack, &c->sm_tags);
	carry(c);
}

void archive_received(struct sterna_call *c)
{
	int64_t flags = 0;

	if (c->stanza->kind != STERNA_MESSAGE || c->account->anonymous)
		return;
	if ((c->marks & STERNA_ARCHIVE) != 0 && (c->marks & (STERNA_NO_ARCHIVE | STERNA_NO_STORE)) == 0)
		flags |= ARCHIVE_SHOWN;
	if (c->archive_offline)
		flags |= ARCHIVE_OFFLINE;
	if (flags == 0 && (buf_len(&c->sm_tags) == 0 || (c->marks & STERNA_NO_STORE) != 0))
		return;
	if (to_self(c) || c->stanza->owed)
		sm_tag_in(c->ack, &c->sm_tags);
	c->account->has_hidden |= (flags & ARCHIVE_SHOWN) == 0;
	put(c, flags, c->stanza->from);
	if (c->archive_offline) {
		c->account->offline_count++;
		metric_add(c->worker->server->metric_set, c->worker->index, METRIC_OFFLINE_STORED, 0, 1);
	}
}

void archive_drop_hidden(struct db_batch *b, struct account *a, int64_t up_to)
{
	static const struct db_stmt drop = {
		.name = "archive_drop_below", .params = "ti",
		.sql = "DELETE FROM archive WHERE owner = $1 AND flags = 0 AND id <= $2",
	};

	if (!a->has_hidden)
		return;
	a->has_hidden = false;
	db_batch_add(b, &drop, (const struct db_value[]){ db_text(jid_bare(a->jid)), DB_INT(up_to) });
}

void archive_mark_offline(struct db_batch *b, const char *owner, int64_t id)
{
	db_batch_add(b, &mark_offline, (const struct db_value[]){ db_text(owner), DB_INT(id) });
}

/* --- what waits --- */

struct pull {
	struct account *account;         /* held */
	struct sterna_session *session;
	struct timer again;              /* the database was away, or refused to read */
	unsigned failures;               /* in a row */
	bool withheld;
};

enum { PULL_AGAIN_US = 1000000, PULL_FAILURES = 20, TAKEN_TRIES = 20 };

static void pull_more(struct pull *p);

static void pull_free(struct pull *p)
{
	struct account *a = p->account;

	a->pulling = false;
	a->pull = NULL;
	timer_cancel(&p->again);
	session_unref(&p->session);
	free(p);
}

void offline_unload(struct account *a)
{
	if (a->pull != NULL)
		pull_free(a->pull);
}

/* Others of the account may take what is left. */
static void pull_end(struct pull *p)
{
	struct account *a = p->account;
	struct sterna_session *was = session_ref(p->session), *s;

	pull_free(p);
	for (s = a->sessions; s != NULL; s = s->next)
		if (s != was && s->available && s->priority >= 0)
			break;
	if (s != NULL && !a->worker->stopping)
		offline_deliver(s);
	session_unref(&was);
	account_release(a);
}

static void on_again(struct timer *t, void *arg)
{
	(void)t;
	pull_more(arg);
}

static void pull_give_up(struct pull *p, enum sterna_result rc)
{
	struct account *a = p->account;

	log_error("offline", "what waits cannot be read, or not be marked as delivered; the next session gets it", "owner",
		jid_bare(a->jid), "result", sterna_result_text(rc));
	pull_free(p);
	account_release(a);
}

/* What comes meanwhile waits behind them; but nobody waits for ever for a row that cannot be read. */
static void pull_again(struct pull *p, enum sterna_result rc)
{
	if (rc != STERNA_EUNAVAILABLE && ++p->failures > PULL_FAILURES)
		pull_give_up(p, rc);
	else
		timer_set(&p->again, PULL_AGAIN_US);
}

/* XEP-0203 §4, XEP-0160 §3: the time at which we took it. */
static void add_delay(struct stanza *st, const struct account *a, int64_t id)
{
	char stamp[DATETIME_SIZE];
	struct sterna_elem *delay = elem_add(st->arena, st->elem, "delay", NS_DELAY);

	datetime_format(id_time_us(id), stamp);
	elem_set_attr(st->arena, delay, "from", jid_domain(a->jid));
	elem_set_attr(st->arena, delay, "stamp", stamp);
	elem_add_text(st->arena, delay, "Offline Storage", 15);
}

static struct stanza *read_row(const struct account *a, const struct db_rows *rows, size_t n)
{
	size_t len = 0;
	const char *text = db_str(rows, n, 1, &len);
	struct arena *arena = arena_new(1024 + len);
	struct sterna_elem *e = NULL;
	struct stanza *st = NULL;

	if (text == NULL || xml_parse(arena, text, len, &e) != STERNA_OK || stanza_new(&arena, e, &st) != STERNA_OK)
		log_error("offline", "a stored message cannot be read", "owner", jid_bare(a->jid), "id",
			LOG_INT(db_int(rows, n, 0)));
	else
		add_delay(st, a, db_int(rows, n, 0));
	arena_free(&arena);
	return st;
}

/* The session has read it in the archive: it waits no more. */
static bool was_read(struct pull *p, struct db_batch *b, const struct db_rows *rows, size_t n)
{
	const int64_t id = db_int(rows, n, 0);

	if (id > p->session->read_up_to || (db_int(rows, n, 3) & ARCHIVE_SHOWN) == 0)
		return false;
	db_batch_add(b, &offline_taken, (const struct db_value[]){ db_text(jid_bare(p->account->jid)), DB_INT(id),
		db_text(db_str(rows, n, 2, NULL)) });
	return true;
}

static void deliver_row(struct pull *p, struct db_batch *b, const struct db_rows *rows, size_t n)
{
	struct sterna_session *s = p->session;
	const int64_t id = db_int(rows, n, 0);
	struct stanza *st = read_row(p->account, rows, n);
	const char *old = db_str(rows, n, 2, NULL);
	struct buf tags = BUF_INIT;

	/* Only what tells about the sender's own counting stays of the old tags. */
	if (old != NULL)
		sm_keep_in_tags(old, &tags);
	if (st != NULL) {
		session_send(s, st, NULL, id);
		if (s->sm != NULL) {
			sm_tag_out(s, st, &tags);
			p->account->has_hidden = true;
		}
	}
	stanza_unref(&st);
	db_batch_add(b, &offline_taken, (const struct db_value[]){ db_text(jid_bare(p->account->jid)), DB_INT(id),
		db_textn(buf_len(&tags) > 0 ? buf_data(&tags) : NULL, buf_len(&tags)) });
	if (s->sm == NULL)
		db_batch_add(b, &drop_hidden, (const struct db_value[]){ db_text(jid_bare(p->account->jid)), DB_INT(id) });
	buf_release(&tags);
}

/* When the session ends without having acknowledged them they wait once more. */
static bool has_taken(const void *arg)
{
	return !((const struct pull *)arg)->session->gone;
}

static void on_taken(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct pull *p = arg;

	(void)rows;
	if (p->withheld)
		sm_let_go(p->session);
	p->withheld = false;
	if (rc == STERNA_OK) {
		pull_more(p);
		return;
	}
	/* They are out, and still marked as waiting: to go on would send the same ones again and again. */
	if (p->session->gone)
		pull_end(p);
	else
		pull_give_up(p, rc);
}

/* To a session that may be resumed they go out when it is committed under which numbers: else a crash would make
 * them wait once more, for a client that has them. */
static void deliver_rows(struct pull *p, const struct db_rows *rows)
{
	struct sterna_session *s = p->session;
	struct account *a = p->account;
	struct db_batch *b = db_batch_new(a->worker->db);

	p->withheld = sm_is_resumable(s);
	if (p->withheld) {
		sm_withhold(s);
		sm_reach_back(s, b, db_int(rows, 0, 0));
	}
	for (size_t n = 0; n < db_rows_count(rows) && !s->gone; n++) {
		if (!was_read(p, b, rows, n))
			deliver_row(p, b, rows, n);
		if (a->offline_count > 0)
			a->offline_count--;
	}
	db_batch_repeat(b, TAKEN_TRIES, has_taken);
	db_batch_commit(&b, on_taken, p);
}

static void on_pulled(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct pull *p = arg;
	struct sterna_session *s = p->session;

	if (s->gone || !s->available) {
		pull_end(p);
	} else if (rc != STERNA_OK) {
		pull_again(p, rc);
	} else if (db_rows_count(rows) > 0) {
		p->failures = 0;
		deliver_rows(p, rows);
	} else if (p->account->offline_more) {
		pull_more(p); /* stored after that was read */
	} else {
		p->account->offline_count = 0;
		pull_end(p);
	}
}

/* What was delivered does not wait any more, as far as this client's own reads see: always from the first. */
static void pull_more(struct pull *p)
{
	p->account->offline_more = false;
	db_read(p->account->worker->db, &offline_select,
		(const struct db_value[]){ db_text(jid_bare(p->account->jid)) }, on_pulled, p);
}

bool offline_goes_to(const struct sterna_session *s)
{
	return s->account->pull != NULL && s->account->pull->session == s;
}

void offline_deliver(struct sterna_session *s)
{
	struct account *a = s->account;

	if (a->offline_count == 0 || a->pulling)
		return;
	struct pull *p = xalloc(sizeof *p);

	p->account = a;
	p->session = session_ref(s);
	timer_init(&p->again, a->worker->loop, on_again, p);
	a->pull = p;
	a->pulling = true;
	account_hold(a);
	pull_more(p);
}
