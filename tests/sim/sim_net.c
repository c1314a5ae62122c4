/* sim_net.c - the network between the servers of a world. */
#include "tests/sim/sim_net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/s2s_impl.h"
#include "tests/sim/sim_client.h"

/* --- servers --- */

unsigned world_servers(const struct sim_world *w)
{
	return 1 + w->net.other_count;
}

struct sim *world_server(struct sim_world *w, unsigned n)
{
	return n == 0 ? &w->sim : &w->net.others[n - 1];
}

void world_pass(struct sim_world *w, uint64_t us)
{
	for (unsigned n = 0; n < world_servers(w); n++)
		world_server(w, n)->now_us += us;
}

const char *net_domain(unsigned n)
{
	static const char *const domains[SIM_SERVERS_MAX] = { "a.example", "b.example", "c.example" };

	return domains[n];
}

static unsigned index_of(const struct sim_world *w, const struct sim *s)
{
	return s == &w->sim ? 0 : (unsigned)(s - w->net.others) + 1;
}

static bool find(const char *domain, const struct sim_world *w, unsigned *out)
{
	for (unsigned n = 0; n < world_servers(w); n++)
		if (strcmp(net_domain(n), domain) == 0) {
			*out = n;
			return true;
		}
	return false;
}

static bool is_apart(const struct sim_world *w, unsigned a, unsigned b)
{
	return w->sim.now_us < w->net.apart_until_us[a < b ? a : b][a < b ? b : a];
}


static bool reaches(struct sim *s, const char *domain)
{
	struct sim_world *w = s->world;
	unsigned to;

	return find(domain, w, &to) && world_server(w, to)->server != NULL && !is_apart(w, index_of(w, s), to);
}

void net_init(struct sim_world *w, unsigned servers, uint64_t seed, const char *config)
{
	w->net.other_count = servers - 1;
	for (unsigned n = 0; n < servers; n++) {
		struct sim *s = world_server(w, n);
		char text[1024];

		snprintf(text, sizeof text, config, net_domain(n));
		sim_init(s, seed * SIM_SERVERS_MAX + n, text, 1 + (unsigned)((seed + n) % 3));
		s->world = w;
		s->reaches = reaches;
		s->ways = &sim_ways;
	}
}

void net_clear(struct sim_world *w)
{
	for (unsigned n = 0; n < world_servers(w); n++)
		for (struct sim_conn *c = world_server(w, n)->conns, *next; c != NULL; c = next) {
			next = c->next;
			if (!c->client_gone && (c->outgoing || c->far_end != NULL))
				sim_conn_let_go(&c);
		}
	for (unsigned n = 0; n < world_servers(w); n++)
		sim_clear(world_server(w, n));
}

/* --- connections: the end that opened one stands for it --- */

static struct sim_conn *pick(struct sim_world *w)
{
	unsigned count = 0, at = 0;

	for (int round = 0; round < 2; round++) {
		for (unsigned n = 0; n < world_servers(w); n++)
			for (struct sim_conn *c = world_server(w, n)->conns; c != NULL; c = c->next) {
				if (!c->outgoing || c->client_gone)
					continue;
				if (round == 1 && at-- == 0)
					return c;
				count++;
			}
		if (count == 0)
			return NULL;
		at = sim_below(&w->sim, count);
	}
	return NULL;
}

static void let_go(struct sim_conn *c, uint64_t after_us, bool lose)
{
	if (!c->server_gone)
		sim_conn_cut(c, after_us, lose);
	sim_conn_let_go(&c);
}

/* The features as an older server has them. They are written at once. */
static void forget_sm(struct buf *b)
{
	static const char sm[] = "<sm xmlns='urn:xmpp:sm:3'/>";
	char *at = buf_len(b) > 0 ? memmem(buf_data(b), buf_len(b), sm, sizeof sm - 1) : NULL;

	if (at != NULL)
		memset(at, ' ', sizeof sm - 1);
}

static void move(struct sim_conn *from, struct sim_conn *to, size_t most)
{
	const size_t n = buf_len(&from->down) < most ? buf_len(&from->down) : most;

	if (!to->server_gone)
		buf_add(&to->up, buf_data(&from->down), n);
	buf_consume(&from->down, n);
}

static void cut(struct sim_world *w, struct sim_conn *c)
{
	struct sim_conn *far = c->far_end;

	w->cuts++;
	for (int i = 0; i < 2 && far != NULL; i++) {
		struct sim_conn *from = i == 0 ? c : far, *to = i == 0 ? far : c;

		if (buf_len(&from->down) > 0)
			move(from, to, sim_random(&w->sim) % buf_len(&from->down));
	}
	for (int i = 0; i < 2; i++) {
		struct sim_conn *end = i == 0 ? c : far;
		/* TCP_USER_TIMEOUT: s2s.stall_time, and something more. */
		const uint64_t after_us = sim_chance(&w->sim, 60) ? 0 : sim_below(&w->sim, 20) * 1000000u;

		if (end == NULL)
			continue;
		world_say(w, "%s: a connection %s is cut, noticed after %.3f s", net_domain(index_of(w, end->sim)),
			end->outgoing ? "out" : "in", (double)after_us / 1e6);
		end->far_end = NULL;
		let_go(end, after_us, sim_chance(&w->sim, 50));
	}
}

