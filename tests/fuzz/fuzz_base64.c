/* fuzz_base64.c - what is read is written back as the same text; any bytes survive. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(BASE64_TEXT_LEN(size) + 1), *bytes = malloc(size + 1);
	size_t n;

	if (base64_decode((const char *)data, size, bytes, BASE64_BYTES_MAX(size), &n) == STERNA_OK) {
		if (base64_encode(bytes, n, text, size + 1) != STERNA_OK || memcmp(text, data, size) != 0)
			abort();
	}
	if (base64_encode(data, size, text, BASE64_TEXT_LEN(size) + 1) != STERNA_OK ||
		base64_decode(text, strlen(text), bytes, size, &n) != STERNA_OK || n != size ||
		memcmp(bytes, data, size) != 0)
		abort();
	free(text);
	free(bytes);
	return 0;
}
