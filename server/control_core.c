/* control_core.c - the core's commands on the control socket. Those that need what workers know ask them. */
#include "server/control.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/account.h"
#include "server/net.h"
#include "server/registry.h"
#include "server/session.h"
#include "server/stream.h"

enum { UNLOAD_MS = 5000, LIST_MAX = 10000, RETRY_US = 100000, RETRIES = 50 };

/* --- status, stats --- */

static void status(struct control_request *r)
{
	const struct daemon *d = r->daemon;
	const struct server *s = d->server;
	json_t *hosts = json_array();

	for (size_t i = 0; i < s->host_count; i++)
		json_array_append_new(hosts, json_string(jid_full(s->host_list[i]->jid)));
	control_answer(r, json_pack("{s:s, s:i, s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:b, s:i, s:o}",
		"version", PACKAGE_VERSION, "pid", (int)getpid(), "config", d->config_path,
		"started_us", (json_int_t)s->started_us,
		"uptime_s", (json_int_t)((loop_wall_us(d->loop) - s->started_us) / 1000000),
		"workers", (int)s->worker_count, "sessions", (json_int_t)atomic_load(&s->sessions),
		"streams", (json_int_t)atomic_load(&s->streams), "modules", (json_int_t)s->registry->module_count,
		"draining", (int)atomic_load(&s->draining), "certificate_days", net_certificate_days(d->net),
		"hosts", hosts));
}

/* The metrics' text form, line by line: "name{labels} value". */
static void stats(struct control_request *r)
{
	struct buf out = BUF_INIT;
	json_t *all = json_object();
	char *save = NULL;

	metrics_write(r->daemon->server->metrics, &out);
	buf_putc(&out, '\0');
	for (char *line = strtok_r(out.data + out.start, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *value = strrchr(line, ' ');

		if (*line == '#' || value == NULL)
			continue;
		*value++ = '\0';
		const double number = strtod(value, NULL);

		json_object_set_new(all, line, strpbrk(value, ".einN") == NULL ? json_integer(strtoll(value, NULL, 10))
								: json_real(number));
	}
	buf_release(&out);
	control_answer(r, all);
}

/* --- sessions --- */

static json_t *session_json(const struct worker *w, const struct sterna_session *s)
{
	const struct stream *st = s->stream;

	return json_pack("{s:s, s:I, s:i, s:I, s:b, s:i, s:b, s:b, s:s?, s:s?, s:s?, s:s?}", "jid", jid_full(s->jid),
		"id", (json_int_t)s->id, "worker", (int)w->index, "since_us", (json_int_t)s->bound_us,
		"available", (int)s->available, "priority", s->priority, "connected", st != NULL,
		"stream_management", s->sm != NULL, "address", st != NULL ? st->transport->peer : NULL,
		"tls", st != NULL ? st->transport->ops->tls_version(st->transport) : NULL,
		"mechanism", st != NULL ? st->authenticated_by : NULL, "client", s->client);
}

/* Arguments: whom ("" all, a host, an account), and how many at most. */
static json_t *list_part(struct worker *w, struct control_part *p)
{
	const struct control_request *r = control_part_request(p);
	const char *who = r->arg_count > 0 ? r->arg[0] : "";
	const size_t max = r->arg_count > 1 ? strtoul(r->arg[1], NULL, 10) : 1000;
	json_t *list = json_array();
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		const struct account *a = e->value;

		if (*who != '\0' && strcmp(who, jid_bare(a->jid)) != 0 && strcmp(who, jid_domain(a->jid)) != 0)
			continue;
		for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next) {
			if (json_array_size(list) >= max || json_array_size(list) >= LIST_MAX)
				return list;
			json_array_append_new(list, session_json(w, s));
		}
	}
	return list;
}

static int by_jid(const void *a, const void *b)
{
	return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "jid")),
		json_string_value(json_object_get(*(json_t *const *)b, "jid")));
}

static void listed(struct control_request *r)
{
	json_t *all = json_array(), *sorted = json_array(), *item, **items;
	size_t i, n;

	for (unsigned k = 0; k < r->asked; k++)
		json_array_extend(all, r->parts[k]);
	n = json_array_size(all);
	items = xalloc((n + 1) * sizeof *items);
	json_array_foreach(all, i, item)
		items[i] = item;
	qsort(items, n, sizeof *items, by_jid);
	for (i = 0; i < n; i++)
		json_array_append(sorted, items[i]);
	free(items);
	json_decref(all);
	control_answer(r, sorted);
}

static void session_list(struct control_request *r)
{
	control_gather(r, NULL, list_part, listed);
}

/* Sessions of an account, or the one of a full JID. */
static unsigned kick(struct account *a, const char *resource, const char *condition, const char *text)
{
	unsigned count = 0;
	bool found = true;

	/* The list changes with every one that goes, and perhaps by what modules do then: begin anew. */
	while (found) {
		found = false;
		for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
			if (resource == NULL || strcmp(jid_resource(s->jid), resource) == 0) {
				session_kick(s, condition, text);
				count++;
				found = true;
				break;
			}
	}
	return count;
}

