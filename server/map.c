/* map.c - open addressing with linear probing. */
#include "server/map.h"
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

static const char grave[] = "";

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND(v0, v1, v2, v3) \
	do { \
		v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32); \
		v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2; \
		v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0; \
		v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32); \
	} while (0)

static uint64_t hash_of(const struct map *m, const char *key)
{
	const size_t len = strlen(key);
	uint64_t v0 = m->k0 ^ 0x736f6d6570736575u, v1 = m->k1 ^ 0x646f72616e646f6du;
	uint64_t v2 = m->k0 ^ 0x6c7967656e657261u, v3 = m->k1 ^ 0x7465646279746573u;
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, key + i, 8);
		v3 ^= word;
		ROUND(v0, v1, v2, v3);
		v0 ^= word;
	}
	uint64_t last = (uint64_t)len << 56;

	for (unsigned shift = 0; i < len; i++, shift += 8)
		last |= (uint64_t)(unsigned char)key[i] << shift;
	v3 ^= last;
	ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

void map_init(struct map *m, uint64_t k0, uint64_t k1)
{
	*m = (struct map){ .k0 = k0, .k1 = k1 };
}

void map_clear(struct map *m)
{
	free(m->entries);
	*m = (struct map){ .k0 = m->k0, .k1 = m->k1 };
}

static struct map_entry *find(const struct map *m, const char *key, uint64_t hash)
{
	if (m->size == 0)
		return NULL;
	for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		struct map_entry *e = &m->entries[i];

		if (e->key == NULL)
			return NULL;
		if (e->hash == hash && e->key != grave && strcmp(e->key, key) == 0)
			return e;
	}
}

void *map_get(const struct map *m, const char *key)
{
	const struct map_entry *e = m->size == 0 ? NULL : find(m, key, hash_of(m, key));

	return e != NULL ? e->value : NULL;
}

static void insert(struct map *m, const char *key, void *value, uint64_t hash)
{
	size_t i = hash & (m->size - 1);

	while (m->entries[i].key != NULL)
		i = (i + 1) & (m->size - 1);
	m->entries[i] = (struct map_entry){ key, value, hash };
	m->used++;
	m->count++;
}

static void resize(struct map *m)
{
	struct map_entry *old = m->entries;
	const size_t old_size = m->size;

	m->size = 16;
	while (m->size < m->count * 3)
		m->size *= 2;
	m->entries = xalloc(m->size * sizeof *m->entries);
	m->count = m->used = 0;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].key != NULL && old[i].key != grave)
			insert(m, old[i].key, old[i].value, old[i].hash);
	free(old);
}

void map_put(struct map *m, const char *key, void *value)
{
	const uint64_t hash = hash_of(m, key);
	struct map_entry *e = find(m, key, hash);

	if (e != NULL) {
		e->key = key;
		e->value = value;
		return;
	}
	if ((m->used + 1) * 4 > m->size * 3)
		resize(m);
	insert(m, key, value, hash);
}

void *map_remove(struct map *m, const char *key)
{
	struct map_entry *e = m->size == 0 ? NULL : find(m, key, hash_of(m, key));

	if (e == NULL)
		return NULL;
	void *value = e->value;

	e->key = grave;
	e->value = NULL;
	m->count--;
	return value;
}

struct map_entry *map_next(const struct map *m, size_t *at)
{
	while (*at < m->size) {
		struct map_entry *e = &m->entries[(*at)++];

		if (e->key != NULL && e->key != grave)
			return e;
	}
	return NULL;
}
