/* fuzz_whole.c - what xml_is_whole() lets pass as it is, the parser reads, and it is written back as one that passes. */
#include <stdint.h>
#include <stdlib.h>
#include "server/elem.h"
#include "server/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool whole = xml_is_whole((const char *)data, size);
	struct arena *a = arena_new(0);
	struct sterna_elem *e = NULL;
	struct buf out = BUF_INIT;
	const enum sterna_result rc = xml_parse(a, (const char *)data, size, &e);

	if (whole && rc != STERNA_OK && rc != STERNA_ELIMIT)
		abort();
	if (whole && rc == STERNA_OK) {
		elem_write(&out, e, NULL);
		if (!xml_is_whole(buf_data(&out), buf_len(&out)))
			abort();
	}
	buf_release(&out);
	arena_free(&a);
	return 0;
}
