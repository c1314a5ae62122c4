/* XEP-0357 Push Notifications 0.4.1: devices that are not connected are woken by their app server.
 *
 * A device asks for it on its session; the row remembers the session's resource. From then on whatever deserves it is
 * published to the app server's node while that resource has no connection: no session, or one that may be resumed.
 * This file keeps the list; xep0357_notify.c says what deserves it, and publishes. */
#include "xep/xep0357_push.h"
#include <stdlib.h>
#include <string.h>

#define NS_FORM "jabber:x:data"

static const struct sterna_option options[] = {
	STERNA_OPT(struct push_config, max_services, "20", "1..200", "app servers' nodes per account"),
	STERNA_OPT(struct push_config, max_options, "4KiB", "256..64KiB", "size of the form that is sent along"),
	STERNA_OPT(struct push_config, max_failures, "16", "1..1000",
		"failures in a row, of the kind that may pass, after which a node is forgotten; others end it at once"),
	STERNA_OPT(struct push_config, pause, "5s", "0s..1h", "at most one push in this time to a device that has not come; calls always"),
	STERNA_OPT(struct push_config, retry, "30s", "0s..1h",
		"after a failure of the kind that may pass the device is pushed to again in this time, then in twice that, up to 1 h; 0s: never"),
	STERNA_OPT(struct push_config, with_sender, "false", NULL, "tell the app server who wrote"),
	STERNA_OPT(struct push_config, with_body, "false", NULL, "tell the app server what was written; never of encrypted messages"),
	STERNA_OPT(struct push_config, subscriptions, "true", NULL, "wake for requests for a subscription, too"),
	{ 0 }
};

static const struct sterna_metric metrics[] = {
	[PUSH_SENT] = { "sterna_push_sent_total", "Notifications published to app servers.", METRIC_COUNTER },
	[PUSH_HELD] = { "sterna_push_held_total", "Notifications left out: the device was woken a moment ago.", METRIC_COUNTER },
	[PUSH_FAILED] = { "sterna_push_failed_total", "Notifications that an app server refused.", METRIC_COUNTER },
	[PUSH_REMOVED] = { "sterna_push_removed_total", "App servers' nodes forgotten after failures, or at their wish.", METRIC_COUNTER },
	{ 0 }
};

/* Settings of rooms (XEP-0492) stand among them, without a service. */
static const struct db_stmt load_all = {
	.name = "push_load", .params = "t", .columns = "tttti",
	.sql = "SELECT service, node, resource, options, created FROM push_service WHERE owner = $1"
		" UNION ALL SELECT '', id, '', payload, 0 FROM pubsub_item WHERE owner = $1 AND node = 'urn:xmpp:bookmarks:1'"
		" AND payload LIKE '%urn:xmpp:notification-settings:%' AND EXISTS (SELECT 1 FROM push_service WHERE owner = $1)"
		" ORDER BY 5",
};
static const struct db_stmt put = {
	.name = "push_put", .params = "ttttti",
	.sql = "INSERT INTO push_service (owner, service, node, resource, options, created) VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (owner, service, node) DO UPDATE SET resource = excluded.resource, options = excluded.options,"
		" created = excluded.created",
};
static const struct db_stmt drop = {
	.name = "push_drop", .params = "ttt",
	.sql = "DELETE FROM push_service WHERE owner = $1 AND service = $2 AND node = $3",
};
static const struct db_stmt drop_all = {
	.name = "push_drop_all", .params = "t",
	.sql = "DELETE FROM push_service WHERE owner = $1",
};

/* --- the list --- */

static void clear(struct push_service *p)
{
	free(p->jid);
	free(p->node);
	free(p->resource);
	free(p->options);
}

static struct push_service *find(struct push_account *a, const char *jid, const char *node)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->item[i].jid, jid) == 0 && strcmp(a->item[i].node, node) == 0)
			return &a->item[i];
	return NULL;
}

static struct push_service *add(struct sterna_call *c, struct push_account *a, const char *jid, const char *node)
{
	static const char hex[] = "0123456789abcdef";
	struct push_service *p;
	unsigned char bytes[8];

	sterna_rest(c, STERNA_REST_ACCOUNT, false);
	a->item = xrealloc(a->item, (a->count + 1) * sizeof *a->item);
	p = &a->item[a->count++];
	*p = (struct push_service){ .jid = xstrdup(jid), .node = xstrdup(node), .resource = xstrdup(""), .options = xstrdup("") };
	sterna_random(c, bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++) {
		p->token[2 * i] = hex[bytes[i] >> 4];
		p->token[2 * i + 1] = hex[bytes[i] & 15];
	}
	return p;
}

static void set(char **field, const char *text)
{
	free(*field);
	*field = xstrdup(text);
}

void push_remove(struct sterna_call *c, struct push_service *p)
{
	struct push_account *a = sterna_account_slot(c);

	sterna_write(c, &drop, sterna_owner(c), p->jid, p->node);
	push_forget_retry(c, p);
	clear(p);
	*p = a->item[--a->count];
}

struct sterna_session *push_session(struct sterna_call *c, const struct push_service *p)
{
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		if (strcmp(jid_resource(sterna_session_jid(s)), p->resource) == 0)
			return s;
	return NULL;
}

