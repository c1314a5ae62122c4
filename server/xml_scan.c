/* xml_scan.c - the scanner in front of expat. Where it and expat could see different tags (a quote in a
 * wrong place, say), the tag is not well-formed and expat refuses it before anything comes of it. */
#include "server/xml_scan.h"
#include <string.h>

enum {
	REFERENCE_MAX = 64,     /* "&#x10FFFF;" with some leading zeros; longer: no name we know */
	DECLARATION_MAX = 256,
};

enum state {
	AT_START, AT_BOM,       /* nothing seen; some of a byte order mark seen */
	LEAD, PROLOG,           /* before the root; without and after <?xml ... ?> */
	DECLARATION,
	BETWEEN,                /* in the root: only tags and white space */
	TEXT, REFERENCE, CDATA, /* in a first-level element */
	LESS_THAN,              /* after '<' */
	BANG,                   /* after "<!": only "[CDATA[" may follow */
	START_TAG, SINGLE_QUOTED, DOUBLE_QUOTED, END_TAG,
	DEAD,
};

enum { C_TEXT = 1, C_TAG = 2, C_SINGLE = 4, C_DOUBLE = 8, C_SPACE = 16 };

/* At which bytes a run of a state ends. */
static const unsigned char class[256] = {
	['<'] = C_TEXT | C_TAG | C_SINGLE | C_DOUBLE, ['&'] = C_TEXT, ['>'] = C_TAG, ['\''] = C_TAG | C_SINGLE,
	['"'] = C_TAG | C_DOUBLE, [' '] = C_SPACE, ['\t'] = C_SPACE, ['\n'] = C_SPACE, ['\r'] = C_SPACE,
};

void xml_scan_init(struct xml_scan *s)
{
	memset(s, 0, sizeof *s);
	s->state = AT_START;
	s->declaration_allowed = true;
}

void xml_scan_init_inside(struct xml_scan *s)
{
	memset(s, 0, sizeof *s);
	s->state = BETWEEN;
	s->depth = 1;
}

void xml_scan_consume(struct xml_scan *s, size_t n)
{
	s->at -= n;
	s->checked -= n;
	s->hold -= s->held ? n : 0;
	s->before += n;
}

bool xml_scan_is_between(const struct xml_scan *s)
{
	return s->state == BETWEEN;
}

static enum scan_event fail(struct xml_scan *s, enum xml_error error, const char *text)
{
	s->state = DEAD;
	s->error = error;
	s->error_text = text;
	return SCAN_ERROR;
}

/* The first byte of a character beyond ASCII: what must follow (RFC 3629 §4). */
static bool lead_byte(struct xml_scan *s, unsigned char c)
{
	if (c < 0xC2 || c > 0xF4)
		return false;
	s->need = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
	s->low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
	s->high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
	return true;
}

/* Move .checked forward as far as there are valid characters; .bad says why it stopped before len. */
static void check_bytes(struct xml_scan *s, const unsigned char *bytes, size_t len)
{
	const uint64_t each = 0x0101010101010101u;
	size_t i = s->checked;

	while (i < len) {
		uint64_t word;

		while (s->need == 0 && len - i >= sizeof word) { /* 8 bytes, all of 20..7F */
			memcpy(&word, bytes + i, sizeof word);
			if (((word | (word - each * 0x20)) & each * 0x80) != 0)
				break;
			i += sizeof word;
		}
		if (i == len)
			break;
		const unsigned char c = bytes[i];

		if (s->need > 0) {
			if (c < s->low || c > s->high) {
				s->bad = XML_BAD_ENCODING;
				break;
			}
			s->need--;
			s->low = 0x80;
			s->high = 0xBF;
		} else if (c >= 0x80) {
			if (!lead_byte(s, c)) {
				s->bad = XML_BAD_ENCODING;
				break;
			}
		} else if (c < 0x20 && !(class[c] & C_SPACE)) {
			/* a NUL as first or second byte is UTF-16 without a byte order mark */
			s->bad = c == 0 && s->before + i <= 1 ? XML_BAD_ENCODING : XML_NOT_WELL_FORMED;
			break;
		}
		i++;
	}
	s->checked = i;
}

static enum scan_event refuse_bytes(struct xml_scan *s)
{
	if (s->bad == XML_BAD_ENCODING)
		return fail(s, XML_BAD_ENCODING, "not UTF-8");
	if (s->state == AT_START || (s->state == LEAD && s->declaration_allowed))
		return fail(s, XML_NOT_XML, "not XML");
	return fail(s, XML_NOT_WELL_FORMED, "control character");
}

