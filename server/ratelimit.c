/* ratelimit.c - see ratelimit.h. */
#include "server/ratelimit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

#define CHAINS_FIRST 64

__extension__ typedef unsigned __int128 wide;

static int64_t capacity(const struct sterna_rate *rate)
{
	return rate->count > INT64_MAX ? INT64_MAX : (int64_t)rate->count;
}

void ratelimit_init(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us)
{
	r->tokens = capacity(rate);
	r->filled_us = now_us;
	r->part = 0;
}

/* Exact: what is not enough for a whole token stays in part. */
static void fill(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us)
{
	const int64_t full = capacity(rate);
	uint64_t missing;
	wide gained;

	if (now_us <= r->filled_us && r->tokens <= full)
		return;
	missing = r->tokens < full ? (uint64_t)full - (uint64_t)r->tokens : 0;
	gained = now_us > r->filled_us ? (wide)(now_us - r->filled_us) * rate->count + r->part : 0;
	if (gained / (uint64_t)rate->per_us >= missing) {       /* also after a reload with a lower rate */
		r->tokens = full;
		r->part = 0;
	} else {
		r->tokens += (int64_t)(gained / (uint64_t)rate->per_us);
		r->part = (uint64_t)(gained % (uint64_t)rate->per_us);
	}
	r->filled_us = now_us > r->filled_us ? now_us : r->filled_us;
}

bool ratelimit_take(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n)
{
	if (rate->count == 0)
		return true;
	fill(r, rate, now_us);
	if (r->tokens < 0 || (uint64_t)r->tokens < n)
		return false;
	r->tokens -= (int64_t)n;
	return true;
}

uint64_t ratelimit_wait_us(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n)
{
	wide need;

	if (rate->count == 0)
		return 0;
	fill(r, rate, now_us);
	n = n > (uint64_t)capacity(rate) ? (uint64_t)capacity(rate) : n;
	if (r->tokens >= (int64_t)n)
		return 0;
	need = (wide)(n - (uint64_t)r->tokens) * (uint64_t)rate->per_us;
	need = need > r->part ? (need - r->part + rate->count - 1) / rate->count : 1;
	return need > UINT64_MAX ? UINT64_MAX : (uint64_t)need;
}

uint64_t ratelimit_charge(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n)
{
	if (rate->count == 0)
		return 0;
	fill(r, rate, now_us);
	if (n > INT64_MAX / 2 || r->tokens < -(INT64_MAX / 2))
		r->tokens = -(INT64_MAX / 2);
	else
		r->tokens -= (int64_t)n;
	return ratelimit_wait_us(r, rate, now_us, 0);
}

/* --- the table --------------------------------------------------------------------------------------- */

struct entry {
	struct entry *next;                     /* in its chain */
	struct entry *older, *newer;            /* among those that hold nothing */
	uint64_t hash, used_us;
	struct ratelimit bucket[RATELIMIT_SLOTS];
	bool started[RATELIMIT_SLOTS];
	unsigned held[RATELIMIT_SLOTS];
	size_t len;
	unsigned char key[];
};

