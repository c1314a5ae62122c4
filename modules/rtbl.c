/* Real-time block lists: people and domains that others have found to spam, as Prosody's and ejabberd's modules read them
 * too; and one of our own.
 *
 * Who is on a list gets no message, no request for a subscription and no entry to a room past this module. Lists are
 * nodes of pubsub services (rtbl_feed.c); what was known when the process ended is known when the next one begins. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "modules/rtbl.h"

#define NS_MUC "http://jabber.org/protocol/muc"

#define O struct rtbl_options
static const struct sterna_option options[] = {
	STERNA_OPT(O, lists, NULL, NULL, "pubsub services and nodes, as xmppbl.org/muc_bans_sha256; a change needs the module loaded anew"),
	STERNA_OPT(O, publish, NULL, NULL, "service and node of a list of our own, as pubsub.example.org/rtbl"),
	STERNA_OPT(O, host, NULL, NULL, "the host of ours that subscribes and publishes; default: the first"),
	STERNA_OPT(O, contacts, "pass", "pass|refuse", "listed ones who are in the recipient's roster"),
	STERNA_OPT(O, exceptions, NULL, NULL, "addresses and domains that pass, listed or not"),
	STERNA_OPT(O, items, "100000", "100..10000000", "of one list that are kept; more are not looked at"),
	STERNA_OPT(O, refresh, "1h", "1m..7d", "after which a list is fetched and subscribed to anew"),
	{ 0 }
};

static const char *const kinds[] = { "message", "subscription", "join", NULL };
static const struct sterna_metric metrics[] = {
	[RTBL_M_REFUSED] = { "sterna_rtbl_refused_total", "What those on block lists were refused.", METRIC_COUNTER,
		.labels = { { "kind", kinds } } },
	[RTBL_M_ITEMS] = { "sterna_rtbl_items", "Hashes on the block lists that are kept.", METRIC_GAUGE },
	[RTBL_M_BAD] = { "sterna_rtbl_bad_items_total", "Items whose id is no SHA-256 in hexadecimal.", METRIC_COUNTER },
	{ 0 }
};

/* --- who is on one --- */

static bool is_excepted(const struct sterna_list *l, const char *text)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->item[i], text) == 0)
			return true;
	return false;
}

/* @return the list's name, or NULL */
static const char *find(struct rtbl *r, const struct jid *j)
{
	char address[RTBL_HASH_LEN], domain[RTBL_HASH_LEN];
	const char *name = NULL;

	rtbl_hash(jid_bare(j), address);
	rtbl_hash(jid_domain(j), domain);
	pthread_rwlock_rdlock(&r->lock);
	for (size_t i = 0; name == NULL && i < r->count; i++)
		if (map_get(&r->list[i].items, address) != NULL || map_get(&r->list[i].items, domain) != NULL)
			name = r->list[i].name;
	pthread_rwlock_unlock(&r->lock);
	return name;
}

enum { MESSAGE, SUBSCRIPTION, JOIN, NOTHING };

static unsigned what_is_it(struct sterna_call *c)
{
	const char *type = sterna_type(c);

	if (sterna_kind(c) == STERNA_MESSAGE)
		return strcmp(type, "error") == 0 ? NOTHING : MESSAGE;
	if (sterna_kind(c) != STERNA_PRESENCE)
		return NOTHING;
	if (strcmp(type, "subscribe") == 0)
		return SUBSCRIPTION;
	return strcmp(type, "available") == 0 && elem_child(sterna_stanza(c), "x", NS_MUC) != NULL ? JOIN : NOTHING;
}

static bool passes(struct sterna_call *c)
{
	const struct rtbl_options *o = sterna_config(c);
	const struct jid *from = sterna_from(c);

	if (sterna_mod_has_domain(sterna_mod(c), jid_domain(from)) || is_excepted(&o->exceptions, jid_bare(from))
		|| is_excepted(&o->exceptions, jid_domain(from)))
		return true;
	return o->contacts == 0 && sterna_in_roster(c, from);
}

static enum sterna_verdict on_in(struct sterna_call *c)
{
	struct rtbl *r = sterna_mod_data(sterna_mod(c));
	unsigned what;
	const char *list;

