-- What waits for other servers. Times are microseconds since 1970.
CREATE TABLE s2s_queue (
	remote text NOT NULL,
	local text NOT NULL,
	id bigint NOT NULL,                     -- grows in the order of the queue
	owner text,                           -- whose row of the archive has the stanza; NULL: it is here
	archive_id bigint,
	stanza text,
	expires bigint NOT NULL,
	PRIMARY KEY (remote, local, id)
) WITHOUT ROWID;
