/* socks.h - the little of SOCKS version 5 (RFC 1928) that a proxy for bytestreams (XEP-0065) needs: a greeting without
 * authentication, a request to connect to a name. Pure; no state. */
#ifndef STERNA_SOCKS_H
#define STERNA_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include "server/buf.h"
#include "server/result.h"

enum {
	SOCKS_GREETING_MAX = 2 + 255,
	SOCKS_REQUEST_MAX = 4 + 1 + 255 + 2,
	SOCKS_HASH_LEN = 40,                 /* SHA-1 in hexadecimal */
};

/** RFC 1928 §6. */
enum socks_reply { SOCKS_DONE = 0, SOCKS_FAILED = 1, SOCKS_NOT_ALLOWED = 2, SOCKS_NO_SUCH_COMMAND = 7,
	SOCKS_NO_SUCH_ADDRESS = 8 };

struct socks_request {
	char hash[SOCKS_HASH_LEN + 1];       /* in lower case */
	unsigned char port[2];               /* as it came: the answer repeats it (XEP-0065 §5.3.3) */
};

/** What a client begins with (§3): the methods of authentication that it knows.
 *  @param[out] used  on any result but STERNA_EAGAIN: how many bytes it took
 *  @return STERNA_EAGAIN   a good beginning: call again with more
 *          STERNA_EINVAL   no SOCKS 5: close the connection without a word
 *          STERNA_EDENIED  "none" is not among its methods: say so, and close */
enum sterna_result socks_greeting(const unsigned char *bytes, size_t len, size_t *used) STERNA_CHECKED;
/** What it asks for then (§4).
 *  @param[out] out,used  on STERNA_OK: the request, and how many bytes it took
 *  @param[out] reply     on STERNA_EDENIED: what to say before closing
 *  @return as above; STERNA_EDENIED another command, or an address that is no hash */
enum sterna_result socks_request(const unsigned char *bytes, size_t len, struct socks_request *out, size_t *used,
	enum socks_reply *reply) STERNA_CHECKED;

void socks_write_method(struct buf *out, bool ok);  /**< §3: none, or "none of yours is acceptable" */
/** §6. r: what was asked for, or NULL: nothing that could be repeated. */
void socks_write_reply(struct buf *out, enum socks_reply reply, const struct socks_request *r);

#endif
