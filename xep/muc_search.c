/* XEP-0433: a search over the public rooms of a service - by words, or all of them, in pages (XEP-0059). It keeps nothing
 * between two requests: a page says where the next one begins. Part of the module "muc"; see muc.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

#define NS_ERROR "urn:xmpp:channel-search:0:error"
#define NS_PARAMS "urn:xmpp:channel-search:0:search-params"
#define KEY_USERS "{urn:xmpp:channel-search:0:order}nusers"
#define KEY_ADDRESS "{urn:xmpp:channel-search:0:order}address"

enum { CHUNK = 200, MAX_WORDS = 16, MAX_TEXT = 512, MIN_WORD = 2, MAX_ANSWER = 128 * 1024 };

/* Occupants as the database has them: of a few moments ago, which is all that §5.2 asks. */
#define USERS "(SELECT count(DISTINCT s.nick) FROM muc_session s WHERE s.room = r.room)"
#define LISTED "SELECT r.room, r.name, r.config, " USERS " AS users FROM muc_room r WHERE r.host = $1 AND r.listed = 1"
static const struct db_stmt by_address[] = {
	{ .name = "muc_search_address", .params = "tti", .columns = "ttti",
		.sql = LISTED " AND r.room > $2 ORDER BY r.room LIMIT $3" },
	{ .name = "muc_search_address_back", .params = "tti", .columns = "ttti",
		.sql = LISTED " AND (r.room < $2 OR $2 = '') ORDER BY r.room DESC LIMIT $3" },
};
static const struct db_stmt by_users[] = {
	{ .name = "muc_search_users", .params = "titi", .columns = "ttti",
		.sql = "SELECT room, name, config, users FROM (" LISTED ") AS l WHERE users < $2 OR (users = $2 AND room > $3)"
		       " ORDER BY users DESC, room LIMIT $4" },
	{ .name = "muc_search_users_back", .params = "titi", .columns = "ttti",
		.sql = "SELECT room, name, config, users FROM (" LISTED ") AS l WHERE users > $2 OR (users = $2 AND room < $3)"
		       " ORDER BY users, room DESC LIMIT $4" },
};

struct search {
	bool all, in_name, in_description, in_address, by_address, backward, none;
	char *words[MAX_WORDS];              /* folded */
	size_t word_count;
	int64_t min_users;
	size_t max, looked, asked, bytes;   /* rooms of a page; looked at, and asked for at once */
	const char *room;                    /* go on behind this one, that has so many users */
	int64_t users;
	struct sterna_elem **found;          /* in the order of the search */
	const char **places;                 /* of each, as a page names it */
	size_t count;
	const char *stopped;                 /* the place of the last room that one search may look at; or NULL */
};

/* --- the form --- */

static struct sterna_elem *add_field(struct sterna_elem *form, const char *var, const char *type, const char *label,
	const char *value)
{
	struct sterna_elem *f = sterna_form_field(form, var, type, value);

	sterna_attr(f, "label", label);
	return f;
}

static void add_option(struct sterna_elem *field, const char *value, const char *label)
{
	struct sterna_elem *o = sterna_add(field, "option", NULL);

	sterna_attr(o, "label", label);
	sterna_text(o, "value", value);
}

static enum sterna_verdict send_form(struct sterna_call *c)
{
	struct sterna_elem *search = sterna_elem(c, "search", NS_SEARCH), *form = sterna_form(search, "form", NS_PARAMS), *f;

	add_field(form, "q", "text-single", "Search for", NULL);
	if (muc_options(c)->search == MUC_SEARCH_ALL)
		add_field(form, "all", "boolean", "All rooms, whatever is searched for", "false");
	add_field(form, "sinname", "boolean", "Search in names", "true");
	add_field(form, "sindescription", "boolean", "Search in descriptions", "true");
	add_field(form, "sinaddr", "boolean", "Search in addresses", "true");
	add_field(form, "min_users", "text-single", "Least number of occupants", "0");
	f = add_field(form, "types", "list-multi", "Kinds of rooms", "xep-0045");
	add_option(f, "xep-0045", "Multi-User Chat");
	f = add_field(form, "key", "list-single", "Order", KEY_USERS);
	add_option(f, KEY_USERS, "Number of occupants");
	add_option(f, KEY_ADDRESS, "Address");
	return sterna_reply(c, search);
}

