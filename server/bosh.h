/* bosh.h - streams of clients over HTTP requests (XEP-0124, XEP-0206): the same streams as over TCP.
 *
 * A session of BOSH has a home: the worker on which it was made, whose number begins the session's id. Requests come there
 * (their connections are moved, if they were accepted elsewhere) and are held there. The stream moves to its account's
 * worker like any other; between it and the home is a pipe (bosh_pipe.h).
 * Threads: the connection's worker. */
#ifndef STERNA_BOSH_H
#define STERNA_BOSH_H

#include "server/http_conn.h"

/** Is that http.bosh? */
bool bosh_is_path(const struct server *s, const char *path);
/** A whole request for that path: it is answered, perhaps later. */
void bosh_request(struct http_conn *c);
/** For the worker's end: its sessions, without a word. */
void bosh_free_all(struct worker *w);

#endif
