-- Rooms (XEP-0045). room: its bare JID. Times are microseconds since 1970. What was said is in the table archive.

CREATE TABLE muc_room (
	room text COLLATE "C" PRIMARY KEY,
	host text COLLATE "C" NOT NULL,
	config text NOT NULL,                   -- JSON: the fields of muc#roomconfig
	name text,
	listed smallint NOT NULL,               -- 1: public, and not locked
	locked smallint NOT NULL,
	created bigint NOT NULL,
	version bigint NOT NULL,                -- of the affiliations (XEP-0463)
	occupant_key bytea NOT NULL,            -- of occupant ids (XEP-0421)
	subject text,                           -- the message that set it, as XML
	subject_at bigint NOT NULL,
	vcard text,
	photo_hash text
);
CREATE INDEX muc_room_host ON muc_room (host, room) WHERE listed = 1;

CREATE TABLE muc_member (
	room text COLLATE "C" NOT NULL,
	jid text COLLATE "C" NOT NULL,          -- bare; or a domain that is banned
	affiliation smallint NOT NULL,          -- 0 outcast, 1 none (with a nick), 2 member, 3 admin, 4 owner
	nick text,                              -- reserved
	reason text,
	PRIMARY KEY (room, jid)
);
CREATE INDEX muc_member_jid ON muc_member (jid, affiliation);

CREATE TABLE muc_session (
	room text COLLATE "C" NOT NULL,
	jid text COLLATE "C" NOT NULL,          -- full
	nick text COLLATE "C" NOT NULL,
	role smallint NOT NULL,
	presence text,                          -- as it is shown, XML
	PRIMARY KEY (room, jid)
);

CREATE TABLE muc_hat (
	room text COLLATE "C" NOT NULL,
	jid text COLLATE "C" NOT NULL,          -- bare
	uri text COLLATE "C" NOT NULL,
	title text NOT NULL,
	PRIMARY KEY (room, jid, uri)
);
