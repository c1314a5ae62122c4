/* rtbl_feed.c - how lists come here: a subscription (XEP-0060 §6.1), a copy of the whole list, page by page (XEP-0059)
 * where the service knows pages, and changes as they are published. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "modules/rtbl.h"

#define NS_CLIENT_ "jabber:client"
#define NS_PUBSUB "http://jabber.org/protocol/pubsub"
#define NS_EVENT "http://jabber.org/protocol/pubsub#event"
#define NS_RSM "http://jabber.org/protocol/rsm"
#define NS_REPORTING "urn:xmpp:reporting:1"
#define NODE_CONFIG "http://jabber.org/protocol/pubsub#node_config"

enum { AGAIN_US = 5000000, AGAIN_MOST_US = 60000000 };
#define PAGE "500"

static struct rtbl *state_of(struct sterna_call *c)
{
	return sterna_mod_data(sterna_mod(c));
}

/* --- asking --- */

static struct sterna_elem *request(struct sterna_call *c, const char *type, const char *to, const char *what, size_t list,
	struct sterna_elem **pubsub)
{
	struct rtbl *r = state_of(c);
	struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT_);

	sterna_attr(iq, "type", type);
	sterna_attr(iq, "id", sterna_printf(c, "rtbl-%s-%zu-%u", what, list, ++r->number));
	sterna_attr(iq, "from", r->domain);
	sterna_attr(iq, "to", to);
	*pubsub = sterna_add(iq, "pubsub", NS_PUBSUB);
	return iq;
}

static void ask_page(struct sterna_call *c, size_t n, const char *after)
{
	const struct rtbl_list *l = &state_of(c)->list[n];
	struct sterna_elem *pubsub, *iq = request(c, "get", l->service, "items", n, &pubsub);

	sterna_attr(sterna_add(pubsub, "items", NULL), "node", l->node);
	struct sterna_elem *set = sterna_add(pubsub, "set", NS_RSM);

	sterna_text(set, "max", PAGE);
	if (after != NULL)
		sterna_text(set, "after", after);
	sterna_send(c, iq);
}

/* --- our own list --- */

static struct sterna_elem *to_ours(struct sterna_call *c, const char *action, struct sterna_elem **iq)
{
	struct rtbl *r = state_of(c);
	const char *slash = strchr(r->publish, '/');
	struct sterna_elem *pubsub, *e;

	*iq = request(c, "set", sterna_printf(c, "%.*s", (int)(slash - r->publish), r->publish), "publish", 0, &pubsub);
	e = sterna_add(pubsub, action, NULL);
	sterna_attr(e, "node", slash + 1);
	return e;
}

/* Whenever it is asked for; if it is there, nothing comes of that. */
static void make_node(struct sterna_call *c)
{
	struct sterna_elem *iq, *create = to_ours(c, "create", &iq);
	struct sterna_elem *configure = sterna_add(create->parent, "configure", NULL);
	struct sterna_elem *form = sterna_form(configure, "submit", NODE_CONFIG);

	sterna_attr(iq, "id", sterna_printf(c, "rtbl-make-%u", ++state_of(c)->number));
	sterna_form_field(form, "pubsub#access_model", NULL, "open");
	sterna_form_field(form, "pubsub#persist_items", NULL, "1");
	sterna_form_field(form, "pubsub#max_items", NULL, "max");
	sterna_form_field(form, "pubsub#send_last_published_item", NULL, "never");
	sterna_form_field(form, "pubsub#notify_retract", NULL, "1");
	sterna_send(c, iq);
}

/* --- others' --- */

static void ask(struct sterna_call *c, size_t n)
{
	const struct rtbl *r = state_of(c);

	if (r->publish != NULL && strcmp(r->list[n].name, r->publish) == 0)
		make_node(c);
	struct sterna_elem *pubsub, *iq = request(c, "set", r->list[n].service, "subscribe", n, &pubsub);
	struct sterna_elem *subscribe = sterna_add(pubsub, "subscribe", NULL);

	sterna_attr(subscribe, "node", r->list[n].node);
	sterna_attr(subscribe, "jid", r->domain);
	sterna_send(c, iq);
	ask_page(c, n, NULL); /* behind it: what changes meanwhile is told */
}

static bool is_due(const struct rtbl_list *l, int64_t now, int64_t refresh_us)
{
	const int64_t again_us = l->tries > 4 ? AGAIN_MOST_US : (int64_t)AGAIN_US << l->tries;

	return now >= l->asked_us + (l->state == RTBL_LIVE ? refresh_us : again_us) || now < l->asked_us;
}

