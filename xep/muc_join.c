/* XEP-0045 §7.2, §7.6, §7.7, §7.14, §10.1: presence to a room - coming in, another nick, another status, going; and
 * rooms that come to be by it. Part of the module "muc"; see muc.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

enum { MORE_FOR_ADMINS = 20 };           /* §7.2.10: beyond the limit, up to some reasonable number */

struct entry {
	const struct sterna_elem *x;             /* <x xmlns=muc/> */
	const struct jid *address;               /* room/nick, the stanza's own 'to' */
	char key[MUC_KEY_SIZE];
	unsigned affiliation;
};

/* --- may one enter? §7.2.18 --- */

static bool password_ok(const struct muc_room *room, const struct entry *e)
{
	const char *given = sterna_child_text(e->x, "password"), *right = room->cfg.password;

	if (!room->cfg.password_protected || right == NULL)
		return true;
	const size_t a = given != NULL ? strlen(given) : 0, b = strlen(right);
	unsigned char differs = a != b;

	for (size_t i = 0; given != NULL && i < a && i < b; i++)
		differs |= (unsigned char)(given[i] ^ right[i]);
	return given != NULL && differs == 0;
}

static size_t count_sessions(const struct muc_occupant *o)
{
	size_t n = 0;

	for (const struct muc_session *s = o != NULL ? o->sessions : NULL; s != NULL; s = s->next)
		n++;
	return n;
}

static bool is_full(struct sterna_call *c, const struct muc_room *room, const struct entry *e)
{
	const struct muc_options *o = muc_options(c);
	const size_t most = room->cfg.max_users > 0 && room->cfg.max_users < o->occupants ? room->cfg.max_users
		: o->occupants;

	return room->occupants.count >= most + (e->affiliation >= MUC_ADMIN ? MORE_FOR_ADMINS : 0);
}

/* §7.2.8: in use, or registered by someone else. */
static bool nick_is_taken(const struct muc_room *room, const char *key, const struct jid *by)
{
	const struct muc_member *m = map_get(&room->nicks, key);
	const struct muc_occupant *o = map_get(&room->occupants, key);

	return (m != NULL && strcmp(m->jid, jid_bare(by)) != 0) || (o != NULL && !jid_bare_equal(o->bare, by));
}

/* 0: one may. */
static enum sterna_condition refusal(struct sterna_call *c, const struct muc_room *room, const struct entry *e)
{
	const struct muc_occupant *o = map_get(&room->occupants, e->key);

	if (room->locked && e->affiliation != MUC_OWNER)
		return STERNA_ITEM_NOT_FOUND;
	if (e->affiliation == MUC_OUTCAST)
		return STERNA_FORBIDDEN;
	if (room->cfg.members_only && e->affiliation == MUC_NONE)
		return STERNA_REGISTRATION_REQUIRED;
	if (e->affiliation < MUC_OWNER && !password_ok(room, e))
		return STERNA_NOT_AUTHORIZED;
	if (nick_is_taken(room, e->key, sterna_from(c)))
		return STERNA_CONFLICT;
	if (o == NULL && is_full(c, room, e))
		return STERNA_SERVICE_UNAVAILABLE;
	if (o != NULL && count_sessions(o) >= muc_options(c)->sessions_per_nick)
		return STERNA_RESOURCE_CONSTRAINT;
	return 0;
}

/* §7.2: clients know by <x/> that it is about entering. */
static enum sterna_verdict refuse(struct sterna_call *c, enum sterna_condition why, const char *text)
{
	struct sterna_elem *e = sterna_error(c, why, text);

	if (e != NULL && elem_child(sterna_stanza(c), "x", NS_MUC) != NULL)
		sterna_add(e, "x", NS_MUC);
	if (e != NULL)
		sterna_send(c, e);
	return STERNA_DONE;
}

/* --- entering --- */

