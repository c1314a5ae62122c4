/* XEP-0045 Multi-User Chat 1.35.5: the module's tables, and where each stanza to a service or room goes. The rest lies
 * in muc_*.c; muc.h has the way in. With it XEP-0313 (rooms), 0410, 0421, 0425, 0317, 0433, 0463, 0486, 0500, 0502. */
#include <stdlib.h>
#include <string.h>
#include "xep/muc.h"

static const struct sterna_option options[] = {
	STERNA_OPT(struct muc_options, hosts, NULL, NULL,
		"domains of the service; without it conference.HOST for each host with users"),
	STERNA_OPT(struct muc_options, create, "local", "local|anyone|nobody",
		"who may make rooms: users of this server, anyone, nobody"),
	STERNA_OPT(struct muc_options, rooms_per_user, "100", "0..100000", "rooms that one person may own"),
	STERNA_OPT(struct muc_options, occupants, "10000", "1..1000000", "most occupants of a room, whatever its owner says"),
	STERNA_OPT(struct muc_options, sessions_per_nick, "20", "1..1000", "devices of one person under one nick"),
	STERNA_OPT(struct muc_options, affiliations, "10000", "10..1000000", "people that a room knows: members, outcasts…"),
	STERNA_OPT(struct muc_options, nick_length, "128", "8..1023", "bytes of a nick"),
	STERNA_OPT(struct muc_options, subject_size, "4KiB", "256..64KiB", "bytes of a message that sets the subject"),
	STERNA_OPT(struct muc_options, text_size, "4KiB", "64..64KiB", "bytes of a text in a room's configuration, of a reason"),
	STERNA_OPT(struct muc_options, presence_size, "8KiB", "1KiB..256KiB", "bytes of an occupant's presence"),
	STERNA_OPT(struct muc_options, history, "50", "0..1000", "messages that a room keeps at hand for new occupants"),
	STERNA_OPT(struct muc_options, history_size, "256KiB", "4KiB..64MiB", "bytes of them"),
	STERNA_OPT(struct muc_options, avatar_size, "128KiB", "1KiB..4MiB", "bytes of a room's vCard, with its avatar"),
	STERNA_OPT(struct muc_options, pending, "1000", "10..100000",
		"requests between occupants that wait for an answer, per room"),
	STERNA_OPT(struct muc_options, unload_after, "10m", "10s..30d", "a room without occupants leaves memory then"),
	STERNA_OPT(struct muc_options, public, "true", NULL, "new rooms can be found in the list"),
	STERNA_OPT(struct muc_options, persistent, "false", NULL, "new rooms stay when the last occupant leaves"),
	STERNA_OPT(struct muc_options, members_only, "false", NULL, "new rooms are for members only"),
	STERNA_OPT(struct muc_options, moderated, "false", NULL, "in new rooms one needs voice to speak"),
	STERNA_OPT(struct muc_options, archive, "true", NULL, "new rooms keep an archive of what is said"),
	STERNA_OPT(struct muc_options, nonanonymous, "false", NULL, "in new rooms everyone sees real addresses"),
	STERNA_OPT(struct muc_options, page, "100", "1..250", "results of an archive query that asks for no number"),
	STERNA_OPT(struct muc_options, max_page, "250", "1..1000", "most results of one query, of the archive or of rooms"),
	STERNA_OPT(struct muc_options, max_bytes, "1MiB", "64KiB..64MiB",
		"most bytes of stanzas in the answer to one archive query"),
	STERNA_OPT(struct muc_options, search, "all", "all|words|off",
		"what the search for public rooms gives (XEP-0433): also the whole list, only what has the words, nothing"),
	STERNA_OPT(struct muc_options, search_rooms, "10000", "1..1000000", "how many rooms one search looks at"),
	{ 0 }
};

/* --- stanzas to the service, its rooms, and their occupants --- */

static enum sterna_verdict on_stanza(struct sterna_call *c)
{
	static muc_fn *const by_kind[] = {
		[STERNA_MESSAGE] = muc_on_message, [STERNA_PRESENCE] = muc_on_presence, [STERNA_IQ] = muc_on_iq };
	const enum sterna_kind kind = sterna_kind(c);

	if (jid_local(sterna_to(c)) == NULL)
		return kind == STERNA_PRESENCE ? STERNA_DONE : STERNA_NEXT;
	return muc_enter(c, by_kind[kind]);
}

static enum sterna_verdict pong(struct sterna_call *c, struct muc_room *room)
{
	return room == NULL ? sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL) : sterna_reply(c, NULL);
}

static enum sterna_verdict on_ping(struct sterna_call *c)
{
	return jid_local(sterna_to(c)) != NULL ? muc_enter(c, pong) : sterna_reply(c, NULL);
}

/* --- life --- */

static enum sterna_result serve(struct sterna_mod *m, const char *domain)
{
	return sterna_serve(m, domain, "conference", "text", "Rooms");
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct muc_options *o = sterna_mod_config(m);
	const char *host;

	sterna_mod_set_data(m, (void *)sterna_use(m, "mam", MAM_VERSION));
	if (sterna_mod_data(m) == NULL)
		return STERNA_ENOTFOUND;
	for (size_t i = 0; i < o->hosts.count; i++)
		if (serve(m, o->hosts.item[i]) != STERNA_OK)
			return STERNA_EINVAL;
	for (size_t i = 0; o->hosts.count == 0 && (host = sterna_mod_host(m, i)) != NULL; i++) {
		char *domain = xasprintf("conference.%s", host);
		/* A component of that name is there on purpose. */
		const bool ok = sterna_mod_has_domain(m, domain) || serve(m, domain) == STERNA_OK;

		free(domain);
		if (!ok)
			return STERNA_EINVAL;
	}
	return STERNA_OK;
}

STERNA_MODULE(muc, .spec = "XEP-0045 1.35.5", .summary = "Multi-User Chat",
	.needs = (const char *const[]){ "mam", NULL },
	.options = options, .config_size = sizeof(struct muc_options), .worker_size = sizeof(struct muc_worker), .load = load,
	.service = on_stanza, .commands = muc_commands,
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_INFO, "query", muc_on_disco_info },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_ITEMS, "query", muc_on_disco_items },
		{ STERNA_GET, STERNA_SERVICE, NS_PING, "ping", on_ping },
		{ STERNA_GET, STERNA_SERVICE, NS_SEARCH, "search", muc_on_search },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_MUC_ADMIN, "query", muc_on_admin },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_MUC_OWNER, "query", muc_on_owner },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_REGISTER, "query", muc_on_register },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_MAM, "query", muc_on_archive },
		{ STERNA_GET, STERNA_SERVICE, NS_MAM, "metadata", muc_on_archive },
		{ STERNA_SET, STERNA_SERVICE, "urn:xmpp:message-moderate:1", "moderate", muc_on_moderate },
		{ STERNA_SET, STERNA_SERVICE, "urn:xmpp:fasten:0", "apply-to", muc_on_moderate },
		{ STERNA_GET | STERNA_SET, STERNA_SERVICE, NS_VCARD, "vCard", muc_on_vcard },
		{ STERNA_SET, STERNA_SERVICE, "http://jabber.org/protocol/commands", "command", muc_on_command }, { 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_WORKER_TICK, muc_on_tick }, { STERNA_WORKER_ENDED, muc_on_worker_ended }, { 0 } });
