/* XEP-0045: rooms as administrators' commands: listed, shown, destroyed, affiliations. Each room's handlers run on its own
 * worker, in its lane, like the stanzas of its occupants; what is listed is what is stored. */
#include <jansson.h>
#include <string.h>
#include "xep/muc.h"

enum { LIST_MAX = 10000 };

static const struct db_stmt list_rooms = {
	.name = "muc_command_list", .params = "ti", .columns = "ttiiiii",
	.sql = "SELECT r.room, r.name, r.listed, r.locked, r.created, (SELECT count(*) FROM muc_session s WHERE s.room = r.room), "
	       "(SELECT count(*) FROM muc_member m WHERE m.room = r.room AND m.affiliation > 1) FROM muc_room r "
	       "WHERE $1 = '' OR r.host = $1 OR substr(r.host, length(r.host) - length($1)) = '.' || $1 ORDER BY r.room LIMIT $2",
};

/* --- list --- */

static enum sterna_verdict on_list(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	json_t *list = json_array();
	char stamp[STERNA_STAMP_LEN];

	if (rc != STERNA_OK) {
		json_decref(list);
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the rooms cannot be read now");
	}
	for (size_t i = 0; i < rows->count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:s, s:I, s:I}", "room", db_str(rows->db, i, 0, NULL),
			"name", db_is_null(rows->db, i, 1) ? "" : db_str(rows->db, i, 1, NULL), "public", (int)(db_int(rows->db, i, 2) != 0),
			"locked", (int)(db_int(rows->db, i, 3) != 0), "created", sterna_stamp_us(db_int(rows->db, i, 4), stamp),
			"sessions", (json_int_t)db_int(rows->db, i, 5), "members", (json_int_t)db_int(rows->db, i, 6)));
	sterna_command_result(c, list);
	return STERNA_DONE;
}

static enum sterna_verdict list(struct sterna_call *c)
{
	const char *host = sterna_host(c);

	return sterna_read(c, on_list, &list_rooms, host != NULL ? host : "", (int64_t)LIST_MAX);
}

/* --- one room --- */

static enum sterna_verdict no_room(struct sterna_call *c)
{
	return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such room");
}

static json_t *occupants_json(const struct muc_room *room)
{
	json_t *all = json_array();
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&room->occupants, &at)) != NULL;) {
		const struct muc_occupant *o = e->value;
		json_int_t sessions = 0;

		for (const struct muc_session *s = o->sessions; s != NULL; s = s->next)
			sessions++;
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s, s:I}", "nick", muc_nick(o), "jid", jid_full(o->bare),
			"affiliation", muc_affiliations[muc_affiliation(room, o->bare)], "role", muc_roles[o->role], "sessions", sessions));
	}
	return all;
}

static json_t *members_json(const struct muc_room *room)
{
	json_t *all = json_array();
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;) {
		const struct muc_member *m = e->value;

		json_array_append_new(all, json_pack("{s:s, s:s, s:s?, s:s?}", "jid", m->jid, "affiliation",
			muc_affiliations[m->affiliation], "nick", m->nick, "reason", m->reason));
	}
	return all;
}

/* Without the subject: it is said by people, like messages. */
static enum sterna_verdict show_room(struct sterna_call *c, struct muc_room *room)
{
	char stamp[STERNA_STAMP_LEN], *text;
	json_t *config, *o;

	if (room == NULL)
		return no_room(c);
	text = muc_config_json(&room->cfg);
	config = json_loads(text, 0, NULL);
	free(text);
	json_object_del(config, "password");
	o = json_pack("{s:s, s:s, s:b, s:I, s:o?, s:o}", "room", jid_full(room->jid), "created", sterna_stamp_us(room->created_us,
		stamp), "locked", (int)room->locked, "sessions", (json_int_t)room->count, "config", config, "occupants",
		occupants_json(room));
	sterna_command_result(c, o);
	return STERNA_DONE;
}

static enum sterna_verdict show(struct sterna_call *c)
{
	return muc_enter(c, show_room);
}

static enum sterna_verdict members_of(struct sterna_call *c, struct muc_room *room)
{
	if (room == NULL)
		return no_room(c);
	sterna_command_result(c, members_json(room));
	return STERNA_DONE;
}

static enum sterna_verdict members(struct sterna_call *c)
{
	return muc_enter(c, members_of);
}

