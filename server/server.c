/* server.c - a server with its hosts and workers, from start to end. */
#include "server/server.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/account.h"
#include "server/dns.h"
#include "server/bosh.h"
#include "server/bytestream.h"
#include "server/client_iq.h"
#include "server/crew.h"
#include "server/farewell.h"
#include "server/fetch.h"
#include "server/ids.h"
#include "server/isolation.h"
#include "server/memory.h"
#include "server/net.h"
#include "server/purge.h"
#include "server/registry.h"
#include "server/retire.h"
#include "server/invite_iq.h"
#include "server/region.h"
#include "server/register_iq.h"
#include "server/roster_iq.h"
#include "server/s2s.h"
#include "server/server_metric.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/stream.h"

/* --- who owns what --- */

struct worker *server_owner(const struct server *s, const struct jid *j)
{
	return s->workers[jid_hash(j) % s->worker_count];
}

struct host *server_host(const struct server *s, const char *domain)
{
	return map_get(&s->hosts, domain);
}

uint64_t worker_trace(struct worker *w)
{
	return (uint64_t)(w->index & 63) << 48 | ++w->last_trace;
}

void worker_token(struct worker *w, char out[33])
{
	unsigned char raw[16];

	loop_random(w->loop, raw, sizeof raw);
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

struct post {
	struct mail mail;
	struct worker *worker;
	void (*fn)(struct worker *w, void *arg);
	void *arg;
};

static void on_post(struct mail *m, struct loop *l)
{
	struct post *p = (struct post *)m;

	(void)l;
	p->fn(p->worker, p->arg);
	free(p);
}

void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
	struct post *p = xalloc(sizeof *p);

	*p = (struct post){ { .run = on_post }, w, fn, arg };
	loop_post(w->loop, &p->mail);
}

/* --- hosts --- */

struct host *server_add_host(struct server *s, const char *domain, enum host_kind kind)
{
	struct jid *j = NULL;

	if (jid_parse(domain, strlen(domain), &j) != STERNA_OK || jid_local(j) != NULL || jid_resource(j) != NULL) {
		jid_unref(&j);
		log_error("server", "this is no domain", "host", domain);
		return NULL;
	}
	if (server_host(s, jid_full(j)) != NULL) {
		log_error("server", "a domain is there twice", "host", jid_full(j));
		jid_unref(&j);
		return NULL;
	}
	struct host *h = xalloc(sizeof *h);
	char ascii[256];

	h->jid = j;
	h->ascii = xstrdup(idna_to_ascii(jid_full(j), ascii, sizeof ascii) == STERNA_OK ? ascii : jid_full(j));
	h->kind = kind;
	map_put(&s->hosts, jid_full(j), h);
	s->host_list = xrealloc(s->host_list, (s->host_count + 1) * sizeof(struct host *));
	s->host_list[s->host_count++] = h;
	return h;
}

static bool add_hosts(struct server *s)
{
	for (size_t i = 0; i < s->config->hosts.count; i++) {
		const struct config_host *c = &config_hosts(s->config)[i];
		struct host *h = server_add_host(s, c->domain, HOST_USERS);

		if (h == NULL)
			return false;
		h->config = c;
	}
	for (size_t i = 0; i < s->config->components.count; i++) {
		const struct config_component *c = &config_components(s->config)[i];
		struct host *h = server_add_host(s, c->domain, HOST_COMPONENT);

		if (h == NULL)
			return false;
		h->secret = xstrdup(c->secret != NULL ? c->secret : "");
	}
	return true;
}

/* --- the secret that must be the same after a restart and on every node --- */

static void on_secret(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct server *s = arg;
	size_t len = 0;
	const char *value = rc == STERNA_OK && db_rows_count(rows) > 0 ? db_str(rows, 0, 0, &len) : NULL;

	if (value != NULL && len == sizeof s->secret)
		memcpy(s->secret, value, len);
}

