/* XEP-0357: what wakes a device, what the app server hears of it, and what becomes of its answer.
 *
 * A device is woken for what its user would want to be told of: a message with text or an encrypted payload, a call, an
 * invitation to a room, a request for a subscription. Nothing else: no chat states, receipts or headlines. While it has
 * not come, it is not woken again within a pause; a call always wakes it. */
#include <stdlib.h>
#include <string.h>
#include "xep/text.h"
#include "xep/xep0357_push.h"

#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define NS_SUMMARY "urn:xmpp:push:summary"
#define NS_OMEMO_OLD "eu.siacs.conversations.axolotl"
#define NS_OMEMO "urn:xmpp:omemo:2"
#define NS_HINTS "urn:xmpp:hints"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"

enum weight { WEIGHT_NONE, WEIGHT_MESSAGE, WEIGHT_CALL };

/* --- what deserves it --- */

static bool is_encrypted(const struct sterna_elem *m)
{
	const struct sterna_elem *e;

	/* A message that only carries a key is for the client alone: it has no payload. */
	if ((e = elem_child(m, "encrypted", NS_OMEMO_OLD)) != NULL || (e = elem_child(m, "encrypted", NS_OMEMO)) != NULL)
		return elem_child(e, "payload", NULL) != NULL;
	return elem_child(m, "openpgp", "urn:xmpp:openpgp:0") != NULL || elem_child(m, "x", "jabber:x:encrypted") != NULL
		|| elem_child(m, "encryption", "urn:xmpp:eme:0") != NULL;
}

/* XEP-0353, XEP-0482: it rings, or stops ringing. */
static bool is_call(const struct sterna_elem *m)
{
	elem_foreach(e, m) {
		const bool jingle = strncmp(e->ns, "urn:xmpp:jingle-message:", 24) == 0;

		if (jingle && (strcmp(e->name, "propose") == 0 || strcmp(e->name, "retract") == 0))
			return true;
		if (strncmp(e->ns, "urn:xmpp:call-invites:", 22) == 0
			&& (strcmp(e->name, "invite") == 0 || strcmp(e->name, "retract") == 0))
			return true;
	}
	return false;
}

static bool has_text(struct sterna_call *c, const struct sterna_elem *m)
{
	const struct sterna_elem *body = elem_child(m, "body", NULL);

	return body != NULL && *text_of(c, body) != '\0';
}

static bool is_invitation(const struct sterna_elem *m)
{
	const struct sterna_elem *x = elem_child(m, "x", NS_MUC_USER);

	return elem_child(m, "x", "jabber:x:conference") != NULL || (x != NULL && elem_child(x, "invite", NULL) != NULL);
}

static enum weight weight_of(struct sterna_call *c)
{
	const struct sterna_elem *m = sterna_stanza(c);
	const char *type = sterna_type(c);

	if (strcmp(type, "error") == 0 || strcmp(type, "headline") == 0 || sterna_is_own(c))
		return WEIGHT_NONE;
	if (is_call(m))
		return WEIGHT_CALL;
	return has_text(c, m) || is_encrypted(m) || is_invitation(m) ? WEIGHT_MESSAGE : WEIGHT_NONE;
}

/* --- publishing: §7 --- */

static void add_summary(struct sterna_call *c, const struct push_service *p, struct sterna_elem *notification,
	const struct sterna_elem *about)
{
	const struct push_config *cfg = sterna_config(c);
	struct sterna_elem *form = sterna_form(notification, "form", NS_SUMMARY);

	if (p->count > 0)
		sterna_form_field(form, "message-count", NULL, sterna_printf(c, "%u", p->count));
	if (about == NULL)
		return;
	if (sterna_kind(c) == STERNA_PRESENCE && strcmp(sterna_type(c), "subscribe") == 0)
		sterna_form_field(form, "pending-subscription-count", NULL, "1");
	if (sterna_kind(c) != STERNA_MESSAGE)
		return;
	if (cfg->with_sender)
		sterna_form_field(form, "last-message-sender", NULL, jid_full(sterna_from(c)));
	if (cfg->with_body && has_text(c, sterna_stanza(c)) && !is_encrypted(sterna_stanza(c)))
		sterna_form_field(form, "last-message-body", NULL, text_of(c, elem_child(sterna_stanza(c), "body", NULL)));
}

struct sterna_elem *push_notification(struct sterna_call *c, const struct push_service *p, const struct sterna_elem *about)
{
	struct sterna_elem *pubsub = sterna_elem(c, "pubsub", NS_PUBSUB), *e = sterna_add(pubsub, "publish", NULL);