/* --- what is asked for --- */

static enum sterna_verdict refuse(struct sterna_call *c, enum sterna_condition condition, const char *text,
	const char *name)
{
	return sterna_reject_with(c, condition, text, name, NS_ERROR);
}

/* §3.2.4: of type modify, which this condition is not otherwise. */
static enum sterna_verdict refuse_key(struct sterna_call *c)
{
	struct sterna_elem *e = sterna_error(c, STERNA_FEATURE_NOT_IMPLEMENTED, NULL);
	const struct sterna_elem *inner = e != NULL ? elem_child(e, "error", NULL) : NULL;

	if (inner == NULL)
		return STERNA_DONE;
	sterna_attr((struct sterna_elem *)inner, "type", "modify");
	sterna_add((struct sterna_elem *)inner, "invalid-sort-key", NS_ERROR);
	sterna_send(c, e);
	return STERNA_DONE;
}

static enum sterna_verdict refuse_conflict(struct sterna_call *c)
{
	struct sterna_elem *e = sterna_elem(c, "conflicting-fields", NS_ERROR);

	sterna_text(e, "var", "all");
	sterna_text(e, "var", "q");
	return sterna_reject_elem(c, STERNA_BAD_REQUEST, "either all rooms, or those that are searched for", e, NULL);
}

/* A field that is not there leaves *out. */
static bool read_flag(const struct sterna_elem *form, const char *var, bool *out)
{
	const char *v = sterna_form_value(form, var);

	if (v == NULL)
		return true;
	*out = strcmp(v, "1") == 0 || strcmp(v, "true") == 0;
	return *out || strcmp(v, "0") == 0 || strcmp(v, "false") == 0;
}

static bool read_number(const char *text, int64_t *out)
{
	int64_t n = 0;

	if (text == NULL)
		return true;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || n > 1000000000)
			return false;
		n = n * 10 + (*p - '0');
	}
	*out = n;
	return *text != '\0';
}

/* Words that are long enough to find something by; each must be found. */
static void read_words(struct sterna_call *c, struct search *s, const char *q)
{
	char *folded = fold_text(q, strlen(q)), *rest = NULL;

	for (char *w = strtok_r(folded, " \t\r\n", &rest); w != NULL; w = strtok_r(NULL, " \t\r\n", &rest))
		if (strlen(w) >= MIN_WORD && s->word_count < MAX_WORDS)
			s->words[s->word_count++] = sterna_printf(c, "%s", w);
	free(folded);
}

static bool asks_for_rooms(const struct sterna_elem *form)
{
	bool named = false;

	elem_foreach(f, form) {
		const char *var = elem_attr(f, "var");

		if (var == NULL || strcmp(var, "types") != 0)
			continue;
		elem_foreach(v, f) {
			const char *text = elem_text(v->arena, v);

			named = named || elem_is(v, "value", NS_DATA);
			if (text != NULL && strcmp(text, "xep-0045") == 0)
				return true;
		}
	}
	return !named;
}

/* §3.2.3-3.2.7, in this order. STERNA_NEXT: it is all right. */
static enum sterna_verdict read_form(struct sterna_call *c, struct search *s, const struct sterna_elem *form)
{
	const char *q = sterna_form_value(form, "q"), *key = sterna_form_value(form, "key"),
		*type = elem_attr(form, "type"), *form_type = sterna_form_value(form, "FORM_TYPE");

