/* caps_cache.h - features by verified hash (XEP-0115 §8.1: nothing unverified gets in). Of fixed size: a new entry
 * takes the place of the one of its set that was not used for longest.
 * Threads: any; one lock, held for a look-up. */
#ifndef XEP_CAPS_CACHE_H
#define XEP_CAPS_CACHE_H

#include "xep/disco_info.h"

struct caps_cache;

struct caps_cache *caps_cache_new(unsigned entries);
void caps_cache_free(struct caps_cache **cache);
bool caps_cache_knows(struct caps_cache *cache, const char *ver);
bool caps_cache_has(struct caps_cache *cache, const char *ver, const char *feature);
/** features: text with '\n' before and after each; takes it. */
void caps_cache_put(struct caps_cache *cache, const char *ver, char **features);

#endif
