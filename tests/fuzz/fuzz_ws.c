/* fuzz_ws.c - any bytes as frames: the same events however they are split, and never more than was announced. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 1000 };

struct seen {
	size_t messages, controls, content;
	uint64_t sum;                /* of all content */
	unsigned code;
};

static struct seen read_all(const char *data, size_t size, size_t step)
{
	struct ws_reader r = { 0 };
	struct seen s = { 0 };
	size_t message = 0;
	char out[4096];

	for (size_t at = 0, used, len; at < size; at += used) {
		size_t n = size - at < step ? size - at : step;

		n = n < sizeof out ? n : sizeof out;
		const enum ws_event e = ws_read(&r, data + at, n, MAX, &used, out, &len);

		if (used > n || len > n || (used == 0 && e != WS_ERROR))
			abort();
		for (size_t i = 0; i < len; i++)
			s.sum = s.sum * 31 + (unsigned char)out[i];
		s.content += len;
		message += len;
		if (message > MAX)
			abort();
		s.controls += e == WS_CONTROL;
		s.messages += e == WS_MESSAGE;
		if (e == WS_MESSAGE)
			message = 0;
		if (e == WS_ERROR) {
			s.code = r.code;
			break;
		}
	}
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct seen whole = read_all((const char *)data, size, size), split = read_all((const char *)data, size, 1);

	if (whole.messages != split.messages || whole.controls != split.controls || whole.content != split.content
		|| whole.sum != split.sum || whole.code != split.code)
		abort();
	return 0;
}
