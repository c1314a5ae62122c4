/* XEP-0060 §16.4.4: the configuration of a node - one table for its form, its check, and its JSON. See pubsub.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/pubsub.h"
#include "xep/text.h"

enum kind { BOOLEAN, CHOICE, COUNT, TEXT, GROUPS, FIXED };
enum { MAX_TEXT = 512, MAX_GROUPS = 2048 };

struct field {
	const char *var;             /* without "pubsub#" */
	enum kind kind;
	size_t offset;
	const char *label;
	const char *choices;         /* CHOICE: "a|b"; FIXED: the one value */
	bool is_public;              /* part of the meta-data */
};

#define AT(member) offsetof(struct pubsub_config, member)
static const struct field fields[] = {
	{ "title", TEXT, AT(title), "A short name for the node", NULL, true },
	{ "description", TEXT, AT(description), "A description of the node", NULL, true },
	{ "type", TEXT, AT(type), "The namespace of the payloads", NULL, true },
	{ "language", TEXT, AT(language), "The default language", NULL, true },
	{ "access_model", CHOICE, AT(access), "Who may subscribe and retrieve items",
		"open|presence|roster|authorize|whitelist", true },
	{ "roster_groups_allowed", GROUPS, AT(groups), "Roster groups that may subscribe and retrieve items", NULL, false },
	{ "publish_model", CHOICE, AT(publishers), "Who may publish", "publishers|subscribers|open", true },
	{ "max_items", COUNT, AT(max_items), "How many items are kept", NULL, true },
	{ "item_expire", COUNT, AT(item_expire), "Seconds after which items are removed, or max", NULL, false },
	{ "max_payload_size", COUNT, AT(max_payload), "The largest payload, in bytes", NULL, false },
	{ "persist_items", BOOLEAN, AT(persist), "Whether items are stored", NULL, false },
	{ "deliver_payloads", BOOLEAN, AT(payloads), "Whether notifications hold the payloads", NULL, false },
	{ "deliver_notifications", BOOLEAN, AT(notifications), "Whether anyone is notified", NULL, false },
	{ "notify_retract", BOOLEAN, AT(notify_retract), "Whether removed items are notified", NULL, false },
	{ "notify_delete", BOOLEAN, AT(notify_delete), "Whether the node's end is notified", NULL, false },
	{ "notify_config", BOOLEAN, AT(notify_config), "Whether a new configuration is notified", NULL, false },
	{ "send_last_published_item", CHOICE, AT(send_last), "When the last item is sent",
		"never|on_sub|on_sub_and_presence", false },
	{ "notification_type", CHOICE, AT(notification), "The type of notifications", "headline|normal", false },
	{ "subscribe", BOOLEAN, AT(subscribe), "Whether one may subscribe", NULL, false },
	{ "notify_sub", BOOLEAN, AT(notify_sub), "Whether owners hear of new subscriptions and of their end", NULL, false },
	{ "purge_offline", FIXED, 0, "Whether items end with their publisher's session", "0", false },
	{ "presence_based_delivery", FIXED, 0, "Whether only available subscribers are notified", "0", false },
	{ "itemreply", FIXED, 0, "Whom replies go to", "owner", false },
	{ "tempsub", FIXED, 0, "Whether subscriptions end with presence", "0", false },
	{ "node_type", FIXED, 0, "What kind of node it is", "leaf", false },
	{ "collection", FIXED, 0, "Which collections it is in", "", false },
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void *at(const struct pubsub_config *cfg, const struct field *f)
{
	return (char *)cfg + f->offset;
}

static const struct field *find(const char *var)
{
	static const char prefix[] = "pubsub#";

	if (strncmp(var, prefix, sizeof prefix - 1) != 0)
		return NULL;
	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].var, var + sizeof prefix - 1) == 0)
			return &fields[i];
	return NULL;
}

static bool find_choice(const char *choices, const char *value, unsigned *out)
{
	unsigned i = 0;

	for (const char *p = choices; *p != '\0'; i++) {
		const size_t n = strcspn(p, "|");

		if (strlen(value) == n && memcmp(p, value, n) == 0) {
			*out = i;
			return true;
		}
		p += n + (p[n] == '|');
	}
	return false;
}

static const char *choice(struct sterna_call *c, const char *choices, unsigned index)
{
	const char *p = choices;

	for (; index > 0; index--)
		p += strcspn(p, "|") + 1;
	return sterna_printf(c, "%.*s", (int)strcspn(p, "|"), p);
}

/* --- what nodes have by default --- */

