/* s2s_stream.c - what both directions of a server's stream have in common: header, pairs of domains, stanzas. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/route.h"

uint64_t s2s_now(const struct stream *s)
{
	return loop_now_us(s->worker->loop);
}

void s2s_audit(struct stream *s, struct host *h, const char *by, const char *why)
{
	const struct s2s *x = s->s2s;
	const struct sterna_datum data[] = { STERNA_DATUM("direction", x->out ? "out" : "in"),
		STERNA_DATUM("host", jid_full(h->jid)), STERNA_DATUM("by", by), STERNA_DATUM("proof", tls_proof_name(x->proof)),
		STERNA_DATUM("certificate", x->proof_text), STERNA_DATUM("address", s->transport->peer), STERNA_DATUM("reason", why),
		{ 0 } };

	audit_note(s->worker, h, why == NULL ? "sterna.link.authorised.v1" : "sterna.link.refused.v1", jid_full(x->remote), data);
}

struct s2s *s2s_of(struct stream *s)
{
	if (s->s2s == NULL)
		s->s2s = xalloc(sizeof *s->s2s);
	return s->s2s;
}

void s2s_forget(struct stream *s)
{
	struct s2s *x = s->s2s;

	if (x == NULL)
		return;
	if (x->attempt != NULL)
		x->attempt->stream = NULL;
	if (x->link != NULL) {
		x->link->streams--;
		if (x->link->stream == s)
			x->link->stream = NULL;
	}
	s2s_checks_forget(s);
	s2s_resume_cancel(x);
	s2s_lookup_forget(x);
	s2s_sm_forget(x);
	jid_unref(&x->remote);
	free(x->their_id);
	free(x);
	s->s2s = NULL;
}

static void add_domain(struct buf *out, const char *name, const char *domain)
{
	buf_addf(out, " %s='", name);
	xml_escape_attr(out, domain, strlen(domain));
	buf_putc(out, '\'');
}

/* RFC 6120 §4.7: the one who opens says from and to, the other one too, and gives the id. */
void s2s_header(struct stream *s)
{
	const struct s2s *x = s2s_of(s);
	struct buf *out = &s->transport->out;

	buf_lit(out, "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
		"xmlns:db='" NS_DIALBACK "'");
	if (!x->out)
		buf_addf(out, " id='%s'", s->id);
	if (s->host != NULL)
		add_domain(out, "from", jid_full(s->host->jid));
	if (x->remote != NULL)
		add_domain(out, "to", jid_full(x->remote));
	buf_lit(out, " version='1.0' xml:lang='en'>");
	transport_send_later(s->transport);
}

void s2s_send_db(struct stream *s, const char *name, const char *from, const char *to, const char *id, const char *type,
	const char *key, enum sterna_condition condition)
{
	struct buf out = BUF_INIT;

	buf_addf(&out, "<db:%s", name);
	add_domain(&out, "from", from);
	add_domain(&out, "to", to);
	if (id != NULL)
		add_domain(&out, "id", id);
	if (type != NULL)
		add_domain(&out, "type", type);
	if (key != NULL)
		buf_addf(&out, ">%s</db:%s>", key, name);
	else if (condition != 0) /* XEP-0220 §2.5 */
		buf_addf(&out, "><error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:%s>",
			condition_name(condition), name);
	else
		buf_lit(&out, "/>");
	stream_write(s, buf_data(&out), buf_len(&out));
	buf_release(&out);
}

/* --- who may write to whom --- */

bool s2s_may_write(const struct s2s *x, const struct host *h)
{
	for (size_t i = 0; i < x->local_count; i++)
		if (x->locals[i] == h)
			return true;
	return false;
}

void s2s_authorise(struct stream *s, struct host *h)
{
	struct s2s *x = s2s_of(s);

	if (!s2s_may_write(x, h) && x->local_count < S2S_LOCALS_MAX)
		x->locals[x->local_count++] = h;
}

static bool domain_attr(struct stream *s, const struct sterna_elem *e, const char *name, struct jid **out)
{
	const char *text = elem_attr(e, name);

	if (text != NULL && jid_parse(text, strlen(text), out) == STERNA_OK && jid_local(*out) == NULL
		&& jid_resource(*out) == NULL)
		return true;
	jid_unref(out);
	stream_error(s, "improper-addressing", "'from' and 'to' must be domains");
	return false;
}

