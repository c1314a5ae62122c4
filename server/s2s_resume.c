/* s2s_resume.c - XEP-0198 §5 between servers: after a cut the stream goes on where it was, so that nothing is lost and nothing
 * comes twice. Only the one who opened the stream can resume it.
 *
 * What outlives the stream is its struct s2s_sm: the counters of what came. Where the stream carried a link's queue the link
 * holds it (l->held), and l->sent stays as it is; else it is found by its id, in the worker's map, until its time is over.
 * A process that ends forgets all of it; then s2s_seen.c knows what came already. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"
#include "server/sm.h"

/* How long the one who cannot resume by itself waits for the one who can, before it opens a stream of its own. */
enum { PATIENCE_US = 4000000, ID_MAX = 256, MORE_US = 1000000 };

static uint64_t now_us(const struct worker *w)
{
	return loop_now_us(w->loop);
}

/* §5: what of the old stream has come is told even if it does not go on. m NULL: not known */
static void failed(struct stream *s, const struct s2s_sm *m)
{
	struct buf out = BUF_INIT;

	buf_lit(&out, "<failed xmlns='" NS_SM "'");
	if (m != NULL)
		buf_addf(&out, " h='%u'", m->committed - m->base);
	buf_lit(&out, "><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
	stream_write(s, buf_data(&out), buf_len(&out));
	buf_release(&out);
}

/* --- who can be resumed --- */

void s2s_resume_offer(struct stream *s)
{
	struct s2s_sm *m = s->s2s->sm;
	struct worker *w = s->worker;
	const struct config_s2s *c = &w->server->config->s2s;
	char id[33];

	if (c->resume_time.us == 0 || w->resumable.count >= c->connections)
		return;
	worker_token(w, id);
	m->id = xstrdup(id);
	m->max_us = (uint64_t)c->resume_time.us;
	m->remote = jid_ref(s->s2s->remote);
	m->host = s->host;
	m->refs++;
	map_put(&w->resumable, m->id, m);
}

void s2s_resume_promised(struct s2s *x, const struct sterna_elem *enabled)
{
	const char *resume = elem_attr(enabled, "resume"), *id = elem_attr(enabled, "id");
	uint32_t max = 0;

	if (resume == NULL || (strcmp(resume, "true") != 0 && strcmp(resume, "1") != 0) || id == NULL || *id == '\0'
		|| strlen(id) > ID_MAX)
		return;
	if (!c2s_number(elem_attr(enabled, "max"), &max) || max == 0)
		max = 60; /* §5: its preferred time is not told */
	x->sm->ours = true;
	x->sm->id = xstrdup(id);
	x->sm->max_us = (uint64_t)max * 1000000;
	x->sm->both = x->bidi;
}

static void forget(struct s2s_sm *m)
{
	if (!m->ours && m->id != NULL && map_get(&m->worker->resumable, m->id) == m) {
		map_remove(&m->worker->resumable, m->id);
		s2s_sm_unref(m);
	}
}

void s2s_resume_ended(struct stream *s, bool cut)
{
	struct s2s_sm *m = s->s2s->sm;

	if (m == NULL || m->id == NULL)
		return;
	m->until_us = now_us(s->worker) + m->max_us;
	if (!cut || m->broken || s->worker->stopping)
		forget(m);
}

/* --- a link and what its stream left --- */

static void hold(struct s2s_link *l, struct s2s_sm *m, uint32_t base)
{
	l->held = m;
	m->refs++;
	m->out_base = base;
	l->held_until_us = now_us(l->worker) + (m->ours ? m->max_us : PATIENCE_US);
}

bool s2s_resume_keep(struct s2s_link *l, struct stream *s)
{
	struct s2s *x = s->s2s;

	if (x->sm == NULL || x->sm->id == NULL || x->sm->broken || !x->sm_out)
		return false;
	hold(l, x->sm, x->sm_base);
	return true;
}

void s2s_resume_drop(struct s2s_link *l)
{
	struct s2s_sm *m = l->held;

	if (m == NULL)
		return;
	l->held = NULL;
	m->given_up = true;
	s2s_sm_unref(m);
}

bool s2s_resume_wants(const struct s2s_link *l)
{
	return l->held != NULL && l->held->ours && (l->held->both || l->sent.first != NULL);
}

bool s2s_resume_waits(const struct s2s_link *l)
{
	return l->held != NULL && !l->held->ours && now_us(l->worker) < l->held_until_us;
}

/* --- when all that came is committed: <resume/>, or <resumed/> --- */

static void ask(struct stream *s, const struct s2s_sm *m)
{
	struct buf out = BUF_INIT;

	buf_lit(&out, "<resume xmlns='" NS_SM "' previd='");
	xml_escape_attr(&out, m->id, strlen(m->id));
	buf_addf(&out, "' h='%u'/>", m->committed - m->base);
	stream_write(s, buf_data(&out), buf_len(&out));
	buf_release(&out);
}

/* The stream is the old one's heir. Takes x->resuming's reference. What has come on it before does not count: it was no
 * part of what is resumed, and the peer asks for it by pings. */
static void inherit(struct stream *s)
{
	struct s2s *x = s->s2s;

	s2s_sm_forget(x);
	x->sm = x->resuming;
	x->resuming = NULL;
	x->sm->resuming = NULL;
	x->sm->stream = s;
	x->sm_pending = false;
}

static void resumed(struct worker *w)
{
	metric_add(w->server->metric_set, w->index, METRIC_S2S_RESUMED, 0, 1);
}

static void take_link(struct stream *s, uint32_t h)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	struct s2s_sm *m = l->held;

	l->held = NULL;
	l->stream = s;
	x->sm_out = true;
	x->sm_base = m->out_base;
	s2s_sm_unref(m);
	s2s_queue_resumed(l, x->sm_base + h);
}

