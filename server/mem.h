/* mem.h - small allocations, which never fail (they end the process), and arenas.
 * Sizes that a peer chooses meet a limit before they come here.
 * Threads: an arena belongs to one thread at a time. */
#ifndef STERNA_MEM_H
#define STERNA_MEM_H

#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

void *xalloc(size_t size) __attribute__((malloc, returns_nonnull));  /**< zeroed; free() it */
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t len) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) STERNA_PRINTF(1, 2);

/** Memory that goes in one go. The struct lies in its own first block. */
struct arena;
struct arena *arena_new(size_t first_block); /**< first_block bytes ready for use (at least 256) */
void *arena_alloc(struct arena *a, size_t size); /**< aligned to 8, not zeroed, lives as long as a */
void *arena_zalloc(struct arena *a, size_t size);
char *arena_strndup(struct arena *a, const char *s, size_t len);
/** Grow what was allocated last in place where possible, else copy. old may be NULL with old_size 0. */
void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size);
size_t arena_size(const struct arena *a); /**< bytes held from the system */
void arena_free(struct arena **a);

#endif
