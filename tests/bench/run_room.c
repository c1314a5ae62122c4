/* run_room.c - rooms (XEP-0045): everybody of a group enters one, then its first occupant speaks to all. With --quiet as
 * large rooms are: the presence of those who are no moderators is shown to nobody. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

#define QUIET "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>" \
	"<field var='muc#roomconfig_presencebroadcast'><value>moderator</value></field>"

enum { LOGIN_LIMIT_S = 600, SETUP_LIMIT_S = 300, LINE = 4096 };

struct room {
	unsigned size, next, inside; /* of one room; sessions that have begun to enter, and are inside */
	uint64_t *entered_at;        /* per session; 0: inside */
	uint64_t presences, deliveries, messages;
	unsigned *missing; /* per room: occupants that have not got its last message */
	uint64_t *sent_at;
	unsigned *number;
	bool closing;
	struct hist latency, entering;
	struct measure enter;        /* of all, and memory before and after */
	uint64_t pss_before, pss_after;
};

static void say(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct session *s, const char *fmt, ...)
{
	char line[LINE];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof line)
		session_send(s, line, (size_t)n);
}

static void name_of(const struct session *s, char out[256])
{
	const struct room *r = s->bench->run;

	snprintf(out, 256, "bench-%ld-%u@conference.%s", (long)getpid(), s->slot / r->size, s->account->domain);
}

static void enter(struct session *s)
{
	struct room *r = s->bench->run;
	char room[256];

	name_of(s, room);
	r->entered_at[s->slot] = now_ns();
	say(s, "<presence to='%s/n%u'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>",
		room, s->slot);
}

/** As many enter at a time as opt.concurrency says; the first of each room before all others. */
static void enter_next(struct bench *b)
{
	struct room *r = b->run;
	const unsigned rooms = b->opt.sessions / r->size;

	while (r->next < b->opt.sessions && r->next - r->inside < b->opt.concurrency) {
		unsigned slot = r->next;

		if (slot < rooms)
			slot *= r->size; /* the first of each */
		else
			slot = (slot - rooms) / (r->size - 1) * r->size + (slot - rooms) % (r->size - 1) + 1;
		if (r->next >= rooms && r->inside < rooms)
			return;
		r->next++;
		enter(&b->sessions[slot]);
	}
}

static void is_inside(struct session *s)
{
	struct bench *b = s->bench;
	struct room *r = b->run;

	if (r->entered_at[s->slot] == 0)
		return;
	hist_add(&r->entering, (now_ns() - r->entered_at[s->slot]) / 1000);
	r->entered_at[s->slot] = 0;
	if (++r->inside == b->opt.sessions)
		b->stop = true;
	enter_next(b);
}

static void on_entering(struct session *s, const char *text, size_t len)
{
	struct room *r = s->bench->run;
	char room[256];

	if (len > 9 && memcmp(text, "<presence", 9) == 0) {
		r->presences++;
		return;
	}
	if (len > 3 && memcmp(text, "<iq", 3) == 0 && find(text, len, "own") != NULL)
		is_inside(s); /* it is configured: others may enter */
	if (find(text, len, "<subject") == NULL)
		return;
	if (s->slot % r->size == 0) {
		name_of(s, room);
		say(s, "<iq type='set' id='own' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'>"
			"<x xmlns='jabber:x:data' type='submit'>%s</x></query></iq>", room, s->bench->opt.quiet ? QUIET : "");
		return;
	}
	is_inside(s);
}

static void speak(struct bench *b, unsigned group)
{
	struct room *r = b->run;
	struct session *s = &b->sessions[group * r->size];
	char room[256];

	name_of(s, room);
	r->missing[group] = r->size;
	r->number[group]++;
	r->sent_at[group] = now_ns();
	r->messages++;
	say(s, "<message type='groupchat' to='%s' id='b%u'><body>bench %08x %.*s</body></message>", room,
		r->number[group], r->number[group], (int)(b->opt.body < 1000 ? b->opt.body : 1000),
		"Two households, both alike in dignity, In fair Verona, where we lay our scene, From ancient grudge break to");
}

