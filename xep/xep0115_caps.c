/* XEP-0115 Entity Capabilities 1.6.0: the server's own in the stream features (§6.3), and those of clients, asked
 * for once per hash, verified (§5.4), and offered to other modules (caps.h).
 *
 * The account asks, by its bare JID: the clients of its own, and of contacts that may see its presence anyway. */
#include <stdlib.h>
#include <string.h>
#include "xep/caps.h"
#include "xep/caps_cache.h"
#include "xep/text.h"

#define NS_CAPS "http://jabber.org/protocol/caps"

enum { PENDING = 256, ID_SIZE = 22, PATIENCE_US = 30 * 1000000, MAX_FEATURE_BYTES = 16 * 1024 };

struct caps_config {
	unsigned cache_entries;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct caps_config, cache_entries, "2000", "64..100000",
		"how many kinds of clients are remembered; taken at start"),
	{ 0 }
};

enum { M_ASKED, M_VERIFIED, M_WRONG };
static const struct sterna_metric metrics[] = {
	[M_ASKED] = { "sterna_caps_asked_total", "Clients asked for their features.", METRIC_COUNTER },
	[M_VERIFIED] = { "sterna_caps_verified_total", "Answers that have the announced hash.", METRIC_COUNTER },
	[M_WRONG] = { "sterna_caps_wrong_total", "Answers that do not have the announced hash.", METRIC_COUNTER },
	{ 0 }
};

/* What load() makes: the interface first, so that it is found from it. */
struct caps_data {
	struct caps interface;
	struct caps_cache *cache;
};

/* A question under way; a worker has so many at once, and forgets those without answer. */
struct pending {
	char ver[CAPS_VER_SIZE];         /* "": free */
	char id[ID_SIZE];
	uint64_t whom;                   /* hash of the full JID that was asked */
	uint64_t asker;                  /* of the account: each asks for itself, and so learns when to look again */
	int64_t asked_us;
};
struct caps_worker {
	struct pending pending[PENDING];
};

static struct caps_cache *cache_of(struct sterna_call *c)
{
	const struct caps_data *d = sterna_mod_data(sterna_mod(c));

	return d->cache;
}

static uint64_t hash_of(const char *text)
{
	uint64_t h = 14695981039346656037u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

/* The hash that presence announces, if it is one that can be verified: 20 bytes in base 64. */
static const char *announced(const struct sterna_elem *presence, const char **node)
{
	const struct sterna_elem *e = elem_child(presence, "c", NS_CAPS);
	const char *hash = e != NULL ? elem_attr(e, "hash") : NULL, *ver = e != NULL ? elem_attr(e, "ver") : NULL;

	*node = e != NULL ? elem_attr(e, "node") : NULL;
	if (hash == NULL || strcmp(hash, "sha-1") != 0 || ver == NULL || *node == NULL
		|| strlen(ver) != CAPS_VER_SIZE - 1)
		return NULL;
	return ver;
}

static bool has(const struct caps *self, const struct sterna_elem *presence, const char *feature)
{
	const struct caps_data *d = (const struct caps_data *)self;
	const char *node, *ver = announced(presence, &node);

	return ver != NULL && caps_cache_has(d->cache, ver, feature);
}

/* --- asking --- */

/* A place for a new question about this hash; NULL: the account is asking it, or too many are asked. */
static struct pending *place_for(struct caps_worker *w, const char *ver, uint64_t asker, int64_t now_us)
{
	struct pending *free_one = NULL;

	for (size_t i = 0; i < PENDING; i++) {
		struct pending *p = &w->pending[i];

		if (p->ver[0] == '\0' || now_us - p->asked_us > PATIENCE_US)
			free_one = p;
		else if (p->asker == asker && strcmp(p->ver, ver) == 0)
			return NULL;
	}
	return free_one;
}

static void ask(struct sterna_call *c, struct pending *p, const char *node, const char *ver)
{
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT), *query;
	unsigned char r[8];

	sterna_random(c, r, sizeof r);
	strncpy(p->ver, ver, sizeof p->ver - 1);
	strncpy(p->id, sterna_printf(c, "caps-%02x%02x%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5],
		r[6], r[7]), sizeof p->id - 1);
	p->whom = hash_of(jid_full(sterna_from(c)));
	p->asker = hash_of(sterna_owner(c));
	p->asked_us = sterna_now_us(c);
	sterna_attr(iq, "type", "get");
	sterna_attr(iq, "id", p->id);
	sterna_attr(iq, "from", sterna_owner(c));
	sterna_attr(iq, "to", jid_full(sterna_from(c)));
	query = sterna_add(iq, "query", NS_DISCO_INFO);
	sterna_attr(query, "node", sterna_printf(c, "%s#%s", node, ver));
	sterna_send(c, iq);
	sterna_count(c, M_ASKED, 1);
}

