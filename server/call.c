/* call.c - handlers in their order: the loop over the stops, waits, and what follows the commit. */
#include <config.h>

#include "server/call.h"
#include <assert.h>
#include <stdlib.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/lane.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/server.h"
#include "server/session.h"
#include "server/stream.h"

struct sterna_call *call_new(struct worker *w, struct stanza **st)
{
	struct sterna_call *c = w->free_calls;

	/* Not in the stanza's arena: a stanza may be shared by a fan-out. */
	if (c != NULL) {
		w->free_calls = c->next;
		*c = (struct sterna_call){ 0 };
	} else {
		c = xalloc(sizeof *c);
	}
	c->worker = w;
	c->registry = registry_ref(w->registry);
	c->stanza = *st;
	c->trace = (*st)->trace;
	*st = NULL;
	c->after_end = &c->after;
	w->calls++;
	return c;
}

void call_set_account(struct sterna_call *c, struct account *a)
{
#ifdef STERNA_SANITIZED
	/* Rule 1: nobody but the owner's worker comes near an account. Every test and the simulation look here. */
	assert(a == NULL || (a->worker == c->worker && server_owner(c->worker->server, a->jid) == c->worker));
#endif
	if (a != NULL)
		account_hold(a);
	if (c->account != NULL)
		account_release(c->account);
	c->account = a;
	c->host = a != NULL ? a->host : c->host;
}

void call_set_session(struct sterna_call *c, struct sterna_session *s)
{
	if (s != NULL)
		session_ref(s);
	session_unref(&c->session);
	c->session = s;
}

static void drop_after(struct sterna_call *c)
{
	for (struct after *a = c->after; a != NULL; a = a->next) {
		stanza_unref(&a->stanza);
		session_unref(&a->session);
	}
	c->after = NULL;
	c->after_end = &c->after;
}

void call_free(struct sterna_call *c)
{
	struct worker *w = c->worker;
	struct lane *l = lane_of(c);

	drop_after(c);
	ack_done(&c->ack, true);
	if (c->batch != NULL)
		db_batch_drop(&c->batch);
	for (size_t i = 0; i < c->target_count; i++)
		session_unref(&c->targets[i]);
	session_unref(&c->session);
	session_unref(&c->target);
	if (c->account != NULL)
		account_release(c->account);
	buf_release(&c->sm_tags);
	registry_unref(&c->registry);
	stanza_unref(&c->stanza);
	arena_free(&c->arena);
	w->calls--;
	c->next = w->free_calls;
	w->free_calls = c;
	lane_leave(w, l);
}

struct arena *call_arena(struct sterna_call *c)
{
	if (c->arena == NULL)
		c->arena = arena_new(1024);
	return c->arena;
}

struct db_batch *call_batch(struct sterna_call *c)
{
	if (c->batch == NULL)
		c->batch = db_batch_new(c->worker->db);
	return c->batch;
}

static enum sterna_verdict run(struct sterna_call *c, const struct module_slot *m, sterna_fn *fn)
{
	c->module = m;
	c->in_handler = true;
	const enum sterna_verdict v = fn(c);

	c->in_handler = false;
	return v;
}

const char *call_lane_key(struct sterna_call *c)
{
	return sterna_printf(c, "%s\n%s", c->stanza->from != NULL ? jid_full(c->stanza->from) : "",
		jid_bare(c->account->jid));
}

/* RFC 6120 §10.1: what the same sender sends to the same recipient stays behind. On the sender's side its stream is
 * not read; on the recipient's the others from that sender wait in a lane. */
static void stop_waits(struct sterna_call *c)
{
	if (c->point >= STERNA_TO_SESSION)
		return; /* these may not wait: module.h */
	if (c->side == SIDE_OUT && c->session != NULL && c->session->stream != NULL) {
		stream_hold(c->session->stream, HOLD_STOPS);
		c->holds_stream = true;
	} else if (c->side == SIDE_IN && c->account != NULL && c->lane == NULL) {
		lane_take(c, call_lane_key(c));
	}
}

static bool passes_by(const struct sterna_call *c, const struct hook_row *row)
{
	if ((row->kinds & c->stanza->kind) == 0 || (c->to_many && (row->flags & STERNA_HOOK_NOT_MANY) != 0))
		return true;
	return row->rest_bit != 0 && (row->rest_bit & (c->worker->rests | (c->account != NULL ? c->account->rests : 0)
		| (c->target != NULL && c->point == STERNA_TO_SESSION ? c->target->rests : 0))) != 0;
}

