/* s2s_in.c - a stream that another server has opened: RFC 6120 §4-§6, SASL EXTERNAL (XEP-0178), dialback as the
 * receiving and as the authoritative server (XEP-0220), bidirectional streams (XEP-0288).
 *
 * Once its header is read over TLS, the stream lives on the worker that owns the domain it says it comes from. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/base64.h"
#include "server/net.h"
#include "server/sm.h"

/* --- header and features --- */

static bool find_to(struct stream *s, const struct sterna_elem *root)
{
	const char *to = elem_attr(root, "to");
	struct jid *j = NULL;
	struct host *h;

	if (to == NULL || jid_parse(to, strlen(to), &j) != STERNA_OK) {
		stream_error(s, to == NULL ? "host-unknown" : "improper-addressing", "the stream header's 'to' is no domain");
		return false;
	}
	h = jid_local(j) == NULL && jid_resource(j) == NULL ? server_host(s->worker->server, jid_full(j)) : NULL;
	jid_unref(&j);
	if (h == NULL || (s->host != NULL && s->state == STREAM_AUTHED && s->host != h)) {
		stream_error(s, "host-unknown", NULL);
		return false;
	}
	s->host = h;
	return true;
}

/* Before TLS 'from' may be missing; whoever it is, nobody comes from a domain of ours. */
static bool find_from(struct stream *s, const struct sterna_elem *root)
{
	struct s2s *x = s2s_of(s);
	const char *from = elem_attr(root, "from");
	struct jid *j = NULL;

	if (from == NULL && !s->transport->secure)
		return true;
	if (from == NULL || jid_parse(from, strlen(from), &j) != STERNA_OK || jid_local(j) != NULL || jid_resource(j) != NULL) {
		jid_unref(&j);
		stream_error(s, from == NULL ? "improper-addressing" : "invalid-from", "the stream header's 'from' is no domain");
		return false;
	}
	if (server_host(s->worker->server, jid_full(j)) != NULL
		|| (s->state == STREAM_AUTHED && !jid_equal(j, x->remote))) {
		jid_unref(&j);
		stream_error(s, "invalid-from", NULL);
		return false;
	}
	jid_unref(&x->remote);
	x->remote = j;
	if (s2s_trust_of(s->worker->server, jid_full(j)) == CONFIG_TRUST_NONE) {
		log_notice("s2s", "refused by configuration", "domain", jid_full(j), "peer", s->transport->peer);
		s2s_audit(s, s->host, "configuration", "this server does not talk to that domain");
		stream_error(s, "policy-violation", "this server does not talk to that domain");
		return false;
	}
	return true;
}

static void add_limits(struct stream *s, struct arena *a, struct sterna_elem *f)
{
	const struct config *c = s->worker->server->config;
	struct sterna_elem *e = elem_add(a, f, "limits", NS_LIMITS);
	char text[24];

	snprintf(text, sizeof text, "%zu", s->limits.stanza_bytes);
	elem_add_text_elem(a, e, "max-bytes", text);
	snprintf(text, sizeof text, "%lld", (long long)(c->s2s.idle_time.us / 1000000));
	elem_add_text_elem(a, e, "idle-seconds", text);
}

static bool certificate_is_enough(struct stream *s)
{
	const struct s2s *x = s->s2s;

	return x->proof != TLS_PROOF_NONE && s2s_is_enough(s->worker->server, jid_full(x->remote), x->proof);
}

