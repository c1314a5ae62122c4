/* route.c - the way of a stanza, read from top to bottom:
 *
 *   accept   stamp 'from', check the shape                           RFC 6120 §8.1, §8.2.3
 *   out      the sender's owner: policy, store, copy
 *   hop      to the recipient's owner: here, another worker, a component, a remote domain
 *   in       the recipient's owner: policy, store, copy
 *   answer   the IQ tables; presence and subscriptions               RFC 6121 §3, §4
 *   deliver  which sessions; none: offline                           RFC 6121 §8
 *
 * Refusals, the observers and the release of the stanza follow, once, for every verdict. */
#include "server/route.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/archive.h"
#include "server/component.h"
#include "server/deliver.h"
#include "server/lane.h"
#include "server/origin.h"
#include "server/presence.h"
#include "server/region.h"
#include "server/registry.h"
#include "server/s2s.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/subscription.h"

static void in_account(struct sterna_call *c);
static void in_host(struct worker *w, struct stanza **st, struct ack *ack, struct host *h);

/* --- refusals --- */

void route_error(struct worker *w, struct stanza *st, enum sterna_condition condition, const char *text)
{
	struct stanza *e = stanza_error(st, condition, text, NULL, NULL);

	metric_add(w->server->metric_set, w->index, METRIC_STANZAS_REFUSED, 0, 1);
	if (e != NULL)
		route_hop(w, &e, NULL);
}

/* The sender is told of it in time: an acknowledgement that covers a message says that it was taken, or that the error
 * which says otherwise is as safe as the message would be. So it waits for the error's row (archive_received()). */
static void send_error(struct sterna_call *c, struct stanza **e)
{
	struct ack *ack = (*e)->owed && c->ack != NULL && ack_is_local(c->ack) ? c->ack : NULL;

	metric_add(c->worker->server->metric_set, c->worker->index, METRIC_STANZAS_REFUSED, 0, 1);
	route_hop(c->worker, e, ack);
}

/* The stanza's own rows must not tell after a crash that it was taken: it is asked for again, but where its error has a
 * row, which tells so itself. */
static void not_taken(struct sterna_call *c)
{
	ack_unwritten(c->ack);
	if (c->side == SIDE_IN)
		archive_untag_carried(c->stanza);
}

void route_refuse(struct sterna_call *c, enum sterna_condition condition, const char *text)
{
	struct stanza *e = stanza_error(c->stanza, condition, text, NULL, NULL);

	c->refused = condition;
	not_taken(c);
	if (e != NULL)
		send_error(c, &e);
}

static void reject(struct sterna_call *c)
{
	c->refused = c->error.condition;
	c->refused_by = c->module != NULL ? c->module->m->name : NULL;
	not_taken(c);
	struct stanza *e = stanza_error(c->stanza, c->error.condition, c->error.text, c->error.app, c->error.payload);

	if (e != NULL && c->error.where != NULL)
		elem_add_text(e->arena, elem_first(elem_child(e->elem, "error", NULL)), c->error.where,
			strlen(c->error.where));
	log_debug("route", "refused", "stanza_id", LOG_UINT(c->trace), "condition", condition_name(c->error.condition),
		"module", c->module != NULL ? c->module->m->name : NULL);
	if (e != NULL)
		send_error(c, &e);
}

/* One id from here to the last hop: `stanza_id` in the log tells where a stanza went. Never its content. */
static void trace(const struct stanza *st, const char *what)
{
	log_debug("route", what, "stanza_id", LOG_UINT(st->trace), "kind", st->elem->name, "type", stanza_type_text(st),
		"from", st->from != NULL ? jid_full(st->from) : NULL, "to", st->to != NULL ? jid_full(st->to) : NULL);
}

/* --- accept --- */

static bool is_request(const struct stanza *st)
{
	return st->type == IQ_GET || st->type == IQ_SET;
}

