/* base64.c - RFC 4648 §4, strict. No table is indexed by a secret: values are computed. */
#include "server/base64.h"
#include <stdint.h>

/* The character for 0..63 (RFC 4648 table 1), without a branch. */
static char digit(unsigned v)
{
	unsigned c = v + 'A';

	/* Each term is added once v has passed the range before it. */
	c += ((25u - v) >> 8) & ('a' - 'Z' - 1u);
	c -= ((51u - v) >> 8) & ('z' + 1u - '0');
	c -= ((61u - v) >> 8) & ('9' + 1u - '+');
	c += ((62u - v) >> 8) & ('/' - '+' - 1u);
	return (char)c;
}

/* All ones if lo <= c <= hi, else 0. */
static unsigned within(unsigned c, unsigned lo, unsigned hi)
{
	return (((c - lo) | (hi - c)) >> 8 & 1u) - 1u;
}

/* 0..63; bits above for any other character. */
static unsigned value(unsigned char c)
{
	const unsigned upper = within(c, 'A', 'Z'), lower = within(c, 'a', 'z'), num = within(c, '0', '9');
	const unsigned plus = within(c, '+', '+'), slash = within(c, '/', '/');
	unsigned v = 0;

	v |= upper & (c - 'A');
	v |= lower & (c - 'a' + 26u);
	v |= num & (c - '0' + 52u);
	v |= plus & 62u;
	v |= slash & 63u;
	return v | (~(upper | lower | num | plus | slash) & 0x100u);
}

enum sterna_result base64_encode(const void *bytes, size_t n, char *out, size_t size)
{
	const uint8_t *in = bytes;

	if (n > SIZE_MAX / 4 * 3 - 2 || BASE64_TEXT_LEN(n) >= size)
		return STERNA_ELIMIT;
	while (n > 0) {
		const unsigned a = in[0], b = n > 1 ? in[1] : 0, c = n > 2 ? in[2] : 0;

		*out++ = digit(a >> 2);
		*out++ = digit((a & 3) << 4 | b >> 4);
		*out++ = n > 1 ? digit((b & 15) << 2 | c >> 6) : '=';
		*out++ = n > 2 ? digit(c & 63) : '=';
		in += n > 2 ? 3 : n;
		n -= n > 2 ? 3 : n;
	}
	*out = '\0';
	return STERNA_OK;
}

enum sterna_result base64_decode(const char *text, size_t len, void *out, size_t size, size_t *out_n)
{
	uint8_t *to = out;
	unsigned bad = 0;
	size_t pad = 0;

	if (len % 4 != 0)
		return STERNA_EINVAL;
	if (len > 0 && text[len - 1] == '=')
		pad = text[len - 2] == '=' ? 2 : 1;
	const size_t n = len / 4 * 3 - pad;
	if (n > size)
		return STERNA_ELIMIT;

	for (size_t i = 0, o = 0; i < len; i += 4, o += 3) {
		const size_t left = n - o;       /* 1 or 2 only in the last, padded group */
		const unsigned a = value((unsigned char)text[i]), b = value((unsigned char)text[i + 1]);
		const unsigned c = left > 1 ? value((unsigned char)text[i + 2]) : 0;
		const unsigned d = left > 2 ? value((unsigned char)text[i + 3]) : 0;

		bad |= (a | b | c | d) & 0x100;
		to[o] = (uint8_t)(a << 2 | b >> 4);
		if (left > 1)
			to[o + 1] = (uint8_t)(b << 4 | c >> 2);
		else
			bad |= b & 15;           /* §3.5: bits of no byte */
		if (left > 2)
			to[o + 2] = (uint8_t)(c << 6 | d);
		else if (left == 2)
			bad |= c & 3;
	}
	if (bad != 0)
		return STERNA_EINVAL;
	*out_n = n;
	return STERNA_OK;
}
