/* XEP-0313 §4: reading a query - its form, and Result Set Management (XEP-0059). Part of the module "mam". */
#include "xep/xep0313_query.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "xep/text.h"

#define NS_DATA "jabber:x:data"
#define MAX_MS (INT64_MAX >> 20)

/* The ids that were named, each once: their number is bounded by the module's max_page and four more. */
struct named {
	int64_t *id;
	size_t count, size;
};

struct reading {
	struct sterna_call *c;
	struct mam_query *q;
	struct named named;
	bool failed;
	enum sterna_condition condition;
	const char *text;
};

static void fail(struct reading *r, enum sterna_condition condition, const char *text)
{
	if (!r->failed) {
		r->failed = true;
		r->condition = condition;
		r->text = text;
	}
}

/* An id as we write it: decimal, no sign, no leading zero. Any other text names nothing (§4.1.4). */
static bool read_id(const char *text, int64_t *out)
{
	char *end = NULL;

	if (text[0] < '1' || text[0] > '9' || strlen(text) > 19)
		return false;
	const unsigned long long n = strtoull(text, &end, 10);

	if (*end != '\0' || n > INT64_MAX)
		return false;
	*out = (int64_t)n;
	return true;
}

static int64_t name_id(struct reading *r, const char *text)
{
	int64_t id = 0;

	if (!read_id(text, &id)) {
		fail(r, STERNA_ITEM_NOT_FOUND, NULL);
		return 0;
	}
	for (size_t i = 0; i < r->named.count; i++)
		if (r->named.id[i] == id)
			return id;
	if (r->named.count == r->named.size) {
		fail(r, STERNA_POLICY_VIOLATION, "too many ids");
		return 0;
	}
	r->named.id[r->named.count++] = id;
	return id;
}

static const char *join(struct reading *r)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < r->named.count; i++)
		buf_addf(&b, "%s%" PRId64, i > 0 ? "," : "", r->named.id[i]);
	const char *text = sterna_printf(r->c, "%s", buf_str(&b));

	buf_release(&b);
	return text;
}

static void raise_low(struct mam_query *q, int64_t low)
{
	if (low > q->low)
		q->low = low;
}

static void lower_high(struct mam_query *q, int64_t high)
{
	if (high < q->high)
		q->high = high;
}

/* --- the form's fields: §4.1 --- */

static void with_field(struct reading *r, const char *value)
{
	struct jid *j = NULL;

	if (jid_parse(value, strlen(value), &j) != STERNA_OK) {
		fail(r, STERNA_JID_MALFORMED, "with");
		return;
	}
	r->q->peer = sterna_printf(r->c, "%s", jid_bare(j));
	r->q->filter = MAM_PEER;
	if (jid_resource(j) != NULL) {
		r->q->resource = sterna_printf(r->c, "%s", jid_resource(j));
		r->q->filter = MAM_RESOURCE;
	}
	jid_unref(&j);
}

/* A time as the id that a stanza of that millisecond would begin at. after: of the millisecond after it. */
static bool time_as_id(const char *text, bool after, int64_t *out)
{
	int64_t us, ms;

	if (sterna_parse_stamp(text, &us) != STERNA_OK)
		return false;
	if (us < 0)
		us = 0;
	ms = after ? us / 1000 + 1 : (us + 999) / 1000;
	*out = (ms < MAX_MS ? ms : MAX_MS) << 20;
	return true;
}

static void start_field(struct reading *r, const char *value)
{
	int64_t id;

	if (!time_as_id(value, false, &id))
		fail(r, STERNA_BAD_REQUEST, "start is no date and time of XEP-0082");
	else
		raise_low(r->q, id - 1);
}

static void end_field(struct reading *r, const char *value)
{
	int64_t id;

	r->q->open_end = false;
	if (!time_as_id(value, true, &id))
		fail(r, STERNA_BAD_REQUEST, "end is no date and time of XEP-0082");
	else
		lower_high(r->q, id);
}

static void after_id_field(struct reading *r, const char *value)
{
	raise_low(r->q, name_id(r, value));
}

static void before_id_field(struct reading *r, const char *value)
{
	const int64_t id = name_id(r, value);

	r->q->open_end = false;
	lower_high(r->q, id);
}

static void groupchat_field(struct reading *r, const char *value)
{
	(void)r;
	(void)value; /* rooms have archives of their own; here are none of their messages */
}

