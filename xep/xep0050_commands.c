/* XEP-0050 Ad-Hoc Commands 1.3.0: administrators' commands from a client, with the checks and the audit that every door
 * has. One form with all fields; commands that are dangerous ask once more, on a second stage.
 *
 * A session is kept by the worker of the account that began it, and found by its id and that full JID alone. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"
#include "xep/disco_info.h"
#include "xep/text.h"

#define NS_COMMANDS "http://jabber.org/protocol/commands"
#define NS_ROSTER "jabber:iq:roster"
#define ADMIN_NODE "http://jabber.org/protocol/admin#"

struct commands_config {
	unsigned sessions;
	struct sterna_duration session_time;
};
static const struct sterna_option options[] = {
	STERNA_OPT(struct commands_config, sessions, "10", "1..1000", "of one client that are under way; then its oldest ends"),
	STERNA_OPT(struct commands_config, session_time, "15m", "1m..1d", "how long a form may be filled in"),
	{ 0 }
};

struct adhoc {
	struct adhoc *next;
	char id[33];
	char *node, *who;                /* full JID */
	json_t *description;             /* of sterna_command_describe() */
	json_t *args;                    /* what was submitted, while it is asked once more; NULL: the form is out */
	int64_t expires_us;
};
struct commands_worker { struct adhoc *sessions; };

/* What a handler keeps while it waits. */
struct visit {
	char id[33];                     /* of the session; "" none yet */
	const char *node;
	json_t *args;
};

/* --- sessions --- */

static void adhoc_free(struct adhoc *s)
{
	free(s->node);
	free(s->who);
	json_decref(s->description);
	json_decref(s->args);
	free(s);
}

/* Those that are too old go, whenever anyone looks. */
static struct adhoc **find(struct sterna_call *c, const char *id)
{
	struct commands_worker *w = sterna_worker_slot(c);
	struct adhoc **at = &w->sessions;

	while (*at != NULL) {
		struct adhoc *s = *at;

		if (s->expires_us < sterna_now_us(c)) {
			*at = s->next;
			adhoc_free(s);
		} else if (strcmp(s->id, id) == 0 && strcmp(s->who, jid_full(sterna_from(c))) == 0) {
			return at;
		} else {
			at = &s->next;
		}
	}
	return NULL;
}

static void end(struct sterna_call *c, const char *id)
{
	struct adhoc **at = find(c, id);

	if (at == NULL)
		return;
	struct adhoc *s = *at;

	*at = s->next;
	adhoc_free(s);
}

/* The newest is first: the last one of that client beyond the limit goes. */
static void make_room(struct sterna_call *c)
{
	const struct commands_config *cfg = sterna_config(c);
	struct commands_worker *w = sterna_worker_slot(c);
	unsigned count = 0;

	(void)find(c, "");
	for (struct adhoc **at = &w->sessions; *at != NULL;) {
		struct adhoc *s = *at;

		if (strcmp(s->who, jid_full(sterna_from(c))) == 0 && ++count >= cfg->sessions) {
			*at = s->next;
			adhoc_free(s);
		} else {
			at = &s->next;
		}
	}
}

static struct adhoc *begin(struct sterna_call *c, const char *node, const json_t *description)
{
	const struct commands_config *cfg = sterna_config(c);
	struct commands_worker *w = sterna_worker_slot(c);
	struct adhoc *s = xalloc(sizeof *s);
	unsigned char raw[16];

	make_room(c);
	sterna_random(c, raw, sizeof raw);
	for (int i = 0; i < 16; i++)
		snprintf(s->id + 2 * i, 3, "%02x", raw[i]);
	s->node = xstrdup(node);
	s->who = xstrdup(jid_full(sterna_from(c)));
	s->description = json_deep_copy(description);
	s->expires_us = sterna_now_us(c) + cfg->session_time.us;
	s->next = w->sessions;
	w->sessions = s;
	return s;
}

static void on_gone(struct sterna_call *c)
{
	struct commands_worker *w = sterna_worker_slot(c);
	const char *who = jid_full(sterna_session_jid(sterna_session(c)));

	for (struct adhoc **at = &w->sessions; *at != NULL;) {
		struct adhoc *s = *at;

		if (strcmp(s->who, who) == 0) {
			*at = s->next;
			adhoc_free(s);
		} else {
			at = &s->next;
		}
	}
}