	if (*p->node != '\0')
		sterna_attr(e, "node", p->node);
	add_summary(c, p, sterna_add(sterna_add(e, "item", NULL), "notification", NS_PUSH), about);
	if (*p->options != '\0')
		sterna_add_xml(sterna_add(pubsub, "publish-options", NULL), p->options);
	return pubsub;
}

const char *push_id(struct sterna_call *c, const struct push_service *p)
{
	unsigned char number[4];

	sterna_random(c, number, sizeof number);
	return sterna_printf(c, "push-%s-%02x%02x%02x%02x", p->token, number[0], number[1], number[2], number[3]);
}

static void publish(struct sterna_call *c, struct push_service *p)
{
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

	sterna_attr(iq, "type", "set");
	sterna_attr(iq, "id", push_id(c, p));
	sterna_attr(iq, "from", sterna_owner(c));
	sterna_attr(iq, "to", p->jid);
	sterna_add_copy(iq, push_notification(c, p, sterna_stanza(c)));
	sterna_send(c, iq);
	push_forget_retry(c, p);
	p->pushed_us = sterna_now_us(c);
	sterna_count(c, PUSH_SENT, 1);
}

static void wake(struct sterna_call *c, struct push_service *p, enum weight weight)
{
	const struct push_config *cfg = sterna_config(c);
	const int64_t since = sterna_now_us(c) - p->pushed_us;

	/* A clock that was set back holds nobody up. */
	if (weight != WEIGHT_CALL && p->pushed_us != 0 && since >= 0 && since < cfg->pause.us)
		sterna_count(c, PUSH_HELD, 1);
	else
		publish(c, p);
}

/* --- when --- */

/* Its connection may be dead already: then the device is woken when that is known (push_on_detached). */
static void remember(struct push_service *p, struct sterna_session *s)
{
	uint32_t sent, acked;

	sterna_session_counts(s, &sent, &acked);
	p->sent = sent + 1;              /* this stop is made before the message is sent */
	p->waits = true;
}

/* Nobody would find it later. What a room says the module for hints has not looked at: all share it. */
static bool is_passing(struct sterna_call *c, bool in_room)
{
	return (sterna_marks(c) & STERNA_NO_STORE) != 0
		|| (in_room && elem_child(sterna_stanza(c), "no-store", NS_HINTS) != NULL);
}

enum sterna_verdict push_on_message(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);
	const enum weight weight = a != NULL && a->count > 0 ? weight_of(c) : WEIGHT_NONE;
	const bool in_room = weight != WEIGHT_NONE && strcmp(sterna_type(c), "groupchat") == 0;

	if (a != NULL && a->count == 0)
		sterna_rest(c, STERNA_REST_ACCOUNT, true); /* until a device asks for it */
	if (weight == WEIGHT_NONE || (weight != WEIGHT_CALL && is_passing(c, in_room)))
		return STERNA_NEXT;
	if (in_room && weight != WEIGHT_CALL && !push_is_wanted(c, is_encrypted(sterna_stanza(c))))
		return STERNA_NEXT;
	for (size_t i = 0; i < a->count; i++) {
		struct push_service *p = &a->item[i];
		struct sterna_session *s = push_session(c, p);

		/* What a room sends is for one session. */
		if (in_room && (s == NULL || !sterna_is_target(c, s)))
			continue;
		if (s != NULL && sterna_session_is_connected(s)) {
			remember(p, s);
			continue;
		}
		p->count++;
		wake(c, p, weight);
	}
	return STERNA_NEXT;
}

enum sterna_verdict push_on_subscription(struct sterna_call *c)
{
	const struct push_config *cfg = sterna_config(c);
	struct push_account *a = sterna_account_slot(c);

	if (a == NULL || a->count == 0 || !cfg->subscriptions || strcmp(sterna_type(c), "subscribe") != 0)
		return STERNA_NEXT;
	for (size_t i = 0; i < a->count; i++) {
		struct sterna_session *s = push_session(c, &a->item[i]);

		if (s == NULL || !sterna_session_is_connected(s))
			wake(c, &a->item[i], WEIGHT_MESSAGE);
	}
	return STERNA_NEXT;
}

/* The connection is lost. What was sent to it and never acknowledged has perhaps not come. */
void push_on_detached(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);
	struct sterna_session *gone = sterna_session(c);
	uint32_t sent, acked;

	if (a == NULL || gone == NULL)
		return;
	sterna_session_counts(gone, &sent, &acked);
	for (size_t i = 0; i < a->count; i++) {
		struct push_service *p = &a->item[i];

		if (push_session(c, p) != gone)
			continue;
		if (p->waits && (int32_t)(p->sent - acked) > 0) {
			p->count = 1;
			wake(c, p, WEIGHT_MESSAGE);
		}
		p->waits = false;
	}
}

