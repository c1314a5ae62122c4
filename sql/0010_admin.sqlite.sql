-- Who was given which role of administration; host '': for all.
CREATE TABLE admin_role (
	jid text NOT NULL,
	host text NOT NULL,
	role text NOT NULL,
	granted_by text NOT NULL,
	granted bigint NOT NULL,
	PRIMARY KEY (jid, host)
) WITHOUT ROWID;

-- Messages of the day ('motd') and of welcome, and who has seen which.
CREATE TABLE notice (
	host text NOT NULL,
	kind text NOT NULL,
	text text NOT NULL,
	set_us bigint NOT NULL,
	PRIMARY KEY (host, kind)
) WITHOUT ROWID;
CREATE TABLE notice_seen (
	owner text NOT NULL,
	kind text NOT NULL,
	set_us bigint NOT NULL,
	PRIMARY KEY (owner, kind)
) WITHOUT ROWID;

-- Whom a host does not, or only, communicate with. list: black or white; direction: 1 in, 2 out.
CREATE TABLE access_list (
	host text NOT NULL,
	list text NOT NULL,
	direction smallint NOT NULL,
	jid text NOT NULL,
	PRIMARY KEY (host, list, direction, jid)
) WITHOUT ROWID;
