/* pie_nodes.c - nodes of accounts out and in: see pie_nodes.h. The configuration is kept as JSON whose keys are the fields'
 * names without "pubsub#"; what they mean is the module's business. */
#include "server/pie_nodes.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/jid.h"
#include "server/pie.h"

#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define NS_OWNER NS_PUBSUB "#owner"
#define NS_DATA "jabber:x:data"
#define PREFIX "pubsub#"

enum { PAGE = 200, FLUSH = 65536, MAX_NAME = 1023 };
static const char *const kinds[][2] = { { "affiliations", "affiliation" }, { "subscriptions", "subscription" } };

static const struct db_stmt put_node = {
	.name = "pie_put_node", .params = "ttti",
	.sql = "INSERT INTO pubsub_node (owner, node, config, created) VALUES ($1, $2, $3, $4)"
	       " ON CONFLICT (owner, node) DO UPDATE SET config = excluded.config",
};
static const struct db_stmt put_member = {
	.name = "pie_put_member", .params = "ttitt",
	.sql = "INSERT INTO pubsub_member (owner, node, kind, jid, value) VALUES ($1, $2, $3, $4, $5)"
	       " ON CONFLICT (owner, node, kind, jid) DO UPDATE SET value = excluded.value",
};
static const struct db_stmt put_item = {
	.name = "pie_put_item", .params = "tttitt",
	.sql = "INSERT INTO pubsub_item (owner, node, id, seq, publisher, payload) VALUES ($1, $2, $3, $4, $5, $6)"
	       " ON CONFLICT (owner, node, id) DO UPDATE SET seq = excluded.seq, publisher = excluded.publisher,"
	       " payload = excluded.payload",
};
static const struct db_stmt select_nodes = {
	.name = "pie_nodes", .params = "t", .columns = "tt",
	.sql = "SELECT node, config FROM pubsub_node WHERE owner = $1 ORDER BY node",
};
static const struct db_stmt select_members = {
	.name = "pie_members", .params = "tti", .columns = "tt",
	.sql = "SELECT jid, value FROM pubsub_member WHERE owner = $1 AND node = $2 AND kind = $3 ORDER BY jid",
};
static const struct db_stmt select_items = {
	.name = "pie_items", .params = "ttii", .columns = "ttti",
	.sql = "SELECT id, publisher, payload, seq FROM pubsub_item WHERE owner = $1 AND node = $2 AND seq > $3 ORDER BY seq"
	       " LIMIT $4",
};

/* --- in --- */

static char *joined_values(struct arena *a, const struct sterna_elem *field)
{
	struct buf b = BUF_INIT;
	char *text;

	elem_foreach(v, field)
		if (elem_is(v, "value", NS_DATA)) {
			if (buf_len(&b) > 0)
				buf_putc(&b, '\n');
			buf_puts(&b, elem_text(a, v));
		}
	text = arena_strndup(a, buf_data(&b), buf_len(&b));
	buf_release(&b);
	return text;
}

static const char *config_of(struct arena *a, const struct sterna_elem *configure)
{
	const struct sterna_elem *form = elem_child(configure, "x", NS_DATA);
	json_t *o = json_object();
	char *text;
	const char *out;

	for (const struct sterna_elem *f = form != NULL ? elem_first(form) : NULL; f != NULL; f = elem_next(f)) {
		const char *var = elem_attr(f, "var");

		if (elem_is(f, "field", NS_DATA) && var != NULL && strncmp(var, PREFIX, sizeof PREFIX - 1) == 0
			&& elem_child(f, "value", NULL) != NULL)
			json_object_set_new(o, var + sizeof PREFIX - 1, json_string(joined_values(a, f)));
	}
	text = json_dumps(o, JSON_COMPACT);
	out = text != NULL ? arena_strndup(a, text, strlen(text)) : "{}";
	free(text);
	json_decref(o);
	return out;
}

