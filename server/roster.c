/* roster.c - contacts in memory and in storage. */
#include "server/roster.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define NS_ROSTER "jabber:iq:roster"

const struct db_stmt roster_select = {
	.name = "roster_select", .params = "t", .columns = "ttiiiittii",
	.sql = "SELECT contact, name, subscription, ask, pending_in, approved, stanza, groups, version, removed "
	       "FROM roster WHERE owner = $1",
};
static const struct db_stmt roster_put = {
	.name = "roster_put", .params = "tttiiiittii",
	.sql = "INSERT INTO roster (owner, contact, name, subscription, ask, pending_in, approved, stanza, groups, "
	       "version, removed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
	       "ON CONFLICT (owner, contact) DO UPDATE SET name = excluded.name, subscription = excluded.subscription, "
	       "ask = excluded.ask, pending_in = excluded.pending_in, approved = excluded.approved, "
	       "stanza = excluded.stanza, groups = excluded.groups, version = excluded.version, "
	       "removed = excluded.removed",
};
static const struct db_stmt roster_drop = {
	.name = "roster_drop", .params = "tt", .sql = "DELETE FROM roster WHERE owner = $1 AND contact = $2",
};
const struct db_stmt roster_delete_all = {
	.name = "roster_delete_all", .params = "t", .sql = "DELETE FROM roster WHERE owner = $1",
};

static void item_free(struct roster_item *i)
{
	free(i->jid);
	free(i->name);
	free(i->groups);
	free(i->request);
	free(i);
}

void roster_clear(struct roster *r)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&r->items, &at)) != NULL;)
		item_free(e->value);
	map_clear(&r->items);
	r->count = 0;
}

struct roster_item *roster_find(const struct roster *r, const char *bare)
{
	struct roster_item *i = map_get(&r->items, bare);

	return i != NULL && !i->removed ? i : NULL;
}

bool roster_is_full(const struct roster *r, size_t limit)
{
	return r->count >= limit || r->items.count >= 5 * limit;
}

bool roster_is_pestered(const struct roster *r, size_t limit)
{
	const struct map_entry *e;
	size_t requests = 0;

	if (r->items.count < r->count + limit)
		return false;
	for (size_t at = 0; (e = map_next(&r->items, &at)) != NULL;) {
		const struct roster_item *i = e->value;

		requests += !i->in_roster && !i->removed;
	}
	return requests >= limit;
}

struct roster_item *roster_item(struct roster *r, const char *bare)
{
	struct roster_item *i = map_get(&r->items, bare);

	if (i == NULL) {
		i = xalloc(sizeof *i);
		i->jid = xstrdup(bare);
		map_put(&r->items, i->jid, i);
	} else if (i->removed) {
		i->removed = false;
		i->in_roster = false;
		i->was_shown = true;
	}
	return i;
}

bool roster_has_from(const struct roster *r, const char *bare)
{
	const struct roster_item *i = roster_find(r, bare);

	return i != NULL && (i->subscription & SUB_FROM) != 0;
}

bool roster_has_to(const struct roster *r, const char *bare)
{
	const struct roster_item *i = roster_find(r, bare);

	return i != NULL && (i->subscription & SUB_TO) != 0;
}

/* RFC 6121 Appendix A.2: what the user sends. */
struct subscription_effect roster_outbound(struct roster_item *i, enum stanza_type t)
{
	struct subscription_effect e = { .route = true };

	switch (t) {
	case PRESENCE_SUBSCRIBE:       /* A.2.1: always routed; "Pending Out" unless subscribed */
		if ((i->subscription & SUB_TO) == 0 && !i->ask) {
			i->ask = true;
			i->in_roster = true;
			e.changed = true;
		}
		break;
	case PRESENCE_UNSUBSCRIBE:     /* A.2.2 */
		e.changed = i->ask || (i->subscription & SUB_TO) != 0;
		e.lost_contact = (i->subscription & SUB_TO) != 0;
		i->ask = false;
		i->subscription &= (uint8_t)~SUB_TO;
		break;
	case PRESENCE_SUBSCRIBED:      /* A.2.3; §3.4 pre-approval where nobody has asked */
		if (i->pending_in) {
			i->pending_in = false;
			i->subscription |= SUB_FROM;
			i->in_roster = true;
			e.changed = e.probe_owner = true;
		} else {
			e.route = false;
			if ((i->subscription & SUB_FROM) == 0 && !i->approved) {
				i->approved = true;
				i->in_roster = true;
				e.changed = true;
			}
		}
		break;
	case PRESENCE_UNSUBSCRIBED:    /* A.2.4 */
		e.lost_sight = (i->subscription & SUB_FROM) != 0;
		e.route = i->pending_in || e.lost_sight;
		e.changed = e.route || i->approved;
		i->pending_in = i->approved = false;
		i->subscription &= (uint8_t)~SUB_FROM;
		break;
	default:
		e.route = false;
	}
	return e;
}

/* RFC 6121 Appendix A.3: what the contact sends. */
struct subscription_effect roster_inbound(struct roster_item *i, enum stanza_type t)
{
	struct subscription_effect e = { .route = false };

