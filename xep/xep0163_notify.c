/* XEP-0163 §4.3: notifications, to those who want them (XEP-0060 §6.1, +notify) and may read the node, by the one
 * function that says so; and last items. Part of the module "pep". */
#include <string.h>
#include "xep/xep0163_pep.h"

static const struct caps *caps_of(struct sterna_call *c)
{
	return sterna_mod_data(sterna_mod(c));
}

/* --- one message, many addresses --- */

static void send(struct sterna_call *c, struct sterna_elem *m, const char *to)
{
	sterna_attr(m, "to", to);
	sterna_send(c, m); /* copies */
}

void pep_tell(struct sterna_call *c, struct pubsub_node *n, const char *to, const struct sterna_elem *event)
{
	send(c, pubsub_message(c, n, event), to);
}

static bool has(struct sterna_call *c, const struct sterna_elem *presence, const char *node)
{
	const struct caps *caps = caps_of(c);

	return presence != NULL && caps->has(caps, presence, sterna_printf(c, "%s+notify", node));
}

static bool may_hear_jid(struct sterna_call *c, const struct pubsub_node *n, const struct jid *j)
{
	struct pubsub_who who;

	pep_who(c, j, n->cfg.access == PUBSUB_ROSTER, &who);
	return pubsub_may_read(n, &who) == PUBSUB_ALLOWED;
}

static bool may_hear(struct sterna_call *c, const struct pubsub_node *n, const char *address)
{
	struct jid *j = NULL;

	if (jid_parse(address, strlen(address), &j) != STERNA_OK)
		return false;
	const bool yes = may_hear_jid(c, n, j);

	jid_unref(&j);
	return yes;
}

/* Kinds of clients that were asked for already: contacts use few. */
struct memo {
	const char *ver[8];
	bool wants[8];
	size_t next;
};

static bool peer_wants(struct sterna_call *c, struct memo *memo, const struct pep_peer *p, const char *node)
{
	for (size_t i = 0; i < sizeof memo->ver / sizeof *memo->ver; i++)
		if (memo->ver[i] != NULL && strcmp(memo->ver[i], p->ver) == 0)
			return memo->wants[i];
	const size_t i = memo->next++ % (sizeof memo->ver / sizeof *memo->ver);

	memo->ver[i] = p->ver;
	memo->wants[i] = has(c, pep_presence(c, p->ver), node);
	return memo->wants[i];
}

static bool is_of(const char *full, const char *jid)
{
	const size_t n = strlen(jid);

	return strncmp(full, jid, n) == 0 && (full[n] == '\0' || full[n] == '/');
}

/* Explicit subscribers, but nobody twice. */
static void to_subscribers(struct sterna_call *c, struct pubsub_node *n, struct sterna_elem *m, struct memo *memo)
{
	const struct pep_account *a = sterna_account_slot(c);

	for (size_t i = 0; i < n->member_count; i++) {
		const char *jid = n->members[i].jid;
		bool told = false;

		if (n->members[i].kind != PUBSUB_KIND_SUBSCRIPTION || n->members[i].value != PUBSUB_SUBSCRIBED
			|| n->members[i].paused)
			continue;
		for (size_t k = 0; !told && k < a->peer_count; k++)
			told = is_of(a->peers[k].full, jid) && peer_wants(c, memo, &a->peers[k], n->name);
		for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL && !told;
			s = sterna_next_session(c, s))
			told = is_of(jid_full(sterna_session_jid(s)), jid) && sterna_session_is_available(s)
				&& has(c, sterna_session_presence(s), n->name);
		if (!told && may_hear(c, n, jid))
			send(c, m, jid);
	}
}

/* Headlines are for who is there now: they leave at once, serialised once. Others may be stored, and go one by one. */
static void to_all(struct sterna_call *c, const struct pubsub_node *n, struct sterna_elem *m, const struct jid *const *to,
	size_t count)
{
	struct sterna_shared *shared;

	if (n->cfg.notification != 0) {
		for (size_t i = 0; i < count; i++)
			send(c, m, jid_full(to[i]));
		return;
	}
	shared = sterna_share(c, m);
	sterna_send_many(c, shared, to, count);
	sterna_shared_unref(&shared);
}

void pep_notify(struct pubsub_request *r, struct pubsub_node *n, const struct sterna_elem *event)
{
	struct sterna_call *c = r->c;
	const struct pep_account *a = sterna_account_slot(c);
	struct sterna_elem *m = pubsub_message(c, n, event);
	struct memo memo = { .next = 0 };
	const struct jid **to;
	size_t count = 0;

	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		count++;
	to = sterna_alloc(c, (count + a->peer_count + 1) * sizeof(struct jid *));
	count = 0;
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		if (sterna_session_is_available(s) && has(c, sterna_session_presence(s), n->name))
			to[count++] = sterna_session_jid(s);
	for (size_t i = 0; i < a->peer_count; i++)
		if (peer_wants(c, &memo, &a->peers[i], n->name) && may_hear_jid(c, n, a->peers[i].jid))
			to[count++] = a->peers[i].jid;
	to_all(c, n, m, to, count);
	to_subscribers(c, n, m, &memo);
}

