/* console.h - the administrators' page (contrib/console) on listeners that serve it (listen[].serves: console), and on the
 * same port the WebSocket by which it logs in like any client. Nothing else is there, and no other page may connect.
 * Threads: the connection's worker. */
#ifndef STERNA_CONSOLE_H
#define STERNA_CONSOLE_H

#include "server/http.h"

struct http_conn;
#define CONSOLE_WEBSOCKET "/xmpp-websocket"
/** A request on such a listener that is not for the WebSocket. */
void console_request(struct http_conn *c);
/** Is the Origin that of the page itself? Whoever sends none is no browser. */
bool console_origin_ok(const struct http_conn *c);

#endif
