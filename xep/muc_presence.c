/* XEP-0045 §7.2.3, §5.1.3: how occupants see each other, and how they go. Part of the module "muc"; see muc.h.
 *
 * What one sends is shown to others as it is, but for what only the room may say; who someone is, the room adds for
 * each kind of recipient: those who may see real JIDs, those who may not, and the occupant itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

static const char *const room_only[][2] = {
	{ "x", NS_MUC_USER }, { "x", NS_MUC }, { "occupant-id", NS_OCCUPANT_ID }, { "hats", NS_HATS },
	{ "delay", NS_DELAY }, { "x", "jabber:x:delay" },
};

/* XEP-0359 §3.1: what claims to be an id that this server gave; all occupants share the message, so that it is not
 * taken out for each later. */
static bool is_our_id(struct sterna_call *c, const char *by)
{
	struct jid *j = NULL;

	if (by == NULL || jid_parse(by, strlen(by), &j) != STERNA_OK)
		return false;
	const bool ours = sterna_mod_has_domain(sterna_mod(c), jid_domain(j));

	jid_unref(&j);
	return ours;
}

static bool is_room_only(struct sterna_call *c, const struct muc_room *room, const struct sterna_elem *e, bool is_message)
{
	const char *from = elem_attr(e, "from");

	if (elem_is(e, "stanza-id", NS_SID))
		return is_our_id(c, elem_attr(e, "by"));
	/* A delay of someone else's is not ours to take away; one that speaks for the room is. */
	if (is_message && strcmp(e->name, "delay") == 0 && strcmp(e->ns, NS_DELAY) == 0)
		return from == NULL || strncmp(from, jid_full(room->jid), strlen(jid_full(room->jid))) == 0;
	for (size_t i = 0; i < sizeof room_only / sizeof *room_only; i++)
		if (elem_is(e, room_only[i][0], room_only[i][1]))
			return true;
	return false;
}

void muc_clean(struct sterna_call *c, const struct muc_room *room, struct sterna_elem *stanza)
{
	const bool is_message = strcmp(stanza->name, "message") == 0;

	for (struct sterna_elem *e = elem_first(stanza), *next; e != NULL; e = next) {
		next = elem_next(e);
		if (is_room_only(c, room, e, is_message))
			elem_remove(e);
	}
}

void muc_add_occupant_id(const struct muc_occupant *o, struct sterna_elem *stanza)
{
	sterna_attr(sterna_add(stanza, "occupant-id", NS_OCCUPANT_ID), "id", o->id);
}

void muc_keep_presence(struct muc_session *s, const struct sterna_elem *presence)
{
	struct muc_occupant *o = s->occupant;

	arena_free(&s->arena);
	s->arena = arena_new(256);
	s->presence = elem_copy(s->arena, presence);
	for (struct sterna_elem *e = elem_first(s->presence), *next; e != NULL; e = next) {
		next = elem_next(e);
		for (size_t i = 0; i < sizeof room_only / sizeof *room_only; i++)
			if (elem_is(e, room_only[i][0], room_only[i][1])) {
				elem_remove(e);
				break;
			}
	}
	sterna_attr(s->presence, "to", NULL);
	sterna_attr(s->presence, "from", NULL);
	sterna_attr(s->presence, "id", NULL);
	/* The one heard last speaks for the nick. */
	for (struct muc_session **at = &o->sessions; *at != NULL; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			s->next = o->sessions;
			o->sessions = s;
			break;
		}
	muc_forget_shown(o);
}

/* --- XEP-0463: versions of the affiliations --- */

void muc_add_version(struct sterna_call *c, struct sterna_elem *x, uint64_t since, uint64_t until)
{
	struct sterna_elem *mav = sterna_add(x, "mav", NS_MAV);

	if (since > 0)
		sterna_attr(mav, "since", sterna_printf(c, "%llu", (unsigned long long)since));
	sterna_attr(mav, "until", sterna_printf(c, "%llu", (unsigned long long)until));
}

