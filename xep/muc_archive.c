/* XEP-0313 and XEP-0425 in rooms: who may read what was said, and messages that moderators take back. The query itself
 * is the module "mam"'s (mam.h). Part of the module "muc"; see muc.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

#define NS_MODERATE_0 "urn:xmpp:message-moderate:0"
#define NS_MODERATE_1 "urn:xmpp:message-moderate:1"
#define NS_RETRACT_0 "urn:xmpp:message-retract:0"
#define NS_RETRACT_1 "urn:xmpp:message-retract:1"
#define NS_FASTEN "urn:xmpp:fasten:0"

static const struct db_stmt message_get = {
	.name = "muc_message_get", .params = "ti", .columns = "t",
	.sql = "SELECT stanza FROM archive WHERE owner = $1 AND id = $2 AND (flags & 1) <> 0",
};
static const struct db_stmt message_put = {
	.name = "muc_message_put", .params = "tit",
	.sql = "UPDATE archive SET stanza = $3 WHERE owner = $1 AND id = $2",
};

/* --- reading: XEP-0313 §7: as one could hear it inside --- */

static enum sterna_condition read_refusal(const struct muc_room *room, const struct jid *who)
{
	const unsigned affiliation = muc_affiliation(room, who);

	if (room->locked && affiliation != MUC_OWNER)
		return STERNA_ITEM_NOT_FOUND;
	if (affiliation == MUC_OUTCAST)
		return STERNA_FORBIDDEN;
	if (affiliation >= MUC_MEMBER || muc_session_of(room, who) != NULL)
		return 0;
	/* Into an open room anyone could go and read: but with a password, or hidden, it is not for those outside. */
	return room->cfg.members_only || room->cfg.password_protected || !room->cfg.public ? STERNA_FORBIDDEN : 0;
}

static enum sterna_verdict on_archive(struct sterna_call *c, struct muc_room *room)
{
	const struct mam_api *mam = sterna_mod_data(sterna_mod(c));
	const struct muc_options *o = muc_options(c);
	const struct sterna_elem *payload = sterna_payload(c);
	enum sterna_condition why;

	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	why = read_refusal(room, sterna_from(c));
	if (why != 0)
		return sterna_reject(c, why, NULL);
	const struct mam_source source = { jid_full(room->jid), o->page, o->max_page, o->max_bytes.bytes,
		room->archive_from };

	if (strcmp(payload->name, "metadata") == 0)
		return mam->metadata(c, &source);
	return strcmp(sterna_type(c), "get") == 0 ? mam->form(c) : mam->query(c, &source);
}

enum sterna_verdict muc_on_archive(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, on_archive)
		: sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}

/* --- taking back: XEP-0425 --- */

struct moderation {
	struct muc_room *room;
	const char *id_text, *reason;
	int64_t id;
	bool legacy;
};

static bool read_id(const char *text, int64_t *out)
{
	char *end = NULL;

	if (text == NULL || *text < '1' || *text > '9' || strlen(text) > 19)
		return false;
	*out = strtoll(text, &end, 10);
	return *end == '\0';
}

static void add_moderated(struct sterna_elem *parent, const char *ns, const struct muc_occupant *by)
{
	struct sterna_elem *m = sterna_add(parent, "moderated", ns);

	sterna_attr(m, "by", jid_full(by->address));
	muc_add_occupant_id(by, m);
}

/* What stays of it: who had said something there, and that it was taken back. */
static struct sterna_elem *tombstone(struct sterna_call *c, const struct moderation *w, const struct sterna_elem *old,
	const struct muc_occupant *by)
{
	struct sterna_elem *m = sterna_elem(c, "message", NS_CLIENT), *retracted;
	const struct sterna_elem *who = elem_child(old, "occupant-id", NS_OCCUPANT_ID);
	const struct sterna_elem *id = elem_child(old, "stanza-id", NS_SID);
	char stamp[STERNA_STAMP_LEN];

	sterna_attr(m, "type", "groupchat");
	sterna_attr(m, "from", elem_attr(old, "from"));
	sterna_attr(m, "id", elem_attr(old, "id"));
	if (who != NULL)
		sterna_add_copy(m, who);
	if (id != NULL)
		sterna_add_copy(m, id);
	retracted = sterna_add(m, "retracted", NS_RETRACT_1);
	sterna_attr(retracted, "stamp", sterna_stamp(sterna_now(c), stamp));
	add_moderated(retracted, NS_MODERATE_1, by);
	if (w->reason != NULL)
		sterna_text(retracted, "reason", w->reason);
	return m;
}

