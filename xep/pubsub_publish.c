/* XEP-0060 §7, §8.1, §8.4, §8.5: create, publish, retract, purge, delete. Part of the engine, see pubsub.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

enum { MAX_NAME = 1023, MAX_BATCH = 100 };

static const struct db_stmt put_item = {
	.name = "pubsub_put_item", .params = "tttitt",
	.sql = "INSERT INTO pubsub_item (owner, node, id, seq, publisher, payload) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (owner, node, id) DO UPDATE SET seq = excluded.seq, publisher = excluded.publisher,"
		" payload = excluded.payload",
};
/* All but the newest $3, and those that have expired. */
static const struct db_stmt trim_items = {
	.name = "pubsub_trim_items", .params = "ttii",
	.sql = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2 AND (seq <= $4 OR seq <= (SELECT seq FROM"
		" pubsub_item WHERE owner = $1 AND node = $2 ORDER BY seq DESC LIMIT 1 OFFSET $3))",
};
static const struct db_stmt drop_item = {
	.name = "pubsub_drop_item", .params = "ttt",
	.sql = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2 AND id = $3",
};
static const struct db_stmt drop_items = {
	.name = "pubsub_purge", .params = "tt", .sql = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2",
};
static const struct db_stmt drop_members = {
	.name = "pubsub_drop_node_members", .params = "tt",
	.sql = "DELETE FROM pubsub_member WHERE owner = $1 AND node = $2",
};
static const struct db_stmt drop_node = {
	.name = "pubsub_drop_node", .params = "tt", .sql = "DELETE FROM pubsub_node WHERE owner = $1 AND node = $2",
};
static const struct db_stmt publisher_of = {
	.name = "pubsub_publisher", .params = "ttt", .columns = "t",
	.sql = "SELECT publisher FROM pubsub_item WHERE owner = $1 AND node = $2 AND id = $3",
};

const char *pubsub_item_xml(struct sterna_call *c, const char *id, const char *publisher, const char *payload)
{
	struct buf b = BUF_INIT;
	const char *text;

	buf_addf(&b, "<item xmlns='" NS_PUBSUB_EVENT "' id='");
	xml_escape_attr(&b, id, strlen(id));
	if (publisher != NULL && strcmp(publisher, sterna_owner(c)) != 0) {
		buf_puts(&b, "' publisher='");
		xml_escape_attr(&b, publisher, strlen(publisher));
	}
	buf_puts(&b, "'>");
	if (payload != NULL)
		buf_puts(&b, payload);
	buf_puts(&b, "</item>");
	text = sterna_printf(c, "%s", buf_str(&b));
	buf_release(&b);
	return text;
}

static const char *random_id(struct sterna_call *c)
{
	unsigned char r[10];

	sterna_random(c, r, sizeof r);
	return sterna_printf(c, "%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7],
		r[8], r[9]);
}

static const struct sterna_elem *form_of(const struct sterna_elem *parent)
{
	return parent != NULL ? elem_child(parent, "x", NS_DATA) : NULL;
}

/* --- creating --- */

static bool may_create(struct pubsub_request *r, const char *name, enum sterna_verdict *refused)
{
	struct sterna_call *c = r->c;

	if (!r->may_create)
		*refused = sterna_reject(c, STERNA_FORBIDDEN, "you may not create nodes here"); /* §8.1.1 */
	else if (name[0] == '\0' || strlen(name) > MAX_NAME)
		*refused = sterna_reject(c, STERNA_NOT_ACCEPTABLE, "a node's name has 1 to 1023 bytes");
	else if (r->ps->count >= r->limits->nodes || (r->limits->own_nodes > 0 && !r->who.is_owner
		&& pubsub_owned_count(r->ps, r->who.bare) >= r->limits->own_nodes))
		*refused = pubsub_reject(c, STERNA_RESOURCE_CONSTRAINT, "max-nodes-exceeded");
	else
		return true;
	return false;
}

/* A new node; form may be NULL. On a refusal there is none. */
static struct pubsub_node *make(struct pubsub_request *r, const char *name, const struct sterna_elem *form,
	enum pubsub_result *rc)
{
	struct pubsub_node *n = pubsub_add(r->ps, name);

	n->created_us = sterna_now_us(r->c);
	*rc = form != NULL ? pubsub_config_set(&n->cfg, r->c, form, r->limits) : PUBSUB_OK;
	if (*rc != PUBSUB_OK) {
		pubsub_remove(r->ps, n);
		return NULL;
	}
	pubsub_note_last(n, NULL, 0);
	return n;
}

/* On a service it is its creator's. */
static void store_new(struct pubsub_request *r, struct pubsub_node *n)
{
	pubsub_store_node(r, n);
	if (r->ps->on_service)
		pubsub_store_member(r, n, PUBSUB_KIND_AFFILIATION, r->who.bare, PUBSUB_OWNER);
}

/* §8.1.3: it follows <create/>, and names no node. */
static bool configure_is_well_placed(const struct sterna_elem *create, const struct sterna_elem *configure)
{
	if (configure == NULL)
		return true;
	for (const struct sterna_elem *e = create; e != NULL; e = elem_next(e))
		if (e == configure)
			return elem_attr(configure, "node") == NULL;
	return false;
}

enum sterna_verdict pubsub_create(struct pubsub_request *r, const struct sterna_elem *action)
{
	const struct sterna_elem *configure = elem_child(sterna_payload(r->c), "configure", NULL), *form = form_of(configure);
	const char *asked = elem_attr(action, "node"), *name = asked != NULL ? asked : random_id(r->c);
	enum sterna_verdict refused;
	enum pubsub_result rc;

	if (!configure_is_well_placed(action, configure))
		return sterna_reject(r->c, STERNA_BAD_REQUEST, "configure follows create, and names no node");
	if (r->may_create && pubsub_find(r->ps, name) != NULL)
		return sterna_reject(r->c, STERNA_CONFLICT, "there is a node of this name"); /* §8.1.1 */
	if (!may_create(r, name, &refused))
		return refused;
	struct pubsub_node *n = make(r, name, form, &rc);

	if (n == NULL && rc == PUBSUB_BAD_ACCESS)
		return pubsub_reject(r->c, STERNA_NOT_ACCEPTABLE, "unsupported-access-model");
	if (n == NULL)
		return sterna_reject(r->c, STERNA_NOT_ACCEPTABLE, "the configuration has a field or value that is not known");
	store_new(r, n);
	if (asked != NULL)
		return sterna_reply(r->c, NULL);
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB);

	sterna_attr(sterna_add(answer, "create", NULL), "node", name);
	return sterna_reply(r->c, answer);
}

/* --- publishing --- */

struct publication {
	struct pubsub_request *r;
	const struct sterna_elem *action;
	const char *node;
	bool is_new;
	size_t count;
	struct {
		const char *id, *payload;
		const struct sterna_elem *elem;
		bool named;
	} item[MAX_BATCH];
};

/* One <item/>: §7.1.3.6 says which errors. */
static bool read_item(struct publication *p, const struct pubsub_node *n, const struct sterna_elem *e,
	enum sterna_verdict *refused)
{
	struct sterna_call *c = p->r->c;
	const struct sterna_elem *payload = elem_first(e);
	const char *id = elem_attr(e, "id"), *xml = payload != NULL ? sterna_xml(payload) : NULL;

	*refused = STERNA_NEXT;
	if (payload != NULL && elem_next(payload) != NULL)
		*refused = pubsub_reject(c, STERNA_BAD_REQUEST, "invalid-payload");
	else if (payload == NULL && n->cfg.payloads)
		*refused = pubsub_reject(c, STERNA_BAD_REQUEST, "payload-required");
	else if (!n->cfg.payloads && !n->cfg.persist)
		*refused = pubsub_reject(c, STERNA_BAD_REQUEST, "item-forbidden");
	else if (xml != NULL && strlen(xml) > pubsub_max_payload(n, p->r->limits))
		*refused = pubsub_reject(c, STERNA_NOT_ACCEPTABLE, "payload-too-big");
	else if (id != NULL && strlen(id) > MAX_NAME)
		*refused = sterna_reject(c, STERNA_NOT_ACCEPTABLE, "an item's id has at most 1023 bytes");
	if (*refused != STERNA_NEXT)
		return false;
	p->item[p->count].named = id != NULL && id[0] != '\0';
	p->item[p->count].id = p->item[p->count].named ? id : random_id(c);
	p->item[p->count].elem = payload;
	p->item[p->count++].payload = xml;
	return true;
}

static bool read_items(struct publication *p, const struct pubsub_node *n, enum sterna_verdict *refused)
{
	const unsigned max = n->cfg.persist ? pubsub_max_items(n, p->r->limits) : MAX_BATCH;

	elem_foreach(e, p->action) {
		if (!elem_is(e, "item", NS_PUBSUB))
			continue;
		if (p->count >= max || p->count >= MAX_BATCH) { /* §7.1.4: so that none is lost at once */
			*refused = pubsub_reject(p->r->c, STERNA_NOT_ALLOWED, "max-items-exceeded");
			return false;
		}
		if (!read_item(p, n, e, refused))
			return false;
	}
	if (p->count == 0 && (n->cfg.persist || n->cfg.payloads)) {
		*refused = pubsub_reject(p->r->c, STERNA_BAD_REQUEST, n->cfg.persist ? "item-required" : "payload-required");
		return false;
	}
	return true;
}

static void tell_change(struct pubsub_request *r, const struct pubsub_node *n, const char *id, bool published,
	const struct sterna_elem *payload)
{
	if (r->changed != NULL)
		r->changed(r->c, n, id, published, payload);
}

static void notify_items(struct publication *p, struct pubsub_node *n)
{
	struct sterna_call *c = p->r->c;
	struct sterna_elem *event = sterna_elem(c, "event", NS_PUBSUB_EVENT), *items = sterna_add(event, "items", NULL);

	sterna_attr(items, "node", n->name);
	for (size_t i = 0; i < p->count; i++) {
		const char *xml = pubsub_item_xml(c, p->item[i].id, p->r->who.bare,
			n->cfg.payloads ? p->item[i].payload : NULL);

		sterna_add_xml(items, xml);
		if (i + 1 == p->count && n->cfg.persist)
			pubsub_note_last(n, xml, n->last_seq);
	}
	if (n->cfg.notifications)
		p->r->notify(p->r, n, event);
}

/* One item over the newest, which is what most nodes of accounts see: there are not more of them than before. */
static bool only_replaces(const struct publication *p, const struct pubsub_node *n)
{
	return p->count == 1 && n->last_id != NULL && strcmp(n->last_id, p->item[0].id) == 0
		&& n->cfg.item_expire == PUBSUB_MAX;
}

static enum sterna_verdict do_publish(struct publication *p, struct pubsub_node *n)
{
	struct pubsub_request *r = p->r;
	struct sterna_elem *answer = sterna_elem(r->c, "pubsub", NS_PUBSUB), *publish = sterna_add(answer, "publish", NULL);
	const char *owner = sterna_owner(r->c);
	const int64_t now = sterna_now_us(r->c);

	sterna_attr(publish, "node", n->name);
	if (p->is_new)
		store_new(r, n);
	for (size_t i = 0; i < p->count; i++) {
		sterna_attr(sterna_add(publish, "item", NULL), "id", p->item[i].id);
		if (n->cfg.persist)
			sterna_write(r->c, &put_item, owner, n->name, p->item[i].id, pubsub_next_seq(n, now), r->who.bare,
				p->item[i].payload);
	}
	if (n->cfg.persist && !only_replaces(p, n))
		sterna_write(r->c, &trim_items, owner, n->name, (int64_t)pubsub_max_items(n, r->limits),
			pubsub_expired_seq(n, now));
	notify_items(p, n);
	if (n->last != NULL && p->count > 0)
		n->last_id = xstrdup(p->item[p->count - 1].id);
	for (size_t i = 0; i < p->count; i++)
		tell_change(r, n, p->item[i].id, true, p->item[i].elem);
	return sterna_reply(r->c, answer);
}

/* Someone else's item is not overwritten: §7.1.3.1. */
static enum sterna_verdict on_publisher(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct publication *p = sterna_data(c);
	struct pubsub_node *n = pubsub_find(p->r->ps, p->node);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (n == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!pubsub_may_publish(n, &p->r->who) || (pubsub_affiliation(n, &p->r->who) != PUBSUB_OWNER
		&& rows->count > 0 && rows->text[0] != NULL && strcmp(rows->text[0], p->r->who.bare) != 0))
		return sterna_reject(c, STERNA_FORBIDDEN, "this item is somebody else's");
	return do_publish(p, n);
}

/* §7.1.5: each field of the options is a precondition; those of a node that is not there yet configure it. */
static struct pubsub_node *node_for(struct pubsub_request *r, const char *name, enum sterna_verdict *refused)
{
	const struct sterna_elem *form = form_of(elem_child(sterna_payload(r->c), "publish-options", NULL));
	const char *form_type = sterna_form_value(form, "FORM_TYPE");
	struct pubsub_node *n = pubsub_find(r->ps, name);
	enum pubsub_result rc = PUBSUB_OK;

	if (form != NULL && (form_type == NULL || strcmp(form_type, NS_PUBSUB_OPTIONS) != 0)) {
		*refused = sterna_reject(r->c, STERNA_BAD_REQUEST, "the form's FORM_TYPE is " NS_PUBSUB_OPTIONS);
		return NULL;
	}
	if (n == NULL) {
		if (r->ps->on_service && !r->may_create) { /* §7.1.3.3 */
			*refused = sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
			return NULL;
		}
		if (!may_create(r, name, refused))
			return NULL;
		n = make(r, name, form, &rc);
	} else if (!pubsub_may_publish(n, &r->who)) {
		*refused = sterna_reject(r->c, STERNA_FORBIDDEN, NULL); /* §7.1.3.1 */
		return NULL;
	} else if (form != NULL) {
		rc = pubsub_config_meets(&n->cfg, r->c, form, r->limits);
	}
	if (rc == PUBSUB_OK)
		return n;
	*refused = pubsub_reject(r->c, STERNA_CONFLICT, "precondition-not-met");
	return NULL;
}

enum sterna_verdict pubsub_publish(struct pubsub_request *r, const struct sterna_elem *action)
{
	struct publication *p = sterna_alloc(r->c, sizeof *p);
	const char *name = elem_attr(action, "node");
	enum sterna_verdict refused;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	*p = (struct publication){ .r = r, .action = action, .node = name, .is_new = pubsub_find(r->ps, name) == NULL };
	struct pubsub_node *n = node_for(r, name, &refused);

	if (n == NULL)
		return refused;
	if (!read_items(p, n, &refused)) {
		if (p->is_new) /* a refusal leaves nothing behind */
			pubsub_remove(r->ps, n);
		return refused;
	}
	if (p->is_new || r->who.is_owner || p->count == 0 || !p->item[0].named || !n->cfg.persist)
		return do_publish(p, n);
	if (p->count > 1)
		return pubsub_reject(r->c, STERNA_NOT_ALLOWED, "max-items-exceeded");
	sterna_set_data(r->c, p);
	return sterna_read(r->c, on_publisher, &publisher_of, sterna_owner(r->c), n->name, p->item[0].id);
}

/* --- retracting: §7.2 --- */

static void notify_retract(struct pubsub_request *r, struct pubsub_node *n, const char *id)
{
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT), *items = sterna_add(event, "items", NULL);

	sterna_attr(items, "node", n->name);
	sterna_attr(sterna_add(items, "retract", NULL), "id", id);
	if (n->cfg.notifications)
		r->notify(r, n, event);
}