static enum sterna_verdict on_presence(struct sterna_call *c)
{
	struct caps_worker *w = sterna_worker_slot(c);
	const char *node, *ver;
	struct pending *p;

	if (strcmp(sterna_type(c), "available") != 0 || w == NULL
		|| jid_local(sterna_owner_jid(c)) == NULL || sterna_next_session(c, NULL) == NULL)
		return STERNA_NEXT;
	ver = announced(sterna_stanza(c), &node);
	if (ver == NULL || jid_resource(sterna_from(c)) == NULL || caps_cache_knows(cache_of(c), ver)
		|| !(sterna_is_own(c) || sterna_may_see(c, sterna_from(c))))
		return STERNA_NEXT;
	p = place_for(w, ver, hash_of(sterna_owner(c)), sterna_now_us(c));
	if (p != NULL)
		ask(c, p, node, ver);
	return STERNA_NEXT;
}

/* --- the answer --- */

static char *feature_text(const struct sterna_elem *query)
{
	struct buf b = BUF_INIT;
	char *text;

	buf_putc(&b, '\n');
	elem_foreach(e, query)
		if (elem_is(e, "feature", NS_DISCO_INFO) && elem_attr(e, "var") != NULL)
			buf_addf(&b, "%s\n", elem_attr(e, "var"));
	text = buf_len(&b) <= MAX_FEATURE_BYTES ? xstrdup(buf_str(&b)) : NULL;
	buf_release(&b);
	return text;
}

static void take_answer(struct sterna_call *c, const struct pending *p)
{
	const struct sterna_elem *query = elem_child(sterna_stanza(c), "query", NS_DISCO_INFO);
	char ver[CAPS_VER_SIZE], *features;

	if (query == NULL || !caps_ver(c, query, ver) || strcmp(ver, p->ver) != 0) {
		sterna_count(c, M_WRONG, 1);
		return;
	}
	features = feature_text(query);
	if (features != NULL)
		caps_cache_put(cache_of(c), ver, &features);
	sterna_count(c, M_VERIFIED, 1);
}

/* Results and errors that come to the account itself are answers to what it has asked. */
static enum sterna_verdict on_iq(struct sterna_call *c)
{
	const bool is_result = strcmp(sterna_type(c), "result") == 0, is_error = strcmp(sterna_type(c), "error") == 0;
	struct caps_worker *w = sterna_worker_slot(c);
	const char *id = sterna_id(c);

	if ((!is_result && !is_error) || w == NULL || id == NULL || strncmp(id, "caps-", 5) != 0
		|| sterna_to(c) == NULL || jid_resource(sterna_to(c)) != NULL)
		return STERNA_NEXT;
	for (size_t i = 0; i < PENDING; i++) {
		struct pending *p = &w->pending[i];

		if (p->ver[0] == '\0' || strcmp(p->id, id) != 0 || p->whom != hash_of(jid_full(sterna_from(c))))
			continue;
		if (is_result)
			take_answer(c, p);
		memset(p, 0, sizeof *p);
		return STERNA_NEXT; /* others may have waited for what is known now: caps.h */
	}
	return STERNA_NEXT;
}

/* --- our own: §6.3 --- */

static void advertise(struct sterna_call *c, struct sterna_elem *features)
{
	char ver[CAPS_VER_SIZE];

	if (!caps_ver(c, disco_info(c, STERNA_SERVER), ver))
		return;
	struct sterna_elem *e = sterna_add(features, "c", NS_CAPS);

	sterna_attr(e, "hash", "sha-1");
	sterna_attr(e, "node", STERNA_CAPS_NODE);
	sterna_attr(e, "ver", ver);
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct caps_config *cfg = sterna_mod_config(m);
	struct caps_data *d = xalloc(sizeof *d);

	d->interface.has = has;
	d->cache = caps_cache_new(cfg->cache_entries);
	sterna_mod_set_data(m, d);
	sterna_provide(m, "caps", CAPS_VERSION, &d->interface);
	return STERNA_OK;
}

static void unload(struct sterna_mod *m)
{
	struct caps_data *d = sterna_mod_data(m);

	caps_cache_free(&d->cache);
	free(d);
}

STERNA_MODULE(caps, .spec = "XEP-0115 1.6.0", .summary = "Entity Capabilities",
	.needs = (const char *const[]){ "disco", NULL },
	.options = options, .config_size = sizeof(struct caps_config), .worker_size = sizeof(struct caps_worker),
	.metrics = metrics, .load = load, .unload = unload,
	.features = (const struct sterna_feature[]){ { NS_CAPS, STERNA_SERVER }, { 0 } },
	.stream_features = (const struct sterna_advert[]){ { advertise }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_COPY, on_presence, NULL, STERNA_PRESENCE },
		{ STERNA_IN_COPY, on_presence, NULL, STERNA_PRESENCE, STERNA_HOOK_NOT_MANY },
		{ STERNA_IN_POLICY, on_iq, NULL, STERNA_IQ }, { 0 } });