static void join(struct sim_world *w, struct sim_conn *c)
{
	unsigned to;

	if (!find(c->addr, w, &to) || !reaches(c->sim, c->addr)) {
		cut(w, c);
		return;
	}
	struct sim *s = world_server(w, to);
	const unsigned from = index_of(w, c->sim);

	c->far_end = sim_connect(s, sim_below(&w->sim, s->worker_count), &s2s_in_kind, w->net.dialback ? NULL : net_domain(from));
	c->far_end->far_end = c;
}

/* One end has gone, and what it said has arrived. */
static bool close_if_gone(struct sim_conn *gone, struct sim_conn *left)
{
	if (!gone->server_gone || buf_len(&gone->down) > 0)
		return false;
	gone->far_end = left->far_end = NULL;
	let_go(left, 0, false);
	let_go(gone, 0, false);
	return true;
}

bool net_step(struct sim_world *w)
{
	struct sim_conn *c = pick(w);

	if (c == NULL)
		return false;
	if (c->far_end == NULL) {
		if (c->server_gone)
			sim_conn_let_go(&c);
		else
			join(w, c);
		return true;
	}
	const bool out = sim_chance(&w->sim, 50);
	struct sim_conn *from = out ? c : c->far_end, *to = out ? c->far_end : c;

	if (w->net.plain)
		forget_sm(&from->down);
	move(from, to, 1 + sim_below(&w->sim, sim_chance(&w->sim, 70) ? 3000 : 30));
	if (!close_if_gone(from, to))
		(void)close_if_gone(to, from);
	return true;
}

/* --- faults --- */

static void part(struct sim_world *w)
{
	const unsigned a = sim_below(&w->sim, world_servers(w)), b = sim_below(&w->sim, world_servers(w));
	const uint64_t us = sim_below(&w->sim, 120) * 1000000u;

	if (a >= b)
		return;
	world_say(w, "%s and %s do not see each other for %.0f s", net_domain(a), net_domain(b), (double)us / 1e6);
	w->net.apart_until_us[a][b] = w->sim.now_us + us;
	for (bool any = true; any;) {
		any = false;
		for (unsigned n = 0; n < 2 && !any; n++)
			for (struct sim_conn *c = world_server(w, n == 0 ? a : b)->conns; c != NULL && !any; c = c->next)
				if (c->outgoing && !c->client_gone && strcmp(c->addr, net_domain(n == 0 ? b : a)) == 0) {
					cut(w, c);
					any = true;
				}
	}
}

void net_fault(struct sim_world *w)
{
	struct sim_conn *c;

	if (sim_chance(&w->sim, 25))
		part(w);
	else if ((c = pick(w)) != NULL)
		cut(w, c);
}

void net_heal(struct sim_world *w)
{
	memset(w->net.apart_until_us, 0, sizeof w->net.apart_until_us);
}

/* --- what is under way --- */

static struct s2s_link *link_of(struct sim_world *w, unsigned from, unsigned to)
{
	struct server *s = world_server(w, from)->server;
	struct host *h = s != NULL ? server_host(s, net_domain(from)) : NULL;

	return h != NULL ? s2s_link_find(s2s_owner(s, net_domain(to)), h, net_domain(to)) : NULL;
}

enum { LINK_NONE, LINK_IDLE, LINK_TRYING, LINK_UP, LINK_ASKING, LINK_RESUMING, LINK_HELD, LINK_WAITING };

unsigned net_link_state(struct sim_world *w, unsigned from, unsigned to)
{
	const struct s2s_link *l = link_of(w, from, to);

	if (l == NULL)
		return LINK_NONE;
	if (l->stream != NULL)
		return l->stream->s2s->resuming != NULL ? LINK_RESUMING : l->sent.count > 0 ? LINK_ASKING : LINK_UP;
	if (l->attempt != NULL)
		return LINK_TRYING;
	return l->held != NULL ? LINK_HELD : l->waiting.count > 0 ? LINK_WAITING : LINK_IDLE;
}

static const char *describe(struct sim_world *w, const struct s2s_link *l)
{
	snprintf(w->net.why, sizeof w->net.why, "the link from %s to %s is %s%s%s%s, %zu wait, %zu are not confirmed",
		jid_full(l->host->jid), jid_full(l->remote), l->stream != NULL ? "up" : "down", l->attempt != NULL ? ", is tried" : "",
		timer_is_set(&l->retry) ? ", will be tried" : "", l->held == NULL ? "" : l->held->ours ? ", held by us" : ", held",
		l->waiting.count, l->sent.count);
	return w->net.why;
}

const char *net_unrest(struct sim_world *w)
{
	for (unsigned n = 0; n < world_servers(w); n++) {
		for (const struct sim_conn *c = world_server(w, n)->conns; c != NULL; c = c->next)
			if (buf_len(&c->down) > 0 && c->far_end != NULL)
				return "bytes between servers";
		for (unsigned to = 0; to < world_servers(w); to++) {
			const struct s2s_link *l = to != n ? link_of(w, n, to) : NULL;

			if (l != NULL && (l->waiting.count > 0 || l->sent.count > 0))
				return describe(w, l);
		}
		for (unsigned i = 0; i < world_server(w, n)->worker_count; i++)
			if (world_server(w, n)->server->workers[i]->s2s_loading != NULL)
				return "queues that are being read";
	}
	return NULL;
}
