/* XEP-0045 §10.1, §10.2, §10.9: what the owner does - configures the room, and ends it. Part of the module "muc"; see
 * muc.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

#define OWNERS "muc#roomconfig_roomowners"
#define ADMINS "muc#roomconfig_roomadmins"

/* --- the form --- */

static void form_members(struct sterna_elem *form, const struct muc_room *room, const char *var, const char *label,
	unsigned affiliation)
{
	struct sterna_elem *f = sterna_form_field(form, var, "jid-multi", NULL);
	const struct map_entry *e;

	sterna_attr(f, "label", label);
	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *m = e->value;

		if (m->affiliation == affiliation)
			sterna_text(f, "value", m->jid);
	}
}

static enum sterna_verdict on_get(struct sterna_call *c, struct muc_room *room)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_MUC_OWNER), *form = sterna_form(query, "form", NS_MUC_CONFIG);

	sterna_text(form, "title", sterna_printf(c, "Configuration of the room %s", jid_full(room->jid)));
	muc_config_form(&room->cfg, form);
	form_members(form, room, ADMINS, "Room admins", MUC_ADMIN);
	form_members(form, room, OWNERS, "Room owners", MUC_OWNER);
	return sterna_reply(c, query);
}

/* --- lists within the form --- */

struct names {
	const char **bare;
	size_t count;
};

static const struct sterna_elem *field(const struct sterna_elem *form, const char *var)
{
	elem_foreach(f, form) {
		const char *name = elem_attr(f, "var");

		if (elem_is(f, "field", NS_DATA) && name != NULL && strcmp(name, var) == 0)
			return f;
	}
	return NULL;
}

static bool has(const struct names *n, const char *bare)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->bare[i], bare) == 0)
			return true;
	return false;
}

static bool read_names(struct sterna_call *c, const struct sterna_elem *f, struct names *out)
{
	size_t n = 0;

	elem_foreach(v, f)
		n++;
	out->bare = sterna_alloc(c, (n + 1) * sizeof *out->bare);
	elem_foreach(v, f) {
		const char *text = elem_is(v, "value", NS_DATA) ? text_of(c, v) : "";
		struct jid *j = NULL;

		if (*text == '\0')
			continue;
		if (jid_parse(text, strlen(text), &j) != STERNA_OK)
			return false;
		if (jid_local(j) == NULL) {
			jid_unref(&j);
			return false;
		}
		out->bare[out->count++] = sterna_printf(c, "%s", jid_bare(j));
		jid_unref(&j);
	}
	return true;
}

/* The full list of one affiliation: who is not in it, is that no more. */
static enum sterna_result apply_names(struct sterna_call *c, struct muc_room *room, const struct names *names,
	unsigned affiliation, const struct names *kept)
{
	const struct muc_session *actor;
	const char **gone = sterna_alloc(c, (room->members.count + 1) * sizeof *gone);
	const struct map_entry *e;
	size_t n = 0;
	enum sterna_result rc = STERNA_OK;

	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *m = e->value;

		if (m->affiliation == affiliation && !has(names, m->jid) && (kept == NULL || !has(kept, m->jid)))
			gone[n++] = sterna_printf(c, "%s", m->jid);
	}
	for (size_t i = 0; rc == STERNA_OK && i < names->count; i++) {
		const struct muc_member *m = muc_member(room, names->bare[i]);

		actor = muc_session_of(room, sterna_from(c));
		if (m == NULL || m->affiliation != affiliation)
			rc = muc_affiliate(c, room, names->bare[i], affiliation, NULL, NULL, actor);
	}
	for (size_t i = 0; rc == STERNA_OK && i < n; i++) {
		actor = muc_session_of(room, sterna_from(c));
		rc = muc_affiliate(c, room, gone[i], MUC_NONE, NULL, NULL, actor);
	}
	return rc;
}

/* --- a new configuration --- */

/* §9.4 and its like: into a members-only room, those who are none may not stay. */
static void remove_strangers(struct sterna_call *c, struct muc_room *room)
{
	struct muc_occupant **who = sterna_alloc(c, (room->occupants.count + 1) * sizeof *who);
	struct map_entry *e;
	size_t n = 0;

	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;

		if (muc_affiliation(room, o->bare) <= MUC_NONE)
			who[n++] = o;
	}
	for (size_t i = 0; i < n; i++) {
		struct muc_say say = { .codes = { 322 }, .count = 1 };

		muc_remove(c, room, who[i], &say);
	}
}

/* What one sees of others has changed, or who has voice: everyone's presence anew. */
static void show_all(struct sterna_call *c, struct muc_room *room)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;
		static const struct muc_say nothing = { 0 };

		muc_forget_shown(o);
		muc_show(c, room, o, &nothing);
	}
}

static void give_voice(struct sterna_call *c, struct muc_room *room)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;

		if (o->role == MUC_VISITOR)
			muc_set_role(c, room, o, MUC_PARTICIPANT, NULL, NULL);
	}
}

