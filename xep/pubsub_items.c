/* XEP-0060 §6.5: items of a node - all, the newest, some by id, by pages (XEP-0059); and disco#items. Part of the
 * engine, see pubsub.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"
#include "xep/text.h"

enum { MAX_IDS = 256 };

/* Rows whose payloads together pass $6 bytes are left out, but never the first. */
#define PAGE(name_, order_) { .name = name_, .params = "ttiiii", .columns = "ttti", \
	.sql = "SELECT id, publisher, payload, seq FROM (SELECT id, publisher, payload, seq," \
		" sum(coalesce(length(payload), 0) + 64) OVER (ORDER BY seq " order_ ") - coalesce(length(payload), 0) - 64" \
		" AS before FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3 AND seq < $4) AS page" \
		" WHERE before < $6 ORDER BY seq " order_ " LIMIT $5" }
static const struct db_stmt forward = PAGE("pubsub_forward", "ASC");
static const struct db_stmt backward = PAGE("pubsub_backward", "DESC");
static const struct db_stmt by_ids = {
	.name = "pubsub_by_ids", .params = "ttit", .columns = "ttti",
	.pg = "SELECT id, publisher, payload, seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3"
		" AND id IN (SELECT json_array_elements_text(CAST($4 AS json))) ORDER BY seq",
	.sqlite = "SELECT id, publisher, payload, seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3"
		" AND id IN (SELECT value FROM json_each($4)) ORDER BY seq",
};
static const struct db_stmt place_of = {
	.name = "pubsub_place", .params = "ttt", .columns = "i",
	.sql = "SELECT seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND id = $3",
};
static const struct db_stmt count_of = {
	.name = "pubsub_count", .params = "tti", .columns = "i",
	.sql = "SELECT count(*) FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3",
};
static const struct db_stmt names_of = {
	.name = "pubsub_names", .params = "ttii", .columns = "t",
	.sql = "SELECT id FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3 ORDER BY seq DESC LIMIT $4",
};
const struct db_stmt pubsub_last_item = {
	.name = "pubsub_last_item", .params = "tti", .columns = "ttti",
	.sql = "SELECT id, publisher, payload, seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3"
		" ORDER BY seq DESC LIMIT 1",
};

struct page {
	struct pubsub_request *r;
	const char *node;
	bool rsm, backward;
	int64_t low, high, limit;
};

static const char *owner_of(const struct page *p)
{
	return sterna_owner(p->r->c);
}

static struct sterna_elem *begin(const struct page *p, struct sterna_elem **items)
{
	struct sterna_elem *answer = sterna_elem(p->r->c, "pubsub", NS_PUBSUB);

	*items = sterna_add(answer, "items", NULL);
	sterna_attr(*items, "node", p->node);
	return answer;
}

static void add_item(const struct page *p, struct sterna_elem *items, const char *const *row)
{
	struct sterna_elem *item = sterna_add(items, "item", NULL);

	sterna_attr(item, "id", row[0]);
	if (row[1] != NULL && strcmp(row[1], owner_of(p)) != 0)
		sterna_attr(item, "publisher", row[1]);
	if (row[2] != NULL)
		sterna_add_xml(item, row[2]);
}

/* The node may have gone, or be closed to the asker, since the read began. */
static struct pubsub_node *still(const struct page *p)
{
	struct pubsub_node *n = pubsub_find(p->r->ps, p->node);

	return n != NULL && pubsub_may_read(n, &p->r->who) == PUBSUB_ALLOWED ? n : NULL;
}

