/* session.c - resources: bound, detached, resumed, gone. */
#include "server/session.h"
#include <stdlib.h>
#include <string.h>
#include "server/archive.h"
#include "server/presence.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/sm.h"
#include "server/stream.h"

static struct sterna_session *make(struct account *a, struct jid *full)
{
	struct sterna_session *s = xalloc(sizeof *s), **at = &a->sessions;

	s->refs = 1;
	s->account = a;
	s->jid = full;
	s->id = ++a->worker->last_session;
	s->reads_end = &s->reads;
	while (*at != NULL) /* oldest first */
		at = &(*at)->next;
	*at = s;
	a->session_count++;
	account_hold(a);
	atomic_fetch_add(&a->worker->server->sessions, 1);
	return s;
}

struct sterna_session *session_restore(struct account *a, const struct jid *full)
{
	return make(a, jid_ref(full));
}

/* Whoever comes now is alive; of the others, one that waits to be resumed goes first, then the oldest. */
static void make_room(struct account *a)
{
	while (a->sessions != NULL && a->session_count >= a->worker->server->config->limits.sessions_per_account) {
		struct sterna_session *s = a->sessions;

		while (s != NULL && s->stream != NULL)
			s = s->next;
		session_kick(s != NULL ? s : a->sessions, "policy-violation", "too many sessions of this account");
	}
}

enum sterna_result session_bind(struct account *a, struct stream *st, const char *resource,
	struct sterna_session **out)
{
	struct worker *w = a->worker;
	const char *conflict = w->server->config->auth.resource_conflict;
	struct jid *full = NULL;
	char made[33];

	if (resource == NULL || *resource == '\0') {
		worker_token(w, made);
		made[16] = '\0';
		resource = made;
	}
	if (jid_with_resource(a->jid, resource, &full) != STERNA_OK)
		return STERNA_EINVAL;
	struct sterna_session *old = account_session(a, jid_resource(full));

	/* RFC 6120 §7.7.2.2: one of three, as the operator likes. */
	if (old != NULL && strcmp(conflict, "refuse") == 0) {
		jid_unref(&full);
		return STERNA_EEXISTS;
	}
	if (old != NULL && strcmp(conflict, "rename") == 0) {
		jid_unref(&full);
		return session_bind(a, st, NULL, out);
	}
	for (; old != NULL; old = account_session(a, jid_resource(full)))
		session_kick(old, "conflict", "replaced by a new session");
	make_room(a);
	struct sterna_session *s = make(a, full);

	s->stream = st;
	s->bound_us = loop_wall_us(w->loop);
	a->logins++;
	*out = s;
	modules_event(w, STERNA_SESSION_BOUND, a, s, NULL);
	return STERNA_OK;
}

struct sterna_session *session_ref(struct sterna_session *s)
{
	s->refs++;
	return s;
}

void session_unref(struct sterna_session **s)
{
	struct sterna_session *was = *s;

	*s = NULL;
	if (was == NULL || --was->refs > 0)
		return;
	presence_forget(was);
	stanza_unref(&was->presence);
	jid_unref(&was->jid);
	json_decref(was->kept);
	free(was->client);
	for (unsigned i = 0; i < was->slot_count; i++)
		free(was->slots[i]);
	free(was->slots);
	free(was);
}

void *session_slot(struct sterna_session *s, const struct module_slot *m)
{
	if (m->m->session_size == 0)
		return NULL;
	if (m->index >= s->slot_count) {
		s->slots = xrealloc(s->slots, (m->index + 1) * sizeof(void *));
		while (s->slot_count <= m->index)
			s->slots[s->slot_count++] = NULL;
	}
	if (s->slots[m->index] == NULL)
		s->slots[m->index] = xalloc(m->m->session_size);
	return s->slots[m->index];
}

