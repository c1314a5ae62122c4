/* sim_room.c - rooms: what clients do there, what they see, and what must come true. */
#include "tests/sim/sim_room.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim_client.h"

#define SERVICE "conference.sim.example"
#define NS_USER "http://jabber.org/protocol/muc#user"
#define OWNER "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>"
#define FIELD(name, value) "<field var='muc#roomconfig_" name "'><value>" value "</value></field>"

struct sim_room_stanza *sim_room_put(struct sim_client *c, unsigned room, const char *fmt, ...)
{
	struct sim_world *w = c->world;
	struct sim_room_stanza *s = &w->room_stanzas[w->room_stanza_count];
	va_list ap;

	if (w->room_stanza_count == SIM_ROOM_STANZAS_MAX)
		return NULL;
	*s = (struct sim_room_stanza){ .from = c->index, .room = room };
	va_start(ap, fmt);
	vsnprintf(s->xml, sizeof s->xml, fmt, ap);
	va_end(ap);
	client_send_item(c, ITEM_ROOM - (int)w->room_stanza_count++);
	return s;
}

/* --- what clients do --- */

static void enter(struct sim_client *c, unsigned room)
{
	struct sim_view *v = &c->views[room];

	snprintf(v->nick, sizeof v->nick, "n%u", c->index);
	v->entering = true;
	v->count = 0;
	sim_room_put(c, room, "<presence to='r%u@" SERVICE "/%s'><x xmlns='http://jabber.org/protocol/muc'>"
		"<history maxstanzas='0'/></x></presence>", room, v->nick);
}

static void configure(struct sim_client *c, unsigned room, const char *moderated)
{
	sim_room_put(c, room, "<iq type='set' id='c' to='r%u@" SERVICE "'>" OWNER
		FIELD("persistentroom", "1") "<field var='muc#roomconfig_moderatedroom'><value>%s</value></field></x></query></iq>",
		room, moderated);
}

static void admin(struct sim_client *c, unsigned room, const char *what)
{
	sim_room_put(c, room, "<iq type='set' id='a' to='r%u@" SERVICE "'><query xmlns='http://jabber.org/protocol/muc#admin'>"
		"<item %s/></query></iq>", room, what);
}

void sim_room_act(struct sim_client *c)
{
	struct sim_world *w = c->world;
	const unsigned room = sim_below(&w->sim, SIM_ROOMS), whom = sim_below(&w->sim, w->client_count);
	char what[80];

	if (c->state != CLIENT_ON)
		return;
	if (!c->views[room].inside) {
		enter(c, room);
		return;
	}
	switch (sim_below(&w->sim, 14)) {
	case 0:
		sim_room_put(c, room, "<presence type='unavailable' to='r%u@" SERVICE "/%s'/>", room, c->views[room].nick);
		break;
	case 1:
		snprintf(what, sizeof what, "nick='n%u' role='none'", whom);
		admin(c, room, what);
		break;
	case 2: case 3:
		snprintf(what, sizeof what, "jid='%s' affiliation='owner'", w->clients[whom].account);
		admin(c, room, what);
		break;
	case 4:
		configure(c, room, sim_chance(&w->sim, 50) ? "1" : "0");
		break;
	case 5:
		sim_room_put(c, room, "<presence to='r%u@" SERVICE "/%s'><show>away</show></presence>", room, c->views[room].nick);
		break;
	default:
		sim_room_put(c, room, "<message type='groupchat' id='g%u' to='r%u@" SERVICE "'><body>g</body></message>",
			w->room_stanza_count, room);
	}
}

static bool has_gone(const struct sim_world *w)
{
	return w->kills > 0 || w->stops > 0;
}

void sim_room_return(struct sim_client *c)
{
	for (unsigned room = 0; room < SIM_ROOMS; room++) {
		struct sim_view *v = &c->views[room];

		/* The answer may have been lost with a server: then one asks again. */
		const bool waits = v->entering && !(has_gone(c->world) && sim_chance(&c->world->sim, 5));

		if (c->state != CLIENT_ON || waits || (v->inside && !v->entering && (v->anew || !has_gone(c->world))))
			continue;
		v->anew = true;
		v->inside = false;
		enter(c, room);
	}
}

/* --- what they see --- */

static void see(struct sim_view *v, const char *nick, bool there)
{
	unsigned at = 0;

	while (at < v->count && strcmp(v->others[at], nick) != 0)
		at++;
	if (there && at == v->count && v->count < SIM_ROOM_NICKS)
		snprintf(v->others[v->count++], sizeof v->others[0], "%s", nick);
	else if (!there && at < v->count)
		memcpy(v->others[at], v->others[--v->count], sizeof v->others[0]);
}

static bool has_status(const struct sterna_elem *e, const char *code)
{
	const struct sterna_elem *x = elem_child(e, "x", NS_USER);

	if (x != NULL)
		elem_foreach(s, x)
			if (strcmp(s->name, "status") == 0 && elem_attr(s, "code") != NULL && strcmp(elem_attr(s, "code"), code) == 0)
				return true;
	return false;
}

/* It hears a room where it does not believe to be: what is left of an earlier session. A client says that it is not. */
static void is_not_there(struct sim_client *c, unsigned room)
{
	if (c->views[room].entering || c->views[room].inside)
		return;
	sim_room_put(c, room, "<presence type='unavailable' to='r%u@" SERVICE "/n%u'/>", room, c->index);
}

