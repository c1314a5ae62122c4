/* module_load.c - modules come and go: descriptors, options, slots, registries taken up by the workers. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/account.h"
#include "server/audit.h"
#include "server/module_load.h"
#include "server/registry.h"
#include "server/retire.h"
#include "server/session.h"

struct module_slot *module_find(const struct server *s, const char *name)
{
	const struct registry *r = s->registry;

	for (size_t i = 0; r != NULL && i < r->module_count; i++)
		if (strcmp(r->modules[i]->m->name, name) == 0)
			return r->modules[i];
	return NULL;
}

static unsigned free_index(const struct server *s)
{
	for (unsigned index = 0;; index++) {
		bool used = false;

		for (size_t i = 0; s->registry != NULL && i < s->registry->module_count; i++)
			used |= s->registry->modules[i]->index == index;
		if (!used)
			return index;
	}
}

/* --- options --- */

static void options_unref(struct module_options *o)
{
	if (o == NULL || atomic_fetch_sub(&o->refs, 1) > 1)
		return;
	struct arena *a = o->arena;

	arena_free(&a);
}

static void end_options(void *thing)
{
	options_unref(thing);
}

const void *module_options_hold(struct module_slot *slot)
{
	pthread_mutex_lock(&slot->options_lock);
	struct module_options *o = slot->options;

	atomic_fetch_add(&o->refs, 1);
	pthread_mutex_unlock(&slot->options_lock);
	return o->value;
}

void module_options_let(const void *value)
{
	if (value != NULL)
		options_unref((struct module_options *)(uintptr_t)((const char *)value - offsetof(struct module_options, value)));
}

static void slot_free(struct module_slot *slot, struct server *s)
{
	if (slot->mod != NULL && slot->loaded && slot->m->unload != NULL)
		slot->m->unload(slot->mod);
	if (slot->metrics != NULL)
		metrics_remove(s->metrics, &slot->metrics);
	free(slot->mod);
	options_unref(slot->first);
	options_unref(slot->options);
	pthread_mutex_destroy(&slot->options_lock);
	if (slot->handle != NULL)
		dlclose(slot->handle);
	free(slot);
}

static bool descriptor_ok(const struct server *s, const struct sterna_module *m)
{
	if (m->abi != STERNA_ABI) {
		log_error("module", "made for another version of the server; rebuild it", "module", m->name);
		return false;
	}
	for (const char *const *need = m->needs; need != NULL && *need != NULL; need++)
		if (module_find(s, *need) == NULL) {
			log_error("module", "needs a module that is not loaded", "module", m->name, "needs", *need);
			return false;
		}
	return true;
}

enum sterna_result module_reconfigure(struct server *s, struct module_slot *slot)
{
	struct config_error err = { 0 };
	struct arena *a = arena_new(sizeof(struct module_options) + slot->m->config_size + 256);
	struct module_options *fresh = arena_zalloc(a, sizeof *fresh + slot->m->config_size), *old;
	char text[512];

	if (slot->m->options != NULL && options_apply(slot->m->options,
		config_section(s->config, "modules", slot->m->name), a, fresh->value, &err) != STERNA_OK) {
		log_error("module", "its options are wrong", "module", slot->m->name, "error",
			config_error_text(&err, text, sizeof text));
		arena_free(&a);
		return STERNA_EINVAL;
	}
	fresh->arena = a;
	atomic_init(&fresh->refs, 1);
	if (slot->first == NULL) {
		slot->first = fresh;
		atomic_fetch_add(&fresh->refs, 1);
	}
	pthread_mutex_lock(&slot->options_lock);
	old = slot->options;
	slot->options = fresh;
	pthread_mutex_unlock(&slot->options_lock);
	atomic_store(&slot->config, fresh->value);
	if (old != NULL)
		server_retire(s, end_options, old);
	return STERNA_OK;
}

/* Runs on each worker (before they run: at once). */
void worker_take_registry(struct worker *w, struct registry *r)
{
	const unsigned had = w->slot_count;

	if (r->slot_count > had) {
		w->slots = xrealloc(w->slots, r->slot_count * sizeof(void *));
		for (unsigned i = had; i < r->slot_count; i++)
			w->slots[i] = NULL;
		w->slot_count = r->slot_count;
	}
	struct registry *old = w->registry;

	w->registry = registry_ref(r);
	registry_unref(&old);
}

struct take {
	struct registry *registry;
	const struct module_slot *gone, *come;
	atomic_uint *left;
};

