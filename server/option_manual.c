/* option_manual.c - tables of options as reference text, and the check of the tables themselves. */
#include <stdio.h>
#include <string.h>
#include "server/buf.h"
#include "server/option.h"
#include "server/option_value.h"

const char *option_type_text(const struct sterna_option *o)
{
	static const char *const words[] = {
		[STERNA_TYPE_BOOL] = "true or false", [STERNA_TYPE_INT] = "number", [STERNA_TYPE_UNSIGNED] = "number",
		[STERNA_TYPE_INT64] = "number", [STERNA_TYPE_UINT64] = "number", [STERNA_TYPE_DOUBLE] = "number",
		[STERNA_TYPE_STRING] = "text", [STERNA_TYPE_DURATION] = "duration", [STERNA_TYPE_SIZE] = "size",
		[STERNA_TYPE_RATE] = "rate", [STERNA_TYPE_STRINGS] = "list", [STERNA_TYPE_PAIRS] = "names and values",
		[STERNA_TYPE_SECTION] = "section", [STERNA_TYPE_LIST] = "list of sections", [STERNA_TYPE_MAP] = "named sections",
		[STERNA_TYPE_NODE] = "sections",
	};

	if (option_has_choices(o->range) && (o->type == STERNA_TYPE_STRING || o->type == STERNA_TYPE_UNSIGNED))
		return "choice";
	return words[o->type];
}

/* Text inside a cell of a Markdown table. */
static void cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_putc(out, '\\');
		buf_putc(out, *text == '\n' ? ' ' : *text);
	}
}

/* `a`, `b`, `c` */
static void choices(struct buf *out, const char *range)
{
	while (*range != '\0') {
		const size_t n = strcspn(range, "|");

		buf_addf(out, "`%.*s`", (int)n, range);
		range += n;
		if (*range == '|') {
			buf_lit(out, ", ");
			range++;
		}
	}
}

static void row(struct buf *out, const struct sterna_option *o)
{
	buf_addf(out, "| `%s` | %s", o->name, option_type_text(o));
	if (option_has_choices(o->range)) {
		buf_lit(out, ": ");
		choices(out, o->range);
	} else if (o->range != NULL) {
		buf_lit(out, ", ");
		cell(out, o->range);
	}
	buf_lit(out, " | ");
	if (o->fallback != NULL && strcmp(o->fallback, STERNA_REQUIRED) == 0) {
		buf_lit(out, "required");
	} else if (o->fallback != NULL && *o->fallback != '\0') {
		buf_lit(out, "`");
		cell(out, o->fallback);
		buf_lit(out, "`");
	}
	buf_lit(out, " | ");
	cell(out, o->help != NULL ? o->help : "");
	buf_lit(out, " |\n");
}

/* Bounded by the depth of the tables. */
void options_manual(struct buf *out, const struct sterna_option *table, const char *path)
{
	char sub[256];

	if (*path != '\0')
		buf_addf(out, "### `%s`\n\n", path);
	if (table == NULL || table->name == NULL) {
		buf_lit(out, "No options.\n\n");
		return;
	}
	buf_lit(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
	for (const struct sterna_option *o = table; o->name != NULL; o++)
		row(out, o);
	buf_lit(out, "\n");
	for (const struct sterna_option *o = table; o->name != NULL; o++) {
		if (o->sub == NULL)
			continue;
		snprintf(sub, sizeof sub, "%s%s%s%s", path, *path != '\0' ? "." : "", o->name,
			o->type == STERNA_TYPE_LIST ? "[]" : o->type == STERNA_TYPE_MAP ? ".NAME" : "");
		options_manual(out, o->sub, sub);
	}
}

static const char *range_fault(const struct sterna_option *o)
{
	const char *dots = strstr(o->range, ".."), *problem;
	union option_value v;
	char low[64];

	if (option_has_choices(o->range))
		return o->type == STERNA_TYPE_UNSIGNED || o->type == STERNA_TYPE_STRING || o->type == STERNA_TYPE_STRINGS
			|| o->type == STERNA_TYPE_PAIRS ? NULL : "choices for a type that has none";
	if (option_value_size(o->type) == 0 || dots == NULL || (size_t)(dots - o->range) >= sizeof low)
		return "the range is neither low..high nor choices";
	memcpy(low, o->range, (size_t)(dots - o->range));
	low[dots - o->range] = '\0';
	if ((*low != '\0' && !option_value_parse(o->type, low, &v, &problem))
			|| (dots[2] != '\0' && !option_value_parse(o->type, dots + 2, &v, &problem)))
		return "an end of the range is not in the option's notation";
	return NULL;
}

static const char *option_fault(const struct sterna_option *o)
{
	if (strspn(o->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(o->name))
		return "the name is not in lower case";
	if (o->help == NULL || *o->help == '\0')
		return "no help text";
	if ((o->sub != NULL) != (o->type == STERNA_TYPE_SECTION || o->type == STERNA_TYPE_LIST || o->type == STERNA_TYPE_MAP))
		return "a table within for a type that has none, or none for one that needs it";
	return o->range != NULL ? range_fault(o) : NULL;
}

const char *options_check_table(const struct sterna_option *table, char *text, size_t size)
{
	for (const struct sterna_option *o = table; o->name != NULL; o++) {
		const char *fault = option_fault(o), *problem = NULL;
		union option_value v;

		if (fault == NULL && o->fallback != NULL && strcmp(o->fallback, STERNA_REQUIRED) != 0) {
			if (option_has_choices(o->range) && o->type != STERNA_TYPE_STRINGS)
				fault = option_choice(o->range, o->fallback) < 0 ? "the default is none of the choices" : NULL;
			else if (option_value_size(o->type) > 0 && !option_value_parse(o->type, o->fallback, &v, &problem))
				fault = problem;
		}
		for (const struct sterna_option *e = table; fault == NULL && e < o; e++)
			if (strcmp(e->name, o->name) == 0)
				fault = "twice in the table";
		if (fault == NULL && o->sub != NULL && options_check_table(o->sub, text, size) != NULL)
			return text;
		if (fault != NULL) {
			snprintf(text, size, "%s: %s", o->name, fault);
			return text;
		}
	}
	return NULL;
}
