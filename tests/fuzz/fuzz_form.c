/* fuzz_form.c - any body of a form: a field is found only as text within its limit, and never longer than what was sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/http_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "name", "password", "", "a b" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *value = http_form_field((const char *)data, size, names[i], 64);

		if (value != NULL && (strlen(value) > 64 || strlen(value) > size))
			abort();
		free(value);
	}
	return 0;
}
