/* threat_rule.c - what a rule means, and what of an event it looks at. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "modules/threat.h"

#define MINUTE_US INT64_C(60000000)
#define HOUR_US (60 * MINUTE_US)
static const char *const alert_only[] = { "alert" };
#define ALERT { (const char **)alert_only, 1 }
#define RULE(name_, event_, by_, count_, within_, ...) { .name = name_, .event = event_, .by = by_, .count = count_, \
	.within = { within_ }, .hold = { 15 * MINUTE_US }, .action = ALERT, __VA_ARGS__ }

const struct threat_rule_config threat_usual[] = {
	RULE("guessing", "login.failed", "subject", 30, 10 * MINUTE_US, .distinct = NULL),
	RULE("guessing_address", "login.failed", "address", 50, 10 * MINUTE_US, .distinct = NULL),
	RULE("spray", "login.failed", "address", 10, 10 * MINUTE_US, .distinct = "subject"),
	RULE("mass_joins", "room.joined", "jid", 50, MINUTE_US, .distinct = "subject"),
	RULE("mass_joins_domain", "room.joined", "domain:jid", 500, MINUTE_US, .distinct = "jid"),
	RULE("exports", "data.exported", "subject", 100, HOUR_US, .sum = "accounts"),
	RULE("reports", "report.received", "jid", 5, HOUR_US, .distinct = "subject"),
	RULE("reports_domain", "report.received", "domain:jid", 20, HOUR_US, .distinct = "subject"),
	RULE("travel", "login.accepted", "subject", 1, 24 * HOUR_US, .speed = 1000),
};
const size_t threat_usual_count = sizeof threat_usual / sizeof *threat_usual;

static unsigned action_of(const char *word)
{
	static const char *const words[] = { "alert", "throttle", "relogin", "suspend", "isolate" };

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i], word) == 0)
			return 1u << i;
	return 0; /* the option's range knows no other */
}

const char *threat_rule_check(const struct threat_rule_config *cfg, struct threat_rule *out)
{
	struct threat_rule r = { .cfg = cfg, .by = cfg->by, .of = THREAT_OF_ACCOUNT };

	if (strncmp(cfg->by, "domain:", 7) == 0) {
		r.of = THREAT_OF_DOMAIN;
		r.by = cfg->by + 7;
	} else if (strcmp(cfg->by, "address") == 0) {
		r.of = THREAT_OF_ADDRESS;
	}
	for (size_t i = 0; i < cfg->action.count; i++)
		r.actions |= action_of(cfg->action.item[i]);
	if (cfg->speed > 0 && (r.of != THREAT_OF_ACCOUNT || cfg->distinct != NULL || cfg->sum != NULL))
		return "with speed, a rule is by an account, and counts nothing";
	if (cfg->distinct != NULL && cfg->sum != NULL)
		return "either distinct or sum";
	if (r.of == THREAT_OF_ADDRESS && (r.actions & (THREAT_RELOGIN | THREAT_SUSPEND)) != 0)
		return "an address can be throttled or isolated; relogin and suspend are for accounts (by: subject)";
	if (r.of == THREAT_OF_DOMAIN && (r.actions & (THREAT_RELOGIN | THREAT_SUSPEND | THREAT_THROTTLE)) != 0)
		return "a domain can be isolated, and nothing else";
	if (r.of == THREAT_OF_ACCOUNT && (r.actions & THREAT_ISOLATE) != 0)
		return "an account can be suspended; isolate is for addresses and domains (by: address, by: domain:NAME)";
	*out = r;
	return NULL;
}

bool threat_is_of(const struct threat_rule_config *cfg, const char *type)
{
	const size_t n = strlen(cfg->event);

	return strncmp(type, "sterna.", 7) == 0 && strncmp(type + 7, cfg->event, n) == 0 && strncmp(type + 7 + n, ".v", 2) == 0;
}

static const struct sterna_datum *datum(const struct sterna_audit_event *e, const char *name)
{
	for (const struct sterna_datum *d = e->data; d != NULL && d->name != NULL; d++)
		if (strcmp(d->name, name) == 0)
			return d;
	return NULL;
}

const char *threat_text(const struct sterna_audit_event *e, const char *name)
{
	const struct sterna_datum *d;

	if (strcmp(name, "subject") == 0)
		return e->subject;
	d = datum(e, name);
	return d != NULL && d->kind != STERNA_DATUM_NUMBER ? d->text : NULL;
}

uint64_t threat_number(const struct sterna_audit_event *e, const char *name)
{
	const struct sterna_datum *d = datum(e, name);

	return d != NULL && d->kind == STERNA_DATUM_NUMBER && d->number > 0 ? (uint64_t)d->number : 1;
}

/* "192.0.2.1:5222", "[2001:db8::1]:5222" */
static bool address_key(const char *peer, char *out, size_t size)
{
	unsigned char v4[4], v6[16];
	char text[64];
	const char *from = *peer == '[' ? peer + 1 : peer, *end = *peer == '[' ? strchr(peer, ']') : strrchr(peer, ':');
	const size_t n = end != NULL ? (size_t)(end - from) : strlen(from);

	if (n >= sizeof text || (*peer == '[' && end == NULL))
		return false;
	memcpy(text, from, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, v4) == 1)
		return inet_ntop(AF_INET, v4, out, (socklen_t)size) != NULL;
	if (inet_pton(AF_INET6, text, v6) != 1)
		return false;
	memset(v6 + 8, 0, 8);
	return inet_ntop(AF_INET6, v6, out, (socklen_t)size) != NULL;
}

bool threat_key(const struct threat_rule *r, const struct sterna_audit_event *e, char *out, size_t size)
{
	const char *text = threat_text(e, r->by);
	struct jid *j = NULL;
	int n;

	if (text == NULL)
		return false;
	if (r->of == THREAT_OF_ADDRESS)
		return address_key(text, out, size);
	if (jid_parse(text, strlen(text), &j) != STERNA_OK) /* who exports is "uid 0" */
		n = r->of == THREAT_OF_ACCOUNT ? snprintf(out, size, "%s", text) : -1;
	else
		n = snprintf(out, size, "%s", r->of == THREAT_OF_DOMAIN ? jid_domain(j) : jid_bare(j));
	jid_unref(&j);
	return n > 0 && (size_t)n < size;
}