static void refuse_affiliations(struct sterna_call *c, const struct muc_room *room, const struct jid *to)
{
	struct sterna_elem *m = muc_message(c, room->jid, "error"), *error;

	error = sterna_add(m, "error", NULL);
	sterna_attr(error, "by", jid_full(room->jid));
	sterna_attr(error, "type", "auth");
	sterna_add(error, "forbidden", NS_STANZAS);
	muc_to_one(c, to, m);
}

/* Only the present state is known: who has another version gets all of it (§4.2.1). */
void muc_send_affiliations(struct sterna_call *c, struct muc_room *room, const struct muc_session *s,
	const struct sterna_elem *x)
{
	const struct sterna_elem *mav = x != NULL ? elem_child(x, "mav", NS_MAV) : NULL;
	const char *since = mav != NULL ? elem_attr(mav, "since") : NULL;
	const unsigned own = muc_affiliation(room, s->jid), role = s->occupant->role;
	const struct map_entry *e;
	struct sterna_elem *m, *user;

	if (mav == NULL || (since != NULL && strcmp(since, sterna_printf(c, "%llu", (unsigned long long)room->version)) == 0))
		return;
	if (!muc_may_list(room, role, own, MUC_MEMBER)) {
		refuse_affiliations(c, room, s->jid);
		return;
	}
	m = muc_message(c, room->jid, NULL);
	user = sterna_add(m, "x", NS_MUC_USER);
	muc_add_version(c, user, 0, room->version);
	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *each = e->value;

		if (each->affiliation == MUC_NONE || !muc_may_list(room, role, own, each->affiliation))
			continue;
		struct sterna_elem *item = sterna_add(user, "item", NULL);

		sterna_attr(item, "jid", each->jid);
		sterna_attr(item, "affiliation", muc_affiliations[each->affiliation]);
	}
	muc_to_one(c, s->jid, m);
}

/* --- one presence --- */

static void add_code(struct sterna_elem *x, unsigned code)
{
	char text[8];

	snprintf(text, sizeof text, "%u", code);
	sterna_attr(sterna_add(x, "status", NULL), "code", text);
}

/* §8.2: by whom; the nick only, but where real JIDs are shown. */
static void add_actor(struct sterna_elem *item, const struct muc_say *say, bool with_jid)
{
	struct sterna_elem *actor;

	if (say->actor == NULL && (say->actor_jid == NULL || !with_jid))
		return;
	actor = sterna_add(item, "actor", NULL);
	if (say->actor != NULL)
		sterna_attr(actor, "nick", muc_nick(say->actor));
	if (with_jid && say->actor_jid != NULL)
		sterna_attr(actor, "jid", say->actor_jid);
}

static void add_hats(const struct muc_room *room, const struct muc_occupant *o, struct sterna_elem *presence)
{
	struct sterna_elem *hats = NULL;

	for (size_t i = 0; i < room->hat_count; i++) {
		if (strcmp(room->hats[i].jid, jid_full(o->bare)) != 0)
			continue;
		if (hats == NULL)
			hats = sterna_add(presence, "hats", NS_HATS);
		struct sterna_elem *hat = sterna_add(hats, "hat", NULL);

		sterna_attr(hat, "uri", room->hats[i].uri);
		sterna_attr(hat, "title", room->hats[i].title);
	}
}

