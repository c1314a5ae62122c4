/* farewell.c - the contacts of an account that was deleted hear of it. */
#include "server/farewell.h"
#include <stdlib.h>
#include <string.h>
#include "server/ack.h"
#include "server/roster.h"
#include "server/route.h"
#include "server/server.h"

/* Somebody may have the address by now, and the same contact: then there is nothing to undo. */
static const struct db_stmt page = {
	.name = "farewell_page", .params = "tt", .columns = "ttii",
	.sql = "SELECT owner, contact, subscription, (SELECT count(*) FROM roster r WHERE r.owner = f.owner AND r.contact = f.contact "
	       "AND r.removed = 0 AND (r.subscription <> 0 OR r.ask <> 0)) FROM farewell f "
	       "WHERE (owner, contact) > ($1, $2) ORDER BY owner, contact LIMIT 100",
};
static const struct db_stmt said = {
	.name = "farewell_said", .params = "tt", .sql = "DELETE FROM farewell WHERE owner = $1 AND contact = $2",
};

enum { AGAIN_US = 10000000 };

struct farewell {
	struct worker *worker;
	char *owner, *contact;       /* the last row of the page */
	struct timer again;          /* the database was away, or a contact's could not be stored */
	unsigned left;               /* of the page, not committed yet */
	bool reading, once_more, failed, stopped;
};

struct parting {
	struct farewell *farewell;
	char *owner, *contact;
};

static void read_page(struct farewell *f);

static void from_the_first(struct farewell *f)
{
	free(f->owner);
	free(f->contact);
	f->owner = xstrdup("");
	f->contact = xstrdup("");
	f->once_more = f->failed = false;
	read_page(f);
}

static void on_again(struct timer *t, void *arg)
{
	struct farewell *f = arg;

	(void)t;
	if (!f->reading)
		from_the_first(f);
}

static void forget(struct worker *w, const char *owner, const char *contact)
{
	struct db_batch *b = db_batch_new(w->db);

	db_batch_add(b, &said, (const struct db_value[]){ db_text(owner), db_text(contact) });
	db_batch_commit(&b, NULL, NULL);
}

static void one_less(struct farewell *f)
{
	if (--f->left == 0 && !f->stopped)
		read_page(f);
}

/* At the contact all is committed, or it is not known. */
static void on_told(void *arg, uint32_t h, bool ok)
{
	struct parting *p = arg;
	struct farewell *f = p->farewell;

	(void)h;
	if (ok && !f->stopped)
		forget(f->worker, p->owner, p->contact);
	f->failed |= !ok;
	one_less(f);
	free(p->owner);
	free(p->contact);
	free(p);
}

static void tell(struct worker *w, const struct jid *owner, const struct jid *contact, const char *type, struct ack *ack)
{
	struct stanza *st = stanza_make("presence", type, owner, contact, NULL);

	st->may_bounce = false;
	st->trace = worker_trace(w);
	route_hop(w, &st, ack);
}

static void part(struct farewell *f, const struct jid *owner, const struct jid *contact, int64_t subscription)
{
	struct parting *p = xalloc(sizeof *p);
	struct ack *ack = ack_new_for(f->worker, on_told, p, 0);

	*p = (struct parting){ f, xstrdup(jid_bare(owner)), xstrdup(jid_bare(contact)) };
	f->left++;
	if ((subscription & SUB_TO) != 0)
		tell(f->worker, owner, contact, "unsubscribe", ack);
	if ((subscription & SUB_FROM) != 0)
		tell(f->worker, owner, contact, "unsubscribed", ack);
	ack_done(&ack, true);
}

static void take_row(struct farewell *f, const struct db_rows *rows, size_t n)
{
	const char *from = db_str(rows, n, 0, NULL), *to = db_str(rows, n, 1, NULL);
	struct jid *owner = NULL, *contact = NULL;

	if (jid_parse(from, strlen(from), &owner) == STERNA_OK && server_owner(f->worker->server, owner) == f->worker) {
		const struct host *h = server_host(f->worker->server, jid_domain(owner));

		if (h != NULL && h->kind == HOST_USERS && db_int(rows, n, 3) == 0
			&& jid_parse(to, strlen(to), &contact) == STERNA_OK)
			part(f, owner, contact, db_int(rows, n, 2));
		else
			forget(f->worker, from, to); /* its domain is none of ours any more, or the contact is one again */
	}
	jid_unref(&owner);
	jid_unref(&contact);
}

static void on_page(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct farewell *f = arg;
	const size_t count = rc == STERNA_OK ? db_rows_count(rows) : 0;

	f->reading = false;
	if (f->stopped)
		return;
	if (rc != STERNA_OK || (count == 0 && f->failed)) {
		timer_set(&f->again, AGAIN_US);
		return;
	}
	if (count == 0) {
		if (f->once_more)
			from_the_first(f);
		return;
	}
	f->left++; /* until all of the page is under way */
	for (size_t n = 0; n < count; n++)
		take_row(f, rows, n);
	free(f->owner);
	free(f->contact);
	f->owner = xstrdup(db_str(rows, count - 1, 0, NULL));
	f->contact = xstrdup(db_str(rows, count - 1, 1, NULL));
	one_less(f);
}

static void read_page(struct farewell *f)
{
	f->reading = true;
	db_read(f->worker->db, &page, (const struct db_value[]){ db_text(f->owner), db_text(f->contact) }, on_page, f);
}

void farewell_look(struct worker *w)
{
	struct farewell *f = w->farewell;

	if (f == NULL) {
		f = w->farewell = xalloc(sizeof *f);
		f->worker = w;
		timer_init(&f->again, w->loop, on_again, f);
	}
	if (f->stopped)
		return;
	f->once_more = true;
	if (!f->reading && f->left == 0)
		from_the_first(f);
}

void farewell_stop(struct worker *w)
{
	if (w->farewell == NULL)
		return;
	timer_cancel(&w->farewell->again);
	w->farewell->stopped = true;
}

void farewell_free(struct worker *w)
{
	struct farewell *f = w->farewell;

	if (f == NULL)
		return;
	w->farewell = NULL;
	timer_cancel(&f->again);
	free(f->owner);
	free(f->contact);
	free(f);
}
