/* XEP-0045: rooms in the database - loading one when it is first needed, and what is written of it. Part of the
 * module "muc"; see muc.h. Every change of a room joins the batch of the stanza that causes it. */
#include <stdlib.h>
#include <string.h>
#include "server/module.h"
#include "xep/muc.h"

static const struct db_stmt room_get = {
	.name = "muc_room_get", .params = "t", .columns = "tiiibtitti",
	.sql = "SELECT config, locked, created, version, occupant_key, subject, subject_at, vcard, photo_hash, archive_from "
	       "FROM muc_room WHERE room = $1",
};
static const struct db_stmt room_put = {
	.name = "muc_room_put", .params = "ttttiiiibtitti",
	.sql = "INSERT INTO muc_room (room, host, config, name, listed, locked, created, version, occupant_key, subject, "
	       "subject_at, vcard, photo_hash, archive_from) "
	       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
	       "ON CONFLICT (room) DO UPDATE SET config = excluded.config, name = excluded.name, "
	       "listed = excluded.listed, locked = excluded.locked, version = excluded.version, "
	       "subject = excluded.subject, subject_at = excluded.subject_at, vcard = excluded.vcard, "
	       "photo_hash = excluded.photo_hash",
};
static const struct db_stmt members_get = {
	.name = "muc_members_get", .params = "t", .columns = "titt",
	.sql = "SELECT jid, affiliation, nick, reason FROM muc_member WHERE room = $1",
};
static const struct db_stmt member_put = {
	.name = "muc_member_put", .params = "ttitt",
	.sql = "INSERT INTO muc_member (room, jid, affiliation, nick, reason) VALUES ($1, $2, $3, $4, $5) "
	       "ON CONFLICT (room, jid) DO UPDATE SET affiliation = excluded.affiliation, nick = excluded.nick, "
	       "reason = excluded.reason",
};
static const struct db_stmt member_drop = {
	.name = "muc_member_drop", .params = "tt", .sql = "DELETE FROM muc_member WHERE room = $1 AND jid = $2",
};
static const struct db_stmt sessions_get = {
	.name = "muc_sessions_get", .params = "t", .columns = "ttit",
	.sql = "SELECT jid, nick, role, presence FROM muc_session WHERE room = $1",
};
static const struct db_stmt session_put = {
	.name = "muc_session_put", .params = "tttit",
	.sql = "INSERT INTO muc_session (room, jid, nick, role, presence) VALUES ($1, $2, $3, $4, $5) "
	       "ON CONFLICT (room, jid) DO UPDATE SET nick = excluded.nick, role = excluded.role, "
	       "presence = excluded.presence",
};
static const struct db_stmt session_drop = {
	.name = "muc_session_drop", .params = "tt", .sql = "DELETE FROM muc_session WHERE room = $1 AND jid = $2",
};
static const struct db_stmt past_get = {
	.name = "muc_past_get", .params = "tii", .columns = "it",
	.sql = "SELECT id, stanza FROM archive WHERE owner = $1 AND id > $2 AND (flags & 1) <> 0 ORDER BY id DESC LIMIT $3",
};
static const struct db_stmt hats_get = {
	.name = "muc_hats_get", .params = "t", .columns = "ttt",
	.sql = "SELECT jid, uri, title FROM muc_hat WHERE room = $1",
};
static const struct db_stmt hat_put = {
	.name = "muc_hat_put", .params = "tttt",
	.sql = "INSERT INTO muc_hat (room, jid, uri, title) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (room, jid, uri) DO UPDATE SET title = excluded.title",
};
static const struct db_stmt hat_drop = {
	.name = "muc_hat_drop", .params = "ttt", .sql = "DELETE FROM muc_hat WHERE room = $1 AND jid = $2 AND uri = $3",
};
static const struct db_stmt drop_all[] = {
	{ .name = "muc_drop_sessions", .params = "t", .sql = "DELETE FROM muc_session WHERE room = $1" },
	{ .name = "muc_drop_members", .params = "t", .sql = "DELETE FROM muc_member WHERE room = $1" },
	{ .name = "muc_drop_hats", .params = "t", .sql = "DELETE FROM muc_hat WHERE room = $1" },
	{ .name = "muc_drop_room", .params = "t", .sql = "DELETE FROM muc_room WHERE room = $1" },
};
const struct db_stmt muc_count_rooms = {
	.name = "muc_count_rooms", .params = "t", .columns = "i",
	.sql = "SELECT count(*) FROM muc_member WHERE jid = $1 AND affiliation = 4",
};

