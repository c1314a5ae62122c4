/* openapi.h - the REST API (rest.h) described as OpenAPI 3.1, from the registry of commands: the core's and those of the
 * modules that are loaded. Threads: the main one. */
#ifndef STERNA_OPENAPI_H
#define STERNA_OPENAPI_H

#include <jansson.h>
#include "server/server.h"

json_t *openapi_make(const struct server *s);  /**< new */
/** "/v1/user/add": new. */
char *openapi_path(const struct sterna_command *c);

#endif