static struct sterna_elem *make(struct sterna_call *c, const struct muc_room *room, const struct muc_occupant *o,
	const struct muc_session *s, const struct muc_say *say, bool with_jid, bool is_own)
{
	struct sterna_elem *p = sterna_elem(c, "presence", NS_CLIENT), *x, *item;
	const struct sterna_elem *payload = say->payload != NULL ? say->payload : say->unavailable ? NULL : s->presence;

	sterna_attr(p, "from", jid_full(o->address));
	/* §7.2.2: clients know their own presence by it, when they enter and when they go. */
	if (is_own && say->asker != NULL && jid_equal(say->asker, s->jid))
		sterna_attr(p, "id", say->id);
	if (payload != NULL) {
		const char *lang = elem_attr_ns(payload, "lang", NS_XML);

		if (lang != NULL)
			elem_set_attr_ns(p->arena, p, "lang", NS_XML, lang);
		elem_foreach(e, payload)
			sterna_add_copy(p, e);
	}
	if (say->unavailable)
		sterna_attr(p, "type", "unavailable");
	muc_add_occupant_id(o, p);
	add_hats(room, o, p);
	x = sterna_add(p, "x", NS_MUC_USER);
	if (say->since > 0 || is_own)
		muc_add_version(c, x, say->since, room->version);
	item = sterna_add(x, "item", NULL);
	sterna_attr(item, "affiliation", muc_affiliations[muc_affiliation(room, o->bare)]);
	sterna_attr(item, "role", muc_roles[say->unavailable && say->new_nick == NULL ? MUC_NO_ROLE : o->role]);
	if (with_jid)
		sterna_attr(item, "jid", jid_full(s->jid));
	if (say->new_nick != NULL)
		sterna_attr(item, "nick", say->new_nick);
	add_actor(item, say, with_jid);
	if (say->reason != NULL)
		sterna_text(item, "reason", say->reason);
	if (say->destroy != NULL)
		sterna_add_copy(x, say->destroy);
	for (unsigned i = 0; is_own && i < say->own_count; i++)
		add_code(x, say->own_codes[i]);
	if (is_own)
		add_code(x, 110);
	for (unsigned i = 0; i < say->count; i++)
		add_code(x, say->codes[i]);
	return p;
}

void muc_to_one(struct sterna_call *c, const struct jid *to, const struct sterna_elem *stanza)
{
	struct sterna_shared *s = sterna_share(c, stanza);

	sterna_send_many(c, s, &to, 1);
	sterna_shared_unref(&s);
}

void muc_show_own(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_session *s,
	const struct muc_say *say)
{
	muc_to_one(c, s->jid, make(c, room, o, s, say, muc_shows_jids(room, o->role), true));
}

/* --- to all --- */

struct recipients {
	const struct jid **jids;
	size_t count;
};

/* Those inside whose view is that one, without o's own sessions. */
static void choose(struct sterna_call *c, const struct muc_room *room, const struct muc_occupant *o, bool with_jid,
	struct recipients *out)
{
	out->jids = sterna_alloc(c, (room->count + 1) * sizeof(struct jid *));
	out->count = 0;
	for (size_t i = 0; i < room->count; i++) {
		const struct muc_session *s = room->list[i];

		if (s->occupant != o && muc_shows_jids(room, s->occupant->role) == with_jid)
			out->jids[out->count++] = s->jid;
	}
}

/* muc#roomconfig_presencebroadcast: also whoever was shown until now, so that it is not shown for ever. */
static bool is_broadcast(const struct muc_room *room, const struct muc_occupant *o, const struct muc_say *say)
{
	return (room->cfg.broadcast & 1u << o->role) != 0
		|| (say->was_role != MUC_NO_ROLE && (room->cfg.broadcast & 1u << say->was_role) != 0);
}

static bool is_plain(const struct muc_say *say)
{
	return !say->unavailable && say->count == 0 && say->actor == NULL && say->actor_jid == NULL && say->reason == NULL
		&& say->payload == NULL && say->destroy == NULL && say->since == 0;
}

/* As it is shown when nothing but what everybody knows is to be said: made once, for all who come. */
static struct sterna_shared *plain(struct sterna_call *c, const struct muc_room *room, struct muc_occupant *o,
	bool with_jid)
{
	static const struct muc_say nothing = { 0 };

	if (o->shown[with_jid] == NULL)
		o->shown[with_jid] = sterna_share(c, make(c, room, o, o->sessions, &nothing, with_jid, false));
	return o->shown[with_jid];
}

