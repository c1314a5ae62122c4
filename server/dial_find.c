/* dial_find.c - where a domain's server is: a static route. */
#include "server/dial_impl.h"
#include <string.h>

static void take_route(struct dial *d, const struct config_route *r)
{
	struct dial_target *t = &d->targets[0];

	t->port = (uint16_t)r->port;
	t->direct = r->tls == CONFIG_ROUTE_DIRECT;
	d->has_bind = r->bind != NULL && ip_parse(r->bind, &d->bind) == STERNA_OK;
	d->count = ip_parse(r->address, &t->ip) == STERNA_OK; /* the configuration was checked */
	trail_add(d->trail, loop_now_us(d->worker->loop), "route", true, "%s port %u, %s%s%s", r->address, r->port,
		t->direct ? "TLS from the first byte" : "STARTTLS", r->bind != NULL ? ", from " : "", r->bind != NULL ? r->bind : "");
}

void dial_find(struct dial *d)
{
	const struct config_route *r = config_route(d->worker->server->config, d->domain);

	if (r == NULL) {
		trail_add(d->trail, loop_now_us(d->worker->loop), "route", false, "there is none to this domain");
		dial_failed(d, STERNA_ENOTFOUND, "there is no route to this domain");
		return;
	}
	take_route(d, r);
	dial_run(d);
}

void dial_find_end(struct dial *d)
{
	(void)d;
}
