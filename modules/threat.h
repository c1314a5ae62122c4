/* threat.h - between the files of the module threat: rules over the audit's events, and how often each has been seen of
 * late. Counters are bounded in bytes; what was not heard of for longest goes first.
 *
 * A *key* is whom a rule counts for: an address, an account, a domain. Time comes in with each call. */
#ifndef THREAT_H
#define THREAT_H

#include <pthread.h>
#include "server/module.h"

enum threat_action { THREAT_ALERT = 1, THREAT_THROTTLE = 2, THREAT_RELOGIN = 4, THREAT_SUSPEND = 8, THREAT_ISOLATE = 16 };
enum threat_of { THREAT_OF_ADDRESS, THREAT_OF_DOMAIN, THREAT_OF_ACCOUNT };

struct threat_rule_config {
	const char *name, *event, *by, *distinct, *sum;
	unsigned count, speed;
	struct sterna_duration within, hold;
	struct sterna_list action;
	bool dry_run;
};
struct threat_config {
	bool dry_run;
	struct sterna_array rules;               /* of struct threat_rule_config */
	struct sterna_list exceptions;
	const char *geo;
	struct sterna_size memory;
	unsigned detections;
};

/** A rule, checked. */
struct threat_rule {
	const struct threat_rule_config *cfg;
	enum threat_of of;
	const char *by;                          /* the datum's name; "subject" */
	unsigned actions;                        /* bits of enum threat_action */
};

/** Somewhere on earth: degrees, and how far off that may be. */
struct threat_place { double latitude, longitude, radius_km; };

/* --- counting: threat_count.c; one thread at a time --- */

struct threat_counts;
struct threat_counts *threat_counts_new(uint64_t bytes, const uint64_t seed[2]);
void threat_counts_free(struct threat_counts **c);
size_t threat_counts_bytes(const struct threat_counts *c);
size_t threat_counts_keys(const struct threat_counts *c);
/** One event more of this key. distinct: what has to differ, or NULL; weight: at least 1. A rule that has fired for a key
 *  is silent for it for cfg->hold.
 *  @param[out] total  what was counted within cfg->within, this one included
 *  @return it is as much as cfg->count, and the rule was not silent */
bool threat_count(struct threat_counts *c, unsigned rule, const struct threat_rule_config *cfg, const char *key,
	const char *distinct, uint64_t weight, int64_t now_us, uint64_t *total);
/** Somebody is there now. @param[out] speed  km/h since the last time, of what is certain of both places
 *  @return it is faster than cfg->speed, and the rule was not silent */
bool threat_travel(struct threat_counts *c, unsigned rule, const struct threat_rule_config *cfg, const char *key,
	const struct threat_place *place, int64_t now_us, unsigned *speed);
/** As if nothing had been seen of it. */
void threat_forget(struct threat_counts *c, unsigned rule, const char *key);

/* --- rules: threat_rule.c --- */

/** @return NULL; or what is wrong with it, static */
const char *threat_rule_check(const struct threat_rule_config *cfg, struct threat_rule *out);
/** What there is without rules in the configuration: they only alert. */
extern const struct threat_rule_config threat_usual[];
extern const size_t threat_usual_count;
/** Is it of that type, "sterna.login.failed.v1" by the word "login.failed"? */
bool threat_is_of(const struct threat_rule_config *cfg, const char *type);
/** The key for a rule, in its normal form: an address without port (IPv6: its /64), a bare JID, a domain. size: of out.
 *  @return false: the event has none */
bool threat_key(const struct threat_rule *r, const struct sterna_audit_event *e, char *out, size_t size);
/** A datum's text, "subject", or NULL; of "domain:x" the domain. */
const char *threat_text(const struct sterna_audit_event *e, const char *name);
uint64_t threat_number(const struct sterna_audit_event *e, const char *name);

/* --- places: threat_geo.c --- */

struct threat_geo;
/** A database of MaxMind's format. why: static. @return NULL: why */
struct threat_geo *threat_geo_open(const char *file, const char **why);
void threat_geo_close(struct threat_geo **g);
/** @return false: it is not known where that address is. Any thread */
bool threat_geo_find(struct threat_geo *g, const char *address, struct threat_place *out);

#endif
