-- The id is the row's own number, and only what has its place in the chain is in the index of places.
CREATE TABLE audit_event_again (
	id integer PRIMARY KEY,                 -- milliseconds since 1970 << 20 | low bits
	key text NOT NULL,                      -- account, room or host: order holds for it
	type text NOT NULL,
	event text NOT NULL,                    -- CloudEvents, canonical JSON
	seq bigint,
	hash text                               -- SHA-256, hexadecimal
);
INSERT INTO audit_event_again (id, key, type, event, seq, hash) SELECT id, key, type, event, seq, hash FROM audit_event;
DROP TABLE audit_event;
ALTER TABLE audit_event_again RENAME TO audit_event;
CREATE UNIQUE INDEX audit_event_seq ON audit_event (seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_event_fresh ON audit_event (id) WHERE seq IS NULL;