bool s2s_pair(struct stream *s, const struct sterna_elem *e, struct jid **from, struct jid **to)
{
	if (!domain_attr(s, e, "from", from))
		return false;
	if (domain_attr(s, e, "to", to))
		return true;
	jid_unref(from);
	return false;
}

/* --- stanzas --- */

/* RFC 6120 §8.1.1.2, §8.1.2.2: both addresses, from a domain that this stream speaks for, to one of ours that it may
 * write to. NULL: all is well. */
static const char *check_pair(const struct stream *s, const struct stanza *st, const char **text)
{
	const struct s2s *x = s->s2s;

	if (st->from == NULL || st->to == NULL) {
		*text = "a stanza between servers needs 'from' and 'to'";
		return "improper-addressing";
	}
	if (strcmp(jid_domain(st->from), jid_full(x->remote)) != 0) {
		*text = "'from' is not of the domain that this stream was authenticated for";
		return "invalid-from";
	}
	const struct host *h = server_host(s->worker->server, jid_domain(st->to));

	if (h == NULL) {
		*text = "'to' is not of this server";
		return "host-unknown";
	}
	*text = "this stream was not authenticated for these two domains";
	return s2s_may_write(x, h) ? NULL : "not-authorized";
}

enum { SPOOFED = 10 };           /* offences */

void s2s_stanza(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct worker *w = s->worker;
	struct stanza *st = NULL;
	const char *text = NULL;
	const enum sterna_result rc = stanza_new(a, e, &st);
	const char *condition = rc == STERNA_EINVAL ? "unsupported-stanza-type" : rc != STERNA_OK ? "improper-addressing"
		: check_pair(s, st, &text);

	if (condition != NULL) {
		if (rc == STERNA_OK && st->from != NULL && strcmp(condition, "invalid-from") == 0)
			s2s_peer_offence(w, jid_full(s->s2s->remote), SPOOFED, "it sends stanzas in the name of others");
		stream_error(s, condition, text);
		stanza_unref(&st);
		return;
	}
	if (s->s2s->link != NULL) {
		s->s2s->link->received++;
		s->s2s->link->used_us = s2s_now(s);
	}
	stream_charge(s, &s->stanzas, &w->server->config->limits.stanzas_s2s, 1);
	metric_add(w->server->metric_set, w->index, METRIC_S2S_STANZAS, S2S_IN, 1);
	st->trace = worker_trace(w);
	const uint64_t hash = s2s_seen_hash(w, st);
	struct ack *ack = s2s_sm_count_in(s);

	if ((text = s2s_peer_charge(s, st)) != NULL)
		route_error(w, st, STERNA_RESOURCE_CONSTRAINT, text);
	else if (!route_shape_ok(st))
		route_error(w, st, STERNA_BAD_REQUEST, NULL);
	else if (s2s_sm_parks(s, &st, &ack))
		; /* a ping that is answered later */
	else if (s2s_lookup_takes(s, &st, hash, &ack))
		; /* it came before, or is looked for */
	else if (!s2s_queue_answer(w, st))
		route_hop(w, &st, ack);
	ack_done(&ack, true);
	stanza_unref(&st);
	stream_pause_if_congested(s);
}

/* --- the peer's errors --- */

/* Those that say that the peer, or its host, goes; any other may be about a stanza of ours. */
bool s2s_is_innocent(const char *condition)
{
	static const char *const names[] = { "conflict", "connection-timeout", "host-gone", "not-authorized", "reset",
		"resource-constraint", "see-other-host", "system-shutdown" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], condition) == 0)
			return true;
	return false;
}

const char *s2s_blame(struct stream *s, const struct sterna_elem *error)
{
	const struct sterna_elem *first = elem_first(error);
	const char *condition = first != NULL ? first->name : "undefined-condition";

	if (s->s2s != NULL && s->state == STREAM_BOUND && !s2s_is_innocent(condition))
		snprintf(s->s2s->blame, sizeof s->s2s->blame, "%s", condition);
	return condition;
}
