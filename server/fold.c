/* fold.c - texts as they are compared without regard to case. */
#include "server/fold.h"
#include <stdint.h>
#include <unicode/uchar.h>
#include "server/mem.h"
#include "server/utf.h"

char *fold_text(const char *text, size_t len)
{
	const int32_t n = len < INT32_MAX / U8_MAX_LENGTH ? (int32_t)len : INT32_MAX / U8_MAX_LENGTH;
	char *out = xalloc((size_t)n * U8_MAX_LENGTH + 1); /* a fold may be longer than what it is of */
	int32_t at = 0, end = 0;

	while (at < n) {
		const UChar32 c = utf8_next(text, &at, n);

		if (c >= 0)
			end += utf8_put(out + end, u_foldCase(c, U_FOLD_CASE_DEFAULT));
	}
	out[end] = '\0';
	return out;
}
