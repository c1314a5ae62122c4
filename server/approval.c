/* approval.c - see approval.h. What waits is claimed (its row goes) before it runs: a crash in between loses it, and never
 * runs it twice. */
#include "server/approval.h"
#include <stdlib.h>
#include <string.h>
#include "server/datetime.h"
#include "server/user_impl.h"

enum { ID_LEN = 16, ARGS_MAX = 65536 };

static const struct db_stmt put = {
	.name = "pending_put", .params = "ttttttii",
	.sql = "INSERT INTO admin_pending (id, command, who, host, door, args, asked, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
};
static const struct db_stmt purge = {
	.name = "pending_purge", .params = "i", .sql = "DELETE FROM admin_pending WHERE expires < $1",
};
static const struct db_stmt count_all = {
	.name = "pending_count", .params = "i", .columns = "i", .sql = "SELECT count(*) FROM admin_pending WHERE expires >= $1",
};
static const struct db_stmt all = {
	.name = "pending_all", .params = "it", .columns = "ttttttii",
	.sql = "SELECT id, command, who, host, door, args, asked, expires FROM admin_pending "
	       "WHERE expires >= $1 AND ($2 = '' OR id = $2) ORDER BY asked, id",
};
static const struct db_stmt drop = {
	.name = "pending_drop", .params = "t", .sql = "DELETE FROM admin_pending WHERE id = $1",
};

/* --- which wait --- */

static bool is_named(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->approval.commands.count; i++)
		if (strcmp(c->approval.commands.item[i], name) == 0)
			return true;
	return false;
}

bool approval_wanted(const struct request *r)
{
	return !r->is_local && r->approved_by == NULL && strncmp(r->name, "pending ", 8) != 0 && is_named(r->daemon->config, r->name);
}

struct looking {
	const char *name;
	bool found;
};

static void look(void *arg, const struct found_command *f)
{
	struct looking *l = arg;

	l->found |= strcmp(f->c->name, l->name) == 0;
}

void approval_look(const struct server *s, const struct config *c)
{
	for (size_t i = 0; i < c->approval.commands.count; i++) {
		struct looking l = { c->approval.commands.item[i], false };

		command_each(s, look, &l);
		if (!l.found)
			log_warning("admin", "approval.commands names what is no command", "command", l.name);
	}
}

/* --- kept --- */

/* One piece, since it is free()d with the request, also one that never gets to the helper. */
struct keeping {
	char id[ID_LEN + 1];
	char args[];
};

static void on_count(void *arg, const struct db_rows *rows)
{
	*(int64_t *)arg = db_rows_count(rows) > 0 ? db_int(rows, 0, 0) : 0;
}

static void run_keep(struct request *r, struct users *u)
{
	const struct keeping *k = r->data;
	const struct config *config = users_config(u);
	const int64_t expires = r->asked_us + config->approval.time.us;
	struct db_batch *b = users_batch(u);
	char stamp[STERNA_STAMP_LEN];
	int64_t count = 0;

	db_batch_add(b, &purge, (const struct db_value[]){ DB_INT(r->asked_us) });
	db_batch_add(b, &put, (const struct db_value[]){ db_text(k->id), db_text(r->name), db_text(r->who),
		db_text(r->host != NULL ? r->host : ""), db_text(r->door), db_text(k->args), DB_INT(r->asked_us), DB_INT(expires) });
	if (request_stored(r, users_read(u, &count_all, (const struct db_value[]){ DB_INT(r->asked_us) }, on_count, &count), NULL,
		r->name) && count >= (int64_t)config->approval.pending)
		request_note(r, "unavailable", NULL, "%lld commands wait for approval already", (long long)count);
	if (r->code[0] != '\0')
		db_batch_drop(&b);
	else if (request_stored(r, users_commit(u, &b), NULL, r->name))
		r->found = json_pack("{s:s, s:s, s:s}", "pending", k->id, "command", r->name, "expires", sterna_stamp_us(expires, stamp));
}

static bool has_secret(const struct request *r, const struct sterna_command *c)
{
	for (const struct sterna_field *f = c->fields; f != NULL && f->name != NULL; f++)
		if (f->type == STERNA_FIELD_SECRET && json_object_get(r->args, f->name) != NULL)
			return true;
	return false;
}

