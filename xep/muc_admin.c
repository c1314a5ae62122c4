/* XEP-0045 §8, §9, §10.3-§10.8: lists of roles and affiliations, and their changes. Part of the module "muc"; see muc.h.
 *
 * A set is checked as a whole before anything of it is done: one item that is not allowed, and nothing is. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

/* Who asks. */
struct asker {
	const struct muc_session *session;   /* or NULL: not inside */
	unsigned affiliation, role;
};

static struct asker asker_of(struct sterna_call *c, const struct muc_room *room)
{
	struct asker a = { muc_session_of(room, sterna_from(c)), muc_affiliation(room, sterna_from(c)), MUC_NO_ROLE };

	if (a.session != NULL)
		a.role = a.session->occupant->role;
	return a;
}

/* --- lists --- */

/* §9.5, §10.5, §10.8; and where members see each other anyway, what muc#roomconfig_getmemberlist says. */
bool muc_may_list(const struct muc_room *room, unsigned role, unsigned own, unsigned affiliation)
{
	if (own == MUC_OWNER || (own == MUC_ADMIN && affiliation <= MUC_MEMBER))
		return true;
	return affiliation >= MUC_MEMBER && own >= MUC_MEMBER && room->cfg.whois == MUC_WHOIS_ANYONE
		&& (role == MUC_NO_ROLE ? room->cfg.member_list != 0 : (room->cfg.member_list & 1u << role) != 0);
}

static enum sterna_verdict list_affiliation(struct sterna_call *c, struct muc_room *room, const struct asker *a,
	unsigned affiliation)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_MUC_ADMIN);
	const struct map_entry *e;

	if (!muc_may_list(room, a->role, a->affiliation, affiliation))
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	for (size_t at = 0; affiliation != MUC_NONE && (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *m = e->value;

		if (m->affiliation != affiliation)
			continue;
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "affiliation", muc_affiliations[affiliation]);
		sterna_attr(item, "jid", m->jid);
		if (m->nick != NULL && affiliation != MUC_OUTCAST)
			sterna_attr(item, "nick", m->nick);
		if (m->reason != NULL)
			sterna_text(item, "reason", m->reason);
	}
	return sterna_reply(c, query);
}

static enum sterna_verdict list_role(struct sterna_call *c, struct muc_room *room, const struct asker *a, unsigned role)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_MUC_ADMIN);
	const struct map_entry *e;

	if (a->role != MUC_MODERATOR || (role == MUC_MODERATOR && a->affiliation < MUC_ADMIN))
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		const struct muc_occupant *o = e->value;

		if (o->role != role)
			continue;
		struct sterna_elem *item = sterna_add(query, "item", NULL);

		sterna_attr(item, "affiliation", muc_affiliations[muc_affiliation(room, o->bare)]);
		sterna_attr(item, "jid", jid_full(o->sessions->jid));
		sterna_attr(item, "nick", muc_nick(o));
		sterna_attr(item, "role", muc_roles[role]);
	}
	return sterna_reply(c, query);
}

static enum sterna_verdict on_get(struct sterna_call *c, struct muc_room *room)
{
	const struct asker a = asker_of(c, room);
	const struct sterna_elem *item = elem_child(sterna_payload(c), "item", NULL);
	unsigned value;

	if (item == NULL || elem_next(item) != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "one item, with a role or an affiliation");
	if (muc_value(muc_affiliations, elem_attr(item, "affiliation"), &value))
		return list_affiliation(c, room, &a, value);
	if (muc_value(muc_roles, elem_attr(item, "role"), &value) && value != MUC_NO_ROLE)
		return list_role(c, room, &a, value);
	return sterna_reject(c, STERNA_BAD_REQUEST, NULL);
}

/* --- changes --- */

struct change {
	const char *bare;                    /* an affiliation */
	struct muc_occupant *occupant;       /* a role */
	unsigned value;
	const char *nick, *reason;
};