/* The module's account and session slots end on this worker: its own events free what they hold. */
static void drop_slots(struct worker *w, const struct module_slot *m)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		struct account *a = e->value;

		for (struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
			module_event_one(w, m, STERNA_SESSION_GONE, a, s);
			if (m->index < s->slot_count) {
				free(s->slots[m->index]);
				s->slots[m->index] = NULL;
			}
			s->rests &= ~rest_bit(m);
		}
		/* Also of one that was deleted, or is being loaded: the next module of this index must find none. */
		if (a->state == ACCOUNT_READY || a->deleted)
			module_event_one(w, m, STERNA_ACCOUNT_UNLOADED, a, NULL);
		if (m->index < a->slot_count) {
			free(a->slots[m->index]);
			a->slots[m->index] = NULL;
		}
		a->rests &= ~rest_bit(m);
	}
	module_event_one(w, m, STERNA_WORKER_ENDED, NULL, NULL);
	if (m->index < w->slot_count) {
		free(w->slots[m->index]);
		w->slots[m->index] = NULL;
	}
	w->rests &= ~rest_bit(m);
}

static void meet_accounts(struct worker *w, const struct module_slot *m)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;)
		account_meet_module(e->value, m);
}

static void take(struct worker *w, void *arg)
{
	struct take *t = arg;

	if (t->gone != NULL)
		drop_slots(w, t->gone);
	worker_take_registry(w, t->registry);
	if (t->come != NULL && w->db != NULL)
		meet_accounts(w, t->come);
	registry_unref(&t->registry);
	atomic_fetch_sub(t->left, 1);
	free(t);
}

/* Every worker takes up r; those that run, by mail. */
static void publish(struct server *s, struct registry *r, const struct module_slot *gone,
	const struct module_slot *come, atomic_uint *left)
{
	struct registry *old;

	pthread_mutex_lock(&s->visit_lock);
	old = s->registry;
	s->registry = r;
	pthread_mutex_unlock(&s->visit_lock);
	registry_unref(&old);
	atomic_store(left, s->worker_count);
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct take *t = xalloc(sizeof *t);

		t->registry = registry_ref(r);
		t->gone = gone;
		t->come = come;
		t->left = left;
		if (s->running)
			worker_post(s->workers[i], take, t);
		else
			take(s->workers[i], t);
	}
}

