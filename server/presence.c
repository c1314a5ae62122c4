/* presence.c - broadcast, directed presence, what comes in.
 *
 * A broadcast is one stanza, shared: one mail for each other worker with the list of contacts. A contact who
 * is not in memory there has no sessions, and nothing is loaded for it. */
#include "server/presence_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/subscription.h"

/* --- fan-out --- */

struct fan {
	struct mail mail;
	struct worker *to;
	struct stanza *stanza;
	struct jid *prober;          /* a probe: who asks; else NULL */
	size_t count, size;
	struct jid **contacts;
};

/* Stops of the recipient's side, then all its available sessions. */
static void show_end(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_NEXT)
		for (struct sterna_session *s = c->account->sessions; s != NULL; s = s->next)
			if (s->available)
				session_send(s, c->stanza, c->account->jid, 0);
	call_finish(c);
}

static void arrive(struct worker *w, struct stanza *st, const struct jid *contact)
{
	struct account *a = account_find(w, jid_bare(contact));

	if (a == NULL || a->session_count == 0)
		return;
	struct stanza *ref = stanza_ref(st);
	struct sterna_call *c = call_new(w, &ref);

	c->side = SIDE_IN;
	call_set_account(c, a);
	call_run_hooks(c, STERNA_IN_POLICY, STERNA_IN_COPY, show_end);
}

static void run_fan(struct fan *f)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->prober != NULL)
			presence_answer(f->to, f->contacts[i], f->prober);
		else
			arrive(f->to, f->stanza, f->contacts[i]);
		jid_unref(&f->contacts[i]);
	}
	free(f->contacts);
	stanza_unref(&f->stanza);
	jid_unref(&f->prober);
	free(f);
}

static void on_fan(struct mail *m, struct loop *l)
{
	(void)l;
	run_fan((struct fan *)m);
}

struct spread {
	struct worker *from;
	struct stanza *stanza;
	struct jid *prober;
	struct fan **fans;           /* by worker */
};

static void spread_begin(struct spread *s, struct worker *from, struct stanza *st, struct jid *prober)
{
	if (st != NULL)
		stanza_share(st);
	*s = (struct spread){ from, st, prober, xalloc(from->server->worker_count * sizeof(struct fan *)) };
}

static void remote(struct spread *s, const struct jid *contact)
{
	struct stanza *copy;

	if (s->prober != NULL) {
		struct jid *bare = jid_to_bare(s->prober);

		copy = stanza_make("presence", "probe", bare, contact, NULL); /* §4.3 */
		jid_unref(&bare);
	} else {
		struct arena *a = arena_new(512);
		struct sterna_elem *e = elem_copy(a, s->stanza->elem);

		elem_set_attr(a, e, "to", jid_full(contact));
		if (stanza_new(&a, e, &copy) != STERNA_OK) {
			arena_free(&a);
			return;
		}
	}
	copy->may_bounce = false;
	route_hop(s->from, &copy, NULL);
}

static void spread_add(struct spread *s, const struct jid *contact)
{
	const struct host *h = server_host(s->from->server, jid_domain(contact));

	if (h == NULL || h->kind != HOST_USERS || jid_local(contact) == NULL) {
		remote(s, contact);
		return;
	}
	struct worker *to = server_owner(s->from->server, contact);
	struct fan *f = s->fans[to->index];

	if (f == NULL) {
		f = s->fans[to->index] = xalloc(sizeof *f);
		f->mail.run = on_fan;
		f->to = to;
		f->stanza = s->stanza != NULL ? stanza_ref(s->stanza) : NULL;
		f->prober = jid_ref(s->prober);
	}
	if (f->count == f->size) {
		f->size = f->size > 0 ? f->size * 2 : 16;
		f->contacts = xrealloc(f->contacts, f->size * sizeof(struct jid *));
	}
	f->contacts[f->count++] = jid_ref(contact);
}

