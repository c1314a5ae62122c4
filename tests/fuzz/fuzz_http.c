/* fuzz_http.c - any bytes: a head is found however it is split, and is what it says; chunks end where they did before. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/http_head.h"
#include "server/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 8192 };

static void check_head(const struct http_head *h, const char *bytes, size_t size)
{
	if (h->size > size || h->header_count > HTTP_HEADERS_MAX || strlen(h->method) == 0)
		abort();
	if (h->path[0] != '/' && strcmp(h->path, "*") != 0)
		abort();
	if (h->chunked && h->has_length)
		abort();
	for (size_t i = 0; i < h->header_count; i++)
		if (h->headers[i].name < bytes || h->headers[i].value + strlen(h->headers[i].value) >= bytes + h->size)
			abort();
}

static void heads(const char *data, size_t size)
{
	char *whole = xalloc(size + 1), *split = xalloc(size + 1);
	struct http_head h, again;
	size_t seen = 0, at = 0;

	memcpy(whole, data, size);
	memcpy(split, data, size);
	const enum sterna_result rc = http_head_parse(whole, size, MAX, &at, &h);
	enum sterna_result part = STERNA_EAGAIN;

	for (size_t n = 0; n <= size && part == STERNA_EAGAIN; n += n < size / 2 ? 1 + size / 8 : 1)
		part = http_head_parse(split, n, MAX, &seen, &again);
	if (rc == STERNA_OK)
		check_head(&h, whole, size);
	if (rc == STERNA_OK && (part != rc || again.size != h.size || strcmp(again.path, h.path) != 0))
		abort();
	free(whole);
	free(split);
}

/* @return bytes of content, or -1; *end: where it was over */
static long chunks(const char *data, size_t size, size_t step, size_t *end)
{
	struct http_chunks c = { 0 };
	long content = 0;

	for (size_t at = 0, used = 0; at < size; at += used) {
		const char *bytes = NULL;
		size_t len = 0;
		const size_t n = size - at < step ? size - at : step;
		const enum sterna_result rc = http_chunks_feed(&c, data + at, n, &used, &bytes, &len);

		if (used > n || (len > 0 && (bytes < data || bytes + len > data + size)))
			abort();
		content += (long)len;
		*end = at + used;
		if (rc != STERNA_EAGAIN)
			return rc == STERNA_OK ? content : -1;
	}
	return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t one = 0, many = 0;

	heads((const char *)data, size);
	const long all = chunks((const char *)data, size, size, &one);

	if (chunks((const char *)data, size, 1, &many) != all || (all >= 0 && one != many))
		abort();
	return 0;
}
