/* sternactl.c - the tool of administrators: finds the command, reads its options, runs it. */
#include "server/ctl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct ctl_command *const tables[] = {
	ctl_user_commands, ctl_server_commands, ctl_s2s_commands, ctl_config_commands, ctl_pie_commands,
	ctl_report_commands,
	ctl_audit_commands,
};

const struct ctl_command *ctl_each(bool (*fn)(void *arg, const struct ctl_command *k), void *arg)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct ctl_command *k = tables[t]; k->name != NULL; k++)
			if (fn(arg, k))
				return k;
	return NULL;
}

/* --- help --- */

static bool print_line(void *arg, const struct ctl_command *k)
{
	const char *group = arg;
	char left[80];

	if (group != NULL && (strncmp(k->name, group, strlen(group)) != 0 || k->name[strlen(group)] != ' '))
		return false;
	snprintf(left, sizeof left, "%s %s", k->name, k->args);
	printf("  %-34s %s\n", left, k->summary);
	return false;
}

static void print_help(void)
{
	puts("usage: sternactl [-c FILE] [--json] COMMAND [ARGUMENTS]\n");
	puts("  -c, --config FILE   configuration; default: $STERNA_CONFIG, " STERNA_CONF_DIR "/sterna.yaml, var/sterna.yaml");
	puts("      --json          results as JSON");
	puts("      --help          this, or the help of the command before it; also: help COMMAND");
	puts("      --version\n");
	ctl_each(print_line, NULL);
	puts("\nA running server has more, its modules' too: `sternactl commands` lists them; fields follow in their order.");
	puts("exit codes: 0 done, 1 failed, 2 usage, 69 the server is not running, 78 configuration");
}

