/* net.c - listeners on every worker, admission by address, TLS contexts that can be replaced. */
#include "server/net.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/bytestream.h"
#include "server/c2s.h"
#include "server/cidr.h"
#include "server/component.h"
#include "server/conn.h"
#include "server/dial.h"
#include "server/http_conn.h"
#include "server/isolation.h"
#include "server/listener.h"
#include "server/ratelimit.h"
#include "server/s2s.h"

struct port {
	struct net *net;
	const struct config_listen *config;
	const struct stream_kind *kind;  /* NULL: HTTP, bytestreams */
	struct cidr_set proxies;
	struct listener **listeners;     /* by worker */
};

struct door {                            /* a port on a worker: the listener's argument */
	struct port *port;
	struct worker *worker;
};

/* What a configuration says of certificates; replaced as a whole. */
struct net_tls {
	struct tls_context *c2s, *s2s, *api;     /* api: NULL: as c2s */
	struct net_pin { char *domain; struct tls_pin *pin; } *pins;
	size_t pin_count;
};

/* Connections keep the times that they began with, so what a reload has changed stays as long as there may be some. */
struct times {
	struct conn_limits limits;
	struct times *older;
};

struct net {
	struct server *server;
	struct port *ports;
	size_t port_count;
	struct door *doors;
	pthread_mutex_t lock;            /* of what follows */
	struct net_tls *tls;
	struct times *times;             /* the newest first */
	struct ratelimit_table *addresses;
	struct cidr_set http_proxies;
	struct timer *retry;             /* by worker: HTTP listeners that wait look again */
};

enum { RETRY_US = 250000 };

enum { BEFORE_AUTH, AFTER_AUTH };
enum { LOGIN_WAIT_MIN_US = 10000 }; /* those who wait ask again in turn, and not all in each turn of the loop */

static bool is_http(const struct port *p)
{
	return p->config->kind == CONFIG_HTTP;
}

static struct tls_context *current_tls(struct net *n, bool api)
{
	pthread_mutex_lock(&n->lock);
	struct tls_context *c = tls_context_ref(api && n->tls->api != NULL ? n->tls->api : n->tls->c2s);

	pthread_mutex_unlock(&n->lock);
	return c;
}

struct tls_context *net_s2s_tls(struct net *n)
{
	pthread_mutex_lock(&n->lock);
	struct tls_context *c = tls_context_ref(n->tls->s2s);

	pthread_mutex_unlock(&n->lock);
	return c;
}

struct tls_pin *net_pin(struct net *n, const char *domain)
{
	struct tls_pin *found = NULL;

	if (n == NULL)
		return NULL; /* the simulation has none */
	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; found == NULL && i < n->tls->pin_count; i++)
		if (strcmp(n->tls->pins[i].domain, domain) == 0)
			found = tls_pin_ref(n->tls->pins[i].pin);
	pthread_mutex_unlock(&n->lock);
	return found;
}

static const struct conn_limits *current_limits(struct net *n)
{
	pthread_mutex_lock(&n->lock);
	const struct conn_limits *l = &n->times->limits;

	pthread_mutex_unlock(&n->lock);
	return l;
}

static void set_times(struct net *n, const struct config *c)
{
	struct times *t = xalloc(sizeof *t);

	t->limits = conn_limits_default;
	t->limits.handshake_us = (uint64_t)c->limits.tls_time.us;
	t->limits.progress_us = (uint64_t)c->limits.write_time.us;
	struct times **same = &n->times;

	/* Connections point to those that they were made with; what comes again is the same object. */
	while (*same != NULL && memcmp(&t->limits, &(*same)->limits, sizeof t->limits) != 0)
		same = &(*same)->older;
	pthread_mutex_lock(&n->lock);
	if (*same != NULL) {
		struct times *again = *same;

		*same = again->older;
		free(t);
		t = again;
	}
	t->older = n->times;
	n->times = t;
	pthread_mutex_unlock(&n->lock);
}

/* --- admission --- */

static bool may_hold(struct net *n, const struct ip *peer, uint64_t now)
{
	const struct config_limits *l = &n->server->config->limits;
	const struct ip key = ratelimit_address(peer);

	if (isolation_has_address(n->server, peer))
		return false;
	if (atomic_load(&n->server->streams) >= l->connections || atomic_load(&n->server->draining)
		|| atomic_load(&n->server->memory_short))
		return false;
	if (ratelimit_table_take(n->addresses, &key, sizeof key, BEFORE_AUTH, &l->connects_per_address, now, 1, NULL)
		!= STERNA_OK)
		return false;
	return ratelimit_table_hold(n->addresses, &key, sizeof key, BEFORE_AUTH, l->connections_per_address, now)
		== STERNA_OK;
}

