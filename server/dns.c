/* dns.c - libunbound on a worker's loop. */
#include "server/dns.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include "server/log.h"
#include "server/mem.h"

enum { QUERIES_MAX = 1000, CLASS_IN = 1, RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

struct dns {
	struct worker *worker;
	struct ub_ctx *ctx;
	struct io io;
	struct dns_query *queries;
	unsigned count;
};

struct dns_query {
	struct dns_query *prev, *next;
	struct dns *dns;
	dns_fn *fn;
	void *arg;
	enum dns_type type;
	struct timer failed;         /* it could not even be asked */
	const char *why;
	int id;
	bool asked;
};

/* --- the context --- */

static void set(struct ub_ctx *ctx, const char *option, const char *value)
{
	const int rc = ub_ctx_set_option(ctx, option, value);

	if (rc != 0)
		log_warning("dns", "libunbound does not take an option", "option", option, "error", ub_strerror(rc));
}

/* What keeps a resolver that was away from being remembered for long, and answers from being believed for ever. */
static void set_options(struct ub_ctx *ctx, const struct config_dns *c)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)(c->negative_time.us / 1000000));
	set(ctx, "cache-max-negative-ttl:", text);
	snprintf(text, sizeof text, "%lld", (long long)(c->cache_time.us / 1000000));
	set(ctx, "cache-max-ttl:", text);
	set(ctx, "infra-host-ttl:", "10");
	set(ctx, "infra-cache-max-rtt:", "4000");
	set(ctx, "do-not-query-localhost:", "no");
	set(ctx, "msg-cache-size:", "1m");
	set(ctx, "rrset-cache-size:", "2m");
	set(ctx, "outgoing-range:", "256");
	set(ctx, "num-queries-per-thread:", "128");
}

static bool configure(struct ub_ctx *ctx, const struct config_dns *c)
{
	int rc = 0;

	set_options(ctx, c);
	for (size_t i = 0; rc == 0 && i < c->servers.count; i++)
		rc = ub_ctx_set_fwd(ctx, c->servers.item[i]);
	if (rc == 0 && c->servers.count == 0)
		rc = ub_ctx_resolvconf(ctx, NULL);
	if (rc == 0 && c->trust_anchor != NULL)
		rc = ub_ctx_add_ta_file(ctx, c->trust_anchor);
	if (rc == 0)
		rc = ub_ctx_async(ctx, 1);
	if (rc != 0)
		log_error("dns", "the resolver cannot be set up", "error", ub_strerror(rc));
	return rc == 0;
}

static void on_readable(struct io *io, unsigned what, void *arg)
{
	struct dns *d = arg;

	(void)io;
	(void)what;
	ub_process(d->ctx);
}

static struct dns *dns_of(struct worker *w)
{
	struct dns *d = w->dns;

	if (d != NULL)
		return d;
	struct ub_ctx *ctx = ub_ctx_create();

	if (ctx == NULL || !configure(ctx, &w->server->config->dns)) {
		ub_ctx_delete(ctx);
		return NULL;
	}
	d = w->dns = xalloc(sizeof *d);
	d->worker = w;
	d->ctx = ctx;
	io_init(&d->io, w->loop, ub_fd(ctx), on_readable, d);
	io_watch(&d->io, IO_READ);
	return d;
}

/* --- queries --- */

static void query_free(struct dns_query *q)
{
	timer_cancel(&q->failed);
	if (q->dns != NULL) {
		*(q->prev != NULL ? &q->prev->next : &q->dns->queries) = q->next;
		if (q->next != NULL)
			q->next->prev = q->prev;
		q->dns->count--;
	}
	free(q);
}

static void answer(struct dns_query *q, const struct dns_answer *a)
{
	dns_fn *fn = q->fn;
	void *arg = q->arg;

	query_free(q);
	fn(arg, a);
}

static void read_result(struct dns_answer *a, enum dns_type type, const struct ub_result *r)
{
	a->secure = r->secure != 0;
	a->ttl_s = r->ttl > 0 ? (uint32_t)r->ttl : 0;
	if (r->bogus) {
		a->state = DNS_BOGUS;
		a->why = r->why_bogus != NULL ? r->why_bogus : "the signatures do not hold";
		return;
	}
	if (r->rcode != RCODE_OK && r->rcode != RCODE_NXDOMAIN) {
		a->state = DNS_FAILED;
		a->why = r->rcode == 2 ? "the resolver could not find out (SERVFAIL)" : "the resolver refused";
		return;
	}
	for (int i = 0; r->havedata && r->data[i] != NULL; i++)
		(void)dns_take(a, type, (const unsigned char *)r->data[i], (size_t)r->len[i]);
	a->state = a->count > 0 ? DNS_FOUND : DNS_NONE;
}

static void on_result(void *arg, int error, struct ub_result *r)
{
	struct dns_query *q = arg;
	struct dns_answer *a = xalloc(sizeof *a);

	if (error != 0) {
		a->state = DNS_FAILED;
		a->why = ub_strerror(error);
	} else {
		read_result(a, q->type, r);
	}
	q->asked = false;
	answer(q, a);
	ub_resolve_free(r); /* a's reasons are in it */
	free(a);
}

static void on_failed(struct timer *t, void *arg)
{
	struct dns_query *q = arg;
	struct dns_answer *a = xalloc(sizeof *a);

	(void)t;
	a->state = DNS_FAILED;
	a->why = q->why;
	answer(q, a);
	free(a);
}

struct dns_query *dns_ask(struct worker *w, const char *name, enum dns_type type, dns_fn *fn, void *arg)
{
	struct dns_query *q = xalloc(sizeof *q);
	struct dns *d = dns_of(w);
	int rc;

	q->fn = fn;
	q->arg = arg;
	q->type = type;
	timer_init(&q->failed, w->loop, on_failed, q);
	if (d == NULL || d->count >= QUERIES_MAX) {
		q->why = d == NULL ? "there is no resolver" : "too many questions at once";
		timer_set(&q->failed, 0);
		return q;
	}
	q->dns = d;
	q->next = d->queries;
	if (q->next != NULL)
		q->next->prev = q;
	d->queries = q;
	d->count++;
	rc = ub_resolve_async(d->ctx, name, (int)type, CLASS_IN, q, on_result, &q->id);
	q->asked = rc == 0;
	if (rc != 0) {
		q->why = ub_strerror(rc);
		timer_set(&q->failed, 0);
	}
	return q;
}

void dns_cancel(struct dns_query **query)
{
	struct dns_query *q = *query;

	*query = NULL;
	if (q == NULL)
		return;
	if (q->asked)
		ub_cancel(q->dns->ctx, q->id);
	query_free(q);
}

void dns_free(struct dns **dns)
{
	struct dns *d = *dns;

	*dns = NULL;
	if (d == NULL)
		return;
	while (d->queries != NULL) {
		struct dns_query *q = d->queries;

		dns_cancel(&q);
	}
	io_clear(&d->io);
	ub_ctx_delete(d->ctx);
	free(d);
}
