/* XEP-0045 §17.4, XEP-0410, §18.1.2: requests from one occupant to another, which the room passes on without showing
 * who they are; and the room's own question who is still there. Part of the module "muc"; see muc.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

enum { ANSWER_US = 120000000 };

/* --- what waits for an answer --- */

static void drop(struct muc_room *room, size_t i)
{
	struct muc_pending *p = &room->pending[i];

	free(p->id);
	free(p->original);
	jid_unref(&p->asker);
	jid_unref(&p->asked);
	jid_unref(&p->address);
	*p = room->pending[--room->pending_count];
}

void muc_pending_clear(struct muc_room *room)
{
	while (room->pending_count > 0)
		drop(room, room->pending_count - 1);
}

void muc_pending_expire(struct muc_room *room, int64_t now_us)
{
	for (size_t i = room->pending_count; i-- > 0;)
		if (room->pending[i].expires_us <= now_us)
			drop(room, i);
}

static const char *note(struct sterna_call *c, struct muc_room *room, const struct jid *asked)
{
	struct muc_pending *p;
	uint64_t secret;

	if (room->pending_count == room->pending_size) {
		room->pending_size = room->pending_size > 0 ? room->pending_size * 2 : 4;
		room->pending = xrealloc(room->pending, room->pending_size * sizeof *room->pending);
	}
	sterna_random(c, &secret, sizeof secret);
	p = &room->pending[room->pending_count++];
	*p = (struct muc_pending){ xasprintf("%" PRIx64, secret), xstrdup(sterna_id(c)), jid_ref(sterna_from(c)),
		jid_ref(asked), jid_ref(sterna_to(c)), sterna_now_us(c) + ANSWER_US };
	return p->id;
}

/* --- on the way there --- */

/* A vCard is the person's, not the client's. */
static bool is_for_account(const struct sterna_elem *payload)
{
	return elem_is(payload, "vCard", NS_VCARD);
}

static enum sterna_verdict pass_on(struct sterna_call *c, struct muc_room *room, const struct muc_occupant *from,
	const struct muc_occupant *to)
{
	const bool account = is_for_account(sterna_payload(c));
	struct sterna_elem *iq = muc_copy(c, sterna_stanza(c));

	if (strcmp(sterna_type(c), "set") == 0 && account)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	if (room->pending_count >= muc_options(c)->pending)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many requests are under way in this room");
	const struct jid *asked = account ? to->bare : to->sessions->jid;

	sterna_attr(iq, "from", jid_full(from->address));
	sterna_attr(iq, "to", jid_full(asked));
	sterna_attr(iq, "id", note(c, room, asked));
	sterna_send(c, iq);
	return STERNA_DONE;              /* its answer is the other's */
}

static enum sterna_verdict on_request(struct sterna_call *c, struct muc_room *room)
{
	const struct muc_session *s = room != NULL ? muc_session_of(room, sterna_from(c)) : NULL;
	const struct muc_occupant *to = room != NULL ? muc_find(room, jid_resource(sterna_to(c))) : NULL;

	if (room == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	if (s == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "you are not in the room"); /* XEP-0410 §3.2 */
	if (to == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	/* XEP-0410 §3.3: the room knows; no client has to answer. */
	if (to == s->occupant && elem_is(sterna_payload(c), "ping", NS_PING))
		return sterna_reply(c, NULL);
	return pass_on(c, room, s->occupant, to);
}

/* --- on the way back --- */

static void answer_home(struct sterna_call *c, const struct muc_pending *p)
{
	struct sterna_elem *iq = muc_copy(c, sterna_stanza(c));

	sterna_attr(iq, "from", jid_full(p->address));
	sterna_attr(iq, "to", jid_full(p->asker));
	sterna_attr(iq, "id", p->original);
	sterna_send(c, iq);
}

static const char *presence_check(struct sterna_call *c, const struct muc_room *room)
{
	return sterna_printf(c, "here-%02x%02x%02x%02x", room->key[0], room->key[1], room->key[2], room->key[3]);
}

/* The room's own question came back: nobody is there (any answer of the client itself says that it is). */
static bool is_nobody(const struct sterna_elem *iq)
{
	static const char *const names[] = { "gone", "item-not-found", "recipient-unavailable", "remote-server-not-found",
		"remote-server-timeout", "service-unavailable" };
	const struct sterna_elem *error = elem_child(iq, "error", NULL);

	for (size_t i = 0; error != NULL && i < sizeof names / sizeof *names; i++)
		if (elem_child(error, names[i], NS_STANZAS) != NULL)
			return true;
	return false;
}

static enum sterna_verdict on_answer(struct sterna_call *c, struct muc_room *room)
{
	const char *id = sterna_id(c);

	if (room == NULL || id == NULL)
		return STERNA_DONE;
	if (jid_resource(sterna_to(c)) == NULL) {
		if (strcmp(id, presence_check(c, room)) == 0 && strcmp(sterna_type(c), "error") == 0
			&& is_nobody(sterna_stanza(c)))
			muc_lost(c, room, sterna_from(c));
		return STERNA_DONE;
	}
	for (size_t i = 0; i < room->pending_count; i++)
		if (strcmp(room->pending[i].id, id) == 0 && jid_equal(room->pending[i].asked, sterna_from(c))) {
			answer_home(c, &room->pending[i]);
			drop(room, i);
			break;
		}
	return STERNA_DONE;
}

enum sterna_verdict muc_on_iq(struct sterna_call *c, struct muc_room *room)
{
	const char *type = sterna_type(c);

	return strcmp(type, "get") == 0 || strcmp(type, "set") == 0 ? on_request(c, room) : on_answer(c, room);
}

/* After a start: those whose streams are not resumed have gone without a word. Who is not there answers, through its
 * server, with an error; a session that may still be resumed, when it is, or when its time is over. */
void muc_ask_who_is_there(struct sterna_call *c, struct muc_room *room)
{
	const char *id = presence_check(c, room);

	for (size_t i = 0; i < room->count; i++) {
		struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

		sterna_attr(iq, "type", "get");
		sterna_attr(iq, "id", id);
		sterna_attr(iq, "from", jid_full(room->jid));
		sterna_attr(iq, "to", jid_full(room->list[i]->jid));
		sterna_add(iq, "ping", NS_PING);
		sterna_send(c, iq);
	}
}
