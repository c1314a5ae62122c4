/* stream.c - RFC 6120 §4. */
#include "server/stream.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/auth.h"
#include "server/net.h"
#include "server/register.h"
#include "server/s2s.h"
#include "server/sasl2.h"
#include "server/session.h"
#include "server/sm.h"
#include "server/stream_late.h"

static const unsigned from[] = { /* each state, and where it may come from */
	[STREAM_OPEN] = STREAM_NEW,
	[STREAM_SECURE] = STREAM_NEW | STREAM_OPEN | STREAM_TASKS,
	[STREAM_TASKS] = STREAM_SECURE,
	[STREAM_AUTHED] = STREAM_SECURE | STREAM_OPEN | STREAM_TASKS,
	[STREAM_BOUND] = STREAM_AUTHED,
	[STREAM_CLOSED] = ~0u, /* from anywhere, also twice */
};

void stream_enter(struct stream *s, enum stream_state next)
{
	assert(from[next] & s->state); /* our mistake: no peer gets past the rules */
	s->state = next;
}

/* --- output --- */

void stream_lost(struct stream *s)
{
	s->cut = true;
	s->state = STREAM_CLOSED;
	loop_defer(s->worker->loop, &s->end_task);
}

/* Back-pressure: who does not read is not read from; far above that the connection is given up, and what
 * was sent waits for resumption or goes offline. */
static void check_output(struct stream *s)
{
	const struct config_limits *limits = &s->worker->server->config->limits;
	const size_t waiting = buf_len(&s->transport->out);

	if (waiting > limits->output_max.bytes) {
		log_notice("stream", "the peer does not read", "stream_id", s->id, "peer", s->transport->peer);
		stream_lost(s);
	} else if (waiting > limits->output_high.bytes) {
		stream_hold(s, HOLD_OUTPUT);
	}
}

void stream_written(struct stream *s)
{
	transport_send_later(s->transport);
	if (s->state != STREAM_CLOSED)
		check_output(s); /* answers to <r/> are output too */
}

static size_t begin(struct stream *s)
{
	return s->framing != NULL ? s->framing->begin(s) : 0;
}

static void end(struct stream *s, size_t at)
{
	if (s->framing != NULL)
		s->framing->end(s, at);
	stream_written(s);
}

void stream_write(struct stream *s, const char *text, size_t len)
{
	if (s->state == STREAM_CLOSED)
		return;
	const size_t at = begin(s);

	buf_add(&s->transport->out, text, len);
	end(s, at);
}

void stream_send(struct stream *s, struct stanza *st, const struct jid *to)
{
	const char *whom = to != NULL ? jid_full(to) : NULL;

	if (s->state == STREAM_CLOSED || stream_is_late(s, st, to))
		return;
	const size_t at = begin(s);

	if (s->framing != NULL)
		stanza_write_alone(&s->transport->out, st, whom);
	else
		stanza_write(&s->transport->out, st, whom);
	end(s, at);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_STANZAS_OUT, 0, 1);
}

void stream_send_elem(struct stream *s, const struct sterna_elem *e)
{
	if (s->state == STREAM_CLOSED)
		return;
	const size_t at = begin(s);

	elem_write(&s->transport->out, e, s->framing != NULL ? NULL : NS_CLIENT);
	end(s, at);
}

static void write_header(struct stream *s, const char *from_domain)
{
	struct buf *out = &s->transport->out;

	buf_lit(out, "<?xml version='1.0'?><stream:stream xmlns='");
	buf_puts(out, s->kind->content_ns);
	buf_lit(out, "' xmlns:stream='http://etherx.jabber.org/streams' id='");
	buf_puts(out, s->id);
	if (from_domain != NULL) {
		buf_lit(out, "' from='");
		xml_escape_attr(out, from_domain, strlen(from_domain));
	}
	if (s->claimed != NULL) { /* §4.7.2: whoever says who it is hears it back */
		buf_lit(out, "' to='");
		xml_escape_attr(out, jid_full(s->claimed), strlen(jid_full(s->claimed)));
	}
	if (s->kind->content_ns != NS_COMPONENT)
		buf_lit(out, "' version='1.0' xml:lang='en");
	buf_lit(out, "'>");
}

