/* elem_write.c - trees as text. The only writer of XML, with the only escaper: what one parser reads here
 * is what the next one reads. */
#include <string.h>
#include "server/elem.h"

enum { IN_TEXT = 1, IN_ATTR = 2 };

/* Where a character must be written as a reference. CR would be made LF by the next parser's end-of-line
 * handling (XML 1.0 §2.11), tab and LF in attributes a space (§3.3.3). */
static const unsigned char special[256] = {
	['&'] = IN_TEXT | IN_ATTR, ['<'] = IN_TEXT | IN_ATTR, ['>'] = IN_TEXT | IN_ATTR, ['\r'] = IN_TEXT | IN_ATTR,
	['\''] = IN_ATTR, ['"'] = IN_ATTR, ['\t'] = IN_ATTR, ['\n'] = IN_ATTR,
};

/* buf_add() with its usual case inline: much of what is written is a few bytes long. */
static inline void add_bytes(struct buf *out, const char *s, size_t len)
{
	if (out->size - out->len < len)
		buf_reserve(out, len);
	if (len > 0)
		memcpy(out->data + out->len, s, len);
	out->len += len;
}

static inline void add(struct buf *out, const char *s)
{
	add_bytes(out, s, strlen(s));
}

#define add_lit(out, literal) add_bytes((out), (literal), sizeof(literal) - 1)

static void add_reference(struct buf *out, char c)
{
	switch (c) {
	case '&':
		add_lit(out, "&amp;");
		break;
	case '<':
		add_lit(out, "&lt;");
		break;
	case '>':
		add_lit(out, "&gt;");
		break;
	case '\'':
		add_lit(out, "&apos;");
		break;
	case '"':
		add_lit(out, "&quot;");
		break;
	case '\t':
		add_lit(out, "&#9;");
		break;
	case '\n':
		add_lit(out, "&#10;");
		break;
	default:
		add_lit(out, "&#13;");
		break;
	}
}

static void escape(struct buf *out, const char *s, size_t len, unsigned where)
{
	const char *const end = s + len;

	while (s < end) {
		const char *run = s;

		while (s < end && !(special[(unsigned char)*s] & where))
			s++;
		add_bytes(out, run, (size_t)(s - run));
		if (s < end)
			add_reference(out, *s++);
	}
}

void xml_escape_text(struct buf *out, const char *s, size_t len)
{
	escape(out, s, len, IN_TEXT);
}

void xml_escape_attr(struct buf *out, const char *s, size_t len)
{
	escape(out, s, len, IN_ATTR);
}


static void write_value(struct buf *out, const char *value)
{
	add_lit(out, "='");
	escape(out, value, strlen(value), IN_ATTR);
	add_lit(out, "'");
}

/* The prefixes ns1, ns2, ... of one element's attributes. Equal namespaces share one, so that what came in
 * under the limit of declarations (struct xml_limits) also goes out under it. */
struct prefixes {
	const char *ns[64];
	unsigned count;
};

/* The number of the prefix for ns; one above the former count if it is new and must be declared. */
static unsigned prefix_of(struct prefixes *p, const char *ns)
{
	const unsigned kept = sizeof p->ns / sizeof p->ns[0];

	for (unsigned i = 0; i < p->count && i < kept; i++)
		if (p->ns[i] == ns || strcmp(p->ns[i], ns) == 0)
			return i + 1;
	if (p->count < kept)
		p->ns[p->count] = ns;
	return ++p->count;
}

static void write_attr(struct buf *out, const struct sterna_attr *at, struct prefixes *p)
{
	add_lit(out, " ");
	if (at->ns != NULL && (at->ns == NS_XML || strcmp(at->ns, NS_XML) == 0)) {
		add_lit(out, "xml:");
	} else if (at->ns != NULL) {
		const unsigned before = p->count, n = prefix_of(p, at->ns);

		if (n > before) {
			buf_addf(out, "xmlns:ns%u", n);
			write_value(out, at->ns);
			add_lit(out, " ");
		}
		buf_addf(out, "ns%u:", n);
	}
	add(out, at->name);
	write_value(out, at->value);
}

/* "<name ...", without the end of the tag. */
static void write_start(struct buf *out, const struct sterna_elem *e, const char *around)
{
	add_lit(out, "<");
	add(out, e->name);
	if (around == NULL || (e->ns != around && strcmp(e->ns, around) != 0)) {
		add_lit(out, " xmlns");
		write_value(out, e->ns);
	}
	struct prefixes p;

	p.count = 0;
	for (const struct sterna_attr *at = e->attrs; at != NULL; at = at->next)
		write_attr(out, at, &p);
}

void elem_write(struct buf *out, const struct sterna_elem *e, const char *around)
{
	const struct sterna_elem *at = e;

	for (;;) {
		if (at->name == NULL && at->ns == ELEM_WHOLE) {
			buf_add(out, at->text, at->text_len);
		} else if (at->name == NULL) {
			escape(out, at->text, at->text_len, IN_TEXT);
		} else {
			write_start(out, at, at == e ? around : at->parent->ns);
			if (at->first != NULL) {
				add_lit(out, ">");
				at = at->first;
				continue;
			}
			add_lit(out, "/>");
		}
		while (at != e && at->next == NULL) {
			at = at->parent;
			add_lit(out, "</");
			add(out, at->name);
			add_lit(out, ">");
		}
		if (at == e)
			return;
		at = at->next;
	}
}

void elem_write_inner(struct buf *out, const struct sterna_elem *e)
{
	for (const struct sterna_elem *c = e->first; c != NULL; c = c->next)
		elem_write(out, c, e->ns);
}