struct known {
	const char *prefix;          /* of the node's name; the whole name if it ends there */
	bool whole;
	enum pubsub_access access;
	unsigned max_items;
	enum pubsub_send_last send_last;
};
/* Keys that strangers need in order to write, and lists that are nobody else's: as their XEPs say, for clients that
 * do not say it themselves. */
static const struct known known[] = {
	{ "eu.siacs.conversations.axolotl.", false, PUBSUB_OPEN, 1, PUBSUB_LAST_ON_PRESENCE },
	{ "urn:xmpp:omemo:2:devices", true, PUBSUB_OPEN, 1, PUBSUB_LAST_ON_PRESENCE },
	{ "urn:xmpp:omemo:2:bundles", true, PUBSUB_OPEN, PUBSUB_MAX, PUBSUB_LAST_NEVER },
	{ "urn:xmpp:openpgp:0:public-keys", false, PUBSUB_OPEN, 1, PUBSUB_LAST_ON_PRESENCE },
	{ "urn:xmpp:openpgp:0:secret-key", true, PUBSUB_WHITELIST, 1, PUBSUB_LAST_NEVER },
	{ "urn:xmpp:bookmarks:1", true, PUBSUB_WHITELIST, PUBSUB_MAX, PUBSUB_LAST_NEVER },
	{ "urn:xmpp:mds:displayed:0", true, PUBSUB_WHITELIST, PUBSUB_MAX, PUBSUB_LAST_NEVER },
	{ "storage:bookmarks", true, PUBSUB_WHITELIST, 1, PUBSUB_LAST_ON_PRESENCE },
};

enum { SERVICE_ITEMS = 20 };             /* what a node of a service keeps, if nobody says */

void pubsub_config_default(struct pubsub_config *cfg, bool on_service, const char *node)
{
	*cfg = (struct pubsub_config){ .access = on_service ? PUBSUB_OPEN : PUBSUB_PRESENCE,
		.publishers = PUBSUB_BY_PUBLISHERS, .send_last = PUBSUB_LAST_ON_PRESENCE,
		.max_items = on_service ? SERVICE_ITEMS : 1, .item_expire = PUBSUB_MAX, .max_payload = PUBSUB_MAX,
		.persist = true, .payloads = true, .notifications = true, .notify_retract = true, .notify_delete = true,
		.subscribe = true };
	for (size_t i = 0; !on_service && node != NULL && i < sizeof known / sizeof *known; i++)
		if (known[i].whole ? strcmp(node, known[i].prefix) == 0
			: strncmp(node, known[i].prefix, strlen(known[i].prefix)) == 0) {
			cfg->access = known[i].access;
			cfg->max_items = known[i].max_items;
			cfg->send_last = known[i].send_last;
		}
}

void pubsub_config_clear(struct pubsub_config *cfg)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].kind == TEXT || fields[i].kind == GROUPS) {
			char **text = at(cfg, &fields[i]);

			free(*text);
			*text = NULL;
		}
}

static void copy(struct pubsub_config *to, const struct pubsub_config *from)
{
	*to = *from;
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].kind == TEXT || fields[i].kind == GROUPS) {
			char **text = at(to, &fields[i]);

			*text = *text != NULL ? xstrdup(*text) : NULL;
		}
}

/* --- values --- */

static bool read_bool(const char *value, bool *out)
{
	*out = strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
	return *out || strcmp(value, "0") == 0 || strcmp(value, "false") == 0;
}

static bool read_count(const char *value, unsigned *out)
{
	char *end = NULL;

	if (strcmp(value, "max") == 0) {
		*out = PUBSUB_MAX;
		return true;
	}
	if (value[0] < '0' || value[0] > '9' || strlen(value) > 10)
		return false;
	const unsigned long long n = strtoull(value, &end, 10);

	*out = n < PUBSUB_MAX ? (unsigned)n : PUBSUB_MAX;
	return *end == '\0' && n < PUBSUB_MAX;
}

static bool set_text(char **text, const char *value, size_t max)
{
	if (strlen(value) > max)
		return false;
	free(*text);
	*text = value[0] != '\0' ? xstrdup(value) : NULL;
	return true;
}

static bool set_value(struct pubsub_config *cfg, const struct field *f, const char *value)
{
	bool b;

	switch (f->kind) {
	case BOOLEAN:
		return read_bool(value, at(cfg, f));
	case CHOICE:
		return find_choice(f->choices, value, at(cfg, f));
	case COUNT:
		return read_count(value, at(cfg, f));
	case TEXT:
		return set_text(at(cfg, f), value, MAX_TEXT);
	case GROUPS:
		return set_text(at(cfg, f), value, MAX_GROUPS);
	case FIXED:
		return strcmp(value, f->choices) == 0 || (f->choices[0] == '0' && read_bool(value, &b) && !b);
	}
	return false;
}