static enum sterna_result load_secret(struct server *s)
{
	static const struct db_stmt put = {
		.name = "secret_put", .params = "b",
		.sql = "INSERT INTO kv (ns, key, value) VALUES ('server', 'secret', $1) ON CONFLICT (ns, key) DO NOTHING",
	};
	static const struct db_stmt get = {
		.name = "secret_get", .params = "", .columns = "b",
		.sql = "SELECT value FROM kv WHERE ns = 'server' AND key = 'secret'",
	};
	unsigned char fresh[32];

	loop_random(s->workers[0]->loop, fresh, sizeof fresh);
	const struct db_value v = DB_BLOB(fresh, sizeof fresh);
	enum sterna_result rc = db_exec_now(s->db, &put, &v, NULL, NULL);

	if (rc == STERNA_OK)
		rc = db_exec_now(s->db, &get, NULL, on_secret, s);
	OPENSSL_cleanse(fresh, sizeof fresh);
	return rc;
}

/* --- workers --- */

enum { SWEEP_US = 2000000, MEMORY_PERCENT = 85 };

/* Before the kernel ends the process for want of memory, nobody new is let in. */
static void watch_memory(struct server *s)
{
	const uint64_t set = s->config->limits.memory.bytes, most = set > 0 ? set : s->memory_limit;
	const bool is_short = most > 0 && s->net != NULL && memory_used() > most / 100 * MEMORY_PERCENT;

	if (atomic_exchange(&s->memory_short, is_short) == is_short)
		return;
	if (is_short)
		log_error("server", "memory is short; new connections are refused", "limit", LOG_UINT(most));
	else
		log_notice("server", "there is memory again; connections are accepted");
}

static void on_sweep(struct timer *t, void *arg)
{
	struct worker *w = arg;

	stream_sweep(w);
	account_trim(w);
	s2s_sweep(w);
	w->logins.limit = w->server->config->limits.logins_at_once; /* after a reload */
	worker_measure(w);
	if (w->index == 0)
		watch_memory(w->server);
	if (w->index == 0)
		isolation_sweep(w);
	ids_sweep(w);
	purge_sweep(w);
	modules_event(w, STERNA_WORKER_TICK, NULL, NULL, NULL);
	timer_set(t, SWEEP_US);
}

static struct worker *worker_new(struct server *s, struct loop *l, unsigned index)
{
	struct worker *w = xalloc(sizeof *w);
	uint64_t keys[2];

	w->server = s;
	w->loop = l;
	w->index = index;
	w->parsers = xml_pool_new();
	gate_init(&w->logins, l, s->config->limits.logins_at_once);
	loop_random(l, keys, sizeof keys);
	map_init(&w->accounts, keys[0], keys[1]);
	map_init(&w->lanes, keys[0], keys[1]);
	map_init(&w->bosh, keys[0], keys[1]);
	map_init(&w->links, keys[0], keys[1]);
	map_init(&w->peers, keys[0], keys[1]);
	map_init(&w->resumable, keys[0], keys[1]);
	return w;
}

static void on_db_state(void *arg, bool up)
{
	struct worker *w = arg;

	(void)up;
	if (!w->stopping)
		worker_measure(w);
}

void worker_start(struct worker *w)
{
	w->db = db_client_new(w->server->db, w->loop);
	db_on_state(w->db, on_db_state, w);
	timer_init(&w->sweep, w->loop, on_sweep, w);
	timer_set(&w->sweep, SWEEP_US);
	purge_start(w);
	s2s_load(w);
	farewell_look(w);
	worker_measure(w);
}

/* Sessions that may be resumed are left in storage as they are; the others end. */
void worker_stop(struct worker *w)
{
	struct map_entry *e;

	w->stopping = true;
	farewell_stop(w);
	ids_stop(w);
	timer_cancel(&w->sweep);
	purge_stop(w);
	s2s_stop(w);
	for (struct stream *st = w->streams, *next; st != NULL; st = next) {
		next = st->next;
		if (st->session != NULL && sm_is_resumable(st->session))
			st->cut = true;
		stream_error(st, "system-shutdown", NULL);
	}
	http_stop(w);
	bytestream_stop(w);
	loop_run_deferred(w->loop);
	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		struct account *a = e->value;

		for (struct sterna_session *s = a->sessions, *next; s != NULL; s = next) {
			next = s->next;
			if (sm_is_resumable(s))
				sm_save(s);
			else
				session_end(s);
		}
	}
}

