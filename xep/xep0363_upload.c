/* XEP-0363 HTTP File Upload 1.2.0: slots are signed, so that any node takes what another promised; the store
 * (xep0363_store.h) knows where files lie. What is served is an attachment, and never runs in a page. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "xep/xep0363_store.h"

#define NS_UPLOAD "urn:xmpp:http:upload:0"
#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_SWEEP "urn:sterna:upload:sweep"
#define PATH "/upload/"

enum { NAME_MAX_BYTES = 200, TYPE_MAX_BYTES = 100, SLOT_LEN = 8 + 1 + 32 + 1 + 32, DAY_S = 86400, MAC_LEN = 64,
	SWEEP_MAX = 200 };

#define C struct upload_config
static const struct sterna_option options[] = {
	STERNA_OPT(C, domains, NULL, NULL, "domains of the service; without any, upload.HOST for each host; taken at start"),
	STERNA_OPT(C, folder, "upload", NULL, "where files lie; on several nodes the same for all"),
	STERNA_OPT(C, max_size, "100MiB", "1KiB..16GiB", "of one file"),
	STERNA_OPT(C, account_bytes, "2GiB", "1KiB..1024GiB", "of one account's files that are kept"),
	STERNA_OPT(C, account_bytes_per_day, "500MiB", "1KiB..1024GiB", "that one account may upload in 24 hours"),
	STERNA_OPT(C, types, NULL, NULL, "content types that may be uploaded ('image/png', 'image/*'); none: all"),
	STERNA_OPT(C, keep, "30d", "1d..3650d", "how long a file is kept"),
	STERNA_OPT(C, slot_time, "5m", "30s..1d", "how long a slot may wait for its file"),
	STERNA_OPT_SECTION(C, s3, upload_bucket_options, "an object store in place of the folder"),
	{ 0 }
};
#undef C

enum { M_SLOTS, M_REFUSED };
static const struct sterna_metric metrics[] = {
	[M_SLOTS] = { "sterna_upload_slots_total", "Slots given for uploads.", METRIC_COUNTER },
	[M_REFUSED] = { "sterna_upload_refused_total", "Slots refused: size, type or quota.", METRIC_COUNTER },
	{ 0 }
};

static const struct db_stmt put = {
	.name = "upload_put", .params = "ttii",
	.sql = "INSERT INTO upload_slot (slot, owner, size, created) VALUES ($1, $2, $3, $4)",
};
static const struct db_stmt purge = {
	.name = "upload_purge", .params = "ti",
	.sql = "DELETE FROM upload_slot WHERE owner = $1 AND created < $2",
};
static const struct db_stmt forget = {
	.name = "upload_forget", .params = "t", .sql = "UPDATE upload_slot SET owner = '' WHERE owner = $1",
};
/* Of accounts that are gone. */
static const struct db_stmt orphans = {
	.name = "upload_orphans", .params = "i", .columns = "t",
	.sql = "SELECT slot FROM upload_slot WHERE owner = '' ORDER BY created LIMIT $1",
};
static const struct db_stmt drop = {
	.name = "upload_drop", .params = "t", .sql = "DELETE FROM upload_slot WHERE slot = $1",
};

struct upload {
	struct upload_store *store;
	char *domain;                        /* of a service of ours: whom the module writes to; NULL: there is none */
	_Atomic int64_t purged;              /* Unix time */
};

static struct upload_store *store_of(struct sterna_call *c)
{
	const struct upload *u = sterna_mod_data(sterna_mod(c));

	return u->store;
}

/* --- what a slot promises --- */

struct slot {
	char id[SLOT_LEN + 1];               /* "20261126-random-mac": the mac covers day, random and file name */
	const char *name;
	uint64_t size;
	const char *type;                    /* "": any */
	int64_t expires;                     /* Unix time */
};

static void sign_id(struct sterna_mod *m, char id[SLOT_LEN + 1], const char *name)
{
	char *text = xasprintf("id %.41s %s", id, name), mac[STERNA_MAC_LEN];

	sterna_sign(m, text, mac);
	id[41] = '-';
	memcpy(id + 42, mac, 32);
	id[SLOT_LEN] = '\0';
	free(text);
}

