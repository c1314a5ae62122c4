/* s2s_sm.c - XEP-0198 between servers: what came is acknowledged when it is committed, what was sent is kept until the
 * peer acknowledges it. No resumption: what is not acknowledged when a stream is lost is sent again on the next one. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/ack.h"
#include "server/c2s.h"
#include "server/sm.h"

enum { RING = 4096 };            /* stanzas whose commits may come out of order */

/* What came on a stream; outlives it while commits are under way. */
struct s2s_sm {
	unsigned refs;
	struct stream *stream;       /* NULL: gone */
	uint32_t in, committed;      /* numbers, from 1 */
	uint32_t wanted;             /* a request waits for this one; 0: none */
	uint32_t base;               /* in, when the peer enabled it */
	bool enabled;
	bool done[RING];
};

static void unref(struct s2s_sm *m)
{
	if (--m->refs == 0)
		free(m);
}

void s2s_sm_forget(struct s2s *x)
{
	if (x->sm == NULL)
		return;
	x->sm->stream = NULL;
	unref(x->sm);
	x->sm = NULL;
}

static void answer(struct s2s_sm *m)
{
	char text[64];

	m->wanted = 0;
	snprintf(text, sizeof text, "<a xmlns='" NS_SM "' h='%u'/>", m->committed - m->base);
	stream_write(m->stream, text, strlen(text));
}

static void on_committed(void *arg, uint32_t h, bool ok)
{
	struct s2s_sm *m = arg;

	m->done[h % RING] = true;
	if (ok)
		while (m->committed != m->in && m->done[(m->committed + 1) % RING])
			m->done[++m->committed % RING] = false;
	if (m->stream == NULL || m->stream->state == STREAM_CLOSED) {
		unref(m);
		return;
	}
	if (!ok)
		stream_error(m->stream, "internal-server-error", "what was sent could not be stored");
	else if (m->wanted != 0 && (int32_t)(m->committed - m->wanted) >= 0)
		answer(m);
	if (m->in - m->committed < RING / 4)
		stream_release(m->stream, HOLD_COMMIT);
	unref(m);
}

struct ack *s2s_sm_count_in(struct stream *s)
{
	struct s2s *x = s->s2s;

	if (x->sm == NULL) {
		x->sm = xalloc(sizeof *x->sm);
		x->sm->refs = 1;
		x->sm->stream = s;
	}
	x->sm->refs++;
	if (++x->sm->in - x->sm->committed >= RING / 2)
		stream_hold(s, HOLD_COMMIT);
	return ack_new_for(s->worker, on_committed, x->sm, x->sm->in);
}

/* §3: once, and only on a stream that is authenticated. */
void s2s_sm_on_enable(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	static const char yes[] = "<enabled xmlns='" NS_SM "'/>",
		no[] = "<failed xmlns='" NS_SM "'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
	struct s2s *x = s->s2s;

	(void)a;
	(void)e;
	if (x->sm == NULL) {
		x->sm = xalloc(sizeof *x->sm);
		x->sm->refs = 1;
		x->sm->stream = s;
	}
	if (x->sm->enabled) {
		stream_write(s, no, sizeof no - 1);
		return;
	}
	x->sm->enabled = true;
	x->sm->base = x->sm->in;
	stream_write(s, yes, sizeof yes - 1);
	if (x->link != NULL && x->link->stream == s) {
		x->sm_out = true;
		x->sm_base = x->link->out;
	}
}

void s2s_sm_on_resume(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	static const char no[] = "<failed xmlns='" NS_SM "'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

	(void)a;
	(void)e;
	stream_write(s, no, sizeof no - 1);
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

void s2s_sm_on_a(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	uint32_t h = 0;

	(void)a;
	if (!x->sm_out || l == NULL || l->stream != s)
		return;
	if (!c2s_number(elem_attr(e, "h"), &h) || h > l->out - x->sm_base) {
		buf_addf(&s->transport->out, "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
			"<handled-count-too-high xmlns='" NS_SM "' h='%u' send-count='%u'/></stream:error>", h, l->out - x->sm_base);
		stream_close(s);
		return;
	}
	s2s_queue_confirmed(l, x->sm_base + h);
}

/* --- as the one who enables it --- */

void s2s_sm_enable(struct stream *s)
{
	static const char enable[] = "<enable xmlns='" NS_SM "'/>";

	s->s2s->sm_pending = true;
	s->s2s->sm_base = s->s2s->link->out;
	stream_write(s, enable, sizeof enable - 1);
}

void s2s_sm_on_enabled(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;

	(void)a;
	(void)e;
	if (!x->sm_pending)
		return;
	x->sm_pending = false;
	x->sm_out = true;
	if (x->sm == NULL) {
		x->sm = xalloc(sizeof *x->sm);
		x->sm->refs = 1;
		x->sm->stream = s;
	}
	x->sm->enabled = true; /* it counts both ways, from here on */
	x->sm->base = x->sm->in;
	s2s_queue_ask(x->link);
}

void s2s_sm_on_failed(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	s->s2s->sm_pending = false;
	s2s_queue_ask(s->s2s->link);
}
