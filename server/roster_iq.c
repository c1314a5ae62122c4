/* roster_iq.c - jabber:iq:roster: get with versioning, set, remove (RFC 6121 §2). */
#include "server/roster_iq.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/presence.h"
#include "server/route.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/subscription.h"

#define NS_ROSTER "jabber:iq:roster"

enum { NAME_MAX_BYTES = 1023, GROUPS_MAX = 64, SETTLE_US = 10000000 };

/* --- get --- */

static int by_version(const void *a, const void *b)
{
	const struct roster_item *const *x = a, *const *y = b;

	return ((*x)->version > (*y)->version) - ((*x)->version < (*y)->version);
}

/* §2.6.3: only what has changed, each as a push, if we still know all that. Tombstones make it so. */
static void push_changes(struct sterna_call *c, struct sterna_session *s, int64_t since)
{
	const struct roster *r = &c->account->roster;
	struct roster_item **changed = sterna_alloc(c, (r->items.count + 1) * sizeof(struct roster_item *));
	struct map_entry *e;
	size_t n = 0;

	for (size_t at = 0; (e = map_next(&r->items, &at)) != NULL;) {
		struct roster_item *i = e->value;

		if (i->version > since && (i->in_roster || i->removed))
			changed[n++] = i;
	}
	if (n > 1)
		qsort(changed, n, sizeof *changed, by_version);
	for (size_t k = 0; k < n; k++) {
		char id[33], ver[24];

		worker_token(c->worker, id);
		snprintf(ver, sizeof ver, "%lld", (long long)changed[k]->version);
		struct stanza *st = stanza_make("iq", "set", NULL, s->jid, id);
		struct sterna_elem *query = elem_add(st->arena, st->elem, "query", NS_ROSTER);

		elem_set_attr(st->arena, query, "ver", ver);
		roster_write(st->arena, query, changed[k]);
		call_after(c, &st, s);
	}
}

static enum sterna_verdict answer_get(struct sterna_call *c)
{
	const char *ver = elem_attr(sterna_payload(c), "ver");
	struct sterna_session *s = sterna_session(c);
	const struct roster *r = &c->account->roster;
	struct map_entry *e;
	char *end = NULL;

	if (s != NULL && !s->interested) {
		s->interested = true;
		sm_save(s);
	}
	if (ver != NULL && *ver != '\0' && s != NULL) {
		const long long since = strtoll(ver, &end, 10);

		if (*end == '\0' && since > 0 && since <= r->version) {
			const enum sterna_verdict v = sterna_reply(c, NULL);

			push_changes(c, s, since);
			return v;
		}
	}
	struct sterna_elem *query = sterna_elem(c, "query", NS_ROSTER);

	if (ver != NULL)
		sterna_attr(query, "ver", sterna_printf(c, "%lld", (long long)(r->version > 0 ? r->version : 1)));
	for (size_t at = 0; (e = map_next(&r->items, &at)) != NULL;) {
		const struct roster_item *i = e->value;

		if (i->in_roster && !i->removed)
			roster_write(query->arena, query, i);
	}
	return sterna_reply(c, query);
}

static enum sterna_verdict on_settled(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	(void)rc;
	(void)rows;
	return answer_get(c);
}

/* Pushes wait for their commit; a result that told of the same changes must not overtake them. */
static enum sterna_verdict on_get(struct sterna_call *c)
{
	static const struct db_stmt barrier = {
		.name = "roster_barrier", .params = "", .columns = "i", .sql = "SELECT CAST(1 AS bigint)",
	};

	if (elem_first(sterna_payload(c)) != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a roster get has no items");
	if (c->account->roster.changed_us == 0
		|| loop_now_us(c->worker->loop) - c->account->roster.changed_us > SETTLE_US)
		return answer_get(c);
	return sterna_read(c, on_settled, &barrier);
}

/* --- set --- */

static const char *read_groups(struct sterna_call *c, const struct sterna_elem *item, char **out)
{
	json_t *list = json_array();
	const char *wrong = NULL;

	elem_foreach(g, item)
	{
		const char *text = elem_text(call_arena(c), g);

		if (!elem_is(g, "group", NS_ROSTER))
			continue;
		if (*text == '\0' || strlen(text) > NAME_MAX_BYTES)
			wrong = "a group's name is empty or too long"; /* §2.3.3 */
		else if (json_array_size(list) >= GROUPS_MAX)
			wrong = "too many groups";
		for (size_t i = 0; wrong == NULL && i < json_array_size(list); i++)
			if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
				wrong = "a group is there twice";
		if (wrong == NULL)
			json_array_append_new(list, json_string(text));
	}
	*out = wrong == NULL && json_array_size(list) > 0 ? json_dumps(list, JSON_COMPACT) : NULL;
	json_decref(list);
	return wrong;
}

static void send_type(struct sterna_call *c, const struct jid *to, const char *type)
{
	struct stanza *st = stanza_make("presence", type, c->account->jid, to, NULL);

	st->may_bounce = false;
	call_after(c, &st, NULL);
}

/* §2.5: removing ends both subscriptions. */
static enum sterna_verdict remove_item(struct sterna_call *c, const struct jid *contact)
{
	struct roster_item *i = roster_find(&c->account->roster, jid_bare(contact));

