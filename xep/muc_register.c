/* XEP-0045 §7.10, §9.9: registering with a room - a reserved nick and membership; where only members may enter, an
 * admin decides. Part of the module "muc"; see muc.h. */
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

#define APPROVAL_JID "{urn:sterna:muc}jid"
enum { MAX_ASKED = 20 };                 /* admins that are asked about one request */

static enum sterna_verdict on_get(struct sterna_call *c, struct muc_room *room, const struct muc_member *m)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_REGISTER), *form, *f;

	if (m != NULL && m->nick != NULL) {
		sterna_add(query, "registered", NULL);
		sterna_text(query, "username", m->nick);
		return sterna_reply(c, query);
	}
	sterna_text(query, "instructions", "Choose the nick that is to be yours in this room.");
	form = sterna_form(query, "form", NS_MUC_REGISTER);
	sterna_text(form, "title", sterna_printf(c, "Registration with the room %s", jid_full(room->jid)));
	f = sterna_form_field(form, "muc#register_roomnick", "text-single", NULL);
	sterna_attr(f, "label", "Desired nickname");
	sterna_add(f, "required", NULL);
	return sterna_reply(c, query);
}

/* XEP-0077 §3.2: no longer registered; membership that came with it goes too. */
static enum sterna_verdict forget(struct sterna_call *c, struct muc_room *room, const struct muc_member *m)
{
	if (m == NULL || m->nick == NULL)
		return sterna_reject(c, STERNA_REGISTRATION_REQUIRED, NULL);
	const char *bare = sterna_printf(c, "%s", m->jid);

	if (m->affiliation > MUC_MEMBER)
		muc_set_member(c, room, bare, m->affiliation, NULL, NULL);
	else
		muc_affiliate(c, room, bare, MUC_NONE, NULL, NULL, NULL);
	return sterna_reply(c, NULL);
}

static struct sterna_elem *approval(struct sterna_call *c, const struct muc_room *room, const char *nick)
{
	struct sterna_elem *m = muc_message(c, room->jid, NULL), *form = sterna_form(m, "form", NS_MUC_REGISTER);

	sterna_text(form, "title", "Registration request");
	sterna_text(form, "instructions", "Someone wants to become a member of the room. Say yes to allow it.");
	sterna_attr(sterna_form_field(form, APPROVAL_JID, "jid-single", jid_bare(sterna_from(c))), "label", "User");
	sterna_attr(sterna_form_field(form, "muc#register_roomnick", "text-single", nick), "label", "Desired nickname");
	sterna_attr(sterna_form_field(form, "muc#register_allow", "boolean", "0"), "label",
		"Allow this person to register with the room?");
	return m;
}

static enum sterna_verdict ask_admins(struct sterna_call *c, struct muc_room *room, const char *nick)
{
	struct sterna_elem *m = approval(c, room, nick);
	const struct map_entry *e;
	unsigned n = 0;

	for (size_t at = 0; n < MAX_ASKED && (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *each = e->value;

		if (each->affiliation < MUC_ADMIN)
			continue;
		sterna_attr(m, "to", each->jid);
		sterna_send(c, m);
		n++;
	}
	return sterna_reply(c, NULL);
}

static bool nick_ok(struct sterna_call *c, const struct muc_room *room, const char *nick)
{
	struct jid *address = NULL;
	char key[MUC_KEY_SIZE];

	if (nick == NULL || !muc_nick_key(nick, key, sizeof key) || strlen(nick) > muc_options(c)->nick_length
		|| jid_with_resource(room->jid, nick, &address) != STERNA_OK)
		return false;
	jid_unref(&address);
	return true;
}

/* Someone else has it, by registration or now. */
static bool is_taken(const struct muc_room *room, const char *nick, const char *bare)
{
	const struct muc_occupant *o = muc_find(room, nick);
	char key[MUC_KEY_SIZE];
	const struct muc_member *m = muc_nick_key(nick, key, sizeof key) ? map_get(&room->nicks, key) : NULL;

	return (m != NULL && strcmp(m->jid, bare) != 0) || (o != NULL && strcmp(jid_full(o->bare), bare) != 0);
}

static enum sterna_result register_as(struct sterna_call *c, struct muc_room *room, const char *bare, const char *nick)
{
	const struct muc_member *m = muc_member(room, bare);

