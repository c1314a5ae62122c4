/* s2s_queue.c - the queue of a link: what waits to be sent, and behind it what was sent and is not confirmed yet.
 *
 * A peer confirms by XEP-0198; one that does not know that is pinged (XEP-0199 §4.3), for it has taken what came before
 * the ping when it answers that; one that has never answered, four of them in a row, is believed to have what its system
 * has confirmed for two minutes (TCP_USER_TIMEOUT would have ended the connection else). What is not confirmed when a
 * stream is lost is sent again on the next one; but an IQ, which might then be done twice, goes back.
 *
 * A stanza that makes the peer end the stream must not do so for ever: after a stream error of the peer's what was under
 * way is suspect, and goes one by one, each confirmed before the next; the one that the peer says no to again goes back. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/region.h"
#include "server/route.h"
#include "server/subscription.h"

enum { WINDOW = 2000, ASK_AFTER_US = 100000, ASK_COUNT = 200, BELIEVE_US = 30000000, BELIEVE_PINGS = 4, SILENT_US = 60000000 };

static uint64_t now_us(const struct s2s_link *l)
{
	return loop_now_us(l->worker->loop);
}

static const struct config_s2s *config_of(const struct s2s_link *l)
{
	return &l->worker->server->config->s2s;
}

/* --- items --- */

static void item_free(struct s2s_item *i)
{
	stanza_unref(&i->stanza);
	free(i);
}

static void push(struct s2s_list *q, struct s2s_item *i)
{
	i->next = NULL;
	*(q->last != NULL ? &q->last->next : &q->first) = i;
	q->last = i;
	q->count++;
}

static struct s2s_item *take(struct s2s_list *q, struct s2s_item **at, struct s2s_item *before)
{
	struct s2s_item *i = *at;

	*at = i->next;
	if (q->last == i)
		q->last = before;
	q->count--;
	return i;
}

static struct s2s_item *pop(struct s2s_list *q)
{
	return q->first != NULL ? take(q, &q->first, NULL) : NULL;
}

static void drop(struct s2s_link *l, struct s2s_item *i)
{
	l->bytes -= i->size;
	l->suspects -= (size_t)i->suspect;
	item_free(i);
}

void s2s_queue_clear(struct s2s_link *l)
{
	for (struct s2s_item *i; (i = pop(&l->waiting)) != NULL || (i = pop(&l->sent)) != NULL;)
		drop(l, i);
	timer_cancel(&l->ask);
}

/* --- what goes back --- */

static void bounce(struct s2s_link *l, struct stanza *st, enum sterna_condition condition, const char *text)
{
	metric_add(l->worker->server->metric_set, l->worker->index, METRIC_S2S_BOUNCED, 0, 1);
	log_debug("s2s", "goes back", "stanza_id", LOG_UINT(st->trace), "domain", jid_full(l->remote), "condition",
		condition_name(condition), "why", text);
	route_error(l->worker, st, condition, text);
}

static void give_back(struct s2s_link *l, struct s2s_item *i, enum sterna_condition condition, const char *text)
{
	if (i->id != 0)
		s2s_store_drop(l, i->id);
	bounce(l, i->stanza, condition, text);
	drop(l, i);
}

void s2s_queue_bounce(struct s2s_link *l, bool all, enum sterna_condition condition, const char *text)
{
	const uint64_t now = now_us(l);
	struct s2s_item *before = NULL;

	for (struct s2s_item **at = &l->waiting.first; *at != NULL;)
		if (all || (*at)->until_us <= now) {
			give_back(l, take(&l->waiting, at, before), condition, text);
		} else {
			before = *at;
			at = &(*at)->next;
		}
}

/* --- confirmation --- */

static bool has_sm(const struct s2s_link *l)
{
	return l->stream != NULL && l->stream->s2s->sm_out;
}

/* A ping that only our own server hears the answer of: s2s_queue_answer(). */
static void send_ping(struct s2s_link *l)
{
	struct stanza *st;

	worker_token(l->worker, l->ping_id);
	memcpy(l->ping_id, "s2s-", 4);
	st = stanza_make("iq", "get", l->host->jid, l->remote, l->ping_id);
	elem_add(st->arena, st->elem, "ping", "urn:xmpp:ping");
	stream_send(l->stream, st, NULL);
	stanza_unref(&st);
	l->asked_us = now_us(l);
}

