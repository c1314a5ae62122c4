/* bytestream.c - pairs of connections: who is there, joining them, and passing on what comes. */
#include "server/bytestream.h"
#include <stdlib.h>
#include <string.h>
#include "server/bytestream_impl.h"
#include "server/map.h"
#include "server/mem.h"

enum { OUTPUT_HIGH = 262144, OUTPUT_LOW = 65536, LOOK_US = 1000000 };

struct bytestream {
	/* under the lock */
	struct worker *home;
	unsigned parties;                    /* those on their way to home among them */
	char *owner;                         /* who has joined them; NULL: nobody yet */
	/* home's */
	struct bytestream_conn *conn[2];
	bool joined;
	struct timer timer;
	uint64_t joined_us, heard_us;
	uint64_t passed;                     /* bytes, both ways */
	char hash[SOCKS_HASH_LEN + 1];
};

struct bytestreams {
	struct server *server;
	pthread_mutex_t lock;
	struct map pairs;                    /* hash to struct bytestream */
	size_t joined;
	atomic_ulong connections;
};

struct bytestreams *bytestreams_new(struct server *s, const uint64_t seed[2])
{
	struct bytestreams *b = xalloc(sizeof *b);

	b->server = s;
	pthread_mutex_init(&b->lock, NULL);
	map_init(&b->pairs, seed[0], seed[1]);
	return b;
}

