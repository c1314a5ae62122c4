/* XEP-0045 §10.2, §16.5.3: the configuration of a room - one table for its form, its check, and its JSON. Part of the
 * module "muc"; see muc.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"
#include "xep/text.h"

enum kind { BOOLEAN, CHOICE, ROLES, COUNT, TEXT, SECRET };
enum { MAX_USERS = 100000, MAX_HISTORY = 1000, MAX_SLOW = 86400 };

struct field {
	const char *var;
	enum kind kind;
	size_t offset;
	const char *label;
	const char *choices;         /* CHOICE: "a|b" */
	unsigned most;               /* COUNT */
};

#define AT(member) offsetof(struct muc_config, member)
#define CONFIG(name) "muc#roomconfig_" name
static const struct field fields[] = {
	{ CONFIG("roomname"), TEXT, AT(name), "Natural-language room name", NULL, 0 },
	{ CONFIG("roomdesc"), TEXT, AT(description), "Short description of the room", NULL, 0 },
	{ CONFIG("lang"), TEXT, AT(lang), "Natural language of the discussions", NULL, 0 },
	{ CONFIG("persistentroom"), BOOLEAN, AT(persistent), "The room stays when the last occupant has left", NULL, 0 },
	{ CONFIG("publicroom"), BOOLEAN, AT(public), "The room can be found in the list of rooms", NULL, 0 },
	{ CONFIG("membersonly"), BOOLEAN, AT(members_only), "Only members may enter", NULL, 0 },
	{ CONFIG("moderatedroom"), BOOLEAN, AT(moderated), "Only occupants with voice may speak", NULL, 0 },
	{ CONFIG("passwordprotectedroom"), BOOLEAN, AT(password_protected), "A password is needed to enter", NULL, 0 },
	{ CONFIG("roomsecret"), SECRET, AT(password), "The password", NULL, 0 },
	{ CONFIG("whois"), CHOICE, AT(whois), "Who may see the real addresses of occupants", "moderators|anyone", 0 },
	{ CONFIG("allowpm"), CHOICE, AT(allow_pm), "Who may send private messages",
		"anyone|participants|moderators|none", 0 },
	{ CONFIG("changesubject"), BOOLEAN, AT(change_subject), "Participants may change the subject", NULL, 0 },
	{ CONFIG("allowinvites"), BOOLEAN, AT(allow_invites), "Members may invite others", NULL, 0 },
	{ CONFIG("enablelogging"), BOOLEAN, AT(logging), "What is said is kept in an archive", NULL, 0 },
	{ CONFIG("maxusers"), COUNT, AT(max_users), "Most occupants, 0 for as many as the server allows", NULL,
		MAX_USERS },
	{ "muc#maxhistoryfetch", COUNT, AT(max_history), "Most messages of the past that a new occupant gets", NULL,
		MAX_HISTORY },
	{ CONFIG("presencebroadcast"), ROLES, AT(broadcast), "Roles whose presence is shown to all", NULL, 0 },
	{ CONFIG("getmemberlist"), ROLES, AT(member_list), "Roles that may get the list of members", NULL, 0 },
	{ CONFIG("pubsub"), TEXT, AT(pubsub), "XMPP URI of an associated publish-subscribe node", NULL, 0 },
	{ "muc#roominfo_contactjid", TEXT, AT(contact), "Address of someone responsible", NULL, 0 },
	{ "muc#register_allow", BOOLEAN, AT(allow_register), "Users may register with the room and become members", NULL,
		0 },
	{ "{urn:sterna:muc}visitor_nick", BOOLEAN, AT(visitor_nick), "Visitors may change their nick", NULL, 0 },
	{ CONFIG("slow_mode_duration"), COUNT, AT(slow_mode), "Seconds that a participant waits between two messages", NULL,
		MAX_SLOW },
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void *at(const struct muc_config *cfg, const struct field *f)
{
	return (char *)cfg + f->offset;
}

static char **text_at(const struct muc_config *cfg, const struct field *f)
{
	return at(cfg, f);
}

static bool is_text(const struct field *f)
{
	return f->kind == TEXT || f->kind == SECRET;
}

static bool find_choice(const char *choices, const char *value, unsigned *out)
{
	unsigned i = 0;

	for (const char *p = choices; *p != '\0'; i++) {
		const size_t n = strcspn(p, "|");

		if (strlen(value) == n && memcmp(p, value, n) == 0) {
			*out = i;
			return true;
		}
		p += n + (p[n] == '|');
	}
	return false;
}

static char *choice(const char *choices, unsigned index)
{
	const char *p = choices;

	for (; index > 0 && *p != '\0'; index--) {
		p += strcspn(p, "|");
		p += *p == '|';
	}
	return xstrndup(p, strcspn(p, "|"));
}

void muc_config_default(struct muc_config *cfg, const struct muc_options *o)
{
	*cfg = (struct muc_config){
		.public = o->public, .persistent = o->persistent, .members_only = o->members_only,
		.moderated = o->moderated, .logging = o->archive, .change_subject = true, .allow_register = true,
		.visitor_nick = true, .whois = o->nonanonymous ? MUC_WHOIS_ANYONE : MUC_WHOIS_MODERATORS,
		.max_history = o->history,
		.broadcast = 1u << MUC_VISITOR | 1u << MUC_PARTICIPANT | 1u << MUC_MODERATOR,
		.member_list = 1u << MUC_VISITOR | 1u << MUC_PARTICIPANT | 1u << MUC_MODERATOR };
}

void muc_config_clear(struct muc_config *cfg)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (is_text(&fields[i])) {
			free(*text_at(cfg, &fields[i]));
			*text_at(cfg, &fields[i]) = NULL;
		}
}