void approval_keep(struct request *r, const struct sterna_command *c)
{
	char *args = json_dumps(r->args, JSON_COMPACT | JSON_SORT_KEYS);
	struct keeping *k;
	unsigned char raw[ID_LEN / 2];

	r->waits = true;
	if (has_secret(r, c) || args == NULL || strlen(args) > ARGS_MAX) {
		free(args);
		request_refuse(r, "failed", NULL, "%s wants the approval of a second administrator, and cannot wait for it: %s", c->name,
			has_secret(r, c) ? "a secret is not kept" : "its fields are too long");
		return;
	}
	k = xalloc(sizeof *k + strlen(args) + 1);
	strcpy(k->args, args);
	free(args);
	loop_random(r->daemon->loop, raw, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		snprintf(k->id + 2 * i, 3, "%02x", raw[i]);
	r->data = k;
	request_on_storage(r, run_keep, NULL);
}

/* --- shown --- */

static void on_rows(void *arg, const struct db_rows *rows)
{
	char asked[STERNA_STAMP_LEN], expires[STERNA_STAMP_LEN];

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		json_t *args = json_loads(db_str(rows, i, 5, NULL), 0, NULL);

		json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", db_str(rows, i, 0, NULL),
			"command", db_str(rows, i, 1, NULL), "accountjid", db_str(rows, i, 2, NULL), "host", db_str(rows, i, 3, NULL),
			"door", db_str(rows, i, 4, NULL), "asked", sterna_stamp_us(db_int(rows, i, 6), asked), "expires",
			sterna_stamp_us(db_int(rows, i, 7), expires), "args", args != NULL ? args : json_object()));
	}
}

static void run_read(struct request *r, struct users *u)
{
	const char *id = request_arg(r, "id");
	json_t *rows = json_array();

	if (request_stored(r, users_read(u, &all, (const struct db_value[]){ DB_INT(r->asked_us), db_text(id != NULL ? id : "") },
		on_rows, rows), NULL, "what waits"))
		r->found = rows;
	else
		json_decref(rows);
}

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

/* What was asked at one host is for those who have a role there; else for those who have one on all. */
static bool may_see(const struct request *r, const json_t *row)
{
	const char *host = text_of(row, "host");

	return r->is_local || roles_of(admin_roles(r->admin), r->who, *host != '\0' ? host : NULL) != 0;
}

static void to_list(struct request *r)
{
	json_t *rows = r->found, *row;
	size_t i;

	r->found = json_array();
	json_array_foreach(rows, i, row)
		if (may_see(r, row))
			json_array_append(r->found, row);
	json_decref(rows);
	request_end(r);
}

static void pending_list(struct request *r)
{
	request_on_storage(r, run_read, to_list);
}

/* --- approved, refused --- */

/* The helper works one after the other: who finds the row here, and takes it away, is the only one. */
static void run_claim(struct request *r, struct users *u)
{
	const char *id = request_arg(r, "id");
	struct db_batch *b = users_batch(u);
	json_t *rows = json_array();

	db_batch_add(b, &drop, (const struct db_value[]){ db_text(id) });
	if (request_stored(r, users_read(u, &all, (const struct db_value[]){ DB_INT(r->asked_us), db_text(id) }, on_rows, rows), NULL,
		id) && json_array_size(rows) == 0)
		request_note(r, "not-found", "id", "nothing waits under '%s'", id);
	json_decref(rows);
	if (r->code[0] == '\0')
		(void)request_stored(r, users_commit(u, &b), NULL, id);
	else
		db_batch_drop(&b);
}

/* The row, or NULL: refused. */
static json_t *found_row(struct request *r)
{
	json_t *row = json_array_get(r->found, 0);

	if (row != NULL && may_see(r, row))
		return row;
	request_refuse(r, "not-found", "id", "nothing waits under '%s'; it may be over, or decided", request_arg(r, "id"));
	return NULL;
}

static void on_outcome(void *arg, const struct sterna_outcome *o)
{
	struct request *r = arg;

	if (o->code != NULL) {
		request_refuse(r, o->code, o->field, "%s", o->text != NULL ? o->text : o->code);
		return;
	}
	request_answer(r, json_pack("{s:s, s:O?}", "approved", request_arg(r, "id"), "result", o->result));
}