static bool is_true(const char *value)
{
	return value != NULL && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

static enum sterna_verdict on_retract(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct publication *p = sterna_data(c);
	struct pubsub_request *r = p->r;
	struct pubsub_node *n = pubsub_find(r->ps, p->node);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (n == NULL || rows->count == 0)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!r->who.is_owner && pubsub_affiliation(n, &r->who) != PUBSUB_OWNER
		&& (rows->text[0] == NULL || strcmp(rows->text[0], r->who.bare) != 0))
		return sterna_reject(c, STERNA_FORBIDDEN, "this item is somebody else's");
	sterna_write(c, &drop_item, sterna_owner(c), n->name, p->item[0].id);
	pubsub_forget_last(n);
	if (is_true(elem_attr(p->action, "notify")) || (elem_attr(p->action, "notify") == NULL && n->cfg.notify_retract))
		notify_retract(r, n, p->item[0].id);
	tell_change(r, n, p->item[0].id, false, NULL);
	return sterna_reply(c, NULL);
}

enum sterna_verdict pubsub_retract(struct pubsub_request *r, const struct sterna_elem *action)
{
	const struct sterna_elem *item = elem_child(action, "item", NULL);
	const char *name = elem_attr(action, "node"), *id = item != NULL ? elem_attr(item, "id") : NULL;
	struct pubsub_node *n = pubsub_find(r->ps, name);
	struct publication *p;

