/* sm.c - XEP-0198: numbers, the queue of what is not acknowledged, acks in time. */
#include "server/sm.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/presence.h"
#include "server/route.h"
#include "server/sm_impl.h"
#include "server/stream.h"

struct sm *sm_new(struct sterna_session *s)
{
	struct sm *m = xalloc(sizeof *m);

	m->sid = worker_next_id(s->account->worker);
	m->position = m->sid;
	timer_init(&m->expiry, s->account->worker->loop, sm_on_expiry, s);
	s->sm = m;
	return m;
}

void sm_clear(struct sm *m)
{
	for (size_t i = 0; i < m->count; i++) {
		stanza_unref(&sm_at(m, i)->stanza);
		jid_unref(&sm_at(m, i)->to);
	}
	free(m->queue);
	m->queue = NULL;
	m->head = m->count = m->size = m->bytes = m->burst_count = m->burst_bytes = 0;
}

void sm_free(struct sterna_session *s)
{
	struct sm *m = s->sm;

	if (m == NULL)
		return;
	timer_cancel(&m->expiry);
	sm_clear(m);
	free(m->pending);
	free(m->taken);
	free(m);
	s->sm = NULL;
}

int64_t sm_sid(const struct sterna_session *s)
{
	return s->sm != NULL ? s->sm->sid : 0;
}

bool sm_is_resumable(const struct sterna_session *s)
{
	return s->sm != NULL && s->sm->resumable && s->sm->stored;
}

size_t sm_unacked(const struct sterna_session *s)
{
	return s->sm != NULL ? s->sm->count : 0;
}

/* --- in --- */

uint32_t sm_count_in(struct sterna_session *s)
{
	struct sm *m = s->sm;

	m->h_in++;
	if (m->pending_count == m->pending_size) {
		m->pending_size = m->pending_size > 0 ? m->pending_size * 2 : 8;
		m->pending = xrealloc(m->pending, m->pending_size * sizeof *m->pending);
	}
	m->pending[m->pending_count].h = m->h_in;
	m->pending[m->pending_count].row = false;
	m->pending[m->pending_count++].done = false;
	return m->h_in;
}

bool sm_was_taken(struct sterna_session *s, uint32_t h)
{
	for (size_t i = 0; i < s->sm->taken_count; i++)
		if (s->sm->taken[i] == h) {
			memmove(&s->sm->taken[i], &s->sm->taken[i + 1], (--s->sm->taken_count - i) * sizeof *s->sm->taken); /* once */
			return true;
		}
	return false;
}

static void settle(struct sterna_session *s, uint32_t h, bool ok, bool has_row)
{
	struct sm *m = s->sm;
	size_t n = 0;

	if (!ok && !m->broken && !s->account->worker->stopping) {
		/* No ack can ever pass this one: pending would only grow, and no resumption succeed. The client repeats
		 * what it has no ack for, in a session of its own. */
		m->broken = true;
		timer_set(&m->expiry, 0);
	}
	for (size_t i = 0; i < m->pending_count; i++)
		if (m->pending[i].h == h) {
			m->pending[i].done = ok;
			m->pending[i].row = has_row;
		}
	/* A row speaks for itself, as long as there is none missing before it. */
	for (; n < m->pending_count && m->pending[n].done; n++) {
		if (m->pending[n].row && m->h_durable == m->h_committed)
			m->h_durable = m->pending[n].h;
		m->h_committed = m->pending[n].h;
	}
	m->pending_count -= n;
	memmove(m->pending, m->pending + n, m->pending_count * sizeof *m->pending);
	sm_try_answer(s);
}

void sm_committed(struct sterna_session *s, uint32_t h, bool ok, bool has_row)
{
	if (s->unsettled > 0)
		s->unsettled--;
	session_settled(s);
	if (s->stream != NULL && !session_is_behind(s, s->account->worker->server->config->limits.uncommitted_stanzas / 2))
		stream_release(s->stream, HOLD_COMMIT);
	if (s->sm != NULL && !s->gone && h != 0)
		settle(s, h, ok, has_row);
}

