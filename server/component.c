/* component.c - XEP-0114. */
#include "server/component.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "server/route.h"

/* --- to the component --- */

struct passing {
	struct mail mail;
	struct worker *worker;
	struct host *host;
	struct stanza *stanza;
};

/* With several streams for one domain each conversation keeps to one of them: by the other side's bare JID. */
static struct stream *pick(struct host *h, const struct stanza *st)
{
	struct stream *s = h->component;
	unsigned count = 0;

	for (; s != NULL; s = s->next_component)
		count++;
	if (count == 0)
		return NULL;
	unsigned n = st->from != NULL ? jid_hash(st->from) % count : 0;

	for (s = h->component; n > 0; n--)
		s = s->next_component;
	return s;
}

static void on_passed(struct mail *m, struct loop *l)
{
	struct passing *p = (struct passing *)m;
	struct stream *s = pick(p->host, p->stanza);

	(void)l;
	if (s != NULL)
		stream_send(s, p->stanza, NULL);
	else
		route_error(p->worker, p->stanza, STERNA_SERVICE_UNAVAILABLE, "the component is not connected");
	stanza_unref(&p->stanza);
	free(p);
}

void component_send(struct worker *w, struct host *h, struct stanza **st)
{
	struct passing *p = xalloc(sizeof *p);
	struct worker *to = w->server->workers[0];

	p->mail.run = on_passed;
	p->worker = to;
	p->host = h;
	p->stanza = *st;
	*st = NULL;
	loop_post(to->loop, &p->mail);
	if (loop_mail_depth(to->loop) > w->server->config->limits.mailbox_stanzas)
		w->congested = true; /* as with any hop: whoever sends is not read for a moment */
}

/* --- its stream --- */

static void opened(struct stream *s, const struct sterna_elem *root)
{
	const char *to = elem_attr(root, "to");
	struct host *h = NULL;
	struct jid *j = NULL;

	if (to != NULL && jid_parse(to, strlen(to), &j) == STERNA_OK)
		h = server_host(s->worker->server, jid_full(j));
	jid_unref(&j);
	if (h == NULL || h->kind != HOST_COMPONENT) {
		stream_error(s, "host-unknown", "no component of that name is configured");
		return;
	}
	s->host = h;
	stream_header(s, jid_full(h->jid));
	stream_enter(s, STREAM_OPEN);
}

static void joined(struct stream *s)
{
	s->joined = true;
	s->next_component = s->host->component;
	s->host->component = s;
	timer_cancel(&s->deadline);
	stream_write(s, "<handshake/>", 12);
	log_notice("component", "connected", "domain", jid_full(s->host->jid), "peer", s->transport->peer);
	stream_release(s, HOLD_BUSY);
}

/* §3: hexadecimal SHA-1 of stream id and secret. */
static void on_handshake(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *said = elem_text(*a, e);
	char *text = xasprintf("%s%s", s->id, s->host->secret), hex[41];
	unsigned char digest[20];

	EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL);
	for (int i = 0; i < 20; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	if (strlen(said) != 40 || CRYPTO_memcmp(said, hex, 40) != 0) {
		stream_error(s, "not-authorized", "the handshake is wrong");
		return;
	}
	s->jid = jid_ref(s->host->jid);
	stream_enter(s, STREAM_AUTHED);
	stream_enter(s, STREAM_BOUND);
	stream_limits(s);
	stream_move(s, s->worker->server->workers[0], joined);
}

/* §3: 'from' must be of the component's own domain. */
static void stanza(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct stanza *st = NULL;
	const enum sterna_result rc = stanza_new(a, e, &st);

	if (rc == STERNA_EINVAL) {
		stream_error(s, "unsupported-stanza-type", NULL);
	} else if (rc != STERNA_OK) {
		stream_error(s, "improper-addressing", NULL);
	} else if (st->from == NULL || strcmp(jid_domain(st->from), jid_full(s->host->jid)) != 0) {
		stream_error(s, "invalid-from", NULL);
	} else if (st->to == NULL) {
		stream_error(s, "improper-addressing", "a component's stanza needs 'to'");
	} else {
		stream_charge(s, &s->stanzas, &s->worker->server->config->limits.stanzas_s2s, 1);
		st->trace = worker_trace(s->worker);
		if (route_shape_ok(st))
			route_hop(s->worker, &st, NULL);
		else
			route_error(s->worker, st, STERNA_BAD_REQUEST, NULL);
		stream_pause_if_congested(s);
	}
	stanza_unref(&st);
}

static void ended(struct stream *s, bool cut)
{
	(void)cut;
	/* Before it has joined it is on another worker perhaps, and in no list. */
	if (s->joined) {
		for (struct stream **at = &s->host->component; *at != NULL; at = &(*at)->next_component)
			if (*at == s) {
				*at = s->next_component;
				break;
			}
		log_notice("component", "disconnected", "domain", jid_full(s->host->jid));
	}
}

static const struct stream_rule rules[] = {
	{ STREAM_OPEN, NS_CLIENT, "handshake", on_handshake }, /* the content namespace, as the tree has it */
};

const struct stream_kind component_kind = {
	.name = "component", .content_ns = NS_COMPONENT, .rules = rules, .rule_count = 1,
	.opened = opened, .stanza = stanza, .ended = ended,
};
