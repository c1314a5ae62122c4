/* XEP-0060 §8.2, §8.3: configuration, for a node's owner; and which request is which. Part of the engine, see
 * pubsub.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

static const struct db_stmt put_node = {
	.name = "pubsub_put_node", .params = "ttti",
	.sql = "INSERT INTO pubsub_node (owner, node, config, created) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (owner, node) DO UPDATE SET config = excluded.config",
};
static const struct db_stmt put_member = {
	.name = "pubsub_put_member", .params = "ttittt",
	.sql = "INSERT INTO pubsub_member (owner, node, kind, jid, value, options) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (owner, node, kind, jid) DO UPDATE SET value = excluded.value, options = excluded.options",
};
static const struct db_stmt drop_member = {
	.name = "pubsub_drop_member", .params = "ttit",
	.sql = "DELETE FROM pubsub_member WHERE owner = $1 AND node = $2 AND kind = $3 AND jid = $4",
};

/* --- answers --- */

enum sterna_verdict pubsub_reject(struct sterna_call *c, enum sterna_condition condition, const char *name)
{
	return sterna_reject_with(c, condition, NULL, name, NS_PUBSUB_ERRORS);
}

enum sterna_verdict pubsub_unsupported(struct sterna_call *c, const char *feature)
{
	struct sterna_elem *e = sterna_elem(c, "unsupported", NS_PUBSUB_ERRORS);

	sterna_attr(e, "feature", feature);
	return sterna_reject_elem(c, STERNA_FEATURE_NOT_IMPLEMENTED, NULL, e, NULL);
}

enum sterna_verdict pubsub_refuse(struct sterna_call *c, enum pubsub_refusal why)
{
	switch (why) {
	case PUBSUB_NEEDS_PRESENCE:
		return pubsub_reject(c, STERNA_NOT_AUTHORIZED, "presence-subscription-required");
	case PUBSUB_NEEDS_GROUP:
		return pubsub_reject(c, STERNA_NOT_AUTHORIZED, "not-in-roster-group");
	case PUBSUB_NEEDS_SUBSCRIPTION:
		return pubsub_reject(c, STERNA_NOT_AUTHORIZED, "not-subscribed");
	case PUBSUB_CLOSED:
		return pubsub_reject(c, STERNA_NOT_ALLOWED, "closed-node");
	default:
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	}
}

/* --- storing --- */

void pubsub_store_node(struct pubsub_request *r, const struct pubsub_node *n)
{
	char *json = pubsub_config_json(&n->cfg);

	sterna_write(r->c, &put_node, sterna_owner(r->c), n->name, json, sterna_now_us(r->c));
	free(json);
}

void pubsub_store_member(struct pubsub_request *r, struct pubsub_node *n, unsigned kind, const char *jid, unsigned value)
{
	const char *const *names = kind == PUBSUB_KIND_AFFILIATION ? pubsub_affiliation_names : pubsub_subscription_names;

	const struct pubsub_member *m;

	pubsub_set_member(n, kind, jid, value);
	m = pubsub_member_find(n, kind, jid);
	if (m == NULL)
		sterna_write(r->c, &drop_member, sterna_owner(r->c), n->name, (int64_t)kind, jid);
	else
		sterna_write(r->c, &put_member, sterna_owner(r->c), n->name, (int64_t)kind, jid, names[value],
			m->paused ? "paused" : NULL);
}

struct pubsub_node *pubsub_owned(struct pubsub_request *r, const struct sterna_elem *action, enum sterna_verdict *refused)
{
	const char *name = elem_attr(action, "node");
	struct pubsub_node *n = pubsub_find(r->ps, name);
	const bool is_owner = r->who.is_owner || (n != NULL && pubsub_affiliation(n, &r->who) == PUBSUB_OWNER);

	const bool on_account = !r->ps->on_service;

	if (on_account && !is_owner) /* also where there is no such node: nobody learns of one */
		*refused = sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	else if (name == NULL)
		*refused = pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	else if (n == NULL)
		*refused = sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	else if (!is_owner)
		*refused = sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	else
		return n;
	return NULL;
}

/* --- configuration --- */

enum sterna_verdict pubsub_configure_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused;
	const struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER),
		*configure = sterna_add(answer, "configure", NULL);

	sterna_attr(configure, "node", n->name);
	pubsub_config_form(&n->cfg, r->c, sterna_form(configure, "form", NS_PUBSUB_CONFIG), false);
	return sterna_reply(r->c, answer);
}

enum sterna_verdict pubsub_default_get(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB_OWNER);
	struct pubsub_config cfg;

	(void)action;
	if (!r->may_create)
		return sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	pubsub_config_default(&cfg, r->ps->on_service, NULL);
	pubsub_config_form(&cfg, r->c, sterna_form(sterna_add(answer, "default", NULL), "form", NS_PUBSUB_CONFIG), false);
	return sterna_reply(r->c, answer);
}