void rtbl_on_tick(struct sterna_call *c)
{
	const struct rtbl_options *o = sterna_config(c);
	struct rtbl *r = state_of(c);
	const int64_t now = sterna_now_us(c);
	bool due[RTBL_LISTS_MAX];

	pthread_rwlock_wrlock(&r->lock);
	for (size_t i = 0; i < r->count; i++) {
		struct rtbl_list *l = &r->list[i];

		due[i] = is_due(l, now, o->refresh.us);
		if (!due[i])
			continue;
		l->asked_us = now;
		l->tries++;
		l->state = l->state == RTBL_LIVE ? RTBL_LIVE : RTBL_ASKED;
		rtbl_set_clear(&l->fresh);
	}
	for (size_t i = 0; i < r->count; i++)
		if (due[i])
			ask(c, i);
	pthread_rwlock_unlock(&r->lock);
}

/* --- changes --- */

static void counted(struct sterna_call *c, struct rtbl *r, int64_t n)
{
	atomic_fetch_add(&r->total, (size_t)n);
	sterna_mod_count(sterna_mod(c), RTBL_M_ITEMS, 0, n);
}

static void add(struct sterna_call *c, struct rtbl *r, struct rtbl_list *l, const char *hash)
{
	const struct rtbl_options *o = sterna_config(c);

	l->full |= l->items.count >= o->items;
	if (!rtbl_set_add(&l->items, hash, o->items))
		return;
	rtbl_put_row(c, l, hash);
	counted(c, r, 1);
}

static void take_away(struct sterna_call *c, struct rtbl *r, struct rtbl_list *l, const char *hash)
{
	if (!rtbl_set_remove(&l->items, hash))
		return;
	rtbl_drop_row(c, l, hash);
	counted(c, r, -1);
}

static void on_items_event(struct sterna_call *c, struct rtbl *r, struct rtbl_list *l, const struct sterna_elem *items)
{
	const struct rtbl_options *o = sterna_config(c);
	char hash[RTBL_HASH_LEN];

	elem_foreach(e, items) {
		if (!rtbl_read_hash(elem_attr(e, "id"), hash)) {
			sterna_mod_count(sterna_mod(c), RTBL_M_BAD, 0, 1);
		} else if (strcmp(e->name, "item") == 0) {
			(void)rtbl_set_add(&l->fresh, hash, o->items);
			add(c, r, l, hash);
		} else if (strcmp(e->name, "retract") == 0) {
			(void)rtbl_set_remove(&l->fresh, hash);
			take_away(c, r, l, hash);
		}
	}
	l->changed_us = sterna_now_us(c);
}

static void on_purge(struct sterna_call *c, struct rtbl *r, struct rtbl_list *l)
{
	struct map_entry *e;
	char hash[RTBL_HASH_LEN];

	rtbl_set_clear(&l->fresh);
	for (size_t at = 0; (e = map_next(&l->items, &at)) != NULL;) {
		snprintf(hash, sizeof hash, "%s", e->key);
		take_away(c, r, l, hash);
	}
	l->changed_us = sterna_now_us(c);
}

/* Only of the service that has the list. */
static void on_message(struct sterna_call *c, struct rtbl *r)
{
	const struct sterna_elem *event = elem_child(sterna_stanza(c), "event", NS_EVENT);
	const struct sterna_elem *what = event != NULL ? elem_first(event) : NULL;
	const char *node = what != NULL ? elem_attr(what, "node") : NULL;

	for (size_t i = 0; node != NULL && i < r->count; i++) {
		struct rtbl_list *l = &r->list[i];

		if (strcmp(l->node, node) != 0 || strcmp(l->service, jid_bare(sterna_from(c))) != 0)
			continue;
		if (strcmp(what->name, "items") == 0)
			on_items_event(c, r, l, what);
		else if (strcmp(what->name, "purge") == 0 || strcmp(what->name, "delete") == 0)
			on_purge(c, r, l);
	}
}

/* --- copies --- */

/* What the new copy has is the list: the difference is made, so that nothing listed is let through meanwhile. */
static void complete(struct sterna_call *c, struct rtbl *r, struct rtbl_list *l)
{
	struct map_entry *e;
	char hash[RTBL_HASH_LEN];

	for (size_t at = 0; (e = map_next(&l->items, &at)) != NULL;)
		if (map_get(&l->fresh, e->key) == NULL) {
			snprintf(hash, sizeof hash, "%s", e->key);
			take_away(c, r, l, hash);
		}
	for (size_t at = 0; (e = map_next(&l->fresh, &at)) != NULL;)
		add(c, r, l, e->key);
	rtbl_set_clear(&l->fresh);
	if (l->state != RTBL_LIVE)
		log_info("rtbl", "a list is complete", "list", l->name, "items", LOG_UINT(l->items.count));
	l->state = RTBL_LIVE;
	l->complete_us = sterna_now_us(c);
	l->tries = 0;
	*l->why = '\0';
}

