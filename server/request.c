/* request.c - a command's way: found, checked, run, answered; how workers and the helper thread are asked. */
#include "server/request.h"
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "server/approval.h"
#include "server/registry.h"
#include "server/request_check.h"
#include "server/work.h"

enum { REQUESTS_MAX = 256, STORAGE_WAIT_MS = 20000 };

struct admin {
	struct daemon *daemon;
	struct roles *roles;
	struct work_pool *helper;            /* one thread: commands that block do so one after the other */
	struct request *requests;
	unsigned count, parts;               /* parts: with workers */
	bool stopping;
	pthread_mutex_t lock;                /* of closed */
	bool closed;
};

struct request_part {
	struct mail mail;                    /* home */
	struct request *request;
	request_part_fn *fn;
	unsigned index;
	bool waits, running, done;           /* running: its fn stands in it, and may be done with it within */
	json_t *found;
};

struct roles *admin_roles(struct admin *a)
{
	return a->roles;
}

/* --- the end --- */

static void secrets_clear(json_t *args)
{
	const char *key;
	json_t *value;

	json_object_foreach(args, key, value)
		if (json_is_string(value) && strstr(key, "password") != NULL)
			OPENSSL_cleanse((void *)(uintptr_t)json_string_value(value), json_string_length(value));
}

static void request_free(struct request *r)
{
	struct admin *a = r->admin;

	*(r->prev != NULL ? &r->prev->next : &a->requests) = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	a->count--;
	for (unsigned i = 0; i < r->asked; i++)
		json_decref(r->parts[i]);
	free(r->parts);
	free(r->data);
	secrets_clear(r->args);
	json_decref(r->args);
	json_decref(r->shown);
	json_decref(r->found);
	free(r->name);
	free(r->who);
	free(r->host);
	free(r->approved_by);
	free(r->token);
	free(r->scopes);
	free(r->text);
	free(r->field);
	free(r);
}

static void finish(struct request *r, const struct sterna_outcome *o)
{
	if (r->kind == REQUEST_RUN || (o->code != NULL && strcmp(o->code, "forbidden") == 0))
		request_record(r, o);
	r->done(r->arg, o);
	request_free(r);
}

void request_answer(struct request *r, json_t *result)
{
	finish(r, &(struct sterna_outcome){ .result = result });
	json_decref(result);
}

static void note(struct request *r, const char *code, const char *field, const char *fmt, va_list ap)
{
	char text[1024];

	if (r->code[0] != '\0')
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	snprintf(r->code, sizeof r->code, "%s", code);
	r->text = xstrdup(text);
	r->field = field != NULL ? xstrdup(field) : NULL;
}

void request_note(struct request *r, const char *code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(r, code, field, fmt, ap);
	va_end(ap);
}

void request_end(struct request *r)
{
	finish(r, &(struct sterna_outcome){ .code = r->code[0] != '\0' ? r->code : NULL, .field = r->field, .text = r->text,
		.result = r->code[0] == '\0' ? r->found : NULL });
}

void request_refuse(struct request *r, const char *code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(r, code, field, fmt, ap);
	va_end(ap);
	request_end(r);
}

/* --- arguments --- */

const char *request_arg_at(const struct request *r, const char *field, size_t index)
{
	const json_t *v = json_object_get(r->args, field);

	if (json_is_array(v))
		return json_string_value(json_array_get(v, index));
	return index == 0 ? json_string_value(v) : NULL;
}

const char *request_arg(const struct request *r, const char *field)
{
	return request_arg_at(r, field, 0);
}

struct worker *request_owner(struct request *r, const char *field)
{
	const char *text = request_arg(r, field);
	struct jid *j = NULL;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK || jid_local(j) == NULL) {
		jid_unref(&j);
		request_refuse(r, "usage", field, "'%s' is no address of an account or session", text != NULL ? text : "");
		return NULL;
	}
	r->data = j;
	return server_owner(r->daemon->server, j);
}

struct jid *request_take_jid(struct request *r)
{
	struct jid *j = r->data;

