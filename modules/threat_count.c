/* threat_count.c - how often something was seen of a key within a time; bounded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "modules/threat.h"

struct seen {
	int64_t at_us;
	uint64_t what, weight;
};
struct counter {
	struct counter *newer, *older;           /* of all, by when they were heard of last */
	char *key;                               /* "rule key" */
	struct seen *seen;                       /* oldest first */
	size_t count, size;
	int64_t silent_until_us;
	struct threat_place place;               /* travel */
	int64_t placed_us;
};
struct threat_counts {
	struct map counters;
	struct counter *newest, *oldest;
	uint64_t most, bytes, seed[2];
};

struct threat_counts *threat_counts_new(uint64_t bytes, const uint64_t seed[2])
{
	struct threat_counts *c = xalloc(sizeof *c);

	map_init(&c->counters, seed[0], seed[1]);
	c->most = bytes;
	memcpy(c->seed, seed, sizeof c->seed);
	return c;
}

/* What the allocator and the map need besides is some more for each. */
static size_t size_of(const struct counter *k)
{
	return sizeof *k + strlen(k->key) + 1 + k->size * sizeof *k->seen + 64;
}

static void unlink_counter(struct threat_counts *c, struct counter *k)
{
	*(k->newer != NULL ? &k->newer->older : &c->newest) = k->older;
	*(k->older != NULL ? &k->older->newer : &c->oldest) = k->newer;
	k->newer = k->older = NULL;
}

static void link_newest(struct threat_counts *c, struct counter *k)
{
	k->older = c->newest;
	*(k->older != NULL ? &k->older->newer : &c->oldest) = k;
	c->newest = k;
}

static void drop(struct threat_counts *c, struct counter *k)
{
	c->bytes -= size_of(k);
	unlink_counter(c, k);
	map_remove(&c->counters, k->key);
	free(k->key);
	free(k->seen);
	free(k);
}

void threat_counts_free(struct threat_counts **counts)
{
	struct threat_counts *c = *counts;

	*counts = NULL;
	if (c == NULL)
		return;
	while (c->newest != NULL)
		drop(c, c->newest);
	map_clear(&c->counters);
	free(c);
}

size_t threat_counts_bytes(const struct threat_counts *c)
{
	return c->bytes;
}

size_t threat_counts_keys(const struct threat_counts *c)
{
	return c->counters.count;
}

static struct counter *counter_of(struct threat_counts *c, unsigned rule, const char *key)
{
	char *name = xasprintf("%u %s", rule, key);
	struct counter *k = map_get(&c->counters, name);

	if (k != NULL) {
		free(name);
		unlink_counter(c, k);
	} else {
		k = xalloc(sizeof *k);
		k->key = name;
		map_put(&c->counters, k->key, k);
		c->bytes += size_of(k);
	}
	link_newest(c, k);
	return k;
}

/* One alone is bounded by its rule's count. */
static void trim(struct threat_counts *c, const struct counter *but)
{
	while (c->bytes > c->most && c->oldest != but)
		drop(c, c->oldest);
}

static uint64_t hash_of(const struct threat_counts *c, const char *text)
{
	uint64_t h = c->seed[0] ^ 14695981039346656037u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return (h ^ c->seed[1]) | 1;
}

/* What is too old goes; and what is to be different is counted once, with its newest time. */
static void tidy(struct counter *k, int64_t since_us, uint64_t what)
{
	size_t n = 0;

	for (size_t i = 0; i < k->count; i++)
		if (k->seen[i].at_us > since_us && (what == 0 || k->seen[i].what != what))
			k->seen[n++] = k->seen[i];
	k->count = n;
}

static void add(struct threat_counts *c, struct counter *k, const struct seen *s, unsigned most)
{
	if (k->count >= most) { /* each counts for one at least: these are enough */
		memmove(k->seen, k->seen + 1, (k->count - 1) * sizeof *k->seen);
		k->count--;
	}
	if (k->count == k->size) {
		c->bytes -= size_of(k);
		k->size = k->size == 0 ? 4 : k->size * 2;
		k->seen = xrealloc(k->seen, k->size * sizeof *k->seen);
		c->bytes += size_of(k);
	}
	k->seen[k->count++] = *s;
}

/* A clock that was set back is no reason to be silent for long. */
static bool is_silent(const struct counter *k, const struct threat_rule_config *cfg, int64_t now_us)
{
	return now_us < k->silent_until_us && k->silent_until_us - now_us <= cfg->hold.us;
}

bool threat_count(struct threat_counts *c, unsigned rule, const struct threat_rule_config *cfg, const char *key,
	const char *distinct, uint64_t weight, int64_t now_us, uint64_t *total)
{
	struct counter *k = counter_of(c, rule, key);
	const struct seen s = { now_us, distinct != NULL ? hash_of(c, distinct) : 0, weight > 0 ? weight : 1 };

	tidy(k, now_us - cfg->within.us, s.what);
	add(c, k, &s, cfg->count);
	trim(c, k);
	*total = 0;
	for (size_t i = 0; i < k->count; i++)
		*total += k->seen[i].weight;
	if (*total < cfg->count || is_silent(k, cfg, now_us))
		return false;
	k->silent_until_us = now_us + cfg->hold.us;
	k->count = 0;
	return true;
}

void threat_forget(struct threat_counts *c, unsigned rule, const char *key)
{
	char *name = xasprintf("%u %s", rule, key);
	struct counter *k = map_get(&c->counters, name);

	if (k != NULL)
		drop(c, k);
	free(name);
}

/* --- travel --- */

/* Along the great circle (haversine). */
static double distance_km(const struct threat_place *a, const struct threat_place *b)
{
	const double rad = 3.14159265358979323846 / 180, earth_km = 6371;
	const double dlat = (b->latitude - a->latitude) * rad, dlon = (b->longitude - a->longitude) * rad;
	const double h = sin(dlat / 2) * sin(dlat / 2)
		+ cos(a->latitude * rad) * cos(b->latitude * rad) * sin(dlon / 2) * sin(dlon / 2);

	return 2 * earth_km * asin(sqrt(h < 1 ? h : 1));
}

bool threat_travel(struct threat_counts *c, unsigned rule, const struct threat_rule_config *cfg, const char *key,
	const struct threat_place *place, int64_t now_us, unsigned *speed)
{
	struct counter *k = counter_of(c, rule, key);
	const struct threat_place was = k->place;
	const int64_t before_us = k->placed_us;

	trim(c, k);
	k->place = *place;
	k->placed_us = now_us;
	if (before_us == 0 || now_us - before_us > cfg->within.us)
		return false;
	const double km = distance_km(&was, place) - was.radius_km - place->radius_km;
	const double hours = now_us > before_us ? (double)(now_us - before_us) / 3.6e9 : 0;

	/* A minute at least: two devices in two houses are no journey, and what is near is not certain. */
	const double kmh = km > 0 ? km / (hours > 1.0 / 60 ? hours : 1.0 / 60) : 0;

	*speed = kmh < 1e9 ? (unsigned)kmh : 1000000000;
	if (kmh <= cfg->speed || is_silent(k, cfg, now_us))
		return false;
	k->silent_until_us = now_us + cfg->hold.us;
	return true;
}
