/* login.c - the steps from a connection to a bound session with presence, and the queue of logins.
 * RFC 6120 §5-7; XEP-0198 §3 when acks are wanted; XEP-0077 §3.1 for the accounts of a run. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

enum { SAY_MAX = 5, RETRY_NS = 250000000, LINE = 1024 };

const char *find(const char *text, size_t len, const char *needle)
{
	return memmem(text, len, needle, strlen(needle));
}

char *attr_dup(const char *text, size_t len, const char *name)
{
	const size_t n = strlen(name);

	for (const char *at = text, *end = text + len; (at = memmem(at, (size_t)(end - at), name, n)) != NULL; at += n) {
		const char *v = at + n;

		if (at == text || !isspace((unsigned char)at[-1]) || end - v < 2 || v[0] != '=')
			continue;
		const char *close = memchr(v + 2, v[1], (size_t)(end - v - 2));

		return close != NULL ? xstrndup(v + 2, (size_t)(close - v - 2)) : NULL;
	}
	return NULL;
}

static bool is(const char *text, size_t len, const char *name)
{
	const size_t n = strlen(name);

	return len > n && memcmp(text, name, n) == 0 && strchr(" />\t\r\n", text[n]) != NULL;
}

/* -- the queue */

void login_queue(struct session *s)
{
	struct bench *b = s->bench;

	b->queue[(b->queue_head + b->queue_len++) % b->opt.sessions] = s;
}

void login_pump(struct bench *b, uint64_t now)
{
	while (b->queue_len > 0 && b->pending < b->opt.concurrency) {
		struct session *s = b->queue[b->queue_head];

		if (s->not_before > now)
			break;
		b->queue_head = (b->queue_head + 1) % b->opt.sessions;
		b->queue_len--;
		b->pending++;
		s->started = now;
		s->needs_session = s->sm = false;
		s->sm_in = s->sm_out = s->sm_acked = s->sm_asked = 0;
		s->sm_asked_at = 0;
		if (!conn_open(s))
			login_lost(s, "cannot connect");
	}
}

static void login_over(struct session *s)
{
	struct bench *b = s->bench;

	b->pending--;
	b->ready++;
	hist_add(b->login_time, (now_ns() - s->started) / 1000);
	if (b->queue_len == 0 && b->pending == 0)
		b->stop = true;
	if (b->on_ready != NULL)
		b->on_ready(s);
}

void login_lost(struct session *s, const char *why)
{
	struct bench *b = s->bench;
	const bool was_ready = s->state == S_READY;

	conn_close(s);
	if (b->failed + b->lost_sessions < SAY_MAX)
		fprintf(stderr, "load: %s: %s\n", s->account->jid, why != NULL ? why : "unknown error");
	if (was_ready) {
		b->lost_sessions++;
		b->ready--;
		return;
	}
	b->failed++;
	b->pending--;
	s->not_before = now_ns() + RETRY_NS;
	if (++s->tries < TRIES_MAX)
		login_queue(s);
	else if (b->queue_len == 0 && b->pending == 0)
		b->stop = true;
}

unsigned login_all(struct bench *b, unsigned first, unsigned n, double limit_s)
{
	for (unsigned i = first; i < first + n; i++) {
		b->sessions[i].tries = 0;
		b->sessions[i].not_before = 0;
		login_queue(&b->sessions[i]);
	}
	const unsigned before = b->ready;

	if (n > 0)
		bench_loop(b, now_ns() + (uint64_t)(limit_s * 1e9));
	return b->ready - before;
}

/* -- the steps */

/* One element, or a stream header. */
static void put(struct session *s, const char *text, size_t len)
{
	if (s->framed)
		ws_send(s, text, len);
	else
		conn_send(s, text, len);
}

