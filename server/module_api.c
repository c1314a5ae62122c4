/* module_api.c - module.h's functions on the core's structs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/call.h"
#include "server/datetime.h"
#include "server/presence.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/s2s.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/stream.h"

const void *sterna_config(struct sterna_call *c)
{
	return atomic_load(&c->module->config);
}

time_t sterna_now(struct sterna_call *c)
{
	return (time_t)(loop_wall_us(c->worker->loop) / 1000000);
}

int64_t sterna_now_us(struct sterna_call *c)
{
	return loop_wall_us(c->worker->loop);
}

void sterna_random(struct sterna_call *c, void *out, size_t n)
{
	loop_random(c->worker->loop, out, n);
}

char *sterna_stamp(time_t t, char stamp[STERNA_STAMP_LEN])
{
	datetime_format((int64_t)t * 1000000, stamp);
	return stamp;
}

enum sterna_result sterna_parse_stamp(const char *text, int64_t *us)
{
	return datetime_parse(text, strlen(text), us);
}

char *sterna_stamp_us(int64_t us, char stamp[STERNA_STAMP_LEN])
{
	datetime_format_us(us, stamp);
	return stamp;
}

/* --- slots --- */

void *sterna_worker_slot(struct sterna_call *c)
{
	struct worker *w = c->worker;
	const struct module_slot *m = c->module;

	if (m->m->worker_size == 0 || m->index >= w->slot_count)
		return NULL;
	if (w->slots[m->index] == NULL)
		w->slots[m->index] = xalloc(m->m->worker_size);
	return w->slots[m->index];
}

void *sterna_account_slot(struct sterna_call *c)
{
	return c->account != NULL ? account_slot(c->account, c->module) : NULL;
}

void *sterna_session_slot(struct sterna_call *c)
{
	struct sterna_session *s = sterna_session(c);

	return s != NULL ? session_slot(s, c->module) : NULL;
}

void *sterna_slot_of(struct sterna_call *c, struct sterna_session *s)
{
	return session_slot(s, c->module);
}

/* --- the stanza --- */

enum sterna_kind sterna_kind(struct sterna_call *c)
{
	return c->stanza->kind;
}

const char *sterna_type(struct sterna_call *c)
{
	return stanza_type_text(c->stanza);
}

struct sterna_elem *sterna_stanza(struct sterna_call *c)
{
	return c->stanza->elem;
}

struct sterna_elem *sterna_payload(struct sterna_call *c)
{
	return elem_first(c->stanza->elem);
}

const struct jid *sterna_from(struct sterna_call *c)
{
	return c->stanza->from;
}

const struct jid *sterna_to(struct sterna_call *c)
{
	return c->send_to != NULL ? c->send_to : c->stanza->to;
}

const char *sterna_id(struct sterna_call *c)
{
	return stanza_id(c->stanza);
}

uint64_t sterna_trace(struct sterna_call *c)
{
	return c->trace;
}

/* --- whose turn --- */

const char *sterna_owner(struct sterna_call *c)
{
	return c->account != NULL ? jid_bare(c->account->jid) : sterna_host(c);
}

const struct jid *sterna_owner_jid(struct sterna_call *c)
{
	return c->account != NULL ? c->account->jid : c->host != NULL ? c->host->jid : NULL;
}

const char *sterna_host(struct sterna_call *c)
{
	return c->host != NULL ? jid_full(c->host->jid) : NULL;
}

bool sterna_is_own(struct sterna_call *c)
{
	return c->account != NULL && c->stanza->from != NULL && jid_bare_equal(c->stanza->from, c->account->jid);
}

/* An IQ to the own account has come the whole way: its session is found by the full JID it came from. */
struct sterna_session *sterna_session(struct sterna_call *c)
{
	if (c->target != NULL)
		return c->target;
	if (c->session != NULL)
		return c->session;
	if (c->side == SIDE_IN && sterna_is_own(c) && jid_resource(c->stanza->from) != NULL)
		return account_session(c->account, jid_resource(c->stanza->from));
	return NULL;
}

const struct jid *sterna_session_jid(struct sterna_session *s)
{
	return s->jid;
}

bool sterna_session_is_available(struct sterna_session *s)
{
	return s->available;
}

bool sterna_session_is_connected(struct sterna_session *s)
{
	return s->stream != NULL && !s->gone;
}