/* §9.1, §9.3, §10.3…: who may make whom what. 0: it may be. */
static enum sterna_condition affiliation_refusal(const struct asker *a, unsigned now, unsigned next, bool is_self)
{
	if (a->affiliation < MUC_ADMIN)
		return STERNA_FORBIDDEN;
	if (is_self && next == MUC_OUTCAST)
		return STERNA_CONFLICT;
	if (a->affiliation == MUC_OWNER)
		return 0;
	if (now > MUC_MEMBER && !(is_self && next < now))
		return STERNA_NOT_ALLOWED;
	return next > MUC_MEMBER ? STERNA_FORBIDDEN : 0;
}

/* §8.2-§8.5, §9.6-§9.8. */
static enum sterna_condition role_refusal(const struct muc_room *room, const struct asker *a,
	const struct muc_occupant *o, unsigned next)
{
	const unsigned theirs = muc_affiliation(room, o->bare);

	if (a->role != MUC_MODERATOR)
		return STERNA_FORBIDDEN;
	if (next == MUC_MODERATOR)
		return a->affiliation >= MUC_ADMIN || o->role == MUC_MODERATOR ? 0 : STERNA_FORBIDDEN;
	if (next == MUC_NO_ROLE)
		return theirs > a->affiliation ? STERNA_NOT_ALLOWED : 0;
	if (theirs >= MUC_ADMIN || theirs > a->affiliation)
		return STERNA_NOT_ALLOWED;
	return o->role == MUC_MODERATOR && a->affiliation < MUC_ADMIN ? STERNA_FORBIDDEN : 0;
}

static enum sterna_condition read_affiliation(struct sterna_call *c, const struct muc_room *room,
	const struct asker *a, const struct sterna_elem *item, struct change *out)
{
	const char *jid = elem_attr(item, "jid"), *nick = elem_attr(item, "nick");
	const struct muc_occupant *o = jid == NULL && nick != NULL ? muc_find(room, nick) : NULL;
	struct jid *j = NULL;

	if (a->affiliation < MUC_ADMIN)
		return STERNA_FORBIDDEN;
	if (jid == NULL && nick != NULL && o == NULL)
		return STERNA_ITEM_NOT_FOUND;
	if (jid == NULL && o == NULL)
		return STERNA_BAD_REQUEST;
	if (o != NULL)
		j = jid_ref(o->bare);
	else if (jid_parse(jid, strlen(jid), &j) != STERNA_OK)
		return STERNA_JID_MALFORMED;
	/* A domain can be banned, but is nobody who could be a member. */
	if (jid_local(j) == NULL && out->value != MUC_OUTCAST && muc_member(room, jid_bare(j)) == NULL) {
		jid_unref(&j);
		return STERNA_JID_MALFORMED;
	}
	const unsigned now = muc_affiliation(room, j);
	const enum sterna_condition why = affiliation_refusal(a, now, out->value, jid_bare_equal(j, sterna_from(c)));

	out->bare = sterna_printf(c, "%s", jid_bare(j));
	out->nick = jid != NULL ? nick : NULL;
	jid_unref(&j);
	return why;
}

static enum sterna_condition read_item(struct sterna_call *c, struct muc_room *room, const struct asker *a,
	const struct sterna_elem *item, struct change *out)
{
	const char *affiliation = elem_attr(item, "affiliation"), *role = elem_attr(item, "role");

	out->reason = sterna_child_text(item, "reason");
	if (out->reason != NULL && strlen(out->reason) > muc_options(c)->text_size.bytes)
		return STERNA_NOT_ACCEPTABLE;
	if ((affiliation != NULL) == (role != NULL))
		return STERNA_BAD_REQUEST;       /* §17.4: one of them */
	if (affiliation != NULL)
		return muc_value(muc_affiliations, affiliation, &out->value) ? read_affiliation(c, room, a, item, out)
			: STERNA_BAD_REQUEST;
	if (!muc_value(muc_roles, role, &out->value) || elem_attr(item, "nick") == NULL)
		return STERNA_BAD_REQUEST;
	if (a->role != MUC_MODERATOR)
		return STERNA_FORBIDDEN;
	out->occupant = muc_find(room, elem_attr(item, "nick"));
	return out->occupant == NULL ? STERNA_ITEM_NOT_FOUND : role_refusal(room, a, out->occupant, out->value);
}

