/* Tracing for a limited time: which stanzas come from and go to one account, or one stanza by its id; who refused what. No
 * content. Each worker has the whole list of traces, since a stanza ends where its recipient is; what it has seen lies in a
 * ring, and in the log under the component "trace". */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

enum { RING = 200, MINUTE_US = 60000000 };

struct trace_config {
	unsigned traces;
	struct sterna_duration time, longest;
};
static const struct sterna_option options[] = {
	STERNA_OPT(struct trace_config, traces, "16", "1..1000", "that are under way at once"),
	STERNA_OPT(struct trace_config, time, "10m", "1m..1d", "of a trace, if nothing is said"),
	STERNA_OPT(struct trace_config, longest, "1h", "1m..7d", "that a trace may last"),
	{ 0 }
};

struct seen {
	int64_t at_us;
	uint64_t trace;
	size_t bytes;
	char *from, *to, *id, *refused, *by;
	char type[16];
	unsigned kind;
};
struct trace {
	struct trace *next;
	char *jid, *stanza;              /* stanza: only the ones with this id; or NULL */
	int64_t until_us;
	unsigned count;                  /* seen in all; the ring has the last ones */
	struct seen ring[RING];
};
struct trace_worker { struct trace *traces; };

/* --- a worker's traces --- */

static void seen_clear(struct seen *s)
{
	free(s->from);
	free(s->to);
	free(s->id);
	free(s->refused);
	free(s->by);
	memset(s, 0, sizeof *s);
}

static void trace_free(struct trace *t)
{
	for (size_t i = 0; i < RING; i++)
		seen_clear(&t->ring[i]);
	free(t->jid);
	free(t->stanza);
	free(t);
}

static struct trace **find(struct sterna_call *c, const char *jid)
{
	struct trace_worker *w = sterna_worker_slot(c);
	struct trace **at = &w->traces;

	while (*at != NULL && strcmp((*at)->jid, jid) != 0)
		at = &(*at)->next;
	return at;
}

static bool drop(struct trace **at)
{
	struct trace *t = *at;

	if (t == NULL)
		return false;
	*at = t->next;
	trace_free(t);
	return true;
}

/* One that is over is still shown, for as long again as a trace may last. */
static void on_tick(struct sterna_call *c)
{
	const struct trace_config *cfg = sterna_config(c);
	struct trace_worker *w = sterna_worker_slot(c);

	for (struct trace **at = &w->traces; *at != NULL;)
		if (sterna_now_us(c) > (*at)->until_us + cfg->longest.us)
			drop(at);
		else
			at = &(*at)->next;
}

static void on_ended(struct sterna_call *c)
{
	struct trace_worker *w = sterna_worker_slot(c);

	while (w != NULL && drop(&w->traces))
		;
}

/* --- what is seen --- */

static char *copy(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

static void note(struct sterna_call *c, struct trace *t)
{
	struct seen *s = &t->ring[t->count++ % RING];
	const struct jid *to = sterna_to(c);
	size_t len = 0;

	seen_clear(s);
	(void)sterna_stanza_text(c, &len);
	s->at_us = sterna_now_us(c);
	s->trace = sterna_trace(c);
	s->bytes = len;
	s->kind = sterna_kind(c);
	s->from = xstrdup(jid_full(sterna_from(c)));
	s->to = copy(to != NULL ? jid_full(to) : NULL);
	s->id = copy(sterna_id(c));
	s->refused = copy(sterna_refused(c));
	s->by = copy(sterna_refused_by(c));
	snprintf(s->type, sizeof s->type, "%s", sterna_type(c));
	log_notice("trace", "stanza", "account", t->jid, "stanza_id", LOG_UINT(s->trace), "from", s->from, "to", s->to, "type",
		s->type, "id", s->id, "bytes", LOG_UINT(len), "refused", s->refused, "refused_by", s->by);
}

static bool concerns(struct sterna_call *c, const struct trace *t)
{
	const struct jid *from = sterna_from(c), *to = sterna_to(c);

	if (t->until_us < sterna_now_us(c)
		|| (t->stanza != NULL && (sterna_id(c) == NULL || strcmp(t->stanza, sterna_id(c)) != 0)))
		return false;
	return (from != NULL && strcmp(jid_bare(from), t->jid) == 0) || (to != NULL && strcmp(jid_bare(to), t->jid) == 0);
}

static enum sterna_verdict on_observe(struct sterna_call *c)
{
	const struct trace_worker *w = sterna_worker_slot(c);

	if (w->traces == NULL)
		sterna_rest(c, STERNA_REST_WORKER, true); /* until one is started */
	for (struct trace *t = w->traces; t != NULL; t = t->next)
		if (sterna_from(c) != NULL && concerns(c, t))
			note(c, t);
	return STERNA_NEXT;
}

/* --- commands: on each worker the same --- */

static bool at_host(struct sterna_call *c, const struct trace *t)
{
	return sterna_host(c) == NULL || strcmp(strchr(t->jid, '@') + 1, sterna_host(c)) == 0;
}

static enum sterna_verdict start(struct sterna_call *c)
{
	const struct trace_config *cfg = sterna_config(c);
	struct trace_worker *w = sterna_worker_slot(c);
	const char *jid = sterna_command_arg(c, "accountjid"), *minutes = sterna_command_arg(c, "minutes");
	const int64_t asked_us = minutes != NULL ? strtoll(minutes, NULL, 10) * MINUTE_US : cfg->time.us;
	char stamp[STERNA_STAMP_LEN];
	struct trace *t;
	unsigned count = 0;

	if (strchr(jid, '/') != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "an account's address is name@domain, without a resource");
	if (asked_us < MINUTE_US || asked_us > cfg->longest.us)
		return sterna_reject(c, STERNA_BAD_REQUEST, "minutes: from 1 to modules.trace.longest");
	drop(find(c, jid));
	for (t = w->traces; t != NULL; t = t->next)
		count++;
	if (count >= cfg->traces)
		return sterna_reject(c, STERNA_CONFLICT, "too many traces are under way; stop one");
	t = xalloc(sizeof *t);
	t->jid = xstrdup(jid);
	t->stanza = copy(sterna_command_arg(c, "stanza"));
	t->until_us = sterna_command_time(c) + asked_us;
	t->next = w->traces;
	w->traces = t;
	sterna_rest(c, STERNA_REST_WORKER, false);
	sterna_command_result(c, json_pack("{s:s, s:s}", "accountjid", jid, "until", sterna_stamp_us(t->until_us, stamp)));
	return STERNA_DONE;
}

static enum sterna_verdict stop(struct sterna_call *c)
{
	if (!drop(find(c, sterna_command_arg(c, "accountjid"))))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "that account is not traced");
	return STERNA_DONE;
}