uint64_t net_login_wait_us(struct stream *s)
{
	struct net *n = s->worker->server->net;
	const struct ip key = s->has_ip ? ratelimit_address(&s->ip) : (struct ip){ 0 };
	uint64_t wait = 0;

	if (s->has_ip)
		wait = isolation_address_wait_us(s->worker->server, &s->ip, loop_now_us(s->worker->loop));
	if (wait > 0)
		return wait > LOGIN_WAIT_MIN_US ? wait : LOGIN_WAIT_MIN_US;
	if (n == NULL || !s->has_ip || ratelimit_table_take(n->addresses, &key, sizeof key, AFTER_AUTH,
		&n->server->config->limits.logins_per_address, loop_now_us(s->worker->loop), 1, &wait) == STERNA_OK)
		return 0;
	return wait > LOGIN_WAIT_MIN_US ? wait : LOGIN_WAIT_MIN_US;
}

/* "login" NUL name@host, cut where it is too long: then a few share a bucket. */
static size_t account_key(const struct stream *s, const char *local, char key[RATELIMIT_KEY_MAX])
{
	memcpy(key, "login", 6);
	const int n = snprintf(key + 6, RATELIMIT_KEY_MAX - 6, "%s@%s", local, jid_full(s->host->jid));

	return n < RATELIMIT_KEY_MAX - 6 ? 6 + (size_t)n : RATELIMIT_KEY_MAX - 1;
}

bool net_may_try(struct stream *s, const char *local)
{
	struct net *n = s->worker->server->net;
	char key[RATELIMIT_KEY_MAX];
	struct jid *j = NULL;
	bool slow = false;

	if (isolation_is_used(s->worker->server) && jid_make(local, jid_full(s->host->jid), NULL, &j) == STERNA_OK)
		slow = isolation_account_wait_us(s->worker->server, jid_full(j), loop_now_us(s->worker->loop)) > 0;
	jid_unref(&j);
	if (slow)
		return false;
	return n == NULL || ratelimit_table_has(n->addresses, key, account_key(s, local, key), BEFORE_AUTH,
		&n->server->config->limits.login_failures_per_account, loop_now_us(s->worker->loop), 1) == STERNA_OK;
}

void net_login_failed(struct stream *s, const char *local)
{
	struct net *n = s->worker->server->net;
	char key[RATELIMIT_KEY_MAX];

	if (n != NULL)
		(void)!ratelimit_table_take(n->addresses, key, account_key(s, local, key), BEFORE_AUTH,
			&n->server->config->limits.login_failures_per_account, loop_now_us(s->worker->loop), 1, NULL);
}

bool net_may_register(struct server *s, const struct ip *peer, uint64_t now_us)
{
	struct net *n = s->net;
	struct { char what[8]; struct ip ip; } key; /* a bucket of its own beside the address's */

	if (n == NULL || peer == NULL)
		return true;
	memset(&key, 0, sizeof key);
	memcpy(key.what, "account", sizeof key.what);
	key.ip = ratelimit_address(peer);
	return ratelimit_table_take(n->addresses, &key, sizeof key, BEFORE_AUTH,
		&n->server->config->limits.registrations_per_address, now_us, 1, NULL) == STERNA_OK;
}

bool net_authenticated(struct stream *s)
{
	struct net *n = s->worker->server->net;
	const struct ip key = s->has_ip ? ratelimit_address(&s->ip) : (struct ip){ 0 };
	const uint64_t now = loop_now_us(s->worker->loop);

	if (n == NULL || !s->has_ip || s->held_after)
		return true;
	if (ratelimit_table_hold(n->addresses, &key, sizeof key, AFTER_AUTH,
		n->server->config->limits.authenticated_per_address, now) != STERNA_OK)
		return false;
	s->held_after = true;
	ratelimit_table_release(n->addresses, &key, sizeof key, BEFORE_AUTH, now);
	return true;
}

void net_gone(struct stream *s)
{
	struct net *n = s->worker->server->net;
	const struct ip key = s->has_ip ? ratelimit_address(&s->ip) : (struct ip){ 0 };

	if (n != NULL && s->has_ip)
		ratelimit_table_release(n->addresses, &key, sizeof key, s->held_after ? AFTER_AUTH : BEFORE_AUTH,
			loop_now_us(s->worker->loop));
	s->has_ip = false;
}

/* --- HTTP --- */

bool net_hold(struct server *s, const struct ip *peer, uint64_t now_us)
{
	return s->net == NULL || may_hold(s->net, peer, now_us);
}

