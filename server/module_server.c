/* module_server.c - module.h's functions about the server, the module itself, and a changed stanza. */
#include "server/call.h"
#include "server/registry.h"
#include "server/stanza.h"

struct sterna_mod *sterna_mod(struct sterna_call *c)
{
	return c->module->mod;
}

int64_t sterna_uptime(struct sterna_call *c)
{
	return (loop_wall_us(c->worker->loop) - c->worker->server->started_us) / 1000000;
}

void sterna_changed(struct sterna_call *c)
{
	stanza_touch(c->stanza);
}
