/* dial_socks.h - the client's side of SOCKS5 (RFC 1928, RFC 1929), as bytes in and bytes out: how a route leads through a proxy.
 * Threads: one at a time. */
#ifndef STERNA_DIAL_SOCKS_H
#define STERNA_DIAL_SOCKS_H

#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"

/** Where to, and who asks. */
struct dial_proxy {
	char *host;                  /* an address, or a name that the proxy looks up */
	uint16_t port;
	char *user, *password;       /* NULL: without; at most 255 bytes (the configuration checks it) */
};
void dial_proxy_clear(struct dial_proxy *p);

enum dial_socks_state { DIAL_SOCKS_WAITS, DIAL_SOCKS_DONE, DIAL_SOCKS_FAILED };

struct dial_socks {
	const struct dial_proxy *proxy;
	unsigned stage;
	unsigned char in[262];
	size_t have, need;           /* need: bytes that may be read now, no more: what comes behind belongs to the peer */
};

/** The connection to the proxy stands: out gets what is said first. */
void dial_socks_begin(struct dial_socks *s, const struct dial_proxy *p, struct buf *out);
/** n bytes came, at most what is missing to s->need; out gets what is to be said. why: static, when it failed */
enum dial_socks_state dial_socks_take(struct dial_socks *s, const unsigned char *bytes, size_t n, struct buf *out,
	const char **why);

#endif
