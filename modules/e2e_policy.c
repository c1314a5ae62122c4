/* End-to-end encryption by policy: optional, encouraged, required or forbidden, for a security label, a room, an account
 * or a host. What is encrypted is told by the elements that say so; nothing of it is ever changed. */
#include "modules/e2e_policy.h"
#include <string.h>

#define NS_EME "urn:xmpp:eme:0"
#define NS_LABEL "urn:xmpp:sec-label:0"
#define NS_POLICY "urn:sterna:e2e-policy:0"

enum policy { OPTIONAL, ENCOURAGED, REQUIRED, FORBIDDEN };
#define POLICIES "optional|encouraged|required|forbidden"
static const char *const policy_names[] = { "optional", "encouraged", "required", "forbidden", NULL };

struct e2e_config {
	unsigned policy;
	struct sterna_pairs hosts, accounts, rooms, labels;
	struct sterna_list exceptions, other;
	const char *hint, *required_text, *forbidden_text;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct e2e_config, policy, "optional", POLICIES, "where nothing more special is said"),
	STERNA_OPT(struct e2e_config, hosts, NULL, POLICIES, "policies of our hosts: HOST: POLICY"),
	STERNA_OPT(struct e2e_config, accounts, NULL, POLICIES, "policies of accounts: JID: POLICY"),
	STERNA_OPT(struct e2e_config, rooms, NULL, POLICIES, "policies of rooms, also of other servers: JID: POLICY"),
	STERNA_OPT(struct e2e_config, labels, NULL, POLICIES,
		"policies of messages with a security label (XEP-0258), by its display marking"),
	STERNA_OPT(struct e2e_config, exceptions, NULL, NULL,
		"addresses and domains (bots, services) whose messages, and messages to whom, are let pass"),
	STERNA_OPT(struct e2e_config, other, "urn:xmpp:mls:0", NULL,
		"namespaces of other encryption: a message has it that says so (XEP-0380) and has an element of it"),
	STERNA_OPT(struct e2e_config, hint, "Messages on this server should be end-to-end encrypted. Please turn on OMEMO "
		"for your conversations.", NULL, "what a user is told once, where encryption is encouraged"),
	STERNA_OPT(struct e2e_config, required_text, "This message was not sent: it has to be end-to-end encrypted. Turn on "
		"encryption (OMEMO) in your client and send it again.", NULL, "the error where encryption is required"),
	STERNA_OPT(struct e2e_config, forbidden_text, "This message was not sent: end-to-end encryption is not allowed "
		"here. Turn it off in your client and send it again.", NULL, "the error where encryption is forbidden"),
	{ 0 }
};

enum method { NONE, OMEMO, OMEMO2, OPENPGP, PGP, OTHER };
static const char *const method_names[] = { "none", "omemo", "omemo2", "openpgp", "pgp", "other", NULL };

enum { M_MESSAGES, M_REFUSED, M_HINTS };
static const struct sterna_metric metrics[] = {
	[M_MESSAGES] = { "sterna_e2e_messages_total", "Messages that users sent, by what they were encrypted with.",
		METRIC_COUNTER, .labels = { { "method", method_names } } },
	[M_REFUSED] = { "sterna_e2e_refused_total", "Messages refused by the policy.", METRIC_COUNTER,
		.labels = { { "policy", policy_names } } },
	[M_HINTS] = { "sterna_e2e_hints_total", "Users who were told that encryption is encouraged.", METRIC_COUNTER },
	{ 0 }
};

static const struct db_stmt hint_get = {
	.name = "e2e_hint_get", .params = "t", .columns = "i", .sql = "SELECT given FROM e2e_hint WHERE owner = $1",
};
static const struct db_stmt hint_put = {
	.name = "e2e_hint_put", .params = "ti",
	.sql = "INSERT INTO e2e_hint (owner, given) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING",
};
struct e2e_account {
	bool hinted;
};

/* --- what a message is --- */

static bool is_listed(const struct sterna_list *l, const char *text)
{
	for (size_t i = 0; text != NULL && i < l->count; i++)
		if (strcmp(l->item[i], text) == 0)
			return true;
	return false;
}

