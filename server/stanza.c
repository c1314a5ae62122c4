/* stanza.c - stanzas: types, addresses, errors, writing. */
#include "server/stanza.h"
#include <string.h>

static const struct {
	const char *name;
	enum sterna_kind kind;
	enum stanza_type type;
} types[] = {
	{ "get", STERNA_IQ, IQ_GET },
	{ "set", STERNA_IQ, IQ_SET },
	{ "result", STERNA_IQ, IQ_RESULT },
	{ "error", STERNA_IQ, IQ_ERROR },
	{ "normal", STERNA_MESSAGE, MESSAGE_NORMAL },
	{ "chat", STERNA_MESSAGE, MESSAGE_CHAT },
	{ "groupchat", STERNA_MESSAGE, MESSAGE_GROUPCHAT },
	{ "headline", STERNA_MESSAGE, MESSAGE_HEADLINE },
	{ "error", STERNA_MESSAGE, MESSAGE_ERROR },
	{ "available", STERNA_PRESENCE, PRESENCE_AVAILABLE },
	{ "unavailable", STERNA_PRESENCE, PRESENCE_UNAVAILABLE },
	{ "subscribe", STERNA_PRESENCE, PRESENCE_SUBSCRIBE },
	{ "subscribed", STERNA_PRESENCE, PRESENCE_SUBSCRIBED },
	{ "unsubscribe", STERNA_PRESENCE, PRESENCE_UNSUBSCRIBE },
	{ "unsubscribed", STERNA_PRESENCE, PRESENCE_UNSUBSCRIBED },
	{ "probe", STERNA_PRESENCE, PRESENCE_PROBE },
	{ "error", STERNA_PRESENCE, PRESENCE_ERROR },
};

/* RFC 6121 §5.2.2: an unknown message type is "normal"; §4.7.1: presence without type is available, and
 * "available" on the wire is no type. */
static enum stanza_type type_of(enum sterna_kind kind, const char *type)
{
	if (type == NULL)
		return kind == STERNA_MESSAGE ? MESSAGE_NORMAL
			: kind == STERNA_PRESENCE ? PRESENCE_AVAILABLE : TYPE_INVALID;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].kind == kind && types[i].type != PRESENCE_AVAILABLE && strcmp(types[i].name, type) == 0)
			return types[i].type;
	return kind == STERNA_MESSAGE ? MESSAGE_NORMAL : TYPE_INVALID;
}

const char *stanza_type_text(const struct stanza *s)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == s->type)
			return types[i].name;
	return "";
}

static enum sterna_kind kind_of(const struct sterna_elem *e)
{
	return elem_is(e, "message", NS_CLIENT) ? STERNA_MESSAGE
		: elem_is(e, "presence", NS_CLIENT) ? STERNA_PRESENCE
		: elem_is(e, "iq", NS_CLIENT) ? STERNA_IQ : 0;
}

static enum sterna_result address(const struct sterna_elem *e, const char *name, struct jid **out)
{
	const char *text = elem_attr(e, name);

	return text == NULL ? STERNA_OK : jid_parse(text, strlen(text), out);
}

/* The text says what the address is, too: others compare it byte by byte (RFC 7622 §3.1 and §3.2.1: the domain as
 * U-labels). */
static void prepared(struct stanza *s, const char *name, const struct jid *j)
{
	if (j != NULL && strcmp(elem_attr(s->elem, name), jid_full(j)) != 0)
		elem_set_attr(s->arena, s->elem, name, jid_full(j));
}

enum sterna_result stanza_new(struct arena **a, struct sterna_elem *e, struct stanza **out)
{
	const enum sterna_kind kind = kind_of(e);
	struct jid *from = NULL, *to = NULL;

	if (kind == 0)
		return STERNA_EINVAL;
	if (address(e, "to", &to) != STERNA_OK || address(e, "from", &from) != STERNA_OK) {
		jid_unref(&to);
		return STERNA_ELIMIT;
	}
	struct stanza *s = arena_zalloc(*a, sizeof *s);