static void on_worker_end(struct sterna_call *c)
{
	struct commands_worker *w = sterna_worker_slot(c);

	while (w != NULL && w->sessions != NULL) {
		struct adhoc *s = w->sessions;

		w->sessions = s->next;
		adhoc_free(s);
	}
}

/* --- answers --- */

static const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static struct sterna_elem *answer(struct sterna_call *c, const char *id, const char *node, const char *status)
{
	struct sterna_elem *e = sterna_elem(c, "command", NS_COMMANDS);

	sterna_attr(e, "sessionid", id);
	sterna_attr(e, "node", node);
	sterna_attr(e, "status", status);
	return e;
}

static void put_values(struct sterna_elem *field, const json_t *value)
{
	size_t i;
	json_t *one;

	if (json_is_string(value))
		sterna_text(field, "value", json_string_value(value));
	json_array_foreach(value, i, one) {
		char *text = json_is_string(one) ? NULL : json_dumps(one, JSON_COMPACT | JSON_ENCODE_ANY); /* as in rows */

		sterna_text(field, "value", text != NULL ? text : json_string_value(one));
		free(text);
	}
}

static bool is_admin(const char *node)
{
	return strncmp(node, ADMIN_NODE, sizeof ADMIN_NODE - 1) == 0;
}

/* The forms of XEP-0133 have a FORM_TYPE, and what comes of XEP-0401. */
static struct sterna_elem *form_of(struct sterna_elem *parent, const char *type, const char *node, const char *title)
{
	struct sterna_elem *x = sterna_add(parent, "x", NS_DATA);

	sterna_attr(x, "type", type);
	sterna_text(x, "title", title);
	if (is_admin(node))
		sterna_text(sterna_form_field(x, "FORM_TYPE", "hidden", NULL), "value", "http://jabber.org/protocol/admin");
	else if (strcmp(type, "result") == 0 && strncmp(node, "urn:xmpp:invite#", 16) == 0)
		sterna_text(sterna_form_field(x, "FORM_TYPE", "hidden", NULL), "value", "urn:xmpp:invite#invitation");
	return x;
}

static void put_field(struct sterna_elem *x, const json_t *f, const json_t *given)
{
	const json_t *value = json_object_get(given, json_text(f, "name"));
	struct sterna_elem *e = sterna_form_field(x, json_text(f, "name"), json_text(f, "type"), NULL);
	json_t *choice;
	size_t i;

	sterna_attr(e, "label", json_text(f, "label"));
	if (json_is_true(json_object_get(f, "required")))
		sterna_add(e, "required", NULL);
	json_array_foreach(json_object_get(f, "choices"), i, choice) {
		struct sterna_elem *o = sterna_add(e, "option", NULL);

		sterna_attr(o, "label", json_string_value(choice));
		sterna_text(o, "value", json_string_value(choice));
	}
	if (strcmp(json_text(f, "type"), "text-private") != 0)
		put_values(e, value != NULL ? value : json_object_get(f, "value"));
}

static enum sterna_verdict show_form(struct sterna_call *c, const struct adhoc *s, const char *mistake)
{
	struct sterna_elem *e = answer(c, s->id, s->node, "executing"), *actions = sterna_add(e, "actions", NULL), *x;
	const bool more = json_is_true(json_object_get(s->description, "dangerous"));
	json_t *field;
	size_t i;

	sterna_attr(actions, "execute", more ? "next" : "complete");
	sterna_add(actions, more ? "next" : "complete", NULL);
	if (mistake != NULL)
		sterna_attr(sterna_text(e, "note", mistake), "type", "error");
	x = form_of(e, "form", s->node, json_text(s->description, "summary"));
	json_array_foreach(json_object_get(s->description, "fields"), i, field)
		put_field(x, field, s->args);
	return sterna_reply(c, e);
}

/* A fixed field has one value. */
static const char *in_lines(struct sterna_call *c, const json_t *values)
{
	const char *text = json_string_value(json_array_get(values, 0));
	const json_t *one;
	size_t i;

	json_array_foreach(values, i, one)
		if (i > 0)
			text = sterna_printf(c, "%s\n%s", text, json_string_value(one));
	return text != NULL ? text : "";
}

/* The second stage: what would be done; back, or do it. */
static enum sterna_verdict ask_again(struct sterna_call *c, const struct adhoc *s)
{
	struct sterna_elem *e = answer(c, s->id, s->node, "executing"), *actions = sterna_add(e, "actions", NULL), *x, *f;
	json_t *field;
	size_t i;

