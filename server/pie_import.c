/* pie_import.c - stores what a file of XEP-0227 says of accounts; first a pass that only checks. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/crypto.h>
#include "server/archive.h"
#include "server/base64.h"
#include "server/datetime.h"
#include "server/pie.h"
#include "server/pie_nodes.h"
#include "server/roster.h"
#include "server/user_impl.h"

#define NS_ROSTER_ "jabber:iq:roster"
#define NS_DELAY "urn:xmpp:delay"

enum { BATCH_ROWS = 500, BATCH_MOST = 2000 };

struct import {
	struct users *u;
	const struct pie_options *o;
	struct pie_counts *counts;
	bool write;
	int64_t now_us, file_us;     /* file_us: for messages without a time; the same whenever this file is read */
	struct db_batch *batch;
	/* the account being read */
	struct jid *owner;
	char *password;
	bool credentials, password_noted;
	int64_t last_ms;             /* of the ids made up for messages */
	unsigned at_ms;
	/* whose rows are in the batch, to be reported when it is committed */
	char **names;
	size_t name_count;
};

static const struct db_stmt put_account = {
	.name = "pie_put_account", .params = "ti",
	.sql = "INSERT INTO account (jid, created, state) VALUES ($1, $2, 0) ON CONFLICT (jid) DO NOTHING",
};
static const struct db_stmt put_disabled = {
	.name = "pie_put_disabled", .params = "tt",
	.sql = "UPDATE account SET state = 1, disabled_reason = $2 WHERE jid = $1",
};
static const struct db_stmt put_contact = {
	.name = "pie_put_contact", .params = "tttiiiti",
	.sql = "INSERT INTO roster (owner, contact, name, subscription, ask, approved, groups, version) "
	       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
	       "ON CONFLICT (owner, contact) DO UPDATE SET name = excluded.name, subscription = excluded.subscription, "
	       "ask = excluded.ask, approved = excluded.approved, groups = excluded.groups, version = excluded.version, "
	       "pending_in = roster.pending_in & 1, removed = 0",
};
/* 3: asked, and not in the roster so far (roster.h). */
static const struct db_stmt put_request = {
	.name = "pie_put_request", .params = "ttti",
	.sql = "INSERT INTO roster (owner, contact, pending_in, stanza, version) VALUES ($1, $2, 3, $3, $4) "
	       "ON CONFLICT (owner, contact) DO UPDATE SET pending_in = roster.pending_in | 1, stanza = excluded.stanza",
};
static const struct db_stmt put_private = {
	.name = "pie_put_private", .params = "tttt",
	.sql = "INSERT INTO private_xml (owner, ns, name, xml) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (owner, ns, name) DO UPDATE SET xml = excluded.xml",
};
static const struct db_stmt put_vcard = {
	.name = "pie_put_vcard", .params = "tt",
	.sql = "INSERT INTO vcard (owner, xml) VALUES ($1, $2) "
	       "ON CONFLICT (owner) DO UPDATE SET xml = excluded.xml, photo_hash = NULL",
};
static const struct db_stmt put_blocked = {
	.name = "pie_put_blocked", .params = "tti",
	.sql = "INSERT INTO blocklist (owner, jid, created) VALUES ($1, $2, $3) ON CONFLICT (owner, jid) DO NOTHING",
};
static const struct db_stmt put_prefs = {
	.name = "pie_put_prefs", .params = "tttt",
	.sql = "INSERT INTO archive_prefs (owner, mode, always, never) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (owner) DO UPDATE SET mode = excluded.mode, always = excluded.always, never = excluded.never",
};

static void left_out(struct import *m, struct pie_reader *r, const char *what)
{
	const char *file;
	unsigned long line;

	if (m->write)
		return; /* the first pass has said it */
	m->counts->left_out++;
	pie_place(r, &file, &line);
	if (m->o->left_out != NULL)
		m->o->left_out(m->o->arg, file, line, what);
}

/* --- rows --- */

