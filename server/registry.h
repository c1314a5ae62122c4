/* registry.h - all loaded modules' tables, sorted for use. A registry never changes: loading a module makes
 * a new one, each worker takes it up by a mail, and the old one ends when no call uses it any more.
 * Threads: read-only, the count is atomic. */
#ifndef STERNA_REGISTRY_H
#define STERNA_REGISTRY_H

#include <stdatomic.h>
#include "server/module.h"
#include "server/server.h"

/** Options that were applied, in an arena of their own. A reload makes new ones. */
struct module_options {
	atomic_uint refs;
	struct arena *arena;             /* this struct lies in it */
	_Alignas(8) char value[];        /* the module's config_size */
};

/** A module in a server. Lives from load to unload. */
struct module_slot {
	const struct sterna_module *m;
	struct sterna_mod *mod;
	void *handle;                    /* dlopen's; NULL: linked in */
	_Atomic(void *) config;          /* the value of 'options' */
	struct module_options *first, *options; /* as of load(), which may keep pointers into them; and as of now */
	pthread_mutex_t options_lock;    /* of 'options', for those who hold them */
	unsigned index;                  /* in slots of workers, accounts, sessions */
	struct metric_set *metrics;      /* NULL: has none */
	bool loaded;                     /* load() has succeeded */
	atomic_uint named;               /* registries that hold it: calls under way may have an old one */
	atomic_uint doors;               /* its calls that wait for the main thread, and hold no registry */
};

/** Of a module that rests (sterna_rest()), in masks by slot index; 0: it is one of so many that it never does. */
static inline uint64_t rest_bit(const struct module_slot *m)
{
	return m->index < 64 ? UINT64_C(1) << m->index : 0;
}

struct sterna_mod {
	struct server *server;
	struct module_slot *slot;
	void *data;
	struct {
		const char *name;
		unsigned version;
		const void *functions;
	} provides[4];
	unsigned provide_count;
};

struct hook_row {
	const struct module_slot *slot;
	sterna_fn *fn;
	unsigned kinds, flags;
	uint64_t rest_bit;               /* of its module, if it can rest; else 0 */
};
/** Whether a stop is worth a call: some hook always has to be asked; or one of those that may rest. */
struct hook_need {
	bool always;
	uint64_t unless_at_rest;         /* modules, by slot index */
};

struct iq_row {
	const struct module_slot *slot;
	const struct sterna_iq *iq;
};
struct element_row {
	const struct module_slot *slot;
	const struct sterna_element *element;
};
struct life_row {
	const struct module_slot *slot;
	const struct sterna_lifecycle *life;
};

struct registry {
	atomic_uint refs;
	struct module_slot **modules;    /* in the order loaded */
	size_t module_count;
	unsigned slot_count;
	struct hook_row *hooks[STERNA_POINTS];
	size_t hook_count[STERNA_POINTS];
	unsigned hook_kinds[STERNA_POINTS]; /* which kinds any hook of the stop wants */
	struct hook_need many[STERNA_IQ + 1], to_session[STERNA_IQ + 1]; /* by kind; many: of IN_* for what goes to many */
	struct iq_row *iqs;              /* by namespace */
	size_t iq_count;
	struct element_row *elements;
	size_t element_count;
	const struct module_slot **auditors;
	size_t auditor_count;
	struct life_row *lives;
	size_t life_count;
};

/** Is any hook to be asked, where these modules rest? */
static inline bool hook_needed(const struct hook_need *n, uint64_t rests)
{
	return n->always || (n->unless_at_rest & ~rests) != 0;
}

struct registry *registry_ref(struct registry *r);
void registry_unref(struct registry **r);
/** The handler for an IQ of that type, scope bit and payload, or NULL. */
const struct iq_row *registry_iq(const struct registry *r, unsigned type, unsigned scope, const char *ns,
	const char *name, const struct module_slot *service);
const struct element_row *registry_element(const struct registry *r, const char *ns, const char *name);
/** Does any module know this payload, at any type or scope? Tells "not here" from "never heard of". */
bool registry_knows(const struct registry *r, const char *ns);

/** Load a module by its descriptor (handle NULL) or by name from the modules' folder.
 *  @return STERNA_ENOTFOUND no such file; STERNA_EINVAL wrong ABI, bad table, cycle of .after, or bad
 *          options; all logged */
enum sterna_result module_load(struct server *s, const char *name) STERNA_CHECKED;
/** Is all loaded that this module needs? True also if it cannot be read: loading it then says why. */
bool module_is_ready(const struct server *s, const char *name);
enum sterna_result module_load_static(struct server *s, const struct sterna_module *m) STERNA_CHECKED;
/** On the main thread. @return STERNA_EUNAVAILABLE still in use at the deadline: nothing was changed */
enum sterna_result module_unload(struct server *s, const char *name, unsigned deadline_ms) STERNA_CHECKED;
/** Its options anew, from the server's configuration. */
enum sterna_result module_reconfigure(struct server *s, struct module_slot *slot) STERNA_CHECKED;
/** The options as of now, held: the value's address. Any thread. */
const void *module_options_hold(struct module_slot *slot);
void module_options_let(const void *value);
/** A module's tables, without loading it into a server; dlclose(*handle) when done with them.
 *  @param[out] why what is wrong and what may have been meant, added to it unless the result is STERNA_OK
 *  @return STERNA_ENOTFOUND no such file; STERNA_EINVAL no module, or one of another ABI */
enum sterna_result module_read(const struct config *c, const char *name, const struct sterna_module **out,
	void **handle, struct buf *why) STERNA_CHECKED;
/** The modules that lie in the folders, loaded or not; in no order. */
void module_names(const struct config *c, void (*fn)(void *arg, const char *name), void *arg);
struct module_slot *module_find(const struct server *s, const char *name);
void modules_free(struct server *s);
/** On its worker: take up a registry. */
void worker_take_registry(struct worker *w, struct registry *r);
/** Run the lifecycle rows of an event. */
void modules_event(struct worker *w, enum sterna_event event, struct account *a, struct sterna_session *s,
	struct sterna_call *within);

#endif
