/* command_core.c - commands about the server, its sessions, modules, configuration and log. */
#include "server/request.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/account.h"
#include "server/net.h"
#include "server/registry.h"
#include "server/request_check.h"
#include "server/session.h"
#include "server/stream.h"

enum { UNLOAD_MS = 5000, LIST_MAX = 10000 };

/* --- status, stats --- */

static void status(struct request *r)
{
	const struct daemon *d = r->daemon;
	const struct server *s = d->server;
	json_t *hosts = json_array();

	for (size_t i = 0; i < s->host_count; i++)
		json_array_append_new(hosts, json_string(jid_full(s->host_list[i]->jid)));
	request_answer(r, json_pack("{s:s, s:i, s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:b, s:i, s:o}",
		"version", PACKAGE_VERSION, "pid", (int)getpid(), "config", d->config_path,
		"started_us", (json_int_t)s->started_us,
		"uptime_s", (json_int_t)((loop_wall_us(d->loop) - s->started_us) / 1000000),
		"workers", (int)s->worker_count, "sessions", (json_int_t)atomic_load(&s->sessions),
		"streams", (json_int_t)atomic_load(&s->streams), "modules", (json_int_t)s->registry->module_count,
		"draining", (int)atomic_load(&s->draining), "certificate_days", net_certificate_days(d->net),
		"hosts", hosts));
}

/* The metrics' text form, line by line: "name{labels} value". */
static void stats(struct request *r)
{
	struct buf out = BUF_INIT;
	json_t *all = json_object();
	char *save = NULL;

	metrics_write(r->daemon->server->metrics, &out);
	buf_putc(&out, '\0');
	for (char *line = strtok_r(out.data + out.start, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *value = strrchr(line, ' ');

		if (*line == '#' || value == NULL)
			continue;
		*value++ = '\0';
		const double number = strtod(value, NULL);

		json_object_set_new(all, line, strpbrk(value, ".einN") == NULL ? json_integer(strtoll(value, NULL, 10))
								: json_real(number));
	}
	buf_release(&out);
	request_answer(r, all);
}

/* --- sessions --- */

static json_t *session_json(const struct worker *w, const struct sterna_session *s)
{
	const struct stream *st = s->stream;

	return json_pack("{s:s, s:I, s:i, s:I, s:b, s:i, s:b, s:b, s:s?, s:s?, s:s?, s:s?}", "jid", jid_full(s->jid),
		"id", (json_int_t)s->id, "worker", (int)w->index, "since_us", (json_int_t)s->bound_us,
		"available", (int)s->available, "priority", s->priority, "connected", st != NULL,
		"stream_management", s->sm != NULL, "address", st != NULL ? st->transport->peer : NULL,
		"tls", st != NULL ? st->transport->ops->tls_version(st->transport) : NULL,
		"mechanism", st != NULL ? st->authenticated_by : NULL, "client", s->client);
}

/* whom: a host, an account, or all that are at the host asked. */
static json_t *list_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const char *who = request_arg(r, "jid"), *limit = request_arg(r, "limit");
	const size_t max = limit != NULL ? strtoul(limit, NULL, 10) : 1000;
	json_t *list = json_array();
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		const struct account *a = e->value;

		if (r->host != NULL && strcmp(r->host, jid_domain(a->jid)) != 0)
			continue;
		if (who != NULL && strcmp(who, jid_bare(a->jid)) != 0 && strcmp(who, jid_domain(a->jid)) != 0)
			continue;
		for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
			if (json_array_size(list) >= max || json_array_size(list) >= LIST_MAX)
				return list;
			json_array_append_new(list, session_json(w, s));
		}
	}
	return list;
}

static int by_jid(const void *a, const void *b)
{
	return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "jid")),
		json_string_value(json_object_get(*(json_t *const *)b, "jid")));
}

