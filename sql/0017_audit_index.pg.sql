-- Only what has its place in the chain is in the index of places.
DROP INDEX audit_event_seq;
CREATE UNIQUE INDEX audit_event_seq ON audit_event (seq) WHERE seq IS NOT NULL;