	r->data = NULL;
	return j;
}

/* --- workers --- */

static void part_home(struct mail *m, struct loop *l)
{
	struct request_part *p = (struct request_part *)m;
	struct request *r = p->request;
	struct admin *a = r->admin;

	r->parts[p->index] = p->found;
	free(p);
	a->parts--;
	if (--r->left == 0)
		r->gathered(r);
	if (a->stopping && a->parts == 0)
		loop_stop(l);
}

void request_part_wait(struct request_part *p)
{
	p->waits = true;
}

void request_part_done(struct request_part *p, json_t *found)
{
	p->found = found;
	p->done = true;
	if (!p->running)
		loop_post(p->request->daemon->loop, &p->mail);
}

const struct request *request_of(const struct request_part *p)
{
	return p->request;
}

static void part_run(struct worker *w, void *arg)
{
	struct request_part *p = arg;
	p->running = true;
	json_t *found = p->fn(w, p);

	p->running = false;
	if (!p->waits || p->done)
		request_part_done(p, p->done ? p->found : found);
}

void request_gather(struct request *r, struct worker *only, request_part_fn *fn, void (*done)(struct request *r))
{
	const struct server *s = r->daemon->server;

	for (unsigned i = 0; i < r->asked; i++) /* asked before */
		json_decref(r->parts[i]);
	free(r->parts);
	r->asked = r->left = only != NULL ? 1 : s->worker_count;
	r->parts = xalloc(r->asked * sizeof *r->parts);
	r->gathered = done;
	r->admin->parts += r->asked;
	for (unsigned i = 0; i < r->asked; i++) {
		struct request_part *p = xalloc(sizeof *p);

		p->mail.run = part_home;
		p->request = r;
		p->fn = fn;
		p->index = i;
		worker_post(only != NULL ? only : s->workers[i], part_run, p);
	}
}

static void add_numbers(json_t *sum, json_t *part)
{
	const char *key;
	json_t *value;

	json_object_foreach(part, key, value)
		if (json_is_integer(value))
			json_object_set_new(sum, key, json_integer(json_integer_value(json_object_get(sum, key))
				+ json_integer_value(value)));
		else
			json_object_set(sum, key, value);
}

json_t *request_joined(const struct request *r)
{
	json_t *all = NULL;

	for (unsigned i = 0; i < r->asked; i++) {
		json_t *part = r->parts[i];

		if (part == NULL || json_is_null(part))
			continue;
		if (all == NULL)
			all = json_is_array(part) ? json_array() : json_object();
		if (json_is_array(part))
			json_array_extend(all, part);
		else
			add_numbers(all, part);
	}
	return all != NULL ? all : json_null();
}

/* --- the helper thread --- */

struct storage_work {
	struct work work;
	struct request *request;
	struct config *config;       /* held: a reload may come meanwhile */
	void (*run)(struct request *r, struct users *u);
	void (*then)(struct request *r);
};

static void storage_run(struct work *w)
{
	struct storage_work *s = (struct storage_work *)w;
	struct users *u = NULL;

	if (users_new(&(struct users_options){ .db = s->request->daemon->db, .config = s->config, .wait_ms = STORAGE_WAIT_MS }, &u) != STERNA_OK)
		request_note(s->request, "unavailable", NULL, "the system gives no event loop");
	else
		s->run(s->request, u);
	users_free(&u);
}

static void storage_done(struct work *w)
{
	struct storage_work *s = (struct storage_work *)w;

	if (w->cancelled)
		request_note(s->request, "unavailable", NULL, "the server ends");
	if (s->then != NULL && s->request->code[0] == '\0')
		s->then(s->request);
	else
		request_end(s->request);
	config_unref(&s->config);
	free(s);
}

void request_on_storage(struct request *r, void (*run)(struct request *r, struct users *u), void (*then)(struct request *r))
{
	struct storage_work *s = xalloc(sizeof *s);

	work_init(&s->work, r->daemon->loop, storage_run, storage_done);
	s->request = r;
	s->run = run;
	s->then = then;
	s->config = config_ref(r->daemon->config);
	if (work_submit(r->admin->helper, &s->work) == STERNA_OK)
		return;
	config_unref(&s->config);
	free(s);
	request_refuse(r, "unavailable", NULL, "too many commands wait for the storage");
}

