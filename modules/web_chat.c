/* web_chat.c - the page with the web client (converse.js): served by us, it speaks with us alone. */
#include <stdlib.h>
#include <string.h>
#include "modules/web.h"

/* "https://example.org:5281": where files go to and come from, if that is not the page's own origin. New. */
static char *origin_of(struct sterna_mod *m, const char *host)
{
	char *url = sterna_web_url(m, host, STERNA_WEB_PAGE), *at = url != NULL ? strstr(url, "://") : NULL;

	if (at == NULL || strpbrk(at + 3, " ;,'\"") != NULL) {
		free(url);
		return xstrdup("");
	}
	at[3 + strcspn(at + 3, "/")] = '\0';
	return url;
}

static void add_policy(struct sterna_mod *m, struct sterna_http_request *r, const char *host)
{
	char *origin = origin_of(m, host), *policy;
	const char *socket = *origin != '\0' ? origin + strlen("http") : "";

	policy = xasprintf("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
		"font-src 'self'; img-src 'self' data: blob: %s; media-src 'self' blob: %s; connect-src 'self' data: blob: %s%s%s; "
		"worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
		origin, origin, origin, *socket != '\0' ? " ws" : "", socket);
	sterna_http_add_header(r, "Content-Security-Policy", policy);
	sterna_http_add_header(r, "Referrer-Policy", "no-referrer");
	sterna_http_add_header(r, "X-Frame-Options", "DENY");
	sterna_http_add_header(r, "Cross-Origin-Opener-Policy", "same-origin");
	free(origin);
	free(policy);
}

static bool find_host(struct sterna_mod *m, struct sterna_http_request *r, char host[STERNA_HOST_LEN])
{
	if (web_has_client(m))
		return web_host(m, r, host);
	web_note(m, r, 404, W_NO_CLIENT, W_NO_CLIENT_WHY);
	return false;
}

void web_get_chat(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf out = BUF_INIT;
	char host[STERNA_HOST_LEN];

	if (!find_host(m, r, host))
		return;
	buf_lit(&out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	web_text(&out, web_name(m, host));
	buf_lit(&out, "</title>\n<link rel=\"icon\" href=\"/web/icon.svg\" type=\"image/svg+xml\">\n"
		"<link rel=\"stylesheet\" href=\"" WEB_CHAT_FILES "converse.min.css\">\n"
		"<script type=\"module\" src=\"" WEB_CHAT_FILES "converse.min.js\"></script>\n"
		"<script type=\"module\" src=\"" WEB_CHAT "config.js\"></script>\n</head>\n<body class=\"converse-fullscreen\">\n"
		"<noscript><p>The web client needs JavaScript. The <a href=\"/\">first page</a> names apps that do not.</p></noscript>\n"
		"<div id=\"conversejs\" class=\"theme-concord\"></div>\n</body>\n</html>\n");
	add_policy(m, r, host);
	sterna_http_reply(r, 200, "text/html; charset=utf-8", buf_data(&out), buf_len(&out));
	buf_release(&out);
}

/* A string of JavaScript, safe in any context. */
static void add_string(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, "  %s: \"", key);
	for (; *value != '\0'; value++) {
		const unsigned char ch = (unsigned char)*value;

		if (ch < ' ' || strchr("\"\\<>&'", ch) != NULL)
			buf_addf(out, "\\u%04x", ch);
		else
			buf_putc(out, (char)ch);
	}
	buf_lit(out, "\",\n");
}

/* Nothing is asked of other hosts: no lists of providers, no search for rooms, no media of strangers. */
static const char script[] =
	"const here = location.origin;\n"
	"const settings = {\n"
	"  view_mode: \"fullscreen\",\n"
	"  authentication: \"login\",\n"
	"  assets_path: \"" WEB_CHAT_FILES "\",\n"
	"  locked_domain: service.domain,\n"
	"  discover_connection_methods: false,\n"
	"  allow_registration: service.open,\n"
	"  registration_domain: service.open ? service.domain : \"\",\n"
	"  autocomplete_providers_url: \"\",\n"
	"  xmpp_providers_url: \"\",\n"
	"  muc_search_service: service.rooms, /* without one there would be no field for a room's name; it finds nothing */\n"
	"  embed_3rd_party_media_players: false,\n"
	"  render_media: [location.hostname, service.files],\n"
	"  show_client_info: false,\n"
	"  auto_away: 300,\n"
	"  whitelisted_plugins: [\"service\"],\n"
	"};\n"
	"if (service.socket)\n"
	"  settings.websocket_url = here.replace(/^http/, \"ws\") + service.socket;\n"
	"if (service.bosh)\n"
	"  settings.bosh_service_url = here + service.bosh;\n"
	"if (service.rooms)\n"
	"  settings.muc_domain = service.rooms;\n"
	"/* In place of the client's own foot, which shows pictures of its sponsors from elsewhere. */\n"
	"converse.plugins.add(\"service\", { initialize() {\n"
	"  this._converse.api.elements.define(\"converse-footer\", class extends HTMLElement {\n"
	"    connectedCallback() {\n"
	"      const link = document.createElement(\"a\");\n"
	"      link.href = \"https://conversejs.org\";\n"
	"      link.rel = \"noopener\";\n"
	"      link.textContent = \"converse.js\";\n"
	"      this.replaceChildren(link);\n"
	"    }\n"
	"  });\n"
	"} });\n"
	"converse.initialize(settings);\n";

static void add_rooms(struct buf *out, struct sterna_mod *m, const char *host)
{
	const char *domain, *category, *type;

	for (size_t i = 0; sterna_mod_service(m, i, &domain, &category, &type); i++)
		if (strcmp(category, "conference") == 0 && web_is_below(domain, host)) {
			add_string(out, "rooms", domain);
			return;
		}
}

void web_get_chat_config(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf out = BUF_INIT;
	char host[STERNA_HOST_LEN], *origin, *name;

	if (!find_host(m, r, host))
		return;
	origin = origin_of(m, host);
	name = *origin != '\0' ? strstr(origin, "://") + 3 : origin;
	name[*name == '[' ? strcspn(name, "]") + 1 : strcspn(name, ":")] = '\0';
	buf_lit(&out, "const service = {\n");
	add_string(&out, "domain", host);
	add_rooms(&out, m, host);
	add_string(&out, "socket", sterna_web_path(m, STERNA_WEB_SOCKET));
	add_string(&out, "bosh", sterna_web_path(m, STERNA_WEB_BOSH));
	add_string(&out, "files", name);
	buf_addf(&out, "  open: %s,\n};\n%s", sterna_joining(m, host) == STERNA_OPEN ? "true" : "false", script);
	sterna_http_reply(r, 200, "text/javascript; charset=utf-8", buf_data(&out), buf_len(&out));
	buf_release(&out);
	free(origin);
}