/* §10.4: a room has an owner. */
static bool leaves_no_owner(const struct muc_room *room, const struct change *changes, size_t n)
{
	size_t owners = muc_count_members(room, MUC_OWNER);

	for (size_t i = 0; i < n; i++) {
		const struct muc_member *m = changes[i].bare != NULL ? muc_member(room, changes[i].bare) : NULL;

		if (m != NULL && m->affiliation == MUC_OWNER && changes[i].value != MUC_OWNER)
			owners--;
		else if (changes[i].bare != NULL && changes[i].value == MUC_OWNER)
			owners++;
	}
	return owners == 0;
}

static enum sterna_verdict apply(struct sterna_call *c, struct muc_room *room, const struct change *changes, size_t n)
{
	const struct jid *from = sterna_from(c);

	for (size_t i = 0; i < n; i++) {
		/* What came before may have taken the asker itself out, or the one who is meant. */
		const struct muc_session *actor = muc_session_of(room, from);

		if (changes[i].bare != NULL) {
			const enum sterna_result rc = muc_affiliate(c, room, changes[i].bare, changes[i].value, changes[i].nick,
				changes[i].reason, actor);

			if (rc == STERNA_EEXISTS)
				return sterna_reject(c, STERNA_CONFLICT, "that nick is someone else's");
			if (rc != STERNA_OK)
				return sterna_reject(c, rc == STERNA_ELIMIT ? STERNA_RESOURCE_CONSTRAINT : STERNA_NOT_ACCEPTABLE, NULL);
		} else {
			struct map_entry *e;

			for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;)
				if (e->value == changes[i].occupant) {
					muc_set_role(c, room, changes[i].occupant, changes[i].value, changes[i].reason, actor);
					break;
				}
		}
	}
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c, struct muc_room *room)
{
	const struct asker a = asker_of(c, room);
	struct change *changes;
	size_t n = 0, added = 0;

	elem_foreach(e, sterna_payload(c))
		n++;
	changes = sterna_alloc(c, (n + 1) * sizeof *changes);
	n = 0;
	elem_foreach(e, sterna_payload(c)) {
		enum sterna_condition why;

		if (!elem_is(e, "item", NS_MUC_ADMIN))
			continue;
		why = read_item(c, room, &a, e, &changes[n]);
		if (why != 0)
			return sterna_reject(c, why, NULL);
		added += changes[n].bare != NULL && changes[n].value != MUC_NONE && muc_member(room, changes[n].bare) == NULL;
		n++;
	}
	if (n == 0)
		return sterna_reject(c, STERNA_BAD_REQUEST, "there is no item");
	if (leaves_no_owner(room, changes, n))
		return sterna_reject(c, STERNA_CONFLICT, "a room needs an owner");
	if (room->members.count + added > muc_options(c)->affiliations)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room knows too many people");
	return apply(c, room, changes, n);
}

