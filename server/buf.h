/* buf.h - bytes that grow at the end and are consumed at the front; empty, it holds no memory
 * after buf_release(). Threads: one at a time. */
#ifndef STERNA_BUF_H
#define STERNA_BUF_H

#include <stddef.h>
#include <string.h>
#include "server/result.h"

struct buf {
	char *data;           /* data[start..len) is the content */
	size_t start, len, size;
};

#define BUF_INIT { NULL, 0, 0, 0 }

/** Room for n more bytes at the end; returns where to write. The content may move. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_addf(struct buf *b, const char *fmt, ...) STERNA_PRINTF(2, 3);
void buf_percent(struct buf *b, const char *s); /**< percent-encoded, all but RFC 3986's unreserved */
void buf_consume(struct buf *b, size_t n); /**< n at most buf_len(b); keeps the memory */
void buf_release(struct buf *b);           /**< empty and without memory; may be used again */

static inline const char *buf_data(const struct buf *b)
{
	return b->data != NULL ? b->data + b->start : NULL;
}

static inline size_t buf_len(const struct buf *b)
{
	return b->len - b->start;
}

static inline void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void buf_putc(struct buf *b, char c)
{
	*buf_reserve(b, 1) = c;
	b->len++;
}

#define buf_lit(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

/** The content as a NUL-terminated string, borrowed until the next change. */
const char *buf_str(struct buf *b);

#endif
