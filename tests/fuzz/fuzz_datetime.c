/* fuzz_datetime.c - what is read is within the limits, and written and read again the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/datetime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[DATETIME_SIZE];
	int64_t us, again;

	if (datetime_parse((const char *)data, size, &us) == STERNA_OK) {
		datetime_format_us(us, out);
		if (us < DATETIME_MIN_US || us > DATETIME_MAX_US ||
			datetime_parse(out, strlen(out), &again) != STERNA_OK || again != us)
			abort();
	}
	if (size >= sizeof us) {
		memcpy(&us, data, sizeof us);
		datetime_format(us, out);
		if (datetime_parse(out, strlen(out), &again) != STERNA_OK)
			abort();
	}
	return 0;
}
