/* XEP-0280 Message Carbons 1.0.1: every device sees both sides of every conversation. Whether a session wants
 * them is kept with the session ("carbons"), so that it survives a resumption, and Bind 2 may set it. */
#include <inttypes.h>
#include <string.h>
#include "server/module.h"

#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_RULES "urn:xmpp:carbons:rules:0"
#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"

/* What errors may answer, sent and received: §6.1 copies an error if it copied its message. Rings, so the oldest go. */
enum { REMEMBERED = 32 };
struct ring {
	uint32_t key[REMEMBERED];
	unsigned next;
};
struct carbons_account {
	struct ring sent, received;
};

static enum sterna_verdict on_enable(struct sterna_call *c)
{
	if (sterna_session(c) == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL); /* §4: no client of ours */
	sterna_keep(c, sterna_session(c), "carbons", "1");
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_disable(struct sterna_call *c)
{
	if (sterna_session(c) == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	sterna_keep(c, sterna_session(c), "carbons", NULL);
	return sterna_reply(c, NULL);
}

/* --- §6.1: which messages --- */

/* FNV-1a over id and correspondent: to find an answer, not to prove one. 0 is "none". */
static uint32_t message_key(const char *id, const char *bare)
{
	uint32_t h = 2166136261u;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	for (h *= 16777619u; *bare != '\0'; bare++)
		h = (h ^ (unsigned char)*bare) * 16777619u;
	return h != 0 ? h : 1;
}

static void remember(struct ring *r, const char *id, const struct jid *other)
{
	if (id == NULL || other == NULL)
		return;
	r->key[r->next] = message_key(id, jid_bare(other));
	r->next = (r->next + 1) % REMEMBERED;
}

/* Is this error, which we send (or receive), for a message that was copied when it came (went)? */
static bool answers_copied(struct sterna_call *c, bool sent)
{
	const struct carbons_account *a = sterna_account_slot(c);
	const struct jid *other = sent ? sterna_to(c) : sterna_from(c);

	if (sterna_id(c) == NULL || other == NULL || a == NULL)
		return false;
	const struct ring *r = sent ? &a->received : &a->sent;
	const uint32_t key = message_key(sterna_id(c), jid_bare(other));

	for (unsigned i = 0; i < REMEMBERED; i++)
		if (r->key[i] == key)
			return true;
	return false;
}

static bool has_im_payload(const struct sterna_elem *m)
{
	elem_foreach(e, m)
		if (strcmp(e->ns, "urn:xmpp:receipts") == 0 || strcmp(e->ns, "http://jabber.org/protocol/chatstates") == 0
			|| strcmp(e->ns, "urn:xmpp:chat-markers:0") == 0)
			return true;
	return false;
}

static bool is_invitation(const struct sterna_elem *m)
{
	const struct sterna_elem *x = elem_child(m, "x", NS_MUC_USER);

	return elem_child(m, "x", "jabber:x:conference") != NULL || (x != NULL && elem_child(x, "invite", NULL) != NULL);
}

static bool is_eligible(struct sterna_call *c, bool sent)
{
	const struct sterna_elem *m = sterna_stanza(c);
	const char *type = sterna_type(c);

	if (elem_child(m, "private", NS_CARBONS) != NULL || (sterna_marks(c) & STERNA_NO_COPY) != 0)
		return false;
	if (strcmp(type, "groupchat") == 0)
		return false;
	/* Before what is said of rooms: they send an error to the one device alone whose message it answers. */
	if (strcmp(type, "error") == 0)
		return answers_copied(c, sent);
	if (is_invitation(m))
		return true;
	/* From an occupant of a room: the room sends it to each of our joined sessions itself. */
	if (!sent && elem_child(m, "x", NS_MUC_USER) != NULL && jid_resource(sterna_from(c)) != NULL)
		return false;
	return strcmp(type, "chat") == 0 || has_im_payload(m)
		|| (strcmp(type, "normal") == 0 && elem_child(m, "body", NULL) != NULL);
}

/* --- §7, §8: the copies --- */

static struct sterna_elem *copy_for(struct sterna_call *c, struct sterna_session *s, const char *direction)
{
	struct sterna_elem *wrapper = sterna_elem(c, "message", NS_CLIENT), *forwarded;

	if (strcmp(sterna_type(c), "normal") != 0)
		sterna_attr(wrapper, "type", sterna_type(c));
	if (sterna_id(c) != NULL)
		sterna_attr(wrapper, "id", sterna_id(c));
	sterna_attr(wrapper, "from", sterna_owner(c));
	sterna_attr(wrapper, "to", jid_full(sterna_session_jid(s)));
	forwarded = sterna_add(sterna_add(wrapper, direction, NS_CARBONS), "forwarded", NS_FORWARD);
	sterna_add_copy(forwarded, sterna_stanza(c));
	return wrapper;
}

/* XEP-0313 §3.2: one's own copy of what one sent names its place in one's own archive; the message itself, which
 * goes to someone else, does not. */
static void add_stanza_id(struct sterna_call *c, struct sterna_elem *wrapper)
{
	const unsigned marks = sterna_marks(c);
	const int64_t id = (marks & STERNA_ARCHIVE) != 0 && (marks & (STERNA_NO_ARCHIVE | STERNA_NO_STORE)) == 0
		? sterna_archive_id(c) : 0;

	if (id == 0)
		return;
	struct sterna_elem *message = sterna_child(sterna_child(sterna_child(wrapper)));
	struct sterna_elem *e = sterna_add(message, "stanza-id", "urn:xmpp:sid:0");

	sterna_attr(e, "by", sterna_owner(c));
	sterna_attr(e, "id", sterna_printf(c, "%" PRId64, id));
}

/* §8: what this account sends, to its other sessions. What it sends to itself is delivered to them anyway. */
static enum sterna_verdict on_sent(struct sterna_call *c)
{
	if (sterna_to(c) == NULL || strcmp(jid_bare(sterna_to(c)), sterna_owner(c)) == 0 || !is_eligible(c, true))
		return STERNA_NEXT;
	struct carbons_account *a = sterna_account_slot(c);

	if (a != NULL)
		remember(&a->sent, sterna_id(c), sterna_to(c));
	for (struct sterna_session *s = sterna_next_session(c, NULL), *next; s != NULL; s = next) {
		next = sterna_next_session(c, s); /* first: what s gets may be one too many for it */
		if (s == sterna_session(c) || sterna_kept(s, "carbons") == NULL)
			continue;
		struct sterna_elem *copy = copy_for(c, s, "sent");

		add_stanza_id(c, copy);
		sterna_deliver(c, s, copy);
	}
	return STERNA_NEXT;
}

/* §7: to the sessions that do not get it by RFC 6121 §8. If none does, it is refused, or waits until one can:
 * a copy now would be a second one then. */
static enum sterna_verdict on_received(struct sterna_call *c)
{
	bool any = false;

	if (!is_eligible(c, false))
		return STERNA_NEXT;
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL && !any; s = sterna_next_session(c, s))
		any = sterna_is_target(c, s);
	if (!any)
		return STERNA_NEXT;
	struct carbons_account *a = sterna_account_slot(c);

	if (a != NULL)
		remember(&a->received, sterna_id(c), sterna_from(c));
	for (struct sterna_session *s = sterna_next_session(c, NULL), *next; s != NULL; s = next) {
		next = sterna_next_session(c, s);
		if (sterna_kept(s, "carbons") != NULL && !sterna_is_target(c, s)
			&& !jid_equal(sterna_session_jid(s), sterna_from(c)))
			sterna_deliver(c, s, copy_for(c, s, "received"));
	}
	return STERNA_NEXT;
}

STERNA_MODULE(carbons, .spec = "XEP-0280 1.0.1", .summary = "Message Carbons",
	.account_size = sizeof(struct carbons_account),
	.features = (const struct sterna_feature[]){
		{ NS_CARBONS, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { NS_RULES, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_COPY, on_sent, NULL, STERNA_MESSAGE },
		{ STERNA_IN_COPY, on_received, NULL, STERNA_MESSAGE, STERNA_HOOK_NOT_MANY }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_CARBONS, "enable", on_enable },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_CARBONS, "disable", on_disable }, { 0 } });
