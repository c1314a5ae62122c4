/* subscription.c - both sides of a subscription's states, and roster pushes. */
#include "server/subscription.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/presence.h"
#include "server/route.h"
#include "server/session.h"

#define NS_ROSTER "jabber:iq:roster"

bool subscription_is(enum stanza_type t)
{
	return t == PRESENCE_SUBSCRIBE || t == PRESENCE_SUBSCRIBED || t == PRESENCE_UNSUBSCRIBE
		|| t == PRESENCE_UNSUBSCRIBED;
}

/* §2.1.6: a push to every session that has asked for the roster. */
static void push(struct sterna_call *c, struct account *a, const struct roster_item *i)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
		char id[33], ver[24];

		if (!s->interested)
			continue;
		worker_token(c->worker, id);
		struct stanza *st = stanza_make("iq", "set", NULL, s->jid, id);
		struct sterna_elem *query = elem_add(st->arena, st->elem, "query", NS_ROSTER);

		snprintf(ver, sizeof ver, "%lld", (long long)i->version);
		elem_set_attr(st->arena, query, "ver", ver);
		roster_write(st->arena, query, i);
		call_after(c, &st, s);
	}
}

static void audit_change(struct sterna_call *c, const struct account *a, const struct roster_item *i)
{
	static const char *const words[] = { "none", "to", "from", "both" };
	const struct sterna_datum data[] = { STERNA_PERSONAL("contact", i->jid),
		STERNA_DATUM("subscription", i->removed ? "remove" : words[i->subscription & 3]),
		STERNA_DATUM("ask", i->ask ? "subscribe" : NULL), { 0 } };

	sterna_audit(c, "sterna.roster.changed.v1", jid_bare(a->jid), data);
}

void roster_changed(struct sterna_call *c, struct account *a, struct roster_item *i)
{
	i->version = worker_next_id(c->worker);
	a->roster.version = i->version;
	a->roster.changed_us = loop_now_us(c->worker->loop);
	if (!a->anonymous)
		roster_store(call_batch(c), jid_bare(a->jid), i);
	if (i->in_roster || i->removed)
		push(c, a, i);
	audit_change(c, a, i);
}

static void item_changed(struct sterna_call *c, struct account *a, struct roster_item *i)
{
	if (roster_tidy(&a->roster, a->anonymous ? NULL : call_batch(c), jid_bare(a->jid), i))
		roster_changed(c, a, i);
}

bool subscription_out(struct sterna_call *c, bool *show)
{
	struct account *a = c->account;
	struct stanza *st = c->stanza;
	struct jid *to = jid_to_bare(st->to);
	const size_t limit = c->worker->server->config->limits.roster_items;

	*show = false;
	/* §3: bare to bare, whatever the client has written. */
	stanza_set_to(st, to);
	stanza_set_from(st, a->jid);
	jid_unref(&to);
	if (jid_bare_equal(st->to, a->jid))
		return false;
	struct roster_item *known = roster_find(&a->roster, jid_bare(st->to));

	if (known == NULL && (st->type == PRESENCE_UNSUBSCRIBE || st->type == PRESENCE_UNSUBSCRIBED))
		return st->type == PRESENCE_UNSUBSCRIBE;
	if (known == NULL && roster_is_full(&a->roster, limit)) {
		route_refuse(c, STERNA_RESOURCE_CONSTRAINT, "the roster is full");
		return false;
	}
	struct roster_item *i = roster_item(&a->roster, jid_bare(st->to));
	const bool was_shown = i->in_roster;
	const struct subscription_effect e = roster_outbound(i, st->type);

	if (e.changed) {
		if (!i->pending_in) {
			free(i->request);
			i->request = NULL;
		}
		a->roster.count += (size_t)(i->in_roster && !was_shown);
		item_changed(c, a, i);
	}
	if (e.lost_sight)
		presence_hide(a, st->to);
	*show = e.probe_owner && e.route;
	return e.route;
}