static void notify_config(struct pubsub_request *r, struct pubsub_node *n)
{
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT),
		*configuration = sterna_add(event, "configuration", NULL);

	sterna_attr(configuration, "node", n->name);
	if (n->cfg.payloads)
		pubsub_config_form(&n->cfg, r->c, sterna_form(configuration, "result", NS_PUBSUB_CONFIG), true);
	if (n->cfg.notify_config && n->cfg.notifications)
		r->notify(r, n, event);
}

static const struct db_stmt trim = {
	.name = "pubsub_trim_node", .params = "tti",
	.sql = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq <= (SELECT seq FROM pubsub_item"
		" WHERE owner = $1 AND node = $2 ORDER BY seq DESC LIMIT 1 OFFSET $3)",
};

enum sterna_verdict pubsub_configure_set(struct pubsub_request *r, const struct sterna_elem *action)
{
	const struct sterna_elem *form = elem_child(action, "x", NS_DATA);
	const char *type = form != NULL ? elem_attr(form, "type") : NULL;
	enum sterna_verdict refused;
	enum pubsub_result rc;
	struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	if (type == NULL || (strcmp(type, "submit") != 0 && strcmp(type, "cancel") != 0))
		return sterna_reject(r->c, STERNA_BAD_REQUEST, "a form of type submit is needed");
	if (strcmp(type, "cancel") == 0)
		return sterna_reply(r->c, NULL); /* §8.2.4 */
	rc = pubsub_config_set(&n->cfg, r->c, form, r->limits);
	if (rc == PUBSUB_BAD_ACCESS)
		return pubsub_reject(r->c, STERNA_NOT_ACCEPTABLE, "unsupported-access-model");
	if (rc != PUBSUB_OK)
		return sterna_reject(r->c, STERNA_NOT_ACCEPTABLE, "the form has a field or value that is not known");
	pubsub_store_node(r, n);
	sterna_write(r->c, &trim, sterna_owner(r->c), n->name,
		n->cfg.persist ? (int64_t)pubsub_max_items(n, r->limits) : 0);
	pubsub_forget_last(n);
	notify_config(r, n);
	return sterna_reply(r->c, NULL);
}

/* --- which request --- */

struct row {
	const char *ns;
	bool set;
	const char *name;
	pubsub_fn *fn;
};
static const struct row rows[] = {
	{ NS_PUBSUB, true, "publish", pubsub_publish },
	{ NS_PUBSUB, false, "items", pubsub_items },
	{ NS_PUBSUB, true, "retract", pubsub_retract },
	{ NS_PUBSUB, true, "create", pubsub_create },
	{ NS_PUBSUB, true, "subscribe", pubsub_subscribe },
	{ NS_PUBSUB, true, "unsubscribe", pubsub_unsubscribe },
	{ NS_PUBSUB, false, "subscriptions", pubsub_own_subscriptions },
	{ NS_PUBSUB, false, "affiliations", pubsub_own_affiliations },
	{ NS_PUBSUB, false, "options", pubsub_options_get },
	{ NS_PUBSUB, true, "options", pubsub_options_set },
	{ NS_PUBSUB, false, "default", pubsub_default_options },
	{ NS_PUBSUB_OWNER, false, "configure", pubsub_configure_get },
	{ NS_PUBSUB_OWNER, true, "configure", pubsub_configure_set },
	{ NS_PUBSUB_OWNER, false, "default", pubsub_default_get },
	{ NS_PUBSUB_OWNER, true, "purge", pubsub_purge },
	{ NS_PUBSUB_OWNER, true, "delete", pubsub_delete },
	{ NS_PUBSUB_OWNER, false, "affiliations", pubsub_affiliations_get },
	{ NS_PUBSUB_OWNER, true, "affiliations", pubsub_affiliations_set },
	{ NS_PUBSUB_OWNER, false, "subscriptions", pubsub_subscriptions_get },
	{ NS_PUBSUB_OWNER, true, "subscriptions", pubsub_subscriptions_set },
};

enum sterna_verdict pubsub_answer(struct pubsub_request *r)
{
	const struct sterna_elem *payload = sterna_payload(r->c);
	const bool set = strcmp(sterna_type(r->c), "set") == 0;

	elem_foreach(action, payload)
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			if (rows[i].set == set && strcmp(rows[i].ns, payload->ns) == 0
				&& elem_is(action, rows[i].name, payload->ns))
				return rows[i].fn(r, action);
	if (elem_first(payload) == NULL)
		return sterna_reject(r->c, STERNA_BAD_REQUEST, NULL);
	return pubsub_unsupported(r->c, "collections"); /* what else the XEP has */
}