void push_on_here(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);

	for (size_t i = 0; a != NULL && i < a->count; i++)
		if (push_session(c, &a->item[i]) == sterna_session(c)) {
			a->item[i].count = 0;
			a->item[i].pushed_us = 0;
			push_forget_retry(c, &a->item[i]);
		}
}

/* --- answers --- */

static const struct sterna_elem *condition_of(const struct sterna_elem *error)
{
	elem_foreach(e, error)
		if (strcmp(e->ns, NS_STANZAS) == 0 && strcmp(e->name, "text") != 0)
			return e;
	return NULL;
}

/* §7.2: these may pass; after all others the node is of no use any more. */
static bool may_pass(const struct sterna_elem *error)
{
	static const char *const passing[] = { "internal-server-error", "recipient-unavailable", "remote-server-not-found",
		"remote-server-timeout", "resource-constraint", "service-unavailable" };
	const struct sterna_elem *condition = error != NULL ? condition_of(error) : NULL;
	const char *type = error != NULL ? elem_attr(error, "type") : NULL;

	if (condition == NULL || (type != NULL && strcmp(type, "wait") == 0))
		return true;
	for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
		if (strcmp(condition->name, passing[i]) == 0)
			return true;
	return false;
}

static void on_error(struct sterna_call *c, struct push_service *p)
{
	const struct push_config *cfg = sterna_config(c);
	const struct sterna_elem *error = elem_child(sterna_stanza(c), "error", NULL);
	const struct sterna_elem *condition = error != NULL ? condition_of(error) : NULL;
	const char *name = condition != NULL ? condition->name : "none";

	sterna_count(c, PUSH_FAILED, 1);
	p->pushed_us = 0;                /* it was not woken: the next message tries again, or push_retry_later() */
	if (may_pass(error) && ++p->failures < cfg->max_failures) {
		log_info("push", "the app server refuses; it is tried again later", "owner", sterna_owner(c),
			"service", p->jid, "condition", name);
		push_retry_later(c, p);
		return;
	}
	log_notice("push", "the app server refuses, and is forgotten for this device", "owner", sterna_owner(c), "service",
		p->jid, "condition", name);
	sterna_count(c, PUSH_REMOVED, 1);
	push_remove(c, p);
}

/* An answer to what was published: ids are ours, and cannot be guessed. */
static enum sterna_verdict on_iq(struct sterna_call *c, struct push_account *a)
{
	const char *type = sterna_type(c), *id = sterna_id(c);

	if (id == NULL || strncmp(id, "push-", 5) != 0 || jid_resource(sterna_to(c)) != NULL)
		return STERNA_NEXT;
	for (size_t i = 0; i < a->count; i++) {
		struct push_service *p = &a->item[i];

		if (strncmp(id + 5, p->token, sizeof p->token - 1) != 0 || strcmp(jid_full(sterna_from(c)), p->jid) != 0)
			continue;
		if (strcmp(type, "error") == 0)
			on_error(c, p);
		else if (strcmp(type, "result") == 0)
			p->failures = 0;
		else
			return STERNA_NEXT;
		return STERNA_DONE;
	}
	return STERNA_NEXT;
}

/* §8: the app server wants no more for this node. */
static enum sterna_verdict on_affiliation(struct sterna_call *c, struct push_account *a)
{
	const struct sterna_elem *pubsub = elem_child(sterna_stanza(c), "pubsub", NS_PUBSUB), *affiliation;
	const char *node, *value;

	if (pubsub == NULL || (affiliation = elem_child(pubsub, "affiliation", NULL)) == NULL)
		return STERNA_NEXT;
	node = elem_attr(pubsub, "node");
	value = elem_attr(affiliation, "affiliation");
	for (size_t i = a->count; i-- > 0 && value != NULL && strcmp(value, "none") == 0;)
		if (strcmp(a->item[i].jid, jid_full(sterna_from(c))) == 0 && strcmp(a->item[i].node, node != NULL ? node : "") == 0) {
			log_info("push", "the app server wants no more", "owner", sterna_owner(c), "service", a->item[i].jid);
			sterna_count(c, PUSH_REMOVED, 1);
			push_remove(c, &a->item[i]);
			return STERNA_DONE;
		}
	return STERNA_NEXT;
}

enum sterna_verdict push_on_answer(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);

	if (a == NULL || a->count == 0)
		return STERNA_NEXT;
	return sterna_kind(c) == STERNA_IQ ? on_iq(c, a) : on_affiliation(c, a);
}
