/* XEP-0156 Discovering Alternative XMPP Connection Methods 1.4, with what XEP-0487 adds: for each of our domains
 * /.well-known/host-meta and host-meta.json say where WebSocket and BOSH are. */
#include "server/module.h"
#include <stdlib.h>
#include <string.h>

#define REL "urn:xmpp:alt-connections:"

struct host_meta_config {
	struct sterna_duration ttl;
	struct sterna_list ips, pins;
};

#define C struct host_meta_config
static const struct sterna_option options[] = {
	STERNA_OPT(C, ttl, "1h", "1m..7d", "how long a client may keep what it has read"),
	STERNA_OPT(C, ips, NULL, NULL, "public addresses of this server: offers what XEP-0487 describes"),
	STERNA_OPT(C, pins, NULL, NULL, "public keys that clients may trust: SHA-256 in base 64 (XEP-0487)"),
	{ 0 }
};
#undef C

static const struct { enum sterna_web what; const char *rel; int priority; } links[] = {
	{ STERNA_WEB_SOCKET, REL "websocket", 15 },
	{ STERNA_WEB_BOSH, REL "xbosh", 20 },
};
enum { LINKS = sizeof links / sizeof *links };

/* The domain that was asked for; 404 was answered if it is none of ours. */
static bool find_host(struct sterna_mod *m, struct sterna_http_request *r, char host[STERNA_HOST_LEN])
{
	if (sterna_has_host(m, sterna_http_host(r, host)))
		return true;
	sterna_http_reply(r, 404, "text/plain; charset=utf-8", "no such domain here\n", 20);
	return false;
}

static void get_xml(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf out = BUF_INIT;
	char host[STERNA_HOST_LEN];

	if (!find_host(m, r, host))
		return;
	buf_lit(&out, "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n");
	for (size_t i = 0; i < LINKS; i++) {
		char *url = sterna_web_url(m, host, links[i].what);

		if (url == NULL)
			continue;
		buf_addf(&out, "  <Link rel='%s' href='", links[i].rel);
		xml_escape_attr(&out, url, strlen(url));
		buf_lit(&out, "'/>\n");
		free(url);
	}
	buf_lit(&out, "</XRD>\n");
	sterna_http_reply(r, 200, "application/xrd+xml; charset=utf-8", buf_data(&out), buf_len(&out));
	buf_release(&out);
}

/* --- JSON (RFC 8259 §7) --- */

static void add_string(struct buf *out, const char *s)
{
	buf_putc(out, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_addf(out, "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			buf_addf(out, "\\u%04x", (unsigned)*s);
		else
			buf_putc(out, *s);
	}
	buf_putc(out, '"');
}

static void add_list(struct buf *out, const char *key, const struct sterna_list *list)
{
	add_string(out, key);
	buf_lit(out, ":[");
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			buf_putc(out, ',');
		add_string(out, list->item[i]);
	}
	buf_putc(out, ']');
}

/* XEP-0487 §3.1: what every link has. */
static void add_0487(struct buf *out, const struct host_meta_config *cfg, const char *host, int priority)
{
	if (cfg->ips.count == 0)
		return;
	buf_addf(out, ",\"priority\":%d,\"weight\":50,\"sni\":", priority);
	add_string(out, host);
	buf_putc(out, ',');
	add_list(out, "ips", &cfg->ips);
}

static void add_links(struct buf *out, struct sterna_mod *m, const char *host)
{
	const struct host_meta_config *cfg = sterna_mod_config(m);
	const unsigned port = sterna_port(m, STERNA_PORT_CLIENTS_TLS);
	const char *comma = "";

	for (size_t i = 0; i < LINKS; i++) {
		char *url = sterna_web_url(m, host, links[i].what);

		if (url == NULL)
			continue;
		buf_addf(out, "%s{\"rel\":\"%s\",\"href\":", comma, links[i].rel);
		add_string(out, url);
		add_0487(out, cfg, host, links[i].priority);
		buf_putc(out, '}');
		comma = ",";
		free(url);
	}
	if (cfg->ips.count > 0 && port != 0) {
		buf_addf(out, "%s{\"rel\":\"" REL "tls\",\"port\":%u", comma, port);
		add_0487(out, cfg, host, 10);
		buf_putc(out, '}');
	}
}

static void get_json(struct sterna_mod *m, struct sterna_http_request *r)
{
	const struct host_meta_config *cfg = sterna_mod_config(m);
	struct buf out = BUF_INIT;
	char host[STERNA_HOST_LEN];

	if (!find_host(m, r, host))
		return;
	buf_putc(&out, '{');
	if (cfg->ips.count > 0) {
		buf_addf(&out, "\"xmpp\":{\"ttl\":%lld", (long long)(cfg->ttl.us / 1000000));
		if (cfg->pins.count > 0) {
			buf_putc(&out, ',');
			add_list(&out, "public-key-pins-sha-256", &cfg->pins);
		}
		buf_lit(&out, "},");
	}
	buf_lit(&out, "\"links\":[");
	add_links(&out, m, host);
	buf_lit(&out, "]}\n");
	sterna_http_reply(r, 200, "application/json", buf_data(&out), buf_len(&out));
	buf_release(&out);
}

STERNA_MODULE(host_meta, .spec = "XEP-0156 1.4", .summary = "Discovering Alternative XMPP Connection Methods",
	.options = options, .config_size = sizeof(struct host_meta_config),
	.http = (const struct sterna_route[]){
		{ "GET", "/.well-known/host-meta", get_xml, STERNA_HTTP_CORS },
		{ "GET", "/.well-known/host-meta.json", get_json, STERNA_HTTP_CORS }, { 0 } });