static void spread_end(struct spread *s)
{
	for (unsigned i = 0; i < s->from->server->worker_count; i++) {
		if (s->fans[i] == NULL)
			continue;
		if (s->fans[i]->to == s->from)
			run_fan(s->fans[i]);
		else
			loop_post(s->fans[i]->to->loop, &s->fans[i]->mail);
	}
	free(s->fans);
}

static void each_contact(struct account *a, unsigned subscription, struct spread *s)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&a->roster.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;
		struct jid *contact = NULL;

		if (i->removed || (i->subscription & subscription) == 0)
			continue;
		if (jid_parse(i->jid, strlen(i->jid), &contact) != STERNA_OK)
			continue;
		if (!account_hides(a, contact))
			spread_add(s, contact);
		jid_unref(&contact);
	}
}

/* --- own sessions --- */

static void to_own_sessions(struct account *a, struct stanza *st)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->available)
			session_send(s, st, a->jid, 0);
}

static void send_directed_end(struct sterna_session *s, struct stanza *unavailable)
{
	struct map_entry *e;

	if (s->directed == NULL)
		return;
	for (size_t at = 0; (e = map_next(s->directed, &at)) != NULL;) {
		struct jid *to = NULL;

		if (unavailable != NULL && jid_parse(e->key, strlen(e->key), &to) == STERNA_OK) {
			struct arena *a = arena_new(512);
			struct sterna_elem *copy = elem_copy(a, unavailable->elem);
			struct stanza *st = NULL;

			elem_set_attr(a, copy, "to", jid_full(to));
			if (stanza_new(&a, copy, &st) == STERNA_OK)
				route_hop(s->account->worker, &st, NULL);
			arena_free(&a);
			jid_unref(&to);
		}
		free(e->value);
	}
	map_clear(s->directed);
	free(s->directed);
	s->directed = NULL;
}

static void broadcast(struct sterna_session *s, struct stanza *st)
{
	struct spread spread;

	spread_begin(&spread, s->account->worker, st, NULL);
	each_contact(s->account, SUB_FROM, &spread);
	spread_end(&spread);
}

/* RFC 6121 §4.7.2.3: -128 to 127; anything else is as none. */
static bool read_priority(const struct stanza *st, struct arena *a, int *out)
{
	const char *text = elem_child_text(a, st->elem, "priority");
	char *end = NULL;

	*out = 0;
	if (text == NULL)
		return true;
	const long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < -128 || n > 127)
		return false;
	*out = (int)n;
	return true;
}

/* §4.2.2, §4.3: what the newly available session hears. */
static void first_presence(struct sterna_session *s)
{
	struct account *a = s->account;
	struct spread probes;
	bool is_first = true;

	for (struct sterna_session *o = a->sessions; o != NULL; o = o->next)
		if (o != s && o->available && o->presence != NULL) {
			session_send(s, o->presence, s->jid, 0);
			is_first = false;
		}
	spread_begin(&probes, a->worker, NULL, s->jid);
	each_contact(a, SUB_TO, &probes);
	spread_end(&probes);
	if (is_first)
		subscription_again(s);
	subscription_pending(s);
}

void presence_refresh(struct sterna_session *s)
{
	if (s->presence == NULL)
		return;
	broadcast(s, s->presence);
	first_presence(s);
}

static void become_unavailable(struct sterna_session *s, struct stanza *st, struct sterna_call *within)
{
	struct account *a = s->account;

	s->available = false;
	stanza_unref(&s->presence);
	free(a->last_status);
	const char *status = elem_child_text(st->arena, st->elem, "status");

	a->last_status = status != NULL && strlen(status) <= 1024 ? xstrdup(status) : NULL;
	a->last_logout_us = loop_wall_us(a->worker->loop);
	broadcast(s, st);
	to_own_sessions(a, st);
	session_send(s, st, a->jid, 0); /* §4.5.2: also to the one that has said it */
	send_directed_end(s, st);
	modules_event(a->worker, STERNA_SESSION_UNAVAILABLE, a, s, within);
}