/* How long a stop waits for commits: server.shutdown_wait. */
static unsigned shutdown_ms(const struct server *s)
{
	const struct config *c = s->config;

	return (unsigned)(c->server.shutdown_wait.us / 1000);
}

/* What workers have sent each other, and asked of the database, comes to its end while all of them are there. */
static void drain(struct server *s)
{
	bool any = true, last = false;

	for (unsigned i = 0; i < s->worker_count; i++)
		s->workers[i]->stopping = true;
	while (any || !last) {
		last = !any;
		any = false;
		for (unsigned i = 0; i < s->worker_count; i++) {
			struct worker *w = s->workers[i];

			farewell_stop(w);
			s2s_stop(w);
			while (w->streams != NULL)
				stream_free_now(w->streams);
			http_free(w);
			bytestream_free_all(w);
			bosh_free_all(w);
			account_give_up(w);
			any |= loop_drain(w->loop);
			if (last && w->db != NULL)
				any |= db_client_stop(w->db, shutdown_ms(s));
		}
	}
}

static void worker_free(struct worker *w)
{
	struct map_entry *e;

	db_client_free(&w->db, 0);
	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		struct account *a = e->value;

		while (a->sessions != NULL)
			session_drop(a->sessions);
		account_unload(a);
	}
	s2s_clear(w);
	farewell_free(w);
	fetcher_free(&w->fetcher);
	dns_free(&w->dns);
	map_clear(&w->accounts);
	map_clear(&w->lanes);
	map_clear(&w->bosh);
	map_clear(&w->links);
	map_clear(&w->peers);
	map_clear(&w->resumable);
	modules_event(w, STERNA_WORKER_ENDED, NULL, NULL, NULL);
	gate_clear(&w->logins);
	for (unsigned i = 0; i < w->slot_count; i++)
		free(w->slots[i]);
	free(w->slots);
	while (w->free_calls != NULL) {
		struct sterna_call *c = w->free_calls;

		w->free_calls = c->next;
		free(c);
	}
	registry_unref(&w->registry);
	xml_pool_free(&w->parsers);
	loop_free(&w->loop);
	free(w);
}

/* --- visits from threads that are no workers --- */

struct registry *server_visit(struct server *s)
{
	struct registry *r = NULL;

	pthread_mutex_lock(&s->visit_lock);
	if (!s->closed && s->registry != NULL) {
		s->visits++;
		r = registry_ref(s->registry);
	}
	pthread_mutex_unlock(&s->visit_lock);
	return r;
}

void server_leave(struct server *s, struct registry **r)
{
	registry_unref(r);
	pthread_mutex_lock(&s->visit_lock);
	if (--s->visits == 0)
		pthread_cond_signal(&s->visits_over);
	pthread_mutex_unlock(&s->visit_lock);
}

static void close_to_visits(struct server *s)
{
	pthread_mutex_lock(&s->visit_lock);
	s->closed = true;
	while (s->visits > 0)
		pthread_cond_wait(&s->visits_over, &s->visit_lock);
	pthread_mutex_unlock(&s->visit_lock);
}

static uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

enum { STUCK_US = 60000000 };

bool server_is_alive(const struct server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		const uint64_t last = atomic_load(&s->workers[i]->alive_us);

		if (last > 0 && monotonic_us() > last + STUCK_US)
			return false;
	}
	return true;
}

enum sterna_result sterna_alive(struct sterna_mod *m, const char **why)
{
	const bool alive = server_is_alive(m->server);

	*why = alive ? "alive" : "a worker is stuck";
	return alive ? STERNA_OK : STERNA_EUNAVAILABLE;
}

enum sterna_result sterna_ready(struct sterna_mod *m, const char **why)
{
	const struct server *s = m->server;

