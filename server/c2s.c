/* c2s.c - a client's stream: which element may come when (RFC 6120 §5-§7, XEP-0198), and what it does. */
#include "server/c2s.h"
#include <stdlib.h>
#include <string.h>
#include "server/auth.h"
#include "server/presence.h"
#include "server/register.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/sasl2.h"
#include "server/session.h"
#include "server/sm.h"

#define NS_LIMITS "urn:xmpp:stream-limits:0"

/* --- header and features --- */

static void add_limits(struct stream *s, struct arena *a, struct sterna_elem *features)
{
	const struct config_limits *l = &s->worker->server->config->limits;
	struct sterna_elem *e = elem_add(a, features, "limits", NS_LIMITS);
	char text[24];

	snprintf(text, sizeof text, "%zu", s->limits.stanza_bytes);
	elem_add_text_elem(a, e, "max-bytes", text);
	if (l->idle_time.us > 0) {
		snprintf(text, sizeof text, "%lld", (long long)(l->idle_time.us / 1000000));
		elem_add_text_elem(a, e, "idle-seconds", text);
	}
}

static void add_modules(struct stream *s, struct arena *a, struct sterna_elem *features)
{
	struct stanza *none = stanza_make("iq", "result", NULL, NULL, NULL);
	struct sterna_call *c = call_new(s->worker, &none);

	(void)a;
	c->host = s->host;
	for (size_t i = 0; i < c->registry->module_count; i++) {
		const struct sterna_advert *advert = c->registry->modules[i]->m->stream_features;

		c->module = c->registry->modules[i];
		for (; advert != NULL && advert->fn != NULL; advert++)
			advert->fn(c, features);
	}
	call_free(c);
}

void c2s_features(struct stream *s)
{
	struct arena *a = arena_new(1024);
	struct sterna_elem *f = elem_new(a, "features", NS_STREAM);
	struct buf text = BUF_INIT;

	if (s->state == STREAM_OPEN) {
		elem_add(a, elem_add(a, f, "starttls", NS_TLS), "required", NS_TLS);
	} else if (s->state == STREAM_SECURE) {
		auth_features(s, a, f);
		sasl2_features(s, a, f);
		register_features(s, a, f);
	} else {
		if (s->state == STREAM_AUTHED) {
			elem_add(a, f, "bind", NS_BIND);
			elem_add(a, elem_add(a, f, "session", NS_SESSION), "optional", NS_SESSION);
		}
		if (s->session == NULL || s->session->sm == NULL)
			elem_add(a, f, "sm", NS_SM);
		elem_add(a, f, "ver", "urn:xmpp:features:rosterver");
		elem_add(a, f, "sub", "urn:xmpp:features:pre-approval");
	}
	if (s->state != STREAM_OPEN)
		add_limits(s, a, f);
	if ((s->state & (STREAM_AUTHED | STREAM_BOUND)) != 0)
		add_modules(s, a, f);
	/* The prefix that everybody writes, and some clients insist on. */
	buf_puts(&text, s->framing != NULL ? "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>" : "<stream:features>");
	elem_write_inner(&text, f);
	buf_lit(&text, "</stream:features>");
	stream_write(s, buf_data(&text), buf_len(&text));
	buf_release(&text);
	arena_free(&a);
}

enum { LANG_MAX = 35, BIND_TRIES = 5 };

/* RFC 6120 §4.7: 'to' must be one of our hosts; after authentication the same one. */
static bool from_is_ours(struct stream *s, const struct sterna_elem *root)
{
	const char *from = elem_attr(root, "from");
	struct jid *j = NULL;

	jid_unref(&s->claimed);
	if (from == NULL || *from == '\0')
		return true;
	/* XEP-0388 §2.1: who connects says as whom; that cannot be someone of another domain. */
	const bool ok = jid_parse(from, strlen(from), &j) == STERNA_OK && strcmp(jid_domain(j), jid_full(s->host->jid)) == 0;

	if (ok && jid_local(j) != NULL)
		s->claimed = jid_to_bare(j);
	jid_unref(&j);
	if (!ok)
		stream_error(s, "invalid-from", "'from' is no address here");
	return ok;
}

