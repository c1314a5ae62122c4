-- What waits for other servers. Times are microseconds since 1970.
CREATE TABLE s2s_queue (
	remote text COLLATE "C" NOT NULL,
	local text COLLATE "C" NOT NULL,
	id bigint NOT NULL,                     -- grows in the order of the queue
	owner text COLLATE "C",                           -- whose row of the archive has the stanza; NULL: it is here
	archive_id bigint,
	stanza text,
	expires bigint NOT NULL,
	PRIMARY KEY (remote, local, id)
);