void net_release(struct server *s, const struct ip *peer, uint64_t now_us)
{
	const struct ip key = ratelimit_address(peer);

	if (s->net != NULL)
		ratelimit_table_release(s->net->addresses, &key, sizeof key, BEFORE_AUTH, now_us);
}

const struct cidr_set *net_http_proxies(const struct server *s)
{
	return s->net != NULL ? &s->net->http_proxies : NULL;
}

static void pause_http(struct net *n, const struct worker *w, bool pause)
{
	for (size_t i = 0; i < n->port_count; i++)
		if (is_http(&n->ports[i]) && n->ports[i].listeners[w->index] != NULL)
			listener_pause(n->ports[i].listeners[w->index], pause);
}

static bool http_is_full(const struct server *s)
{
	const struct config *c = s->config;

	return atomic_load(&s->http_connections) >= c->http.connections;
}

static void on_retry(struct timer *t, void *arg)
{
	struct worker *w = arg;

	if (http_is_full(w->server))
		timer_set(t, RETRY_US);
	else
		pause_http(w->server->net, w, false);
}

/* The count is of all workers; one that finds it full stops accepting, so it is passed by as many as there are workers
 * at most. */
void net_http_opened(struct worker *w)
{
	struct net *n = w->server->net;

	atomic_fetch_add(&w->server->http_connections, 1);
	if (n == NULL || !http_is_full(w->server) || timer_is_set(&n->retry[w->index]))
		return;
	metric_add(w->server->metric_set, w->index, METRIC_HTTP_FULL, 0, 1);
	pause_http(n, w, true);
	timer_set(&n->retry[w->index], RETRY_US);
}

void net_http_closed(struct worker *w)
{
	struct net *n = w->server->net;

	atomic_fetch_sub(&w->server->http_connections, 1);
	if (n == NULL || !timer_is_set(&n->retry[w->index]) || http_is_full(w->server))
		return;
	timer_cancel(&n->retry[w->index]);
	pause_http(n, w, false);
}

/* --- a connection --- */

/* From a trusted proxy: the client's own address counts, when its header has told it. */
static bool admit_behind_proxy(void *arg, const struct ip *peer)
{
	struct stream *s = arg;

	if (!may_hold(s->worker->server->net, peer, loop_now_us(s->worker->loop)))
		return false;
	s->ip = *peer;
	s->has_ip = true;
	return true;
}

static void on_accept(void *arg, int fd, const struct ip *peer)
{
	struct door *d = arg;
	struct net *n = d->port->net;
	const bool direct = d->port->config->tls == CONFIG_TLS_DIRECT, plain = d->port->config->tls == CONFIG_TLS_NONE;
	const bool proxied = cidr_set_has(&d->port->proxies, peer);
	const bool server = d->port->kind == &s2s_in_kind;
	struct tls_context *tls = plain ? NULL : server ? net_s2s_tls(n)
		: current_tls(n, is_http(d->port) && d->port->config->serves == CONFIG_SERVES_API);
	struct conn_options o = { .tls = tls, .direct = direct, .proxies = &d->port->proxies, .limits = current_limits(n) };

	if (server)
		dial_set_options(fd, &n->server->config->s2s);
	if (d->port->config->kind == CONFIG_BYTESTREAMS) {
		bytestream_accept(d->worker, fd, &o, proxied ? NULL : peer);
	} else if (is_http(d->port)) {
		o.alpn = direct ? "http/1.1" : NULL;
		/* One whose requests are others' is not held to what one address may have. */
		http_conn_accept(d->worker, fd, &o, d->port->config, proxied || cidr_set_has(&n->http_proxies, peer) ? NULL : peer);
	} else {
		struct stream *s = stream_new(d->worker, d->port->kind, direct);

		if (!proxied) {
			s->ip = *peer;
			s->has_ip = true;
		}
		o.alpn = !direct ? NULL : server ? "xmpp-server" : "xmpp-client";
		o.admit = admit_behind_proxy;
		o.admit_arg = s;
		stream_attach(s, conn_accept(d->worker->loop, fd, &o));
	}
	tls_context_unref(&tls);
}

static bool on_admit(void *arg, const struct ip *peer)
{
	struct door *d = arg;

	if (cidr_set_has(&d->port->proxies, peer))
		return true;
	if (is_http(d->port) && cidr_set_has(&d->port->net->http_proxies, peer))
		return !atomic_load(&d->port->net->server->draining);
	return may_hold(d->port->net, peer, loop_now_us(d->worker->loop));
}

/* --- TLS --- */