	if (is_taken(room, nick, bare))
		return STERNA_EEXISTS;
	if (m != NULL && m->affiliation >= MUC_MEMBER)
		return muc_set_member(c, room, bare, m->affiliation, nick, NULL);
	return muc_affiliate(c, room, bare, MUC_MEMBER, nick, NULL, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c, struct muc_room *room, const struct muc_member *m)
{
	const struct sterna_elem *query = sterna_payload(c), *form = elem_child(query, "x", NS_DATA);
	const char *type = sterna_form_value(form, "FORM_TYPE"), *nick = sterna_form_value(form, "muc#register_roomnick");
	const char *bare = jid_bare(sterna_from(c));

	if (elem_child(query, "remove", NULL) != NULL)
		return forget(c, room, m);
	if (form == NULL || type == NULL || strcmp(type, NS_MUC_REGISTER) != 0 || muc_is_empty(nick))
		return sterna_reject(c, STERNA_BAD_REQUEST, "the form asks for a nick");
	if (!nick_ok(c, room, nick))
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "this nick cannot be used");
	if (is_taken(room, nick, bare))
		return sterna_reject(c, STERNA_CONFLICT, NULL);
	if (room->cfg.members_only && (m == NULL || m->affiliation < MUC_MEMBER))
		return ask_admins(c, room, nick);
	if (register_as(c, room, bare, nick) != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room knows too many people");
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_register(struct sterna_call *c, struct muc_room *room)
{
	const struct muc_member *m = room != NULL ? muc_member(room, jid_bare(sterna_from(c))) : NULL;
	const unsigned affiliation = room != NULL ? muc_affiliation(room, sterna_from(c)) : MUC_NONE;

	if (room == NULL || (room->locked && affiliation != MUC_OWNER))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (affiliation == MUC_OUTCAST || (!room->cfg.allow_register && affiliation < MUC_MEMBER))
		return sterna_reject(c, STERNA_NOT_ALLOWED, "nobody can register with this room");
	return strcmp(sterna_type(c), "get") == 0 ? on_get(c, room, m) : on_set(c, room, m);
}

enum sterna_verdict muc_on_register(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, on_register) : sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}

enum sterna_verdict muc_on_approval(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	const char *who = sterna_form_value(form, APPROVAL_JID), *nick = sterna_form_value(form, "muc#register_roomnick"),
		*allow = sterna_form_value(form, "muc#register_allow"), *type = elem_attr(form, "type");
	struct jid *j = NULL;
	enum sterna_result rc;

	if (muc_affiliation(room, sterna_from(c)) < MUC_ADMIN)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	if ((type != NULL && strcmp(type, "cancel") == 0) || allow == NULL
		|| (strcmp(allow, "1") != 0 && strcmp(allow, "true") != 0))
		return STERNA_DONE;
	if (who == NULL || jid_parse(who, strlen(who), &j) != STERNA_OK)
		return sterna_reject(c, STERNA_JID_MALFORMED, "whom to register");
	if (jid_local(j) == NULL || !nick_ok(c, room, nick) || muc_affiliation(room, j) == MUC_OUTCAST) {
		jid_unref(&j);
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, NULL);
	}
	rc = register_as(c, room, jid_bare(j), nick);
	jid_unref(&j);
	if (rc != STERNA_OK)
		return sterna_reject(c, rc == STERNA_EEXISTS ? STERNA_CONFLICT : STERNA_RESOURCE_CONSTRAINT, NULL);
	return STERNA_DONE;
}
