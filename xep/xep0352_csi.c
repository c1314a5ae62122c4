/* XEP-0352 Client State Indication 1.0.0: what nobody looks at now waits, and leaves in one go.
 *
 * While a client is inactive, presence (the latest of each address), chat states and notifications of nodes
 * (PEP) are held. Whatever else comes takes what is held with it, before it, so that the order holds (RFC 6120
 * §10.1). A resumed session is active (§5), and so is one whose connection is lost: what it has not got is then
 * kept where resumption keeps it. */
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

#define NS_CSI "urn:xmpp:csi:0"
#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"
#define NS_EVENT "http://jabber.org/protocol/pubsub#event"
#define NS_HINTS "urn:xmpp:hints"
#define NS_CARBONS "urn:xmpp:carbons:2"

struct csi_config {
	unsigned max_held;
	struct sterna_size max_bytes;
	bool hold_presence, hold_chat_states, hold_events;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct csi_config, max_held, "200", "1..10000", "stanzas held per inactive session; then all leave"),
	STERNA_OPT(struct csi_config, max_bytes, "256KiB", "4KiB..16MiB", "memory held per inactive session; then all leave"),
	STERNA_OPT(struct csi_config, hold_presence, "true", NULL, "hold presence of contacts and occupants"),
	STERNA_OPT(struct csi_config, hold_chat_states, "true", NULL, "hold chat states"),
	STERNA_OPT(struct csi_config, hold_events, "true", NULL, "hold notifications of nodes (avatars, moods, …)"),
	{ 0 }
};

/* A stanza that waits. A later one with the same key takes its place; without key all stay. */
struct held {
	struct held *next;
	char *key;
	size_t size;
	char xml[];
};
struct csi_session {
	struct held *first, **last;      /* last: NULL until the first is held */
	size_t count, bytes;
	bool known, inactive;            /* known: "csi" of sterna_kept() has been asked */
};

enum { M_HELD, M_DROPPED };
static const struct sterna_metric metrics[] = {
	[M_HELD] = { "sterna_csi_held_total", "Stanzas held for inactive clients.", METRIC_COUNTER },
	[M_DROPPED] = { "sterna_csi_replaced_total", "Held stanzas replaced by newer ones.", METRIC_COUNTER },
	{ 0 }
};

/* --- what is held --- */

static void take_out(struct csi_session *s, struct held **at)
{
	struct held *h = *at;

	*at = h->next;
	if (h->next == NULL)
		s->last = at;
	s->count--;
	s->bytes -= h->size;
	free(h->key);
	free(h);
}

static void hold(struct csi_session *s, const char *key, const char *xml)
{
	const size_t size = strlen(xml) + 1;
	struct held *h = xalloc(sizeof *h + size);

	memcpy(h->xml, xml, size);
	h->key = key != NULL ? xstrdup(key) : NULL;
	h->size = sizeof *h + size + (key != NULL ? strlen(key) + 1 : 0);
	if (s->first == NULL)
		s->last = &s->first;
	*s->last = h;
	s->last = &h->next;
	s->count++;
	s->bytes += h->size;
}

static bool drop_older(struct csi_session *s, const char *key)
{
	for (struct held **at = &s->first; *at != NULL; at = &(*at)->next)
		if ((*at)->key != NULL && strcmp((*at)->key, key) == 0) {
			take_out(s, at);
			return true;
		}
	return false;
}

/* All that is held leaves, oldest first. */
static void flush(struct sterna_call *c, struct sterna_session *to, struct csi_session *s)
{
	while (s->first != NULL) {
		struct sterna_elem *holder = sterna_elem(c, "holder", NS_CLIENT), *stanza;

		sterna_add_xml(holder, s->first->xml);
		take_out(s, &s->first);
		stanza = sterna_child(holder);
		if (stanza == NULL)
			continue;
		elem_remove(stanza);
		sterna_release(c, to, stanza);
	}
}

/* --- what may wait --- */

static bool only_chat_states(const struct sterna_elem *m)
{
	bool any = false;

	elem_foreach(e, m) {
		if (strcmp(e->ns, NS_CHATSTATES) == 0)
			any = true;
		else if (strcmp(e->ns, NS_HINTS) != 0 && strcmp(e->name, "thread") != 0 && strcmp(e->ns, "urn:xmpp:sid:0") != 0)
			return false;
	}
	return any;
}

/* Inside a carbon copy (XEP-0280): the message that counts. */
static const struct sterna_elem *inner_message(const struct sterna_elem *m)
{
	const struct sterna_elem *first = sterna_child(m), *forwarded;

	if (first == NULL || strcmp(first->ns, NS_CARBONS) != 0)
		return m;
	forwarded = sterna_child(first);
	return forwarded != NULL && sterna_child(forwarded) != NULL ? sterna_child(forwarded) : m;
}

