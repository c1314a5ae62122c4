/* audit.c - events go to the modules that listen, with the call whose batch they commit with. */
#include "server/audit.h"
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/registry.h"
#include "server/user_impl.h"

static void tell(struct sterna_call *c, const struct sterna_audit_event *e)
{
	const struct module_slot *was = c->module;

	for (size_t i = 0; i < c->registry->auditor_count; i++) {
		c->module = c->registry->auditors[i];
		c->module->m->audit(c, e);
	}
	c->module = was;
}

bool sterna_is_audited(struct sterna_call *c)
{
	return c->registry->auditor_count > 0;
}

void sterna_audit(struct sterna_call *c, const char *type, const char *subject, const struct sterna_datum *data)
{
	if (c->registry->auditor_count > 0)
		tell(c, &(struct sterna_audit_event){ type, subject, c->host != NULL ? jid_full(c->host->jid) : NULL, data });
}

void audit_note(struct worker *w, struct host *host, const char *type, const char *subject, const struct sterna_datum *data)
{
	struct stanza *none;
	struct sterna_call *c;

	if (w->registry->auditor_count == 0)
		return;
	none = stanza_make("iq", "set", NULL, NULL, NULL);
	c = call_new(w, &none);
	c->side = SIDE_NONE;
	c->host = host;
	sterna_audit(c, type, subject, data);
	call_finish(c);
}

bool audit_is_on(const struct server *s)
{
	return s->registry != NULL && s->registry->auditor_count > 0;
}

/* --- from other threads --- */

enum { COPIED_MAX = 16 };

struct posted {
	struct arena *arena;
	const char *type, *subject, *host;
	struct sterna_datum data[COPIED_MAX + 1];
};

static const char *copy(struct arena *a, const char *text)
{
	return text != NULL ? arena_strndup(a, text, strlen(text)) : NULL;
}

static void on_posted(struct worker *w, void *arg)
{
	struct posted *p = arg;
	struct arena *a = p->arena;

	audit_note(w, p->host != NULL ? server_host(w->server, p->host) : w->server->host_list[0], p->type, p->subject, p->data);
	arena_free(&a);
}

void audit_post(struct server *s, const char *host, const char *type, const char *subject, const struct sterna_datum *data)
{
	struct arena *a;
	struct posted *p;
	struct jid *j = NULL;

	if (!s->running || !audit_is_on(s))
		return;
	a = arena_new(1024);
	p = arena_zalloc(a, sizeof *p);
	p->arena = a;
	p->type = copy(a, type);
	p->subject = copy(a, subject);
	p->host = copy(a, host);
	for (size_t i = 0; data != NULL && data[i].name != NULL && i < COPIED_MAX; i++) {
		p->data[i] = data[i];
		p->data[i].name = copy(a, data[i].name);
		p->data[i].text = copy(a, data[i].text);
	}
	if (subject != NULL && jid_parse(subject, strlen(subject), &j) != STERNA_OK)
		j = NULL;
	worker_post(j != NULL ? server_owner(s, j) : s->workers[0], on_posted, p);
	jid_unref(&j);
}

/* --- what module.h offers to those that listen --- */

const char *sterna_refused(struct sterna_call *c)
{
	return c->refused != 0 ? condition_name(c->refused) : NULL;
}

const char *sterna_refused_by(struct sterna_call *c)
{
	return c->refused_by;
}

const char *sterna_stanza_text(struct sterna_call *c, size_t *len)
{
	struct buf text = BUF_INIT;
	const char *out;

	stanza_write_stored(&text, c->stanza);
	*len = buf_len(&text);
	out = arena_strndup(call_arena(c), buf_data(&text), *len);
	buf_release(&text);
	return out;
}

int64_t sterna_unique_id(struct sterna_call *c)
{
	return worker_next_id(c->worker);
}

/* The storage of a thread of a module: what tools have too. */
struct sterna_storage *sterna_storage_open(struct sterna_mod *m)
{
	struct users *u = NULL;

	if (users_new(&(struct users_options){ .db = m->server->db }, &u) != STERNA_OK)
		return NULL;
	return (struct sterna_storage *)u;
}

enum sterna_result sterna_storage_read(struct sterna_storage *s, const struct db_stmt *stmt, const struct db_value *values,
	void (*fn)(void *arg, const struct db_rows *rows), void *arg)
{
	return users_read((struct users *)s, stmt, values, fn, arg);
}

enum sterna_result sterna_storage_write(struct sterna_storage *s, const struct db_stmt *stmt, const struct db_value *values)
{
	struct db_batch *b = users_batch((struct users *)s);

	db_batch_add(b, stmt, values);
	return users_commit((struct users *)s, &b);
}

void sterna_storage_close(struct sterna_storage **s)
{
	struct users *u = (struct users *)*s;

	*s = NULL;
	users_free(&u);
}