/* RFC 6120 §8.2.3: an id always; get and set have exactly one child, a result at most one. */
static bool iq_shape_ok(const struct stanza *st)
{
	const struct sterna_elem *first = elem_first(st->elem);

	if (stanza_id(st) == NULL)
		return false;
	switch (st->type) {
	case IQ_GET:
	case IQ_SET:
		return first != NULL && elem_next(first) == NULL;
	case IQ_RESULT:
		return first == NULL || elem_next(first) == NULL;
	case IQ_ERROR:
		return true;
	default:
		return false;
	}
}

bool route_shape_ok(const struct stanza *st)
{
	if (st->kind == STERNA_IQ)
		return iq_shape_ok(st);
	return st->type != TYPE_INVALID;
}

/* --- out: the sender's side --- */

/* A batch of the sender's side is committed on its own; the stanza goes on at once. */
static void leave(struct sterna_call *c)
{
	struct stanza *st = stanza_ref(c->stanza);
	struct worker *w = c->worker;
	struct ack *ack;

	/* What this side writes does not hold the recipient up. From here on the stanza is another worker's to
	 * change: this call reads it no more. */
	archive_sent(c);
	ack = c->ack;
	ack_hold(ack);
	c->left = true;
	call_finish(c);
	route_hop(w, &st, ack);
	ack_done(&ack, true);
}

/* <subscribed/> first, then what it allows to see. */
static void leave_and_show(struct sterna_call *c)
{
	struct account *a = c->account;
	struct jid *to = jid_ref(c->stanza->to);

	account_hold(a);
	leave(c);
	presence_show(a, to);
	jid_unref(&to);
	account_release(a);
}

static void out_end(struct sterna_call *c, enum sterna_verdict v)
{
	struct stanza *st = c->stanza;
	bool show = false;

	if (v == STERNA_REJECT)
		reject(c);
	if (v != STERNA_NEXT) {
		call_observe(c);
		call_finish(c);
		return;
	}
	if (st->kind == STERNA_PRESENCE && (c->session != NULL ? !c->session->gone : subscription_is(st->type))) {
		if (st->to == NULL) {
			presence_broadcast(c);
			call_observe(c);
			call_finish(c);
			return;
		}
		if (subscription_is(st->type)) {
			if (!subscription_out(c, &show)) {
				call_observe(c);
				call_finish(c);
				return;
			}
		} else if (!presence_directed(c)) {
			route_refuse(c, STERNA_RESOURCE_CONSTRAINT, "presence went to too many already");
			call_observe(c);
			call_finish(c);
			return;
		}
	}
	if (show)
		leave_and_show(c);
	else
		leave(c);
}

static void checked(struct sterna_call *c, bool repeated)
{
	if (repeated)
		out_end(c, STERNA_DONE);
	else
		call_run_hooks(c, STERNA_OUT_POLICY, STERNA_OUT_COPY, out_end);
}

void route_from_session(struct sterna_session *s, struct stanza **st, struct ack *ack)
{
	struct worker *w = s->account->worker;

	(*st)->trace = worker_trace(w);
	stanza_set_from(*st, s->jid); /* the one place where a client's 'from' is made: §8.1.2.1 */
	trace(*st, "accepted");
	struct sterna_call *c = call_new(w, st);

	ack_hold(ack);
	c->ack = ack;
	c->side = SIDE_OUT;
	call_set_account(c, s->account);
	call_set_session(c, s);
	if (!route_shape_ok(c->stanza)) {
		route_refuse(c, STERNA_BAD_REQUEST, NULL);
		call_finish(c);
		return;
	}
	/* RFC 6121 §5.1: a message, and RFC 6120 §10.3: an IQ without 'to' is for the own account. */
	if (c->stanza->to == NULL && c->stanza->kind != STERNA_PRESENCE)
		c->stanza->to = jid_to_bare(s->jid);
	origin_check(c, checked);
}

