/* s2s_lookup.c - a message of another server that may have come before: it waits until that is known, and its stream is not
 * read meanwhile.
 *
 * What came on an older stream may be on its way into the database: its outcome decides. What came to an earlier process is
 * in its recipient's archive: for each recipient a domain's first message is looked for there, and while those are found the
 * next ones too. (Recipients commit in order, each by itself.) Where the database is away they wait for it; to deliver them
 * meanwhile would be to deliver some of them twice. After as many messages as a peer may have under way nothing is looked
 * for any more. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/ack.h"
#include "server/archive.h"
#include "server/route.h"

#define LOOK_BACK_US INT64_C(864000000000)  /* ten days: nobody's queue is older (s2s.queue_time) */

enum { AGAIN_US = 1000000, LOOKED_MAX = 4096, MET_BITS = 8192 };

static const struct db_stmt recent = {
	.name = "s2s_recent", .params = "tti", .columns = "t",
	.sql = "SELECT stanza FROM archive WHERE owner = $1 AND peer = $2 AND id > $3 ORDER BY id DESC LIMIT 100",
};

enum state { PENDING, READING, LATER };

struct s2s_lookup {
	struct s2s_lookup *next;     /* of the worker, in the order in which they came */
	struct stream *stream;       /* NULL: gone */
	struct worker *worker;
	struct stanza *stanza;
	struct ack *ack;
	struct s2s_sm *sm;           /* that has counted it as the n-th */
	uint32_t n;
	uint64_t hash;
	enum state state;
	struct timer again;
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

/* --- whom this process has met --- */

/* Two that share a bit: the second is not looked for. */
static size_t bit_of(const struct stanza *st)
{
	uint32_t h = 2166136261u;

	for (const char *at = jid_bare(st->to); *at != '\0'; at++)
		h = (h ^ (unsigned char)*at) * 16777619u;
	return h % MET_BITS;
}

static bool is_met(const struct s2s_link *l, const struct stanza *st)
{
	const size_t bit = bit_of(st);

	return l->looked > LOOKED_MAX || (l->met != NULL && (l->met[bit / 8] >> bit % 8 & 1) != 0);
}

static void meet(struct s2s_link *l, const struct stanza *st)
{
	const size_t bit = bit_of(st);

	if (l->met == NULL)
		l->met = xalloc(MET_BITS / 8);
	l->met[bit / 8] |= (uint8_t)(1u << bit % 8);
}

void s2s_lookup_end(struct s2s_link *l)
{
	free(l->met);
	l->met = NULL;
}

static void count(struct s2s_link *l)
{
	if (l->looked <= LOOKED_MAX && ++l->looked > LOOKED_MAX)
		s2s_lookup_end(l);
}

/* --- the end of one --- */

static void lookup_free(struct s2s_lookup *g)
{
	struct s2s_lookup **at = &g->worker->s2s_lookups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	timer_cancel(&g->again);
	s2s_sm_unref(g->sm);
	stanza_unref(&g->stanza);
	free(g);
}

static void decide(struct s2s_lookup *g, bool again)
{
	struct stream *s = g->stream;

	if (s != NULL) {
		s->s2s->lookup = NULL;
		s->s2s->news |= !again;
		if (s->s2s->link != NULL && !again)
			meet(s->s2s->link, g->stanza);
		stream_release(s, HOLD_READS);
	}
	if (again) {
		s2s_seen_add(g->worker, g->hash); /* the archive is asked once */
		log_debug("s2s", g->state == PENDING ? "came before" : "came before, to an earlier process", "stanza_id",
			LOG_UINT(g->stanza->trace));
	} else {
		s2s_seen_note(g->sm, g->n, g->hash);
		route_hop(g->worker, &g->stanza, g->ack);
	}
	ack_done(&g->ack, true);
	s2s_lookup_hurry(g->worker);
	lookup_free(g);
}

/* --- the archive --- */

static void read_archive(struct s2s_lookup *g);

static void on_again(struct timer *t, void *arg)
{
	(void)t;
	read_archive(arg);
}

static void on_recent(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct s2s_lookup *g = arg;
	bool again = false;

	if (rc == STERNA_EUNAVAILABLE && !g->worker->stopping) {
		g->state = LATER;
		timer_set(&g->again, AGAIN_US);
		return;
	}
	for (size_t n = 0; rc == STERNA_OK && !again && n < db_rows_count(rows); n++) {
		size_t len = 0;
		const char *text = db_str(rows, n, 0, &len);

		again = is_same(g->stanza, text, len);
	}
	decide(g, again);
}

static void read_archive(struct s2s_lookup *g)
{
	const int64_t since = loop_wall_us(g->worker->loop) - LOOK_BACK_US;

	g->state = READING;
	db_read(g->worker->db, &recent, (const struct db_value[]){ db_text(jid_bare(g->stanza->to)),
		db_text(jid_bare(g->stanza->from)), DB_INT((since / 1000) << 20) }, on_recent, g);
}

/* A room's archive has other addresses; it is not asked. */
static bool is_worth_it(const struct s2s_link *l, const struct stanza *st)
{
	return (l == NULL || !is_met(l, st)) && jid_local(st->to) != NULL && (st->type == MESSAGE_CHAT || st->type == MESSAGE_NORMAL)
		&& elem_child(st->elem, "body", NS_CLIENT) != NULL;
}

/* --- waiting for a commit --- */

static bool is_earlier(const struct worker *w, const struct s2s_lookup *than, uint64_t hash)
{
	for (const struct s2s_lookup *g = w->s2s_lookups; g != NULL && g != than; g = g->next)
		if (g->hash == hash)
			return true;
	return false;
}

static void settle(struct s2s_lookup *g)
{
	struct worker *w = g->worker;

	if (s2s_seen_has(w, g->hash))
		decide(g, true);
	else if (s2s_seen_is_pending(w, g->hash) || is_earlier(w, g, g->hash))
		return;
	else if (is_worth_it(g->stream != NULL ? g->stream->s2s->link : NULL, g->stanza) && !w->stopping)
		read_archive(g);
	else
		decide(g, false);
}

static void on_hurry(struct timer *t, void *arg)
{
	struct worker *w = arg;

	(void)t;
	for (struct s2s_lookup *g = w->s2s_lookups, *next; g != NULL; g = next) {
		next = g->next;
		if (g->state == PENDING)
			settle(g);
	}
}

void s2s_lookup_init(struct worker *w)
{
	timer_init(&w->s2s_hurry, w->loop, on_hurry, w);
}

void s2s_lookup_hurry(struct worker *w)
{
	if (w->s2s_lookups != NULL && !w->stopping)
		timer_set(&w->s2s_hurry, 0);
}

static struct s2s_lookup *lookup_new(struct stream *s, struct stanza **st, uint64_t hash, struct ack **ack)
{
	struct s2s_lookup *g = s->s2s->lookup = xalloc(sizeof *g), **at = &s->worker->s2s_lookups;

