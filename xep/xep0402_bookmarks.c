/* XEP-0402 PEP Native Bookmarks 1.2.0 with their older forms: one set of bookmarks, whatever a client speaks. The items of
 * urn:xmpp:bookmarks:1 are what holds; XEP-0048's list in private XML (XEP-0049, 0411) and in the node storage:bookmarks
 * is made of them and taken apart into them. What a list has beside rooms (URLs) stays in private XML. */
#include <string.h>
#include "xep/pep.h"
#include "xep/text.h"

#define NS_BOOKMARKS "urn:xmpp:bookmarks:1"
#define NS_STORAGE "storage:bookmarks"
#define NS_PRIVATE "jabber:iq:private"
#define NS_SYNC "urn:sterna:bookmarks:sync"

enum { MAX_ROOMS = 1000, MAX_LIST = 64 * 1024 };

static const struct db_stmt get_all = {
	.name = "bookmarks_get", .params = "t", .columns = "itt",
	.sql = "SELECT 0, id, payload FROM pubsub_item WHERE owner = $1 AND node = 'urn:xmpp:bookmarks:1' UNION ALL"
		" SELECT 1, '', xml FROM private_xml WHERE owner = $1 AND ns = 'storage:bookmarks' AND name = 'storage'"
		" UNION ALL SELECT 2, '', config FROM pubsub_node WHERE owner = $1 AND node = 'urn:xmpp:bookmarks:1'"
		" ORDER BY 1, 2",
};
static const struct db_stmt get_old = {
	.name = "bookmarks_get_old", .params = "t", .columns = "t",
	.sql = "SELECT xml FROM private_xml WHERE owner = $1 AND ns = 'storage:bookmarks' AND name = 'storage'"
		" AND xml LIKE '%<conference%' AND NOT EXISTS (SELECT 1 FROM pubsub_item WHERE owner = $1"
		" AND node = 'urn:xmpp:bookmarks:1')",
};
static const struct db_stmt put_rest = {
	.name = "bookmarks_put_rest", .params = "tt",
	.sql = "INSERT INTO private_xml (owner, ns, name, xml) VALUES ($1, 'storage:bookmarks', 'storage', $2)"
		" ON CONFLICT (owner, ns, name) DO UPDATE SET xml = excluded.xml",
};

struct bookmarks_account {
	bool syncing;                    /* a request to make the list anew is on its way */
};

/* --- the two forms --- */

static const char *attr(const struct sterna_elem *e, const char *name)
{
	const char *v = e != NULL ? elem_attr(e, name) : NULL;

	return v != NULL ? v : "";
}

static bool is_true(const char *v)
{
	return strcmp(v, "1") == 0 || strcmp(v, "true") == 0;
}

/* The JID of a room as the id of its item; NULL: none that could be one. */
static const char *room_of(struct sterna_call *c, const struct sterna_elem *conference)
{
	const char *text = elem_attr(conference, "jid"), *bare = NULL;
	struct jid *j = NULL;

	if (text != NULL && jid_parse(text, strlen(text), &j) == STERNA_OK && jid_local(j) != NULL)
		bare = sterna_printf(c, "%s", jid_bare(j));
	jid_unref(&j);
	return bare;
}

static void copy_text(struct sterna_elem *to, const struct sterna_elem *from, const char *name)
{
	const char *text = from != NULL ? sterna_child_text(from, name) : NULL;

	if (text != NULL)
		sterna_text(to, name, text);
}

/* §5.1: an item as one of XEP-0048's list. */
static void add_old(struct sterna_elem *storage, const char *room, const struct sterna_elem *item)
{
	struct sterna_elem *e = sterna_add(storage, "conference", NULL);
	const struct sterna_elem *extensions = elem_child(item, "extensions", NS_BOOKMARKS);

	sterna_attr(e, "jid", room);
	if (elem_attr(item, "name") != NULL)
		sterna_attr(e, "name", elem_attr(item, "name"));
	if (elem_attr(item, "autojoin") != NULL)
		sterna_attr(e, "autojoin", elem_attr(item, "autojoin"));
	copy_text(e, item, "nick");
	copy_text(e, item, "password");
	if (extensions != NULL)
		sterna_add_copy(e, extensions);
}

