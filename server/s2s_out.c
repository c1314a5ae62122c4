/* s2s_out.c - streams that we open to other servers: for the queue of a link, or to have dialback keys verified.
 *
 * An attempt goes from address to address (dial.h) until a stream is ready, all addresses failed, or its time is over.
 * The peer's certificate is judged as soon as TLS is up, before anything is said inside. */
#include "server/s2s_impl.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "server/base64.h"
#include "server/c2s.h"
#include "server/dialback.h"
#include "server/net.h"
#include "server/sm.h"

enum { LEAST_BYTES = 10000 };    /* RFC 6120 §13.12: a smaller limit is none that a peer may have */

static struct trail *trail_of(struct stream *s)
{
	return s->s2s->attempt != NULL ? &s->s2s->attempt->trail : NULL;
}

static void note(struct stream *s, const char *what, bool ok, const char *fmt, ...) STERNA_PRINTF(4, 5);

static void note(struct stream *s, const char *what, bool ok, const char *fmt, ...)
{
	char text[TRAIL_TEXT];
	va_list args;

	if (trail_of(s) == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	trail_add(trail_of(s), s2s_now(s), what, ok, "%s", text);
	s->s2s->failed |= !ok;
}

/* The peer is there, but this will not do; another address of it is tried. */
static void refuse(struct stream *s, const char *what, const char *text)
{
	note(s, what, false, "%s", text);
	if (s->s2s->attempt != NULL)
		s->s2s->attempt->refused = true;
	stream_close(s);
}

/* It will do some other time: what waits goes on waiting. */
static void retreat(struct stream *s, const char *what, const char *text)
{
	note(s, what, false, "%s", text);
	stream_close(s);
}

/* --- attempts --- */

static void attempt_failed(struct s2s_attempt *a, enum sterna_condition condition)
{
	struct s2s_link *l = a->link;

	if (a->done != NULL) {
		l->test = NULL;
		s2s_attempt_end(&a);
	} else if (a->verifies) {
		l->verifier = NULL;
		s2s_link_failed(l, a, condition);
		s2s_attempt_end(&a);
		s2s_checks_fail(l, condition);
	} else {
		l->attempt = NULL;
		s2s_link_failed(l, a, condition);
		s2s_attempt_end(&a);
	}
}

static void on_deadline(struct timer *t, void *arg)
{
	struct s2s_attempt *a = arg;

	(void)t;
	trail_add(&a->trail, loop_now_us(a->link->worker->loop), "time", false, "not connected and authenticated in time");
	attempt_failed(a, STERNA_REMOTE_SERVER_TIMEOUT);
}

static void on_dialled(void *arg, const struct dial_result *r)
{
	struct s2s_attempt *a = arg;
	struct s2s_link *l = a->link;

	if (r->rc != STERNA_OK) {
		if (trail_failure(&a->trail) == NULL)
			trail_add(&a->trail, loop_now_us(l->worker->loop), "connect", false, "%s", r->text);
		attempt_failed(a, r->rc == STERNA_ENOTFOUND ? STERNA_REMOTE_SERVER_NOT_FOUND : STERNA_REMOTE_SERVER_TIMEOUT);
		return;
	}
	struct stream *s = stream_new(l->worker, &s2s_out_kind, r->direct);
	struct s2s *x = s2s_of(s);

	stream_attach(s, r->transport);
	timer_cancel(&s->deadline); /* the attempt's counts */
	x->out = true;
	x->attempt = a;
	x->remote = jid_ref(l->remote);
	s2s_link_join(l, s);
	s->host = l->host;
	a->stream = s;
	if (!r->direct)
		stream_header(s, NULL);
}

static void start(struct s2s_link *l, struct s2s_attempt *a)
{
	struct worker *w = l->worker;

	a->link = l;
	trail_begin(&a->trail, loop_now_us(w->loop), loop_wall_us(w->loop));
	timer_init(&a->deadline, w->loop, on_deadline, a);
	timer_set(&a->deadline, (uint64_t)w->server->config->s2s.connect_time.us);
	a->dial = w->server->ways->start(w, l->host, jid_full(l->remote), &a->trail, on_dialled, a);
}

void s2s_attempt_start(struct s2s_link *l, bool verifies)
{
	struct s2s_attempt *a = xalloc(sizeof *a);

	a->verifies = verifies;
	*(verifies ? &l->verifier : &l->attempt) = a;
	start(l, a);
}

void s2s_attempt_test(struct s2s_link *l, void (*done)(void *arg, const struct s2s_attempt *a, bool ok), void *arg)
{
	struct s2s_attempt *a = l->test = xalloc(sizeof *a);

	a->done = done;
	a->arg = arg;
	start(l, a);
}

void s2s_attempt_end(struct s2s_attempt **attempt)
{
	struct s2s_attempt *a = *attempt;

	*attempt = NULL;
	if (a == NULL)
		return;
	if (a->done != NULL)
		a->done(a->arg, a, a->ready);
	timer_cancel(&a->deadline);
	a->link->worker->server->ways->free(&a->dial);
	if (a->stream != NULL) {
		a->stream->s2s->attempt = NULL;
		stream_close(a->stream);
	}
	free(a);
}

/* --- TLS --- */

/* RFC 6120 §13.7.2: who is it? Before that nothing of ours is said inside. */
static void secured(struct stream *s)
{
	struct s2s *x = s->s2s;
	struct worker *w = s->worker;
	const char *domain = jid_full(x->remote);
	struct tls_pin *pin = net_pin(w->server->net, domain);
	const struct transport_ops *ops = s->transport->ops;

	x->proof = ops->peer_proof(s->transport, domain, pin, &x->proof_text);
	tls_pin_unref(&pin);
	note(s, "tls", true, "%s, %s", ops->tls_version(s->transport), ops->tls_cipher(s->transport));
	if (!s2s_is_enough(w->server, domain, x->proof)) {
		s2s_audit(s, s->host, "certificate", x->proof_text);
		refuse(s, "certificate", x->proof_text);
		return;
	}
	note(s, "certificate", true, "%s%s", x->proof == TLS_PROOF_NONE ? "not needed here: " : "", x->proof_text);
	stream_header(s, NULL);
}

static void on_proceed(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	xml_reset(s->xml);
	s->transport->ops->start_tls(s->transport);
}

static void on_tls_failure(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	retreat(s, "tls", "the peer cannot begin TLS now");
}

/* --- header and features --- */

static void opened(struct stream *s, const struct sterna_elem *root)
{
	const char *version = elem_attr(root, "version"), *id = elem_attr(root, "id"), *from = elem_attr(root, "from");
	struct s2s *x = s->s2s;
	struct jid *j = NULL;

	if (from != NULL && (jid_parse(from, strlen(from), &j) != STERNA_OK || !jid_equal(j, x->remote))) {
		jid_unref(&j);
		refuse(s, "stream", "the peer answers as another domain");
		return;
	}
	jid_unref(&j);
	if (version == NULL || strtol(version, NULL, 10) < 1 || id == NULL || strlen(id) > 1024) {
		refuse(s, "stream", "the peer's header has no version 1.0, or no id");
		return;
	}
	free(x->their_id);
	x->their_id = xstrdup(id);
	if (s->state == STREAM_NEW)
		stream_enter(s, s->transport->secure ? STREAM_SECURE : STREAM_OPEN);
	else if (s->state == STREAM_OPEN)
		stream_enter(s, STREAM_SECURE);
}

static void bound(struct stream *s, const char *by)
{
	struct s2s *x = s->s2s;
	struct s2s_attempt *a = x->attempt;
	struct s2s_link *l = x->link;

	if (s->state == STREAM_SECURE) {
		stream_enter(s, STREAM_AUTHED);
		stream_limits(s);
	}
	stream_enter(s, STREAM_BOUND);
	s->authenticated_by = xstrdup(by);
	s->jid = jid_ref(x->remote);
	if (x->bidi)
		s2s_authorise(s, s->host);
	note(s, "ready", true, "authenticated by %s%s", by, x->bidi ? ", bidirectional" : "");
	if (a != NULL && a->done != NULL) {
		a->ready = true;
		l->test = NULL;
		s2s_attempt_end(&a);
		return;
	}
	if (a != NULL) {
		l->trail = a->trail;
		l->attempt = NULL;
		x->attempt = NULL;
		a->stream = NULL;
		s2s_attempt_end(&a);
	}
	s2s_audit(s, s->host, by, NULL);
	log_info("s2s", "connected", "domain", jid_full(x->remote), "host", jid_full(s->host->jid), "by", by, "certificate",
		x->proof_text, "peer", s->transport->peer, "stream_id", x->their_id);
	s2s_link_up(l, s);
}

static void send_dialback(struct stream *s)
{
	char key[DIALBACK_KEY_SIZE];
	struct s2s *x = s->s2s;
	const char *us = jid_full(s->host->jid), *them = jid_full(x->remote);

	x->dialback = true;
	dialback_key(s->worker->server->secret, them, us, x->their_id, key);
	s2s_send_db(s, "result", us, them, NULL, NULL, key, 0);
	note(s, "dialback", true, "key sent");
}

static void send_external(struct stream *s)
{
	const char *us = jid_full(s->host->jid);
	char text[1400];
	struct buf out = BUF_INIT;

	s->s2s->external = true;
	if (base64_encode(us, strlen(us), text, sizeof text) != STERNA_OK)
		return; /* a domain is shorter */
	buf_addf(&out, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>%s</auth>", text);
	stream_write(s, buf_data(&out), buf_len(&out));
	buf_release(&out);
	note(s, "sasl", true, "EXTERNAL offered and tried");
}

static bool offers_external(struct arena *a, const struct sterna_elem *features)
{
	const struct sterna_elem *list = elem_child(features, "mechanisms", NS_SASL);

	if (list == NULL)
		return false;
	elem_foreach(m, list)
		if (elem_is(m, "mechanism", NS_SASL) && strcmp(elem_text(a, m), "EXTERNAL") == 0)
			return true;
	return false;
}

/* Inside TLS: the way to prove who we are. */
static void choose(struct stream *s, struct arena *a, const struct sterna_elem *features)
{
	struct s2s *x = s->s2s;

	if (x->attempt != NULL && x->attempt->verifies) {
		x->attempt->ready = true;
		note(s, "ready", true, "keys can be verified");
		s2s_verify_flush(x->attempt);
		return;
	}
	if (elem_child(features, "bidi", NS_BIDI_FEATURE) != NULL) {
		stream_write(s, "<bidi xmlns='" NS_BIDI "'/>", sizeof("<bidi xmlns='" NS_BIDI "'/>") - 1);
		x->bidi = true;
	}
	if (offers_external(a, features))
		send_external(s);
	else
		send_dialback(s);
}

/* XEP-0478: what is larger need not be tried. */
static void read_limits(struct stream *s, struct arena *a, const struct sterna_elem *features)
{
	const struct sterna_elem *limits = elem_child(features, "limits", NS_LIMITS);
	const struct sterna_elem *max = limits != NULL ? elem_child(limits, "max-bytes", NS_LIMITS) : NULL;
	uint32_t n = 0;

	if (max != NULL && c2s_number(elem_text(a, max), &n) && n >= LEAST_BYTES)
		s->s2s->max_bytes = n;
}

static void on_features(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	read_limits(s, *a, e);
	s->s2s->offers_sm = elem_child(e, "sm", NS_SM) != NULL; /* before dialback, or after SASL */
	if (s->state == STREAM_SECURE) {
		choose(s, *a, e);
	} else if (s->state == STREAM_AUTHED) {
		bound(s, "EXTERNAL");
	} else if (elem_child(e, "starttls", NS_TLS) == NULL) {
		refuse(s, "tls", "the peer does not offer TLS");
	} else {
		stream_write(s, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", 51);
	}
}

/* --- answers --- */

static void on_success(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	if (!s->s2s->external) {
		refuse(s, "sasl", "an answer that nobody asked for");
		return;
	}
	stream_enter(s, STREAM_AUTHED);
	stream_restart(s);
	stream_header(s, NULL);
}

/* Our certificate does not hold over there: it may ask our own server (XEP-0178 §3). */
static void on_sasl_failure(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const struct sterna_elem *condition = elem_first(e);

	(void)a;
	note(s, "sasl", false, "EXTERNAL was refused: %s", condition != NULL ? condition->name : "no reason given");
	if (!s->s2s->dialback)
		send_dialback(s);
	else
		refuse(s, "sasl", "nothing is left to try");
}

static const char *error_name(const struct sterna_elem *e)
{
	const struct sterna_elem *error = elem_child(e, "error", NS_CLIENT);
	const struct sterna_elem *condition = error != NULL ? elem_first(error) : NULL;

	return condition != NULL ? condition->name : "no reason given";
}

/* XEP-0220 §2.5: it could not reach us, or has too much to do; the next key may do. */
static bool is_passing(const char *condition)
{
	static const char *const names[] = { "internal-server-error", "remote-connection-failed", "remote-server-timeout",
		"resource-constraint" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], condition) == 0)
			return true;
	return false;
}

static bool is_our_pair(struct stream *s, const struct sterna_elem *e)
{
	struct jid *from = NULL, *to = NULL;

	if (!s2s_pair(s, e, &from, &to))
		return false;
	const bool ok = jid_equal(from, s->s2s->remote) && jid_equal(to, s->host->jid);

	jid_unref(&from);
	jid_unref(&to);
	if (!ok)
		stream_error(s, "invalid-from", "these are not the domains of this stream");
	return ok;
}

/* XEP-0220 §2.4. */
static void on_result(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *type = elem_attr(e, "type");
	char text[TRAIL_TEXT];

	(void)a;
	if (!is_our_pair(s, e))
		return;
	if (type == NULL || !s->s2s->dialback || s->state != STREAM_SECURE) {
		stream_error(s, "policy-violation", "nobody asked for that");
		return;
	}
	if (strcmp(type, "valid") == 0) {
		note(s, "dialback", true, "valid");
		bound(s, "dialback");
		return;
	}
	if (strcmp(type, "error") == 0)
		snprintf(text, sizeof text, "the peer could not verify our key: %s", error_name(e));
	else
		snprintf(text, sizeof text, "the peer says that our key is invalid");
	if (strcmp(type, "error") == 0 && is_passing(error_name(e)))
		retreat(s, "dialback", text);
	else
		refuse(s, "dialback", text);
}

static void on_verify(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *type = elem_attr(e, "type"), *id = elem_attr(e, "id");
	struct s2s *x = s->s2s;
	struct s2s_attempt *attempt = x->attempt;

	if (type == NULL && x->bidi && s->state == STREAM_BOUND) {
		s2s_on_verify_request(s, *a, e);
		return;
	}
	if (!is_our_pair(s, e))
		return;
	if (type == NULL || id == NULL || attempt == NULL || !attempt->verifies
		|| !s2s_check_verdict(x->link, id, type)) {
		stream_error(s, "policy-violation", "nobody asked for that verdict");
		return;
	}
	if (x->link->checks == NULL) {
		note(s, "dialback", true, "all keys are verified");
		x->link->verifier = NULL;
		s2s_attempt_end(&attempt);
	}
}

static void on_error(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *condition = s2s_blame(s, e);
	const char *text = elem_text(*a, elem_child(e, "text", NS_STREAMS) != NULL ? elem_child(e, "text", NS_STREAMS) : e);

	log_info("s2s", "the peer ended the stream with an error", "domain", jid_full(s->s2s->remote), "condition", condition,
		"text", text);
	note(s, "stream", false, "the peer says %s%s%s", condition, *text != '\0' ? ": " : "", text);
	if (s->s2s->attempt != NULL)
		s->s2s->attempt->refused |= !s2s_is_innocent(condition) || strcmp(condition, "not-authorized") == 0
			|| strcmp(condition, "host-gone") == 0;
	stream_close(s);
}

/* --- the end --- */

static void ended(struct stream *s, bool cut)
{
	struct s2s *x = s->s2s;
	struct s2s_attempt *a = x->attempt;

	if (a == NULL) {
		s2s_resume_cancel(x);
		s2s_resume_ended(s, cut);
		if (x->link->stream == s) {
			log_info("s2s", "disconnected", "domain", jid_full(x->remote), "host", jid_full(s->host->jid), "why",
				s->closed_text, "stream_id", x->their_id);
			s2s_link_down(x->link, s, cut);
		}
		return;
	}
	if (!x->failed)
		note(s, "stream", false, "%s", s->closed_text != NULL ? s->closed_text : "the peer closed it");
	a->stream = NULL;
	a->ready = false;
	x->attempt = NULL;
	for (struct s2s_check *c = x->link->checks; a->verifies && c != NULL; c = c->next)
		c->sent = false;
	if (!s->worker->stopping)
		s->worker->server->ways->next(a->dial);
}

static void drained(struct stream *s)
{
	if (s->s2s->link->stream == s)
		s2s_link_flush(s->s2s->link);
}

enum { ANY = STREAM_OPEN | STREAM_SECURE | STREAM_AUTHED | STREAM_BOUND };

static const struct stream_rule rules[] = {
	{ STREAM_OPEN | STREAM_SECURE | STREAM_AUTHED, NS_STREAM, "features", on_features },
	{ STREAM_OPEN, NS_TLS, "proceed", on_proceed },                      /* RFC 6120 §5.4.2.3 */
	{ STREAM_OPEN, NS_TLS, "failure", on_tls_failure },                  /* §5.4.2.2 */
	{ STREAM_SECURE, NS_SASL, "success", on_success },                   /* §6.4.6 */
	{ STREAM_SECURE, NS_SASL, "failure", on_sasl_failure },              /* §6.4.5 */
	{ STREAM_SECURE | STREAM_BOUND, NS_DIALBACK, "result", on_result },  /* XEP-0220 §2.4 */
	{ STREAM_SECURE | STREAM_BOUND, NS_DIALBACK, "verify", on_verify },  /* §2.3 */
	{ STREAM_BOUND, NS_SM, "enabled", s2s_sm_on_enabled },               /* XEP-0198 §3 */
	{ STREAM_BOUND, NS_SM, "resumed", s2s_resume_on_resumed },           /* §5 */
	{ STREAM_BOUND, NS_SM, "failed", s2s_sm_on_failed },
	{ STREAM_BOUND, NS_SM, "r", s2s_sm_on_r },
	{ STREAM_BOUND, NS_SM, "a", s2s_sm_on_a },
	{ ANY, NS_STREAM, "error", on_error },
};

const struct stream_kind s2s_out_kind = {
	.name = "s2s", .content_ns = NS_SERVER, .rules = rules, .rule_count = sizeof rules / sizeof *rules,
	.opened = opened, .stanza = s2s_stanza, .ended = ended, .secured = secured, .drained = drained, .header = s2s_header,
};