void stream_header(struct stream *s, const char *from_domain)
{
	if (s->header_sent)
		return;
	s->header_sent = true;
	worker_token(s->worker, s->id);
	if (s->framing != NULL)
		s->framing->header(s, from_domain);
	else if (s->kind->header != NULL)
		s->kind->header(s);
	else
		write_header(s, from_domain);
	transport_send_later(s->transport);
}

/* --- the end --- */

void stream_detach_session(struct stream *s)
{
	session_unref(&s->session);
}

void stream_close(struct stream *s)
{
	if (s->state == STREAM_CLOSED)
		return;
	if (s->framing != NULL)
		s->framing->close(s);
	else
		buf_lit(&s->transport->out, "</stream:stream>");
	transport_send_later(s->transport);
	stream_enter(s, STREAM_CLOSED);
	loop_defer(s->worker->loop, &s->end_task);
}

void stream_error_with(struct stream *s, const char *condition, const char *text, const char *application)
{
	struct buf *out = &s->transport->out;

	if (s->state == STREAM_CLOSED)
		return;
	/* §4.9.1.2: an error in the header comes after ours. */
	stream_header(s, s->host != NULL ? jid_full(s->host->jid) : NULL);
	const size_t at = begin(s);

	buf_addf(out, "<stream:error%s><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
		s->framing != NULL ? " xmlns:stream='http://etherx.jabber.org/streams'" : "", condition);
	if (text != NULL) {
		buf_lit(out, "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
		xml_escape_text(out, text, strlen(text));
		buf_lit(out, "</text>");
	}
	if (application != NULL)
		buf_puts(out, application);
	buf_lit(out, "</stream:error>");
	if (s->framing != NULL)
		s->framing->end(s, at);
	log_info("stream", "ended with an error", "condition", condition, "text", text, "stream_id", s->id, "peer",
		s->transport->peer, "jid", s->jid != NULL ? jid_full(s->jid) : NULL);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_STREAM_ERRORS, 0, 1);
	stream_close(s);
}

void stream_error(struct stream *s, const char *condition, const char *text)
{
	stream_error_with(s, condition, text, NULL);
}

void stream_replaced(struct stream *s)
{
	stream_detach_session(s);
	stream_error(s, "conflict", "resumed by another stream");
}

/* An expat parser takes 10 KiB, an idle stream needs none. Only the streams heard last have one (waking takes about 5 µs), so that thousands who
 * log in at once do not leave a heap of that many parsers' size behind. */
enum { AWAKE_MAX = 128 };

static void unlink_awake(struct stream *s)
{
	struct worker *w = s->worker;

	if (!s->awake)
		return;
	*(s->awake_prev != NULL ? &s->awake_prev->awake_next : &w->awake_first) = s->awake_next;
	*(s->awake_next != NULL ? &s->awake_next->awake_prev : &w->awake_last) = s->awake_prev;
	s->awake_prev = s->awake_next = NULL;
	s->awake = false;
	w->awake_count--;
}

static void link_awake(struct stream *s)
{
	struct worker *w = s->worker;

	s->awake_next = w->awake_first;
	*(s->awake_next != NULL ? &s->awake_next->awake_prev : &w->awake_last) = s;
	w->awake_first = s;
	s->awake = true;
	w->awake_count++;
}

/* Heard: it becomes the first, and over the limit the last one sleeps (or, in the middle of a stanza, stays as it is
 * until the sweep). */
static void keep_awake(struct stream *s)
{
	struct worker *w = s->worker;
	struct stream *last = w->awake_last;

	if (w->awake_first == s)
		return;
	unlink_awake(s);
	link_awake(s);
	if (w->awake_count > AWAKE_MAX) {
		unlink_awake(last);
		if (last->xml != NULL)
			xml_sleep(last->xml);
	}
}

static void unlink_stream(struct stream *s)
{
	unlink_awake(s);
	s->worker->stream_count--;
	if (s->worker->sweep_next == s)
		s->worker->sweep_next = s->next;
	*(s->prev != NULL ? &s->prev->next : &s->worker->streams) = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->prev = s->next = NULL;
}

