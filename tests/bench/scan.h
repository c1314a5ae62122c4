/* scan.h - where one stanza of a stream ends: the cheapest framing that holds for well-formed XML.
 * Not a parser: the servers under load are trusted to send well-formed XML. Threads: one at a time. */
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct scan {
	size_t pos, tag; /* read so far; where the present tag began */
	unsigned depth;  /* of open elements below <stream:stream> */
	bool in_tag;
	char quote; /* the quote that an attribute value is in, or 0 */
};

enum scan_found { SCAN_MORE, SCAN_STREAM, SCAN_STANZA, SCAN_END };

/** Look on in data[0..len), which begins where the last find ended and is only added to meanwhile.
 *  @param[out] end  bytes of the find, for the caller to consume; untouched on SCAN_MORE
 *  @return SCAN_STREAM  the stream's open tag (with its prolog); SCAN_STANZA  one child of the stream;
 *          SCAN_END  the stream's close tag */
enum scan_found scan_next(struct scan *s, const char *data, size_t len, size_t *end);

#endif