static void subscribe_as_account(struct sterna_call *c)
{
	if (c->account->state == ACCOUNT_READY)
		call_run_hooks(c, STERNA_OUT_POLICY, STERNA_OUT_COPY, out_end);
	else
		call_finish(c);
}

static void at_account(struct worker *w, struct stanza **st)
{
	struct account *a = account_get(w, (*st)->from);
	struct sterna_call *c;

	(*st)->trace = worker_trace(w);
	trace(*st, "sent by the account itself");
	c = call_new(w, st);
	c->side = SIDE_OUT;
	call_set_account(c, a);
	if (!account_when(a, c, subscribe_as_account)) {
		log_warning("route", "a subscription could not be sent: too much waits for the account", "account", jid_bare(a->jid));
		call_finish(c);
	}
}

struct subscription_mail {
	struct mail mail;
	struct worker *to;
	struct stanza *stanza;
};

static void on_subscription(struct mail *m, struct loop *l)
{
	struct subscription_mail *s = (struct subscription_mail *)m;

	(void)l;
	at_account(s->to, &s->stanza);
	free(s);
}

/* Always by mail: whoever asks for it is in the middle of something, perhaps with the same account. */
void route_subscription(struct worker *w, struct stanza **st)
{
	struct subscription_mail *s = xalloc(sizeof *s);

	s->mail.run = on_subscription;
	s->to = server_owner(w->server, (*st)->from);
	s->stanza = *st;
	*st = NULL;
	loop_post(s->to->loop, &s->mail);
}

/* --- hop --- */

struct hop {
	struct mail mail;
	struct worker *to;
	struct stanza *stanza;
	struct ack *ack;
};

static void on_hop(struct mail *m, struct loop *l)
{
	struct hop *h = (struct hop *)m;

	(void)l;
	route_hop(h->to, &h->stanza, h->ack);
	ack_done(&h->ack, true);
	free(h);
}

static void hop_to(struct worker *from, struct worker *to, struct stanza **st, struct ack *ack)
{
	struct hop *h = xalloc(sizeof *h);

	h->mail.run = on_hop;
	h->to = to;
	h->stanza = *st;
	h->ack = ack;
	ack_hold(ack);
	*st = NULL;
	loop_post(to->loop, &h->mail);
	/* Too much waits there: whoever causes it is not read for a while. Nothing is dropped, nobody blocks. */
	if (loop_mail_depth(to->loop) > to->server->config->limits.mailbox_stanzas)
		from->congested = true;
}

/* Out of this server: what the sender's side has to store is stored here. */
static struct sterna_call *leaving(struct worker *w, struct stanza **st, struct ack *ack)
{
	struct sterna_call *c = call_new(w, st);

	ack_hold(ack);
	c->ack = ack;
	c->side = SIDE_IN;
	return c;
}

static void to_component(struct worker *w, struct stanza **st, struct ack *ack, struct host *h)
{
	struct stanza *away = stanza_ref(*st);

	trace(away, "goes to a component");
	struct sterna_call *c = leaving(w, st, ack);

	archive_take_carried(c);
	call_observe(c);
	c->left = true;
	call_finish(c);
	component_send(w, h, &away);
}

/* The row that waits for the other server commits with the sender's own: then the acknowledgement holds. */
static void to_server(struct worker *w, struct stanza **st, struct ack *ack)
{
	struct stanza *away = stanza_ref(*st);
	enum sterna_condition condition = STERNA_REMOTE_SERVER_NOT_FOUND;
	const char *text = "this server has no links to other servers";
	struct s2s_link *l = away->to != NULL && s2s_is_on(w->server) ? s2s_admit(w, away, &condition, &text) : NULL;
	int64_t id = 0;

	trace(away, "is for another server");
	struct sterna_call *c = leaving(w, st, ack);

	if (l == NULL)
		not_taken(c);
	else
		id = s2s_store(l, c);
	archive_take_carried(c);
	call_observe(c);
	c->left = l != NULL;
	call_finish(c);
	if (l != NULL)
		s2s_send(l, &away, id);
	else if (away->to != NULL)
		route_error(w, away, condition, text);
	stanza_unref(&away);
}

