/* pep.h - what the module "pep" offers others: to publish on an account as its owner, and the stop "pep.changed".
 * Threads: those of the call. */
#ifndef XEP_PEP_H
#define XEP_PEP_H

#include "server/module.h"

#define PEP_CHANGED "pep.changed"

/** The argument of the stop: what an account's node holds has changed, and the change is part of this call's batch. */
struct pep_change {
	const char *node, *id;               /* id NULL: all items are gone, or the node */
	const struct sterna_elem *payload;   /* published; NULL: without, or retracted */
	bool published;
};

/* The account asks itself, after this call's batch is committed and before its acknowledgement. */
static inline struct sterna_elem *pep_request(struct sterna_call *c)
{
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

	sterna_attr(iq, "type", "set");
	sterna_attr(iq, "id", "pep");
	sterna_attr(iq, "from", sterna_owner(c));
	sterna_attr(iq, "to", sterna_owner(c));
	return iq;
}

/** Publish an item on a node of the owner's; a node that is not there is made with what suits its name. */
static inline void pep_request_publish(struct sterna_call *c, const char *node, const char *id,
	const struct sterna_elem *payload)
{
	struct sterna_elem *iq = pep_request(c), *pubsub = sterna_add(iq, "pubsub", "http://jabber.org/protocol/pubsub"),
		*publish = sterna_add(pubsub, "publish", NULL), *item = sterna_add(publish, "item", NULL);

	sterna_attr(publish, "node", node);
	sterna_attr(item, "id", id);
	sterna_add_copy(item, payload);
	sterna_send(c, iq);
}

/** The same, only if nobody but the owner can read the node. */
static inline void pep_request_publish_private(struct sterna_call *c, const char *node, const char *id,
	const struct sterna_elem *payload)
{
	struct sterna_elem *iq = pep_request(c), *pubsub = sterna_add(iq, "pubsub", "http://jabber.org/protocol/pubsub"),
		*publish = sterna_add(pubsub, "publish", NULL), *item = sterna_add(publish, "item", NULL);

	sterna_attr(publish, "node", node);
	sterna_attr(item, "id", id);
	sterna_add_copy(item, payload);
	sterna_form_field(sterna_form(sterna_add(pubsub, "publish-options", NULL), "submit",
		"http://jabber.org/protocol/pubsub#publish-options"), "pubsub#access_model", NULL, "whitelist");
	sterna_send(c, iq);
}

static inline void pep_request_retract(struct sterna_call *c, const char *node, const char *id)
{
	struct sterna_elem *iq = pep_request(c), *pubsub = sterna_add(iq, "pubsub", "http://jabber.org/protocol/pubsub"),
		*retract = sterna_add(pubsub, "retract", NULL);

	sterna_attr(retract, "node", node);
	sterna_attr(retract, "notify", "true");
	sterna_attr(sterna_add(retract, "item", NULL), "id", id);
	sterna_send(c, iq);
}

#endif
