/* config_s2s.c - what the configuration says about other servers. */
#include "server/config_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/cidr.h"

bool config_fingerprint(const char *text, unsigned char out[32])
{
	size_t n = 0;

	for (; *text != '\0' && n < 64; text++) {
		const char c = *text;
		const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (c == ':' && n > 0 && n % 2 == 0)
			continue;
		if (digit < 0)
			return false;
		out[n / 2] = (unsigned char)(n % 2 == 0 ? digit << 4 : out[n / 2] | digit);
		n++;
	}
	return n == 64 && *text == '\0';
}

/* Than SOCKS5 can say; none is '' either. */
static bool too_long(const char *text)
{
	return text != NULL && (*text == '\0' || strlen(text) > 255);
}

static enum sterna_result check_route(struct config *c, struct config_route *r, const struct config_node *n,
	struct config_error *err)
{
	struct ip ip;
	unsigned char digest[32];

	if (r->port == 0)
		r->port = r->tls == CONFIG_ROUTE_DIRECT ? 5270 : 5269;
	if (r->socks5 != NULL && ip_parse(r->socks5, &ip) != STERNA_OK)
		return config_fail(err, config_blame(n, "socks5"), false, "'%.80s' is no IP address", r->socks5);
	if (too_long(r->socks5_user) || too_long(r->socks5_password) || too_long(r->address))
		return config_fail(err, n, false, "a name, password or address of more than 255 bytes");
	if (r->socks5 == NULL && (r->address == NULL || ip_parse(r->address, &ip) != STERNA_OK))
		return config_fail(err, config_blame(n, "address"), false, "'%.80s' is no IP address; write 192.0.2.1 or \"::1\"",
			r->address != NULL ? r->address : "");
	if (r->bind != NULL && ip_parse(r->bind, &ip) != STERNA_OK)
		return config_fail(err, config_blame(n, "bind"), false, "'%.80s' is no IP address", r->bind);
	for (size_t i = 0; i < r->fingerprints.count; i++)
		if (!config_fingerprint(r->fingerprints.item[i], digest))
			return config_fail(err, config_blame(n, "fingerprints"), false,
				"'%.80s' is no SHA-256 fingerprint: 64 hexadecimal digits, colons allowed", r->fingerprints.item[i]);
	r->authorities = config_file(c, c->arena, r->authorities);
	return STERNA_OK;
}

/* "address" or "address@port". */
static enum sterna_result check_resolver(const char *text, const struct config_node *n, struct config_error *err)
{
	const size_t len = strcspn(text, "@");
	char address[IP_TEXT_SIZE], *end = NULL;
	struct ip ip;

	snprintf(address, sizeof address, "%.*s", (int)len, text);
	const unsigned long port = text[len] == '@' ? strtoul(text + len + 1, &end, 10) : 53;

	if (len < sizeof address && ip_parse(address, &ip) == STERNA_OK && port > 0 && port < 65536 && (end == NULL || *end == '\0'))
		return STERNA_OK;
	return config_fail(err, n, false, "'%.80s' is no resolver; write 192.0.2.53 or 192.0.2.53@5353", text);
}

static bool is_number(const char *text)
{
	const size_t len = strspn(text, "0123456789");

	return len > 0 && len < 8 && text[len] == '\0' && atol(text) <= 1000000;
}

enum sterna_result config_check_s2s(struct config *c, struct config_error *err)
{
	const struct config_node *map = config_child(c->root, "routes");
	struct config_route *routes = c->routes.item;
	enum sterna_result rc = config_check_domains(map, err);

	c->dns.trust_anchor = config_file(c, c->arena, c->dns.trust_anchor);
	for (size_t i = 0; rc == STERNA_OK && i < c->dns.servers.count; i++)
		rc = check_resolver(c->dns.servers.item[i], config_blame(config_child(c->root, "dns"), "servers"), err);

	for (size_t i = 0; rc == STERNA_OK && i < c->s2s.peer_factor.count; i++)
		if (!is_number(c->s2s.peer_factor.value[i]))
			rc = config_fail(err, config_blame(config_child(c->root, "s2s"), "peer_factor"), false,
				"'%.80s' is no whole number up to 1000000", c->s2s.peer_factor.value[i]);

	for (size_t i = 0; rc == STERNA_OK && i < c->routes.count; i++)
		rc = check_route(c, &routes[i], config_nth(map, i), err);
	return rc;
}

const struct config_route *config_route(const struct config *c, const char *domain)
{
	const struct config_route *routes = config_routes(c);

	for (size_t i = 0; i < c->routes.count; i++)
		if (strcmp(routes[i].domain, domain) == 0)
			return &routes[i];
	return NULL;
}

/* "*.example" is every domain below example, not example itself. */
static bool is_match(const char *pattern, const char *domain)
{
	const size_t len = strlen(domain), tail = strlen(pattern) - 1;

	if (strncmp(pattern, "*.", 2) != 0)
		return strcmp(pattern, domain) == 0;
	return len > tail && strcmp(domain + len - tail, pattern + 1) == 0;
}

static bool has(const struct sterna_list *l, const char *domain)
{
	for (size_t i = 0; i < l->count; i++)
		if (is_match(l->item[i], domain))
			return true;
	return false;
}

static const char *const trust_names[] = { "none", "dialback", "pkix", "dane", "pinned" };

const char *config_trust_name(enum config_trust t)
{
	return trust_names[t];
}

static enum config_trust level(const char *name)
{
	for (unsigned i = 0; i < sizeof trust_names / sizeof *trust_names; i++)
		if (strcmp(trust_names[i], name) == 0)
			return (enum config_trust)i;
	return CONFIG_TRUST_NONE; /* the option's range knows no other */
}

enum config_trust config_trust_of(const struct config *c, const char *domain)
{
	const struct config_s2s *s = &c->s2s;
	const struct config_route *r = config_route(c, domain);

	if (!s->enabled || has(&s->deny, domain) || (s->allow.count > 0 && !has(&s->allow, domain)))
		return CONFIG_TRUST_NONE;
	for (size_t i = 0; i < s->trust_of.count; i++)
		if (strcmp(s->trust_of.key[i], domain) == 0)
			return level(s->trust_of.value[i]);
	if (r != NULL && (r->authorities != NULL || r->fingerprints.count > 0))
		return CONFIG_TRUST_PINNED;
	for (size_t i = 0; i < s->trust_of.count; i++)
		if (is_match(s->trust_of.key[i], domain))
			return level(s->trust_of.value[i]);
	return (enum config_trust)s->trust;
}

struct sterna_rate config_budget(const struct config *c, enum config_budget b, const char *domain)
{
	const struct config_s2s *s = &c->s2s;
	const struct sterna_rate *const rates[] = {
		[CONFIG_BUDGET_STANZAS] = &s->peer_stanzas, [CONFIG_BUDGET_BYTES] = &s->peer_bytes,
		[CONFIG_BUDGET_PRESENCE] = &s->peer_presence, [CONFIG_BUDGET_SUBSCRIPTIONS] = &s->peer_subscriptions,
		[CONFIG_BUDGET_JOINS] = &s->peer_joins };
	struct sterna_rate rate = *rates[b];

	for (size_t i = 0; i < s->peer_factor.count; i++)
		if (is_match(s->peer_factor.key[i], domain)) {
			rate.count *= (uint64_t)atol(s->peer_factor.value[i]);
			break;
		}
	return rate;
}