static void flush(struct import *m, struct pie_reader *r)
{
	if (m->batch == NULL)
		return;
	const enum sterna_result rc = users_commit(m->u, &m->batch);

	if (rc != STERNA_OK)
		pie_refuse(r, rc, "the database refused (%s)", sterna_result_text(rc));
	for (size_t i = 0; i < m->name_count; i++) {
		if (rc == STERNA_OK && m->o->imported != NULL)
			m->o->imported(m->o->arg, m->names[i]);
		free(m->names[i]);
	}
	m->name_count = 0;
}

static struct db_batch *batch(struct import *m, struct pie_reader *r)
{
	if (m->batch != NULL && db_batch_count(m->batch) >= BATCH_MOST)
		flush(m, r);
	if (m->batch == NULL)
		m->batch = users_batch(m->u);
	return m->batch;
}

/* Adds a row about the owner, who is the first value. */
static void put(struct import *m, struct pie_reader *r, const struct db_stmt *s, struct db_value *values)
{
	if (!m->write)
		return;
	values[0] = db_text(jid_bare(m->owner));
	db_batch_add(batch(m, r), s, values);
}

static char *xml_of(const struct sterna_elem *e)
{
	struct buf out = BUF_INIT;
	char *text;

	elem_write(&out, e, NULL);
	text = xstrndup(buf_data(&out), buf_len(&out));
	buf_release(&out);
	return text;
}

/* --- who --- */

static void on_user(void *arg, struct pie_reader *r, const char *host, const char *name, const char *password)
{
	struct import *m = arg;
	struct jid *j = NULL;

	if (jid_make(name, host, NULL, &j) != STERNA_OK) {
		pie_refuse(r, STERNA_EINVAL, "'%.200s' at '%.200s' is no address of an account (RFC 7622)", name, host);
		return;
	}
	if (config_host(m->u->config, jid_domain(j)) == NULL) {
		pie_refuse(r, STERNA_ENOTFOUND, "host '%.200s' is not configured here: add it to hosts:", jid_domain(j));
		jid_unref(&j);
		return;
	}
	m->owner = j;
	m->password = password != NULL && *password != '\0' ? xstrdup(password) : NULL;
	m->credentials = false;
	m->last_ms = -1;
	m->at_ms = 0;
	put(m, r, &put_account, (struct db_value[]){ DB_NULL, DB_INT(m->now_us) });
}

static void derive(struct import *m, struct pie_reader *r)
{
	uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN];
	char prepared[PASSWORD_MAX + 1];
	struct credential_set keys;

	if (user_password(m->password, prepared) != STERNA_OK) {
		left_out(m, r, "the password: too long, or characters that are not allowed (RFC 8265)");
		m->counts->without_password += !m->write;
	} else if (m->write) {
		loop_random(m->u->loop, salts, sizeof salts);
		if (credential_set_derive(prepared, strlen(prepared), (const uint8_t (*)[SCRAM_SALT_LEN])salts,
			m->u->config->auth.iterations, &keys) == STERNA_OK)
			for (int h = 0; h < SCRAM_HASH_COUNT; h++)
				user_put_credential(batch(m, r), jid_bare(m->owner), &keys.of[h]);
		credential_set_clear(&keys);
	}
	OPENSSL_cleanse(prepared, sizeof prepared);
}

static void forget_user(struct import *m)
{
	if (m->password != NULL)
		OPENSSL_cleanse(m->password, strlen(m->password));
	free(m->password);
	m->password = NULL;
	jid_unref(&m->owner);
}

static void on_user_end(void *arg, struct pie_reader *r)
{
	struct import *m = arg;

	if (!m->credentials && m->password != NULL)
		derive(m, r);
	else if (!m->credentials && !m->write)
		m->counts->without_password++;
	if (!m->write) {
		m->counts->users++;
	} else {
		m->names = xrealloc(m->names, (m->name_count + 1) * sizeof *m->names);
		m->names[m->name_count++] = xstrdup(jid_bare(m->owner));
		(void)batch(m, r);
		if (db_batch_count(m->batch) >= BATCH_ROWS)
			flush(m, r);
	}
	forget_user(m);
}

/* --- keys --- */

static bool key(struct arena *a, const struct sterna_elem *e, const char *name, uint8_t *out, size_t size, size_t *len)
{
	const char *text = elem_child_text(a, e, name);

	return text != NULL && base64_decode(text, strlen(text), out, size, len) == STERNA_OK;
}