static void welcome(struct sterna_call *c, struct muc_room *room, const struct muc_session *s, bool is_new,
	const struct sterna_elem *x)
{
	static const struct muc_say nothing = { 0 };
	struct muc_occupant *o = s->occupant;
	struct muc_say say = { .asker = sterna_from(c), .id = sterna_id(c) };

	if (room->cfg.whois == MUC_WHOIS_ANYONE)
		say.own_codes[say.own_count++] = 100;
	if (room->cfg.logging)
		say.own_codes[say.own_count++] = 170;
	if (is_new)
		say.own_codes[say.own_count++] = 201;
	muc_send_affiliations(c, room, s, x);
	muc_show_others(c, room, s);
	for (const struct muc_session *each = o->sessions; each != NULL; each = each->next)
		muc_show_own(c, room, o, each, each == s ? &say : &nothing);
	muc_show_rest(c, room, o, &nothing);
	muc_send_history(c, room, s->jid, x);
	muc_send_subject(c, room, s->jid);
}

static enum sterna_verdict come_in(struct sterna_call *c, struct muc_room *room, const struct entry *e, bool is_new)
{
	struct muc_occupant *o = map_get(&room->occupants, e->key);
	struct muc_session *s;

	if (o == NULL)
		o = muc_add_occupant(room, e->key, e->address, sterna_from(c), muc_first_role(room, e->affiliation));
	s = muc_add_session(room, o, sterna_from(c));
	muc_keep_presence(s, sterna_stanza(c));
	muc_store_session(c, room, s);
	sterna_audit(c, "sterna.room.joined.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("jid", jid_full(s->jid)), STERNA_PERSONAL("nick", muc_nick(o)),
		STERNA_DATUM("role", muc_roles[o->role]), { 0 } });
	welcome(c, room, s, is_new, e->x);
	return STERNA_DONE;
}

static enum sterna_verdict enter(struct sterna_call *c, struct muc_room *room, struct entry *e)
{
	e->affiliation = muc_affiliation(room, sterna_from(c));
	const enum sterna_condition why = refusal(c, room, e);

	return why != 0 ? refuse(c, why, NULL) : come_in(c, room, e, false);
}

/* --- rooms that are not there yet: §10.1 --- */

static bool is_local(struct sterna_call *c)
{
	return sterna_mod_has_domain(sterna_mod(c), jid_domain(sterna_from(c)));
}

