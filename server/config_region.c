/* config_region.c - what the configuration says about regions: names, and what stays where. */
#include <string.h>
#include "server/config_impl.h"
#include "server/jid.h"
#include "server/region.h"

static enum sterna_result check_name(const char *name, const struct config_node *n, struct config_error *err)
{
	return name == NULL || region_name_is_good(name) ? STERNA_OK : config_fail(err, n, false,
		"'%.80s' is no name of a region: a-z, 0-9, '-' and '_', at most %d", name, REGION_NAME_MAX);
}

/* In the form in which addresses are compared. */
static bool is_key(const char *key)
{
	const char *text = strncmp(key, "*.", 2) == 0 ? key + 2 : key;
	struct jid *j = NULL;
	bool good = jid_parse(text, strlen(text), &j) == STERNA_OK && jid_resource(j) == NULL
		&& (text == key || jid_local(j) == NULL) && strcmp(jid_full(j), text) == 0;

	jid_unref(&j);
	return good;
}

static enum sterna_result check_routes(const struct config *c, struct config_error *err)
{
	const struct config_node *map = config_child(c->root, "routes");
	const struct config_route *routes = config_routes(c);
	enum sterna_result rc = STERNA_OK;
	size_t named = 0;

	for (size_t i = 0; rc == STERNA_OK && i < c->routes.count; i++) {
		named += routes[i].region != NULL;
		rc = check_name(routes[i].region, config_blame(config_nth(map, i), "region"), err);
	}
	if (rc == STERNA_OK && named > 0 && c->server.region == NULL)
		rc = config_fail(err, map, true, "routes name regions, and server.region does not say which one this server is in");
	return rc;
}

enum sterna_result config_check_regions(struct config *c, struct config_error *err)
{
	const struct config_node *map = config_child(c->root, "residency"), *n;
	const struct config_host *hosts = c->hosts.item;
	enum sterna_result rc = check_name(c->server.region, config_blame(config_child(c->root, "server"), "region"), err);

	if (rc == STERNA_OK)
		rc = check_routes(c, err);
	if (rc == STERNA_OK && c->residency.count > 0 && c->server.region == NULL)
		return config_fail(err, map, true, "residency needs server.region, the region that this server is in");
	for (size_t i = 0; rc == STERNA_OK && i < c->residency.count; i++) {
		n = config_nth(map, i);
		if (!is_key(c->residency.key[i]))
			return config_fail(err, n, true, "'%.80s' is no address, domain or '*.domain', in lower case and without resource",
				c->residency.key[i]);
		rc = check_name(c->residency.value[i], n, err);
	}
	for (size_t i = 0; rc == STERNA_OK && i < c->hosts.count; i++) {
		struct jid *j = NULL;
		char text[REGION_TEXT];

		if (jid_parse(hosts[i].domain, strlen(hosts[i].domain), &j) == STERNA_OK && region_refuses(c, j, text))
			rc = config_fail(err, config_nth(config_child(c->root, "hosts"), i), true, "residency: %s", text);
		jid_unref(&j);
	}
	return rc;
}