static void copy(const struct muc_config *cfg, struct muc_config *out)
{
	*out = *cfg;
	for (size_t i = 0; i < FIELDS; i++)
		if (is_text(&fields[i]) && *text_at(cfg, &fields[i]) != NULL)
			*text_at(out, &fields[i]) = xstrdup(*text_at(cfg, &fields[i]));
}

/* --- JSON: what is stored --- */

char *muc_config_json(const struct muc_config *cfg)
{
	json_t *o = json_object();

	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];

		if (is_text(f) && *text_at(cfg, f) != NULL)
			json_object_set_new(o, f->var, json_string(*text_at(cfg, f)));
		else if (f->kind == BOOLEAN)
			json_object_set_new(o, f->var, json_boolean(*(bool *)at(cfg, f)));
		else if (!is_text(f))
			json_object_set_new(o, f->var, json_integer(*(unsigned *)at(cfg, f)));
	}
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

bool muc_config_parse(struct muc_config *cfg, const char *text)
{
	json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;

	if (!json_is_object(o)) {
		json_decref(o);
		return false;
	}
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];
		const json_t *v = json_object_get(o, f->var);

		if (is_text(f) && json_is_string(v)) {
			free(*text_at(cfg, f));
			*text_at(cfg, f) = xstrdup(json_string_value(v));
		} else if (f->kind == BOOLEAN && json_is_boolean(v)) {
			*(bool *)at(cfg, f) = json_is_true(v);
		} else if (!is_text(f) && f->kind != BOOLEAN && json_is_integer(v)) {
			*(unsigned *)at(cfg, f) = (unsigned)json_integer_value(v);
		}
	}
	json_decref(o);
	return true;
}

/* --- the form --- */

static void add_option(struct sterna_elem *field, const char *value)
{
	sterna_text(sterna_add(field, "option", NULL), "value", value);
}

static void form_choice(struct sterna_elem *form, const struct field *f, unsigned value)
{
	char *now = choice(f->choices, value);
	struct sterna_elem *e = sterna_form_field(form, f->var, "list-single", now);

	sterna_attr(e, "label", f->label);
	free(now);
	for (unsigned i = 0, n = 0; n < 16; i++, n++) {
		char *each = choice(f->choices, i);
		const bool is_last = *each == '\0';

		if (!is_last)
			add_option(e, each);
		free(each);
		if (is_last)
			return;
	}
}

static void form_roles(struct sterna_elem *form, const struct field *f, unsigned bits)
{
	struct sterna_elem *e = sterna_form_field(form, f->var, "list-multi", NULL);

	sterna_attr(e, "label", f->label);
	for (unsigned r = MUC_MODERATOR; r >= MUC_VISITOR; r--)
		if ((bits & 1u << r) != 0)
			sterna_text(e, "value", muc_roles[r]);
	for (unsigned r = MUC_MODERATOR; r >= MUC_VISITOR; r--)
		add_option(e, muc_roles[r]);
}

static void form_count(struct sterna_elem *form, const struct field *f, unsigned value)
{
	char text[16];

	snprintf(text, sizeof text, "%u", value);
	sterna_attr(sterna_form_field(form, f->var, "text-single", text), "label", f->label);
}