static void on_page(struct sterna_call *c, struct rtbl *r, size_t n)
{
	const struct rtbl_options *o = sterna_config(c);
	struct rtbl_list *l = &r->list[n];
	const struct sterna_elem *pubsub = elem_child(sterna_stanza(c), "pubsub", NS_PUBSUB);
	const struct sterna_elem *items = pubsub != NULL ? elem_child(pubsub, "items", NS_PUBSUB) : NULL;
	const struct sterna_elem *set = pubsub != NULL ? elem_child(pubsub, "set", NS_RSM) : NULL;
	const char *last = set != NULL ? sterna_child_text(set, "last") : NULL;
	const size_t before = l->fresh.count;
	char hash[RTBL_HASH_LEN];

	if (items == NULL)
		return;
	elem_foreach(e, items)
		if (rtbl_read_hash(elem_attr(e, "id"), hash))
			(void)rtbl_set_add(&l->fresh, hash, o->items);
	/* Another page, as long as pages bring something. */
	if (last != NULL && l->fresh.count > before && l->fresh.count < o->items)
		ask_page(c, n, last);
	else
		complete(c, r, l);
}

static void on_failure(struct sterna_call *c, struct rtbl_list *l)
{
	const struct sterna_elem *error = elem_child(sterna_stanza(c), "error", NS_CLIENT_);
	const struct sterna_elem *condition = error != NULL ? elem_first(error) : NULL;
	const char *name = condition != NULL ? condition->name : "no reason given";

	if (strcmp(l->why, name) != 0)
		log_warning("rtbl", "a list cannot be had; what is known of it stays", "list", l->name, "condition", name);
	snprintf(l->why, sizeof l->why, "%s", name);
	l->state = RTBL_FAILED;
}

/* "rtbl-items-2-17": of list 2, from who has it. */
static struct rtbl_list *list_of(struct sterna_call *c, struct rtbl *r, const char *what, size_t *n)
{
	const char *id = sterna_id(c);
	const size_t len = strlen(what);

	if (id == NULL || strncmp(id, what, len) != 0 || id[len] != '-')
		return NULL;
	*n = strtoul(id + len + 1, NULL, 10);
	return *n < r->count && strcmp(r->list[*n].service, jid_bare(sterna_from(c))) == 0 ? &r->list[*n] : NULL;
}

static void on_answer(struct sterna_call *c, struct rtbl *r)
{
	const bool failed = strcmp(sterna_type(c), "error") == 0;
	size_t n = 0;
	struct rtbl_list *l = list_of(c, r, "rtbl-items", &n);

	if (l != NULL && failed)
		on_failure(c, l);
	else if (l != NULL)
		on_page(c, r, n);
	else if ((l = list_of(c, r, "rtbl-subscribe", &n)) != NULL && failed)
		log_warning("rtbl", "no subscription to a list: it is fetched now and then only", "list", l->name);
	else if (failed && sterna_id(c) != NULL && strncmp(sterna_id(c), "rtbl-publish", 12) == 0)
		log_warning("rtbl", "our own list does not take that; may this service publish there?", "list", r->publish);
}

static bool has_one(const struct rtbl *r, const struct jid *from)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->list[i].service, jid_full(from)) == 0)
			return true;
	return false;
}

bool rtbl_takes(struct sterna_call *c)
{
	struct rtbl *r = state_of(c);
	const enum sterna_kind kind = sterna_kind(c);
	const bool answer = kind == STERNA_IQ && (strcmp(sterna_type(c), "result") == 0 || strcmp(sterna_type(c), "error") == 0);

	if (r->domain == NULL || sterna_to(c) == NULL || (!answer && kind != STERNA_MESSAGE)
		|| strcmp(jid_full(sterna_to(c)), r->domain) != 0 || !has_one(r, sterna_from(c)))
		return false;
	pthread_rwlock_wrlock(&r->lock);
	if (answer)
		on_answer(c, r);
	else
		on_message(c, r);
	pthread_rwlock_unlock(&r->lock);
	return true;
}

/* --- what we put on ours --- */

void rtbl_publish(struct sterna_call *c, const char *hash, const char *reason)
{
	struct sterna_elem *iq, *publish = to_ours(c, "publish", &iq), *item, *report;

	item = sterna_add(publish, "item", NULL);
	sterna_attr(item, "id", hash);
	report = sterna_add(item, "report", NS_REPORTING);
	sterna_attr(report, "reason", "urn:xmpp:reporting:abuse");
	if (reason != NULL)
		sterna_text(report, "text", reason);
	sterna_send(c, iq);
}

void rtbl_retract(struct sterna_call *c, const char *hash)
{
	struct sterna_elem *iq, *retract = to_ours(c, "retract", &iq);

	sterna_attr(retract, "notify", "true");
	sterna_attr(sterna_add(retract, "item", NULL), "id", hash);
	sterna_send(c, iq);
}
