/* ctl_user.c - sternactl user …: on the storage; a running server is told to end the sessions. */
#include "server/ctl.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The argument as an address of an account; the storage is open then. */
static enum ctl_exit need_user(struct ctl *c, struct jid **out)
{
	const char *why = NULL;
	const enum ctl_exit code = ctl_need_storage(c);

	if (code != CTL_OK)
		return code;
	if (user_address(c->users, c->args[0], out, &why) != STERNA_OK)
		return ctl_fail(CTL_FAILED, "'%s': %s", c->args[0], why);
	return CTL_OK;
}

static enum ctl_exit done(struct ctl *c, const char *jid, const char *what)
{
	if (c->json)
		ctl_print(c, json_pack("{s:s, s:s}", "jid", jid, "done", what), NULL);
	else
		printf("%s: %s\n", jid, what);
	return CTL_OK;
}

/* What a running server does itself, so that it is checked and recorded there. Takes args.
 * @return CTL_NO_SERVER: none runs, or it is an older one; the storage is changed from here then */
static enum ctl_exit by_server(struct ctl *c, json_t *args)
{
	const char *const words[] = { "user", strchr(c->command->name, ' ') + 1, NULL };
	json_t *result = NULL;
	const enum ctl_exit code = ctl_ask_with(c, words, args, true, &result);

	json_decref(result);
	return code;
}

/* The storage was changed from here: no server has recorded it. */
static enum ctl_exit record(struct ctl *c, const char *jid)
{
	char who[32], *args;
	json_t *data;

	snprintf(who, sizeof who, "uid %u", (unsigned)getuid());
	args = jid != NULL ? xasprintf("{\"accountjids\":[\"%s\"]}", jid) : NULL;
	data = json_pack("{s:s, s:s, s:s, s:s*}", "command", c->command->name, "door", "storage", "outcome", "done", "args", args);
	free(args);
	return ctl_audit_put(c, "sterna.admin.command.v1", who, data);
}

/* --- many --- */

/* More mistakes than that are one mistake: they are only counted. */
enum { WRONG_SHOWN = 20 };

struct adding {
	const char *file;
	size_t wrong;
};

static void on_wrong(void *arg, unsigned line, const char *what)
{
	struct adding *a = arg;

	ctl_progress_end();
	if (a->wrong++ < WRONG_SHOWN)
		fprintf(stderr, "%s:%u: %s\n", a->file, line, what);
}

static void on_progress(void *arg, size_t made, size_t total)
{
	(void)arg;
	ctl_progress("accounts", made, total);
}

static void show_many(const json_t *r)
{
	printf("%" JSON_INTEGER_FORMAT " accounts created, %" JSON_INTEGER_FORMAT " there already\n",
		json_integer_value(json_object_get(r, "created")), json_integer_value(json_object_get(r, "skipped")));
}

static enum ctl_exit add_many(struct ctl *c, FILE *in)
{
	const char *threads = ctl_option(c, "threads"), *file = ctl_option(c, "from");
	struct adding a = { .file = file };
	struct user_bulk o = { .skip_existing = ctl_option(c, "skip-existing") != NULL, .wrong = on_wrong,
		.progress = on_progress, .arg = &a };
	struct user_bulk_result r;
	char *end = NULL;

	if (threads != NULL) {
		const unsigned long n = strtoul(threads, &end, 10);

		if (*end != '\0' || n < 1 || n > 256)
			return ctl_fail(CTL_USAGE, "--threads: a number from 1 to 256");
		o.threads = (unsigned)n;
	}
	const enum sterna_result rc = user_create_many(c->users, in, &o, &r);

	ctl_progress_end();
	if (r.created > 0 && record(c, NULL) != CTL_OK)
		return CTL_FAILED;
	if (rc == STERNA_OK) {
		ctl_print(c, json_pack("{s:I, s:I}", "created", (json_int_t)r.created, "skipped", (json_int_t)r.skipped),
			show_many);
		return CTL_OK;
	}
	if (r.wrong > WRONG_SHOWN)
		fprintf(stderr, "… and %zu more\n", r.wrong - WRONG_SHOWN);
	if (r.wrong > 0)
		return ctl_fail(CTL_FAILED, "%s: %zu mistakes; no account was created", file, r.wrong);
	ctl_fail_result(rc, file);
	return ctl_fail(CTL_FAILED, "%zu of %zu accounts were created; go on with --skip-existing", r.created, r.lines);
}

