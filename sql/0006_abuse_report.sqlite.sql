-- What users have reported when they blocked someone (XEP-0377).

CREATE TABLE abuse_report (
	reported_at integer NOT NULL,            -- microseconds since 1970
	reporter text NOT NULL,
	reported text NOT NULL,
	host text NOT NULL,                     -- the reporter's
	reason text NOT NULL,
	explanation text,
	messages text NOT NULL,                 -- JSON: [{"by": …, "id": …}, …]
	to_origin integer NOT NULL,             -- may be told to the reported one's server
	to_others integer NOT NULL,             -- may be told to third parties
	PRIMARY KEY (reported_at, reporter, reported)
);
CREATE INDEX abuse_report_reporter ON abuse_report (reporter);