	if (name == NULL)
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "nodeid-required");
	if (n == NULL)
		return sterna_reject(r->c, STERNA_ITEM_NOT_FOUND, NULL);
	if (!pubsub_may_publish(n, &r->who))
		return sterna_reject(r->c, STERNA_FORBIDDEN, NULL);
	if (id == NULL || id[0] == '\0')
		return pubsub_reject(r->c, STERNA_BAD_REQUEST, "item-required");
	if (!n->cfg.persist)
		return pubsub_unsupported(r->c, "persistent-items");
	p = sterna_alloc(r->c, sizeof *p);
	*p = (struct publication){ .r = r, .action = action, .node = name };
	p->item[0].id = id;
	sterna_set_data(r->c, p);
	return sterna_read(r->c, on_retract, &publisher_of, sterna_owner(r->c), name, id);
}

/* --- purge and delete: §8.5, §8.4 --- */

static void notify_node(struct pubsub_request *r, struct pubsub_node *n, const char *what)
{
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT);

	sterna_attr(sterna_add(event, what, NULL), "node", n->name);
	if (n->cfg.notifications)
		r->notify(r, n, event);
}

enum sterna_verdict pubsub_purge(struct pubsub_request *r, const struct sterna_elem *action)
{
	enum sterna_verdict refused;
	struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	if (!n->cfg.persist)
		return pubsub_unsupported(r->c, "persistent-items");
	sterna_write(r->c, &drop_items, sterna_owner(r->c), n->name);
	pubsub_note_last(n, NULL, 0);
	if (n->cfg.notify_retract)
		notify_node(r, n, "purge");
	tell_change(r, n, NULL, false, NULL);
	return sterna_reply(r->c, NULL);
}