static void print_command(const struct ctl_command *k)
{
	printf("usage: sternactl %s%s%s\n%s\n", k->name, *k->args != '\0' ? " " : "", k->args, k->summary);
	for (size_t i = 0; k->options != NULL && k->options[i].name != NULL; i++) {
		char left[64];

		snprintf(left, sizeof left, "--%s%s%s", k->options[i].name, k->options[i].value != NULL ? " " : "",
			k->options[i].value != NULL ? k->options[i].value : "");
		printf("  %-22s %s\n", left, k->options[i].help);
	}
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* --- which command --- */

struct words {
	char *const *word;
	int count;
	const struct ctl_command *best;
	int used;
	const char *names[128];
	size_t name_count;
	bool group;                  /* the first word begins some command */
	bool help;                   /* `help WORDS…`, or a group with --help */
};

/* How many of the words the name takes; 0: it is another. */
static int match(const char *name, char *const *word, int count)
{
	int used = 0;

	for (; *name != '\0'; used++) {
		const size_t n = strcspn(name, " ");

		if (used == count || strlen(word[used]) != n || strncmp(name, word[used], n) != 0)
			return 0;
		name += n + (name[n] == ' ');
	}
	return used;
}

static bool consider(void *arg, const struct ctl_command *k)
{
	struct words *w = arg;
	const int used = match(k->name, w->word, w->count);
	const size_t first = strcspn(k->name, " ");

	if (used > w->used) {
		w->used = used;
		w->best = k;
	}
	if (w->count > 0 && strlen(w->word[0]) == first && strncmp(k->name, w->word[0], first) == 0)
		w->group = true;
	if (w->name_count < sizeof w->names / sizeof *w->names)
		w->names[w->name_count++] = k->name;
	return false;
}

/* The nearest of the commands, by their first word or by the first two. */
static const char *nearest(const struct words *w)
{
	char two[128];
	const char *found;

	if (w->count > 1) {
		snprintf(two, sizeof two, "%s %s", w->word[0], w->word[1]);
		found = option_nearest(two, w->names, w->name_count);
		if (found != NULL)
			return found;
	}
	return option_nearest(w->word[0], w->names, w->name_count);
}

/* A mistyped command is no reason to complain about the configuration. */
static bool may_ask(struct ctl *c)
{
	return c->config_path != NULL || access(STERNA_CONF_DIR "/sterna.yaml", R_OK) == 0;
}

/* Not one of ours: the server's or a module's, if it runs and knows it. */
static enum ctl_exit unknown(struct ctl *c, const struct words *w)
{
	const char *words[CTL_ARGS_MAX + 1] = { NULL };
	const char *near = nearest(w);
	json_t *result = NULL;
	enum ctl_exit code;

	if (w->group && w->help && w->count == 1) {
		ctl_each(print_line, (void *)(uintptr_t)w->word[0]);
		return CTL_OK;
	}
	if (!w->help && w->count <= CTL_ARGS_MAX && may_ask(c)) {
		for (int i = 0; i < w->count; i++)
			words[i] = w->word[i];
		code = ctl_ask(c, words, true, &result);
		if (code == CTL_OK)
			ctl_print(c, result, NULL);
		if (code != CTL_NO_SERVER)
			return code;
	}
	if (w->group) {
		if (w->count > 1 && near != NULL)
			return ctl_fail(CTL_USAGE, "there is no command '%s %s'; is '%s' meant?", w->word[0], w->word[1], near);
		ctl_fail(CTL_USAGE, "'%s' wants one of these:", w->word[0]);
		ctl_each(print_line, w->word[0]);
		return CTL_USAGE;
	}
	if (near != NULL)
		return ctl_fail(CTL_USAGE, "there is no command '%s'; is '%s' meant?", w->word[0], near);
	return ctl_fail(CTL_USAGE, "there is no command '%s'; see sternactl --help", w->word[0]);
}

/* --- arguments --- */

static const char *option_names(const struct ctl_command *k, const char *word)
{
	const char *names[CTL_OPTIONS_MAX] = { NULL };
	size_t n = 0;

	for (; k->options != NULL && k->options[n].name != NULL; n++)
		names[n] = k->options[n].name;
	return option_nearest(word, names, n);
}

/* --name VALUE or --name=VALUE at argv[*i]. */
static enum ctl_exit take_option(struct ctl *c, int argc, char **argv, int *i)
{
	const char *name = argv[*i] + 2, *equals = strchr(name, '=');
	const size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct ctl_option *o = c->command->options;

	for (size_t n = 0; o != NULL && o[n].name != NULL; n++) {
		if (strlen(o[n].name) != len || strncmp(o[n].name, name, len) != 0)
			continue;
		if (o[n].value == NULL && equals != NULL)
			return ctl_fail(CTL_USAGE, "--%s takes no value", o[n].name);
		if (o[n].value == NULL)
			c->values[n] = "";
		else if (equals != NULL)
			c->values[n] = equals + 1;
		else if (++*i < argc)
			c->values[n] = argv[*i];
		else
			return ctl_fail(CTL_USAGE, "--%s wants a value: %s", o[n].name, o[n].value);
		return CTL_OK;
	}
	const char *near = option_names(c->command, name);

	return ctl_fail(CTL_USAGE, "%s: there is no option --%s%s%s%s", c->command->name, name,
		near != NULL ? "; is --" : "", near != NULL ? near : "", near != NULL ? " meant?" : "");
}

static enum ctl_exit run(struct ctl *c, int argc, char **argv)
{
	bool only_args = false;

	for (int i = 0; i < argc; i++) {
		enum ctl_exit code = CTL_OK;

		if (!only_args && strcmp(argv[i], "--") == 0)
			only_args = true;
		else if (!only_args && strcmp(argv[i], "--json") == 0)
			c->json = true;
		else if (!only_args && is_help(argv[i])) {
			print_command(c->command);
			return CTL_OK;
		} else if (!only_args && strncmp(argv[i], "--", 2) == 0)
			code = take_option(c, argc, argv, &i);
		else if (c->arg_count == CTL_ARGS_MAX)
			code = ctl_fail(CTL_USAGE, "too many arguments");
		else
			c->args[c->arg_count++] = argv[i];
		if (code != CTL_OK)
			return code;
	}
	if (c->arg_count < c->command->min || c->arg_count > c->command->max)
		return ctl_fail(CTL_USAGE, "usage: sternactl %s %s", c->command->name, c->command->args);
	return c->command->fn(c);
}

/* Options before the command; @return where the command begins, or -1: that is all, *code says how it ended. */
static int global_options(struct ctl *c, int argc, char **argv, enum ctl_exit *code)
{
	int i = 1;

	for (*code = CTL_OK; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) {
			if (++i == argc) {
				*code = ctl_fail(CTL_USAGE, "-c wants a file");
				return -1;
			}
			c->config_path = argv[i];
		} else if (strncmp(argv[i], "--config=", 9) == 0) {
			c->config_path = argv[i] + 9;
		} else if (strcmp(argv[i], "--json") == 0) {
			c->json = true;
		} else if (is_help(argv[i])) {
			print_help();
			return -1;
		} else if (strcmp(argv[i], "--version") == 0) {
			puts(PACKAGE_NAME " " PACKAGE_VERSION);
			return -1;
		} else {
			*code = ctl_fail(CTL_USAGE, "there is no option '%s'; see sternactl --help", argv[i]);
			return -1;
		}
	}
	return i;
}

static enum ctl_exit begin(struct ctl *c, int argc, char **argv)
{
	enum ctl_exit code;
	const int at = global_options(c, argc, argv, &code);

	if (at < 0)
		return code;
	if (at == argc) {
		print_help();
		return CTL_USAGE;
	}
	if (strcmp(argv[at], "help") == 0 && at + 1 == argc) {
		print_help();
		return CTL_OK;
	}
	struct words w = { .word = argv + at, .count = argc - at };

	if (strcmp(argv[at], "help") == 0) {
		w.help = true;
		w.word++;
		w.count--;
	} else if (is_help(argv[argc - 1])) {
		w.help = true;
		w.count--;
	}
	ctl_each(consider, &w);
	if (w.best == NULL)
		return unknown(c, &w);
	c->command = w.best;
	if (w.help) {
		print_command(c->command);
		return CTL_OK;
	}
	return run(c, argc - at - w.used, argv + at + w.used);
}

int main(int argc, char **argv)
{
	struct ctl c = { NULL };
	enum ctl_exit code;

	if (log_open(&(struct log_options){ .level = LOG_LEVEL_WARNING }) != STERNA_OK)
		return CTL_FAILED;
	code = begin(&c, argc, argv);
	users_free(&c.users);
	if (c.db != NULL)
		db_close(&c.db);
	config_unref(&c.config);
	if (fflush(stdout) != 0 || ferror(stdout))
		code = ctl_fail(CTL_FAILED, "cannot write the output: %s", strerror(errno));
	return (int)code;
}