void muc_show_rest(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_say *say)
{
	if (!is_broadcast(room, o, say))
		return;
	for (int with_jid = 0; with_jid <= 1; with_jid++) {
		struct recipients to;
		struct sterna_shared *s;

		choose(c, room, o, with_jid != 0, &to);
		if (to.count == 0)
			continue;
		s = is_plain(say) ? sterna_shared_ref(plain(c, room, o, with_jid != 0))
			: sterna_share(c, make(c, room, o, o->sessions, say, with_jid != 0, false));
		sterna_send_many(c, s, to.jids, to.count);
		sterna_shared_unref(&s);
	}
}

void muc_show(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, const struct muc_say *say)
{
	for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
		muc_show_own(c, room, o, s, say);
	muc_show_rest(c, room, o, say);
}

void muc_show_others(struct sterna_call *c, struct muc_room *room, const struct muc_session *to)
{
	static const struct muc_say nothing = { 0 };
	const bool with_jid = muc_shows_jids(room, to->occupant->role);
	struct sterna_shared **all = sterna_alloc(c, (room->count + 1) * sizeof *all);
	size_t count = 0;

	for (size_t i = 0; i < room->count; i++) {
		struct muc_session *s = room->list[i];

		if (s->occupant != to->occupant && s->occupant->sessions == s && is_broadcast(room, s->occupant, &nothing))
			all[count++] = plain(c, room, s->occupant, with_jid);
	}
	sterna_send_burst(c, all, count, to->jid);
}

/* --- going --- */

static void muc_note_left(struct sterna_call *c, const struct muc_room *room, const struct muc_session *s)
{
	sterna_audit(c, "sterna.room.left.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("jid", jid_full(s->jid)), STERNA_PERSONAL("nick", muc_nick(s->occupant)), { 0 } });
}

void muc_remove(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, struct muc_say *say)
{
	bool gone = false;

	say->unavailable = true;
	muc_show(c, room, o, say);
	while (!gone) {
		struct muc_session *s = o->sessions;

		muc_note_left(c, room, s);
		muc_unstore_session(c, room, s->jid);
		gone = muc_drop_session(room, s);
	}
}

void muc_leave(struct sterna_call *c, struct muc_room *room, struct muc_session *s, struct muc_say *say)
{
	static const struct muc_say nothing = { 0 };
	struct muc_occupant *o = s->occupant;
	const bool spoke = o->sessions == s;

	if (spoke && s->next == NULL) {
		muc_remove(c, room, o, say);
		return;
	}
	say->unavailable = true;
	muc_show_own(c, room, o, s, say);
	muc_unstore_session(c, room, s->jid);
	muc_drop_session(room, s);
	if (spoke)
		muc_show(c, room, o, &nothing);
}

/* --- messages of the room --- */

struct sterna_elem *muc_message(struct sterna_call *c, const struct jid *from, const char *type)
{
	struct sterna_elem *m = sterna_elem(c, "message", NS_CLIENT);

	sterna_attr(m, "from", jid_full(from));
	if (type != NULL)
		sterna_attr(m, "type", type);
	return m;
}

void muc_to_all(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *message)
{
	struct sterna_shared *s = sterna_share(c, message);
	const struct jid **to = sterna_alloc(c, (room->count + 1) * sizeof *to);

	for (size_t i = 0; i < room->count; i++)
		to[i] = room->list[i]->jid;
	sterna_send_many(c, s, to, room->count);
	sterna_shared_unref(&s);
}

void muc_tell_codes(struct sterna_call *c, struct muc_room *room, const unsigned *codes, size_t count)
{
	struct sterna_elem *m = muc_message(c, room->jid, "groupchat"), *x = sterna_add(m, "x", NS_MUC_USER);

	for (size_t i = 0; i < count; i++)
		add_code(x, codes[i]);
	muc_to_all(c, room, m);
}

/* §18.1.2 (ghosts), §11.1: a stanza that we sent could not be delivered. */
void muc_lost(struct sterna_call *c, struct muc_room *room, const struct jid *full)
{
	struct muc_session *s = muc_session_of(room, full);
	struct muc_say say = { .codes = { 333 }, .count = 1 }; /* nobody has kicked it: no 307 */

	if (s != NULL)
		muc_leave(c, room, s, &say);
}