static void on_presence(struct sim_client *c, unsigned room, const char *nick, const struct sterna_elem *e)
{
	const char *type = elem_attr(e, "type");
	struct sim_view *v = &c->views[room];

	if (type != NULL && strcmp(type, "error") == 0) {
		v->entering = false;
		return;
	}
	const bool there = type == NULL;

	see(v, nick, there);
	if (has_status(e, "110")) {
		v->inside = there;
		if (!there)
			v->count = 0;
		/* Or its owner lost the word that it is new, and nobody else may enter. */
		if (there && (has_status(e, "201") || (c->world->quiet && v->entering)))
			configure(c, room, "0");
		v->entering = v->entering && !there;
	} else if (there) {
		is_not_there(c, room);
	}
}

static void on_said(struct sim_client *c, unsigned room, const struct sterna_elem *e)
{
	const char *type = elem_attr(e, "type"), *id = elem_attr(e, "id");
	const unsigned n = id != NULL && *id == 'g' ? (unsigned)strtoul(id + 1, NULL, 10) : UINT32_MAX;
	struct sim_view *v = &c->views[room];

	if (n >= c->world->room_stanza_count)
		return;                          /* a subject, a change of the configuration */
	struct sim_room_stanza *s = &c->world->room_stanzas[n];

	if (type != NULL && strcmp(type, "error") == 0) {
		s->refused = true;       /* perhaps when it was said again, after a server had gone that took it */
		return;
	}
	if (s->room != room)
		world_fault(c->world, "client %u heard message g%u of room %u in room %u", c->index, n, s->room, room);
	if (n + 1 < v->last[s->from] && !has_gone(c->world))
		world_fault(c->world, "client %u: g%u comes after g%u of the same occupant", c->index, n, v->last[s->from] - 1);
	s->heard = s->heard || c->index != s->from; /* alone in a room that was never configured, one speaks for nobody */
	if (n + 1 > v->last[s->from])
		v->last[s->from] = n + 1;
	is_not_there(c, room);
}

bool sim_room_stanza(struct sim_client *c, const struct sterna_elem *e)
{
	const char *from = elem_attr(e, "from"), *at = from != NULL ? strstr(from, "@" SERVICE) : NULL;
	unsigned room;

	if (at == NULL)
		return false;
	room = (unsigned)strtoul(from + 1, NULL, 10);
	at = strchr(at, '/');
	if (room < SIM_ROOMS && strcmp(e->name, "presence") == 0 && at != NULL)
		on_presence(c, room, at + 1, e);
	else if (room < SIM_ROOMS && strcmp(e->name, "message") == 0)
		on_said(c, room, e);
	else if (room < SIM_ROOMS && strcmp(e->name, "iq") == 0 && strcmp(elem_attr(e, "type"), "get") == 0)
		sim_room_put(c, room, "<iq type='result' id='%s' to='%s'/>", elem_attr(e, "id"), from);
	return true;
}

void sim_room_bound(struct sim_client *c)
{
	memset(c->views, 0, sizeof c->views);
}

void sim_room_acked(struct sim_world *w, unsigned n)
{
	w->room_stanzas[n].acked = true;
}

bool sim_room_is_settled(const struct sim_client *c)
{
	for (unsigned room = 0; room < SIM_ROOMS; room++)
		if (!c->views[room].inside || (has_gone(c->world) && !c->views[room].anew))
			return false;
	return true;
}

/* --- the end --- */

static void check_archive(struct sim_world *w)
{
	unsigned char *rows = xalloc(SIM_ROOM_STANZAS_MAX);
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(w->sim.store, "SELECT stanza FROM archive WHERE owner LIKE 'r_@" SERVICE "'", -1, &q, NULL)
		!= SQLITE_OK)
		abort();
	while (sqlite3_step(q) == SQLITE_ROW) {
		const char *id = strstr((const char *)sqlite3_column_text(q, 0), " id='g");
		const unsigned n = id != NULL ? (unsigned)strtoul(id + 6, NULL, 10) : SIM_ROOM_STANZAS_MAX;

		if (n < w->room_stanza_count)
			rows[n]++;
	}
	sqlite3_finalize(q);
	for (unsigned n = 0; n < w->room_stanza_count; n++) {
		const struct sim_room_stanza *s = &w->room_stanzas[n];

		if (s->kind == 0 && s->acked && s->heard && !s->refused && rows[n] == 0)
			world_fault(w, "message g%u of client %u was acknowledged and heard, and is not in the archive of room %u", n, s->from,
				s->room);
		if (rows[n] > 1 && !has_gone(w))
			world_fault(w, "message g%u is %u times in the archive of room %u", n, rows[n], s->room);
	}
	free(rows);
}

static bool sees(const struct sim_view *v, const char *nick)
{
	for (unsigned i = 0; i < v->count; i++)
		if (strcmp(v->others[i], nick) == 0)
			return true;
	return false;
}

void sim_room_check(struct sim_world *w)
{
	check_archive(w);
	for (unsigned room = 0; room < SIM_ROOMS; room++)
		for (unsigned i = 0; i < w->client_count; i++)
			for (unsigned k = 0; k < w->client_count; k++)
				if (!sees(&w->clients[i].views[room], w->clients[k].views[room].nick))
					world_fault(w, "all is quiet, and client %u does not see client %u in room %u", i, k, room);
}
