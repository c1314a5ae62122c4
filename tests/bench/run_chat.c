/* run_chat.c - messages between pairs of sessions, both ways: as many as the server can do with a fixed
 * number in flight, or at a fixed rate. Each message carries its sender, its number and when it was due,
 * so that the receiver counts what is lost, doubled or out of order, and the latency counts from when the
 * message should have gone, also when the generator or the server had fallen behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

enum { STAMP = 35, DRAIN_S = 10, LOGIN_LIMIT_S = 300, STEP_NS = 50000000 };

struct side { /* one session's half of a pair */
	struct session *session;
	struct chat *chat;
	struct side *peer;
	char *text; /* the whole message; number and stamp are written in place */
	size_t len, id_at, stamp_at;
	uint32_t sent, in_flight;
	uint32_t unique, next_new; /* received: how many different ones; one above the highest */
	uint8_t *seen;             /* a bit for each number */
	size_t seen_room;
};

struct chat {
	struct bench *bench;
	struct side *sides;
	unsigned n, rate, next_side;
	uint32_t quota; /* messages per side, 0: no end */
	uint64_t interval, next_due;
	bool closing;
	uint64_t sent, delivered, doubled, reordered, foreign;
	struct hist latency;
};

static void put_hex(char *at, uint64_t v, unsigned digits)
{
	for (; digits > 0; digits--, v >>= 4)
		at[digits - 1] = "0123456789abcdef"[v & 15];
}