	*why = "the server ends";
	if (atomic_load(&s->draining))
		return STERNA_EUNAVAILABLE;
	for (unsigned i = 0; i < s->worker_count; i++) {
		*why = "the server starts";
		if (atomic_load(&s->workers[i]->alive_us) == 0)
			return STERNA_EUNAVAILABLE;
		*why = "the database is away";
		if (!atomic_load(&s->workers[i]->db_up))
			return STERNA_EUNAVAILABLE;
	}
	*why = "ready";
	return STERNA_OK;
}

/* --- life --- */

enum sterna_result server_new(const struct server_parts *parts, struct server **out)
{
	struct server *s = xalloc(sizeof *s);
	uint64_t keys[2];
	enum sterna_result rc;

	pthread_mutex_init(&s->visit_lock, NULL);
	pthread_cond_init(&s->visits_over, NULL);
	s->config = parts->config;
	s->db = parts->db;
	s->pool = parts->pool;
	loop_random(parts->loops[0], keys, sizeof keys);
	map_init(&s->hosts, keys[0], keys[1]);
	s->isolation = isolation_new(keys);
	s->bytestreams = bytestreams_new(s, keys);
	s->worker_count = parts->worker_count;
	s->workers = xalloc(s->worker_count * sizeof(struct worker *));
	for (unsigned i = 0; i < s->worker_count; i++)
		s->workers[i] = worker_new(s, parts->loops[i], i);
	s->metrics = metrics_new(s->worker_count);
	s->started_us = loop_wall_us(s->workers[0]->loop);
	rc = metrics_add(s->metrics, server_metric_table, &s->metric_set);
	if (rc == STERNA_OK)
		rc = regions_new(s, &s->regions);
	if (rc == STERNA_OK)
		metrics_on_read(s->metrics, server_on_metrics_read, s);
	if (rc == STERNA_OK && !add_hosts(s))
		rc = STERNA_EINVAL;
	if (rc == STERNA_OK)
		rc = load_secret(s);
	if (rc == STERNA_OK)
		rc = ids_load(s);
	if (rc == STERNA_OK)
		rc = isolation_load(s);
	if (rc == STERNA_OK)
		rc = module_load_static(s, &sterna_module_roster);
	if (rc == STERNA_OK)
		rc = module_load_static(s, &sterna_module_register);
	if (rc == STERNA_OK)
		rc = module_load_static(s, &sterna_module_invite);
	if (rc == STERNA_OK)
		rc = module_load_static(s, &sterna_module_clients);
	if (rc != STERNA_OK) {
		server_free(&s);
		return rc;
	}
	*out = s;
	return STERNA_OK;
}

void server_free(struct server **server)
{
	struct server *s = *server;

	*server = NULL;
	if (s == NULL)
		return;
	close_to_visits(s);
	crew_free(&s->crew);
	drain(s);
	for (unsigned i = 0; i < s->worker_count; i++)
		worker_free(s->workers[i]);
	server_retire_all(s);
	modules_free(s);
	metrics_on_read(s->metrics, NULL, s);
	regions_free(s, &s->regions);
	if (s->metric_set != NULL)
		metrics_remove(s->metrics, &s->metric_set);
	metrics_free(&s->metrics);
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = s->host_list[i];

		jid_unref(&h->jid);
		free(h->ascii);
		free(h->secret);
		free(h->category);
		free(h->type);
		free(h->name);
		free(h);
	}
	free(s->host_list);
	map_clear(&s->hosts);
	bytestreams_free(&s->bytestreams);
	isolation_free(&s->isolation);
	free(s->workers);
	OPENSSL_cleanse(s->secret, sizeof s->secret);
	pthread_cond_destroy(&s->visits_over);
	pthread_mutex_destroy(&s->visit_lock);
	free(s);
}

enum sterna_result sterna_serve(struct sterna_mod *m, const char *domain, const char *category, const char *type,
	const char *name)
{
	struct host *h = m->server->running ? NULL : server_add_host(m->server, domain, HOST_SERVICE);

	if (h == NULL)
		return STERNA_EINVAL;
	h->module = m->slot;
	h->category = xstrdup(category);
	h->type = xstrdup(type);
	h->name = xstrdup(name);
	return STERNA_OK;
}