static enum sterna_result make_context(const struct config *c, int64_t now_us, bool server, const char *authorities,
	struct tls_context **out)
{
	struct tls_host_options *hosts = xalloc((c->hosts.count + 1) * sizeof *hosts);
	char (*names)[256] = xalloc((c->hosts.count + 1) * sizeof *names);
	struct tls_options o = { .hosts = hosts, .only_1_3 = c->tls.minimum == CONFIG_TLS_1_3,
		.ca_file = authorities, .system_cas = server && c->tls.authorities == NULL, .any_purpose = server,
		.ciphers = c->tls.ciphers, .ciphersuites = c->tls.ciphersuites, .groups = c->tls.groups,
		.now_s = now_us / 1000000 };
	enum sterna_result rc = STERNA_EINVAL;

	for (size_t i = 0; i < c->hosts.count; i++) {
		const struct config_host *h = &config_hosts(c)[i];

		hosts[o.count].name = idna_to_ascii(h->domain, names[i], sizeof names[i]) == STERNA_OK ? names[i] : h->domain;
		hosts[o.count].cert_file = h->certificate != NULL ? h->certificate : c->tls.certificate;
		hosts[o.count].key_file = h->certificate != NULL ? h->key : c->tls.key;
		if (hosts[o.count].cert_file == NULL)
			log_error("tls", "a host has no certificate", "host", h->domain);
		else
			o.count++;
	}
	if (o.count == c->hosts.count && o.count > 0)
		rc = tls_context_new(&o, out);
	else if (o.count == 0)
		log_error("tls", "no host has a certificate");
	free(hosts);
	free(names);
	return rc;
}

static void net_tls_free(struct net_tls **tls)
{
	struct net_tls *t = *tls;

	*tls = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->pin_count; i++) {
		free(t->pins[i].domain);
		tls_pin_unref(&t->pins[i].pin);
	}
	free(t->pins);
	tls_context_unref(&t->c2s);
	tls_context_unref(&t->s2s);
	tls_context_unref(&t->api);
	free(t);
}

static enum sterna_result add_pin(struct net_tls *t, const struct config_route *r)
{
	unsigned char (*digests)[32] = xalloc((r->fingerprints.count + 1) * sizeof *digests);
	struct net_pin *p = &t->pins[t->pin_count];
	enum sterna_result rc = STERNA_OK;

	for (size_t i = 0; i < r->fingerprints.count; i++)
		if (!config_fingerprint(r->fingerprints.item[i], digests[i]))
			rc = STERNA_EINVAL;
	if (rc == STERNA_OK)
		rc = tls_pin_new(r->authorities, (const unsigned char (*)[32])digests, r->fingerprints.count, &p->pin);
	if (rc == STERNA_OK) {
		p->domain = xstrdup(r->domain);
		t->pin_count++;
	}
	free(digests);
	return rc;
}

static enum sterna_result make_tls(const struct config *c, int64_t now_us, struct net_tls **out)
{
	struct net_tls *t = xalloc(sizeof *t);
	enum sterna_result rc = make_context(c, now_us, false, c->tls.authorities, &t->c2s);

	if (rc == STERNA_OK)
		rc = make_context(c, now_us, true, c->tls.authorities, &t->s2s);
	if (rc == STERNA_OK && c->api.authorities != NULL)
		rc = make_context(c, now_us, false, c->api.authorities, &t->api);
	t->pins = xalloc((c->routes.count + 1) * sizeof *t->pins);
	for (size_t i = 0; rc == STERNA_OK && i < c->routes.count; i++)
		if (config_routes(c)[i].authorities != NULL || config_routes(c)[i].fingerprints.count > 0)
			rc = add_pin(t, &config_routes(c)[i]);
	if (rc == STERNA_OK)
		*out = t;
	else
		net_tls_free(&t);
	return rc;
}

enum sterna_result net_check_tls(const struct config *c)
{
	struct net_tls *made = NULL;
	const enum sterna_result rc = make_tls(c, (int64_t)time(NULL) * 1000000, &made);

	net_tls_free(&made);
	return rc;
}

enum sterna_result net_reload_tls(struct net *n, const struct config *c)
{
	struct net_tls *fresh = NULL, *old;
	const enum sterna_result rc = make_tls(c, loop_wall_us(n->server->workers[0]->loop), &fresh);

	if (rc != STERNA_OK)
		return rc;
	set_times(n, c);
	pthread_mutex_lock(&n->lock);
	old = n->tls;
	n->tls = fresh;
	pthread_mutex_unlock(&n->lock);
	net_tls_free(&old);
	return STERNA_OK;
}

