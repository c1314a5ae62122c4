/* rest.h - the door of programs: administrators' commands as a REST API, on listeners that serve it (listen[].serves: api).
 *
 * /v1/ and the words of a command with '/' between them; GET with the fields as the query for commands that change nothing,
 * POST with an object of JSON for all others. The asker shows a token (api_token.h) as a bearer (RFC 6750); the header
 * Sterna-Host names the host asked at. {"result": …, "page": …} is the answer, or a problem (RFC 9457) with the field at
 * fault. openapi.h describes it. Threads: the connection's worker. */
#ifndef STERNA_REST_H
#define STERNA_REST_H

#include "server/http.h"

struct http_conn;
/** A request on such a listener, whole. */
void rest_request(struct http_conn *c);
/** A refusal of the listener itself, as a problem. */
void rest_say(struct sterna_http_request *r, unsigned status, const char *text);

#endif