static enum sterna_verdict on_admin(struct sterna_call *c, struct muc_room *room)
{
	if (room == NULL || (room->locked && muc_affiliation(room, sterna_from(c)) != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	return strcmp(sterna_type(c), "get") == 0 ? on_get(c, room) : on_set(c, room);
}

enum sterna_verdict muc_on_admin(struct sterna_call *c)
{
	return muc_enter(c, on_admin);
}

/* --- what follows from a change --- */

static void by(struct muc_say *say, const struct muc_session *actor, const char *reason)
{
	say->reason = reason;
	if (actor != NULL) {
		say->actor = actor->occupant;
		say->actor_jid = jid_bare(actor->occupant->bare);
	}
}

void muc_set_role(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, unsigned role,
	const char *reason, const struct muc_session *actor)
{
	struct muc_say say = { .was_role = o->role };

	sterna_audit(c, "sterna.room.role.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("by", jid_bare(sterna_from(c))), STERNA_PERSONAL("jid", jid_bare(o->bare)),
		STERNA_PERSONAL("nick", muc_nick(o)), STERNA_DATUM("was", muc_roles[o->role]), STERNA_DATUM("role", muc_roles[role]),
		STERNA_CONTENT("reason", reason), { 0 } });
	by(&say, actor, reason);
	if (role == MUC_NO_ROLE) {
		say.codes[say.count++] = 307;
		muc_remove(c, room, o, &say);
		return;
	}
	o->role = role;
	muc_forget_shown(o);
	for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
		muc_store_session(c, room, s);
	muc_show(c, room, o, &say);
}

/* §5.2.2: an admin is a moderator, a member has voice; who is an admin no more is a participant. */
static unsigned role_after(const struct muc_room *room, const struct muc_occupant *o, unsigned was, unsigned now)
{
	if (now >= MUC_ADMIN)
		return MUC_MODERATOR;
	if (was >= MUC_ADMIN)
		return muc_first_role(room, now);
	return now == MUC_MEMBER && o->role == MUC_VISITOR ? MUC_PARTICIPANT : o->role;
}

static void follow(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, unsigned was,
	const char *reason, const struct muc_session *actor)
{
	const unsigned now = muc_affiliation(room, o->bare);
	struct muc_say say = { .was_role = o->role, .since = room->version - 1 };

	by(&say, actor, reason);
	if (now == MUC_OUTCAST || (room->cfg.members_only && now == MUC_NONE)) {
		say.codes[say.count++] = now == MUC_OUTCAST ? 301 : 321;
		muc_remove(c, room, o, &say);
		return;
	}
	o->role = role_after(room, o, was, now);
	muc_forget_shown(o);
	for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
		muc_store_session(c, room, s);
	muc_show(c, room, o, &say);
}

/* §10.3 and its like: of someone who is not inside, those hear who may know its JID. */
static void tell_of_absent(struct sterna_call *c, struct muc_room *room, const char *bare, unsigned affiliation)
{
	struct sterna_elem *m = muc_message(c, room->jid, NULL), *x = sterna_add(m, "x", NS_MUC_USER), *item;

	muc_add_version(c, x, room->version - 1, room->version);
	item = sterna_add(x, "item", NULL);
	sterna_attr(item, "affiliation", muc_affiliations[affiliation]);
	sterna_attr(item, "jid", bare);
	sterna_attr(item, "role", "none");
	for (size_t i = 0; i < room->count; i++)
		if (muc_shows_jids(room, room->list[i]->occupant->role))
			muc_to_one(c, room->list[i]->jid, m);
}

enum sterna_result muc_affiliate(struct sterna_call *c, struct muc_room *room, const char *bare, unsigned affiliation,
	const char *nick, const char *reason, const struct muc_session *actor)
{
	const struct muc_member *m = muc_member(room, bare);
	const unsigned was = m != NULL ? m->affiliation : MUC_NONE;
	struct muc_occupant **who = sterna_alloc(c, (room->occupants.count + 1) * sizeof *who);
	struct map_entry *e;
	size_t n = 0;

	bare = sterna_printf(c, "%s", bare); /* it may come from the row that is replaced now */
	/* §9.1: an outcast's nick is free; others keep theirs. */
	if (nick == NULL && m != NULL && affiliation != MUC_OUTCAST && affiliation != MUC_NONE)
		nick = m->nick;
	const enum sterna_result rc = muc_set_member(c, room, bare, affiliation, affiliation == MUC_OUTCAST ? NULL : nick,
		reason);

	if (rc != STERNA_OK)
		return rc;
	sterna_audit(c, "sterna.room.affiliation.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("by", jid_bare(sterna_from(c))), STERNA_PERSONAL("jid", bare),
		STERNA_DATUM("was", muc_affiliations[was]), STERNA_DATUM("affiliation", muc_affiliations[affiliation]),
		STERNA_CONTENT("reason", reason), { 0 } });
	room->version++;
	muc_store_room(c, room);
	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;

		if (strcmp(jid_full(o->bare), bare) == 0 || (strcmp(jid_domain(o->bare), bare) == 0
			&& muc_affiliation(room, o->bare) == MUC_OUTCAST))
			who[n++] = o;
	}
	if (n == 0)
		tell_of_absent(c, room, bare, affiliation);
	for (size_t i = 0; i < n; i++)
		follow(c, room, who[i], was, reason, actor != NULL && actor->occupant == who[i] ? NULL : actor);
	return STERNA_OK;
}
