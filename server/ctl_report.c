/* ctl_report.c - sternactl report …: what users have reported (XEP-0377), on the storage. */
#include "server/ctl.h"
#include <stdlib.h>
#include <time.h>
#include "server/user_impl.h"

static const struct db_stmt select_page = {
	.name = "report_page", .params = "i", .columns = "itttttii",
	.sql = "SELECT reported_at, reporter, reported, reason, explanation, messages, to_origin, to_others FROM abuse_report"
	       " ORDER BY reported_at DESC LIMIT $1",
};
static const struct db_stmt drop_until = {
	.name = "report_drop", .params = "i", .sql = "DELETE FROM abuse_report WHERE reported_at < $1",
};

static const char *text_at(const struct db_rows *rows, size_t row, size_t column)
{
	return db_is_null(rows, row, column) ? "" : db_str(rows, row, column, NULL);
}

static void on_rows(void *arg, const struct db_rows *rows)
{
	json_t *list = arg;

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		char when[32];
		json_t *messages = json_loads(text_at(rows, i, 5), 0, NULL);

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:b}", "time",
			ctl_time(db_int(rows, i, 0), when), "by", text_at(rows, i, 1), "jid", text_at(rows, i, 2), "reason",
			text_at(rows, i, 3), "text", text_at(rows, i, 4), "messages", messages != NULL ? messages : json_array(),
			"to_origin", db_int(rows, i, 6) != 0, "to_others", db_int(rows, i, 7) != 0));
	}
}

static void show_list(const json_t *rows)
{
	static const char *const keys[] = { "time", "jid", "reason", "by", "text", NULL },
		*const titles[] = { "TIME", "REPORTED", "REASON", "BY", "TEXT", NULL };

	ctl_table(rows, keys, titles);
}

static bool number_of(const char *text, long *out)
{
	char *end = NULL;

	*out = strtol(text, &end, 10);
	return end != text && *end == '\0' && *out > 0 && *out <= 100000;
}

static enum ctl_exit list_command(struct ctl *c)
{
	json_t *list = json_array();
	long limit = 100;
	enum ctl_exit code = CTL_OK;

	if (c->arg_count > 0 && !number_of(c->args[0], &limit))
		code = ctl_fail(CTL_USAGE, "how many: a number from 1 to 100000");
	if (code == CTL_OK)
		code = ctl_need_storage(c);
	if (code == CTL_OK) {
		const enum sterna_result rc = users_read(c->users, &select_page, (const struct db_value[]){ DB_INT(limit) },
			on_rows, list);

		if (rc != STERNA_OK)
			code = ctl_fail_result(rc, "reports");
	}
	if (code == CTL_OK)
		ctl_print(c, list, show_list);
	else
		json_decref(list);
	return code;
}

static enum ctl_exit drop_command(struct ctl *c)
{
	enum ctl_exit code;
	long days = 0;

	if (!number_of(c->args[0], &days))
		return ctl_fail(CTL_USAGE, "older than how many days: a number from 1 on");
	code = ctl_need_storage(c);
	if (code != CTL_OK)
		return code;
	struct db_batch *b = users_batch(c->users);

	db_batch_add(b, &drop_until, (const struct db_value[]){ DB_INT(((int64_t)time(NULL) - days * 86400) * 1000000) });
	const enum sterna_result rc = users_commit(c->users, &b);

	if (rc != STERNA_OK)
		return ctl_fail_result(rc, "reports");
	if (!c->json)
		puts("dropped");
	return CTL_OK;
}

const struct ctl_command ctl_report_commands[] = {
	{ "report list", "[COUNT]", "what users have reported with a block, the newest first", NULL, 0, 1, list_command },
	{ "report drop", "DAYS", "forget reports that are older", NULL, 1, 1, drop_command },
	{ 0 }
};