bool request_stored(struct request *r, enum sterna_result rc, const char *field, const char *jid)
{
	switch (rc) {
	case STERNA_OK:
		return true;
	case STERNA_ENOTFOUND:
		request_note(r, "not-found", field, "%s: there is no such account", jid);
		break;
	case STERNA_EEXISTS:
		request_note(r, "conflict", field, "%s: the account is there already", jid);
		break;
	case STERNA_EINVAL:
		request_note(r, "usage", "password", "%s: the password is empty, or has characters that are not allowed "
			"(RFC 8265)", jid);
		break;
	case STERNA_ELIMIT:
		request_note(r, "usage", "password", "%s: the password is longer than 1023 bytes", jid);
		break;
	case STERNA_EUNAVAILABLE:
		request_note(r, "unavailable", NULL, "%s: the database cannot be reached; nothing was changed", jid);
		break;
	case STERNA_EUNCERTAIN:
		request_note(r, "unavailable", NULL, "%s: the database was lost in between; it is not known whether this was "
			"done: repeat it", jid);
		break;
	default:
		request_note(r, "failed", NULL, "%s: failed; the log says why", jid);
		break;
	}
	return false;
}

/* --- doors --- */

static struct request *request_new(struct admin *a, const struct ask *ask)
{
	struct request *r = xalloc(sizeof *r);

	r->admin = a;
	r->daemon = a->daemon;
	r->kind = ask->kind;
	r->who = xstrdup(ask->who);
	r->asked_us = loop_wall_us(a->daemon->loop);
	r->door = ask->door;
	r->host = ask->host != NULL ? xstrdup(ask->host) : NULL;
	r->is_local = ask->is_local;
	r->token = ask->token != NULL ? xstrdup(ask->token) : NULL;
	r->scopes = ask->scopes != NULL ? xstrdup(ask->scopes) : NULL;
	r->token_expires_us = ask->token_expires_us;
	r->approved_by = ask->approved_by != NULL ? xstrdup(ask->approved_by) : NULL;
	r->shown = json_object();
	r->args = ask->args != NULL ? ask->args : json_object();
	r->done = ask->done;
	r->arg = ask->arg;
	r->next = a->requests;
	if (r->next != NULL)
		r->next->prev = r;
	a->requests = r;
	a->count++;
	return r;
}

static bool find(const struct admin *a, const struct ask *ask, struct found_command *f, int *used)
{
	const struct server *s = a->daemon->server;

	*used = 0;
	if (ask->node != NULL)
		return command_by_node(s, ask->node, f);
	return command_by_words(s, ask->word, ask->count, f, used);
}

void admin_ask(struct admin *a, const struct ask *ask)
{
	struct request *r = request_new(a, ask);
	struct found_command f = { NULL };
	int used;

	if (a->closed || a->count > REQUESTS_MAX) {
		request_refuse(r, "unavailable", NULL, a->closed ? "the server ends" : "too many commands are under way");
		return;
	}
	if (r->kind == REQUEST_LIST) {
		request_list(r);
		return;
	}
	if (!find(a, ask, &f, &used)) {
		request_refuse(r, "unknown", NULL, "there is no command '%s'", ask->node != NULL ? ask->node : ask->word[0]);
		return;
	}
	r->name = xstrdup(f.c->name);
	r->flags = f.c->flags;
	if (ask->node == NULL && ask->args == NULL && !request_words(r, f.c, ask->word + used, ask->count - used))
		request_end(r);
	else if (!request_check(r, f.c))
		request_end(r);
	else if (r->kind == REQUEST_DESCRIBE)
		request_describe(r, &f);
	else if (r->kind == REQUEST_CHECK)
		request_answer(r, NULL);
	else if (approval_wanted(r))
		approval_keep(r, f.c);
	else if (f.core != NULL)
		f.core->fn(r);
	else
		request_run_module(r, &f, false);
}