/* The stops are one flat sequence; c->point and c->hook say where we are, also after a wait. */
static void run_on(struct sterna_call *c)
{
	for (; c->point <= c->last_point; c->point++, c->hook = 0) {
		if ((c->registry->hook_kinds[c->point] & c->stanza->kind) == 0)
			continue;
		while (c->hook < c->registry->hook_count[c->point]) {
			const struct hook_row *row = &c->registry->hooks[c->point][c->hook++];

			if (passes_by(c, row))
				continue;
			const enum sterna_verdict v = run(c, row->slot, row->fn);

			if (v == STERNA_WAIT) {
				stop_waits(c);
				return;
			}
			if (v != STERNA_NEXT) {
				c->then(c, v);
				return;
			}
		}
	}
	c->then(c, STERNA_NEXT);
}

void call_run_hooks(struct sterna_call *c, enum sterna_point from, enum sterna_point to,
	void (*then)(struct sterna_call *c, enum sterna_verdict v))
{
	c->point = from;
	c->last_point = to;
	c->hook = 0;
	c->in_stops = true;
	c->then = then;
	run_on(c);
}

void call_run_handler(struct sterna_call *c, const struct module_slot *m, sterna_fn *fn,
	void (*then)(struct sterna_call *c, enum sterna_verdict v))
{
	c->in_stops = false;
	c->then = then;
	const enum sterna_verdict v = run(c, m, fn);

	if (v != STERNA_WAIT)
		then(c, v);
}

/* A read's callback has returned its verdict: the rest of the way. */
void call_resume(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_WAIT)
		return; /* it reads once more */
	if (c->holds_stream && c->session->stream != NULL)
		stream_release(c->session->stream, HOLD_STOPS);
	c->holds_stream = false;
	if (v == STERNA_NEXT && c->in_stops)
		run_on(c);
	else
		c->then(c, v);
}

void call_after(struct sterna_call *c, struct stanza **st, struct sterna_session *s)
{
	struct after *a = arena_zalloc(call_arena(c), sizeof *a);

	if (st != NULL) {
		a->stanza = *st;
		*st = NULL;
	}
	a->session = s != NULL ? session_ref(s) : NULL;
	*c->after_end = a;
	c->after_end = &a->next;
}

static void send_after(struct sterna_call *c)
{
	while (c->after != NULL) {
		struct after *a = c->after;

		c->after = a->next;
		if (a->session == NULL) {
			route_own(c->worker, &a->stanza, c->account, &c->ack);
		} else if (!a->session->gone) {
			if (a->raw != NULL && a->session->stream != NULL)
				stream_send_elem(a->session->stream, a->raw);
			else if (a->stanza != NULL)
				session_send(a->session, a->stanza, NULL, 0);
		}
		stanza_unref(&a->stanza);
		session_unref(&a->session);
	}
	c->after_end = &c->after;
}

static void on_commit(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct sterna_call *c = arg;

	(void)rows;
	c->committing = false;
	if (rc == STERNA_OK) {
		send_after(c);
		ack_done(&c->ack, true);
	} else {
		log_error("route", "not stored", "result", sterna_result_text(rc), "stanza_id", LOG_UINT(c->trace));
		drop_after(c);
		/* Refused for good (nothing was written): the sender hears it, and that is its outcome. Not
		 * known whether written: never an ack. */
		ack_unwritten(c->ack);
		if (rc != STERNA_EUNCERTAIN && !c->left && c->side != SIDE_NONE)
			route_refuse(c, STERNA_RESOURCE_CONSTRAINT, "the server could not store this now");
		ack_done(&c->ack, rc != STERNA_EUNCERTAIN && !c->left);
	}
	if (c->ended != NULL)
		c->ended(c, rc);
	call_free(c);
}

void call_finish(struct sterna_call *c)
{
	if (c->side == SIDE_IN && !c->left)
		archive_take_carried(c);
	if (c->batch != NULL && db_batch_count(c->batch) > 0) {
		struct db_batch *b = c->batch;

		c->batch = NULL;
		c->committing = true;
		db_batch_commit(&b, on_commit, c);
		return;
	}
	send_after(c);
	if (c->ended != NULL)
		c->ended(c, STERNA_OK);
	call_free(c);
}

static void observed(struct sterna_call *c, enum sterna_verdict v)
{
	(void)c;
	(void)v;
}

void call_observe(struct sterna_call *c)
{
	if (c->stanza->noted)
		return;
	c->stanza->noted = true;
	if ((c->registry->hook_kinds[STERNA_OBSERVE] & c->stanza->kind) != 0)
		call_run_hooks(c, STERNA_OBSERVE, STERNA_OBSERVE, observed);
}
