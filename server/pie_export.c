/* pie_export.c - writes accounts in the format of XEP-0227. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/archive.h"
#include "server/base64.h"
#include "server/datetime.h"
#include "server/pie.h"
#include "server/pie_nodes.h"
#include "server/roster.h"
#include "server/server.h"
#include "server/user_impl.h"
#include "server/xml.h"

#define NS_DELAY "urn:xmpp:delay"
#define NS_MAM "urn:xmpp:mam:2"

enum { PAGE = 200, FLUSH_BYTES = 65536 };

struct export {
	struct users *u;
	const struct pie_options *o;
	struct pie_counts *counts;
	FILE *file;
	struct buf out;
	uint64_t total;
	const char *host;
	/* one account */
	char *jid;
	struct arena *a;
	struct sterna_elem *query;   /* what rows are added to */
	int64_t last_id;
	size_t rows;
	bool failed;
};

static const struct db_stmt count_accounts = {
	.name = "pie_count", .params = "", .columns = "i", .sql = "SELECT count(*) FROM account",
};
static const struct db_stmt select_names = {
	.name = "pie_names", .params = "ti", .columns = "titi",
	.sql = "SELECT jid, state, disabled_reason, created FROM account WHERE jid > $1 ORDER BY jid LIMIT $2",
};
static const struct db_stmt select_one = {
	.name = "pie_one", .params = "t", .columns = "titi",
	.sql = "SELECT jid, state, disabled_reason, created FROM account WHERE jid = $1",
};
static const struct db_stmt select_keys = {
	.name = "pie_keys", .params = "t", .columns = "tbibb",
	.sql = "SELECT mech, salt, iterations, stored_key, server_key FROM credential WHERE jid = $1 ORDER BY mech",
};
static const struct db_stmt select_private = {
	.name = "pie_private", .params = "t", .columns = "t",
	.sql = "SELECT xml FROM private_xml WHERE owner = $1 ORDER BY ns, name",
};
static const struct db_stmt select_vcard = {
	.name = "pie_vcard", .params = "t", .columns = "t", .sql = "SELECT xml FROM vcard WHERE owner = $1",
};
static const struct db_stmt select_blocked = {
	.name = "pie_blocked", .params = "t", .columns = "t",
	.sql = "SELECT jid FROM blocklist WHERE owner = $1 ORDER BY jid",
};
static const struct db_stmt select_prefs = {
	.name = "pie_prefs", .params = "t", .columns = "ttt",
	.sql = "SELECT mode, always, never FROM archive_prefs WHERE owner = $1",
};
static const struct db_stmt select_waiting = {
	.name = "pie_waiting", .params = "tii", .columns = "iti",
	.sql = "SELECT id, stanza, flags FROM archive WHERE owner = $1 AND (flags & 2) <> 0 AND id > $2 "
	       "ORDER BY id LIMIT $3",
};
static const struct db_stmt select_archived = {
	.name = "pie_archived", .params = "tii", .columns = "iti",
	.sql = "SELECT id, stanza, flags FROM archive WHERE owner = $1 AND (flags & 1) <> 0 AND id > $2 "
	       "ORDER BY id LIMIT $3",
};

static void left_out(struct export *x, const char *what)
{
	char text[1200];

	snprintf(text, sizeof text, "%s: %s", x->jid, what);
	x->counts->left_out++;
	if (x->o->left_out != NULL)
		x->o->left_out(x->o->arg, NULL, 0, text);
}

static void drain(struct export *x)
{
	if (buf_len(&x->out) > 0 && fwrite(buf_data(&x->out), 1, buf_len(&x->out), x->file) != buf_len(&x->out))
		x->failed = true;
	buf_release(&x->out);
}

static void drain_now(void *arg)
{
	drain(arg);
}

static void write_elem(struct export *x, const struct sterna_elem *e)
{
	elem_write(&x->out, e, NS_PIE);
	buf_putc(&x->out, '\n');
	if (buf_len(&x->out) > FLUSH_BYTES)
		drain(x);
}

/* Reads, with an arena for what on_rows makes and x->query as its root, which is written if it holds anything. */
static enum sterna_result part(struct export *x, const struct db_stmt *s, struct sterna_elem *(*root)(struct arena *a),
	users_rows_fn *on_rows)
{
	enum sterna_result rc;

	x->a = arena_new(4096);
	x->query = root != NULL ? root(x->a) : NULL;
	rc = users_read(x->u, s, (const struct db_value[]){ db_text(x->jid) }, on_rows, x);
	if (rc == STERNA_OK && x->query != NULL && elem_first(x->query) != NULL)
		write_elem(x, x->query);
	arena_free(&x->a);
	return rc;
}