/* A row for each worker: what it has seen is its own. */
static enum sterna_verdict list(struct sterna_call *c)
{
	const struct trace_worker *w = sterna_worker_slot(c);
	json_t *all = json_array();
	char stamp[STERNA_STAMP_LEN];

	for (const struct trace *t = w->traces; t != NULL; t = t->next)
		if (at_host(c, t))
			json_array_append_new(all, json_pack("{s:s, s:s?, s:s, s:b, s:i}", "accountjid", t->jid, "stanza", t->stanza,
				"until", sterna_stamp_us(t->until_us, stamp), "active", t->until_us >= sterna_now_us(c), "seen",
				(int)t->count));
	sterna_command_result(c, all);
	return STERNA_DONE;
}

static enum sterna_verdict show(struct sterna_call *c)
{
	static const char *const kinds[] = { [STERNA_MESSAGE] = "message", [STERNA_PRESENCE] = "presence", [STERNA_IQ] = "iq" };
	const struct trace *t = *find(c, sterna_command_arg(c, "accountjid"));
	json_t *all = json_array();
	char stamp[STERNA_STAMP_LEN];

	if (t == NULL) {
		json_decref(all);
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "that account is not traced");
	}
	for (unsigned i = t->count > RING ? t->count - RING : 0; i < t->count; i++) {
		const struct seen *s = &t->ring[i % RING];

		json_array_append_new(all, json_pack("{s:s, s:o, s:s, s:s, s:s, s:s?, s:s?, s:I, s:s?, s:s?}", "time",
			sterna_stamp_us(s->at_us, stamp), "stanza_id", json_sprintf("%llu", (unsigned long long)s->trace), "kind",
			kinds[s->kind], "type", s->type, "from", s->from, "to", s->to, "id", s->id, "bytes", (json_int_t)s->bytes,
			"refused", s->refused, "refused_by", s->by));
	}
	sterna_command_result(c, all);
	return STERNA_DONE;
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field account[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL }, { 0 } };
static const struct sterna_field start_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "minutes", STERNA_FIELD_NUMBER, false, "for so long; default: modules.trace.time", NULL },
	{ "stanza", STERNA_FIELD_TEXT, false, "only the stanza with this id", NULL }, { 0 } };

enum { MAY = STERNA_ADMIN | STERNA_OPERATOR, READ = STERNA_COMMAND_READ };
enum { KINDS = STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ };

STERNA_MODULE(trace, .summary = "Tracing of an account's stanzas for a limited time",
	.options = options, .config_size = sizeof(struct trace_config), .worker_size = sizeof(struct trace_worker),
	.hooks = (const struct sterna_hook[]){ { STERNA_OBSERVE, on_observe, NULL, KINDS, STERNA_HOOK_RESTS }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_WORKER_TICK, on_tick }, { STERNA_WORKER_ENDED, on_ended }, { 0 } },
	.commands = (const struct sterna_command[]){
		{ .name = "trace list", .roles = MAY, .flags = READ, .fields = none, .run = list, .place = STERNA_ON_WORKERS,
		  .summary = "which accounts are traced, on each worker" },
		{ .name = "trace show", .roles = MAY, .flags = READ, .fields = account, .run = show, .place = STERNA_ON_WORKERS,
		  .args = "JID", .summary = "the last stanzas of a trace, without their content" },
		{ .name = "trace start", .roles = MAY, .fields = start_fields, .run = start, .place = STERNA_ON_WORKERS,
		  .args = "JID [MINUTES [STANZA]]", .summary = "note an account's stanzas for a while, without their content" },
		{ .name = "trace stop", .roles = MAY, .fields = account, .run = stop, .place = STERNA_ON_WORKERS, .args = "JID",
		  .summary = "note no more, and forget" }, { 0 } });