static void scram(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	const char *mechanism = elem_attr(e, "mechanism"), *count = elem_child_text(a, e, "iter-count");
	struct credential c = { .hash = SCRAM_SHA1 };
	size_t stored = 0, server = 0;
	char *end = NULL;

	if (mechanism == NULL || !scram_hash_from_name(mechanism, &c.hash)) {
		left_out(m, r, "keys of a mechanism that we do not have");
		return;
	}
	c.iterations = count != NULL ? (uint32_t)strtoul(count, &end, 10) : 0;
	if (end == NULL || *end != '\0' || !key(a, e, "salt", c.salt, sizeof c.salt, &c.salt_len) ||
	    !key(a, e, "stored-key", c.stored_key, sizeof c.stored_key, &stored) ||
	    !key(a, e, "server-key", c.server_key, sizeof c.server_key, &server) ||
	    stored != scram_hash_size(c.hash) || server != stored || !credential_is_valid(&c)) {
		pie_refuse(r, STERNA_EINVAL, "<scram-credentials/> of %s is not right", jid_bare(m->owner));
		return;
	}
	m->credentials = true;
	if (m->write)
		user_put_credential(batch(m, r), jid_bare(m->owner), &c);
	credential_clear(&c);
}

/* --- roster --- */

/* A contact's bare address, new. */
static struct jid *contact(struct import *m, struct pie_reader *r, const char *text)
{
	struct jid *j = NULL, *bare = NULL;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK) {
		left_out(m, r, "a contact whose address is not valid (RFC 7622)");
		return NULL;
	}
	bare = jid_to_bare(j);
	jid_unref(&j);
	return bare;
}

static void roster_one(struct import *m, struct pie_reader *r, struct arena *a, const struct sterna_elem *e)
{
	static const char *const words[] = { "none", "to", "from", "both" };
	const char *subscription = elem_attr(e, "subscription"), *ask = elem_attr(e, "ask"), *yes = elem_attr(e, "approved");
	json_t *groups = json_array();
	int sub = subscription == NULL ? 0 : -1;
	struct jid *j;

	for (int i = 0; i < 4 && subscription != NULL; i++)
		if (strcmp(subscription, words[i]) == 0)
			sub = i;
	elem_foreach(g, e)
		if (elem_is(g, "group", NS_ROSTER_))
			json_array_append_new(groups, json_string(elem_text(a, g)));
	char *text = json_array_size(groups) > 0 ? json_dumps(groups, JSON_COMPACT) : NULL;

	json_decref(groups);
	j = sub >= 0 ? contact(m, r, elem_attr(e, "jid")) : NULL;
	if (sub < 0 && strcmp(subscription, "remove") != 0)
		left_out(m, r, "a contact with an unknown subscription");
	if (j != NULL) {
		m->counts->contacts += !m->write;
		put(m, r, &put_contact, (struct db_value[]){ DB_NULL, db_text(jid_bare(j)), db_text(elem_attr(e, "name")),
			DB_INT(sub), DB_INT(ask != NULL && strcmp(ask, "subscribe") == 0),
			DB_INT(yes != NULL && (strcmp(yes, "true") == 0 || strcmp(yes, "1") == 0)), db_text(text),
			DB_INT(m->now_us / 1000 << 20) });
	}
	jid_unref(&j);
	free(text);
}

static void roster(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	elem_foreach(item, e)
		if (elem_is(item, "item", NS_ROSTER_))
			roster_one(m, r, a, item);
}

static void request(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	const char *type = elem_attr(e, "type");
	struct jid *j;

	(void)a;
	if (type == NULL || strcmp(type, "subscribe") != 0) {
		left_out(m, r, "presence that is no subscription request");
		return;
	}
	j = contact(m, r, elem_attr(e, "from"));
	if (j != NULL) {
		char *text = xml_of(e);

		put(m, r, &put_request, (struct db_value[]){ DB_NULL, db_text(jid_bare(j)), db_text(text),
			DB_INT(m->now_us / 1000 << 20) });
		free(text);
	}
	jid_unref(&j);
}

/* --- what clients keep --- */

