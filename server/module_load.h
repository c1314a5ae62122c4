/* module_load.h - between registry.c and module_load.c. */
#ifndef STERNA_MODULE_LOAD_H
#define STERNA_MODULE_LOAD_H

#include "server/registry.h"

/** New; NULL if hooks wait for each other (logged). */
struct registry *registry_build(struct module_slot *const *modules, size_t count);
/** One module's rows of an event. */
void module_event_one(struct worker *w, const struct module_slot *m, enum sterna_event event, struct account *a,
	struct sterna_session *s);

#endif
