/* console.c - see console.h. */
#include "server/console.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "server/http_conn.h"
#include "server/http_file.h"

/* Files are named here; what a browser asks for is never made into a path. */
static const struct {
	const char *path, *file, *type;
} files[] = { { "/", "index.html", "text/html; charset=utf-8" }, { "/console.css", "console.css", "text/css; charset=utf-8" },
	{ "/console.js", "console.js", "text/javascript; charset=utf-8" }, { "/xmpp.js", "xmpp.js", "text/javascript; charset=utf-8" },
	{ "/icon.svg", "icon.svg", "image/svg+xml" } };

/* Scripts, styles and connections are ours alone; nobody shows the page in a frame. */
#define POLICY "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

bool console_origin_ok(const struct http_conn *c)
{
	const char *origin = http_head_get(&c->head, "Origin"), *scheme = c->client_secure ? "https://" : "http://";
	const size_t n = strlen(scheme);

	return origin == NULL || (strncasecmp(origin, scheme, n) == 0 && strcasecmp(origin + n, c->head.host) == 0);
}

void console_request(struct http_conn *c)
{
	struct sterna_http_request *r = &c->request;
	const struct config *config = c->worker->server->config;
	const bool get = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;

	sterna_http_add_header(r, "Content-Security-Policy", POLICY);
	sterna_http_add_header(r, "Referrer-Policy", "no-referrer");
	sterna_http_add_header(r, "Cross-Origin-Opener-Policy", "same-origin");
	sterna_http_add_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	sterna_http_add_header(r, "Cache-Control", "no-cache");
	if (!get) {
		snprintf(r->allow, sizeof r->allow, "GET, HEAD");
		http_conn_say(c, 405, "there is GET\n");
		return;
	}
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (strcmp(r->path, files[i].path) == 0) {
			char *file = xasprintf("%s/%s", config->console.folder, files[i].file);

			sterna_http_send(r, file, files[i].type);
			free(file);
			return;
		}
	http_conn_say(c, 404, "there is nothing here\n");
}
