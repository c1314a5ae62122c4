/* XEP-0045 §7.2.13, §7.2.14: what was said before one came. The newest messages of a room stay in memory, ready to be
 * sent; they are read from the archive when the room is loaded. Part of the module "muc"; see muc.h. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

static int64_t id_us(int64_t id)
{
	return (id >> 20) * 1000;
}

static void drop(struct muc_room *room, size_t i)
{
	room->past_bytes -= room->past[i].size;
	sterna_shared_unref(&room->past[i].message);
	memmove(&room->past[i], &room->past[i + 1], (room->past_count - i - 1) * sizeof *room->past);
	room->past_count--;
}

void muc_past_clear(struct muc_room *room)
{
	while (room->past_count > 0)
		drop(room, room->past_count - 1);
}

void muc_past_remove(struct muc_room *room, int64_t id)
{
	for (size_t i = room->past_count; i-- > 0;)
		if (room->past[i].id == id)
			drop(room, i);
}

/* Subjects are told by themselves; a tombstone tells nobody anything. */
static bool is_history(const struct sterna_elem *m)
{
	return elem_child(m, "body", NULL) != NULL || (elem_child(m, "subject", NULL) == NULL
		&& elem_child(m, "retracted", "urn:xmpp:message-retract:1") == NULL);
}

void muc_past_add(struct sterna_call *c, struct muc_room *room, int64_t id, const struct sterna_elem *message)
{
	const struct muc_options *o = muc_options(c);
	char stamp[STERNA_STAMP_LEN];
	struct sterna_elem *m, *delay;

	if (o->history == 0 || !is_history(message))
		return;
	m = muc_copy(c, message);
	delay = sterna_add(m, "delay", NS_DELAY);
	sterna_attr(delay, "from", jid_full(room->jid));
	sterna_attr(delay, "stamp", sterna_stamp_us(id_us(id), stamp));
	const size_t size = strlen(sterna_xml(m));

	while (room->past_count > 0 && (room->past_count >= o->history
		|| room->past_bytes + size > o->history_size.bytes))
		drop(room, 0);
	if (room->past_count == room->past_size) {
		room->past_size = room->past_size > 0 ? room->past_size * 2 : 8;
		room->past = xrealloc(room->past, room->past_size * sizeof *room->past);
	}
	room->past[room->past_count++] = (struct muc_past){ id, sterna_share(c, m), size, id_us(id) };
	room->past_bytes += size;
}

static const char *origin_of(const struct sterna_elem *message)
{
	const struct sterna_elem *e = elem_child(message, "origin-id", NS_SID);

	return e != NULL ? elem_attr(e, "id") : NULL;
}

static bool is_same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* An id is unique within its stream (RFC 6120 §8.1.3), which goes on when it is resumed: so the same id and text are the
 * same message. In another stream they need not be. */
static bool is_resent(const struct muc_session *s, const struct muc_past *p, const struct sterna_elem *message)
{
	const struct sterna_elem *m = sterna_shared_elem(p->message);

	return s->restored && p->restored && is_same(elem_attr(m, "id"), elem_attr(message, "id"))
		&& is_same(sterna_child_text(m, "body"), sterna_child_text(message, "body"));
}

struct sterna_shared *muc_past_said(const struct muc_room *room, const struct muc_session *s, const struct sterna_elem *message)
{
	const char *origin = origin_of(message);

	for (size_t i = room->past_count; i-- > 0;) {
		const struct sterna_elem *m = sterna_shared_elem(room->past[i].message);
		const struct sterna_elem *who = elem_child(m, "occupant-id", NS_OCCUPANT_ID);

		if ((origin != NULL ? is_same(origin_of(m), origin) : is_resent(s, &room->past[i], message))
			&& who != NULL && is_same(elem_attr(who, "id"), s->occupant->id))
			return room->past[i].message;
	}
	return NULL;
}

/* A number that a client wrote; what is none is as if it were not there. */
static size_t number(const struct sterna_elem *history, const char *name, size_t otherwise)
{
	const char *text = history != NULL ? elem_attr(history, name) : NULL;
	char *end = NULL;

	if (text == NULL || *text < '0' || *text > '9' || strlen(text) > 9)
		return otherwise;
	const unsigned long n = strtoul(text, &end, 10);

	return *end == '\0' ? n : otherwise;
}

/* The least that any of the attributes allows. */
static int64_t earliest(struct sterna_call *c, const struct sterna_elem *history)
{
	const char *since = history != NULL ? elem_attr(history, "since") : NULL;
	const size_t seconds = number(history, "seconds", SIZE_MAX);
	int64_t from = INT64_MIN, us;

	if (seconds != SIZE_MAX)
		from = sterna_now_us(c) - (int64_t)seconds * 1000000;
	if (since != NULL && sterna_parse_stamp(since, &us) == STERNA_OK && us > from)
		from = us;
	return from;
}

void muc_send_history(struct sterna_call *c, struct muc_room *room, const struct jid *to, const struct sterna_elem *x)
{
	const struct sterna_elem *history = x != NULL ? elem_child(x, "history", NULL) : NULL;
	const int64_t from = earliest(c, history);
	size_t most = number(history, "maxstanzas", SIZE_MAX), chars = number(history, "maxchars", SIZE_MAX);
	size_t first = room->past_count;

	if (most > room->cfg.max_history)
		most = room->cfg.max_history;
	while (first > 0 && most > 0 && room->past[first - 1].at_us >= from && room->past[first - 1].size <= chars) {
		first--;
		most--;
		chars -= room->past[first].size;
	}
	for (size_t i = first; i < room->past_count; i++)
		sterna_send_many(c, room->past[i].message, &to, 1);
}