static enum sterna_verdict on_page(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct page *p = sterna_data(c);
	struct sterna_elem *items, *answer;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (still(p) == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	answer = begin(p, &items);
	for (size_t i = 0; i < rows->count; i++)
		add_item(p, items, rows->text + (p->backward ? rows->count - 1 - i : i) * rows->columns);
	/* §6.5.4: who did not get all hears it. */
	if (rows->count > 0 && p->rsm) {
		struct sterna_elem *set = sterna_add(answer, "set", NS_RSM);

		sterna_text(set, "first", rows->text[(p->backward ? rows->count - 1 : 0) * rows->columns]);
		sterna_text(set, "last", rows->text[(p->backward ? 0 : rows->count - 1) * rows->columns]);
	}
	return sterna_reply(c, answer);
}

static enum sterna_verdict read_page(const struct page *p)
{
	return sterna_read(p->r->c, on_page, p->backward ? &backward : &forward, owner_of(p), p->node, p->low, p->high,
		p->limit, (int64_t)p->r->limits->reply);
}

/* XEP-0059 §2.2: pages begin next to an item that must be there. */
static enum sterna_verdict on_place(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct page *p = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (rows->count == 0)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (p->backward)
		p->high = db_int(rows->db, 0, 0);
	else if (db_int(rows->db, 0, 0) > p->low)
		p->low = db_int(rows->db, 0, 0);
	return read_page(p);
}

static enum sterna_verdict on_count(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct page *p = sterna_data(c);
	struct sterna_elem *items, *answer;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	answer = begin(p, &items);
	sterna_text(sterna_add(answer, "set", NS_RSM), "count", rows->text[0]);
	return sterna_reply(c, answer);
}

static bool read_number(const char *text, int64_t *out)
{
	char *end = NULL;

	if (text == NULL || text[0] < '0' || text[0] > '9' || strlen(text) > 9)
		return false;
	*out = strtol(text, &end, 10);
	return *end == '\0';
}

static enum sterna_verdict read_set(struct page *p, const struct sterna_elem *set)
{
	const char *max = sterna_child_text(set, "max"), *after = sterna_child_text(set, "after"),
		*before = sterna_child_text(set, "before");
	int64_t n;

	if (max != NULL && !read_number(max, &n))
		return sterna_reject(p->r->c, STERNA_BAD_REQUEST, "max is a number");
	if (max != NULL && n < p->limit)
		p->limit = n;
	p->rsm = true;
	p->backward = before != NULL;
	if (p->limit == 0)
		return sterna_read(p->r->c, on_count, &count_of, owner_of(p), p->node, p->low);
	if (after != NULL && before != NULL)
		return sterna_reject(p->r->c, STERNA_BAD_REQUEST, "after or before, not both");
	if (after != NULL && after[0] != '\0')
		return sterna_read(p->r->c, on_place, &place_of, owner_of(p), p->node, after);
	if (before != NULL && before[0] != '\0')
		return sterna_read(p->r->c, on_place, &place_of, owner_of(p), p->node, before);
	return read_page(p);
}

/* The ids as a JSON array; NULL: none, or too many. */
static const char *ids_of(struct sterna_call *c, const struct sterna_elem *action, bool *ok)
{
	json_t *ids = json_array();
	const char *out = NULL;

	elem_foreach(e, action) {
		const char *id = elem_attr(e, "id");

		if (!elem_is(e, "item", NS_PUBSUB))
			continue;
		if (id == NULL || json_array_size(ids) >= MAX_IDS)
			*ok = false;
		else
			json_array_append_new(ids, json_string(id));
	}
	if (*ok && json_array_size(ids) > 0) {
		char *text = json_dumps(ids, JSON_COMPACT);

		out = text != NULL ? sterna_printf(c, "%s", text) : NULL;
		free(text);
	}
	json_decref(ids);
	return out;
}

enum sterna_verdict pubsub_items(struct pubsub_request *r, const struct sterna_elem *action)
{
	const struct sterna_elem *set = elem_child(sterna_payload(r->c), "set", NS_RSM);
	const char *name = elem_attr(action, "node"), *newest = elem_attr(action, "max_items"), *ids;
	const struct pubsub_node *n = pubsub_find(r->ps, name);
	struct page *p = sterna_alloc(r->c, sizeof *p);
	enum pubsub_refusal refusal;
	bool ok = true;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	refusal = pubsub_may_read(n, &r->who);
	if (refusal != PUBSUB_ALLOWED)
		return pubsub_refuse(r->c, refusal);
	if (!n->cfg.persist)
		return pubsub_reject(r->c, STERNA_FEATURE_NOT_IMPLEMENTED, "unsupported"); /* §6.5.9.4 */
	*p = (struct page){ .r = r, .node = name, .low = pubsub_expired_seq(n, sterna_now_us(r->c)), .high = INT64_MAX,
		.limit = r->limits->page };
	sterna_set_data(r->c, p);
	ids = ids_of(r->c, action, &ok);
	if (!ok)
		return sterna_reject(r->c, STERNA_BAD_REQUEST, "an item without id, or too many items");
	if (ids != NULL)
		return sterna_read(r->c, on_page, &by_ids, owner_of(p), name, p->low, ids);
	if (set != NULL)
		return read_set(p, set);
	p->backward = true; /* the newest, if not all fit */
	if (newest != NULL && (!read_number(newest, &p->limit) || p->limit == 0))
		return sterna_reject(r->c, STERNA_BAD_REQUEST, "max_items is a number from 1 on");
	if (p->limit > r->limits->page)
		p->limit = r->limits->page;
	return read_page(p);
}

/* --- service discovery: §5.2-5.5 --- */

static enum sterna_verdict on_names(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct page *p = sterna_data(c);
	struct sterna_elem *query = sterna_elem(c, "query", "http://jabber.org/protocol/disco#items");

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	sterna_attr(query, "node", p->node);
	for (size_t i = 0; i < rows->count; i++) {
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", owner_of(p));
		sterna_attr(item, "name", rows->text[i]);
	}
	return sterna_reply(c, query);
}

enum sterna_verdict pubsub_disco_items(struct pubsub_request *r, const char *node)
{
	struct sterna_elem *query = sterna_elem(r->c, "query", "http://jabber.org/protocol/disco#items");
	const struct pubsub_node *n = pubsub_find(r->ps, node);

	if (node != NULL) {
		struct page *p = sterna_alloc(r->c, sizeof *p);

		if (n == NULL || pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
			return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
		*p = (struct page){ .r = r, .node = node };
		sterna_set_data(r->c, p);
		return sterna_read(r->c, on_names, &names_of, owner_of(p), node,
			pubsub_expired_seq(n, sterna_now_us(r->c)), (int64_t)r->limits->page);
	}
	for (size_t i = 0; i < r->ps->count; i++) {
		n = r->ps->nodes[i];
		if (pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
			continue;
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "jid", sterna_owner(r->c));
		sterna_attr(item, "node", n->name);
		if (n->cfg.title != NULL)
			sterna_attr(item, "name", n->cfg.title);
	}
	return sterna_reply(r->c, query);
}

enum sterna_verdict pubsub_disco_info(struct pubsub_request *r, const char *node)
{
	struct sterna_elem *query = sterna_elem(r->c, "query", "http://jabber.org/protocol/disco#info"), *e;
	const struct pubsub_node *n = pubsub_find(r->ps, node);

	if (n == NULL || pubsub_may_read(n, &r->who) != PUBSUB_ALLOWED)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	sterna_attr(query, "node", node);
	e = sterna_add(query, "identity", NULL);
	sterna_attr(e, "category", "pubsub");
	sterna_attr(e, "type", "leaf");
	sterna_attr(sterna_add(query, "feature", NULL), "var", NS_PUBSUB);
	sterna_attr(sterna_add(query, "feature", NULL), "var", "http://jabber.org/protocol/disco#info");
	pubsub_config_form(&n->cfg, r->c, sterna_form(query, "result", NS_PUBSUB_METADATA), true);
	return sterna_reply(r->c, query);
}
