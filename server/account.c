/* account.c - accounts in memory: loading, waiting, unloading. */
#include "server/account.h"
#include <stdlib.h>
#include <string.h>
#include "server/archive.h"
#include "server/farewell.h"
#include "server/module_load.h"
#include "server/origin.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/session.h"
#include "server/sm.h"

enum { WAITING_MAX = 1000, WAITING_ALL_MAX = 20000, IDLE_MAX = 10000, LOAD_AGAIN_US = 1000000 };

const struct db_stmt account_insert = {
	.name = "account_insert", .params = "ti",
	.sql = "INSERT INTO account (jid, created, state) VALUES ($1, $2, 0)",
};
const struct db_stmt account_delete = {
	.name = "account_delete", .params = "t", .sql = "DELETE FROM account WHERE jid = $1",
};
static const struct db_stmt account_select = {
	.name = "account_select", .params = "t", .columns = "iit",
	.sql = "SELECT state, last_logout, last_status FROM account WHERE jid = $1",
};

struct account *account_find(struct worker *w, const char *bare)
{
	struct account *a = map_get(&w->accounts, bare);

	return a != NULL && a->state == ACCOUNT_READY ? a : NULL;
}

struct sterna_session *account_session(const struct account *a, const char *resource)
{
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (strcmp(jid_resource(s->jid), resource) == 0)
			return s;
	return NULL;
}

/* --- idle accounts, the longest idle first --- */

static void idle_remove(struct account *a)
{
	struct worker *w = a->worker;

	if (!a->is_idle)
		return;
	*(a->idle_prev != NULL ? &a->idle_prev->idle_next : &w->idle_first) = a->idle_next;
	*(a->idle_next != NULL ? &a->idle_next->idle_prev : &w->idle_last) = a->idle_prev;
	a->idle_prev = a->idle_next = NULL;
	a->is_idle = false;
	w->idle_count--;
}

static void idle_add(struct account *a)
{
	struct worker *w = a->worker;

	if (a->is_idle || a->busy > 0 || a->session_count > 0 || a->reads > 0 || a->waiting != NULL)
		return;
	a->idle_prev = w->idle_last;
	*(w->idle_last != NULL ? &w->idle_last->idle_next : &w->idle_first) = a;
	w->idle_last = a;
	a->is_idle = true;
	w->idle_count++;
}

void account_hold(struct account *a)
{
	a->busy++;
	idle_remove(a);
}

void account_release(struct account *a)
{
	a->busy--;
	idle_add(a);
}

void account_hide(struct account *a, const char *from_whom, bool hide)
{
	if (!hide) {
		if (a->hidden != NULL)
			free(map_remove(a->hidden, from_whom));
		return;
	}
	if (a->hidden == NULL) {
		a->hidden = xalloc(sizeof *a->hidden);
		map_init(a->hidden, a->worker->accounts.k0, a->worker->accounts.k1);
	}
	if (map_get(a->hidden, from_whom) == NULL) {
		char *key = xstrdup(from_whom);

		map_put(a->hidden, key, key);
	}
}

bool account_hides(const struct account *a, const struct jid *from_whom)
{
	return a->hidden != NULL && (map_get(a->hidden, jid_bare(from_whom)) != NULL
		|| map_get(a->hidden, jid_domain(from_whom)) != NULL);
}

static void hidden_free(struct account *a)
{
	struct map_entry *e;

	if (a->hidden == NULL)
		return;
	for (size_t at = 0; (e = map_next(a->hidden, &at)) != NULL;)
		free(e->value);
	map_clear(a->hidden);
	free(a->hidden);
}