static enum ctl_exit add_from(struct ctl *c, const char *file)
{
	FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	enum ctl_exit code;

	if (in == NULL)
		return ctl_fail(CTL_FAILED, "cannot read '%s': %s", file, strerror(errno));
	code = ctl_need_storage(c);
	if (code == CTL_OK)
		code = add_many(c, in);
	if (in != stdin)
		fclose(in);
	return code;
}

/* --- one --- */

/* The address in its normal form, without the storage. */
static enum ctl_exit address(struct ctl *c, struct jid **out)
{
	enum ctl_exit code = ctl_need_config(c);

	if (code != CTL_OK)
		return code;
	if (jid_parse(c->args[0], strlen(c->args[0]), out) != STERNA_OK)
		return ctl_fail(CTL_FAILED, "'%s': no valid address (name@domain)", c->args[0]);
	return CTL_OK;
}

static enum ctl_exit with_password(struct ctl *c, enum sterna_result (*fn)(struct users *u, const struct jid *j,
	const char *password), const char *what)
{
	char password[PASSWORD_MAX + 1] = "";
	struct jid *j = NULL;
	enum ctl_exit code = address(c, &j);

	if (code == CTL_OK)
		code = ctl_read_password(jid_full(j), password);
	if (code == CTL_OK)
		code = by_server(c, json_pack("{s:s, s:s}", "accountjid", jid_full(j), "password", password));
	if (code == CTL_NO_SERVER) {
		jid_unref(&j);
		code = need_user(c, &j);
		const enum sterna_result rc = code == CTL_OK ? fn(c->users, j, password) : STERNA_OK;

		if (rc != STERNA_OK)
			code = ctl_fail_result(rc, jid_bare(j));
		if (code == CTL_OK)
			code = record(c, jid_bare(j));
	}
	OPENSSL_cleanse(password, sizeof password);
	if (code == CTL_OK)
		code = done(c, jid_bare(j), what);
	jid_unref(&j);
	return code;
}

static enum ctl_exit user_add(struct ctl *c)
{
	const char *file = ctl_option(c, "from");

	if ((file != NULL) == (c->arg_count == 1))
		return ctl_fail(CTL_USAGE, "user add: either an address or --from FILE");
	return file != NULL ? add_from(c, file) : with_password(c, user_create, "created");
}

static enum ctl_exit user_passwd(struct ctl *c)
{
	return with_password(c, user_set_password, "password changed");
}

static enum sterna_result disable_one(struct ctl *c, const struct jid *j)
{
	return user_disable(c->users, j, c->args[1]);
}

static enum sterna_result enable_one(struct ctl *c, const struct jid *j)
{
	return user_enable(c->users, j);
}

static enum sterna_result delete_one(struct ctl *c, const struct jid *j)
{
	return user_delete(c->users, j);
}

static enum ctl_exit change(struct ctl *c, enum sterna_result (*fn)(struct ctl *c, const struct jid *j), const char *what)
{
	struct jid *j = NULL;
	enum ctl_exit code = address(c, &j);

	if (code == CTL_OK)
		code = by_server(c, json_pack("{s:[s], s:s*}", "accountjids", jid_full(j), "reason", c->args[1]));
	if (code == CTL_NO_SERVER) {
		jid_unref(&j);
		code = need_user(c, &j);
		const enum sterna_result rc = code == CTL_OK ? fn(c, j) : STERNA_OK;

		if (rc != STERNA_OK)
			code = ctl_fail_result(rc, jid_bare(j));
		if (code == CTL_OK)
			code = record(c, jid_bare(j));
	}
	if (code == CTL_OK)
		code = done(c, jid_bare(j), what);
	jid_unref(&j);
	return code;
}

static enum ctl_exit user_disable_command(struct ctl *c)
{
	return change(c, disable_one, "disabled");
}

static enum ctl_exit user_enable_command(struct ctl *c)
{
	return change(c, enable_one, "enabled");
}

static enum ctl_exit user_delete_command(struct ctl *c)
{
	return change(c, delete_one, "deleted");
}

/* --- what there is --- */

static json_t *info_json(const struct user_info *i)
{
	return json_pack("{s:s, s:I, s:b, s:s?, s:I, s:s?}", "jid", i->jid, "created_us", (json_int_t)i->created_us,
		"disabled", i->disabled, "reason", i->reason, "last_logout_us", (json_int_t)i->last_logout_us,
		"last_status", i->last_status);
}