/* An account, a room, that another region has to itself: nothing of it is made here. */
static bool refused_by_region(struct worker *w, struct stanza **st, struct ack *ack)
{
	char text[REGION_TEXT];

	if (!region_refuses(w->server->config, (*st)->to, text))
		return false;
	struct sterna_call *c = leaving(w, st, ack);

	route_refuse(c, STERNA_NOT_ALLOWED, text);
	call_observe(c);
	call_finish(c);
	return true;
}

void route_hop(struct worker *w, struct stanza **st, struct ack *ack)
{
	struct host *h = (*st)->to != NULL ? server_host(w->server, jid_domain((*st)->to)) : NULL;

	if (h == NULL && (*st)->to != NULL && s2s_is_on(w->server)
		&& s2s_owner(w->server, jid_domain((*st)->to)) != w) {
		hop_to(w, s2s_owner(w->server, jid_domain((*st)->to)), st, ack);
		return;
	}
	if (h == NULL) {
		to_server(w, st, ack);
		return;
	}
	if (refused_by_region(w, st, ack))
		return;
	if (h->kind == HOST_COMPONENT) {
		to_component(w, st, ack, h);
		return;
	}
	if (h->kind == HOST_USERS && jid_local((*st)->to) == NULL) {
		in_host(w, st, ack, h);
		return;
	}
	struct worker *owner = server_owner(w->server, (*st)->to);

	if (owner != w) {
		trace(*st, "goes to another worker");
		hop_to(w, owner, st, ack);
		return;
	}
	if (h->kind == HOST_SERVICE) {
		in_host(w, st, ack, h);
		return;
	}
	struct account *a = account_get(w, (*st)->to);
	struct sterna_call *c = call_new(w, st);

	ack_hold(ack);
	c->ack = ack;
	c->side = SIDE_IN;
	call_set_account(c, a);
	if (!account_when(a, c, in_account)) {
		route_refuse(c, STERNA_RESOURCE_CONSTRAINT, "too much waits for this account");
		call_finish(c);
	}
}

/* --- in: the recipient's side --- */

static void in_end(struct sterna_call *c)
{
	struct worker *w = c->worker;
	struct lane *l = lane_of(c);

	trace(c->stanza, c->archive_offline ? "waits for the next session" : "arrived");
	call_observe(c);
	call_finish(c);
	lane_leave(w, l);
}

static void refuse_and_end(struct sterna_call *c, enum sterna_condition condition)
{
	route_refuse(c, condition, NULL);
	in_end(c);
}

/* After a handler: exactly one answer. */
static void answered(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_REJECT) {
		reject(c);
	} else if (!c->replied) {
		log_error("route", "a handler gave no answer", "module", c->module->m->name, "stanza_id",
			LOG_UINT(c->stanza->trace));
		route_refuse(c, STERNA_INTERNAL_SERVER_ERROR, NULL);
	}
	in_end(c);
}

/* An IQ request to an account or host: the tables, by scope from the narrowest. */
static void answer(struct sterna_call *c, const unsigned *scopes, const struct module_slot *service)
{
	const struct sterna_elem *payload = elem_first(c->stanza->elem);
	const unsigned type = c->stanza->type == IQ_GET ? STERNA_GET : STERNA_SET;

	for (; *scopes != 0; scopes++) {
		const struct iq_row *row = registry_iq(c->registry, type, *scopes, payload->ns, payload->name, service);

		if (row != NULL) {
			call_run_handler(c, row->slot, row->iq->fn, answered);
			return;
		}
	}
	refuse_and_end(c, STERNA_SERVICE_UNAVAILABLE);
}