static void sign_put(struct sterna_mod *m, const struct slot *s, char mac[STERNA_MAC_LEN])
{
	char *text = xasprintf("PUT %s %llu %lld %s", s->id, (unsigned long long)s->size, (long long)s->expires, s->type);

	sterna_sign(m, text, mac);
	free(text);
}

/* In constant time: what differs is not told. */
static bool same(const char *a, const char *b, size_t n)
{
	unsigned char differs = 0;

	for (size_t i = 0; i < n; i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	return differs == 0;
}

static void make_id(struct sterna_call *c, const char *name, char id[SLOT_LEN + 1])
{
	const time_t now = sterna_now(c);
	unsigned char random[16];
	struct tm t;

	gmtime_r(&now, &t);
	sterna_random(c, random, sizeof random);
	snprintf(id, SLOT_LEN + 1, "%04d%02d%02d-", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
	for (unsigned i = 0; i < sizeof random; i++)
		snprintf(id + 9 + 2 * i, 3, "%02x", random[i]);
	sign_id(sterna_mod(c), id, name);
}

/* --- requests for slots: §5 --- */

static bool name_is_good(const char *name)
{
	if (name == NULL || *name == '\0' || strlen(name) > NAME_MAX_BYTES || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name != '\0'; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f || *name == '/' || *name == '\\')
			return false;
	return true;
}

static bool type_is_good(const char *type)
{
	return strlen(type) <= TYPE_MAX_BYTES && strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"!#$&^_.+-/;= \"") == strlen(type);
}

static bool type_may_be(const struct upload_config *cfg, const char *type)
{
	for (size_t i = 0; i < cfg->types.count; i++) {
		const char *t = cfg->types.item[i];
		const size_t n = strlen(t);

		if (strcmp(t, type) == 0 || (n > 1 && t[n - 1] == '*' && strncmp(t, type, n - 1) == 0))
			return true;
	}
	return cfg->types.count == 0;
}

static bool read_size(const char *text, uint64_t *out)
{
	char *end;

	if (text == NULL || *text < '0' || *text > '9' || strlen(text) > 18)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == '\0' && *out > 0;
}

static bool is_local(struct sterna_call *c)
{
	return sterna_has_host(sterna_mod(c), jid_domain(sterna_from(c)));
}

static enum sterna_verdict give(struct sterna_call *c, const struct slot *s)
{
	const char *domain = jid_domain(sterna_from(c));
	char *base = sterna_web_url(sterna_mod(c), domain, STERNA_WEB_PAGE), mac[STERNA_MAC_LEN];
	struct buf url = BUF_INIT;
	struct sterna_elem *slot = sterna_elem(c, "slot", NS_UPLOAD);

	if (base == NULL)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, "there is no listener for HTTPS");
	buf_addf(&url, "%s" PATH "%s/", base, s->id);
	buf_percent(&url, s->name);
	sterna_attr(sterna_add(slot, "get", NULL), "url", buf_str(&url));
	sign_put(sterna_mod(c), s, mac);
	buf_addf(&url, "?s=%llu&e=%lld&t=%d&m=%s", (unsigned long long)s->size, (long long)s->expires, *s->type != '\0', mac);
	sterna_attr(sterna_add(slot, "put", NULL), "url", buf_str(&url));
	buf_release(&url);
	free(base);
	sterna_count(c, M_SLOTS, 1);
	return sterna_reply(c, slot);
}

static enum sterna_verdict refuse(struct sterna_call *c, enum sterna_condition condition, const char *text)
{
	sterna_count(c, M_REFUSED, 1);
	return sterna_reject(c, condition, text);
}

