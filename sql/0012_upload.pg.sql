-- Slots for uploads (XEP-0363): what counts against an account's quota.
CREATE TABLE upload_slot (
	slot text NOT NULL PRIMARY KEY,
	owner text NOT NULL,                    -- bare JID
	size bigint NOT NULL,                   -- bytes
	created bigint NOT NULL                 -- seconds since 1970
);
CREATE INDEX upload_slot_owner ON upload_slot (owner, created);
