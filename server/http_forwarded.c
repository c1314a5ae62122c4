/* http_forwarded.c - RFC 7239, and what proxies really send. Only what trusted proxies have added counts: lists are read
 * from their end, and the first address that is not a proxy's is the client's. */
#include "server/http_forwarded.h"
#include <string.h>
#include <strings.h>
#include "server/http_conn.h"
#include "server/net.h"

/* [v6]:port, [v6], v4:port, v4, v6, each perhaps in quotes. */
static enum sterna_result read_address(const char *at, size_t len, struct ip *out)
{
	char text[IP_TEXT_SIZE];

	if (len >= 2 && at[0] == '"' && at[len - 1] == '"') {
		at++;
		len -= 2;
	}
	if (len > 0 && at[0] == '[') {
		const char *end = memchr(at, ']', len);

		if (end == NULL)
			return STERNA_EINVAL;
		len = (size_t)(end - at) - 1;
		at++;
	} else if (memchr(at, '.', len) != NULL && memchr(at, ':', len) != NULL) {
		len = (size_t)((const char *)memchr(at, ':', len) - at);
	}
	if (len == 0 || len >= sizeof text)
		return STERNA_EINVAL;
	memcpy(text, at, len);
	text[len] = '\0';
	return ip_parse(text, out);
}

/* The value of a parameter in one element of Forwarded; an element without "=" is its own value. */
static bool parameter(const char **at, size_t *len, const char *name)
{
	const size_t n = strlen(name);

	if (memchr(*at, '=', *len) == NULL)
		return strcmp(name, "for") == 0;
	for (const char *p = *at, *end = *at + *len; p < end;) {
		size_t part = 0;

		while (p < end && (*p == ' ' || *p == '\t' || *p == ';'))
			p++;
		while (p + part < end && p[part] != ';')
			part++;
		if (part > n && strncasecmp(p, name, n) == 0 && p[n] == '=') {
			*at = p + n + 1;
			*len = part - n - 1;
			return true;
		}
		p += part;
	}
	return false;
}

/* The element before *end, which then is where that begins; false: there is none. */
static bool previous(const char *list, const char **end, const char **at, size_t *len)
{
	const char *from = *end;

	if (*end == list)
		return false;
	while (from > list && from[-1] != ',')
		from--;
	*at = from + strspn(from, " \t");
	*len = *at < *end ? (size_t)(*end - *at) : 0;
	while (*len > 0 && ((*at)[*len - 1] == ' ' || (*at)[*len - 1] == '\t'))
		--*len;
	*end = from > list ? from - 1 : list;
	return true;
}

enum sterna_result http_forwarded_for(const char *list, const struct cidr_set *proxies, struct ip *out)
{
	const char *end = list != NULL ? list + strlen(list) : NULL, *at = NULL;
	enum sterna_result rc = STERNA_ENOTFOUND;
	size_t len = 0;
	struct ip ip;

	while (list != NULL && previous(list, &end, &at, &len)) {
		if (!parameter(&at, &len, "for") || read_address(at, len, &ip) != STERNA_OK)
			return rc; /* the nearest known one is a proxy */
		*out = ip;
		rc = STERNA_OK;
		if (!cidr_set_has(proxies, &ip))
			return rc;
	}
	return rc;
}

bool http_forwarded_https(const char *list, bool *found)
{
	const char *end = list != NULL ? list + strlen(list) : NULL, *at = NULL;
	size_t len = 0;

	*found = list != NULL && previous(list, &end, &at, &len)
		&& (memchr(at, '=', len) == NULL || parameter(&at, &len, "proto"));
	if (*found && len >= 2 && at[0] == '"') {
		at++;
		len -= 2;
	}
	return *found && ((len == 5 && strncasecmp(at, "https", 5) == 0) || (len == 3 && strncasecmp(at, "wss", 3) == 0));
}

void http_forwarded(struct http_conn *c)
{
	const struct cidr_set *proxies = net_http_proxies(c->worker->server);
	const struct config *all = c->worker->server->config;
	/* One of the two: the other may have come from the client, through a proxy that does not know it. */
	const bool rfc = all->http.forwarded == CONFIG_FORWARDED;
	const char *by = http_head_get(&c->head, rfc ? "Forwarded" : "X-Forwarded-For");
	const char *proto = rfc ? by : http_head_get(&c->head, "X-Forwarded-Proto");
	bool found = false;

	c->client = c->ip;
	c->client_secure = c->transport->secure;
	c->proxied = cidr_set_has(proxies, &c->ip);
	if (!c->proxied)
		return;
	if (http_forwarded_for(by, proxies, &c->client) != STERNA_OK)
		c->client = c->ip;
	c->client_secure = http_forwarded_https(proto, &found);
	if (!found)
		c->client_secure = c->transport->secure;
}