static json_t *kick_part(struct worker *w, struct control_part *p)
{
	const struct control_request *r = control_part_request(p);
	const struct jid *j = r->data;
	struct account *a = account_find(w, jid_bare(j));
	const char *text = r->arg_count > 1 ? r->arg[1] : "the session was ended by an administrator";
	unsigned count = 0;

	if (a != NULL) {
		account_hold(a);
		count = kick(a, jid_resource(j), "policy-violation", text);
		account_release(a);
	}
	return json_integer(count);
}

static void kicked(struct control_request *r)
{
	struct jid *j = r->data;

	r->data = NULL;
	jid_unref(&j);
	if (json_integer_value(r->parts[0]) == 0)
		control_refuse(r, "failed", "there is no such session");
	else
		control_answer(r, json_pack("{s:O}", "ended", r->parts[0]));
}

/* The first argument as an address of an account here, into r->data. */
static struct worker *owner(struct control_request *r)
{
	struct jid *j = NULL;

	if (jid_parse(r->arg[0], strlen(r->arg[0]), &j) != STERNA_OK || jid_local(j) == NULL) {
		jid_unref(&j);
		control_refuse(r, "failed", "'%s' is no address of an account or session", r->arg[0]);
		return NULL;
	}
	r->data = j;
	return server_owner(r->daemon->server, j);
}

static void session_kick_command(struct control_request *r)
{
	struct worker *w = owner(r);

	if (w != NULL)
		control_gather(r, w, kick_part, kicked);
}

/* --- accounts changed on the storage --- */

/* A deleted or imported account is forgotten as soon as nothing holds it. */
struct forgetting {
	struct timer timer;
	struct worker *worker;
	struct control_part *part;
	struct jid *jid;
	unsigned tries;
};

static void try_forget(struct timer *t, void *arg)
{
	struct forgetting *f = arg;
	struct account *a = map_get(&f->worker->accounts, jid_bare(f->jid));

	if (a != NULL && !a->is_idle && ++f->tries < RETRIES) {
		timer_set(t, RETRY_US);
		return;
	}
	if (a != NULL && a->is_idle) {
		account_unload(a);
		a = NULL;
	}
	control_part_done(f->part, json_boolean(a == NULL));
	jid_unref(&f->jid);
	free(f);
}

static json_t *changed_part(struct worker *w, struct control_part *p)
{
	const struct control_request *r = control_part_request(p);
	const struct jid *j = r->data;
	const char *what = r->arg[1];
	struct account *a = map_get(&w->accounts, jid_bare(j));

	/* Modules hear of it as of one that a client removed; also where the account is not in memory. */
	if (strcmp(what, "deleted") == 0) {
		a = a != NULL ? a : account_get(w, j);
		modules_event(w, STERNA_ACCOUNT_DELETED, a, NULL, NULL);
	}
	if (a == NULL)
		return json_true();
	account_hold(a);
	if (strcmp(what, "enabled") == 0) {
		a->disabled = false;
	} else if (strcmp(what, "password") == 0) {
		kick(a, NULL, "not-authorized", "the password was changed");
	} else {
		a->disabled = strcmp(what, "imported") != 0;
		kick(a, NULL, a->disabled ? "not-authorized" : "reset", strcmp(what, "deleted") == 0
			? "the account was deleted" : a->disabled ? "the account was disabled" : "the account was imported");
	}
	account_release(a);
	if (strcmp(what, "deleted") != 0 && strcmp(what, "imported") != 0)
		return json_true();
	struct forgetting *f = xalloc(sizeof *f);

	f->worker = w;
	f->part = p;
	f->jid = jid_ref(j);
	control_part_wait(p);
	timer_init(&f->timer, w->loop, try_forget, f);
	timer_set(&f->timer, 1000);
	return NULL;
}

static void changed(struct control_request *r)
{
	struct jid *j = r->data;
	const bool ok = json_is_true(r->parts[0]);

	r->data = NULL;
	jid_unref(&j);
	if (ok)
		control_answer(r, NULL);
	else
		control_refuse(r, "failed", "the account is still in use");
}

static void user_changed(struct control_request *r)
{
	static const char *const kinds[] = { "password", "disabled", "enabled", "deleted", "imported", NULL };
	size_t i = 0;

	while (kinds[i] != NULL && strcmp(kinds[i], r->arg[1]) != 0)
		i++;
	if (kinds[i] == NULL) {
		control_refuse(r, "usage", "user changed JID password|disabled|enabled|deleted|imported");
		return;
	}
	struct worker *w = owner(r);

	if (w != NULL)
		control_gather(r, w, changed_part, changed);
}

/* --- modules --- */

