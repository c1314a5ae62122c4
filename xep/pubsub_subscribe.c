/* XEP-0060 §6.1, §6.2, §5.6, §5.7, §8.8: subscriptions. One per address: no subscription ids, no options. Part of the
 * engine, see pubsub.h. */
#include <string.h>
#include "xep/pubsub.h"

/* The address that is subscribed: the asker's own, bare or full (§6.1.3.1). NULL: refused. */
static const char *own_jid(struct pubsub_request *r, const struct sterna_elem *action, enum sterna_verdict *refused)
{
	const char *text = elem_attr(action, "jid"), *jid = NULL;
	struct jid *j = NULL;

	if (text == NULL)
		*refused = pubsub_reject(r->c, STERNA_BAD_REQUEST, "jid-required");
	else if (jid_parse(text, strlen(text), &j) != STERNA_OK || strcmp(jid_bare(j), r->who.bare) != 0)
		*refused = pubsub_reject(r->c, STERNA_BAD_REQUEST, "invalid-jid");
	else
		jid = sterna_printf(r->c, "%s", jid_full(j));
	jid_unref(&j);
	return jid;
}

static struct sterna_elem *add_subscription(struct sterna_elem *to, const char *node, const char *jid, unsigned value)
{
	struct sterna_elem *e = sterna_add(to, "subscription", NULL);

	if (node != NULL)
		sterna_attr(e, "node", node);
	sterna_attr(e, "jid", jid);
	sterna_attr(e, "subscription", pubsub_subscription_names[value]);
	return e;
}

/* §6.1.7: the newest item to the new subscriber, if it lies at hand; else it may be asked for. */
static void send_last(struct pubsub_request *r, struct pubsub_node *n, const char *jid)
{
	if (n->cfg.send_last == PUBSUB_LAST_NEVER || !n->cfg.notifications || n->last == NULL
		|| n->last_item_seq <= pubsub_expired_seq(n, sterna_now_us(r->c)))
		return;
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT), *items = sterna_add(event, "items", NULL);

	sterna_attr(items, "node", n->name);
	sterna_add_xml(items, n->last);
	r->tell(r->c, n, jid, event);
}

enum sterna_verdict pubsub_subscribe(struct pubsub_request *r, const struct sterna_elem *action)
{
	const char *name = elem_attr(action, "node"), *jid;
	struct pubsub_node *n = pubsub_find(r->ps, name);
	unsigned value = PUBSUB_SUBSCRIBED;
	enum sterna_verdict refused;
	enum pubsub_refusal refusal;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	jid = own_jid(r, action, &refused);
	if (jid == NULL)
		return refused;
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	refusal = pubsub_may_read(n, &r->who);
	if (refusal == PUBSUB_NEEDS_SUBSCRIPTION)
		value = PUBSUB_PENDING; /* §6.1.4: until the owner lets them */
	else if (refusal != PUBSUB_ALLOWED)
		return pubsub_refuse(r->c, refusal);
	if (!n->cfg.subscribe)
		return pubsub_reject(r->c, STERNA_FEATURE_NOT_IMPLEMENTED, "unsupported");
	if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == 0 && n->member_count >= r->limits->members)
		return pubsub_reject(r->c, STERNA_POLICY_VIOLATION, "too-many-subscriptions");
	pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, jid, value);
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB);

	add_subscription(answer, n->name, jid, value);
	if (value == PUBSUB_SUBSCRIBED)
		send_last(r, n, jid);
	return sterna_reply(r->c, answer);
}

enum sterna_verdict pubsub_unsubscribe(struct pubsub_request *r, const struct sterna_elem *action)
{
	const char *name = elem_attr(action, "node"), *jid;
	struct pubsub_node *n = pubsub_find(r->ps, name);
	enum sterna_verdict refused;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	jid = own_jid(r, action, &refused);
	if (jid == NULL) /* §6.2.3.3: here it is forbidden */
		return elem_attr(action, "jid") != NULL ? sterna_reject(r->c, STERNA_FORBIDDEN, NULL) : refused;
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == 0)
		return pubsub_reject(r->c, STERNA_UNEXPECTED_REQUEST, "not-subscribed");
	pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, jid, PUBSUB_UNSUBSCRIBED);
	return sterna_reply(r->c, NULL);
}

