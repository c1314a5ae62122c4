/* XEP-0012 Last Activity 2.0: when an account was last there, for those who may see its presence.
 *
 * §4 would have strangers refused with <forbidden/>; but then the answer tells which accounts exist. They get what
 * a nonexistent account gives: <service-unavailable/> (RFC 6121 §8.5.1). */
#include <inttypes.h>
#include <string.h>
#include "server/module.h"

#define NS_LAST "jabber:iq:last"

static bool may_ask(struct sterna_call *c)
{
	return sterna_is_own(c) || sterna_may_see(c, sterna_from(c));
}

/* §6 */
static enum sterna_verdict on_server(struct sterna_call *c)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_LAST);

	sterna_attr(query, "seconds", sterna_printf(c, "%" PRId64, sterna_uptime(c)));
	return sterna_reply(c, query);
}

static enum sterna_verdict on_account(struct sterna_call *c)
{
	struct sterna_elem *query = sterna_elem(c, "query", NS_LAST);
	const char *status = NULL;
	int64_t seconds;

	if (!may_ask(c))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	seconds = sterna_last_activity(c, &status);
	if (seconds < 0)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL); /* has never been there */
	sterna_attr(query, "seconds", sterna_printf(c, "%" PRId64, seconds));
	if (status != NULL)
		sterna_text(query, NULL, status);
	return sterna_reply(c, query);
}

/* §5: a resource's idle time is its client's to tell, but only to those who may see the presence. */
static enum sterna_verdict on_iq_in(struct sterna_call *c)
{
	const struct jid *to = sterna_to(c);

	if (strcmp(sterna_type(c), "get") != 0 || to == NULL || jid_local(to) == NULL || jid_resource(to) == NULL
		|| !elem_is(sterna_payload(c), "query", NS_LAST) || may_ask(c))
		return STERNA_NEXT;
	return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
}

STERNA_MODULE(last, .spec = "XEP-0012 2.0", .summary = "Last Activity",
	.features = (const struct sterna_feature[]){
		{ NS_LAST, STERNA_SERVER | STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_IN_POLICY, on_iq_in, NULL, STERNA_IQ }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER, NS_LAST, "query", on_server },
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT, NS_LAST, "query", on_account }, { 0 } });
