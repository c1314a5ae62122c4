/* XEP-0357: a notification that an app server could not take now is repeated a while later, each time after twice the
 * time, until it is taken, the device comes by itself, or something newer is published there. So a device is not asleep
 * for ever because its app server had a bad minute.
 *
 * What waits is in the worker's slot, and only in memory: after a restart the next message wakes the device. */
#include <stdlib.h>
#include <string.h>
#include "xep/xep0357_push.h"

enum { RETRIES_MAX = 20000, LONGEST_S = 3600 };

struct push_retry {
	struct push_retry *next;
	char *owner, *service, *node;
	char *id, *pubsub;               /* of the IQ; its payload as XML */
	int64_t due_us;
};

static void retry_free(struct push_retry **r)
{
	free((*r)->owner);
	free((*r)->service);
	free((*r)->node);
	free((*r)->id);
	free((*r)->pubsub);
	free(*r);
	*r = NULL;
}

/* Those of an account: for one of its services, or for all (service NULL). */
static void forget(struct sterna_call *c, const char *service, const char *node)
{
	struct push_worker *w = sterna_worker_slot(c);

	for (struct push_retry **at = &w->retries; *at != NULL;) {
		struct push_retry *r = *at;

		if (strcmp(r->owner, sterna_owner(c)) != 0
			|| (service != NULL && (strcmp(r->service, service) != 0 || strcmp(r->node, node) != 0))) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		retry_free(&r);
		w->retry_count--;
	}
}

void push_forget_retry(struct sterna_call *c, struct push_service *p)
{
	if (p->retrying)
		forget(c, p->jid, p->node);
	p->retrying = false;
}

void push_forget_retries(struct sterna_call *c)
{
	forget(c, NULL, NULL);
}

void push_retry_later(struct sterna_call *c, struct push_service *p)
{
	const struct push_config *cfg = sterna_config(c);
	struct push_worker *w = sterna_worker_slot(c);
	struct push_retry *r;
	int64_t wait = cfg->retry.us;

	push_forget_retry(c, p);
	if (wait == 0 || w->retry_count == RETRIES_MAX)
		return; /* the next message tries again */
	for (unsigned i = 1; i < p->failures && wait < LONGEST_S * INT64_C(1000000); i++)
		wait *= 2;
	r = xalloc(sizeof *r);
	*r = (struct push_retry){ .next = w->retries, .owner = xstrdup(sterna_owner(c)), .service = xstrdup(p->jid),
		.node = xstrdup(p->node), .due_us = sterna_now_us(c) + wait };
	r->id = xstrdup(push_id(c, p));
	r->pubsub = xstrdup(sterna_xml(push_notification(c, p, NULL)));
	w->retries = r;
	w->retry_count++;
	p->retrying = true;
}

static void send_again(struct sterna_call *c, const struct push_retry *r)
{
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

	sterna_attr(iq, "type", "set");
	sterna_attr(iq, "id", r->id);
	sterna_attr(iq, "from", r->owner);
	sterna_attr(iq, "to", r->service);
	sterna_add_xml(iq, r->pubsub);
	sterna_send(c, iq);
	sterna_count(c, PUSH_SENT, 1);
}

void push_on_tick(struct sterna_call *c)
{
	struct push_worker *w = sterna_worker_slot(c);
	const int64_t now = sterna_now_us(c);

	for (struct push_retry **at = &w->retries; *at != NULL;) {
		struct push_retry *r = *at;

		if (r->due_us > now) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		send_again(c, r);
		retry_free(&r);
		w->retry_count--;
	}
}

void push_on_worker_ended(struct sterna_call *c)
{
	struct push_worker *w = sterna_worker_slot(c);

	while (w->retries != NULL) {
		struct push_retry *r = w->retries;

		w->retries = r->next;
		retry_free(&r);
	}
	w->retry_count = 0;
}