/* --- loading --- */

struct loading {
	struct muc_room *room;
	muc_fn *fn;
};

static struct sterna_elem *read_xml(struct sterna_call *c, const char *xml)
{
	struct sterna_elem *around = sterna_elem(c, "stored", NS_CLIENT);

	if (xml != NULL)
		sterna_add_xml(around, xml);
	return sterna_child(around);
}

static enum sterna_verdict give_up(struct sterna_call *c, struct muc_room *room)
{
	muc_hold(room);
	room->gone = true;
	return muc_let_go(c, room, sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room cannot be read now"));
}

/* Everything is there: the handler that asked for the room. */
static enum sterna_verdict loaded(struct sterna_call *c, const struct loading *l)
{
	struct muc_room *room = l->room;

	/* It was to end with its last occupant, and the server did before it. */
	if (room->count == 0 && muc_ends_when_empty(room)) {
		muc_unstore_room(c, room, "empty", NULL);
		room->gone = true;
		muc_let_go(c, room, STERNA_NEXT);
		return l->fn(c, NULL);
	}
	for (size_t i = 0; i < room->past_count; i++)
		room->past[i].restored = true;
	muc_ask_who_is_there(c, room);
	room->busy--;
	return muc_enter(c, l->fn);
}

static enum sterna_verdict on_hats(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct loading *l = sterna_data(c);
	struct muc_room *room = l->room;

	if (rc != STERNA_OK) {
		room->busy--;
		return give_up(c, room);
	}
	room->hats = xalloc((rows->count + 1) * sizeof *room->hats);
	for (size_t i = 0; i < rows->count; i++)
		room->hats[room->hat_count++] = (struct muc_hat){ xstrdup(rows->text[i * 3]), xstrdup(rows->text[i * 3 + 1]),
			xstrdup(rows->text[i * 3 + 2]) };
	return loaded(c, l);
}

static enum sterna_verdict on_past(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct loading *l = sterna_data(c);
	struct muc_room *room = l->room;

	if (rc != STERNA_OK) {
		room->busy--;
		return give_up(c, room);
	}
	for (size_t i = rows->count; i-- > 0;) {
		const struct sterna_elem *message = read_xml(c, rows->text[i * 2 + 1]);

		if (message != NULL)
			muc_past_add(c, room, db_int(rows->db, i, 0), message);
	}
	return sterna_read(c, on_hats, &hats_get, jid_full(room->jid));
}

static void load_session(struct sterna_call *c, struct muc_room *room, const char *const *row, unsigned role)
{
	struct jid *full = NULL, *address = NULL;
	char key[MUC_KEY_SIZE];

	if (jid_parse(row[0], strlen(row[0]), &full) == STERNA_OK && muc_nick_key(row[1], key, sizeof key)
		&& jid_with_resource(room->jid, row[1], &address) == STERNA_OK) {
		struct muc_occupant *o = map_get(&room->occupants, key);
		struct muc_session *s;

		if (o == NULL)
			o = muc_add_occupant(room, key, address, full, role);
		s = muc_add_session(room, o, full);
		s->restored = true;
		const struct sterna_elem *presence = read_xml(c, row[3]);

		if (presence != NULL)
			muc_keep_presence(s, presence);
	} else {
		log_error("muc", "a stored occupant cannot be read", "room", jid_full(room->jid));
	}
	jid_unref(&full);
	jid_unref(&address);
}

static enum sterna_verdict on_sessions(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct loading *l = sterna_data(c);
	struct muc_room *room = l->room;

	if (rc != STERNA_OK) {
		room->busy--;
		return give_up(c, room);
	}
	for (size_t i = 0; i < rows->count; i++)
		load_session(c, room, &rows->text[i * 4], (unsigned)db_int(rows->db, i, 2) & 3);
	return sterna_read(c, on_past, &past_get, jid_full(room->jid), room->archive_from,
		(int64_t)muc_options(c)->history);
}

static void keep_member(struct muc_room *room, const char *jid, unsigned affiliation, const char *nick,
	const char *reason)
{
	struct muc_member *m = xalloc(sizeof *m);
	char key[MUC_KEY_SIZE];

	m->jid = xstrdup(jid);
	m->affiliation = affiliation;
	m->reason = reason != NULL ? xstrdup(reason) : NULL;
	if (nick != NULL && muc_nick_key(nick, key, sizeof key)) {
		m->nick = xstrdup(nick);
		m->nick_key = xstrdup(key);
		map_put(&room->nicks, m->nick_key, m);
	}
	map_put(&room->members, m->jid, m);
}

static enum sterna_verdict on_members(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct loading *l = sterna_data(c);
	struct muc_room *room = l->room;

	if (rc != STERNA_OK) {
		room->busy--;
		return give_up(c, room);
	}
	for (size_t i = 0; i < rows->count; i++) {
		const int64_t a = db_int(rows->db, i, 1);

		if (a >= MUC_OUTCAST && a <= MUC_OWNER)
			keep_member(room, rows->text[i * 4], (unsigned)a, rows->text[i * 4 + 2], rows->text[i * 4 + 3]);
	}
	return sterna_read(c, on_sessions, &sessions_get, jid_full(room->jid));
}

static void load_room(struct sterna_call *c, struct muc_room *room, const struct sterna_rows *rows)
{
	const struct sterna_elem *subject = read_xml(c, rows->text[5]);
	size_t len = 0;
	const char *key = db_str(rows->db, 0, 4, &len);

	room->locked = db_int(rows->db, 0, 1) != 0;
	room->created_us = db_int(rows->db, 0, 2);
	room->version = (uint64_t)db_int(rows->db, 0, 3);
	if (len == sizeof room->key)
		memcpy(room->key, key, len);
	if (subject != NULL)
		room->subject = sterna_share(c, subject);
	room->subject_us = db_int(rows->db, 0, 6);
	room->vcard = rows->text[7] != NULL ? xstrdup(rows->text[7]) : NULL;
	room->photo_hash = rows->text[8] != NULL ? xstrdup(rows->text[8]) : NULL;
	room->archive_from = db_int(rows->db, 0, 9);
	room->stored = true;
}

static enum sterna_verdict on_room(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct loading *l = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the room cannot be read now");
	if (rows->count == 0)
		return l->fn(c, NULL);
	struct muc_room *room = l->room = muc_room_new(c, sterna_to(c));

	if (!muc_config_parse(&room->cfg, rows->text[0])) {
		log_error("muc", "a stored room cannot be read", "room", jid_full(room->jid));
		return give_up(c, room);
	}
	load_room(c, room, rows);
	muc_hold(room);
	return sterna_read(c, on_members, &members_get, jid_full(room->jid));
}

enum sterna_verdict muc_load(struct sterna_call *c, muc_fn *fn)
{
	struct loading *l = sterna_alloc(c, sizeof *l);