/* A stored text as an element of x's arena. */
static struct sterna_elem *stored(struct export *x, const struct db_rows *rows, size_t row, size_t column, const char *what)
{
	struct sterna_elem *e = NULL;
	size_t len = 0;
	const char *text = db_str(rows, row, column, &len);

	if (text == NULL || xml_parse(x->a, text, len, &e) != STERNA_OK) {
		left_out(x, what);
		return NULL;
	}
	return e;
}

/* --- keys --- */

static void base64_child(struct export *x, struct sterna_elem *e, const char *name, const struct db_rows *rows,
	size_t row, size_t column)
{
	char text[BASE64_TEXT_LEN(SCRAM_SALT_MAX + SCRAM_KEY_MAX) + 1];
	size_t len = 0;
	const char *bytes = db_str(rows, row, column, &len);

	if (bytes != NULL && base64_encode(bytes, len, text, sizeof text) == STERNA_OK)
		elem_add_text_elem(x->a, e, name, text);
}

static void on_keys(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		struct sterna_elem *e = elem_new(x->a, "scram-credentials", NS_PIE_SCRAM);
		char count[24];

		snprintf(count, sizeof count, "%lld", (long long)db_int(rows, i, 2));
		elem_set_attr(x->a, e, "mechanism", db_str(rows, i, 0, NULL));
		elem_add_text_elem(x->a, e, "iter-count", count);
		base64_child(x, e, "salt", rows, i, 1);
		base64_child(x, e, "server-key", rows, i, 4);
		base64_child(x, e, "stored-key", rows, i, 3);
		write_elem(x, e);
	}
	if (db_rows_count(rows) == 0)
		x->counts->without_password++;
}

/* --- roster --- */

