-- The core's tables. Owners are bare JIDs; times are microseconds since 1970.
-- Text is compared by bytes (the C collation), as everywhere in the server, and as SQLite does.
CREATE TABLE account (
	jid text COLLATE "C" PRIMARY KEY,
	created bigint NOT NULL,
	state smallint NOT NULL DEFAULT 0,      -- 0 active, 1 disabled
	disabled_reason text,
	last_logout bigint,
	last_status text
);

CREATE TABLE credential (
	jid text COLLATE "C" NOT NULL,
	mech text COLLATE "C" NOT NULL,                     -- 'SCRAM-SHA-1', …
	salt bytea NOT NULL,
	iterations integer NOT NULL,
	stored_key bytea NOT NULL,
	server_key bytea NOT NULL,
	PRIMARY KEY (jid, mech)
);

CREATE TABLE roster (
	owner text COLLATE "C" NOT NULL,
	contact text COLLATE "C" NOT NULL,
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
);

CREATE TABLE archive (
	owner text COLLATE "C" NOT NULL,
	id bigint NOT NULL,                     -- milliseconds since 1970 << 20 | low bits
	peer text COLLATE "C" NOT NULL,                     -- bare JID of the other side
	resource text,
	flags integer NOT NULL DEFAULT 0,
	kind smallint NOT NULL DEFAULT 0,
	sm text,
	origin_id text,
	stanza text NOT NULL,
	PRIMARY KEY (owner, id)
) PARTITION BY RANGE (id);
-- Nothing is ever refused for want of a partition; archive_partitions() moves out of here what belongs elsewhere.
CREATE TABLE archive_default PARTITION OF archive DEFAULT;
CREATE INDEX archive_peer ON archive (owner, peer, id);
CREATE INDEX archive_offline ON archive (owner, id) WHERE (flags & 2) <> 0;

-- The partition of one month (UTC), created if it is not there.
CREATE FUNCTION archive_partition(month timestamp) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	part text := 'archive_' || to_char(month, 'YYYY_MM');
	low bigint := (extract(epoch FROM month) * 1000)::bigint << 20;
	high bigint := (extract(epoch FROM month + interval '1 month') * 1000)::bigint << 20;
BEGIN
	IF to_regclass(part) IS NOT NULL THEN
		RETURN;
	END IF;
	LOCK TABLE archive_default IN ACCESS EXCLUSIVE MODE;
	EXECUTE format('CREATE TABLE %I (LIKE archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
	EXECUTE format('WITH moved AS (DELETE FROM archive_default WHERE id >= %s AND id < %s RETURNING *)'
		' INSERT INTO %I SELECT * FROM moved', low, high, part);
	EXECUTE format('ALTER TABLE archive ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, low, high);
END $$;

-- This month's partition and those of the next two; one node at a time. Rather none today than a queue of
-- writers behind a lock that a long read holds up.
CREATE FUNCTION archive_partitions(now_ms bigint) RETURNS void LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
	month timestamp := date_trunc('month', to_timestamp(now_ms / 1000) AT TIME ZONE 'UTC');
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('sterna archive_partitions'));
	FOR i IN 0..2 LOOP
		PERFORM archive_partition(month + make_interval(months => i));
	END LOOP;
END $$;

CREATE TABLE sm_session (
	sid bigint PRIMARY KEY,
	owner text COLLATE "C" NOT NULL,
	resource text NOT NULL,
	token_hash bytea NOT NULL,
	position bigint NOT NULL,
	acked_out bigint NOT NULL,
	h_in bigint NOT NULL,
	state text,
	created bigint NOT NULL,
	expires bigint NOT NULL
);
CREATE INDEX sm_session_owner ON sm_session (owner);

CREATE TABLE private_xml (
	owner text COLLATE "C" NOT NULL,
	ns text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	xml text NOT NULL,
	PRIMARY KEY (owner, ns, name)
);

CREATE TABLE vcard (
	owner text COLLATE "C" PRIMARY KEY,
	xml text NOT NULL,
	photo_hash text
);

CREATE TABLE blocklist (
	owner text COLLATE "C" NOT NULL,
	jid text COLLATE "C" NOT NULL,
	created bigint NOT NULL,
	PRIMARY KEY (owner, jid)
);

CREATE TABLE archive_prefs (
	owner text COLLATE "C" PRIMARY KEY,
	mode text NOT NULL,
	always text,                            -- JSON arrays
	never text
);

CREATE TABLE fast_token (
	owner text COLLATE "C" NOT NULL,
	client_id text COLLATE "C" NOT NULL,
	slot smallint NOT NULL,                 -- 0 current, 1 new (not used yet)
	mech text COLLATE "C" NOT NULL,
	token_hash bytea NOT NULL,
	created bigint NOT NULL,
	expires bigint NOT NULL,
	counter bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (owner, client_id, slot)
);

CREATE TABLE kv (
	ns text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	value bytea NOT NULL,
	PRIMARY KEY (ns, key)
);
