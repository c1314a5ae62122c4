/* XEP-0045 §7.4, §7.5, §8.1: what is said in a room - to all, to one, and what it is about. Part of the module "muc";
 * see muc.h.
 *
 * A message to all goes out at once, and into the room's archive with the batch: its sender's acknowledgement waits
 * for that, the others do not. */
#include <inttypes.h>
#include <string.h>
#include "xep/muc.h"

static const struct mam_api *mam_of(struct sterna_call *c)
{
	return sterna_mod_data(sterna_mod(c));
}

/* --- who cannot be reached: §18.1.2 --- */

static bool is_delivery_error(const struct sterna_elem *error)
{
	static const char *const names[] = { "gone", "item-not-found", "recipient-unavailable", "redirect",
		"remote-server-not-found", "remote-server-timeout", "service-unavailable" };

	for (size_t i = 0; error != NULL && i < sizeof names / sizeof *names; i++)
		if (elem_child(error, names[i], NS_STANZAS) != NULL)
			return true;
	return false;
}

static enum sterna_verdict on_error(struct sterna_call *c, struct muc_room *room)
{
	if (room != NULL && is_delivery_error(elem_child(sterna_stanza(c), "error", NULL)))
		muc_lost(c, room, sterna_from(c));
	return STERNA_DONE;
}

/* --- the message as the room sends it --- */

static struct sterna_elem *as_room_sends(struct sterna_call *c, const struct muc_room *room,
	const struct muc_occupant *o)
{
	struct sterna_elem *m = muc_copy(c, sterna_stanza(c));

	muc_clean(c, room, m);
	sterna_attr(m, "to", NULL);
	sterna_attr(m, "from", jid_full(o->address));
	muc_add_occupant_id(o, m);
	return m;
}

static bool wants_storage(const struct sterna_elem *m)
{
	return elem_child(m, "no-store", NS_HINTS) == NULL && elem_child(m, "no-permanent-store", NS_HINTS) == NULL
		&& elem_child(m, "no-permanent-storage", NS_HINTS) == NULL;
}

static void say_to_all(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o, struct sterna_elem *m)
{
	const int64_t id = sterna_new_id(c);
	const bool keep = mam_of(c)->is_worth_it(m) && wants_storage(m);

	if (keep) {
		struct sterna_elem *e = sterna_add(m, "stanza-id", NS_SID);

		sterna_attr(e, "by", jid_full(room->jid));
		sterna_attr(e, "id", sterna_printf(c, "%" PRId64, id));
	}
	muc_to_all(c, room, m);
	if (keep && room->cfg.logging)
		sterna_archive_put(c, jid_full(room->jid), id, o->address, m);
	if (keep)
		muc_past_add(c, room, id, m);
	muc_count_hours(room, sterna_now_us(c));
	if (elem_child(m, "body", NULL) != NULL && elem_child(m, "replace", "urn:xmpp:message-correct:0") == NULL)
		room->spoken[0]++;
}

/* --- the subject: §8.1 --- */

/* §8.1: a subject and no body; what has both is a message with a title. */
static bool is_subject(const struct sterna_elem *m)
{
	return elem_child(m, "subject", NULL) != NULL && elem_child(m, "body", NULL) == NULL
		&& elem_child(m, "thread", NULL) == NULL;
}

static enum sterna_verdict set_subject(struct sterna_call *c, struct muc_room *room, struct muc_occupant *o)
{
	const struct sterna_elem *old = sterna_stanza(c);
	struct sterna_elem *m;

	if (o->role < MUC_PARTICIPANT || (o->role < MUC_MODERATOR && !room->cfg.change_subject))
		return sterna_reject(c, STERNA_FORBIDDEN, NULL);
	if (strlen(sterna_xml(old)) > muc_options(c)->subject_size.bytes)
		return sterna_reject(c, STERNA_POLICY_VIOLATION, "this subject is too long");
	m = as_room_sends(c, room, o);
	sterna_shared_unref(&room->subject);
	room->subject = sterna_share(c, m);
	room->subject_us = sterna_now_us(c);
	say_to_all(c, room, o, m);
	muc_store_room(c, room);
	return STERNA_DONE;
}

