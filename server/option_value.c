/* option_value.c - the notations: numbers, durations, sizes, rates, choices. */
#include "server/option_value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 },
	{ "h", UINT64_C(3600000000) }, { "d", UINT64_C(86400000000) }, { "w", UINT64_C(604800000000) }, { NULL, 0 } };
static const struct unit size_units[] = { { "", 1 }, { "B", 1 }, { "KiB", UINT64_C(1) << 10 }, { "MiB", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 }, { "TiB", UINT64_C(1) << 40 }, { "kB", 1000 }, { "MB", 1000000 },
	{ "GB", UINT64_C(1000000000) }, { "TB", UINT64_C(1000000000000) }, { NULL, 0 } };

/* Digits at *s, which moves behind them. */
static bool digits(const char **s, uint64_t *out)
{
	char *end;

	if (**s < '0' || **s > '9')
		return false;
	errno = 0;
	*out = strtoull(*s, &end, 10);
	*s = end;
	return errno == 0;
}

/* A unit at *s, which moves behind it; the word ends before a digit, a slash or the end. */
static bool unit_at(const char **s, const struct unit *units, uint64_t *factor)
{
	const size_t len = strcspn(*s, "0123456789/");

	for (; units->name != NULL; units++) {
		if (strlen(units->name) == len && strncmp(*s, units->name, len) == 0) {
			*factor = units->factor;
			*s += len;
			return true;
		}
	}
	return false;
}

bool option_parse_duration(const char *text, struct sterna_duration *out)
{
	uint64_t total = 0, n, factor;

	if (strcmp(text, "0") == 0) {
		out->us = 0;
		return true;
	}
	do {
		if (!digits(&text, &n) || !unit_at(&text, time_units, &factor) || n > INT64_MAX / factor
				|| n * factor > INT64_MAX - total)
			return false;
		total += n * factor;
	} while (*text != '\0');
	out->us = (int64_t)total;
	return true;
}

static bool size_at(const char **s, uint64_t *out)
{
	uint64_t n, factor;

	if (!digits(s, &n) || !unit_at(s, size_units, &factor) || n > UINT64_MAX / factor)
		return false;
	*out = n * factor;
	return true;
}

bool option_parse_size(const char *text, struct sterna_size *out)
{
	uint64_t bytes;

	if (!size_at(&text, &bytes) || *text != '\0')
		return false;
	out->bytes = bytes;
	return true;
}

/* COUNT/[N]UNIT, or 0 for no limit */
bool option_parse_rate(const char *text, struct sterna_rate *out)
{
	uint64_t count, n = 1, factor;

	if (!size_at(&text, &count))
		return false;
	if (count == 0 && *text == '\0') {
		*out = (struct sterna_rate){ 0, 1000000 };
		return true;
	}
	if (*text++ != '/' || (*text >= '0' && *text <= '9' && !digits(&text, &n)) || !unit_at(&text, time_units, &factor)
			|| *text != '\0' || n == 0 || n > INT64_MAX / factor)
		return false;
	*out = (struct sterna_rate){ count, (int64_t)(n * factor) };
	return true;
}

bool option_parse_bool(const char *text, bool *out)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "False", "True", "No", "Yes", "Off",
		"On", "FALSE", "TRUE", "NO", "YES", "OFF", "ON" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(text, words[i]) == 0) {
			*out = i % 2 == 1;
			return true;
		}
	}
	return false;
}

static bool parse_signed(const char *text, int64_t low, int64_t high, int64_t *out)
{
	char *end;

	if (strspn(text, "-0123456789") != strlen(text))
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0 && *out >= low && *out <= high;
}

static bool parse_unsigned(const char *text, uint64_t high, uint64_t *out)
{
	return digits(&text, out) && *text == '\0' && *out <= high;
}

static bool parse_double(const char *text, double *out)
{
	char *end;

	if (strspn(text, "+-.0123456789eE") != strlen(text))
		return false;
	*out = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*out);
}

