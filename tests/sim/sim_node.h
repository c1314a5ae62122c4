/* sim_node.h - nodes of a PubSub service (XEP-0060) in the simulation: clients make them, make each other owners, configure,
 * subscribe and publish, while connections break and servers die. The service is one worker's, its users are others'.
 * What must come true:
 *
 * - what had a result (a node, an owner, an item, a subscription or its end) is in the database;
 * - items of one publisher are told in the order in which they were published, and nothing is told to who has
 *   unsubscribed, unless a server went. */
#ifndef STERNA_SIM_NODE_H
#define STERNA_SIM_NODE_H

#include "server/elem.h"

enum { SIM_NODES = 2 };

struct sim_client;
struct sim_world;

/** A client's view of a node. */
struct sim_node_view {
	bool exists;
	unsigned last_op;                    /* the last stanza that subscribes or unsubscribes, plus one */
	unsigned last[12];                   /* newest item of each client, plus one */
};

/** One thing that a client does with a node. */
void sim_node_act(struct sim_client *c);
/** A stanza came. @return true: it was the service's */
bool sim_node_stanza(struct sim_client *c, const struct sterna_elem *e);
void sim_node_check(struct sim_world *w);

#endif
