-- Whom the server keeps out, or lets log in slowly, and until when.
CREATE TABLE isolation (
	kind text COLLATE "C" NOT NULL,                   -- address, domain, account, slow address, slow account
	target text COLLATE "C" NOT NULL,
	until bigint NOT NULL,                  -- microseconds since 1970
	reason text,
	who text COLLATE "C" NOT NULL,
	PRIMARY KEY (kind, target)
);
