/* http_register.c - module.h's functions for forms on pages of ours: what was sent, from where, and an account made with it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "server/http_conn.h"
#include "server/http_form.h"
#include "server/register.h"
#include "server/registry.h"

#define FORM_TYPE "application/x-www-form-urlencoded"

char *sterna_http_form(const struct sterna_http_request *r, const char *field, size_t max)
{
	const char *type = sterna_http_header(r, "Content-Type");

	if (type == NULL || strncasecmp(type, FORM_TYPE, sizeof FORM_TYPE - 1) != 0)
		return NULL;
	return http_form_field(r->body, r->body_len, field, max);
}

bool sterna_http_is_private(const struct sterna_http_request *r)
{
	return r->conn != NULL && http_conn_is_covered(r->conn);
}

/* A page that says no referrer has the Origin "null", also for its own forms: then Sec-Fetch-Site counts, and what the form
 * itself carries. */
bool sterna_http_is_own(const struct sterna_http_request *r)
{
	const char *site = sterna_http_header(r, "Sec-Fetch-Site"), *origin = sterna_http_header(r, "Origin");
	const char *host = sterna_http_header(r, "Host"), *at;

	if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return false;
	if (origin == NULL || strcmp(origin, "null") == 0)
		return true;
	at = strstr(origin, "://");
	return at != NULL && host != NULL && strcasecmp(at + 3, host) == 0;
}

struct making {
	struct http_conn *conn;              /* NULL: the asker has gone */
	struct registry *registry;           /* a reference: the module stays loaded */
	const struct module_slot *slot;
	sterna_http_made_fn *fn;
};

static void on_gone(void *arg, struct http_conn *c)
{
	struct making *k = arg;

	(void)c;
	k->conn = NULL;
}

static void on_made(void *arg, unsigned condition, const char *text, const struct jid *jid)
{
	struct making *k = arg;
	struct http_conn *c = k->conn;

	(void)text;
	if (c != NULL) {
		http_conn_resumed(c);
		k->fn(k->slot->mod, &c->request, condition, jid);
		http_conn_answered(c, k->slot->m->name);
	}
	registry_unref(&k->registry);
	free(k);
}

void sterna_http_register(struct sterna_mod *m, struct sterna_http_request *r, const char *host, const char *token,
	const char *name, const char *password, sterna_http_made_fn *fn)
{
	struct worker *w = r->conn != NULL ? r->conn->worker : NULL;
	struct host *h = server_host(m->server, host);

	if (w == NULL || w->db == NULL || h == NULL || h->kind != HOST_USERS || !h->config->invitations || h->config->anonymous) {
		fn(m, r, w == NULL || w->db == NULL ? STERNA_RESOURCE_CONSTRAINT : STERNA_ITEM_NOT_FOUND, NULL);
		return;
	}
	struct making *k = xalloc(sizeof *k);

	*k = (struct making){ r->conn, registry_ref(w->registry), m->slot, fn };
	r->later = true;
	http_conn_wait(r->conn, on_gone, k);
	register_begin(w, &(struct register_wish){ h, token, name, password, &r->conn->client,
		r->conn->transport->peer }, on_made, k);
}