bool option_value_parse(enum sterna_option_type type, const char *text, union option_value *out, const char **problem)
{
	int64_t i = 0;
	uint64_t u = 0;
	bool ok;

	switch (type) {
	case STERNA_TYPE_BOOL:
		*problem = "must be true or false";
		return option_parse_bool(text, &out->b);
	case STERNA_TYPE_INT:
		*problem = "must be a whole number";
		ok = parse_signed(text, INT32_MIN, INT32_MAX, &i);
		out->i = (int)i;
		return ok;
	case STERNA_TYPE_INT64:
		*problem = "must be a whole number";
		ok = parse_signed(text, INT64_MIN, INT64_MAX, &i);
		out->i64 = i;
		return ok;
	case STERNA_TYPE_UNSIGNED:
		*problem = "must be a whole number, not negative";
		ok = parse_unsigned(text, UINT32_MAX, &u);
		out->u = (unsigned)u;
		return ok;
	case STERNA_TYPE_UINT64:
		*problem = "must be a whole number, not negative";
		ok = parse_unsigned(text, UINT64_MAX, &u);
		out->u64 = u;
		return ok;
	case STERNA_TYPE_DOUBLE:
		*problem = "must be a number";
		return parse_double(text, &out->d);
	case STERNA_TYPE_DURATION:
		*problem = "must be a duration with its unit, as 250ms, 30s, 5m, 1h30m or 7d";
		return option_parse_duration(text, &out->duration);
	case STERNA_TYPE_SIZE:
		*problem = "must be a size, as 4096, 64KiB or 1MiB";
		return option_parse_size(text, &out->size);
	case STERNA_TYPE_RATE:
		*problem = "must be a rate, as 100/s, 10/m, 5/10s or 1MiB/s (0: no limit)";
		return option_parse_rate(text, &out->rate);
	default:
		*problem = "must be a single value";
		return false;
	}
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

int option_value_compare(enum sterna_option_type type, const union option_value *a, const union option_value *b)
{
	switch (type) {
	case STERNA_TYPE_BOOL:
		return ORDER(a->b, b->b);
	case STERNA_TYPE_INT:
		return ORDER(a->i, b->i);
	case STERNA_TYPE_INT64:
		return ORDER(a->i64, b->i64);
	case STERNA_TYPE_UNSIGNED:
		return ORDER(a->u, b->u);
	case STERNA_TYPE_UINT64:
		return ORDER(a->u64, b->u64);
	case STERNA_TYPE_DOUBLE:
		return ORDER(a->d, b->d);
	case STERNA_TYPE_DURATION:
		return ORDER(a->duration.us, b->duration.us);
	case STERNA_TYPE_SIZE:
		return ORDER(a->size.bytes, b->size.bytes);
	case STERNA_TYPE_RATE:  /* events in the same time */
		return ORDER((double)a->rate.count / (double)a->rate.per_us, (double)b->rate.count / (double)b->rate.per_us);
	default:
		return 0;
	}
}

size_t option_value_size(enum sterna_option_type type)
{
	static const size_t sizes[] = {
		[STERNA_TYPE_BOOL] = sizeof(bool), [STERNA_TYPE_INT] = sizeof(int), [STERNA_TYPE_UNSIGNED] = sizeof(unsigned),
		[STERNA_TYPE_INT64] = sizeof(int64_t), [STERNA_TYPE_UINT64] = sizeof(uint64_t),
		[STERNA_TYPE_DOUBLE] = sizeof(double), [STERNA_TYPE_DURATION] = sizeof(struct sterna_duration),
		[STERNA_TYPE_SIZE] = sizeof(struct sterna_size), [STERNA_TYPE_RATE] = sizeof(struct sterna_rate),
	};

	return (size_t)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

bool option_has_choices(const char *range)
{
	return range != NULL && strchr(range, '|') != NULL;
}

int option_choice(const char *range, const char *text)
{
	const size_t len = strlen(text);

	for (int i = 0; *range != '\0'; i++) {
		const size_t n = strcspn(range, "|");

		if (n == len && strncmp(range, text, n) == 0)
			return i;
		range += n;
		range += *range == '|';
	}
	return -1;
}
