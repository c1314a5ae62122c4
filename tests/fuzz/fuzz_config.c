/* fuzz_config.c - any bytes as sterna.yaml: read, or refused with a place, and nothing else.
 * Files that !file names are looked for in a folder that is not there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_change(void *arg, const char *path)
{
	(void)arg, (void)path;
	abort();                /* nothing differs from itself */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error err = { .message = "" };
	struct config *c = NULL;

	if (memmem(data, size, "!file", 5) != NULL && memchr(data, '/', size) != NULL)
		return 0;       /* no absolute paths */
	if (config_load_text((const char *)data, size, "fuzz.yaml", "/nonexistent", &c, &err) == STERNA_OK)
		config_diff(c, c, on_change, NULL);
	else if (err.message[0] == '\0')
		abort();
	config_unref(&c);
	return 0;
}