static void modules(struct control_request *r)
{
	const struct registry *reg = r->daemon->server->registry;
	json_t *list = json_array();

	for (size_t i = 0; i < reg->module_count; i++) {
		const struct sterna_module *m = reg->modules[i]->m;
		json_t *commands = json_array();

		for (const struct sterna_command *k = m->commands; k != NULL && k->name != NULL; k++)
			json_array_append_new(commands, json_pack("{s:s, s:s?, s:s?}", "name", k->name, "args", k->args,
				"summary", k->summary));
		json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:o}", "name", m->name, "spec", m->spec,
			"summary", m->summary, "commands", commands));
	}
	control_answer(r, list);
}

static bool refused(struct control_request *r, enum sterna_result rc)
{
	switch (rc) {
	case STERNA_OK:
		return false;
	case STERNA_EEXISTS:
		control_refuse(r, "failed", "module '%s' is loaded already", r->arg[0]);
		break;
	case STERNA_ENOTFOUND:
		control_refuse(r, "failed", "there is no module '%s'", r->arg[0]);
		break;
	case STERNA_EUNAVAILABLE:
		control_refuse(r, "failed", "module '%s' is in use; the log says by whom", r->arg[0]);
		break;
	default:
		control_refuse(r, "failed", "module '%s' is refused; the log says why", r->arg[0]);
		break;
	}
	return true;
}

static void modules_load_command(struct control_request *r)
{
	if (!refused(r, module_load(r->daemon->server, r->arg[0])))
		control_answer(r, NULL);
}

static void modules_unload_command(struct control_request *r)
{
	if (!refused(r, module_unload(r->daemon->server, r->arg[0], UNLOAD_MS)))
		control_answer(r, NULL);
}

static void modules_reload_command(struct control_request *r)
{
	if (refused(r, module_unload(r->daemon->server, r->arg[0], UNLOAD_MS)))
		return;
	if (!refused(r, module_load(r->daemon->server, r->arg[0])))
		control_answer(r, NULL);
}

/* The stops in the order in which they are made, and who stands at each. */
static void hooks(struct control_request *r)
{
	static const char *const names[] = { "out policy", "out store", "out copy", "in policy", "in store", "in copy",
		"offline", "to session", "observe" };
	const struct registry *reg = r->daemon->server->registry;
	json_t *all = json_array();

	for (int point = 0; point < STERNA_POINTS; point++) {
		json_t *rows = json_array();

		for (size_t i = 0; i < reg->hook_count[point]; i++) {
			const struct hook_row *h = &reg->hooks[point][i];
			json_t *kinds = json_array();

			if (h->kinds == 0 || (h->kinds & STERNA_MESSAGE) != 0)
				json_array_append_new(kinds, json_string("message"));
			if ((h->kinds & STERNA_PRESENCE) != 0)
				json_array_append_new(kinds, json_string("presence"));
			if ((h->kinds & STERNA_IQ) != 0)
				json_array_append_new(kinds, json_string("iq"));
			json_array_append_new(rows, json_pack("{s:s, s:o}", "module", h->slot->m->name, "kinds", kinds));
		}
		json_array_append_new(all, json_pack("{s:s, s:o}", "point", names[point], "hooks", rows));
	}
	control_answer(r, all);
}

/* --- configuration, log --- */

static void reload(struct control_request *r)
{
	struct buf said = BUF_INIT;

	log_reopen();
	if (daemon_reload(r->daemon, &said) == STERNA_OK)
		control_answer(r, json_pack("{s:s}", "applied", buf_str(&said)));
	else
		control_refuse(r, "failed", "nothing was changed: %s", buf_str(&said));
	buf_release(&said);
}

static void log_level_command(struct control_request *r)
{
	const char *component = r->arg_count > 1 ? r->arg[0] : NULL, *word = r->arg[r->arg_count - 1];
	enum log_level level;

	if (component != NULL && strcmp(word, "default") == 0) {
		log_clear_level(component);
	} else if (!log_level_parse(word, &level)) {
		control_refuse(r, "usage", "the level is one of " LOG_LEVELS "%s", component != NULL ? ", or default" : "");
		return;
	} else if (log_set_level(component, level) != STERNA_OK) {
		control_refuse(r, "failed", "too many components have a level, or the name is too long");
		return;
	}
	control_answer(r, json_pack("{s:s?, s:s}", "component", component, "level", log_level_text(log_level(component))));
}

const struct control_command control_commands[] = {
	{ "hooks", 0, 0, hooks },
	{ "log level", 1, 2, log_level_command },
	{ "modules", 0, 0, modules },
	{ "modules load", 1, 1, modules_load_command },
	{ "modules reload", 1, 1, modules_reload_command },
	{ "modules unload", 1, 1, modules_unload_command },
	{ "reload", 0, 0, reload },
	{ "s2s explain", 1, 1, control_s2s_explain },
	{ "s2s list", 0, 0, control_s2s_list },
	{ "s2s reset", 1, 1, control_s2s_reset },
	{ "s2s test", 1, 2, control_s2s_test },
	{ "session kick", 1, 2, session_kick_command },
	{ "session list", 0, 2, session_list },
	{ "stats", 0, 0, stats },
	{ "status", 0, 0, status },
	{ "user changed", 2, 2, user_changed },
	{ 0 }
};
