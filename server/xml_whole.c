/* xml_whole.c - whether a text that we wrote can be passed on as it is, without reading it into a tree.
 *
 * It knows the form that elem_write() gives, and says no to everything else, however right: names of ASCII letters,
 * no prefixes but xml:, no comments, sections and instructions. What it says yes to is well-formed, with a namespace. */
#include <string.h>
#include "server/utf.h"
#include "server/xml.h"

enum { DEPTH_MAX = 32, ATTRS_MAX = 16 };

struct name {
	const char *p;
	size_t len;
};

struct reading {
	const char *at, *end;
	struct name open[DEPTH_MAX];
	unsigned depth;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static bool take(struct reading *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static bool read_name(struct reading *r, struct name *out)
{
	out->p = r->at;
	if (r->at == r->end || !is_letter(*r->at))
		return false;
	while (r->at < r->end && is_name_char(*r->at))
		r->at++;
	out->len = (size_t)(r->at - out->p);
	return true;
}

static bool is_name(const struct name *n, const char *text)
{
	return n->len == strlen(text) && memcmp(n->p, text, n->len) == 0;
}

/* Behind the ampersand. */
static bool read_reference(struct reading *r)
{
	static const char *const known[] = { "amp;", "lt;", "gt;", "quot;", "apos;", "#9;", "#10;", "#13;", "#xD;", "#xA;", "#x9;" };

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const size_t len = strlen(known[i]);

		if ((size_t)(r->end - r->at) >= len && memcmp(r->at, known[i], len) == 0) {
			r->at += len;
			return true;
		}
	}
	return false;
}

/* A character beyond ASCII that XML allows (§2.2). */
static bool read_wide(struct reading *r)
{
	const size_t left = (size_t)(r->end - r->at);
	int32_t n = 0;
	const UChar32 c = utf8_next(r->at, &n, left < U8_MAX_LENGTH ? (int32_t)left : U8_MAX_LENGTH);

	r->at += n;
	return c >= 0x80 && c != 0xfffe && c != 0xffff;
}

/* Up to what ends it: in text a tag, in a value its quote. */
static bool read_chars(struct reading *r, char end)
{
	while (r->at < r->end && *r->at != end) {
		const unsigned char c = (unsigned char)*r->at;

		if (c >= 0x80) {
			if (!read_wide(r))
				return false;
			continue;
		}
		r->at++;
		if (c == '&' ? !read_reference(r) : c == '<' || c == '>' || (c < 0x20 && (end != '<' || (c != '\n' && c != '\t'))))
			return false;
	}
	return r->at < r->end;
}

/* Namespaces are what they look like, and none that is reserved. */
static bool is_plain_uri(const char *p, size_t len)
{
	static const char reserved[] = "http://www.w3.org/";

	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] == '&' || p[i] == '"' || p[i] == '\'' || p[i] == 0x7f)
			return false;
	return len > 0 && (len < sizeof reserved - 1 || memcmp(p, reserved, sizeof reserved - 1) != 0);
}

/* @param ns  becomes true when it is the element's namespace */
static bool read_attr(struct reading *r, struct name *seen, unsigned count, bool *ns)
{
	struct name local;

	if (!read_name(r, &seen[count]))
		return false;
	const bool is_ns = is_name(&seen[count], "xmlns");

	if (is_name(&seen[count], "xml")) {
		if (!take(r, ':') || !read_name(r, &local))
			return false;
		seen[count].len = (size_t)(r->at - seen[count].p);
	}
	for (unsigned i = 0; i < count; i++)
		if (seen[i].len == seen[count].len && memcmp(seen[i].p, seen[count].p, seen[count].len) == 0)
			return false;
	if (!take(r, '=') || r->at == r->end || (*r->at != '\'' && *r->at != '"'))
		return false;
	const char quote = *r->at++, *value = r->at;

	if (!read_chars(r, quote) || (is_ns && !is_plain_uri(value, (size_t)(r->at - value))))
		return false;
	*ns |= is_ns;
	r->at++;
	return true;
}

/* Behind "<". */
static bool read_start(struct reading *r)
{
	struct name seen[ATTRS_MAX];
	unsigned count = 0;
	bool ns = false;

	if (r->depth == DEPTH_MAX || !read_name(r, &r->open[r->depth]))
		return false;
	while (take(r, ' '))
		if (count == ATTRS_MAX || !read_attr(r, seen, count++, &ns))
			return false;
	if (r->depth == 0 && !ns)
		return false;
	if (take(r, '/'))
		return take(r, '>');
	r->depth++;
	return take(r, '>');
}

/* Behind "</". */
static bool read_end(struct reading *r)
{
	struct name n;

	if (r->depth == 0 || !read_name(r, &n))
		return false;
	const struct name *open = &r->open[--r->depth];

	return n.len == open->len && memcmp(n.p, open->p, n.len) == 0 && take(r, '>');
}

bool xml_is_whole(const char *text, size_t len)
{
	struct reading r = { .at = text, .end = text + len };

	do {
		if (r.depth > 0 && !read_chars(&r, '<'))
			return false;
		if (!take(&r, '<') || !(take(&r, '/') ? read_end(&r) : read_start(&r)))
			return false;
	} while (r.depth > 0);
	return r.at == r.end;
}