void bytestreams_free(struct bytestreams **bp)
{
	struct bytestreams *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	map_clear(&b->pairs);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

bool bytestream_admit(struct server *s)
{
	const struct config *c = s->config;

	if (atomic_fetch_add(&s->bytestreams->connections, 1) < c->bytestreams.connections)
		return true;
	atomic_fetch_sub(&s->bytestreams->connections, 1);
	return false;
}

void bytestream_gone(struct server *s)
{
	atomic_fetch_sub(&s->bytestreams->connections, 1);
}

size_t bytestream_count(struct server *s)
{
	struct bytestreams *b = s->bytestreams;

	pthread_mutex_lock(&b->lock);
	const size_t n = b->joined;

	pthread_mutex_unlock(&b->lock);
	return n;
}

/* --- joined --- */

static struct bytestream_conn *other(const struct bytestream_conn *c)
{
	return c->pair->conn[c->pair->conn[0] == c ? 1 : 0];
}

static void end_both(struct bytestream *p)
{
	timer_cancel(&p->timer);
	for (unsigned i = 0; i < 2; i++)
		if (p->conn[i] != NULL)
			bytestream_conn_leave(p->conn[i]);
}

static void on_timer(struct timer *t, void *arg)
{
	struct bytestream *p = arg;
	const struct config_bytestreams *cfg = bytestream_config(p->home);
	const uint64_t now = loop_now_us(p->home->loop);

	if (now - p->joined_us >= (uint64_t)cfg->time.us || now - p->heard_us >= (uint64_t)cfg->idle_time.us) {
		log_info("bytestream", "ended: it took too long, or nothing was sent", "owner", p->owner, "bytes", LOG_UINT(p->passed));
		end_both(p);
		return;
	}
	timer_set(t, LOOK_US);
}

/* On home: both are here, and somebody has asked. */
static void begin(struct bytestream *p)
{
	if (p->joined || p->owner == NULL || p->conn[0] == NULL || p->conn[1] == NULL)
		return;
	p->joined = true;
	p->joined_us = p->heard_us = loop_now_us(p->home->loop);
	timer_set(&p->timer, LOOK_US);
	bytestream_conn_join(p->conn[0]);
	bytestream_conn_join(p->conn[1]);
}

void bytestream_pass(struct bytestream_conn *c, const char *bytes, size_t len)
{
	struct bytestream_conn *to = other(c);
	const struct config_bytestreams *cfg = bytestream_config(c->worker);
	const uint64_t now = loop_now_us(c->worker->loop);

	if (to == NULL)
		return;
	c->pair->heard_us = now;
	c->pair->passed += len;
	metric_add(c->worker->server->metric_set, c->worker->index, METRIC_BYTESTREAM_BYTES, 0, (int64_t)len);
	bytestream_conn_send(to, bytes, len);
	if (buf_len(&to->transport->out) > OUTPUT_HIGH)
		bytestream_conn_hold(c, BYTESTREAM_HOLD_OUTPUT, true);
	const uint64_t wait = ratelimit_charge(&c->bytes, &cfg->bytes, now, len);

	if (wait > 0) {
		bytestream_conn_hold(c, BYTESTREAM_HOLD_RATE, true);
		timer_set(&c->timer, wait);
	}
}

void bytestream_drained(struct bytestream_conn *c)
{
	struct bytestream_conn *from = c->pair != NULL ? other(c) : NULL;

	if (from != NULL && from->state == BYTESTREAM_JOINED && buf_len(&c->transport->out) <= OUTPUT_LOW)
		bytestream_conn_hold(from, BYTESTREAM_HOLD_OUTPUT, false);
}

/* --- joining --- */

static void on_join(struct worker *w, void *arg)
{
	struct bytestreams *b = w->server->bytestreams;
	char *hash = arg;

	pthread_mutex_lock(&b->lock);
	struct bytestream *p = map_get(&b->pairs, hash);

	if (p != NULL && p->home != w)
		p = NULL; /* it is gone, and another has come */
	pthread_mutex_unlock(&b->lock);
	free(hash);
	if (p != NULL)
		begin(p);
}

/* Under the lock. */
static size_t count_of(const struct bytestreams *b, const char *owner)
{
	const struct map_entry *e;
	size_t n = 0;

	for (size_t at = 0; (e = map_next(&b->pairs, &at)) != NULL;) {
		const struct bytestream *p = e->value;

		n += p->owner != NULL && strcmp(p->owner, owner) == 0;
	}
	return n;
}

static enum sterna_result join_locked(struct bytestreams *b, struct bytestream *p, const char *owner)
{
	const struct config *c = b->server->config;

	if (p == NULL)
		return STERNA_ENOTFOUND;
	if (p->owner != NULL)
		return STERNA_EEXISTS;
	if (p->parties < 2)
		return STERNA_EUNAVAILABLE;
	if (b->joined >= c->bytestreams.streams || count_of(b, owner) >= c->bytestreams.streams_per_account)
		return STERNA_ELIMIT;
	p->owner = xstrdup(owner);
	b->joined++;
	return STERNA_OK;
}

enum sterna_result bytestream_join(struct server *s, const char *hash, const char *owner)
{
	struct bytestreams *b = s->bytestreams;
	struct worker *home = NULL;

	pthread_mutex_lock(&b->lock);
	struct bytestream *p = map_get(&b->pairs, hash);
	const enum sterna_result rc = join_locked(b, p, owner);

	if (rc == STERNA_OK)
		home = p->home;
	pthread_mutex_unlock(&b->lock);
	if (home != NULL)
		worker_post(home, on_join, xstrdup(hash));
	return rc;
}

/* --- coming and going --- */

static struct bytestream *pair_new(struct bytestreams *b, struct worker *home, const char *hash)
{
	struct bytestream *p = xalloc(sizeof *p);

	p->home = home;
	memcpy(p->hash, hash, sizeof p->hash);
	timer_init(&p->timer, home->loop, on_timer, p);
	map_put(&b->pairs, p->hash, p);
	return p;
}

/* On home. */
static void arrive(struct bytestream_conn *c)
{
	struct bytestreams *b = c->worker->server->bytestreams;
	struct bytestream *p = c->pair;

	p->conn[p->conn[0] == NULL ? 0 : 1] = c;
	pthread_mutex_lock(&b->lock);
	const bool late = p->owner != NULL && !p->joined && p->parties < 2; /* the other has gone meanwhile */

	pthread_mutex_unlock(&b->lock);
	bytestream_conn_ready(c);
	if (late)
		bytestream_conn_leave(c);
	else
		begin(p);
}

static void on_moved(struct worker *w, void *arg)
{
	struct bytestream_conn *c = arg;

	bytestream_conn_enroll(c, w);
	c->transport->ops->attach(c->transport, w->loop);
	arrive(c);
}

void bytestream_enter(struct bytestream_conn *c)
{
	struct bytestreams *b = c->worker->server->bytestreams;

	pthread_mutex_lock(&b->lock);
	struct bytestream *p = map_get(&b->pairs, c->request.hash);

	if (p == NULL)
		p = pair_new(b, c->worker, c->request.hash);
	const bool full = p->parties >= 2 || p->owner != NULL;

	p->parties += !full;
	pthread_mutex_unlock(&b->lock);
	if (full) {
		bytestream_conn_refuse(c, SOCKS_NOT_ALLOWED);
		return;
	}
	c->pair = p;
	c->state = BYTESTREAM_WAITING;
	if (p->home == c->worker) {
		arrive(c);
		return;
	}
	bytestream_conn_unlink(c);
	c->transport->ops->detach(c->transport);
	worker_post(p->home, on_moved, c);
}

void bytestream_leave(struct bytestream_conn *c)
{
	struct bytestreams *b = c->worker->server->bytestreams;
	struct bytestream *p = c->pair;
	struct bytestream_conn *left = other(c);

	c->pair = NULL;
	p->conn[p->conn[0] == c ? 0 : 1] = NULL;
	pthread_mutex_lock(&b->lock);
	const bool owned = p->owner != NULL, last = --p->parties == 0;

	if (last) {
		map_remove(&b->pairs, p->hash);
		b->joined -= owned;
	}
	pthread_mutex_unlock(&b->lock);
	if (owned && left != NULL)
		bytestream_conn_leave(left);
	if (!last)
		return;
	if (p->joined)
		log_info("bytestream", "over", "owner", p->owner, "bytes", LOG_UINT(p->passed));
	timer_cancel(&p->timer);
	free(p->owner);
	free(p);
}
