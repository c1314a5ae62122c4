/* XEP-0060 §5.2-5.5: what nodes there are, what they are, what is in them - as far as the asker may know. Part of the
 * engine, see pubsub.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"

/* Items from the newest on; $5 has the place of the item after which a page begins. */
static const struct db_stmt names_of = {
	.name = "pubsub_names", .params = "ttiti", .columns = "ti",
	.sql = "SELECT id, (SELECT count(*) FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3) FROM pubsub_item"
		" WHERE owner = $1 AND node = $2 AND seq > $3 AND seq < coalesce((SELECT seq FROM pubsub_item WHERE"
		" owner = $1 AND node = $2 AND id = $4), 9223372036854775807) ORDER BY seq DESC LIMIT $5",
};

struct list {
	struct pubsub_request *r;
	const char *node, *after;
	size_t limit;
	bool rsm;
};

static struct sterna_elem *query_of(const struct list *l)
{
	struct sterna_elem *query = sterna_elem(l->r->c, "query", NS_DISCO_ITEMS);

	if (l->node != NULL)
		sterna_attr(query, "node", l->node);
	return query;
}

/* XEP-0059 §2: forwards, by pages. */
static bool read_list(struct list *l, enum sterna_verdict *refused)
{
	const struct sterna_elem *set = elem_child(sterna_payload(l->r->c), "set", NS_RSM);
	const char *max = set != NULL ? sterna_child_text(set, "max") : NULL;
	char *end = NULL;

	l->limit = l->r->limits->page;
	if (set == NULL)
		return true;
	l->rsm = true;
	l->after = sterna_child_text(set, "after");
	if (sterna_child_text(set, "before") != NULL) {
		*refused = sterna_reject(l->r->c, STERNA_FEATURE_NOT_IMPLEMENTED, "pages go forwards");
		return false;
	}
	if (max != NULL) {
		const unsigned long n = strtoul(max, &end, 10);

		if (max[0] < '0' || max[0] > '9' || strlen(max) > 9 || *end != '\0') {
			*refused = sterna_reject(l->r->c, STERNA_BAD_REQUEST, "max is a number");
			return false;
		}
		if (n < l->limit)
			l->limit = n;
	}
	return true;
}

static void add_set(const struct list *l, struct sterna_elem *query, const char *first, const char *last, size_t total)
{
	struct sterna_elem *set = sterna_add(query, "set", NS_RSM);

	if (first != NULL) {
		sterna_text(set, "first", first);
		sterna_text(set, "last", last);
	}
	sterna_text(set, "count", sterna_printf(l->r->c, "%zu", total));
}

static enum sterna_verdict on_names(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct list *l = sterna_data(c);
	const struct pubsub_node *n = pubsub_find(l->r->ps, l->node);
	struct sterna_elem *query = query_of(l);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (n == NULL || pubsub_may_read(n, &l->r->who) != PUBSUB_ALLOWED)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	const size_t total = rows->count > 0 ? (size_t)db_int(rows->db, 0, 1) : 0;

	for (size_t i = 0; i < rows->count; i++) {
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", sterna_owner(c));
		sterna_attr(item, "name", rows->text[i * rows->columns]);
	}
	if (l->rsm || rows->count < total)
		add_set(l, query, rows->count > 0 ? rows->text[0] : NULL,
			rows->count > 0 ? rows->text[(rows->count - 1) * rows->columns] : NULL, total);
	return sterna_reply(c, query);
}

/* XEP-0030 §4.1: items of an account are its available resources too, which who may ask knows of. A service has none. */
static void add_resources(struct sterna_call *c, struct sterna_elem *query)
{
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		if (sterna_session_is_available(s))
			sterna_attr(sterna_add(query, "item", NULL), "jid", jid_full(sterna_session_jid(s)));
}

/* Nodes are sorted by name, so a page begins after one that may have gone meanwhile. */
static enum sterna_verdict nodes(const struct list *l)
{
	const struct pubsub *ps = l->r->ps;
	struct sterna_elem *query = query_of(l);
	const char *first = NULL, *last = NULL;
	size_t total = 0, listed = 0;

	for (size_t i = 0; i < ps->count; i++) {
		const struct pubsub_node *n = ps->nodes[i];

		if (pubsub_may_read(n, &l->r->who) != PUBSUB_ALLOWED)
			continue;
		total++;
		if (listed == l->limit || (l->after != NULL && strcmp(n->name, l->after) <= 0))
			continue;
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", sterna_owner(l->r->c));
		sterna_attr(item, "node", n->name);
		if (n->cfg.title != NULL)
			sterna_attr(item, "name", n->cfg.title);
		first = first != NULL ? first : n->name;
		last = n->name;
		listed++;
	}
	if (l->rsm || listed < total)
		add_set(l, query, first, last, total);
	else
		add_resources(l->r->c, query); /* pages are of nodes */
	return sterna_reply(l->r->c, query);
}

enum sterna_verdict pubsub_disco_items(struct pubsub_request *r, const char *node)
{
	struct list *l = sterna_alloc(r->c, sizeof *l);
	const struct pubsub_node *n = pubsub_find(r->ps, node);
	enum sterna_verdict refused;

	*l = (struct list){ .r = r, .node = node };
	if (!read_list(l, &refused))
		return refused;
	if (node == NULL)
		return nodes(l);
	if (n == NULL || pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	sterna_set_data(r->c, l);
	return sterna_read(r->c, on_names, &names_of, sterna_owner(r->c), node, pubsub_expired_seq(n, sterna_now_us(r->c)),
		l->after, (int64_t)l->limit);
}

/* --- one node --- */

static void add_owner(struct pubsub_request *r, struct pubsub_node *n, const char *jid, void *arg)
{
	(void)r, (void)n;
	sterna_text(arg, "value", jid);
}

/* §5.4: what is known of it by itself. */
static void add_facts(struct pubsub_request *r, const struct pubsub_node *n, struct sterna_elem *form)
{
	char stamp[STERNA_STAMP_LEN];

	if (n->created_us > 0)
		sterna_form_field(form, "pubsub#creation_date", "text-single",
			sterna_stamp((time_t)(n->created_us / 1000000), stamp));
	pubsub_each_owner(r, n, add_owner, sterna_form_field(form, "pubsub#owner", "jid-multi", NULL));
	sterna_form_field(form, "pubsub#num_subscribers", "text-single",
		sterna_printf(r->c, "%zu", pubsub_member_count(n, PUBSUB_KIND_SUBSCRIPTION, PUBSUB_SUBSCRIBED)));
}

enum sterna_verdict pubsub_disco_info(struct pubsub_request *r, const char *node)
{
	struct sterna_elem *query = sterna_elem(r->c, "query", NS_DISCO_INFO), *e, *form;
	const struct pubsub_node *n = pubsub_find(r->ps, node);

	if (n == NULL || pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	sterna_attr(query, "node", node);
	e = sterna_add(query, "identity", NULL);
	sterna_attr(e, "category", "pubsub");
	sterna_attr(e, "type", "leaf");
	if (n->cfg.title != NULL)
		sterna_attr(e, "name", n->cfg.title);
	sterna_attr(sterna_add(query, "feature", NULL), "var", NS_PUBSUB);
	sterna_attr(sterna_add(query, "feature", NULL), "var", NS_DISCO_INFO);
	form = sterna_form(query, "result", NS_PUBSUB_METADATA);
	pubsub_config_form(&n->cfg, r->c, form, true);
	add_facts(r, n, form);
	return sterna_reply(r->c, query);
}
