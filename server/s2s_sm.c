/* s2s_sm.c - XEP-0198 between servers: what came is acknowledged when it is committed, what was sent is kept until the
 * peer acknowledges it. A server that does not know XEP-0198 may ask by a ping (s2s_queue.c): its answer means the same. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/ack.h"
#include "server/c2s.h"
#include "server/route.h"
#include "server/sm.h"

void s2s_sm_unref(struct s2s_sm *m)
{
	if (--m->refs > 0)
		return;
	*m->at = m->next;
	if (m->next != NULL)
		m->next->at = m->at;
	jid_unref(&m->remote);
	free(m->hashes);
	free(m->id);
	free(m);
}

void s2s_sm_forget(struct s2s *x)
{
	if (x->sm == NULL)
		return;
	x->sm->stream = NULL;
	s2s_sm_unref(x->sm);
	x->sm = NULL;
}

static void answer(struct s2s_sm *m)
{
	char text[64];

	m->wanted = 0;
	snprintf(text, sizeof text, "<a xmlns='" NS_SM "' h='%u'/>", m->committed - m->base);
	stream_write(m->stream, text, strlen(text));
}

/* --- pings --- */

enum { PINGS_MAX = 8 };

struct s2s_ping {
	struct s2s_ping *next;
	struct stanza *stanza;
	struct ack *ack;
	uint32_t n;
};

static bool is_ping(const struct stanza *st)
{
	return st->type == IQ_GET && jid_local(st->from) == NULL && jid_local(st->to) == NULL
		&& elem_child(st->elem, "ping", "urn:xmpp:ping") != NULL;
}

bool s2s_sm_parks(struct stream *s, struct stanza **st, struct ack **ack)
{
	struct s2s_sm *m = s->s2s->sm;
	struct s2s_ping *p, **at = &m->pings;

	if (!is_ping(*st) || m->committed + 1 == m->in)
		return false;
	p = xalloc(sizeof *p);
	p->stanza = *st;
	p->ack = *ack;
	p->n = m->in;
	*st = NULL;
	*ack = NULL;
	while (*at != NULL)
		at = &(*at)->next;
	*at = p;
	if (++m->ping_count >= PINGS_MAX)
		stream_hold(s, HOLD_COMMIT);
	return true;
}

/* Those whose turn it is. An outcome that is not known is no answer. */
static void answer_pings(struct s2s_sm *m)
{
	while (m->pings != NULL && (m->broken || m->committed + 1 == m->pings->n)) {
		struct s2s_ping *p = m->pings;
		const bool ok = !m->broken;

		m->pings = p->next;
		m->ping_count--;
		if (ok)
			route_hop(m->worker, &p->stanza, p->ack);
		ack_done(&p->ack, ok);
		stanza_unref(&p->stanza);
		free(p);
	}
}

/* --- what came --- */

/* All up to where there is no gap. */
static void advance(struct s2s_sm *m)
{
	while (m->committed != m->in && m->done[(m->committed + 1) % S2S_RING])
		m->done[++m->committed % S2S_RING] = false;
}

static void on_committed(void *arg, uint32_t h, bool ok)
{
	struct s2s_sm *m = arg;

	s2s_seen_outcome(m, h, ok);
	if (ok) {
		m->done[h % S2S_RING] = true;
		advance(m);
	}
	m->broken |= !ok;
	answer_pings(m);
	if (m->resuming != NULL && (m->broken || m->committed == m->in))
		s2s_resume_settled(m);
	if (m->stream == NULL || m->stream->state == STREAM_CLOSED) {
		s2s_sm_unref(m);
		return;
	}
	if (!ok)
		stream_error(m->stream, "internal-server-error", "what was sent could not be stored");
	else if (m->wanted != 0 && (int32_t)(m->committed - m->wanted) >= 0)
		answer(m);
	if (m->in - m->committed < S2S_RING / 4 && m->ping_count < PINGS_MAX)
		stream_release(m->stream, HOLD_COMMIT);
	s2s_sm_unref(m);
}

static struct s2s_sm *sm_of(struct stream *s)
{
	struct s2s *x = s->s2s;

