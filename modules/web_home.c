/* web_home.c - the page at '/': how to connect, and the addresses of the service. */
#include <stdlib.h>
#include <string.h>
#include "modules/web.h"

/* A row of the list of addresses. */
static void row(struct buf *out, const char *what, const char *value)
{
	buf_addf(out, "<dt>%s</dt><dd><code>", what);
	web_text(out, value);
	buf_lit(out, "</code></dd>\n");
}

static void port_row(struct buf *out, const char *what, const char *host, unsigned port)
{
	char *value;

	if (port == 0)
		return;
	value = xasprintf("%s:%u", host, port);
	row(out, what, value);
	free(value);
}

static void url_row(struct buf *out, struct sterna_mod *m, const char *what, const char *host, enum sterna_web which)
{
	char *url = sterna_web_url(m, host, which);

	if (url != NULL)
		row(out, what, url);
	free(url);
}

static void begin_service(struct buf *out, struct sterna_mod *m, const char *host)
{
	const struct web_config *cfg = sterna_mod_config(m);
	const char *name = web_name(m, host);

	web_begin(out, name);
	buf_lit(out, "<header><img src=\"/web/icon.svg\" alt=\"\"><p>");
	web_text(out, name);
	buf_lit(out, "</p></header>\n<main>\n<h1>Chat on ");
	web_text(out, host);
	buf_lit(out, "</h1>\n<p>");
	if (cfg->about != NULL)
		web_text(out, cfg->about);
	else
		buf_lit(out, "This is an XMPP service: messages, calls and rooms with any app you like, and with people on other servers.");
	buf_lit(out, "</p>\n");
}

static void add_account(struct buf *out, struct sterna_mod *m, const char *host)
{
	buf_lit(out, "<section aria-labelledby=\"connect\">\n<h2 id=\"connect\">Connect</h2>\n<ol>\n"
		"<li>Get an app for your device.");
	web_apps(out);
	buf_lit(out, "</li>\n<li>Add your account: your address is <code>name@");
	web_text(out, host);
	buf_lit(out, "</code>, with your password.</li>\n</ol>\n<p>");
	switch (sterna_joining(m, host)) {
	case STERNA_OPEN:
		buf_lit(out, "No account yet? Choose <em>create account</em> in the app, and this server.");
		break;
	case STERNA_BY_INVITATION:
		buf_lit(out, "No account yet? Ask somebody who has one for an invitation, or the administrators.");
		break;
	case STERNA_CLOSED:
		buf_lit(out, "Accounts are given by the administrators.");
		break;
	}
	buf_lit(out, "</p>\n");
	if (web_has_client(m))
		buf_lit(out, "<p><a class=\"key\" href=\"" WEB_CHAT "\">Chat in this browser</a></p>\n");
	buf_lit(out, "</section>\n");
}

static void add_services(struct buf *out, struct sterna_mod *m, const char *host)
{
	static const struct { const char *category, *type, *what; } known[] = {
		{ "conference", "text", "Rooms" }, { "store", "file", "Files" }, { "pubsub", "service", "Publish-subscribe" },
		{ "proxy", "bytestreams", "File transfer proxy" } };
	const char *domain, *category, *type;

	for (size_t i = 0; sterna_mod_service(m, i, &domain, &category, &type); i++)
		for (size_t k = 0; k < sizeof known / sizeof *known; k++)
			if (web_is_below(domain, host) && strcmp(category, known[k].category) == 0 && strcmp(type, known[k].type) == 0)
				row(out, known[k].what, domain);
}

void web_get_home(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf out = BUF_INIT;
	char host[STERNA_HOST_LEN];

	if (!web_host(m, r, host))
		return;
	begin_service(&out, m, host);
	add_account(&out, m, host);
	buf_lit(&out, "<section aria-labelledby=\"addresses\">\n<h2 id=\"addresses\">Addresses</h2>\n"
		"<p class=\"soft\">Apps find these by themselves; they are for those that ask.</p>\n<dl>\n");
	row(&out, "Domain", host);
	port_row(&out, "Clients, TLS", host, sterna_port(m, STERNA_PORT_CLIENTS_TLS));
	port_row(&out, "Clients, STARTTLS", host, sterna_port(m, STERNA_PORT_CLIENTS));
	url_row(&out, m, "WebSocket", host, STERNA_WEB_SOCKET);
	url_row(&out, m, "BOSH", host, STERNA_WEB_BOSH);
	add_services(&out, m, host);
	buf_lit(&out, "</dl>\n</section>\n");
	web_end(&out, m);
	web_page(r, 200, &out);
}
