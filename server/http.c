/* http.c - from a path and a method to a module's route. */
#include "server/http.h"
#include <stdio.h>
#include <string.h>
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
	return r->header != NULL ? r->header(r, name) : NULL;
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

void sterna_http_clear(struct sterna_http_request *r)
{
	buf_release(&r->content);
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

/* The route, or NULL; r->allow: the methods that the path has. */
static const struct sterna_route *find(const struct registry *g, struct sterna_http_request *r,
	const struct module_slot **slot)
{
	const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;

	for (size_t i = 0; i < g->module_count; i++)
		for (const struct sterna_route *t = g->modules[i]->m->http; t != NULL && t->fn != NULL; t++) {
			if (strcmp(t->path, r->path) != 0)
				continue;
			*slot = g->modules[i];
			if (strcmp(t->method, method) == 0)
				return t;
			allow(r, t->method);
		}
	return NULL;
}

void sterna_http_dispatch(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct registry *g = server_visit(m->server);
	const struct module_slot *slot = NULL;
	const struct sterna_route *t;

	r->status = 0;
	r->allow[0] = '\0';
	if (g == NULL) {
		say(r, 503, "the server ends\n");
		return;
	}
	t = find(g, r, &slot);
	if (t != NULL) {
		r->allow[0] = '\0';
		t->fn(slot->mod, r);
		if (r->status == 0) {
			log_error("http", "a module gave no answer", "module", slot->m->name, "path", t->path);
			say(r, 500, "no answer\n");
		}
	} else if (slot != NULL) {
		say(r, 405, "this path has other methods\n");
	} else {
		say(r, 404, "there is nothing here\n");
	}
	server_leave(m->server, &g);
}

bool sterna_http_listener(struct sterna_mod *m, size_t index, struct sterna_http_listener *out)
{
	const struct config *c = m->server->config;

	for (size_t i = 0; i < c->listen.count; i++) {
		const struct config_listen *l = &config_listens(c)[i];

		if (l->kind != CONFIG_HTTP || index-- > 0)
			continue;
		*out = (struct sterna_http_listener){ l->address, (uint16_t)l->port, l->backlog, l->tls != CONFIG_TLS_NONE };
		return true;
	}
	return false;
}