	if (x->sm == NULL) {
		x->sm = xalloc(sizeof *x->sm);
		x->sm->refs = 1;
		x->sm->worker = s->worker;
		x->sm->stream = s;
		x->sm->next = s->worker->s2s_sms;
		x->sm->at = &s->worker->s2s_sms;
		if (x->sm->next != NULL)
			x->sm->next->at = &x->sm->next;
		s->worker->s2s_sms = x->sm;
	}
	return x->sm;
}

struct ack *s2s_sm_count_in(struct stream *s)
{
	struct s2s_sm *m = sm_of(s);

	m->refs++;
	if (++m->in - m->committed >= S2S_RING / 2)
		stream_hold(s, HOLD_COMMIT);
	if (m->hashes != NULL)
		m->hashes[m->in % S2S_RING] = 0;
	return ack_new_for(s->worker, on_committed, m, m->in);
}

/* §3: once, and only on a stream that is authenticated. */
void s2s_sm_on_enable(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	static const char no[] = "<failed xmlns='" NS_SM "'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
	const char *resume = elem_attr(e, "resume");
	struct s2s *x = s->s2s;
	struct s2s_sm *m = sm_of(s);
	struct buf out = BUF_INIT;

	(void)a;
	if (m->enabled || x->resuming != NULL) {
		stream_write(s, no, sizeof no - 1);
		return;
	}
	m->enabled = true;
	m->base = m->in;
	if (resume != NULL && (strcmp(resume, "true") == 0 || strcmp(resume, "1") == 0))
		s2s_resume_offer(s);
	buf_lit(&out, "<enabled xmlns='" NS_SM "'");
	if (m->id != NULL)
		buf_addf(&out, " id='%s' resume='true' max='%u'", m->id, (unsigned)(m->max_us / 1000000));
	buf_lit(&out, "/>");
	stream_write(s, buf_data(&out), buf_len(&out));
	buf_release(&out);
	if (x->link != NULL && x->link->stream == s) {
		x->sm_out = true;
		x->sm_base = x->link->out;
	} else if (x->bidi && x->link != NULL && x->link->stream == NULL && !s2s_resume_wants(x->link)) {
		/* It does not go on with an older one: the queue that waited for that may go, and is counted from here on. */
		x->sm_out = true;
		x->sm_base = 0;
		s2s_link_up(x->link, s);
	}
}

void s2s_sm_on_r(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s_sm *m = s->s2s->sm;

	(void)a;
	(void)e;
	if (m == NULL || !m->enabled)
		return;
	m->wanted = m->in;
	if (m->committed == m->in)
		answer(m);
}

void s2s_sm_too_high(struct stream *s, uint32_t h, uint32_t sent)
{
	buf_addf(&s->transport->out, "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
		"<handled-count-too-high xmlns='" NS_SM "' h='%u' send-count='%u'/></stream:error>", h, sent);
	stream_close(s);
}

void s2s_sm_on_a(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	uint32_t h = 0;

	(void)a;
	if (!x->sm_out || l == NULL || l->stream != s)
		return;
	if (!c2s_number(elem_attr(e, "h"), &h) || h > l->out - x->sm_base) {
		s2s_sm_too_high(s, h, l->out - x->sm_base);
		return;
	}
	s2s_queue_confirmed(l, x->sm_base + h);
}

/* --- as the one who enables it --- */

void s2s_sm_enable(struct stream *s)
{
	static const char enable[] = "<enable xmlns='" NS_SM "'/>", resumable[] = "<enable xmlns='" NS_SM "' resume='true'/>";
	const bool resume = s->worker->server->config->s2s.resume_time.us > 0;

	s->s2s->sm_pending = true;
	s->s2s->sm_base = s->s2s->link->out;
	stream_write(s, resume ? resumable : enable, (resume ? sizeof resumable : sizeof enable) - 1);
}

void s2s_sm_on_enabled(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;

	(void)a;
	if (!x->sm_pending || x->resuming != NULL)
		return;
	x->sm_pending = false;
	x->sm_out = true;
	sm_of(s)->enabled = true; /* it counts both ways, from here on */
	x->sm->base = x->sm->in;
	s2s_resume_promised(x, e);
	s2s_queue_ask(x->link);
}

void s2s_sm_on_failed(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	if (s2s_resume_on_failed(s, e))
		return;
	s->s2s->sm_pending = false;
	s2s_queue_ask(s->s2s->link);
}
