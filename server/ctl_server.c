/* ctl_server.c - sternactl's commands that are answered by the running server, and how answers are shown. */
#include "server/ctl.h"
#include <inttypes.h>
#include <string.h>

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "-";
}

/* The command's words and its arguments, as they are. */
static enum ctl_exit ask(struct ctl *c, void (*show)(const json_t *result))
{
	const char *words[CTL_ARGS_MAX + 8] = { NULL };
	char name[64];
	json_t *result = NULL;
	int n = 0;
	enum ctl_exit code;

	snprintf(name, sizeof name, "%s", c->command->name);
	for (char *save = NULL, *w = strtok_r(name, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	for (int i = 0; i < c->arg_count; i++)
		words[n++] = c->args[i];
	code = ctl_ask(c, words, false, &result);
	if (code == CTL_OK)
		ctl_print(c, result, show);
	return code;
}

static void show_done(const json_t *r)
{
	(void)r;
	puts("done");
}

/* --- status, stats --- */

static void show_status(const json_t *r)
{
	const json_int_t up = number(r, "uptime_s");
	const json_t *hosts = json_object_get(r, "hosts");
	char started[32];
	json_t *host;
	size_t i;

	printf("version   %s, process %" JSON_INTEGER_FORMAT "%s\n", text(r, "version"), number(r, "pid"),
		json_is_true(json_object_get(r, "draining")) ? ", ending" : "");
	printf("config    %s\n", text(r, "config"));
	printf("running   since %s UTC (%" PRId64 " d %02d:%02d:%02d)\n", ctl_time(number(r, "started_us"), started),
		(int64_t)(up / 86400), (int)(up / 3600 % 24), (int)(up / 60 % 60), (int)(up % 60));
	printf("sessions  %" JSON_INTEGER_FORMAT " on %" JSON_INTEGER_FORMAT " streams, %" JSON_INTEGER_FORMAT
	       " workers\n", number(r, "sessions"), number(r, "streams"), number(r, "workers"));
	printf("modules   %" JSON_INTEGER_FORMAT "\n", number(r, "modules"));
	printf("TLS       the first certificate ends in %" JSON_INTEGER_FORMAT " days\n", number(r, "certificate_days"));
	fputs("hosts    ", stdout);
	json_array_foreach(hosts, i, host)
		printf(" %s", json_string_value(host));
	putchar('\n');
}

static enum ctl_exit status(struct ctl *c)
{
	return ask(c, show_status);
}

static void show_stats(const json_t *r)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)r, key, value)
		if (json_is_integer(value))
			printf("%s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
		else
			printf("%s %.10g\n", key, json_real_value(value));
}

static enum ctl_exit stats(struct ctl *c)
{
	return ask(c, show_stats);
}

/* --- sessions --- */

static void show_sessions(const json_t *r)
{
	static const char *const keys[] = { "jid", "since", "priority", "connected", "address", "tls", "mechanism", "client",
		NULL };
	static const char *const titles[] = { "JID", "SINCE (UTC)", "PRIORITY", "CONNECTED", "ADDRESS", "TLS", "MECHANISM",
		"CLIENT", NULL };
	json_t *row;
	size_t i;

	json_array_foreach(r, i, row) {
		char since[32];

		json_object_set_new(row, "since", json_string(ctl_time(number(row, "since_us"), since)));
		if (!json_is_true(json_object_get(row, "available")))
			json_object_set_new(row, "priority", json_null());
	}
	ctl_table(r, keys, titles);
}

static enum ctl_exit session_list(struct ctl *c)
{
	const char *limit = ctl_option(c, "limit"), *who = c->arg_count == 1 ? c->args[0] : "";

	if (limit != NULL && (*limit == '\0' || limit[strspn(limit, "0123456789")] != '\0'))
		return ctl_fail(CTL_USAGE, "--limit: a number");
	c->args[0] = who;
	c->args[1] = limit != NULL ? limit : "1000";
	c->arg_count = 2;
	return ask(c, show_sessions);
}

static void show_kicked(const json_t *r)
{
	printf("%" JSON_INTEGER_FORMAT " sessions ended\n", number(r, "ended"));
}

static enum ctl_exit session_kick(struct ctl *c)
{
	return ask(c, show_kicked);
}

/* --- modules --- */

static void show_modules(const json_t *r)
{
	static const char *const keys[] = { "name", "spec", "summary", NULL };
	static const char *const titles[] = { "MODULE", "SPECIFICATION", "", NULL };
	json_t *module, *command;
	size_t i, k, count = 0;

	ctl_table(r, keys, titles);
	json_array_foreach(r, i, module)
		json_array_foreach(json_object_get(module, "commands"), k, command) {
			if (count++ == 0)
				puts("\ncommands of modules:");
			printf("  sternactl %s %s  %s\n", text(command, "name"),
				json_is_string(json_object_get(command, "args")) ? text(command, "args") : "",
				text(command, "summary"));
		}
}

static enum ctl_exit modules(struct ctl *c)
{
	return ask(c, show_modules);
}

static enum ctl_exit modules_change(struct ctl *c)
{
	return ask(c, show_done);
}

static void show_hooks(const json_t *r)
{
	json_t *point, *hook, *kind;
	size_t i, k, n;

	json_array_foreach(r, i, point) {
		printf("%s\n", text(point, "point"));
		json_array_foreach(json_object_get(point, "hooks"), k, hook) {
			printf("  %-20s", text(hook, "module"));
			json_array_foreach(json_object_get(hook, "kinds"), n, kind)
				printf(" %s", json_string_value(kind));
			putchar('\n');
		}
	}
}

static enum ctl_exit hooks(struct ctl *c)
{
	return ask(c, show_hooks);
}

/* --- configuration, log --- */

static void show_reload(const json_t *r)
{
	printf("applied: %s\n", text(r, "applied"));
}

static enum ctl_exit reload(struct ctl *c)
{
	return ask(c, show_reload);
}

static void show_level(const json_t *r)
{
	printf("%s: %s\n", json_is_string(json_object_get(r, "component")) ? text(r, "component") : "log", text(r, "level"));
}

static enum ctl_exit log_level_command(struct ctl *c)
{
	return ask(c, show_level);
}

static const struct ctl_option list_options[] = {
	{ "limit", "N", "at most so many from each worker; default 1000" },
	{ 0 }
};

const struct ctl_command ctl_server_commands[] = {
	{ "status", "", "is the server running, since when, with how many sessions", NULL, 0, 0, status },
	{ "stats", "", "all metrics", NULL, 0, 0, stats },
	{ "session list", "[JID|HOST]", "who is connected", list_options, 0, 1, session_list },
	{ "session kick", "JID [REASON]", "end one session (with a resource) or all of an account", NULL, 1, 2, session_kick },
	{ "modules", "", "which modules are loaded", NULL, 0, 0, modules },
	{ "modules load", "NAME", "load a module, with its options from the configuration", NULL, 1, 1, modules_change },
	{ "modules unload", "NAME", "unload it, when nobody uses it any more", NULL, 1, 1, modules_change },
	{ "modules reload", "NAME", "unload it, then load it as it is now on disk", NULL, 1, 1, modules_change },
	{ "hooks", "", "the way of a stanza: its stops, and the modules at each", NULL, 0, 0, hooks },
	{ "reload", "", "read the configuration and the certificates anew", NULL, 0, 0, reload },
	{ "log level", "[COMPONENT] LEVEL", "say more or less, until the next reload (level 'default': as the others)",
		NULL, 1, 2, log_level_command },
	{ 0 }
};
