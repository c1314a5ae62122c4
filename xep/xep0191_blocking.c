/* XEP-0191 Blocking Command 1.3: no stanzas from, and none to, the addresses on the account's list; with the
 * reports of XEP-0377 0.4 inside the items. */
#include <string.h>
#include "xep/jid_list.h"
#include "xep/xep0377_reports.h"

#define NS_BLOCKING "urn:xmpp:blocking"
#define NS_BLOCKING_ERRORS "urn:xmpp:blocking:errors"

struct blocking_config {
	unsigned max_items, max_reports;
};
struct blocking_account {
	struct jid_list list;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct blocking_config, max_items, "10000", "1..100000", "how many addresses an account may block"),
	STERNA_OPT(struct blocking_config, max_reports, "100", "0..100000",
		"how many reports of one account are kept (XEP-0377); sternactl report list shows them"),
	{ 0 }
};

enum { M_REFUSED_IN, M_REFUSED_OUT, M_REPORTS };
static const struct sterna_metric metrics[] = {
	[M_REFUSED_IN] = { "sterna_blocking_in_total", "Stanzas from blocked addresses, not delivered.", METRIC_COUNTER },
	[M_REFUSED_OUT] = { "sterna_blocking_out_total", "Stanzas to blocked addresses, not sent.", METRIC_COUNTER },
	[M_REPORTS] = { "sterna_blocking_reports_total", "Reports of spam and abuse (XEP-0377).", METRIC_COUNTER },
	{ 0 }
};

static const struct db_stmt load_all = {
	.name = "blocking_load", .params = "t", .columns = "t",
	.sql = "SELECT jid FROM blocklist WHERE owner = $1",
};
static const struct db_stmt put = {
	.name = "blocking_put", .params = "tti",
	.sql = "INSERT INTO blocklist (owner, jid, created) VALUES ($1, $2, $3) ON CONFLICT (owner, jid) DO NOTHING",
};
static const struct db_stmt drop = {
	.name = "blocking_drop", .params = "tt",
	.sql = "DELETE FROM blocklist WHERE owner = $1 AND jid = $2",
};
static const struct db_stmt drop_all = {
	.name = "blocking_drop_all", .params = "t",
	.sql = "DELETE FROM blocklist WHERE owner = $1",
};

static struct jid_list *list_of(struct sterna_call *c)
{
	struct blocking_account *a = sterna_account_slot(c);

	return a != NULL ? &a->list : NULL;
}

static void on_rows(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct jid_list *l = list_of(c);

	for (size_t i = 0; i < rows->count; i++) {
		sterna_rest(c, STERNA_REST_ACCOUNT, false);
		jid_list_add(l, rows->text[i * rows->columns]);
		sterna_hide_presence(c, rows->text[i * rows->columns], true);
	}
}

static void on_unloaded(struct sterna_call *c)
{
	jid_list_clear(list_of(c));
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &drop_all, sterna_owner(c));
}

/* --- presence: §3.3 and §3.4, only to those who may see it --- */

struct shown {
	const char *domain;
	bool show;
};

static void show_contact(struct sterna_call *c, const char *contact, void *arg)
{
	const struct shown *s = arg;
	struct jid *j = NULL;

	if (jid_parse(contact, strlen(contact), &j) != STERNA_OK)
		return;
	if (strcmp(jid_domain(j), s->domain) == 0 && !(s->show && jid_list_matches(list_of(c), j)))
		sterna_show_presence(c, j, s->show);
	jid_unref(&j);
}

/* The item was put on the list, or taken from it (show): now, and in all broadcasts and probes to come. */
static void show_item(struct sterna_call *c, const char *item, bool show)
{
	struct jid *j = NULL;

	sterna_hide_presence(c, item, !show);
	if (jid_parse(item, strlen(item), &j) != STERNA_OK)
		return;
	if (jid_local(j) == NULL && jid_resource(j) == NULL)
		sterna_each_contact(c, true, show_contact, &(struct shown){ jid_domain(j), show });
	else if (sterna_may_see(c, j) && !(show && jid_list_matches(list_of(c), j)))
		sterna_show_presence(c, j, show);
	jid_unref(&j);
}