static void form_type_field(struct reading *r, const char *value)
{
	if (strcmp(value, NS_MAM) != 0)
		fail(r, STERNA_BAD_REQUEST, "the form's FORM_TYPE is " NS_MAM);
}

static const struct {
	const char *var;
	void (*fn)(struct reading *r, const char *value);
} fields[] = {
	{ "FORM_TYPE", form_type_field }, { "with", with_field }, { "start", start_field }, { "end", end_field },
	{ "after-id", after_id_field }, { "before-id", before_id_field }, { "include-groupchat", groupchat_field },
};

static void ids_field(struct reading *r, const struct sterna_elem *field)
{
	r->q->open_end = false;
	elem_foreach(v, field)
		if (elem_is(v, "value", NS_DATA))
			name_id(r, text_of(r->c, v));
	if (r->named.count > 0)
		r->q->ids = join(r);
}

static void read_field(struct reading *r, const struct sterna_elem *field)
{
	const char *var = elem_attr(field, "var");
	const struct sterna_elem *value = elem_child(field, "value", NULL);

	for (size_t i = 0; var != NULL && i < sizeof fields / sizeof *fields; i++)
		if (strcmp(var, fields[i].var) == 0) {
			if (value != NULL) /* one without value is as if it were not there */
				fields[i].fn(r, text_of(r->c, value));
			return;
		}
	if (var == NULL || strcmp(var, "ids") != 0)
		fail(r, STERNA_FEATURE_NOT_IMPLEMENTED, "there is no such field"); /* §4.1.5 */
}

/* The list of ids first, so that it holds only them. */
static void read_form(struct reading *r, const struct sterna_elem *form)
{
	elem_foreach(f, form)
		if (elem_is(f, "field", NS_DATA) && elem_attr(f, "var") != NULL && strcmp(elem_attr(f, "var"), "ids") == 0)
			ids_field(r, f);
	elem_foreach(f, form)
		if (elem_is(f, "field", NS_DATA))
			read_field(r, f);
}

/* --- XEP-0059 --- */

static void read_max(struct reading *r, const char *text)
{
	const struct mam_source *cfg = r->q->source;
	char *end = NULL;
	const unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0')
		fail(r, STERNA_BAD_REQUEST, "max is a number");
	else
		r->q->limit = n < cfg->max_page ? (int64_t)n : (int64_t)cfg->max_page;
}

static void read_set(struct reading *r, const struct sterna_elem *set)
{
	struct mam_query *q = r->q;
	const char *max = sterna_child_text(set, "max"), *after = sterna_child_text(set, "after"),
		*before = sterna_child_text(set, "before");

	if (elem_child(set, "index", NULL) != NULL)
		fail(r, STERNA_FEATURE_NOT_IMPLEMENTED, "pages are found by id");
	if (max != NULL)
		read_max(r, max);
	if (after != NULL && *after != '\0')
		raise_low(q, name_id(r, after));
	if (before == NULL)
		return;
	q->backward = after == NULL; /* §2.3; with both, it is a range */
	if (*before != '\0') {
		q->before = name_id(r, before);
		lower_high(q, q->before);
	}
}

bool mam_query_read(struct sterna_call *c, struct mam_query *q, enum sterna_verdict *refused)
{
	const struct mam_source *cfg = q->source;
	const struct sterna_elem *query = sterna_payload(c), *form = elem_child(query, "x", NS_DATA),
		*set = elem_child(query, "set", NS_RSM);
	struct reading r = { .c = c, .q = q };

	q->queryid = elem_attr(query, "queryid");
	q->low = cfg->since;
	q->high = INT64_MAX;
	q->limit = cfg->page < cfg->max_page ? cfg->page : cfg->max_page;
	q->open_end = true;
	q->flip = elem_child(query, "flip-page", NULL) != NULL;
	r.named.size = cfg->max_page + 4;
	r.named.id = sterna_alloc(c, r.named.size * sizeof *r.named.id);
	if (elem_attr(query, "node") != NULL)
		fail(&r, STERNA_ITEM_NOT_FOUND, NULL); /* XEP-0442's, not an account's */
	if (form != NULL)
		read_form(&r, form);
	if (set != NULL)
		read_set(&r, set);
	q->named = join(&r);
	q->named_count = r.named.count;
	if (!r.failed)
		return true;
	*refused = sterna_reject(c, r.condition, r.text);
	return false;
}