void account_unload(struct account *a)
{
	struct worker *w = a->worker;

	idle_remove(a);
	a->busy++; /* the modules' last calls come and go: it does not become idle by that */
	if (a->state == ACCOUNT_READY || a->deleted)
		modules_event(w, STERNA_ACCOUNT_UNLOADED, a, NULL, NULL);
	map_remove(&w->accounts, jid_bare(a->jid));
	for (unsigned i = 0; i < a->slot_count; i++)
		free(a->slots[i]);
	free(a->slots);
	free(a->last_status);
	roster_clear(&a->roster);
	timer_cancel(&a->again);
	offline_unload(a);
	origin_unload(a);
	hidden_free(a);
	jid_unref(&a->jid);
	free(a);
}

void account_deleted(struct account *a)
{
	account_hold(a);
	while (a->sessions != NULL)
		session_kick(a->sessions, "not-authorized", "the account was removed");
	a->state = ACCOUNT_ABSENT;
	a->deleted = true;
	farewell_look(a->worker);
	account_release(a);
}

void account_trim(struct worker *w)
{
	/* What is not there (absent, failed) is not worth remembering for long: it may be there by now. */
	for (struct account *a = w->idle_first, *next; a != NULL; a = next) {
		next = a->idle_next;
		if (a->state != ACCOUNT_READY || w->idle_count > IDLE_MAX)
			account_unload(a);
	}
}

void *account_slot(struct account *a, const struct module_slot *m)
{
	if (m->m->account_size == 0)
		return NULL;
	if (m->index >= a->slot_count) {
		a->slots = xrealloc(a->slots, (m->index + 1) * sizeof(void *));
		while (a->slot_count <= m->index)
			a->slots[a->slot_count++] = NULL;
	}
	if (a->slots[m->index] == NULL)
		a->slots[m->index] = xalloc(m->m->account_size);
	return a->slots[m->index];
}

/* --- loading --- */

bool account_when(struct account *a, struct sterna_call *c, void (*fn)(struct sterna_call *c))
{
	if (a->state != ACCOUNT_LOADING && a->waiting == NULL) {
		fn(c);
		return true;
	}
	/* Of all accounts together, too: while the database is away every address is one more to be loaded. */
	if (a->waiting_count >= WAITING_MAX || (!c->impatient && a->worker->waiting >= WAITING_ALL_MAX))
		return false;
	c->ready = fn;
	c->next = NULL;
	*a->waiting_end = c;
	a->waiting_end = &c->next;
	a->waiting_count++;
	a->worker->waiting++;
	return true;
}

static void run_waiting(struct account *a)
{
	account_hold(a);
	while (a->waiting != NULL) {
		struct sterna_call *c = a->waiting;

		a->waiting = c->next;
		if (a->waiting == NULL)
			a->waiting_end = &a->waiting;
		a->waiting_count--;
		a->worker->waiting--;
		c->next = NULL;
		c->ready(c);
	}
	account_release(a);
}

static void load(struct account *a);

static void on_load_again(struct timer *t, void *arg)
{
	(void)t;
	load(arg);
}

/* Half of what is stored is worse than nothing. */
static void forget_loaded(struct account *a)
{
	a->busy++; /* the modules' calls come and go: it does not become idle by that */
	while (a->sessions != NULL)
		session_drop(a->sessions);
	modules_event(a->worker, STERNA_ACCOUNT_UNLOADED, a, NULL, NULL);
	a->busy--;
	for (unsigned i = 0; i < a->slot_count; i++)
		free(a->slots[i]);
	free(a->slots);
	a->slots = NULL;
	a->slot_count = 0;
	roster_clear(&a->roster);
	map_init(&a->roster.items, a->worker->accounts.k0, a->worker->accounts.k1);
	free(a->last_status);
	a->last_status = NULL;
	a->offline_count = 0;
}

