/* XEP-0060 §8.9, §5.7: affiliations - an owner's list, and one's own. Part of the engine, see pubsub.h. */
#include <string.h>
#include "xep/pubsub.h"

enum sterna_verdict pubsub_own_affiliations(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB), *list = sterna_add(answer, "affiliations", NULL);
	const char *only = elem_attr(action, "node");

	if (only != NULL)
		sterna_attr(list, "node", only);
	for (size_t i = 0; i < r->ps->count; i++) {
		const struct pubsub_node *n = r->ps->nodes[i];
		/* A service's administrator may do as owners do, but is not one. */
		const unsigned value = r->ps->on_service ? pubsub_member(n, PUBSUB_KIND_AFFILIATION, r->who.bare)
			: pubsub_affiliation(n, &r->who);

		if (value == PUBSUB_NONE || (only != NULL && strcmp(only, n->name) != 0))
			continue;
		struct sterna_elem *e = sterna_add(list, "affiliation", NULL);

		sterna_attr(e, "node", n->name);
		sterna_attr(e, "affiliation", pubsub_affiliation_names[value]);
	}
	return sterna_reply(r->c, answer);
}

static void add_affiliation(struct sterna_elem *list, const char *jid, unsigned value)
{
	struct sterna_elem *e = sterna_add(list, "affiliation", NULL);

	sterna_attr(e, "jid", jid);
	sterna_attr(e, "affiliation", pubsub_affiliation_names[value]);
}

void pubsub_each_owner(struct pubsub_request *r, const struct pubsub_node *n, void (*fn)(struct pubsub_request *r,
	struct pubsub_node *n, const char *jid, void *arg), void *arg)
{
	struct pubsub_node *node = pubsub_find(r->ps, n->name);

	if (!r->ps->on_service)
		fn(r, node, sterna_owner(r->c), arg);
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_AFFILIATION && n->members[i].value == PUBSUB_OWNER)
			fn(r, node, n->members[i].jid, arg);
}

enum sterna_verdict pubsub_affiliations_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused;
	const struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*list = sterna_add(answer, "affiliations", NULL);

	sterna_attr(list, "node", n->name);
	if (!r->ps->on_service)
		add_affiliation(list, sterna_owner(r->c), PUBSUB_OWNER);
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_AFFILIATION)
			add_affiliation(list, n->members[i].jid, n->members[i].value);
	return sterna_reply(r->c, answer);
}

/* --- changes --- */

struct change {
	const char *jid;
	unsigned value;
};
struct changes {
	struct change *list;
	size_t count;
};

/* §8.9.2.4: all are checked before one is made; so none of those that were asked for has succeeded. */
static enum sterna_verdict refuse(struct pubsub_request *r, const struct pubsub_node *n, const struct changes *ch,
	enum sterna_condition condition, const char *text)
{
	struct sterna_elem *payload = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*list = sterna_add(payload, "affiliations", NULL);

	sterna_attr(list, "node", n->name);
	for (size_t i = 0; i < ch->count; i++)
		add_affiliation(list, ch->list[i].jid, !r->ps->on_service && strcmp(ch->list[i].jid, sterna_owner(r->c)) == 0
			? PUBSUB_OWNER : pubsub_member(n, PUBSUB_KIND_AFFILIATION, ch->list[i].jid));
	return sterna_reject_elem(r->c, condition, text, NULL, payload);
}

static bool is_listed(const struct changes *ch, const char *jid)
{
	for (size_t i = 0; i < ch->count; i++)
		if (strcmp(ch->list[i].jid, jid) == 0)
			return true;
	return false;
}

/* One <affiliation/> of the request. STERNA_NEXT: it is on the list, or asks for nothing. */
static enum sterna_verdict read_change(struct pubsub_request *r, const struct pubsub_node *n, const struct sterna_elem *e,
	struct changes *ch)
{
	const char *jid = elem_attr(e, "jid"), *word = elem_attr(e, "affiliation");
	struct jid *j = NULL;
	unsigned value = 0;

	if (!elem_is(e, "affiliation", NS_PUBSUB_OWNER) || word == NULL)
		return STERNA_NEXT; /* §8.9.2.1: is not changed */
	if (jid == NULL || jid_parse(jid, strlen(jid), &j) != STERNA_OK)
		return sterna_reject(r->c, STERNA_JID_MALFORMED, NULL);
	const char *bare = sterna_printf(r->c, "%s", jid_bare(j));

