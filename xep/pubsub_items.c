/* XEP-0060 §6.5: items of a node - all, the newest, some by id, by pages (XEP-0059); and the last one, for those who
 * begin to hear. Part of the engine, see pubsub.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"
#include "xep/text.h"

enum { MAX_IDS = 256 };

/* Rows whose payloads together pass $6 bytes are left out, but never the first. */
#define PAGE(name_, order_) { .name = name_, .params = "ttiiiii", .columns = "tttii", \
	.sql = "SELECT id, publisher, payload, seq, (SELECT count(*) FROM pubsub_item WHERE owner = $1 AND node = $2" \
		" AND seq > $7) FROM (SELECT id, publisher, payload, seq," \
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
const struct db_stmt pubsub_last_item = {
	.name = "pubsub_last_item", .params = "tti", .columns = "ttti",
	.sql = "SELECT id, publisher, payload, seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3"
		" ORDER BY seq DESC LIMIT 1",
};

struct page {
	struct pubsub_request *r;
	const char *node;
	bool rsm, backward;
	int64_t low, high, limit, expired, wanted; /* wanted: how many were asked for; 0: all */
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

static void add_set(struct sterna_elem *answer, const struct page *p, const struct sterna_rows *rows, int64_t total)
{
	struct sterna_elem *set = sterna_add(answer, "set", NS_RSM);

	sterna_text(set, "first", rows->text[(p->backward ? rows->count - 1 : 0) * rows->columns]);
	sterna_text(set, "last", rows->text[(p->backward ? 0 : rows->count - 1) * rows->columns]);
	sterna_text(set, "count", sterna_printf(p->r->c, "%lld", (long long)total));
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
	/* §6.5.4: who did not get all that was asked for hears it. By ids there is no fifth column. */
	if (rows->count > 0 && rows->columns > 4) {
		const int64_t total = db_int(rows->db, 0, 4), wanted = p->wanted > 0 && p->wanted < total ? p->wanted : total;

		if (p->rsm || (int64_t)rows->count < wanted)
			add_set(answer, p, rows, total);
	} else if (p->rsm) {
		sterna_text(sterna_add(answer, "set", NS_RSM), "count", "0");
	}
	return sterna_reply(c, answer);
}

static enum sterna_verdict read_page(const struct page *p)
{
	return sterna_read(p->r->c, on_page, p->backward ? &backward : &forward, owner_of(p), p->node, p->low, p->high,
		p->limit, (int64_t)p->r->limits->reply, p->expired);
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
		return pubsub_unsupported(r->c, "persistent-items"); /* §6.5.9.4 */
	*p = (struct page){ .r = r, .node = name, .low = pubsub_expired_seq(n, sterna_now_us(r->c)), .high = INT64_MAX,
		.limit = r->limits->page };
	p->expired = p->low;
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
	if (newest != NULL)
		p->wanted = p->limit;
	if (p->limit > r->limits->page)
		p->limit = r->limits->page;
	return read_page(p);
}

/* --- the last one: §6.1.7 --- */

struct sterna_elem *pubsub_message(struct sterna_call *c, const struct pubsub_node *n, const struct sterna_elem *event)
{
	struct sterna_elem *m = sterna_elem(c, "message", NS_CLIENT);
	unsigned char r[6];

	sterna_random(c, r, sizeof r);
	sterna_attr(m, "from", sterna_owner(c));
	sterna_attr(m, "id", sterna_printf(c, "ps-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5]));
	if (n->cfg.notification == 0)
		sterna_attr(m, "type", "headline");
	sterna_add_copy(m, event);
	return m;
}

void pubsub_send_item(struct sterna_call *c, const struct pubsub_node *n, const char *to, const char *item, int64_t seq)
{
	struct sterna_elem *event = sterna_elem(c, "event", NS_PUBSUB_EVENT), *items = sterna_add(event, "items", NULL), *m;
	char stamp[STERNA_STAMP_LEN];

	if (seq <= pubsub_expired_seq(n, sterna_now_us(c)))
		return;
	sterna_attr(items, "node", n->name);
	sterna_add_xml(items, item);
	m = pubsub_message(c, n, event);
	sterna_attr(sterna_add(m, "delay", "urn:xmpp:delay"), "stamp", sterna_stamp_us(seq, stamp));
	sterna_attr(m, "to", to);
	sterna_send(c, m);
}

struct late {
	struct pubsub_request *r;
	const char *node, *to;
	struct sterna_elem *answer;
	unsigned changes;
};

static enum sterna_verdict on_last(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct late *l = sterna_data(c);
	struct pubsub_node *n = pubsub_find(l->r->ps, l->node);
	const enum sterna_verdict v = sterna_reply(c, l->answer);

	/* What was published since has been notified. */
	if (rc != STERNA_OK || n == NULL || n->changes != l->changes)
		return v;
	if (rows->count == 0) {
		pubsub_note_last(n, NULL, 0);
		return v;
	}
	const char *xml = pubsub_item_xml(c, rows->text[0], rows->text[1], n->cfg.payloads ? rows->text[2] : NULL);

	pubsub_note_last(n, xml, db_int(rows->db, 0, 3));
	if (pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, l->to) == PUBSUB_SUBSCRIBED)
		pubsub_send_item(c, n, l->to, xml, db_int(rows->db, 0, 3));
	return v;
}

enum sterna_verdict pubsub_reply_and_last(struct pubsub_request *r, struct pubsub_node *n, const char *to,
	struct sterna_elem *answer)
{
	enum sterna_verdict v;
	struct late *l;

	if (n->cfg.send_last != PUBSUB_LAST_NEVER && n->cfg.notifications && n->cfg.persist && !n->last_known) {
		l = sterna_alloc(r->c, sizeof *l);
		*l = (struct late){ .r = r, .node = sterna_printf(r->c, "%s", n->name), .to = to, .answer = answer,
			.changes = n->changes };
		sterna_set_data(r->c, l);
		return sterna_read(r->c, on_last, &pubsub_last_item, sterna_owner(r->c), n->name,
			pubsub_expired_seq(n, sterna_now_us(r->c)));
	}
	v = sterna_reply(r->c, answer);
	if (n->cfg.send_last != PUBSUB_LAST_NEVER && n->cfg.notifications && n->last != NULL)
		pubsub_send_item(r->c, n, to, n->last, n->last_item_seq);
	return v;
}
