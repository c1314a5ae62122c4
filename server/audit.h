/* audit.h - events for the modules that listen (module.h: sterna_audit()), from where there is no handler's call. */
#ifndef STERNA_AUDIT_H
#define STERNA_AUDIT_H

#include "server/server.h"

/** On a worker: in a batch of its own. host: of ours. subject NULL: the host. */
void audit_note(struct worker *w, struct host *host, const char *type, const char *subject, const struct sterna_datum *data);
/** From any thread while the workers run: told to the worker that owns the subject. Copies. */
void audit_post(struct server *s, const char *host, const char *type, const char *subject, const struct sterna_datum *data);
/** Does anyone listen? As the main thread knows it. */
bool audit_is_on(const struct server *s);

#endif