static enum sterna_verdict on_sums(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct upload_config *cfg = sterna_config(c);
	struct slot *s = sterna_data(c);
	const char *owner = jid_bare(sterna_from(c));

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if ((uint64_t)db_int(rows->db, 0, 0) + s->size > upload_limit(rows, 2, &cfg->account_bytes))
		return refuse(c, STERNA_RESOURCE_CONSTRAINT, "your files take all the room that you have");
	if ((uint64_t)db_int(rows->db, 0, 1) + s->size > upload_limit(rows, 3, &cfg->account_bytes_per_day))
		return refuse(c, STERNA_RESOURCE_CONSTRAINT, "you have uploaded much today; try again tomorrow");
	if (!upload_store_cleans(store_of(c)))
		sterna_write(c, &purge, owner, (int64_t)(sterna_now(c) - cfg->keep.us / 1000000));
	sterna_write(c, &put, s->id, owner, (int64_t)s->size, (int64_t)sterna_now(c));
	sterna_audit(c, "sterna.upload.granted.v1", owner, (const struct sterna_datum[]){ STERNA_DATUM("file", s->id),
		STERNA_CONTENT("name", s->name), STERNA_NUMBER("bytes", (int64_t)s->size),
		STERNA_DATUM("media", *s->type != '\0' ? s->type : NULL), { 0 } });
	return give(c, s);
}

/* At most once an hour, by whoever asks then. */
static void purge_now_and_then(struct sterna_call *c, int64_t now)
{
	struct sterna_mod *m = sterna_mod(c);
	const struct upload_config *cfg = sterna_mod_config(m);
	struct upload *u = sterna_mod_data(m);
	int64_t last = atomic_load(&u->purged);

	if (now - last >= 3600 && atomic_compare_exchange_strong(&u->purged, &last, now)) {
		const int64_t before = now - cfg->keep.us / 1000000 - DAY_S;
		char stamp[STERNA_STAMP_LEN];

		sterna_audit(c, "sterna.retention.applied.v1", NULL, (const struct sterna_datum[]){
			STERNA_DATUM("what", "uploads"), STERNA_DATUM("before", sterna_stamp((time_t)before, stamp)), { 0 } });
		if (!upload_store_cleans(u->store))
			upload_store_purge(u->store, before);
	}
}

static enum sterna_verdict on_slot(struct sterna_call *c)
{
	const struct upload_config *cfg = sterna_config(c);
	const struct sterna_elem *r = sterna_payload(c);
	const char *type = elem_attr(r, "content-type");
	const time_t now = sterna_now(c);
	struct slot *s = sterna_alloc(c, sizeof *s);

	if (!is_local(c))
		return refuse(c, STERNA_FORBIDDEN, "uploads are for accounts of this server");
	s->name = elem_attr(r, "filename");
	s->type = type != NULL ? type : "";
	if (!name_is_good(s->name) || !type_is_good(s->type) || !read_size(elem_attr(r, "size"), &s->size))
		return refuse(c, STERNA_BAD_REQUEST, "a file has a name without slashes, and a size");
	if (s->size > cfg->max_size.bytes) {
		struct sterna_elem *e = sterna_elem(c, "file-too-large", NS_UPLOAD);

		sterna_text(e, "max-file-size", sterna_printf(c, "%llu", (unsigned long long)cfg->max_size.bytes));
		sterna_count(c, M_REFUSED, 1);
		return sterna_reject_elem(c, STERNA_NOT_ACCEPTABLE, "this is too large", e, NULL);
	}
	if (!type_may_be(cfg, s->type))
		return refuse(c, STERNA_NOT_ACCEPTABLE, "files of this type are not taken");
	s->expires = (int64_t)now + cfg->slot_time.us / 1000000;
	make_id(c, s->name, s->id);
	sterna_set_data(c, s);
	purge_now_and_then(c, (int64_t)now);
	return sterna_read(c, on_sums, &upload_sums, jid_bare(sterna_from(c)), (int64_t)(now - cfg->keep.us / 1000000),
		(int64_t)(now - DAY_S));
}

static enum sterna_verdict on_info(struct sterna_call *c)
{
	const struct upload_config *cfg = sterna_config(c);
	struct sterna_elem *q = sterna_elem(c, "query", NS_DISCO_INFO), *e = sterna_add(q, "identity", NULL), *form;

	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	sterna_attr(e, "category", "store");
	sterna_attr(e, "type", "file");
	sterna_attr(e, "name", "HTTP File Upload");
	sterna_attr(sterna_add(q, "feature", NULL), "var", NS_DISCO_INFO);
	sterna_attr(sterna_add(q, "feature", NULL), "var", NS_UPLOAD);
	form = sterna_form(q, "result", NS_UPLOAD);
	sterna_form_field(form, "max-file-size", NULL, sterna_printf(c, "%llu", (unsigned long long)cfg->max_size.bytes));
	return sterna_reply(c, q);
}