void stream_hold_account(struct stream *s, struct account *a)
{
	struct account *old = s->account;

	if (a != NULL)
		account_hold(a);
	s->account = a;
	if (old != NULL)
		account_release(old);
}

/* What is under way finds no stream when it comes back. */
static void forget_work(struct stream *s)
{
	stream_hold_account(s, NULL);
	auth_free(&s->auth);
	sasl2_free(s);
	register_cancel(s);
}

/* At the end of the turn, when nobody stands in this stream's code: the session is told, the transport closes. */
static void on_end(struct task *t, void *arg)
{
	struct stream *s = arg;

	(void)t;
	if (s->ending)
		return;
	s->ending = true;
	timer_cancel(&s->thaw);
	forget_work(s);
	s->kind->ended(s, s->cut);
	session_unref(&s->session);
	xml_free(&s->xml);
	timer_cancel(&s->deadline);
	s->transport->ops->set_reading(s->transport, true); /* to see its end */
	s->transport->ops->close(s->transport);
}

static void on_closed(void *arg, enum sterna_result why, const char *text)
{
	struct stream *s = arg;

	log_debug("stream", "connection ended", "stream_id", s->id, "peer", s->transport->peer, "result",
		sterna_result_text(why), "text", text);
	if (!s->ending) {
		s->ending = true;
		s->closed_text = text;
		forget_work(s);
		s->state = STREAM_CLOSED;
		s->kind->ended(s, true);
	}
	stream_free_now(s);
}

void stream_free_now(struct stream *s)
{
	loop_undefer(s->worker->loop, &s->end_task);
	loop_undefer(s->worker->loop, &s->resume_task);
	loop_undefer(s->worker->loop, &s->move_task);
	timer_cancel(&s->deadline);
	timer_cancel(&s->thaw);
	forget_work(s);
	if (s->session != NULL && s->session->stream == s) {
		s->session->stream = NULL; /* the process ends: nobody was told */
		sm_stream_gone(s->session, s);
	}
	session_unref(&s->session);
	s2s_forget(s);
	xml_free(&s->xml);
	stream_late_free(s);
	if (s->framing != NULL)
		s->framing->free(s);
	net_gone(s);
	unlink_stream(s);
	s->transport->ops->free(&s->transport);
	jid_unref(&s->jid);
	jid_unref(&s->claimed);
	free(s->authenticated_by);
	free(s->agent_id);
	free(s->client);
	free(s->lang);
	atomic_fetch_sub(&s->worker->server->streams, 1);
	free(s);
}

/* --- input --- */

void stream_xml_error(struct stream *s, enum xml_error e)
{
	static const char *const conditions[] = {
		[XML_NOT_WELL_FORMED] = "not-well-formed",
		[XML_RESTRICTED] = "restricted-xml",
		[XML_BAD_ENCODING] = "unsupported-encoding",
		[XML_TOO_BIG] = "policy-violation",
		[XML_BAD_PREFIX] = "bad-namespace-prefix",
		[XML_NOT_XML] = "not-well-formed",
	};

	stream_error(s, conditions[e], xml_error_text(s->xml));
}

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	struct stream *s = arg;

	if (s->state == STREAM_CLOSED)
		return;
	if (strcmp(root->name, "stream") != 0 || strcmp(root->ns, NS_STREAM) != 0) {
		stream_error(s, strcmp(root->name, "stream") != 0 ? "bad-format" : "invalid-namespace", NULL);
		return;
	}
	if (content_ns == NULL || strcmp(content_ns, s->kind->content_ns) != 0) {
		stream_error(s, "invalid-namespace", "the content namespace is not that of this port");
		return;
	}
	s->kind->opened(s, root);
}

/* §4.9.1.1: the peer gives the stream up; an error is not answered with one. */
static void peer_failed(struct stream *s, const struct sterna_elem *e)
{
	const struct sterna_elem *condition = elem_first(e);

	log_info("stream", "the peer ended its stream with an error", "condition",
		condition != NULL ? condition->name : NULL, "peer", s->transport->peer, "stream_id", s->id);
	stream_close(s);
}

void stream_opened(struct stream *s, const struct sterna_elem *root)
{
	s->kind->opened(s, root);
}

void stream_element(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const struct stream_kind *k = s->kind;

	for (size_t i = 0; s->state != STREAM_CLOSED && i < k->rule_count; i++) {
		const struct stream_rule *r = &k->rules[i];

		if ((r->when & s->state) == 0 || strcmp(r->ns, e->ns) != 0
			|| (r->name != NULL && strcmp(r->name, e->name) != 0))
			continue;
		r->fn(s, a, e);
		arena_free(a);
		return;
	}
	if (strcmp(e->ns, NS_STREAM) == 0 && strcmp(e->name, "error") == 0)
		peer_failed(s, e);
	else if (s->state == STREAM_BOUND)
		k->stanza(s, a, e);
	else if (s->state != STREAM_CLOSED)
		stream_error(s, "not-authorized", NULL); /* §4.9.3.12: before it may */
	arena_free(a);
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct stream *s = arg;

	if (s->framing != NULL)
		s->framing->element(s, &a, e);
	else
		stream_element(s, &a, e);
}

void stream_end_seen(struct stream *s)
{
	s->end_seen = true;
	stream_close(s);
}

static void on_close(void *arg)
{
	struct stream *s = arg;

	if (s->framing != NULL)
		stream_error(s, "not-well-formed", "there is nothing to close");
	else
		stream_end_seen(s);
}

static void on_space(void *arg)
{
	(void)arg; /* a keepalive: on_read has noted that the peer lives */
}

static const struct xml_handler handler = {
	.open = on_open, .element = on_element, .close = on_close, .space = on_space,
};

/* The longest of several reasons counts. */
static void hold_for(struct stream *s, uint64_t us)
{
	stream_hold(s, HOLD_RATE);
	if (!timer_is_set(&s->thaw) || s->thaw.due_us < loop_now_us(s->worker->loop) + us)
		timer_set(&s->thaw, us);
}

void stream_charge(struct stream *s, struct ratelimit *bucket, const struct sterna_rate *rate, uint64_t n)
{
	const uint64_t wait = ratelimit_charge(bucket, rate, loop_now_us(s->worker->loop), n);

	if (wait > 0)
		hold_for(s, wait);
}

enum { PAUSE_US = 5000 };

void stream_pause_if_congested(struct stream *s)
{
	if (!s->worker->congested)
		return;
	s->worker->congested = false;
	if (s->state != STREAM_CLOSED)
		hold_for(s, PAUSE_US);
}

static const struct sterna_rate *byte_rate(const struct stream *s, const struct config_limits *l)
{
	return !s->known ? &l->bytes_before_auth : s->kind->content_ns == NS_SERVER ? &l->bytes_s2s : &l->bytes;
}

static void on_read(void *arg, const char *bytes, size_t len)
{
	struct stream *s = arg;
	const struct config_limits *l = &s->worker->server->config->limits;

	if (s->state == STREAM_CLOSED)
		return;
	s->heard_us = loop_now_us(s->worker->loop);
	s->ping_sent = false;
	keep_awake(s);
	s->read_bytes += len;
	stream_charge(s, &s->bytes, byte_rate(s, l), len);
	if (s->framing != NULL) {
		s->framing->read(s, bytes, len);
		return;
	}
	const enum xml_error e = xml_feed(s->xml, bytes, len);

	if (e != XML_OK)
		stream_xml_error(s, e);
}

static void on_secure(void *arg)
{
	struct stream *s = arg;

	/* A direct TLS connection is secured before its header; after STARTTLS a new document begins. */
	if (!s->direct_tls) {
		stream_restart(s);
		timer_set(&s->deadline, (uint64_t)s->worker->server->config->limits.auth_time.us);
	}
	if (s->kind->secured != NULL && s->state != STREAM_CLOSED)
		s->kind->secured(s);
}

static void on_drained(void *arg)
{
	struct stream *s = arg;

	stream_release(s, HOLD_OUTPUT);
	stream_late_write(s);
	if (s->session != NULL && s->session->stream == s && s->session->sm != NULL)
		sm_flush(s->session);
	if (s->kind->drained != NULL && s->state != STREAM_CLOSED)
		s->kind->drained(s);
}

static const struct transport_handler transport_events = {
	.on_read = on_read, .on_secure = on_secure, .on_drained = on_drained, .on_closed = on_closed,
};

/* --- holding back --- */

void stream_hold(struct stream *s, enum stream_hold why)
{
	if (s->holds == 0) {
		s->transport->ops->set_reading(s->transport, false);
		if (s->xml != NULL)
			xml_stop(s->xml);
	}
	s->holds |= why;
}

void stream_release(struct stream *s, enum stream_hold why)
{
	const bool held = s->holds != 0;

	s->holds &= ~(unsigned)why;
	if (!held || s->holds != 0 || s->state == STREAM_CLOSED)
		return;
	loop_defer(s->worker->loop, &s->resume_task);
}

/* At the end of the turn: never from within the parser. */
static void on_resume(struct task *t, void *arg)
{
	struct stream *s = arg;

	(void)t;
	if (s->holds != 0 || s->state == STREAM_CLOSED)
		return;
	const enum xml_error e = xml_is_stopped(s->xml) ? xml_resume(s->xml) : XML_OK;

	if (e == XML_OK && s->framing != NULL)
		s->framing->resume(s);
	if (s->state == STREAM_CLOSED)
		return;
	if (e != XML_OK)
		stream_xml_error(s, e);
	else if (s->holds == 0)
		s->transport->ops->set_reading(s->transport, true);
}

static void on_thaw(struct timer *t, void *arg)
{
	(void)t;
	stream_release(arg, HOLD_RATE);
}

enum { LATE_US = 1000000 };

static void on_deadline(struct timer *t, void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_CLOSED)
		return;
	if ((s->holds & HOLD_WORK) != 0 || s->transport->ops->is_late(s->transport)) {
		timer_set(t, LATE_US); /* it waits for us, and not we for it */
		return;
	}
	log_info("stream", "too slow", "stream_id", s->id, "peer", s->transport->peer);
	if (s->transport->secure || s->state == STREAM_OPEN || s->header_sent)
		stream_error(s, "connection-timeout", "not authenticated in time");
	else
		stream_close(s);
}

/* --- life --- */

void stream_limits(struct stream *s)
{
	const struct config_limits *l = &s->worker->server->config->limits;
	const bool known = (s->state & (STREAM_AUTHED | STREAM_BOUND)) != 0;
	const uint64_t now = loop_now_us(s->worker->loop);

	s->limits = config_xml_limits(l, !known ? l->stanza_bytes_before_auth
		: s->kind->content_ns == NS_COMPONENT ? l->stanza_bytes_component
		: s->kind->content_ns == NS_SERVER ? l->stanza_bytes_s2s : l->stanza_bytes);
	xml_set_limits(s->xml, &s->limits);
	if (s->known != known)
		s->transport->ops->set_patient(s->transport, !known);
	s->known = known;
	ratelimit_init(&s->bytes, byte_rate(s, l), now);
	ratelimit_init(&s->stanzas, s->kind->content_ns == NS_SERVER ? &l->stanzas_s2s : &l->stanzas, now);
}

void stream_restart(struct stream *s)
{
	s->header_sent = false;
	xml_reset(s->xml);
	stream_limits(s);
}

static void on_move(struct task *t, void *arg);

static void enroll(struct stream *s, struct worker *w)
{
	s->worker = w;
	xml_use_pool(s->xml, w->parsers);
	s->next = w->streams;
	if (s->next != NULL)
		s->next->prev = s;
	w->streams = s;
	w->stream_count++;
	timer_init(&s->deadline, w->loop, on_deadline, s);
	timer_init(&s->thaw, w->loop, on_thaw, s);
	task_init(&s->end_task, on_end, s);
	task_init(&s->resume_task, on_resume, s);
	task_init(&s->move_task, on_move, s);
}

struct stream *stream_new(struct worker *w, const struct stream_kind *kind, bool direct_tls)
{
	struct stream *s = xalloc(sizeof *s);

	s->kind = kind;
	s->direct_tls = direct_tls;
	s->state = STREAM_NEW;
	s->heard_us = loop_now_us(w->loop);
	s->xml = xml_new(&handler, s, &xml_limits_default, kind->content_ns);
	enroll(s, w);
	stream_limits(s);
	timer_set(&s->deadline, (uint64_t)w->server->config->limits.auth_time.us);
	atomic_fetch_add(&w->server->streams, 1);
	return s;
}

void stream_attach(struct stream *s, struct transport *t)
{
	s->transport = t;
	t->handler = &transport_events;
	t->arg = s;
}

struct move {
	struct mail mail;
	struct stream *stream;
	struct worker *to;
	void (*fn)(struct stream *s);
};

static void on_moved(struct mail *m, struct loop *l)
{
	struct move *v = (struct move *)m;
	struct stream *s = v->stream;

	enroll(s, v->to);
	s->transport->ops->attach(s->transport, l);
	timer_set(&s->deadline, (uint64_t)v->to->server->config->limits.bind_time.us);
	v->fn(s);
	free(v);
}

/* At the end of the turn: nobody of this thread stands in the stream's code or its parser's any more. */
static void on_move(struct task *t, void *arg)
{
	struct stream *s = arg;
	struct move *v;

	(void)t;
	if (s->state == STREAM_CLOSED)
		return;
	v = xalloc(sizeof *v);
	timer_cancel(&s->deadline);
	timer_cancel(&s->thaw);
	s->holds &= ~(unsigned)HOLD_RATE;
	loop_undefer(s->worker->loop, &s->resume_task);
	unlink_stream(s);
	s->transport->ops->detach(s->transport);
	v->mail.run = on_moved;
	v->stream = s;
	v->to = s->move_to;
	v->fn = s->move_fn;
	loop_post(v->to->loop, &v->mail);
}

void stream_move(struct stream *s, struct worker *to, void (*fn)(struct stream *s))
{
	stream_hold(s, HOLD_BUSY);
	if (to == s->worker) {
		fn(s);
		return;
	}
	s->move_to = to;
	s->move_fn = fn;
	loop_defer(s->worker->loop, &s->move_task);
}

enum { SWEEP_PARTS = 5, SWEEP_MIN = 64, QUIET_US = 5000000 };

/* A stream that has just come from another worker may have been heard after this turn began. */
static uint64_t quiet_us(const struct stream *s)
{
	const uint64_t now = loop_now_us(s->worker->loop);

	return now > s->heard_us ? now - s->heard_us : 0;
}

static void sleep_if_quiet(struct stream *s)
{
	if (quiet_us(s) <= QUIET_US)
		return;
	unlink_awake(s);
	if (s->xml != NULL)
		xml_sleep(s->xml);
}

static void sweep_one(struct stream *s)
{
	const struct config_limits *l = &s->worker->server->config->limits;
	const uint64_t quiet = quiet_us(s);

	if (s->state == STREAM_CLOSED || s->xml == NULL)
		return;
	sleep_if_quiet(s); /* it may have been in the middle of a stanza, and off the list of those awake, before */
	if (s->session != NULL && s->session->stream == s && sm_is_overdue(s->session)) {
		s->cut = true;
		stream_error(s, "connection-timeout", "no acknowledgement for too long");
		return;
	}
	if (s->s2s != NULL)
		return; /* s2s_sweep() */
	if (s->state != STREAM_BOUND || l->idle_time.us == 0 || quiet <= (uint64_t)l->idle_time.us)
		return;
	if (!s->ping_sent && s->kind->ask != NULL) {
		s->ping_sent = true;
		s->kind->ask(s);
	} else if (quiet > (uint64_t)l->idle_time.us + (uint64_t)l->ping_time.us) {
		/* The session may be resumed. */
		s->cut = true;
		stream_hold(s, HOLD_BUSY);
		stream_error(s, "connection-timeout", "nothing heard for too long");
	}
}

/* Thousands that are idle cost next to nothing: the list of those awake is short, and of all a part is looked at. */
void stream_sweep(struct worker *w)
{
	for (struct stream *s = w->awake_last, *before; s != NULL && quiet_us(s) > QUIET_US; s = before) {
		before = s->awake_prev;
		sleep_if_quiet(s);
	}
	if (w->sweep_next == NULL)
		w->sweep_next = w->streams;
	for (size_t n = w->stream_count / SWEEP_PARTS + SWEEP_MIN; n > 0 && w->sweep_next != NULL; n--) {
		struct stream *s = w->sweep_next;

		w->sweep_next = s->next;
		sweep_one(s);
	}
}
