/* module_server.c - module.h's functions about the server, the module itself, and copies. */
#include "server/account.h"
#include "server/archive.h"
#include "server/bytestream.h"
#include "server/call.h"
#include "server/presence.h"
#include "server/purge.h"
#include "server/registry.h"
#include "server/session.h"

struct sterna_mod *sterna_mod(struct sterna_call *c)
{
	return c->module->mod;
}

const char *sterna_mod_host(struct sterna_mod *m, size_t index)
{
	const struct server *s = m->server;

	for (size_t i = 0; i < s->host_count; i++)
		if (s->host_list[i]->kind == HOST_USERS && index-- == 0)
			return jid_full(s->host_list[i]->jid);
	return NULL;
}

int64_t sterna_uptime(struct sterna_call *c)
{
	return (loop_wall_us(c->worker->loop) - c->worker->server->started_us) / 1000000;
}

void sterna_hide_presence(struct sterna_call *c, const char *from_whom, bool hide)
{
	if (c->account == NULL)
		return;
	account_hide(c->account, from_whom, hide);
	if (hide)
		presence_hide_directed(c->account, from_whom);
}

void sterna_deliver(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza)
{
	struct arena *a = arena_new(1024);
	struct stanza *st = NULL;

	if (stanza_new(&a, elem_copy(a, stanza), &st) != STERNA_OK) {
		log_error("module", "tried to send what is no stanza", "module", c->module->m->name);
		arena_free(&a);
		return;
	}
	st->trace = c->trace;
	session_send(s, st, NULL, 0);
	stanza_unref(&st);
}

int64_t sterna_new_id(struct sterna_call *c)
{
	return worker_next_id(c->worker);
}

void sterna_archive_put(struct sterna_call *c, const char *owner, int64_t id, const struct jid *peer,
	const struct sterna_elem *stanza)
{
	archive_put(call_batch(c), owner, id, peer, stanza);
}

void sterna_archive_drop(struct sterna_call *c, const char *owner, int64_t up_to)
{
	purge_add(c->worker->server, call_batch(c), owner, up_to);
}

enum sterna_result sterna_bytestream_join(struct sterna_mod *m, const char *hash, const char *owner)
{
	return bytestream_join(m->server, hash, owner);
}

bool sterna_mod_has_domain(struct sterna_mod *m, const char *domain)
{
	return server_host(m->server, domain) != NULL;
}
