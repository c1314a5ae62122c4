/* many.c - one stanza to many sessions: rooms. It is serialised once; each worker that owns some of the recipients
 * gets one mail, and writes its own header for each.
 *
 * A recipient whose account is not in memory, or that is on another server, goes the usual way with a copy of its
 * own: so its session is restored, or the sender hears that it is not there. */
#include "server/account.h"
#include "server/lane.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/session.h"
#include <stdlib.h>
#include <string.h>

struct many {
	struct mail mail;
	struct worker *to;
	struct stanza *stanza;
	size_t count, size;
	struct jid **jids;
};

/* A stanza of ours, shared by a handler and its recipients. */
struct sterna_shared {
	struct stanza stanza;
};

static struct stanza *stanza_of(const struct sterna_shared *s)
{
	return (struct stanza *)(void *)s;
}

struct sterna_shared *sterna_share(struct sterna_call *c, const struct sterna_elem *stanza)
{
	struct arena *a = arena_new(512);
	struct stanza *st = NULL;

	if (stanza_new(&a, elem_copy(a, stanza), &st) != STERNA_OK) {
		log_error("module", "tried to send what is no stanza", "module", c->module->m->name);
		arena_free(&a);
		return NULL;
	}
	st->trace = c->trace;
	st->may_bounce = st->kind != STERNA_PRESENCE;
	stanza_share(st);
	return (struct sterna_shared *)(void *)st;
}

struct sterna_shared *sterna_shared_ref(struct sterna_shared *s)
{
	stanza_ref(stanza_of(s));
	return s;
}

void sterna_shared_unref(struct sterna_shared **s)
{
	struct stanza *st = *s != NULL ? stanza_of(*s) : NULL;

	*s = NULL;
	stanza_unref(&st);
}

const struct sterna_elem *sterna_shared_elem(const struct sterna_shared *s)
{
	return stanza_of(s)->elem;
}

/* A copy that is this recipient's alone. */
static void alone(struct worker *w, const struct stanza *st, const struct jid *to)
{
	struct arena *a = arena_new(512);
	struct sterna_elem *e = elem_copy(a, st->elem);
	struct stanza *copy = NULL;

	elem_set_attr(a, e, "to", jid_full(to));
	if (stanza_new(&a, e, &copy) != STERNA_OK) {
		arena_free(&a);
		return;
	}
	copy->trace = st->trace;
	copy->may_bounce = st->may_bounce;
	route_hop(w, &copy, NULL);
}

static struct sterna_session *session_of(const struct account *a, const struct jid *to)
{
	return jid_resource(to) != NULL ? account_session(a, jid_resource(to)) : NULL;
}

static void finish(struct sterna_call *c)
{
	struct worker *w = c->worker;
	struct lane *l = lane_of(c);

	call_finish(c);
	lane_leave(w, l);
}

static void arrived(struct sterna_call *c, enum sterna_verdict v)
{
	struct sterna_session *s = session_of(c->account, c->send_to);
	struct jid *to = c->send_to;

	c->send_to = NULL;
	if (v == STERNA_NEXT && s != NULL)
		session_send(s, c->stanza, to, 0);
	jid_unref(&to);
	finish(c);
}

static void enter(struct sterna_call *c)
{
	call_run_hooks(c, STERNA_IN_POLICY, STERNA_IN_COPY, arrived);
}

/* Through the stops. What waits in one holds up what comes after it (route.c). */
static void arrive_by_stops(struct worker *w, struct stanza *st, struct account *a, const struct jid *to)
{
	bool full = false;
	struct stanza *ref = stanza_ref(st);
	struct sterna_call *c = call_new(w, &ref);

	c->side = SIDE_IN;
	c->to_many = true;
	c->send_to = jid_ref(to);
	call_set_account(c, a);
	if (w->stop_lanes > 0 && lane_join(c, call_lane_key(c), enter, &full))
		return;
	if (full) {
		jid_unref(&c->send_to);
		finish(c);
	} else {
		enter(c);
	}
}

/* With most recipients no module has anything to do: then it is the session's at once. */
static bool arrive_at_once(struct worker *w, struct stanza *st, const struct jid *to)
{
	struct account *a = account_find(w, jid_bare(to));
	struct sterna_session *s = a != NULL ? session_of(a, to) : NULL;

	if (s == NULL || w->stop_lanes > 0 || hook_needed(&w->registry->many[st->kind], w->rests | a->rests))
		return false;
	session_send(s, st, to, 0);
	return true;
}