static void on_roster(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;
	struct roster r = { .version = 0 };
	struct map_entry *e;

	map_init(&r.items, 0, 0); /* keys of one account, read once: no one to collide them */
	roster_load(&r, rows);
	for (size_t at = 0; (e = map_next(&r.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;

		if (i->in_roster && !i->removed) {
			roster_write(x->a, x->query, i);
			x->counts->contacts++;
		}
	}
	for (size_t at = 0; (e = map_next(&r.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;
		struct sterna_elem *p = NULL;

		if (!i->pending_in || i->removed)
			continue;
		if (i->request == NULL || xml_parse(x->a, i->request, strlen(i->request), &p) != STERNA_OK) {
			p = elem_new(x->a, "presence", NS_CLIENT);
			elem_set_attr(x->a, p, "type", "subscribe");
		}
		elem_set_attr(x->a, p, "from", i->jid);
		write_elem(x, p);
	}
	roster_clear(&r);
}

static struct sterna_elem *roster_root(struct arena *a)
{
	return elem_new(a, "query", "jabber:iq:roster");
}

/* --- what clients keep --- */

static struct sterna_elem *private_root(struct arena *a)
{
	return elem_new(a, "query", "jabber:iq:private");
}

static void on_private(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		struct sterna_elem *e = stored(x, rows, i, 0, "private XML that cannot be read");

		if (e != NULL) {
			elem_append(x->query, e);
			x->counts->others++;
		}
	}
}

static void on_vcard(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;
	struct sterna_elem *e = db_rows_count(rows) > 0 ? stored(x, rows, 0, 0, "a vCard that cannot be read") : NULL;

	if (e != NULL) {
		write_elem(x, e);
		x->counts->others++;
	}
}

static struct sterna_elem *privacy_root(struct arena *a)
{
	return elem_new(a, "query", "jabber:iq:privacy");
}

/* XEP-0191 §5: the list that is blocked, as the default privacy list. */
static void on_blocked(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;
	const size_t count = db_rows_count(rows);
	struct sterna_elem *list, *item;
	char order[24];

	if (count == 0)
		return;
	elem_set_attr(x->a, elem_add(x->a, x->query, "default", x->query->ns), "name", "blocked");
	list = elem_add(x->a, x->query, "list", x->query->ns);
	elem_set_attr(x->a, list, "name", "blocked");
	for (size_t i = 0; i <= count; i++) {
		item = elem_add(x->a, list, "item", x->query->ns);
		if (i < count) {
			elem_set_attr(x->a, item, "type", "jid");
			elem_set_attr(x->a, item, "value", db_str(rows, i, 0, NULL));
		}
		elem_set_attr(x->a, item, "action", i < count ? "deny" : "allow");
		snprintf(order, sizeof order, "%zu", i + 1);
		elem_set_attr(x->a, item, "order", order);
	}
	x->counts->others += count;
}

static void add_jids(struct arena *a, struct sterna_elem *prefs, const char *name, const char *array)
{
	struct sterna_elem *e = elem_add(a, prefs, name, NS_MAM);
	json_t *list = array != NULL ? json_loads(array, 0, NULL) : NULL, *j;
	size_t i;

	json_array_foreach(list, i, j)
		if (json_is_string(j))
			elem_add_text_elem(a, e, "jid", json_string_value(j));
	json_decref(list);
}

static void on_prefs(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;

	if (db_rows_count(rows) == 0)
		return;
	struct sterna_elem *e = elem_new(x->a, "prefs", NS_MAM);

	elem_set_attr(x->a, e, "default", db_str(rows, 0, 0, NULL));
	add_jids(x->a, e, "always", db_str(rows, 0, 1, NULL));
	add_jids(x->a, e, "never", db_str(rows, 0, 2, NULL));
	write_elem(x, e);
}

/* --- messages, a page at a time --- */

static void add_delay(struct export *x, struct sterna_elem *parent, int64_t id, const char *from)
{
	struct sterna_elem *delay = elem_add(x->a, parent, "delay", NS_DELAY);
	char stamp[DATETIME_SIZE];

	elem_set_attr(x->a, delay, "from", from);
	elem_set_attr(x->a, delay, "stamp", datetime_format_us(id_time_us(id), stamp));
}

static void on_waiting(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;

	x->rows = db_rows_count(rows);
	for (size_t i = 0; i < x->rows; i++) {
		struct sterna_elem *e = stored(x, rows, i, 1, "a waiting message that cannot be read");
		char id[24];

		x->last_id = db_int(rows, i, 0);
		if (e == NULL)
			continue;
		add_delay(x, e, x->last_id, x->host);
		if ((db_int(rows, i, 2) & ARCHIVE_SHOWN) != 0) {
			struct sterna_elem *sid = elem_add(x->a, e, "stanza-id", "urn:xmpp:sid:0");

			snprintf(id, sizeof id, "%lld", (long long)x->last_id);
			elem_set_attr(x->a, sid, "by", x->jid);
			elem_set_attr(x->a, sid, "id", id);
		}
		write_elem(x, e);
		x->counts->waiting++;
	}
}

static void on_archived(void *arg, const struct db_rows *rows)
{
	struct export *x = arg;

	x->rows = db_rows_count(rows);
	for (size_t i = 0; i < x->rows; i++) {
		struct sterna_elem *e = stored(x, rows, i, 1, "an archived message that cannot be read"), *result, *forwarded;
		char id[24];

		x->last_id = db_int(rows, i, 0);
		if (e == NULL)
			continue;
		snprintf(id, sizeof id, "%lld", (long long)x->last_id);
		result = elem_new(x->a, "result", NS_MAM);
		elem_set_attr(x->a, result, "id", id);
		forwarded = elem_add(x->a, result, "forwarded", "urn:xmpp:forward:0");
		add_delay(x, forwarded, x->last_id, NULL);
		elem_append(forwarded, e);
		write_elem(x, result);
		x->counts->messages++;
	}
}

static enum sterna_result pages(struct export *x, const struct db_stmt *s, users_rows_fn *on_rows, const char *open,
	const char *close)
{
	enum sterna_result rc = STERNA_OK;
	bool any = false;

	x->last_id = 0;
	for (x->rows = PAGE; rc == STERNA_OK && x->rows == PAGE;) {
		const size_t before = buf_len(&x->out);

		x->a = arena_new(65536);
		if (!any)
			buf_puts(&x->out, open);
		const size_t head = buf_len(&x->out);
		const uint64_t had = x->counts->messages + x->counts->waiting;

		rc = users_read(x->u, s, (const struct db_value[]){ db_text(x->jid), DB_INT(x->last_id), DB_INT(PAGE) },
			on_rows, x);
		arena_free(&x->a);
		if (any || x->counts->messages + x->counts->waiting > had)
			any = true;
		else if (buf_len(&x->out) == head)
			x->out.len = x->out.start + before; /* nothing there: no empty container */
	}
	if (any)
		buf_puts(&x->out, close);
	return rc;
}

/* --- accounts --- */

static enum sterna_result parts(struct export *x)
{
	enum sterna_result rc = part(x, &select_keys, NULL, on_keys);

	if (rc == STERNA_OK)
		rc = part(x, &roster_select, roster_root, on_roster);
	if (rc == STERNA_OK)
		rc = part(x, &select_private, private_root, on_private);
	if (rc == STERNA_OK)
		rc = part(x, &select_vcard, NULL, on_vcard);
	if (rc == STERNA_OK)
		rc = part(x, &select_blocked, privacy_root, on_blocked);
	if (rc == STERNA_OK)
		rc = part(x, &select_prefs, NULL, on_prefs);
	if (rc == STERNA_OK)
		rc = pie_nodes_export(x->u, x->jid, &x->out, drain_now, x, &x->counts->others);
	if (rc == STERNA_OK)
		rc = pages(x, &select_waiting, on_waiting, "<offline-messages>\n", "</offline-messages>\n");
	if (rc == STERNA_OK)
		rc = pages(x, &select_archived, on_archived, "<archive xmlns='" NS_PIE_MAM "'>\n", "</archive>\n");
	return rc;
}

struct page {
	struct { char *jid, *reason; bool disabled; } item[PAGE];
	size_t count;
};

static void on_names(void *arg, const struct db_rows *rows)
{
	struct page *p = arg;

	p->count = db_rows_count(rows);
	for (size_t i = 0; i < p->count; i++) {
		const char *reason = db_str(rows, i, 2, NULL);

		p->item[i].jid = xstrdup(db_str(rows, i, 0, NULL));
		p->item[i].disabled = db_int(rows, i, 1) != 0;
		p->item[i].reason = reason != NULL ? xstrdup(reason) : NULL;
	}
}

static enum sterna_result account(struct export *x, char *jid, bool disabled, const char *reason)
{
	const size_t local = (size_t)(strchr(jid, '@') - jid);
	enum sterna_result rc;

	x->jid = jid;
	buf_lit(&x->out, "<user name='");
	xml_escape_attr(&x->out, jid, local);
	buf_lit(&x->out, "'>\n");
	if (disabled) {
		buf_lit(&x->out, "<disabled xmlns='" NS_PIE_STERNA "'>");
		if (reason != NULL)
			xml_escape_text(&x->out, reason, strlen(reason));
		buf_lit(&x->out, "</disabled>\n");
	}
	rc = parts(x);
	buf_lit(&x->out, "</user>\n");
	drain(x);
	x->counts->users++;
	if (x->o->progress != NULL)
		x->o->progress(x->o->arg, x->counts->users, x->total);
	return rc == STERNA_OK && x->failed ? STERNA_EIO : rc;
}

/* The accounts of x->host, or the one that is asked for. */
static enum sterna_result accounts(struct export *x)
{
	struct page *p = xalloc(sizeof *p);
	char *after = xstrdup("");
	enum sterna_result rc = STERNA_OK;
	size_t got = PAGE;

	while (rc == STERNA_OK && got == PAGE) {
		p->count = 0;
		rc = x->o->account != NULL
			? users_read(x->u, &select_one, (const struct db_value[]){ db_text(jid_bare(x->o->account)) }, on_names, p)
			: users_read(x->u, &select_names, (const struct db_value[]){ db_text(after), DB_INT(PAGE) }, on_names, p);
		got = p->count;
		for (size_t i = 0; i < p->count; i++) {
			const char *at = strchr(p->item[i].jid, '@');

			if (rc == STERNA_OK && at != NULL && strcmp(at + 1, x->host) == 0)
				rc = account(x, p->item[i].jid, p->item[i].disabled, p->item[i].reason);
			if (i + 1 == p->count) {
				free(after);
				after = xstrdup(p->item[i].jid);
			}
			free(p->item[i].jid);
			free(p->item[i].reason);
		}
	}
	free(after);
	free(p);
	return rc;
}

static void on_total(void *arg, const struct db_rows *rows)
{
	*(uint64_t *)arg = (uint64_t)db_int(rows, 0, 0);
}

enum sterna_result pie_export(struct users *u, FILE *out, const struct pie_options *o, struct pie_counts *counts)
{
	struct export x = { .u = u, .o = o, .counts = counts, .file = out, .out = BUF_INIT };
	const struct config_host *hosts = config_hosts(u->config);
	enum sterna_result rc = users_read(u, &count_accounts, NULL, on_total, &x.total);

	*counts = (struct pie_counts){ 0 };
	if (o->account != NULL)
		x.total = 1;
	buf_lit(&x.out, "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='" NS_PIE "'>\n");
	for (size_t i = 0; rc == STERNA_OK && i < u->config->hosts.count; i++) {
		const char *only = o->account != NULL ? jid_domain(o->account) : o->host;

		x.host = hosts[i].domain;
		if (only != NULL && strcmp(only, x.host) != 0)
			continue;
		buf_lit(&x.out, "<host jid='");
		xml_escape_attr(&x.out, x.host, strlen(x.host));
		buf_lit(&x.out, "'>\n");
		rc = accounts(&x);
		buf_lit(&x.out, "</host>\n");
	}
	buf_lit(&x.out, "</server-data>\n");
	drain(&x);
	if (rc == STERNA_OK && (x.failed || fflush(out) != 0))
		rc = STERNA_EIO;
	return rc == STERNA_OK && o->account != NULL && counts->users == 0 ? STERNA_ENOTFOUND : rc;
}
