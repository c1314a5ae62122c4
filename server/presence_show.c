/* presence_show.c - presence for one address: probes and their answers (RFC 6121 §4.3.2), subscriptions that begin and end. */
#include "server/presence_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/datetime.h"
#include "server/route.h"
#include "server/session.h"
#include "server/sm.h"

#define NS_DELAY "urn:xmpp:delay"

static void send_presence(struct worker *w, struct stanza *st, const struct jid *to)
{
	struct arena *a = arena_new(1024);
	struct sterna_elem *e = elem_copy(a, st->elem);
	struct stanza *copy = NULL;

	elem_set_attr(a, e, "to", jid_full(to));
	if (stanza_new(&a, e, &copy) == STERNA_OK) {
		copy->may_bounce = false;
		route_hop(w, &copy, NULL);
	}
	arena_free(&a);
}

static struct stanza *of_type(const struct jid *from, const struct jid *to, const char *type, const char *id)
{
	struct stanza *st = stanza_make("presence", type, from, to, id);

	st->may_bounce = false;
	return st;
}

static void send_type(struct worker *w, const struct jid *from, const struct jid *to, const char *type)
{
	struct stanza *st = of_type(from, to, type, NULL);

	route_hop(w, &st, NULL);
}

/* --- probes --- */

/* §4.3.2: with the time at which the last session went. */
static void say_unavailable(struct account *a, const struct jid *from, const struct jid *to, const char *id)
{
	struct stanza *st = of_type(from, to, "unavailable", id);

	if (a->last_logout_us != 0) {
		struct sterna_elem *delay = elem_add(st->arena, st->elem, "delay", NS_DELAY);
		char stamp[DATETIME_SIZE];

		datetime_format(a->last_logout_us, stamp);
		elem_set_attr(st->arena, delay, "from", jid_bare(a->jid));
		elem_set_attr(st->arena, delay, "stamp", stamp);
	}
	route_hop(a->worker, &st, NULL);
}

static bool show_to(struct account *a, const struct jid *to)
{
	bool any = false;

	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
		if (!s->available || s->presence == NULL)
			continue;
		any = true;
		send_presence(a->worker, s->presence, to);
	}
	return any;
}

/* A contact that is not in memory has no session: unavailable, and nobody is loaded for that. The prober's
 * own roster says that it may see the contact. */
void presence_answer(struct worker *w, const struct jid *contact, const struct jid *prober)
{
	struct account *a = account_find(w, jid_bare(contact));

	if (a == NULL || a->session_count == 0 || account_hides(a, prober))
		send_type(w, contact, prober, "unavailable");
	else if (!roster_has_from(&a->roster, jid_bare(prober)))
		send_type(w, a->jid, prober, "unsubscribed");
	else if (!show_to(a, prober))
		say_unavailable(a, a->jid, prober, NULL);
}

/* §4.6.6: who was sent presence directly may ask whether it still holds, of the session that has sent it. */
static bool show_directed(struct account *a, const char *resource, const struct jid *to)
{
	bool any = false;

	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
		if (s->directed == NULL || (resource != NULL && strcmp(jid_resource(s->jid), resource) != 0)
			|| (map_get(s->directed, jid_full(to)) == NULL && map_get(s->directed, jid_bare(to)) == NULL))
			continue;
		any = true;
		send_type(a->worker, s->jid, to, NULL);
	}
	return any;
}

/* To a full JID: of that resource alone, and no more than that it is there. */
static void show_resource(struct account *a, const struct stanza *probe)
{
	const struct sterna_session *s = account_session(a, jid_resource(probe->to));

	if (s != NULL && s->available)
		send_type(a->worker, s->jid, probe->from, NULL);
	else
		say_unavailable(a, probe->to, probe->from, stanza_id(probe));
}

void presence_refuse_probe(struct worker *w, const struct stanza *probe)
{
	struct jid *bare = jid_to_bare(probe->to);
	struct stanza *st = of_type(bare, probe->from, "unsubscribed", stanza_id(probe));

	route_hop(w, &st, NULL);
	jid_unref(&bare);
}

void presence_probed(struct sterna_call *c)
{
	const struct stanza *probe = c->stanza;
	struct account *a = c->account;
	const char *resource = jid_resource(probe->to);
	const bool may_see = jid_bare_equal(probe->from, a->jid) || roster_has_from(&a->roster, jid_bare(probe->from));
	const struct roster_item *i = roster_find(&a->roster, jid_bare(probe->from));

	if (may_see && resource != NULL)
		show_resource(a, probe);
	else if (may_see && !show_to(a, probe->from))
		say_unavailable(a, a->jid, probe->from, stanza_id(probe));
	else if (!may_see && !show_directed(a, resource, probe->from) && (i == NULL || !i->pending_in))
		presence_refuse_probe(c->worker, probe); /* not who waits for an answer: it would be one */
}

/* --- subscriptions --- */

void presence_show(struct account *a, const struct jid *contact)
{
	(void)show_to(a, contact);
}

void presence_hide(struct account *a, const struct jid *contact)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->available)
			send_type(a->worker, s->jid, contact, "unavailable");
}

/* By XEP-0191 §5. */
static bool is_within(const struct jid *j, const char *item)
{
	const size_t domain = strlen(jid_domain(j));

	return strcmp(item, jid_full(j)) == 0 || strcmp(item, jid_bare(j)) == 0 || strcmp(item, jid_domain(j)) == 0
		|| (jid_resource(j) != NULL && strncmp(item, jid_domain(j), domain) == 0 && item[domain] == '/'
			&& strcmp(item + domain + 1, jid_resource(j)) == 0);
}

static void hide_directed(struct sterna_session *s, const char *item)
{
	struct jid **to = xalloc(s->directed->count * sizeof(struct jid *));
	struct map_entry *e;
	size_t count = 0;

	for (size_t at = 0; (e = map_next(s->directed, &at)) != NULL;)
		if (jid_parse(e->key, strlen(e->key), &to[count]) == STERNA_OK && is_within(to[count], item))
			count++;
		else
			jid_unref(&to[count]);
	for (size_t i = 0; i < count; i++) {
		free(map_remove(s->directed, jid_full(to[i])));
		send_type(s->account->worker, s->jid, to[i], "unavailable");
		jid_unref(&to[i]);
	}
	free(to);
	if (count > 0)
		sm_save(s);
}

void presence_hide_directed(struct account *a, const char *item)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->directed != NULL && s->directed->count > 0)
			hide_directed(s, item);
}
