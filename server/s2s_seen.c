/* s2s_seen.c - what other servers have sent us of late, so that what comes again is recognised.
 *
 * A peer that lost its stream, and cannot resume it, sends again what we have not confirmed: in order, as the first things
 * on its new stream. So messages are compared with those of before until the first that is new. A message without an id
 * is never taken for another. Only what is committed is remembered: else the repetition is all there is.
 *
 * A process that was killed has forgotten; so the first message of a domain is looked for in its recipient's archive, and
 * while those are there the next ones too. The stream is not read meanwhile. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/ack.h"
#include "server/archive.h"
#include "server/route.h"

enum { SEEN_MAX = 32768 };       /* messages of all peers of a worker; a peer may have a few thousand under way */

struct s2s_seen {
	uint64_t hash[SEEN_MAX];
	size_t next;
	uint64_t seed;           /* nobody outside knows it: collisions cannot be prepared */
};

static struct s2s_seen *seen_of(struct worker *w)
{
	if (w->seen == NULL) {
		w->seen = xalloc(sizeof *w->seen);
		loop_random(w->loop, &w->seen->seed, sizeof w->seen->seed);
	}
	return w->seen;
}

/* FNV-1a, 64 bits. */
static uint64_t add(uint64_t h, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
	return (h ^ 0xff) * 1099511628211u; /* ends the field */
}

uint64_t s2s_seen_hash(struct worker *w, const struct stanza *st)
{
	const char *id = stanza_id(st), *type = elem_attr(st->elem, "type");
	struct buf inner = BUF_INIT;
	uint64_t h;

	if (st->kind != STERNA_MESSAGE || id == NULL || *id == '\0')
		return 0;
	elem_write_inner(&inner, st->elem);
	h = 14695981039346656037u ^ seen_of(w)->seed;
	h = add(h, id, strlen(id));
	h = add(h, jid_full(st->from), strlen(jid_full(st->from)));
	h = add(h, jid_full(st->to), strlen(jid_full(st->to)));
	h = add(h, type != NULL ? type : "", type != NULL ? strlen(type) : 0);
	h = add(h, buf_data(&inner), buf_len(&inner));
	buf_release(&inner);
	return h != 0 ? h : 1;
}

static bool is_known(const struct worker *w, uint64_t hash)
{
	for (size_t i = 0; w->seen != NULL && i < SEEN_MAX; i++)
		if (w->seen->hash[i] == hash)
			return true;
	return false;
}

void s2s_seen_add(struct worker *w, uint64_t hash)
{
	struct s2s_seen *s = seen_of(w);

	s->hash[s->next] = hash;
	s->next = (s->next + 1) % SEEN_MAX;
}

void s2s_seen_free(struct worker *w)
{
	free(w->seen);
	w->seen = NULL;
}

/* --- what an earlier process has had --- */

#define LOOK_BACK_US INT64_C(86400000000)   /* a day: nobody's queue is older */

static const struct db_stmt recent = {
	.name = "s2s_recent", .params = "tti", .columns = "t",
	.sql = "SELECT stanza FROM archive WHERE owner = $1 AND peer = $2 AND id > $3 ORDER BY id DESC LIMIT 100",
};

struct s2s_lookup {
	struct stream *stream;       /* NULL: gone */
	struct worker *worker;
	struct stanza *stanza;
	struct ack *ack;
};

static bool is_same_attr(const struct sterna_elem *a, const struct sterna_elem *b, const char *name)
{
	const char *one = elem_attr(a, name), *other = elem_attr(b, name);

	return one != NULL && other != NULL && strcmp(one, other) == 0;
}

/* The archive's has an id of its own, and its recipient in whatever form: what the sender made is compared. */
static bool is_same(const struct stanza *st, const char *text, size_t len)
{
	struct arena *a = arena_new(1024 + len);
	struct sterna_elem *e = NULL;
	bool same = false;

	if (xml_parse(a, text, len, &e) == STERNA_OK && is_same_attr(e, st->elem, "id") && is_same_attr(e, st->elem, "from")) {
		const struct sterna_elem *one = elem_child(e, "body", NS_CLIENT), *other = elem_child(st->elem, "body", NS_CLIENT);

		same = one != NULL && other != NULL && strcmp(elem_text(a, one), elem_text(st->arena, other)) == 0;
	}
	arena_free(&a);
	return same;
}

static void on_recent(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct s2s_lookup *g = arg;
	struct stream *s = g->stream;
	bool again = false;

	for (size_t n = 0; rc == STERNA_OK && !again && n < db_rows_count(rows); n++) {
		size_t len = 0;
		const char *text = db_str(rows, n, 0, &len);

		again = is_same(g->stanza, text, len);
	}
	if (s != NULL) {
		s->s2s->lookup = NULL;
		s->s2s->news = !again;
		if (s->s2s->link != NULL)
			s->s2s->link->met = !again;
		stream_release(s, HOLD_READS);
	}
	if (again)
		log_debug("s2s", "came before, to an earlier process", "stanza_id", LOG_UINT(g->stanza->trace));
	else
		route_hop(g->worker, &g->stanza, g->ack);
	ack_done(&g->ack, true);
	stanza_unref(&g->stanza);
	free(g);
}

static void look_up(struct stream *s, struct stanza **st, struct ack **ack)
{
	struct s2s_lookup *g = s->s2s->lookup = xalloc(sizeof *g);
	const int64_t since = loop_wall_us(s->worker->loop) - LOOK_BACK_US;

	g->stream = s;
	g->worker = s->worker;
	g->stanza = *st;
	g->ack = *ack;
	*st = NULL;
	*ack = NULL;
	stream_hold(s, HOLD_READS);
	db_read(s->worker->db, &recent, (const struct db_value[]){ db_text(jid_bare(g->stanza->to)),
		db_text(jid_bare(g->stanza->from)), DB_INT((since / 1000) << 20) }, on_recent, g);
}

void s2s_seen_forget(struct s2s *x)
{
	if (x->lookup != NULL)
		x->lookup->stream = NULL;
	x->lookup = NULL;
}

/* A room's archive has other addresses; it is not asked. */
static bool is_worth_it(const struct s2s *x, const struct stanza *st)
{
	return (x->link == NULL || !x->link->met) && jid_local(st->to) != NULL
		&& (st->type == MESSAGE_CHAT || st->type == MESSAGE_NORMAL) && elem_child(st->elem, "body", NS_CLIENT) != NULL;
}

bool s2s_seen_takes(struct stream *s, struct stanza **st, uint64_t hash, struct ack **ack)
{
	struct s2s *x = s->s2s;

	if (hash == 0 || x->news)
		return false;
	if (is_known(s->worker, hash)) {
		log_debug("s2s", "came before", "stanza_id", LOG_UINT((*st)->trace), "domain", jid_full(x->remote));
		return true;
	}
	if (is_worth_it(x, *st)) {
		look_up(s, st, ack);
		return true;
	}
	x->news = true;
	return false;
}
