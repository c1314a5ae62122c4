/* Threat detection: rules over the events of the audit; who does too much of something is told of, throttled, has to log in
 * anew, or is kept out for a time.
 *
 * What is done is done by the server's commands (isolate, throttle, session relogin), so that it is recorded, survives a
 * restart, ends by itself, and is taken back by command. Events are heard on all workers; the counters lie under a lock.
 * docs/threats.md. */
#include "modules/threat.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 3072 };

#define R struct threat_rule_config
static const struct sterna_option rule_options[] = {
	STERNA_OPT(R, event, STERNA_REQUIRED, NULL, "type of the audit's event, as 'login.failed'"),
	STERNA_OPT(R, by, "subject", NULL, "whom it counts for: 'subject', 'address', a datum of the event, or 'domain:' and a datum"),
	STERNA_OPT(R, distinct, NULL, NULL, "count only what differs in this: 'subject', or a datum"),
	STERNA_OPT(R, sum, NULL, NULL, "add up this number of the event"),
	STERNA_OPT(R, count, "10", "1..1000", "so many are too many"),
	STERNA_OPT(R, within, "10m", "1s..30d", "in so long"),
	STERNA_OPT(R, speed, "0", "0..100000", "km/h between two logins, in place of counting; needs geo"),
	STERNA_OPT(R, action, "alert", "alert|throttle|relogin|suspend|isolate", "what is done; all are recorded and logged"),
	STERNA_OPT(R, hold, "15m", "1s..365d", "how long what is done lasts; the rule is silent meanwhile"),
	STERNA_OPT(R, dry_run, "false", NULL, "say what would be done, and do nothing"),
	{ 0 }
};
#define T struct threat_config
static const struct sterna_option options[] = {
	STERNA_OPT(T, dry_run, "false", NULL, "of all rules: say what would be done, and do nothing"),
	STERNA_OPT_MAP(T, rules, R, name, rule_options, "the rules, by name; none: the usual ones (docs/threats.md), which only alert"),
	STERNA_OPT(T, exceptions, NULL, NULL, "addresses, accounts and domains to whom nothing is done"),
	STERNA_OPT(T, geo, NULL, NULL, "database of places of addresses, GeoLite2-City.mmdb or its like"),
	STERNA_OPT(T, memory, "16MiB", "64KiB..4GiB", "of what was seen of late; more forgets what was not heard of for longest"),
	STERNA_OPT(T, detections, "1000", "10..100000", "of which `threat list` knows"),
	{ 0 }
};

enum { M_DETECTIONS, M_ACTIONS, M_BYTES };
static const struct sterna_metric metrics[] = {
	[M_DETECTIONS] = { "sterna_threat_detections_total", "Times that a rule saw too much.", METRIC_COUNTER },
	[M_ACTIONS] = { "sterna_threat_actions_total", "Things that were done about it.", METRIC_COUNTER },
	[M_BYTES] = { "sterna_threat_bytes", "Memory of what was seen of late.", METRIC_GAUGE },
	{ 0 }
};

struct detection {
	int64_t number, at_us;
	unsigned rule, actions;
	enum threat_of of;
	uint64_t total;
	char *key;
	bool dry, undone;
};
struct threat {
	struct threat_rule *rules;
	size_t rule_count;
	struct threat_geo *geo;
	pthread_mutex_t lock;                    /* of all below */
	struct threat_counts *counts;            /* made when the first event comes */
	struct detection *ring;
	size_t size;
	int64_t last;                            /* number of the newest */
	size_t told_bytes;
};

static const char *const action_words[] = { "alert", "throttle", "relogin", "suspend", "isolate" };

static void action_text(unsigned actions, char out[64])
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < sizeof action_words / sizeof *action_words; i++)
		if ((actions & 1u << i) != 0)
			n += (size_t)snprintf(out + n, 64 - n, "%s%s", n > 0 ? " " : "", action_words[i]);
}

/* --- what is done --- */

