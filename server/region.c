/* region.c - residency, and what is counted of the links between regions. */
#include "server/region.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/server.h"

bool region_name_is_good(const char *name)
{
	const size_t len = strlen(name);

	return len > 0 && len <= REGION_NAME_MAX
		&& strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

/* --- residency --- */

static bool is_below(const char *pattern, const char *domain)
{
	const size_t len = strlen(domain), tail = strlen(pattern) - 1;

	return strncmp(pattern, "*.", 2) == 0 && len > tail && strcmp(domain + len - tail, pattern + 1) == 0;
}

static const char *find(const struct sterna_pairs *p, const char *key, bool pattern, const char **rule)
{
	for (size_t i = 0; i < p->count; i++)
		if (pattern ? is_below(p->key[i], key) : strcmp(p->key[i], key) == 0) {
			if (rule != NULL)
				*rule = p->key[i];
			return p->value[i];
		}
	return NULL;
}

const char *region_of(const struct config *c, const struct jid *j, const char **rule)
{
	const char *region = find(&c->residency, jid_bare(j), false, rule);

	if (region == NULL)
		region = find(&c->residency, jid_domain(j), false, rule);
	if (region == NULL)
		region = find(&c->residency, jid_domain(j), true, rule);
	return region;
}

bool region_refuses(const struct config *c, const struct jid *j, char text[REGION_TEXT])
{
	const char *region = c->residency.count > 0 ? region_of(c, j, NULL) : NULL;

	if (region == NULL || strcmp(region, c->server.region) == 0)
		return false;
	snprintf(text, REGION_TEXT, "what belongs to this address stays in the region %s, and this server is in %s", region,
		c->server.region);
	return true;
}

/* --- metrics --- */

enum { M_UP, M_WAITING, M_OLDEST, M_LATENCY, METRICS };

struct regions {
	char *names[REGIONS_MAX + 1];
	size_t count;
	struct sterna_metric table[METRICS + 1];
	struct metric_set *set;
};

static unsigned number_of(const struct regions *r, const char *name)
{
	for (unsigned i = 0; i < r->count; i++)
		if (strcmp(r->names[i], name) == 0)
			return i;
	return REGIONS_MAX;
}

static void fill(struct regions *r)
{
	r->table[M_UP] = (struct sterna_metric){ "sterna_region_links", "Links to servers of that region that are connected.",
		METRIC_GAUGE };
	r->table[M_WAITING] = (struct sterna_metric){ "sterna_region_waiting",
		"Stanzas for servers of that region that wait, or are not confirmed.", METRIC_GAUGE };
	r->table[M_OLDEST] = (struct sterna_metric){ "sterna_region_longest_wait_seconds",
		"How long the oldest of those has waited.", METRIC_GAUGE_MAX, .scale = 1e-6 };
	r->table[M_LATENCY] = (struct sterna_metric){ "sterna_region_confirmation_seconds",
		"Until a server of that region has confirmed what it was sent.", METRIC_HISTOGRAM, .bounds = metric_bounds_us,
		.scale = 1e-6 };
	for (unsigned i = 0; i < METRICS; i++) {
		r->table[i].labels[0].name = "region";
		r->table[i].labels[0].values = (const char *const *)r->names;
	}
}

enum sterna_result regions_new(struct server *s, struct regions **out)
{
	const struct config_route *routes = config_routes(s->config);
	struct regions *r = xalloc(sizeof *r);
	enum sterna_result rc = STERNA_OK;

	for (size_t i = 0; i < s->config->routes.count; i++)
		if (routes[i].region != NULL && r->count < REGIONS_MAX && number_of(r, routes[i].region) == REGIONS_MAX)
			r->names[r->count++] = xstrdup(routes[i].region);
	if (r->count > 0) {
		fill(r);
		rc = metrics_add(s->metrics, r->table, &r->set);
	}
	*out = r;
	return rc;
}

void regions_free(struct server *s, struct regions **regions)
{
	struct regions *r = *regions;

	*regions = NULL;
	if (r == NULL)
		return;
	if (r->set != NULL)
		metrics_remove(s->metrics, &r->set);
	for (size_t i = 0; i < r->count; i++)
		free(r->names[i]);
	free(r);
}

unsigned region_index(const struct server *s, const char *domain)
{
	const struct config_route *route = s->regions->count > 0 ? config_route(s->config, domain) : NULL;

	return route != NULL && route->region != NULL ? number_of(s->regions, route->region) : REGIONS_MAX;
}

void regions_store(struct worker *w, const struct region_load load[REGIONS_MAX])
{
	const struct regions *r = w->server->regions;

	for (unsigned i = 0; i < r->count; i++) {
		metric_store(r->set, w->index, M_UP, i, load[i].up);
		metric_store(r->set, w->index, M_WAITING, i, load[i].waiting);
		metric_store(r->set, w->index, M_OLDEST, i, load[i].oldest_us);
	}
}

void regions_observe(struct worker *w, const char *domain, uint64_t us)
{
	const unsigned i = region_index(w->server, domain);

	if (i != REGIONS_MAX)
		metric_observe(w->server->regions->set, w->index, M_LATENCY, i, us);
}
