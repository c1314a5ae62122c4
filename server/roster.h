/* roster.h - a user's contacts and the subscription states of RFC 6121 Appendix A.
 * Threads: the account's owner. */
#ifndef STERNA_ROSTER_H
#define STERNA_ROSTER_H

#include <stdbool.h>
#include <stdint.h>
#include "server/db.h"
#include "server/map.h"
#include "server/stanza.h"

enum subscription { SUB_NONE = 0, SUB_TO = 1, SUB_FROM = 2, SUB_BOTH = 3 };

struct roster_item {
	char *jid;               /* bare, normal form; the map's key */
	char *name;              /* NULL: none */
	char *groups;            /* JSON array of strings; NULL: none */
	char *request;           /* the pending subscribe stanza, as text; NULL unless pending_in */
	int64_t version;
	uint8_t subscription;    /* enum subscription */
	bool ask;                /* "Pending Out": ask='subscribe' */
	bool pending_in;
	bool approved;           /* pre-approval, §3.4 */
	bool removed;            /* a tombstone, for roster versioning */
	bool in_roster;          /* false: only a pending request; not shown */
	bool was_shown;          /* not shown now, but it was: clients may remember it */
};

struct roster {
	struct map items;        /* jid to struct roster_item */
	size_t count;            /* shown ones */
	int64_t version;         /* newest of any item */
	uint64_t changed_us;     /* when that was, by the loop's clock */
};

void roster_clear(struct roster *r);
struct roster_item *roster_find(const struct roster *r, const char *bare); /**< not a removed one */
/** No room for one more contact. Tombstones do not count, up to three times the limit of them. */
bool roster_is_full(const struct roster *r, size_t limit);
/** No room for one more request of someone who is no contact. */
bool roster_is_pestered(const struct roster *r, size_t limit);
/** It says nothing any more: out of memory (the item is gone) and of storage, or a tombstone if clients may
 *  remember it. @return false: it is gone */
bool roster_tidy(struct roster *r, struct db_batch *b, const char *owner, struct roster_item *i);
/** The item, made (without being in the roster yet) if there is none. */
struct roster_item *roster_item(struct roster *r, const char *bare);
bool roster_has_from(const struct roster *r, const char *bare);    /**< contact gets our presence */
bool roster_has_to(const struct roster *r, const char *bare);

/** What a subscription stanza does to one side's item: RFC 6121 Appendix A.2 (outbound), A.3 (inbound). */
struct subscription_effect {
	bool route;              /* outbound: to be sent on; inbound: to be delivered */
	bool changed;            /* the item: store and push */
	bool reply_subscribed;   /* inbound subscribe: answer for the user (has 'from', or pre-approved) */
	bool probe_owner;        /* now may see us: send our presence to the contact */
	bool lost_sight;         /* contact may not see us any more: send unavailable */
	bool lost_contact;       /* we may not see the contact any more */
};
struct subscription_effect roster_outbound(struct roster_item *i, enum stanza_type t);
struct subscription_effect roster_inbound(struct roster_item *i, enum stanza_type t);

/** <item/> of a roster result or push (RFC 6121 §2.1.2). */
struct sterna_elem *roster_write(struct arena *a, struct sterna_elem *query, const struct roster_item *i);
void roster_load(struct roster *r, const struct db_rows *rows);
/** Adds the statement that stores (or deletes) the item as it is now. */
void roster_store(struct db_batch *b, const char *owner, const struct roster_item *i);
extern const struct db_stmt roster_select, roster_delete_all;

#endif