static enum sterna_verdict on_items(struct sterna_call *c)
{
	return sterna_reply(c, sterna_elem(c, "query", NS_DISCO_ITEMS));
}

/* --- an account is deleted: its files go --- */

/* Which files those are must be read, which only a request can wait for: the module writes one to its own service. */
static void ask_to_sweep(struct sterna_call *c, const char *from)
{
	const struct upload *u = sterna_mod_data(sterna_mod(c));
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

	if (u->domain == NULL)
		return;
	sterna_attr(iq, "type", "set");
	sterna_attr(iq, "id", "sweep");
	sterna_attr(iq, "from", from);
	sterna_attr(iq, "to", u->domain);
	sterna_add(iq, "sweep", NS_SWEEP);
	sterna_send(c, iq);
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
	sterna_write(c, &upload_quota_drop, sterna_owner(c));
	if (!upload_store_cleans(store_of(c)))
		ask_to_sweep(c, sterna_owner(c));
}

static enum sterna_verdict on_orphans(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL); /* with the next account that goes */
	for (size_t i = 0; i < rows->count; i++) {
		sterna_write(c, &drop, rows->text[i]);
		if (strlen(rows->text[i]) == SLOT_LEN)
			upload_store_remove(store_of(c), rows->text[i]);
	}
	if (rows->count == SWEEP_MAX)
		ask_to_sweep(c, jid_full(sterna_to(c)));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_sweep(struct sterna_call *c)
{
	const struct upload *u = sterna_mod_data(sterna_mod(c));
	const struct jid *from = sterna_from(c);
	const bool is_us = u->domain != NULL && strcmp(jid_full(from), u->domain) == 0;

	/* What clients say comes from their full addresses: a bare one of ours is the server itself. */
	if (upload_store_cleans(u->store) || (!is_us && (!is_local(c) || jid_resource(from) != NULL)))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	return sterna_read(c, on_orphans, &orphans, (int64_t)SWEEP_MAX);
}

/* --- HTTP: §6 --- */

