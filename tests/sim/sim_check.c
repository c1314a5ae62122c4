/* sim_check.c - what must have come true: the ledgers of clients against what they got, and against storage. */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim_client.h"

static void check_ledger(struct sim_world *w)
{
	for (unsigned i = 0; i < w->message_count; i++) {
		const struct sim_message *m = &w->messages[i];

		if (m->got == 0 && !m->refused)
			world_fault(w, "message %u from client %u to client %u was %s, and never came", i, m->from, m->to,
				m->acked ? "acknowledged" : "sent");
	}
}

/* --- the archives --- */

enum { OF_SENDER, OF_RECIPIENT };

/* How many rows each message has on either side, in the archives of this server. New. */
static unsigned char *count_rows(struct sim_world *w, const struct sim *s, unsigned char *rows)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(s->store, "SELECT owner, origin_id FROM archive WHERE (flags & 1) <> 0 AND origin_id IS "
		"NOT NULL", -1, &q, NULL) != SQLITE_OK)
		abort();
	while (sqlite3_step(q) == SQLITE_ROW) {
		const char *owner = (const char *)sqlite3_column_text(q, 0), *id = (const char *)sqlite3_column_text(q, 1);
		const unsigned n = (unsigned)strtoul(id + 1, NULL, 10);

		if (n < w->message_count)
			rows[n * 2 + (strcmp(owner, w->clients[w->messages[n].to].account) == 0 ? OF_RECIPIENT : OF_SENDER)]++;
	}
	sqlite3_finalize(q);
	return rows;
}

static unsigned char *rows_new(const struct sim_world *w)
{
	return xalloc((size_t)w->message_count * 2 + 1);
}

/* Of what was promised both sides' rows, and of nothing two. */
static void check_archive(struct sim_world *w)
{
	unsigned char *rows = rows_new(w);

	for (unsigned n = 0; n < world_servers(w); n++)
		count_rows(w, world_server(w, n), rows);
	for (unsigned n = 0; n < w->message_count; n++) {
		const struct sim_message *m = &w->messages[n];
		const unsigned sent = rows[n * 2 + OF_SENDER], received = rows[n * 2 + OF_RECIPIENT];

		if (m->acked && !m->refused && (received == 0 || (sent == 0 && m->from != m->to)))
			world_fault(w, "message %u was acknowledged; in the archives: sender's %u, recipient's %u", n, sent, received);
		if ((sent > 1 || received > 1) && !m->unasked && !world_is_forgotten(w, m))
			world_fault(w, "message %u is archived twice: sender's %u, recipient's %u", n, sent, received);
	}
	free(rows);
}

bool world_is_forgotten(const struct sim_world *w, const struct sim_message *m)
{
	return m->unstored && w->clients[m->to].home->ends > m->ends;
}

/* What another server sent, and this one delivered without having it stored, comes once more: nobody has told anybody that
 * it came. */
void world_ended(struct sim_world *w, struct sim *s)
{
	unsigned char *rows = world_servers(w) > 1 && w->stanza_ids ? count_rows(w, s, rows_new(w)) : NULL;

	s->ends++;
	for (unsigned n = 0; rows != NULL && n < w->message_count; n++) {
		struct sim_message *m = &w->messages[n];

		m->unstored |= w->clients[m->from].home == s && w->clients[m->to].home != s && rows[n * 2 + OF_SENDER] == 0;
		if (w->clients[m->to].home != s || w->clients[m->from].home == s || rows[n * 2 + OF_RECIPIENT] > 0)
			continue;
		m->loose = true;
		m->again_ok += m->got > 0;
	}
	free(rows);
}

/* What each node holds: what was promised, or something later. */
static void check_nodes(struct sim_world *w)
{
	for (unsigned i = 0; i < w->client_count; i++) {
		const struct sim_client *c = &w->clients[i];
		sqlite3_stmt *q = NULL;
		const char *payload, *text;
		unsigned n;

		if (sqlite3_prepare_v2(c->home->store, "SELECT count(*), max(payload) FROM pubsub_item WHERE owner = ? AND node = "
			"'urn:sim'", -1, &q, NULL) != SQLITE_OK)
			abort();
		sqlite3_bind_text(q, 1, c->account, -1, SQLITE_STATIC);
		if (sqlite3_step(q) != SQLITE_ROW)
			abort();
		payload = (const char *)sqlite3_column_text(q, 1);
		text = payload != NULL ? strchr(payload, '>') : NULL;
		n = text != NULL ? (unsigned)strtoul(text + 1, NULL, 10) : 0;
		if (sqlite3_column_int(q, 0) > 1 || n < c->promised || n > c->published)
			world_fault(w, "client %u has %d items, the last is %u; %u was promised, %u sent", i, sqlite3_column_int(q, 0), n,
				c->promised, c->published);
		sqlite3_finalize(q);
	}
}

void world_check(struct sim_world *w)
{
	if (w->fault[0] == '\0')
		check_ledger(w);
	if (w->fault[0] == '\0' && w->stanza_ids)
		check_archive(w);
	if (w->fault[0] == '\0' && w->stanza_ids && !w->rooms)
		check_nodes(w);
	if (w->fault[0] == '\0' && w->rooms)
		sim_room_check(w);
	if (w->fault[0] == '\0' && w->rooms)
		sim_node_check(w);
}