static void order(struct sterna_call *c, const struct detection *d, const char *rule, int64_t hold_us)
{
	char hold[32], reason[128];

	snprintf(hold, sizeof hold, "%" PRId64 "s", hold_us / 1000000);
	snprintf(reason, sizeof reason, "rule %.60s, detection %" PRId64, rule, d->number);
	if ((d->actions & THREAT_THROTTLE) != 0)
		(void)sterna_order(sterna_mod(c), (const char *const[]){ "throttle", d->key, hold, reason, NULL });
	if ((d->actions & (THREAT_SUSPEND | THREAT_ISOLATE)) != 0)
		(void)sterna_order(sterna_mod(c), (const char *const[]){ "isolate", d->key, hold, reason, NULL });
	if ((d->actions & THREAT_RELOGIN) != 0)
		(void)sterna_order(sterna_mod(c), (const char *const[]){ "session", "relogin", d->key, reason, NULL });
	sterna_count(c, M_ACTIONS, 1);
}

static bool is_excepted(const struct threat_config *cfg, const char *key)
{
	const char *at = strchr(key, '@');

	for (size_t i = 0; i < cfg->exceptions.count; i++)
		if (strcmp(cfg->exceptions.item[i], key) == 0 || (at != NULL && strcmp(cfg->exceptions.item[i], at + 1) == 0))
			return true;
	return false;
}

/* Of accounts, ours alone; of domains, others'. */
static bool may_act(struct sterna_call *c, enum threat_of of, const char *key)
{
	const char *at = strchr(key, '@');

	if (is_excepted(sterna_config(c), key))
		return false;
	if (of == THREAT_OF_ACCOUNT)
		return at != NULL && sterna_has_host(sterna_mod(c), at + 1);
	return of == THREAT_OF_ADDRESS || !sterna_mod_has_domain(sterna_mod(c), key);
}

static void note(struct threat *t, struct detection *d)
{
	struct detection *slot;

	pthread_mutex_lock(&t->lock);
	d->number = ++t->last;
	slot = &t->ring[(size_t)d->number % t->size];
	free(slot->key);
	*slot = *d;
	slot->key = xstrdup(d->key);
	pthread_mutex_unlock(&t->lock);
}

static void fire(struct sterna_call *c, unsigned index, const char *key, uint64_t total)
{
	const struct threat_config *cfg = sterna_config(c);
	struct threat *t = sterna_mod_data(sterna_mod(c));
	const struct threat_rule *r = &t->rules[index];
	struct detection d = { .at_us = sterna_now_us(c), .rule = index, .of = r->of, .total = total,
		.key = (char *)(uintptr_t)key, .dry = cfg->dry_run || r->cfg->dry_run,
		.actions = may_act(c, r->of, key) ? r->actions : r->actions & THREAT_ALERT };
	char actions[64], until[STERNA_STAMP_LEN];

	note(t, &d);
	action_text(d.actions, actions);
	log_warning("threat", d.dry ? "seen (dry run)" : "seen", "rule", r->cfg->name, "target", key, "count", LOG_UINT(total),
		"actions", actions);
	sterna_count(c, M_DETECTIONS, 1);
	sterna_audit(c, "sterna.threat.detected.v1", r->of == THREAT_OF_ACCOUNT ? key : NULL, (const struct sterna_datum[]){
		STERNA_NUMBER("detection", d.number), STERNA_DATUM("rule", r->cfg->name), STERNA_PERSONAL("target", key),
		STERNA_NUMBER("count", (int64_t)total), STERNA_DATUM("actions", actions), STERNA_DATUM("mode", d.dry ? "dry" : "real"),
		STERNA_DATUM("until", sterna_stamp((time_t)((d.at_us + r->cfg->hold.us) / 1000000), until)), { 0 } });
	if (!d.dry && (d.actions & ~(unsigned)THREAT_ALERT) != 0)
		order(c, &d, r->cfg->name, r->cfg->hold.us);
}

/* --- what is heard --- */

static struct threat_counts *counts_of(struct sterna_call *c, struct threat *t)
{
	const struct threat_config *cfg = sterna_config(c);
	uint64_t seed[2];

