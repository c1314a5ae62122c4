/* http.c - from a path and a method to a module's route. */
#include "server/http.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/http_head.h"
#include "server/registry.h"

const char *sterna_http_method(const struct sterna_http_request *r)
{
	return r->method;
}

const char *sterna_http_path(const struct sterna_http_request *r)
{
	return r->path;
}

const char *sterna_http_query(const struct sterna_http_request *r)
{
	return r->query;
}

const char *sterna_http_header(const struct sterna_http_request *r, const char *name)
{
	return r->head != NULL ? http_head_get(r->head, name) : NULL;
}

const char *sterna_http_body(const struct sterna_http_request *r, size_t *len)
{
	*len = r->body_len;
	return r->body;
}

void sterna_http_reply(struct sterna_http_request *r, unsigned status, const char *type, const void *bytes, size_t len)
{
	r->status = status;
	r->type = type;
	buf_release(&r->content);
	if (len > 0)
		buf_add(&r->content, bytes, len);
}

void sterna_http_add_header(struct sterna_http_request *r, const char *name, const char *value)
{
	if (strpbrk(value, "\r\n") != NULL)
		return; /* from a peer, perhaps: no second header comes of it */
	r->cached |= strcmp(name, "Cache-Control") == 0;
	buf_addf(&r->headers, "%s: %s\r\n", name, value);
}

const char *sterna_http_host(const struct sterna_http_request *r, char out[STERNA_HOST_LEN])
{
	const char *host = r->head != NULL ? r->head->host : "";
	const char *colon = strrchr(host, ':');
	size_t n = colon != NULL && strchr(colon, ']') == NULL ? (size_t)(colon - host) : strlen(host);
	struct jid *j = NULL;

	n = n < STERNA_HOST_LEN - 1 ? n : STERNA_HOST_LEN - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	out[n] = '\0';
	/* Browsers send A-labels; domains have U-labels here. */
	if (n > 0 && jid_make(NULL, out, NULL, &j) == STERNA_OK && strlen(jid_domain(j)) < STERNA_HOST_LEN)
		strcpy(out, jid_domain(j));
	jid_unref(&j);
	return out;
}

void sterna_http_clear(struct sterna_http_request *r)
{
	buf_release(&r->content);
	buf_release(&r->headers);
}