static void features(struct stream *s)
{
	struct arena *a = arena_new(1024);
	struct sterna_elem *f = elem_new(a, "features", NS_STREAM);
	struct buf text = BUF_INIT;

	if (s->state == STREAM_OPEN) {
		elem_add(a, elem_add(a, f, "starttls", NS_TLS), "required", NS_TLS);
	} else if (s->state == STREAM_SECURE) {
		/* Not before the certificate is checked: else a peer would not try dialback (XEP-0178 §3). */
		if (certificate_is_enough(s))
			elem_add_text_elem(a, elem_add(a, f, "mechanisms", NS_SASL), "mechanism", "EXTERNAL");
		elem_add(a, elem_add(a, f, "dialback", NS_DIALBACK_FEATURE), "errors", NS_DIALBACK_FEATURE);
		elem_add(a, f, "bidi", NS_BIDI_FEATURE);
	}
	/* Also before the stream is authenticated: after dialback there are no features more. */
	if (s->state != STREAM_OPEN)
		elem_add(a, f, "sm", NS_SM);
	if (s->state != STREAM_OPEN)
		add_limits(s, a, f);
	elem_write_inner(&text, f);
	stream_write(s, "<stream:features>", 17);
	stream_write(s, buf_data(&text), buf_len(&text));
	stream_write(s, "</stream:features>", 18);
	buf_release(&text);
	arena_free(&a);
}

/* On the worker that owns the domain. */
static void at_owner(struct stream *s)
{
	struct s2s *x = s->s2s;
	struct tls_pin *pin = net_pin(s->worker->server->net, jid_full(x->remote));

	timer_set(&s->deadline, (uint64_t)s->worker->server->config->limits.auth_time.us);
	x->proof = s->transport->ops->peer_proof(s->transport, jid_full(x->remote), pin, &x->proof_text);
	tls_pin_unref(&pin);
	log_info("s2s", "a server has connected", "domain", jid_full(x->remote), "to", jid_full(s->host->jid), "peer",
		s->transport->peer, "tls", s->transport->ops->tls_version(s->transport), "certificate", x->proof_text, "stream_id",
		s->id);
	stream_header(s, NULL);
	features(s);
	stream_release(s, HOLD_BUSY);
}

static void bound(struct stream *s)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = s2s_link(s->worker, s->host, x->remote);

	timer_cancel(&s->deadline);
	stream_enter(s, STREAM_BOUND);
	if (l == NULL)
		return;
	s2s_link_join(l, s);
	l->wanted = true;
	l->used_us = s2s_now(s);
	if (x->bidi && l->stream == NULL && l->held == NULL)
		s2s_link_up(l, s);
	else
		s2s_link_hurry(l); /* or the peer resumes what was cut; or it says that it does not, by <enable/> */
}

static void opened(struct stream *s, const struct sterna_elem *root)
{
	const char *version = elem_attr(root, "version");

	if (!find_to(s, root) || !find_from(s, root))
		return;
	if (version == NULL || strtol(version, NULL, 10) < 1) {
		stream_error(s, "unsupported-version", NULL);
		return;
	}
	if (s->state == STREAM_AUTHED) {
		stream_header(s, NULL);
		features(s);
		bound(s);
	} else if (!s->transport->secure) {
		stream_enter(s, STREAM_OPEN);
		stream_header(s, NULL);
		features(s);
	} else {
		stream_enter(s, STREAM_SECURE);
		stream_move(s, s2s_owner(s->worker->server, jid_full(s->s2s->remote)), at_owner);
	}
}

