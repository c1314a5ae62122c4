/* XEP-0060 Publish-Subscribe 1.30.0 as a service of its own domain: nodes that belong to those who made them. The
 * engine is that of pubsub.h.
 *
 * A service is one address, so one worker has its nodes, in memory since the first stanza for it; the lane of that
 * address (module.h: service) makes requests come one by one. */
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_LEFT "urn:sterna:pubsub:left"

enum create { BY_LOCAL, BY_ANYONE, BY_ADMINS };
enum { MAX_SERVICES = 64 };

struct service_config {
	struct sterna_list domains, admins;
	unsigned create;
	unsigned max_nodes, max_nodes_per_user, max_items, max_members, max_contacts, page;
	struct sterna_size max_payload, max_reply;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct service_config, domains, NULL, NULL,
		"domains of the service; without any, pubsub.HOST for each host; taken at start"),
	STERNA_OPT(struct service_config, admins, NULL, NULL, "addresses that may do with any node as its owner may"),
	STERNA_OPT(struct service_config, create, "local", "local|anyone|admins", "who may create nodes: users of this "
		"server, anyone, or admins alone"),
	STERNA_OPT(struct service_config, max_nodes, "10000", "1..1000000", "how many nodes a service may have"),
	STERNA_OPT(struct service_config, max_nodes_per_user, "100", "1..1000000", "how many nodes one address may own"),
	STERNA_OPT(struct service_config, max_items, "1000", "1..100000",
		"how many items a node may hold; what its owner calls max"),
	STERNA_OPT(struct service_config, max_members, "10000", "1..100000",
		"how many subscriptions and affiliations a node may have"),
	STERNA_OPT(struct service_config, max_contacts, "10000", "100..1000000",
		"how many contacts of a node's owners are looked at, for the access models presence and roster"),
	STERNA_OPT(struct service_config, max_payload, "64KiB", "1KiB..4MiB", "the largest payload of an item"),
	STERNA_OPT(struct service_config, page, "200", "10..10000", "how many items or nodes one answer holds at most"),
	STERNA_OPT(struct service_config, max_reply, "1MiB", "64KiB..64MiB",
		"how large the payloads of one answer may be together; the newest are in it"),
	{ 0 }
};

enum { M_NOTIFIED };
static const struct sterna_metric metrics[] = {
	[M_NOTIFIED] = { "sterna_pubsub_notifications_total", "Notifications sent by the PubSub service.", METRIC_COUNTER },
	{ 0 }
};

static const struct sterna_feature service_features[] = {
	{ NS_DISCO_INFO, 0 }, { NS_DISCO_ITEMS, 0 }, { NS_COMMANDS, 0 }, { NS_PUBSUB "#get-pending", 0 },
	PUBSUB_FEATURES(0), { 0 }
};

/* One domain; touched by the worker alone that owns it. */
struct service {
	char *domain;
	struct pubsub ps;
	bool loaded;
};
struct services {
	size_t count;
	struct service list[MAX_SERVICES];
};

static struct service *service_of(struct sterna_call *c)
{
	struct services *all = sterna_mod_data(sterna_mod(c));

	for (size_t i = 0; sterna_host(c) != NULL && i < all->count; i++)
		if (strcmp(all->list[i].domain, sterna_host(c)) == 0)
			return &all->list[i];
	return NULL;
}

/* --- who asks --- */

static bool is_admin(const struct service_config *cfg, const char *bare)
{
	for (size_t i = 0; i < cfg->admins.count; i++)
		if (strcmp(cfg->admins.item[i], bare) == 0)
			return true;
	return false;
}

static bool is_local(struct sterna_call *c, const struct jid *j)
{
	const char *host;

	for (size_t i = 0; (host = sterna_mod_host(sterna_mod(c), i)) != NULL; i++)
		if (strcmp(host, jid_domain(j)) == 0)
			return true;
	return false;
}

static bool may_create(struct sterna_call *c, const struct service_config *cfg, bool admin)
{
	return admin || cfg->create == BY_ANYONE || (cfg->create == BY_LOCAL && is_local(c, sterna_from(c)));
}

/* --- notifications --- */