	g->stream = s;
	g->worker = s->worker;
	g->stanza = *st;
	g->ack = *ack;
	*st = NULL;
	*ack = NULL;
	g->sm = s->s2s->sm;
	g->sm->refs++;
	g->n = g->sm->in;
	g->hash = hash;
	timer_init(&g->again, g->worker->loop, on_again, g);
	while (*at != NULL)
		at = &(*at)->next;
	*at = g;
	stream_hold(s, HOLD_READS);
	return g;
}

/* May it have come before? Its sender says that its id is unique, or nothing new has come on its stream. */
static bool is_suspect(const struct s2s *x, const struct stanza *st)
{
	return !x->news || elem_child(st->elem, "origin-id", "urn:xmpp:sid:0") != NULL;
}

bool s2s_lookup_takes(struct stream *s, struct stanza **st, uint64_t hash, struct ack **ack)
{
	struct s2s *x = s->s2s;
	const bool suspect = hash != 0 && is_suspect(x, *st);

	if (hash == 0)
		return false;
	if (suspect && s2s_seen_has(s->worker, hash)) {
		log_debug("s2s", "came before", "stanza_id", LOG_UINT((*st)->trace), "domain", jid_full(x->remote));
		return true;
	}
	if (suspect && !s->worker->stopping && (s2s_seen_is_pending(s->worker, hash) || is_earlier(s->worker, NULL, hash))) {
		lookup_new(s, st, hash, ack)->state = PENDING;
		return true;
	}
	if (x->link != NULL)
		count(x->link);
	if (!s->worker->stopping && is_worth_it(x->link, *st)) {
		read_archive(lookup_new(s, st, hash, ack));
		return true;
	}
	x->news = true;
	s2s_seen_note(x->sm, x->sm->in, hash);
	return false;
}

void s2s_lookup_forget(struct s2s *x)
{
	if (x->lookup != NULL)
		x->lookup->stream = NULL;
	x->lookup = NULL;
}

void s2s_lookup_clear(struct worker *w)
{
	/* Those that the database has are told by it. */
	for (struct s2s_lookup *g = w->s2s_lookups, *next; g != NULL; g = next) {
		next = g->next;
		if (g->state == READING)
			continue;
		if (g->stream != NULL)
			s2s_lookup_forget(g->stream->s2s);
		ack_done(&g->ack, false);
		lookup_free(g);
	}
}
