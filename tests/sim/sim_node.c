/* sim_node.c - nodes of a PubSub service: what clients do with them, what they hear, and what must come true. */
#include "tests/sim/sim_node.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim_client.h"

#define SERVICE "pubsub.sim.example"
#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define FIELD(name, value) "<field var='pubsub#" name "'><value>" value "</value></field>"

/* What a stanza asks for, as the ledger has it. */
enum { MAKE = 'm', OWN = 'o', PUBLISH = 'p', SUBSCRIBE = 's', UNSUBSCRIBE = 'u', CONFIGURE = 'f' };

static struct sim_room_stanza *ask(struct sim_client *c, unsigned node, char kind, const char *ns, const char *what)
{
	struct sim_world *w = c->world;
	const unsigned n = w->room_stanza_count;
	struct sim_room_stanza *s = sim_room_put(c, node, "<iq type='set' id='%c%u' to='" SERVICE "'><pubsub xmlns='%s'>%s</pubsub></iq>",
		kind, n, ns, what);

	if (s != NULL)
		s->kind = kind;
	return s;
}

static void make(struct sim_client *c, unsigned node)
{
	char what[300];

	snprintf(what, sizeof what, "<create node='s%u'/><configure><x xmlns='jabber:x:data' type='submit'>" FIELD("max_items", "max")
		FIELD("publish_model", "open") "</x></configure>", node);
	ask(c, node, MAKE, NS_PUBSUB, what);
}

static void own(struct sim_client *c, unsigned node)
{
	struct sim_world *w = c->world;
	const unsigned whom = sim_below(&w->sim, w->client_count);
	struct sim_room_stanza *s;
	char what[200];

	snprintf(what, sizeof what, "<affiliations node='s%u'><affiliation jid='%s' affiliation='owner'/></affiliations>", node,
		w->clients[whom].account);
	s = ask(c, node, OWN, NS_PUBSUB "#owner", what);
	if (s != NULL)
		s->whom = whom;
}

static void subscribe(struct sim_client *c, unsigned node, char kind)
{
	char what[200];

	snprintf(what, sizeof what, "<%s node='s%u' jid='%s'/>", kind == SUBSCRIBE ? "subscribe" : "unsubscribe", node, c->account);
	if (ask(c, node, kind, NS_PUBSUB, what) != NULL)
		c->nodes[node].last_op = c->world->room_stanza_count;
}

static void configure(struct sim_client *c, unsigned node)
{
	char what[300];

	snprintf(what, sizeof what, "<configure node='s%u'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#title'><value>t%u</value>"
		"</field>" FIELD("notify_config", "1") "</x></configure>", node, c->world->room_stanza_count);
	ask(c, node, CONFIGURE, NS_PUBSUB "#owner", what);
}

void sim_node_act(struct sim_client *c)
{
	struct sim_world *w = c->world;
	const unsigned node = sim_below(&w->sim, SIM_NODES);
	char what[120];

	if (c->state != CLIENT_ON)
		return;
	if (!c->nodes[node].exists) {
		make(c, node);
		return;
	}
	switch (sim_below(&w->sim, 10)) {
	case 0: case 1:
		subscribe(c, node, SUBSCRIBE);
		break;
	case 2:
		subscribe(c, node, UNSUBSCRIBE);
		break;
	case 3: case 4:
		own(c, node);
		break;
	case 5:
		configure(c, node);
		break;
	default:
		snprintf(what, sizeof what, "<publish node='s%u'><item id='p%u'><x xmlns='urn:sim'/></item></publish>", node,
			w->room_stanza_count);
		ask(c, node, PUBLISH, NS_PUBSUB, what);
	}
}

/* --- what they hear --- */

static bool has_gone(const struct sim_world *w)
{
	return w->kills > 0 || w->stops > 0;
}

static void on_answer(struct sim_client *c, const struct sterna_elem *e)
{
	const char *id = elem_attr(e, "id"), *type = elem_attr(e, "type");
	const unsigned n = id != NULL && *id != '\0' ? (unsigned)strtoul(id + 1, NULL, 10) : UINT32_MAX;
	struct sim_room_stanza *s = n < c->world->room_stanza_count ? &c->world->room_stanzas[n] : NULL;

	if (s == NULL || s->kind != *id || s->from != c->index || type == NULL)
		return;
	s->done = strcmp(type, "result") == 0;
	if (s->kind != MAKE)
		return;
	const struct sterna_elem *error = elem_child(e, "error", NULL);

	c->nodes[s->room].exists = s->done || (error != NULL && elem_child(error, "conflict", NS_STANZAS) != NULL);
}

