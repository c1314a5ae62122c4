/* s2s_peer.c - another domain as a whole, over all its streams: what it may send us, and its isolation when it misbehaves.
 *
 * Stanzas, bytes, presence and entries to rooms are held back (its streams are not read for a while); requests for
 * subscriptions beyond the budget are refused. What is refused, and what a peer does that no honest one does, are offences;
 * so many within a time, and the domain is isolated (isolation.h): nothing is taken from it or sent to it until that is over,
 * or an administrator lets it in again. Threads: the worker that owns the domain. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/datetime.h"
#include "server/isolation.h"

#define RULE "rule s2s.isolate_after"
enum { FORGET_US = 600000000 };
#define NS_MUC "http://jabber.org/protocol/muc"     /* who sends that to a service enters a room */

static uint64_t now_us(const struct worker *w)
{
	return loop_now_us(w->loop);
}

static const struct config_s2s *config_of(const struct worker *w)
{
	return &w->server->config->s2s;
}

/* --- peers --- */

struct s2s_peer *s2s_peer_find(const struct worker *w, const char *domain)
{
	return map_get(&w->peers, domain);
}

struct s2s_peer *s2s_peer(struct worker *w, const char *domain)
{
	struct s2s_peer *p = s2s_peer_find(w, domain);

	if (p == NULL) {
		p = xalloc(sizeof *p);
		p->domain = xstrdup(domain);
		map_put(&w->peers, p->domain, p);
		for (unsigned i = 0; i < S2S_BUDGETS; i++) {
			const struct sterna_rate rate = config_budget(w->server->config, i, domain);

			ratelimit_init(&p->bucket[i], &rate, now_us(w));
		}
	}
	p->used_us = now_us(w);
	return p;
}

static void peer_free(struct worker *w, struct s2s_peer *p)
{
	map_remove(&w->peers, p->domain);
	free(p->domain);
	free(p);
}

void s2s_peer_clear(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->peers, &at)) != NULL;)
		peer_free(w, e->value);
}

/* --- budgets --- */

static void hold_back(struct stream *s, struct s2s_peer *p, enum config_budget b, uint64_t n)
{
	const struct sterna_rate rate = config_budget(s->worker->server->config, b, p->domain);

	stream_charge(s, &p->bucket[b], &rate, n);
	if (p->bucket[b].tokens < 0) {
		p->held[b]++;
		metric_add(s->worker->server->metric_set, s->worker->index, METRIC_S2S_HELD, b, 1);
	}
}

static bool is_join(const struct stream *s, const struct stanza *st)
{
	const struct host *h = st->type == PRESENCE_AVAILABLE && jid_resource(st->to) != NULL
		? server_host(s->worker->server, jid_domain(st->to)) : NULL;

	return h != NULL && h->kind != HOST_USERS && elem_child(st->elem, "x", NS_MUC) != NULL;
}

const char *s2s_peer_charge(struct stream *s, const struct stanza *st)
{
	struct s2s *x = s->s2s;
	struct worker *w = s->worker;
	struct s2s_peer *p = s2s_peer(w, jid_full(x->remote));

	hold_back(s, p, CONFIG_BUDGET_STANZAS, 1);
	hold_back(s, p, CONFIG_BUDGET_BYTES, s->read_bytes - x->charged_bytes);
	x->charged_bytes = s->read_bytes;
	if (st->kind != STERNA_PRESENCE)
		return NULL;
	hold_back(s, p, CONFIG_BUDGET_PRESENCE, 1);
	if (is_join(s, st))
		hold_back(s, p, CONFIG_BUDGET_JOINS, 1);
	if (st->type != PRESENCE_SUBSCRIBE)
		return NULL;
	const struct sterna_rate rate = config_budget(w->server->config, CONFIG_BUDGET_SUBSCRIPTIONS, p->domain);

	if (ratelimit_take(&p->bucket[CONFIG_BUDGET_SUBSCRIPTIONS], &rate, now_us(w), 1))
		return NULL;
	p->held[CONFIG_BUDGET_SUBSCRIPTIONS]++;
	metric_add(w->server->metric_set, w->index, METRIC_S2S_HELD, CONFIG_BUDGET_SUBSCRIPTIONS, 1);
	s2s_peer_offence(w, p->domain, 1, "too many requests for subscriptions");
	return "your server asks for too many subscriptions; try again later";
}

