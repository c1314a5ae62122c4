/* XEP-0045 §7.8.2, §7.13, §8.6: messages to the room itself - invitations that it passes on, and voice that visitors
 * ask for. Part of the module "muc"; see muc.h. */
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

enum { MAX_INVITES = 20 };               /* in one message */

/* --- invitations --- */

/* §7.8.2: in a members-only room whoever may make members; elsewhere all but those without voice, or as the owner
 * says. */
static enum sterna_condition invite_refusal(const struct muc_room *room, const struct muc_session *s,
	unsigned affiliation)
{
	if (s == NULL && affiliation < MUC_ADMIN)
		return STERNA_NOT_ACCEPTABLE;
	if (affiliation >= MUC_ADMIN)
		return 0;
	if (room->cfg.members_only && !(room->cfg.allow_invites && affiliation == MUC_MEMBER))
		return STERNA_FORBIDDEN;
	return s->occupant->role >= MUC_PARTICIPANT || room->cfg.allow_invites ? 0 : STERNA_FORBIDDEN;
}

static struct sterna_elem *passed_on(struct sterna_call *c, const struct muc_room *room, const char *to,
	const struct sterna_elem *what, const char *from)
{
	struct sterna_elem *m = muc_message(c, room->jid, NULL), *x, *e;
	const char *reason = sterna_child_text(what, "reason");
	const struct sterna_elem *go_on = elem_child(what, "continue", NULL);

	sterna_attr(m, "to", to);
	if (sterna_id(c) != NULL)
		sterna_attr(m, "id", sterna_id(c));
	x = sterna_add(m, "x", NS_MUC_USER);
	e = sterna_add(x, what->name, NULL);
	sterna_attr(e, "from", from);
	if (reason != NULL)
		sterna_text(e, "reason", reason);
	if (go_on != NULL)
		sterna_add_copy(e, go_on);
	return m;
}

/* Where real JIDs are not for everyone, the inviter is who it is in the room. */
static const char *inviter(struct sterna_call *c, const struct muc_room *room, const struct muc_session *s)
{
	return s == NULL || room->cfg.whois == MUC_WHOIS_ANYONE ? jid_full(sterna_from(c)) : jid_full(s->occupant->address);
}

static enum sterna_verdict invite_one(struct sterna_call *c, struct muc_room *room, const struct muc_session *s,
	const struct sterna_elem *invite)
{
	const char *to = elem_attr(invite, "to");
	struct sterna_elem *m;
	struct jid *j = NULL;

	if (to == NULL || jid_parse(to, strlen(to), &j) != STERNA_OK)
		return sterna_reject(c, STERNA_JID_MALFORMED, "whom to invite");
	if (muc_affiliation(room, j) == MUC_OUTCAST) {
		jid_unref(&j);
		return sterna_reject(c, STERNA_FORBIDDEN, "who is banned cannot be invited");
	}
	m = passed_on(c, room, jid_full(j), invite, inviter(c, room, s));
	if (room->cfg.password_protected && room->cfg.password != NULL)
		sterna_text(elem_child(m, "x", NS_MUC_USER), "password", room->cfg.password);
	if (room->cfg.members_only && muc_affiliation(room, j) == MUC_NONE
		&& muc_affiliate(c, room, jid_bare(j), MUC_MEMBER, NULL, NULL, s) != STERNA_OK) {
		jid_unref(&j);
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room has too many members");
	}
	jid_unref(&j);
	sterna_send(c, m);
	return STERNA_DONE;
}

static enum sterna_verdict invite(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *x)
{
	const struct muc_session *s = muc_session_of(room, sterna_from(c));
	const enum sterna_condition why = invite_refusal(room, s, muc_affiliation(room, sterna_from(c)));
	unsigned n = 0;

	if (why != 0)
		return sterna_reject(c, why, "you may not invite others");
	elem_foreach(e, x) {
		enum sterna_verdict v;

		if (!elem_is(e, "invite", NS_MUC_USER))
			continue;
		if (n++ == MAX_INVITES)
			return sterna_reject(c, STERNA_POLICY_VIOLATION, "too many invitations at once");
		v = invite_one(c, room, s, e);
		if (v != STERNA_DONE)
			return v;
	}
	return STERNA_DONE;
}

/* To the inviter, as the invitation named it: a real JID, or an occupant. */
static enum sterna_verdict decline(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *what)
{
	const char *to = elem_attr(what, "to");
	const struct muc_occupant *o;
	struct jid *j = NULL;