/* Back; what was there before keeps the extensions that older clients know nothing of (XEP-0492's settings too). */
static struct sterna_elem *new_form(struct sterna_call *c, const struct sterna_elem *old, const struct sterna_elem *before)
{
	struct sterna_elem *e = sterna_elem(c, "conference", NS_BOOKMARKS), *extensions = NULL;
	const struct sterna_elem *kept = elem_child(old, "extensions", NS_BOOKMARKS);

	if (elem_attr(old, "name") != NULL)
		sterna_attr(e, "name", elem_attr(old, "name"));
	if (elem_attr(old, "autojoin") != NULL)
		sterna_attr(e, "autojoin", elem_attr(old, "autojoin"));
	copy_text(e, old, "nick");
	copy_text(e, old, "password");
	if (kept == NULL && before != NULL)
		kept = elem_child(before, "extensions", NS_BOOKMARKS);
	if (kept != NULL) {
		sterna_add_copy(e, kept);
		extensions = elem_child(e, "extensions", NULL);
	}
	/* Elements of the older clients' own. */
	elem_foreach(x, old)
		if (strcmp(x->ns, NS_STORAGE) != 0 && strcmp(x->ns, NS_BOOKMARKS) != 0
			&& (extensions == NULL || elem_child(extensions, x->name, x->ns) == NULL)) {
			if (extensions == NULL)
				extensions = sterna_add(e, "extensions", NULL);
			sterna_add_copy(extensions, x);
		}
	return e;
}

static bool same_text(const struct sterna_elem *a, const struct sterna_elem *b, const char *name)
{
	const char *x = sterna_child_text(a, name), *y = sterna_child_text(b, name);

	return strcmp(x != NULL ? x : "", y != NULL ? y : "") == 0;
}

/* §5.2: what is unchanged is not told. */
static bool same(const struct sterna_elem *a, const struct sterna_elem *b)
{
	const struct sterna_elem *x = elem_child(a, "extensions", NULL), *y = elem_child(b, "extensions", NULL);

	return strcmp(attr(a, "name"), attr(b, "name")) == 0
		&& is_true(attr(a, "autojoin")) == is_true(attr(b, "autojoin")) && same_text(a, b, "nick")
		&& same_text(a, b, "password") && (x == NULL) == (y == NULL)
		&& (x == NULL || strcmp(sterna_xml(x), sterna_xml(y)) == 0);
}

/* --- what there is --- */

struct room {
	const char *jid;
	const struct sterna_elem *item;
	bool listed;
};
struct set {
	struct room *rooms;
	size_t count;
	const struct sterna_elem *rest;  /* <storage/> in private XML, or NULL */
	bool is_shared;                  /* the node was opened to others: nothing is copied to it (XEP-0411 §6) */
};

static const struct sterna_elem *parsed(struct sterna_call *c, const char *xml)
{
	struct sterna_elem *holder = sterna_elem(c, "holder", NS_STORAGE);

	if (xml != NULL)
		sterna_add_xml(holder, xml);
	return sterna_child(holder);
}

static void read_set(struct sterna_call *c, const struct sterna_rows *rows, struct set *out)
{
	*out = (struct set){ .rooms = sterna_alloc(c, (rows->count + 1) * sizeof *out->rooms) };
	for (size_t i = 0; i < rows->count; i++) {
		const char *const *row = rows->text + i * rows->columns;
		const struct sterna_elem *e;

		if (db_int(rows->db, i, 0) == 2) {
			out->is_shared = row[2] == NULL || strstr(row[2], "\"access_model\":\"whitelist\"") == NULL;
			continue;
		}
		e = parsed(c, row[2]);
		if (db_int(rows->db, i, 0) == 1)
			out->rest = elem_is(e, "storage", NS_STORAGE) ? e : NULL;
		else if (elem_is(e, "conference", NS_BOOKMARKS))
			out->rooms[out->count++] = (struct room){ row[1], e, false };
	}
}