void sm_committed_now(struct sterna_session *s, uint32_t h, bool has_row)
{
	settle(s, h, true, has_row);
}

uint32_t sm_sent(const struct sterna_session *s)
{
	return s->sm->written;
}

void sm_counts(const struct sterna_session *s, uint32_t *out, uint32_t *acked)
{
	*out = s->sm != NULL ? s->sm->out : 0;
	*acked = s->sm != NULL ? s->sm->acked : 0;
}

static void send_ack(struct sterna_session *s, uint32_t h)
{
	char text[64];
	const int n = snprintf(text, sizeof text, "<a xmlns='" NS_SM "' h='%u'/>", h);

	if (s->stream != NULL)
		stream_write(s->stream, text, (size_t)n);
}

void sm_try_answer(struct sterna_session *s)
{
	struct sm *m = s->sm;

	const bool durable = !m->resumable || (int32_t)(m->h_durable - m->h_committed) >= 0;

	if (m->resuming != NULL && m->pending_count == 0) {
		struct stream *st = m->resuming;

		if (!durable) { /* <resumed h=''/> is a promise as well */
			sm_store(s);
			return;
		}

		m->resuming = NULL;
		m->resume_done(st, s, NULL, m->h_committed);
		return;
	}
	if (!m->asking || !m->enabled || (int32_t)(m->h_committed - m->asked) < 0)
		return;
	if (!durable) {
		sm_store(s); /* comes back here */
		return;
	}
	m->asking = false;
	send_ack(s, m->h_committed);
}

void sm_on_request(struct sterna_session *s)
{
	s->sm->asked = s->sm->h_in;
	s->sm->asking = true;
	sm_try_answer(s);
}

/* --- out --- */

void sm_append(struct sm *m, struct stanza *st, const struct jid *to, int64_t archive_id, bool burst)
{
	if (m->count == m->size) {
		const size_t size = m->size > 0 ? m->size * 2 : 8;
		struct sm_entry *queue = xalloc(size * sizeof *queue);

		for (size_t i = 0; i < m->count; i++)
			queue[i] = *sm_at(m, i);
		free(m->queue);
		m->queue = queue;
		m->head = 0;
		m->size = size;
	}
	const size_t bytes = arena_size(st->arena);

	m->queue[(m->head + m->count++) % m->size] = (struct sm_entry){
		stanza_ref(st), jid_ref(to), archive_id, ++m->out, (uint32_t)bytes, burst };
	if (burst) {
		m->burst_count++;
		m->burst_bytes += bytes;
	} else {
		m->bytes += bytes;
	}
}

static bool is_over(const struct sm *m, const struct config_limits *limits)
{
	return m->count - m->burst_count > limits->sm_queue_count || m->bytes > limits->sm_queue_bytes.bytes
		|| m->burst_count > limits->burst_count || m->burst_bytes > limits->burst_bytes.bytes;
}

bool sm_push(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id)
{
	struct sm *m = s->sm;
	const struct config_limits *limits = &s->account->worker->server->config->limits;

	/* Also between <enable/> and <enabled/>, which waits for a commit: it is written behind that. */
	sm_append(m, st, to, archive_id, s->asked_for);
	if (!m->overflow && is_over(m, limits)) {
		/* In the next turn: this stanza's row is on its way by then, and can be marked to wait. */
		m->overflow = true;
		timer_set(&m->expiry, 0);
	}
	return !m->overflow;
}