bool subscription_preapprove(struct sterna_call *c, const struct jid *contact)
{
	struct account *a = c->account;

	if (roster_find(&a->roster, jid_bare(contact)) == NULL
		&& roster_is_full(&a->roster, c->worker->server->config->limits.roster_items))
		return false;
	struct roster_item *i = roster_item(&a->roster, jid_bare(contact));
	const bool was_shown = i->in_roster;

	if ((i->subscription & SUB_FROM) != 0 || i->approved)
		return true;
	i->approved = i->in_roster = true;
	a->roster.count += (size_t)!was_shown;
	roster_changed(c, a, i);
	return true;
}

static void keep_request(struct roster_item *i, struct stanza *st)
{
	struct buf text = BUF_INIT;

	stanza_write_stored(&text, st);
	free(i->request);
	i->request = buf_len(&text) <= 16384 ? xstrdup(buf_str(&text)) : NULL;
	buf_release(&text);
}

static void to_available(struct account *a, struct stanza *st)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->available)
			session_send(s, st, NULL, 0);
}

static void to_interested(struct account *a, struct stanza *st)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->interested || s->available)
			session_send(s, st, NULL, 0);
}

void subscription_in(struct sterna_call *c)
{
	struct account *a = c->account;
	struct stanza *st = c->stanza;
	struct jid *from = jid_to_bare(st->from);
	struct roster_item *i = roster_find(&a->roster, jid_bare(from));

	stanza_set_from(st, from);
	jid_unref(&from);
	if (jid_bare_equal(st->from, a->jid))
		return;
	if (i == NULL) {
		/* nothing to undo; and requests are bounded like the roster */
		if (st->type != PRESENCE_SUBSCRIBE
			|| roster_is_pestered(&a->roster, c->worker->server->config->limits.roster_items))
			return;
		i = roster_item(&a->roster, jid_bare(st->from));
	}
	const struct subscription_effect e = roster_inbound(i, st->type);

	if (e.changed) {
		if (st->type == PRESENCE_SUBSCRIBE && i->pending_in) {
			keep_request(i, st);
		} else if (!i->pending_in) {
			free(i->request);
			i->request = NULL;
		}
		item_changed(c, a, i);
	}
	if (e.route) {
		if (st->type == PRESENCE_SUBSCRIBE)
			to_available(a, st);
		else
			to_interested(a, st);
	}
	if (e.reply_subscribed) {
		struct stanza *yes = stanza_make("presence", "subscribed", a->jid, st->from, NULL);

		route_hop(c->worker, &yes, c->ack);
	}
	if (e.probe_owner || e.reply_subscribed)
		presence_show(a, st->from);
	if (e.lost_sight)
		presence_hide(a, st->from);
}

void subscription_again(struct sterna_session *s)
{
	struct account *a = s->account;
	const int64_t now = loop_wall_us(a->worker->loop);
	const struct config *config = a->worker->server->config;
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&a->roster.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;
		struct jid *to = NULL;
		char id[33];

		/* Until then the first one waits in the queue for that server. */
		if (!i->ask || i->removed || now - id_time_us(i->version) < config->s2s.queue_time.us
			|| jid_parse(i->jid, strlen(i->jid), &to) != STERNA_OK)
			continue;
		const struct host *h = server_host(a->worker->server, jid_domain(to));

		if ((h == NULL || h->kind == HOST_COMPONENT) && !account_hides(a, to)) {
			worker_token(a->worker, id);
			struct stanza *st = stanza_make("presence", "subscribe", a->jid, to, id);

			st->may_bounce = false;
			route_hop(a->worker, &st, NULL);
		}
		jid_unref(&to);
	}
}

void subscription_pending(struct sterna_session *s)
{
	struct account *a = s->account;
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&a->roster.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;
		struct jid *from = NULL;

		if (!i->pending_in || i->removed)
			continue;
		struct arena *arena = arena_new(1024);
		struct sterna_elem *tree = NULL;
		struct stanza *st = NULL;

		if (i->request != NULL && xml_parse(arena, i->request, strlen(i->request), &tree) == STERNA_OK)
			(void)!stanza_new(&arena, tree, &st);
		if (st == NULL && jid_parse(i->jid, strlen(i->jid), &from) == STERNA_OK)
			st = stanza_make("presence", "subscribe", from, a->jid, NULL);
		if (st != NULL)
			session_send(s, st, NULL, 0);
		stanza_unref(&st);
		jid_unref(&from);
		arena_free(&arena);
	}
}