	switch (t) {
	case PRESENCE_SUBSCRIBE:       /* A.3.1 */
		if ((i->subscription & SUB_FROM) != 0) {
			e.reply_subscribed = true;
		} else if (i->approved) {
			i->subscription |= SUB_FROM;
			i->pending_in = i->approved = false;
			e.changed = e.reply_subscribed = e.probe_owner = true;
		} else if (!i->pending_in) {
			i->pending_in = true;
			e.route = e.changed = true;
		}
		break;
	case PRESENCE_UNSUBSCRIBE:     /* A.3.2 */
		e.lost_sight = (i->subscription & SUB_FROM) != 0;
		e.changed = e.route = e.lost_sight || i->pending_in;
		i->pending_in = false;
		i->subscription &= (uint8_t)~SUB_FROM;
		break;
	case PRESENCE_SUBSCRIBED:      /* A.3.3: only if we have asked */
		if (i->ask) {
			i->ask = false;
			i->subscription |= SUB_TO;
			e.route = e.changed = true;
		}
		break;
	case PRESENCE_UNSUBSCRIBED:    /* A.3.4 */
		if (i->ask || (i->subscription & SUB_TO) != 0) {
			e.lost_contact = (i->subscription & SUB_TO) != 0;
			i->ask = false;
			i->subscription &= (uint8_t)~SUB_TO;
			e.route = e.changed = true;
		}
		break;
	default:
		break;
	}
	return e;
}

struct sterna_elem *roster_write(struct arena *a, struct sterna_elem *query, const struct roster_item *i)
{
	static const char *const words[] = { "none", "to", "from", "both" };
	struct sterna_elem *e = elem_add(a, query, "item", NS_ROSTER);

	elem_set_attr(a, e, "jid", i->jid);
	if (i->removed) {
		elem_set_attr(a, e, "subscription", "remove");
		return e;
	}
	if (i->name != NULL)
		elem_set_attr(a, e, "name", i->name);
	elem_set_attr(a, e, "subscription", words[i->subscription & 3]);
	if (i->ask)
		elem_set_attr(a, e, "ask", "subscribe");
	if (i->approved)
		elem_set_attr(a, e, "approved", "true");
	json_t *groups = i->groups != NULL ? json_loads(i->groups, 0, NULL) : NULL, *g;
	size_t n;

	json_array_foreach(groups, n, g)
		if (json_string_value(g) != NULL)
			elem_add_text_elem(a, e, "group", json_string_value(g));
	json_decref(groups);
	return e;
}

static char *column(const struct db_rows *rows, size_t row, size_t col)
{
	const char *text = db_str(rows, row, col, NULL);

	return text != NULL ? xstrdup(text) : NULL;
}

void roster_load(struct roster *r, const struct db_rows *rows)
{
	for (size_t n = 0; n < db_rows_count(rows); n++) {
		const char *jid = db_str(rows, n, 0, NULL);

		if (jid == NULL || map_get(&r->items, jid) != NULL)
			continue;
		struct roster_item *i = roster_item(r, jid);

		i->name = column(rows, n, 1);
		i->subscription = (uint8_t)(db_int(rows, n, 2) & 3);
		i->ask = db_int(rows, n, 3) != 0;
		i->pending_in = (db_int(rows, n, 4) & 1) != 0;
		/* bit 1 of pending_in: only a request, not shown in the roster; bit 2: but it was */
		i->in_roster = (db_int(rows, n, 4) & 2) == 0;
		i->was_shown = (db_int(rows, n, 4) & 4) != 0;
		i->approved = db_int(rows, n, 5) != 0;
		i->request = column(rows, n, 6);
		i->groups = column(rows, n, 7);
		i->version = db_int(rows, n, 8);
		i->removed = db_int(rows, n, 9) != 0;
		if (i->in_roster && !i->removed)
			r->count++;
		if (i->version > r->version)
			r->version = i->version;
	}
}

void roster_store(struct db_batch *b, const char *owner, const struct roster_item *i)
{
	db_batch_add(b, &roster_put, (const struct db_value[]){
		db_text(owner), db_text(i->jid), db_text(i->name), DB_INT(i->subscription), DB_INT(i->ask),
		DB_INT((i->pending_in ? 1 : 0) | (i->in_roster ? 0 : 2) | (i->was_shown && !i->in_roster ? 4 : 0)), DB_INT(i->approved), db_text(i->request),
		db_text(i->groups), DB_INT(i->version), DB_INT(i->removed) });
}

bool roster_tidy(struct roster *r, struct db_batch *b, const char *owner, struct roster_item *i)
{
	if (i->in_roster || i->pending_in || i->approved || i->subscription != SUB_NONE || i->ask)
		return true;
	if (i->was_shown) {
		i->removed = true;
		return true;
	}
	if (b != NULL)
		db_batch_add(b, &roster_drop, (const struct db_value[]){ db_text(owner), db_text(i->jid) });
	map_remove(&r->items, i->jid);
	item_free(i);
	return false;
}