	if (rtbl_takes(c))
		return STERNA_DONE;
	if (atomic_load(&r->total) == 0 || (what = what_is_it(c)) == NOTHING || passes(c)
		|| (list = find(r, sterna_from(c))) == NULL)
		return STERNA_NEXT;
	log_info("rtbl", "refused", "stanza_id", LOG_UINT(sterna_trace(c)), "kind", kinds[what], "from", jid_bare(sterna_from(c)),
		"list", list);
	sterna_mod_count(sterna_mod(c), RTBL_M_REFUSED, what, 1);
	return sterna_reject(c, STERNA_POLICY_VIOLATION, "the sender, or its server, is on a block list");
}

/* --- commands --- */

static const char *const states[] = { "new", "asked", "live", "failed" };

static enum sterna_result put_json(json_t *o, struct buf *out)
{
	char *text = json_dumps(o, 0);

	json_decref(o);
	if (text == NULL)
		return STERNA_EINVAL;
	buf_puts(out, text);
	free(text);
	return STERNA_OK;
}

static enum sterna_result on_list(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out)
{
	struct rtbl *r = sterna_mod_data(m);
	json_t *all = json_array();

	(void)argc, (void)argv;
	pthread_rwlock_rdlock(&r->lock);
	for (size_t i = 0; i < r->count; i++) {
		const struct rtbl_list *l = &r->list[i];

		json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:s?, s:b}", "list", l->name, "state",
			states[l->state], "items", (json_int_t)l->items.count, "complete_us", (json_int_t)l->complete_us, "changed_us",
			(json_int_t)l->changed_us, "full", (int)l->full, "why", *l->why != '\0' ? l->why : NULL, "ours",
			(int)(r->publish != NULL && strcmp(r->publish, l->name) == 0)));
	}
	pthread_rwlock_unlock(&r->lock);
	return put_json(all, out);
}

static enum sterna_result on_check(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out)
{
	struct rtbl *r = sterna_mod_data(m);
	struct jid *j = NULL;
	const char *list;

	if (argc != 1 || jid_parse(argv[0], strlen(argv[0]), &j) != STERNA_OK)
		return STERNA_EINVAL;
	list = find(r, j);
	json_t *o = json_pack("{s:s, s:b, s:s?}", "jid", jid_bare(j), "listed", (int)(list != NULL), "list", list);

	jid_unref(&j);
	return put_json(o, out);
}

static enum sterna_verdict change(struct sterna_call *c, bool add)
{
	const struct rtbl *r = sterna_mod_data(sterna_mod(c));
	const char *target = sterna_command_arg(c, "target");
	char hash[RTBL_HASH_LEN];
	struct jid *j = NULL;

	if (r->publish == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "rtbl.publish names no list of our own");
	if (rtbl_read_hash(target, hash)) {
		; /* as others tell it */
	} else if (jid_parse(target, strlen(target), &j) == STERNA_OK && jid_resource(j) == NULL) {
		rtbl_hash(jid_full(j), hash);
	} else {
		jid_unref(&j);
		return sterna_reject(c, STERNA_BAD_REQUEST, "that is no address, domain or hash");
	}
	if (add)
		rtbl_publish(c, hash, sterna_command_arg(c, "reason"));
	else
		rtbl_retract(c, hash);
	sterna_command_result(c, json_pack("{s:s, s:s, s:s}", "target", j != NULL ? jid_full(j) : hash, "hash", hash, "list",
		r->publish));
	jid_unref(&j);
	return STERNA_DONE;
}

static enum sterna_verdict on_add(struct sterna_call *c)
{
	return change(c, true);
}

