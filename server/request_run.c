/* request_run.c - commands of modules: on the main thread, or as handlers on workers; and the doors that modules are. */
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/call.h"
#include "server/lane.h"
#include "server/registry.h"
#include "server/request.h"
#include "server/session.h"

/* --- on the main thread --- */

static void run_here(struct request *r, const struct found_command *f)
{
	const char *argv[64];
	struct buf out = BUF_INIT;
	size_t argc = 0;

	if (f->c->fields == NULL)
		for (const char *w; argc < sizeof argv / sizeof *argv && (w = request_arg_at(r, "arguments", argc)) != NULL; argc++)
			argv[argc] = w;
	for (const struct sterna_field *k = f->c->fields; k != NULL && k->name != NULL && argc < sizeof argv / sizeof *argv; k++) {
		const char *value = request_arg(r, k->name);

		argv[argc++] = value != NULL ? value : "";
	}
	const enum sterna_result rc = f->c->fn(f->slot->mod, (int)argc, argv, &out);

	if (buf_len(&out) > 0)
		r->found = json_loadb(buf_data(&out), buf_len(&out), JSON_DECODE_ANY, NULL);
	buf_release(&out);
	if (rc == STERNA_EINVAL)
		request_note(r, "usage", NULL, "usage: %s %s", f->c->name, f->c->args != NULL ? f->c->args : "");
	else if (rc != STERNA_OK)
		request_note(r, rc == STERNA_ENOTFOUND ? "not-found" : rc == STERNA_EEXISTS ? "conflict" : "failed", NULL,
			"%s: %s", f->c->name, sterna_result_text(rc));
	request_end(r);
}

/* --- on workers --- */

/* What a call carries while it runs a command; its end brings the part home. */
struct command_run {
	struct request_part *part;
	json_t *result;
	const char *code;
	char *text;
};

static const char *code_of(enum sterna_condition c)
{
	switch (c) {
	case STERNA_BAD_REQUEST:
	case STERNA_JID_MALFORMED:
	case STERNA_NOT_ACCEPTABLE:
		return "usage";
	case STERNA_FORBIDDEN:
	case STERNA_NOT_ALLOWED:
		return "forbidden";
	case STERNA_ITEM_NOT_FOUND:
		return "not-found";
	case STERNA_CONFLICT:
		return "conflict";
	case STERNA_RESOURCE_CONSTRAINT:
		return "unavailable";
	default:
		return "failed";
	}
}

/* {"!": code, "text": …}: a mistake, for the part's way home. */
static void on_end(struct sterna_call *c, enum sterna_result rc)
{
	struct command_run *run = c->command;
	json_t *home = run->result;

	if (rc != STERNA_OK && run->code == NULL) {
		run->code = "unavailable";
		run->text = xstrdup(rc == STERNA_EUNCERTAIN ? "the database was lost in between; it is not known whether this was done"
			: "it could not be stored");
	}
	if (run->code != NULL) {
		json_decref(home);
		home = json_pack("{s:s, s:s}", "!", run->code, "text", run->text != NULL ? run->text : run->code);
	}
	request_part_done(run->part, home);
	free(run->text);
	free(run);
}

static void ran(struct sterna_call *c, enum sterna_verdict v)
{
	struct command_run *run = c->command;
	struct worker *w = c->worker;
	struct lane *l = lane_of(c);

	if (v == STERNA_REJECT) {
		run->code = code_of(c->error.condition);
		run->text = c->error.text != NULL ? xstrdup(c->error.text) : NULL;
		if (c->batch != NULL)
			db_batch_drop(&c->batch);
	}
	call_finish(c);
	lane_leave(w, l);
}

static void run_handler(struct sterna_call *c)
{
	struct command_run *run = c->command;
	const struct request *r = request_of(run->part);

	if (c->account != NULL && c->account->state == ACCOUNT_FAILED) {
		run->code = "unavailable";
		run->text = xstrdup("the account could not be loaded");
	} else if (c->account != NULL && c->account->state == ACCOUNT_ABSENT) {
		run->code = "not-found";
		run->text = xstrdup("there is no such account");
	}
	if (run->code != NULL)
		call_finish(c);
	else
		call_run_handler(c, r->slot, r->run, ran);
}

/* A call without a stanza of anyone: from the host, to it. */
static struct sterna_call *make_call(struct worker *w, struct request_part *p, const struct jid *to)
{
	const struct request *r = request_of(p);
	const struct server *s = w->server;
	struct host *h = r->host != NULL ? server_host(s, r->host) : NULL;
	struct jid *who = NULL;