/* XEP-0380 alone is only a word: what it names has to be there too. */
static bool has_other(const struct sterna_elem *m, const struct sterna_list *namespaces)
{
	elem_foreach(e, m) {
		const char *ns = elem_is(e, "encryption", NS_EME) ? elem_attr(e, "namespace") : NULL;

		if (is_listed(namespaces, ns) && elem_child(m, NULL, ns) != NULL)
			return true;
	}
	return false;
}

static enum method method_of(const struct sterna_elem *m, const struct e2e_config *cfg)
{
	static const struct {
		const char *name, *ns;
		enum method method;
	} known[] = {
		{ "encrypted", "eu.siacs.conversations.axolotl", OMEMO }, { "encrypted", "urn:xmpp:omemo:2", OMEMO2 },
		{ "openpgp", "urn:xmpp:openpgp:0", OPENPGP }, { "x", "jabber:x:encrypted", PGP },
	};

	elem_foreach(e, m)
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (elem_is(e, known[i].name, known[i].ns))
				return known[i].method;
	return has_other(m, &cfg->other) ? OTHER : NONE;
}

/* Is there something that a person wrote? Chat states, receipts and the like are not. */
static bool has_text(const struct sterna_elem *m)
{
	const struct sterna_elem *body = elem_child(m, "body", NS_CLIENT);

	return (body != NULL && body->first != NULL)
		|| elem_child(m, "html", "http://jabber.org/protocol/xhtml-im") != NULL;
}

/* --- which policy --- */

static const char *value_of(const struct sterna_pairs *p, const char *key)
{
	for (size_t i = 0; key != NULL && i < p->count; i++)
		if (strcmp(p->key[i], key) == 0)
			return p->value[i];
	return NULL;
}

static enum policy policy_of(const char *word)
{
	unsigned i = 0;

	while (policy_names[i] != NULL && strcmp(policy_names[i], word) != 0)
		i++;
	return policy_names[i] != NULL ? (enum policy)i : OPTIONAL;
}

static const char *label_of(const struct sterna_elem *m)
{
	const struct sterna_elem *label = elem_child(m, "securitylabel", NS_LABEL);

	return label != NULL ? sterna_child_text(label, "displaymarking") : NULL;
}

/* The most special rule holds. *by: its kind. */
static enum policy policy_for(struct sterna_call *c, const struct jid *other, const char **by)
{
	const struct e2e_config *cfg = sterna_config(c);
	const struct {
		const char *by, *word;
	} rules[] = {
		{ "label", value_of(&cfg->labels, label_of(sterna_stanza(c))) },
		{ "room", other != NULL ? value_of(&cfg->rooms, jid_bare(other)) : NULL },
		{ "account", value_of(&cfg->accounts, sterna_owner(c)) },
		{ "host", value_of(&cfg->hosts, jid_domain(sterna_owner_jid(c))) },
	};

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rules[i].word != NULL) {
			*by = rules[i].by;
			return policy_of(rules[i].word);
		}
	*by = "default";
	return (enum policy)cfg->policy;
}

/* Servers and their services have no local part; bots are named. */
static bool is_exempt(const struct e2e_config *cfg, const struct jid *j)
{
	return j != NULL && (jid_local(j) == NULL || is_listed(&cfg->exceptions, jid_bare(j))
		|| is_listed(&cfg->exceptions, jid_domain(j)));
}

/* --- what follows --- */

static enum sterna_verdict refuse(struct sterna_call *c, enum policy policy, const char *by, enum method method,
	bool outgoing)
{
	const struct e2e_config *cfg = sterna_config(c);
	struct e2e_refusal refusal = { policy_names[policy], by, method_names[method], outgoing };
	char id[LOG_NUMBER_LEN];

	log_notice("e2e", "a message was refused", "policy", policy_names[policy], "by", by, "method", method_names[method],
		"from", jid_full(sterna_from(c)), "to", sterna_to(c) != NULL ? jid_full(sterna_to(c)) : NULL, "stanza_id",
		log_uint(id, sterna_trace(c)));
	sterna_mod_count(sterna_mod(c), M_REFUSED, policy, 1);
	sterna_audit(c, "sterna.e2e.refused.v1", jid_bare(sterna_from(c)), (const struct sterna_datum[]){
		STERNA_DATUM("policy", policy_names[policy]), STERNA_DATUM("by", by), STERNA_DATUM("method", method_names[method]),
		STERNA_DATUM("direction", outgoing ? "out" : "in"), STERNA_DATUM("stanza", sterna_id(c)),
		STERNA_PERSONAL("to", sterna_to(c) != NULL ? jid_full(sterna_to(c)) : NULL), { 0 } });
	sterna_run_stop(c, E2E_REFUSED, &refusal);
	return policy == REQUIRED
		? sterna_reject_with(c, STERNA_POLICY_VIOLATION, cfg->required_text, "encryption-required", NS_POLICY)
		: sterna_reject_with(c, STERNA_POLICY_VIOLATION, cfg->forbidden_text, "encryption-forbidden", NS_POLICY);
}

