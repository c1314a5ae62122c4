-- Who was given which role of administration; host '': for all.
CREATE TABLE admin_role (
	jid text COLLATE "C" NOT NULL,
	host text COLLATE "C" NOT NULL,
	role text NOT NULL,
	granted_by text NOT NULL,
	granted bigint NOT NULL,
	PRIMARY KEY (jid, host)
);

-- Messages of the day ('motd') and of welcome, and who has seen which.
CREATE TABLE notice (
	host text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	text text NOT NULL,
	set_us bigint NOT NULL,
	PRIMARY KEY (host, kind)
);
CREATE TABLE notice_seen (
	owner text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	set_us bigint NOT NULL,
	PRIMARY KEY (owner, kind)
);

-- Whom a host does not, or only, communicate with. list: black or white; direction: 1 in, 2 out.
CREATE TABLE access_list (
	host text COLLATE "C" NOT NULL,
	list text COLLATE "C" NOT NULL,
	direction smallint NOT NULL,
	jid text COLLATE "C" NOT NULL,
	PRIMARY KEY (host, list, direction, jid)
);
