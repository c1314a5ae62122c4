/* jid_list.h - a list of JIDs in memory, as block lists and archive preferences have them: sorted, each once, and
 * matched by XEP-0191 §5.
 * Threads: the worker that owns the account. */
#ifndef XEP_JID_LIST_H
#define XEP_JID_LIST_H

#include "server/module.h"

struct jid_list {
	char **item;             /* sorted by bytes; each its own allocation */
	size_t count, size;
};

bool jid_list_has(const struct jid_list *l, const char *jid);    /**< exactly this item */
bool jid_list_add(struct jid_list *l, const char *jid);          /**< false: it was there */
bool jid_list_remove(struct jid_list *l, const char *jid);       /**< false: it was not there */
void jid_list_clear(struct jid_list *l);
/** Does an item stand for this address? By user@domain/resource, user@domain, domain/resource or domain, in that order. */
bool jid_list_matches(const struct jid_list *l, const struct jid *j);

#endif