static enum sterna_verdict on_counted(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct entry *e = sterna_data(c);
	struct muc_room *room;

	if (rc != STERNA_OK)
		return refuse(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (db_int(rows->db, 0, 0) >= (int64_t)muc_options(c)->rooms_per_user)
		return refuse(c, STERNA_NOT_ALLOWED, "you own too many rooms");
	room = muc_room_new(c, sterna_to(c));
	sterna_random(c, room->key, sizeof room->key);
	room->archive_from = sterna_new_id(c);
	room->locked = true;
	muc_hold(room);
	muc_store_room(c, room);
	sterna_audit(c, "sterna.room.created.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("by", jid_bare(sterna_from(c))), { 0 } });
	muc_set_member(c, room, jid_bare(sterna_from(c)), MUC_OWNER, NULL, NULL);
	e->affiliation = MUC_OWNER;
	return muc_let_go(c, room, come_in(c, room, e, true));
}

static enum sterna_verdict create(struct sterna_call *c, struct entry *e)
{
	const struct muc_options *o = muc_options(c);

	if (o->create == MUC_CREATE_NOBODY || (o->create == MUC_CREATE_LOCAL && !is_local(c)))
		return refuse(c, STERNA_NOT_ALLOWED, "rooms cannot be made here");
	sterna_set_data(c, e);
	return sterna_read(c, on_counted, &muc_count_rooms, jid_bare(sterna_from(c)));
}

/* --- another nick: §7.6 --- */

static enum sterna_verdict rename_to(struct sterna_call *c, struct muc_room *room, struct muc_session *s,
	const struct entry *e)
{
	struct muc_occupant *o = s->occupant;
	struct muc_say away = { .unavailable = true, .codes = { 303 }, .count = 1, .new_nick = jid_resource(e->address) };
	const struct muc_say say = { .asker = sterna_from(c), .id = sterna_id(c) };
	const struct muc_occupant *there = map_get(&room->occupants, e->key);

	if (nick_is_taken(room, e->key, sterna_from(c)) || (there != NULL && there != o))
		return refuse(c, STERNA_CONFLICT, NULL);
	if (o->role == MUC_VISITOR && !room->cfg.visitor_nick)
		return refuse(c, STERNA_NOT_ALLOWED, "visitors keep their nick here");
	muc_show(c, room, o, &away);
	muc_rename(room, o, e->key, e->address);
	muc_keep_presence(s, sterna_stanza(c));
	for (const struct muc_session *each = o->sessions; each != NULL; each = each->next)
		muc_store_session(c, room, each);
	muc_show(c, room, o, &say);
	return STERNA_DONE;
}

/* --- available --- */

static enum sterna_verdict update(struct sterna_call *c, struct muc_room *room, struct muc_session *s,
	const struct entry *e)
{
	const struct muc_say say = { .asker = sterna_from(c), .id = sterna_id(c) };

	if (strcmp(jid_resource(e->address), muc_nick(s->occupant)) != 0)
		return rename_to(c, room, s, e);
	muc_keep_presence(s, sterna_stanza(c));
	muc_store_session(c, room, s);
	/* §17.3: to join once more is to ask for everything anew. */
	if (e->x != NULL)
		welcome(c, room, s, false, e->x);
	else
		muc_show(c, room, s->occupant, &say);
	return STERNA_DONE;
}

/* §7.2.15: without <x/> it is no wish to enter, but a client that believes to be inside. */
static enum sterna_verdict is_not_inside(struct sterna_call *c)
{
	static const char *const codes[] = { "110", "307", "333" };
	struct sterna_elem *p = sterna_elem(c, "presence", NS_CLIENT), *x, *item;

	sterna_attr(p, "from", jid_full(sterna_to(c)));
	sterna_attr(p, "type", "unavailable");
	if (sterna_id(c) != NULL)
		sterna_attr(p, "id", sterna_id(c));
	x = sterna_add(p, "x", NS_MUC_USER);
	item = sterna_add(x, "item", NULL);
	sterna_attr(item, "affiliation", "none");
	sterna_attr(item, "role", "none");
	sterna_text(item, "reason", "You are not in the room.");
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		sterna_attr(sterna_add(x, "status", NULL), "code", codes[i]);
	muc_to_one(c, sterna_from(c), p);
	return STERNA_DONE;
}

static enum sterna_verdict available(struct sterna_call *c, struct muc_room *room)
{
	const struct muc_options *o = muc_options(c);
	struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;
	struct entry *e = sterna_alloc(c, sizeof *e);
	const char *nick = jid_resource(sterna_to(c));

	if (jid_resource(sterna_from(c)) == NULL)
		return STERNA_DONE;
	if (nick == NULL)
		return refuse(c, STERNA_JID_MALFORMED, "a nick is needed");
	e->x = elem_child(sterna_stanza(c), "x", NS_MUC);
	e->address = sterna_to(c);
	if (!muc_nick_key(nick, e->key, sizeof e->key))
		return refuse(c, STERNA_JID_MALFORMED, "this is no nick");
	if (strlen(nick) > o->nick_length)
		return refuse(c, STERNA_NOT_ACCEPTABLE, "this nick is too long");
	if (strlen(sterna_xml(sterna_stanza(c))) > o->presence_size.bytes)
		return refuse(c, STERNA_POLICY_VIOLATION, "this presence is too large for a room");
	if (s != NULL)
		return update(c, room, s, e);
	if (e->x == NULL)
		return is_not_inside(c);
	return room != NULL ? enter(c, room, e) : create(c, e);
}

/* --- gone, or not reachable --- */

static enum sterna_verdict unavailable(struct sterna_call *c, struct muc_room *room)
{
	struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;
	struct muc_say say = { .asker = sterna_from(c), .id = sterna_id(c) };
	struct sterna_elem *payload;

	if (s == NULL)
		return STERNA_DONE;
	payload = elem_copy(sterna_stanza(c)->arena, sterna_stanza(c));
	muc_clean(c, room, payload);
	say.payload = payload;
	muc_leave(c, room, s, &say);
	return STERNA_DONE;
}

enum sterna_verdict muc_on_presence(struct sterna_call *c, struct muc_room *room)
{
	const char *type = sterna_type(c);

	if (strcmp(type, "available") == 0)
		return available(c, room);
	if (strcmp(type, "unavailable") == 0)
		return unavailable(c, room);
	if (strcmp(type, "error") == 0 && room != NULL)
		muc_lost(c, room, sterna_from(c));
	return STERNA_DONE;              /* §17.3: neither a wish to enter nor to go */
}