void sterna_session_counts(struct sterna_session *s, uint32_t *sent, uint32_t *acked)
{
	sm_counts(s, sent, acked);
}

int sterna_session_priority(struct sterna_session *s)
{
	return s->priority;
}

struct sterna_elem *sterna_session_presence(struct sterna_session *s)
{
	return s->presence != NULL ? s->presence->elem : NULL;
}

struct sterna_session *sterna_next_session(struct sterna_call *c, struct sterna_session *s)
{
	if (c->account == NULL)
		return NULL;
	return s == NULL ? c->account->sessions : s->next;
}

bool sterna_is_target(struct sterna_call *c, struct sterna_session *s)
{
	if (c->send_to != NULL) /* what goes to many has one of this account here */
		return jid_resource(c->send_to) != NULL && strcmp(jid_resource(c->send_to), jid_resource(s->jid)) == 0;
	for (size_t i = 0; i < c->target_count; i++)
		if (c->targets[i] == s)
			return true;
	return false;
}

bool sterna_may_see(struct sterna_call *c, const struct jid *contact)
{
	return c->account != NULL && (jid_bare_equal(contact, c->account->jid)
		|| roster_has_from(&c->account->roster, jid_bare(contact)));
}

bool sterna_in_roster(struct sterna_call *c, const struct jid *contact)
{
	const struct roster_item *i = c->account != NULL ? roster_find(&c->account->roster, jid_bare(contact)) : NULL;

	return i != NULL && i->in_roster;
}

bool sterna_has_shown(struct sterna_call *c, const struct jid *other)
{
	const size_t len = strlen(jid_bare(other));
	const struct map_entry *e;

	for (struct sterna_session *s = c->account != NULL ? c->account->sessions : NULL; s != NULL; s = s->next)
		for (size_t at = 0; s->directed != NULL && (e = map_next(s->directed, &at)) != NULL;)
			if (strncmp(e->key, jid_bare(other), len) == 0 && (e->key[len] == '\0' || e->key[len] == '/'))
				return true;
	return false;
}

void sterna_offence(struct sterna_call *c, unsigned weight, const char *what)
{
	s2s_offence(c->worker, jid_domain(sterna_from(c)), weight, what);
}

void sterna_each_contact(struct sterna_call *c, bool from, void (*fn)(struct sterna_call *c,
	const char *contact, void *arg), void *arg)
{
	struct map_entry *e;

	for (size_t at = 0; c->account != NULL && (e = map_next(&c->account->roster.items, &at)) != NULL;) {
		const struct roster_item *i = e->value;

		if (!i->removed && (i->subscription & (from ? SUB_FROM : SUB_TO)) != 0)
			fn(c, i->jid, arg);
	}
}

struct sterna_elem *sterna_roster_item(struct sterna_call *c, const struct jid *contact)
{
	const struct roster_item *i = c->account != NULL ? roster_find(&c->account->roster, jid_bare(contact)) : NULL;
	struct arena *a = call_arena(c);

	return i != NULL && i->in_roster ? roster_write(a, elem_new(a, "query", "jabber:iq:roster"), i) : NULL;
}

int64_t sterna_last_activity(struct sterna_call *c, const char **status)
{
	const struct account *a = c->account;

	*status = NULL;
	if (a == NULL || a->last_logout_us == 0)
		return a != NULL && a->session_count > 0 ? 0 : -1;
	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->available)
			return 0;
	*status = a->last_status;
	return (loop_wall_us(c->worker->loop) - a->last_logout_us) / 1000000;
}

/* --- what stays with a session --- */

void sterna_rest(struct sterna_call *c, enum sterna_rest where, bool rests)
{
	struct sterna_session *s = where == STERNA_REST_SESSION ? sterna_session(c) : NULL;
	uint64_t *mask = where == STERNA_REST_WORKER ? &c->worker->rests
		: where == STERNA_REST_ACCOUNT ? (c->account != NULL ? &c->account->rests : NULL)
		: s != NULL ? &s->rests : NULL;

	if (mask != NULL)
		*mask = rests ? *mask | rest_bit(c->module) : *mask & ~rest_bit(c->module);
}

void sterna_keep(struct sterna_call *c, struct sterna_session *s, const char *key, const char *value)
{
	(void)c;
	if (s->kept == NULL && value != NULL)
		s->kept = json_object();
	if (value != NULL)
		json_object_set_new(s->kept, key, json_string(value));
	else if (s->kept != NULL)
		json_object_del(s->kept, key);
	sm_save(s);
}