/* §8.4.2: also to those who wait; and where it went, if its owner says so. */
static void notify_delete(struct pubsub_request *r, struct pubsub_node *n, const char *redirect)
{
	struct sterna_elem *event = sterna_elem(r->c, "event", NS_PUBSUB_EVENT), *e = sterna_add(event, "delete", NULL);

	sterna_attr(e, "node", n->name);
	if (redirect != NULL)
		sterna_attr(sterna_add(e, "redirect", NULL), "uri", redirect);
	if (!n->cfg.notify_delete || !n->cfg.notifications)
		return;
	r->notify(r, n, event);
	for (size_t i = 0; i < n->member_count; i++)
		if (n->members[i].kind == PUBSUB_KIND_SUBSCRIPTION && n->members[i].value == PUBSUB_PENDING)
			r->tell(r->c, n, n->members[i].jid, event);
}

enum sterna_verdict pubsub_delete(struct pubsub_request *r, const struct sterna_elem *action)
{
	const struct sterna_elem *redirect = elem_child(action, "redirect", NULL);
	enum sterna_verdict refused;
	struct pubsub_node *n = pubsub_owned(r, action, &refused);

	if (n == NULL)
		return refused;
	sterna_write(r->c, &drop_items, sterna_owner(r->c), n->name);
	sterna_write(r->c, &drop_members, sterna_owner(r->c), n->name);
	sterna_write(r->c, &drop_node, sterna_owner(r->c), n->name);
	notify_delete(r, n, redirect != NULL ? elem_attr(redirect, "uri") : NULL);
	tell_change(r, n, NULL, false, NULL);
	pubsub_remove(r->ps, n);
	return sterna_reply(r->c, NULL);
}
