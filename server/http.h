/* http.h - HTTP requests on their way to modules' routes. The core finds the route and knows what a request and an
 * answer are; the module "http" has the sockets. Threads: a request belongs to the thread that it came on, which
 * is none of the workers. */
#ifndef STERNA_HTTP_H
#define STERNA_HTTP_H

#include "server/buf.h"
#include "server/module.h"

struct sterna_http_request {
	const char *method, *path, *query;      /* path: decoded once, without NUL; query: as it came, or "" */
	const char *body;
	size_t body_len;
	const char *(*header)(const struct sterna_http_request *r, const char *name);
	void *transport;                        /* of who made the request */
	/* the answer */
	unsigned status;                        /* 0: none yet */
	const char *type;                       /* content type; NULL: no body */
	struct buf content;
	char allow[128];                        /* the Allow header of a 405, else "" */
};

/** Answer a request by the route that its path and method name (HEAD as GET): 404 without such a path, 405 with
 *  Allow without such a method, 503 while the server ends, 500 if the handler gave no answer. Always answers. */
STERNA_API void sterna_http_dispatch(struct sterna_mod *m, struct sterna_http_request *r);
STERNA_API void sterna_http_clear(struct sterna_http_request *r);       /**< frees the answer */

struct sterna_http_listener {
	const char *address;                    /* borrowed, as long as the server lives */
	uint16_t port;
	unsigned backlog;
	bool tls;                               /* asks for TLS */
};
/** The configuration's listeners of kind http: index from 0; false past the end. */
STERNA_API bool sterna_http_listener(struct sterna_mod *m, size_t index, struct sterna_http_listener *out);

#endif
