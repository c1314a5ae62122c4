/* modules.c - what is loaded, and in which order. */
#include "server/modules.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "server/client_iq.h"
#include "server/invite_iq.h"
#include "server/register_iq.h"
#include "server/registry.h"
#include "server/roster_iq.h"

/* A newcomer's server: what today's clients expect. */
static const char *const usual[] = { "disco", "caps", "ping", "version", "time", "last", "contact", "vcard", "private",
	"blocking", "pep", "pubsub", "bookmarks", "mds", "retract", "carbons", "hints", "mam", "muc", "stanza_id", "csi",
	"offline", "external", "push", "commands", "announce", "access", "trace", NULL };

enum { UNLOAD_MS = 5000 };

/* With a listener of kind http, but for the API's and the console's. */
static const char *const with_http[] = { "metrics", "host_meta", "upload", "web", NULL };
static const char *const with_bytestreams[] = { "bytestreams", NULL };

static bool always(const struct config *c)
{
	(void)c;
	return true;
}

static bool listens_http(const struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++)
		if (config_listens(c)[i].kind == CONFIG_HTTP && config_listens(c)[i].serves != CONFIG_SERVES_API
			&& config_listens(c)[i].serves != CONFIG_SERVES_CONSOLE)
			return true;
	return false;
}

static bool listens_bytestreams(const struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++)
		if (config_listens(c)[i].kind == CONFIG_BYTESTREAMS)
			return true;
	return false;
}

/* Names, and when they are the usual ones. */
static const struct { const char *const *names; bool (*when)(const struct config *c); } sets[] = {
	{ usual, always }, { with_http, listens_http }, { with_bytestreams, listens_bytestreams },
};
enum { SETS = sizeof sets / sizeof *sets,
	NAMES = (sizeof usual + sizeof with_http + sizeof with_bytestreams) / sizeof *usual };