struct ratelimit_table {
	pthread_mutex_t lock;
	struct entry **chains;
	size_t chain_count, count, max;         /* chain_count: a power of two */
	struct entry *oldest, *newest;
	uint64_t idle_us, seed[2];
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTATE(v[1], 13) ^ v[0];
	v[0] = ROTATE(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATE(v[1], 17) ^ v[2];
	v[2] = ROTATE(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein): no peer can make keys fall into one chain. */
static uint64_t hash_key(const uint64_t seed[2], const unsigned char *key, size_t len)
{
	uint64_t v[4] = { seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
		seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573) };
	uint64_t m;

	for (size_t at = 0; at <= len; at += 8) {
		const size_t n = len - at < 8 ? len - at : 8;

		m = n < 8 ? (uint64_t)len << 56 : 0;
		for (size_t i = 0; i < n; i++)
			m |= (uint64_t)key[at + i] << (8 * i);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct ratelimit_table *ratelimit_table_new(size_t max, uint64_t idle_us, const uint64_t seed[2])
{
	struct ratelimit_table *t = xalloc(sizeof *t);

	pthread_mutex_init(&t->lock, NULL);
	t->chain_count = CHAINS_FIRST;
	t->chains = xalloc(t->chain_count * sizeof *t->chains);
	t->max = max;
	t->idle_us = idle_us;
	memcpy(t->seed, seed, sizeof t->seed);
	return t;
}

void ratelimit_table_free(struct ratelimit_table **t)
{
	if (*t == NULL)
		return;
	for (size_t i = 0; i < (*t)->chain_count; i++) {
		for (struct entry *e = (*t)->chains[i], *next; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
	}
	free((*t)->chains);
	pthread_mutex_destroy(&(*t)->lock);
	free(*t);
	*t = NULL;
}

static bool is_held(const struct entry *e)
{
	return e->held[0] > 0 || e->held[1] > 0;
}

static void unlink_idle(struct ratelimit_table *t, struct entry *e)
{
	*(e->older != NULL ? &e->older->newer : &t->oldest) = e->newer;
	*(e->newer != NULL ? &e->newer->older : &t->newest) = e->older;
	e->older = e->newer = NULL;
}

static void link_idle(struct ratelimit_table *t, struct entry *e)
{
	e->older = t->newest;
	e->newer = NULL;
	*(t->newest != NULL ? &t->newest->newer : &t->oldest) = e;
	t->newest = e;
}

static void drop(struct ratelimit_table *t, struct entry *e)
{
	struct entry **at = &t->chains[e->hash & (t->chain_count - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	unlink_idle(t, e);
	t->count--;
	free(e);
}

static void grow(struct ratelimit_table *t)
{
	const size_t count = t->chain_count * 2;
	struct entry **chains = xalloc(count * sizeof *chains);

	for (size_t i = 0; i < t->chain_count; i++) {
		for (struct entry *e = t->chains[i], *next; e != NULL; e = next) {
			next = e->next;
			e->next = chains[e->hash & (count - 1)];
			chains[e->hash & (count - 1)] = e;
		}
	}
	free(t->chains);
	t->chains = chains;
	t->chain_count = count;
}

static struct entry *find(const struct ratelimit_table *t, uint64_t hash, const void *key, size_t len)
{
	struct entry *e = t->chains[hash & (t->chain_count - 1)];

	while (e != NULL && (e->hash != hash || e->len != len || memcmp(e->key, key, len) != 0))
		e = e->next;
	return e;
}

/* Two at a time, so that no single call pays for many. */
static void expire(struct ratelimit_table *t, uint64_t now_us)
{
	for (int i = 0; i < 2 && t->oldest != NULL; i++)
		if (now_us > t->oldest->used_us && now_us - t->oldest->used_us > t->idle_us)
			drop(t, t->oldest);
}

/* Found or made; unlinked from the idle ones: put_back() must follow. NULL: full. */
static struct entry *get(struct ratelimit_table *t, const void *key, size_t len, uint64_t now_us)
{
	const uint64_t hash = hash_key(t->seed, key, len);
	struct entry *e;

	expire(t, now_us);
	e = find(t, hash, key, len);
	if (e == NULL) {
		if (t->count >= t->max && t->oldest != NULL)
			drop(t, t->oldest);
		if (t->count >= t->max)
			return NULL;
		if (t->count >= t->chain_count)
			grow(t);
		e = xalloc(sizeof *e + len);
		e->hash = hash;
		e->len = len;
		memcpy(e->key, key, len);
		e->next = t->chains[hash & (t->chain_count - 1)];
		t->chains[hash & (t->chain_count - 1)] = e;
		t->count++;
	} else if (!is_held(e)) {
		unlink_idle(t, e);
	}
	e->used_us = now_us;
	return e;
}

/* What holds nothing and took nothing has nothing to remember: thousands who came and went would keep memory apart. */
static void put_back(struct ratelimit_table *t, struct entry *e)
{
	if (is_held(e))
		return;
	link_idle(t, e);
	if (!e->started[0] && !e->started[1])
		drop(t, e);
}

static enum sterna_result ask(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	const struct sterna_rate *rate, uint64_t now_us, uint64_t n, uint64_t *wait_us, bool take)
{
	enum sterna_result rc = STERNA_ELIMIT;
	uint64_t wait = (uint64_t)rate->per_us;
	struct entry *e;

	if (slot >= RATELIMIT_SLOTS || len > RATELIMIT_KEY_MAX)
		return STERNA_EINVAL;
	if (rate->count == 0)
		return STERNA_OK;
	pthread_mutex_lock(&t->lock);
	e = get(t, key, len, now_us);
	if (e != NULL) {
		if (!e->started[slot])
			ratelimit_init(&e->bucket[slot], rate, now_us);
		e->started[slot] = true;
		wait = ratelimit_wait_us(&e->bucket[slot], rate, now_us, n);
		if (take ? ratelimit_take(&e->bucket[slot], rate, now_us, n) : wait == 0)
			rc = STERNA_OK;
		put_back(t, e);
	}
	pthread_mutex_unlock(&t->lock);
	if (rc != STERNA_OK && wait_us != NULL)
		*wait_us = wait;
	return rc;
}

enum sterna_result ratelimit_table_take(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	const struct sterna_rate *rate, uint64_t now_us, uint64_t n, uint64_t *wait_us)
{
	return ask(t, key, len, slot, rate, now_us, n, wait_us, true);
}

enum sterna_result ratelimit_table_has(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	const struct sterna_rate *rate, uint64_t now_us, uint64_t n)
{
	return ask(t, key, len, slot, rate, now_us, n, NULL, false);
}

enum sterna_result ratelimit_table_hold(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	unsigned max, uint64_t now_us)
{
	enum sterna_result rc = STERNA_ELIMIT;
	struct entry *e;

	if (slot >= RATELIMIT_SLOTS || len > RATELIMIT_KEY_MAX)
		return STERNA_EINVAL;
	pthread_mutex_lock(&t->lock);
	e = get(t, key, len, now_us);
	if (e != NULL) {
		if (e->held[slot] < max) {
			e->held[slot]++;
			rc = STERNA_OK;
		}
		put_back(t, e);
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void ratelimit_table_release(struct ratelimit_table *t, const void *key, size_t len, unsigned slot, uint64_t now_us)
{
	struct entry *e;

	if (slot >= RATELIMIT_SLOTS)
		return;
	pthread_mutex_lock(&t->lock);
	e = find(t, hash_key(t->seed, key, len), key, len);
	if (e != NULL && e->held[slot] > 0) {
		e->held[slot]--;
		e->used_us = now_us;
		put_back(t, e);
	}
	pthread_mutex_unlock(&t->lock);
}

unsigned ratelimit_table_held(struct ratelimit_table *t, const void *key, size_t len, unsigned slot)
{
	unsigned held = 0;

	pthread_mutex_lock(&t->lock);
	const struct entry *e = find(t, hash_key(t->seed, key, len), key, len);

	if (e != NULL && slot < RATELIMIT_SLOTS)
		held = e->held[slot];
	pthread_mutex_unlock(&t->lock);
	return held;
}

size_t ratelimit_table_count(struct ratelimit_table *t)
{
	pthread_mutex_lock(&t->lock);
	const size_t count = t->count;

	pthread_mutex_unlock(&t->lock);
	return count;
}

struct ip ratelimit_address(const struct ip *ip)
{
	return ip_is_v4(ip) ? *ip : ip_mask(ip, 64);
}
