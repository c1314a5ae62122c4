/* XEP-0313 Message Archive Management 1.1.3 with #extended, and XEP-0441 preferences: what is archived, the query
 * form, and the module's tables. The core writes the rows (server/archive.h); queries: xep0313_query.c. */
#include "xep/xep0313_mam.h"
#include <string.h>

static const struct sterna_option options[] = {
	STERNA_OPT(struct mam_config, default_mode, "always", MAM_MODES,
		"what is archived for those who have set no preferences"),
	STERNA_OPT(struct mam_config, enforce, "false", NULL,
		"archive whatever the account's preferences say, and refuse to change them"),
	STERNA_OPT(struct mam_config, page, "100", "1..250", "results of a query that asks for no number"),
	STERNA_OPT(struct mam_config, max_page, "250", "1..1000", "most results of one query"),
	STERNA_OPT(struct mam_config, max_prefs, "500", "0..10000", "most addresses in an account's preferences"),
	STERNA_OPT(struct mam_config, max_bytes, "1MiB", "64KiB..64MiB",
		"most bytes of stanzas in the answer to one query; at least one is sent"),
	{ 0 }
};

/* What a person would miss (§5.1.1): a body, something encrypted, receipts and markers, calls, invitations. */
static bool is_worth_it(const struct sterna_elem *m)
{
	static const struct {
		const char *name, *ns;
	} worth[] = {
		{ "body", NS_CLIENT }, { "subject", NS_CLIENT },
		{ "encrypted", "eu.siacs.conversations.axolotl" }, { "encrypted", "urn:xmpp:omemo:2" },
		{ "openpgp", "urn:xmpp:openpgp:0" }, { "x", "jabber:x:encrypted" },
		{ "received", "urn:xmpp:receipts" },
		{ "received", "urn:xmpp:chat-markers:0" }, { "displayed", "urn:xmpp:chat-markers:0" },
		{ "reactions", "urn:xmpp:reactions:0" }, { "retract", "urn:xmpp:message-retract:1" },
		{ "apply-to", "urn:xmpp:fasten:0" }, { "x", "jabber:x:conference" },
	};
	const struct sterna_elem *room = elem_child(m, "x", "http://jabber.org/protocol/muc#user");

	if (room != NULL && (elem_child(room, "invite", NULL) != NULL || elem_child(room, "decline", NULL) != NULL))
		return true;
	elem_foreach(e, m) {
		if (strcmp(e->ns, "urn:xmpp:jingle-message:0") == 0 && strcmp(e->name, "ringing") != 0)
			return true;
		for (size_t i = 0; i < sizeof worth / sizeof *worth; i++)
			if (elem_is(e, worth[i].name, worth[i].ns))
				return true;
	}
	return false;
}

/* §5.1.1: conversations; rooms have archives of their own. A hint (XEP-0334) may have marked it already; the
 * account's preferences are stronger than a sender's hint. */
static enum sterna_verdict decide(struct sterna_call *c, const struct jid *peer)
{
	const struct mam_config *cfg = sterna_config(c);
	const char *type = sterna_type(c);

	if (peer == NULL || strcmp(type, "groupchat") == 0 || strcmp(type, "error") == 0)
		return STERNA_NEXT;
	if (!cfg->enforce && !mam_prefs_allow(c, peer))
		sterna_mark(c, STERNA_NO_ARCHIVE);
	else if (strcmp(type, "headline") != 0 && is_worth_it(sterna_stanza(c)))
		sterna_mark(c, STERNA_ARCHIVE);
	return STERNA_NEXT;
}

static enum sterna_verdict on_out(struct sterna_call *c)
{
	return decide(c, sterna_to(c));
}

static enum sterna_verdict on_in(struct sterna_call *c)
{
	return decide(c, sterna_from(c));
}

static struct mam_source own_archive(struct sterna_call *c)
{
	const struct mam_config *cfg = sterna_config(c);

	return (struct mam_source){ sterna_owner(c), cfg->page, cfg->max_page, cfg->max_bytes.bytes, 0 };
}

static enum sterna_verdict on_query(struct sterna_call *c)
{
	const struct mam_source source = own_archive(c);

	return mam_query(c, &source);
}

static enum sterna_verdict on_metadata(struct sterna_call *c)
{
	const struct mam_source source = own_archive(c);

	return mam_metadata(c, &source);
}

/* §7: <forbidden/> for the archives of others. Said on the asker's side, it tells nothing about the other. */
static enum sterna_verdict on_iq_out(struct sterna_call *c)
{
	const struct jid *to = sterna_to(c);
	const struct sterna_elem *payload = sterna_child(sterna_stanza(c));
	const char *type = sterna_type(c);

	if (payload == NULL || strcmp(payload->ns, NS_MAM) != 0 || to == NULL || jid_local(to) == NULL
		|| jid_resource(to) != NULL || (strcmp(type, "get") != 0 && strcmp(type, "set") != 0)
		|| strcmp(jid_domain(to), sterna_host(c)) != 0 || strcmp(jid_bare(to), sterna_owner(c)) == 0)
		return STERNA_NEXT;
	return sterna_reject(c, STERNA_FORBIDDEN, NULL);
}

/* §4.1.5: the fields that a query may have. */
static enum sterna_verdict on_form(struct sterna_call *c)
{
	static const char *const fields[][2] = {
		{ "with", "jid-single" }, { "start", "text-single" }, { "end", "text-single" },
		{ "before-id", "text-single" }, { "after-id", "text-single" }, { "include-groupchat", "boolean" },
	};
	struct sterna_elem *query = sterna_elem(c, "query", NS_MAM), *form = sterna_form(query, "form", NS_MAM), *ids;

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		sterna_form_field(form, fields[i][0], fields[i][1], NULL);
	ids = sterna_form_field(form, "ids", "list-multi", NULL);
	struct sterna_elem *validate = sterna_add(ids, "validate", "http://jabber.org/protocol/xdata-validate");

	sterna_attr(validate, "datatype", "xs:string");
	sterna_add(validate, "open", NULL);
	return sterna_reply(c, query);
}

static enum sterna_result load(struct sterna_mod *m)
{
	static const struct mam_api api = { is_worth_it, mam_query, on_form, mam_metadata };

	sterna_provide(m, "mam", MAM_VERSION, &api);
	return STERNA_OK;
}

STERNA_MODULE(mam, .spec = "XEP-0313 1.1.3", .summary = "Message Archive Management",
	.options = options, .load = load, .config_size = sizeof(struct mam_config),
	.account_size = sizeof(struct mam_account), .session_size = sizeof(struct mam_session),
	.account_reads = (const struct sterna_account_read[]){ { &mam_prefs_load, mam_prefs_rows }, { 0 } },
	.features = (const struct sterna_feature[]){
		{ NS_MAM, STERNA_OWN_ACCOUNT }, { NS_MAM "#extended", STERNA_OWN_ACCOUNT },
		{ NS_MAM "#groupchat-field", STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, on_iq_out, NULL, STERNA_IQ },
		{ STERNA_OUT_STORE, on_out, NULL, STERNA_MESSAGE },
		{ STERNA_IN_STORE, on_in, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_ACCOUNT_UNLOADED, mam_prefs_unloaded }, { STERNA_ACCOUNT_DELETED, mam_prefs_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_MAM, "metadata", on_metadata },
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_MAM, "prefs", mam_on_prefs_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_MAM, "prefs", mam_on_prefs_set },
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_MAM, "query", on_form },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_MAM, "query", on_query }, { 0 } });