static void say(struct sterna_http_request *r, unsigned status, const char *text)
{
	sterna_http_reply(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* "/upload/ID/NAME": an id of ours for that name. The path on disk is made of the id alone. */
static bool read_path(struct sterna_mod *m, const char *path, struct slot *s)
{
	char signed_id[SLOT_LEN + 1];

	path += strlen(PATH);
	if (strlen(path) < SLOT_LEN + 2 || path[SLOT_LEN] != '/' || !name_is_good(path + SLOT_LEN + 1))
		return false;
	memcpy(s->id, path, SLOT_LEN);
	s->id[SLOT_LEN] = '\0';
	s->name = path + SLOT_LEN + 1;
	if (strspn(s->id, "0123456789abcdef-") != SLOT_LEN)
		return false;
	memcpy(signed_id, s->id, sizeof signed_id);
	sign_id(m, signed_id, s->name);
	return same(signed_id, s->id, SLOT_LEN);
}

static void on_put(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct slot s = { .type = "" };
	unsigned long long size;
	char mac[STERNA_MAC_LEN], given[STERNA_MAC_LEN];
	const struct upload *u = sterna_mod_data(m);
	const char *type = sterna_http_header(r, "Content-Type");
	uint64_t length;
	long long expires;
	int typed;

	if (!read_path(m, sterna_http_path(r), &s)
		|| sscanf(sterna_http_query(r), "s=%18llu&e=%18lld&t=%1d&m=%64[0-9a-f]", &size, &expires, &typed, given) != 4) {
		say(r, 403, "this is no slot\n");
		return;
	}
	s.size = size;
	s.expires = expires;
	s.type = typed != 0 && type != NULL ? type : "";
	sign_put(m, &s, mac);
	if (strlen(given) != MAC_LEN || !same(mac, given, MAC_LEN)) {
		say(r, 403, "the slot is for another file, or another type\n");
		return;
	}
	if (!sterna_http_length(r, &length)) {
		say(r, 411, "how long is it?\n");
		return;
	}
	if (length != s.size || sterna_http_now(r) > s.expires) {
		say(r, length != s.size ? 413 : 403, length != s.size ? "the slot is for another size\n" : "the slot has expired\n");
		return;
	}
	upload_store_save(u->store, r, s.id, length);
}

/* What a browser may show where it is linked to; all else is bytes. */
static const char *type_of(const char *name)
{
	static const struct { const char *end, *type; } types[] = {
		{ ".png", "image/png" }, { ".jpg", "image/jpeg" }, { ".jpeg", "image/jpeg" }, { ".gif", "image/gif" },
		{ ".webp", "image/webp" }, { ".avif", "image/avif" }, { ".mp4", "video/mp4" }, { ".webm", "video/webm" },
		{ ".mp3", "audio/mpeg" }, { ".ogg", "audio/ogg" }, { ".opus", "audio/ogg" }, { ".m4a", "audio/mp4" },
		{ ".wav", "audio/wav" }, { ".pdf", "application/pdf" }, { ".txt", "text/plain; charset=utf-8" },
	};
	const size_t len = strlen(name);

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		const size_t n = strlen(types[i].end);

		if (len > n && strcasecmp(name + len - n, types[i].end) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static void on_get(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf disposition = BUF_INIT;
	struct slot s = { .type = "" };
	const struct upload *u = sterna_mod_data(m);

	if (!read_path(m, sterna_http_path(r), &s)) {
		say(r, 404, "there is nothing here\n");
		return;
	}
	buf_lit(&disposition, "attachment; filename*=UTF-8''");
	buf_percent(&disposition, s.name);
	sterna_http_add_header(r, "Content-Disposition", buf_str(&disposition));
	sterna_http_add_header(r, "Content-Security-Policy", "default-src 'none'; sandbox");
	sterna_http_add_header(r, "Cross-Origin-Resource-Policy", "cross-origin");
	sterna_http_add_header(r, "Cache-Control", "private, max-age=86400, immutable");
	upload_store_send(u->store, r, s.id, type_of(s.name));
	buf_release(&disposition);
}

static enum sterna_result serve(struct sterna_mod *m, const char *domain)
{
	struct upload *u = sterna_mod_data(m);

	if (u->domain == NULL)
		u->domain = xstrdup(domain);
	return sterna_serve(m, domain, "store", "file", "HTTP File Upload");
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct upload_config *cfg = sterna_mod_config(m);
	struct upload *u = xalloc(sizeof *u);
	enum sterna_result rc = STERNA_OK;
	const char *host;

	sterna_mod_set_data(m, u);
	for (size_t i = 0; rc == STERNA_OK && i < cfg->domains.count; i++)
		rc = serve(m, cfg->domains.item[i]);
	for (size_t i = 0; rc == STERNA_OK && cfg->domains.count == 0 && (host = sterna_mod_host(m, i)) != NULL; i++) {
		char *domain = xasprintf("upload.%s", host);

		rc = serve(m, domain);
		free(domain);
	}
	if (rc == STERNA_OK)
		rc = upload_store_new(m, &u->store);
	if (rc != STERNA_OK) {
		free(u->domain);
		free(u);
	}
	return rc;
}

static void unload(struct sterna_mod *m)
{
	struct upload *u = sterna_mod_data(m);

	upload_store_free(&u->store);
	free(u->domain);
	free(u);
}

STERNA_MODULE(upload, .spec = "XEP-0363 1.2.0", .summary = "HTTP File Upload",
	.needs = (const char *const[]){ "disco", NULL },
	.options = options, .config_size = sizeof(struct upload_config), .metrics = metrics, .load = load, .unload = unload,
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVICE, NS_UPLOAD, "request", on_slot },
		{ STERNA_SET, STERNA_SERVICE, NS_SWEEP, "sweep", on_sweep },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_INFO, "query", on_info },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_ITEMS, "query", on_items }, { 0 } },
	.commands = upload_commands,
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.http = (const struct sterna_route[]){
		{ "PUT", PATH, on_put, STERNA_HTTP_BELOW | STERNA_HTTP_CORS | STERNA_HTTP_STREAM },
		{ "GET", PATH, on_get, STERNA_HTTP_BELOW | STERNA_HTTP_CORS | STERNA_HTTP_STREAM }, { 0 } });