static bool within(struct pubsub_config *cfg, const struct pubsub_limits *l)
{
	if (cfg->max_items == 0)
		cfg->max_items = 1; /* one is what a node without history remembers: the last */
	if (cfg->item_expire == 0)
		cfg->item_expire = PUBSUB_MAX;
	if (cfg->max_items == l->items)
		cfg->max_items = PUBSUB_MAX; /* the same, however it is said */
	if (cfg->max_payload == l->payload || cfg->max_payload == 0)
		cfg->max_payload = PUBSUB_MAX;
	return (cfg->max_items == PUBSUB_MAX || cfg->max_items <= l->items)
		&& (cfg->max_payload == PUBSUB_MAX || cfg->max_payload <= l->payload);
}

/* All values of a field in one text, a line each. */
static const char *lines(struct sterna_call *c, const struct sterna_elem *field)
{
	struct buf b = BUF_INIT;
	const char *text;

	elem_foreach(v, field)
		if (elem_is(v, "value", NS_DATA))
			buf_addf(&b, "%s%s", buf_len(&b) > 0 ? "\n" : "", text_of(c, v));
	text = sterna_printf(c, "%s", buf_len(&b) > 0 ? buf_str(&b) : "");
	buf_release(&b);
	return text;
}

/* §8.1.2: what is no access model here. A field without value changes nothing. */
static bool may_have_access(struct sterna_call *c, const struct sterna_elem *field)
{
	unsigned access;

	if (elem_child(field, "value", NULL) == NULL)
		return true;
	return find_choice("open|presence|roster|authorize|whitelist", lines(c, field), &access);
}

enum pubsub_result pubsub_config_set(struct pubsub_config *cfg, struct sterna_call *c, const struct sterna_elem *form,
	const struct pubsub_limits *limits)
{
	enum pubsub_result rc = PUBSUB_OK;
	struct pubsub_config new;

	copy(&new, cfg);
	elem_foreach(e, form) {
		const char *var = elem_attr(e, "var");

		if (!elem_is(e, "field", NS_DATA) || (var != NULL && strcmp(var, "FORM_TYPE") == 0))
			continue;
		const struct field *f = var != NULL ? find(var) : NULL;

		if (f == NULL)
			rc = PUBSUB_UNKNOWN_FIELD;
		else if (f->offset == AT(access) && f->kind == CHOICE && !may_have_access(c, e))
			rc = PUBSUB_BAD_ACCESS;
		else if ((elem_child(e, "value", NULL) != NULL || f->kind == GROUPS || f->kind == TEXT)
			&& !set_value(&new, f, lines(c, e)))
			rc = PUBSUB_BAD_VALUE;
		if (rc != PUBSUB_OK)
			break;
	}
	if (rc == PUBSUB_OK && !within(&new, limits))
		rc = PUBSUB_BAD_VALUE;
	if (rc == PUBSUB_OK) {
		pubsub_config_clear(cfg);
		*cfg = new;
	} else {
		pubsub_config_clear(&new);
	}
	return rc;
}

static bool same(const struct pubsub_config *a, const struct pubsub_config *b, const struct field *f)
{
	const void *x = at(a, f), *y = at(b, f);

	switch (f->kind) {
	case BOOLEAN:
		return *(const bool *)x == *(const bool *)y;
	case CHOICE:
	case COUNT:
		return *(const unsigned *)x == *(const unsigned *)y;
	case TEXT:
	case GROUPS: {
		const char *s = *(char *const *)x, *t = *(char *const *)y;

		return s == NULL || t == NULL ? s == t : strcmp(s, t) == 0;
	}
	case FIXED:
		return true;
	}
	return false;
}

enum pubsub_result pubsub_config_meets(const struct pubsub_config *cfg, struct sterna_call *c,
	const struct sterna_elem *form, const struct pubsub_limits *limits)
{
	struct pubsub_config wanted;
	enum pubsub_result rc;

	copy(&wanted, cfg);
	rc = pubsub_config_set(&wanted, c, form, limits);
	for (size_t i = 0; rc == PUBSUB_OK && i < FIELDS; i++)
		if (!same(cfg, &wanted, &fields[i]))
			rc = PUBSUB_NOT_MET;
	pubsub_config_clear(&wanted);
	return rc;
}

/* --- as a form --- */

