-- The audit's records, written with what they are about; seq and hash: their place in the chain, given a moment later.
CREATE TABLE audit_event (
	id bigint PRIMARY KEY,                  -- milliseconds since 1970 << 20 | low bits
	key text NOT NULL,                   -- account, room or host: order holds for it
	type text NOT NULL,
	event text NOT NULL,                    -- CloudEvents, canonical JSON
	seq bigint,
	hash text                               -- SHA-256, hexadecimal
);
CREATE UNIQUE INDEX audit_event_seq ON audit_event (seq);
CREATE INDEX audit_event_fresh ON audit_event (id) WHERE seq IS NULL;

-- Up to which number records were 'sent' to Kafka, and 'pruned' (with the hash that the next one follows).
CREATE TABLE audit_mark (
	name text PRIMARY KEY,
	seq bigint NOT NULL,
	hash text
);
