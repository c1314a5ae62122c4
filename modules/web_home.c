/* web_home.c - the page at '/': how to connect, and the addresses of the service. */
#include <stdlib.h>
#include <string.h>
#include "modules/web.h"

static void value(struct web_page *p, const char *text)
{
	buf_lit(&p->out, "<dd><code>");
	web_text(&p->out, text);
	buf_lit(&p->out, "</code></dd>\n");
}

/* A row of the list of addresses. */
static void row(struct web_page *p, enum web_word what, const char *text)
{
	web_element(p, "dt", what, NULL);
	value(p, text);
}

static void port_row(struct web_page *p, enum web_word what, const char *host, unsigned port)
{
	char *text;

	if (port == 0)
		return;
	text = xasprintf("%s:%u", host, port);
	row(p, what, text);
	free(text);
}

static void url_row(struct web_page *p, const char *what, const char *host, enum sterna_web which)
{
	char *url = sterna_web_url(p->mod, host, which);

	if (url != NULL) {
		buf_addf(&p->out, "<dt>%s</dt>", what);
		value(p, url);
	}
	free(url);
}

static void begin_service(struct web_page *p, const char *host)
{
	const struct web_config *cfg = sterna_mod_config(p->mod);

	web_header(p, host);
	web_element(p, "h1", W_CHAT_ON, host);
	if (cfg->about == NULL) {
		web_element(p, "p", W_ABOUT, NULL);
		return;
	}
	buf_lit(&p->out, "<p>");
	web_text(&p->out, cfg->about);
	buf_lit(&p->out, "</p>\n");
}

static void add_account(struct web_page *p, const char *host)
{
	static const enum web_word joining[] = { [STERNA_OPEN] = W_JOIN_OPEN, [STERNA_BY_INVITATION] = W_JOIN_INVITED,
		[STERNA_CLOSED] = W_JOIN_CLOSED };

	buf_lit(&p->out, "<section aria-labelledby=\"connect\">\n<h2 id=\"connect\">");
	web_say(p, W_CONNECT, NULL);
	buf_lit(&p->out, "</h2>\n<ol>\n<li>");
	web_say(p, W_GET_APP, NULL);
	web_apps(p);
	buf_lit(&p->out, "</li>\n");
	web_element(p, "li", W_ADD_ACCOUNT, host);
	buf_lit(&p->out, "</ol>\n");
	web_element(p, "p", joining[sterna_joining(p->mod, host)], NULL);
	if (web_has_client(p->mod)) {
		buf_lit(&p->out, "<p><a class=\"key\" href=\"" WEB_CHAT "\">");
		web_say(p, W_CHAT_HERE, NULL);
		buf_lit(&p->out, "</a></p>\n");
	}
	buf_lit(&p->out, "</section>\n");
}

static void add_services(struct web_page *p, const char *host)
{
	static const struct { const char *category, *type; enum web_word what; } known[] = {
		{ "conference", "text", W_ROOMS }, { "store", "file", W_FILES }, { "pubsub", "service", W_PUBSUB },
		{ "proxy", "bytestreams", W_PROXY } };
	const char *domain, *category, *type;

	for (size_t i = 0; sterna_mod_service(p->mod, i, &domain, &category, &type); i++)
		for (size_t k = 0; k < sizeof known / sizeof *known; k++)
			if (web_is_below(domain, host) && strcmp(category, known[k].category) == 0 && strcmp(type, known[k].type) == 0)
				row(p, known[k].what, domain);
}

void web_get_home(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct web_page p;
	char host[STERNA_HOST_LEN];

	if (!web_host(m, r, host))
		return;
	web_begin(&p, m, r, W_CHAT_ON, web_name(m, host));
	begin_service(&p, host);
	add_account(&p, host);
	buf_lit(&p.out, "<section aria-labelledby=\"addresses\">\n<h2 id=\"addresses\">");
	web_say(&p, W_ADDRESSES, NULL);
	buf_lit(&p.out, "</h2>\n<p class=\"soft\">");
	web_say(&p, W_ADDRESSES_WHY, NULL);
	buf_lit(&p.out, "</p>\n<dl>\n");
	row(&p, W_DOMAIN, host);
	port_row(&p, W_CLIENTS_TLS, host, sterna_port(m, STERNA_PORT_CLIENTS_TLS));
	port_row(&p, W_CLIENTS_STARTTLS, host, sterna_port(m, STERNA_PORT_CLIENTS));
	url_row(&p, "WebSocket", host, STERNA_WEB_SOCKET);
	url_row(&p, "BOSH", host, STERNA_WEB_BOSH);
	add_services(&p, host);
	buf_lit(&p.out, "</dl>\n</section>\n");
	web_end(&p, 200);
}