static const char *value_text(struct sterna_call *c, const struct pubsub_config *cfg, const struct field *f)
{
	const unsigned *n = at(cfg, f);

	switch (f->kind) {
	case BOOLEAN:
		return *(bool *)at(cfg, f) ? "1" : "0";
	case CHOICE:
		return choice(c, f->choices, *n);
	case COUNT:
		return *n == PUBSUB_MAX ? "max" : sterna_printf(c, "%u", *n);
	case TEXT:
	case GROUPS:
		return *(char **)at(cfg, f);
	case FIXED:
		return f->choices;
	}
	return NULL;
}

static void add_options(struct sterna_call *c, struct sterna_elem *field, const struct field *f)
{
	for (const char *p = f->choices; *p != '\0';) {
		const size_t n = strcspn(p, "|");

		sterna_text(sterna_add(field, "option", NULL), "value", sterna_printf(c, "%.*s", (int)n, p));
		p += n + (p[n] == '|');
	}
}

static void add_groups(struct sterna_call *c, struct sterna_elem *field, const char *groups)
{
	for (const char *p = groups; p != NULL && *p != '\0';) {
		const size_t n = strcspn(p, "\n");

		sterna_text(field, "value", sterna_printf(c, "%.*s", (int)n, p));
		p += n + (p[n] == '\n');
	}
}

void pubsub_config_form(const struct pubsub_config *cfg, struct sterna_call *c, struct sterna_elem *form, bool brief)
{
	static const char *const types[] = { [BOOLEAN] = "boolean", [CHOICE] = "list-single", [COUNT] = "text-single",
		[TEXT] = "text-single", [GROUPS] = "text-multi", [FIXED] = "boolean" };

	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];

		if (f->kind == FIXED || (brief && !f->is_public))
			continue;
		struct sterna_elem *e = sterna_form_field(form, sterna_printf(c, "pubsub#%s", f->var), types[f->kind],
			f->kind == GROUPS ? NULL : value_text(c, cfg, f));

		sterna_attr(e, "label", f->label);
		if (f->kind == GROUPS)
			add_groups(c, e, cfg->groups);
		if (f->kind == CHOICE && !brief)
			add_options(c, e, f);
	}
}

/* --- as JSON --- */

static json_t *to_json(const struct pubsub_config *cfg, const struct field *f)
{
	const char *p = f->choices;

	switch (f->kind) {
	case BOOLEAN:
		return json_boolean(*(bool *)at(cfg, f));
	case CHOICE:
		for (unsigned i = *(unsigned *)at(cfg, f); i > 0; i--)
			p += strcspn(p, "|") + 1;
		return json_stringn(p, strcspn(p, "|"));
	case COUNT:
		return *(unsigned *)at(cfg, f) == PUBSUB_MAX ? json_string("max")
			: json_integer(*(unsigned *)at(cfg, f));
	case TEXT:
	case GROUPS:
		return *(char **)at(cfg, f) != NULL ? json_string(*(char **)at(cfg, f)) : NULL;
	case FIXED:
		break;
	}
	return NULL;
}

char *pubsub_config_json(const struct pubsub_config *cfg)
{
	json_t *o = json_object();

	for (size_t i = 0; i < FIELDS; i++) {
		json_t *v = to_json(cfg, &fields[i]);

		if (v != NULL)
			json_object_set_new(o, fields[i].var, v);
	}
	char *text = json_dumps(o, JSON_COMPACT), *out = xstrdup(text != NULL ? text : "{}");

	free(text);
	json_decref(o);
	return out;
}

static bool from_json(struct pubsub_config *cfg, const struct field *f, const json_t *v)
{
	if (json_is_boolean(v) && f->kind == BOOLEAN) {
		*(bool *)at(cfg, f) = json_is_true(v);
		return true;
	}
	if (json_is_integer(v) && f->kind == COUNT) {
		const json_int_t n = json_integer_value(v);

		*(unsigned *)at(cfg, f) = n >= 0 && n < PUBSUB_MAX ? (unsigned)n : PUBSUB_MAX;
		return n >= 0;
	}
	/* An import (XEP-0227) writes texts; of what is fixed here it may say something else. */
	return f->kind == FIXED || (json_is_string(v) && set_value(cfg, f, json_string_value(v)));
}

bool pubsub_config_parse(struct pubsub_config *cfg, const char *json)
{
	json_t *o = json != NULL ? json_loads(json, 0, NULL) : NULL;
	bool ok = json_is_object(o);

	for (size_t i = 0; ok && i < FIELDS; i++) {
		const json_t *v = json_object_get(o, fields[i].var);

		if (v != NULL && !from_json(cfg, &fields[i], v))
			ok = false;
	}
	json_decref(o);
	return ok;
}