	if (t->counts == NULL) {
		sterna_random(c, seed, sizeof seed);
		t->counts = threat_counts_new(cfg->memory.bytes, seed);
	}
	return t->counts;
}

static bool travels(struct sterna_call *c, struct threat *t, unsigned index, const struct sterna_audit_event *e, const char *key,
	uint64_t *total)
{
	static const struct threat_rule where = { .of = THREAT_OF_ADDRESS, .by = "address" };
	struct threat_place place;
	unsigned speed = 0;
	char address[64];

	if (t->geo == NULL || !threat_key(&where, e, address, sizeof address) || !threat_geo_find(t->geo, address, &place))
		return false;
	pthread_mutex_lock(&t->lock);
	const bool fired = threat_travel(counts_of(c, t), index, t->rules[index].cfg, key, &place, sterna_now_us(c), &speed);

	pthread_mutex_unlock(&t->lock);
	*total = speed;
	return fired;
}

static bool counts(struct sterna_call *c, struct threat *t, unsigned index, const struct sterna_audit_event *e, const char *key,
	uint64_t *total)
{
	const struct threat_rule_config *cfg = t->rules[index].cfg;
	const char *distinct = cfg->distinct != NULL ? threat_text(e, cfg->distinct) : NULL;
	int64_t more;

	if (cfg->distinct != NULL && distinct == NULL)
		return false;
	pthread_mutex_lock(&t->lock);
	const bool fired = threat_count(counts_of(c, t), index, cfg, key, distinct, cfg->sum != NULL ? threat_number(e, cfg->sum) : 1,
		sterna_now_us(c), total);

	more = (int64_t)threat_counts_bytes(t->counts) - (int64_t)t->told_bytes;
	t->told_bytes = threat_counts_bytes(t->counts);
	pthread_mutex_unlock(&t->lock);
	if (more != 0)
		sterna_mod_count(sterna_mod(c), M_BYTES, 0, more);
	return fired;
}

static void on_event(struct sterna_call *c, const struct sterna_audit_event *e)
{
	struct threat *t = sterna_mod_data(sterna_mod(c));
	char key[KEY_MAX];
	uint64_t total = 0;

	for (unsigned i = 0; i < t->rule_count; i++) {
		const struct threat_rule *r = &t->rules[i];

		if (!threat_is_of(r->cfg, e->type) || !threat_key(r, e, key, sizeof key))
			continue;
		if (r->cfg->speed > 0 ? travels(c, t, i, e, key, &total) : counts(c, t, i, e, key, &total))
			fire(c, i, key, total);
	}
}

/* --- commands --- */

static json_t *detection_json(const struct threat *t, const struct detection *d)
{
	char actions[64], stamp[STERNA_STAMP_LEN];

	action_text(d->actions, actions);
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s, s:b, s:b}", "detection", (json_int_t)d->number, "at",
		sterna_stamp_us(d->at_us, stamp), "rule", t->rules[d->rule].cfg->name, "target", d->key, "count", (json_int_t)d->total,
		"actions", actions, "dry_run", (int)d->dry, "undone", (int)d->undone);
}

static enum sterna_result list(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out)
{
	struct threat *t = sterna_mod_data(m);
	json_t *all = json_array();
	char *text;

	(void)argc;
	(void)argv;
	pthread_mutex_lock(&t->lock);
	for (int64_t n = t->last; n > 0 && n > t->last - (int64_t)t->size; n--)
		json_array_append_new(all, detection_json(t, &t->ring[(size_t)n % t->size]));
	pthread_mutex_unlock(&t->lock);
	text = json_dumps(all, JSON_COMPACT);
	buf_puts(out, text != NULL ? text : "[]");
	free(text);
	json_decref(all);
	return STERNA_OK;
}

/* What the rule has seen of it is forgotten too: else the next small thing would be too much again. */
static enum sterna_result undo(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out)
{
	struct threat *t = sterna_mod_data(m);
	const int64_t number = argc > 0 ? strtoll(argv[0], NULL, 10) : 0;
	struct detection *d;
	char *key = NULL;
	bool acted = false;