void s2s_queue_ask(struct s2s_link *l)
{
	static const char r[] = "<r xmlns='urn:xmpp:sm:3'/>";

	if (l->stream == NULL || l->sent.count == 0 || l->stream->s2s->sm_pending)
		return;
	if (has_sm(l)) {
		stream_write(l->stream, r, sizeof r - 1);
		l->unasked = 0;
		if (l->asked_us == 0)
			l->asked_us = now_us(l);
	} else if (l->asked_us == 0) {
		l->asked_n = l->out;
		l->asked_again = 0;
		send_ping(l);
		l->unasked = 0;
	}
}

static void on_ask(struct timer *t, void *arg)
{
	(void)t;
	s2s_queue_ask(arg);
}

void s2s_queue_init(struct s2s_link *l)
{
	timer_init(&l->ask, l->worker->loop, on_ask, l);
}

static void confirm(struct s2s_link *l, uint32_t n, int64_t *up_to)
{
	while (l->sent.first != NULL && (int32_t)(l->sent.first->n - n) <= 0) {
		struct s2s_item *i = pop(&l->sent);

		if (i->id != 0)
			*up_to = i->id;
		drop(l, i);
	}
}

/* An eighth of the new value: what it was of late. */
static void took(struct s2s_link *l)
{
	const uint64_t us = now_us(l) - l->asked_us;

	if (l->asked_us == 0)
		return;
	l->latency_us = l->latency_us == 0 ? us : l->latency_us - l->latency_us / 8 + us / 8;
	metric_observe(l->worker->server->metric_set, l->worker->index, METRIC_S2S_LATENCY, 0, us);
	regions_observe(l->worker, jid_full(l->remote), us);
}

void s2s_queue_confirmed(struct s2s_link *l, uint32_t n)
{
	int64_t up_to = 0;

	took(l);
	confirm(l, n, &up_to);
	if (up_to != 0)
		s2s_store_confirmed(l, up_to);
	l->asked_us = 0;
	if (l->sent.count > 0 && !timer_is_set(&l->ask))
		timer_set(&l->ask, ASK_AFTER_US);
	s2s_link_flush(l);
}

bool s2s_queue_answer(struct worker *w, const struct stanza *st)
{
	const char *id = stanza_id(st);
	const struct host *h;
	struct s2s_link *l;

	if ((st->type != IQ_RESULT && st->type != IQ_ERROR) || id == NULL || strncmp(id, "s2s-", 4) != 0
		|| jid_local(st->to) != NULL || jid_resource(st->to) != NULL || jid_local(st->from) != NULL)
		return false;
	h = server_host(w->server, jid_domain(st->to));
	l = h != NULL ? s2s_link_find(w, h, jid_domain(st->from)) : NULL;
	if (l == NULL || l->asked_us == 0 || strcmp(id, l->ping_id) != 0)
		return false;
	l->answers = true;
	s2s_queue_confirmed(l, l->asked_n);
	return true;
}

/* --- sending --- */

static bool has_room(const struct s2s_link *l)
{
	return l->stream != NULL && l->stream->state == STREAM_BOUND && l->stream->s2s->resuming == NULL && l->sent.count < (l->suspects > 0 ? 1 : WINDOW) && l->worker->s2s_loading == NULL
		&& buf_len(&l->stream->transport->out) <= l->worker->server->config->limits.output_high.bytes;
}

/* Where pings confirm, the answer to one is not to be confirmed by another: the two servers would never be done. */
static bool needs_no_answer(const struct s2s_link *l, const struct s2s_item *i)
{
	return (i->stanza->type == IQ_RESULT || i->stanza->type == IQ_ERROR) && !has_sm(l) && !l->stream->s2s->sm_pending
		&& i->id == 0 && jid_local(i->stanza->from) == NULL && jid_local(i->stanza->to) == NULL;
}

