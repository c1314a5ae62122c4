/* XEP-0054 vcard-temp 1.3.0: one card per account; anyone may read it, its owner writes it. Its photo is the account's
 * avatar: xep0398_avatar.h. */
#include <string.h>
#include "xep/xep0398_avatar.h"

struct vcard_config {
	struct sterna_size max_size;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct vcard_config, max_size, "128KiB", "1KiB..1MiB", "the largest card that is stored, with its photo"),
	{ 0 }
};

static const struct db_stmt put = {
	.name = "vcard_put", .params = "ttt",
	.sql = "INSERT INTO vcard (owner, xml, photo_hash) VALUES ($1, $2, $3) "
	       "ON CONFLICT (owner) DO UPDATE SET xml = excluded.xml, photo_hash = excluded.photo_hash",
};
/* The card, the avatar with that id, and who may read it. */
static const struct db_stmt get = {
	.name = "vcard_get", .params = "tt", .columns = "ttt",
	.sql = "SELECT (SELECT xml FROM vcard WHERE owner = $1), (SELECT payload FROM pubsub_item WHERE owner = $1"
	       " AND node = 'urn:xmpp:avatar:data' AND id = $2), (SELECT config FROM pubsub_node WHERE owner = $1"
	       " AND node = 'urn:xmpp:avatar:data')",
};
static const struct db_stmt forget = {
	.name = "vcard_forget", .params = "t",
	.sql = "DELETE FROM vcard WHERE owner = $1",
};

/* XEP-0398 §6: whoever may not read the node does not see in the card what is in it. */
static bool may_see_avatar(struct sterna_call *c, const char *config)
{
	if (sterna_is_own(c) || config == NULL || strstr(config, "\"access_model\":\"open\"") != NULL)
		return true;
	return strstr(config, "\"access_model\":\"presence\"") != NULL && sterna_may_see(c, sterna_from(c));
}

/* §3.3: no card, and no such account, look the same to others: <service-unavailable/>. */
static enum sterna_verdict on_row(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *holder = sterna_elem(c, "holder", NS_VCARD), *card;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (rows->text[0] != NULL)
		sterna_add_xml(holder, rows->text[0]);
	card = sterna_child(holder);
	if (rows->text[0] != NULL && card == NULL)
		return sterna_reject(c, STERNA_INTERNAL_SERVER_ERROR, NULL);
	if (card == NULL)
		card = sterna_add(holder, "vCard", NS_VCARD);
	elem_remove(card);
	avatar_into_card(c, card, rows->text[1], may_see_avatar(c, rows->text[2]));
	if (rows->text[0] == NULL && elem_first(card) == NULL && !sterna_is_own(c))
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	return sterna_reply(c, card);
}

static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct avatar *a = sterna_account_slot(c);
	const bool is_wanted = a != NULL && a->state == AVATAR_SET && !a->photo;

	return sterna_read(c, on_row, &get, sterna_owner(c), is_wanted ? a->id : "");
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct vcard_config *cfg = sterna_config(c);
	const char *xml = sterna_xml(sterna_payload(c));
	const struct avatar *a = sterna_account_slot(c);
	bool had;

	if (a == NULL)
		return sterna_reject(c, STERNA_SERVICE_UNAVAILABLE, NULL);
	if (strlen(xml) > cfg->max_size.bytes)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the card is too large");
	had = a->photo;
	if (avatar_from_card(c, sterna_payload(c)))
		sterna_write(c, &put, sterna_owner(c), xml, a->id);
	else {
		sterna_write(c, &put, sterna_owner(c), xml, (const char *)NULL);
		if (had) /* the photo that was the avatar has been taken out */
			avatar_remove(c);
	}
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

STERNA_MODULE(vcard, .spec = "XEP-0054 1.3.0", .summary = "vcard-temp, and its photo as an avatar (XEP-0153, 0398)",
	.options = options, .config_size = sizeof(struct vcard_config), .account_size = sizeof(struct avatar),
	.features = (const struct sterna_feature[]){ { NS_VCARD, STERNA_SERVER | STERNA_OWN_ACCOUNT },
		{ "urn:xmpp:pep-vcard-conversion:0", STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_OUT_POLICY, on_iq_out, NULL, STERNA_IQ },
		{ STERNA_OUT_STORE, avatar_on_presence, NULL, STERNA_PRESENCE }, { 0 } },
	.stops = (const struct sterna_stop[]){ { PEP_CHANGED, avatar_on_changed }, { 0 } },
	.account_reads = (const struct sterna_account_read[]){ { &avatar_read, avatar_on_read }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_ANY_ACCOUNT, NS_VCARD, "vCard", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_VCARD, "vCard", on_set }, { 0 } });
