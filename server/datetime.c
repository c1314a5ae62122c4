/* datetime.c - XEP-0082, without the C library's time zones and locales. */
#include "server/datetime.h"
#include <stdbool.h>

#define SECOND_US INT64_C(1000000)
enum { DAY_S = 86400, DAYS_400_YEARS = 146097, OFFSET_MAX_MIN = 14 * 60 };

struct cursor {
	const char *p, *end;
};

/* Exactly n digits. */
static bool number(struct cursor *c, int n, int *out)
{
	int v = 0;

	if (c->end - c->p < n)
		return false;
	for (; n > 0; n--, c->p++) {
		if (*c->p < '0' || *c->p > '9')
			return false;
		v = v * 10 + (*c->p - '0');
	}
	*out = v;
	return true;
}

static bool sign(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
	static const char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days since 1970-01-01. Years are taken to begin in March, so that a leap day is the last of its year and
 * the days before a month follow 153 days for every five months. */
static int64_t days_of(int year, int month, int day)
{
	const int64_t y = year - (month <= 2);
	const int m = (month + 9) % 12;

	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* The inverse; days from year 1 on. */
static void date_of(int64_t days, int *year, int *month, int *day)
{
	days += 719468; /* since 0000-03-01, so never negative here */
	const int64_t era = days / DAYS_400_YEARS;
	const int doe = (int)(days % DAYS_400_YEARS);
	const int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int m = (5 * doy + 2) / 153;

	*day = doy - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = (int)(era * 400) + yoe + (*month <= 2);
}

static bool date(struct cursor *c, int64_t *out_days)
{
	int year, month, day;

	if (!number(c, 4, &year) || !sign(c, '-') || !number(c, 2, &month) || !sign(c, '-') || !number(c, 2, &day))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*out_days = days_of(year, month, day);
	return true;
}

/* .s… of any length (XEP-0082 §2). */
static bool fraction(struct cursor *c, int *out_us)
{
	int us = 0, unit = 100000;
	const char *first;

	*out_us = 0;
	if (!sign(c, '.'))
		return true;
	for (first = c->p; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
		us += (*c->p - '0') * unit;
	*out_us = us;
	return c->p > first;
}

static bool time_of_day(struct cursor *c, int64_t *out_us)
{
	int h, m, s, us;

	if (!number(c, 2, &h) || !sign(c, ':') || !number(c, 2, &m) || !sign(c, ':') || !number(c, 2, &s) ||
		!fraction(c, &us))
		return false;
	if (h > 24 || m > 59 || s > 59 || (h == 24 && (m > 0 || s > 0 || us > 0)))
		return false;
	*out_us = (h * 3600 + m * 60 + s) * SECOND_US + us;
	return true;
}

static bool zone(struct cursor *c, int *out_min)
{
	int h, m, direction = 1;

	*out_min = 0;
	if (sign(c, 'Z'))
		return true;
	if (sign(c, '-'))
		direction = -1;
	else if (!sign(c, '+'))
		return false;
	if (!number(c, 2, &h) || !sign(c, ':') || !number(c, 2, &m) || m > 59 || h * 60 + m > OFFSET_MAX_MIN)
		return false;
	*out_min = direction * (h * 60 + m);
	return true;
}

enum sterna_result datetime_parse(const char *text, size_t len, int64_t *out_us)
{
	struct cursor c = { text, text + len };
	int64_t days, us;
	int offset_min;

	if (!date(&c, &days) || !sign(&c, 'T') || !time_of_day(&c, &us) || !zone(&c, &offset_min) || c.p != c.end)
		return STERNA_EINVAL;
	us += (days * DAY_S - offset_min * INT64_C(60)) * SECOND_US;
	if (us < DATETIME_MIN_US || us > DATETIME_MAX_US)
		return STERNA_EINVAL;
	*out_us = us;
	return STERNA_OK;
}

/* v with exactly n digits and what follows them; returns where to go on. */
static char *put(char *to, int v, int n, char after)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
	to[n] = after;
	return to + n + 1;
}

static const char *format(int64_t us, char *out, bool with_us)
{
	int year, month, day;
	char *to = out;

	if (us < DATETIME_MIN_US)
		us = DATETIME_MIN_US;
	if (us > DATETIME_MAX_US)
		us = DATETIME_MAX_US;
	const int64_t since = us - DATETIME_MIN_US; /* no negative division */
	const int64_t s = since / SECOND_US % DAY_S;

	date_of(since / (DAY_S * SECOND_US) + DATETIME_MIN_US / (DAY_S * SECOND_US), &year, &month, &day);
	to = put(to, year, 4, '-');
	to = put(to, month, 2, '-');
	to = put(to, day, 2, 'T');
	to = put(to, (int)(s / 3600), 2, ':');
	to = put(to, (int)(s / 60 % 60), 2, ':');
	to = put(to, (int)(s % 60), 2, with_us ? '.' : 'Z');
	if (with_us)
		to = put(to, (int)(since % SECOND_US), 6, 'Z');
	*to = '\0';
	return out;
}

const char *datetime_format(int64_t us, char out[DATETIME_SIZE])
{
	return format(us, out, false);
}

const char *datetime_format_us(int64_t us, char out[DATETIME_SIZE])
{
	return format(us, out, true);
}