/* --- one's own: §5.6, §5.7 --- */

static bool is_of(const char *jid, const char *bare)
{
	const size_t n = strlen(bare);

	return strncmp(jid, bare, n) == 0 && (jid[n] == '\0' || jid[n] == '/');
}

enum sterna_verdict pubsub_own_subscriptions(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB),
		*list = sterna_add(answer, "subscriptions", NULL);
	const char *only = elem_attr(action, "node");

	if (only != NULL)
		sterna_attr(list, "node", only);
	for (size_t i = 0; i < r->ps->count; i++) {
		const struct pubsub_node *n = r->ps->nodes[i];

		for (size_t k = 0; (only == NULL || strcmp(only, n->name) == 0) && k < n->member_count; k++)
			if (n->members[k].kind == PUBSUB_KIND_SUBSCRIPTION && is_of(n->members[k].jid, r->who.bare))
				add_subscription(list, n->name, n->members[k].jid, n->members[k].value);
	}
	return sterna_reply(r->c, answer);
}

enum sterna_verdict pubsub_own_affiliations(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB), *list = sterna_add(answer, "affiliations", NULL);
	const char *only = elem_attr(action, "node");

	for (size_t i = 0; i < r->ps->count; i++) {
		const struct pubsub_node *n = r->ps->nodes[i];
		const unsigned value = pubsub_affiliation(n, &r->who);

		if (value == PUBSUB_NONE || (only != NULL && strcmp(only, n->name) != 0))
			continue;
		struct sterna_elem *e = sterna_add(list, "affiliation", NULL);

		sterna_attr(e, "node", n->name);
		sterna_attr(e, "affiliation", pubsub_affiliation_names[value]);
	}
	return sterna_reply(r->c, answer);
}

/* --- the owner's: §8.8 --- */

enum sterna_verdict pubsub_subscriptions_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused;
	const struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*list = sterna_add(answer, "subscriptions", NULL);

	sterna_attr(list, "node", n->name);
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_SUBSCRIPTION)
			add_subscription(list, NULL, n->members[i].jid, n->members[i].value);
	return sterna_reply(r->c, answer);
}

/* The owner lets pending ones in, or ends subscriptions; nobody is subscribed who has not asked. */
static enum sterna_verdict change(struct pubsub_request *r, struct pubsub_node *n, const struct sterna_elem *e, bool apply)
{
	const char *text = elem_attr(e, "jid");
	struct jid *j = NULL;
	unsigned value = 0;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
		return sterna_reject(r->c, STERNA_JID_MALFORMED, NULL);
	const char *jid = sterna_printf(r->c, "%s", jid_full(j));

	jid_unref(&j);
	if (!pubsub_name_value(pubsub_subscription_names, elem_attr(e, "subscription"), &value)
		|| (value != 0 && pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == 0))
		return sterna_reject(r->c, STERNA_NOT_ACCEPTABLE, "who has not asked is not subscribed");
	if (!apply || pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == value)
		return STERNA_NEXT;
	pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, jid, value);
	/* §8.8.4: who it is about hears of it. */
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT);

	add_subscription(event, n->name, jid, value);
	r->tell(r->c, n, jid, event);
	return STERNA_NEXT;
}

enum sterna_verdict pubsub_subscriptions_set(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict v;
	struct pubsub_node *n = pubsub_owned(r, action, &v);

	if (n == NULL)
		return v;
	for (unsigned apply = 0; apply < 2; apply++)
		elem_foreach(e, action) {
			v = change(r, n, e, apply == 1);
			if (v != STERNA_NEXT)
				return v;
		}
	return sterna_reply(r->c, NULL);
}
