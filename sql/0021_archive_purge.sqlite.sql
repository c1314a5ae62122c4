-- Archives that are to go, up to an id: they are deleted in steps. A room of a name that was there before begins behind what
-- is left of it.

CREATE TABLE archive_purge (
	owner text PRIMARY KEY,
	up_to bigint NOT NULL
) WITHOUT ROWID;
ALTER TABLE muc_room ADD COLUMN archive_from bigint NOT NULL DEFAULT 0;
