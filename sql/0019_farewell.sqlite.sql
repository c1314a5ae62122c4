-- What the contacts of a deleted account are to be told: see 0019_farewell.pg.sql.
CREATE TABLE farewell (
	owner text NOT NULL,
	contact text NOT NULL,
	subscription smallint NOT NULL,
	PRIMARY KEY (owner, contact)
);
