-- What scripts show instead of a password (REST): the SHA-256 of each, whose it is, what it is good for. Microseconds.
CREATE TABLE api_token (
	id text COLLATE "C" PRIMARY KEY,
	hash text NOT NULL,
	owner text COLLATE "C" NOT NULL,
	scopes text NOT NULL,
	label text NOT NULL,
	created bigint NOT NULL,
	created_by text NOT NULL,
	expires bigint NOT NULL,
	used bigint NOT NULL DEFAULT 0
);
CREATE INDEX api_token_owner ON api_token (owner);