struct printed {
	json_t *all;                 /* NULL: text */
};

static void on_listed(void *arg, const struct user_info *i)
{
	struct printed *p = arg;

	if (p->all != NULL)
		json_array_append_new(p->all, info_json(i));
	else
		printf("%s%s\n", i->jid, i->disabled ? "  (disabled)" : "");
}

static enum ctl_exit user_list_command(struct ctl *c)
{
	struct printed p = { NULL };
	char domain[1024];
	enum ctl_exit code = ctl_need_storage(c);

	if (code != CTL_OK)
		return code;
	if (c->arg_count == 1 && precis_domain(c->args[0], strlen(c->args[0]), domain, sizeof domain) != STERNA_OK)
		return ctl_fail(CTL_FAILED, "'%s' is no domain", c->args[0]);
	if (c->json)
		p.all = json_array();
	const enum sterna_result rc = user_list(c->users, c->arg_count == 1 ? domain : NULL, on_listed, &p);

	if (rc == STERNA_OK && c->json)
		ctl_print(c, json_incref(p.all), NULL);
	json_decref(p.all);
	return rc == STERNA_OK ? CTL_OK : ctl_fail_result(rc, "user list");
}

static void on_shown(void *arg, const struct user_info *i)
{
	*(json_t **)arg = info_json(i);
}

static void show_user(const json_t *r)
{
	char created[32], logout[32];
	const char *reason = json_string_value(json_object_get(r, "reason"));

	printf("address      %s\n", json_string_value(json_object_get(r, "jid")));
	printf("state        %s%s%s\n", json_is_true(json_object_get(r, "disabled")) ? "disabled" : "active",
		reason != NULL ? ": " : "", reason != NULL ? reason : "");
	printf("created      %s\n", ctl_time(json_integer_value(json_object_get(r, "created_us")), created));
	printf("last logout  %s\n", ctl_time(json_integer_value(json_object_get(r, "last_logout_us")), logout));
	printf("mechanisms   %s\n", json_string_value(json_object_get(r, "mechanisms")));
	printf("iterations   %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(r, "iterations")));
	printf("contacts     %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(r, "contacts")));
	printf("archived     %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(r, "archived")));
	printf("waiting      %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(r, "offline")));
}

static enum ctl_exit user_show_command(struct ctl *c)
{
	struct user_details d;
	struct jid *j = NULL;
	json_t *r = NULL;
	enum ctl_exit code = need_user(c, &j);

	if (code == CTL_OK) {
		const enum sterna_result rc = user_get(c->users, j, &d, on_shown, &r);

		if (rc != STERNA_OK)
			code = ctl_fail_result(rc, jid_bare(j));
	}
	if (code == CTL_OK) {
		json_object_set_new(r, "mechanisms", json_string(d.mechanisms));
		json_object_set_new(r, "iterations", json_integer(d.iterations));
		json_object_set_new(r, "contacts", json_integer(d.contacts));
		json_object_set_new(r, "archived", json_integer(d.archived));
		json_object_set_new(r, "offline", json_integer(d.offline));
		ctl_print(c, r, show_user);
	}
	jid_unref(&j);
	return code;
}

static const struct ctl_option add_options[] = {
	{ "from", "FILE", "make many: lines 'address password', '#' for comments; '-' is the standard input" },
	{ "skip-existing", NULL, "leave accounts that are there as they are" },
	{ "threads", "N", "threads that derive keys; default: one for each processor" },
	{ 0 }
};

const struct ctl_command ctl_user_commands[] = {
	{ "user add", "JID | --from FILE", "create an account; the password is asked for, or read from stdin", add_options,
		0, 1, user_add },
	{ "user passwd", "JID", "set another password and end the account's sessions", NULL, 1, 1, user_passwd },
	{ "user delete", "JID", "delete an account and all that is stored of it", NULL, 1, 1, user_delete_command },
	{ "user list", "[HOST]", "all accounts", NULL, 0, 1, user_list_command },
	{ "user show", "JID", "one account, and how much is stored of it", NULL, 1, 1, user_show_command },
	{ "user disable", "JID [REASON]", "let nobody log in, and end the sessions", NULL, 1, 2, user_disable_command },
	{ "user enable", "JID", "let the account be used again", NULL, 1, 1, user_enable_command },
	{ 0 }
};