static enum sterna_verdict destroy_room(struct sterna_call *c, struct muc_room *room)
{
	struct sterna_elem *destroy = sterna_elem(c, "destroy", NS_MUC_USER);
	const char *reason = sterna_command_arg(c, "reason");

	if (room == NULL)
		return no_room(c);
	if (reason != NULL)
		sterna_text(destroy, "reason", reason);
	sterna_command_result(c, json_pack("{s:s, s:I}", "room", jid_full(room->jid), "sessions", (json_int_t)room->count));
	muc_destroy(c, room, destroy);
	return STERNA_DONE;
}

static enum sterna_verdict destroy(struct sterna_call *c)
{
	return muc_enter(c, destroy_room);
}

/* A room always has an owner, also when it is an administrator who changes that (§10.5). */
static enum sterna_verdict affiliate_room(struct sterna_call *c, struct muc_room *room)
{
	const char *bare = sterna_command_arg(c, "jid"), *reason = sterna_command_arg(c, "reason");
	const struct muc_member *m;
	unsigned wanted = MUC_NONE;

	if (room == NULL)
		return no_room(c);
	if (!muc_value(muc_affiliations, sterna_command_arg(c, "affiliation"), &wanted))
		return sterna_reject(c, STERNA_BAD_REQUEST, "there is no such affiliation");
	if (strchr(bare, '/') != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "an affiliation is that of a bare address");
	m = muc_member(room, bare);
	if (m != NULL && m->affiliation == MUC_OWNER && wanted != MUC_OWNER && muc_count_members(room, MUC_OWNER) == 1)
		return sterna_reject(c, STERNA_CONFLICT, "that is the only owner; name another one before");
	switch (muc_affiliate(c, room, bare, wanted, m != NULL ? m->nick : NULL, reason, NULL)) {
	case STERNA_OK:
		return STERNA_DONE;
	case STERNA_ELIMIT:
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room has too many affiliations");
	default:
		return sterna_reject(c, STERNA_CONFLICT, "that cannot be stored");
	}
}

static enum sterna_verdict affiliate(struct sterna_call *c)
{
	return muc_enter(c, affiliate_room);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field one_room[] = {
	{ "room", STERNA_FIELD_SERVICE, true, "Address of the room", NULL }, { 0 } };
static const struct sterna_field destroy_fields[] = {
	{ "room", STERNA_FIELD_SERVICE, true, "Address of the room", NULL },
	{ "reason", STERNA_FIELD_TEXT, false, "Why; shown to those inside", NULL }, { 0 } };
static const struct sterna_field affiliate_fields[] = {
	{ "room", STERNA_FIELD_SERVICE, true, "Address of the room", NULL },
	{ "jid", STERNA_FIELD_JID, true, "Whose affiliation", NULL },
	{ "affiliation", STERNA_FIELD_CHOICE, true, "From now on", "owner|admin|member|none|outcast" },
	{ "reason", STERNA_FIELD_TEXT, false, "Why", NULL }, { 0 } };

enum { LOOKS = STERNA_ADMIN | STERNA_OPERATOR | STERNA_SUPPORT, READ = STERNA_COMMAND_READ };

const struct sterna_command muc_commands[] = {
	{ .name = "room list", .roles = LOOKS, .flags = READ, .fields = none, .summary = "rooms, and how many are in them",
	  .run = list, .place = STERNA_ON_OWNER },
	{ .name = "room show", .roles = LOOKS, .flags = READ, .fields = one_room, .args = "ROOM",
	  .summary = "a room's configuration, and who is inside", .run = show, .place = STERNA_ON_OWNER },
	{ .name = "room affiliations", .roles = LOOKS, .flags = READ, .fields = one_room, .args = "ROOM",
	  .summary = "owners, admins, members and outcasts of a room", .run = members, .place = STERNA_ON_OWNER },
	{ .name = "room affiliate", .roles = STERNA_ADMIN, .fields = affiliate_fields,
	  .args = "ROOM JID owner|admin|member|none|outcast [REASON]", .summary = "give someone an affiliation to a room",
	  .run = affiliate, .place = STERNA_ON_OWNER },
	{ .name = "room destroy", .roles = STERNA_ADMIN, .flags = STERNA_COMMAND_DANGEROUS, .fields = destroy_fields,
	  .args = "ROOM [REASON]", .summary = "everyone out, and the room with its archive gone", .run = destroy,
	  .place = STERNA_ON_OWNER },
	{ 0 }
};
