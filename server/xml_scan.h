/* xml_scan.h - what stands between the network and expat: finds where tags and first-level elements end,
 * checks UTF-8, counts bytes and refuses what RFC 6120 §11.1 restricts. Looks at each byte once, however
 * the input is split. Used by xml.c alone. Threads: as the parser it belongs to. */
#ifndef STERNA_XML_SCAN_H
#define STERNA_XML_SCAN_H

#include "server/xml.h"

enum scan_event {
	SCAN_MORE,     /* everything in the window has been looked at */
	SCAN_ROOT,     /* the root's start tag ends at xml_scan_safe() */
	SCAN_ELEMENT,  /* a first-level element ends there */
	SCAN_CLOSE,    /* the root ends there; not to be called again before xml_scan_init() */
	SCAN_SPACE,    /* white space between first-level elements ends there; it is nothing for expat */
	SCAN_ERROR,    /* .error, .error_text; what stands before xml_scan_safe() is still good */
};

/* The window is the input not yet given to expat; offsets are from its start. */
struct xml_scan {
	size_t at;             /* looked at so far */
	size_t checked;        /* known to be valid UTF-8 without control characters, so far */
	size_t hold;           /* start of the unfinished token, if held */
	size_t used;           /* bytes since the last complete first-level element */
	size_t before;         /* bytes of the document that have left the window (wraps, only 0 and 1 matter) */
	unsigned depth;        /* open elements, the root's included */
	unsigned char state, matched;
	unsigned char need, low, high;   /* UTF-8: continuation bytes missing, bounds of the next one */
	bool held, declaration_allowed;
	unsigned char bad;     /* why window[checked] is refused: an enum xml_error */
	enum xml_error error;
	const char *error_text;
};

void xml_scan_init(struct xml_scan *s);
void xml_scan_init_inside(struct xml_scan *s); /**< as if a root had been opened */
/** Look on, until something happens.
 *  @param window,len  the same bytes as before, possibly more behind them
 *  @param limit       bytes allowed since the last complete first-level element */
enum scan_event xml_scan(struct xml_scan *s, const char *window, size_t len, size_t limit);
void xml_scan_consume(struct xml_scan *s, size_t n);    /**< n bytes, at most safe, left the window */
bool xml_scan_is_between(const struct xml_scan *s);     /**< inside the root, outside all else */

/** All before this offset is whole tags and text: expat may have it. */
static inline size_t xml_scan_safe(const struct xml_scan *s)
{
	return s->held ? s->hold : s->at;
}

#endif
