/* modules.c - what is loaded, and in which order. */
#include "server/modules.h"
#include <dlfcn.h>
#include <string.h>
#include "server/registry.h"

/* A newcomer's server: what today's clients expect. */
static const char *const usual[] = { "disco", "caps", "ping", "version", "time", "last", "contact", "vcard", "private",
	"blocking", "pep", "carbons", "hints", "mam", "stanza_id", "csi", "offline", NULL };

enum { UNLOAD_MS = 5000 };

/* With a listener of kind http. */
static const char *const with_http[] = { "http", "metrics", NULL };

static bool listens_http(const struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++)
		if (config_listens(c)[i].kind == CONFIG_HTTP)
			return true;
	return false;
}

static enum sterna_result load(struct server *s, const char *name)
{
	const enum sterna_result rc = module_load(s, name);

	return rc == STERNA_EEXISTS ? STERNA_OK : rc;
}

enum sterna_result modules_load(struct server *s)
{
	const struct config *c = s->config;
	enum sterna_result rc = STERNA_OK;

	if (c->modules == NULL) {
		for (size_t i = 0; rc == STERNA_OK && usual[i] != NULL; i++)
			rc = load(s, usual[i]);
		for (size_t i = 0; rc == STERNA_OK && listens_http(c) && with_http[i] != NULL; i++)
			rc = load(s, with_http[i]);
		return rc;
	}
	if (listens_http(c) && config_child(c->modules, "http") == NULL)
		log_warning("module", "an HTTP listener is configured, but modules: does not name http; it is not opened");
	/* A module whose needs come later in the file waits for them. */
	for (size_t loaded = 1; loaded > 0;) {
		size_t missing = 0;

		loaded = 0;
		for (const struct config_node *n = c->modules->first; n != NULL; n = n->next) {
			if (module_find(s, n->key) != NULL)
				continue;
			if (!module_is_ready(s, n->key)) {
				missing++;
				continue;
			}
			rc = module_load(s, n->key);
			if (rc != STERNA_OK)
				return rc;
			loaded++;
		}
		if (missing == 0)
			return STERNA_OK;
		if (loaded == 0)
			log_error("module", "modules need others that are not configured");
	}
	return STERNA_EINVAL;
}

static bool is_wanted(const struct config *c, const char *name)
{
	return strcmp(name, "roster") == 0 || strcmp(name, "register") == 0 || config_child(c->modules, name) != NULL;
}

static enum sterna_result check_one(const struct config *c, const struct sterna_module *m, struct config_error *err)
{
	struct arena *a = arena_new(m->config_size + 256);
	enum sterna_result rc = m->options == NULL ? STERNA_OK
		: options_apply(m->options, config_section(c, "modules", m->name), a, arena_zalloc(a, m->config_size), err);

	arena_free(&a);
	for (const char *const *need = m->needs; rc == STERNA_OK && c->modules != NULL && need != NULL && *need != NULL; need++)
		if (!is_wanted(c, *need))
			rc = config_fail(err, config_child(c->modules, m->name), true, "module '%s' needs '%s', which is not named",
				m->name, *need);
	return rc;
}

/* One that is named and not loaded yet. */
static enum sterna_result check_new(const struct config *c, const struct config_node *n, struct config_error *err)
{
	void *handle = NULL;
	const struct sterna_module *m = module_read(c, n->key, &handle);
	enum sterna_result rc;

	if (m != NULL && m->abi == STERNA_ABI)
		rc = check_one(c, m, err);
	else
		rc = config_fail(err, n, true, "module '%.60s' cannot be loaded%s", n->key,
			m != NULL ? ": it was made for another version" : "; the log says why");
	if (handle != NULL)
		dlclose(handle);
	return rc;
}

enum sterna_result modules_check(const struct server *s, const struct config *c, char *text, size_t size)
{
	const struct registry *r = s->registry;
	struct config_error err = { 0 };
	enum sterna_result rc = STERNA_OK;

	for (size_t i = 0; rc == STERNA_OK && i < r->module_count; i++)
		if (c->modules == NULL || is_wanted(c, r->modules[i]->m->name))
			rc = check_one(c, r->modules[i]->m, &err);
	for (const struct config_node *n = c->modules != NULL ? c->modules->first : NULL; rc == STERNA_OK && n != NULL;
		n = n->next)
		if (module_find(s, n->key) == NULL)
			rc = check_new(c, n, &err);
	if (rc != STERNA_OK)
		config_error_text(&err, text, size);
	return rc;
}

enum sterna_result modules_apply(struct server *s)
{
	const struct config *c = s->config;
	enum sterna_result rc = STERNA_OK;

	for (size_t i = s->registry->module_count; c->modules != NULL && i-- > 0;) {
		const char *name = s->registry->modules[i]->m->name;

		if (!is_wanted(c, name) && module_unload(s, name, UNLOAD_MS) != STERNA_OK)
			rc = STERNA_EUNAVAILABLE;
	}
	for (size_t i = 0; i < s->registry->module_count; i++)
		if (module_reconfigure(s, s->registry->modules[i]) != STERNA_OK)
			rc = STERNA_EINVAL;
	return modules_load(s) == STERNA_OK ? rc : STERNA_EINVAL;
}
