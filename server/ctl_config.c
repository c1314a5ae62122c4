/* ctl_config.c - sternactl config, migrate, manual: what needs no server. */
#include "server/ctl.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/registry.h"

static enum ctl_exit config_check(struct ctl *c)
{
	const enum ctl_exit code = ctl_need_config(c);

	if (code != CTL_OK)
		return code;
	if (c->json)
		ctl_print(c, json_pack("{s:s, s:b}", "file", c->config_path, "ok", 1), NULL);
	else
		printf("%s: the configuration is sound\n", c->config_path);
	return CTL_OK;
}

/* --- config show: what is given, secrets hidden --- */

static json_t *node_json(const struct config_node *n, int depth)
{
	json_t *v;

	if (n->kind == CONFIG_SCALAR)
		return json_string(n->secret ? "(hidden)" : n->text);
	v = n->kind == CONFIG_LIST ? json_array() : json_object();
	for (const struct config_node *k = n->first; k != NULL && depth < 40; k = k->next) {
		const bool hide = k->key != NULL && k->kind == CONFIG_SCALAR &&
				  (strcmp(k->key, "password") == 0 || strcmp(k->key, "secret") == 0);
		json_t *child = hide ? json_string("(hidden)") : node_json(k, depth + 1);

		if (n->kind == CONFIG_LIST)
			json_array_append_new(v, child);
		else
			json_object_set_new(v, k->key, child);
	}
	return v;
}

static enum ctl_exit config_show(struct ctl *c)
{
	const enum ctl_exit code = ctl_need_config(c);

	if (code == CTL_OK)
		ctl_print(c, node_json(c->config->root, 0), NULL);
	return code;
}

static enum ctl_exit migrate(struct ctl *c)
{
	int from = 0, to = 0;
	enum ctl_exit code = ctl_need_storage(c);
	enum sterna_result rc;

	if (code != CTL_OK)
		return code;
	rc = db_migrate(c->db, &from, &to);
	if (rc == STERNA_OK)
		rc = db_maintain(c->db, (int64_t)time(NULL) * 1000);
	if (rc != STERNA_OK)
		return ctl_fail(CTL_FAILED, "the schema cannot be brought forward (%s)", sterna_result_text(rc));
	if (c->json)
		ctl_print(c, json_pack("{s:i}", "version", to), NULL);
	else
		printf("the schema is at version %d\n", to);
	return CTL_OK;
}

/* --- options, manual --- */

static void put_manual(struct buf *out)
{
	fwrite(buf_data(out), 1, buf_len(out), stdout);
	buf_release(out);
}

static bool module_manual(const struct ctl *c, const char *name, struct buf *out)
{
	char path[128];
	void *handle = NULL;
	const struct sterna_module *m = module_read(c->config, name, &handle);

	if (m == NULL)
		return false;
	snprintf(path, sizeof path, "modules.%s", m->name);
	buf_addf(out, "\n## %s: %s%s%s%s\n\n", m->name, m->summary != NULL ? m->summary : "",
		m->spec != NULL ? " (" : "", m->spec != NULL ? m->spec : "", m->spec != NULL ? ")" : "");
	if (m->options != NULL && m->options->name != NULL)
		options_manual(out, m->options, path);
	else
		buf_puts(out, "No options.\n");
	dlclose(handle);
	return true;
}

static enum ctl_exit options(struct ctl *c)
{
	struct buf out = BUF_INIT;

	if (c->arg_count == 0) {
		options_manual(&out, config_options, "");
	} else {
		const enum ctl_exit code = ctl_need_config(c);

		if (code != CTL_OK)
			return code;
		if (!module_manual(c, c->args[0], &out))
			return ctl_fail(CTL_FAILED, "there is no module '%s'", c->args[0]);
	}
	put_manual(&out);
	return CTL_OK;
}

struct names {
	char *name[512];
	size_t count;
};

static void on_name(void *arg, const char *name)
{
	struct names *n = arg;

	if (n->count < sizeof n->name / sizeof *n->name)
		n->name[n->count++] = xstrdup(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum ctl_exit manual(struct ctl *c)
{
	struct names *all = xalloc(sizeof *all);
	struct buf out = BUF_INIT;
	enum ctl_exit code = CTL_OK;

	options_manual(&out, config_options, "");
	if (ctl_option(c, "modules") != NULL)
		code = ctl_need_config(c);
	if (code == CTL_OK && ctl_option(c, "modules") != NULL) {
		buf_puts(&out, "\n# Modules\n");
		module_names(c->config, on_name, all);
		qsort(all->name, all->count, sizeof *all->name, by_name);
	}
	for (size_t i = 0; i < all->count; i++) {
		if (i == 0 || strcmp(all->name[i], all->name[i - 1]) != 0)
			(void)module_manual(c, all->name[i], &out);
		if (i > 0)
			free(all->name[i - 1]);
	}
	if (all->count > 0)
		free(all->name[all->count - 1]);
	free(all);
	if (code == CTL_OK)
		put_manual(&out);
	else
		buf_release(&out);
	return code;
}

static const struct ctl_option manual_options[] = {
	{ "modules", NULL, "those of all installed modules too" },
	{ 0 }
};

const struct ctl_command ctl_config_commands[] = {
	{ "config check", "", "read the configuration and say what is wrong with it", NULL, 0, 0, config_check },
	{ "config show", "", "the configuration as it is read, without secrets", NULL, 0, 0, config_show },
	{ "migrate", "", "bring the database's schema to the newest version", NULL, 0, 0, migrate },
	{ "options", "[MODULE]", "the options of the core, or of a module", NULL, 0, 1, options },
	{ "manual", "[--modules]", "reference of all options, in Markdown", manual_options, 0, 0, manual },
	{ 0 }
};