static void members(struct pie_nodes *n, const struct sterna_elem *list, int64_t kind, const char *node)
{
	elem_foreach(e, list) {
		const char *text = elem_attr(e, "jid"), *value = elem_attr(e, kinds[kind][1]);
		struct jid *j = NULL;

		if (!elem_is(e, kinds[kind][1], NS_OWNER))
			continue;
		if (text == NULL || value == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK) {
			n->left_out(n->arg, "a node's member without a valid address");
			continue;
		}
		/* The account owns its nodes without being told so. */
		if (kind == 1 || strcmp(jid_bare(j), n->owner) != 0)
			n->put(n->arg, &put_member, (struct db_value[]){ DB_NULL, db_text(node), DB_INT(kind),
				db_text(kind == 0 ? jid_bare(j) : jid_full(j)), db_text(value) });
		jid_unref(&j);
	}
}

static void items(struct pie_nodes *n, const struct sterna_elem *list, const char *node)
{
	elem_foreach(e, list) {
		const char *id = elem_attr(e, "id"), *publisher = elem_attr(e, "publisher");
		struct buf payload = BUF_INIT;

		if (!elem_is(e, "item", NS_PUBSUB))
			continue;
		if (id == NULL || strlen(id) > MAX_NAME) {
			n->left_out(n->arg, "an item of a node without a valid id");
			continue;
		}
		if (elem_first(e) != NULL)
			elem_write(&payload, elem_first(e), NULL);
		n->put(n->arg, &put_item, (struct db_value[]){ DB_NULL, db_text(node), db_text(id),
			DB_INT(n->now_us + (int64_t)n->count), db_text(publisher != NULL ? publisher : n->owner),
			buf_len(&payload) > 0 ? db_text(buf_str(&payload)) : DB_NULL });
		n->count++;
		buf_release(&payload);
	}
}

void pie_nodes_import(struct pie_nodes *n, struct arena *a, const struct sterna_elem *pubsub)
{
	elem_foreach(e, pubsub) {
		const char *node = elem_attr(e, "node");

		if (node == NULL || node[0] == '\0' || strlen(node) > MAX_NAME)
			n->left_out(n->arg, "a node without a valid name");
		else if (elem_is(e, "configure", NS_OWNER))
			n->put(n->arg, &put_node, (struct db_value[]){ DB_NULL, db_text(node), db_text(config_of(a, e)),
				DB_INT(n->now_us) });
		else if (elem_is(e, "affiliations", NS_OWNER))
			members(n, e, 0, node);
		else if (elem_is(e, "subscriptions", NS_OWNER))
			members(n, e, 1, node);
		else if (elem_is(e, "items", NS_PUBSUB))
			items(n, e, node);
		else
			n->left_out(n->arg, "something of a node that is not known");
	}
}

/* --- out --- */

struct out {
	struct users *u;
	const char *owner;
	struct buf *buf;
	void (*drain)(void *arg);
	void *arg;
	char **nodes, **configs;
	size_t count, rows;
	const char *node;                /* whose rows are read */
	int64_t kind, last;
	uint64_t *items;
};

static void attr(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, " %s='", name);
	xml_escape_attr(b, value, strlen(value));
	buf_putc(b, '\'');
}

static void on_nodes(void *arg, const struct db_rows *rows)
{
	struct out *o = arg;

	o->count = db_rows_count(rows);
	o->nodes = xalloc((o->count + 1) * sizeof(char *));
	o->configs = xalloc((o->count + 1) * sizeof(char *));
	for (size_t i = 0; i < o->count; i++) {
		o->nodes[i] = xstrdup(db_str(rows, i, 0, NULL));
		o->configs[i] = xstrdup(db_str(rows, i, 1, NULL));
	}
}

static void add_values(struct buf *b, const json_t *v)
{
	char number[24];
	const char *text = json_string_value(v);

	if (json_is_integer(v)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		text = number;
	} else if (json_is_boolean(v)) {
		text = json_is_true(v) ? "1" : "0";
	}
	while (text != NULL) {
		const size_t n = strcspn(text, "\n");

		buf_puts(b, "<value>");
		xml_escape_text(b, text, n);
		buf_puts(b, "</value>");
		text = text[n] == '\n' ? text + n + 1 : NULL;
	}
}

static void configuration(struct out *o, size_t i)
{
	json_t *config = json_loads(o->configs[i], 0, NULL), *v;
	const char *key;

	buf_puts(o->buf, "<configure");
	attr(o->buf, "node", o->nodes[i]);
	buf_puts(o->buf, "><x xmlns='" NS_DATA "' type='submit'><field var='FORM_TYPE' type='hidden'><value>" NS_PUBSUB
		"#node_config</value></field>");
	json_object_foreach(config, key, v) {
		buf_addf(o->buf, "<field var='" PREFIX "%s'>", key);
		add_values(o->buf, v);
		buf_puts(o->buf, "</field>");
	}
	buf_puts(o->buf, "</x></configure>\n");
	json_decref(config);
}

