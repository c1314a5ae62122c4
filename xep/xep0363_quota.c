/* XEP-0363: quotas of single accounts, by command. */
#include "xep/xep0363_quota.h"
#include <jansson.h>
#include <stdlib.h>

enum { DAY_S = 86400 };

const struct db_stmt upload_sums = {
	.name = "upload_sums", .params = "tii", .columns = "iiii",
	.sql = "SELECT CAST(coalesce(sum(size), 0) AS bigint), "
	       "CAST(coalesce(sum(CASE WHEN created >= $3 THEN size ELSE 0 END), 0) AS bigint), "
	       "(SELECT q.bytes FROM upload_quota q WHERE q.owner = $1), "
	       "(SELECT q.day_bytes FROM upload_quota q WHERE q.owner = $1) "
	       "FROM upload_slot WHERE owner = $1 AND created >= $2",
};
static const struct db_stmt put = {
	.name = "upload_quota_put", .params = "tii",
	.sql = "INSERT INTO upload_quota (owner, bytes, day_bytes) VALUES ($1, $2, $3) ON CONFLICT (owner) DO UPDATE SET "
	       "bytes = excluded.bytes, day_bytes = excluded.day_bytes",
};
const struct db_stmt upload_quota_drop = {
	.name = "upload_quota_drop", .params = "t", .sql = "DELETE FROM upload_quota WHERE owner = $1",
};

uint64_t upload_limit(const struct sterna_rows *rows, size_t column, const struct sterna_size *otherwise)
{
	return rows->count == 0 || db_is_null(rows->db, 0, column) ? otherwise->bytes : (uint64_t)db_int(rows->db, 0, column);
}

static enum sterna_verdict on_sums(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct upload_config *cfg = sterna_config(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "it cannot be read now");
	sterna_command_result(c, json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "accountjid", sterna_owner(c),
		"bytes", (json_int_t)db_int(rows->db, 0, 0), "limit", (json_int_t)upload_limit(rows, 2, &cfg->account_bytes),
		"bytes_today", (json_int_t)db_int(rows->db, 0, 1), "limit_today",
		(json_int_t)upload_limit(rows, 3, &cfg->account_bytes_per_day), "own", !db_is_null(rows->db, 0, 2)));
	return STERNA_DONE;
}

static enum sterna_verdict show(struct sterna_call *c)
{
	const struct upload_config *cfg = sterna_config(c);
	const int64_t now = sterna_now(c);

	return sterna_read(c, on_sums, &upload_sums, sterna_owner(c), now - cfg->keep.us / 1000000, now - DAY_S);
}

static enum sterna_verdict set(struct sterna_call *c)
{
	const struct upload_config *cfg = sterna_config(c);
	const char *day = sterna_command_arg(c, "day-bytes");
	const int64_t bytes = strtoll(sterna_command_arg(c, "bytes"), NULL, 10);

	sterna_write(c, &put, sterna_owner(c), bytes, day != NULL ? strtoll(day, NULL, 10)
		: (int64_t)(cfg->account_bytes_per_day.bytes < (uint64_t)bytes ? cfg->account_bytes_per_day.bytes : (uint64_t)bytes));
	return STERNA_DONE;
}

static enum sterna_verdict clear(struct sterna_call *c)
{
	sterna_write(c, &upload_quota_drop, sterna_owner(c));
	return STERNA_DONE;
}

static const struct sterna_field account[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL }, { 0 } };
static const struct sterna_field set_fields[] = {
	{ "accountjid", STERNA_FIELD_ACCOUNT, true, "The Jabber ID", NULL },
	{ "bytes", STERNA_FIELD_NUMBER, true, "of its files that are kept", NULL },
	{ "day-bytes", STERNA_FIELD_NUMBER, false, "that it may upload in 24 hours; default: the configuration's", NULL }, { 0 } };

const struct sterna_command upload_commands[] = {
	{ .name = "quota show", .roles = STERNA_ADMIN | STERNA_OPERATOR | STERNA_SUPPORT, .flags = STERNA_COMMAND_READ,
	  .fields = account, .args = "JID", .summary = "how much of its quotas for files an account uses", .run = show,
	  .place = STERNA_ON_OWNER },
	{ .name = "quota set", .roles = STERNA_ADMIN, .fields = set_fields, .args = "JID BYTES [DAY-BYTES]",
	  .summary = "quotas for files of one account", .run = set, .place = STERNA_ON_OWNER },
	{ .name = "quota clear", .roles = STERNA_ADMIN, .fields = account, .args = "JID",
	  .summary = "the configuration's quotas for files again", .run = clear, .place = STERNA_ON_OWNER },
	{ 0 }
};
