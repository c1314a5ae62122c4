/* disco#info and its verification string: see disco_info.h. */
#include "xep/disco_info.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "xep/text.h"

enum { MAX_FEATURES = 512 };            /* of all loaded modules */

struct gather {
	struct sterna_elem *query;
	const char *feature[MAX_FEATURES];
	size_t count;
};

static void add_identity(void *arg, const struct sterna_identity *i)
{
	struct gather *g = arg;
	struct sterna_elem *e = sterna_add(g->query, "identity", NULL);

	sterna_attr(e, "category", i->category);
	sterna_attr(e, "type", i->type);
	if (i->name != NULL)
		sterna_attr(e, "name", i->name);
}

static void note_feature(void *arg, const char *ns)
{
	struct gather *g = arg;

	if (g->count < MAX_FEATURES)
		g->feature[g->count++] = ns;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct sterna_elem *disco_info(struct sterna_call *c, unsigned scope)
{
	struct gather *g = sterna_alloc(c, sizeof *g);

	g->query = sterna_elem(c, "query", NS_DISCO_INFO);
	sterna_each_identity(c, scope, add_identity, g);
	sterna_each_feature(c, scope, note_feature, g);
	qsort(g->feature, g->count, sizeof *g->feature, by_text);
	for (size_t i = 0; i < g->count; i++)
		if (i == 0 || strcmp(g->feature[i - 1], g->feature[i]) != 0)
			sterna_attr(sterna_add(g->query, "feature", NULL), "var", g->feature[i]);
	sterna_run_disco(c, scope, g->query);
	return g->query;
}

/* --- XEP-0115 §5.1 --- */

struct parts {
	size_t count;
	const char *item[];
};

/* Room for something of every child. */
static struct parts *parts_new(struct sterna_call *c, const struct sterna_elem *parent)
{
	size_t children = 0;

	elem_foreach(e, parent)
		children++;
	return sterna_alloc(c, sizeof(struct parts) + children * sizeof(char *));
}

/* Where a part ends, the next begins with '<'; so '<' is less than any character of a name. */
static int rank(char c)
{
	return c == '\0' ? 0 : c == '<' ? 1 : 2 + (unsigned char)c;
}

static int by_part(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;

	for (; *x != '\0' && *x == *y; x++)
		y++;
	return rank(*x) - rank(*y);
}

/* Sorted. Doubles are not well-formed, except for values within a field. */
static bool parts_write(struct parts *p, bool once, struct buf *out)
{
	bool ok = true;

	qsort(p->item, p->count, sizeof *p->item, by_part);
	for (size_t i = 0; i < p->count; i++) {
		if (once && i > 0 && strcmp(p->item[i - 1], p->item[i]) == 0)
			ok = false;
		buf_puts(out, p->item[i]);
	}
	return ok;
}

static const char *attr_or_empty(const struct sterna_elem *e, const char *name)
{
	const char *v = elem_attr(e, name);

	return v != NULL ? v : "";
}

static const char *buf_move(struct sterna_call *c, struct buf *b)
{
	const char *text = sterna_printf(c, "%s", buf_str(b));

	buf_release(b);
	return text;
}

/* One field: its name, then its values, sorted. */
static const char *field_text(struct sterna_call *c, const struct sterna_elem *field)
{
	struct parts *values = parts_new(c, field);
	struct buf b = BUF_INIT;

	elem_foreach(v, field)
		if (elem_is(v, "value", NS_DATA))
			values->item[values->count++] = sterna_printf(c, "%s<", text_of(c, v));
	buf_puts(&b, attr_or_empty(field, "var"));
	buf_putc(&b, '<');
	parts_write(values, false, &b);
	return buf_move(c, &b);
}

/* A form: its FORM_TYPE, then its fields. NULL: it has no hidden FORM_TYPE, and is left out (§5.4, 3.6).
 * ok: false if it has several, values or fields. */
static const char *form_text(struct sterna_call *c, const struct sterna_elem *form, bool *ok)
{
	struct parts *fields = parts_new(c, form);
	const char *type = NULL;
	struct buf b = BUF_INIT;
	bool named = false;

	elem_foreach(f, form) {
		const struct sterna_elem *value = elem_child(f, "value", NULL);

		if (!elem_is(f, "field", NS_DATA))
			continue;
		if (strcmp(attr_or_empty(f, "var"), "FORM_TYPE") != 0) {
			fields->item[fields->count++] = field_text(c, f);
			continue;
		}
		if (named || value == NULL || elem_next(value) != NULL)
			*ok = false;
		else if (strcmp(attr_or_empty(f, "type"), "hidden") == 0)
			type = text_of(c, value);
		named = true;
	}
	if (type == NULL)
		return NULL;
	buf_puts(&b, type);
	buf_putc(&b, '<');
	parts_write(fields, false, &b);
	return buf_move(c, &b);
}

static bool sha1_base64(const struct buf *b, char out[CAPS_VER_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(buf_data(b), buf_len(b), digest, &len, EVP_sha1(), NULL) != 1 || len != 20)
		return false;
	EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
	return true;
}

static bool same_type(const char *a, const char *b)
{
	const size_t n = strcspn(a, "<");

	return strncmp(a, b, n + 1) == 0;
}

bool caps_ver(struct sterna_call *c, const struct sterna_elem *query, char out[CAPS_VER_SIZE])
{
	struct parts *identities = parts_new(c, query), *features = parts_new(c, query), *forms = parts_new(c, query);
	struct buf b = BUF_INIT;
	bool ok = true;

	elem_foreach(e, query) {
		if (elem_is(e, "identity", NS_DISCO_INFO)) {
			const char *lang = elem_attr_ns(e, "lang", NS_XML);

			identities->item[identities->count++] = sterna_printf(c, "%s/%s/%s/%s<", attr_or_empty(e, "category"),
				attr_or_empty(e, "type"), lang != NULL ? lang : "", attr_or_empty(e, "name"));
		} else if (elem_is(e, "feature", NS_DISCO_INFO)) {
			features->item[features->count++] = sterna_printf(c, "%s<", attr_or_empty(e, "var"));
		} else if (elem_is(e, "x", NS_DATA)) {
			const char *text = form_text(c, e, &ok);

			if (text != NULL)
				forms->item[forms->count++] = text;
		}
	}
	ok = parts_write(identities, true, &b) && ok;
	ok = parts_write(features, true, &b) && ok;
	ok = parts_write(forms, true, &b) && ok;
	for (size_t i = 1; i < forms->count; i++)
		ok = ok && !same_type(forms->item[i - 1], forms->item[i]);
	ok = ok && sha1_base64(&b, out);
	buf_release(&b);
	return ok;
}