static bool find_host(struct stream *s, const struct sterna_elem *root)
{
	const char *to = elem_attr(root, "to");
	struct jid *j = NULL;

	if (to == NULL) {
		stream_error(s, "host-unknown", "the stream header has no 'to'");
		return false;
	}
	if (jid_parse(to, strlen(to), &j) != STERNA_OK) {
		stream_error(s, "improper-addressing", "'to' is no address");
		return false;
	}
	struct host *h = jid_local(j) == NULL && jid_resource(j) == NULL ? server_host(s->worker->server, jid_full(j)) : NULL;

	jid_unref(&j);
	if (h == NULL || h->kind != HOST_USERS || (s->host != NULL && s->jid != NULL && s->host != h)) {
		stream_error(s, "host-unknown", NULL);
		return false;
	}
	s->host = h;
	return from_is_ours(s, root);
}

/* §4.7.4: an identifier as in BCP 47; one that is ours needs not be said again. */
static void take_lang(struct stream *s, const struct sterna_elem *root)
{
	const char *lang = elem_attr_ns(root, "lang", NS_XML);
	const size_t len = lang != NULL ? strlen(lang) : 0;

	free(s->lang);
	s->lang = NULL;
	if (len > 0 && len <= LANG_MAX && strcmp(lang, "en") != 0
		&& strspn(lang, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == len)
		s->lang = xstrdup(lang);
}

static void opened(struct stream *s, const struct sterna_elem *root)
{
	const char *version = elem_attr(root, "version");

	if (!find_host(s, root))
		return;
	if (version == NULL || strtol(version, NULL, 10) < 1) {
		stream_error(s, "unsupported-version", NULL);
		return;
	}
	take_lang(s, root);
	stream_header(s, jid_full(s->host->jid));
	if (s->state == STREAM_NEW)
		stream_enter(s, s->transport->secure || s->web ? STREAM_SECURE : STREAM_OPEN);
	else if (s->state == STREAM_OPEN)
		stream_enter(s, STREAM_SECURE);
	c2s_features(s);
}

static void on_starttls(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	stream_write(s, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", 50);
	xml_reset(s->xml); /* whatever came pipelined behind it is never parsed */
	s->transport->tls_host = s->host->ascii; /* without SNI the stream's 'to' counts: RFC 6120 §13.7.1.2 */
	s->transport->ops->start_tls(s->transport);
}

/* --- binding a resource: §7 --- */

void c2s_bound(struct stream *s, struct sterna_session *session)
{
	if (s->session == NULL)
		s->session = session_ref(session);
	if (session->client == NULL && s->client != NULL)
		session->client = xstrdup(s->client);
	jid_unref(&s->claimed);
	timer_cancel(&s->deadline);
	stream_hold_account(s, NULL);
	stream_enter(s, STREAM_BOUND);
}

static void iq_error(struct stream *s, struct stanza *st, enum sterna_condition condition, const char *text)
{
	struct stanza *e = stanza_error(st, condition, text, NULL, NULL);

	if (e != NULL)
		stream_send(s, e, NULL);
	stanza_unref(&e);
}

static void bind_resource(struct stream *s, struct stanza *st, const struct sterna_elem *e)
{
	struct account *a = account_get(s->worker, s->jid);
	struct sterna_session *session = NULL;
	const enum sterna_result rc = a->state != ACCOUNT_READY ? STERNA_EUNAVAILABLE
		: session_bind(a, s, elem_child_text(st->arena, e, "resource"), &session);

	if (rc != STERNA_OK && ++s->tries > BIND_TRIES) {
		stream_error(s, "policy-violation", "too many attempts to bind a resource"); /* §7.7.3 */
		return;
	}
	if (rc != STERNA_OK) {
		iq_error(s, st, rc == STERNA_EINVAL ? STERNA_BAD_REQUEST : rc == STERNA_EEXISTS ? STERNA_CONFLICT
			: STERNA_RESOURCE_CONSTRAINT, NULL);
		return;
	}
	c2s_bound(s, session);
	struct stanza *r = stanza_make("iq", "result", NULL, NULL, stanza_id(st));
	struct sterna_elem *b = elem_add(r->arena, r->elem, "bind", NS_BIND);

	elem_add_text_elem(r->arena, b, "jid", jid_full(session->jid));
	stream_send(s, r, NULL);
	stanza_unref(&r);
}

/* Before a resource is bound the only stanza is the IQ that binds one (§7.1). */
static void on_early_iq(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct stanza *st = NULL;
	const struct sterna_elem *payload = elem_first(e);

	if (stanza_new(a, e, &st) != STERNA_OK) {
		stream_error(s, "not-authorized", NULL);
		return;
	}
	if (st->type == IQ_SET && elem_is(payload, "bind", NS_BIND) && stanza_id(st) != NULL)
		bind_resource(s, st, payload);
	else if (st->type == IQ_SET && elem_is(payload, "session", NS_SESSION) && stanza_id(st) != NULL)
		iq_error(s, st, STERNA_NOT_ALLOWED, "bind a resource first");
	else
		stream_error(s, "not-authorized", "bind a resource first");
	stanza_unref(&st);
}

/* --- XEP-0198 --- */

bool c2s_number(const char *text, uint32_t *out)
{
	char *end = NULL;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	const unsigned long long n = strtoull(text, &end, 10);

	*out = (uint32_t)n;
	return *end == '\0' && n <= UINT32_MAX;
}

bool c2s_is_true(const char *text)
{
	return text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

struct sterna_elem *c2s_sm_failed_elem(struct arena *a, const char *condition, bool has_h, uint32_t h)
{
	struct sterna_elem *f = elem_new(a, "failed", NS_SM);
	char text[16];

	if (has_h) {
		snprintf(text, sizeof text, "%u", h);
		elem_set_attr(a, f, "h", text);
	}
	elem_add(a, f, condition, NS_STANZAS);
	return f;
}

static void sm_failed(struct stream *s, const char *condition, bool has_h, uint32_t h)
{
	struct arena *a = arena_new(256);

	stream_send_elem(s, c2s_sm_failed_elem(a, condition, has_h, h));
	arena_free(&a);
}

struct sterna_elem *c2s_enable(struct arena *a, struct sterna_session *session, const struct sterna_elem *e,
	sm_enabled_fn *inline_)
{
	uint32_t max = 0;

	if (session->sm != NULL)
		return c2s_sm_failed_elem(a, "unexpected-request", false, 0); /* §3: once */
	if (elem_attr(e, "max") != NULL && !c2s_number(elem_attr(e, "max"), &max))
		return c2s_sm_failed_elem(a, "bad-request", false, 0);
	sm_enable(session, c2s_is_true(elem_attr(e, "resume")), max, inline_);
	return NULL;
}

static void on_enable(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const struct sterna_elem *failed = c2s_enable(*a, s->session, e, NULL);

	if (failed != NULL)
		stream_send_elem(s, failed);
}

/* Too early. XEP-0388 §2.4: within an exchange nothing but its own elements comes, and the stream ends. */
static void on_sm_early(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	if (s->auth != NULL || s->sasl2 != NULL)
		stream_error(s, "policy-violation", "an exchange is under way");
	else
		sm_failed(s, "unexpected-request", false, 0);
}

struct sterna_elem *c2s_resumed_elem(struct arena *a, struct sterna_session *session, uint32_t h)
{
	struct sterna_elem *r = elem_new(a, "resumed", NS_SM);
	char text[64];

	snprintf(text, sizeof text, "%u", h);
	elem_set_attr(a, r, "h", text);
	sm_id(session, text);
	elem_set_attr(a, r, "previd", text);
	return r;
}

static void resumed(struct stream *s, struct sterna_session *session, const char *condition, uint32_t h)
{
	struct arena *a;

	if (session == NULL) {
		sm_failed(s, condition, h != 0, h);
		stream_release(s, HOLD_WORK);
		return;
	}
	a = arena_new(256);
	c2s_bound(s, session);
	stream_send_elem(s, c2s_resumed_elem(a, session, h));
	arena_free(&a);
	sm_replay(session);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_SM_RESUMED, 0, 1);
	modules_event(s->worker, STERNA_SESSION_RESUMED, session->account, session, NULL);
	stream_release(s, HOLD_WORK);
}

static void on_resume(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *previd = elem_attr(e, "previd");
	struct account *account = account_get(s->worker, s->jid);
	uint32_t h;

	(void)a;
	if (previd == NULL || !c2s_number(elem_attr(e, "h"), &h)) {
		sm_failed(s, "bad-request", false, 0);
		return;
	}
	stream_hold(s, HOLD_WORK);
	sm_resume(account, s, previd, h, resumed);
}

static void on_resume_bound(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	sm_failed(s, "unexpected-request", false, 0);
}

static void on_r(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	if (s->session->sm != NULL)
		sm_on_request(s->session);
}

static void on_a(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	uint32_t h;

	(void)a;
	if (s->session->sm == NULL)
		return;
	if (!c2s_number(elem_attr(e, "h"), &h)) {
		stream_error(s, "bad-format", "an <a/> has a number 'h'"); /* §4 */
	} else if (!sm_on_ack(s->session, h)) {
		char text[128];

		/* §5: the error says what was claimed and what was sent. */
		snprintf(text, sizeof text, "<handled-count-too-high xmlns='" NS_SM "' h='%u' send-count='%u'/>",
			h, sm_sent(s->session));
		stream_error_with(s, "undefined-condition", NULL, text);
	}
}

/* --- stanzas --- */

static void improper(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	/* An address that is none: the sender hears <jid-malformed/> (RFC 6120 §8.3.3.8). */
	struct stanza *st = NULL;
	const bool is_error = elem_attr(e, "type") != NULL && strcmp(elem_attr(e, "type"), "error") == 0;

	elem_set_attr(*a, e, "to", NULL);
	elem_set_attr(*a, e, "from", NULL);
	if (is_error || stanza_new(a, e, &st) != STERNA_OK)
		return;
	stanza_set_from(st, s->session->jid);
	struct stanza *error = stanza_error(st, STERNA_JID_MALFORMED, NULL, NULL, NULL);

	if (error != NULL)
		session_send(s->session, error, NULL, 0);
	stanza_unref(&error);
	stanza_unref(&st);
}

/* RFC 6120 §8.1.2.1: a 'from' that is not the sender's own is an error of the stream. Another resource of its own is not:
 * what leaves has the right one in any case, and Converse writes that of its page when it has resumed an older session. */
static bool from_is_own(const struct stream *s, const struct stanza *st)
{
	return st->from == NULL || jid_bare_equal(st->from, s->session->jid);
}

static void element_done(struct sterna_call *c, enum sterna_verdict v)
{
	(void)v;
	call_finish(c);
}

static void module_element(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const struct element_row *row = registry_element(s->worker->registry, e->ns, e->name);
	struct stanza *none;
	struct sterna_call *c;

	if (row == NULL) {
		stream_error(s, "unsupported-stanza-type", NULL);
		return;
	}
	none = stanza_wrap(a, e);
	c = call_new(s->worker, &none);
	c->side = SIDE_OUT;
	call_set_account(c, s->session->account);
	call_set_session(c, s->session);
	call_run_handler(c, row->slot, row->element->fn, element_done);
}

enum { READS_MAX = 64 };

static void stanza(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct sterna_session *session = s->session;
	struct stanza *st = NULL;
	uint32_t h = 0;

	if (strcmp(e->ns, NS_CLIENT) != 0) {
		module_element(s, a, e);
		return;
	}
	if (strcmp(e->name, "message") != 0 && strcmp(e->name, "presence") != 0 && strcmp(e->name, "iq") != 0) {
		stream_error(s, "unsupported-stanza-type", NULL);
		return;
	}
	stream_charge(s, &s->stanzas, &s->worker->server->config->limits.stanzas, 1);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_STANZAS_IN, 0, 1);
	session->stanzas_in++;
	if (session->sm != NULL) {
		h = sm_count_in(session);
		if (sm_was_taken(session, h)) {
			sm_committed_now(session, h, true); /* the client repeats what is stored already */
			return;
		}
	}
	/* §8.1.5: what people read says in which language it is. */
	if (s->lang != NULL && *e->name != 'i' && elem_attr_ns(e, "lang", NS_XML) == NULL)
		elem_set_attr_ns(*a, e, "lang", NS_XML, s->lang);
	if (stanza_new(a, e, &st) != STERNA_OK) {
		improper(s, a, e);
	} else if (!from_is_own(s, st)) {
		stream_error(s, "invalid-from", NULL);
		stanza_unref(&st);
	} else {
		struct ack *ack = ack_new(session, h); /* also without XEP-0198: what is under way is counted */

		if (session_is_behind(session, s->worker->server->config->limits.uncommitted_stanzas))
			stream_hold(s, HOLD_COMMIT);
		if (session->reading > READS_MAX)
			stream_hold(s, HOLD_READS);
		route_from_session(session, &st, ack);
		ack_done(&ack, true);
		stream_pause_if_congested(s);
		return;
	}
	if (session->sm != NULL)
		sm_committed_now(session, h, false);
}

static void ended(struct stream *s, bool cut)
{
	struct sterna_session *session = s->session;

	if (session == NULL || session->stream != s)
		return;
	/* Whatever ended a stream that was still to resume it: the session was not this stream's yet. */
	const bool resumable = sm_stream_gone(session, s) || (cut && !s->end_seen);

	log_info("session", resumable ? "connection lost" : "ended", "jid", jid_full(session->jid), "stream_id", s->id);
	session_lost(session, resumable);
}

/* XEP-0198's <r/> where there is that, else a ping (XEP-0199 §4.1): any answer will do. */
static void ask(struct stream *s)
{
	char id[33];

	if (s->session == NULL || s->session->stream != s)
		return;
	if (s->session->sm != NULL) {
		stream_write(s, "<r xmlns='" NS_SM "'/>", sizeof("<r xmlns='" NS_SM "'/>") - 1);
		return;
	}
	worker_token(s->worker, id);
	struct stanza *st = stanza_make("iq", "get", s->host->jid, s->session->jid, id);

	elem_add(st->arena, st->elem, "ping", "urn:xmpp:ping");
	session_send(s->session, st, NULL, 0);
	stanza_unref(&st);
}

static const struct stream_rule rules[] = {
	{ STREAM_OPEN, NS_TLS, "starttls", on_starttls },              /* RFC 6120 §5.4.2 */
	{ STREAM_SECURE, NS_SASL, "auth", auth_on_auth },              /* §6.4.2 */
	{ STREAM_SECURE, NS_SASL, "response", auth_on_response },      /* §6.4.3 */
	{ STREAM_SECURE, NS_SASL, "abort", auth_on_abort },            /* §6.4.4 */
	{ STREAM_SECURE, NS_SASL2, "authenticate", sasl2_on_authenticate }, /* XEP-0388 §2.3 */
	{ STREAM_SECURE, NS_SASL2, "response", sasl2_on_response },    /* §2.5 */
	{ STREAM_SECURE | STREAM_TASKS, NS_SASL2, "abort", sasl2_on_abort }, /* §3.5 */
	{ STREAM_TASKS, NS_SASL2, "next", sasl2_on_next },             /* §2.6.3 */
	{ STREAM_TASKS, NS_SASL2, "task-data", sasl2_on_task_data },
	{ STREAM_SECURE, NS_CLIENT, "iq", register_on_iq },            /* XEP-0077 §3.1 */
	{ STREAM_AUTHED, NS_CLIENT, "iq", on_early_iq },               /* §7.6 */
	{ STREAM_SECURE | STREAM_AUTHED, NS_SM, "enable", on_sm_early }, /* XEP-0198 §3 */
	{ STREAM_SECURE, NS_SM, "resume", on_sm_early },
	{ STREAM_AUTHED, NS_SM, "resume", on_resume },                 /* §5 */
	{ STREAM_BOUND, NS_SM, "enable", on_enable },
	{ STREAM_BOUND, NS_SM, "resume", on_resume_bound },
	{ STREAM_BOUND, NS_SM, "r", on_r },
	{ STREAM_BOUND, NS_SM, "a", on_a },
};

const struct stream_kind c2s_kind = {
	.name = "c2s", .content_ns = NS_CLIENT, .rules = rules, .rule_count = sizeof rules / sizeof *rules,
	.opened = opened, .stanza = stanza, .ask = ask, .ended = ended,
};
