/* fuzz_rest.c - any query and any body: fields are texts and arrays of texts, a page is within its limits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "server/rest_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const json_t *fields)
{
	const char *key;
	json_t *value, *one;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)fields, key, value) {
		if (!json_is_string(value) && !json_is_array(value))
			abort();
		json_array_foreach(value, i, one)
			if (!json_is_string(one))
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size), name[64];
	struct rest_page page = { .number = 0, .size = 10 };
	json_t *fields = NULL, *all;
	const char *why = NULL;

	if (rest_query(text, 100, &page, &fields, &why) == STERNA_OK) {
		check_fields(fields);
		if (page.size < 1 || page.size > 100)
			abort();
		all = rest_result(fields, &page);
		if (json_object_get(all, "result") == NULL)
			abort();
		json_decref(all);
	} else if (why == NULL || fields != NULL) {
		abort();
	}
	json_decref(fields);
	fields = NULL;
	if (rest_body((const char *)data, size, &fields, name, sizeof name) == STERNA_OK)
		check_fields(fields);
	else if (fields != NULL || name[0] == '\0')
		abort();
	json_decref(fields);
	free(text);
	return 0;
}
