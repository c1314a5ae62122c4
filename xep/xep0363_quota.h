/* xep0363_quota.h - what one account may keep and upload where that is not what the configuration says: administrators'
 * commands, and their statements, which the module "upload" reads. */
#ifndef XEP_XEP0363_QUOTA_H
#define XEP_XEP0363_QUOTA_H

#include "server/module.h"

struct upload_config {
	struct sterna_list domains, types;
	const char *folder;
	struct sterna_size max_size, account_bytes, account_bytes_per_day;
	struct sterna_duration keep, slot_time;
	struct sterna_bucket s3;
};

/** What an account keeps, and has uploaded since a time: four columns, the last two its own limits or NULL. Parameters: the
 *  account, since when files are kept, since when the day counts; seconds. */
extern const struct db_stmt upload_sums;
/** Of an account that is gone. */
extern const struct db_stmt upload_quota_drop;
extern const struct sterna_command upload_commands[];
/** The limit in that column of upload_sums, or the configuration's. */
uint64_t upload_limit(const struct sterna_rows *rows, size_t column, const struct sterna_size *otherwise);

#endif