/* --- the three commands --- */

/* To every session that has asked for the list (§3.2); it remembers that over a resumption. */
static void push(struct sterna_call *c, const char *name, const struct sterna_elem *items)
{
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s)) {
		unsigned char bytes[8];

		if (sterna_kept(s, "blocking") == NULL)
			continue;
		sterna_random(c, bytes, sizeof bytes);
		struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

		sterna_attr(iq, "type", "set");
		sterna_attr(iq, "id", sterna_printf(c, "block-%02x%02x%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1],
			bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]));
		sterna_attr(iq, "to", jid_full(sterna_session_jid(s)));
		struct sterna_elem *command = sterna_add(iq, name, NS_BLOCKING);

		elem_foreach(item, items)
			sterna_attr(sterna_add(command, "item", NULL), "jid", elem_attr(item, "jid"));
		sterna_send_to(c, s, iq);
	}
}

static enum sterna_verdict on_list(struct sterna_call *c)
{
	const struct jid_list *l = list_of(c);
	struct sterna_elem *answer = sterna_elem(c, "blocklist", NS_BLOCKING);
	struct sterna_session *s = sterna_session(c);

	for (size_t i = 0; i < l->count; i++)
		sterna_attr(sterna_add(answer, "item", NULL), "jid", l->item[i]);
	if (s != NULL)
		sterna_keep(c, s, "blocking", "1");
	return sterna_reply(c, answer);
}

/* The command's items in their normal form, as <item/>s of a new element; NULL: one is no JID, and c is refused. */
static struct sterna_elem *normal_items(struct sterna_call *c)
{
	struct sterna_elem *out = sterna_elem(c, "items", NS_BLOCKING);

	elem_foreach(item, sterna_payload(c)) {
		const char *text = elem_attr(item, "jid");
		struct jid *j = NULL;

		if (!elem_is(item, "item", NS_BLOCKING))
			continue;
		if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
			return NULL;
		sterna_attr(sterna_add(out, "item", NULL), "jid", jid_full(j));
		jid_unref(&j);
	}
	return out;
}

static enum sterna_verdict on_block(struct sterna_call *c)
{
	const struct blocking_config *cfg = sterna_config(c);
	struct jid_list *l = list_of(c);
	const struct sterna_elem *items = normal_items(c);
	size_t count = l->count;

	if (items == NULL)
		return sterna_reject(c, STERNA_JID_MALFORMED, NULL);
	if (sterna_child(items) == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "no item to block"); /* §3.2 */
	elem_foreach(item, items)
		count += jid_list_has(l, elem_attr(item, "jid")) ? 0 : 1;
	if (count > cfg->max_items)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the block list is full");
	elem_foreach(item, items) {
		const char *jid = elem_attr(item, "jid");

		if (!jid_list_add(l, jid))
			continue;
		sterna_rest(c, STERNA_REST_ACCOUNT, false);
		sterna_write(c, &put, sterna_owner(c), jid, sterna_now_us(c));
		show_item(c, jid, false);
	}
	reports_take(c, sterna_payload(c), M_REPORTS, cfg->max_reports);
	push(c, "block", items);
	return sterna_reply(c, NULL);
}

static enum sterna_verdict unblock_all(struct sterna_call *c)
{
	struct jid_list *l = list_of(c), old = *l;

