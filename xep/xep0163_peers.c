/* XEP-0163 §4.3: who is there, and what it wants - from presence with capabilities (XEP-0115). Part of the module
 * "pep". */
#include "xep/xep0163_pep.h"
#include <stdlib.h>
#include <string.h>
#include "xep/jid_list.h"

#define NS_CAPS "http://jabber.org/protocol/caps"

static uint64_t hash_of(const char *text)
{
	uint64_t h = 14695981039346656037u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

static const char *ver_of(const struct sterna_elem *presence)
{
	const struct sterna_elem *e = elem_child(presence, "c", NS_CAPS);
	const char *ver = e != NULL ? elem_attr(e, "ver") : NULL;

	return ver != NULL && strlen(ver) < PEP_VER_SIZE ? ver : "";
}

const struct sterna_elem *pep_presence(struct sterna_call *c, const char *ver)
{
	struct sterna_elem *presence, *e;

	if (ver == NULL || ver[0] == '\0')
		return NULL;
	presence = sterna_elem(c, "presence", NS_CLIENT);
	e = sterna_add(presence, "c", NS_CAPS);
	sterna_attr(e, "hash", "sha-1");
	sterna_attr(e, "node", "n"); /* the cache is by hash; that there is a node is all it asks */
	sterna_attr(e, "ver", ver);
	return presence;
}

/* --- contacts --- */

static struct pep_peer *find(const struct pep_account *a, const char *full)
{
	const uint64_t h = hash_of(full);

	for (size_t i = 0; i < a->peer_count; i++)
		if (a->peers[i].hash == h && strcmp(a->peers[i].full, full) == 0)
			return &a->peers[i];
	return NULL;
}

static struct pep_peer *add(struct pep_account *a, const struct jid *jid, size_t max)
{
	if (a->peer_count >= max)
		return NULL;
	if (a->peer_count == a->peer_size) {
		a->peer_size = a->peer_size > 0 ? a->peer_size * 2 : 8;
		a->peers = xrealloc(a->peers, a->peer_size * sizeof *a->peers);
	}
	struct pep_peer *p = &a->peers[a->peer_count++];

	*p = (struct pep_peer){ .jid = jid_ref(jid), .full = jid_full(jid), .hash = hash_of(jid_full(jid)) };
	return p;
}

static void drop(struct pep_account *a, struct pep_peer *p)
{
	jid_unref(&p->jid);
	*p = a->peers[--a->peer_count];
}

/* A whole account has gone, or one resource of it. */
static void forget(struct pep_account *a, const struct jid *from)
{
	const char *text = jid_full(from);
	const size_t n = strlen(text);

	for (size_t i = a->peer_count; i-- > 0;)
		if (strcmp(a->peers[i].full, text) == 0 || (jid_resource(from) == NULL
			&& strncmp(a->peers[i].full, text, n) == 0 && a->peers[i].full[n] == '/'))
			drop(a, &a->peers[i]);
}

void pep_forget_peers(struct pep_account *a)
{
	for (size_t i = 0; i < a->peer_count; i++)
		jid_unref(&a->peers[i].jid);
	free(a->peers);
	a->peers = NULL;
	a->peer_count = a->peer_size = 0;
}

/* Only of those who may see the owner's presence: what a room's occupants or strangers send has no place here. */
enum sterna_verdict pep_on_presence_in(struct sterna_call *c)
{
	const struct pep_config *cfg = sterna_config(c);
	const bool available = strcmp(sterna_type(c), "available") == 0;
	const struct jid *from = sterna_from(c);
	struct pep_account *a = sterna_account_slot(c);
	struct pep_peer *p;

	if (a == NULL || jid_local(sterna_owner_jid(c)) == NULL || sterna_is_own(c)
		|| (!available && strcmp(sterna_type(c), "unavailable") != 0))
		return STERNA_NEXT;
	if (!available) {
		forget(a, from);
		return STERNA_NEXT;
	}
	if (jid_resource(from) == NULL || sterna_next_session(c, NULL) == NULL || !sterna_may_see(c, from))
		return STERNA_NEXT;
	const char *ver = ver_of(sterna_stanza(c));

	p = find(a, jid_full(from));
	if (p == NULL && ver[0] == '\0')
		return STERNA_NEXT; /* wants nothing */
	if (p == NULL)
		p = add(a, from, cfg->max_contacts);
	if (p == NULL || strcmp(p->ver, ver) == 0)
		return STERNA_NEXT;
	strcpy(p->ver, ver);
	if (ver[0] != '\0')
		pep_send_last(c, jid_full(from), sterna_stanza(c));
	return STERNA_NEXT;
}

/* --- blocking: XEP-0191 §3.3 --- */

static bool is_blocked(struct sterna_call *c, const struct jid_list *l, const char *address)
{
	struct jid *j = NULL;

	if (jid_parse(address, strlen(address), &j) != STERNA_OK)
		return false;
	const bool yes = !jid_bare_equal(j, sterna_owner_jid(c)) && jid_list_matches(l, j);

	jid_unref(&j);
	return yes;
}

static void end_subscriptions(struct sterna_call *c, struct pubsub_node *n, const struct jid_list *l)
{
	struct pubsub_request r = { .c = c };

	for (size_t i = n->member_count; i-- > 0;)
		if (n->members[i].kind == PUBSUB_KIND_SUBSCRIPTION && is_blocked(c, l, n->members[i].jid))
			pubsub_store_member(&r, n, PUBSUB_KIND_SUBSCRIPTION, sterna_printf(c, "%s", n->members[i].jid),
				PUBSUB_UNSUBSCRIBED);
}

/* Who is blocked hears no more, nor does a subscription of theirs stay. */
void pep_on_block(struct sterna_call *c)
{
	struct pep_account *a = sterna_account_slot(c);
	struct jid_list l = { NULL, 0, 0 };

	elem_foreach(item, sterna_payload(c)) {
		const char *text = elem_attr(item, "jid");
		struct jid *j = NULL;

		if (text != NULL && jid_parse(text, strlen(text), &j) == STERNA_OK)
			jid_list_add(&l, jid_full(j));
		jid_unref(&j);
	}
	for (size_t i = a->peer_count; i-- > 0;)
		if (is_blocked(c, &l, a->peers[i].full))
			drop(a, &a->peers[i]);
	for (size_t i = 0; i < a->ps.count; i++)
		end_subscriptions(c, a->ps.nodes[i], &l);
	jid_list_clear(&l);
}

/* --- own sessions --- */

enum sterna_verdict pep_on_presence_out(struct sterna_call *c)
{
	struct pep_session *s = sterna_session_slot(c);

	if (s == NULL || sterna_to(c) != NULL)
		return STERNA_NEXT;
	if (strcmp(sterna_type(c), "unavailable") == 0) {
		s->ver[0] = '\0';
	} else if (strcmp(sterna_type(c), "available") == 0 && strcmp(s->ver, ver_of(sterna_stanza(c))) != 0) {
		strcpy(s->ver, ver_of(sterna_stanza(c)));
		if (s->ver[0] != '\0')
			pep_send_last(c, jid_full(sterna_from(c)), sterna_stanza(c));
	}
	return STERNA_NEXT;
}

/* --- a hash is known now --- */

enum sterna_verdict pep_on_caps_answer(struct sterna_call *c)
{
	const char *id = sterna_id(c);
	struct pep_account *a = sterna_account_slot(c);
	struct pep_session *own;
	const char *ver = "";

	if (a == NULL || strcmp(sterna_type(c), "result") != 0 || id == NULL || strncmp(id, "caps-", 5) != 0
		|| (sterna_to(c) != NULL && jid_resource(sterna_to(c)) != NULL))
		return STERNA_NEXT;
	if (sterna_is_own(c)) {
		own = sterna_session_slot(c);
		ver = own != NULL ? own->ver : "";
	} else if (find(a, jid_full(sterna_from(c))) != NULL) {
		ver = find(a, jid_full(sterna_from(c)))->ver;
	}
	const struct sterna_elem *presence = pep_presence(c, ver);

	if (presence == NULL)
		return STERNA_NEXT;
	for (size_t i = 0; i < a->peer_count; i++)
		if (strcmp(a->peers[i].ver, ver) == 0)
			pep_send_last(c, a->peers[i].full, presence);
	for (struct sterna_session *s = sterna_next_session(c, NULL); s != NULL; s = sterna_next_session(c, s)) {
		own = sterna_slot_of(c, s);
		if (sterna_session_is_available(s) && strcmp(own->ver, ver) == 0)
			pep_send_last(c, jid_full(sterna_session_jid(s)), presence);
	}
	return STERNA_NEXT;
}