	/* Who asks is known to what is done in their name; at the socket it is the service itself. */
	if (to != NULL && (strchr(r->who, '@') == NULL || jid_parse(r->who, strlen(r->who), &who) != STERNA_OK)
		&& jid_parse(jid_domain(to), strlen(jid_domain(to)), &who) != STERNA_OK)
		who = NULL;
	struct stanza *none = stanza_make("iq", "set", who, to, NULL);
	struct sterna_call *c = call_new(w, &none);
	struct command_run *run = xalloc(sizeof *run);

	jid_unref(&who);
	run->part = p;
	c->side = SIDE_NONE;
	c->host = h;
	c->command = run;
	c->ended = on_end;
	c->impatient = true;
	return c;
}

static json_t *worker_part(struct worker *w, struct request_part *p)
{
	request_part_wait(p);
	run_handler(make_call(w, p, NULL));
	return NULL;
}

static void too_much(struct sterna_call *c)
{
	struct command_run *run = c->command;

	run->code = "unavailable";
	run->text = xstrdup("too much waits for this address");
	call_finish(c);
}

static json_t *owner_part(struct worker *w, struct request_part *p)
{
	const struct jid *j = request_of(p)->data;
	struct host *h = server_host(w->server, jid_domain(j));
	const bool service = h != NULL && h->kind == HOST_SERVICE;
	struct sterna_call *c = make_call(w, p, service ? j : NULL);

	request_part_wait(p);
	c->host = h;
	if (service) {
		if (!lane_enter(c, jid_bare(j), run_handler))
			too_much(c);
		return NULL;
	}
	if (h == NULL || h->kind != HOST_USERS || jid_local(j) == NULL) {
		run_handler(c);
		return NULL;
	}
	struct account *a = account_get(w, j);

	call_set_account(c, a);
	if (!account_when(a, c, run_handler))
		too_much(c);
	return NULL;
}

static void gathered(struct request *r)
{
	struct jid *j = request_take_jid(r);

	jid_unref(&j);
	for (unsigned i = 0; i < r->asked; i++) {
		const char *code = json_string_value(json_object_get(r->parts[i], "!"));

		if (code != NULL)
			request_note(r, code, NULL, "%s", json_string_value(json_object_get(r->parts[i], "text")));
	}
	r->found = request_joined(r);
	request_end(r);
}

static bool begins_with_jid(const struct sterna_command *c)
{
	const unsigned type = c->fields != NULL && c->fields->name != NULL ? c->fields->type : STERNA_FIELD_TEXT;

	return type == STERNA_FIELD_ACCOUNT || type == STERNA_FIELD_JID || type == STERNA_FIELD_SERVICE;
}

void request_run_module(struct request *r, const struct found_command *f, bool current)
{
	if (f->c->run == NULL) {
		run_here(r, f);
		return;
	}
	r->slot = f->slot;
	r->run = current ? f->c->current : f->c->run;
	if (f->c->place == STERNA_ON_WORKERS) {
		request_gather(r, NULL, worker_part, gathered);
		return;
	}
	if (!begins_with_jid(f->c)) {
		request_gather(r, r->daemon->server->workers[0], worker_part, gathered);
		return;
	}
	struct jid *j = NULL;
	const char *text = request_arg(r, f->c->fields->name);

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK) {
		request_refuse(r, "usage", f->c->fields->name, "'%s' is no valid address", text != NULL ? text : "");
		return;
	}
	r->data = j;
	request_gather(r, server_owner(r->daemon->server, j), owner_part, gathered);
}

/* --- what module.h offers to commands --- */

const char *sterna_command_arg_at(struct sterna_call *c, const char *field, size_t index)
{
	const struct command_run *run = c->command;

	return run != NULL ? request_arg_at(request_of(run->part), field, index) : NULL;
}

const char *sterna_command_arg(struct sterna_call *c, const char *field)
{
	return sterna_command_arg_at(c, field, 0);
}

void sterna_command_result(struct sterna_call *c, struct json_t *result)
{
	struct command_run *run = c->command;

	if (run == NULL) {
		json_decref(result);
		return;
	}
	json_decref(run->result);
	run->result = result;
}

int64_t sterna_command_time(struct sterna_call *c)
{
	const struct command_run *run = c->command;

	return run != NULL ? request_of(run->part)->asked_us : sterna_now_us(c);
}

void sterna_each_session(struct sterna_call *c, const char *host,
	void (*fn)(struct sterna_call *c, struct sterna_session *s, void *arg), void *arg)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&c->worker->accounts, &at)) != NULL;) {
		const struct account *a = e->value;

		if (host == NULL || strcmp(jid_domain(a->jid), host) == 0)
			for (struct sterna_session *s = a->sessions, *next; s != NULL; s = next) {
				next = s->next;
				fn(c, s, arg);
			}
	}
}