const char *sterna_kept(const struct sterna_session *s, const char *key)
{
	return s->kept != NULL ? json_string_value(json_object_get(s->kept, key)) : NULL;
}

void sterna_catches_up(struct sterna_call *c, int64_t id)
{
	struct sterna_session *s = sterna_session(c);

	if (s != NULL && id > s->read_up_to)
		s->read_up_to = id;
}

/* --- answers --- */

static void reply_with(struct sterna_call *c, struct stanza **st)
{
	c->replied = true;
	call_after(c, st, NULL);
}

enum sterna_verdict sterna_reply(struct sterna_call *c, struct sterna_elem *payload)
{
	struct stanza *r = stanza_result(c->stanza);

	if (payload != NULL)
		elem_append(r->elem, elem_copy(r->arena, payload));
	reply_with(c, &r);
	return STERNA_DONE;
}

enum sterna_verdict sterna_reject_elem(struct sterna_call *c, enum sterna_condition condition, const char *text,
	const struct sterna_elem *app, const struct sterna_elem *payload)
{
	c->error.condition = condition;
	c->error.text = text != NULL ? arena_strndup(call_arena(c), text, strlen(text)) : NULL; /* options go with a reload */
	c->error.app = app;
	c->error.payload = payload;
	c->error.where = NULL;
	return STERNA_REJECT;
}

enum sterna_verdict sterna_reject_with(struct sterna_call *c, enum sterna_condition condition, const char *text,
	const char *name, const char *ns)
{
	return sterna_reject_elem(c, condition, text, name != NULL ? sterna_elem(c, name, ns) : NULL, NULL);
}

enum sterna_verdict sterna_reject(struct sterna_call *c, enum sterna_condition condition, const char *text)
{
	return sterna_reject_elem(c, condition, text, NULL, NULL);
}

enum sterna_verdict sterna_reject_to(struct sterna_call *c, enum sterna_condition condition, const char *where)
{
	sterna_reject_elem(c, condition, NULL, NULL, NULL);
	c->error.where = where != NULL ? arena_strndup(call_arena(c), where, strlen(where)) : NULL;
	return STERNA_REJECT;
}

struct sterna_elem *sterna_error(struct sterna_call *c, enum sterna_condition condition, const char *text)
{
	struct stanza *st = stanza_error(c->stanza, condition, text, NULL, NULL);
	struct sterna_elem *e = st != NULL ? elem_copy(call_arena(c), st->elem) : NULL;

	stanza_unref(&st);
	return e;
}

/* --- sending --- */

static struct stanza *as_stanza(struct sterna_call *c, struct sterna_elem *e)
{
	struct arena *a = arena_new(1024);
	struct stanza *st = NULL;

	if (stanza_new(&a, elem_copy(a, e), &st) != STERNA_OK) {
		log_error("module", "tried to send what is no stanza", "module", c->module->m->name);
		arena_free(&a);
		return NULL;
	}
	st->trace = c->trace;
	return st;
}

void sterna_send(struct sterna_call *c, struct sterna_elem *stanza)
{
	struct stanza *st = as_stanza(c, stanza);

	if (st != NULL)
		call_after(c, &st, NULL);
}

void sterna_send_to(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza)
{
	struct stanza *st = as_stanza(c, stanza);

	if (st != NULL)
		call_after(c, &st, s);
}

void sterna_send_raw(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *e)
{
	struct after *a;

	call_after(c, NULL, s);
	for (a = c->after; a->next != NULL; a = a->next)
		;
	a->raw = elem_copy(call_arena(c), e);
}

void sterna_release(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza)
{
	struct stanza *st = as_stanza(c, stanza);

	if (st != NULL)
		session_send_now(s, st, NULL, 0);
	stanza_unref(&st);
}

void sterna_show_presence(struct sterna_call *c, const struct jid *to, bool show)
{
	if (c->account == NULL)
		return;
	if (show)
		presence_show(c->account, to);
	else
		presence_hide(c->account, to);
}

/* --- storage --- */

static struct db_value *values(struct sterna_call *c, const struct db_stmt *stmt, va_list ap)
{
	const size_t n = strlen(stmt->params);
	struct db_value *v = arena_zalloc(call_arena(c), (n > 0 ? n : 1) * sizeof *v);

