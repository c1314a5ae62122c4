/* XEP-0163 Personal Eventing Protocol 1.2.2: every account is a PubSub service (XEP-0060) of its owner's. With the
 * nodes of XEP-0222 and XEP-0223, the engine of pubsub.h. */
#include "xep/xep0163_pep.h"
#include <string.h>

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"

static const struct sterna_option options[] = {
	STERNA_OPT(struct pep_config, max_nodes, "256", "1..10000", "how many nodes an account may have"),
	STERNA_OPT(struct pep_config, max_items, "1000", "1..100000",
		"how many items a node may hold; what its owner calls max"),
	STERNA_OPT(struct pep_config, max_members, "1000", "1..100000",
		"how many subscriptions and affiliations a node may have"),
	STERNA_OPT(struct pep_config, max_payload, "256KiB", "1KiB..4MiB", "the largest payload of an item"),
	STERNA_OPT(struct pep_config, page, "1000", "10..10000", "how many items one answer holds at most"),
	STERNA_OPT(struct pep_config, max_reply, "1MiB", "64KiB..64MiB",
		"how large the payloads of one answer may be together; the newest are in it"),
	STERNA_OPT(struct pep_config, max_contacts, "5000", "10..100000",
		"how many devices of contacts are notified by an account"),
	{ 0 }
};

void pep_who(struct sterna_call *c, const struct jid *j, bool with_groups, struct pubsub_who *out)
{
	*out = (struct pubsub_who){ .bare = jid_bare(j), .full = jid_resource(j) != NULL ? jid_full(j) : NULL,
		.is_owner = jid_bare_equal(j, sterna_owner_jid(c)) };
	out->sees = out->is_owner || sterna_may_see(c, j);
	if (with_groups && !out->is_owner && out->sees)
		out->roster_item = sterna_roster_item(c, j);
}

struct pubsub_limits *pep_limits(struct sterna_call *c)
{
	const struct pep_config *cfg = sterna_config(c);
	struct pubsub_limits *l = sterna_alloc(c, sizeof *l);

	*l = (struct pubsub_limits){ .nodes = cfg->max_nodes, .items = cfg->max_items, .members = cfg->max_members,
		.page = cfg->page, .payload = cfg->max_payload.bytes, .reply = cfg->max_reply.bytes };
	return l;
}

static void on_changed(struct sterna_call *c, const struct pubsub_node *n, const char *id, bool published,
	const struct sterna_elem *payload)
{
	struct pep_change change = { .node = n->name, .id = id, .payload = payload, .published = published };

	sterna_run_stop(c, PEP_CHANGED, &change);
}

static struct pubsub_request *request(struct sterna_call *c)
{
	struct pep_account *a = sterna_account_slot(c);
	struct pubsub_request *r = sterna_alloc(c, sizeof *r);

	*r = (struct pubsub_request){ .c = c, .ps = &a->ps, .limits = pep_limits(c), .notify = pep_notify,
		.tell = pep_tell, .changed = on_changed };
	pep_who(c, sterna_from(c), true, &r->who);
	r->may_create = r->who.is_owner;
	return r;
}

static enum sterna_verdict on_pubsub(struct sterna_call *c)
{
	return pubsub_answer(request(c));
}

/* Service discovery of the account's nodes: as who may read them. Other questions go on to the module "disco". */
static enum sterna_verdict on_disco(struct sterna_call *c)
{
	const struct sterna_elem *query = sterna_payload(c);
	const char *node = query != NULL ? elem_attr(query, "node") : NULL;
	const bool items = elem_is(query, "query", NS_DISCO_ITEMS);
	struct pubsub_request *r;

	if (strcmp(sterna_type(c), "get") != 0 || sterna_account_slot(c) == NULL
		|| (sterna_to(c) != NULL && jid_resource(sterna_to(c)) != NULL)
		|| (!items && !(elem_is(query, "query", NS_DISCO_INFO) && node != NULL)))
		return STERNA_NEXT;
	r = request(c);
	if (node == NULL && !r->who.sees)
		return STERNA_NEXT; /* RFC 6121 §8.5.1: whether there is an account is not for everyone */
	if (node != NULL && pubsub_find(r->ps, node) == NULL)
		return STERNA_NEXT;
	return items ? pubsub_disco_items(r, node) : pubsub_disco_info(r, node);
}