/* From the host, to the session that sent in the clear; once for an account. */
static void hint(struct sterna_call *c)
{
	const struct e2e_config *cfg = sterna_config(c);
	struct e2e_account *a = sterna_account_slot(c);
	struct sterna_elem *m;

	if (a == NULL || a->hinted || sterna_session(c) == NULL)
		return;
	a->hinted = true;
	sterna_write(c, &hint_put, sterna_owner(c), sterna_now_us(c));
	m = sterna_elem(c, "message", NS_CLIENT);
	sterna_attr(m, "type", "headline");
	sterna_attr(m, "from", jid_domain(sterna_owner_jid(c)));
	sterna_attr(m, "to", jid_full(sterna_from(c)));
	sterna_text(m, "body", cfg->hint);
	sterna_send_to(c, sterna_session(c), m);
	sterna_count(c, M_HINTS, 1);
}

static bool is_concerned(struct sterna_call *c)
{
	const struct e2e_config *cfg = sterna_config(c);

	return jid_local(sterna_owner_jid(c)) != NULL && strcmp(sterna_type(c), "error") != 0
		&& !is_exempt(cfg, sterna_from(c)) && !is_exempt(cfg, sterna_to(c));
}

static enum sterna_verdict on_out(struct sterna_call *c)
{
	const struct sterna_elem *m = sterna_stanza(c);
	const struct e2e_config *cfg = sterna_config(c);
	const enum method method = method_of(m, cfg);
	const char *by;
	enum policy policy;

	if (!is_concerned(c) || (method == NONE && !has_text(m)))
		return STERNA_NEXT;
	sterna_mod_count(sterna_mod(c), M_MESSAGES, method, 1);
	policy = policy_for(c, sterna_to(c), &by);
	if ((policy == REQUIRED && method == NONE) || (policy == FORBIDDEN && method != NONE))
		return refuse(c, policy, by, method, true);
	if (policy == ENCOURAGED && method == NONE)
		hint(c);
	return STERNA_NEXT;
}

/* What comes to an account of ours. A room's messages were let pass, or not, where they were sent. */
static enum sterna_verdict on_in(struct sterna_call *c)
{
	const struct sterna_elem *m = sterna_stanza(c);
	const struct e2e_config *cfg = sterna_config(c);
	const enum method method = method_of(m, cfg);
	const char *by;
	enum policy policy;

	if (!is_concerned(c) || sterna_is_own(c) || strcmp(sterna_type(c), "groupchat") == 0
		|| (method == NONE && !has_text(m)))
		return STERNA_NEXT;
	policy = policy_for(c, sterna_from(c), &by);
	if ((policy == REQUIRED && method == NONE) || (policy == FORBIDDEN && method != NONE))
		return refuse(c, policy, by, method, false);
	return STERNA_NEXT;
}

static void on_hint(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct e2e_account *a = sterna_account_slot(c);

	if (a != NULL)
		a->hinted = rows->count > 0;
}

STERNA_MODULE(e2e_policy, .summary = "End-to-end encryption: optional, encouraged, required or forbidden",
	.options = options, .config_size = sizeof(struct e2e_config), .account_size = sizeof(struct e2e_account),
	.metrics = metrics,
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, on_out, NULL, STERNA_MESSAGE }, { STERNA_IN_POLICY, on_in, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } },
	.account_reads = (const struct sterna_account_read[]){ { &hint_get, on_hint }, { 0 } });
