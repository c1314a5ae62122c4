/* option.h - typed options: one table is the parser of a section, its check, and its manual.
 *
 *     struct time_config { bool utc_only; struct sterna_duration cache; unsigned mode; };
 *     static const struct sterna_option options[] = {
 *         STERNA_OPT(struct time_config, utc_only, "false", NULL, "answer +00:00 instead of the host's offset"),
 *         STERNA_OPT(struct time_config, cache, "5m", "1s..1d", "how long an answer is kept"),
 *         STERNA_OPT(struct time_config, mode, "fast", "fast|exact", "which clock is asked"),
 *         { 0 }
 *     };
 *
 * The type comes from the field, the key is the field's name:
 *
 *     bool                         true, false (yes, no, on, off)
 *     int, unsigned, (u)int64_t    12
 *     unsigned with "a|b|c"        a: the value is the index in the range (keep an enum beside the table)
 *     double                       0.5
 *     const char *                 text; NULL if not given and without default; "a|b|c" restricts it
 *     struct sterna_duration       250ms 30s 5m 1h30m 7d 2w
 *     struct sterna_size           4096 64KiB 1MiB 2GiB (kB, MB, GB are powers of 1000)
 *     struct sterna_rate           100/s 10/m 5/10s 1MiB/s
 *     struct sterna_list           [a, b] or a; default "a b"; "a|b|c" restricts the items
 *     struct sterna_pairs          { a: x, b: y }; no default; "x|y" restricts the values
 *
 * A range is "low..high", "low..", "..high" in the option's own notation, or choices "a|b|c".
 * Default NULL: zero, NULL, nothing. STERNA_REQUIRED: must be given. */
#ifndef STERNA_OPTION_H
#define STERNA_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

struct arena;
struct buf;
struct config_node;
struct config_error;

struct sterna_duration { int64_t us; };
struct sterna_size { uint64_t bytes; };
struct sterna_rate { uint64_t count; int64_t per_us; };  /* count 0: no limit */
struct sterna_list { const char **item; size_t count; };
struct sterna_pairs { const char **key, **value; size_t count; };
struct sterna_array { void *item; size_t count; };       /* of structs: STERNA_OPT_LIST, STERNA_OPT_MAP */

enum sterna_option_type {
	STERNA_TYPE_BOOL = 1, STERNA_TYPE_INT, STERNA_TYPE_UNSIGNED, STERNA_TYPE_INT64, STERNA_TYPE_UINT64,
	STERNA_TYPE_DOUBLE, STERNA_TYPE_STRING, STERNA_TYPE_DURATION, STERNA_TYPE_SIZE, STERNA_TYPE_RATE,
	STERNA_TYPE_STRINGS, STERNA_TYPE_PAIRS,
	STERNA_TYPE_SECTION,    /* a struct within, with a table of its own */
	STERNA_TYPE_LIST,       /* a list of sections */
	STERNA_TYPE_MAP,        /* name: section, …; the name goes into a field of the item */
	STERNA_TYPE_NODE,       /* any mapping, kept as const struct config_node *, checked later by someone else */
};

struct sterna_option {
	const char *name;               /* NULL ends a table */
	enum sterna_option_type type;
	size_t offset;
	const char *fallback;
	const char *range;
	const char *help;
	const struct sterna_option *sub;        /* SECTION, LIST, MAP */
	size_t item_size, key_offset;           /* LIST, MAP; MAP */
};

#define STERNA_REQUIRED "\1"

#define STERNA_OPT_TYPE(expression) _Generic((expression), \
	bool: STERNA_TYPE_BOOL, int: STERNA_TYPE_INT, unsigned: STERNA_TYPE_UNSIGNED, \
	int64_t: STERNA_TYPE_INT64, uint64_t: STERNA_TYPE_UINT64, double: STERNA_TYPE_DOUBLE, \
	const char *: STERNA_TYPE_STRING, struct sterna_duration: STERNA_TYPE_DURATION, \
	struct sterna_size: STERNA_TYPE_SIZE, struct sterna_rate: STERNA_TYPE_RATE, \
	struct sterna_list: STERNA_TYPE_STRINGS, struct sterna_pairs: STERNA_TYPE_PAIRS, \
	const struct config_node *: STERNA_TYPE_NODE)

#define STERNA_OPT(type_, field_, default_, range_, help_) \
	{ .name = #field_, .type = STERNA_OPT_TYPE(((type_ *)0)->field_), .offset = offsetof(type_, field_), \
	  .fallback = default_, .range = range_, .help = help_ }
/** A struct within the struct: field: { … } */
#define STERNA_OPT_SECTION(type_, field_, table_, help_) \
	{ .name = #field_, .type = STERNA_TYPE_SECTION, .offset = offsetof(type_, field_), .help = help_, .sub = table_ }
/** struct sterna_array of item_: field: [ { … }, … ] */
#define STERNA_OPT_LIST(type_, field_, item_, table_, help_) \
	{ .name = #field_, .type = STERNA_TYPE_LIST, .offset = offsetof(type_, field_), .help = help_, .sub = table_, \
	  .item_size = sizeof(item_) }
/** struct sterna_array of item_, whose const char *key_ gets the name: field: { name: { … }, … } */
#define STERNA_OPT_MAP(type_, field_, item_, key_, table_, help_) \
	{ .name = #field_, .type = STERNA_TYPE_MAP, .offset = offsetof(type_, field_), .help = help_, .sub = table_, \
	  .item_size = sizeof(item_), .key_offset = offsetof(item_, key_) }

/** Fill a struct from a section of the configuration.
 *  @param section  NULL or an empty section: the defaults
 *  @param a        strings and lists are copied to it; it must live as long as out is used
 *  @param[out] out every option is set on STERNA_OK; not to be used after an error
 *  @param[out] err where and what: unknown key, wrong type, out of range, required but not there
 *  @return STERNA_EINVAL */
enum sterna_result options_apply(const struct sterna_option *table, const struct config_node *section, struct arena *a,
	void *out, struct config_error *err) STERNA_CHECKED;

/** The table's defaults and ranges agree with its types? For unit tests of modules: NULL, or what is wrong, written
 *  to text. */
const char *options_check_table(const struct sterna_option *table, char *text, size_t size);

/** Reference text in Markdown: a table of the keys under path (may be ""), then one for each section within. */
void options_manual(struct buf *out, const struct sterna_option *table, const char *path);

/** What kind of value it takes, in the manual's words. */
const char *option_type_text(const struct sterna_option *o);

/** Nearest of the candidates by edit distance, NULL if none is near. */
const char *option_nearest(const char *word, const char *const *candidates, size_t count);

/** The notations by themselves; false: not of that form. */
bool option_parse_bool(const char *text, bool *out);
bool option_parse_duration(const char *text, struct sterna_duration *out);
bool option_parse_size(const char *text, struct sterna_size *out);
bool option_parse_rate(const char *text, struct sterna_rate *out);

#endif
