/* http_head.h - the head of an HTTP/1.1 request (RFC 9112), and bodies in chunks.
 *
 * Whoever stands before us (a proxy) must read a request as we do: what can be read in two ways is refused, and the
 * connection ends with it. Threads: values. */
#ifndef STERNA_HTTP_HEAD_H
#define STERNA_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

enum { HTTP_HEADERS_MAX = 64 };

struct http_header {
	const char *name, *value;    /* the value without white space around it */
};

struct http_head {
	const char *method;
	const char *path;            /* decoded once; "*" for OPTIONS * */
	const char *query;           /* as it came, without '?'; "" */
	const char *host;            /* the Host header, or the target's authority; "" in HTTP/1.0 without one */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	uint64_t content_length;
	bool has_length, chunked, keep_alive, expects_continue, is_1_0;
	unsigned status;             /* STERNA_EINVAL: what to answer, 400, 417, 431, 501 or 505 */
	size_t size;                 /* bytes of the head, its empty line included */
};

/** Find and read a head.
 *  @param bytes,len  what has come; it is changed when the head is complete, and *out points into it
 *  @param max        of the head's bytes
 *  @param[in,out] seen  how much of it was looked at before, 0 at first: one byte at a time costs no more
 *  @return STERNA_EAGAIN more is needed; STERNA_EINVAL out->status is the answer, then the connection ends */
enum sterna_result http_head_parse(char *bytes, size_t len, size_t max, size_t *seen, struct http_head *out)
	STERNA_CHECKED;
/** A header's value, NULL without one. Names are compared without case; the first of several. */
const char *http_head_get(const struct http_head *h, const char *name);
/** Does a list header ("a, b") have this word, without case? NULL has none. */
bool http_list_has(const char *list, const char *word);

/** A body in chunks (RFC 9112 §7.1), fed as it comes. */
struct http_chunks {
	uint64_t left;               /* of the present chunk */
	unsigned state, line;        /* line: bytes of the present one */
	unsigned trailer;            /* bytes of the trailer section */
};
/** Take some of the bytes.
 *  @param[out] used  how many were taken
 *  @param[out] data,data_len  content among them, perhaps none
 *  @return STERNA_EAGAIN call again with the rest, or with more; STERNA_OK the body is over; STERNA_EINVAL no chunks */
enum sterna_result http_chunks_feed(struct http_chunks *c, const char *bytes, size_t len, size_t *used,
	const char **data, size_t *data_len) STERNA_CHECKED;

#endif