static void listed(struct request *r)
{
	json_t *all = request_joined(r), *sorted = json_array(), *item, **items;
	size_t i, n;

	n = json_array_size(all);
	items = xalloc((n + 1) * sizeof *items);
	json_array_foreach(all, i, item)
		items[i] = item;
	qsort(items, n, sizeof *items, by_jid);
	for (i = 0; i < n; i++)
		json_array_append(sorted, items[i]);
	free(items);
	json_decref(all);
	request_answer(r, sorted);
}

static void session_list(struct request *r)
{
	request_gather(r, NULL, list_part, listed);
}

/* --- modules --- */

static void modules(struct request *r)
{
	const struct registry *reg = r->daemon->server->registry;
	json_t *list = json_array();

	for (size_t i = 0; i < reg->module_count; i++) {
		const struct sterna_module *m = reg->modules[i]->m;
		json_t *commands = json_array();

		for (const struct sterna_command *k = m->commands; k != NULL && k->name != NULL; k++)
			json_array_append_new(commands, json_pack("{s:s, s:s?, s:s?}", "name", k->name, "args", k->args,
				"summary", k->summary));
		json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:o}", "name", m->name, "spec", m->spec,
			"summary", m->summary, "commands", commands));
	}
	request_answer(r, list);
}

static bool refused(struct request *r, enum sterna_result rc)
{
	const char *name = request_arg(r, "module");

	switch (rc) {
	case STERNA_OK:
		return false;
	case STERNA_EEXISTS:
		request_refuse(r, "conflict", "module", "module '%s' is loaded already", name);
		break;
	case STERNA_ENOTFOUND:
		request_refuse(r, "not-found", "module", "there is no module '%s'", name);
		break;
	case STERNA_EUNAVAILABLE:
		request_refuse(r, "unavailable", "module", "module '%s' is in use; the log says by whom", name);
		break;
	default:
		request_refuse(r, "failed", "module", "module '%s' is refused; the log says why", name);
		break;
	}
	return true;
}

static void modules_load_command(struct request *r)
{
	if (!refused(r, module_load(r->daemon->server, request_arg(r, "module"))))
		request_answer(r, NULL);
}

static void modules_unload_command(struct request *r)
{
	if (!refused(r, module_unload(r->daemon->server, request_arg(r, "module"), UNLOAD_MS)))
		request_answer(r, NULL);
}

static void modules_reload_command(struct request *r)
{
	if (refused(r, module_unload(r->daemon->server, request_arg(r, "module"), UNLOAD_MS)))
		return;
	if (!refused(r, module_load(r->daemon->server, request_arg(r, "module"))))
		request_answer(r, NULL);
}

/* The stops in the order in which they are made, and who stands at each. */
static void hooks(struct request *r)
{
	static const char *const names[] = { "out policy", "out store", "out copy", "in policy", "in store", "in copy",
		"offline", "to session", "observe" };
	const struct registry *reg = r->daemon->server->registry;
	json_t *all = json_array();

	for (int point = 0; point < STERNA_POINTS; point++) {
		json_t *rows = json_array();

		for (size_t i = 0; i < reg->hook_count[point]; i++) {
			const struct hook_row *h = &reg->hooks[point][i];
			json_t *kinds = json_array();

			if (h->kinds == 0 || (h->kinds & STERNA_MESSAGE) != 0)
				json_array_append_new(kinds, json_string("message"));
			if ((h->kinds & STERNA_PRESENCE) != 0)
				json_array_append_new(kinds, json_string("presence"));
			if ((h->kinds & STERNA_IQ) != 0)
				json_array_append_new(kinds, json_string("iq"));
			json_array_append_new(rows, json_pack("{s:s, s:o}", "module", h->slot->m->name, "kinds", kinds));
		}
		json_array_append_new(all, json_pack("{s:s, s:o}", "point", names[point], "hooks", rows));
	}
	request_answer(r, all);
}

/* --- configuration, log --- */