static void private_xml(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	(void)a;
	elem_foreach(data, e) {
		char *text = xml_of(data);

		m->counts->others += !m->write;
		put(m, r, &put_private, (struct db_value[]){ DB_NULL, db_text(data->ns), db_text(data->name),
			db_text(text) });
		free(text);
	}
}

static void vcard(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	char *text = xml_of(e);

	(void)a;
	m->counts->others += !m->write;
	put(m, r, &put_vcard, (struct db_value[]){ DB_NULL, db_text(text) });
	free(text);
}

static void block(struct import *m, struct pie_reader *r, const char *text)
{
	struct jid *j = NULL;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK) {
		left_out(m, r, "a blocked address that is not valid (RFC 7622)");
		return;
	}
	m->counts->others += !m->write;
	put(m, r, &put_blocked, (struct db_value[]){ DB_NULL, db_text(jid_full(j)), DB_INT(m->now_us) });
	jid_unref(&j);
}

static void blocklist(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	(void)a;
	elem_foreach(item, e)
		block(m, r, elem_attr(item, "jid"));
}

static bool same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* XEP-0016 as far as it is XEP-0191: who is denied everything by the list that is always in force. */
static void privacy(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	const struct sterna_elem *chosen = elem_child(e, "default", NULL);
	const char *name = chosen != NULL ? elem_attr(chosen, "name") : NULL;

	(void)a;
	elem_foreach(list, e) {
		if (!elem_is(list, "list", e->ns))
			continue;
		if (!same(elem_attr(list, "name"), name)) {
			left_out(m, r, "a privacy list that is not the default one");
			continue;
		}
		elem_foreach(item, list) {
			if (same(elem_attr(item, "type"), "jid") && same(elem_attr(item, "action"), "deny") && elem_first(item) == NULL)
				block(m, r, elem_attr(item, "value"));
			else if (!same(elem_attr(item, "action"), "allow") || elem_attr(item, "type") != NULL)
				left_out(m, r, "a rule of a privacy list that does not block an address");
		}
	}
}

static char *jid_array(struct arena *a, const struct sterna_elem *e)
{
	json_t *list = json_array();
	char *text;

	if (e != NULL)
		elem_foreach(j, e)
			json_array_append_new(list, json_string(elem_text(a, j)));
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static void prefs(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	const char *mode = elem_attr(e, "default");

	if (!same(mode, "always") && !same(mode, "never") && !same(mode, "roster")) {
		left_out(m, r, "archiving preferences that are not valid");
		return;
	}
	char *always = jid_array(a, elem_child(e, "always", NULL)), *never = jid_array(a, elem_child(e, "never", NULL));

	put(m, r, &put_prefs, (struct db_value[]){ DB_NULL, db_text(mode), db_text(always), db_text(never) });
	free(always);
	free(never);
}

static void disabled(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	const char *reason = elem_text(a, e);

	put(m, r, &put_disabled, (struct db_value[]){ DB_NULL, db_text(*reason != '\0' ? reason : NULL) });
}

/* --- messages --- */

/* Ours if it looks like one of that time; else made up, the same whenever this file is read: the time, the place among
 * those of the same time, and a hash, so that two files do not hide each other's messages. */
static int64_t row_id(struct import *m, const char *id, int64_t stamp_us, const char *text)
{
	const int64_t ms = stamp_us / 1000;
	uint32_t hash = 2166136261u;

	if (id != NULL && *id != '\0' && strspn(id, "0123456789") == strlen(id) && strlen(id) < 19) {
		const int64_t own = strtoll(id, NULL, 10);

		if (llabs((own >> 20) - ms) <= 2000)
			return own;
	}
	m->at_ms = ms == m->last_ms ? m->at_ms + 1 : 0;
	m->last_ms = ms;
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return (ms + m->at_ms / 256) << 20 | (int64_t)(m->at_ms % 256) << 12 | (hash ^ hash >> 12) % 4096;
}

static int64_t kind_of(const char *type)
{
	static const struct {
		const char *word;
		enum stanza_type type;
	} types[] = { { "chat", MESSAGE_CHAT }, { "groupchat", MESSAGE_GROUPCHAT }, { "headline", MESSAGE_HEADLINE },
		{ "error", MESSAGE_ERROR } };

	for (size_t i = 0; type != NULL && i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].word, type) == 0)
			return types[i].type;
	return MESSAGE_NORMAL;
}

