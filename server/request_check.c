/* request_check.c - which commands there are, who may use them, and whether their fields are what they should be. */
#include "server/request_check.h"
#include <stdlib.h>
#include <string.h>
#include "server/api_token.h"
#include "server/audit.h"
#include "server/registry.h"

enum { VALUES_MAX = 1000 };

/* --- the registry --- */

static const struct command *const tables[] = { core_commands, user_commands, list_commands, s2s_commands, region_commands, s2s_peer_commands,
	service_commands, invite_commands, isolation_commands, api_commands, client_commands, report_commands, pending_commands };

void command_each(const struct server *s, void (*fn)(void *arg, const struct found_command *f), void *arg)
{
	const struct registry *reg = s->registry;

	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct command *k = tables[t]; k->c.name != NULL; k++)
			fn(arg, &(struct found_command){ &k->c, k, NULL });
	for (size_t i = 0; i < reg->module_count; i++)
		for (const struct sterna_command *k = reg->modules[i]->m->commands; k != NULL && k->name != NULL; k++)
			fn(arg, &(struct found_command){ k, NULL, reg->modules[i] });
}

/* How many of the words the name takes; 0: it is another. */
static int match(const char *name, const char *const *word, int count)
{
	int used = 0;

	for (; *name != '\0'; used++) {
		const size_t n = strcspn(name, " ");

		if (used == count || strlen(word[used]) != n || strncmp(name, word[used], n) != 0)
			return 0;
		name += n + (name[n] == ' ');
	}
	return used;
}

struct lookup {
	const char *const *word;
	const char *node;
	int count, used;
	struct found_command *out;
	bool found;
};

static void by_words(void *arg, const struct found_command *f)
{
	struct lookup *l = arg;
	const int used = match(f->c->name, l->word, l->count);

	if (used > l->used) {
		l->used = used;
		*l->out = *f;
	}
}

bool command_by_words(const struct server *s, const char *const *word, int count, struct found_command *out, int *used)
{
	struct lookup l = { .word = word, .count = count, .out = out };

	command_each(s, by_words, &l);
	*used = l.used;
	return l.used > 0;
}

char *command_node(const struct sterna_command *c)
{
	char *node = c->node != NULL ? xstrdup(c->node) : xasprintf("sterna#%s", c->name);

	for (char *p = node; *p != '\0'; p++)
		if (*p == ' ')
			*p = '-';
	return node;
}

static void by_node(void *arg, const struct found_command *f)
{
	struct lookup *l = arg;
	char *node = command_node(f->c);

	if (!l->found && strcmp(node, l->node) == 0) {
		*l->out = *f;
		l->found = true;
	}
	free(node);
}

bool command_by_node(const struct server *s, const char *node, struct found_command *out)
{
	struct lookup l = { .node = node, .out = out };

	command_each(s, by_node, &l);
	return l.found;
}

unsigned command_roles(const struct sterna_command *c)
{
	return STERNA_OWNER | (c->roles != 0 ? c->roles : STERNA_ADMIN);
}

/* --- who may --- */

static unsigned held(const struct request *r, const char *host)
{
	if (r->is_local)
		return STERNA_OWNER;
	const char *at = strchr(r->who, '@');
	const bool is_user = host != NULL && at != NULL && strcmp(at + 1, host) == 0;

	return roles_of(admin_roles(r->admin), r->who, host) | (is_user ? STERNA_USER : 0u);
}

static bool may_use(const struct request *r, const struct sterna_command *c)
{
	if ((c->flags & STERNA_COMMAND_LOCAL) != 0 && !r->is_local)
		return false;
	if (r->scopes != NULL && !api_scopes_allow(r->scopes, c))
		return false;
	return (held(r, (c->flags & STERNA_COMMAND_SERVER) != 0 ? NULL : r->host) & command_roles(c)) != 0;
}

/* --- fields --- */

static bool is_many(unsigned type)
{
	return type == STERNA_FIELD_LINES || type == STERNA_FIELD_ACCOUNTS || type == STERNA_FIELD_JIDS;
}