void presence_broadcast(struct sterna_call *c)
{
	struct sterna_session *s = c->session;
	struct stanza *st = c->stanza;
	int priority;

	if (st->type == PRESENCE_UNAVAILABLE) {
		if (s->available || s->directed != NULL)
			become_unavailable(s, st, c);
		return;
	}
	if (st->type != PRESENCE_AVAILABLE) {
		/* subscriptions, probes and errors without a recipient */
		route_refuse(c, STERNA_BAD_REQUEST, NULL);
		return;
	}
	if (!read_priority(st, st->arena, &priority)) {
		route_refuse(c, STERNA_BAD_REQUEST, "priority is a number from -128 to 127");
		return;
	}
	const bool first = !s->available, was_negative = first || s->priority < 0;

	stanza_unref(&s->presence);
	s->presence = stanza_ref(st);
	s->priority = priority;
	s->available = true;
	broadcast(s, st);
	to_own_sessions(s->account, st);
	if (first) {
		first_presence(s);
		modules_event(c->worker, STERNA_SESSION_AVAILABLE, s->account, s, c);
	}
	if (was_negative && priority >= 0) {
		s->open_since = worker_next_id(c->worker);
		offline_deliver(s);
	}
}

void presence_gone(struct sterna_session *s)
{
	if (!s->available && s->directed == NULL)
		return;
	struct stanza *st = stanza_make("presence", "unavailable", s->jid, NULL, NULL);

	become_unavailable(s, st, NULL);
	stanza_unref(&st);
}

void presence_forget(struct sterna_session *s)
{
	send_directed_end(s, NULL);
}

bool presence_remember(struct sterna_session *s, const char *to)
{
	if (s->directed == NULL) {
		s->directed = xalloc(sizeof *s->directed);
		map_init(s->directed, s->account->worker->accounts.k0, s->account->worker->accounts.k1);
	}
	if (to == NULL || map_get(s->directed, to) != NULL)
		return to != NULL;
	if (s->directed->count >= s->account->worker->server->config->limits.roster_items)
		return false;
	char *key = xstrdup(to);

	map_put(s->directed, key, key);
	return true;
}

/* §4.6.3: only while they do not get our broadcasts anyway. */
bool presence_directed(struct sterna_call *c)
{
	struct sterna_session *s = c->session;
	const struct stanza *st = c->stanza;
	const char *to = jid_full(st->to);

	if (st->type == PRESENCE_UNAVAILABLE && s->directed != NULL) {
		char *was = map_remove(s->directed, to);

		if (was != NULL)
			sm_save(s);
		free(was);
	} else if (st->type == PRESENCE_AVAILABLE && !(s->available && jid_resource(st->to) == NULL
		&& roster_has_from(&s->account->roster, to))) {
		if (s->directed != NULL && map_get(s->directed, to) != NULL)
			return true;
		if (!presence_remember(s, to))
			return false;
		sm_save(s);
	}
	return true;
}

/* --- presence has come for an account --- */

/* §4.6.1: whoever has left need not hear that we leave. */
static void has_left(struct sterna_session *s, const struct jid *who)
{
	char *was = s->directed != NULL ? map_remove(s->directed, jid_full(who)) : NULL;

	if (was != NULL)
		sm_save(s);
	free(was);
}

void presence_in(struct sterna_call *c)
{
	const struct stanza *st = c->stanza;
	const char *resource = jid_resource(st->to);

	if (st->type == PRESENCE_PROBE) {
		presence_probed(c);
		return;
	}
	for (struct sterna_session *s = c->account->sessions; s != NULL; s = s->next) {
		if (resource != NULL ? strcmp(jid_resource(s->jid), resource) != 0 : !s->available)
			continue;
		if (st->type == PRESENCE_UNAVAILABLE)
			has_left(s, st->from);
		session_send(s, c->stanza, NULL, 0);
	}
}
