-- Where an account's devices want to be woken (XEP-0357): one row for each app server's address and node.
CREATE TABLE push_service (
	owner text NOT NULL,                    -- bare JID
	service text NOT NULL,
	node text NOT NULL,                     -- "": none
	resource text NOT NULL,                 -- of the device that asked for it
	options text NOT NULL,                  -- XML of the form to send along; "": none
	created bigint NOT NULL,                -- microseconds since 1970
	PRIMARY KEY (owner, service, node)
);
