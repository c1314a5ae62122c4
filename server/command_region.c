/* command_region.c - commands about regions: where something has to stay, and how the links to other regions are. */
#include <stdlib.h>
#include <string.h>
#include "server/region.h"
#include "server/request.h"
#include "server/s2s_impl.h"

/* The region that its server is in, as far as the routes say; NULL: not known. */
static const char *region_reached(const struct server *s, const char *domain)
{
	const struct config_route *route = config_route(s->config, domain);

	return server_host(s, domain) != NULL ? s->config->server.region : route != NULL ? route->region : NULL;
}

static void residency_explain(struct request *r)
{
	const struct server *s = r->daemon->server;
	const char *given = request_arg(r, "jid"), *rule = NULL, *region, *reached;
	char text[REGION_TEXT + 80];
	struct jid *j = NULL;

	if (jid_parse(given, strlen(given), &j) != STERNA_OK) {
		request_refuse(r, "failed", "jid", "'%s' is no address", given);
		return;
	}
	const bool ours = server_host(s, jid_domain(j)) != NULL;

	region = region_of(s->config, j, &rule);
	reached = region_reached(s, jid_domain(j));
	if (region == NULL)
		snprintf(text, sizeof text, "no rule of 'residency' names it: its data are where its server is");
	else if (!ours && reached == NULL)
		snprintf(text, sizeof text, "another server's; no route says in which region that is");
	else if (!ours)
		snprintf(text, sizeof text, "another server's, in the region %s: %s", reached,
			strcmp(reached, region) == 0 ? "as the rule wants it" : "not the one that the rule wants");
	else if (!region_refuses(s->config, j, text))
		snprintf(text, sizeof text, "here: its archive, uploads and audit are stored by this server");
	request_answer(r, json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:b, s:s}", "jid", jid_bare(j), "rule", rule, "region",
		region, "here", s->config->server.region, "server_in", reached, "ours", (int)ours, "refused",
		(int)(ours && region != NULL && region_refuses(s->config, j, (char[REGION_TEXT]){ 0 })), "text", text));
	jid_unref(&j);
}

static json_t *links_part(struct worker *w, struct request_part *p)
{
	json_t *list = json_array();
	const struct map_entry *e;

	(void)p;
	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;) {
		const struct s2s_link *l = e->value;
		const struct config_route *route = config_route(w->server->config, jid_full(l->remote));

		if (route == NULL || route->region == NULL)
			continue;
		json_t *o = s2s_link_json(l);

		json_object_set_new(o, "region", json_string(route->region));
		json_array_append_new(list, o);
	}
	return list;
}

static void listed(struct request *r)
{
	request_answer(r, request_joined(r));
}

static void region_list(struct request *r)
{
	request_gather(r, NULL, links_part, listed);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field jid_fields[] = {
	{ "jid", STERNA_FIELD_JID, true, "an account, a room or a domain", NULL }, { 0 } };

#define COMMAND(name_, roles_, flags_, fields_, summary_, fn_) \
	{ .c = { .name = name_, .roles = roles_, .flags = flags_, .fields = fields_, .summary = summary_ }, .fn = fn_ }

const struct command region_commands[] = {
	COMMAND("region list", STERNA_ADMIN | STERNA_OPERATOR, STERNA_COMMAND_SERVER | STERNA_COMMAND_READ, none,
		"links to other regions: latency and what waits", region_list),
	COMMAND("residency explain", STERNA_ADMIN | STERNA_OPERATOR | STERNA_AUDITOR, STERNA_COMMAND_SERVER | STERNA_COMMAND_READ,
		jid_fields, "where the data of an address have to stay, and why", residency_explain),
	{ .fn = NULL }
};