	*l = (struct jid_list){ NULL, 0, 0 };
	sterna_write(c, &drop_all, sterna_owner(c));
	for (size_t i = 0; i < old.count; i++)
		show_item(c, old.item[i], true);
	jid_list_clear(&old);
	push(c, "unblock", sterna_elem(c, "items", NS_BLOCKING));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_unblock(struct sterna_call *c)
{
	struct jid_list *l = list_of(c);
	const struct sterna_elem *items = normal_items(c);

	if (items == NULL)
		return sterna_reject(c, STERNA_JID_MALFORMED, NULL);
	if (sterna_child(items) == NULL)
		return unblock_all(c);
	elem_foreach(item, items) {
		const char *jid = elem_attr(item, "jid");

		if (!jid_list_remove(l, jid))
			continue;
		sterna_write(c, &drop, sterna_owner(c), jid);
		show_item(c, jid, true);
	}
	push(c, "unblock", items);
	return sterna_reply(c, NULL);
}

/* --- the stops --- */

/* Never between one's own devices (§4), and never the server itself: it answers for the account. */
static bool is_blocked(struct sterna_call *c, const struct jid *other)
{
	const struct jid_list *l = list_of(c);

	if (l != NULL && l->count == 0)
		sterna_rest(c, STERNA_REST_ACCOUNT, true); /* until something is blocked */
	if (l == NULL || l->count == 0 || other == NULL || strcmp(jid_bare(other), sterna_owner(c)) == 0
		|| strcmp(jid_full(other), sterna_host(c)) == 0)
		return false;
	return jid_list_matches(l, other);
}

/* Straight to the session: an error "from" the blocked address that went the usual way would be blocked itself. */
static void refuse_own(struct sterna_call *c)
{
	static const char *const names[] = {
		[STERNA_MESSAGE] = "message", [STERNA_PRESENCE] = "presence", [STERNA_IQ] = "iq"
	};
	struct sterna_elem *stanza = sterna_elem(c, names[sterna_kind(c)], NS_CLIENT), *error;

	sterna_attr(stanza, "type", "error");
	if (sterna_id(c) != NULL)
		sterna_attr(stanza, "id", sterna_id(c));
	sterna_attr(stanza, "from", jid_full(sterna_to(c)));
	sterna_attr(stanza, "to", jid_full(sterna_from(c)));
	error = sterna_add(stanza, "error", NULL);
	sterna_attr(error, "type", "cancel");
	sterna_add(error, "not-acceptable", NS_STANZAS);
	sterna_add(error, "blocked", NS_BLOCKING_ERRORS);
	sterna_send_to(c, sterna_session(c), stanza);
}

/* §3.3, last paragraph. */
static enum sterna_verdict on_out(struct sterna_call *c)
{
	const char *type = sterna_type(c);

	if (!is_blocked(c, sterna_to(c)))
		return STERNA_NEXT;
	sterna_count(c, M_REFUSED_OUT, 1);
	/* RFC 6120 §8.3.1: no error for an error; nor for what expects no answer. */
	if (strcmp(type, "error") != 0 && strcmp(type, "result") != 0 && strcmp(type, "unavailable") != 0
		&& sterna_session(c) != NULL)
		refuse_own(c);
	return STERNA_DONE;
}

/* §3.3: messages and requests as if there were nobody, the rest without a word. A room takes an error for its
 * message as a sign that the occupant has gone, so that has none either. */
static enum sterna_verdict on_in(struct sterna_call *c)
{
	const char *type = sterna_type(c);

	if (!is_blocked(c, sterna_from(c)))
		return STERNA_NEXT;
	sterna_count(c, M_REFUSED_IN, 1);
	if (sterna_kind(c) == STERNA_PRESENCE || strcmp(type, "result") == 0 || strcmp(type, "error") == 0
		|| strcmp(type, "groupchat") == 0)
		return STERNA_DONE;
	return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}

STERNA_MODULE(blocking, .spec = "XEP-0191 1.3", .summary = "Blocking Command",
	.options = options, .config_size = sizeof(struct blocking_config),
	.account_size = sizeof(struct blocking_account), .metrics = metrics,
	.account_reads = (const struct sterna_account_read[]){ { &load_all, on_rows }, { 0 } },
	.features = (const struct sterna_feature[]){
		{ NS_BLOCKING, STERNA_SERVER | STERNA_OWN_ACCOUNT },
		{ NS_REPORTING, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, on_out, NULL, STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ, STERNA_HOOK_RESTS },
		{ STERNA_IN_POLICY, on_in, NULL, STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ, STERNA_HOOK_RESTS }, { 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_ACCOUNT_UNLOADED, on_unloaded }, { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_BLOCKING, "blocklist", on_list },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_BLOCKING, "block", on_block },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_BLOCKING, "unblock", on_unblock }, { 0 } });