	if (to == NULL || jid_parse(to, strlen(to), &j) != STERNA_OK)
		return sterna_reject(c, STERNA_JID_MALFORMED, "who has invited you");
	if (muc_affiliation(room, sterna_from(c)) == MUC_OUTCAST) {
		jid_unref(&j);
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	}
	if (jid_bare_equal(j, room->jid)) {
		o = muc_find(room, jid_resource(j));
	} else {
		/* The room carries this to those who are in it, not to anyone. */
		o = NULL;
		for (size_t i = 0; i < room->count && o == NULL; i++)
			if (jid_bare_equal(room->list[i]->jid, j))
				o = room->list[i]->occupant;
	}
	jid_unref(&j);
	if (o == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
		sterna_send(c, passed_on(c, room, jid_full(s->jid), what, jid_bare(sterna_from(c))));
	return STERNA_DONE;
}

/* --- voice: §7.13, §8.6 --- */

static void ask_moderators(struct sterna_call *c, struct muc_room *room, const struct muc_session *s)
{
	struct sterna_elem *m = muc_message(c, room->jid, NULL), *form = sterna_form(m, "form", NS_MUC_REQUEST), *f;

	sterna_text(form, "title", "Voice request");
	sterna_text(form, "instructions", "Someone asks for voice in the room. Say yes to grant it.");
	f = sterna_form_field(form, "muc#role", "list-single", "participant");
	sterna_attr(f, "label", "Requested role");
	sterna_attr(sterna_form_field(form, "muc#jid", "jid-single", jid_full(s->jid)), "label", "User ID");
	sterna_attr(sterna_form_field(form, "muc#roomnick", "text-single", muc_nick(s->occupant)), "label", "Room nickname");
	sterna_attr(sterna_form_field(form, "muc#request_allow", "boolean", "false"), "label", "Grant voice to this person?");
	for (size_t i = 0; i < room->count; i++)
		if (room->list[i]->occupant->role == MUC_MODERATOR)
			muc_to_one(c, room->list[i]->jid, m);
}

static enum sterna_verdict answer_request(struct sterna_call *c, struct muc_room *room, const struct muc_session *s,
	const struct sterna_elem *form)
{
	const char *allow = sterna_form_value(form, "muc#request_allow"), *nick = sterna_form_value(form, "muc#roomnick");
	struct muc_occupant *o = nick != NULL ? muc_find(room, nick) : NULL;

	if (s->occupant->role != MUC_MODERATOR)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	if (strcmp(allow, "1") != 0 && strcmp(allow, "true") != 0)
		return STERNA_DONE;
	if (o == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (o->role == MUC_VISITOR)
		muc_set_role(c, room, o, MUC_PARTICIPANT, NULL, s);
	return STERNA_DONE;
}

static enum sterna_verdict voice(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	const struct muc_session *s = muc_session_of(room, sterna_from(c));
	const char *type = elem_attr(form, "type"), *role = sterna_form_value(form, "muc#role");

	if (s == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "you are not in the room");
	if (type != NULL && strcmp(type, "cancel") == 0)
		return STERNA_DONE;
	if (sterna_form_value(form, "muc#request_allow") != NULL)
		return answer_request(c, room, s, form);
	if (role == NULL || strcmp(role, "participant") != 0)
		return sterna_reject(c, STERNA_BAD_REQUEST, "voice is the role of a participant");
	if (s->occupant->role != MUC_VISITOR)
		return sterna_reject(c, STERNA_NOT_ALLOWED, "you have voice");
	ask_moderators(c, room, s);
	return STERNA_DONE;
}

enum sterna_verdict muc_on_plain_message(struct sterna_call *c, struct muc_room *room)
{
	const struct sterna_elem *m = sterna_stanza(c), *x = elem_child(m, "x", NS_MUC_USER),
		*form = elem_child(m, "x", NS_DATA);
	const char *form_type = sterna_form_value(form, "FORM_TYPE");

	if (room == NULL || (room->locked && muc_affiliation(room, sterna_from(c)) != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (x != NULL && elem_child(x, "invite", NULL) != NULL)
		return invite(c, room, x);
	if (x != NULL && elem_child(x, "decline", NULL) != NULL)
		return decline(c, room, elem_child(x, "decline", NULL));
	if (form_type != NULL && strcmp(form_type, NS_MUC_REQUEST) == 0)
		return voice(c, room, form);
	if (form_type != NULL && strcmp(form_type, NS_MUC_REGISTER) == 0)
		return muc_on_approval(c, room, form);
	if (muc_session_of(room, sterna_from(c)) == NULL)
		return sterna_reject(c, STERNA_FORBIDDEN, "you are not in the room"); /* §17.2 */
	return sterna_reject(c, STERNA_BAD_REQUEST, "to all in the room it is said with type='groupchat'");
}