	pthread_mutex_lock(&t->lock);
	d = number > 0 ? &t->ring[(size_t)number % t->size] : NULL;
	if (d != NULL && d->number == number && !d->undone) {
		d->undone = true;
		key = xstrdup(d->key);
		acted = !d->dry && (d->actions & (THREAT_THROTTLE | THREAT_SUSPEND | THREAT_ISOLATE)) != 0;
		threat_forget(t->counts, d->rule, d->key);
	}
	pthread_mutex_unlock(&t->lock);
	if (key == NULL)
		return STERNA_ENOTFOUND;
	if (acted)
		(void)sterna_order(m, (const char *const[]){ "release", key, "undone", NULL });
	buf_addf(out, "{\"released\":%s}", acted ? "true" : "false");
	free(key);
	return STERNA_OK;
}

/* --- life --- */

static bool make_rules(struct threat *t, const struct threat_config *cfg)
{
	const struct threat_rule_config *rules = cfg->rules.count > 0 ? cfg->rules.item : threat_usual;

	t->rule_count = cfg->rules.count > 0 ? cfg->rules.count : threat_usual_count;
	t->rules = xalloc(t->rule_count * sizeof *t->rules);
	for (size_t i = 0; i < t->rule_count; i++) {
		const char *wrong = threat_rule_check(&rules[i], &t->rules[i]);

		if (wrong != NULL) {
			log_error("threat", "a rule is wrong", "rule", rules[i].name, "why", wrong);
			return false;
		}
		if (rules[i].speed > 0 && cfg->geo == NULL && cfg->rules.count > 0)
			log_warning("threat", "a rule with speed needs geo; it sees nothing", "rule", rules[i].name);
	}
	return true;
}

static void threat_free(struct threat *t)
{
	for (size_t i = 0; i < t->size; i++)
		free(t->ring[i].key);
	free(t->ring);
	free(t->rules);
	threat_counts_free(&t->counts);
	threat_geo_close(&t->geo);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct threat_config *cfg = sterna_mod_config(m);
	struct threat *t = xalloc(sizeof *t);
	const char *why = "";

	pthread_mutex_init(&t->lock, NULL);
	t->size = cfg->detections;
	t->ring = xalloc(t->size * sizeof *t->ring);
	if (!make_rules(t, cfg)) {
		threat_free(t);
		return STERNA_EINVAL;
	}
	if (cfg->geo != NULL && (t->geo = threat_geo_open(sterna_mod_file(m, cfg->geo), &why)) == NULL) {
		log_error("threat", "the database of places cannot be used", "file", cfg->geo, "why", why);
		threat_free(t);
		return STERNA_EINVAL;
	}
	sterna_mod_set_data(m, t);
	return STERNA_OK;
}

static void unload(struct sterna_mod *m)
{
	threat_free(sterna_mod_data(m));
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field undo_fields[] = {
	{ "detection", STERNA_FIELD_NUMBER, true, "Its number, as `threat list` shows it", NULL }, { 0 } };

STERNA_MODULE(threat, .summary = "Threat detection: rules over the audit's events",
	.options = options, .config_size = sizeof(struct threat_config), .metrics = metrics,
	.audit = on_event,
	.commands = (const struct sterna_command[]){
		{ .name = "threat list", .summary = "what the rules have seen, the newest first", .fn = list,
		  .roles = STERNA_ADMIN | STERNA_OPERATOR | STERNA_AUDITOR, .flags = STERNA_COMMAND_READ | STERNA_COMMAND_SERVER,
		  .fields = none },
		{ .name = "threat undo", .args = "DETECTION", .summary = "take back what was done about one of them", .fn = undo,
		  .roles = STERNA_ADMIN | STERNA_OPERATOR, .flags = STERNA_COMMAND_SERVER, .fields = undo_fields }, { 0 } },
	.load = load, .unload = unload);