static const struct sterna_field *field_of(const struct sterna_command *c, const char *name)
{
	for (const struct sterna_field *f = c->fields; f != NULL && f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* What a module without fields gets: the words as they come. */
static const struct sterna_field words_field = { "arguments", STERNA_FIELD_LINES, false, "arguments, one a line", NULL };

/* With as many words as fields that must be given, they are those; else they are the first ones, and a last one that
 * may have many values takes the rest. */
bool request_words(struct request *r, const struct sterna_command *c, const char *const *word, int count)
{
	int required = 0, fields = 0, at = 0;

	if (c->fields == NULL) {
		json_t *list = json_array();

		for (; at < count; at++)
			json_array_append_new(list, json_string(word[at]));
		json_object_set_new(r->args, words_field.name, list);
		return true;
	}
	for (const struct sterna_field *f = c->fields; f->name != NULL; f++, fields++)
		required += f->required;
	for (const struct sterna_field *f = c->fields; f->name != NULL && at < count; f++) {
		if (count == required && count < fields && !f->required)
			continue;
		if (!is_many(f->type)) {
			json_object_set_new(r->args, f->name, json_string(word[at++]));
			continue;
		}
		json_t *list = json_array();

		do
			json_array_append_new(list, json_string(word[at++]));
		while (f[1].name == NULL && at < count);
		json_object_set_new(r->args, f->name, list);
	}
	if (at < count)
		request_note(r, "usage", NULL, "%s: too many arguments", c->name);
	return at == count;
}

static bool choice_ok(const char *choices, const char *value)
{
	for (const char *p = choices; p != NULL && *p != '\0';) {
		const size_t n = strcspn(p, "|");

		if (strlen(value) == n && strncmp(p, value, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

/* conference.example.org belongs to example.org; one that is below none of our hosts to all of them. */
static const char *host_of_service(const struct request *r, const char *domain)
{
	for (const char *at = domain; at != NULL; at = strchr(at, '.')) {
		at += *at == '.';
		if (config_host(r->daemon->config, at) != NULL)
			return at;
	}
	return NULL;
}

static bool check_service(struct request *r, const struct sterna_command *c, const struct sterna_field *f, const struct jid *j)
{
	const struct host *h = server_host(r->daemon->server, jid_domain(j));

	if (h == NULL || h->kind != HOST_SERVICE || jid_local(j) == NULL || jid_resource(j) != NULL)
		request_note(r, "usage", f->name, "'%s' is no address below a service of ours", jid_full(j));
	else if ((held(r, host_of_service(r, jid_domain(j))) & command_roles(c)) == 0)
		request_note(r, "forbidden", f->name, "'%s': your role does not reach that host", jid_full(j));
	else
		return true;
	return false;
}

/* An address, in its normal form; ours: of a host where the asker has a role for this, and nobody above them. */
static char *check_jid(struct request *r, const struct sterna_command *c, const struct sterna_field *f, const char *text)
{
	const bool ours = f->type == STERNA_FIELD_ACCOUNT || f->type == STERNA_FIELD_ACCOUNTS;
	struct jid *j = NULL;
	char *normal = NULL;

	if (jid_parse(text, strlen(text), &j) != STERNA_OK || (ours && jid_local(j) == NULL)) {
		request_note(r, "usage", f->name, ours ? "'%s' is no address of an account or session"
			: "'%s' is no valid address", text);
	} else if (ours && config_host(r->daemon->config, jid_domain(j)) == NULL) {
		request_note(r, "usage", f->name, "'%s': its domain is none of the configured hosts", text);
	} else if (ours && (held(r, jid_domain(j)) & command_roles(c)) == 0) {
		request_note(r, "forbidden", f->name, "'%s': your role does not reach that host", text);
	} else if (ours && (c->flags & STERNA_COMMAND_READ) == 0 && !r->is_local
		&& roles_above(admin_roles(r->admin), jid_bare(j), r->who)) {
		request_note(r, "forbidden", f->name, "'%s' has a higher role than you", text);
	} else {
		normal = xstrdup(jid_full(j));
	}
	if (normal != NULL && f->type == STERNA_FIELD_SERVICE && !check_service(r, c, f, j)) {
		free(normal);
		normal = NULL;
	}
	jid_unref(&j);
	return normal;
}

static char *check_host(struct request *r, const struct sterna_command *c, const struct sterna_field *f, const char *text)
{
	char domain[1024];

	if (precis_domain(text, strlen(text), domain, sizeof domain) != STERNA_OK
		|| config_host(r->daemon->config, domain) == NULL) {
		request_note(r, "usage", f->name, "'%s' is none of the configured hosts", text);
		return NULL;
	}
	if ((held(r, domain) & command_roles(c)) == 0) {
		request_note(r, "forbidden", f->name, "'%s': your role does not reach that host", text);
		return NULL;
	}
	return xstrdup(domain);
}

/* New, in its normal form; NULL: noted. */
static char *check_value(struct request *r, const struct sterna_command *c, const struct sterna_field *f, const char *text)
{
	switch (f->type) {
	case STERNA_FIELD_NUMBER:
		if (*text == '\0' || strlen(text) > 15 || text[strspn(text, "0123456789")] != '\0') {
			request_note(r, "usage", f->name, "'%s' is no number", text);
			return NULL;
		}
		break;
	case STERNA_FIELD_BOOL:
		if (!choice_ok("true|false|1|0", text)) {
			request_note(r, "usage", f->name, "'%s' is neither true nor false", text);
			return NULL;
		}
		return xstrdup(choice_ok("true|1", text) ? "true" : "false");
	case STERNA_FIELD_CHOICE:
		if (!choice_ok(f->choices, text)) {
			request_note(r, "usage", f->name, "'%s' is none of %s", text, f->choices);
			return NULL;
		}
		break;
	case STERNA_FIELD_ACCOUNT:
	case STERNA_FIELD_ACCOUNTS:
	case STERNA_FIELD_JID:
	case STERNA_FIELD_JIDS:
	case STERNA_FIELD_SERVICE:
		return check_jid(r, c, f, text);
	case STERNA_FIELD_HOST:
		return check_host(r, c, f, text);
	default:
		break;
	}
	return xstrdup(text);
}

/* Empty values count as not given: forms send them. */
static bool check_field(struct request *r, const struct sterna_command *c, const struct sterna_field *f, json_t *checked)
{
	const json_t *given = json_object_get(r->args, f->name), *one;
	const size_t n = json_is_array(given) ? json_array_size(given) : given != NULL;
	json_t *list = json_array();

	if (n > VALUES_MAX)
		request_note(r, "usage", f->name, "more than %d values", VALUES_MAX);
	for (size_t i = 0; i < n && r->code[0] == '\0'; i++) {
		one = json_is_array(given) ? json_array_get(given, i) : given;
		const char *text = json_string_value(one);

		if (text == NULL || strlen(text) != json_string_length(one)) {
			request_note(r, "usage", f->name, "the values of %s are texts", f->name);
			break;
		}
		if (*text == '\0' && f->type != STERNA_FIELD_LINES)
			continue;
		char *value = check_value(r, c, f, text);

		if (value != NULL)
			json_array_append_new(list, json_string(value));
		free(value);
	}
	if (r->code[0] == '\0' && f->required && json_array_size(list) == 0)
		request_note(r, "usage", f->name, "%s: %s is required", c->name, f->name);
	if (r->code[0] == '\0' && !is_many(f->type) && json_array_size(list) > 1)
		request_note(r, "usage", f->name, "%s has one value", f->name);
	if (json_array_size(list) > 0)
		json_object_set(checked, f->name, is_many(f->type) ? list : json_array_get(list, 0));
	json_decref(list);
	return r->code[0] == '\0';
}

static bool check_fields(struct request *r, const struct sterna_command *c)
{
	json_t *checked = json_object(), *value;
	const char *key;

	json_object_foreach(r->args, key, value)
		if (field_of(c, key) == NULL && (c->fields != NULL || strcmp(key, words_field.name) != 0))
			request_note(r, "usage", key, "%s has no field '%s'", c->name, key);
	if (c->fields == NULL)
		(void)check_field(r, c, &words_field, checked);
	for (const struct sterna_field *f = c->fields; f != NULL && f->name != NULL && r->code[0] == '\0'; f++)
		(void)check_field(r, c, f, checked);
	json_decref(r->args);
	r->args = checked;
	for (const struct sterna_field *f = c->fields; f != NULL && f->name != NULL; f++)
		if (f->type != STERNA_FIELD_SECRET && json_object_get(checked, f->name) != NULL)
			json_object_set(r->shown, f->name, json_object_get(checked, f->name));
	return r->code[0] == '\0';
}

bool request_check(struct request *r, const struct sterna_command *c)
{
	if (!may_use(r, c)) {
		request_note(r, "forbidden", NULL, r->scopes != NULL && !api_scopes_allow(r->scopes, c)
			? "%s: the token is not good for that" : "%s: your role does not allow that", c->name);
		return false;
	}
	return r->kind == REQUEST_DESCRIBE || check_fields(r, c);
}

/* --- what doors show --- */

static const char *form_type(const struct sterna_field *f)
{
	switch (f->type) {
	case STERNA_FIELD_LINES:
		return "text-multi";
	case STERNA_FIELD_BOOL:
		return "boolean";
	case STERNA_FIELD_CHOICE:
		return "list-single";
	case STERNA_FIELD_SECRET:
		return "text-private";
	case STERNA_FIELD_ACCOUNT:
	case STERNA_FIELD_JID:
	case STERNA_FIELD_SERVICE:
		return "jid-single";
	case STERNA_FIELD_ACCOUNTS:
	case STERNA_FIELD_JIDS:
		return "jid-multi";
	default:
		return "text-single";
	}
}

static json_t *field_json(const struct sterna_command *c, const struct sterna_field *f)
{
	json_t *choices = json_array();

	for (const char *p = f->choices; p != NULL && *p != '\0';) {
		const size_t n = strcspn(p, "|");

		json_array_append_new(choices, json_stringn(p, n));
		p += n + (p[n] == '|');
	}
	return json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", f->name, "type", form_type(f), "label",
		f == &words_field && c->args != NULL && *c->args != '\0' ? c->args : f->label != NULL ? f->label : f->name,
		"required", (int)f->required, "choices", choices);
}

static json_t *command_json(const struct sterna_command *c)
{
	char *node = command_node(c);
	json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "name", c->name, "node", node, "summary",
		c->summary != NULL ? c->summary : c->name, "dangerous", (c->flags & STERNA_COMMAND_DANGEROUS) != 0);

	free(node);
	return o;
}

/* r->found is the description; a `current` command ends the request with the values instead: they are put in here. */
struct describing {
	request_done_fn *done;
	void *arg;
	json_t *form;
};

static void on_current(void *arg, const struct sterna_outcome *o)
{
	struct describing *d = arg;
	json_t *field;
	size_t i;

	json_array_foreach(json_object_get(d->form, "fields"), i, field) {
		json_t *value = json_object_get(o->result, json_string_value(json_object_get(field, "name")));

		if (o->code == NULL && value != NULL)
			json_object_set(field, "value", value);
	}
	d->done(d->arg, o->code != NULL ? o : &(struct sterna_outcome){ .result = d->form });
	json_decref(d->form);
	free(d);
}

void request_describe(struct request *r, const struct found_command *f)
{
	json_t *form = command_json(f->c), *fields = json_array();

	if (f->c->fields == NULL && f->c->args != NULL && *f->c->args != '\0')
		json_array_append_new(fields, field_json(f->c, &words_field));
	for (const struct sterna_field *k = f->c->fields; k != NULL && k->name != NULL; k++)
		json_array_append_new(fields, field_json(f->c, k));
	json_object_set_new(form, "fields", fields);
	const bool has_current = f->core != NULL ? f->core->current != NULL
		: f->c->current != NULL && f->c->place == STERNA_ON_WORKERS;

	if (!has_current) {
		request_answer(r, form);
		return;
	}
	struct describing *d = xalloc(sizeof *d);

	*d = (struct describing){ r->done, r->arg, form };
	r->done = on_current;
	r->arg = d;
	if (f->core != NULL)
		f->core->current(r);
	else
		request_run_module(r, f, true);
}

struct listing {
	const struct request *r;
	json_t *list;
};

static void list_one(void *arg, const struct found_command *f)
{
	struct listing *l = arg;

	if (may_use(l->r, f->c))
		json_array_append_new(l->list, command_json(f->c));
}

void request_list(struct request *r)
{
	struct listing l = { r, json_array() };

	command_each(r->daemon->server, list_one, &l);
	request_answer(r, l.list);
}

static void record(const struct request *r, const struct sterna_outcome *o)
{
	char *args = json_object_size(r->shown) > 0 ? json_dumps(r->shown, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	const struct sterna_datum data[] = { STERNA_DATUM("command", r->name), STERNA_DATUM("door", r->door), STERNA_DATUM("token", r->token),
		STERNA_DATUM("approved_by", r->approved_by),
		STERNA_DATUM("host", r->host), STERNA_DATUM("outcome", o->code != NULL ? o->code : r->waits ? "pending" : "done"),
		STERNA_DATUM("field", o->field), STERNA_DATUM("text", o->text), STERNA_PERSONAL("args", args), { 0 } };

	audit_post(r->daemon->server, r->host, "sterna.admin.command.v1", r->who, data);
	free(args);
}

void request_record(const struct request *r, const struct sterna_outcome *o)
{
	const bool quiet = o->code == NULL && (r->flags & STERNA_COMMAND_READ) != 0;

	log_at(quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_NOTICE, "admin", o->code != NULL ? "command refused" : "command", "command",
		r->name, "who", r->who, "door", r->door, "approved_by", r->approved_by, "host", r->host, "code", o->code, "field", o->field);
	record(r, o);
}
