/* http_forwarded.h - whom a trusted proxy (http.proxies) says it forwards: Forwarded (RFC 7239), X-Forwarded-For and
 * X-Forwarded-Proto. Threads: as the connection's. */
#ifndef STERNA_HTTP_FORWARDED_H
#define STERNA_HTTP_FORWARDED_H

#include "server/cidr.h"

struct http_conn;
/** Fill client, client_secure and proxied for the request whose head has come. */
void http_forwarded(struct http_conn *c);
/** The last address of a list that is no trusted proxy's: "for" fields of Forwarded, or X-Forwarded-For.
 *  @return STERNA_ENOTFOUND there is none, or it is no address ("unknown", "_hidden") */
enum sterna_result http_forwarded_for(const char *list, const struct cidr_set *proxies, struct ip *out) STERNA_CHECKED;
/** Its last element's proto is "https"? *found: it has one. */
bool http_forwarded_https(const char *list, bool *found);

#endif
