/* command_report.c - what users have reported (XEP-0377), as commands; ctl_report.c has the same without a server. */
#include <stdlib.h>
#include "server/datetime.h"
#include "server/request.h"
#include "server/user_impl.h"

enum { COUNT_MAX = 10000 };
#define DAY_US INT64_C(86400000000)

static const struct db_stmt page = {
	.name = "command_reports", .params = "ti", .columns = "itttttiit",
	.sql = "SELECT reported_at, reporter, reported, reason, explanation, messages, to_origin, to_others, host FROM abuse_report "
	       "WHERE $1 = '' OR host = $1 ORDER BY reported_at DESC LIMIT $2",
};
static const struct db_stmt drop = {
	.name = "command_report_drop", .params = "ti",
	.sql = "DELETE FROM abuse_report WHERE reported_at < $2 AND ($1 = '' OR host = $1)",
};

static const char *host_of(const struct request *r)
{
	return r->host != NULL ? r->host : "";
}

static const char *text_at(const struct db_rows *rows, size_t row, size_t column)
{
	return db_is_null(rows, row, column) ? "" : db_str(rows, row, column, NULL);
}

static void on_rows(void *arg, const struct db_rows *rows)
{
	char stamp[STERNA_STAMP_LEN];

	for (size_t i = 0; i < db_rows_count(rows); i++) {
		json_t *messages = json_loads(text_at(rows, i, 5), 0, NULL);

		json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:b}", "time",
			sterna_stamp_us(db_int(rows, i, 0), stamp), "by", text_at(rows, i, 1), "jid", text_at(rows, i, 2), "reason",
			text_at(rows, i, 3), "text", text_at(rows, i, 4), "host", text_at(rows, i, 8), "messages", messages != NULL
			? messages : json_array(), "to_origin", (int)(db_int(rows, i, 6) != 0), "to_others",
			(int)(db_int(rows, i, 7) != 0)));
	}
}

static void run_list(struct request *r, struct users *u)
{
	const char *count = request_arg(r, "count");
	json_t *rows = json_array();

	if (request_stored(r, users_read(u, &page, (const struct db_value[]){ db_text(host_of(r)),
		DB_INT(count != NULL ? strtoll(count, NULL, 10) : 100) }, on_rows, rows), NULL, "reports"))
		r->found = rows;
	else
		json_decref(rows);
}

static bool in_range(struct request *r, const char *field, long long max)
{
	const char *text = request_arg(r, field);
	const long long n = text != NULL ? strtoll(text, NULL, 10) : 1;

	if (n >= 1 && n <= max)
		return true;
	request_refuse(r, "usage", field, "a number from 1 to %lld", max);
	return false;
}

static void report_list(struct request *r)
{
	if (in_range(r, "count", COUNT_MAX))
		request_on_storage(r, run_list, NULL);
}

static void run_drop(struct request *r, struct users *u)
{
	struct db_batch *b = users_batch(u);

	db_batch_add(b, &drop, (const struct db_value[]){ db_text(host_of(r)),
		DB_INT(r->asked_us - strtoll(request_arg(r, "days"), NULL, 10) * DAY_US) });
	(void)request_stored(r, users_commit(u, &b), NULL, "reports");
}

static void report_drop(struct request *r)
{
	if (in_range(r, "days", 100000))
		request_on_storage(r, run_drop, NULL);
}

static const struct sterna_field list_fields[] = {
	{ "count", STERNA_FIELD_NUMBER, false, "at most so many, the newest; default: 100", NULL }, { 0 } };
static const struct sterna_field drop_fields[] = {
	{ "days", STERNA_FIELD_NUMBER, true, "Older than so many days", NULL }, { 0 } };

const struct command report_commands[] = {
	{ .c = { .name = "report drop", .roles = STERNA_ADMIN, .fields = drop_fields, .args = "DAYS",
		.summary = "forget reports that are older" }, .fn = report_drop },
	{ .c = { .name = "report list", .roles = STERNA_ADMIN | STERNA_SUPPORT, .flags = STERNA_COMMAND_READ,
		.fields = list_fields, .args = "[COUNT]", .summary = "what users have reported, the newest first" }, .fn = report_list },
	{ .fn = NULL }
};