static void message(struct import *m, struct pie_reader *r, const char *id, int64_t stamp_us, int64_t flags,
	const struct sterna_elem *e)
{
	const char *from = elem_attr(e, "from"), *to = elem_attr(e, "to");
	const struct sterna_elem *origin = elem_child(e, "origin-id", "urn:xmpp:sid:0");
	struct jid *peer = NULL, *sender = NULL;

	if (from == NULL || jid_parse(from, strlen(from), &sender) != STERNA_OK)
		sender = jid_ref(m->owner);
	if (!jid_bare_equal(sender, m->owner))
		peer = jid_ref(sender);
	else if (to == NULL || jid_parse(to, strlen(to), &peer) != STERNA_OK)
		peer = jid_ref(m->owner);
	char *text = xml_of(e);

	put(m, r, &archive_insert, (struct db_value[]){ DB_NULL, DB_INT(row_id(m, id, stamp_us, text)),
		db_text(jid_bare(peer)), db_text(jid_resource(peer)), DB_INT(flags), DB_INT(kind_of(elem_attr(e, "type"))),
		DB_NULL, db_text(origin != NULL ? elem_attr(origin, "id") : NULL), db_text(text) });
	free(text);
	jid_unref(&peer);
	jid_unref(&sender);
}

static bool stamp_of(const struct sterna_elem *delay, int64_t *out)
{
	const char *stamp = delay != NULL ? elem_attr(delay, "stamp") : NULL;

	return stamp != NULL && datetime_parse(stamp, strlen(stamp), out) == STERNA_OK;
}

static void archived(struct import *m, struct pie_reader *r, const struct sterna_elem *e)
{
	const struct sterna_elem *forwarded = elem_child(e, "forwarded", "urn:xmpp:forward:0");
	const struct sterna_elem *stanza = forwarded != NULL ? elem_child(forwarded, "message", NS_CLIENT) : NULL;
	int64_t stamp_us = 0;

	if (strcmp(e->name, "result") != 0 || stanza == NULL || !stamp_of(elem_child(forwarded, "delay", NS_DELAY), &stamp_us)) {
		left_out(m, r, "an archived message without the message, or without its time");
		return;
	}
	m->counts->messages += !m->write;
	message(m, r, elem_attr(e, "id"), stamp_us, ARCHIVE_SHOWN, stanza);
}

/* The time is in <delay/>; that of this host is taken away, as delivery puts its own in. Our own export says by
 * <stanza-id/> that the message is in the archive too: then it is one row. */
static void waiting(struct import *m, struct pie_reader *r, struct sterna_elem *e)
{
	struct sterna_elem *next, *own = NULL;
	int64_t stamp_us = m->file_us;
	const char *id = NULL;

	if (!elem_is(e, "message", NS_CLIENT)) {
		left_out(m, r, "something that waits and is no message");
		return;
	}
	(void)stamp_of(elem_child(e, "delay", NS_DELAY), &stamp_us);
	for (struct sterna_elem *c = elem_first(e); c != NULL; c = next) {
		next = elem_next(c);
		if (elem_is(c, "delay", NS_DELAY) && same(elem_attr(c, "from"), jid_domain(m->owner))) {
			(void)stamp_of(c, &stamp_us);
			own = c;
		}
		if (elem_is(c, "stanza-id", "urn:xmpp:sid:0") && same(elem_attr(c, "by"), jid_bare(m->owner))) {
			id = elem_attr(c, "id");
			elem_remove(c);
		}
	}
	if (own != NULL)
		elem_remove(own);
	m->counts->waiting += !m->write;
	message(m, r, id, stamp_us, id != NULL ? ARCHIVE_OFFLINE | ARCHIVE_SHOWN : ARCHIVE_OFFLINE, e);
}

/* --- nodes: pie_nodes.c --- */

struct nodes_to {
	struct import *m;
	struct pie_reader *r;
};

static void put_nodes(void *arg, const struct db_stmt *s, struct db_value *values)
{
	const struct nodes_to *to = arg;

	put(to->m, to->r, s, values);
}