static void wait_ms(unsigned ms)
{
	const struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

static enum sterna_result add(struct server *s, const struct sterna_module *m, void *handle)
{
	struct module_slot *slot = xalloc(sizeof *slot);
	const size_t count = s->registry != NULL ? s->registry->module_count : 0;
	struct module_slot **all = xalloc((count + 1) * sizeof(struct module_slot *));
	struct registry *r = NULL;
	atomic_uint left;
	enum sterna_result rc = STERNA_EINVAL;

	slot->m = m;
	slot->handle = handle;
	slot->index = free_index(s);
	pthread_mutex_init(&slot->options_lock, NULL);
	slot->mod = xalloc(sizeof *slot->mod);
	slot->mod->server = s;
	slot->mod->slot = slot;
	if (count > 0)
		memcpy(all, s->registry->modules, count * sizeof(struct module_slot *));
	all[count] = slot;
	if (!descriptor_ok(s, m) || module_reconfigure(s, slot) != STERNA_OK)
		goto out;
	if (m->metrics != NULL && metrics_add(s->metrics, m->metrics, &slot->metrics) != STERNA_OK)
		goto out;
	if (m->load != NULL && (rc = m->load(slot->mod)) != STERNA_OK) {
		log_error("module", "could not start", "module", m->name, "result", sterna_result_text(rc));
		goto out;
	}
	slot->loaded = true;
	rc = STERNA_EINVAL;
	r = registry_build(all, count + 1);
	if (r == NULL)
		goto out;
	publish(s, r, NULL, slot, &left);
	while (atomic_load(&left) > 0)
		wait_ms(1);
	slot = NULL;
	rc = STERNA_OK;
	log_info("module", "loaded", "module", m->name, "spec", m->spec);
	audit_post(s, NULL, "sterna.module.loaded.v1", NULL, (const struct sterna_datum[]){ STERNA_DATUM("module", m->name),
		{ 0 } });
out:
	free(all);
	if (slot != NULL)
		slot_free(slot, s);
	return rc;
}

enum sterna_result module_load_static(struct server *s, const struct sterna_module *m)
{
	if (module_find(s, m->name) != NULL)
		return STERNA_EEXISTS;
	return add(s, m, NULL);
}

/* NAME.so, or xepNNNN_NAME.so. */
static char *find_file(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	char *found = NULL;

	for (struct dirent *e; d != NULL && found == NULL && (e = readdir(d)) != NULL;) {
		const char *dot = strrchr(e->d_name, '.'), *base = e->d_name;

		if (dot == NULL || strcmp(dot, ".so") != 0)
			continue;
		if (strncmp(base, "xep", 3) == 0 && strspn(base + 3, "0123456789") == 4 && base[7] == '_')
			base += 8;
		if ((size_t)(dot - base) == strlen(name) && strncmp(base, name, strlen(name)) == 0)
			found = xasprintf("%s/%s", dir, e->d_name);
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static bool name_ok(const char *name)
{
	return *name != '\0' && strlen(name) < 64 && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* Folders with ':' between them, as a build tree has modules/ and xep/. */
static char *search(const char *dirs, const char *name)
{
	while (*dirs != '\0') {
		const size_t n = strcspn(dirs, ":");
		char *dir = xstrndup(dirs, n), *file = find_file(dir, name);

		free(dir);
		if (file != NULL)
			return file;
		dirs += n + (dirs[n] == ':');
	}
	return NULL;
}

static const char *module_dirs(const struct config *c)
{
	const char *dirs = getenv("STERNA_MODULE_DIR");

	return dirs != NULL ? dirs : c->server.module_dir != NULL ? c->server.module_dir : STERNA_MODULE_DIR;
}

struct names {
	char *name[256];
	size_t count;
};

static void collect(void *arg, const char *name)
{
	struct names *n = arg;

	if (n->count < sizeof n->name / sizeof *n->name)
		n->name[n->count++] = xstrdup(name);
}

static void say_missing(const struct config *c, const char *name, struct buf *why)
{
	struct names all = { .count = 0 };

	module_names(c, collect, &all);
	const char *near = option_nearest(name, (const char *const *)all.name, all.count);

	buf_addf(why, "there is no module '%.60s' in %s", name, module_dirs(c));
	if (near != NULL)
		buf_addf(why, "; did you mean '%s'?", near);
	while (all.count > 0)
		free(all.name[--all.count]);
}

/* The handle keeps the descriptor valid. */
static enum sterna_result open_module(const char *file, const char *name, const struct sterna_module **out,
	void **handle, struct buf *why)
{
	char *symbol = xasprintf("sterna_module_%s", name);
	const struct sterna_module *m = NULL;

	*handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (*handle != NULL)
		m = dlsym(*handle, symbol);
	free(symbol);
	/* the ABI first: in another one the name may lie elsewhere */
	if (m != NULL && m->abi != STERNA_ABI) {
		buf_addf(why, "module '%s' was made for another version of the server; rebuild it (%s)", name, file);
	} else if (m == NULL || m->name == NULL || strcmp(m->name, name) != 0) {
		const char *error = m == NULL ? dlerror() : "its name is another";

		buf_addf(why, "%s cannot be used as a module: %s", file, error != NULL ? error : "it has no descriptor");
	} else {
		*out = m;
		return STERNA_OK;
	}
	if (*handle != NULL)
		dlclose(*handle);
	*handle = NULL;
	return STERNA_EINVAL;
}

enum sterna_result module_read(const struct config *c, const char *name, const struct sterna_module **out,
	void **handle, struct buf *why)
{
	char *file = name_ok(name) ? search(module_dirs(c), name) : NULL;
	enum sterna_result rc = STERNA_ENOTFOUND;

	if (file != NULL)
		rc = open_module(file, name, out, handle, why);
	else
		say_missing(c, name, why);
	free(file);
	return rc;
}

void module_names(const struct config *c, void (*fn)(void *arg, const char *name), void *arg)
{
	const char *dirs = module_dirs(c);

	while (*dirs != '\0') {
		const size_t n = strcspn(dirs, ":");
		char *dir = xstrndup(dirs, n);
		DIR *d = opendir(dir);

		for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
			const char *base = e->d_name, *dot = strrchr(base, '.');

			if (dot == NULL || strcmp(dot, ".so") != 0)
				continue;
			if (strncmp(base, "xep", 3) == 0 && strspn(base + 3, "0123456789") == 4 && base[7] == '_')
				base += 8;
			char *name = xstrndup(base, (size_t)(dot - base));

			if (name_ok(name))
				fn(arg, name);
			free(name);
		}
		if (d != NULL)
			closedir(d);
		free(dir);
		dirs += n + (dirs[n] == ':');
	}
}

bool module_is_ready(const struct server *s, const char *name)
{
	const struct sterna_module *m;
	struct buf why = BUF_INIT;
	void *handle;
	bool ready = true;

	if (module_read(s->config, name, &m, &handle, &why) == STERNA_OK) {
		for (const char *const *need = m->needs; need != NULL && *need != NULL; need++)
			ready &= module_find(s, *need) != NULL;
		dlclose(handle);
	}
	buf_release(&why);
	return ready;
}

enum sterna_result module_load(struct server *s, const char *name)
{
	const struct sterna_module *m;
	struct buf why = BUF_INIT;
	void *handle;

	if (module_find(s, name) != NULL)
		return STERNA_EEXISTS;
	enum sterna_result rc = module_read(s->config, name, &m, &handle, &why);

	if (rc == STERNA_OK)
		rc = add(s, m, handle);
	else
		log_error("module", "cannot be loaded", "module", name, "error", buf_str(&why));
	buf_release(&why);
	return rc;
}

/* Calls under way, and those that wait for a read, hold the tables of before; or those of before other changes. */
static bool is_in_use(const struct module_slot *slot, struct registry *old, atomic_uint *left)
{
	return atomic_load(left) > 0 || atomic_load(&old->refs) > 1 || atomic_load(&slot->named) > 1
		|| atomic_load(&slot->doors) > 0;
}

enum sterna_result module_unload(struct server *s, const char *name, unsigned deadline_ms)
{
	struct module_slot *slot = module_find(s, name), **rest;
	struct registry *r, *old = s->registry;
	atomic_uint left;
	size_t count = 0;

	if (slot == NULL)
		return STERNA_ENOTFOUND;
	for (size_t i = 0; i < old->module_count; i++)
		for (const char *const *need = old->modules[i]->m->needs; need != NULL && *need != NULL; need++)
			if (strcmp(*need, name) == 0) {
				log_error("module", "another module needs it", "module", name, "needed_by", old->modules[i]->m->name);
				return STERNA_EDENIED;
			}
	for (size_t i = 0; i < s->host_count; i++)
		if (s->host_list[i]->module == slot) {
			log_error("module", "it serves a domain, which stays while the server runs", "module", name, "host",
				jid_full(s->host_list[i]->jid));
			return STERNA_EDENIED;
		}
	rest = xalloc(old->module_count * sizeof(struct module_slot *));
	for (size_t i = 0; i < old->module_count; i++)
		if (old->modules[i] != slot)
			rest[count++] = old->modules[i];
	r = registry_build(rest, count);
	free(rest);
	if (r == NULL)
		return STERNA_EINVAL;
	registry_ref(old); /* ours, to see when nobody else has it */
	publish(s, r, slot, NULL, &left);
	while (is_in_use(slot, old, &left) && deadline_ms > 0) {
		wait_ms(5);
		deadline_ms = deadline_ms > 5 ? deadline_ms - 5 : 0;
	}
	if (is_in_use(slot, old, &left)) {
		struct registry *again = registry_build(old->modules, old->module_count);

		while (atomic_load(&left) > 0)
			wait_ms(5);
		publish(s, again, NULL, slot, &left);
		while (atomic_load(&left) > 0)
			wait_ms(5);
		registry_unref(&old);
		log_warning("module", "is still in use, and stays", "module", name);
		return STERNA_EUNAVAILABLE;
	}
	registry_unref(&old);
	/* the name may be the descriptor's, which goes */
	log_info("module", "unloaded", "module", name);
	audit_post(s, NULL, "sterna.module.unloaded.v1", NULL, (const struct sterna_datum[]){ STERNA_DATUM("module", name),
		{ 0 } });
	slot_free(slot, s);
	return STERNA_OK;
}

void modules_free(struct server *s)
{
	struct registry *r = s->registry;
	const size_t count = r != NULL ? r->module_count : 0;
	struct module_slot **all = xalloc((count + 1) * sizeof(struct module_slot *));

	for (size_t i = 0; i < count; i++)
		all[i] = r->modules[i];
	s->registry = NULL;
	registry_unref(&r);              /* before the slots that it names */
	/* the last loaded first: others may need it */
	for (size_t i = count; i-- > 0;)
		slot_free(all[i], s);
	free(all);
}