/* --- last items --- */

static bool is_due(struct sterna_call *c, const struct pubsub_node *n, const char *full, const struct sterna_elem *presence)
{
	return n->cfg.send_last == PUBSUB_LAST_ON_PRESENCE && n->cfg.notifications && n->cfg.persist
		&& has(c, presence, n->name) && may_hear(c, n, full);
}

/* Most last items are small and lie in memory. Where one must be read, presence does not wait for it: the account sends
 * itself a request, which may, and does all of them. */
void pep_send_last(struct sterna_call *c, const char *full, const struct sterna_elem *presence)
{
	const struct pep_account *a = sterna_account_slot(c);
	bool all_known = true;

	for (size_t i = 0; all_known && i < a->ps.count; i++)
		if (!a->ps.nodes[i]->last_known && is_due(c, a->ps.nodes[i], full, presence))
			all_known = false;
	if (!all_known) {
		struct sterna_elem *iq = sterna_elem(c, "iq", NS_CLIENT);

		sterna_attr(iq, "type", "set");
		sterna_attr(iq, "id", "pep-last");
		sterna_attr(iq, "from", sterna_owner(c));
		sterna_attr(iq, "to", sterna_owner(c));
		sterna_attr(sterna_add(iq, "last", NS_PEP_LAST), "jid", full);
		sterna_send(c, iq);
		return;
	}
	for (size_t i = 0; i < a->ps.count; i++) {
		const struct pubsub_node *n = a->ps.nodes[i];

		if (n->last != NULL && is_due(c, n, full, presence))
			pubsub_send_item(c, n, full, n->last, n->last_item_seq);
	}
}

/* Which nodes are due is settled at first: nodes may come and go while one is read. */
struct last {
	const char *full;
	const struct sterna_elem *presence;
	size_t at, count;
	const char **nodes;
	unsigned changes;                /* of the node's items when the read began */
};

static enum sterna_verdict next_last(struct sterna_call *c);

static enum sterna_verdict on_item(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct last *l = sterna_data(c);
	const struct pep_account *a = sterna_account_slot(c);
	struct pubsub_node *n = pubsub_find(&a->ps, l->nodes[l->at++]);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	/* What was published since has been notified. */
	if (n != NULL && n->changes == l->changes) {
		const char *xml = rows->count > 0 ? pubsub_item_xml(c, rows->text[0], rows->text[1],
			n->cfg.payloads ? rows->text[2] : NULL) : NULL;
		const int64_t seq = rows->count > 0 ? db_int(rows->db, 0, 3) : 0;

		pubsub_note_last(n, xml, seq);
		if (xml != NULL && is_due(c, n, l->full, l->presence))
			pubsub_send_item(c, n, l->full, xml, seq);
	}
	return next_last(c);
}

static enum sterna_verdict next_last(struct sterna_call *c)
{
	struct last *l = sterna_data(c);
	const struct pep_account *a = sterna_account_slot(c);

	for (; l->at < l->count; l->at++) {
		const struct pubsub_node *n = pubsub_find(&a->ps, l->nodes[l->at]);

		if (n == NULL)
			continue;
		if (!n->last_known) {
			l->changes = n->changes;
			return sterna_read(c, on_item, &pubsub_last_item, sterna_owner(c), n->name,
				pubsub_expired_seq(n, sterna_now_us(c)));
		}
		if (n->last != NULL && is_due(c, n, l->full, l->presence))
			pubsub_send_item(c, n, l->full, n->last, n->last_item_seq);
	}
	return sterna_reply(c, NULL);
}

/* What the client at that address announces now; NULL: it has left. */
static const struct sterna_elem *announced(struct sterna_call *c, const char *full)
{
	const struct pep_account *a = sterna_account_slot(c);

	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		if (sterna_session_is_available(s) && strcmp(jid_full(sterna_session_jid(s)), full) == 0)
			return pep_presence(c, ((struct pep_session *)sterna_slot_of(c, s))->ver);
	for (size_t i = 0; i < a->peer_count; i++)
		if (strcmp(a->peers[i].full, full) == 0)
			return pep_presence(c, a->peers[i].ver);
	return NULL;
}

enum sterna_verdict pep_on_last(struct sterna_call *c)
{
	const struct pep_account *a = sterna_account_slot(c);
	const char *full = elem_attr(sterna_payload(c), "jid");
	struct last *l;

	/* Clients have a resource: only the account itself has none. */
	if (jid_resource(sterna_from(c)) != NULL || full == NULL || a == NULL)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	l = sterna_alloc(c, sizeof *l);
	l->full = full;
	l->presence = announced(c, full);
	l->nodes = sterna_alloc(c, (a->ps.count + 1) * sizeof *l->nodes);
	for (size_t i = 0; l->presence != NULL && i < a->ps.count; i++)
		if (is_due(c, a->ps.nodes[i], full, l->presence))
			l->nodes[l->count++] = sterna_printf(c, "%s", a->ps.nodes[i]->name);
	sterna_set_data(c, l);
	return next_last(c);
}
