/* XEP-0045: a room in memory - who is inside, who is known, how nicks compare. Part of the module "muc"; see muc.h. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

const char *const muc_affiliations[] = { "outcast", "none", "member", "admin", "owner", NULL };
const char *const muc_roles[] = { "none", "visitor", "participant", "moderator", NULL };

bool muc_value(const char *const *names, const char *name, unsigned *out)
{
	for (unsigned i = 0; name != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0) {
			*out = i;
			return true;
		}
	return false;
}

bool muc_is_empty(const char *text)
{
	return text == NULL || *text == '\0';
}

void muc_count_hours(struct muc_room *room, int64_t now_us)
{
	const int64_t hour = now_us / 3600000000;

	for (; room->hour < hour; room->hour++) {
		if (hour - room->hour > MUC_HOURS)
			room->hour = hour - MUC_HOURS;
		memmove(&room->spoken[1], &room->spoken[0], (MUC_HOURS - 1) * sizeof room->spoken[0]);
		room->spoken[0] = 0;
	}
}

/* --- life --- */

static void init_map(struct sterna_call *c, struct map *m)
{
	uint64_t keys[2];

	sterna_random(c, keys, sizeof keys);
	map_init(m, keys[0], keys[1]);
}

static struct muc_worker *worker_of(struct sterna_call *c)
{
	struct muc_worker *w = sterna_worker_slot(c);

	if (!w->ready) {
		init_map(c, &w->rooms);
		w->ready = true;
	}
	return w;
}

struct muc_room *muc_room_new(struct sterna_call *c, const struct jid *jid)
{
	struct muc_room *room = xalloc(sizeof *room);

	room->jid = jid_to_bare(jid);
	init_map(c, &room->occupants);
	init_map(c, &room->sessions);
	init_map(c, &room->members);
	init_map(c, &room->nicks);
	muc_config_default(&room->cfg, muc_options(c));
	room->created_us = room->touched_us = sterna_now_us(c);
	room->hour = room->created_us / 3600000000;
	room->version = 1;
	map_put(&worker_of(c)->rooms, jid_full(room->jid), room);
	return room;
}

static void free_member(struct muc_member *m)
{
	free(m->jid);
	free(m->nick);
	free(m->nick_key);
	free(m->reason);
	free(m);
}

void muc_room_free(struct muc_room *room)
{
	struct map_entry *e;

	while (room->count > 0)
		muc_drop_session(room, room->list[room->count - 1]);
	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;)
		free_member(e->value);
	map_clear(&room->members);
	map_clear(&room->nicks);
	map_clear(&room->occupants);
	map_clear(&room->sessions);
	muc_past_clear(room);
	muc_pending_clear(room);
	for (size_t i = 0; i < room->hat_count; i++) {
		free(room->hats[i].jid);
		free(room->hats[i].uri);
		free(room->hats[i].title);
	}
	free(room->hats);
	free(room->vcard);
	free(room->photo_hash);
	sterna_shared_unref(&room->subject);
	muc_config_clear(&room->cfg);
	free(room->list);
	free(room->past);
	free(room->pending);
	jid_unref(&room->jid);
	free(room);
}

/* §7.14, §10.1.2: a temporary room ends with its last occupant; so does one that nobody has configured, or its name would
 * be taken for ever. */
bool muc_ends_when_empty(const struct muc_room *room)
{
	return !room->cfg.persistent || room->locked;
}

/* After every handler. */
static void settle(struct sterna_call *c, struct muc_room *room)
{
	if (!room->gone && room->count == 0 && muc_ends_when_empty(room) && room->stored) {
		muc_unstore_room(c, room, "empty", NULL);
		room->gone = true;
	}
	if (!room->gone || room->busy > 0)
		return;
	map_remove(&worker_of(c)->rooms, jid_full(room->jid));
	muc_room_free(room);
}

void muc_hold(struct muc_room *room)
{
	room->busy++;
}

enum sterna_verdict muc_let_go(struct sterna_call *c, struct muc_room *room, enum sterna_verdict v)
{
	if (v != STERNA_WAIT) {
		room->busy--;
		settle(c, room);
	}
	return v;
}

enum sterna_verdict muc_enter(struct sterna_call *c, muc_fn *fn)
{
	struct muc_room *room = map_get(&worker_of(c)->rooms, jid_bare(sterna_to(c)));

	if (room == NULL)
		return muc_load(c, fn);
	room->touched_us = sterna_now_us(c);
	muc_hold(room);
	const enum sterna_verdict v = fn(c, room);

	/* A handler that waits holds the room itself. */
	room->busy--;
	if (v != STERNA_WAIT)
		settle(c, room);
	return v;
}

/* Persistent rooms without occupants, that nobody has asked for something for a while. */
void muc_on_tick(struct sterna_call *c)
{
	struct muc_worker *w = worker_of(c);
	const int64_t now = sterna_now_us(c), since = now - muc_options(c)->unload_after.us;
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->rooms, &at)) != NULL;) {
		struct muc_room *room = e->value;

		muc_pending_expire(room, now);
		if (room->busy > 0 || room->count > 0 || room->touched_us > since)
			continue;
		map_remove(&w->rooms, jid_full(room->jid));
		muc_room_free(room);
	}
}

