/* rest_answer.c - see rest_answer.h. */
#include "server/rest_answer.h"
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

/* --- in --- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* New, or NULL: no such coding, or a NUL. */
static char *decode(const char *text, size_t len)
{
	char *out = xalloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = text[i] == '+' ? ' ' : (unsigned char)text[i];

		if (c == '%') {
			const int high = i + 2 < len ? hex(text[i + 1]) : -1, low = high >= 0 ? hex(text[i + 2]) : -1;

			c = low >= 0 ? high * 16 + low : 0;
			i += 2;
		}
		if (c == 0) {
			free(out);
			return NULL;
		}
		out[n++] = (char)c;
	}
	return out;
}

static bool page_number(const char *value, size_t min, size_t max, size_t *out)
{
	const size_t n = strlen(value);

	if (n == 0 || n > 9 || strspn(value, "0123456789") != n)
		return false;
	*out = strtoul(value, NULL, 10);
	return *out >= min && *out <= max;
}

/* A name that comes again has an array. */
static bool add(json_t *fields, const char *name, const char *value)
{
	json_t *text = json_string(value), *old = json_object_get(fields, name);

	if (text == NULL)
		return false; /* no UTF-8 */
	if (old == NULL)
		return json_object_set_new(fields, name, text) == 0;
	if (json_is_array(old))
		return json_array_append_new(old, text) == 0;
	json_t *list = json_pack("[O, o]", old, text);

	return json_object_set_new(fields, name, list) == 0;
}

static const char *take_pair(const char *pair, size_t len, size_t page_max, struct rest_page *page, json_t *fields)
{
	const char *equals = memchr(pair, '=', len);
	const size_t n = equals != NULL ? (size_t)(equals - pair) : len;
	char *name = decode(pair, n), *value = equals != NULL ? decode(equals + 1, len - n - 1) : xstrdup("");
	const char *why = NULL;

	if (name == NULL || value == NULL)
		why = "query";
	else if (strcmp(name, "page") == 0)
		why = page_number(value, 0, 999999, &page->number) ? NULL : "page";
	else if (strcmp(name, "page-size") == 0)
		why = page_number(value, 1, page_max, &page->size) ? NULL : "page-size";
	else if (!add(fields, name, value))
		why = "query";
	free(name);
	free(value);
	return why;
}

enum sterna_result rest_query(const char *query, size_t page_max, struct rest_page *page, json_t **out, const char **why)
{
	json_t *fields = json_object();

	while (*query != '\0') {
		const size_t n = strcspn(query, "&");
		const char *wrong = n > 0 ? take_pair(query, n, page_max, page, fields) : NULL;

		if (wrong != NULL) {
			json_decref(fields);
			*why = wrong;
			return STERNA_EINVAL;
		}
		query += n + (query[n] == '&');
	}
	*out = fields;
	return STERNA_OK;
}

/* New, or NULL: nothing that a field can hold. */
static json_t *as_text(const json_t *v)
{
	char digits[32];

	if (json_is_string(v))
		return json_string(json_string_value(v));
	if (json_is_boolean(v))
		return json_string(json_is_true(v) ? "true" : "false");
	if (!json_is_integer(v))
		return NULL;
	snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return json_string(digits);
}

static json_t *as_texts(const json_t *v)
{
	json_t *list, *one;
	size_t i;

	if (!json_is_array(v))
		return as_text(v);
	list = json_array();
	json_array_foreach(v, i, one) {
		json_t *text = as_text(one);

		if (text == NULL) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, text);
	}
	return list;
}

enum sterna_result rest_body(const char *bytes, size_t len, json_t **out, char *name, size_t size)
{
	json_t *body = len > 0 ? json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL) : json_object(), *fields, *value;
	enum sterna_result rc = STERNA_OK;
	const char *key;

	snprintf(name, size, "body");
	if (!json_is_object(body)) {
		json_decref(body);
		return STERNA_EINVAL;
	}
	fields = json_object();
	json_object_foreach(body, key, value) {
		json_t *texts = json_is_null(value) ? NULL : as_texts(value);

		if (texts != NULL) {
			json_object_set_new(fields, key, texts);
		} else if (!json_is_null(value)) {
			if (*key != '\0') /* a field without a name is the body's fault */
				snprintf(name, size, "%s", key);
			rc = STERNA_EINVAL;
			break;
		}
	}
	json_decref(body);
	if (rc == STERNA_OK)
		*out = fields;
	else
		json_decref(fields);
	return rc;
}

/* --- out --- */

static json_t *cut(const json_t *rows, const struct rest_page *p, size_t *total)
{
	const size_t count = json_array_size(rows), from = p->number * p->size;
	json_t *part = json_array();

	if (count > *total)
		*total = count;
	for (size_t i = from; i < count && i < from + p->size; i++)
		json_array_append(part, json_array_get(rows, i));
	return part;
}

json_t *rest_result(const json_t *result, const struct rest_page *p)
{
	json_t *all = json_object(), *object, *value, *page;
	size_t total = 0;
	bool paged = json_is_array(result);
	const char *key;

	if (paged) {
		json_object_set_new(all, "result", cut(result, p, &total));
	} else if (json_is_object(result)) {
		object = json_object();
		json_object_foreach((json_t *)(uintptr_t)result, key, value) {
			paged |= json_is_array(value);
			json_object_set_new(object, key, json_is_array(value) ? cut(value, p, &total) : json_incref(value));
		}
		json_object_set_new(all, "result", object);
	} else {
		json_object_set_new(all, "result", result != NULL ? json_incref((json_t *)(uintptr_t)result) : json_null());
	}
	if (!paged)
		return all;
	page = json_pack("{s:I, s:I, s:I}", "number", (json_int_t)p->number, "size", (json_int_t)p->size, "total",
		(json_int_t)total);
	json_object_set_new(page, "next", (p->number + 1) * p->size < total ? json_integer((json_int_t)p->number + 1) : json_null());
	json_object_set_new(all, "page", page);
	return all;
}

void rest_problem(struct buf *out, unsigned status, const char *code, const char *field, const char *text)
{
	json_t *problem = json_pack("{s:o, s:s, s:i, s:s, s:s, s:s?}", "type", json_sprintf("urn:sterna:problem:%s", code), "title",
		code, "status", (int)status, "code", code, "detail", text, "field", field);
	char *bytes = problem != NULL ? json_dumps(problem, JSON_COMPACT) : NULL;

	buf_puts(out, bytes != NULL ? bytes : "{}");
	free(bytes);
	json_decref(problem);
}

unsigned rest_status(const char *code, bool has_field)
{
	static const struct {
		const char *code;
		unsigned status;
	} rows[] = { { "usage", 400 }, { "forbidden", 403 }, { "unknown", 404 }, { "not-found", 404 }, { "method", 405 },
		{ "conflict", 409 }, { "unavailable", 503 } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].code, code) == 0)
			return rows[i].status;
	return has_field ? 422 : 500;
}