/* A login is told; stanzas wait on, as their acks do: what was promised to nobody need not be refused. */
static void load_later(struct account *a)
{
	struct sterna_call *all = a->waiting, *next;

	a->waiting = NULL;
	a->waiting_end = &a->waiting;
	a->waiting_count = 0;
	account_hold(a);
	a->state = ACCOUNT_FAILED;
	for (struct sterna_call *c = all; c != NULL; c = next) {
		next = c->next;
		c->next = NULL;
		if (c->impatient) {
			a->worker->waiting--;
			c->ready(c);
		} else {
			*a->waiting_end = c;
			a->waiting_end = &c->next;
			a->waiting_count++;
		}
	}
	a->state = ACCOUNT_LOADING;
	a->reads = 1; /* not idle */
	timer_set(&a->again, LOAD_AGAIN_US);
	account_release(a);
}

static void loaded(struct account *a, enum account_state state)
{
	if (state == ACCOUNT_FAILED)
		forget_loaded(a);
	if (state == ACCOUNT_FAILED && a->away && !a->worker->stopping) {
		load_later(a);
		return;
	}
	a->state = state;
	if (state == ACCOUNT_READY)
		modules_event(a->worker, STERNA_ACCOUNT_LOADED, a, NULL, NULL);
	/* It was being delivered when the process died: what comes now waits behind it again. */
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->available && s->priority >= 0)
			offline_deliver(s);
	run_waiting(a);
}

static void read_done(struct account *a, enum sterna_result rc)
{
	a->load_failed |= rc != STERNA_OK;
	a->away |= rc == STERNA_EUNAVAILABLE;
	if (--a->reads > 0)
		return;
	loaded(a, a->load_failed ? ACCOUNT_FAILED : ACCOUNT_READY);
}

static struct account *one_that_waits(struct worker *w)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;)
		if (timer_is_set(&((struct account *)e->value)->again))
			return e->value;
	return NULL;
}

void account_give_up(struct worker *w)
{
	for (struct account *a; (a = one_that_waits(w)) != NULL;) {
		timer_cancel(&a->again);
		a->reads = 0;
		loaded(a, ACCOUNT_FAILED);
	}
}

static void on_roster(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct account *a = arg;

	if (rc == STERNA_OK)
		roster_load(&a->roster, rows);
	read_done(a, rc);
}

static void on_offline(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct account *a = arg;

	if (rc == STERNA_OK && db_rows_count(rows) > 0)
		a->offline_count += (unsigned)db_int(rows, 0, 0);
	read_done(a, rc);
}

static void on_sm(struct account *a, enum sterna_result rc)
{
	read_done(a, rc);
}

static void on_module_rows(struct account *a, const struct module_slot *m, const struct sterna_account_read *r,
	const struct db_rows *rows)
{
	struct stanza *none = stanza_make("presence", NULL, NULL, NULL, NULL);
	struct sterna_call *c = call_new(a->worker, &none);

	call_set_account(c, a);
	c->module = m;
	call_with_rows(c, r->stmt, rows, r->fn);
	call_finish(c); /* what it writes or sends is not lost */
}

struct module_read {
	struct account *account;
	struct registry *registry;
	const struct module_slot *slot;
	const struct sterna_account_read *read;
	bool late;                       /* the account was there before the module */
};

static void on_module_read(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct module_read *r = arg;
	struct account *a = r->account;

	if (rc == STERNA_OK)
		on_module_rows(a, r->slot, r->read, rows);
	if (r->late && rc == STERNA_OK)
		module_event_one(a->worker, r->slot, STERNA_ACCOUNT_LOADED, a, NULL);
	const bool late = r->late;

	registry_unref(&r->registry);
	free(r);
	if (late)
		account_release(a);
	else
		read_done(a, rc);
}

static void read_module(struct account *a, const struct module_slot *slot, const struct sterna_account_read *read,
	bool late)
{
	const struct db_value owner = db_text(jid_bare(a->jid));
	struct module_read *m = xalloc(sizeof *m);

	*m = (struct module_read){ a, registry_ref(a->worker->registry), slot, read, late };
	db_read(a->worker->db, read->stmt, &owner, on_module_read, m);
}

