/* Whom people hear of that they do not know: messages and requests for subscriptions of strangers.
 *
 * A stranger is who is not in the account's roster, is not let see its presence, has no message in its archive (what is
 * refused has none; what it has just written is remembered until it is there), and whose address (a room's, say) it sends
 * no presence to. What is refused counts against the stranger's domain (s2s.isolate_after). */
#include "server/module.h"
#include <string.h>

enum policy { ALLOW, STRIP, REFUSE };

struct strangers_config {
	unsigned messages, subscriptions, scope;
	struct sterna_list exceptions;
	const char *text;
};
#define O struct strangers_config
static const struct sterna_option options[] = {
	STERNA_OPT(O, messages, "allow", "allow|refuse", "messages of strangers"),
	STERNA_OPT(O, subscriptions, "allow", "allow|strip|refuse", "their requests for subscriptions; strip: without what they say of themselves"),
	STERNA_OPT(O, scope, "remote", "remote|all", "strangers are people of other servers, or of this one too"),
	STERNA_OPT(O, exceptions, NULL, NULL, "domains and addresses that are no strangers to anybody"),
	STERNA_OPT(O, text, "This account takes messages from people it knows. Ask for a subscription first.", NULL,
		"what a stranger is told"),
	{ 0 }
};

enum { WRITTEN = 32 };
struct strangers_account {
	uint32_t to[WRITTEN];        /* hashes of whom it has written to of late */
	unsigned next;
};

enum { M_REFUSED };
static const char *const kinds[] = { "message", "subscription", NULL };
static const struct sterna_metric metrics[] = {
	[M_REFUSED] = { "sterna_strangers_refused_total", "What strangers were refused.", METRIC_COUNTER,
		.labels = { { "kind", kinds } } },
	{ 0 }
};

static const struct db_stmt written = {
	.name = "strangers_written", .params = "tt", .columns = "i",
	.sql = "SELECT 1 FROM archive WHERE owner = $1 AND peer = $2 LIMIT 1",
};

static bool is_listed(const struct sterna_list *l, const char *text)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->item[i], text) == 0)
			return true;
	return false;
}

/* FNV-1a; never 0. */
static uint32_t hash_of(const char *jid)
{
	uint32_t h = 2166136261u;

	for (; *jid != '\0'; jid++)
		h = (h ^ (unsigned char)*jid) * 16777619u;
	return h != 0 ? h : 1;
}

static bool has_written(struct sterna_call *c, const struct jid *to)
{
	const struct strangers_account *a = sterna_account_slot(c);
	const uint32_t h = hash_of(jid_bare(to));

	for (unsigned i = 0; a != NULL && i < WRITTEN; i++)
		if (a->to[i] == h)
			return true;
	return false;
}

static enum sterna_verdict on_out(struct sterna_call *c)
{
	const struct strangers_config *cfg = sterna_config(c);
	struct strangers_account *a = sterna_account_slot(c);

	if (cfg->messages == ALLOW || a == NULL || sterna_to(c) == NULL || has_written(c, sterna_to(c)))
		return STERNA_NEXT;
	a->to[a->next++ % WRITTEN] = hash_of(jid_bare(sterna_to(c)));
	return STERNA_NEXT;
}

static bool is_stranger(struct sterna_call *c)
{
	const struct strangers_config *cfg = sterna_config(c);
	const struct jid *from = sterna_from(c);

	/* Servers and their services have no local part. */
	if (jid_local(from) == NULL || sterna_is_own(c) || (cfg->scope == 0 && sterna_has_host(sterna_mod(c), jid_domain(from))))
		return false;
	return !is_listed(&cfg->exceptions, jid_bare(from)) && !is_listed(&cfg->exceptions, jid_domain(from))
		&& !sterna_in_roster(c, from) && !sterna_may_see(c, from) && !sterna_has_shown(c, from)
		&& !has_written(c, from);
}

static void count(struct sterna_call *c, unsigned kind)
{
	sterna_mod_count(sterna_mod(c), M_REFUSED, kind, 1);
	sterna_offence(c, 1, "what strangers were refused");
}

static enum sterna_verdict on_written(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct strangers_config *cfg = sterna_config(c);

	if (rc != STERNA_OK || rows->count > 0)
		return STERNA_NEXT; /* a database that is away is no reason to lose a message */
	count(c, 0);
	return sterna_reject(c, STERNA_SUBSCRIPTION_REQUIRED, cfg->text);
}

static enum sterna_verdict on_message(struct sterna_call *c)
{
	const struct strangers_config *cfg = sterna_config(c);
	const char *type = sterna_type(c);

	if (cfg->messages == ALLOW || strcmp(type, "error") == 0 || strcmp(type, "groupchat") == 0 || !is_stranger(c))
		return STERNA_NEXT;
	return sterna_read(c, on_written, &written, sterna_owner(c), jid_bare(sterna_from(c)));
}

static enum sterna_verdict on_presence(struct sterna_call *c)
{
	const struct strangers_config *cfg = sterna_config(c);

	if (cfg->subscriptions == ALLOW || strcmp(sterna_type(c), "subscribe") != 0 || !is_stranger(c))
		return STERNA_NEXT;
	if (cfg->subscriptions == REFUSE) {
		count(c, 1);
		return sterna_reject(c, STERNA_NOT_ALLOWED, "this account takes no requests from strangers");
	}
	while (elem_first(sterna_stanza(c)) != NULL)
		elem_remove(elem_first(sterna_stanza(c)));
	return STERNA_NEXT;
}

static enum sterna_verdict on_in(struct sterna_call *c)
{
	return sterna_kind(c) == STERNA_MESSAGE ? on_message(c) : on_presence(c);
}

STERNA_MODULE(strangers, .summary = "Messages and subscription requests of strangers: taken, or refused", .metrics = metrics,
	.options = options, .config_size = sizeof(struct strangers_config), .account_size = sizeof(struct strangers_account),
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, on_out, NULL, STERNA_MESSAGE },
		{ STERNA_IN_POLICY, on_in, NULL, STERNA_MESSAGE | STERNA_PRESENCE, STERNA_HOOK_NOT_MANY }, { 0 } });