void s2s_link_flush(struct s2s_link *l)
{
	while (l->waiting.first != NULL && has_room(l)) {
		struct s2s_item *i = pop(&l->waiting);

		if (l->stream->s2s->max_bytes != 0 && i->size > l->stream->s2s->max_bytes) {
			give_back(l, i, STERNA_POLICY_VIOLATION, "this is larger than the other server takes");
			continue;
		}
		stream_send(l->stream, i->stanza, NULL);
		l->sent_count++;
		l->used_us = now_us(l);
		metric_add(l->worker->server->metric_set, l->worker->index, METRIC_S2S_STANZAS, S2S_OUT, 1);
		if (needs_no_answer(l, i)) {
			drop(l, i);
			continue;
		}
		i->n = ++l->out;
		push(&l->sent, i);
		l->unasked++;
	}
	if (l->unasked >= ASK_COUNT || (l->suspects > 0 && l->unasked > 0))
		s2s_queue_ask(l);
	else if (l->unasked > 0 && !timer_is_set(&l->ask))
		timer_set(&l->ask, ASK_AFTER_US);
}

/* A message waits for its server; who asks wants to hear soon; presence is old soon. */
static uint64_t patience(const struct s2s_link *l, const struct stanza *st)
{
	return (uint64_t)(st->kind == STERNA_MESSAGE ? config_of(l)->queue_time.us : config_of(l)->connect_time.us);
}

static struct s2s_item *item_new(struct s2s_link *l, struct stanza **st, int64_t id, uint64_t until_us)
{
	struct s2s_item *i = xalloc(sizeof *i);

	stanza_share(*st);
	i->size = (*st)->inner_len + 512;
	i->stanza = *st;
	*st = NULL;
	i->id = id;
	i->since_us = now_us(l);
	i->until_us = until_us;
	l->bytes += i->size;
	return i;
}

const char *s2s_queue_refuses(const struct s2s_link *l, const struct stanza *st, enum sterna_condition *condition)
{
	const struct config_s2s *c = config_of(l);

	/* Known not to be there, and nothing that would be kept for it: no need to let anyone wait. */
	if (l->condition != 0 && timer_is_set(&l->retry) && st->kind != STERNA_MESSAGE && !subscription_is(st->type)) {
		*condition = l->condition;
		return l->why;
	}
	if (l->waiting.count + l->sent.count >= c->queue_stanzas || l->bytes >= c->queue_bytes.bytes) {
		*condition = STERNA_RESOURCE_CONSTRAINT;
		return "too much waits for that server";
	}
	return NULL;
}

void s2s_queue_put(struct s2s_link *l, struct stanza **st, int64_t id)
{
	l->wanted = true;
	push(&l->waiting, item_new(l, st, id, now_us(l) + (id != 0 ? (uint64_t)config_of(l)->queue_time.us : patience(l, *st))));
	/* Whoever sends is slowed down before the queue is full. */
	if (l->waiting.count > config_of(l)->queue_stanzas / 2)
		l->worker->congested = true;
	s2s_link_flush(l);
	s2s_link_try(l);
}

/* In the order of ids, before what this process has queued. */
void s2s_queue_restore(struct s2s_link *l, struct stanza **st, int64_t id, int64_t expires_us)
{
	const int64_t left = expires_us - loop_wall_us(l->worker->loop);
	struct s2s_item *i = item_new(l, st, id, now_us(l) + (left > 0 ? (uint64_t)left : 0));
	struct s2s_item **at = &l->waiting.first;

	while (*at != NULL && (*at)->restored)
		at = &(*at)->next;
	i->restored = true;
	l->wanted = true;
	i->next = *at;
	*at = i;
	if (i->next == NULL)
		l->waiting.last = i;
	l->waiting.count++;
}

/* --- a stream is lost, or comes --- */

/* The peer said no while this one alone was under way, for the second time. */
static void refused(struct s2s_link *l, struct s2s_item *i, const char *blame)
{
	char text[160];

	snprintf(text, sizeof text, "the other server ends its stream when it gets this: %s", blame);
	log_notice("s2s", "a stanza that the peer does not take", "domain", jid_full(l->remote), "host", jid_full(l->host->jid),
		"condition", blame, "stanza_id", LOG_UINT(i->stanza->trace));
	give_back(l, i, STERNA_NOT_ACCEPTABLE, text);
}