static struct room *find(const struct set *s, const char *jid)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->rooms[i].jid, jid) == 0)
			return &s->rooms[i];
	return NULL;
}

static struct sterna_elem *as_list(struct sterna_call *c, const struct set *s)
{
	struct sterna_elem *storage = sterna_elem(c, "storage", NS_STORAGE);

	for (size_t i = 0; i < s->count; i++)
		add_old(storage, s->rooms[i].jid, s->rooms[i].item);
	if (s->rest != NULL)
		elem_foreach(e, s->rest)
			if (!elem_is(e, "conference", NS_STORAGE) || room_of(c, e) == NULL)
				sterna_add_copy(storage, e);
	return storage;
}

/* --- the older clients' list: XEP-0049 --- */

static enum sterna_verdict on_get(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_PRIVATE);
	struct set s;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	read_set(c, rows, &s);
	sterna_add_copy(query, as_list(c, &s));
	return sterna_reply(c, query);
}

/* The list is made anew for those who hear of the node storage:bookmarks; once for many changes. */
static void ask_to_sync(struct sterna_call *c)
{
	struct bookmarks_account *a = sterna_account_slot(c);
	struct sterna_elem *iq;

	if (a == NULL || a->syncing)
		return;
	a->syncing = true;
	iq = pep_request(c);
	sterna_add(iq, "sync", NS_SYNC);
	sterna_send(c, iq);
}

static void take_room(struct sterna_call *c, const struct set *s, const struct sterna_elem *old, const char *jid)
{
	struct room *had = find(s, jid);
	const struct sterna_elem *item;

	if (had != NULL && had->listed)
		return; /* twice in the list: the first holds */
	item = new_form(c, old, had != NULL ? had->item : NULL);
	if (had != NULL)
		had->listed = true;
	if (had == NULL || !same(item, had->item))
		pep_request_publish_private(c, NS_BOOKMARKS, jid, item);
}

static enum sterna_verdict on_set(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct sterna_elem *list = sterna_child(sterna_payload(c));
	struct sterna_elem *rest = sterna_elem(c, "storage", NS_STORAGE);
	struct set s;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	read_set(c, rows, &s);
	if (s.is_shared)
		return sterna_reject(c, STERNA_NOT_ALLOWED, "the node of your bookmarks is open to others");
	elem_foreach(e, list) {
		const char *jid = elem_is(e, "conference", NS_STORAGE) ? room_of(c, e) : NULL;

		if (jid != NULL)
			take_room(c, &s, e, jid);
		else
			sterna_add_copy(rest, e);
	}
	for (size_t i = 0; i < s.count; i++)
		if (!s.rooms[i].listed)
			pep_request_retract(c, NS_BOOKMARKS, s.rooms[i].jid);
	sterna_write(c, &put_rest, sterna_owner(c), sterna_xml(rest));
	ask_to_sync(c);
	return sterna_reply(c, NULL);
}

static bool is_list(const struct sterna_elem *query)
{
	const struct sterna_elem *list = query != NULL ? sterna_child(query) : NULL;

	return elem_is(query, "query", NS_PRIVATE) && elem_is(list, "storage", NS_STORAGE) && elem_next(list) == NULL;
}

/* Before the module "private" sees it. */
static enum sterna_verdict on_iq(struct sterna_call *c)
{
	const struct sterna_elem *query = sterna_payload(c);
	size_t rooms = 0;

	if (!sterna_is_own(c) || sterna_account_slot(c) == NULL || (sterna_to(c) != NULL && jid_resource(sterna_to(c)) != NULL))
		return STERNA_NEXT;
	if (!is_list(query)) {
		/* Beside others it would be stored past the rooms that it names. */
		if (elem_is(query, "query", NS_PRIVATE) && elem_child(query, "storage", NS_STORAGE) != NULL)
			return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "a list of bookmarks is stored alone");
		return STERNA_NEXT;
	}
	if (strcmp(sterna_type(c), "get") == 0)
		return sterna_read(c, on_get, &get_all, sterna_owner(c));
	if (strcmp(sterna_type(c), "set") != 0)
		return STERNA_NEXT;
	elem_foreach(e, sterna_child(query))
		rooms++;
	if (rooms > MAX_ROOMS || strlen(sterna_xml(sterna_child(query))) > MAX_LIST)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "too many bookmarks");
	return sterna_read(c, on_set, &get_all, sterna_owner(c));
}