	sterna_attr(actions, "execute", "complete");
	sterna_add(actions, "prev", NULL);
	sterna_add(actions, "complete", NULL);
	sterna_attr(sterna_text(e, "note", "This cannot be taken back. Complete does it."), "type", "warn");
	x = form_of(e, "form", s->node, json_text(s->description, "summary"));
	json_array_foreach(json_object_get(s->description, "fields"), i, field) {
		const json_t *value = json_object_get(s->args, json_text(field, "name"));

		if (value == NULL || strcmp(json_text(field, "type"), "text-private") == 0)
			continue;
		f = sterna_form_field(x, json_text(field, "name"), "fixed", NULL);
		sterna_attr(f, "label", json_text(field, "label"));
		sterna_text(f, "value", in_lines(c, value));
	}
	return sterna_reply(c, e);
}

static char *scalar(struct sterna_call *c, const json_t *v)
{
	if (json_is_string(v))
		return sterna_printf(c, "%s", json_string_value(v));
	if (json_is_integer(v))
		return sterna_printf(c, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (json_is_real(v))
		return sterna_printf(c, "%.10g", json_real_value(v));
	if (json_is_boolean(v))
		return sterna_printf(c, json_is_true(v) ? "true" : "false");
	return sterna_printf(c, "%s", "");
}

/* Rows of objects: <reported/> and <item/>s (XEP-0004 §3.4). */
static void put_rows(struct sterna_call *c, struct sterna_elem *x, const json_t *rows)
{
	const json_t *first = json_array_get(rows, 0), *row, *value;
	struct sterna_elem *reported = sterna_add(x, "reported", NULL), *item;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)first, key, value)
		sterna_attr(sterna_form_field(reported, key, "text-single", NULL), "label", key);
	json_array_foreach(rows, i, row) {
		item = sterna_add(x, "item", NULL);
		json_object_foreach((json_t *)(uintptr_t)first, key, value) {
			const json_t *v = json_object_get(row, key);
			char *text = json_is_array(v) || json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;

			sterna_text(sterna_form_field(item, key, NULL, NULL), "value", text != NULL ? text : scalar(c, v));
			free(text);
		}
	}
}

/* XEP-0133 §4.8: the roster as it is in RFC 6121. */
static void put_roster(struct sterna_elem *x, const json_t *roster)
{
	struct sterna_elem *query = sterna_add(x, "query", NS_ROSTER), *item;
	const json_t *row, *group;
	size_t i, k;

	json_array_foreach(roster, i, row) {
		item = sterna_add(query, "item", NULL);
		sterna_attr(item, "jid", json_text(row, "jid"));
		if (json_is_string(json_object_get(row, "name")))
			sterna_attr(item, "name", json_text(row, "name"));
		sterna_attr(item, "subscription", json_text(row, "subscription"));
		json_array_foreach(json_object_get(row, "groups"), k, group)
			sterna_text(item, "group", json_string_value(group));
	}
}

static void put_result(struct sterna_call *c, struct sterna_elem *x, const json_t *result)
{
	const char *key;
	json_t *value;

	if (json_is_array(result) && json_is_object(json_array_get(result, 0)))
		put_rows(c, x, result);
	json_object_foreach((json_t *)(uintptr_t)result, key, value) {
		if (strcmp(key, "roster") == 0 && json_is_array(value)) {
			put_roster(x, value);
		} else if (json_is_array(value)) {
			put_values(sterna_form_field(x, key, strstr(key, "jids") != NULL ? "jid-multi" : "text-multi", NULL), value);
		} else if (!json_is_null(value)) {
			char *text = json_is_object(value) ? json_dumps(value, JSON_COMPACT) : NULL;

			sterna_text(sterna_form_field(x, key, "text-single", NULL), "value", text != NULL ? text : scalar(c, value));
			free(text);
		}
	}
}

static enum sterna_verdict refuse(struct sterna_call *c, const struct sterna_outcome *o)
{
	static const struct {
		const char *code;
		enum sterna_condition condition;
	} rows[] = { { "usage", STERNA_BAD_REQUEST }, { "forbidden", STERNA_FORBIDDEN }, { "unknown", STERNA_ITEM_NOT_FOUND },
		{ "conflict", STERNA_CONFLICT }, { "not-found", STERNA_ITEM_NOT_FOUND },
		{ "unavailable", STERNA_RESOURCE_CONSTRAINT } };
	const char *text = o->text != NULL ? sterna_printf(c, o->field != NULL ? "%s: %s" : "%s%s", o->field != NULL ? o->field
		: "", o->text) : NULL;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].code, o->code) == 0)
			return sterna_reject(c, rows[i].condition, text);
	return sterna_reject(c, STERNA_INTERNAL_SERVER_ERROR, text);
}

