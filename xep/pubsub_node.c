/* XEP-0060 §4: nodes in memory - their members, and who may do what. See pubsub.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

enum { MAX_CACHED = 4096 };              /* bytes of a last item that is kept in memory */

const char *const pubsub_affiliation_names[] = { "none", "outcast", "member", "publish-only", "publisher", "owner", NULL };
const char *const pubsub_subscription_names[] = { "none", "pending", "subscribed", NULL };

const struct db_stmt pubsub_load = {
	.name = "pubsub_load", .params = "t", .columns = "ttiittti",
	.sql = "SELECT n.node, n.config, coalesce((SELECT max(i.seq) FROM pubsub_item i WHERE i.owner = n.owner"
		" AND i.node = n.node), 0), m.kind, m.jid, m.value, m.options, n.created FROM pubsub_node n LEFT JOIN"
		" pubsub_member m ON m.owner = n.owner AND m.node = n.node WHERE n.owner = $1"
		" ORDER BY n.node, m.kind, m.jid",
};
/* Where it is, or where it would be inserted. What comes sorted from the database is found at the end at once. */
static size_t node_place(const struct pubsub *ps, const char *name, bool *found)
{
	size_t low = 0, high = ps->count;

	*found = false;
	if (high > 0 && strcmp(ps->nodes[high - 1]->name, name) < 0)
		return high;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = strcmp(ps->nodes[middle]->name, name);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct pubsub_node *pubsub_find(const struct pubsub *ps, const char *name)
{
	bool found = false;
	const size_t at = name != NULL ? node_place(ps, name, &found) : 0;

	return found ? ps->nodes[at] : NULL;
}

struct pubsub_node *pubsub_add(struct pubsub *ps, const char *name)
{
	struct pubsub_node *n = xalloc(sizeof *n);
	bool found;
	const size_t at = node_place(ps, name, &found);

	n->name = xstrdup(name);
	pubsub_config_default(&n->cfg, ps->on_service, name);
	if (ps->count == ps->size) {
		ps->size = ps->size > 0 ? ps->size * 2 : 8;
		ps->nodes = xrealloc(ps->nodes, ps->size * sizeof(struct pubsub_node *));
	}
	memmove(ps->nodes + at + 1, ps->nodes + at, (ps->count - at) * sizeof(struct pubsub_node *));
	ps->nodes[at] = n;
	ps->count++;
	return n;
}

static void node_free(struct pubsub_node *n)
{
	for (size_t i = 0; i < n->member_count; i++)
		free(n->members[i].jid);
	free(n->members);
	pubsub_config_clear(&n->cfg);
	free(n->last);
	free(n->last_id);
	free(n->name);
	free(n);
}

void pubsub_remove(struct pubsub *ps, struct pubsub_node *n)
{
	bool found;
	const size_t at = node_place(ps, n->name, &found);

	if (!found)
		return;
	ps->count--;
	memmove(ps->nodes + at, ps->nodes + at + 1, (ps->count - at) * sizeof(struct pubsub_node *));
	node_free(n);
}

void pubsub_clear(struct pubsub *ps)
{
	for (size_t i = 0; i < ps->count; i++)
		node_free(ps->nodes[i]);
	free(ps->nodes);
	ps->nodes = NULL;
	ps->count = ps->size = 0;
}

/* --- members --- */

static int member_order(const struct pubsub_member *m, unsigned kind, const char *jid)
{
	return m->kind != kind ? (m->kind < kind ? -1 : 1) : strcmp(m->jid, jid);
}

static size_t member_place(const struct pubsub_node *n, unsigned kind, const char *jid, bool *found)
{
	size_t low = 0, high = n->member_count;

	*found = false;
	if (high > 0 && member_order(&n->members[high - 1], kind, jid) < 0)
		return high;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = member_order(&n->members[middle], kind, jid);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct pubsub_member *pubsub_member_find(const struct pubsub_node *n, unsigned kind, const char *jid)
{
	bool found;
	const size_t at = member_place(n, kind, jid, &found);

	return found ? &n->members[at] : NULL;
}

unsigned pubsub_member(const struct pubsub_node *n, unsigned kind, const char *jid)
{
	const struct pubsub_member *m = pubsub_member_find(n, kind, jid);

	return m != NULL ? m->value : 0;
}

void pubsub_set_member(struct pubsub_node *n, unsigned kind, const char *jid, unsigned value)
{
	bool found;
	const size_t at = member_place(n, kind, jid, &found);
	struct pubsub_member *m = n->members != NULL ? n->members + at : NULL;

	if (found && value != 0) {
		m->value = value;
	} else if (found) {
		free(m->jid);
		n->member_count--;
		memmove(m, m + 1, (n->member_count - at) * sizeof *m);
	} else if (value != 0) {
		if (n->members == NULL || n->member_count == n->member_size) {
			n->member_size = n->member_size > 0 ? n->member_size * 2 : 4;
			n->members = xrealloc(n->members, n->member_size * sizeof *n->members);
		}
		m = n->members + at;
		memmove(m + 1, m, (n->member_count - at) * sizeof *m);
		*m = (struct pubsub_member){ .jid = xstrdup(jid), .kind = kind, .value = value };
		n->member_count++;
	}
}

size_t pubsub_member_count(const struct pubsub_node *n, unsigned kind, unsigned value)
{
	size_t count = 0;

	for (size_t i = 0; i < n->member_count; i++)
		count += n->members[i].kind == kind && n->members[i].value == value;
	return count;
}

size_t pubsub_owned_count(const struct pubsub *ps, const char *bare)
{
	size_t count = 0;

	for (size_t i = 0; i < ps->count; i++)
		count += pubsub_member(ps->nodes[i], PUBSUB_KIND_AFFILIATION, bare) == PUBSUB_OWNER;
	return count;
}

bool pubsub_name_value(const char *const *names, const char *name, unsigned *out)
{
	for (unsigned i = 0; name != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0) {
			*out = i;
			return true;
		}
	return false;
}

unsigned pubsub_affiliation(const struct pubsub_node *n, const struct pubsub_who *who)
{
	return who->is_owner ? PUBSUB_OWNER : pubsub_member(n, PUBSUB_KIND_AFFILIATION, who->bare);
}

bool pubsub_is_subscribed(const struct pubsub_node *n, const struct pubsub_who *who)
{
	return pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, who->bare) == PUBSUB_SUBSCRIBED
		|| (who->full != NULL && pubsub_member(n, PUBSUB_KIND_SUBSCRIPTION, who->full) == PUBSUB_SUBSCRIBED);
}

/* --- who may --- */

enum pubsub_refusal pubsub_may_read(const struct pubsub_node *n, const struct pubsub_who *who)
{
	switch (pubsub_affiliation(n, who)) {
	case PUBSUB_OWNER:
	case PUBSUB_PUBLISHER:
	case PUBSUB_MEMBER:
		return PUBSUB_ALLOWED;
	case PUBSUB_NONE:
		break;
	case PUBSUB_PUBLISH_ONLY:
		return PUBSUB_CLOSED;
	default:
		return PUBSUB_IS_OUTCAST;
	}
	switch (n->cfg.access) {
	case PUBSUB_OPEN:
		return PUBSUB_ALLOWED;
	case PUBSUB_PRESENCE:
		return pubsub_sees(n, who) ? PUBSUB_ALLOWED : PUBSUB_NEEDS_PRESENCE;
	case PUBSUB_ROSTER:
		return pubsub_is_grouped(n, who) ? PUBSUB_ALLOWED : PUBSUB_NEEDS_GROUP;
	case PUBSUB_AUTHORIZE:
		return pubsub_is_subscribed(n, who) ? PUBSUB_ALLOWED : PUBSUB_NEEDS_SUBSCRIPTION;
	default:
		return PUBSUB_CLOSED;
	}
}

bool pubsub_may_publish(const struct pubsub_node *n, const struct pubsub_who *who)
{
	const unsigned affiliation = pubsub_affiliation(n, who);

	if (affiliation >= PUBSUB_PUBLISH_ONLY)
		return true;
	if (affiliation == PUBSUB_OUTCAST)
		return false;
	switch (n->cfg.publishers) {
	case PUBSUB_BY_ALL:
		return pubsub_may_read(n, who) == PUBSUB_ALLOWED;
	case PUBSUB_BY_SUBSCRIBERS:
		return pubsub_is_subscribed(n, who) && pubsub_may_read(n, who) == PUBSUB_ALLOWED;
	default:
		return false;
	}
}

/* --- items --- */

int64_t pubsub_next_seq(struct pubsub_node *n, int64_t now_us)
{
	n->last_seq = now_us > n->last_seq ? now_us : n->last_seq + 1;
	return n->last_seq;
}

void pubsub_forget_last(struct pubsub_node *n)
{
	free(n->last);
	n->last = NULL;
	n->last_known = false;
	free(n->last_id);
	n->last_id = NULL;
	n->changes++;
}

void pubsub_note_last(struct pubsub_node *n, const char *item_xml, int64_t seq)
{
	pubsub_forget_last(n);
	if (item_xml != NULL && strlen(item_xml) > MAX_CACHED)
		return;
	n->last = item_xml != NULL ? xstrdup(item_xml) : NULL;
	n->last_item_seq = seq;
	n->last_known = true;
}

unsigned pubsub_max_items(const struct pubsub_node *n, const struct pubsub_limits *l)
{
	return n->cfg.max_items < l->items ? n->cfg.max_items : l->items;
}

uint64_t pubsub_max_payload(const struct pubsub_node *n, const struct pubsub_limits *l)
{
	return n->cfg.max_payload < l->payload ? n->cfg.max_payload : l->payload;
}

int64_t pubsub_expired_seq(const struct pubsub_node *n, int64_t now_us)
{
	return n->cfg.item_expire == PUBSUB_MAX ? 0 : now_us - (int64_t)n->cfg.item_expire * 1000000;
}

/* --- from the database --- */

static struct pubsub_node *load_node(struct pubsub *ps, const char *owner, const char *name, const char *config)
{
	struct pubsub_node *n = pubsub_add(ps, name);

	if (pubsub_config_parse(&n->cfg, config))
		return n;
	log_error("pubsub", "a node's configuration cannot be read; the node is left out", "owner", owner, "node", name);
	pubsub_remove(ps, n);
	return NULL;
}

static void load_member(struct pubsub_node *n, const char *owner, unsigned kind, const char *const *row)
{
	unsigned value = 0;

	if (!pubsub_name_value(kind == PUBSUB_KIND_AFFILIATION ? pubsub_affiliation_names : pubsub_subscription_names,
		row[5], &value)) {
		log_error("pubsub", "a node's member cannot be read", "owner", owner, "node", n->name, "jid", row[4]);
		return;
	}
	pubsub_set_member(n, kind, row[4], value);
	if (value != 0 && row[6] != NULL && strcmp(row[6], "paused") == 0)
		pubsub_member_find(n, kind, row[4])->paused = true;
}

void pubsub_load_rows(struct pubsub *ps, const char *owner, const struct sterna_rows *rows)
{
	struct pubsub_node *n = NULL;
	const char *name = NULL;

	for (size_t i = 0; i < rows->count; i++) {
		const char *const *row = rows->text + i * rows->columns;

		if (row[0] == NULL)
			continue;
		if (name == NULL || strcmp(name, row[0]) != 0) {
			name = row[0];
			n = load_node(ps, owner, name, row[1]);
			if (n != NULL) {
				n->last_seq = db_int(rows->db, i, 2);
				n->created_us = db_int(rows->db, i, 7);
			}
		}
		if (n != NULL && row[3] != NULL && row[4] != NULL)
			load_member(n, owner, (unsigned)db_int(rows->db, i, 3), row);
	}
}