static void tell(struct sterna_call *c, struct pubsub_node *n, const char *to, const struct sterna_elem *event)
{
	struct sterna_elem *m = pubsub_message(c, n, event);

	sterna_attr(m, "to", to);
	sterna_send(c, m);
	sterna_count(c, M_NOTIFIED, 1);
}

/* A subscriber by its address, as pubsub_may_read() wants it. */
static struct pubsub_who who_is(struct pubsub_request *r, const char *jid)
{
	struct sterna_call *c = r->c;
	const size_t bare = strcspn(jid, "/");

	return (struct pubsub_who){ .bare = jid[bare] == '\0' ? jid : sterna_printf(c, "%.*s", (int)bare, jid),
		.full = jid[bare] == '\0' ? NULL : jid, .circle = r->who.circle };
}

static void notify(struct pubsub_request *r, struct pubsub_node *n, const struct sterna_elem *event)
{
	struct sterna_call *c = r->c;
	struct sterna_elem *m = pubsub_message(c, n, event);

	for (size_t i = 0; i < n->member_count; i++) {
		const struct pubsub_member *sub = &n->members[i];

		if (sub->kind != PUBSUB_KIND_SUBSCRIPTION || sub->value != PUBSUB_SUBSCRIBED || sub->paused)
			continue;
		const struct pubsub_who who = who_is(r, sub->jid);

		if (pubsub_may_read(n, &who) != PUBSUB_ALLOWED)
			continue;
		sterna_attr(m, "to", sub->jid);
		sterna_send(c, m);
		sterna_count(c, M_NOTIFIED, 1);
	}
}

static struct pubsub_request *request(struct sterna_call *c, struct service *s)
{
	const struct service_config *cfg = sterna_config(c);
	struct pubsub_request *r = sterna_alloc(c, sizeof *r);
	struct pubsub_limits *l = sterna_alloc(c, sizeof *l);
	const struct jid *from = sterna_from(c);
	const bool admin = is_admin(cfg, jid_bare(from));

	*l = (struct pubsub_limits){ .nodes = cfg->max_nodes, .own_nodes = cfg->max_nodes_per_user, .items = cfg->max_items,
		.members = cfg->max_members, .page = cfg->page, .payload = cfg->max_payload.bytes,
		.reply = cfg->max_reply.bytes, .contacts = cfg->max_contacts };
	*r = (struct pubsub_request){ .c = c, .ps = &s->ps, .limits = l, .notify = notify, .tell = tell,
		.who = { .bare = jid_bare(from), .full = jid_resource(from) != NULL ? jid_full(from) : NULL, .is_owner = admin },
		.may_create = may_create(c, cfg, admin) };
	return r;
}

/* --- a stanza, when the nodes are in memory --- */

typedef enum sterna_verdict request_fn(struct pubsub_request *r);
struct waiting {
	struct service *service;
	request_fn *fn;
};

static enum sterna_verdict on_loaded(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct waiting *w = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	pubsub_load_rows(&w->service->ps, w->service->domain, rows);
	w->service->loaded = true;
	return w->fn(request(c, w->service));
}

static enum sterna_verdict with_nodes(struct sterna_call *c, request_fn *fn)
{
	struct service *s = service_of(c);
	struct waiting *w;

	/* The service is the domain: another address below it is another worker's. */
	if (s == NULL || jid_local(sterna_to(c)) != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (s->loaded)
		return fn(request(c, s));
	w = sterna_alloc(c, sizeof *w);
	*w = (struct waiting){ s, fn };
	sterna_set_data(c, w);
	return sterna_read(c, on_loaded, &pubsub_load, s->domain);
}

/* The node that a request names, with who would be told of what it does. */
static const struct pubsub_node *named(struct pubsub_request *r, bool *tells)
{
	static const char *const own[] = { "subscribe", "unsubscribe", "options" };
	const struct sterna_elem *action = sterna_child(sterna_payload(r->c));
	const char *node = NULL;

	*tells = strcmp(sterna_type(r->c), "set") == 0;
	for (; action != NULL && node == NULL; action = elem_next(action)) {
		node = elem_attr(action, "node");
		for (size_t i = 0; i < sizeof own / sizeof *own; i++)
			if (strcmp(action->name, own[i]) == 0)
				*tells = false;
	}
	return pubsub_find(r->ps, node);
}

static enum sterna_verdict request_nodes(struct pubsub_request *r)
{
	bool tells;
	const struct pubsub_node *n = named(r, &tells);
	/* A new configuration is told by the access model that it brings. */
	const bool configures = tells && strcmp(sterna_payload(r->c)->ns, NS_PUBSUB_OWNER) == 0;