static enum sterna_verdict on_iq(struct sterna_call *c)
{
	if (strcmp(sterna_type(c), "get") == 0)
		return on_disco(c);
	if (strcmp(sterna_type(c), "set") == 0 && sterna_is_own(c) && sterna_account_slot(c) != NULL
		&& elem_is(sterna_payload(c), "block", "urn:xmpp:blocking"))
		pep_on_block(c);
	return pep_on_caps_answer(c);
}

/* XEP-0060 §8.6: the owner's answer to who may subscribe. */
static enum sterna_verdict on_message(struct sterna_call *c)
{
	if (sterna_account_slot(c) == NULL || jid_resource(sterna_from(c)) == NULL
		|| (sterna_to(c) != NULL && jid_resource(sterna_to(c)) != NULL)
		|| elem_child(sterna_stanza(c), "x", NS_DATA) == NULL)
		return STERNA_NEXT;
	return pubsub_take_approval(request(c), sterna_stanza(c));
}

/* --- life --- */

static void on_rows(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct pep_account *a = sterna_account_slot(c);

	if (a != NULL)
		pubsub_load_rows(&a->ps, sterna_owner(c), rows);
}

static void on_unloaded(struct sterna_call *c)
{
	struct pep_account *a = sterna_account_slot(c);

	pubsub_clear(&a->ps);
	pep_forget_peers(a);
}

/* Without a session the account hears no presence: what it knew of its contacts' grows old. */
static void on_gone(struct sterna_call *c)
{
	struct pep_account *a = sterna_account_slot(c);
	struct sterna_session *first = sterna_next_session(c, NULL);

	if (a != NULL && (first == NULL || (first == sterna_session(c) && sterna_next_session(c, first) == NULL)))
		pep_forget_peers(a);
}

static enum sterna_result load(struct sterna_mod *m)
{
	sterna_mod_set_data(m, (void *)sterna_use(m, "caps", CAPS_VERSION));
	return sterna_mod_data(m) != NULL ? STERNA_OK : STERNA_ENOTFOUND;
}

#define ACCOUNT (STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT)
/* XEP-0163 §6.1 asks the account. Clients that ask the domain instead (Smack, before it uses OMEMO) hear the same. */
#define ANYONE (ACCOUNT | STERNA_SERVER)

STERNA_MODULE(pep, .spec = "XEP-0163 1.2.2", .summary = "Personal Eventing Protocol",
	.needs = (const char *const[]){ "disco", "caps", NULL },
	.options = options, .config_size = sizeof(struct pep_config), .account_size = sizeof(struct pep_account),
	.session_size = sizeof(struct pep_session), .load = load,
	.features = (const struct sterna_feature[]){
		PUBSUB_FEATURES(ANYONE), { NS_PUBSUB "#auto-subscribe", ACCOUNT },
		{ NS_PUBSUB "#presence-subscribe", ACCOUNT }, { NS_PUBSUB "#pubsub-on-a-jid", ACCOUNT },
		{ NS_PUBSUB "#filtered-notifications", ACCOUNT }, { 0 } },
	.identities = (const struct sterna_identity[]){ { "pubsub", "pep", NULL, ACCOUNT }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET | STERNA_SET, ACCOUNT, NS_PUBSUB, "pubsub", on_pubsub },
		{ STERNA_GET | STERNA_SET, ACCOUNT, NS_PUBSUB_OWNER, "pubsub", on_pubsub },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_PEP_LAST, "last", pep_on_last }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_COPY, pep_on_presence_out, NULL, STERNA_PRESENCE },
		{ STERNA_IN_STORE, pep_on_presence_in, NULL, STERNA_PRESENCE, STERNA_HOOK_NOT_MANY },
		{ STERNA_IN_STORE, on_iq, NULL, STERNA_IQ },
		{ STERNA_IN_POLICY, on_message, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_SESSION_GONE, on_gone }, { STERNA_ACCOUNT_UNLOADED, on_unloaded }, { 0 } },
	.account_reads = (const struct sterna_account_read[]){ { &pubsub_load, on_rows }, { 0 } });