static const char *text_or(const char *s)
{
	return s != NULL ? s : "";
}

/* May it wait? key: as whose successor; NULL: as nobody's. */
static bool may_wait(struct sterna_call *c, const char **key)
{
	const struct csi_config *cfg = sterna_config(c);
	const struct sterna_elem *stanza = sterna_stanza(c), *m;
	const char *type = sterna_type(c);

	*key = NULL;
	if (sterna_kind(c) == STERNA_PRESENCE) {
		const struct sterna_elem *x = elem_child(stanza, "x", NS_MUC_USER);

		/* A status tells about the session itself: it was kicked, renamed, the room has gone (XEP-0045). */
		if (!cfg->hold_presence || (strcmp(type, "available") != 0 && strcmp(type, "unavailable") != 0)
			|| (x != NULL && elem_child(x, "status", NULL) != NULL))
			return false;
		*key = sterna_printf(c, "p %s", jid_full(sterna_from(c)));
		return true;
	}
	if (sterna_kind(c) != STERNA_MESSAGE || strcmp(type, "error") == 0)
		return false;
	m = inner_message(stanza);
	if (cfg->hold_chat_states && only_chat_states(m)) {
		*key = sterna_printf(c, "c %s %s", text_or(elem_attr(m, "from")),
			m != stanza ? text_or(elem_attr(m, "to")) : "");
		return true;
	}
	return cfg->hold_events && strcmp(type, "headline") == 0 && elem_child(stanza, "event", NS_EVENT) != NULL;
}

static bool is_inactive(struct csi_session *s, const struct sterna_session *of)
{
	if (!s->known) {
		const char *kept = sterna_kept(of, "csi"); /* Bind 2 may have begun with it (XEP-0386) */

		s->inactive = kept != NULL && strcmp(kept, "inactive") == 0;
		s->known = true;
	}
	return s->inactive;
}

static enum sterna_verdict on_stanza(struct sterna_call *c)
{
	const struct csi_config *cfg = sterna_config(c);
	struct csi_session *s = sterna_session_slot(c);
	const char *key, *xml;

	if (s == NULL || !is_inactive(s, sterna_session(c))) {
		sterna_rest(c, STERNA_REST_SESSION, true); /* until it says that it is inactive */
		return STERNA_NEXT;
	}
	if (!may_wait(c, &key)) {
		flush(c, sterna_session(c), s);
		return STERNA_NEXT;
	}
	xml = sterna_xml(sterna_stanza(c));
	if (key != NULL && drop_older(s, key))
		sterna_count(c, M_DROPPED, 1);
	if (s->count >= cfg->max_held || s->bytes + strlen(xml) > cfg->max_bytes.bytes) {
		flush(c, sterna_session(c), s);
		return STERNA_NEXT;
	}
	hold(s, key, xml);
	sterna_count(c, M_HELD, 1);
	return STERNA_DONE;
}

/* --- the client's word (§4.2), and its session's life --- */

static enum sterna_verdict on_inactive(struct sterna_call *c)
{
	struct csi_session *s = sterna_session_slot(c);

	s->known = s->inactive = true;
	sterna_rest(c, STERNA_REST_SESSION, false);
	return STERNA_DONE;
}

static void activate(struct sterna_call *c)
{
	struct csi_session *s = sterna_session_slot(c);

	s->known = true;
	s->inactive = false;
	flush(c, sterna_session(c), s);
}

static enum sterna_verdict on_active(struct sterna_call *c)
{
	activate(c);
	return STERNA_DONE;
}

static void on_gone(struct sterna_call *c)
{
	struct csi_session *s = sterna_session_slot(c);

	while (s->first != NULL)
		take_out(s, &s->first);
}

static void advertise(struct sterna_call *c, struct sterna_elem *features)
{
	(void)c;
	sterna_add(features, "csi", NS_CSI);
}

STERNA_MODULE(csi, .spec = "XEP-0352 1.0.0", .summary = "Client State Indication",
	.options = options, .config_size = sizeof(struct csi_config), .session_size = sizeof(struct csi_session),
	.metrics = metrics,
	.stream_features = (const struct sterna_advert[]){ { advertise }, { 0 } },
	.elements = (const struct sterna_element[]){
		{ NS_CSI, "active", on_active }, { NS_CSI, "inactive", on_inactive }, { 0 } },
	.hooks = (const struct sterna_hook[]){
		{ STERNA_TO_SESSION, on_stanza, NULL, STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ, STERNA_HOOK_RESTS },
		{ 0 } },
	.on = (const struct sterna_lifecycle[]){
		{ STERNA_SESSION_DETACHED, activate }, { STERNA_SESSION_RESUMED, activate },
		{ STERNA_SESSION_GONE, on_gone }, { 0 } });