void sm_drop_acked(struct sm *m, uint32_t h)
{
	while (m->count > 0 && (int32_t)(h - m->acked) > 0) {
		struct sm_entry *e = sm_at(m, 0);

		*(e->burst ? &m->burst_bytes : &m->bytes) -= e->size;
		m->burst_count -= e->burst;
		stanza_unref(&e->stanza);
		jid_unref(&e->to);
		m->head = (m->head + 1) % m->size;
		m->count--;
		m->acked++;
	}
	if (m->count == 0) {
		free(m->queue);
		m->queue = NULL;
		m->head = m->size = 0;
	}
}

/* §5: more than was sent is an error; modulo 2^32. */
bool sm_on_ack(struct sterna_session *s, uint32_t h)
{
	struct sm *m = s->sm;

	if (h - m->acked > m->written - m->acked)
		return false;
	sm_drop_acked(m, h);
	m->asked_us = 0;
	if (!m->resumable && m->count == 0)
		sm_store(s); /* rows that were kept for it */
	return true;
}

/* An <r/> after so many stanzas: a small queue without much traffic. */
static uint32_t request_after(const struct sterna_session *s)
{
	return s->account->worker->server->config->limits.sm_request_after;
}

bool sm_is_overdue(const struct sterna_session *s)
{
	if (s->sm == NULL || s->sm->asked_us == 0)
		return false;
	const struct worker *w = s->account->worker;
	const int64_t most = w->server->config->limits.sm_ack_time.us;

	return most > 0 && loop_now_us(w->loop) > s->sm->asked_us + (uint64_t)most;
}

void sm_request(struct sterna_session *s)
{
	struct sm *m = s->sm;

	if (s->stream == NULL || !m->enabled || m->count == 0 || (int32_t)(m->written - m->request_at) < (int32_t)request_after(s))
		return;
	if (m->asked_us == 0)
		m->asked_us = loop_now_us(s->account->worker->loop);
	m->request_at = m->written;
	stream_write(s->stream, "<r xmlns='" NS_SM "'/>", sizeof("<r xmlns='" NS_SM "'/>") - 1);
}

void sm_replay(struct sterna_session *s)
{
	struct sm *m = s->sm;

	m->written = m->acked;
	m->request_at = m->written - request_after(s);
	m->asked_us = 0;
	sm_flush(s);
	if (!m->back_from_crash)
		return;
	/* Who came before it was back was told that it is not there; nor has it heard of them. */
	m->back_from_crash = false;
	presence_refresh(s);
}

void sm_flush(struct sterna_session *s)
{
	const size_t high = s->account->worker->server->config->limits.output_high.bytes;
	struct sm *m = s->sm;

	if (s->stream == NULL || s->stream->state != STREAM_BOUND || !m->announced || m->resuming != NULL || m->withheld > 0)
		return;
	/* What does not fit waits here, and not as bytes: see on_drained() in stream.c. */
	for (size_t i = m->written - m->acked; i < m->count && buf_len(&s->stream->transport->out) <= high; i++) {
		m->written++;
		stream_send(s->stream, sm_at(m, i)->stanza, sm_at(m, i)->to);
	}
	sm_request(s);
}

void sm_withhold(struct sterna_session *s)
{
	s->sm->withheld++;
}

void sm_let_go(struct sterna_session *s)
{
	if (s->sm == NULL || s->gone)
		return;
	s->sm->withheld--;
	sm_flush(s);
}

bool sm_stream_gone(struct sterna_session *s, const struct stream *st)
{
	if (s->sm == NULL || s->sm->resuming != st)
		return false;
	s->sm->resuming = NULL;
	return true;
}

/* --- tags --- */

/* The newest in the queue, if no stop has held it back or let others go before it. Also where it cannot be resumed: the tag
 * makes that there is a row, which waits for the next session if this one ends without acknowledging it. */
void sm_tag_out(struct sterna_session *s, const struct stanza *st, struct buf *tags)
{
	const struct sm *m = s->sm;

	if (m->count > 0 && m->queue[(m->head + m->count - 1) % m->size].stanza == st)
		buf_addf(tags, "o%lld:%u;", (long long)m->sid, m->out);
}

