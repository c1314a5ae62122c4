/* ctl_s2s.c - sternactl's commands about other servers, and how answers are shown. */
#include "server/ctl.h"
#include <stdio.h>
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

/* The last word of the command's name, and its arguments. */
static enum ctl_exit ask(struct ctl *c, void (*show)(const json_t *result))
{
	const char *words[CTL_ARGS_MAX + 4] = { "s2s", strchr(c->command->name, ' ') + 1 };
	json_t *result = NULL;

	for (int i = 0; i < c->arg_count; i++)
		words[2 + i] = c->args[i];
	const enum ctl_exit code = ctl_ask(c, words, false, &result);

	if (code == CTL_OK)
		ctl_print(c, result, show);
	return code;
}

static void show_list(const json_t *r)
{
	static const char *const keys[] = { "domain", "host", "state", "direction", "by", "waiting", "unconfirmed", "failures",
		"why", NULL };
	static const char *const titles[] = { "DOMAIN", "HOST", "STATE", "STREAM", "BY", "WAITING", "UNCONFIRMED", "FAILURES", "WHY",
		NULL };
	json_t *row;
	size_t i;

	json_array_foreach(r, i, row) {
		const json_t *s = json_object_get(row, "stream");

		if (s != NULL) {
			json_object_set(row, "direction", json_object_get(s, "direction"));
			json_object_set(row, "by", json_object_get(s, "by"));
		}
	}
	ctl_table(r, keys, titles);
}

static enum ctl_exit list(struct ctl *c)
{
	return ask(c, show_list);
}

static void show_stream(const json_t *s)
{
	json_t *host;
	size_t i;

	printf("    %s %s, %s %s, certificate: %s (%s)\n", strcmp(text(s, "direction"), "out") == 0 ? "to" : "from",
		text(s, "address"), text(s, "tls"), text(s, "cipher"), text(s, "certificate"), text(s, "proof"));
	printf("    authenticated by %s%s%s", text(s, "by"),
		json_is_true(json_object_get(s, "bidirectional")) ? ", bidirectional" : "",
		json_is_true(json_object_get(s, "stream_management")) ? ", stream management" : "");
	json_array_foreach(json_object_get(s, "may_write_to"), i, host)
		printf("%s%s", i == 0 ? "; writes to " : ", ", json_string_value(host));
	putchar('\n');
}

static void show_steps(const json_t *trail)
{
	json_t *step;
	size_t i;

	json_array_foreach(json_object_get(trail, "steps"), i, step)
		printf("    %9.1f ms  %-4s %-12s %s\n", json_real_value(json_object_get(step, "ms")),
			json_is_true(json_object_get(step, "ok")) ? "ok" : "FAIL", text(step, "what"), text(step, "text"));
}

static void show_attempt(const json_t *l, const char *key, const char *title)
{
	const json_t *t = json_object_get(l, key);
	char when[32];

	if (t == NULL)
		return;
	printf("  %s, %s UTC\n", title, ctl_time(number(t, "began_us"), when));
	show_steps(t);
}

static void show_link(const json_t *l)
{
	char when[32];

	printf("\n%s to %s: %s, %" JSON_INTEGER_FORMAT " waiting, %" JSON_INTEGER_FORMAT " not confirmed, %" JSON_INTEGER_FORMAT
	       " sent, %" JSON_INTEGER_FORMAT " received\n", text(l, "host"), text(l, "domain"), text(l, "state"), number(l, "waiting"),
		number(l, "unconfirmed"), number(l, "sent"), number(l, "received"));
	if (number(l, "last_up_us") != 0)
		printf("  last there  %s UTC\n", ctl_time(number(l, "last_up_us"), when));
	if (number(l, "failures") > 0)
		printf("  failing     %" JSON_INTEGER_FORMAT " times: %s; next try in %" JSON_INTEGER_FORMAT " ms\n", number(l, "failures"),
			text(l, "why"), number(l, "retry_in_ms"));
	if (json_object_get(l, "stream") != NULL)
		show_stream(json_object_get(l, "stream"));
	show_attempt(l, "attempt", "attempt under way");
	show_attempt(l, "last_attempt", "last attempt");
}