/* --- doors that modules are --- */

/* There and back. While it is away the call holds no tables, so that modules can be unloaded by a command; but the
 * door itself stays. */
struct visit {
	struct mail mail;
	struct worker *worker;
	struct sterna_call *call;
	struct module_slot *slot;
	sterna_outcome_fn *fn;
	enum request_kind kind;
	char *who, *host, *node;
	json_t *args;
	char code[16], *field, *text;        /* the outcome */
	bool failed;
	json_t *result;
};

static void visit_home(struct worker *w, void *arg)
{
	struct visit *v = arg;
	struct sterna_call *c = v->call;
	const struct sterna_outcome o = { .code = v->failed ? v->code : NULL, .field = v->field, .text = v->text,
		.result = v->result };

	c->registry = registry_ref(w->registry);
	atomic_fetch_sub(&v->slot->doors, 1);
	call_resume(c, v->fn(c, &o));
	json_decref(v->result);
	free(v->field);
	free(v->text);
	free(v->who);
	free(v->host);
	free(v->node);
	free(v);
}

static void on_outcome(void *arg, const struct sterna_outcome *o)
{
	struct visit *v = arg;

	v->failed = o->code != NULL;
	snprintf(v->code, sizeof v->code, "%s", o->code != NULL ? o->code : "");
	v->field = o->field != NULL ? xstrdup(o->field) : NULL;
	v->text = o->text != NULL ? xstrdup(o->text) : NULL;
	v->result = o->result != NULL ? json_deep_copy(o->result) : NULL; /* its counts are another thread's */
	worker_post(v->worker, visit_home, v);
}

static void on_visit(struct mail *m, struct loop *l)
{
	struct visit *v = (struct visit *)m;
	const struct ask ask = { .kind = v->kind, .door = "adhoc", .who = v->who, .host = v->host, .node = v->node,
		.args = v->args, .done = on_outcome, .arg = v };

	(void)l;
	admin_ask(v->worker->server->admin, &ask);
}

static enum sterna_verdict visit(struct sterna_call *c, enum request_kind kind, const char *node, json_t *args,
	sterna_outcome_fn *fn)
{
	struct admin *a = c->worker->server->admin;
	struct visit *v = xalloc(sizeof *v);
	const struct sterna_outcome away = { .code = "unavailable", .text = "this server has no administration now" };

	v->mail.run = on_visit;
	v->worker = c->worker;
	v->call = c;
	v->slot = (struct module_slot *)(uintptr_t)c->module;
	v->fn = fn;
	v->kind = kind;
	v->who = xstrdup(jid_bare(c->stanza->from));
	v->host = xstrdup(sterna_host(c));
	v->node = node != NULL ? xstrdup(node) : NULL;
	v->args = args;
	atomic_fetch_add(&v->slot->doors, 1);
	if (a != NULL && admin_post(a, &v->mail)) {
		registry_unref(&c->registry);
		return STERNA_WAIT;
	}
	atomic_fetch_sub(&v->slot->doors, 1);
	json_decref(args);
	free(v->who);
	free(v->host);
	free(v->node);
	free(v);
	return fn(c, &away);
}

enum sterna_verdict sterna_commands_list(struct sterna_call *c, sterna_outcome_fn *fn)
{
	return visit(c, REQUEST_LIST, NULL, NULL, fn);
}

enum sterna_verdict sterna_command_describe(struct sterna_call *c, const char *node, sterna_outcome_fn *fn)
{
	return visit(c, REQUEST_DESCRIBE, node, NULL, fn);
}

enum sterna_verdict sterna_command_run(struct sterna_call *c, const char *node, struct json_t *args, bool check,
	sterna_outcome_fn *fn)
{
	return visit(c, check ? REQUEST_CHECK : REQUEST_RUN, node, args, fn);
}

enum sterna_verdict sterna_run_node(struct sterna_call *c, const char *node, bool items)
{
	for (size_t i = 0; i < c->registry->module_count; i++)
		for (const struct sterna_node *n = c->registry->modules[i]->m->nodes; n != NULL && n->node != NULL; n++) {
			sterna_fn *fn = items ? n->items : n->info;

			if (fn == NULL || (n->prefix ? strncmp(n->node, node, strlen(n->node)) : strcmp(n->node, node)) != 0)
				continue;
			c->module = c->registry->modules[i];
			return fn(c);
		}
	return STERNA_NEXT;
}