/* §7.2.16: the last thing that a new occupant hears; an empty one if there is none. */
void muc_send_subject(struct sterna_call *c, struct muc_room *room, const struct jid *to)
{
	char stamp[STERNA_STAMP_LEN];
	struct sterna_elem *m;

	if (room->subject == NULL) {
		m = muc_message(c, room->jid, "groupchat");
		sterna_text(m, "subject", "");
	} else {
		m = muc_copy(c, sterna_shared_elem(room->subject));
		struct sterna_elem *delay = sterna_add(m, "delay", NS_DELAY);

		sterna_attr(delay, "from", jid_full(room->jid));
		sterna_attr(delay, "stamp", sterna_stamp_us(room->subject_us, stamp));
	}
	muc_to_one(c, to, m);
}

/* --- to all: §7.4 --- */

/* XEP-0500: participants wait between two messages; moderators do not. */
static bool is_too_soon(struct sterna_call *c, const struct muc_room *room, struct muc_occupant *o)
{
	const int64_t now = sterna_now_us(c), wait = (int64_t)room->cfg.slow_mode * 1000000;

	if (wait == 0 || o->role >= MUC_MODERATOR || elem_child(sterna_stanza(c), "body", NULL) == NULL)
		return false;
	if (o->spoke_us > 0 && now - o->spoke_us < wait)
		return true;
	o->spoke_us = now;
	return false;
}

/* XEP-0198 §5: after a restart of ours, or in a new session, a client sends again what it has no acknowledgement for. It was
 * heard: only who sent it is told so. */
static bool was_heard(struct sterna_call *c, const struct muc_room *room, const struct muc_session *s)
{
	struct sterna_shared *said = muc_past_said(room, s, sterna_stanza(c));
	const struct jid *to = s->jid;

	if (said != NULL)
		sterna_send_many(c, said, &to, 1);
	return said != NULL;
}

static enum sterna_verdict on_groupchat(struct sterna_call *c, struct muc_room *room)
{
	struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;

	if (jid_resource(sterna_to(c)) != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a private message is no groupchat");
	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (s == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "you are not in the room");
	if (is_subject(sterna_stanza(c)))
		return set_subject(c, room, s->occupant);
	if (s->occupant->role < MUC_PARTICIPANT)
		return sterna_reject(c, STERNA_FORBIDDEN, "you have no voice here");
	if (was_heard(c, room, s))
		return STERNA_DONE;
	if (is_too_soon(c, room, s->occupant))
		return sterna_reject(c, STERNA_POLICY_VIOLATION, "slow mode: wait before you write again");
	say_to_all(c, room, s->occupant, as_room_sends(c, room, s->occupant));
	return STERNA_DONE;
}

/* --- to one: §7.5 --- */

static bool may_whisper(const struct muc_room *room, const struct muc_occupant *o)
{
	static const unsigned least[] = { MUC_VISITOR, MUC_PARTICIPANT, MUC_MODERATOR, MUC_MODERATOR + 1 };

	return o->role >= least[room->cfg.allow_pm & 3];
}

static enum sterna_verdict on_private(struct sterna_call *c, struct muc_room *room)
{
	struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;
	const struct muc_occupant *to;

	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (s == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "you are not in the room");
	if (!may_whisper(room, s->occupant))
		return sterna_reject(c, STERNA_FORBIDDEN, "private messages are not for you here");
	to = muc_find(room, jid_resource(sterna_to(c)));
	if (to == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	struct sterna_elem *m = as_room_sends(c, room, s->occupant);

	sterna_add(m, "x", NS_MUC_USER);
	for (const struct muc_session *each = to->sessions; each != NULL; each = each->next) {
		sterna_attr(m, "to", jid_full(each->jid));
		sterna_send(c, m);
	}
	return STERNA_DONE;
}

enum sterna_verdict muc_on_message(struct sterna_call *c, struct muc_room *room)
{
	const char *type = sterna_type(c);

	if (strcmp(type, "error") == 0)
		return on_error(c, room);
	if (strcmp(type, "groupchat") == 0)
		return on_groupchat(c, room);
	return jid_resource(sterna_to(c)) != NULL ? on_private(c, room) : muc_on_plain_message(c, room);
}