	for (size_t i = 0; i < n; i++) {
		switch (stmt->params[i]) {
		case 't':
			v[i] = db_text(va_arg(ap, const char *));
			break;
		case 'i':
			v[i] = DB_INT(va_arg(ap, int64_t));
			break;
		default: {
			const void *p = va_arg(ap, const void *);

			v[i] = DB_BLOB(p, va_arg(ap, size_t));
		}
		}
	}
	return v;
}

void sterna_write(struct sterna_call *c, const struct db_stmt *stmt, ...)
{
	va_list ap;

	if (c->account != NULL && c->account->anonymous)
		return; /* nothing of it is stored */
	if (c->worker->db == NULL)
		return; /* the server has ended; sessions stay in storage as they are */
	va_start(ap, stmt);
	db_batch_add(call_batch(c), stmt, values(c, stmt, ap));
	va_end(ap);
}

/* Integers as digits, so that text[] is all that a simple module needs. */
static struct sterna_rows *rows_of(struct sterna_call *c, const struct db_stmt *stmt, const struct db_rows *db)
{
	struct sterna_rows *r = arena_zalloc(call_arena(c), sizeof *r);
	const size_t columns = stmt->columns != NULL ? strlen(stmt->columns) : 0;

	r->db = db;
	r->columns = columns;
	r->count = db != NULL ? db_rows_count(db) : 0;
	const char **text = arena_zalloc(call_arena(c), (r->count * columns + 1) * sizeof(char *));

	for (size_t i = 0; i < r->count * columns; i++) {
		const size_t row = i / columns, col = i % columns;

		if (db_is_null(db, row, col))
			continue;
		text[i] = stmt->columns[col] == 'i' ? sterna_printf(c, "%lld", (long long)db_int(db, row, col))
			: db_str(db, row, col, NULL);
	}
	r->text = text;
	return r;
}

void call_with_rows(struct sterna_call *c, const struct db_stmt *stmt, const struct db_rows *db,
	void (*fn)(struct sterna_call *c, const struct sterna_rows *rows))
{
	fn(c, rows_of(c, stmt, db));
}

static void on_read(void *arg, enum sterna_result rc, const struct db_rows *db)
{
	struct sterna_call *c = arg;

	if (c->reader != NULL) {
		if (--c->reader->reading == 0 && c->reader->stream != NULL)
			stream_release(c->reader->stream, HOLD_READS);
		session_unref(&c->reader);
	}
	call_resume(c, c->on_rows(c, rc, rows_of(c, c->read_stmt, rc == STERNA_OK ? db : NULL)));
}

static void read_now(struct sterna_call *c)
{
	db_read(c->worker->db, c->read_stmt, c->read_values, on_read, c);
}

enum sterna_verdict sterna_read(struct sterna_call *c, sterna_rows_fn *fn, const struct db_stmt *stmt, ...)
{
	struct sterna_session *s = sterna_session(c);
	va_list ap;

	va_start(ap, stmt);
	c->read_values = values(c, stmt, ap);
	va_end(ap);
	c->on_rows = fn;
	c->read_stmt = stmt;
	if (s != NULL) {
		c->reader = session_ref(s);
		s->reading++;
	}
	/* What this session has sent before may be on its way to storage through another worker: it is read
	 * when that is settled, so that everyone reads what they wrote. */
	if (s != NULL && !s->gone && c->side == SIDE_IN && !session_may_read(s, c)) {
		c->ready = read_now;
		c->next = NULL;
		*s->reads_end = c;
		s->reads_end = &c->next;
	} else {
		read_now(c);
	}
	return STERNA_WAIT;
}

void sterna_set_data(struct sterna_call *c, void *data)
{
	c->data = data;
}

void *sterna_data(struct sterna_call *c)
{
	return c->data;
}

void *sterna_alloc(struct sterna_call *c, size_t size)
{
	return arena_zalloc(call_arena(c), size);
}

/* --- archive --- */

void sterna_mark(struct sterna_call *c, unsigned marks)
{
	c->marks |= marks;
}

unsigned sterna_marks(struct sterna_call *c)
{
	return c->marks;
}

int64_t sterna_archive_id(struct sterna_call *c)
{
	return c->account != NULL && (c->marks & STERNA_ARCHIVE) != 0
		&& (c->marks & (STERNA_NO_ARCHIVE | STERNA_NO_STORE)) == 0 ? archive_id(c) : 0;
}

