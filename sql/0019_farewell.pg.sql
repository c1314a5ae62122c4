-- What the contacts of a deleted account are to be told: farewell.h.
CREATE TABLE farewell (
	owner text COLLATE "C" NOT NULL,        -- the account that was deleted
	contact text COLLATE "C" NOT NULL,
	subscription smallint NOT NULL,         -- what it was; 1: to, or asked for, 2: from, or asked for by the contact
	PRIMARY KEY (owner, contact)
);
