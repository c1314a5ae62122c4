/* http.h - HTTP requests on their way to modules' routes. The core finds the route and knows what a request and an
 * answer are; http_conn.h has the connections. Threads: a request belongs to the worker that its connection is on. */
#ifndef STERNA_HTTP_H
#define STERNA_HTTP_H

#include "server/buf.h"
#include "server/module.h"

struct config;
struct http_conn;
struct http_head;
struct registry;
struct worker;

struct sterna_http_request {
	const char *method, *path, *query;      /* path: decoded once, without NUL; query: as it came, or "" */
	const char *body;
	size_t body_len;
	const struct http_head *head;           /* NULL: there are no headers */
	struct http_conn *conn;                 /* NULL in tests */
	bool later;                             /* the answer comes later */
	bool no_web, no_monitoring;             /* where it came in does not serve that */
	/* the answer */
	unsigned status;                        /* 0: none yet */
	const char *type;                       /* content type; NULL: no body */
	struct buf content, headers;            /* headers: lines with their CRLF */
	bool cached;                            /* the answer has a Cache-Control of its own */
	char allow[128];                        /* the Allow header of a 405, else "" */
};

/** Answer a request by the route that its path and method name (HEAD as GET): 404 without such a path, 405 with
 *  Allow without such a method, 500 if the handler gave no answer. Always answers. */
void sterna_http_dispatch(struct worker *w, struct sterna_http_request *r);
/** Does a route take this request without its body (STERNA_HTTP_STREAM)? */
bool sterna_http_streams(struct worker *w, const struct sterna_http_request *r);
/** "https://example.org:5281", without a path: where a domain's clients find the listeners. New, or NULL. */
char *http_base_url(const struct config *c, const char *host);
/** Is there a route for exactly that row's path? Where the registry does not change: its worker, or the main thread. */
bool http_serves(const struct registry *g, const char *path);
void sterna_http_clear(struct sterna_http_request *r);  /**< frees the answer */

#endif