/* §10.2.1: is there a change that has no code of its own? */
static bool changes_more(struct sterna_call *c, const struct muc_config *was, const struct muc_config *now)
{
	static const char *const own[] = { "muc#roomconfig_enablelogging", "muc#roomconfig_whois" };
	const char *p = muc_config_changes(c, was, now);

	while (*p != '\0') {
		const size_t n = strcspn(p, " ");

		if (!(strlen(own[0]) == n && memcmp(p, own[0], n) == 0) && !(strlen(own[1]) == n && memcmp(p, own[1], n) == 0))
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static void configured(struct sterna_call *c, struct muc_room *room, struct muc_config *was)
{
	const struct muc_config *now = &room->cfg;
	unsigned codes[6];
	size_t n = 0;

	if (was->logging != now->logging)
		codes[n++] = now->logging ? 170 : 171;
	if (was->whois != now->whois)
		codes[n++] = now->whois == MUC_WHOIS_ANYONE ? 172 : 173;
	if (changes_more(c, was, now))
		codes[n++] = 104;
	if (n > 0)
		muc_tell_codes(c, room, codes, n);
	if (!was->members_only && now->members_only)
		remove_strangers(c, room);
	if (was->moderated && !now->moderated)
		give_voice(c, room);
	if (was->whois != MUC_WHOIS_ANYONE && now->whois == MUC_WHOIS_ANYONE)
		show_all(c, room);
}

static enum sterna_verdict submit(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *form)
{
	const struct sterna_elem *owners_field = field(form, OWNERS), *admins_field = field(form, ADMINS);
	struct names owners = { 0 }, admins = { 0 };
	const bool was_locked = room->locked;
	struct muc_config fresh, old;
	const char *wrong;

	if ((owners_field != NULL && !read_names(c, owners_field, &owners))
		|| (admins_field != NULL && !read_names(c, admins_field, &admins)))
		return sterna_reject(c, STERNA_JID_MALFORMED, "owners and admins are bare JIDs");
	if (owners_field != NULL && owners.count == 0)
		return sterna_reject(c, STERNA_CONFLICT, "a room needs an owner");
	if (room->members.count + owners.count + admins.count > muc_options(c)->affiliations)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room knows too many people");
	wrong = muc_config_set(&room->cfg, c, form, muc_options(c), &fresh);
	if (wrong != NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, wrong);
	old = room->cfg;
	room->cfg = fresh;
	room->locked = false;
	muc_store_room(c, room);
	if (sterna_is_audited(c))
		sterna_audit(c, "sterna.room.configured.v1", jid_full(room->jid), (const struct sterna_datum[]){
			STERNA_PERSONAL("by", jid_bare(sterna_from(c))),
			STERNA_DATUM("changed", muc_config_changes(c, &old, &fresh)), { 0 } });
	if (!was_locked)
		configured(c, room, &old);
	muc_config_clear(&old);
	if (owners_field != NULL && apply_names(c, room, &owners, MUC_OWNER, &admins) != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (admins_field != NULL && apply_names(c, room, &admins, MUC_ADMIN, &owners) != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	return sterna_reply(c, NULL);
}

/* §10.1.3: who gives up the first configuration, gives up the room. */
static enum sterna_verdict cancel(struct sterna_call *c, struct muc_room *room)
{
	if (room->locked)
		muc_destroy(c, room, NULL);
	return sterna_reply(c, NULL);
}

/* --- the end: §10.9 --- */

void muc_destroy(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *destroy)
{
	struct muc_say say = { .unavailable = true, .destroy = destroy };
	struct map_entry *e;

	/* Nobody is anything there any more. */
	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		struct muc_occupant *o = e->value;

		for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
			muc_show_own(c, room, o, s, &say);
	}
	muc_unstore_room(c, room, "owner", destroy != NULL ? sterna_child_text(destroy, "reason") : NULL);
	room->gone = true;
}

static enum sterna_verdict on_destroy(struct sterna_call *c, struct muc_room *room, const struct sterna_elem *asked)
{
	struct sterna_elem *destroy = sterna_elem(c, "destroy", NS_MUC_USER);
	const char *venue = elem_attr(asked, "jid"), *reason = sterna_child_text(asked, "reason"),
		*password = sterna_child_text(asked, "password");
	struct jid *j = NULL;

	if (venue != NULL) {
		if (jid_parse(venue, strlen(venue), &j) != STERNA_OK)
			return sterna_reject(c, STERNA_JID_MALFORMED, "the alternate venue");
		sterna_attr(destroy, "jid", jid_full(j));
		jid_unref(&j);
	}
	if (password != NULL)
		sterna_text(destroy, "password", password);
	if (reason != NULL)
		sterna_text(destroy, "reason", reason);
	muc_destroy(c, room, destroy);
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c, struct muc_room *room)
{
	const struct sterna_elem *query = sterna_payload(c), *destroy = elem_child(query, "destroy", NULL),
		*form = elem_child(query, "x", NS_DATA);
	const char *type = form != NULL ? elem_attr(form, "type") : NULL, *form_type = sterna_form_value(form, "FORM_TYPE");

	if (destroy != NULL)
		return on_destroy(c, room, destroy);
	if (type == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a form is needed");
	if (strcmp(type, "cancel") == 0)
		return cancel(c, room);
	if (strcmp(type, "submit") != 0 || (form_type != NULL && strcmp(form_type, NS_MUC_CONFIG) != 0))
		return sterna_reject(c, STERNA_BAD_REQUEST, "this is no configuration of a room");
	return submit(c, room, form);
}

static enum sterna_verdict on_owner(struct sterna_call *c, struct muc_room *room)
{
	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (muc_affiliation(room, sterna_from(c)) != MUC_OWNER)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	return strcmp(sterna_type(c), "get") == 0 ? on_get(c, room) : on_set(c, room);
}

enum sterna_verdict muc_on_owner(struct sterna_call *c)
{
	return muc_enter(c, on_owner);
}
