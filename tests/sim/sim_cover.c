/* sim_cover.c - which states the streams, the sessions and the database were in, and which ways they took from one to
 * another, over all seeds of a run. A way that no seed takes is not tested by the simulation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/sm_impl.h"
#include "tests/sim/sim_client.h"

enum { STATES_MAX = 8 };

struct table {
	const char *what;
	const char *names[STATES_MAX];
	uint64_t ways[STATES_MAX][STATES_MAX];
};

enum { STREAM_GONE, STREAM_HEADER, STREAM_PLAIN, STREAM_LOGIN, STREAM_IN, STREAM_ON, STREAM_END };
enum { SESSION_NONE, SESSION_ON, SESSION_DETACHED, SESSION_RECOVERED, SESSION_RESUMING, SESSION_DOOMED };
enum { DB_UP, DB_DOWN, DB_FULL };

static struct table streams = { "streams", { "none", "new", "open", "secure", "authenticated", "bound", "closed" }, { { 0 } } };
static struct table sessions = { "sessions", { "none", "connected", "detached", "recovered", "resuming", "doomed" }, { { 0 } } };
static struct table databases = { "database", { "up", "down", "full" }, { { 0 } } };

static struct table links = { "links", { "none", "idle", "trying", "up", "asking", "resuming", "held", "waiting" }, { { 0 } } };

static unsigned stream_state(const struct sim_conn *c)
{
	const struct stream *s = c->t.arg;

	if (c->server_gone || s == NULL)
		return STREAM_GONE;
	switch (s->state) {
	case STREAM_NEW:
		return STREAM_HEADER;
	case STREAM_OPEN:
		return STREAM_PLAIN;
	case STREAM_SECURE:
		return STREAM_LOGIN;
	case STREAM_AUTHED:
		return STREAM_IN;
	case STREAM_BOUND:
		return STREAM_ON;
	default:
		return STREAM_END;
	}
}

static unsigned session_state(const struct sim *s, const struct sim_client *c)
{
	struct jid *j = NULL;

	if (s->server == NULL || jid_parse(c->account, strlen(c->account), &j) != STERNA_OK)
		return SESSION_NONE;
	const struct account *a = account_find(server_owner(s->server, j), c->account);

	jid_unref(&j);
	if (a == NULL || a->sessions == NULL)
		return SESSION_NONE;
	const struct sm *m = a->sessions->sm;

	if (m != NULL && sm_is_doomed(m))
		return SESSION_DOOMED;
	if (m != NULL && m->resuming != NULL)
		return SESSION_RESUMING;
	if (m != NULL && m->recovered)
		return SESSION_RECOVERED;
	return a->sessions->stream != NULL ? SESSION_ON : SESSION_DETACHED;
}

static void go(struct table *t, uint8_t *was, unsigned now)
{
	if (*was != now)
		t->ways[*was][now]++;
	*was = (uint8_t)now;
}

void cover_step(struct sim_world *w)
{
	for (unsigned n = 0; n < world_servers(w); n++) {
		const struct sim *s = world_server(w, n);

		for (struct sim_conn *c = s->conns; c != NULL; c = c->next)
			go(&streams, &c->covered, stream_state(c));
		go(&databases, &w->covered[n], s->db_down ? DB_DOWN : s->db_full ? DB_FULL : DB_UP);
		for (unsigned to = 0; to < world_servers(w); to++)
			if (to != n)
				go(&links, &w->net.covered[n][to], net_link_state(w, n, to));
	}
	for (unsigned i = 0; i < w->client_count; i++)
		go(&sessions, &w->clients[i].covered, session_state(w->clients[i].home, &w->clients[i]));
}

static struct table *const tables[] = { &streams, &sessions, &databases, &links };

void cover_write(int fd)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		if (write(fd, tables[i]->ways, sizeof tables[i]->ways) != (ssize_t)sizeof tables[i]->ways)
			abort();
}

bool cover_add(int fd)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		uint64_t ways[STATES_MAX][STATES_MAX];

		if (read(fd, ways, sizeof ways) != (ssize_t)sizeof ways)
			return false;
		for (size_t n = 0; n < STATES_MAX * STATES_MAX; n++)
			tables[i]->ways[n / STATES_MAX][n % STATES_MAX] += ways[n / STATES_MAX][n % STATES_MAX];
	}
	return true;
}

static void report(const struct table *t, bool all)
{
	unsigned states = 1, seen = 0, ways = 0;

	for (unsigned to = 1; to < STATES_MAX && t->names[to] != NULL; to++) {
		bool any = false;

		states++;
		for (unsigned from = 0; from < STATES_MAX; from++)
			any |= t->ways[from][to] > 0;
		seen += any;
	}
	for (unsigned from = 0; from < states; from++)
		for (unsigned to = 0; to < states; to++)
			ways += t->ways[from][to] > 0;
	printf("%s: %u of %u states, %u transitions\n", t->what, seen + 1, states, ways);
	for (unsigned from = 0; all && from < states; from++)
		for (unsigned to = 0; to < states; to++)
			if (t->ways[from][to] > 0)
				printf("  %-14s -> %-14s %10" PRIu64 "\n", t->names[from], t->names[to], t->ways[from][to]);
}

void cover_report(bool all)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		report(tables[i], all);
}