static enum sterna_verdict on_remove(struct sterna_call *c)
{
	return change(c, false);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field check_fields[] = {
	{ "jid", STERNA_FIELD_JID, true, "an address or a domain", NULL }, { 0 } };
static const struct sterna_field add_fields[] = {
	{ "target", STERNA_FIELD_TEXT, true, "an address, a domain, or the hash of one", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "why, for all who read the list", NULL }, { 0 } };
static const struct sterna_field remove_fields[] = {
	{ "target", STERNA_FIELD_TEXT, true, "an address, a domain, or the hash of one", NULL }, { 0 } };

enum { MAY = STERNA_ADMIN | STERNA_OPERATOR, SERVER = STERNA_COMMAND_SERVER };

static const struct sterna_command commands[] = {
	{ .name = "rtbl list", .summary = "block lists: how many are on each, and whether it is kept up to date", .roles = MAY,
	  .flags = SERVER | STERNA_COMMAND_READ, .fields = none, .fn = on_list },
	{ .name = "rtbl check", .summary = "is an address or a domain on a block list?", .roles = MAY,
	  .flags = SERVER | STERNA_COMMAND_READ, .fields = check_fields, .fn = on_check },
	{ .name = "rtbl add", .summary = "put an address or a domain on our own block list", .roles = MAY, .flags = SERVER,
	  .fields = add_fields, .run = on_add, .place = STERNA_ON_OWNER },
	{ .name = "rtbl remove", .summary = "take one from our own block list", .roles = MAY, .flags = SERVER,
	  .fields = remove_fields, .run = on_remove, .place = STERNA_ON_OWNER },
	{ 0 }
};

/* --- life --- */

static char *copy(const char *text)
{
	return text != NULL ? xasprintf("%s", text) : NULL;
}

/* "service/node", in the service's normal form. */
static enum sterna_result add_list(struct rtbl *r, const char *text, const uint64_t keys[2])
{
	const char *slash = strchr(text, '/');
	struct rtbl_list *l = &r->list[r->count];
	struct jid *j = NULL;

	if (slash == NULL || slash[1] == '\0' || strlen(text) > RTBL_NAME_MAX
		|| jid_parse(text, (size_t)(slash - text), &j) != STERNA_OK || r->count == RTBL_LISTS_MAX) {
		jid_unref(&j);
		log_error("rtbl", "no list, or too many; write service/node, as xmppbl.org/muc_bans_sha256", "list", text);
		return STERNA_EINVAL;
	}
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->list[i].name, text) == 0) {
			jid_unref(&j);
			return STERNA_OK;
		}
	l->service = copy(jid_full(j));
	l->name = xasprintf("%s%s", l->service, slash);
	l->node = l->name + strlen(l->service) + 1;
	jid_unref(&j);
	map_init(&l->items, keys[0], keys[1]);
	map_init(&l->fresh, keys[0], keys[1]);
	r->count++;
	return STERNA_OK;
}

static void unload(struct sterna_mod *m)
{
	struct rtbl *r = sterna_mod_data(m);

	for (size_t i = 0; i < r->count; i++) {
		rtbl_set_clear(&r->list[i].items);
		rtbl_set_clear(&r->list[i].fresh);
		map_clear(&r->list[i].items);
		map_clear(&r->list[i].fresh);
		free(r->list[i].name);
		free(r->list[i].service);
	}
	pthread_rwlock_destroy(&r->lock);
	free(r->domain);
	free(r->publish);
	free(r);
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct rtbl_options *o = sterna_mod_config(m);
	struct rtbl *r = xalloc(sizeof *r);
	enum sterna_result rc = STERNA_OK;
	char mac[STERNA_MAC_LEN];
	uint64_t keys[2];

	sterna_sign(m, "rtbl", mac); /* hexadecimal, and a secret: whoever fills a list cannot make hashes collide */
	memcpy(keys, mac, sizeof keys);
	sterna_mod_set_data(m, r);
	pthread_rwlock_init(&r->lock, NULL);
	r->domain = copy(o->host != NULL ? o->host : sterna_mod_host(m, 0));
	if (r->domain != NULL && !sterna_has_host(m, r->domain)) {
		log_error("rtbl", "the host is none of ours", "host", r->domain);
		rc = STERNA_EINVAL;
	}
	if (o->publish != NULL && rc == STERNA_OK)
		rc = add_list(r, o->publish, keys);
	if (o->publish != NULL && rc == STERNA_OK)
		r->publish = copy(r->list[0].name);
	for (size_t i = 0; rc == STERNA_OK && i < o->lists.count; i++)
		rc = add_list(r, o->lists.item[i], keys);
	if (rc != STERNA_OK) {
		unload(m);
		return rc;
	}
	rtbl_load_rows(m, r, o->items);
	sterna_mod_count(m, RTBL_M_ITEMS, 0, (int64_t)atomic_load(&r->total));
	return STERNA_OK;
}

STERNA_MODULE(rtbl, .summary = "Real-time block lists: kept up to date, and one of our own", .options = options,
	.config_size = sizeof(struct rtbl_options), .metrics = metrics, .commands = commands, .load = load, .unload = unload,
	.on = (const struct sterna_lifecycle[]){ { STERNA_WORKER_TICK, rtbl_on_tick }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_IN_POLICY, on_in, NULL, STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ, STERNA_HOOK_NOT_MANY }, { 0 } });