static void say(struct session *s, enum state next, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say(struct session *s, enum state next, const char *fmt, ...)
{
	char line[LINE];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	s->state = next;
	if (n < 0 || (size_t)n >= sizeof line)
		login_lost(s, "a name is too long");
	else
		put(s, line, (size_t)n);
}

static void say_header(struct session *s, enum state next)
{
	if (s->framed) {
		say(s, next, "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='%s' version='1.0'/>", s->account->domain);
		return;
	}
	say(s, next,
		"<?xml version='1.0'?><stream:stream to='%s' version='1.0' xml:lang='en' xmlns='jabber:client' "
		"xmlns:stream='http://etherx.jabber.org/streams'>",
		s->account->domain);
}

void login_connected(struct session *s)
{
	if (s->state == S_HANDSHAKE && s->bench->opt.websocket != NULL)
		ws_upgrade(s);
	else if (s->state == S_HANDSHAKE)
		say_header(s, S_SECURE);
	else if (s->bench->opt.direct_tls || s->bench->opt.websocket != NULL)
		conn_start_tls(s);
	else
		say_header(s, S_PLAIN);
}

void login_upgraded(struct session *s)
{
	say_header(s, S_SECURE);
}

static void on_plain(struct session *s, const char *text, size_t len)
{
	if (find(text, len, "<starttls") == NULL)
		login_lost(s, "the server offers no STARTTLS");
	else
		say(s, S_PROCEED, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}

static void on_proceed(struct session *s, const char *text, size_t len)
{
	(void)text, (void)len;
	conn_start_tls(s);
}

static void on_secure(struct session *s, const char *text, size_t len)
{
	char first[256];

	if (s->bench->registering) {
		say(s, S_REGISTER,
			"<iq type='set' id='reg' to='%s'><query xmlns='jabber:iq:register'><username>%s</username>"
			"<password>%s</password></query></iq>",
			s->account->domain, s->account->user, s->account->password);
		return;
	}
	if (find(text, len, ">SCRAM-SHA-1<") == NULL || scram_first(&s->scram, s->account->user, first, sizeof first) == 0)
		login_lost(s, "the server offers no SCRAM-SHA-1");
	else
		say(s, S_CHALLENGE,
			"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>", first);
}

/** The text of the one element. */
static const char *content(const char *text, size_t len, size_t *n)
{
	const char *open = memchr(text, '>', len);
	const char *close = open != NULL ? find(open, len - (size_t)(open - text), "</") : NULL;

	*n = close != NULL ? (size_t)(close - open - 1) : 0;
	return close != NULL ? open + 1 : text;
}

static void on_challenge(struct session *s, const char *text, size_t len)
{
	struct account *a = s->account;
	char answer[700];
	size_t n;
	const char *challenge = content(text, len, &n);

	if (s->bench->opt.floor) {
		memset(answer, 'A', 144); /* as long as the real one */
		answer[144] = '\0';
	} else if (scram_answer(&s->scram, &a->scram, a->password, challenge, n, answer, sizeof answer) == 0) {
		login_lost(s, "the server's challenge is wrong");
		return;
	}
	say(s, S_SUCCESS, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", answer);
}

static void on_success(struct session *s, const char *text, size_t len)
{
	size_t n;
	const char *signature = content(text, len, &n);

	if (!s->bench->opt.floor && !scram_verify(&s->scram, signature, n))
		login_lost(s, "the server does not know the password");
	else
		say_header(s, S_AUTHED);
}

static void on_authed(struct session *s, const char *text, size_t len)
{
	const char *session = find(text, len, "urn:ietf:params:xml:ns:xmpp-session");
	const size_t rest = session != NULL ? len - (size_t)(session - text) : 0;

	s->needs_session = session != NULL && find(session, rest < 64 ? rest : 64, "<optional") == NULL;
	s->sm = s->bench->opt.ack_every > 0 && find(text, len, "urn:xmpp:sm:3") != NULL;
	say(s, S_BIND,
		"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench%u</resource>"
		"</bind></iq>",
		s->slot);
}

/* The slot stands at a fixed place, so that the floor can pair its connections without parsing. */
static void finish(struct session *s)
{
	char line[64];
	const int n = snprintf(line, sizeof line, "<presence id='%08x'/>", s->slot);

	s->state = S_READY;
	session_send(s, line, (size_t)n);
	login_over(s);
}

static void after_session(struct session *s)
{
	if (s->sm)
		say(s, S_ENABLE, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
	else
		finish(s);
}

static void on_bound(struct session *s, const char *text, size_t len)
{
	const char *jid = find(text, len, "<jid>");
	size_t n;

	if (jid == NULL) {
		login_lost(s, "the server does not bind the resource");
		return;
	}
	jid = content(jid, len - (size_t)(jid - text), &n);
	free(s->jid);
	s->jid = xstrndup(jid, n);
	if (s->needs_session)
		say(s, S_SESSION,
			"<iq type='set' id='sess'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
	else
		after_session(s);
}

static void on_session(struct session *s, const char *text, size_t len)
{
	(void)text, (void)len;
	after_session(s);
}

static void on_enabled(struct session *s, const char *text, size_t len)
{
	(void)text, (void)len;
	finish(s);
}

static void on_registered(struct session *s, const char *text, size_t len)
{
	if (find(text, len, "type='result'") == NULL && find(text, len, "type=\"result\"") == NULL &&
		find(text, len, "<conflict") == NULL) {
		login_lost(s, "the server does not create the account");
		return;
	}
	login_over(s);
	s->bench->ready--;
	conn_close(s);
}

static const struct rule {
	enum state when;
	const char *name;
	void (*fn)(struct session *s, const char *text, size_t len);
} rules[] = {
	{ S_PLAIN, "<stream:features", on_plain },
	{ S_PROCEED, "<proceed", on_proceed },
	{ S_SECURE, "<stream:features", on_secure },
	{ S_CHALLENGE, "<challenge", on_challenge },
	{ S_SUCCESS, "<success", on_success },
	{ S_AUTHED, "<stream:features", on_authed },
	{ S_BIND, "<iq", on_bound },
	{ S_SESSION, "<iq", on_session },
	{ S_ENABLE, "<enabled", on_enabled },
	{ S_REGISTER, "<iq", on_registered },
};

/* -- a ready session */

void session_send(struct session *s, const char *text, size_t len)
{
	s->sm_out++;
	put(s, text, len);
}

void session_ask(struct session *s, uint64_t now)
{
	if (!s->sm)
		return;
	if (s->sm_asked_at == 0) {
		s->sm_asked_at = now;
		s->sm_asked = s->sm_out;
	}
	put(s, "<r xmlns='urn:xmpp:sm:3'/>", 26);
}

/** @return true if it was an element of stream management */
static bool managed(struct session *s, const char *text, size_t len)
{
	char line[64];

	if (is(text, len, "<r")) {
		const int n = snprintf(line, sizeof line, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", (unsigned)s->sm_in);

		put(s, line, (size_t)n);
		return true;
	}
	if (!is(text, len, "<a"))
		return false;
	char *h = attr_dup(text, len, "h");

	if (h != NULL)
		s->sm_acked = (uint32_t)strtoul(h, NULL, 10);
	free(h);
	s->bench->acks++;
	if (s->sm_asked_at != 0 && (int32_t)(s->sm_acked - s->sm_asked) >= 0) {
		hist_add(s->bench->ack_time, (now_ns() - s->sm_asked_at) / 1000);
		s->sm_asked_at = 0;
	}
	return true;
}

static void take(struct session *s, const char *text, size_t len)
{
	while (len > 0 && isspace((unsigned char)*text))
		text++, len--;
	if (is(text, len, "<stream:error") || is(text, len, "<failure") ||
		(s->state == S_ENABLE && is(text, len, "<failed"))) {
		char why[200];

		snprintf(why, sizeof why, "%.*s", (int)len, text);
		login_lost(s, why);
		return;
	}
	if (s->state == S_READY) {
		if (s->sm && managed(s, text, len))
			return;
		s->sm_in++;
		if (s->bench->on_stanza != NULL)
			s->bench->on_stanza(s, text, len);
		return;
	}
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rules[i].when == s->state && is(text, len, rules[i].name)) {
			rules[i].fn(s, text, len);
			return;
		}
}

void session_feed(struct session *s, const char *data, size_t len)
{
	const bool kept = buf_len(&s->in) > 0;
	size_t end, done = 0;

	if (kept) {
		buf_add(&s->in, data, len);
		data = buf_data(&s->in);
		len = buf_len(&s->in);
	}
	for (enum scan_found found; (found = scan_next(&s->scan, data + done, len - done, &end)) != SCAN_MORE;) {
		if (found == SCAN_STANZA)
			take(s, data + done, end);
		else if (found == SCAN_END)
			login_lost(s, "the server ends the stream");
		if (s->fd < 0)
			return;
		done += end;
	}
	if (!kept)
		buf_add(&s->in, data + done, len - done);
	else
		buf_consume(&s->in, done);
	if (buf_len(&s->in) == 0)
		buf_release(&s->in);
}
