/* option_value.h - values of options as they are written; shared by option.c and option_manual.c, for no one else. */
#ifndef STERNA_OPTION_VALUE_H
#define STERNA_OPTION_VALUE_H

#include "server/option.h"

/** Any value that is one scalar, except text. */
union option_value {
	bool b;
	int i;
	unsigned u;
	int64_t i64;
	uint64_t u64;
	double d;
	struct sterna_duration duration;
	struct sterna_size size;
	struct sterna_rate rate;
};

/** @param[out] problem  what is wrong, as the end of a sentence "NAME …"; static */
bool option_value_parse(enum sterna_option_type type, const char *text, union option_value *out, const char **problem);
/** < 0, 0, > 0 */
int option_value_compare(enum sterna_option_type type, const union option_value *a, const union option_value *b);
size_t option_value_size(enum sterna_option_type type); /**< 0: no scalar, or text */

bool option_has_choices(const char *range);
/** Index of text among "a|b|c", -1 if it is not there. */
int option_choice(const char *range, const char *text);

#endif
