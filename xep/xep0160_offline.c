/* XEP-0160 Best Practices for Handling Offline Messages 1.0.1: the core stores what waits (server/archive.c), and says
 * since when (XEP-0203 2.0); this tells clients that it does (§4), and that nobody else says so in our name. */
#include <string.h>
#include "server/module.h"

#define NS_DELAY "urn:xmpp:delay"

static bool is_by(const struct sterna_elem *delay, const char *host)
{
	const char *from = elem_attr(delay, "from");
	struct jid *j = NULL;
	bool same;

	if (from == NULL || jid_parse(from, strlen(from), &j) != STERNA_OK)
		return false;
	same = strcmp(jid_full(j), host) == 0;
	jid_unref(&j);
	return same;
}

/* XEP-0203 §5: a sender cannot know how long we held it. What others say of themselves is theirs to say. */
static enum sterna_verdict strip_forged(struct sterna_call *c)
{
	struct sterna_elem *m = sterna_stanza(c), *next;

	for (struct sterna_elem *e = elem_first(m); e != NULL; e = next) {
		next = elem_next(e);
		if (elem_is(e, "delay", NS_DELAY) && is_by(e, sterna_host(c)))
			elem_remove(e);
	}
	return STERNA_NEXT;
}

STERNA_MODULE(offline, .spec = "XEP-0160 1.0.1", .summary = "Offline messages, announced",
	.features = (const struct sterna_feature[]){ { "msgoffline", STERNA_SERVER }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_IN_POLICY, strip_forged, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } });
