/* bosh.c - XEP-0124: requests are taken in the order of their numbers, held until there is something to say, and what was
 * answered is kept for as long as the client may ask again. */
#include "server/bosh.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/bosh_body.h"
#include "server/net.h"

enum { HOLD_MAX = 2, REQUESTS_MAX = HOLD_MAX + 1, PAUSE_MAX_S = 120, SID_LEN = 36, KEY_LEN = 40 };

struct held {
	struct http_conn *conn;
	uint64_t rid;
	uint64_t since_us;
};

struct early {                       /* a request that came before its predecessor */
	struct http_conn *conn;
	uint64_t rid;
	struct bosh_body body;
};

struct answer {                      /* what was said to a request: §14.3 */
	uint64_t rid;
	struct buf body;
};

struct bosh {
	struct worker *worker;
	struct bosh_pipe *pipe;
	char sid[SID_LEN];
	uint64_t rid;                /* the last one taken */
	unsigned hold, requests;
	uint64_t wait_us, inactive_us, pause_us, polled_us;
	struct held held[REQUESTS_MAX + 1];
	unsigned held_count;
	struct early early[REQUESTS_MAX];
	unsigned early_count;
	struct answer answers[REQUESTS_MAX + 1];
	unsigned answer_at;
	struct buf out;
	struct timer timer;
	char key[KEY_LEN + 1];       /* §15: the hash that the next key must have; "": no keys */
	const char *condition;
	bool starting, over, acks;
	char from[256];
	unsigned wait_s;
};

static const struct config_http *config(const struct worker *w)
{
	const struct config *c = w->server->config;

	return &c->http;
}

bool bosh_is_path(const struct server *s, const char *path)
{
	const struct config *c = s->config;

	return *c->http.bosh != '\0' && strcmp(c->http.bosh, path) == 0;
}

/* --- answers --- */

static void reply(struct http_conn *c, const char *text, size_t len)
{
	http_conn_allow_origin(c, "POST, OPTIONS");
	sterna_http_reply(&c->request, 200, "text/xml; charset=utf-8", text, len);
	http_conn_answer(c);
}

/* Without a session, or instead of one: §17.2 */
static void refuse(struct http_conn *c, const char *condition)
{
	char text[160];

	snprintf(text, sizeof text, "<body xmlns='" NS_BOSH "' type='terminate' condition='%s'/>", condition);
	reply(c, text, strlen(text));
}

/* §7.2: what the client needs to know of its session. */
static void write_session(struct bosh *b, struct buf *out)
{
	char id[33];

	bosh_pipe_id(b->pipe, id);
	buf_addf(out, " sid='%s' wait='%u' requests='%u' hold='%u' inactivity='%u' polling='%u' maxpause='%d' ver='1.11' "
		"secure='true' authid='%s' xmlns:xmpp='" NS_XBOSH "' xmpp:version='1.0' xmpp:restartlogic='true' from='",
		b->sid, b->wait_s, b->requests, b->hold, (unsigned)(b->inactive_us / 1000000),
		(unsigned)(config(b->worker)->bosh_polling.us / 1000000), PAUSE_MAX_S, id);
	xml_escape_attr(out, b->from, strlen(b->from));
	buf_lit(out, "'");
}

static void answer_oldest(struct bosh *b)
{
	const struct held h = b->held[0];
	struct answer *a = &b->answers[b->answer_at++ % (b->requests + 1)];

	memmove(b->held, b->held + 1, --b->held_count * sizeof *b->held);
	buf_release(&a->body);
	a->rid = h.rid;
	buf_lit(&a->body, "<body xmlns='" NS_BOSH "'");
	if (buf_len(&b->out) > 0)
		buf_lit(&a->body, " xmlns:stream='http://etherx.jabber.org/streams'");
	if (b->starting)
		write_session(b, &a->body);
	if (b->acks && b->rid != h.rid)
		buf_addf(&a->body, " ack='%llu'", (unsigned long long)b->rid); /* §9.2 */
	if (b->over)
		buf_addf(&a->body, " type='terminate'%s%s%s", b->condition != NULL ? " condition='" : "",
			b->condition != NULL ? b->condition : "", b->condition != NULL ? "'" : "");
	b->starting = false;
	buf_lit(&a->body, ">");
	buf_add(&a->body, buf_data(&b->out), buf_len(&b->out));
	buf_lit(&a->body, "</body>");
	buf_release(&b->out);
	reply(h.conn, buf_data(&a->body), buf_len(&a->body));
}

/* --- life --- */

static void bosh_free(struct bosh **bp)
{
	struct bosh *b = *bp;

	*bp = NULL;
	map_remove(&b->worker->bosh, b->sid);
	timer_cancel(&b->timer);
	for (unsigned i = 0; i < b->held_count; i++)
		b->held[i].conn->gone = NULL;
	for (unsigned i = 0; i < b->early_count; i++) {
		b->early[i].conn->gone = NULL;
		bosh_body_clear(&b->early[i].body);
	}
	for (unsigned i = 0; i < REQUESTS_MAX + 1; i++)
		buf_release(&b->answers[i].body);
	buf_release(&b->out);
	bosh_pipe_leave(&b->pipe);
	atomic_fetch_sub(&b->worker->server->bosh_sessions, 1);
	free(b);
}

/* It is over: everything that is held hears of it. Sets *b to NULL. */
static void end(struct bosh **bp, const char *condition)
{
	struct bosh *b = *bp;

	b->over = true;
	if (condition != NULL)
		b->condition = condition;
	while (b->held_count > 0)
		answer_oldest(b);
	for (unsigned i = 0; i < b->early_count; i++) {
		b->early[i].conn->gone = NULL;
		refuse(b->early[i].conn, condition != NULL ? condition : "item-not-found");
		bosh_body_clear(&b->early[i].body);
	}
	b->early_count = 0;
	bosh_free(bp);
}

static void set_timer(struct bosh *b)
{
	const uint64_t now = loop_now_us(b->worker->loop);

	if (b->held_count == 0) {
		timer_set(&b->timer, b->pause_us > 0 ? b->pause_us : b->inactive_us);
		return;
	}
	const uint64_t due = b->held[0].since_us + b->wait_us;

	timer_set(&b->timer, due > now ? due - now : 0);
}

/* Says what there is to say, and no request is held beyond what was agreed on. */
static void serve(struct bosh *b)
{
	if (b->over) {
		if (b->held_count > 0)
			end(&b, NULL);
		return; /* else the next request hears it */
	}
	while (b->held_count > 0 && buf_len(&b->out) > 0)
		answer_oldest(b);
	/* A stream that cannot keep up: its client waits too. */
	while (b->held_count > b->hold && !b->starting && bosh_pipe_waiting(b->pipe) < BOSH_WAITING_MAX)
		answer_oldest(b);
	set_timer(b);
}

/* The stream has said something, or is over, or has taken what waited. */
static void on_wake(void *arg)
{
	struct bosh *b = arg;
	const char *condition;
	bool ended;

	bosh_pipe_take(b->pipe, &b->out, &ended, &condition);
	b->over |= ended;
	b->condition = condition != NULL ? condition : b->condition;
	serve(b);
}

static void on_timer(struct timer *t, void *arg)
{
	struct bosh *b = arg;

	(void)t;
	if (b->held_count > 0) {
		answer_oldest(b); /* §8: it has waited long enough */
		set_timer(b);
		return;
	}
	log_debug("bosh", "nothing heard for too long", "sid", b->sid);
	bosh_free(&b); /* the stream is cut: its session may be resumed */
}

/* A client went away with a request of its that is not answered. */
static void on_gone(void *arg, struct http_conn *c)
{
	struct bosh *b = arg;

	for (unsigned i = 0; i < b->held_count; i++)
		if (b->held[i].conn == c) {
			memmove(b->held + i, b->held + i + 1, (--b->held_count - i) * sizeof *b->held);
			break;
		}
	for (unsigned i = 0; i < b->early_count; i++)
		if (b->early[i].conn == c) {
			bosh_body_clear(&b->early[i].body);
			b->early[i] = b->early[--b->early_count];
			break;
		}
	set_timer(b);
}

/* --- requests --- */

/* §15: SHA-1 of the key must be what the client named before. */
static bool key_fits(struct bosh *b, const struct bosh_body *body)
{
	const char *key = elem_attr(body->root, "key"), *next = elem_attr(body->root, "newkey");
	unsigned char digest[20];
	char text[KEY_LEN + 1];

	if (*b->key != '\0') {
		if (key == NULL || strlen(key) > KEY_LEN || EVP_Digest(key, strlen(key), digest, NULL, EVP_sha1(), NULL) != 1)
			return false;
		for (unsigned i = 0; i < sizeof digest; i++)
			snprintf(text + 2 * i, 3, "%02x", digest[i]);
		if (strcmp(text, b->key) != 0)
			return false;
		memcpy(b->key, key, strlen(key) + 1);
	}
	if (next != NULL && strlen(next) == KEY_LEN)
		memcpy(b->key, next, KEY_LEN + 1);
	return true;
}

static struct bosh_item *control(enum bosh_item_kind kind)
{
	struct bosh_item *i = xalloc(sizeof *i);

	i->kind = kind;
	return i;
}

/* A stream's header, made of the body's attributes: XEP-0206 §3, §4. */
static struct bosh_item *opening(const struct bosh_body *body, const char *to)
{
	struct bosh_item *i = control(BOSH_OPEN);
	const char *from = elem_attr(body->root, "from"), *lang = elem_attr_ns(body->root, "lang", NS_XML);
	const char *version = elem_attr_ns(body->root, "version", NS_XBOSH);

	i->arena = arena_new(512);
	i->element = elem_new(i->arena, "stream", NS_STREAM);
	if (to != NULL)
		elem_set_attr(i->arena, i->element, "to", to);
	if (from != NULL)
		elem_set_attr(i->arena, i->element, "from", from);
	if (lang != NULL)
		elem_set_attr_ns(i->arena, i->element, "lang", NS_XML, lang);
	elem_set_attr(i->arena, i->element, "version", version != NULL ? version : "1.0");
	return i;
}

static bool is(const struct sterna_elem *root, const char *name, const char *ns, const char *value)
{
	const char *text = ns != NULL ? elem_attr_ns(root, name, ns) : elem_attr(root, name);

	return text != NULL && strcmp(text, value) == 0;
}

static void hold(struct bosh *b, struct http_conn *c, uint64_t rid)
{
	http_conn_wait(c, on_gone, b);
	b->held[b->held_count++] = (struct held){ c, rid, loop_now_us(b->worker->loop) };
}

/* The next one in order. Takes the body's elements. @return false: the session is over */
static bool process(struct bosh *b, struct http_conn *c, uint64_t rid, struct bosh_body *body)
{
	const bool ends = is(body->root, "type", NULL, "terminate");
	const bool restarts = is(body->root, "restart", NS_XBOSH, "true") || is(body->root, "restart", NS_XBOSH, "1");
	uint64_t pause = 0;

	b->rid = rid;
	b->pause_us = 0;
	hold(b, c, rid);
	if (!key_fits(b, body) || b->held_count > b->requests) { /* §11: more at once than was agreed on */
		end(&b, b->held_count > b->requests ? "policy-violation" : "item-not-found");
		return false;
	}
	if (b->hold == 0 && body->count == 0 && !restarts && !ends) { /* §12 */
		const uint64_t now = loop_now_us(b->worker->loop), least = (uint64_t)config(b->worker)->bosh_polling.us;

		if (b->polled_us != 0 && now - b->polled_us < least && buf_len(&b->out) == 0) {
			end(&b, "policy-violation");
			return false;
		}
		b->polled_us = now;
	}
	if (restarts) {
		struct bosh_item *i = opening(body, elem_attr(body->root, "to") != NULL ? elem_attr(body->root, "to") : b->from);

		bosh_pipe_push(b->pipe, &i);
	}
	bosh_pipe_push(b->pipe, &body->first);
	if (ends) {
		struct bosh_item *i = control(BOSH_END);

		bosh_pipe_push(b->pipe, &i);
		end(&b, NULL);
		return false;
	}
	if (bosh_body_number(body, "pause", &pause) && pause <= PAUSE_MAX_S) { /* §10 */
		while (b->held_count > 0)
			answer_oldest(b);
		b->pause_us = pause * 1000000;
	}
	return true;
}

static void process_early(struct bosh *b)
{
	for (unsigned i = 0; i < b->early_count;) {
		struct early e = b->early[i];

		if (e.rid != b->rid + 1) {
			i++;
			continue;
		}
		b->early[i] = b->early[--b->early_count];
		const bool goes_on = process(b, e.conn, e.rid, &e.body);

		bosh_body_clear(&e.body);
		if (!goes_on)
			return;
		i = 0;
	}
	serve(b);
}

/* The session is over, and the one who asks hears it first. */
static void end_with(struct bosh *b, struct http_conn *c, const char *condition)
{
	refuse(c, condition);
	end(&b, condition);
}

/* A number that was there before: §14.3. */
static void repeat(struct bosh *b, struct http_conn *c, uint64_t rid)
{
	for (unsigned i = 0; i <= b->requests; i++)
		if (b->answers[i].rid == rid && buf_len(&b->answers[i].body) > 0) {
			reply(c, buf_data(&b->answers[i].body), buf_len(&b->answers[i].body));
			return;
		}
	for (unsigned i = 0; i < b->held_count; i++)
		if (b->held[i].rid == rid) { /* its connection is lost, and we do not know it yet */
			struct http_conn *old = b->held[i].conn;

			b->held[i].conn = c;
			http_conn_wait(c, on_gone, b);
			old->gone = NULL;
			refuse(old, "item-not-found");
			return;
		}
	end_with(b, c, "item-not-found");
}

static void on_request(struct bosh *b, struct http_conn *c, struct bosh_body *body)
{
	uint64_t rid;

	if (!bosh_body_number(body, "rid", &rid) || rid > b->rid + b->requests) {
		end_with(b, c, "item-not-found"); /* §14.2: outside of the window */
	} else if (b->over) {
		b->rid = rid;
		hold(b, c, rid);
		end(&b, NULL);
	} else if (rid <= b->rid) {
		repeat(b, c, rid);
	} else if (rid > b->rid + 1) {
		if (b->early_count == REQUESTS_MAX) {
			end_with(b, c, "policy-violation");
			return;
		}
		http_conn_wait(c, on_gone, b);
		b->early[b->early_count++] = (struct early){ c, rid, *body };
		*body = (struct bosh_body){ .arena = NULL };
	} else if (process(b, c, rid, body)) {
		process_early(b);
	}
}

/* --- a new session: §7 --- */

static unsigned number_or(const struct bosh_body *body, const char *name, unsigned most, unsigned fallback)
{
	uint64_t n;

	if (!bosh_body_number(body, name, &n))
		return fallback;
	return n < most ? (unsigned)n : most;
}

static void make_session(struct bosh *b, struct http_conn *c, const struct bosh_body *body)
{
	const struct config_http *cfg = config(b->worker);
	struct bosh_item *i;
	struct stream *s;
	char token[33];

	worker_token(b->worker, token);
	snprintf(b->sid, sizeof b->sid, "%02x%s", b->worker->index & 0xff, token);
	b->wait_s = number_or(body, "wait", (unsigned)(cfg->bosh_wait.us / 1000000), (unsigned)(cfg->bosh_wait.us / 1000000));
	b->hold = b->wait_s == 0 ? 0 : number_or(body, "hold", HOLD_MAX, 1);
	b->requests = b->hold + 1;
	b->wait_us = (uint64_t)b->wait_s * 1000000;
	b->inactive_us = (uint64_t)cfg->bosh_inactivity.us;
	b->starting = true;
	b->acks = elem_attr(body->root, "ack") != NULL;
	snprintf(b->from, sizeof b->from, "%s", elem_attr(body->root, "to"));
	timer_init(&b->timer, b->worker->loop, on_timer, b);
	map_put(&b->worker->bosh, b->sid, b);
	s = bosh_pipe_new(b->worker, on_wake, b, &b->pipe);
	s->covered = http_conn_is_covered(c);
	s->ip = c->client;
	s->has_ip = true;
	ip_format(&c->client, s->transport->peer);
	i = opening(body, b->from);
	bosh_pipe_push(b->pipe, &i);
}

static void begin(struct http_conn *c, struct bosh_body *body)
{
	const char *to = elem_attr(body->root, "to");
	struct server *server = c->worker->server;
	struct bosh *b;
	uint64_t rid;

	if (!bosh_body_number(body, "rid", &rid) || to == NULL || strlen(to) >= sizeof b->from) {
		refuse(c, to == NULL ? "improper-addressing" : "bad-request");
		return;
	}
	if (atomic_load(&server->bosh_sessions) >= config(c->worker)->bosh_sessions
		|| !net_hold(server, &c->client, loop_now_us(c->worker->loop))) {
		refuse(c, "policy-violation");
		return;
	}
	b = xalloc(sizeof *b);
	b->worker = c->worker;
	atomic_fetch_add(&server->bosh_sessions, 1);
	make_session(b, c, body);
	const char *next = elem_attr(body->root, "newkey");

	if (next != NULL && strlen(next) == KEY_LEN)
		memcpy(b->key, next, KEY_LEN + 1);
	b->rid = rid;
	hold(b, c, rid);
	bosh_pipe_push(b->pipe, &body->first);
	set_timer(b);
	if (b->wait_us < 10000000)
		timer_set(&b->timer, 10000000); /* the first answer brings the features */
}

/* --- the way in --- */

/* "0a…": the home's number. NULL: no such home. */
static struct worker *home_of(const struct server *s, const char *sid)
{
	char *end;
	char digits[3] = { 0 };

	if (strlen(sid) != SID_LEN - 2)
		return NULL;
	memcpy(digits, sid, 2);
	const unsigned long n = strtoul(digits, &end, 16);

	return *end == '\0' && n < s->worker_count ? s->workers[n] : NULL;
}

/* Before a login less is taken (limits.stanza_bytes_before_auth), and some room for the body around it. */
static bool is_long(const struct http_conn *c)
{
	const struct config *all = c->worker->server->config;

	return c->request.body_len > all->limits.stanza_bytes_before_auth.bytes + 1024;
}

static void dispatch(struct http_conn *c, struct bosh_body *body)
{
	const char *sid = elem_attr(body->root, "sid");
	struct worker *home;
	struct bosh *b;

	if (sid == NULL && is_long(c)) {
		refuse(c, "policy-violation");
		return;
	}
	if (sid == NULL) {
		begin(c, body);
		return;
	}
	home = home_of(c->worker->server, sid);
	if (home != NULL && home != c->worker) {
		http_conn_move(c, home, bosh_request);
		return;
	}
	b = home != NULL ? map_get(&c->worker->bosh, sid) : NULL;
	if (b == NULL)
		refuse(c, "item-not-found");
	else if (!bosh_pipe_is_known(b->pipe) && is_long(c))
		end_with(b, c, "policy-violation");
	else
		on_request(b, c, body);
}

static void parse(struct http_conn *c)
{
	const struct config *all = c->worker->server->config;
	const struct xml_limits limits = config_xml_limits(&all->limits, all->limits.stanza_bytes);
	struct bosh_body body;
	const enum sterna_result rc = bosh_body_parse(c->request.body, c->request.body_len, &limits, c->worker->parsers, &body);

	if (rc != STERNA_OK) {
		refuse(c, rc == STERNA_ELIMIT ? "policy-violation" : "bad-request");
		return;
	}
	dispatch(c, &body);
	bosh_body_clear(&body);
}

void bosh_request(struct http_conn *c)
{
	const char *method = c->head.method;

	if (!http_conn_origin_ok(c)) {
		http_conn_say(c, 403, "not from this web page\n");
	} else if (strcmp(method, "OPTIONS") == 0) {
		http_conn_allow_origin(c, "POST, OPTIONS");
		sterna_http_reply(&c->request, 204, NULL, NULL, 0);
		http_conn_answer(c);
	} else if (strcmp(method, "POST") != 0) {
		snprintf(c->request.allow, sizeof c->request.allow, "POST, OPTIONS");
		http_conn_say(c, 405, "this is for BOSH\n");
	} else if (!http_conn_may_login(c)) {
		http_conn_say(c, 403, "over TLS only\n");
	} else {
		parse(c);
	}
}

void bosh_free_all(struct worker *w)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->bosh, &at)) != NULL;) {
		struct bosh *b = e->value;

		bosh_free(&b);
	}
}