	if (n == NULL || (!pubsub_needs_circle(n) && !configures))
		return pubsub_answer(r);
	return pubsub_with_circle(r, tells ? n : NULL, pubsub_answer);
}

static enum sterna_verdict on_pubsub(struct sterna_call *c)
{
	return with_nodes(c, request_nodes);
}

/* Of all nodes, or of one: with what their owners' rosters say of who asks. */
static enum sterna_verdict as_contact(struct pubsub_request *r, const char *node, request_fn *fn)
{
	bool needs = false;

	for (size_t i = 0; !needs && i < r->ps->count; i++)
		needs = pubsub_needs_circle(r->ps->nodes[i]) && (node == NULL || strcmp(r->ps->nodes[i]->name, node) == 0);
	return needs ? pubsub_with_circle(r, NULL, fn) : fn(r);
}

static const char *node_of(struct pubsub_request *r)
{
	return elem_attr(sterna_payload(r->c), "node");
}

static enum sterna_verdict items(struct pubsub_request *r)
{
	const char *node = node_of(r);

	if (node != NULL && strcmp(node, NS_COMMANDS) == 0) { /* XEP-0050 §3.2 */
		struct sterna_elem *query = sterna_elem(r->c, "query", NS_DISCO_ITEMS), *e = sterna_add(query, "item", NULL);

		sterna_attr(query, "node", node);
		sterna_attr(e, "jid", sterna_owner(r->c));
		sterna_attr(e, "node", NS_PUBSUB_PENDING);
		sterna_attr(e, "name", "Pending subscriptions");
		return sterna_reply(r->c, query);
	}
	return pubsub_disco_items(r, node);
}

static enum sterna_verdict items_as_contact(struct pubsub_request *r)
{
	return as_contact(r, node_of(r), items);
}

static enum sterna_verdict on_items(struct sterna_call *c)
{
	return with_nodes(c, items_as_contact);
}

static enum sterna_verdict info(struct pubsub_request *r)
{
	return pubsub_disco_info(r, node_of(r));
}

static enum sterna_verdict info_as_contact(struct pubsub_request *r)
{
	return as_contact(r, node_of(r), info);
}

static enum sterna_verdict on_info(struct sterna_call *c)
{
	struct sterna_elem *query, *e;

	if (elem_attr(sterna_payload(c), "node") != NULL)
		return with_nodes(c, info_as_contact);
	if (jid_local(sterna_to(c)) != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	query = sterna_elem(c, "query", NS_DISCO_INFO);
	e = sterna_add(query, "identity", NULL);
	sterna_attr(e, "category", "pubsub");
	sterna_attr(e, "type", "service");
	sterna_attr(e, "name", "Publish-Subscribe");
	for (const struct sterna_feature *f = service_features; f->ns != NULL; f++)
		sterna_attr(sterna_add(query, "feature", NULL), "var", f->ns);
	return sterna_reply(c, query);
}

static enum sterna_verdict on_command(struct sterna_call *c)
{
	const char *node = elem_attr(sterna_payload(c), "node");