static void on_rows(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct push_account *a = sterna_account_slot(c);

	for (size_t i = 0; i < rows->count; i++) {
		const char *const *row = &rows->text[i * rows->columns];
		struct push_service *p;

		if (*row[0] == '\0') {
			push_set_setting(c, row[1], row[3]);
			continue;
		}
		p = add(c, a, row[0], row[1]);
		set(&p->resource, row[2]);
		set(&p->options, row[3]);
	}
}

static void on_unloaded(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);

	for (size_t i = 0; i < a->count; i++)
		clear(&a->item[i]);
	free(a->item);
	push_forget_settings(a);
	*a = (struct push_account){ .count = 0 };
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &drop_all, sterna_owner(c));
	push_forget_retries(c);
}

/* --- what clients ask for: §5, §6 --- */

/* The address in its normal form, borrowed from the stanza's memory; NULL: none, or no JID. */
static const char *service_jid(struct sterna_call *c)
{
	const char *text = elem_attr(sterna_payload(c), "jid"), *normal = NULL;
	struct jid *j = NULL;

	if (text != NULL && jid_parse(text, strlen(text), &j) == STERNA_OK)
		normal = sterna_printf(c, "%s", jid_full(j));
	jid_unref(&j);
	return normal;
}

static enum sterna_verdict enable(struct sterna_call *c)
{
	const struct push_config *cfg = sterna_config(c);
	struct push_account *a = sterna_account_slot(c);
	const struct sterna_elem *form = elem_child(sterna_payload(c), "x", NS_FORM);
	const char *jid = service_jid(c), *node = elem_attr(sterna_payload(c), "node");
	const char *xml = form != NULL ? sterna_xml(form) : "";
	struct push_service *p;

	if (sterna_session(c) == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	if (elem_attr(sterna_payload(c), "jid") == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "which app server? jid is missing");
	if (jid == NULL)
		return sterna_reject(c, STERNA_JID_MALFORMED, NULL);
	node = node != NULL ? node : "";
	if (strlen(xml) > cfg->max_options.bytes || strlen(node) > cfg->max_options.bytes)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the node's name or the form is too large");
	p = find(a, jid, node);
	if (p == NULL && a->count >= cfg->max_services)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many app servers");
	if (p == NULL)
		p = add(c, a, jid, node);
	set(&p->resource, jid_resource(sterna_session_jid(sterna_session(c))));
	set(&p->options, xml);
	p->failures = p->count = 0;
	p->pushed_us = 0;
	p->waits = false;
	sterna_write(c, &put, sterna_owner(c), jid, node, p->resource, p->options, sterna_now_us(c));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_enable(struct sterna_call *c)
{
	const struct push_account *a = sterna_account_slot(c);

	return a->count == 0 ? push_read_settings(c, enable) : enable(c);
}

/* §6: one node, or without node all of that app server. */
static enum sterna_verdict on_disable(struct sterna_call *c)
{
	struct push_account *a = sterna_account_slot(c);
	const char *jid = service_jid(c), *node = elem_attr(sterna_payload(c), "node");

	if (elem_attr(sterna_payload(c), "jid") == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "which app server? jid is missing");
	if (jid == NULL)
		return sterna_reject(c, STERNA_JID_MALFORMED, NULL);
	for (size_t i = a->count; i-- > 0;)
		if (strcmp(a->item[i].jid, jid) == 0 && (node == NULL || strcmp(a->item[i].node, node) == 0))
			push_remove(c, &a->item[i]);
	return sterna_reply(c, NULL);
}

STERNA_MODULE(push, .spec = "XEP-0357 0.4.1", .summary = "Push Notifications",
	.options = options, .config_size = sizeof(struct push_config), .account_size = sizeof(struct push_account),
	.worker_size = sizeof(struct push_worker), .metrics = metrics,
	.account_reads = (const struct sterna_account_read[]){ { &load_all, on_rows }, { 0 } },
	.features = (const struct sterna_feature[]){ { NS_PUSH, STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_IN_POLICY, push_on_answer, "blocking", STERNA_IQ | STERNA_MESSAGE, STERNA_HOOK_RESTS | STERNA_HOOK_NOT_MANY },
		{ STERNA_IN_COPY, push_on_message, NULL, STERNA_MESSAGE, STERNA_HOOK_RESTS },
		{ STERNA_IN_COPY, push_on_subscription, NULL, STERNA_PRESENCE, STERNA_HOOK_RESTS | STERNA_HOOK_NOT_MANY }, { 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_ACCOUNT_UNLOADED, on_unloaded }, { STERNA_ACCOUNT_DELETED, on_deleted },
		{ STERNA_SESSION_BOUND, push_on_here }, { STERNA_SESSION_RESUMED, push_on_here },
		{ STERNA_SESSION_DETACHED, push_on_detached },
		{ STERNA_WORKER_TICK, push_on_tick }, { STERNA_WORKER_ENDED, push_on_worker_ended }, { 0 } },
	.stops = (const struct sterna_stop[]){ { PEP_CHANGED, push_on_changed }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_PUSH, "enable", on_enable },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_PUSH, "disable", on_disable }, { 0 } });
