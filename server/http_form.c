/* http_form.c - fields of a form. */
#include "server/http_form.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "server/utf.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Into out, which has room for len bytes; a '%' that begins no number is itself. @return how many bytes */
static size_t decode(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && len - i > 2 && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
			out[n++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
			i += 2;
		} else {
			out[n++] = text[i] == '+' ? ' ' : text[i];
		}
	}
	return n;
}

static bool is_text(const char *s, size_t len)
{
	for (int32_t at = 0; at < (int32_t)len;)
		if (utf8_next(s, &at, (int32_t)len) <= 0)
			return false;
	return true;
}

/* One piece, "name=value": is that its name? Then its value; value has room for len + 1 bytes. */
static bool read_piece(const char *piece, size_t len, const char *field, char *value, size_t *size)
{
	const char *equals = memchr(piece, '=', len);
	const size_t name_len = equals != NULL ? (size_t)(equals - piece) : len;
	const size_t n = decode(piece, name_len, value);

	if (n != strlen(field) || memcmp(value, field, n) != 0)
		return false;
	*size = equals != NULL ? decode(equals + 1, len - name_len - 1, value) : 0;
	value[*size] = '\0';
	return true;
}

char *http_form_field(const char *body, size_t len, const char *field, size_t max)
{
	char *value = len < INT32_MAX ? xalloc(len + 1) : NULL;
	size_t size = 0;
	bool found = false;

	while (value != NULL && !found && len > 0) {
		const char *amp = memchr(body, '&', len);
		const size_t n = amp != NULL ? (size_t)(amp - body) : len;

		found = read_piece(body, n, field, value, &size);
		body += n + (amp != NULL);
		len -= n + (amp != NULL);
	}
	if (found && size <= max && is_text(value, size))
		return value;
	free(value);
	return NULL;
}