	if (i == NULL || !i->in_roster)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if ((i->subscription & SUB_TO) != 0 || i->ask)
		send_type(c, contact, "unsubscribe");
	if ((i->subscription & SUB_FROM) != 0) {
		send_type(c, contact, "unsubscribed");
		presence_hide(c->account, contact);
	} else if (i->pending_in) {
		send_type(c, contact, "unsubscribed");
	}
	i->removed = true;
	i->in_roster = i->ask = i->pending_in = i->approved = false;
	i->subscription = SUB_NONE;
	free(i->request);
	free(i->name);
	free(i->groups);
	i->request = i->name = i->groups = NULL;
	c->account->roster.count--;
	roster_changed(c, c->account, i);
	return sterna_reply(c, NULL);
}

static enum sterna_verdict set_item(struct sterna_call *c, const struct jid *contact, const struct sterna_elem *item)
{
	struct roster *r = &c->account->roster;
	const char *name = elem_attr(item, "name"), *wrong;
	char *groups = NULL;

	if (name != NULL && strlen(name) > NAME_MAX_BYTES)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the name is too long");
	wrong = read_groups(c, item, &groups);
	if (wrong != NULL)
		return sterna_reject(c, strstr(wrong, "twice") != NULL ? STERNA_BAD_REQUEST : STERNA_NOT_ACCEPTABLE, wrong);
	if (roster_find(r, jid_bare(contact)) == NULL && roster_is_full(r, c->worker->server->config->limits.roster_items)) {
		free(groups);
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the roster is full");
	}
	struct roster_item *i = roster_item(r, jid_bare(contact));

	r->count += !i->in_roster;
	i->in_roster = true;
	free(i->name);
	free(i->groups);
	i->name = name != NULL && *name != '\0' ? xstrdup(name) : NULL;
	i->groups = groups;
	roster_changed(c, c->account, i);
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct sterna_elem *item = elem_first(sterna_payload(c));
	const char *text = item != NULL ? elem_attr(item, "jid") : NULL, *subscription;
	struct jid *j = NULL, *bare;
	enum sterna_verdict v;

	/* §2.1.5: exactly one item, with a JID */
	if (!elem_is(item, "item", NS_ROSTER) || elem_next(item) != NULL || text == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a roster set has one item with a jid");
	if (jid_parse(text, strlen(text), &j) != STERNA_OK)
		return sterna_reject(c, STERNA_JID_MALFORMED, NULL);
	bare = jid_to_bare(j);
	jid_unref(&j);
	subscription = elem_attr(item, "subscription"); /* anything but "remove" is ignored: §2.1.2.5 */
	if (subscription != NULL && strcmp(subscription, "remove") == 0)
		v = remove_item(c, bare);
	else if (jid_bare_equal(bare, c->account->jid))
		v = sterna_reject(c, STERNA_NOT_ALLOWED, "that is yourself");
	else
		v = set_item(c, bare, item);
	jid_unref(&bare);
	return v;
}

/* Someone else's roster: RFC 6121 §2.1.5 and its security. */
static enum sterna_verdict on_foreign(struct sterna_call *c)
{
	return sterna_reject(c, STERNA_FORBIDDEN, NULL);
}

/* RFC 3921's session IQ: nothing is left to do, and clients of today still ask. */
static enum sterna_verdict on_session(struct sterna_call *c)
{
	return sterna_reply(c, NULL);
}

/* RFC 6120 §7.7: one resource for each stream. */
static enum sterna_verdict on_bind(struct sterna_call *c)
{
	return sterna_reject(c, STERNA_NOT_ALLOWED, "this stream has its resource");
}

STERNA_MODULE(roster, .spec = "RFC 6121 §2", .summary = "Roster",
	.features = (const struct sterna_feature[]){ { NS_ROSTER, STERNA_SERVER }, { NULL, 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_ROSTER, "query", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_ROSTER, "query", on_set },
		{ STERNA_GET | STERNA_SET, STERNA_ANY_ACCOUNT, NS_ROSTER, "query", on_foreign },
		{ STERNA_SET, STERNA_OWN_ACCOUNT | STERNA_SERVER, "urn:ietf:params:xml:ns:xmpp-session", "session", on_session },
		{ STERNA_SET, STERNA_OWN_ACCOUNT | STERNA_SERVER, "urn:ietf:params:xml:ns:xmpp-bind", "bind", on_bind },
		{ 0, 0, NULL, NULL, NULL } });