	atomic_init(&s->refs, 1);
	s->arena = *a;
	*a = NULL;
	s->elem = e;
	s->kind = kind;
	s->type = type_of(kind, elem_attr(e, "type"));
	s->from = from;
	s->to = to;
	prepared(s, "to", to);
	prepared(s, "from", from);
	s->may_bounce = true;
	*out = s;
	return STERNA_OK;
}

struct stanza *stanza_wrap(struct arena **a, struct sterna_elem *e)
{
	struct stanza *s = arena_zalloc(*a, sizeof *s);

	atomic_init(&s->refs, 1);
	s->arena = *a;
	*a = NULL;
	s->elem = e;
	return s;
}

struct stanza *stanza_make(const char *name, const char *type, const struct jid *from, const struct jid *to,
	const char *id)
{
	struct arena *a = arena_new(1024);
	struct sterna_elem *e = elem_new(a, name, NS_CLIENT);
	struct stanza *s = arena_zalloc(a, sizeof *s);

	atomic_init(&s->refs, 1);
	s->arena = a;
	s->elem = e;
	s->kind = kind_of(e);
	s->type = type_of(s->kind, type);
	if (type != NULL)
		elem_set_attr(a, e, "type", type);
	if (id != NULL)
		elem_set_attr(a, e, "id", id);
	if (from != NULL)
		stanza_set_from(s, from);
	if (to != NULL)
		stanza_set_to(s, to);
	return s;
}