static void on_starttls(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	stream_write(s, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", 50);
	xml_reset(s->xml);
	s->transport->tls_host = s->host->ascii;
	s->transport->ops->start_tls(s->transport);
}

/* --- SASL EXTERNAL --- */

static void sasl_failed(struct stream *s, const char *condition)
{
	char text[160];

	snprintf(text, sizeof text, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><%s/></failure>", condition);
	stream_write(s, text, strlen(text));
	log_notice("s2s", "a server could not authenticate", "domain", jid_full(s->s2s->remote), "condition", condition,
		"certificate", s->s2s->proof_text, "peer", s->transport->peer);
	s2s_audit(s, s->host, "EXTERNAL", condition);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_S2S_FAILURES, S2S_FAILURE_SASL, 1);
	if (++s->tries >= s->worker->server->config->limits.auth_tries)
		stream_error(s, "policy-violation", "too many failed attempts");
}

/* XEP-0178 §3: none, "=" for an empty one, or the domain of the header. @return the SASL condition, or NULL */
static const char *check_authzid(const struct stream *s, const char *said)
{
	char name[1024], prepared[1024];
	size_t len = 0;

	if (*said == '\0' || strcmp(said, "=") == 0)
		return NULL;
	if (base64_decode(said, strlen(said), name, sizeof name, &len) != STERNA_OK)
		return "incorrect-encoding";
	if (precis_domain(name, len, prepared, sizeof prepared) != STERNA_OK || strcmp(prepared, jid_full(s->s2s->remote)) != 0)
		return "invalid-authzid";
	return NULL;
}

static void on_auth(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *mechanism = elem_attr(e, "mechanism");
	const char *condition = mechanism == NULL || strcmp(mechanism, "EXTERNAL") != 0 ? "invalid-mechanism"
		: !certificate_is_enough(s) ? "not-authorized" : check_authzid(s, elem_text(*a, e));

	if (condition != NULL) {
		sasl_failed(s, condition);
		return;
	}
	s->authenticated_by = xstrdup("EXTERNAL");
	s->jid = jid_ref(s->s2s->remote);
	stream_write(s, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", 51);
	stream_enter(s, STREAM_AUTHED);
	s2s_authorise(s, s->host);
	log_info("s2s", "a server has authenticated", "domain", jid_full(s->s2s->remote), "to", jid_full(s->host->jid), "by",
		"EXTERNAL", "certificate", s->s2s->proof_text, "stream_id", s->id);
	s2s_audit(s, s->host, "EXTERNAL", NULL);
	(void)net_authenticated(s);
	stream_restart(s);
}

/* --- dialback --- */

void s2s_in_verdict(struct stream *s, struct host *host, const char *type, enum sterna_condition condition)
{
	const char *remote = jid_full(s->s2s->remote), *local = jid_full(host->jid);
	const bool valid = strcmp(type, "valid") == 0;

	s2s_send_db(s, "result", local, remote, NULL, type, NULL, condition);
	if (!valid) {
		log_notice("s2s", "a server could not authenticate", "domain", remote, "to", local, "by", "dialback", "result", type,
			"condition", condition != 0 ? condition_name(condition) : NULL, "certificate", s->s2s->proof_text, "peer",
			s->transport->peer);
		s2s_audit(s, host, "dialback", condition != 0 ? condition_name(condition) : type);
		metric_add(s->worker->server->metric_set, s->worker->index, METRIC_S2S_FAILURES, S2S_FAILURE_DIALBACK, 1);
		/* XEP-0220 §2.4: after an invalid key the stream ends; after an error it may be tried again. */
		if (strcmp(type, "invalid") == 0)
			stream_close(s);
		return;
	}
	s2s_authorise(s, host);
	log_info("s2s", "a server has authenticated", "domain", remote, "to", local, "by", "dialback", "stream_id", s->id);
	s2s_audit(s, host, "dialback", NULL);
	if (s->state != STREAM_SECURE)
		return; /* one domain of ours more */
	s->authenticated_by = xstrdup("dialback");
	s->jid = jid_ref(s->s2s->remote);
	(void)net_authenticated(s);
	stream_enter(s, STREAM_AUTHED);
	stream_limits(s);
	bound(s);
}

/* XEP-0220 §2.1.1. The certificate may have proven already what dialback would (XEP-0344); else its own server is
 * asked, over a stream on which it has to show what the configuration wants. */
static void on_result(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct jid *from = NULL, *to = NULL;
	struct s2s *x = s->s2s;

	if (elem_attr(e, "type") != NULL) {
		stream_error(s, "policy-violation", "nobody asked for that verdict");
		return;
	}
	if (!s2s_pair(s, e, &from, &to))
		return;
	struct host *h = server_host(s->worker->server, jid_full(to));

	if (!jid_equal(from, x->remote)) {
		/* No further sender on this stream. */
		stream_error(s, "invalid-from", "this stream was opened by another domain");
	} else if (h == NULL) {
		s2s_send_db(s, "result", jid_full(to), jid_full(from), NULL, "error", NULL, STERNA_ITEM_NOT_FOUND);
	} else if (!s2s_may_write(x, h) && x->local_count >= S2S_LOCALS_MAX) {
		s2s_send_db(s, "result", jid_full(to), jid_full(from), NULL, "error", NULL, STERNA_RESOURCE_CONSTRAINT);
	} else if (certificate_is_enough(s)) {
		s2s_in_verdict(s, h, "valid", 0);
	} else {
		/* Strangers' claims leave room for those whom we talk to. */
		struct s2s_link *l = s->worker->links.count < s->worker->server->config->s2s.connections / 2
			? s2s_link(s->worker, h, from) : s2s_link_find(s->worker, h, jid_full(from));

		if (l == NULL || !s2s_check(l, s, h, elem_text(*a, e)))
			s2s_send_db(s, "result", jid_full(to), jid_full(from), NULL, "error", NULL, STERNA_RESOURCE_CONSTRAINT);
	}
	jid_unref(&from);
	jid_unref(&to);
}

static void on_verify(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	if (elem_attr(e, "type") != NULL)
		stream_error(s, "policy-violation", "nobody asked for that verdict");
	else
		s2s_on_verify_request(s, *a, e);
}

/* XEP-0288 §2.1: asked for before the stream is authenticated. */
static void on_bidi(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	s->s2s->bidi = true;
}

static void on_error(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *domain = s->s2s != NULL && s->s2s->remote != NULL ? jid_full(s->s2s->remote) : NULL;

	(void)a;
	log_notice("s2s", "a server ended its stream with an error", "domain", domain, "condition", s2s_blame(s, e),
		"peer", s->transport->peer, "stream_id", s->id);
	stream_close(s);
}

static void ended(struct stream *s, bool cut)
{
	struct s2s *x = s->s2s;

	s2s_checks_forget(s);
	if (x == NULL || x->remote == NULL)
		return;
	s2s_resume_cancel(x);
	s2s_resume_ended(s, cut);
	if (s->jid != NULL)
		log_info("s2s", "a server's stream has ended", "domain", jid_full(x->remote), "why", s->closed_text, "stream_id",
			s->id);
	if (x->link != NULL && x->link->stream == s)
		s2s_link_down(x->link, s, cut);
}

static void drained(struct stream *s)
{
	if (s->s2s != NULL && s->s2s->link != NULL && s->s2s->link->stream == s)
		s2s_link_flush(s->s2s->link);
}

enum { ANY = STREAM_OPEN | STREAM_SECURE | STREAM_AUTHED | STREAM_BOUND };

static const struct stream_rule rules[] = {
	{ STREAM_OPEN, NS_TLS, "starttls", on_starttls },                         /* RFC 6120 §5.4.2 */
	{ STREAM_SECURE, NS_SASL, "auth", on_auth },                              /* §6.4.2 */
	{ STREAM_SECURE, NS_BIDI, "bidi", on_bidi },                              /* XEP-0288 §2.1 */
	{ STREAM_SECURE | STREAM_BOUND, NS_DIALBACK, "result", on_result },       /* XEP-0220 §2.1.1 */
	{ STREAM_SECURE | STREAM_BOUND, NS_DIALBACK, "verify", on_verify },       /* §2.3.1 */
	{ STREAM_BOUND, NS_SM, "enable", s2s_sm_on_enable },                      /* XEP-0198 §3 */
	{ STREAM_BOUND, NS_SM, "resume", s2s_resume_on_resume },
	{ STREAM_BOUND, NS_SM, "r", s2s_sm_on_r },
	{ STREAM_BOUND, NS_SM, "a", s2s_sm_on_a },
	{ ANY, NS_STREAM, "error", on_error },
};

const struct stream_kind s2s_in_kind = {
	.name = "s2s", .content_ns = NS_SERVER, .rules = rules, .rule_count = sizeof rules / sizeof *rules,
	.opened = opened, .stanza = s2s_stanza, .ended = ended, .drained = drained, .header = s2s_header,
};
