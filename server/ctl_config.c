/* ctl_config.c - sternactl config, migrate, manual: what needs no server. */
#include "server/ctl.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/modules.h"
#include "server/registry.h"

static enum ctl_exit config_check(struct ctl *c)
{
	const enum ctl_exit code = ctl_need_config(c);
	struct config_error err = { 0 };
	char text[1024];

	if (code != CTL_OK)
		return code;
	if (modules_check(NULL, c->config, &err) != STERNA_OK)
		return ctl_fail(CTL_CONFIG, "%s", config_error_text(&err, text, sizeof text));
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

static void module_manual(const struct sterna_module *m, struct buf *out)
{
	char path[128];

	snprintf(path, sizeof path, "modules.%s", m->name);
	buf_addf(out, "\n## %s: %s%s%s%s\n\n", m->name, m->summary != NULL ? m->summary : "",
		m->spec != NULL ? " (" : "", m->spec != NULL ? m->spec : "", m->spec != NULL ? ")" : "");
	if (m->options != NULL && m->options->name != NULL)
		options_manual(out, m->options, path);
	else
		buf_puts(out, "No options.\n");
}

/* Bounded by the depth of the tables. */
static json_t *options_json(const struct sterna_option *table)
{
	json_t *all = json_array();

	for (const struct sterna_option *o = table; o != NULL && o->name != NULL; o++) {
		const bool required = o->fallback != NULL && strcmp(o->fallback, STERNA_REQUIRED) == 0;
		json_t *one = json_pack("{s:s, s:s, s:s?, s:b, s:s?, s:s?}", "key", o->name, "type", option_type_text(o),
			"default", required ? NULL : o->fallback, "required", required, "range", o->range, "meaning", o->help);

		if (o->sub != NULL)
			json_object_set_new(one, "options", options_json(o->sub));
		json_array_append_new(all, one);
	}
	return all;
}

static void show_options(const struct ctl *c, const struct sterna_option *table, const struct sterna_module *m)
{
	struct buf out = BUF_INIT;

	if (c->json) {
		ctl_print(c, options_json(table), NULL);
		return;
	}
	if (m != NULL)
		module_manual(m, &out);
	else
		options_manual(&out, table, "");
	put_manual(&out);
}

static enum ctl_exit options(struct ctl *c)
{
	const struct sterna_module *m;
	struct buf why = BUF_INIT;
	enum ctl_exit code = CTL_OK;
	void *handle;

	if (c->arg_count == 0) {
		show_options(c, config_options, NULL);
		return CTL_OK;
	}
	code = ctl_need_config(c);
	if (code != CTL_OK)
		return code;
	if (module_read(c->config, c->args[0], &m, &handle, &why) == STERNA_OK) {
		show_options(c, m->options, m);
		dlclose(handle);
	} else {
		code = ctl_fail(CTL_FAILED, "%s", buf_str(&why));
	}
	buf_release(&why);
	return code;
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

static void add_module(const struct ctl *c, const char *name, struct buf *out)
{
	const struct sterna_module *m;
	struct buf why = BUF_INIT;
	void *handle;

	if (module_read(c->config, name, &m, &handle, &why) == STERNA_OK) {
		module_manual(m, out);
		dlclose(handle);
	} else {
		log_warning("module", "is left out", "module", name, "error", buf_str(&why));
	}
	buf_release(&why);
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
			add_module(c, all->name[i], &out);
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
