/* XEP-0060 §6.1-6.4, §5.6: subscriptions and their options, for subscribers. One per address: no subscription ids. Part
 * of the engine, see pubsub.h. */
#include <string.h>
#include "xep/pubsub.h"
#include "xep/text.h"

#define NS_OPTIONS NS_PUBSUB "#subscribe_options"

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

struct sterna_elem *pubsub_add_subscription(struct sterna_elem *to, const char *node, const char *jid, unsigned value)
{
	struct sterna_elem *e = sterna_add(to, "subscription", NULL);

	if (node != NULL)
		sterna_attr(e, "node", node);
	sterna_attr(e, "jid", jid);
	sterna_attr(e, "subscription", pubsub_subscription_names[value]);
	return e;
}

/* --- options: §6.3 --- */

/* What is asked for, over *paused. false: an option, or a value, that is not known. */
static bool read_options(const struct sterna_elem *form, bool *paused)
{
	static const struct {
		const char *var, *value;
	} fixed[] = {
		{ "pubsub#digest", "0" }, { "pubsub#digest", "false" }, { "pubsub#include_body", "0" },
		{ "pubsub#include_body", "false" }, { "pubsub#subscription_type", "items" },
		{ "pubsub#subscription_depth", "1" }, { "FORM_TYPE", NS_OPTIONS },
	};

	if (form == NULL || elem_attr(form, "type") == NULL || strcmp(elem_attr(form, "type"), "submit") != 0)
		return false;
	elem_foreach(f, form) {
		const char *var = elem_attr(f, "var"), *value = sterna_child_text(f, "value");
		bool known = value == NULL;

		if (!elem_is(f, "field", NS_DATA) || var == NULL)
			continue;
		for (size_t i = 0; !known && i < sizeof fixed / sizeof *fixed; i++)
			known = strcmp(var, fixed[i].var) == 0 && strcmp(value, fixed[i].value) == 0;
		if (known)
			continue;
		if (strcmp(var, "pubsub#deliver") != 0)
			return false;
		*paused = strcmp(value, "0") == 0 || strcmp(value, "false") == 0;
		if (!*paused && strcmp(value, "1") != 0 && strcmp(value, "true") != 0)
			return false;
	}
	return true;
}

static void add_options(struct sterna_elem *options, const char *type, bool paused)
{
	struct sterna_elem *f = sterna_form_field(sterna_form(options, type, NS_OPTIONS), "pubsub#deliver", "boolean",
		paused ? "0" : "1");

	sterna_attr(f, "label", "Whether notifications are sent");
}

/* The subscription that <options/> is about: §6.3.4. */
static struct pubsub_member *own_subscription(struct pubsub_request *r, const struct sterna_elem *action,
	struct pubsub_node **n, enum sterna_verdict *refused)
{
	const char *name = elem_attr(action, "node"), *jid = own_jid(r, action, refused);
	struct pubsub_member *m = NULL;

	*n = pubsub_find(r->ps, name);
	if (jid == NULL) {
		if (elem_attr(action, "jid") != NULL)
			*refused = sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
		return NULL;
	}
	if (name == NULL)
		*refused = pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	else if (*n == NULL)
		*refused = sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	else {
		m = pubsub_member_find(*n, PUBSUB_KIND_SUBSCRIPTION, jid);
		if (m == NULL)
			*refused = pubsub_reject(r->c, STERNA_UNEXPECTED_REQUEST, "not-subscribed");
	}
	return m;
}

enum sterna_verdict pubsub_options_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB), *options;
	enum sterna_verdict refused = STERNA_REJECT;
	struct pubsub_node *n;
	const struct pubsub_member *m = own_subscription(r, action, &n, &refused);

	if (m == NULL)
		return refused;
	options = sterna_add(answer, "options", NULL);
	sterna_attr(options, "node", n->name);
	sterna_attr(options, "jid", m->jid);
	add_options(options, "form", m->paused);
	return sterna_reply(r->c, answer);
}

enum sterna_verdict pubsub_options_set(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused = STERNA_REJECT;
	struct pubsub_node *n;
	struct pubsub_member *m = own_subscription(r, action, &n, &refused);
	const struct sterna_elem *form = elem_child(action, "x", NS_DATA);
	const char *type = form != NULL ? elem_attr(form, "type") : NULL;
	bool paused;

	if (m == NULL)
		return refused;
	if (type != NULL && strcmp(type, "cancel") == 0)
		return sterna_reply(r->c, NULL);
	paused = m->paused;
	if (!read_options(form, &paused)) /* §6.3.7.2 */
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "invalid-options");
	m->paused = paused;
	pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, sterna_printf(r->c, "%s", m->jid), m->value);
	return sterna_reply(r->c, NULL);
}

/* §6.4: of a node, or of all. */
enum sterna_verdict pubsub_default_options(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB), *e = sterna_add(answer, "default", NULL);
	const char *name = elem_attr(action, "node");

	if (name != NULL) {
		const struct pubsub_node *n = pubsub_find(r->ps, name);

		if (n == NULL || pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
			return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
		sterna_attr(e, "node", name);
	}
	add_options(e, "form", false);
	return sterna_reply(r->c, answer);
}

/* --- subscribing --- */