static void show_explain(const json_t *r)
{
	json_t *item;
	size_t i;

	printf("%s: it must show '%s'%s\n", text(r, "domain"), text(r, "trust"),
		json_is_true(json_object_get(r, "route")) ? "; there is a route" : "; looked up by DNS");
	json_array_foreach(json_object_get(r, "links"), i, item)
		show_link(item);
	if (json_array_size(json_object_get(r, "links")) == 0)
		puts("nothing was to be sent to it of late; try: sternactl s2s test DOMAIN");
	json_array_foreach(json_object_get(r, "incoming"), i, item) {
		if (i == 0)
			puts("\nstreams from it");
		show_stream(item);
	}
}

static enum ctl_exit explain(struct ctl *c)
{
	return ask(c, show_explain);
}

static void show_test(const json_t *r)
{
	printf("%s to %s: %s\n", text(r, "host"), text(r, "domain"), json_is_true(json_object_get(r, "ok")) ? "works" : "fails");
	show_steps(r);
}

static enum ctl_exit test(struct ctl *c)
{
	return ask(c, show_test);
}

static void show_reset(const json_t *r)
{
	printf("%" JSON_INTEGER_FORMAT " streams closed\n", number(r, "closed"));
}

static enum ctl_exit reset(struct ctl *c)
{
	return ask(c, show_reset);
}

static void show_peer_link(const json_t *l)
{
	printf("  %-24s %-10s %6.1f ms to confirm, %" JSON_INTEGER_FORMAT " waiting, %" JSON_INTEGER_FORMAT " not confirmed, the first for %.1f s%s%s\n",
		text(l, "host"), text(l, "state"), json_real_value(json_object_get(l, "latency_ms")), number(l, "waiting"),
		number(l, "unconfirmed"), json_real_value(json_object_get(l, "oldest_ms")) / 1000,
		json_object_get(l, "why") != NULL && !json_is_null(json_object_get(l, "why")) ? ": " : "",
		json_object_get(l, "why") != NULL && !json_is_null(json_object_get(l, "why")) ? text(l, "why") : "");
}

static void show_peer(const json_t *r)
{
	json_t *item;
	size_t i;

	printf("%s: it must show '%s'; %" JSON_INTEGER_FORMAT " streams from it, %" JSON_INTEGER_FORMAT " to it\n", text(r, "domain"),
		text(r, "trust"), number(r, "streams_in"), number(r, "streams_out"));
	if (json_is_true(json_object_get(r, "isolated")))
		puts("isolated; see: sternactl isolation list");
	if (number(r, "all_offences") > 0)
		printf("%" JSON_INTEGER_FORMAT " offences, %" JSON_INTEGER_FORMAT " of late\n", number(r, "all_offences"),
			number(r, "offences"));
	json_array_foreach(json_object_get(r, "links"), i, item)
		show_peer_link(item);
	json_array_foreach(json_object_get(r, "budgets"), i, item) {
		const double seconds = json_real_value(json_object_get(item, "seconds"));

		if (number(item, "count") == 0)
			printf("  %-14s no limit\n", text(item, "budget"));
		else
			printf("  %-14s %" JSON_INTEGER_FORMAT " in %g s, %" JSON_INTEGER_FORMAT " left; %" JSON_INTEGER_FORMAT " beyond it so far\n",
				text(item, "budget"), number(item, "count"), seconds, number(item, "left"), number(item, "beyond"));
	}
}

static enum ctl_exit show(struct ctl *c)
{
	return ask(c, show_peer);
}

const struct ctl_command ctl_s2s_commands[] = {
	{ "s2s list", "", "links to other servers: what waits, what is connected", NULL, 0, 0, list },
	{ "s2s explain", "DOMAIN", "one domain: its streams, and each step of the last attempt to reach it", NULL, 1, 1, explain },
	{ "s2s test", "DOMAIN [HOST]", "try to connect now, and say what each step came to", NULL, 1, 2, test },
	{ "s2s show", "DOMAIN", "one domain: its budgets, offences, links with latency and backlog", NULL, 1, 1, show },
	{ "s2s reset", "DOMAIN", "close its streams; what waits is tried at once", NULL, 1, 1, reset },
	{ 0 }
};
