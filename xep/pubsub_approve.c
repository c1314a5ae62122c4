/* XEP-0060 §8.6-8.8: an owner's subscribers - who waits, who is let in, who goes. Part of the engine, see pubsub.h. */
#include <string.h>
#include "xep/pubsub.h"

#define NS_AUTHORIZATION NS_PUBSUB "#subscribe_authorization"

/* --- asking: §8.6 --- */

struct question {
	const char *jid;
};

static void ask(struct pubsub_request *r, struct pubsub_node *n, const char *owner, void *arg)
{
	const struct question *q = arg;
	struct sterna_elem *m = sterna_elem(r->c, "message", NS_CLIENT), *form;
	unsigned char id[6];

	sterna_random(r->c, id, sizeof id);
	sterna_attr(m, "from", sterna_owner(r->c));
	sterna_attr(m, "to", owner);
	sterna_attr(m, "id", sterna_printf(r->c, "ask-%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3], id[4], id[5]));
	sterna_text(m, "body", sterna_printf(r->c, "%s asks to subscribe to the node %s.", q->jid, n->name));
	form = sterna_form(m, "form", NS_AUTHORIZATION);
	sterna_text(form, "title", "Subscription request");
	sterna_text(form, "instructions", "Shall this address be subscribed to the node?");
	sterna_attr(sterna_form_field(form, "pubsub#node", "text-single", n->name), "label", "Node");
	sterna_attr(sterna_form_field(form, "pubsub#subscriber_jid", "jid-single", q->jid), "label", "Address");
	sterna_attr(sterna_form_field(form, "pubsub#allow", "boolean", "false"), "label", "Let it subscribe");
	sterna_send(r->c, m);
}

void pubsub_ask_owners(struct pubsub_request *r, struct pubsub_node *n, const char *jid)
{
	struct question q = { jid };

	pubsub_each_owner(r, n, ask, &q);
}

/* A decision about someone who waits; who does not wait is not concerned (§8.6: the first answer holds). */
static void decide(struct pubsub_request *r, struct pubsub_node *n, const char *text, bool allow)
{
	struct jid *j = NULL;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
		return;
	if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid_full(j)) == PUBSUB_PENDING)
		pubsub_change_subscription(r, n, sterna_printf(r->c, "%s", jid_full(j)),
			allow ? PUBSUB_SUBSCRIBED : PUBSUB_UNSUBSCRIBED);
	jid_unref(&j);
}

static bool is_true(const char *value)
{
	return value != NULL && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

enum sterna_verdict pubsub_take_approval(struct pubsub_request *r, const struct sterna_elem *message)
{
	const struct sterna_elem *form = elem_child(message, "x", NS_DATA);
	const char *form_type = sterna_form_value(form, "FORM_TYPE"), *type = form != NULL ? elem_attr(form, "type") : NULL;
	struct pubsub_node *n;

	if (form_type == NULL || strcmp(form_type, NS_AUTHORIZATION) != 0 || type == NULL || strcmp(type, "form") == 0)
		return STERNA_NEXT;
	n = pubsub_find(r->ps, sterna_form_value(form, "pubsub#node"));
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (pubsub_affiliation(n, &r->who) != PUBSUB_OWNER)
		return sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	if (strcmp(type, "submit") == 0)
		decide(r, n, sterna_form_value(form, "pubsub#subscriber_jid"), is_true(sterna_form_value(form, "pubsub#allow")));
	return STERNA_DONE; /* cancelled: it goes on waiting */
}

/* --- who waits, of all nodes: §8.7 --- */

static size_t pending_at(const struct pubsub_node *n)
{
	return pubsub_member_count(n, PUBSUB_KIND_SUBSCRIPTION, PUBSUB_PENDING);
}

static struct sterna_elem *command(struct pubsub_request *r, const char *status)
{
	struct sterna_elem *e = sterna_elem(r->c, "command", NS_COMMANDS);
	const char *session = elem_attr(sterna_payload(r->c), "sessionid");

	sterna_attr(e, "node", NS_PUBSUB_PENDING);
	sterna_attr(e, "sessionid", session != NULL ? session : "pending"); /* it has no state */
	sterna_attr(e, "status", status);
	return e;
}

static enum sterna_verdict list_pending(struct pubsub_request *r)
{
	struct sterna_elem *e = command(r, "executing"), *field;
	bool owns = r->who.is_owner;

	field = sterna_form_field(sterna_form(e, "form", NS_AUTHORIZATION), "pubsub#node", "list-single", NULL);
	for (size_t i = 0; i < r->ps->count; i++) {
		const struct pubsub_node *n = r->ps->nodes[i];

		if (pubsub_affiliation(n, &r->who) != PUBSUB_OWNER)
			continue;
		owns = true;
		if (pending_at(n) > 0)
			sterna_text(sterna_add(field, "option", NULL), "value", n->name);
	}
	return owns ? sterna_reply(r->c, e) : sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
}

/* §8.7.4: the questions once more, to the one who asks. */
static enum sterna_verdict repeat_questions(struct pubsub_request *r, const struct sterna_elem *form)
{
	struct pubsub_node *n = pubsub_find(r->ps, sterna_form_value(form, "pubsub#node"));

	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (pubsub_affiliation(n, &r->who) != PUBSUB_OWNER)
		return sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_SUBSCRIPTION && n->members[i].value == PUBSUB_PENDING) {
			struct question q = { n->members[i].jid };

			ask(r, n, r->who.bare, &q);
		}
	return sterna_reply(r->c, command(r, "completed"));
}

