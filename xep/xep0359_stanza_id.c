/* XEP-0359 Unique and Stable Stanza IDs 0.7.0: the archive's id on every message that is archived, and no forged
 * ones. <origin-id/> belongs to the sender and passes (§3). */
#include <inttypes.h>
#include <string.h>
#include "server/module.h"

#define NS_SID "urn:xmpp:sid:0"

/* 'by' is an address, to be compared in its normal form (§3.1, rule 7). */
static bool is_by(const struct sterna_elem *e, const char *bare, const char *host)
{
	const char *by = elem_attr(e, "by");
	struct jid *j = NULL;
	bool same;

	if (by == NULL || jid_parse(by, strlen(by), &j) != STERNA_OK)
		return false;
	same = strcmp(jid_bare(j), bare) == 0 || strcmp(jid_bare(j), host) == 0;
	jid_unref(&j);
	return same;
}

/* §3.1, rule 2: what claims to be ours is deleted, whether we add our own or not. On the sender's side that is
 * the sender's account, on the recipient's side the recipient's. (A room does it for all that it sends to: its messages
 * are shared.) */
static enum sterna_verdict strip(struct sterna_call *c)
{
	struct sterna_elem *m = sterna_stanza(c), *next;
	const char *owner = sterna_owner(c), *host = sterna_host(c);

	for (struct sterna_elem *e = elem_first(m); e != NULL; e = next) {
		next = elem_next(e);
		if (elem_is(e, "stanza-id", NS_SID) && is_by(e, owner, host))
			elem_remove(e);
	}
	return STERNA_NEXT;
}

/* XEP-0313 §3.2: only towards the one who may read the archive, so on the recipient's side only. The stop's
 * order is by name: hints and mam have decided before. */
static enum sterna_verdict add(struct sterna_call *c)
{
	const unsigned marks = sterna_marks(c);

	if ((marks & STERNA_ARCHIVE) == 0 || (marks & (STERNA_NO_ARCHIVE | STERNA_NO_STORE)) != 0)
		return STERNA_NEXT;
	const int64_t id = sterna_archive_id(c);

	if (id == 0)
		return STERNA_NEXT;
	struct sterna_elem *e = sterna_add(sterna_stanza(c), "stanza-id", NS_SID);

	sterna_attr(e, "by", sterna_owner(c));
	sterna_attr(e, "id", sterna_printf(c, "%" PRId64, id));
	return STERNA_NEXT;
}

STERNA_MODULE(stanza_id, .spec = "XEP-0359 0.7.0", .summary = "Unique and Stable Stanza IDs",
	.features = (const struct sterna_feature[]){ { NS_SID, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, strip, NULL, STERNA_MESSAGE },
		{ STERNA_IN_POLICY, strip, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY },
		{ STERNA_IN_STORE, add, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } });
