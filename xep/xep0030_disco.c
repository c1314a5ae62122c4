/* XEP-0030 Service Discovery 2.5.0: what the server and the accounts are and can, from the tables of all loaded
 * modules, and which services there are. */
#include <string.h>
#include "xep/disco_info.h"

enum { MAX_ITEMS = 1000 };              /* a host's services come from the configuration; no peer adds any */

/* The node that is ours: the announced capabilities (XEP-0115 §6.2). Unknown ones: §7. */
static bool is_caps_node(struct sterna_call *c, const struct sterna_elem *info, const char *node)
{
	static const char prefix[] = STERNA_CAPS_NODE "#";
	char ver[CAPS_VER_SIZE];

	return strncmp(node, prefix, sizeof prefix - 1) == 0 && caps_ver(c, info, ver)
		&& strcmp(node + sizeof prefix - 1, ver) == 0;
}

/* Nodes that are a module's: ad-hoc commands and their like. */
static enum sterna_verdict of_module(struct sterna_call *c, const char *node, bool items)
{
	const enum sterna_verdict v = sterna_run_node(c, node, items);

	return v != STERNA_NEXT ? v : sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
}

static enum sterna_verdict on_server_info(struct sterna_call *c)
{
	const char *node = elem_attr(sterna_payload(c), "node");
	struct sterna_elem *info = disco_info(c, STERNA_SERVER);

	if (node != NULL) {
		if (!is_caps_node(c, info, node))
			return of_module(c, node, false);
		sterna_attr(info, "node", node);
	}
	return sterna_reply(c, info);
}

static enum sterna_verdict on_server_items(struct sterna_call *c)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS);
	const char *domain, *node = elem_attr(sterna_payload(c), "node");

	if (node != NULL)
		return of_module(c, node, true);
	for (size_t i = 0; i < MAX_ITEMS && (domain = sterna_item(c, i)) != NULL; i++)
		sterna_attr(sterna_add(query, "item", NULL), "jid", domain);
	return sterna_reply(c, query);
}

/* RFC 6121 §8.5.1, XEP-0030 §8: to those who may not see its presence, an account looks as if there were none. */
static bool may_ask(struct sterna_call *c)
{
	return sterna_is_own(c) || sterna_may_see(c, sterna_from(c));
}

static enum sterna_verdict on_account_info(struct sterna_call *c)
{
	if (!may_ask(c))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	return sterna_reply(c, disco_info(c, sterna_is_own(c) ? STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT
		: STERNA_ANY_ACCOUNT));
}

static enum sterna_verdict on_account_items(struct sterna_call *c)
{
	if (!may_ask(c))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	struct sterna_elem *query = sterna_elem(c, "query", NS_DISCO_ITEMS);

	/* §4.1: the available resources, which who may ask knows of by their presence. */
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s))
		if (sterna_session_is_available(s))
			sterna_attr(sterna_add(query, "item", NULL), "jid", jid_full(sterna_session_jid(s)));
	return sterna_reply(c, query);
}

STERNA_MODULE(disco, .spec = "XEP-0030 2.5.0", .summary = "Service Discovery",
	.features = (const struct sterna_feature[]){
		{ NS_DISCO_INFO, STERNA_SERVER | STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT },
		{ NS_DISCO_ITEMS, STERNA_SERVER | STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT }, { 0 } },
	.identities = (const struct sterna_identity[]){
		{ "server", "im", "Sterna", STERNA_SERVER },
		{ "account", "registered", NULL, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER, NS_DISCO_INFO, "query", on_server_info },
		{ STERNA_GET, STERNA_SERVER, NS_DISCO_ITEMS, "query", on_server_items },
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT, NS_DISCO_INFO, "query", on_account_info },
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT, NS_DISCO_ITEMS, "query", on_account_items },
		{ 0 } });