/* --- the node storage:bookmarks: XEP-0411 --- */

/* Rooms that an import left in private XML: the items hold now. */
static void forget_old(struct sterna_call *c, const struct sterna_elem *list)
{
	struct sterna_elem *rest = sterna_elem(c, "storage", NS_STORAGE);
	bool any = false;

	for (const struct sterna_elem *e = list != NULL ? elem_first(list) : NULL; e != NULL; e = elem_next(e)) {
		if (elem_is(e, "conference", NS_STORAGE) && room_of(c, e) != NULL)
			any = true;
		else
			sterna_add_copy(rest, e);
	}
	if (any)
		sterna_write(c, &put_rest, sterna_owner(c), sterna_xml(rest));
}

static enum sterna_verdict on_synced(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct set s;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	read_set(c, rows, &s);
	forget_old(c, s.rest);
	pep_request_publish_private(c, NS_STORAGE, "current", as_list(c, &s));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_sync(struct sterna_call *c)
{
	/* Clients have a resource: only the account itself has none. */
	if (jid_resource(sterna_from(c)) != NULL || sterna_account_slot(c) == NULL)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	((struct bookmarks_account *)sterna_account_slot(c))->syncing = false; /* what changes from here on is not in it */
	return sterna_read(c, on_synced, &get_all, sterna_owner(c));
}

static void send_list(struct sterna_call *c, const struct sterna_elem *list)
{
	struct sterna_elem *iq = pep_request(c);

	sterna_add_copy(sterna_add(iq, "query", NS_PRIVATE), list);
	sterna_send(c, iq);
}

static void on_changed(struct sterna_call *c, void *arg)
{
	const struct pep_change *change = arg;

	if (strcmp(change->node, NS_BOOKMARKS) == 0)
		ask_to_sync(c);
	else if (strcmp(change->node, NS_STORAGE) == 0 && jid_resource(sterna_from(c)) != NULL
		&& elem_is(change->payload, "storage", NS_STORAGE))
		send_list(c, change->payload);
}

/* --- from before: a list in private XML alone, of an import --- */

static void on_old(struct sterna_call *c, const struct sterna_rows *rows)
{
	const struct sterna_elem *list = rows->count > 0 ? parsed(c, rows->text[0]) : NULL;
	bool any = false;

	if (!elem_is(list, "storage", NS_STORAGE))
		return;
	elem_foreach(e, list)
		any = any || (elem_is(e, "conference", NS_STORAGE) && room_of(c, e) != NULL);
	if (any)
		send_list(c, list);
}

STERNA_MODULE(bookmarks, .spec = "XEP-0402 1.2.0", .summary = "PEP Native Bookmarks, with their older forms",
	.needs = (const char *const[]){ "pep", "private", NULL }, .account_size = sizeof(struct bookmarks_account),
	.features = (const struct sterna_feature[]){
		{ NS_BOOKMARKS "#compat", STERNA_OWN_ACCOUNT }, { NS_BOOKMARKS "#compat-pep", STERNA_OWN_ACCOUNT },
		{ "urn:xmpp:bookmarks-conversion:0", STERNA_OWN_ACCOUNT }, { 0 } },
	.iq = (const struct sterna_iq[]){ { STERNA_SET, STERNA_OWN_ACCOUNT, NS_SYNC, "sync", on_sync }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_IN_STORE, on_iq, NULL, STERNA_IQ }, { 0 } },
	.stops = (const struct sterna_stop[]){ { PEP_CHANGED, on_changed }, { 0 } },
	.account_reads = (const struct sterna_account_read[]){ { &get_old, on_old }, { 0 } });
