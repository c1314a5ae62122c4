-- Commands that wait for a second administrator. args: JSON, without secrets. Microseconds.
CREATE TABLE admin_pending (
	id text PRIMARY KEY,
	command text NOT NULL,
	who text NOT NULL,
	host text NOT NULL,
	door text NOT NULL,
	args text NOT NULL,
	asked bigint NOT NULL,
	expires bigint NOT NULL
) WITHOUT ROWID;