/* §6.3.8: <options/> beside <subscribe/>. */
static const struct sterna_elem *options_beside(struct pubsub_request *r, bool *paused, enum sterna_verdict *refused)
{
	const struct sterna_elem *options = elem_child(sterna_payload(r->c), "options", NS_PUBSUB);

	*refused = STERNA_NEXT;
	if (options != NULL && (elem_attr(options, "node") != NULL || elem_attr(options, "jid") != NULL))
		*refused = sterna_reject(r->c, STERNA_BAD_REQUEST, "options of a new subscription have no node and no jid");
	else if (options != NULL && !read_options(elem_child(options, "x", NS_DATA), paused))
		*refused = pubsub_reject(r->c, STERNA_BAD_REQUEST, "invalid-options");
	return options;
}

/* May this address subscribe, and how? */
static bool may_subscribe(struct pubsub_request *r, const struct pubsub_node *n, const char *jid, unsigned *value,
	enum sterna_verdict *refused)
{
	const enum pubsub_refusal refusal = pubsub_may_read(n, &r->who);
	const unsigned now = pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid);

	*value = refusal == PUBSUB_NEEDS_SUBSCRIPTION ? PUBSUB_PENDING : PUBSUB_SUBSCRIBED; /* §6.1.4 */
	if (refusal != PUBSUB_ALLOWED && refusal != PUBSUB_NEEDS_SUBSCRIPTION)
		*refused = pubsub_refuse(r->c, refusal);
	else if (now == PUBSUB_PENDING && *value == PUBSUB_PENDING)
		*refused = pubsub_reject(r->c, STERNA_NOT_AUTHORIZED, "pending-subscription"); /* §6.1.3.7 */
	else if (!n->cfg.subscribe)
		*refused = pubsub_unsupported(r->c, "subscribe");
	else if (now == 0 && n->member_count >= r->limits->members)
		*refused = pubsub_reject(r->c, STERNA_POLICY_VIOLATION, "too-many-subscriptions");
	else
		return true;
	return false;
}

static void tell_owner(struct pubsub_request *r, struct pubsub_node *n, const char *jid, void *arg)
{
	r->tell(r->c, n, jid, arg);
}

const struct sterna_elem *pubsub_subscription_event(struct pubsub_request *r, const struct pubsub_node *n, const char *jid,
	unsigned value)
{
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT);

	pubsub_add_subscription(event, n->name, jid, value);
	return event;
}

/* Stored; owners hear of it who want to: pubsub#notify_sub. */
static void store(struct pubsub_request *r, struct pubsub_node *n, const char *jid, unsigned value)
{
	pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, jid, value);
	if (n->cfg.notify_sub && value != PUBSUB_PENDING)
		pubsub_each_owner(r, n, tell_owner, (void *)pubsub_subscription_event(r, n, jid, value));
}

void pubsub_change_subscription(struct pubsub_request *r, struct pubsub_node *n, const char *jid, unsigned value)
{
	store(r, n, jid, value);
	r->tell(r->c, n, jid, pubsub_subscription_event(r, n, jid, value)); /* §8.8.4 */
}

enum sterna_verdict pubsub_subscribe(struct pubsub_request *r, const struct sterna_elem *action)
{
	const char *name = elem_attr(action, "node"), *jid;
	struct pubsub_node *n = pubsub_find(r->ps, name);
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB);
	const struct sterna_elem *options;
	enum sterna_verdict refused = STERNA_REJECT;
	bool paused = false, is_new;
	unsigned value;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	jid = own_jid(r, action, &refused);
	if (jid == NULL)
		return refused;
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!may_subscribe(r, n, jid, &value, &refused))
		return refused;
	options = options_beside(r, &paused, &refused);
	if (refused != STERNA_NEXT)
		return refused;
	pubsub_add_subscription(answer, n->name, jid, value);
	is_new = pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) != value;
	if (is_new)
		store(r, n, jid, value);
	if (options != NULL) {
		pubsub_member_find(n, PUBSUB_KIND_SUBSCRIPTION, jid)->paused = paused;
		pubsub_store_member(r, n, PUBSUB_KIND_SUBSCRIPTION, jid, value);
		add_options(sterna_add(answer, "options", NULL), "result", paused);
	}
	if (value == PUBSUB_PENDING)
		pubsub_ask_owners(r, n, jid);
	if (value != PUBSUB_SUBSCRIBED || !is_new || paused)
		return sterna_reply(r->c, answer);
	return pubsub_reply_and_last(r, n, jid, answer);
}

enum sterna_verdict pubsub_unsubscribe(struct pubsub_request *r, const struct sterna_elem *action)
{
	const char *name = elem_attr(action, "node"), *jid;
	struct pubsub_node *n = pubsub_find(r->ps, name);
	enum sterna_verdict refused = STERNA_REJECT;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	jid = own_jid(r, action, &refused);
	if (jid == NULL) /* §6.2.3.3: here it is forbidden */
		return elem_attr(action, "jid") != NULL ? sterna_reject(r->c, STERNA_FORBIDDEN, NULL) : refused;
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, jid) == 0)
		return pubsub_reject(r->c, STERNA_UNEXPECTED_REQUEST, "not-subscribed");
	store(r, n, jid, PUBSUB_UNSUBSCRIBED);
	return sterna_reply(r->c, NULL);
}

/* --- one's own: §5.6 --- */

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
				pubsub_add_subscription(list, n->name, n->members[k].jid, n->members[k].value);
	}
	return sterna_reply(r->c, answer);
}
