-- Quotas for files (XEP-0363) of accounts that have their own.
CREATE TABLE upload_quota (
	owner text PRIMARY KEY,
	bytes bigint NOT NULL,
	day_bytes bigint NOT NULL
) WITHOUT ROWID;