	l->fn = fn;
	sterna_set_data(c, l);
	return sterna_read(c, on_room, &room_get, jid_bare(sterna_to(c)));
}

/* --- writing --- */

void muc_store_room(struct sterna_call *c, struct muc_room *room)
{
	char *config = muc_config_json(&room->cfg);

	sterna_write(c, &room_put, jid_full(room->jid), jid_domain(room->jid), config, room->cfg.name,
		(int64_t)(room->cfg.public && !room->locked), (int64_t)room->locked, room->created_us,
		(int64_t)room->version, (const void *)room->key, sizeof room->key,
		room->subject != NULL ? sterna_xml(sterna_shared_elem(room->subject)) : NULL, room->subject_us, room->vcard,
		room->photo_hash, room->archive_from);
	free(config);
	room->stored = true;
}

static void drop_nick(struct muc_room *room, struct muc_member *m)
{
	if (m->nick_key != NULL)
		map_remove(&room->nicks, m->nick_key);
	free(m->nick);
	free(m->nick_key);
	m->nick = m->nick_key = NULL;
}

static void drop_member(struct muc_room *room, struct muc_member *m)
{
	drop_nick(room, m);
	map_remove(&room->members, m->jid);
	free(m->jid);
	free(m->reason);
	free(m);
}

enum sterna_result muc_set_member(struct sterna_call *c, struct muc_room *room, const char *bare, unsigned affiliation,
	const char *nick, const char *reason)
{
	struct muc_member *m = muc_member(room, bare);
	const struct muc_member *other;
	char key[MUC_KEY_SIZE];

	if (nick != NULL && !muc_nick_key(nick, key, sizeof key))
		return STERNA_EINVAL;
	other = nick != NULL ? map_get(&room->nicks, key) : NULL;
	if (other != NULL && other != m)
		return STERNA_EEXISTS;
	if (affiliation == MUC_NONE && nick == NULL) {
		if (m != NULL) {
			sterna_write(c, &member_drop, jid_full(room->jid), m->jid);
			drop_member(room, m);
		}
		return STERNA_OK;
	}
	if (m == NULL && room->members.count >= muc_options(c)->affiliations)
		return STERNA_ELIMIT;
	nick = nick != NULL ? sterna_printf(c, "%s", nick) : NULL;
	bare = sterna_printf(c, "%s", bare);
	reason = reason != NULL ? sterna_printf(c, "%s", reason) : NULL;
	if (m != NULL)
		drop_member(room, m);
	keep_member(room, bare, affiliation, nick, reason);
	sterna_write(c, &member_put, jid_full(room->jid), bare, (int64_t)affiliation, nick, reason);
	return STERNA_OK;
}

void muc_store_session(struct sterna_call *c, struct muc_room *room, const struct muc_session *s)
{
	sterna_write(c, &session_put, jid_full(room->jid), jid_full(s->jid), muc_nick(s->occupant),
		(int64_t)s->occupant->role, s->presence != NULL ? sterna_xml(s->presence) : NULL);
}

void muc_unstore_session(struct sterna_call *c, struct muc_room *room, const struct jid *full)
{
	sterna_write(c, &session_drop, jid_full(room->jid), jid_full(full));
}

void muc_store_hat(struct sterna_call *c, struct muc_room *room, const struct muc_hat *hat, bool there)
{
	if (there)
		sterna_write(c, &hat_put, jid_full(room->jid), hat->jid, hat->uri, hat->title);
	else
		sterna_write(c, &hat_drop, jid_full(room->jid), hat->jid, hat->uri);
}

/* With what was said there: who makes a room of that name next is someone else. */
void muc_unstore_room(struct sterna_call *c, struct muc_room *room, const char *cause, const char *reason)
{
	const bool asked = strcmp(cause, "owner") == 0;

	sterna_audit(c, "sterna.room.destroyed.v1", jid_full(room->jid), (const struct sterna_datum[]){
		STERNA_DATUM("cause", cause), STERNA_PERSONAL("by", asked ? jid_bare(sterna_from(c)) : NULL),
		STERNA_CONTENT("reason", reason), { 0 } });
	for (size_t i = 0; i < sizeof drop_all / sizeof *drop_all; i++)
		sterna_write(c, &drop_all[i], jid_full(room->jid));
	sterna_archive_drop(c, jid_full(room->jid), sterna_new_id(c));
	room->stored = false;
}