void account_meet_module(struct account *a, const struct module_slot *slot)
{
	const struct sterna_account_read *r = slot->m->account_reads;

	if (a->state != ACCOUNT_READY || a->anonymous)
		return;
	if (r == NULL || r->stmt == NULL)
		module_event_one(a->worker, slot, STERNA_ACCOUNT_LOADED, a, NULL);
	for (; r != NULL && r->stmt != NULL; r++) {
		account_hold(a);
		read_module(a, slot, r, true);
	}
}

static void read_modules(struct account *a)
{
	struct registry *reg = a->worker->registry;

	for (size_t i = 0; i < reg->module_count; i++) {
		const struct sterna_account_read *r = reg->modules[i]->m->account_reads;

		for (; r != NULL && r->stmt != NULL; r++) {
			a->reads++;
			read_module(a, reg->modules[i], r, false);
		}
	}
}

static void on_account(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct account *a = arg;
	const struct db_value owner = db_text(jid_bare(a->jid));

	a->reads = 0;
	a->away = rc == STERNA_EUNAVAILABLE;
	if (rc != STERNA_OK || db_rows_count(rows) == 0) {
		account_hold(a);
		loaded(a, rc == STERNA_OK ? ACCOUNT_ABSENT : ACCOUNT_FAILED);
		account_release(a); /* now it is idle */
		return;
	}
	const char *status = db_str(rows, 0, 2, NULL);

	a->disabled = db_int(rows, 0, 0) != 0;
	a->last_logout_us = db_int(rows, 0, 1);
	a->last_status = status != NULL ? xstrdup(status) : NULL;
	a->reads = 3;
	db_read(a->worker->db, &roster_select, &owner, on_roster, a);
	db_read(a->worker->db, &offline_count, &owner, on_offline, a);
	sm_load(a, on_sm);
	read_modules(a);
}

static struct account *make(struct worker *w, const struct jid *j)
{
	struct account *a = xalloc(sizeof *a);

	a->worker = w;
	a->jid = jid_to_bare(j);
	a->host = server_host(w->server, jid_domain(j));
	a->known_us = loop_wall_us(w->loop);
	a->waiting_end = &a->waiting;
	timer_init(&a->again, w->loop, on_load_again, a);
	map_init(&a->roster.items, w->accounts.k0, w->accounts.k1);
	map_put(&w->accounts, jid_bare(a->jid), a);
	return a;
}

static void load(struct account *a)
{
	const struct db_value owner = db_text(jid_bare(a->jid));

	a->state = ACCOUNT_LOADING;
	a->load_failed = false;
	a->reads = 1;
	db_read(a->worker->db, &account_select, &owner, on_account, a);
}

struct account *account_get(struct worker *w, const struct jid *j)
{
	struct account *a = map_get(&w->accounts, jid_bare(j));

	if (a != NULL && a->is_idle && (a->state == ACCOUNT_ABSENT || a->state == ACCOUNT_FAILED)) {
		account_unload(a); /* ask again */
		a = NULL;
	}
	if (a != NULL)
		return a;
	a = make(w, j);
	load(a);
	return a;
}

struct account *account_make_anonymous(struct worker *w, const struct jid *j)
{
	struct account *a = make(w, j);

	a->anonymous = true;
	a->state = ACCOUNT_READY;
	modules_event(w, STERNA_ACCOUNT_LOADED, a, NULL, NULL);
	return a;
}

void account_save_last(struct account *a)
{
	static const struct db_stmt put = {
		.name = "account_last", .params = "tit",
		.sql = "UPDATE account SET last_logout = $2, last_status = $3 WHERE jid = $1",
	};
	struct db_batch *b = db_batch_new(a->worker->db);

	db_batch_add(b, &put, (const struct db_value[]){ db_text(jid_bare(a->jid)), DB_INT(a->last_logout_us),
		db_text(a->last_status) });
	db_batch_commit(&b, NULL, NULL);
}