static void arrive(struct worker *w, struct stanza *st, const struct jid *to)
{
	struct account *a;

	if (arrive_at_once(w, st, to))
		return;
	a = account_find(w, jid_bare(to));
	if (a == NULL || session_of(a, to) == NULL)
		alone(w, st, to);
	else
		arrive_by_stops(w, st, a, to);
}

static void run_many(struct many *m)
{
	for (size_t i = 0; i < m->count; i++) {
		arrive(m->to, m->stanza, m->jids[i]);
		jid_unref(&m->jids[i]);
	}
	free(m->jids);
	stanza_unref(&m->stanza);
	free(m);
}

static void on_many(struct mail *m, struct loop *l)
{
	(void)l;
	run_many((struct many *)m);
}

static void add(struct many **for_worker, struct worker *to, struct stanza *st, const struct jid *jid)
{
	struct many *m = *for_worker;

	if (m == NULL) {
		m = *for_worker = xalloc(sizeof *m);
		m->mail.run = on_many;
		m->to = to;
		m->stanza = stanza_ref(st);
	}
	if (m->count == m->size) {
		m->size = m->size > 0 ? m->size * 2 : 4;
		m->jids = xrealloc(m->jids, m->size * sizeof(struct jid *));
	}
	m->jids[m->count++] = jid_ref(jid);
}

/* A session of ours? Most are of the same host as the one before (*last, of which it was true). */
static bool is_user(const struct server *server, const struct jid *to, const struct jid **last)
{
	if (jid_resource(to) == NULL || jid_local(to) == NULL)
		return false;
	if (*last != NULL && strcmp(jid_domain(*last), jid_domain(to)) == 0)
		return true;
	const struct host *h = server_host(server, jid_domain(to));

	if (h == NULL || h->kind != HOST_USERS)
		return false;
	*last = to;
	return true;
}

void sterna_send_many(struct sterna_call *c, struct sterna_shared *s, const struct jid *const *to, size_t count)
{
	struct worker *w = c->worker;
	struct server *server = w->server;
	struct many *first[8] = { NULL }, **by_worker = first;
	const struct jid *last = NULL;

	if (s == NULL || count == 0)
		return;
	if (server->worker_count > sizeof first / sizeof *first)
		by_worker = xalloc(server->worker_count * sizeof(struct many *));
	for (size_t i = 0; i < count; i++) {
		struct worker *owner = server_owner(server, to[i]);

		if (!is_user(server, to[i], &last))
			alone(w, stanza_of(s), to[i]);
		else if (owner != w || !arrive_at_once(w, stanza_of(s), to[i]))
			add(&by_worker[owner->index], owner, stanza_of(s), to[i]);
	}
	for (unsigned i = 0; i < server->worker_count; i++) {
		if (by_worker[i] == NULL)
			continue;
		if (by_worker[i]->to == w)
			run_many(by_worker[i]);
		else
			loop_post(by_worker[i]->to->loop, &by_worker[i]->mail);
	}
	if (by_worker != first)
		free(by_worker);
}

/* --- many to one --- */

struct burst {
	struct mail mail;
	struct worker *to_worker;
	struct jid *to;
	size_t count;
	struct stanza *stanzas[];
};

static void run_burst(struct burst *b)
{
	const struct account *a = account_find(b->to_worker, jid_bare(b->to));
	struct sterna_session *s = a != NULL ? session_of(a, b->to) : NULL;

	if (s != NULL)
		session_ref(s)->asked_for = true;
	for (size_t i = 0; i < b->count; i++) {
		arrive(b->to_worker, b->stanzas[i], b->to);
		stanza_unref(&b->stanzas[i]);
	}
	if (s != NULL)
		s->asked_for = false;
	session_unref(&s);
	jid_unref(&b->to);
	free(b);
}

static void on_burst(struct mail *m, struct loop *l)
{
	(void)l;
	run_burst((struct burst *)m);
}

void sterna_send_burst(struct sterna_call *c, struct sterna_shared *const *s, size_t count, const struct jid *to)
{
	struct server *server = c->worker->server;
	const struct jid *last = NULL;
	struct burst *b;

	if (!is_user(server, to, &last)) {
		for (size_t i = 0; i < count; i++)
			if (s[i] != NULL)
				alone(c->worker, stanza_of(s[i]), to);
		return;
	}
	b = xalloc(sizeof *b + count * sizeof b->stanzas[0]);
	b->mail.run = on_burst;
	b->to_worker = server_owner(server, to);
	b->to = jid_ref(to);
	for (size_t i = 0; i < count; i++)
		if (s[i] != NULL)
			b->stanzas[b->count++] = stanza_ref(stanza_of(s[i]));
	if (b->to_worker == c->worker)
		run_burst(b);
	else
		loop_post(b->to_worker->loop, &b->mail);
}
