/* mem.c - allocation that ends the process when the system has no more, and arenas. */
#include "server/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
	if (p == NULL) {
		fputs("sterna: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xalloc(size_t size)
{
	return must(calloc(1, size > 0 ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return must(realloc(p, size > 0 ? size : 1));
}

char *xstrdup(const char *s)
{
	return must(strdup(s));
}

char *xstrndup(const char *s, size_t len)
{
	char *copy = must(malloc(len + 1));

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *out = NULL;

	va_start(ap, fmt);
	const int n = vasprintf(&out, fmt, ap);
	va_end(ap);
	return must(n < 0 ? NULL : out);
}

struct block {
	struct block *next;
	size_t size;
};

struct arena {
	char *at, *end;
	struct block *more;
	size_t total, next_size;
};

enum { ARENA_MIN = 256, ARENA_BLOCK_MAX = 32768 };

struct arena *arena_new(size_t first_block)
{
	const size_t size = sizeof(struct arena) + (first_block < ARENA_MIN ? ARENA_MIN : first_block);
	struct arena *a = must(malloc(size));

	a->at = (char *)(a + 1);
	a->end = (char *)a + size;
	a->more = NULL;
	a->total = size;
	a->next_size = size;
	return a;
}

static void *arena_more(struct arena *a, size_t size)
{
	a->next_size = a->next_size * 2 > ARENA_BLOCK_MAX ? ARENA_BLOCK_MAX : a->next_size * 2;
	const size_t want = sizeof(struct block) + (size > a->next_size ? size : a->next_size);
	struct block *b = must(malloc(want));

	b->size = want;
	b->next = a->more;
	a->more = b;
	a->total += want;
	a->at = (char *)(b + 1) + size;
	a->end = (char *)b + want;
	return b + 1;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size = (size + 7) & ~(size_t)7;
	if ((size_t)(a->end - a->at) < size)
		return arena_more(a, size);
	void *p = a->at;

	a->at += size;
	return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
	return memset(arena_alloc(a, size), 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
{
	const size_t had = (old_size + 7) & ~(size_t)7, want = (new_size + 7) & ~(size_t)7;

	if (old != NULL && (char *)old + had == a->at && (size_t)(a->end - a->at) >= want - had) {
		a->at += want - had;
		return old;
	}
	void *p = arena_alloc(a, new_size);

	if (old != NULL && old_size > 0)
		memcpy(p, old, old_size);
	return p;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}

void arena_free(struct arena **a)
{
	if (*a == NULL)
		return;
	for (struct block *b = (*a)->more, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(*a);
	*a = NULL;
}
