/* map.h - strings to pointers: a hash table whose keys lie in the values. Keyed hashing (SipHash-1-3), so
 * that names chosen by peers cannot be made to collide. Threads: one at a time. */
#ifndef STERNA_MAP_H
#define STERNA_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry {
	const char *key;   /* borrowed: lives as long as the entry */
	void *value;
	uint64_t hash;
};
struct map {
	struct map_entry *entries;
	size_t count, used, size;  /* used: with the graves of removed ones */
	uint64_t k0, k1;
};

void map_init(struct map *m, uint64_t k0, uint64_t k1);
void map_clear(struct map *m);
void *map_get(const struct map *m, const char *key);         /**< NULL if it is not there */
void map_put(struct map *m, const char *key, void *value);   /**< replaces, key pointer too */
void *map_remove(struct map *m, const char *key);            /**< what it was, or NULL */
/** Walk: start with at = 0; NULL at the end. The map may lose the entry just given, nothing else. */
struct map_entry *map_next(const struct map *m, size_t *at);

#endif
