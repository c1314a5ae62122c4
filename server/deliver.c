/* deliver.c - RFC 6121 §8.5 for messages. */
#include "server/deliver.h"
#include "server/account.h"
#include "server/archive.h"
#include "server/session.h"
#include "server/sm.h"

static void add_target(struct sterna_call *c, struct sterna_session *s)
{
	if (c->targets == NULL)
		c->targets = arena_alloc(call_arena(c), c->account->session_count * sizeof(struct sterna_session *));
	c->targets[c->target_count++] = session_ref(s);
}

/* All non-negative available resources: §8.5.2.1.1 allows that or the most available one; with several
 * devices, all is what people expect. */
static void add_available(struct sterna_call *c)
{
	for (struct sterna_session *s = c->account->sessions; s != NULL; s = s->next)
		if (s->available && s->priority >= 0)
			add_target(c, s);
}

/* §8.5.3.2.1: to a resource that is not there. */
static enum deliver_plan plan_no_match(struct sterna_call *c)
{
	switch (c->stanza->type) {
	case MESSAGE_CHAT:
		add_available(c);
		return c->target_count > 0 ? PLAN_SESSIONS : PLAN_OFFLINE;
	case MESSAGE_ERROR:
		/* Others' are ignored. What we have refused ourselves waits like a message for a sender
		 * who has left: it may be acknowledged (XEP-0160 §3 allows that). */
		if (!c->stanza->owed)
			return PLAN_IGNORE;
		add_available(c);
		return c->target_count > 0 ? PLAN_SESSIONS : PLAN_OFFLINE;
	case MESSAGE_HEADLINE:
		return PLAN_IGNORE;
	default:
		return PLAN_REFUSE;
	}
}

/* Can it wait for a later time at all? What cannot goes to who is there now, or nowhere. */
static bool can_wait(const struct sterna_call *c)
{
	return (c->marks & STERNA_NO_STORE) == 0 && (stanza_is_storable(c->stanza) || c->stanza->owed);
}

bool deliver_plan_is_stale(const struct sterna_call *c)
{
	if (c->plan == PLAN_OFFLINE)
		return c->account->session_count > 0 && (!c->account->pulling || !can_wait(c));
	for (size_t i = 0; i < c->target_count; i++)
		if (!c->targets[i]->gone)
			return false;
	return c->plan == PLAN_SESSIONS;
}

/* What waited longer comes first. But what is for another session than the one that gets it does not wait. */
static bool waits_behind(const struct sterna_call *c)
{
	const char *resource = jid_resource(c->stanza->to);

	if (!c->account->pulling || !can_wait(c))
		return false;
	if (resource == NULL)
		return true;
	const struct sterna_session *s = account_session(c->account, resource);

	return s != NULL ? offline_goes_to(s) : c->stanza->type == MESSAGE_CHAT;
}

enum deliver_plan deliver_plan_message(struct sterna_call *c)
{
	while (c->target_count > 0)
		session_unref(&c->targets[--c->target_count]);
	c->targets = NULL;
	const char *resource = jid_resource(c->stanza->to);

	if (waits_behind(c))
		return PLAN_OFFLINE;
	if (resource != NULL) {
		struct sterna_session *s = account_session(c->account, resource);

		if (s == NULL)
			return plan_no_match(c);
		add_target(c, s);
		return PLAN_SESSIONS;
	}
	switch (c->stanza->type) {
	case MESSAGE_GROUPCHAT:  /* §8.5.2.1.1 */
		return PLAN_REFUSE;
	case MESSAGE_ERROR:
		return PLAN_IGNORE;
	case MESSAGE_HEADLINE:
		add_available(c);
		return c->target_count > 0 ? PLAN_SESSIONS : PLAN_IGNORE;
	default:
		add_available(c);
		return c->target_count > 0 ? PLAN_SESSIONS : PLAN_OFFLINE;
	}
}

/* What may have to be sent once more needs a row to be found by. */
static bool needs_row(const struct sterna_call *c)
{
	for (size_t i = 0; i < c->target_count; i++)
		if (c->targets[i]->sm != NULL && !c->targets[i]->gone)
			return !c->account->anonymous && can_wait(c);
	return false;
}

void deliver_message(struct sterna_call *c)
{
	if (needs_row(c))
		archive_id(c);
	c->stanza->many = c->target_count > 1;
	for (size_t i = 0; i < c->target_count; i++) {
		struct sterna_session *s = c->targets[i];

		if (s->gone)
			continue;
		session_send(s, c->stanza, NULL, c->archive_id);
		if (s->sm != NULL && !s->gone && c->archive_id != 0) {
			sm_tag_out(s, c->stanza, &c->sm_tags);
			/* A stop may have waited after the id was given: recovery is to look for the row nevertheless. */
			if (sm_is_behind(s, c->archive_id))
				sm_reach_back(s, call_batch(c), c->archive_id);
		}
	}
}