static inline size_t run(const char *w, size_t at, size_t end, unsigned stop)
{
	while (at < end && !(class[(unsigned char)w[at]] & stop))
		at++;
	return at;
}

static void hold(struct xml_scan *s, enum state state)
{
	s->held = true;
	s->hold = s->at++;
	s->state = (unsigned char)state;
}

static void let_go(struct xml_scan *s, enum state state)
{
	s->held = false;
	s->state = (unsigned char)state;
}

static enum scan_event before_root(struct xml_scan *s, const char *w)
{
	static const unsigned char bom[] = { 0xEF, 0xBB, 0xBF };
	const unsigned char c = (unsigned char)w[s->at];

	if (s->state == AT_START && c == bom[0]) {
		s->matched = 1;
		hold(s, AT_BOM);
	} else if (s->state == AT_BOM) {
		if (c != bom[s->matched])
			return fail(s, XML_NOT_XML, "not XML");
		s->at++;
		if (++s->matched == sizeof bom)
			let_go(s, LEAD);
	} else if (c == '<') {
		hold(s, LESS_THAN);
	} else if (class[c] & C_SPACE) {
		s->at++;
		s->declaration_allowed = false;
		if (s->state == AT_START)
			s->state = LEAD;
	} else if (s->state == PROLOG) {
		return fail(s, XML_NOT_WELL_FORMED, "text before the root element");
	} else {
		return fail(s, XML_NOT_XML, "not XML");
	}
	return SCAN_MORE;
}

/* XML 1.0 §2.8: only as the very first thing. Its inside is judged by expat and xml_tree.c. */
static enum scan_event declaration(struct xml_scan *s, const char *w)
{
	const size_t n = s->at - s->hold;
	const char c = w[s->at++];

	if ((n < 5 && c != "<?xml"[n]) || (n == 5 && !(class[(unsigned char)c] & C_SPACE)))
		return fail(s, XML_RESTRICTED, "processing instruction");
	if (c == '>' && w[s->at - 2] == '?')
		let_go(s, PROLOG);
	else if (n >= DECLARATION_MAX)
		return fail(s, XML_NOT_WELL_FORMED, "XML declaration without end");
	return SCAN_MORE;
}

static enum scan_event less_than(struct xml_scan *s, const char *w)
{
	switch (w[s->at]) {
	case '?':
		if (!s->declaration_allowed)
			return fail(s, XML_RESTRICTED, "processing instruction");
		s->state = DECLARATION;
		break;
	case '!':
		if (s->depth < 2)
			return fail(s, XML_RESTRICTED, "DTD, comment or CDATA outside a stanza");
		s->state = BANG;
		s->matched = 0;
		break;
	case '/':
		if (s->depth == 0)
			return fail(s, XML_NOT_WELL_FORMED, "end tag without start tag");
		s->state = END_TAG;
		break;
	default:
		s->state = START_TAG;
		s->declaration_allowed = false;
		return SCAN_MORE; /* may be '>' or a quote, for expat to refuse */
	}
	s->at++;
	s->declaration_allowed = false;
	return SCAN_MORE;
}

static enum scan_event bang(struct xml_scan *s, const char *w)
{
	static const char cdata[] = "[CDATA[";

	if (w[s->at++] != cdata[s->matched])
		return fail(s, XML_RESTRICTED, "DTD or comment");
	if (cdata[++s->matched] == '\0') {
		s->matched = 0;
		let_go(s, CDATA);
	}
	return SCAN_MORE;
}

/* "]]>" ends it; .matched is how many ']' stand directly before, at most 2. */
static enum scan_event cdata(struct xml_scan *s, const char *w, size_t end)
{
	while (s->at < end) {
		const char c = w[s->at++];

		if (c == ']') {
			if (s->matched < 2)
				s->matched++;
			continue;
		}
		if (c == '>' && s->matched == 2) {
			s->state = TEXT;
			return SCAN_MORE;
		}
		s->matched = 0;
		const char *bracket = memchr(w + s->at, ']', end - s->at);

		s->at = bracket != NULL ? (size_t)(bracket - w) : end;
	}
	return SCAN_MORE;
}

static enum scan_event text(struct xml_scan *s, const char *w, size_t end)
{
	s->at = run(w, s->at, end, C_TEXT);
	if (s->at < end)
		hold(s, w[s->at] == '<' ? LESS_THAN : REFERENCE);
	return SCAN_MORE;
}

/* Held, for expat would look at an unfinished one from its start each time. */
static enum scan_event reference(struct xml_scan *s, const char *w)
{
	const char c = w[s->at++];

