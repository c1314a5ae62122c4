/* ctl_pie.c - sternactl export, import: files of XEP-0227. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/ctl.h"
#include "server/pie.h"
#include "server/user_impl.h"

struct run {
	struct ctl *c;
	const char *verb;
	uint64_t shown;              /* of what was left out */
	bool server;                 /* one runs */
};

enum { SHOWN_MAX = 50 };

static void on_left_out(void *arg, const char *file, unsigned long line, const char *what)
{
	struct run *r = arg;

	if (++r->shown > SHOWN_MAX)
		return;
	ctl_progress_end();
	if (file != NULL)
		fprintf(stderr, "%s:%lu: left out: %s\n", file, line, what);
	else
		fprintf(stderr, "left out: %s\n", what);
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct run *r = arg;

	ctl_progress(r->verb, done, total);
}

static void show_counts(const json_t *r)
{
	static const struct {
		const char *key, *text;
	} rows[] = { { "users", "accounts" }, { "contacts", "contacts" }, { "messages", "archived messages" },
		{ "waiting", "waiting messages" }, { "others", "vCards, private data, blocked addresses" },
		{ "without_password", "accounts without a password" }, { "left_out", "pieces left out" } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		printf("%8" JSON_INTEGER_FORMAT " %s\n", json_integer_value(json_object_get(r, rows[i].key)), rows[i].text);
}

static void print_counts(struct ctl *c, const struct pie_counts *n)
{
	ctl_print(c, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "users", (json_int_t)n->users, "contacts",
		(json_int_t)n->contacts, "messages", (json_int_t)n->messages, "waiting", (json_int_t)n->waiting, "others",
		(json_int_t)n->others, "without_password", (json_int_t)n->without_password, "left_out",
		(json_int_t)n->left_out), show_counts);
}

/* --- export --- */

static enum ctl_exit run_export(struct ctl *c, FILE *out, struct pie_options *o)
{
	struct run r = { .c = c, .verb = "export" };
	struct pie_counts n;

	o->left_out = on_left_out;
	o->progress = on_progress;
	o->arg = &r;
	const enum sterna_result rc = pie_export(c->users, out, o, &n);

	ctl_progress_end();
	if (rc == STERNA_EIO)
		return ctl_fail(CTL_FAILED, "export: cannot be written, or the database refused: %s", strerror(errno));
	if (rc != STERNA_OK)
		return ctl_fail_result(rc, o->account != NULL ? jid_bare(o->account) : "export");
	if (out != stdout)
		print_counts(c, &n);
	return CTL_OK;
}

/* What is to be exported; the storage is open then. */
static enum ctl_exit chosen(struct ctl *c, struct pie_options *o, struct jid **account, char *host, size_t size)
{
	const char *who = ctl_option(c, "account"), *domain = ctl_option(c, "host"), *why = NULL;
	enum ctl_exit code = ctl_need_storage(c);

	if (code != CTL_OK)
		return code;
	if (who != NULL && user_address(c->users, who, account, &why) != STERNA_OK)
		return ctl_fail(CTL_FAILED, "'%s': %s", who, why);
	if (domain != NULL && (precis_domain(domain, strlen(domain), host, size) != STERNA_OK
		|| config_host(c->config, host) == NULL))
		return ctl_fail(CTL_FAILED, "'%s' is none of the configured hosts", domain);
	o->account = *account;
	o->host = domain != NULL ? host : NULL;
	return CTL_OK;
}

static void on_total(void *arg, const struct db_rows *rows)
{
	*(int64_t *)arg = db_int(rows, 0, 0);
}

/* Before anything is written: by the server, which hears of it then, or where none runs into the storage. */
static enum ctl_exit announce(struct ctl *c, const struct pie_options *o)
{
	static const struct db_stmt count = {
		.name = "ctl_export_count", .params = "t", .columns = "i",
		.sql = "",
		.pg = "SELECT count(*) FROM account WHERE right(jid, length($1)) = $1",
		.sqlite = "SELECT count(*) FROM account WHERE $1 = '' OR substr(jid, -length($1)) = $1",
	};
	const char *scope = o->account != NULL ? jid_bare(o->account) : o->host != NULL ? o->host : "all";
	char *end = o->account != NULL ? xstrdup(scope) : o->host != NULL ? xasprintf("@%s", o->host) : xstrdup("");
	int64_t accounts = 0;
	const enum sterna_result rc = users_read(c->users, &count, (const struct db_value[]){ db_text(end) }, on_total, &accounts);
	char number[24], who[32];
	json_t *result = NULL;
	enum ctl_exit code;

