/* XEP-0490 Message Displayed Synchronization 1.0.1, §3.4.1 server assist: who tells a contact that a message was shown
 * tells the own devices with the same stanza. */
#include <string.h>
#include "xep/pep.h"

#define NS_MDS "urn:xmpp:mds:displayed:0"
#define NS_ASSIST "urn:xmpp:mds:server-assist:0"

enum { M_ASSISTED };
static const struct sterna_metric metrics[] = {
	[M_ASSISTED] = { "sterna_mds_assisted_total", "Displayed items published for a message.", METRIC_COUNTER },
	{ 0 }
};

/* §3.4.1.2: off the message before it is archived or copied; what is left must be a message of its own. */
static enum sterna_verdict on_message(struct sterna_call *c)
{
	struct sterna_elem *m = sterna_stanza(c), *displayed = elem_child(m, "displayed", NS_MDS);

	if (displayed == NULL)
		return STERNA_NEXT;
	if (sterna_to(c) == NULL || elem_child(displayed, "stanza-id", "urn:xmpp:sid:0") == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "displayed has a stanza-id, and its message a recipient");
	elem_remove(displayed);
	if (elem_first(m) == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "displayed comes with a message, not alone");
	pep_request_publish(c, NS_MDS, jid_full(sterna_to(c)), displayed);
	sterna_count(c, M_ASSISTED, 1);
	return STERNA_NEXT;
}

STERNA_MODULE(mds, .spec = "XEP-0490 1.0.1", .summary = "Message Displayed Synchronization",
	.needs = (const char *const[]){ "pep", NULL }, .metrics = metrics,
	.features = (const struct sterna_feature[]){ { NS_ASSIST, STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_OUT_POLICY, on_message, NULL, STERNA_MESSAGE }, { 0 } });
