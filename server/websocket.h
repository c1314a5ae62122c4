/* websocket.h - streams of clients over WebSocket (RFC 7395): the same streams as over TCP, framed otherwise.
 * Threads: as the connection's, then as the stream's. */
#ifndef STERNA_WEBSOCKET_H
#define STERNA_WEBSOCKET_H

#include "server/http_conn.h"

/** Is that http.websocket? */
bool websocket_is_path(const struct server *s, const char *path);
/** A request for that path, without its body: refuse it, or make a stream of the connection. */
void websocket_request(struct http_conn *c);

#endif
