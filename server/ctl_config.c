/* ctl_config.c - sternactl config, migrate, manual: what needs no server. */
#include "server/ctl.h"
#include <string.h>
#include <time.h>

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

static enum ctl_exit manual(struct ctl *c)
{
	struct buf out = BUF_INIT;

	(void)c;
	options_manual(&out, config_options, "");
	fwrite(buf_data(&out), 1, buf_len(&out), stdout);
	buf_release(&out);
	return CTL_OK;
}

const struct ctl_command ctl_config_commands[] = {
	{ "config check", "", "read the configuration and say what is wrong with it", NULL, 0, 0, config_check },
	{ "config show", "", "the configuration as it is read, without secrets", NULL, 0, 0, config_show },
	{ "migrate", "", "bring the database's schema to the newest version", NULL, 0, 0, migrate },
	{ "manual", "", "reference of all options, in Markdown", NULL, 0, 0, manual },
	{ 0 }
};