	s->in_name = s->in_description = s->in_address = true;
	if (type == NULL || strcmp(type, "submit") != 0 || form_type == NULL || strcmp(form_type, NS_PARAMS) != 0)
		return sterna_reject(c, STERNA_BAD_REQUEST, "a form of type submit and FORM_TYPE " NS_PARAMS " is needed");
	if (!read_flag(form, "all", &s->all) || !read_flag(form, "sinname", &s->in_name)
		|| !read_flag(form, "sindescription", &s->in_description) || !read_flag(form, "sinaddr", &s->in_address)
		|| !read_flag(form, "sinaddress", &s->in_address) /* §5.1 has this name, the examples the other */
		|| !read_number(sterna_form_value(form, "min_users"), &s->min_users))
		return sterna_reject(c, STERNA_BAD_REQUEST, "the form has a value that is none");
	s->by_address = key != NULL && strcmp(key, KEY_ADDRESS) == 0;
	if (key != NULL && !s->by_address && strcmp(key, KEY_USERS) != 0)
		return refuse_key(c);
	if (s->all && muc_options(c)->search != MUC_SEARCH_ALL)
		return refuse(c, STERNA_NOT_ALLOWED, "the whole list is not given away", "full-set-retrieval-rejected");
	if (s->all && !muc_is_empty(q))
		return refuse_conflict(c);
	if (!s->all && muc_is_empty(q))
		return refuse(c, STERNA_BAD_REQUEST, "nothing is searched for", "no-search-conditions");
	if (!s->all && strlen(q) <= MAX_TEXT)
		read_words(c, s, q);
	if (!s->all && s->word_count == 0)
		return refuse(c, STERNA_BAD_REQUEST, "a word has two letters at least, all of them 512 bytes at most",
			"invalid-search-terms");
	s->none = !asks_for_rooms(form);
	return STERNA_NEXT;
}

/* Where a page begins; by users: "12:room@service". */
static bool read_place(struct sterna_call *c, struct search *s, const char *text)
{
	const char *colon = strchr(text, ':');

	s->room = text;
	if (s->by_address)
		return true;
	if (colon == NULL || !read_number(sterna_printf(c, "%.*s", (int)(colon - text), text), &s->users))
		return false;
	s->room = colon + 1;
	return true;
}

static enum sterna_verdict read_page(struct sterna_call *c, struct search *s, const struct sterna_elem *set)
{
	const char *after = set != NULL ? sterna_child_text(set, "after") : NULL,
		*before = set != NULL ? sterna_child_text(set, "before") : NULL;
	int64_t max = muc_options(c)->max_page;

	if (!read_number(set != NULL ? sterna_child_text(set, "max") : NULL, &max))
		return sterna_reject(c, STERNA_BAD_REQUEST, "max is a number");
	if (max == 0) /* XEP-0059 §2.7: the number alone, which would need a look at all */
		return sterna_reject(c, STERNA_FEATURE_NOT_IMPLEMENTED, NULL);
	s->max = (size_t)max < muc_options(c)->max_page ? (size_t)max : muc_options(c)->max_page;
	s->backward = before != NULL && after == NULL;
	s->room = "";
	s->users = s->backward ? -1 : INT64_MAX;
	after = after != NULL ? after : before;
	if (!muc_is_empty(after) && !read_place(c, s, after))
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL); /* XEP-0059 §2.3: no such place */
	s->found = sterna_alloc(c, s->max * sizeof(struct sterna_elem *));
	s->places = sterna_alloc(c, s->max * sizeof(char *));
	return STERNA_NEXT;
}

/* --- looking --- */

static bool has_words(const struct search *s, const char *name, const char *description, const char *address)
{
	char *const in[] = { s->in_name ? fold_text(name, strlen(name)) : NULL,
		s->in_description && description != NULL ? fold_text(description, strlen(description)) : NULL,
		s->in_address ? fold_text(address, strlen(address)) : NULL };
	bool has = true;

	for (size_t i = 0; has && i < s->word_count; i++) {
		has = false;
		for (size_t k = 0; k < sizeof in / sizeof *in; k++)
			has = has || (in[k] != NULL && strstr(in[k], s->words[i]) != NULL);
	}
	for (size_t k = 0; k < sizeof in / sizeof *in; k++)
		free(in[k]);
	return has;
}

/* §5.2. A room with a password or for members is not open; then the element is left out: it is empty in the examples, and
 * some look at no more than whether it is there. */
static struct sterna_elem *item_of(struct sterna_call *c, const char *room, const char *name,
	const struct muc_config *cfg, int64_t users)
{
	struct sterna_elem *item = sterna_elem(c, "item", NS_SEARCH);

	sterna_attr(item, "address", room);
	sterna_text(item, "name", name);
	if (cfg->description != NULL)
		sterna_text(item, "description", cfg->description);
	if (cfg->lang != NULL)
		sterna_text(item, "language", cfg->lang);
	sterna_text(item, "nusers", sterna_printf(c, "%" PRId64, users));
	sterna_text(item, "service-type", "xep-0045");
	if (!cfg->members_only && !cfg->password_protected)
		sterna_text(item, "is-open", "true");
	sterna_text(item, "anonymity-mode", cfg->whois == MUC_WHOIS_ANYONE
		? "{urn:xmpp:channel-search:0:anonymity}none" : "muc_semianonymous");
	return item;
}