static void nodes_left_out(void *arg, const char *what)
{
	const struct nodes_to *to = arg;

	left_out(to->m, to->r, what);
}

static void nodes(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e)
{
	struct nodes_to to = { m, r };
	struct pie_nodes n = { .arg = &to, .put = put_nodes, .left_out = nodes_left_out, .owner = jid_bare(m->owner),
		.now_us = m->now_us };

	pie_nodes_import(&n, a, e);
	m->counts->others += m->write ? 0 : n.count;
}

/* --- the file --- */

static const struct {
	const char *name, *ns;
	void (*fn)(struct import *m, struct pie_reader *r, struct arena *a, struct sterna_elem *e);
} pieces[] = {
	{ "scram-credentials", NS_PIE_SCRAM, scram },
	{ "query", NS_ROSTER_, roster },
	{ "presence", NS_CLIENT, request },
	{ "query", "jabber:iq:private", private_xml },
	{ "vCard", "vcard-temp", vcard },
	{ "query", "jabber:iq:privacy", privacy },
	{ "blocklist", "urn:xmpp:blocking", blocklist },
	{ "prefs", "urn:xmpp:mam:2", prefs },
	{ "pubsub", "http://jabber.org/protocol/pubsub#owner", nodes },
	{ "pubsub", "http://jabber.org/protocol/pubsub", nodes },
	{ "disabled", NS_PIE_STERNA, disabled },
};

static void on_unknown(void *arg, struct pie_reader *r, const char *ns, const char *name)
{
	char text[300];

	snprintf(text, sizeof text, "<%.100s xmlns='%.150s'/>", name, ns);
	left_out(arg, r, text);
}

static void on_item(void *arg, struct pie_reader *r, enum pie_place place, struct arena *a, struct sterna_elem *e)
{
	struct import *m = arg;

	if (m->owner == NULL)
		return; /* refused already */
	if (place == PIE_ARCHIVE) {
		archived(m, r, e);
		return;
	}
	if (place == PIE_OFFLINE) {
		waiting(m, r, e);
		return;
	}
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
		if (elem_is(e, pieces[i].name, pieces[i].ns)) {
			pieces[i].fn(m, r, a, e);
			return;
		}
	on_unknown(m, r, e->ns, e->name);
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct import *m = arg;

	if (m->o->progress != NULL)
		m->o->progress(m->o->arg, m->o->dry ? done : m->write ? total / 10 + done * 9 / 10 : done / 10, total);
}

static enum sterna_result pass(struct import *m, const char *path, bool write, struct pie_error *err)
{
	static const struct pie_handler handler = { .user = on_user, .item = on_item, .user_end = on_user_end,
		.unknown = on_unknown, .progress = on_progress };
	enum sterna_result rc;

	m->write = write;
	rc = pie_read(path, &handler, m, err);
	forget_user(m);
	if (rc == STERNA_OK && m->batch != NULL) {
		rc = users_commit(m->u, &m->batch);
		if (rc != STERNA_OK)
			snprintf(err->message, sizeof err->message, "the database refused (%s)", sterna_result_text(rc));
	}
	if (m->batch != NULL)
		db_batch_drop(&m->batch);
	for (size_t i = 0; i < m->name_count; i++) {
		if (rc == STERNA_OK && m->o->imported != NULL)
			m->o->imported(m->o->arg, m->names[i]);
		free(m->names[i]);
	}
	free(m->names);
	m->names = NULL;
	m->name_count = 0;
	return rc;
}

enum sterna_result pie_import(struct users *u, const char *path, const struct pie_options *o, struct pie_counts *counts,
	struct pie_error *err)
{
	struct import m = { .u = u, .o = o, .counts = counts, .now_us = loop_wall_us(u->loop) };
	struct stat st;
	enum sterna_result rc;

	*counts = (struct pie_counts){ 0 };
	m.file_us = stat(path, &st) == 0 ? (int64_t)st.st_mtime * 1000000 : 0;
	rc = pass(&m, path, false, err);
	return rc == STERNA_OK && !o->dry ? pass(&m, path, true, err) : rc;
}