int net_certificate_days(const struct net *n)
{
	struct tls_context *c = current_tls((struct net *)n, false);
	const int days = tls_context_days_left(c, NULL, loop_wall_us(n->server->workers[0]->loop) / 1000000);

	tls_context_unref(&c);
	return days;
}

/* --- life --- */

static const struct stream_kind *kind_of(const struct config_listen *c)
{
	switch (c->kind) {
	case CONFIG_C2S:
		return &c2s_kind;
	case CONFIG_S2S:
		return &s2s_in_kind;
	case CONFIG_COMPONENT:
		return &component_kind;
	default:
		return NULL;
	}
}

static enum sterna_result add_port(struct net *n, const struct config_listen *c)
{
	struct port *p = &n->ports[n->port_count];

	if (c->kind == CONFIG_S2S && !n->server->config->s2s.enabled) {
		log_notice("net", "s2s.enabled is false; the listener is not opened", "port", LOG_UINT(c->port));
		return STERNA_OK;
	}
	p->net = n;
	p->config = c;
	p->kind = kind_of(c);
	p->listeners = xalloc(n->server->worker_count * sizeof(struct listener *));
	n->port_count++;
	for (size_t i = 0; i < c->proxy_protocol.count; i++)
		if (cidr_set_add(&p->proxies, c->proxy_protocol.item[i]) != STERNA_OK) {
			log_error("net", "this is no network", "proxy_protocol", c->proxy_protocol.item[i]);
			return STERNA_EINVAL;
		}
	return STERNA_OK;
}

enum sterna_result net_open(struct server *s, struct net **out)
{
	const struct config *c = s->config;
	struct net *n = xalloc(sizeof *n);
	uint64_t seed[2];
	enum sterna_result rc = STERNA_OK;

	n->server = s;
	pthread_mutex_init(&n->lock, NULL);
	set_times(n, c);
	loop_random(s->workers[0]->loop, seed, sizeof seed);
	n->addresses = ratelimit_table_new(100000, 3600000000, seed);
	n->ports = xalloc((c->listen.count + 1) * sizeof *n->ports);
	n->retry = xalloc(s->worker_count * sizeof *n->retry);
	for (size_t i = 0; i < c->http.proxies.count; i++)
		(void)!cidr_set_add(&n->http_proxies, c->http.proxies.item[i]); /* config.c has looked at them */
	for (size_t i = 0; rc == STERNA_OK && i < c->listen.count; i++)
		rc = add_port(n, &config_listens(c)[i]);
	n->doors = xalloc((n->port_count + 1) * s->worker_count * sizeof *n->doors);
	if (rc == STERNA_OK)
		rc = net_reload_tls(n, c);
	s->net = n;
	s->ways = c->s2s.enabled ? &dial_ways : NULL;
	if (rc != STERNA_OK) {
		s->net = NULL;
		s->ways = NULL;
		net_free(&n);
	} else {
		*out = n;
	}
	return rc;
}

enum sterna_result net_start(struct net *n, struct worker *w)
{
	static const struct listener_handler handler = { .admit = on_admit, .accept = on_accept };

	timer_init(&n->retry[w->index], w->loop, on_retry, w);
	for (size_t i = 0; i < n->port_count; i++) {
		struct port *p = &n->ports[i];
		struct door *d = &n->doors[i * n->server->worker_count + w->index];
		const struct listener_options o = { .address = p->config->address, .port = (uint16_t)p->config->port,
			.backlog = (int)p->config->backlog, .first = w->index == 0 };

		d->port = p;
		d->worker = w;
		const enum sterna_result rc = listener_new(w->loop, &o, &handler, d, &p->listeners[w->index]);

		if (rc != STERNA_OK)
			return rc;
	}
	return STERNA_OK;
}

void net_stop(struct net *n, struct worker *w)
{
	timer_cancel(&n->retry[w->index]);
	for (size_t i = 0; i < n->port_count; i++)
		if (n->ports[i].listeners[w->index] != NULL)
			listener_free(&n->ports[i].listeners[w->index]);
}

void net_free(struct net **net)
{
	struct net *n = *net;

	*net = NULL;
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->port_count; i++) {
		cidr_set_clear(&n->ports[i].proxies);
		free(n->ports[i].listeners);
	}
	cidr_set_clear(&n->http_proxies);
	free(n->retry);
	free(n->ports);
	free(n->doors);
	net_tls_free(&n->tls);
	while (n->times != NULL) {
		struct times *t = n->times;

		n->times = t->older;
		free(t);
	}
	ratelimit_table_free(&n->addresses);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