/* --- offences --- */

/* As the command `isolate` does it. */
static void isolate(struct worker *w, const struct s2s_peer *p, const char *what)
{
	const int64_t until = loop_wall_us(w->loop) + config_of(w)->isolate_time.us;
	char stamp[STERNA_STAMP_LEN];
	struct db_batch *b;

	if (isolation_put(w->server, ISOLATION_DOMAIN, p->domain, until, what) != STERNA_OK) {
		log_error("s2s", "a domain cannot be isolated: limits.isolations", "domain", p->domain);
		return;
	}
	b = db_batch_new(w->db);
	db_batch_add(b, &isolation_insert, (const struct db_value[]){ db_text(isolation_name(ISOLATION_DOMAIN)), db_text(p->domain),
		DB_INT(until), db_text(what), db_text(RULE) });
	db_batch_commit(&b, NULL, NULL);
	metric_add(w->server->metric_set, w->index, METRIC_S2S_ISOLATIONS, 0, 1);
	log_notice("isolation", "begins", "kind", isolation_name(ISOLATION_DOMAIN), "target", p->domain, "who", RULE, "reason", what);
	audit_note(w, w->server->host_list[0], "sterna.isolation.began.v1", p->domain, (const struct sterna_datum[]){
		STERNA_DATUM("kind", isolation_name(ISOLATION_DOMAIN)), STERNA_PERSONAL("target", p->domain), STERNA_DATUM("by", RULE),
		STERNA_DATUM("reason", what), STERNA_DATUM("until", sterna_stamp((time_t)(until / 1000000), stamp)), { 0 } });
	for (struct stream *s = w->streams, *next; s != NULL; s = next) {
		next = s->next;
		if (s->s2s != NULL && s->s2s->remote != NULL && s->s2s->attempt == NULL
			&& isolation_has_domain(w->server, jid_full(s->s2s->remote)))
			stream_error(s, "policy-violation", "this server does not talk to that domain at present");
	}
}

void s2s_peer_offence(struct worker *w, const char *domain, unsigned weight, const char *what)
{
	const struct config_s2s *c = config_of(w);
	struct s2s_peer *p = s2s_peer(w, domain);

	if (p->offences == 0 || now_us(w) > p->offences_since_us + (uint64_t)c->isolate_within.us) {
		p->offences = 0;
		p->offences_since_us = now_us(w);
	}
	p->offences += weight;
	p->all_offences += weight;
	if (c->isolate_after == 0 || p->offences < c->isolate_after || w->stopping || isolation_has_domain(w->server, domain))
		return;
	p->offences = 0;
	isolate(w, p, what);
}

struct offence {
	struct mail mail;
	struct worker *owner;
	const char *what;
	unsigned weight;
	char domain[];
};

static void on_offence(struct mail *m, struct loop *l)
{
	struct offence *o = (struct offence *)m;

	(void)l;
	s2s_peer_offence(o->owner, o->domain, o->weight, o->what);
	free(o);
}

void s2s_offence(struct worker *w, const char *domain, unsigned weight, const char *what)
{
	const size_t len = strlen(domain) + 1;
	struct offence *o;

	if (!s2s_is_on(w->server) || server_host(w->server, domain) != NULL)
		return;
	o = xalloc(sizeof *o + len);
	o->mail.run = on_offence;
	o->owner = s2s_owner(w->server, domain);
	o->what = what;
	o->weight = weight;
	memcpy(o->domain, domain, len);
	loop_post(o->owner->loop, &o->mail);
}

void s2s_peer_sweep(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->peers, &at)) != NULL;) {
		struct s2s_peer *p = e->value;

		if (now_us(w) > p->used_us + FORGET_US)
			peer_free(w, p);
	}
}