static bool is_too_high(struct stream *s, const struct s2s_link *l, uint32_t h)
{
	const uint32_t sent = l->out - l->held->out_base;

	if (h <= sent)
		return false;
	s2s_sm_too_high(s, h, sent);
	return true;
}

static void answer(struct stream *s)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	const uint32_t h = x->resume_h;
	const bool carries = l != NULL && l->held == x->resuming;
	char text[160];

	if (x->resuming->broken || x->resuming->given_up) {
		struct s2s_sm *m = x->resuming;

		failed(s, m);
		forget(m);
		s2s_resume_cancel(x);
		return;
	}
	if (carries && is_too_high(s, l, h))
		return;
	inherit(s);
	resumed(s->worker);
	snprintf(text, sizeof text, "<resumed xmlns='" NS_SM "' previd='%s' h='%u'/>", x->sm->id, x->sm->committed - x->sm->base);
	stream_write(s, text, strlen(text));
	log_info("s2s", "a server's stream goes on", "domain", jid_full(x->remote), "to", jid_full(s->host->jid), "stream_id", s->id);
	if (carries) {
		s2s_link_took_up(l, s);
		take_link(s, h);
	}
}

void s2s_resume_settled(struct s2s_sm *m)
{
	if (m->ours)
		ask(m->resuming, m);
	else
		answer(m->resuming);
}

static void begin(struct stream *s, struct s2s_sm *m)
{
	s->s2s->resuming = m;
	m->refs++;
	m->resuming = s;
	if (m->committed == m->in || m->broken)
		s2s_resume_settled(m);
}

void s2s_resume_cancel(struct s2s *x)
{
	if (x->resuming == NULL)
		return;
	x->resuming->resuming = NULL;
	s2s_sm_unref(x->resuming);
	x->resuming = NULL;
}

/* --- as the one who resumes --- */

bool s2s_resume_ask(struct s2s_link *l, struct stream *s)
{
	struct s2s_sm *m = l->held;

	if (m == NULL || !m->ours || m->broken || !s->s2s->out || !s->s2s->offers_sm || m->resuming != NULL
		|| now_us(l->worker) >= l->held_until_us)
		return false;
	s->s2s->sm_pending = true;
	begin(s, m);
	return true;
}

/* §5: the peer has had the first h. */
void s2s_resume_on_resumed(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	uint32_t h = 0;

	(void)a;
	if (x->resuming == NULL || l->held != x->resuming || !c2s_number(elem_attr(e, "h"), &h)) {
		stream_error(s, "policy-violation", "nobody asked for that, or it lacks 'h'");
		return;
	}
	if (is_too_high(s, l, h))
		return;
	inherit(s);
	resumed(s->worker);
	log_info("s2s", "the stream goes on", "domain", jid_full(x->remote), "host", jid_full(s->host->jid), "confirmed",
		LOG_UINT(h), "stream_id", x->their_id);
	take_link(s, h);
}

/* The peer has forgotten it; if it knows at least what it had, that does not go again. */
bool s2s_resume_on_failed(struct stream *s, const struct sterna_elem *e)
{
	struct s2s *x = s->s2s;
	struct s2s_link *l = x->link;
	uint32_t h = 0;

	if (x->resuming == NULL)
		return false;
	if (l->held == x->resuming) {
		const uint32_t base = l->held->out_base;

		if (c2s_number(elem_attr(e, "h"), &h) && h <= l->out - base)
			s2s_queue_confirmed(l, base + h);
		s2s_resume_drop(l);
		s2s_queue_lost(l, "");
	}
	s2s_resume_cancel(x);
	l->out = 0;
	s2s_sm_enable(s);
	s2s_link_flush(l);
	return true;
}

/* --- as the one whose stream is resumed --- */

/* The peer has noticed the cut, and we have not. */
static void replace(struct s2s_sm *m)
{
	struct stream *old = m->stream;
	struct s2s_link *l = old->s2s->link;

	if (l != NULL && l->stream == old) {
		l->stream = NULL;
		if (old->s2s->sm_out)
			hold(l, m, old->s2s->sm_base);
		else
			s2s_queue_lost(l, "");
	}
	m->until_us = now_us(m->worker) + m->max_us;
	s2s_sm_forget(old->s2s);
	stream_error(old, "conflict", "resumed by another stream");
}

void s2s_resume_on_resume(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct s2s *x = s->s2s;
	const char *id = elem_attr(e, "previd");
	struct s2s_sm *m = id != NULL ? map_get(&s->worker->resumable, id) : NULL;

	(void)a;
	/* Only by the pair of domains that it was, and as the first thing on the stream. */
	if (m == NULL || x->sm != NULL || x->resuming != NULL || m->resuming != NULL || m->broken || m->host != s->host
		|| !jid_equal(m->remote, x->remote) || !c2s_number(elem_attr(e, "h"), &x->resume_h)) {
		failed(s, NULL);
		return;
	}
	if (m->stream != NULL)
		replace(m);
	begin(s, m);
}

/* --- time --- */

void s2s_resume_sweep(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->resumable, &at)) != NULL;) {
		struct s2s_sm *m = e->value;

		if (m->stream == NULL && m->resuming == NULL && now_us(w) > m->until_us)
			forget(m);
	}
}

void s2s_resume_clear(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->resumable, &at)) != NULL;)
		forget(e->value);
}