/* --- the command's stages --- */

static enum sterna_verdict on_done(struct sterna_call *c, const struct sterna_outcome *o)
{
	struct visit *v = sterna_data(c);
	struct adhoc **at = find(c, v->id);
	struct sterna_elem *e;
	bool any;

	if (o->code != NULL && at != NULL && strcmp(o->code, "usage") == 0)
		return show_form(c, *at, o->text); /* once more, with what was wrong */
	end(c, v->id);
	if (o->code != NULL)
		return refuse(c, o);
	e = answer(c, v->id, v->node, "completed");
	any = json_array_size(o->result) > 0 || json_object_size(o->result) > 0;
	sterna_attr(sterna_text(e, "note", json_is_string(json_object_get(o->result, "pending"))
		? "Another administrator has to approve this; it waits." : "done"), "type", "info");
	if (any)
		put_result(c, form_of(e, "result", v->node, "Result"), o->result);
	return sterna_reply(c, e);
}

static enum sterna_verdict on_checked(struct sterna_call *c, const struct sterna_outcome *o)
{
	struct visit *v = sterna_data(c);
	struct adhoc **at = find(c, v->id);

	if (at == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "there is no such session; it may have ended");
	if (o->code != NULL && strcmp(o->code, "usage") == 0)
		return show_form(c, *at, o->text);
	if (o->code != NULL) {
		end(c, v->id);
		return refuse(c, o);
	}
	return ask_again(c, *at);
}

static enum sterna_verdict on_described(struct sterna_call *c, const struct sterna_outcome *o)
{
	struct visit *v = sterna_data(c);
	struct adhoc *s;

	if (o->code != NULL)
		return refuse(c, o);
	s = begin(c, v->node, o->result);
	if (json_array_size(json_object_get(s->description, "fields")) > 0
		|| json_is_true(json_object_get(s->description, "dangerous")))
		return show_form(c, s, NULL);
	memcpy(v->id, s->id, sizeof v->id);
	return sterna_command_run(c, v->node, json_object(), false, on_done);
}

/* XEP-0004 §3.2: of a form that is submitted, the fields and their values. */
static json_t *submitted(struct sterna_call *c, const struct sterna_elem *command)
{
	const struct sterna_elem *x = elem_child(command, "x", NS_DATA);
	json_t *args = json_object();

	for (const struct sterna_elem *f = x != NULL ? elem_first(x) : NULL; f != NULL; f = elem_next(f)) {
		const char *var = elem_attr(f, "var");
		json_t *list = json_array();

		if (!elem_is(f, "field", NS_DATA) || var == NULL || strcmp(var, "FORM_TYPE") == 0) {
			json_decref(list);
			continue;
		}
		for (const struct sterna_elem *k = elem_first(f); k != NULL; k = elem_next(k))
			if (elem_is(k, "value", NS_DATA))
				json_array_append_new(list, json_string(text_of(c, k)));
		json_object_set_new(args, var, list);
	}
	return args;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *d)
{
	return word == NULL || strcmp(word, a) == 0 || strcmp(word, b) == 0 || (d != NULL && strcmp(word, d) == 0);
}

static enum sterna_verdict go_on(struct sterna_call *c, struct adhoc *s, const char *action)
{
	const struct sterna_elem *command = sterna_payload(c);
	const bool dangerous = json_is_true(json_object_get(s->description, "dangerous"));
	struct visit *v = sterna_data(c);

	memcpy(v->id, s->id, sizeof v->id);
	if (action != NULL && strcmp(action, "cancel") == 0) {
		struct sterna_elem *e = answer(c, v->id, v->node, "canceled");

		end(c, v->id);
		return sterna_reply(c, e);
	}
	if (action != NULL && strcmp(action, "prev") == 0)
		return s->args != NULL ? show_form(c, s, NULL) : sterna_reject(c, STERNA_BAD_REQUEST, "there is no stage before");
	if (!is_one_of(action, "execute", "next", "complete"))
		return sterna_reject(c, STERNA_BAD_REQUEST, "there is no such action");
	if (elem_child(command, "x", NS_DATA) != NULL && !(dangerous && s->args != NULL && is_one_of(action, "complete", "complete", NULL))) {
		json_decref(s->args);
		s->args = submitted(c, command);
		if (dangerous)
			return sterna_command_run(c, v->node, json_deep_copy(s->args), true, on_checked);
	} else if (s->args == NULL && dangerous) {
		s->args = json_object();
		return sterna_command_run(c, v->node, json_object(), true, on_checked);
	}
	return sterna_command_run(c, v->node, s->args != NULL ? json_deep_copy(s->args) : json_object(), false, on_done);
}

