/* utf.h - one code point of UTF-8 or UTF-16, by ICU's macros. They mix signs and widths, which -Wconversion is told of in
 * this file alone. */
#ifndef STERNA_UTF_H
#define STERNA_UTF_H

#include <unicode/utf16.h>
#include <unicode/utf8.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

/** The code point at *at, which moves behind it; negative: no UTF-8. */
static inline UChar32 utf8_next(const char *s, int32_t *at, int32_t len)
{
	UChar32 c;

	U8_NEXT(s, *at, len, c);
	return c;
}

/** @param out  U8_MAX_LENGTH bytes
 *  @return how many of them were written */
static inline int32_t utf8_put(char *out, UChar32 c)
{
	int32_t n = 0;

	U8_APPEND_UNSAFE(out, n, c);
	return n;
}

/** The code point at *at, which moves behind it; a lone surrogate is given as it is. */
static inline UChar32 utf16_next(const UChar *s, int32_t *at, int32_t len)
{
	UChar32 c;

	U16_NEXT(s, *at, len, c);
	return c;
}

#pragma GCC diagnostic pop

#endif
