-- Nodes of PubSub (XEP-0060) and PEP (XEP-0163). owner: the account's bare JID, or the service's domain.

CREATE TABLE pubsub_node (
	owner text COLLATE "C" NOT NULL,
	node text COLLATE "C" NOT NULL,
	config text NOT NULL,                   -- JSON: the fields of pubsub#node_config
	created bigint NOT NULL,                -- microseconds since 1970
	PRIMARY KEY (owner, node)
);

CREATE TABLE pubsub_member (
	owner text COLLATE "C" NOT NULL,
	node text COLLATE "C" NOT NULL,
	kind smallint NOT NULL,                 -- 0 affiliation (jid is bare), 1 subscription (any jid)
	jid text COLLATE "C" NOT NULL,
	value text NOT NULL,
	PRIMARY KEY (owner, node, kind, jid)
);

CREATE TABLE pubsub_item (
	owner text COLLATE "C" NOT NULL,
	node text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,                    -- when published, microseconds; rises within a node
	publisher text COLLATE "C" NOT NULL,    -- bare JID
	payload text,                           -- XML of one element
	PRIMARY KEY (owner, node, id)
);
CREATE INDEX pubsub_item_seq ON pubsub_item (owner, node, seq);
