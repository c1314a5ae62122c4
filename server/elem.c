/* elem.c - XML elements as a tree in an arena: making, changing and asking. No function recurses. */
#include "server/elem.h"
#include <string.h>

const char NS_CLIENT[] = "jabber:client";
const char NS_SERVER[] = "jabber:server";
const char NS_COMPONENT[] = "jabber:component:accept";
const char NS_STREAM[] = "http://etherx.jabber.org/streams";
const char NS_XML[] = "http://www.w3.org/XML/1998/namespace";
const char NS_TLS[] = "urn:ietf:params:xml:ns:xmpp-tls";
const char NS_SASL[] = "urn:ietf:params:xml:ns:xmpp-sasl";
const char NS_BIND[] = "urn:ietf:params:xml:ns:xmpp-bind";
const char NS_SESSION[] = "urn:ietf:params:xml:ns:xmpp-session";
const char NS_STANZAS[] = "urn:ietf:params:xml:ns:xmpp-stanzas";
const char NS_STREAMS[] = "urn:ietf:params:xml:ns:xmpp-streams";

const char ELEM_WHOLE[] = "(whole)";

static const struct {
	const char *ns;
	size_t len;
} known[] = {
#define KNOWN(ns) { ns, sizeof(ns) - 1 }
	KNOWN(NS_CLIENT), KNOWN(NS_SERVER), KNOWN(NS_COMPONENT), KNOWN(NS_STREAM), KNOWN(NS_XML), KNOWN(NS_TLS),
	KNOWN(NS_SASL), KNOWN(NS_BIND), KNOWN(NS_SESSION), KNOWN(NS_STANZAS), KNOWN(NS_STREAMS),
#undef KNOWN
};

