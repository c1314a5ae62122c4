-- The core's tables. Owners are bare JIDs; times are microseconds since 1970. See 0001_core.pg.sql.
CREATE TABLE account (
	jid text PRIMARY KEY,
	created bigint NOT NULL,
	state smallint NOT NULL DEFAULT 0,      -- 0 active, 1 disabled
	disabled_reason text,
	last_logout bigint,
	last_status text
) WITHOUT ROWID;

CREATE TABLE credential (
	jid text NOT NULL,
	mech text NOT NULL,                     -- 'SCRAM-SHA-1', …
	salt blob NOT NULL,
	iterations integer NOT NULL,
	stored_key blob NOT NULL,
	server_key blob NOT NULL,
	PRIMARY KEY (jid, mech)
) WITHOUT ROWID;

CREATE TABLE roster (
	owner text NOT NULL,
	contact text NOT NULL,
	name text,
	subscription smallint NOT NULL DEFAULT 0,
	ask smallint NOT NULL DEFAULT 0,
	pending_in smallint NOT NULL DEFAULT 0,
	approved smallint NOT NULL DEFAULT 0,
	stanza text,                            -- the presence that asked to subscribe, while it is pending
	groups text,                            -- a JSON array
	version bigint NOT NULL DEFAULT 0,
	removed smallint NOT NULL DEFAULT 0,    -- 1: a tombstone, for roster versioning
	PRIMARY KEY (owner, contact)
) WITHOUT ROWID;

CREATE TABLE archive (
	owner text NOT NULL,
	id bigint NOT NULL,                     -- milliseconds since 1970 << 20 | low bits
	peer text NOT NULL,                     -- bare JID of the other side
	resource text,
	flags integer NOT NULL DEFAULT 0,
	kind smallint NOT NULL DEFAULT 0,
	sm text,
	origin_id text,
	stanza text NOT NULL,
	PRIMARY KEY (owner, id)
);
CREATE INDEX archive_peer ON archive (owner, peer, id);
CREATE INDEX archive_offline ON archive (owner, id) WHERE (flags & 2) <> 0;

CREATE TABLE sm_session (
	sid bigint PRIMARY KEY,
	owner text NOT NULL,
	resource text NOT NULL,
	token_hash blob NOT NULL,
	position bigint NOT NULL,
	acked_out bigint NOT NULL,
	h_in bigint NOT NULL,
	state text,
	created bigint NOT NULL,
	expires bigint NOT NULL
);
CREATE INDEX sm_session_owner ON sm_session (owner);

CREATE TABLE private_xml (
	owner text NOT NULL,
	ns text NOT NULL,
	name text NOT NULL,
	xml text NOT NULL,
	PRIMARY KEY (owner, ns, name)
);

CREATE TABLE vcard (
	owner text PRIMARY KEY,
	xml text NOT NULL,
	photo_hash text
);

CREATE TABLE blocklist (
	owner text NOT NULL,
	jid text NOT NULL,
	created bigint NOT NULL,
	PRIMARY KEY (owner, jid)
) WITHOUT ROWID;

CREATE TABLE archive_prefs (
	owner text PRIMARY KEY,
	mode text NOT NULL,
	always text,                            -- JSON arrays
	never text
);

CREATE TABLE fast_token (
	owner text NOT NULL,
	client_id text NOT NULL,
	slot smallint NOT NULL,                 -- 0 current, 1 new (not used yet)
	mech text NOT NULL,
	token_hash blob NOT NULL,
	created bigint NOT NULL,
	expires bigint NOT NULL,
	counter bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (owner, client_id, slot)
) WITHOUT ROWID;

CREATE TABLE kv (
	ns text NOT NULL,
	key text NOT NULL,
	value blob NOT NULL,
	PRIMARY KEY (ns, key)
) WITHOUT ROWID;