struct stanza *stanza_ref(struct stanza *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void stanza_unref(struct stanza **s)
{
	struct stanza *was = *s;

	*s = NULL;
	if (was == NULL || atomic_fetch_sub_explicit(&was->refs, 1, memory_order_acq_rel) != 1)
		return;
	jid_unref(&was->from);
	jid_unref(&was->to);
	struct arena *a = was->arena;

	arena_free(&a);
}

const char *stanza_id(const struct stanza *s)
{
	return elem_attr(s->elem, "id");
}

static void set_address(struct stanza *s, const char *name, struct jid **field, const struct jid *j)
{
	struct jid *was = *field;

	*field = jid_ref(j);
	elem_set_attr(s->arena, s->elem, name, j != NULL ? jid_full(j) : NULL);
	jid_unref(&was);
}

void stanza_set_from(struct stanza *s, const struct jid *from)
{
	set_address(s, "from", &s->from, from);
}

void stanza_set_to(struct stanza *s, const struct jid *to)
{
	set_address(s, "to", &s->to, to);
}

void stanza_touch(struct stanza *s)
{
	s->inner = s->head = NULL;
	s->inner_len = s->head_len = 0;
}

static void make_inner(struct stanza *s)
{
	if (s->inner != NULL)
		return;
	struct buf text = BUF_INIT;

	elem_write_inner(&text, s->elem);
	s->inner_len = buf_len(&text);
	s->inner = arena_strndup(s->arena, buf_len(&text) > 0 ? buf_data(&text) : "", s->inner_len);
	buf_release(&text);
}

/* An attribute that a header may hold as it is: anything in another namespace but xml:lang goes the long
 * way through elem_write(). */
static bool is_plain(const struct sterna_elem *e)
{
	for (const struct sterna_attr *at = e->attrs; at != NULL; at = at->next)
		if (at->ns != NULL && strcmp(at->ns, NS_XML) != 0)
			return false;
	return true;
}

static void write_attr(struct buf *out, const char *name, const char *value)
{
	buf_putc(out, ' ');
	buf_puts(out, name);
	buf_lit(out, "='");
	xml_escape_attr(out, value, strlen(value));
	buf_putc(out, '\'');
}

static void write_header(struct buf *out, struct stanza *s, const char *to)
{
	buf_putc(out, '<');
	buf_puts(out, s->elem->name);
	for (const struct sterna_attr *at = s->elem->attrs; at != NULL; at = at->next) {
		if (at->ns != NULL)
			write_attr(out, "xml:lang", at->value);
		else if (to == NULL || strcmp(at->name, "to") != 0)
			write_attr(out, at->name, at->value);
	}
	if (to != NULL)
		write_attr(out, "to", to);
}

static void write_rest(struct buf *out, struct stanza *s)
{
	make_inner(s);
	buf_reserve(out, s->inner_len + 16);
	if (s->inner_len == 0) {
		buf_lit(out, "/>");
		return;
	}
	buf_putc(out, '>');
	buf_add(out, s->inner, s->inner_len);
	buf_lit(out, "</");
	buf_puts(out, s->elem->name);
	buf_putc(out, '>');
}

void stanza_share(struct stanza *s)
{
	struct buf text = BUF_INIT;

	make_inner(s);
	if (s->head != NULL || !is_plain(s->elem))
		return;
	write_header(&text, s, "");
	text.len -= strlen(" to=''");
	s->head_len = buf_len(&text);
	s->head = arena_strndup(s->arena, buf_data(&text), s->head_len);
	buf_release(&text);
}

/* One of many recipients: what is the same for all lies ready, and the memory is asked for once. */
static bool write_shared(struct buf *out, struct stanza *s, const char *to, const char *more)
{
	const size_t len = s->head != NULL && to != NULL ? strlen(to) : 0;

	if (len == 0)
		return false;
	buf_reserve(out, s->head_len + len + strlen(more) + s->inner_len + 32);
	buf_add(out, s->head, s->head_len);
	buf_lit(out, " to='");
	xml_escape_attr(out, to, len);
	buf_putc(out, '\'');
	buf_puts(out, more);
	write_rest(out, s);
	return true;
}

static void write_tree(struct buf *out, const struct stanza *s, const char *to, const char *around)
{
	struct arena *a = to != NULL ? arena_new(1024) : NULL;
	struct sterna_elem *e = to != NULL ? elem_copy(a, s->elem) : s->elem;

	if (to != NULL)
		elem_set_attr(a, e, "to", to);
	elem_write(out, e, around);
	arena_free(&a);
}

void stanza_write(struct buf *out, struct stanza *s, const char *to)
{
	if (write_shared(out, s, to, ""))
		return;
	if (!is_plain(s->elem)) {
		write_tree(out, s, to, NS_CLIENT);
		return;
	}
	write_header(out, s, to);
	write_rest(out, s);
}

void stanza_write_alone(struct buf *out, struct stanza *s, const char *to)
{
	if (write_shared(out, s, to, " xmlns='jabber:client'"))
		return;
	if (!is_plain(s->elem)) {
		write_tree(out, s, to, NULL);
		return;
	}
	write_header(out, s, to);
	buf_lit(out, " xmlns='jabber:client'");
	write_rest(out, s);
}

void stanza_write_stored(struct buf *out, struct stanza *s)
{
	stanza_write_alone(out, s, NULL);
}

/* --- errors --- */

static const struct {
	const char *name, *type;
} conditions[] = {
	[STERNA_BAD_REQUEST] = { "bad-request", "modify" },
	[STERNA_CONFLICT] = { "conflict", "cancel" },
	[STERNA_FEATURE_NOT_IMPLEMENTED] = { "feature-not-implemented", "cancel" },
	[STERNA_FORBIDDEN] = { "forbidden", "auth" },
	[STERNA_GONE] = { "gone", "cancel" },
	[STERNA_INTERNAL_SERVER_ERROR] = { "internal-server-error", "cancel" },
	[STERNA_ITEM_NOT_FOUND] = { "item-not-found", "cancel" },
	[STERNA_JID_MALFORMED] = { "jid-malformed", "modify" },
	[STERNA_NOT_ACCEPTABLE] = { "not-acceptable", "modify" },
	[STERNA_NOT_ALLOWED] = { "not-allowed", "cancel" },
	[STERNA_NOT_AUTHORIZED] = { "not-authorized", "auth" },
	[STERNA_POLICY_VIOLATION] = { "policy-violation", "modify" },
	[STERNA_RECIPIENT_UNAVAILABLE] = { "recipient-unavailable", "wait" },
	[STERNA_REDIRECT] = { "redirect", "modify" },
	[STERNA_REGISTRATION_REQUIRED] = { "registration-required", "auth" },
	[STERNA_REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel" },
	[STERNA_REMOTE_SERVER_TIMEOUT] = { "remote-server-timeout", "wait" },
	[STERNA_RESOURCE_CONSTRAINT] = { "resource-constraint", "wait" },
	[STERNA_SERVICE_UNAVAILABLE] = { "service-unavailable", "cancel" },
	[STERNA_SUBSCRIPTION_REQUIRED] = { "subscription-required", "auth" },
	[STERNA_UNDEFINED_CONDITION] = { "undefined-condition", "cancel" },
	[STERNA_UNEXPECTED_REQUEST] = { "unexpected-request", "wait" },
};

const char *condition_name(enum sterna_condition c)
{
	return conditions[c].name;
}

struct stanza *stanza_error(const struct stanza *s, enum sterna_condition condition, const char *text,
	const struct sterna_elem *app, const struct sterna_elem *payload)
{
	/* §8.3.1: an error is never answered with an error; nor is a result. Presence: only what asks. */
	if (!s->may_bounce || s->type == IQ_ERROR || s->type == IQ_RESULT || s->type == MESSAGE_ERROR
		|| s->type == PRESENCE_ERROR || s->type == PRESENCE_UNAVAILABLE || s->type == PRESENCE_PROBE)
		return NULL;
	struct stanza *e = stanza_make(s->elem->name, "error", s->to, s->from, stanza_id(s));

	if (s->to == NULL && s->from != NULL) {
		struct jid *bare = jid_to_bare(s->from);

		stanza_set_from(e, bare);
		jid_unref(&bare);
	}
	if (payload != NULL)
		elem_append(e->elem, elem_copy(e->arena, payload));
	struct sterna_elem *error = elem_add(e->arena, e->elem, "error", NS_CLIENT);

	elem_set_attr(e->arena, error, "type", conditions[condition].type);
	elem_add(e->arena, error, conditions[condition].name, NS_STANZAS);
	if (text != NULL) {
		struct sterna_elem *t = elem_add(e->arena, error, "text", NS_STANZAS);

		elem_set_attr_ns(e->arena, t, "lang", NS_XML, "en");
		elem_add_text(e->arena, t, text, strlen(text));
	}
	if (app != NULL)
		elem_append(error, elem_copy(e->arena, app));
	e->trace = s->trace;
	e->owed = s->kind == STERNA_MESSAGE && stanza_is_storable(s);
	return e;
}

struct stanza *stanza_result(const struct stanza *s)
{
	struct stanza *r = stanza_make("iq", "result", s->to, s->from, stanza_id(s));

	r->trace = s->trace;
	return r;
}

/* What a person would miss: a body, or an encrypted or otherwise meaningful payload; not chat states,
 * not markers alone (XEP-0313 §5.1.1 leaves it to us; XEP-0160 §3 likewise). */
bool stanza_is_storable(const struct stanza *s)
{
	static const struct {
		const char *name, *ns;
	} worth[] = {
		{ "body", NS_CLIENT },
		{ "encrypted", "eu.siacs.conversations.axolotl" },
		{ "encrypted", "urn:xmpp:omemo:2" },
		{ "openpgp", "urn:xmpp:openpgp:0" },
		{ "x", "jabber:x:encrypted" },
		{ "received", "urn:xmpp:receipts" },
		{ "received", "urn:xmpp:chat-markers:0" },
		{ "displayed", "urn:xmpp:chat-markers:0" },
		{ "reactions", "urn:xmpp:reactions:0" },
		{ "retract", "urn:xmpp:message-retract:1" },
		{ "apply-to", "urn:xmpp:fasten:0" },
		{ "x", "jabber:x:conference" },
		{ "x", "http://jabber.org/protocol/muc#user" },
		{ "propose", "urn:xmpp:jingle-message:0" },
		{ "accept", "urn:xmpp:jingle-message:0" },
		{ "reject", "urn:xmpp:jingle-message:0" },
		{ "retract", "urn:xmpp:jingle-message:0" },
		{ "finish", "urn:xmpp:jingle-message:0" },
		{ "subject", NS_CLIENT },
	};

	if (s->kind != STERNA_MESSAGE || s->type == MESSAGE_ERROR || s->type == MESSAGE_HEADLINE
		|| s->type == MESSAGE_GROUPCHAT)
		return false;
	elem_foreach(c, s->elem)
		for (size_t i = 0; i < sizeof worth / sizeof *worth; i++)
			if (elem_is(c, worth[i].name, worth[i].ns))
				return true;
	return false;
}
