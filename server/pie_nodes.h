/* pie_nodes.h - the nodes of an account (PEP, XEP-0163) in the portable format: XEP-0227 §4.9. Part of pie.h's files. */
#ifndef STERNA_PIE_NODES_H
#define STERNA_PIE_NODES_H

#include "server/elem.h"
#include "server/user_impl.h"

/** Where an import's rows go. */
struct pie_nodes {
	void *arg;
	void (*put)(void *arg, const struct db_stmt *s, struct db_value *values);  /* values[0] becomes the owner */
	void (*left_out)(void *arg, const char *what);
	const char *owner;
	int64_t now_us;
	uint64_t count;                  /* of items */
};
/** <pubsub/> in either namespace, of one account. What is not known of a configuration is ignored (§4.9.1). */
void pie_nodes_import(struct pie_nodes *n, struct arena *a, const struct sterna_elem *pubsub);

/** Both <pubsub/> of an account into out; drain(arg) is called when there is much of it. *count: items. Nothing for an
 *  account without nodes. */
enum sterna_result pie_nodes_export(struct users *u, const char *owner, struct buf *out, void (*drain)(void *arg),
	void *arg, uint64_t *count) STERNA_CHECKED;

#endif
