/* scan.c - where one stanza of a stream ends. */
#include "tests/bench/scan.h"
#include <string.h>

/** The '>' of the present tag, outside of attribute values; NULL when it has not come yet. */
static const char *tag_end(struct scan *s, const char *data, size_t len)
{
	for (; s->pos < len; s->pos++) {
		const char c = data[s->pos];

		if (s->quote != 0) {
			if (c == s->quote)
				s->quote = 0;
		} else if (c == '"' || c == '\'') {
			s->quote = c;
		} else if (c == '>') {
			return data + s->pos++;
		}
	}
	return NULL;
}

static enum scan_found classify(struct scan *s, const char *tag, const char *gt)
{
	static const char stream[] = "<stream:stream";

	if (tag[1] == '?')
		return SCAN_MORE;
	if (tag[1] == '/') {
		if (s->depth == 0)
			return SCAN_END;
		s->depth--;
	} else if (gt[-1] != '/') {
		if (s->depth == 0 && (size_t)(gt - tag) >= sizeof stream - 1 &&
			memcmp(tag, stream, sizeof stream - 1) == 0)
			return SCAN_STREAM;
		s->depth++;
	}
	return s->depth == 0 ? SCAN_STANZA : SCAN_MORE;
}

enum scan_found scan_next(struct scan *s, const char *data, size_t len, size_t *end)
{
	while (s->pos < len) {
		if (!s->in_tag) {
			const char *lt = memchr(data + s->pos, '<', len - s->pos);

			if (lt == NULL) {
				s->pos = len;
				break;
			}
			s->tag = (size_t)(lt - data);
			s->pos = s->tag + 1;
			s->in_tag = true;
		}
		const char *gt = tag_end(s, data, len);

		if (gt == NULL)
			break;
		s->in_tag = false;
		const enum scan_found found = classify(s, data + s->tag, gt);

		if (found != SCAN_MORE) {
			*end = s->pos;
			s->pos = s->tag = 0;
			return found;
		}
	}
	return SCAN_MORE;
}
