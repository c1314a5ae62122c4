/* origin.c - what an account sent lately, by <origin-id/> and recipient. */
#include "server/origin.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/session.h"
#include "server/stream.h"

#define NS_SID "urn:xmpp:sid:0"

enum { ORIGINS = 128, PASSING_US = 30000000 };
#define LOOK_BACK_US INT64_C(2678400000000)  /* 31 days */

struct origin {
	struct origins *set;
	uint64_t hash;                   /* 0: empty */
	uint64_t session;                /* whose; 0: from the archive */
	struct ack *ack;                 /* its effects are not settled yet */
	struct sterna_call *first, **end; /* repetitions that wait for that */
};

struct origins {
	struct account *account;
	bool known;                      /* what the archive has is among them */
	struct sterna_call *first, **end; /* wait for it to be read */
	bool reading;
	uint64_t passing_us;             /* it could not be read: until then messages go on unasked */
	unsigned next;
	struct origin ring[ORIGINS];
};

static const struct db_stmt recent = {
	.name = "origin_recent", .params = "ti", .columns = "tt",
	.sql = "SELECT origin_id, peer FROM archive WHERE owner = $1 AND id > $2 AND (flags & 1) <> 0 AND origin_id IS NOT "
	       "NULL ORDER BY id DESC LIMIT 128",
};

/* --- calls that wait --- */

static void park(struct sterna_call ***end, struct sterna_call *c)
{
	c->next = NULL;
	**end = c;
	*end = &c->next;
	if (!c->holds_stream && c->session->stream != NULL) {
		stream_hold(c->session->stream, HOLD_STOPS);
		c->holds_stream = true;
	}
}

/* Each is asked about once more. */
static void go_all(struct sterna_call **first, struct sterna_call ***end)
{
	struct sterna_call *c = *first;

	*first = NULL;
	*end = first;
	while (c != NULL) {
		struct sterna_call *next = c->next;

		if (c->holds_stream && c->session->stream != NULL)
			stream_release(c->session->stream, HOLD_STOPS);
		c->holds_stream = false;
		origin_check(c, c->checked);
		c = next;
	}
}

/* --- the ring --- */

/* FNV-1a. Who makes two of its own ids collide has only itself to blame. */
static uint64_t hash_of(const char *id, const char *peer)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (const char *s = id; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	h = (h ^ 0xff) * UINT64_C(1099511628211);
	for (const char *s = peer; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h != 0 ? h : 1;
}

static void on_settled(void *arg, bool taken)
{
	struct origin *o = arg;

	o->ack = NULL;
	if (!taken) {
		o->hash = 0; /* it was refused: the same again is a message like any other. Or nobody knows: ask */
		o->set->known = false;
	}
	go_all(&o->first, &o->end);
}

static struct origin *find(struct origins *set, uint64_t hash)
{
	for (unsigned i = 0; i < ORIGINS; i++)
		if (set->ring[i].hash == hash)
			return &set->ring[i];
	return NULL;
}

/* The oldest one's place, but for one that somebody waits for. */
static struct origin *place(struct origins *set)
{
	for (unsigned i = 0; i < ORIGINS; i++) {
		struct origin *o = &set->ring[set->next++ % ORIGINS];

		if (o->first == NULL) {
			if (o->ack != NULL)
				ack_when_settled(o->ack, NULL, NULL);
			o->ack = NULL;
			return o;
		}
	}
	return NULL;
}

static void note(struct origins *set, uint64_t hash, const struct sterna_session *s, struct ack *ack)
{
	struct origin *o = place(set);

	if (o == NULL)
		return;
	o->hash = hash;
	o->session = s != NULL ? s->id : 0;
	o->ack = ack;
	if (ack != NULL)
		ack_when_settled(ack, on_settled, o);
}

static struct origins *origins_new(struct account *a)
{
	struct origins *set = xalloc(sizeof *set);

	set->account = a;
	set->end = &set->first;
	for (unsigned i = 0; i < ORIGINS; i++) {
		set->ring[i].set = set;
		set->ring[i].end = &set->ring[i].first;
	}
	return set;
}

/* --- what the archive has --- */

static void on_recent(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct origins *set = arg;
	struct account *a = set->account;

	set->reading = false;
	/* While the database is away messages flow; a later one asks again. */
	set->known = rc == STERNA_OK;
	if (!set->known)
		set->passing_us = loop_now_us(a->worker->loop) + PASSING_US;
	for (size_t n = rc == STERNA_OK ? db_rows_count(rows) : 0; n-- > 0;) {
		const char *id = db_str(rows, n, 0, NULL), *peer = db_str(rows, n, 1, NULL);
		const uint64_t hash = hash_of(id, peer);

		if (find(set, hash) == NULL)
			note(set, hash, NULL, NULL);
	}
	go_all(&set->first, &set->end);
	account_release(a);
}

static void read_recent(struct origins *set)
{
	struct account *a = set->account;
	const int64_t since = loop_wall_us(a->worker->loop) - LOOK_BACK_US;

	set->reading = true;
	account_hold(a);
	db_read(a->worker->db, &recent, (const struct db_value[]){ db_text(jid_bare(a->jid)),
		DB_INT((since / 1000) << 20) }, on_recent, set);
}

/* --- a message --- */

static const char *origin_id(const struct stanza *st)
{
	const struct sterna_elem *e = elem_child(st->elem, "origin-id", NS_SID);

	return e != NULL ? elem_attr(e, "id") : NULL;
}

static bool is_concerned(const struct sterna_call *c)
{
	const struct stanza *st = c->stanza;

	return st->kind == STERNA_MESSAGE && (st->type == MESSAGE_NORMAL || st->type == MESSAGE_CHAT) && st->to != NULL
		&& c->session != NULL && c->ack != NULL && !c->account->anonymous;
}

void origin_check(struct sterna_call *c, void (*go_on)(struct sterna_call *c, bool repeated))
{
	struct account *a = c->account;
	const char *id = is_concerned(c) ? origin_id(c->stanza) : NULL;

	if (id == NULL) {
		go_on(c, false);
		return;
	}
	if (a->origins == NULL)
		a->origins = origins_new(a);
	struct origins *set = a->origins;

	c->checked = go_on;
	if (!set->known && (set->reading || loop_now_us(a->worker->loop) >= set->passing_us)) {
		park(&set->end, c);
		if (!set->reading)
			read_recent(set);
		return;
	}
	const uint64_t hash = hash_of(id, jid_bare(c->stanza->to));
	struct origin *o = find(set, hash);
	if (o == NULL) {
		note(set, hash, c->session, c->ack);
	} else if (o->session != c->session->id) {
		if (o->ack != NULL) {
			park(&o->end, c);
			return;
		}
		log_debug("route", "sent once more, taken before", "stanza_id", LOG_UINT(c->trace));
		go_on(c, true);
		return;
	}
	go_on(c, false);
}

void origin_unload(struct account *a)
{
	if (a->origins == NULL)
		return;
	for (unsigned i = 0; i < ORIGINS; i++)
		if (a->origins->ring[i].ack != NULL)
			ack_when_settled(a->origins->ring[i].ack, NULL, NULL);
	free(a->origins);
	a->origins = NULL;
}