/* As the one who asked, with their roles as they are now. */
static void ask_as(struct request *r, const json_t *row, enum request_kind kind, const char *who, request_done_fn *done)
{
	const char *host = text_of(row, "host"), *word[8];
	char *name = xstrdup(text_of(row, "command")), *save = NULL;
	const bool approver = kind == REQUEST_CHECK;
	int count = 0;

	for (char *w = strtok_r(name, " ", &save); w != NULL && count < 8; w = strtok_r(NULL, " ", &save))
		word[count++] = w;
	const struct ask ask = { .kind = kind, .door = r->door, .who = who, .host = *host != '\0' ? host : NULL, .word = word,
		.count = count, .is_local = approver && r->is_local, .token = approver ? r->token : NULL,
		.scopes = approver ? r->scopes : NULL, .approved_by = approver ? NULL : r->who,
		.args = json_deep_copy(json_object_get(row, "args")), .done = done, .arg = r };

	admin_ask(r->admin, &ask);
	free(name);
}

static void run_it(struct request *r)
{
	const json_t *row = json_array_get(r->found, 0);
	char *who = xstrdup(text_of(row, "accountjid"));

	ask_as(r, row, REQUEST_RUN, who, on_outcome);
	free(who);
}

/* The approver might have done it: then it may be claimed. */
static void on_checked(void *arg, const struct sterna_outcome *o)
{
	struct request *r = arg;

	if (o->code != NULL)
		request_refuse(r, o->code, o->field, "%s", o->text != NULL ? o->text : o->code);
	else
		request_on_storage(r, run_claim, run_it);
}

static void to_approve(struct request *r)
{
	const json_t *row = found_row(r);

	if (row == NULL)
		return;
	if (strcmp(text_of(row, "accountjid"), r->who) == 0)
		request_refuse(r, "forbidden", "id", "who asks for a command does not approve it");
	else
		ask_as(r, row, REQUEST_CHECK, r->who, on_checked);
}

static void pending_approve(struct request *r)
{
	request_on_storage(r, run_read, to_approve);
}

static void refused(struct request *r)
{
	json_decref(r->found);
	r->found = NULL;
	request_end(r);
}

static void on_may_refuse(void *arg, const struct sterna_outcome *o)
{
	struct request *r = arg;

	/* A field that is wrong by now is a reason to refuse, and no reason not to. */
	if (o->code != NULL && strcmp(o->code, "forbidden") == 0)
		request_refuse(r, o->code, o->field, "%s", o->text);
	else
		request_on_storage(r, run_claim, refused);
}

static void to_refuse(struct request *r)
{
	const json_t *row = found_row(r);

	if (row == NULL)
		return;
	if (strcmp(text_of(row, "accountjid"), r->who) == 0)
		request_on_storage(r, run_claim, refused); /* taken back */
	else
		ask_as(r, row, REQUEST_CHECK, r->who, on_may_refuse);
}

static void pending_refuse(struct request *r)
{
	request_on_storage(r, run_read, to_refuse);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field approve_fields[] = {
	{ "id", STERNA_FIELD_TEXT, true, "Which, as 'pending list' shows it", NULL }, { 0 } };
static const struct sterna_field refuse_fields[] = {
	{ "id", STERNA_FIELD_TEXT, true, "Which, as 'pending list' shows it", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why; for the audit", NULL }, { 0 } };

enum { ALL = STERNA_ADMIN | STERNA_OPERATOR | STERNA_AUDITOR | STERNA_SUPPORT };

const struct command pending_commands[] = {
	{ .c = { .name = "pending approve", .roles = ALL, .fields = approve_fields, .args = "ID",
		.summary = "let a command run that another administrator has asked for" }, .fn = pending_approve },
	{ .c = { .name = "pending list", .roles = ALL, .flags = STERNA_COMMAND_READ, .fields = none,
		.summary = "commands that wait for the approval of a second administrator" }, .fn = pending_list },
	{ .c = { .name = "pending refuse", .roles = ALL, .fields = refuse_fields, .args = "ID [REASON]",
		.summary = "a command that waits is not run; one's own is taken back" }, .fn = pending_refuse },
	{ .fn = NULL }
};