/* --- discovery --- */

void sterna_each_feature(struct sterna_call *c, unsigned scope, void (*fn)(void *arg, const char *ns), void *arg)
{
	for (size_t i = 0; i < c->registry->module_count; i++)
		for (const struct sterna_feature *f = c->registry->modules[i]->m->features; f != NULL && f->ns != NULL; f++)
			if ((f->scope & scope) != 0)
				fn(arg, f->ns);
}

void sterna_each_identity(struct sterna_call *c, unsigned scope,
	void (*fn)(void *arg, const struct sterna_identity *i), void *arg)
{
	for (size_t i = 0; i < c->registry->module_count; i++)
		for (const struct sterna_identity *d = c->registry->modules[i]->m->identities;
			d != NULL && d->category != NULL; d++)
			if ((d->scope & scope) != 0)
				fn(arg, d);
}

void sterna_run_disco(struct sterna_call *c, unsigned scope, struct sterna_elem *query)
{
	const struct module_slot *was = c->module;

	for (size_t i = 0; i < c->registry->module_count; i++)
		for (const struct sterna_disco *d = c->registry->modules[i]->m->disco; d != NULL && d->fn != NULL; d++)
			if ((d->scope & scope) != 0) {
				c->module = c->registry->modules[i];
				d->fn(c, query);
			}
	c->module = was;
}

void sterna_run_stop(struct sterna_call *c, const char *name, void *arg)
{
	const struct module_slot *was = c->module;

	for (size_t i = 0; i < c->registry->module_count; i++)
		for (const struct sterna_stop *s = c->registry->modules[i]->m->stops; s != NULL && s->name != NULL; s++)
			if (strcmp(s->name, name) == 0) {
				c->module = c->registry->modules[i];
				s->fn(c, arg);
			}
	c->module = was;
}

const char *sterna_item(struct sterna_call *c, size_t index)
{
	const struct server *s = c->worker->server;

	for (size_t i = 0; i < s->host_count; i++)
		if (s->host_list[i]->kind != HOST_USERS && index-- == 0)
			return jid_full(s->host_list[i]->jid);
	return NULL;
}

void sterna_count(struct sterna_call *c, unsigned metric, uint64_t n)
{
	if (c->module->metrics != NULL)
		metric_add(c->module->metrics, c->worker->index, metric, 0, (int64_t)n);
}

/* --- loading --- */

const void *sterna_mod_config(struct sterna_mod *m)
{
	return atomic_load(&m->slot->config);
}

const void *sterna_mod_hold_config(struct sterna_mod *m)
{
	return module_options_hold(m->slot);
}

void sterna_mod_let_config(struct sterna_mod *m, const void *config)
{
	(void)m;
	module_options_let(config);
}

void *sterna_mod_data(struct sterna_mod *m)
{
	return m->data;
}

void sterna_mod_set_data(struct sterna_mod *m, void *data)
{
	m->data = data;
}

void sterna_mod_count(struct sterna_mod *m, unsigned metric, unsigned label, int64_t n)
{
	if (m->slot->metrics != NULL)
		metric_add(m->slot->metrics, metrics_workers(m->server->metrics), metric, label, n);
}

void sterna_provide(struct sterna_mod *m, const char *name, unsigned version, const void *functions)
{
	if (m->provide_count == sizeof m->provides / sizeof *m->provides) {
		log_error("module", "offers too many interfaces", "module", m->slot->m->name);
		return;
	}
	m->provides[m->provide_count].name = name;
	m->provides[m->provide_count].version = version;
	m->provides[m->provide_count++].functions = functions;
}

const void *sterna_use(struct sterna_mod *m, const char *name, unsigned version)
{
	const struct registry *r = m->server->registry;

	for (size_t i = 0; r != NULL && i < r->module_count; i++) {
		const struct sterna_mod *o = r->modules[i]->mod;

		for (unsigned p = 0; p < o->provide_count; p++)
			if (strcmp(o->provides[p].name, name) == 0 && o->provides[p].version == version)
				return o->provides[p].functions;
	}
	return NULL;
}

void sterna_metrics_write(struct sterna_mod *m, struct buf *out)
{
	metrics_write(m->server->metrics, out);
}

char *sterna_printf(struct sterna_call *c, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	const int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	char *out = arena_strndup(call_arena(c), text, (size_t)n);

	free(text);
	return out;
}