void s2s_queue_lost(struct s2s_link *l, const char *blame)
{
	const bool alone = l->sent.count == 1 && l->sent.first->suspect;
	struct s2s_list again = { 0 };
	struct s2s_item *i;

	l->asked_us = 0;
	l->unasked = 0;
	timer_cancel(&l->ask);
	while ((i = pop(&l->sent)) != NULL)
		if (i->stanza->type == IQ_GET || i->stanza->type == IQ_SET) {
			give_back(l, i, STERNA_REMOTE_SERVER_TIMEOUT, "the connection was lost before an answer came");
		} else if (*blame != '\0' && alone) {
			refused(l, i, blame);
		} else {
			if (*blame != '\0' && !i->suspect)
				l->suspects++;
			i->suspect |= *blame != '\0';
			push(&again, i);
		}
	while ((i = pop(&l->waiting)) != NULL)
		push(&again, i);
	l->waiting = again;
}

void s2s_queue_paused(struct s2s_link *l)
{
	l->asked_us = 0;
	l->unasked = 0;
	timer_cancel(&l->ask);
}

void s2s_queue_resumed(struct s2s_link *l, uint32_t n)
{
	int64_t up_to = 0;

	confirm(l, n, &up_to);
	if (up_to != 0)
		s2s_store_confirmed(l, up_to);
	/* Some that had no time any more are gone: the rest is counted anew, from what the peer has. */
	l->out = n;
	for (struct s2s_item *i = l->sent.first; i != NULL; i = i->next) {
		i->n = ++l->out;
		l->unasked++;
		stream_send(l->stream, i->stanza, NULL);
	}
	s2s_link_flush(l);
}

/* Who asked does not wait for a resumption. */
static void sweep_paused(struct s2s_link *l)
{
	struct s2s_item *before = NULL;

	for (struct s2s_item **at = &l->sent.first; *at != NULL;)
		if (((*at)->stanza->type == IQ_GET || (*at)->stanza->type == IQ_SET) && (*at)->until_us <= now_us(l)) {
			give_back(l, take(&l->sent, at, before), STERNA_REMOTE_SERVER_TIMEOUT,
				"the connection was lost before an answer came");
		} else {
			before = *at;
			at = &(*at)->next;
		}
}

/* The peer's system has had time enough to say that it is not there, or ours to notice. */
static uint64_t before_belief(const struct s2s_link *l)
{
	const uint64_t stall = (uint64_t)config_of(l)->stall_time.us * 2;

	return stall > BELIEVE_US ? stall : BELIEVE_US;
}

/* Once more: time may have passed for us alone (the machine was asleep), and the end of the connection be about to be
 * read. One that answers as a rule has a reason not to, as a database that is away: it is asked on another stream. */
static void not_answered(struct s2s_link *l)
{
	if (++l->asked_again < BELIEVE_PINGS) {
		send_ping(l);
		return;
	}
	l->asked_us = 0; /* nothing was measured */
	if (l->answers)
		stream_error(l->stream, "connection-timeout", "no answer to a ping for too long");
	else
		s2s_queue_confirmed(l, l->asked_n);
}

void s2s_queue_sweep(struct s2s_link *l)
{
	if (l->held != NULL)
		sweep_paused(l);
	s2s_queue_bounce(l, false, l->condition != 0 ? l->condition : STERNA_REMOTE_SERVER_TIMEOUT,
		*l->why != '\0' ? l->why : "the server could not be reached in time");
	if (has_sm(l) && l->asked_us != 0 && now_us(l) > l->asked_us + SILENT_US) {
		stream_error(l->stream, "connection-timeout", "no acknowledgement for too long");
		return;
	}
	if (l->stream != NULL && !has_sm(l) && l->asked_us != 0 && now_us(l) > l->asked_us + before_belief(l))
		not_answered(l);
}