static void iq_in(struct sterna_call *c)
{
	static const unsigned own[] = { STERNA_OWN_ACCOUNT, STERNA_ANY_ACCOUNT, 0 }, any[] = { STERNA_ANY_ACCOUNT, 0 };
	const char *resource = jid_resource(c->stanza->to);

	if (resource == NULL) {
		const bool is_own = jid_bare_equal(c->stanza->from, c->account->jid);

		if (!is_request(c->stanza))
			in_end(c); /* a result for us: nobody of ours has asked */
		else if (c->account->state != ACCOUNT_READY)
			refuse_and_end(c, STERNA_SERVICE_UNAVAILABLE);
		else
			answer(c, is_own ? own : any, NULL);
		return;
	}
	struct sterna_session *s = account_session(c->account, resource);

	if (s == NULL) {
		refuse_and_end(c, STERNA_SERVICE_UNAVAILABLE); /* §8.5.3.2.3 */
		return;
	}
	session_send(s, c->stanza, NULL, 0);
	in_end(c);
}

static void message_in(struct sterna_call *c, enum deliver_plan plan)
{
	const struct config_limits *limits = &c->worker->server->config->limits;

	switch (plan) {
	case PLAN_SESSIONS:
		deliver_message(c);
		break;
	case PLAN_OFFLINE:
		if (!stanza_is_storable(c->stanza) && !c->stanza->owed)
			break; /* chat states and their like are of no use later */
		if (c->account->offline_count >= limits->offline_messages || (c->marks & STERNA_NO_STORE) != 0
			|| c->account->anonymous) {
			if ((c->marks & STERNA_NO_STORE) == 0)
				route_refuse(c, STERNA_SERVICE_UNAVAILABLE, NULL);
			c->marks |= STERNA_NO_ARCHIVE;
			break;
		}
		c->archive_offline = true;
		c->account->offline_more = true;
		break;
	case PLAN_REFUSE:
		c->marks |= STERNA_NO_ARCHIVE;
		route_refuse(c, STERNA_SERVICE_UNAVAILABLE, NULL);
		break;
	case PLAN_IGNORE:
		c->marks |= STERNA_NO_ARCHIVE;
		break;
	}
	archive_received(c);
	in_end(c);
}

static void offline_end(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_REJECT)
		reject(c);
	if (v != STERNA_NEXT) {
		in_end(c);
		return;
	}
	if (deliver_plan_is_stale(c))
		c->plan = deliver_plan_message(c);
	message_in(c, c->plan);
}

/* §8.5.3.2.2: an answer, or a notice, to a resource that is not there. */
static bool is_for_nobody(const struct sterna_call *c)
{
	const char *resource = jid_resource(c->stanza->to);

	return resource != NULL && c->stanza->type != PRESENCE_SUBSCRIBE && account_session(c->account, resource) == NULL;
}

static void after_in_hooks(struct sterna_call *c, enum sterna_verdict v)
{
	if (v != STERNA_NEXT) {
		if (v == STERNA_REJECT)
			reject(c);
		in_end(c);
		return;
	}
	switch (c->stanza->kind) {
	case STERNA_MESSAGE:
		stanza_touch(c->stanza); /* hooks may have changed it since the sender's side wrote it down */
		if (deliver_plan_is_stale(c))
			c->plan = deliver_plan_message(c);
		if (c->plan == PLAN_OFFLINE)
			call_run_hooks(c, STERNA_OFFLINE, STERNA_OFFLINE, offline_end);
		else
			message_in(c, c->plan);
		return;
	case STERNA_IQ:
		iq_in(c);
		return;
	default:
		if (!subscription_is(c->stanza->type))
			presence_in(c);
		else if (!is_for_nobody(c))
			subscription_in(c);
		in_end(c);
	}
}

static void enter_account(struct sterna_call *c)
{
	if (c->stanza->kind == STERNA_MESSAGE)
		c->plan = deliver_plan_message(c);
	call_run_hooks(c, STERNA_IN_POLICY, STERNA_IN_COPY, after_in_hooks);
}

