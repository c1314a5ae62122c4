/* audit_search.c - the audit's records as a command: of one type, account, room or host, of a time; the newest first. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "modules/audit.h"

enum { COUNT_MAX = 10000 };

static const struct db_stmt search = {
	.name = "audit_search", .params = "ttiii", .columns = "iti",
	.sql = "SELECT id, event, seq FROM audit_event WHERE ($1 = '' OR type = $1) AND ($2 = '' OR key = $2) AND id >= $3 AND id < $4 "
	       "ORDER BY id DESC LIMIT $5",
};

static json_t *row_json(const char *event, int64_t seq)
{
	static const char *const keys[] = { "time", "type", "subject", "host", "id", "data", NULL };
	json_t *record = json_loads(event, 0, NULL), *row = json_object();

	for (const char *const *key = keys; *key != NULL; key++) {
		json_t *value = json_object_get(record, *key);

		json_object_set_new(row, *key, value != NULL ? json_incref(value) : json_null());
	}
	json_object_set_new(row, "seq", seq > 0 ? json_integer(seq) : json_null());
	json_decref(record);
	return row;
}

static enum sterna_verdict on_rows(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	json_t *list;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the records cannot be read now");
	list = json_array();
	for (size_t i = 0; i < rows->count; i++)
		json_array_append_new(list, row_json(db_str(rows->db, i, 1, NULL), db_int(rows->db, i, 2)));
	sterna_command_result(c, list);
	return STERNA_DONE;
}

/* "login.failed", or as it stands in the record. */
static const char *full_type(struct sterna_call *c, const char *type)
{
	if (type == NULL)
		return "";
	return strncmp(type, "sterna.", 7) == 0 ? type : sterna_printf(c, "sterna.%s.v1", type);
}

/* @return false: it is no time */
static bool take_time(const char *stamp, int64_t otherwise, int64_t *id)
{
	int64_t us;

	*id = otherwise;
	if (stamp == NULL)
		return true;
	if (sterna_parse_stamp(stamp, &us) != STERNA_OK || us < 0)
		return false;
	*id = us / 1000 > INT64_MAX >> 20 ? INT64_MAX : us / 1000 << 20; /* ids end in the year 2248 */
	return true;
}

enum sterna_verdict audit_search(struct sterna_call *c)
{
	const char *key = sterna_command_arg(c, "key"), *count = sterna_command_arg(c, "count");
	const int64_t limit = count != NULL ? strtoll(count, NULL, 10) : 100;
	int64_t since, until;

	if (!take_time(sterna_command_arg(c, "since"), 0, &since) || !take_time(sterna_command_arg(c, "until"), INT64_MAX, &until))
		return sterna_reject(c, STERNA_BAD_REQUEST, "since, until: a time is written as 2026-01-31T12:00:00Z");
	if (limit < 1 || limit > COUNT_MAX)
		return sterna_reject(c, STERNA_BAD_REQUEST, "count: a number from 1 to 10000");
	return sterna_read(c, on_rows, &search, full_type(c, sterna_command_arg(c, "type")), key != NULL ? key : "", since, until,
		limit);
}

const struct sterna_field audit_search_fields[] = {
	{ "type", STERNA_FIELD_TEXT, false, "as login.failed, room.affiliation; default: all", NULL },
	{ "key", STERNA_FIELD_TEXT, false, "of this account, room or host; default: all", NULL },
	{ "since", STERNA_FIELD_TEXT, false, "not before this time, 2026-01-31T12:00:00Z", NULL },
	{ "until", STERNA_FIELD_TEXT, false, "before this time", NULL },
	{ "count", STERNA_FIELD_NUMBER, false, "at most so many, the newest; default: 100", NULL }, { 0 } };