static bool get_hex(const char *at, unsigned digits, uint64_t *out)
{
	uint64_t v = 0;

	for (; digits > 0; digits--, at++) {
		const unsigned d = (unsigned char)*at;

		if (d >= '0' && d <= '9')
			v = v << 4 | (d - '0');
		else if (d >= 'a' && d <= 'f')
			v = v << 4 | (d - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

static void side_init(struct side *s)
{
	const struct options *o = &s->chat->bench->opt;
	const struct session *to = s->peer->session;
	const unsigned body = o->body > STAMP ? o->body : STAMP;
	struct buf b = BUF_INIT;

	buf_lit(&b, "<message type='chat' id='");
	s->id_at = buf_len(&b);
	buf_addf(&b, "00000000' to='%s'><body>", o->bare ? to->account->jid : to->jid);
	s->stamp_at = buf_len(&b);
	memset(buf_reserve(&b, body), '.', body);
	b.len += body;
	buf_lit(&b, "</body></message>");
	s->len = buf_len(&b);
	s->text = xstrndup(buf_data(&b), s->len);
	s->text[s->stamp_at + 8] = s->text[s->stamp_at + 17] = s->text[s->stamp_at + 34] = ' ';
	put_hex(s->text + s->stamp_at, s->session->slot, 8);
	buf_release(&b);
}

static struct chat *chat_new(struct bench *b, unsigned first, unsigned sessions, unsigned rate)
{
	struct chat *c = xalloc(sizeof *c);

	c->bench = b;
	c->n = sessions & ~1u;
	c->rate = rate;
	c->interval = rate > 0 ? 1000000000u / rate : 0;
	c->sides = xalloc(c->n * sizeof *c->sides);
	for (unsigned i = 0; i < c->n; i++) {
		struct side *s = &c->sides[i];

		*s = (struct side){ .session = &b->sessions[first + i], .chat = c, .peer = &c->sides[i ^ 1] };
		s->session->run = s;
	}
	for (unsigned i = 0; i < c->n; i++)
		side_init(&c->sides[i]);
	return c;
}

static void chat_free(struct chat **c)
{
	if (*c == NULL)
		return;
	for (unsigned i = 0; i < (*c)->n; i++) {
		free((*c)->sides[i].text);
		free((*c)->sides[i].seen);
		(*c)->sides[i].session->run = NULL;
	}
	free((*c)->sides);
	free(*c);
	*c = NULL;
}

static void send_one(struct side *s, uint64_t due)
{
	struct chat *c = s->chat;
	const unsigned every = c->bench->opt.ack_every;

	if (s->session->state != S_READY)
		return;
	put_hex(s->text + s->id_at, s->sent, 8);
	put_hex(s->text + s->stamp_at + 9, s->sent, 8);
	put_hex(s->text + s->stamp_at + 18, due, 16);
	s->sent++;
	s->in_flight++;
	c->sent++;
	session_send(s->session, s->text, s->len);
	if (every > 0 && s->sent % every == 0)
		session_ask(s->session, now_ns());
}

static void fill_window(struct side *s, uint64_t now)
{
	const struct chat *c = s->chat;

	while (!c->closing && s->in_flight < c->bench->opt.in_flight && (c->quota == 0 || s->sent < c->quota))
		send_one(s, now);
}

static void chat_begin(struct chat *c, uint64_t now)
{
	c->next_due = now + c->interval;
	if (c->rate > 0)
		c->bench->next_tick = c->next_due;
	else
		for (unsigned i = 0; i < c->n; i++)
			fill_window(&c->sides[i], now);
}

static void chat_tick(struct chat *c, uint64_t now)
{
	if (c->rate == 0 || c->closing)
		return;
	for (; c->next_due <= now; c->next_due += c->interval) {
		send_one(&c->sides[c->next_side], c->next_due);
		c->next_side = (c->next_side + 1) % c->n;
	}
	c->bench->next_tick = c->next_due;
}

/** Note that the peer's message number is here. @return false if it was here before */
static bool note(struct side *s, uint32_t number)
{
	const size_t byte = number / 8;
	const uint8_t bit = (uint8_t)(1u << number % 8);

	if (byte >= s->seen_room) {
		const size_t room = byte * 2 + 64;

		s->seen = xrealloc(s->seen, room);
		memset(s->seen + s->seen_room, 0, room - s->seen_room);
		s->seen_room = room;
	}
	if (s->seen[byte] & bit)
		return false;
	s->seen[byte] |= bit;
	s->unique++;
	return true;
}

static void chat_stanza(struct session *session, const char *text, size_t len)
{
	struct side *s = session->run;
	uint64_t from, number, due;
	const char *body;

	if (s == NULL || len < 8 || memcmp(text, "<message", 8) != 0)
		return;
	struct chat *c = s->chat;

	body = find(text, len, "<body>");
	if (body == NULL || (size_t)(text + len - body) < 6 + STAMP || !get_hex(body + 6, 8, &from) ||
		!get_hex(body + 15, 8, &number) || !get_hex(body + 24, 16, &due) ||
		from != s->peer->session->slot || number >= s->peer->sent) {
		c->foreign++;
		return;
	}
	if (!note(s, (uint32_t)number)) {
		c->doubled++;
		return;
	}
	if (number < s->next_new)
		c->reordered++;
	else
		s->next_new = (uint32_t)number + 1;
	const uint64_t now = now_ns();

	c->delivered++;
	hist_add(&c->latency, now > due ? (now - due) / 1000 : 0);
	s->peer->in_flight--;
	if (c->rate == 0)
		fill_window(s->peer, now);
}

static void chat_count_from_here(struct chat *c)
{
	hist_reset(&c->latency);
	hist_reset(c->bench->ack_time);
}

static uint64_t outstanding(const struct chat *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->n; i++)
		n += c->sides[i].in_flight;
	return n;
}

static uint64_t unacked(const struct chat *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->n; i++)
		if (c->sides[i].session->sm)
			n += c->sides[i].session->sm_out - c->sides[i].session->sm_acked;
	return n;
}

/** Send nothing new; wait until all is delivered and acknowledged, or for DRAIN_S. */
static void drain(struct chat *c)
{
	const uint64_t end = now_ns() + DRAIN_S * 1000000000ull;

	c->closing = true;
	for (unsigned i = 0; i < c->n; i++)
		session_ask(c->sides[i].session, now_ns());
	while (outstanding(c) + unacked(c) > 0 && now_ns() < end)
		bench_loop(c->bench, now_ns() + STEP_NS / 10);
}

static void on_tick(struct bench *b, uint64_t now)
{
	chat_tick(b->run, now);
}

static void report(struct chat *c, const char *name, const struct measure *m, uint64_t delivered)
{
	const struct bench *b = c->bench;
	struct report r;

	report_begin(&r, b, name);
	report_cost(&r, m, (double)delivered);
	report_hist(&r, "latency", &c->latency);
	report_num(&r, "lost", (double)outstanding(c));
	report_num(&r, "doubled", (double)c->doubled);
	report_num(&r, "reordered", (double)c->reordered);
	report_num(&r, "foreign", (double)c->foreign);
	if (b->opt.ack_every > 0) {
		report_num(&r, "acks", (double)b->acks);
		report_num(&r, "unacked", (double)unacked(c));
		report_hist(&r, "ack", b->ack_time);
	}
	report_end(&r);
}

static int run(struct bench *b, const char *name, unsigned rate)
{
	struct measure m;

	if (login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S) != b->opt.sessions)
		return 1;
	struct chat *c = chat_new(b, 0, b->opt.sessions, rate);

	b->run = c;
	b->on_tick = on_tick;
	b->on_stanza = chat_stanza;
	chat_begin(c, now_ns());
	bench_loop(b, now_ns() + (uint64_t)(b->opt.warm_s * 1e9));
	chat_count_from_here(c);
	const uint64_t before = c->delivered;

	measure_start(b, &m);
	bench_loop(b, now_ns() + (uint64_t)(b->opt.seconds * 1e9));
	drain(c);
	measure_stop(b, &m, true);
	report(c, name, &m, c->delivered - before);
	const bool bad = outstanding(c) > 0 || c->doubled > 0 || c->reordered > 0;

	chat_free(&c);
	return bad ? 1 : 0;
}

int run_chat(struct bench *b)
{
	return run(b, "chat", 0);
}

int run_rate(struct bench *b)
{
	return run(b, "rate", b->opt.rate);
}

bool chat_fill(struct bench *b, uint32_t per_session)
{
	struct chat *c = chat_new(b, 0, b->opt.sessions, 0);
	const uint64_t want = (uint64_t)per_session * c->n, end = now_ns() + LOGIN_LIMIT_S * 1000000000ull;

	c->quota = per_session;
	b->on_stanza = chat_stanza;
	chat_begin(c, now_ns());
	while (c->delivered < want && now_ns() < end)
		bench_loop(b, now_ns() + STEP_NS);
	const bool all = c->delivered == want;

	b->on_stanza = NULL;
	chat_free(&c);
	return all;
}
