/* XEP-0054 vcard-temp 1.3.0: one card per account; anyone may read it, its owner writes it. */
#include <string.h>
#include "server/module.h"

#define NS_VCARD "vcard-temp"

struct vcard_config {
	struct sterna_size max_size;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct vcard_config, max_size, "128KiB", "1KiB..1MiB", "the largest card that is stored, with its photo"),
	{ 0 }
};

static const struct db_stmt put = {
	.name = "vcard_put", .params = "tt",
	.sql = "INSERT INTO vcard (owner, xml) VALUES ($1, $2) "
	       "ON CONFLICT (owner) DO UPDATE SET xml = excluded.xml, photo_hash = NULL",
};
static const struct db_stmt get = {
	.name = "vcard_get", .params = "t", .columns = "t",
	.sql = "SELECT xml FROM vcard WHERE owner = $1",
};
static const struct db_stmt forget = {
	.name = "vcard_forget", .params = "t",
	.sql = "DELETE FROM vcard WHERE owner = $1",
};

/* §3.3: no card, and no such account, look the same to others: <service-unavailable/>. */
static enum sterna_verdict on_row(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (rows->count == 0)
		return sterna_is_own(c) ? sterna_reply(c, sterna_elem(c, "vCard", NS_VCARD))
			: sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	struct sterna_elem *holder = sterna_elem(c, "holder", NS_VCARD);

	sterna_add_xml(holder, rows->text[0]);
	struct sterna_elem *card = sterna_child(holder);

	if (card == NULL)
		return sterna_reject(c, STERNA_INTERNAL_SERVER_ERROR, NULL);
	elem_remove(card);
	return sterna_reply(c, card);
}

static enum sterna_verdict on_get(struct sterna_call *c)
{
	return sterna_read(c, on_row, &get, sterna_owner(c));
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct vcard_config *cfg = sterna_config(c);
	const char *xml = sterna_xml(sterna_payload(c));

	if (strlen(xml) > cfg->max_size.bytes)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the card is too large");
	sterna_write(c, &put, sterna_owner(c), xml);
	return sterna_reply(c, NULL);
}

/* §3.2: another's card is not to be set. Said on the sender's side, so that it tells nothing about the other. */
static enum sterna_verdict on_iq_out(struct sterna_call *c)
{
	const struct jid *to = sterna_to(c);

	if (strcmp(sterna_type(c), "set") != 0 || to == NULL || jid_local(to) == NULL || jid_resource(to) != NULL
		|| !elem_is(sterna_payload(c), "vCard", NS_VCARD) || strcmp(jid_domain(to), sterna_host(c)) != 0
		|| strcmp(jid_bare(to), sterna_owner(c)) == 0)
		return STERNA_NEXT;
	return sterna_reject(c, STERNA_FORBIDDEN, NULL);
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
}

STERNA_MODULE(vcard, .spec = "XEP-0054 1.3.0", .summary = "vcard-temp",
	.options = options, .config_size = sizeof(struct vcard_config),
	.features = (const struct sterna_feature[]){ { NS_VCARD, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_OUT_POLICY, on_iq_out, NULL, STERNA_IQ }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT, NS_VCARD, "vCard", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_VCARD, "vCard", on_set }, { 0 } });