	free(end);
	if (rc != STERNA_OK)
		return ctl_fail_result(rc, scope);
	snprintf(number, sizeof number, "%" PRId64, accounts);
	snprintf(who, sizeof who, "uid %u", (unsigned)getuid());
	code = ctl_ask(c, (const char *const[]){ "user", "exported", scope, number, NULL }, true, &result);
	json_decref(result);
	if (code != CTL_NO_SERVER)
		return code;
	return ctl_audit_put(c, "sterna.data.exported.v1", who, json_pack("{s:s, s:I, s:s}", "scope", scope, "accounts",
		(json_int_t)accounts, "door", "storage"));
}

/* Such a file holds what lets one log in: for its owner only, and never over another file. */
static enum ctl_exit export(struct ctl *c)
{
	const bool to_stdout = strcmp(c->args[0], "-") == 0;
	const int fd = to_stdout ? STDOUT_FILENO : open(c->args[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *out = fd < 0 ? NULL : to_stdout ? stdout : fdopen(fd, "w");
	struct pie_options o = { .host = NULL };
	struct jid *account = NULL;
	char host[1024];
	enum ctl_exit code;

	if (out == NULL)
		return ctl_fail(CTL_FAILED, "cannot make '%s': %s", c->args[0], strerror(errno));
	code = chosen(c, &o, &account, host, sizeof host);
	if (code == CTL_OK)
		code = announce(c, &o);
	if (code == CTL_OK)
		code = run_export(c, out, &o);
	jid_unref(&account);
	if (!to_stdout && fclose(out) != 0 && code == CTL_OK)
		code = ctl_fail(CTL_FAILED, "cannot write '%s': %s", c->args[0], strerror(errno));
	if (!to_stdout && code != CTL_OK)
		unlink(c->args[0]);
	return code;
}

/* --- import --- */

/* A running server forgets what it remembers of the account. */
static void on_imported(void *arg, const char *jid)
{
	struct run *r = arg;
	const char *const words[] = { "user", "changed", jid, "imported", NULL };
	json_t *result = NULL;

	if (!r->server)
		return;
	if (ctl_ask(r->c, words, true, &result) == CTL_OK)
		json_decref(result);
}

static enum ctl_exit import(struct ctl *c)
{
	static const char *const status[] = { "status", NULL };
	struct run r = { .c = c, .verb = "import" };
	const struct pie_options o = { .dry = ctl_option(c, "check") != NULL, .left_out = on_left_out,
		.progress = on_progress, .imported = on_imported, .arg = &r };
	struct pie_counts n;
	struct pie_error err;
	json_t *result = NULL;
	enum ctl_exit code;

	code = access(c->args[0], R_OK) == 0 ? ctl_need_storage(c)
		: ctl_fail(CTL_FAILED, "cannot read '%s': %s", c->args[0], strerror(errno));
	if (code != CTL_OK)
		return code;
	r.server = ctl_ask(c, status, true, &result) == CTL_OK;
	json_decref(result);
	const enum sterna_result rc = pie_import(c->users, c->args[0], &o, &n, &err);

	ctl_progress_end();
	if (r.shown > SHOWN_MAX)
		fprintf(stderr, "… and %" PRIu64 " more left out\n", r.shown - SHOWN_MAX);
	if (rc != STERNA_OK)
		return ctl_fail(CTL_FAILED, "%s:%lu: %s", err.file, err.line, err.message);
	print_counts(c, &n);
	return CTL_OK;
}

static const struct ctl_option export_options[] = {
	{ "host", "HOST", "the accounts of this host only" },
	{ "account", "JID", "this account only" },
	{ 0 }
};
static const struct ctl_option import_options[] = {
	{ "check", NULL, "read and check the file, and store nothing" },
	{ 0 }
};

const struct ctl_command ctl_pie_commands[] = {
	{ "export", "FILE", "write accounts with all they have, as XEP-0227; '-' is the standard output", export_options,
		1, 1, export },
	{ "import", "FILE", "take in accounts from a file of XEP-0227; can be repeated", import_options, 1, 1, import },
	{ 0 }
};