static void say(struct sterna_http_request *r, unsigned status, const char *text)
{
	sterna_http_reply(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void allow(struct sterna_http_request *r, const char *method)
{
	const size_t n = strlen(r->allow);

	snprintf(r->allow + n, sizeof r->allow - n, "%s%s%s", n > 0 ? ", " : "", method,
		strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

static bool matches(const struct sterna_route *t, const char *path)
{
	return (t->flags & STERNA_HTTP_BELOW) != 0 ? strncmp(t->path, path, strlen(t->path)) == 0 : strcmp(t->path, path) == 0;
}

/* The route, or NULL; r->allow: the methods that the path has; *flags: of its rows. */
static const struct sterna_route *find(const struct registry *g, struct sterna_http_request *r,
	const struct module_slot **slot, unsigned *flags)
{
	const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;

	for (size_t i = 0; i < g->module_count; i++)
		for (const struct sterna_route *t = g->modules[i]->m->http; t != NULL && t->fn != NULL; t++) {
			if (((t->flags & STERNA_HTTP_MONITORING) != 0 ? r->no_monitoring : r->no_web) || !matches(t, r->path))
				continue;
			*slot = g->modules[i];
			*flags |= t->flags;
			if (strcmp(t->method, method) == 0)
				return t;
			allow(r, t->method);
		}
	return NULL;
}

bool sterna_http_streams(struct worker *w, const struct sterna_http_request *r)
{
	struct sterna_http_request copy = *r;
	const struct module_slot *slot = NULL;
	unsigned flags = 0;
	const struct sterna_route *t = find(w->registry, &copy, &slot, &flags);

	return t != NULL && (t->flags & STERNA_HTTP_STREAM) != 0;
}

/* Any page may read what such a path says (WHATWG Fetch §3.2). */
static void share(struct sterna_http_request *r)
{
	sterna_http_add_header(r, "Access-Control-Allow-Origin", "*");
	if (strcmp(r->method, "OPTIONS") != 0)
		return;
	sterna_http_add_header(r, "Access-Control-Allow-Methods", r->allow);
	sterna_http_add_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type");
	sterna_http_add_header(r, "Access-Control-Max-Age", "7200");
}

void sterna_http_dispatch(struct worker *w, struct sterna_http_request *r)
{
	const struct module_slot *slot = NULL;
	unsigned flags = 0;
	const struct sterna_route *t;

	r->status = 0;
	r->allow[0] = '\0';
	t = find(w->registry, r, &slot, &flags);
	if ((flags & STERNA_HTTP_CORS) != 0)
		share(r);
	if (t != NULL) {
		r->allow[0] = '\0';
		t->fn(slot->mod, r);
		if (r->status == 0 && !r->later) {
			log_error("http", "a module gave no answer", "module", slot->m->name, "path", t->path);
			say(r, 500, "no answer\n");
		}
	} else if (slot != NULL && (flags & STERNA_HTTP_CORS) != 0 && strcmp(r->method, "OPTIONS") == 0) {
		sterna_http_reply(r, 204, NULL, NULL, 0);
	} else if (slot != NULL) {
		say(r, 405, "this path has other methods\n");
	} else {
		say(r, 404, "there is nothing here\n");
	}
}

/* --- where we are reached --- */

bool sterna_has_host(struct sterna_mod *m, const char *domain)
{
	const struct host *h = server_host(m->server, domain);

	return h != NULL && h->kind == HOST_USERS;
}

unsigned sterna_port(struct sterna_mod *m, enum sterna_port what)
{
	const struct config *c = m->server->config;

	for (size_t i = 0; i < c->listen.count; i++) {
		const struct config_listen *l = &config_listens(c)[i];

		if (what == STERNA_PORT_BYTESTREAMS ? l->kind == CONFIG_BYTESTREAMS
			: l->kind == CONFIG_C2S && (l->tls == CONFIG_TLS_DIRECT) == (what == STERNA_PORT_CLIENTS_TLS))
			return l->port;
	}
	return 0;
}

char *http_base_url(const struct config *c, const char *host)
{
	const char *name = c->http.url != NULL ? strstr(c->http.url, "{host}") : NULL;
	char ascii[STERNA_HOST_LEN];

	if (c->http.url != NULL && name == NULL)
		return xstrdup(c->http.url);
	if (idna_to_ascii(host, ascii, sizeof ascii) != STERNA_OK)
		return NULL;
	if (c->http.url != NULL)
		return xasprintf("%.*s%s%s", (int)(name - c->http.url), c->http.url, ascii, name + 6);
	for (size_t i = 0; i < c->listen.count; i++) {
		const struct config_listen *l = &config_listens(c)[i];

		if (l->kind == CONFIG_HTTP && l->tls == CONFIG_TLS_DIRECT
			&& (l->serves == CONFIG_SERVES_ALL || l->serves == CONFIG_SERVES_WEB))
			return l->port == 443 ? xasprintf("https://%s", ascii) : xasprintf("https://%s:%u", ascii, l->port);
	}
	return NULL;
}

bool http_serves(const struct registry *g, const char *path)
{
	for (size_t i = 0; i < g->module_count; i++)
		for (const struct sterna_route *t = g->modules[i]->m->http; t != NULL && t->fn != NULL; t++)
			if (strcmp(t->path, path) == 0)
				return true;
	return false;
}

char *sterna_web_url(struct sterna_mod *m, const char *host, enum sterna_web what)
{
	const struct config *c = m->server->config;
	const char *path = what == STERNA_WEB_SOCKET ? c->http.websocket : what == STERNA_WEB_BOSH ? c->http.bosh : "";
	char *base = what == STERNA_WEB_PAGE || *path != '\0' ? http_base_url(c, host) : NULL, *url = NULL;

	if (base != NULL)
		url = what == STERNA_WEB_SOCKET ? xasprintf("ws%s%s", base + strlen("http"), path) : xasprintf("%s%s", base, path);
	free(base);
	return url;
}

const char *sterna_web_path(struct sterna_mod *m, enum sterna_web what)
{
	const struct config *c = m->server->config;

	return what == STERNA_WEB_SOCKET ? c->http.websocket : what == STERNA_WEB_BOSH ? c->http.bosh : "/";
}

enum sterna_joining sterna_joining(struct sterna_mod *m, const char *domain)
{
	const struct host *h = server_host(m->server, domain);

	if (h == NULL || h->kind != HOST_USERS || h->config->anonymous)
		return STERNA_CLOSED;
	return h->config->registration ? STERNA_OPEN : h->config->invitations ? STERNA_BY_INVITATION : STERNA_CLOSED;
}

bool sterna_mod_service(struct sterna_mod *m, size_t index, const char **domain, const char **category, const char **type)
{
	const struct server *s = m->server;

	for (size_t i = 0; i < s->host_count; i++) {
		const struct host *h = s->host_list[i];

		if (h->kind != HOST_SERVICE || index-- > 0)
			continue;
		*domain = jid_full(h->jid);
		*category = h->category;
		*type = h->type;
		return true;
	}
	return false;
}
