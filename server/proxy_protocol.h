/* proxy_protocol.h - the header by which a load balancer says whose connection it passes on
 * (HAProxy's PROXY protocol, versions 1 and 2). Pure; no state. */
#ifndef STERNA_PROXY_PROTOCOL_H
#define STERNA_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include "server/result.h"

enum {
	PROXY_V1_MAX = 107,          /* "PROXY … CRLF", §2.1 */
	PROXY_MAX = 2048,            /* version 2 with its TLVs; more is refused */
};

struct proxy_header {
	bool known;                  /* false: LOCAL, UNKNOWN or no IP: keep the socket's own addresses */
	struct sockaddr_storage src, dst;
};

/** @param bytes,len  all that has come from the connection's beginning
 *  @param[out] out,used  on STERNA_OK: the header, and how many bytes it took
 *  @return STERNA_EAGAIN  a good beginning: call again with more
 *          STERNA_EINVAL  no header; STERNA_ELIMIT over PROXY_MAX: close the connection without a word */
enum sterna_result proxy_parse(const char *bytes, size_t len, struct proxy_header *out, size_t *used)
	STERNA_CHECKED;

#endif
