/* invite_iq.c - the linked-in module "invite": requests for a subscription that bring the token of an invitation
 * (XEP-0379 §3.4, as the inviter's server), and the commands that make invitations (XEP-0401). */
#include "server/invite_iq.h"
#include <string.h>
#include "server/account.h"
#include "server/http.h"
#include "server/invite.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/subscription.h"
#include "xep/invite.h"

struct invite_config {
	struct sterna_duration lifetime;
	unsigned max_open;
	bool accounts;
	const char *url;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct invite_config, lifetime, "7d", "1m..365d", "how long an invitation is good"),
	STERNA_OPT(struct invite_config, max_open, "20", "0..10000", "invitations of one user that are not used yet"),
	STERNA_OPT(struct invite_config, accounts, "true", NULL, "a user's invitation lets make an account on this server"),
	STERNA_OPT(struct invite_config, url, NULL, NULL, "of a page of yours that explains an invitation, https://example.org/invite; without it the module web has one"),
	{ 0 }
};

void invite_options(struct server *s, struct invite_options *out)
{
	const struct module_slot *slot = module_find(s, "invite");
	const struct invite_config *cfg = atomic_load(&slot->config);

	*out = (struct invite_options){ cfg->lifetime.us, cfg->max_open, cfg->accounts, cfg->url,
		http_serves(s->registry, INVITE_PATH) };
}

/* Not used yet and not too old; or this one used it, to make the account that asks now. */
static const struct db_stmt is_welcome = {
	.name = "invite_is_welcome", .params = "ttit", .columns = "i",
	.sql = "SELECT 1 FROM invite i WHERE token = $1 AND inviter = $2 AND contact = 1 AND ((expires > $3"
		" AND NOT EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token))"
		" OR EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token AND u.account = $4))",
};

/* Approved before the request is looked at, so that nobody is asked; and the wish goes back, so that it is mutual. */
static enum sterna_verdict on_token(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const char *hash = sterna_data(c);

	/* §3.5: what is wrong with the token makes an ordinary request of it. */
	if (rc != STERNA_OK || rows->count == 0 || c->account == NULL || !subscription_preapprove(c, sterna_from(c)))
		return STERNA_NEXT;
	sterna_write(c, &invite_use_once, hash, jid_bare(sterna_from(c)), sterna_now_us(c));
	sterna_audit(c, "sterna.invitation.used.v1", sterna_owner(c), (const struct sterna_datum[]){
		STERNA_DATUM("invitation", sterna_printf(c, "%.16s", hash)), STERNA_PERSONAL("by", jid_bare(sterna_from(c))),
		STERNA_DATUM("kind", "contact"), { 0 } });
	struct stanza *back = stanza_make("presence", "subscribe", c->account->jid, sterna_from(c), NULL);

	route_subscription(c->worker, &back);
	log_info("invite", "an invitation was taken", "inviter", sterna_owner(c), "contact", jid_bare(sterna_from(c)));
	return STERNA_NEXT;
}

static enum sterna_verdict on_request(struct sterna_call *c)
{
	const struct sterna_elem *preauth;
	const char *token;
	char *hash;

	if (strcmp(sterna_type(c), "subscribe") != 0 || c->account == NULL
		|| (preauth = elem_child(sterna_stanza(c), "preauth", NS_INVITE_PREAUTH)) == NULL
		|| (token = elem_attr(preauth, "token")) == NULL)
		return STERNA_NEXT;
	hash = sterna_alloc(c, INVITE_HASH_SIZE);
	invite_hash(token, hash);
	sterna_set_data(c, hash);
	return sterna_read(c, on_token, &is_welcome, hash, sterna_owner(c), sterna_now_us(c), jid_bare(sterna_from(c)));
}

static const struct db_stmt look = {
	.name = "invite_look", .params = "t", .columns = "tttiiii",
	.sql = "SELECT host, inviter, username, contact, account, expires,"
		" (SELECT count(*) FROM invite_use u WHERE u.token = i.token) FROM invite i WHERE token = $1",
};

static enum sterna_result load(struct sterna_mod *m)
{
	static const struct invite_api api = { invite_hash, &look, invite_address };

	sterna_provide(m, "invite", INVITE_VERSION, &api);
	return STERNA_OK;
}

STERNA_MODULE(invite, .spec = "XEP-0401 0.6.0", .summary = "Invitations (XEP-0379, 0401, 0445)",
	.options = options, .config_size = sizeof(struct invite_config), .load = load,
	.hooks = (const struct sterna_hook[]){
		{ STERNA_IN_POLICY, on_request, "blocking", STERNA_PRESENCE, STERNA_HOOK_NOT_MANY }, { 0 } });