void sm_tag_in(struct ack *a, struct buf *tags)
{
	if (a == NULL || ack_sid(a) == 0)
		return;
	ack_tagged(a);
	buf_addf(tags, "i%lld:%u;", (long long)ack_sid(a), ack_h(a));
}

void sm_keep_in_tags(const char *old, struct buf *tags)
{
	while (*old != '\0') {
		const size_t n = strcspn(old, ";") + 1;

		if (*old == 'i')
			buf_add(tags, old, n);
		old += n;
	}
}

/* --- the end --- */

void sm_on_expiry(struct timer *t, void *arg)
{
	struct sterna_session *s = arg;
	const bool broken = s->sm->broken;

	(void)t;
	if (!sm_is_doomed(s->sm)) {
		session_end(s);
		return;
	}
	log_notice("sm", broken ? "not known whether all is stored; the session ends"
		: "too much is not acknowledged; the session ends", "jid", jid_full(s->jid));
	session_kick(s, broken ? "internal-server-error" : "policy-violation",
		broken ? "not known whether all is stored" : "too many unacknowledged stanzas");
}

void sm_detached(struct sterna_session *s)
{
	s->sm->resuming = NULL; /* that stream has ended before it could be told */
	if (!sm_is_doomed(s->sm))
		timer_set(&s->sm->expiry, s->sm->timeout_us);
	sm_store(s);
}

/* Another session got it too, and answers for it: nothing is lost without this one, and sent twice with it. */
static bool another_has(const struct sterna_session *s, const struct sm_entry *e)
{
	for (const struct sterna_session *o = s->account->sessions; e->stanza->many && o != NULL; o = o->next)
		if (o != s && !o->gone && o->sm != NULL && o->available && o->priority >= 0 && o->open_since != 0
			&& o->open_since < e->archive_id)
			return true;
	return false;
}

/* Others of the account may take at once what waits now. */
static void on_ended(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct account *a = arg;
	struct sterna_session *o = a->sessions;

	(void)rows;
	if (rc != STERNA_OK)
		log_error("sm", "not stored that a session has ended: what it did not acknowledge waits for a restart", "jid",
			jid_bare(a->jid), "result", sterna_result_text(rc));
	while (o != NULL && (o->gone || !o->available || o->priority < 0))
		o = o->next;
	if (o != NULL && !a->worker->stopping)
		offline_deliver(o);
	account_release(a);
}

/* What was sent and never acknowledged: messages that have a row wait for the next session; others, and
 * requests, go back to their sender (XEP-0198 §5, RFC 6121 §8). */
void sm_end(struct sterna_session *s)
{
	struct sm *m = s->sm;
	struct worker *w = s->account->worker;
	struct db_batch *b = db_batch_new(w->db);

	for (size_t i = 0; i < m->count; i++) {
		struct sm_entry *e = sm_at(m, i);

		if (e->archive_id != 0 && another_has(s, e))
			continue;
		/* of errors only those have a row that we owe their sender */
		if (e->archive_id != 0 && e->stanza->kind == STERNA_MESSAGE
			&& (stanza_is_storable(e->stanza) || e->stanza->type == MESSAGE_ERROR)) {
			archive_mark_offline(b, jid_bare(s->jid), e->archive_id);
			s->account->offline_count++;
			s->account->offline_more = true; /* also for a read that is on its way */
			metric_add(w->server->metric_set, w->index, METRIC_OFFLINE_STORED, 0, 1);
		} else if (e->stanza->kind == STERNA_IQ) {
			route_error(w, e->stanza, STERNA_SERVICE_UNAVAILABLE, NULL);
		}
	}
	sm_forget(s, b);
	if (db_batch_count(b) == 0) {
		db_batch_drop(&b);
		return;
	}
	account_hold(s->account);
	db_batch_repeat(b, SM_TRIES, NULL);
	db_batch_commit(&b, on_ended, s->account);
}