void session_end(struct sterna_session *s)
{
	struct account *a = s->account;

	if (s->gone)
		return;
	s->gone = true;
	s->stream = NULL;
	presence_gone(s);
	modules_event(a->worker, STERNA_SESSION_GONE, a, s, NULL);
	for (struct sterna_session **at = &a->sessions; *at != NULL; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	a->session_count--;
	if (s->sm != NULL)
		sm_end(s);
	sm_free(s);
	session_settled(s);
	atomic_fetch_sub(&a->worker->server->sessions, 1);
	if (a->last_logout_us != 0 && a->session_count == 0 && !a->anonymous)
		account_save_last(a);
	account_release(a);
	session_unref(&s);
}

void session_drop(struct sterna_session *s)
{
	struct account *a = s->account;

	s->gone = true;
	s->stream = NULL;
	modules_event(a->worker, STERNA_SESSION_GONE, a, s, NULL);
	a->sessions = s->next;
	a->session_count--;
	sm_free(s);
	account_release(a);
	session_unref(&s);
}

void session_lost(struct sterna_session *s, bool resumable)
{
	s->stream = NULL;
	if (!resumable || !sm_is_resumable(s)) {
		session_end(s);
		return;
	}
	modules_event(s->account->worker, STERNA_SESSION_DETACHED, s->account, s, NULL);
	sm_detached(s);
}

void session_kick(struct sterna_session *s, const char *condition, const char *text)
{
	struct stream *st = s->stream;

	session_ref(s);
	s->stream = NULL;
	if (st != NULL) {
		stream_detach_session(st);
		stream_error(st, condition, text);
	}
	session_end(s);
	session_unref(&s);
}

/* What the call itself is about is not settled before it is answered: only what came before it counts. What this
 * session did not send (the session before it, of the same resource, did) waits for none of its stanzas: they may stand
 * in the lane behind it. */
bool session_may_read(const struct sterna_session *s, const struct sterna_call *c)
{
	return s->newest_ack == NULL || c->ack == NULL || !ack_is_of(c->ack, s) || ack_is_oldest(c->ack);
}

bool session_is_behind(const struct sterna_session *s, unsigned most)
{
	return s->unsettled > most || (s->unsettled > 0 && db_is_filling(s->account->worker->db));
}

void session_settled(struct sterna_session *s)
{
	/* From the first after each: a read may go on at once, and change the list. One may stand before another
	 * that it waits for, where hooks have let stanzas pass each other. */
	for (struct sterna_call **at = &s->reads, *c; (c = *at) != NULL;) {
		if (!s->gone && !session_may_read(s, c)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		if (s->reads_end == &c->next)
			s->reads_end = at;
		c->next = NULL;
		c->ready(c);
		at = &s->reads;
	}
}

/* --- sending --- */

void session_send_now(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id)
{
	if (s->gone)
		return;
	if (s->sm != NULL && !sm_push(s, st, to, archive_id))
		return;
	if (s->sm != NULL)
		sm_flush(s);
	else if (s->stream != NULL)
		stream_send(s->stream, st, to);
}

static void to_session_end(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_NEXT)
		session_send_now(c->target, c->stanza, c->send_to, c->archive_id);
	jid_unref(&c->send_to);
	call_finish(c);
}

void session_send(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id)
{
	struct worker *w = s->account != NULL ? s->account->worker : NULL;

	if (s->gone || w == NULL)
		return;
	if (!hook_needed(&w->registry->to_session[st->kind], w->rests | s->account->rests | s->rests)) {
		session_send_now(s, st, to, archive_id);
		return;
	}
	struct stanza *ref = stanza_ref(st);
	struct sterna_call *c = call_new(w, &ref);

	c->side = SIDE_IN;
	call_set_account(c, s->account);
	c->target = session_ref(s);
	c->send_to = jid_ref(to);
	c->archive_id = archive_id;
	call_run_hooks(c, STERNA_TO_SESSION, STERNA_TO_SESSION, to_session_end);
}
