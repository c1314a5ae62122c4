/* command_s2s_peer.c - another domain as a whole: what it uses of its budgets, and its links. */
#include <stdlib.h>
#include <string.h>
#include "server/isolation.h"
#include "server/request.h"
#include "server/s2s_impl.h"

static const char *const budget_names[S2S_BUDGETS] = { [CONFIG_BUDGET_STANZAS] = "stanzas", [CONFIG_BUDGET_BYTES] = "bytes",
	[CONFIG_BUDGET_PRESENCE] = "presence", [CONFIG_BUDGET_SUBSCRIPTIONS] = "subscriptions", [CONFIG_BUDGET_JOINS] = "joins" };

/* --- one domain --- */

struct worker *s2s_command_owner(struct request *r)
{
	struct jid *j = NULL;

	const char *domain = request_arg(r, "domain");

	if (jid_parse(domain, strlen(domain), &j) != STERNA_OK || jid_local(j) != NULL || jid_resource(j) != NULL) {
		jid_unref(&j);
		request_refuse(r, "failed", "domain", "'%s' is no domain", domain);
		return NULL;
	}
	if (server_host(r->daemon->server, jid_full(j)) != NULL || !s2s_is_on(r->daemon->server)) {
		request_refuse(r, "failed", "domain", s2s_is_on(r->daemon->server) ? "'%s' is a domain of ours"
			: "s2s.enabled is false: there are no links to other servers", domain);
		jid_unref(&j);
		return NULL;
	}
	r->data = j;
	return s2s_owner(r->daemon->server, jid_full(j));
}

void s2s_command_answer(struct request *r)
{
	struct jid *j = r->data;

	r->data = NULL;
	jid_unref(&j);
	request_answer(r, json_incref(r->parts[0]));
}

static json_t *budgets_json(const struct worker *w, const struct s2s_peer *p, const char *domain)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < S2S_BUDGETS; i++) {
		const struct sterna_rate rate = config_budget(w->server->config, i, domain);

		json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:I, s:I}", "budget", budget_names[i], "count",
			(json_int_t)rate.count, "seconds", (double)rate.per_us / 1e6, "left",
			(json_int_t)(p != NULL ? p->bucket[i].tokens : (int64_t)rate.count), "beyond", (json_int_t)(p != NULL ? p->held[i] : 0)));
	}
	return list;
}

static json_t *links_json(const struct worker *w, const char *domain)
{
	json_t *list = json_array();
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;) {
		const struct s2s_link *l = e->value;

		if (strcmp(jid_full(l->remote), domain) == 0)
			json_array_append_new(list, s2s_link_json(l));
	}
	return list;
}

static json_t *show_part(struct worker *w, struct request_part *part)
{
	const char *domain = jid_full(request_of(part)->data);
	const struct s2s_peer *p = s2s_peer_find(w, domain);
	json_int_t in = 0, out = 0;

	for (const struct stream *s = w->streams; s != NULL; s = s->next)
		if (s->state == STREAM_BOUND && s->s2s != NULL && s->s2s->remote != NULL && strcmp(jid_full(s->s2s->remote), domain) == 0)
			*(s->s2s->out ? &out : &in) += 1;
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "domain", domain, "trust",
		config_trust_name(config_trust_of(w->server->config, domain)), "isolated",
		(int)isolation_has_domain(w->server, domain), "offences", (json_int_t)(p != NULL ? p->offences : 0), "all_offences", (json_int_t)(p != NULL ? p->all_offences : 0), "streams_in", in,
		"streams_out", out, "budgets", budgets_json(w, p, domain), "links", links_json(w, domain));
}

static void s2s_show_command(struct request *r)
{
	struct worker *w = s2s_command_owner(r);

	if (w != NULL)
		request_gather(r, w, show_part, s2s_command_answer);
}

static const struct sterna_field domain_fields[] = {
	{ "domain", STERNA_FIELD_JID, true, "domain of the other server", NULL }, { 0 } };
enum { MAY = STERNA_ADMIN | STERNA_OPERATOR, SERVER = STERNA_COMMAND_SERVER };

#define COMMAND(name_, flags_, fields_, summary_, fn_) \
	{ .c = { .name = name_, .roles = MAY, .flags = flags_, .fields = fields_, .summary = summary_ }, .fn = fn_ }

const struct command s2s_peer_commands[] = {
	COMMAND("s2s show", SERVER | STERNA_COMMAND_READ, domain_fields, "what another domain uses of its budgets, and its links",
		s2s_show_command),
	{ .fn = NULL }
};