static bool is_among(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static bool is_usual(const struct config *c, const char *name)
{
	for (size_t i = 0; i < SETS; i++)
		if (is_among(sets[i].names, name) && sets[i].when(c))
			return true;
	return false;
}

static bool is_in_a_set(const char *name)
{
	for (size_t i = 0; i < SETS; i++)
		if (is_among(sets[i].names, name))
			return true;
	return false;
}

/* `time: off`, and `usual: off` for all that is not named. */
static bool is_off(const struct config *c, const char *name)
{
	const struct config_node *n = config_child(c->modules, name);
	bool on = true;

	return n != NULL && n->kind == CONFIG_SCALAR && option_parse_bool(n->text, &on) && !on;
}

/* Linked in; they stay. */
static bool is_static(const char *name)
{
	return strcmp(name, "roster") == 0 || strcmp(name, "register") == 0 || strcmp(name, "invite") == 0
		|| strcmp(name, "clients") == 0;
}

static bool is_wanted(const struct config *c, const char *name)
{
	if (is_static(name))
		return true;
	if (config_child(c->modules, name) != NULL)
		return !is_off(c, name);
	return is_usual(c, name) && !is_off(c, "usual");
}

/* The names of all that is wanted, each once; the array is the caller's, the names are borrowed. */
static const char **wanted_names(const struct config *c, size_t *count)
{
	const char **names = xalloc((NAMES + (c->modules != NULL ? c->modules->count : 0)) * sizeof *names);
	size_t n = 0;

	for (size_t i = 0; i < SETS; i++)
		for (const char *const *name = sets[i].names; *name != NULL; name++)
			if (is_wanted(c, *name))
				names[n++] = *name;
	for (const struct config_node *m = c->modules != NULL ? c->modules->first : NULL; m != NULL; m = m->next)
		if (strcmp(m->key, "usual") != 0 && !is_in_a_set(m->key) && !is_static(m->key) && is_wanted(c, m->key))
			names[n++] = m->key;
	*count = n;
	return names;
}

/* One round: all whose needs are there. */
static enum sterna_result load_ready(struct server *s, const char *const *names, size_t count, size_t *loaded,
	size_t *missing)
{
	*loaded = *missing = 0;
	for (size_t i = 0; i < count; i++) {
		if (module_find(s, names[i]) != NULL)
			continue;
		if (!module_is_ready(s, names[i])) {
			++*missing;
			continue;
		}
		const enum sterna_result rc = module_load(s, names[i]);

		if (rc != STERNA_OK)
			return rc;
		++*loaded;
	}
	return STERNA_OK;
}

enum sterna_result modules_load(struct server *s)
{
	size_t count, loaded, missing;
	const char **names = wanted_names(s->config, &count);
	enum sterna_result rc;

	do {
		rc = load_ready(s, names, count, &loaded, &missing);
	} while (rc == STERNA_OK && loaded > 0 && missing > 0);
	if (rc == STERNA_OK && missing > 0) {
		log_error("module", "modules need others that are off, or not there");
		rc = STERNA_EINVAL;
	}
	free(names);
	return rc;
}

static enum sterna_result check_one(const struct config *c, const struct sterna_module *m, struct config_error *err)
{
	struct arena *a = arena_new(m->config_size + 256);
	enum sterna_result rc = m->options == NULL ? STERNA_OK
		: options_apply(m->options, config_section(c, "modules", m->name), a, arena_zalloc(a, m->config_size), err);

	arena_free(&a);
	for (const char *const *need = m->needs; rc == STERNA_OK && need != NULL && *need != NULL; need++)
		if (!is_wanted(c, *need))
			rc = config_fail(err, config_child(c->modules, config_child(c->modules, m->name) != NULL ? m->name : *need),
				true, "module '%s' needs '%s', which is off or not named", m->name, *need);
	return rc;
}

/* One that is not loaded yet. */
static enum sterna_result check_new(const struct config *c, const char *name, struct config_error *err)
{
	const struct config_node *n = config_child(c->modules, name);
	const struct sterna_module *m;
	struct buf why = BUF_INIT;
	void *handle;
	enum sterna_result rc = module_read(c, name, &m, &handle, &why);

	if (rc == STERNA_OK) {
		rc = check_one(c, m, err);
		dlclose(handle);
	} else {
		rc = config_fail(err, n != NULL ? n : c->root, true, "%s", buf_str(&why));
	}
	buf_release(&why);
	return rc;
}

/* One that serves a domain cannot be taken out of a server that runs: said before anything is changed. */
static enum sterna_result check_domains(const struct server *s, const struct config *c, struct config_error *err)
{
	for (size_t i = 0; i < s->host_count; i++) {
		const struct module_slot *slot = s->host_list[i]->module;
		const char *name = slot != NULL ? slot->m->name : NULL;

		/* loaded by hand, and never wanted: no change of the configuration's */
		if (name == NULL || is_wanted(c, name) || !is_wanted(s->config, name))
			continue;
		const struct config_node *n = config_child(c->modules, config_child(c->modules, name) != NULL ? name : "usual");

		return config_fail(err, n != NULL ? n : c->root, n != NULL,
			"module '%s' serves the domain '%s', which stays while the server runs: without it a restart is needed", name,
			jid_full(s->host_list[i]->jid));
	}
	return STERNA_OK;
}

enum sterna_result modules_check(const struct server *s, const struct config *c, struct config_error *err)
{
	enum sterna_result rc = STERNA_OK;
	size_t count;
	const char **names = wanted_names(c, &count);

	for (size_t i = 0; rc == STERNA_OK && i < count; i++) {
		const struct module_slot *slot = s != NULL ? module_find(s, names[i]) : NULL;

		rc = slot != NULL ? check_one(c, slot->m, err) : check_new(c, names[i], err);
	}
	if (rc == STERNA_OK)
		rc = check_one(c, &sterna_module_roster, err);
	if (rc == STERNA_OK)
		rc = check_one(c, &sterna_module_register, err);
	if (rc == STERNA_OK && s != NULL)
		rc = check_domains(s, c, err);
	if (rc == STERNA_OK)
		rc = check_one(c, &sterna_module_invite, err);
	if (rc == STERNA_OK)
		rc = check_one(c, &sterna_module_clients, err);
	free(names);
	return rc;
}

enum sterna_result modules_apply(struct server *s)
{
	const struct config *c = s->config;
	enum sterna_result rc = STERNA_OK;

	for (size_t i = s->registry->module_count; i-- > 0;) {
		const char *name = s->registry->modules[i]->m->name;

		if (!is_wanted(c, name) && module_unload(s, name, UNLOAD_MS) != STERNA_OK)
			rc = STERNA_EUNAVAILABLE;
	}
	for (size_t i = 0; i < s->registry->module_count; i++)
		if (module_reconfigure(s, s->registry->modules[i]) != STERNA_OK)
			rc = STERNA_EINVAL;
	return modules_load(s) == STERNA_OK ? rc : STERNA_EINVAL;
}