	if (node == NULL || strcmp(node, NS_PUBSUB_PENDING) != 0)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	return with_nodes(c, pubsub_get_pending);
}

/* --- presence and messages --- */

static enum sterna_verdict approval(struct pubsub_request *r)
{
	return pubsub_take_approval(r, sterna_stanza(r->c));
}

/* §12.18: a subscriber comes, and tells the service so: what lies at hand of its nodes' last items. */
static enum sterna_verdict arrived(struct pubsub_request *r)
{
	for (size_t i = 0; i < r->ps->count; i++) {
		const struct pubsub_node *n = r->ps->nodes[i];

		if (n->cfg.send_last == PUBSUB_LAST_ON_PRESENCE && n->cfg.notifications && n->last != NULL
			&& pubsub_is_subscribed(n, &r->who) && pubsub_may_read(n, &r->who) == PUBSUB_ALLOWED)
			pubsub_send_item(r->c, n, jid_full(sterna_from(r->c)), n->last, n->last_item_seq);
	}
	return STERNA_DONE;
}

static enum sterna_verdict arrived_as_contact(struct pubsub_request *r)
{
	return as_contact(r, NULL, arrived);
}

static enum sterna_verdict on_other(struct sterna_call *c)
{
	if (sterna_kind(c) == STERNA_MESSAGE && strcmp(sterna_type(c), "error") != 0
		&& elem_child(sterna_stanza(c), "x", NS_DATA) != NULL)
		return with_nodes(c, approval);
	if (sterna_kind(c) == STERNA_PRESENCE && strcmp(sterna_type(c), "available") == 0)
		return jid_local(sterna_to(c)) == NULL ? with_nodes(c, arrived_as_contact) : STERNA_DONE;
	return STERNA_NEXT;
}

/* --- accounts that go --- */

static enum sterna_verdict left(struct pubsub_request *r)
{
	for (size_t i = 0; i < r->ps->count; i++) {
		struct pubsub_node *n = r->ps->nodes[i];

		for (size_t k = n->member_count; k-- > 0;) {
			const struct pubsub_who who = who_is(r, n->members[k].jid);

			if (strcmp(who.bare, r->who.bare) == 0)
				pubsub_store_member(r, n, n->members[k].kind, sterna_printf(r->c, "%s", n->members[k].jid), 0);
		}
	}
	return sterna_reply(r->c, NULL);
}

/* The account itself says so: clients have a resource. */
static enum sterna_verdict on_left(struct sterna_call *c)
{
	if (jid_resource(sterna_from(c)) != NULL || !is_local(c, sterna_from(c)))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	return with_nodes(c, left);
}

/* Who gets the address next must not get the rights with it. */
static void on_deleted(struct sterna_call *c)
{
	const struct services *all = sterna_mod_data(sterna_mod(c));

	for (size_t i = 0; i < all->count; i++) {
		struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

		sterna_attr(iq, "type", "set");
		sterna_attr(iq, "id", "left");
		sterna_attr(iq, "from", sterna_owner(c));
		sterna_attr(iq, "to", all->list[i].domain);
		sterna_add(iq, "left", NS_LEFT);
		sterna_send(c, iq);
	}
}

/* --- life --- */

static bool serve(struct sterna_mod *m, struct services *all, const char *domain)
{
	if (all->count == MAX_SERVICES || sterna_serve(m, domain, "pubsub", "service", "Publish-Subscribe") != STERNA_OK)
		return false;
	all->list[all->count].domain = xstrdup(domain);
	all->list[all->count++].ps.on_service = true;
	return true;
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct service_config *cfg = sterna_mod_config(m);
	struct services *all = xalloc(sizeof *all);
	const char *host;

	sterna_mod_set_data(m, all);
	for (size_t i = 0; i < cfg->domains.count; i++)
		if (!serve(m, all, cfg->domains.item[i]))
			return STERNA_EINVAL;
	for (size_t i = 0; cfg->domains.count == 0 && (host = sterna_mod_host(m, i)) != NULL; i++) {
		char *domain = xasprintf("pubsub.%s", host);
		const bool ok = serve(m, all, domain);

		free(domain);
		if (!ok)
			return STERNA_EINVAL;
	}
	return STERNA_OK;
}

static void unload(struct sterna_mod *m)
{
	struct services *all = sterna_mod_data(m);

	for (size_t i = 0; i < all->count; i++) {
		pubsub_clear(&all->list[i].ps);
		free(all->list[i].domain);
	}
	free(all);
}

STERNA_MODULE(pubsub, .spec = "XEP-0060 1.30.0", .summary = "Publish-Subscribe",
	.needs = (const char *const[]){ "disco", NULL },
	.options = options, .config_size = sizeof(struct service_config), .metrics = metrics,
	.load = load, .unload = unload, .service = on_other,
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_PUBSUB, "pubsub", on_pubsub },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_PUBSUB_OWNER, "pubsub", on_pubsub },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_INFO, "query", on_info },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_ITEMS, "query", on_items },
		{ STERNA_SET, STERNA_SERVICE, NS_COMMANDS, "command", on_command },
		{ STERNA_SET, STERNA_SERVICE, NS_LEFT, "left", on_left }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } });
