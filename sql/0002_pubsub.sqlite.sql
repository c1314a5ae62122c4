-- Nodes of PubSub (XEP-0060) and PEP (XEP-0163). owner: the account's bare JID, or the service's domain.

CREATE TABLE pubsub_node (
	owner text NOT NULL,
	node text NOT NULL,
	config text NOT NULL,                   -- JSON: the fields of pubsub#node_config
	created integer NOT NULL,                -- microseconds since 1970
	PRIMARY KEY (owner, node)
) WITHOUT ROWID;

CREATE TABLE pubsub_member (
	owner text NOT NULL,
	node text NOT NULL,
	kind integer NOT NULL,                 -- 0 affiliation (jid is bare), 1 subscription (any jid)
	jid text NOT NULL,
	value text NOT NULL,
	PRIMARY KEY (owner, node, kind, jid)
) WITHOUT ROWID;

CREATE TABLE pubsub_item (
	owner text NOT NULL,
	node text NOT NULL,
	id text NOT NULL,
	seq integer NOT NULL,                    -- when published, microseconds; rises within a node
	publisher text NOT NULL,    -- bare JID
	payload text,                           -- XML of one element
	PRIMARY KEY (owner, node, id)
);
CREATE INDEX pubsub_item_seq ON pubsub_item (owner, node, seq);
