/* Features by verified hash: see caps_cache.h. */
#include "xep/caps_cache.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4 };

struct entry {
	char ver[CAPS_VER_SIZE];
	char *features;                  /* NULL: free */
	atomic_ullong used;
};

struct caps_cache {
	pthread_rwlock_t lock;
	atomic_ullong clock;
	unsigned sets;
	struct entry entry[];            /* WAYS for each set */
};

struct caps_cache *caps_cache_new(unsigned entries)
{
	const unsigned sets = (entries + WAYS - 1) / WAYS;
	struct caps_cache *cache = xalloc(sizeof *cache + (size_t)sets * WAYS * sizeof(struct entry));

	cache->sets = sets;
	pthread_rwlock_init(&cache->lock, NULL);
	return cache;
}

void caps_cache_free(struct caps_cache **cache)
{
	struct caps_cache *was = *cache;

	*cache = NULL;
	if (was == NULL)
		return;
	for (size_t i = 0; i < (size_t)was->sets * WAYS; i++)
		free(was->entry[i].features);
	pthread_rwlock_destroy(&was->lock);
	free(was);
}

/* A verified hash is as good as random; who searches for collisions only fills one set. */
static struct entry *set_of(struct caps_cache *cache, const char *ver)
{
	uint32_t h = 2166136261u;

	for (; *ver != '\0'; ver++)
		h = (h ^ (unsigned char)*ver) * 16777619u;
	return &cache->entry[(size_t)(h % cache->sets) * WAYS];
}

/* With the lock held. */
static struct entry *find(struct caps_cache *cache, const char *ver)
{
	struct entry *set = set_of(cache, ver);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].features != NULL && strcmp(set[i].ver, ver) == 0) {
			atomic_store_explicit(&set[i].used, atomic_fetch_add(&cache->clock, 1) + 1, memory_order_relaxed);
			return &set[i];
		}
	return NULL;
}

bool caps_cache_knows(struct caps_cache *cache, const char *ver)
{
	pthread_rwlock_rdlock(&cache->lock);
	const bool known = find(cache, ver) != NULL;

	pthread_rwlock_unlock(&cache->lock);
	return known;
}

static bool lists(const char *features, const char *feature)
{
	const size_t n = strlen(feature);

	for (const char *at = features; (at = strstr(at, feature)) != NULL; at++)
		if (at > features && at[-1] == '\n' && at[n] == '\n')
			return true;
	return false;
}

bool caps_cache_has(struct caps_cache *cache, const char *ver, const char *feature)
{
	pthread_rwlock_rdlock(&cache->lock);
	const struct entry *e = find(cache, ver);
	const bool has = e != NULL && *feature != '\0' && lists(e->features, feature);

	pthread_rwlock_unlock(&cache->lock);
	return has;
}

void caps_cache_put(struct caps_cache *cache, const char *ver, char **features)
{
	struct entry *set, *oldest;

	pthread_rwlock_wrlock(&cache->lock);
	if (find(cache, ver) == NULL) {
		set = oldest = set_of(cache, ver);
		for (unsigned i = 1; i < WAYS; i++)
			if (atomic_load(&set[i].used) < atomic_load(&oldest->used))
				oldest = &set[i];
		free(oldest->features);
		oldest->features = *features;
		*features = NULL;
		strncpy(oldest->ver, ver, CAPS_VER_SIZE - 1);
		atomic_store(&oldest->used, atomic_fetch_add(&cache->clock, 1) + 1);
	}
	pthread_rwlock_unlock(&cache->lock);
	free(*features);
	*features = NULL;
}