static enum sterna_verdict on_command(struct sterna_call *c)
{
	const struct sterna_elem *command = sterna_payload(c);
	const char *node = elem_attr(command, "node"), *id = elem_attr(command, "sessionid"), *action = elem_attr(command, "action");
	struct visit *v = sterna_alloc(c, sizeof *v);

	if (node == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a command has a node");
	v->node = node;
	sterna_set_data(c, v);
	if (id != NULL) {
		struct adhoc **at = find(c, id);

		if (at == NULL || strcmp((*at)->node, node) != 0)
			return sterna_reject(c, STERNA_BAD_REQUEST, "there is no such session; it may have ended");
		return go_on(c, *at, action);
	}
	if (!is_one_of(action, "execute", "execute", NULL))
		return sterna_reject(c, STERNA_BAD_REQUEST, "a command begins with 'execute'");
	return sterna_command_describe(c, node, on_described);
}

/* --- discovery: §2 --- */

static enum sterna_verdict on_list(struct sterna_call *c, const struct sterna_outcome *o)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS), *item;
	const json_t *row;
	size_t i;

	if (o->code != NULL)
		return refuse(c, o);
	sterna_attr(query, "node", NS_COMMANDS);
	json_array_foreach(o->result, i, row) {
		item = sterna_add(query, "item", NULL);
		sterna_attr(item, "jid", sterna_host(c));
		sterna_attr(item, "node", json_text(row, "node"));
		sterna_attr(item, "name", json_text(row, "summary"));
	}
	return sterna_reply(c, query);
}

static enum sterna_verdict list_items(struct sterna_call *c)
{
	return sterna_commands_list(c, on_list);
}

static enum sterna_verdict info(struct sterna_call *c, const char *node, const char *type, const char *name)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_INFO), *identity = sterna_add(query, "identity", NULL);

	sterna_attr(query, "node", node);
	sterna_attr(identity, "category", "automation");
	sterna_attr(identity, "type", type);
	sterna_attr(identity, "name", name);
	sterna_attr(sterna_add(query, "feature", NULL), "var", NS_COMMANDS);
	sterna_attr(sterna_add(query, "feature", NULL), "var", NS_DATA);
	return sterna_reply(c, query);
}

static enum sterna_verdict list_info(struct sterna_call *c)
{
	return info(c, NS_COMMANDS, "command-list", "Commands");
}

static enum sterna_verdict on_node(struct sterna_call *c, const struct sterna_outcome *o)
{
	if (o->code != NULL)
		return refuse(c, o);
	return info(c, elem_attr(sterna_payload(c), "node"), "command-node", json_text(o->result, "summary"));
}

static enum sterna_verdict node_info(struct sterna_call *c)
{
	return sterna_command_describe(c, elem_attr(sterna_payload(c), "node"), on_node);
}

static enum sterna_verdict node_items(struct sterna_call *c)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS);

	sterna_attr(query, "node", elem_attr(sterna_payload(c), "node"));
	return sterna_reply(c, query);
}

STERNA_MODULE(commands, .spec = "XEP-0050 1.3.0", .summary = "Ad-Hoc Commands",
	.options = options, .config_size = sizeof(struct commands_config), .worker_size = sizeof(struct commands_worker),
	.features = (const struct sterna_feature[]){ { NS_COMMANDS, STERNA_SERVER }, { 0 } },
	.nodes = (const struct sterna_node[]){ { NS_COMMANDS, false, list_info, list_items },
		{ ADMIN_NODE, true, node_info, node_items }, { "sterna#", true, node_info, node_items },
		{ "urn:xmpp:invite#", true, node_info, node_items }, { 0 } },
	.iq = (const struct sterna_iq[]){ { STERNA_SET, STERNA_SERVER, NS_COMMANDS, "command", on_command }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_SESSION_GONE, on_gone }, { STERNA_WORKER_ENDED, on_worker_end },
		{ 0 } });
