/* XEP-0334 Message Processing Hints 1.0.0: what the sender asks of storage and copies. */
#include <string.h>
#include "server/module.h"

#define NS_HINTS "urn:xmpp:hints"

struct hints_config {
	bool honour_no_store;
	bool honour_no_copy;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct hints_config, honour_no_store, "true", NULL,
		"senders may keep messages out of archives; false where everything must be archived"),
	STERNA_OPT(struct hints_config, honour_no_copy, "true", NULL,
		"senders may keep messages from the other devices of both sides"),
	{ 0 }
};

/* The marks are the account's whose turn it is, so both sides read the hints. An error repeats its stanza's
 * hints; they say nothing about the error (§4). */
static enum sterna_verdict on_message(struct sterna_call *c)
{
	const struct hints_config *cfg = sterna_config(c);
	const struct sterna_elem *m = sterna_stanza(c);
	unsigned marks = 0;

	if (strcmp(sterna_type(c), "error") == 0)
		return STERNA_NEXT;
	if (cfg->honour_no_store && elem_child(m, "no-store", NS_HINTS) != NULL)
		marks |= STERNA_NO_STORE | STERNA_NO_ARCHIVE;            /* §5.2: neither offline nor archived */
	if (cfg->honour_no_store && elem_child(m, "no-permanent-store", NS_HINTS) != NULL)
		marks |= STERNA_NO_ARCHIVE;                              /* §5.1: offline only */
	if (cfg->honour_no_copy && elem_child(m, "no-copy", NS_HINTS) != NULL)
		marks |= STERNA_NO_COPY;                                 /* §5.3 */
	if (elem_child(m, "store", NS_HINTS) != NULL && strcmp(sterna_type(c), "groupchat") != 0)
		marks |= STERNA_ARCHIVE;                                 /* §5.4 */
	if (marks != 0)
		sterna_mark(c, marks);
	return STERNA_NEXT;
}

STERNA_MODULE(hints, .spec = "XEP-0334 1.0.0", .summary = "Message Processing Hints",
	.options = options, .config_size = sizeof(struct hints_config),
	.features = (const struct sterna_feature[]){ { NS_HINTS, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_STORE, on_message, NULL, STERNA_MESSAGE },
		{ STERNA_IN_STORE, on_message, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } });
