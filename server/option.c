/* option.c - a table of options applied to a section of the configuration. */
#include "server/option.h"

#include <stdio.h>
#include <string.h>
#include "server/config_node.h"
#include "server/mem.h"
#include "server/option_value.h"

#define CHOICES_MAX 64
#define WORD_MAX 64             /* longest word that gets a "did you mean" */
#define PATH_MAX_BYTES 256

struct apply {
	struct arena *arena;
	struct config_error *err;
};

static enum sterna_result apply_table(struct apply *ap, const struct sterna_option *table,
	const struct config_node *section, const struct config_node *at, char *out);

/* Optimal string alignment: insert, delete, replace, swap neighbours. */
static size_t distance(const char *a, const char *b)
{
	const size_t la = strlen(a), lb = strlen(b);
	size_t rows[3][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *upper = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);

			best = up[j] + 1 < best ? up[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && upper[j - 2] + 1 < best)
				best = upper[j - 2] + 1;
			now[j] = best;
		}
	}
	return rows[la % 3][lb];
}

const char *option_nearest(const char *word, const char *const *candidates, size_t count)
{
	const size_t len = strlen(word);
	size_t best = len / 3 + 2;      /* one more than what is still near */
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		const size_t n = distance(word, candidates[i]);

		if (n < best && n < strlen(candidates[i])) {
			best = n;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/* The words "a|b|c" or "a b c", copied. */
static size_t split(struct arena *a, const char *text, const char *separators, const char **out, size_t max)
{
	size_t count = 0;

	while (count < max) {
		text += strspn(text, separators);
		const size_t n = strcspn(text, separators);

		if (n == 0)
			break;
		out[count++] = arena_strndup(a, text, n);
		text += n;
	}
	return count;
}

/* The name of a place in a message: its path, or "the configuration". */
static const char *where(const struct config_node *n, char path[PATH_MAX_BYTES])
{
	if (n != NULL)
		config_path(n, path, PATH_MAX_BYTES);
	else
		path[0] = '\0';
	return *path != '\0' ? path : "the configuration";
}

static const char *kind_text(const struct config_node *n)
{
	return n->kind == CONFIG_LIST ? "a list" : n->kind == CONFIG_MAP ? "a section" : config_is_null(n) ? "nothing"
		: "a single value";
}

/* "NAME must be a whole number; it is 'abc'", without the value if it is secret. */
static enum sterna_result fail_value(struct apply *ap, const struct config_node *n, const char *problem)
{
	char path[PATH_MAX_BYTES];

	if (n->kind != CONFIG_SCALAR)
		return config_fail(ap->err, n, false, "%s %s; here is %s", where(n, path), problem, kind_text(n));
	if (config_is_null(n))
		return config_fail(ap->err, n, true, "%s has no value; it %s", where(n, path), problem);
	if (n->secret)
		return config_fail(ap->err, n, false, "%s %s", where(n, path), problem);
	return config_fail(ap->err, n, false, "%s %s; it is '%.80s'", where(n, path), problem, n->text);
}

static enum sterna_result fail_choice(struct apply *ap, const struct config_node *n, const char *range)
{
	const char *words[CHOICES_MAX], *near;
	const size_t count = split(ap->arena, range, "|", words, CHOICES_MAX);
	char problem[320], hint[WORD_MAX + 24] = "";
	size_t len = (size_t)snprintf(problem, sizeof problem, "must be one of ");

	for (size_t i = 0; i < count && len < sizeof problem; i++)
		len += (size_t)snprintf(problem + len, sizeof problem - len, "%s%s", i > 0 ? ", " : "", words[i]);
	near = n->kind == CONFIG_SCALAR && !n->secret ? option_nearest(n->text, words, count) : NULL;
	if (near != NULL && len < sizeof problem) {
		snprintf(hint, sizeof hint, "; did you mean '%s'?", near);
		return config_fail(ap->err, n, false, "'%.80s' is not known here; it %s%s", n->text, problem, hint);
	}
	return fail_value(ap, n, problem);
}

static enum sterna_result fail_key(struct apply *ap, const struct sterna_option *table, const struct config_node *n)
{
	const char *names[CHOICES_MAX] = { NULL }, *near;
	char path[PATH_MAX_BYTES], known[300] = "";
	size_t count = 0, len = 0;

	for (; count < CHOICES_MAX && table[count].name != NULL; count++)
		names[count] = table[count].name;
	near = option_nearest(n->key, names, count);
	if (near != NULL)
		return config_fail(ap->err, n, true, "unknown key '%.80s' in %s; did you mean '%s'?", n->key,
			where(n->parent, path), near);
	for (size_t i = 0; i < count && len < sizeof known; i++)
		len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "", names[i]);
	return config_fail(ap->err, n, true, "unknown key '%.80s' in %s; %s%s", n->key, where(n->parent, path),
		count > 0 ? "there are: " : "it has no options", known);
}

/* "low..high", either end may be missing. */
static bool in_range(const struct sterna_option *o, const union option_value *v)
{
	const char *dots = strstr(o->range, "..");
	union option_value end;
	const char *problem;
	char low[64];

	if (dots == NULL || (size_t)(dots - o->range) >= sizeof low)
		return true;
	memcpy(low, o->range, (size_t)(dots - o->range));
	low[dots - o->range] = '\0';
	if (*low != '\0' && option_value_parse(o->type, low, &end, &problem) && option_value_compare(o->type, v, &end) < 0)
		return false;
	return dots[2] == '\0' || !option_value_parse(o->type, dots + 2, &end, &problem)
		|| option_value_compare(o->type, v, &end) <= 0;
}

static enum sterna_result apply_scalar(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	union option_value v;
	const char *problem = NULL;
	char text[160];

	memset(&v, 0, sizeof v);
	if (option_has_choices(o->range)) {
		const int index = n->kind == CONFIG_SCALAR ? option_choice(o->range, n->text) : -1;

		if (index < 0)
			return fail_choice(ap, n, o->range);
		v.u = (unsigned)index;
	} else if (n->kind != CONFIG_SCALAR || config_is_null(n)
			|| !option_value_parse(o->type, n->text, &v, &problem)) {
		if (problem == NULL)
			option_value_parse(o->type, "", &v, &problem);
		return fail_value(ap, n, problem);
	} else if (o->range != NULL && !in_range(o, &v)) {
		snprintf(text, sizeof text, "must be in %s", o->range);
		return fail_value(ap, n, text);
	}
	memcpy(field, &v, option_value_size(o->type));
	return STERNA_OK;
}

static enum sterna_result apply_string(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	const char *text = NULL;

	if (n->kind != CONFIG_SCALAR)
		return fail_value(ap, n, "must be text");
	if (!config_is_null(n)) {
		if (option_has_choices(o->range) && option_choice(o->range, n->text) < 0)
			return fail_choice(ap, n, o->range);
		text = arena_strndup(ap->arena, n->text, strlen(n->text));
	}
	memcpy(field, &text, sizeof text);
	return STERNA_OK;
}

static enum sterna_result apply_strings(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	struct sterna_list list = { NULL, 0 };
	const struct config_node *item = n->kind == CONFIG_LIST ? n->first : n;

	if (n->kind == CONFIG_MAP)
		return fail_value(ap, n, "must be a list, as [a, b]");
	if (!config_is_null(n))
		list.item = arena_alloc(ap->arena, (n->kind == CONFIG_LIST ? n->count + 1 : 1) * sizeof *list.item);
	for (; list.item != NULL && item != NULL; item = n->kind == CONFIG_LIST ? item->next : NULL) {
		if (item->kind != CONFIG_SCALAR || config_is_null(item))
			return fail_value(ap, item, "must be text");
		if (option_has_choices(o->range) && option_choice(o->range, item->text) < 0)
			return fail_choice(ap, item, o->range);
		list.item[list.count++] = arena_strndup(ap->arena, item->text, strlen(item->text));
	}
	memcpy(field, &list, sizeof list);
	return STERNA_OK;
}

static enum sterna_result apply_pairs(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	struct sterna_pairs pairs = { NULL, NULL, 0 };

	if (n->kind != CONFIG_MAP && !config_is_null(n))
		return fail_value(ap, n, "must be a section of names and values");
	pairs.key = arena_alloc(ap->arena, (n->count + 1) * sizeof *pairs.key);
	pairs.value = arena_alloc(ap->arena, (n->count + 1) * sizeof *pairs.value);
	for (const struct config_node *m = n->first; m != NULL; m = m->next) {
		if (m->kind != CONFIG_SCALAR || config_is_null(m))
			return fail_value(ap, m, "must be text");
		if (option_has_choices(o->range) && option_choice(o->range, m->text) < 0)
			return fail_choice(ap, m, o->range);
		pairs.key[pairs.count] = arena_strndup(ap->arena, m->key, strlen(m->key));
		pairs.value[pairs.count++] = arena_strndup(ap->arena, m->text, strlen(m->text));
	}
	memcpy(field, &pairs, sizeof pairs);
	return STERNA_OK;
}

/* LIST and MAP: an item struct for each child. */
static enum sterna_result apply_items(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	const enum config_kind kind = o->type == STERNA_TYPE_LIST ? CONFIG_LIST : CONFIG_MAP;
	struct sterna_array array = { NULL, 0 };
	enum sterna_result rc = STERNA_OK;

	if (n->kind != kind && !config_is_null(n))
		return fail_value(ap, n, kind == CONFIG_LIST ? "must be a list; begin each item with '- '"
			: "must be a section, with a name for each item");
	array.item = arena_zalloc(ap->arena, (n->count + 1) * o->item_size);
	for (const struct config_node *item = n->first; rc == STERNA_OK && item != NULL; item = item->next) {
		char *out = (char *)array.item + array.count++ * o->item_size;

		rc = apply_table(ap, o->sub, item, item, out);
		if (rc == STERNA_OK && kind == CONFIG_MAP) {
			const char *key = arena_strndup(ap->arena, item->key, strlen(item->key));

			memcpy(out + o->key_offset, &key, sizeof key);
		}
	}
	memcpy(field, &array, sizeof array);
	return rc;
}

static enum sterna_result apply_node(struct apply *ap, const struct config_node *n, char *field)
{
	if (n->kind != CONFIG_MAP && !config_is_null(n))
		return fail_value(ap, n, "must be a section");
	memcpy(field, &n, sizeof n);
	return STERNA_OK;
}

/* What stands there if nothing is given. */
static enum sterna_result apply_default(struct apply *ap, const struct sterna_option *o, const struct config_node *at,
	char *field)
{
	const struct config_node given = { .kind = CONFIG_SCALAR, .text = o->fallback };
	char path[PATH_MAX_BYTES];

	if (o->type == STERNA_TYPE_SECTION)
		return apply_table(ap, o->sub, NULL, at, field);
	if (o->fallback == NULL)
		return STERNA_OK;       /* the struct is zeroed */
	if (strcmp(o->fallback, STERNA_REQUIRED) == 0)
		return config_fail(ap->err, at, true, "%s needs '%s': %s", where(at, path), o->name, o->help);
	if (o->type == STERNA_TYPE_STRING)
		return apply_string(ap, o, &given, field);
	if (o->type == STERNA_TYPE_STRINGS) {
		const char *words[CHOICES_MAX];
		struct sterna_list list = { NULL, split(ap->arena, o->fallback, " ", words, CHOICES_MAX) };

		list.item = arena_alloc(ap->arena, (list.count + 1) * sizeof *list.item);
		memcpy(list.item, words, list.count * sizeof *words);
		memcpy(field, &list, sizeof list);
		return STERNA_OK;
	}
	return apply_scalar(ap, o, &given, field);
}

static enum sterna_result apply_one(struct apply *ap, const struct sterna_option *o, const struct config_node *n,
	char *field)
{
	switch (o->type) {
	case STERNA_TYPE_STRING:
		return apply_string(ap, o, n, field);
	case STERNA_TYPE_STRINGS:
		return apply_strings(ap, o, n, field);
	case STERNA_TYPE_PAIRS:
		return apply_pairs(ap, o, n, field);
	case STERNA_TYPE_SECTION:
		return apply_table(ap, o->sub, n, n, field);
	case STERNA_TYPE_LIST:
	case STERNA_TYPE_MAP:
		return apply_items(ap, o, n, field);
	case STERNA_TYPE_NODE:
		return apply_node(ap, n, field);
	default:
		return apply_scalar(ap, o, n, field);
	}
}

/* Bounded by the depth of the tables. section NULL: defaults; at is where a missing option is complained about. */
static enum sterna_result apply_table(struct apply *ap, const struct sterna_option *table,
	const struct config_node *section, const struct config_node *at, char *out)
{
	enum sterna_result rc = STERNA_OK;

	if (section != NULL && section->kind != CONFIG_MAP && !config_is_null(section))
		return fail_value(ap, section, "must be a section of keys and values");
	for (const struct config_node *n = section != NULL ? section->first : NULL; n != NULL; n = n->next) {
		const struct sterna_option *o = table;

		while (o->name != NULL && strcmp(o->name, n->key) != 0)
			o++;
		if (o->name == NULL)
			return fail_key(ap, table, n);
	}
	for (const struct sterna_option *o = table; rc == STERNA_OK && o->name != NULL; o++) {
		const struct config_node *n = config_child(section, o->name);

		rc = n != NULL ? apply_one(ap, o, n, out + o->offset) : apply_default(ap, o, at, out + o->offset);
	}
	return rc;
}

/* Zero the fields, so that nothing of an earlier use is left. Sections' fields lie in their own struct. */
static void zero_fields(const struct sterna_option *table, char *out)
{
	for (const struct sterna_option *o = table; o->name != NULL; o++) {
		char *field = out + o->offset;

		if (o->type == STERNA_TYPE_SECTION)
			zero_fields(o->sub, field);
		else if (o->type == STERNA_TYPE_STRING || o->type == STERNA_TYPE_NODE)
			/* cppcheck-suppress pointerSize ; the field is a pointer */
			memset(field, 0, sizeof(const char *));
		else if (o->type == STERNA_TYPE_STRINGS)
			memset(field, 0, sizeof(struct sterna_list));
		else if (o->type == STERNA_TYPE_PAIRS)
			memset(field, 0, sizeof(struct sterna_pairs));
		else if (o->type == STERNA_TYPE_LIST || o->type == STERNA_TYPE_MAP)
			memset(field, 0, sizeof(struct sterna_array));
		else
			memset(field, 0, option_value_size(o->type));
	}
}

enum sterna_result options_apply(const struct sterna_option *table, const struct config_node *section, struct arena *a,
	void *out, struct config_error *err)
{
	static const struct sterna_option none[] = { { 0 } };
	struct apply ap = { a, err };

	if (table == NULL)
		table = none;
	zero_fields(table, out);
	return apply_table(&ap, table, section, section, out);
}