bool admin_post(struct admin *a, struct mail *m)
{
	pthread_mutex_lock(&a->lock);
	const bool open = !a->closed;

	if (open)
		loop_post(a->daemon->loop, m);
	pthread_mutex_unlock(&a->lock);
	return open;
}

struct gone {
	struct mail mail;
	struct admin *admin;
	char *jid;
};

static void on_gone(struct mail *m, struct loop *l)
{
	struct gone *g = (struct gone *)m;

	(void)l;
	roles_forget(g->admin->roles, g->jid);
	free(g->jid);
	free(g);
}

void admin_account_gone(struct server *s, const char *jid)
{
	struct gone *g;

	if (s->admin == NULL)
		return;
	g = xalloc(sizeof *g);
	*g = (struct gone){ { .run = on_gone }, s->admin, xstrdup(jid) };
	if (admin_post(s->admin, &g->mail))
		return;
	free(g->jid);
	free(g);
}

/* --- orders of modules --- */

enum { ORDER_WORDS = 8 };

struct order {
	struct mail mail;
	struct admin *admin;
	char *who, *word[ORDER_WORDS];
	int count;
};

static void on_ordered(void *arg, const struct sterna_outcome *o)
{
	(void)arg;
	(void)o; /* the log and the audit have it */
}

static void order_free(struct order *o)
{
	for (int i = 0; i < o->count; i++)
		free(o->word[i]);
	free(o->who);
	free(o);
}

static void on_order(struct mail *m, struct loop *l)
{
	struct order *o = (struct order *)m;

	(void)l;
	if (!o->admin->stopping)
		admin_ask(o->admin, &(struct ask){ .kind = REQUEST_RUN, .door = "module", .who = o->who,
			.word = (const char *const *)o->word, .count = o->count, .is_local = true, .done = on_ordered });
	order_free(o);
}

bool admin_order(struct server *s, const char *who, const char *const *words)
{
	struct order *o;

	if (s->admin == NULL)
		return false;
	o = xalloc(sizeof *o);
	o->mail.run = on_order;
	o->admin = s->admin;
	o->who = xstrdup(who);
	for (; o->count < ORDER_WORDS && words[o->count] != NULL; o->count++)
		o->word[o->count] = xstrdup(words[o->count]);
	if (admin_post(s->admin, &o->mail))
		return true;
	order_free(o);
	return false;
}

bool sterna_order(struct sterna_mod *m, const char *const *words)
{
	char *who = xasprintf("module %s", m->slot->m->name);
	const bool taken = admin_order(m->server, who, words);

	free(who);
	return taken;
}

/* --- life --- */

enum sterna_result admin_start(struct daemon *d, struct admin **out)
{
	struct admin *a = xalloc(sizeof *a);
	enum sterna_result rc = roles_new(d, &a->roles);

	a->daemon = d;
	if (rc == STERNA_OK)
		rc = work_pool_new(1, REQUESTS_MAX, &a->helper);
	if (rc != STERNA_OK) {
		log_error("admin", "administration cannot begin", "result", sterna_result_text(rc));
		roles_free(&a->roles);
		free(a);
		return rc;
	}
	pthread_mutex_init(&a->lock, NULL);
	d->server->admin = a;
	approval_look(d->server, d->config);
	*out = a;
	return STERNA_OK;
}

void admin_stop(struct admin *a)
{
	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	a->closed = true;
	pthread_mutex_unlock(&a->lock);
	work_pool_free(&a->helper); /* what it works on comes to its end; the rest is cancelled */
	a->stopping = true;
	while (a->requests != NULL) {
		(void)loop_drain(a->daemon->loop);
		if (a->parts > 0)
			loop_run(a->daemon->loop);
	}
	(void)loop_drain(a->daemon->loop);
}

void admin_free(struct admin **admin)
{
	struct admin *a = *admin;

	*admin = NULL;
	if (a == NULL)
		return;
	a->daemon->server->admin = NULL;
	roles_free(&a->roles);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