void muc_config_form(const struct muc_config *cfg, struct sterna_elem *form)
{
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *f = &fields[i];
		const char *text = is_text(f) && *text_at(cfg, f) != NULL ? *text_at(cfg, f) : "";

		switch (f->kind) {
		case BOOLEAN:
			sterna_attr(sterna_form_field(form, f->var, "boolean", *(bool *)at(cfg, f) ? "1" : "0"), "label",
				f->label);
			break;
		case CHOICE:
			form_choice(form, f, *(unsigned *)at(cfg, f));
			break;
		case ROLES:
			form_roles(form, f, *(unsigned *)at(cfg, f));
			break;
		case COUNT:
			form_count(form, f, *(unsigned *)at(cfg, f));
			break;
		default:
			sterna_attr(sterna_form_field(form, f->var, f->kind == SECRET ? "text-private" : "text-single", text),
				"label", f->label);
		}
	}
}

/* --- for the audit: which, not what --- */

static bool differs(const struct muc_config *a, const struct muc_config *b, const struct field *f)
{
	if (is_text(f)) {
		const char *x = *text_at(a, f), *y = *text_at(b, f);

		return strcmp(x != NULL ? x : "", y != NULL ? y : "") != 0;
	}
	return f->kind == BOOLEAN ? *(bool *)at(a, f) != *(bool *)at(b, f) : *(unsigned *)at(a, f) != *(unsigned *)at(b, f);
}

const char *muc_config_changes(struct sterna_call *c, const struct muc_config *before, const struct muc_config *after)
{
	const char *all = "";

	for (size_t i = 0; i < FIELDS; i++)
		if (differs(before, after, &fields[i]))
			all = sterna_printf(c, "%s%s%s", all, *all != '\0' ? " " : "", fields[i].var);
	return all;
}

/* --- reading it --- */

static bool set_bool(bool *out, const char *value)
{
	const bool yes = strcmp(value, "1") == 0 || strcmp(value, "true") == 0;

	if (!yes && strcmp(value, "0") != 0 && strcmp(value, "false") != 0)
		return false;
	*out = yes;
	return true;
}

/* "none", as the standard's list of choices has it, or nothing, is no limit. */
static bool set_count(unsigned *out, const char *value, unsigned most)
{
	char *end = NULL;

	if (*value == '\0' || strcmp(value, "none") == 0) {
		*out = 0;
		return true;
	}
	const unsigned long n = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || strlen(value) > 9)
		return false;
	*out = n < most ? (unsigned)n : most;
	return true;
}

/* The standard's fields name roles; of affiliations, those that are roles too. */
static bool set_roles(struct sterna_call *c, unsigned *out, const struct sterna_elem *field)
{
	unsigned bits = 0;

	elem_foreach(v, field) {
		const char *text = elem_is(v, "value", NS_DATA) ? text_of(c, v) : "";
		unsigned r = MUC_NO_ROLE;

		if (*text == '\0' || strcmp(text, "none") == 0)
			continue;
		if (!muc_value(muc_roles, text, &r))
			return false;
		bits |= 1u << r;
	}
	*out = bits;
	return true;
}

static bool set_text(char **out, const char *value, uint64_t most)
{
	if (strlen(value) > most)
		return false;
	free(*out);
	*out = *value != '\0' ? xstrdup(value) : NULL;
	return true;
}

static bool set_field(struct sterna_call *c, struct muc_config *cfg, const struct field *f,
	const struct sterna_elem *field, const struct muc_options *o)
{
	const struct sterna_elem *v = elem_child(field, "value", NULL);
	const char *value = v != NULL ? text_of(c, v) : "";

	switch (f->kind) {
	case BOOLEAN:
		return v == NULL || set_bool(at(cfg, f), value);
	case CHOICE:
		return v == NULL || find_choice(f->choices, value, at(cfg, f));
	case ROLES:
		return set_roles(c, at(cfg, f), field);
	case COUNT:
		return set_count(at(cfg, f), value, f->most);
	default:
		return set_text(text_at(cfg, f), value, o->text_size.bytes);
	}
}

static const struct field *find(const char *var)
{
	for (size_t i = 0; var != NULL && i < FIELDS; i++)
		if (strcmp(fields[i].var, var) == 0)
			return &fields[i];
	return NULL;
}

const char *muc_config_set(const struct muc_config *cfg, struct sterna_call *c, const struct sterna_elem *form,
	const struct muc_options *o, struct muc_config *out)
{
	const char *wrong = NULL;

	copy(cfg, out);
	elem_foreach(e, form) {
		const struct field *f = elem_is(e, "field", NS_DATA) ? find(elem_attr(e, "var")) : NULL;

		if (f != NULL && wrong == NULL && !set_field(c, out, f, e, o))
			wrong = f->label;
	}
	if (wrong == NULL && out->password_protected && muc_is_empty(out->password))
		wrong = "a room with a password needs one";
	if (wrong != NULL)
		muc_config_clear(out);
	return wrong;
}