static void on_members(void *arg, const struct db_rows *rows)
{
	struct out *o = arg;

	if (db_rows_count(rows) == 0)
		return;
	buf_addf(o->buf, "<%s", kinds[o->kind][0]);
	attr(o->buf, "node", o->node);
	buf_puts(o->buf, ">\n");
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		buf_addf(o->buf, "<%s", kinds[o->kind][1]);
		attr(o->buf, "jid", db_str(rows, i, 0, NULL));
		attr(o->buf, kinds[o->kind][1], db_str(rows, i, 1, NULL));
		buf_puts(o->buf, "/>\n");
	}
	buf_addf(o->buf, "</%s>\n", kinds[o->kind][0]);
}

static void on_items(void *arg, const struct db_rows *rows)
{
	struct out *o = arg;

	o->rows = db_rows_count(rows);
	for (size_t i = 0; i < o->rows; i++) {
		const char *publisher = db_str(rows, i, 1, NULL);

		buf_puts(o->buf, "<item");
		attr(o->buf, "id", db_str(rows, i, 0, NULL));
		if (strcmp(publisher, o->owner) != 0)
			attr(o->buf, "publisher", publisher);
		buf_putc(o->buf, '>');
		if (!db_is_null(rows, i, 2))
			buf_puts(o->buf, db_str(rows, i, 2, NULL));
		buf_puts(o->buf, "</item>\n");
		o->last = db_int(rows, i, 3);
		++*o->items;
	}
	if (buf_len(o->buf) > FLUSH)
		o->drain(o->arg);
}

static enum sterna_result write_configs(struct out *o)
{
	enum sterna_result rc = STERNA_OK;

	buf_puts(o->buf, "<pubsub xmlns='" NS_OWNER "'>\n");
	for (size_t i = 0; rc == STERNA_OK && i < o->count; i++) {
		configuration(o, i);
		o->node = o->nodes[i];
		for (o->kind = 0; rc == STERNA_OK && o->kind < 2; o->kind++)
			rc = users_read(o->u, &select_members, (const struct db_value[]){ db_text(o->owner), db_text(o->node),
				DB_INT(o->kind) }, on_members, o);
	}
	buf_puts(o->buf, "</pubsub>\n");
	return rc;
}

static enum sterna_result write_items(struct out *o)
{
	enum sterna_result rc = STERNA_OK;

	buf_puts(o->buf, "<pubsub xmlns='" NS_PUBSUB "'>\n");
	for (size_t i = 0; rc == STERNA_OK && i < o->count; i++) {
		buf_puts(o->buf, "<items");
		attr(o->buf, "node", o->nodes[i]);
		buf_puts(o->buf, ">\n");
		o->last = 0;
		for (o->rows = PAGE; rc == STERNA_OK && o->rows == PAGE;)
			rc = users_read(o->u, &select_items, (const struct db_value[]){ db_text(o->owner), db_text(o->nodes[i]),
				DB_INT(o->last), DB_INT(PAGE) }, on_items, o);
		buf_puts(o->buf, "</items>\n");
	}
	buf_puts(o->buf, "</pubsub>\n");
	return rc;
}

enum sterna_result pie_nodes_export(struct users *u, const char *owner, struct buf *out, void (*drain)(void *arg),
	void *arg, uint64_t *count)
{
	struct out o = { .u = u, .owner = owner, .buf = out, .drain = drain, .arg = arg, .items = count };
	enum sterna_result rc = users_read(u, &select_nodes, (const struct db_value[]){ db_text(owner) }, on_nodes, &o);

	if (rc == STERNA_OK && o.count > 0)
		rc = write_configs(&o);
	if (rc == STERNA_OK && o.count > 0)
		rc = write_items(&o);
	for (size_t i = 0; i < o.count; i++) {
		free(o.nodes[i]);
		free(o.configs[i]);
	}
	free(o.nodes);
	free(o.configs);
	return rc;
}