static void on_message(struct session *s, const char *text, size_t len)
{
	struct bench *b = s->bench;
	struct room *r = b->run;
	const unsigned group = s->slot / r->size;
	const char *body = find(text, len, "<body>bench ");

	if (body == NULL || strtoul(body + 12, NULL, 16) != r->number[group])
		return;
	r->deliveries++;
	hist_add(&r->latency, (now_ns() - r->sent_at[group]) / 1000);
	if (--r->missing[group] == 0 && !r->closing)
		speak(b, group);
}

static struct room *room_new(struct bench *b, unsigned rooms)
{
	struct room *r = xalloc(sizeof *r);

	r->size = b->opt.contacts + 1;
	r->entered_at = xalloc(b->opt.sessions * sizeof *r->entered_at);
	r->missing = xalloc(rooms * sizeof *r->missing);
	r->sent_at = xalloc(rooms * sizeof *r->sent_at);
	r->number = xalloc(rooms * sizeof *r->number);
	return r;
}

static void room_free(struct room **r)
{
	free((*r)->entered_at);
	free((*r)->missing);
	free((*r)->sent_at);
	free((*r)->number);
	free(*r);
	*r = NULL;
}

static bool enter_all(struct bench *b)
{
	struct room *r = b->run;

	b->on_stanza = on_entering;
	r->pss_before = usage_all(b->opt.pids, b->opt.n_pids).pss_kib;
	measure_start(b, &r->enter);
	enter_next(b);
	bench_loop(b, now_ns() + SETUP_LIMIT_S * 1000000000ull);
	measure_stop(b, &r->enter, true);
	r->pss_after = usage_all(b->opt.pids, b->opt.n_pids).pss_kib;
	if (r->inside != b->opt.sessions)
		fprintf(stderr, "load: %u of %u are inside\n", r->inside, b->opt.sessions);
	return r->inside == b->opt.sessions;
}

/* What entering has cost: by presence that was sent, and by occupant. */
static void report_entering(struct report *out, const struct bench *b, const struct room *r)
{
	const double cpu_us = r->enter.server_cpu_s * 1e6, inside = b->opt.sessions;

	report_num(out, "enter_presences", (double)r->presences);
	report_num(out, "enter_cpu_us", r->presences > 0 ? cpu_us / (double)r->presences : 0);
	report_num(out, "enter_cpu_us_each", cpu_us / inside);
	report_num(out, "enter_seconds", r->enter.seconds);
	report_num(out, "pss_per_occupant_kib", r->pss_after > r->pss_before
		? (double)(r->pss_after - r->pss_before) / inside : 0);
	report_hist(out, "entering", &r->entering);
}

int run_room(struct bench *b)
{
	const unsigned size = b->opt.contacts + 1, rooms = b->opt.sessions / size;
	struct measure m;
	struct report out;

	b->opt.sessions = rooms * size;
	if (rooms == 0 || size < 2 || login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S) != b->opt.sessions)
		return 1;
	struct room *r = room_new(b, rooms);

	b->run = r;
	usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	if (!enter_all(b)) {
		room_free(&r);
		return 1;
	}
	usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	b->on_stanza = on_message;
	measure_start(b, &m);
	for (unsigned g = 0; g < rooms; g++)
		speak(b, g);
	bench_loop(b, now_ns() + (uint64_t)(b->opt.seconds * 1e9));
	r->closing = true;
	bench_loop(b, now_ns() + 2000000000ull);
	measure_stop(b, &m, true);
	m.seconds -= 2;
	report_begin(&out, b, "room");
	report_num(&out, "occupants", size);
	report_num(&out, "lost", (double)(r->messages * size - r->deliveries));
	report_cost(&out, &m, (double)r->deliveries);
	report_hist(&out, "delivery", &r->latency);
	report_entering(&out, b, r);
	report_end(&out);
	const int rc = r->deliveries > 0 && r->deliveries == r->messages * size ? 0 : 1;

	room_free(&r);
	return rc;
}