	if (c == ';')
		let_go(s, TEXT);
	else if (class[(unsigned char)c] & (C_TEXT | C_SPACE))
		return fail(s, XML_NOT_WELL_FORMED, "'&' without ';'");
	else if (s->at - s->hold > REFERENCE_MAX)
		return fail(s, w[s->hold + 1] == '#' ? XML_NOT_WELL_FORMED : XML_RESTRICTED, "undefined entity");
	return SCAN_MORE;
}

static enum scan_event tag_done(struct xml_scan *s, bool end_tag, bool empty)
{
	if (end_tag)
		s->depth--;
	else if (!empty)
		s->depth++;
	let_go(s, s->depth <= 1 ? BETWEEN : TEXT);
	if (s->depth == 0)
		return SCAN_CLOSE;
	if (s->depth > 1)
		return SCAN_MORE;
	return end_tag || empty ? SCAN_ELEMENT : SCAN_ROOT;
}

static enum scan_event start_tag(struct xml_scan *s, const char *w, size_t end)
{
	s->at = run(w, s->at, end, C_TAG);
	if (s->at == end)
		return SCAN_MORE;
	const char c = w[s->at++];

	if (c == '<')
		return fail(s, XML_NOT_WELL_FORMED, "'<' in a tag");
	if (c == '>')
		return tag_done(s, false, w[s->at - 2] == '/');
	s->state = c == '"' ? DOUBLE_QUOTED : SINGLE_QUOTED;
	return SCAN_MORE;
}

static enum scan_event quoted(struct xml_scan *s, const char *w, size_t end)
{
	s->at = run(w, s->at, end, s->state == SINGLE_QUOTED ? C_SINGLE : C_DOUBLE);
	if (s->at == end)
		return SCAN_MORE;
	if (w[s->at++] == '<')
		return fail(s, XML_NOT_WELL_FORMED, "'<' in an attribute");
	s->state = START_TAG;
	return SCAN_MORE;
}

static enum scan_event end_tag(struct xml_scan *s, const char *w, size_t end)
{
	s->at = run(w, s->at, end, C_TAG);
	if (s->at == end)
		return SCAN_MORE;
	if (w[s->at++] != '>')
		return fail(s, XML_NOT_WELL_FORMED, "bad end tag");
	return tag_done(s, true, false);
}

/* One step of the machine; at least one byte stands at w[s->at], none at w[end]. */
static inline enum scan_event step(struct xml_scan *s, const char *w, size_t end)
{
	switch ((enum state)s->state) {
	case AT_START: case AT_BOM: case LEAD: case PROLOG:
		return before_root(s, w);
	case DECLARATION:
		return declaration(s, w);
	case BETWEEN:
		hold(s, LESS_THAN);
		return SCAN_MORE;
	case TEXT:
		return text(s, w, end);
	case REFERENCE:
		return reference(s, w);
	case CDATA:
		return cdata(s, w, end);
	case LESS_THAN:
		return less_than(s, w);
	case BANG:
		return bang(s, w);
	case START_TAG:
		return start_tag(s, w, end);
	case SINGLE_QUOTED: case DOUBLE_QUOTED:
		return quoted(s, w, end);
	case END_TAG:
		return end_tag(s, w, end);
	case DEAD:
		break;
	}
	return SCAN_ERROR;
}

/* White space here is not counted: it may come for as long as the stream is idle. */
static enum scan_event between(struct xml_scan *s, const char *w)
{
	const size_t from = s->at;

	while (s->at < s->checked && (class[(unsigned char)w[s->at]] & C_SPACE))
		s->at++;
	if (s->at > from)
		return SCAN_SPACE;
	if (w[s->at] != '<')
		return fail(s, XML_NOT_WELL_FORMED, "text between stanzas");
	return SCAN_MORE;
}

enum scan_event xml_scan(struct xml_scan *s, const char *window, size_t len, size_t limit)
{
	enum scan_event event = SCAN_MORE;

	if (s->state == DEAD)
		return SCAN_ERROR;
	if (s->bad == XML_OK)
		check_bytes(s, (const unsigned char *)window, len);
	while (event == SCAN_MORE && s->at < s->checked) {
		if (s->state == BETWEEN && (event = between(s, window)) != SCAN_MORE)
			return event;
		const size_t from = s->at, left = limit > s->used ? limit - s->used : 0;

		if (left == 0)
			return fail(s, XML_TOO_BIG, "stanza too big");
		event = step(s, window, s->checked - from < left ? s->checked : from + left);
		s->used += s->at - from;
	}
	if (event == SCAN_ELEMENT || event == SCAN_ROOT)
		s->used = 0;
	if (event == SCAN_MORE && s->bad != XML_OK)
		return refuse_bytes(s);
	return event;
}