enum sterna_verdict pubsub_get_pending(struct pubsub_request *r)
{
	const struct sterna_elem *form = elem_child(sterna_payload(r->c), "x", NS_DATA);
	const char *action = elem_attr(sterna_payload(r->c), "action");

	if (action != NULL && strcmp(action, "cancel") == 0)
		return sterna_reply(r->c, command(r, "canceled"));
	return form != NULL ? repeat_questions(r, form) : list_pending(r);
}

/* --- the list of subscribers: §8.8 --- */

enum sterna_verdict pubsub_subscriptions_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused;
	const struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*list = sterna_add(answer, "subscriptions", NULL);

	sterna_attr(list, "node", n->name);
	/* Who waits is on it on accounts alone: a service has §8.7 for that. */
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_SUBSCRIPTION
			&& (!r->ps->on_service || n->members[i].value == PUBSUB_SUBSCRIBED))
			pubsub_add_subscription(list, NULL, n->members[i].jid, n->members[i].value);
	return sterna_reply(r->c, answer);
}

struct change {
	const char *jid;
	unsigned value;
};

/* §8.8.2.4: all are checked before one is made; so none of those that were asked for has succeeded. */
static enum sterna_verdict refuse(struct pubsub_request *r, const struct pubsub_node *n, const struct change *changes,
	size_t count, const char *text)
{
	struct sterna_elem *payload = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*list = sterna_add(payload, "subscriptions", NULL);

	sterna_attr(list, "node", n->name);
	for (size_t i = 0; i < count; i++)
		pubsub_add_subscription(list, NULL, changes[i].jid,
			pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, changes[i].jid));
	return sterna_reject_elem(r->c, STERNA_NOT_ACCEPTABLE, text, NULL, payload);
}

/* The owner lets those in who wait, or ends subscriptions; nobody is subscribed who has not asked. */
static enum sterna_verdict read_change(struct pubsub_request *r, const struct pubsub_node *n, const struct sterna_elem *e,
	struct change *changes, size_t *count)
{
	const char *text = elem_attr(e, "jid"), *word = elem_attr(e, "subscription");
	struct jid *j = NULL;
	unsigned value = 0;

	if (!elem_is(e, "subscription", NS_PUBSUB_OWNER) || word == NULL)
		return STERNA_NEXT; /* §8.8.2.1: is not changed */
	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
		return sterna_reject(r->c, STERNA_JID_MALFORMED, NULL);
	const char *jid = sterna_printf(r->c, "%s", jid_full(j));
	const bool known = pubsub_name_value(pubsub_subscription_names, word, &value);

	jid_unref(&j);
	changes[(*count)++] = (struct change){ jid, value };
	if (!known)
		return refuse(r, n, changes, *count, "there is no such subscription");
	if (value != 0 && pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == 0)
		return refuse(r, n, changes, *count, "who has not asked is not subscribed");
	return STERNA_NEXT;
}

enum sterna_verdict pubsub_subscriptions_set(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict v;
	struct pubsub_node *n = pubsub_owned(r, action, &v);
	size_t children = 0, count = 0;
	struct change *changes;

	if (n == NULL)
		return v;
	elem_foreach(e, action)
		children++;
	if (children > r->limits->members)
		return sterna_reject(r->c, STERNA_RESOURCE_CONSTRAINT, "too many members");
	changes = sterna_alloc(r->c, (children + 1) * sizeof *changes);
	elem_foreach(e, action) {
		v = read_change(r, n, e, changes, &count);
		if (v != STERNA_NEXT)
			return v;
	}
	for (size_t i = 0; i < count; i++)
		if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, changes[i].jid) != changes[i].value)
			pubsub_change_subscription(r, n, changes[i].jid, changes[i].value);
	return sterna_reply(r->c, NULL);
}