	jid_unref(&j);
	if (is_listed(ch, bare))
		return sterna_reject(r->c, STERNA_BAD_REQUEST, "an entity is named twice");
	const bool known = pubsub_name_value(pubsub_affiliation_names, word, &value);

	ch->list[ch->count++] = (struct change){ bare, value };
	if (!known)
		return refuse(r, n, ch, STERNA_NOT_ACCEPTABLE, "there is no such affiliation");
	if (!r->ps->on_service && strcmp(bare, sterna_owner(r->c)) == 0 && value != PUBSUB_OWNER)
		return refuse(r, n, ch, STERNA_NOT_ACCEPTABLE, "the account owns its nodes");
	return STERNA_NEXT;
}

/* A service's node keeps an owner: §8.9.2.4. */
static bool keeps_owner(const struct pubsub_request *r, const struct pubsub_node *n, const struct changes *ch)
{
	size_t owners = pubsub_member_count(n, PUBSUB_KIND_AFFILIATION, PUBSUB_OWNER);

	for (size_t i = 0; i < ch->count; i++) {
		const unsigned was = pubsub_member(n, PUBSUB_KIND_AFFILIATION, ch->list[i].jid);

		owners += ch->list[i].value == PUBSUB_OWNER;
		owners -= was == PUBSUB_OWNER;
	}
	return owners > 0 || !r->ps->on_service;
}

static bool is_of(const char *jid, const char *bare)
{
	const size_t n = strlen(bare);

	return strncmp(jid, bare, n) == 0 && (jid[n] == '\0' || jid[n] == '/');
}

/* §8.7: who may read now need not wait; who is an outcast has no subscription. */
static void settle_subscriptions(struct pubsub_request *r, struct pubsub_node *n, const char *bare, unsigned value)
{
	for (size_t i = n->member_count; i-- > 0;) {
		const struct pubsub_member *m = &n->members[i];
		const char *jid;

		if (m->kind != PUBSUB_KIND_SUBSCRIPTION || !is_of(m->jid, bare))
			continue;
		jid = sterna_printf(r->c, "%s", m->jid);
		if (value == PUBSUB_OUTCAST)
			pubsub_change_subscription(r, n, jid, PUBSUB_UNSUBSCRIBED);
		else if (m->value == PUBSUB_PENDING && value != PUBSUB_NONE && value != PUBSUB_PUBLISH_ONLY)
			pubsub_change_subscription(r, n, jid, PUBSUB_SUBSCRIBED);
	}
}

enum sterna_verdict pubsub_affiliations_set(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict v;
	struct pubsub_node *n = pubsub_owned(r, action, &v);
	struct changes ch = { NULL, 0 };
	size_t count = 0, more = 0;

	if (n == NULL)
		return v;
	elem_foreach(e, action)
		count++;
	if (count > r->limits->members)
		return sterna_reject(r->c, STERNA_RESOURCE_CONSTRAINT, "too many members");
	ch.list = sterna_alloc(r->c, (count + 1) * sizeof *ch.list);
	elem_foreach(e, action) {
		v = read_change(r, n, e, &ch);
		if (v != STERNA_NEXT)
			return v;
	}
	for (size_t i = 0; i < ch.count; i++)
		more += ch.list[i].value != 0 && pubsub_member(n, PUBSUB_KIND_AFFILIATION, ch.list[i].jid) == 0;
	if (more > 0 && n->member_count + more > r->limits->members)
		return refuse(r, n, &ch, STERNA_RESOURCE_CONSTRAINT, "the node has too many members");
	if (!keeps_owner(r, n, &ch))
		return refuse(r, n, &ch, STERNA_NOT_ACCEPTABLE, "a node needs an owner");
	for (size_t i = 0; i < ch.count; i++) {
		pubsub_store_member(r, n, PUBSUB_KIND_AFFILIATION, ch.list[i].jid, ch.list[i].value);
		settle_subscriptions(r, n, ch.list[i].jid, ch.list[i].value);
	}
	return sterna_reply(r->c, NULL);
}
