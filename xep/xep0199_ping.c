/* XEP-0199 XMPP Ping 2.0.1: the server and one's own account answer (§4.1, §4.2). */
#include "server/module.h"

#define NS_PING "urn:xmpp:ping"

static enum sterna_verdict on_get(struct sterna_call *c)
{
	return sterna_reply(c, NULL);
}

STERNA_MODULE(ping, .spec = "XEP-0199 2.0.1", .summary = "XMPP Ping",
	.features = (const struct sterna_feature[]){ { NS_PING, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER | STERNA_OWN_ACCOUNT, NS_PING, "ping", on_get }, { 0 } });