/* Both forms in one message, so that clients of either hear it once. */
static struct sterna_elem *announcement(struct sterna_call *c, const struct moderation *w, const struct muc_occupant *by,
	const char *own_id)
{
	struct sterna_elem *m = muc_message(c, w->room->jid, "groupchat"), *e, *old;

	sterna_attr(m, "id", own_id);
	e = sterna_add(m, "retract", NS_RETRACT_1);
	sterna_attr(e, "id", w->id_text);
	add_moderated(e, NS_MODERATE_1, by);
	if (w->reason != NULL)
		sterna_text(e, "reason", w->reason);
	e = sterna_add(m, "apply-to", NS_FASTEN);
	sterna_attr(e, "id", w->id_text);
	old = sterna_add(e, "moderated", NS_MODERATE_0);
	sterna_attr(old, "by", jid_full(by->address));
	sterna_add(old, "retract", NS_RETRACT_0);
	if (w->reason != NULL)
		sterna_text(old, "reason", w->reason);
	e = sterna_add(m, "stanza-id", NS_SID);
	sterna_attr(e, "by", jid_full(w->room->jid));
	sterna_attr(e, "id", own_id);
	return m;
}

static void take_back(struct sterna_call *c, const struct moderation *w, const struct sterna_elem *old,
	const struct muc_occupant *by)
{
	const int64_t id = sterna_new_id(c);
	struct sterna_elem *m = announcement(c, w, by, sterna_printf(c, "%" PRId64, id));

	muc_past_remove(w->room, w->id);
	muc_to_all(c, w->room, m);
	sterna_write(c, &message_put, jid_full(w->room->jid), w->id, sterna_xml(tombstone(c, w, old, by)));
	sterna_archive_put(c, jid_full(w->room->jid), id, w->room->jid, m);
	sterna_audit(c, "sterna.message.retracted.v1", jid_full(w->room->jid), (const struct sterna_datum[]){
		STERNA_PERSONAL("by", jid_bare(by->bare)), STERNA_DATUM("archive", sterna_printf(c, "%" PRId64, w->id)),
		STERNA_DATUM("kind", "moderation"), STERNA_CONTENT("reason", w->reason), { 0 } });
	log_info("muc", "a message was taken back", "room", jid_full(w->room->jid), "id", LOG_INT(w->id), "by",
		jid_bare(by->bare));
}

static enum sterna_verdict retract(struct sterna_call *c, const struct moderation *w, enum sterna_result rc,
	const struct sterna_rows *rows)
{
	const struct muc_session *s = muc_session_of(w->room, sterna_from(c));
	struct sterna_elem *around = sterna_elem(c, "stored", NS_CLIENT);
	const struct sterna_elem *old;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (s == NULL || s->occupant->role != MUC_MODERATOR)
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	if (rows->count == 0)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such message");
	sterna_add_xml(around, rows->text[0]);
	old = sterna_child(around);
	if (old == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such message");
	if (elem_child(old, "retracted", NS_RETRACT_1) == NULL)
		take_back(c, w, old, s->occupant);
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_message_row(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct moderation *w = sterna_data(c);

	return muc_let_go(c, w->room, retract(c, w, rc, rows));
}

static enum sterna_verdict on_moderate(struct sterna_call *c, struct muc_room *room)
{
	const struct sterna_elem *payload = sterna_payload(c), *moderate = payload;
	const struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;
	struct moderation *w = sterna_alloc(c, sizeof *w);

	w->legacy = strcmp(payload->ns, NS_FASTEN) == 0;
	if (w->legacy)
		moderate = elem_child(payload, "moderate", NS_MODERATE_0);
	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (s == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "you are not in the room");
	if (moderate == NULL || elem_child(moderate, "retract", w->legacy ? NS_RETRACT_0 : NS_RETRACT_1) == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "only retraction is known");
	if (s->occupant->role != MUC_MODERATOR)
		return sterna_reject(c, STERNA_FORBIDDEN, "moderators may");
	w->room = room;
	w->id_text = elem_attr(payload, "id");
	w->reason = sterna_child_text(moderate, "reason");
	if (!read_id(w->id_text, &w->id) || w->id <= room->archive_from)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "there is no such message");
	if (w->reason != NULL && strlen(w->reason) > muc_options(c)->text_size.bytes)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the reason is too long");
	muc_hold(room);
	sterna_set_data(c, w);
	return sterna_read(c, on_message_row, &message_get, jid_full(room->jid), w->id);
}

enum sterna_verdict muc_on_moderate(struct sterna_call *c)
{
	return muc_enter(c, on_moderate);
}
