-- Whom the server keeps out, or lets log in slowly, and until when.
CREATE TABLE isolation (
	kind text NOT NULL,                   -- address, domain, account, slow address, slow account
	target text NOT NULL,
	until bigint NOT NULL,                  -- microseconds since 1970
	reason text,
	who text NOT NULL,
	PRIMARY KEY (kind, target)
);