static void in_account(struct sterna_call *c)
{
	if (c->account->state == ACCOUNT_FAILED && c->worker->stopping) {
		/* Nobody is there to hear an error: it was never taken. */
		c->stanza->carried = NULL;
		ack_done(&c->ack, false);
		in_end(c);
		return;
	}
	if (c->account->state == ACCOUNT_FAILED) {
		refuse_and_end(c, STERNA_RESOURCE_CONSTRAINT);
		return;
	}
	if (c->account->state == ACCOUNT_ABSENT) {
		/* The same for a stranger as where there is an account without sessions: RFC 6121 §8.5.1. */
		if (c->stanza->kind == STERNA_PRESENCE && c->stanza->type == PRESENCE_PROBE)
			presence_refuse_probe(c->worker, c->stanza);
		if (c->stanza->kind == STERNA_PRESENCE
			|| (c->stanza->kind == STERNA_MESSAGE && c->stanza->type == MESSAGE_HEADLINE))
			in_end(c);
		else
			refuse_and_end(c, STERNA_SERVICE_UNAVAILABLE);
		return;
	}
	bool full = false;

	/* Someone from the same sender waits in a stop: behind that one. */
	if (c->worker->stop_lanes > 0 && lane_join(c, call_lane_key(c), enter_account, &full))
		return;
	if (full)
		refuse_and_end(c, STERNA_RESOURCE_CONSTRAINT);
	else
		enter_account(c);
}

/* --- the server itself, and services that modules offer --- */

static void served(struct sterna_call *c, enum sterna_verdict v)
{
	if (v == STERNA_REJECT)
		reject(c);
	else if (v == STERNA_NEXT && c->stanza->kind != STERNA_PRESENCE && !c->replied)
		route_refuse(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	in_end(c);
}

static void host_hooks_end(struct sterna_call *c, enum sterna_verdict v)
{
	static const unsigned server[] = { STERNA_SERVER, 0 }, service[] = { STERNA_SERVICE, 0 };

	if (v != STERNA_NEXT) {
		if (v == STERNA_REJECT)
			reject(c);
		in_end(c);
	} else if (c->host->kind == HOST_SERVICE && c->host->module->m->service != NULL
		&& (!is_request(c->stanza) || jid_resource(c->stanza->to) != NULL)) {
		call_run_handler(c, c->host->module, c->host->module->m->service, served);
	} else if (is_request(c->stanza)) {
		answer(c, c->host->kind == HOST_SERVICE ? service : server,
			c->host->kind == HOST_SERVICE ? c->host->module : NULL);
	} else if (c->stanza->kind == STERNA_MESSAGE && c->stanza->type != MESSAGE_ERROR) {
		refuse_and_end(c, STERNA_SERVICE_UNAVAILABLE);
	} else {
		in_end(c);
	}
}

static void enter_host(struct sterna_call *c)
{
	call_run_hooks(c, STERNA_IN_POLICY, STERNA_IN_COPY, host_hooks_end);
}

static void in_host(struct worker *w, struct stanza **st, struct ack *ack, struct host *h)
{
	struct sterna_call *c = call_new(w, st);

	ack_hold(ack);
	c->ack = ack;
	c->side = SIDE_IN;
	c->host = h;
	if (h->kind != HOST_SERVICE)
		enter_host(c);
	else if (!lane_enter(c, jid_bare(c->stanza->to), enter_host)) {
		route_refuse(c, STERNA_RESOURCE_CONSTRAINT, "too much waits for this address");
		call_finish(c);
	}
}

/* --- what we send ourselves --- */

void route_own(struct worker *w, struct stanza **st, struct account *a, struct ack **ack)
{
	struct stanza *s = *st;

	if (a != NULL && (s->from == NULL || (!jid_bare_equal(s->from, a->jid)
		&& strcmp(jid_full(s->from), jid_domain(a->jid)) != 0)))
		stanza_set_from(s, a->jid);
	if (s->trace == 0)
		s->trace = worker_trace(w);
	route_hop(w, st, ack != NULL ? *ack : NULL);
}
