-- Invitations (XEP-0401, XEP-0445). token: SHA-256 of it, in hexadecimal.
CREATE TABLE invite (
	token text PRIMARY KEY,
	host text NOT NULL,
	inviter text NOT NULL,                  -- bare JID; "": the operator
	username text NOT NULL,                 -- localpart that is kept for it; "": any
	contact bigint NOT NULL,                -- 1: inviter and invited become contacts
	account bigint NOT NULL,                -- 1: an account may be made with it
	created bigint NOT NULL,                -- microseconds since 1970
	expires bigint NOT NULL
);
CREATE INDEX invite_inviter ON invite (inviter);
CREATE INDEX invite_username ON invite (host, username);
CREATE TABLE invite_use (
	token text PRIMARY KEY,
	account text NOT NULL,                  -- bare JID of who used it
	used bigint NOT NULL
);
