/* trail.c - steps of an attempt. */
#include "server/trail.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void trail_begin(struct trail *t, uint64_t now_us, int64_t wall_us)
{
	t->began_us = now_us;
	t->began_wall_us = wall_us;
	t->count = 0;
}

/* Where the last character that was begun is not whole: cut off by the end of the buffer. */
static size_t half_character(const char *text, size_t len)
{
	size_t at = len;

	while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at == 0 || ((unsigned char)text[at - 1] & 0xc0) != 0xc0)
		return len;
	const unsigned char lead = (unsigned char)text[at - 1];
	const size_t wants = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	return len - (at - 1) < wants ? at - 1 : len;
}

/* What a peer said may be in it: no control characters, no half character at the end. */
static void tidy(char *text)
{
	text[half_character(text, strlen(text))] = '\0';
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void trail_add(struct trail *t, uint64_t now_us, const char *what, bool ok, const char *fmt, ...)
{
	struct trail_step *s = &t->step[t->count < TRAIL_STEPS ? t->count++ : TRAIL_STEPS - 1];
	va_list args;

	s->at_us = now_us - t->began_us;
	s->what = what;
	s->ok = ok;
	va_start(args, fmt);
	vsnprintf(s->text, sizeof s->text, fmt, args);
	va_end(args);
	tidy(s->text);
}

const struct trail_step *trail_failure(const struct trail *t)
{
	for (unsigned i = t->count; i > 0; i--)
		if (!t->step[i - 1].ok)
			return &t->step[i - 1];
	return NULL;
}