const char *ns_intern(struct arena *a, const char *ns, size_t len)
{
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (known[i].len == len && memcmp(known[i].ns, ns, len) == 0)
			return known[i].ns;
	return arena_strndup(a, ns, len);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct sterna_elem *elem_new(struct arena *a, const char *name, const char *ns)
{
	struct sterna_elem *e = arena_zalloc(a, sizeof *e);

	e->arena = a;
	e->name = arena_strndup(a, name, strlen(name));
	e->ns = ns_intern(a, ns, strlen(ns));
	return e;
}

struct sterna_elem *elem_add(struct arena *a, struct sterna_elem *parent, const char *name, const char *ns)
{
	struct sterna_elem *e = arena_zalloc(a, sizeof *e);

	e->arena = a;
	e->name = arena_strndup(a, name, strlen(name));
	e->ns = same(ns, parent->ns) ? parent->ns : ns_intern(a, ns, strlen(ns));
	elem_append(parent, e);
	return e;
}

struct sterna_elem *elem_add_text_elem(struct arena *a, struct sterna_elem *parent, const char *name,
	const char *text)
{
	struct sterna_elem *e = elem_add(a, parent, name, parent->ns);

	elem_add_text(a, e, text, strlen(text));
	return e;
}

void elem_add_text(struct arena *a, struct sterna_elem *e, const char *text, size_t len)
{
	if (len == 0)
		return;
	struct sterna_elem *node = arena_zalloc(a, sizeof *node);

	node->arena = a;
	node->text = arena_strndup(a, text, len);
	node->text_len = len;
	elem_append(e, node);
}

void elem_add_whole(struct arena *a, struct sterna_elem *parent, const char *xml, size_t len)
{
	elem_add_text(a, parent, xml, len);
	parent->last->ns = ELEM_WHOLE;
}

void elem_append(struct sterna_elem *parent, struct sterna_elem *child)
{
	child->parent = parent;
	child->next = NULL;
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

void elem_remove(struct sterna_elem *child)
{
	struct sterna_elem *const parent = child->parent, *before = NULL;

	if (parent == NULL)
		return;
	for (struct sterna_elem *c = parent->first; c != child; c = c->next)
		before = c;
	if (before != NULL)
		before->next = child->next;
	else
		parent->first = child->next;
	if (parent->last == child)
		parent->last = before;
	child->parent = child->next = NULL;
}

void elem_set_attr(struct arena *a, struct sterna_elem *e, const char *name, const char *value)
{
	elem_set_attr_ns(a, e, name, NULL, value);
}

void elem_set_attr_ns(struct arena *a, struct sterna_elem *e, const char *name, const char *ns, const char *value)
{
	struct sterna_attr **at = &e->attrs;

	while (*at != NULL && !(same((*at)->ns, ns) && strcmp((*at)->name, name) == 0))
		at = &(*at)->next;
	if (value == NULL) {
		if (*at != NULL)
			*at = (*at)->next;
		return;
	}
	if (*at == NULL) {
		*at = arena_zalloc(a, sizeof **at);
		(*at)->name = arena_strndup(a, name, strlen(name));
		(*at)->ns = ns != NULL ? ns_intern(a, ns, strlen(ns)) : NULL;
	}
	(*at)->value = arena_strndup(a, value, strlen(value));
}

static struct sterna_elem *copy_node(struct arena *a, const struct sterna_elem *e, const struct sterna_elem *parent)
{
	struct sterna_elem *out = arena_zalloc(a, sizeof *out);

	out->arena = a;
	if (e->name == NULL) {
		out->text = arena_strndup(a, e->text, e->text_len);
		out->text_len = e->text_len;
		out->ns = e->ns;
		return out;
	}
	out->name = arena_strndup(a, e->name, strlen(e->name));
	out->ns = parent != NULL && same(parent->ns, e->ns) ? parent->ns : ns_intern(a, e->ns, strlen(e->ns));
	struct sterna_attr **at = &out->attrs;

	for (const struct sterna_attr *from = e->attrs; from != NULL; from = from->next) {
		*at = arena_zalloc(a, sizeof **at);
		(*at)->name = arena_strndup(a, from->name, strlen(from->name));
		(*at)->ns = from->ns != NULL ? ns_intern(a, from->ns, strlen(from->ns)) : NULL;
		(*at)->value = arena_strndup(a, from->value, strlen(from->value));
		at = &(*at)->next;
	}
	return out;
}

struct sterna_elem *elem_copy(struct arena *a, const struct sterna_elem *e)
{
	const struct sterna_elem *from = e;
	struct sterna_elem *const root = copy_node(a, e, NULL), *to = root;

	for (;;) {
		if (from->first != NULL) {
			from = from->first;
		} else {
			while (from != e && from->next == NULL) {
				from = from->parent;
				to = to->parent;
			}
			if (from == e)
				return root;
			from = from->next;
			to = to->parent;
		}
		struct sterna_elem *child = copy_node(a, from, to);

		elem_append(to, child);
		to = child;
	}
}

bool elem_is(const struct sterna_elem *e, const char *name, const char *ns)
{
	return e != NULL && e->name != NULL && strcmp(e->name, name) == 0 && same(e->ns, ns);
}

const char *elem_attr(const struct sterna_elem *e, const char *name)
{
	return elem_attr_ns(e, name, NULL);
}

const char *elem_attr_ns(const struct sterna_elem *e, const char *name, const char *ns)
{
	for (const struct sterna_attr *at = e->attrs; at != NULL; at = at->next)
		if (same(at->ns, ns) && strcmp(at->name, name) == 0)
			return at->value;
	return NULL;
}

/* The first element at or behind a node. */
static struct sterna_elem *skip_text(struct sterna_elem *e)
{
	while (e != NULL && e->name == NULL)
		e = e->next;
	return e;
}

struct sterna_elem *elem_first(const struct sterna_elem *e)
{
	return skip_text(e->first);
}

struct sterna_elem *elem_next(const struct sterna_elem *e)
{
	return skip_text(e->next);
}

struct sterna_elem *elem_child(const struct sterna_elem *e, const char *name, const char *ns)
{
	if (ns == NULL)
		ns = e->ns;
	elem_foreach (c, e)
		if ((name == NULL || strcmp(c->name, name) == 0) && same(c->ns, ns))
			return c;
	return NULL;
}

const char *elem_text(struct arena *a, const struct sterna_elem *e)
{
	const struct sterna_elem *only = NULL;
	size_t len = 0, nodes = 0;

	for (const struct sterna_elem *c = e->first; c != NULL; c = c->next)
		if (c->name == NULL && c->ns == NULL) {
			only = c;
			nodes++;
			len += c->text_len;
		}
	if (nodes <= 1)
		return only != NULL ? only->text : "";
	char *out = arena_alloc(a, len + 1), *at = out;

	for (const struct sterna_elem *c = e->first; c != NULL; c = c->next)
		if (c->name == NULL && c->ns == NULL) {
			memcpy(at, c->text, c->text_len);
			at += c->text_len;
		}
	*at = '\0';
	return out;
}

const char *elem_child_text(struct arena *a, const struct sterna_elem *e, const char *name)
{
	const struct sterna_elem *c = elem_child(e, name, NULL);

	return c != NULL ? elem_text(a, c) : NULL;
}