void muc_on_worker_ended(struct sterna_call *c)
{
	struct muc_worker *w = worker_of(c);
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->rooms, &at)) != NULL;)
		muc_room_free(e->value);
	map_clear(&w->rooms);
}

/* --- nicks --- */

bool muc_nick_key(const char *nick, char *out, size_t size)
{
	return nick != NULL && precis_nickname(nick, strlen(nick), out, size) == STERNA_OK && *out != '\0';
}

const char *muc_nick(const struct muc_occupant *o)
{
	return jid_resource(o->address);
}

struct muc_occupant *muc_find(const struct muc_room *room, const char *nick)
{
	char key[MUC_KEY_SIZE];

	return muc_nick_key(nick, key, sizeof key) ? map_get(&room->occupants, key) : NULL;
}

struct muc_session *muc_session_of(const struct muc_room *room, const struct jid *full)
{
	return map_get(&room->sessions, jid_full(full));
}

/* XEP-0421 §3: the same for one person in one room, for ever; another in another room. */
static void make_id(const struct muc_room *room, struct muc_occupant *o)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	const char *bare = jid_bare(o->bare);

	if (HMAC(EVP_sha256(), room->key, (int)sizeof room->key, (const unsigned char *)bare, strlen(bare), digest, &len)
		== NULL || len != 32)
		abort();
	EVP_EncodeBlock((unsigned char *)o->id, digest, 32);
}

struct muc_occupant *muc_add_occupant(struct muc_room *room, const char *key, const struct jid *address,
	const struct jid *bare, unsigned role)
{
	struct muc_occupant *o = xalloc(sizeof *o);

	o->key = xstrdup(key);
	o->address = jid_ref(address);
	o->bare = jid_to_bare(bare);
	o->role = role;
	make_id(room, o);
	map_put(&room->occupants, o->key, o);
	return o;
}

void muc_rename(struct muc_room *room, struct muc_occupant *o, const char *key, const struct jid *address)
{
	map_remove(&room->occupants, o->key);
	free(o->key);
	jid_unref(&o->address);
	o->key = xstrdup(key);
	o->address = jid_ref(address);
	map_put(&room->occupants, o->key, o);
	muc_forget_shown(o);
}

void muc_forget_shown(struct muc_occupant *o)
{
	sterna_shared_unref(&o->shown[0]);
	sterna_shared_unref(&o->shown[1]);
}

struct muc_session *muc_add_session(struct muc_room *room, struct muc_occupant *o, const struct jid *full)
{
	struct muc_session *s = xalloc(sizeof *s);

	s->jid = jid_ref(full);
	s->occupant = o;
	s->next = o->sessions;
	o->sessions = s;
	if (room->count == room->size) {
		room->size = room->size > 0 ? room->size * 2 : 4;
		room->list = xrealloc(room->list, room->size * sizeof(struct muc_session *));
	}
	s->index = room->count;
	room->list[room->count++] = s;
	map_put(&room->sessions, jid_full(s->jid), s);
	muc_forget_shown(o);
	return s;
}

bool muc_drop_session(struct muc_room *room, struct muc_session *s)
{
	struct muc_occupant *o = s->occupant;
	struct muc_session **at = &o->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	map_remove(&room->sessions, jid_full(s->jid));
	room->list[s->index] = room->list[--room->count];
	room->list[s->index]->index = s->index;
	jid_unref(&s->jid);
	arena_free(&s->arena);
	free(s);
	muc_forget_shown(o);
	if (o->sessions != NULL)
		return false;
	map_remove(&room->occupants, o->key);
	free(o->key);
	jid_unref(&o->address);
	jid_unref(&o->bare);
	free(o);
	return true;
}

/* --- who may --- */

struct muc_member *muc_member(const struct muc_room *room, const char *bare)
{
	return map_get(&room->members, bare);
}

/* §9.1: a ban may be of a whole domain too. */
unsigned muc_affiliation(const struct muc_room *room, const struct jid *who)
{
	const struct muc_member *m = muc_member(room, jid_bare(who));

	if (m != NULL)
		return m->affiliation;
	m = muc_member(room, jid_domain(who));
	return m != NULL && m->affiliation == MUC_OUTCAST ? MUC_OUTCAST : MUC_NONE;
}

size_t muc_count_members(const struct muc_room *room, unsigned affiliation)
{
	const struct map_entry *e;
	size_t n = 0;

	for (size_t at = 0; (e = map_next(&room->members, &at)) != NULL;)
		n += ((const struct muc_member *)e->value)->affiliation == affiliation;
	return n;
}

bool muc_shows_jids(const struct muc_room *room, unsigned role)
{
	return room->cfg.whois == MUC_WHOIS_ANYONE || role == MUC_MODERATOR;
}

/* §5.1.2. */
unsigned muc_first_role(const struct muc_room *room, unsigned affiliation)
{
	if (affiliation >= MUC_ADMIN)
		return MUC_MODERATOR;
	if (affiliation == MUC_MEMBER)
		return MUC_PARTICIPANT;
	return affiliation == MUC_OUTCAST ? MUC_NO_ROLE : room->cfg.moderated ? MUC_VISITOR : MUC_PARTICIPANT;
}
