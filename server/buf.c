/* buf.c - growing bytes. */
#include "server/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/mem.h"

enum { BUF_FIRST = 256 };

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->size - b->len >= n && b->data != NULL)
		return b->data + b->len;
	if (b->data != NULL && b->start > 0) {
		memmove(b->data, b->data + b->start, b->len - b->start);
		b->len -= b->start;
		b->start = 0;
	}
	if (b->data == NULL || b->size - b->len < n) {
		size_t size = b->size > 0 ? b->size : BUF_FIRST;

		while (size - b->len < n)
			size *= 2;
		b->data = xrealloc(b->data, size);
		b->size = size;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), bytes, n);
	b->len += n;
}

void buf_percent(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		const unsigned char ch = (unsigned char)*s;

		if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || strchr("-._~", ch) != NULL)
			buf_putc(b, (char)ch);
		else
			buf_addf(b, "%%%02X", ch);
	}
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	const int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0) {
		vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start == b->len)
		b->start = b->len = 0;
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

const char *buf_str(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return b->data + b->start;
}
