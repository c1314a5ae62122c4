/* XEP-0060 §4.5, for the nodes of a service: whom a node's owners let see their presence, and in which of their groups.
 * It is read for each request that asks: rosters are their accounts', and change without a word to the service. What counts
 * is what is committed. Part of the engine, see pubsub.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"

/* Subscription 2 and 3: from, both. Owners of other servers have no rosters here, so their circles are empty. */
#define OF_OWNERS \
	"SELECT m.node, r.contact, r.groups FROM pubsub_member m JOIN roster r ON r.owner = m.jid" \
	" AND r.subscription >= 2 AND r.removed = 0 WHERE m.owner = $1 AND m.kind = 0 AND m.value = 'owner'"

/* One contact, at all nodes; and all contacts at one node, the one who asks among the first. */
static const struct db_stmt circle_of_contact = {
	.name = "pubsub_circle_of_contact", .params = "tti", .columns = "ttt",
	.sql = OF_OWNERS " AND r.contact = $2 LIMIT $3",
};
static const struct db_stmt circle_of_node = {
	.name = "pubsub_circle_of_node", .params = "ttti", .columns = "ttt",
	.sql = OF_OWNERS " AND m.node = $2 ORDER BY CASE WHEN r.contact = $3 THEN 0 ELSE 1 END, r.contact LIMIT $4",
};

struct entry {
	const char *node, *contact, *groups; /* groups: a JSON array, or NULL */
};
struct pubsub_circle {
	struct entry *list;                  /* sorted by node and contact; one contact may be of several owners */
	size_t count;
	pubsub_circle_fn *then;
	struct pubsub_request *request;
};

bool pubsub_needs_circle(const struct pubsub_node *n)
{
	return n->cfg.access == PUBSUB_PRESENCE || n->cfg.access == PUBSUB_ROSTER;
}

static int order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const int node = strcmp(x->node, y->node);

	return node != 0 ? node : strcmp(x->contact, y->contact);
}

static enum sterna_verdict on_circle(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct pubsub_circle *circle = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	circle->list = sterna_alloc(c, (rows->count + 1) * sizeof *circle->list);
	for (size_t i = 0; i < rows->count; i++) {
		const char *const *row = rows->text + i * rows->columns;

		circle->list[circle->count++] = (struct entry){ sterna_printf(c, "%s", row[0]), sterna_printf(c, "%s", row[1]),
			row[2] != NULL ? sterna_printf(c, "%s", row[2]) : NULL };
	}
	qsort(circle->list, circle->count, sizeof *circle->list, order);
	circle->request->who.circle = circle;
	return circle->then(circle->request);
}

enum sterna_verdict pubsub_with_circle(struct pubsub_request *r, const struct pubsub_node *n, pubsub_circle_fn *then)
{
	struct pubsub_circle *circle = sterna_alloc(r->c, sizeof *circle);
	const int64_t max = r->limits->contacts;

	*circle = (struct pubsub_circle){ .then = then, .request = r };
	sterna_set_data(r->c, circle);
	if (n == NULL)
		return sterna_read(r->c, on_circle, &circle_of_contact, sterna_owner(r->c), r->who.bare, max);
	return sterna_read(r->c, on_circle, &circle_of_node, sterna_owner(r->c), n->name, r->who.bare, max);
}

/* --- who is in it --- */

static bool has_line(const char *lines, const char *text)
{
	const size_t len = strlen(text);

	while (lines != NULL && *lines != '\0') {
		const size_t n = strcspn(lines, "\n");

		if (n == len && memcmp(lines, text, n) == 0)
			return true;
		lines += n + (lines[n] == '\n');
	}
	return false;
}

static bool has_group(const struct pubsub_node *n, const char *groups)
{
	json_t *list = groups != NULL ? json_loads(groups, 0, NULL) : NULL, *g;
	bool found = false;
	size_t i;

	json_array_foreach(list, i, g)
		found = found || (json_is_string(g) && has_line(n->cfg.groups, json_string_value(g)));
	json_decref(list);
	return found;
}

/* The first entry of that node and contact, or what comes behind it. */
static const struct entry *place(const struct pubsub_circle *circle, const struct entry *key)
{
	size_t low = 0, high = circle->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (order(&circle->list[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return circle->list + low;
}

static bool in_circle(const struct pubsub_node *n, const struct pubsub_who *who, bool in_group)
{
	const struct entry key = { n->name, who->bare, NULL };

	if (who->circle == NULL)
		return false;
	for (const struct entry *e = place(who->circle, &key);
		e < who->circle->list + who->circle->count && order(e, &key) == 0; e++)
		if (!in_group || has_group(n, e->groups))
			return true;
	return false;
}

bool pubsub_sees(const struct pubsub_node *n, const struct pubsub_who *who)
{
	return who->sees || in_circle(n, who, false);
}

bool pubsub_is_grouped(const struct pubsub_node *n, const struct pubsub_who *who)
{
	if (in_circle(n, who, true))
		return true;
	if (!who->sees || who->roster_item == NULL)
		return false;
	elem_foreach(g, who->roster_item)
		if (strcmp(g->name, "group") == 0 && has_line(n->cfg.groups, elem_text(g->arena, g)))
			return true;
	return false;
}