static const char *place_of(struct sterna_call *c, const struct search *s)
{
	return s->by_address ? s->room : sterna_printf(c, "%" PRId64 ":%s", s->users, s->room);
}

/* One row. @return false: the page is full */
static bool look_at(struct sterna_call *c, struct search *s, const struct sterna_rows *rows, size_t i)
{
	const char *const *row = rows->text + i * rows->columns;
	const char *name = row[1];
	struct muc_config cfg;

	s->room = sterna_printf(c, "%s", row[0]);
	s->users = db_int(rows->db, i, 3);
	s->looked++;
	if (name == NULL)
		name = sterna_printf(c, "%.*s", (int)strcspn(row[0], "@"), row[0]);
	muc_config_default(&cfg, muc_options(c));
	if (muc_config_parse(&cfg, row[2]) && s->users >= s->min_users && has_words(s, name, cfg.description, row[0])) {
		s->found[s->count] = item_of(c, s->room, name, &cfg, s->users);
		s->bytes += strlen(sterna_xml(s->found[s->count]));
		s->places[s->count++] = place_of(c, s);
	}
	muc_config_clear(&cfg);
	return s->count < s->max && s->bytes < MAX_ANSWER;
}

static enum sterna_verdict answer(struct sterna_call *c, const struct search *s)
{
	struct sterna_elem *result = sterna_elem(c, "result", NS_SEARCH), *set;
	const char *first = s->count > 0 ? s->places[0] : s->stopped,
		*last = s->stopped != NULL || s->count == 0 ? s->stopped : s->places[s->count - 1];

	for (size_t i = 0; i < s->count; i++)
		sterna_add_copy(result, s->found[s->backward ? s->count - 1 - i : i]);
	set = sterna_add(result, "set", NS_RSM);
	if (first != NULL) {
		sterna_text(set, "first", s->backward ? last : first);
		sterna_text(set, "last", s->backward ? first : last);
	}
	return sterna_reply(c, result);
}

static sterna_rows_fn on_chunk;

static enum sterna_verdict look_on(struct sterna_call *c, struct search *s)
{
	const char *host = jid_domain(sterna_to(c));
	const size_t left = muc_options(c)->search_rooms - s->looked;

	s->asked = left < CHUNK ? left : CHUNK;
	if (s->by_address)
		return sterna_read(c, on_chunk, &by_address[s->backward], host, s->room, (int64_t)s->asked);
	return sterna_read(c, on_chunk, &by_users[s->backward], host, s->users, s->room, (int64_t)s->asked);
}

static enum sterna_verdict on_chunk(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct search *s = sterna_data(c);
	bool goes_on = rc == STERNA_OK && rows->count == s->asked;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	for (size_t i = 0; i < rows->count; i++)
		if (!look_at(c, s, rows, i)) {
			goes_on = false;
			break;
		}
	if (goes_on && s->looked < muc_options(c)->search_rooms)
		return look_on(c, s);
	s->stopped = goes_on ? place_of(c, s) : NULL;
	return answer(c, s);
}

enum sterna_verdict muc_on_search(struct sterna_call *c)
{
	const struct sterna_elem *form = elem_child(sterna_payload(c), "x", NS_DATA);
	struct search *s = sterna_alloc(c, sizeof *s);
	enum sterna_verdict v;

	if (jid_local(sterna_to(c)) != NULL || muc_options(c)->search == MUC_SEARCH_NOT)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	if (form == NULL)
		return send_form(c);
	v = read_form(c, s, form);
	if (v == STERNA_NEXT)
		v = read_page(c, s, elem_child(sterna_payload(c), "set", NS_RSM));
	if (v != STERNA_NEXT)
		return v;
	sterna_set_data(c, s);
	return s->none ? answer(c, s) : look_on(c, s);
}