static void reload(struct request *r)
{
	struct buf said = BUF_INIT;

	log_reopen();
	if (daemon_reload(r->daemon, &said) == STERNA_OK)
		request_answer(r, json_pack("{s:s}", "applied", buf_str(&said)));
	else
		request_refuse(r, "failed", NULL, "nothing was changed: %s", buf_str(&said));
	buf_release(&said);
}

static void log_level_command(struct request *r)
{
	const char *component = request_arg(r, "component"), *word = request_arg(r, "level");
	enum log_level level;

	if (component != NULL && strcmp(word, "default") == 0) {
		log_clear_level(component);
	} else if (!log_level_parse(word, &level)) {
		request_refuse(r, "usage", "level", "the level is one of " LOG_LEVELS "%s", component != NULL ? ", or default" : "");
		return;
	} else if (log_set_level(component, level) != STERNA_OK) {
		request_refuse(r, "failed", "component", "too many components have a level, or the name is too long");
		return;
	}
	request_answer(r, json_pack("{s:s?, s:s}", "component", component, "level", log_level_text(log_level(component))));
}

static void commands_command(struct request *r)
{
	request_list(r);
}

static const struct sterna_field one_module[] = {
	{ "module", STERNA_FIELD_TEXT, true, "name of the module", NULL }, { 0 } };
static const struct sterna_field list_fields[] = {
	{ "jid", STERNA_FIELD_JID, false, "an account or a host; default: all", NULL },
	{ "limit", STERNA_FIELD_NUMBER, false, "at most so many from each worker", NULL }, { 0 } };
static const struct sterna_field level_fields[] = {
	{ "component", STERNA_FIELD_TEXT, false, "of the server; default: all", NULL },
	{ "level", STERNA_FIELD_TEXT, true, "error, warning, notice, info, debug; default", NULL }, { 0 } };

enum { SERVER = STERNA_COMMAND_SERVER, READS = STERNA_COMMAND_READ | STERNA_COMMAND_SERVER,
	RUN_IT = STERNA_ADMIN | STERNA_OPERATOR, ALL = RUN_IT | STERNA_AUDITOR | STERNA_SUPPORT };

#define COMMAND(name_, roles_, flags_, fields_, summary_, ...) \
	{ .c = { .name = name_, .roles = roles_, .flags = flags_, .fields = fields_, .summary = summary_ }, __VA_ARGS__ }

static const struct sterna_field none[] = { { 0 } };

const struct command core_commands[] = {
	COMMAND("commands", ALL, STERNA_COMMAND_READ, none, "the commands that you may use", .fn = commands_command),
	COMMAND("hooks", RUN_IT, READS, none, "the stops of a stanza, and the modules at each", .fn = hooks),
	COMMAND("log level", RUN_IT, SERVER, level_fields, "say more or less in the log, until the next reload",
		.fn = log_level_command),
	COMMAND("modules", RUN_IT, READS, none, "which modules are loaded", .fn = modules),
	COMMAND("modules load", RUN_IT, SERVER, one_module, "load a module", .fn = modules_load_command),
	COMMAND("modules reload", RUN_IT, SERVER, one_module, "unload a module, and load it as it is on disk",
		.fn = modules_reload_command),
	COMMAND("modules unload", RUN_IT, SERVER | STERNA_COMMAND_DANGEROUS, one_module, "unload a module",
		.fn = modules_unload_command),
	COMMAND("reload", RUN_IT, SERVER, none, "read the configuration and the certificates anew", .fn = reload),
	COMMAND("session list", RUN_IT | STERNA_SUPPORT, STERNA_COMMAND_READ, list_fields, "who is connected",
		.fn = session_list),
	COMMAND("stats", RUN_IT, READS, none, "all metrics", .fn = stats),
	COMMAND("status", ALL, READS, none, "since when the server runs, how many sessions", .fn = status),
	{ .fn = NULL }
};