static void on_item(struct sim_client *c, unsigned node, const char *id)
{
	const unsigned n = id != NULL && *id == 'p' ? (unsigned)strtoul(id + 1, NULL, 10) : UINT32_MAX;
	struct sim_world *w = c->world;
	struct sim_node_view *v = &c->nodes[node];

	if (n >= w->room_stanza_count || w->room_stanzas[n].kind != PUBLISH || w->room_stanzas[n].room != node) {
		world_fault(w, "client %u hears of an item %s of node %u, that nobody has published", c->index, id != NULL ? id : "", node);
		return;
	}
	const struct sim_room_stanza *op = v->last_op > 0 ? &w->room_stanzas[v->last_op - 1] : NULL;

	if (!has_gone(w) && op != NULL && op->kind == UNSUBSCRIBE && op->done)
		world_fault(w, "client %u has unsubscribed from node %u, and hears of p%u", c->index, node, n);
	if (!has_gone(w) && n + 1 < v->last[w->room_stanzas[n].from])
		world_fault(w, "client %u: p%u comes after p%u of the same publisher", c->index, n, v->last[w->room_stanzas[n].from] - 1);
	if (n + 1 > v->last[w->room_stanzas[n].from])
		v->last[w->room_stanzas[n].from] = n + 1;
}

bool sim_node_stanza(struct sim_client *c, const struct sterna_elem *e)
{
	const char *from = elem_attr(e, "from");
	const struct sterna_elem *event, *items;

	if (from == NULL || strcmp(from, SERVICE) != 0)
		return false;
	if (strcmp(e->name, "iq") == 0)
		on_answer(c, e);
	event = strcmp(e->name, "message") == 0 ? elem_child(e, "event", NS_PUBSUB "#event") : NULL;
	items = event != NULL ? elem_child(event, "items", NULL) : NULL;
	if (items != NULL && elem_attr(items, "node") != NULL && elem_child(e, "delay", "urn:xmpp:delay") == NULL)
		elem_foreach(i, items)
			on_item(c, elem_attr(items, "node")[1] == '1', elem_attr(i, "id"));
	return true;
}

/* --- the end --- */

static bool is_there(struct sim_world *w, const char *sql, const char *first, const char *second)
{
	sqlite3_stmt *q = NULL;
	bool found;

	if (sqlite3_prepare_v2(w->sim.store, sql, -1, &q, NULL) != SQLITE_OK)
		abort();
	sqlite3_bind_text(q, 1, first, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(q, 2, second, -1, SQLITE_TRANSIENT);
	found = sqlite3_step(q) == SQLITE_ROW;
	sqlite3_finalize(q);
	return found;
}

#define MEMBER "SELECT 1 FROM pubsub_member WHERE owner = '" SERVICE "' AND node = $1 AND jid = $2 AND "

static void check(struct sim_world *w, unsigned n)
{
	const struct sim_room_stanza *s = &w->room_stanzas[n];
	const struct sim_client *c = &w->clients[s->from];
	char node[8], item[16];
	bool holds = true;

	snprintf(node, sizeof node, "s%u", s->room);
	snprintf(item, sizeof item, "p%u", n);
	if (s->kind == MAKE)
		holds = is_there(w, "SELECT 1 FROM pubsub_node WHERE owner = '" SERVICE "' AND node = $1", node, NULL);
	else if (s->kind == OWN)
		holds = is_there(w, MEMBER "kind = 0 AND value = 'owner'", node, w->clients[s->whom].account);
	else if (s->kind == PUBLISH)
		holds = is_there(w, "SELECT 1 FROM pubsub_item WHERE owner = '" SERVICE "' AND node = $1 AND id = $2", node, item);
	else if (n + 1 == c->nodes[s->room].last_op)
		holds = is_there(w, MEMBER "kind = 1 AND value = 'subscribed'", node, c->account) == (s->kind == SUBSCRIBE);
	if (!holds)
		world_fault(w, "client %u has a result for %c%u of node %u, and the database knows nothing of it", s->from, s->kind, n,
			s->room);
}

void sim_node_check(struct sim_world *w)
{
	for (unsigned n = 0; n < w->room_stanza_count; n++)
		if (w->room_stanzas[n].done)
			check(w, n);
}
