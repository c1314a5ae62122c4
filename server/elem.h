/* elem.h - XML elements as a tree in an arena. No function here or elsewhere recurses over a tree.
 *
 * Names and namespaces are compared as pairs. The content namespace of a stream (jabber:client,
 * jabber:server, jabber:component:accept) is always NS_CLIENT in the tree; the writer puts the stream's
 * own back. Strings are NUL-terminated UTF-8 in the arena (or static).
 * Threads: a tree belongs to one thread at a time; once shared (stanza_ref across workers) it is read-only. */
#ifndef STERNA_ELEM_H
#define STERNA_ELEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"
#include "server/mem.h"

struct sterna_attr {
	const char *name;            /* local name */
	const char *ns;              /* NULL: none (the usual); NS_XML for xml:lang */
	const char *value;
	struct sterna_attr *next;
};

/** An element, or a text node (name == NULL); a text node whose ns is ELEM_WHOLE holds an element as it was written. */
struct sterna_elem {
	const char *name;            /* NULL: this node is text */
	const char *ns;              /* never NULL in an element */
	const char *text;            /* text node: its characters, text_len of them */
	size_t text_len;
	struct sterna_attr *attrs;
	struct sterna_elem *parent, *next, *first, *last;
	struct arena *arena;         /* where it lies */
};

/* Well-known namespaces: elem_new() and the parser intern these, so that pointers compare equal for
 * them; elem_is() compares pointers first and strings after. */
extern const char NS_CLIENT[], NS_SERVER[], NS_COMPONENT[], NS_STREAM[], NS_XML[], NS_TLS[], NS_SASL[],
	NS_BIND[], NS_SESSION[], NS_STANZAS[], NS_STREAMS[];
const char *ns_intern(struct arena *a, const char *ns, size_t len); /**< static if well known, else a copy */

struct sterna_elem *elem_new(struct arena *a, const char *name, const char *ns);    /**< strings copied */
struct sterna_elem *elem_add(struct arena *a, struct sterna_elem *parent, const char *name, const char *ns);
/** Child element in parent's namespace that holds text: <name>text</name>; returns it. */
struct sterna_elem *elem_add_text_elem(struct arena *a, struct sterna_elem *parent, const char *name,
	const char *text);
void elem_add_text(struct arena *a, struct sterna_elem *e, const char *text, size_t len);
/** A child that is text already, and is written as it is: xml_is_whole(). It can be copied and written, but those who ask
 *  for children and text do not see it. */
extern const char ELEM_WHOLE[];
void elem_add_whole(struct arena *a, struct sterna_elem *parent, const char *xml, size_t len);
void elem_append(struct sterna_elem *parent, struct sterna_elem *child); /**< child has no parent, same arena */
void elem_remove(struct sterna_elem *child);                             /**< out of its parent */
void elem_set_attr(struct arena *a, struct sterna_elem *e, const char *name, const char *value); /**< NULL removes */
void elem_set_attr_ns(struct arena *a, struct sterna_elem *e, const char *name, const char *ns, const char *value);
struct sterna_elem *elem_copy(struct arena *a, const struct sterna_elem *e); /**< deep */

bool elem_is(const struct sterna_elem *e, const char *name, const char *ns); /**< false for NULL e and text */
const char *elem_attr(const struct sterna_elem *e, const char *name);        /**< without namespace; or NULL */
const char *elem_attr_ns(const struct sterna_elem *e, const char *name, const char *ns);
struct sterna_elem *elem_first(const struct sterna_elem *e);                 /**< first child element or NULL */
struct sterna_elem *elem_next(const struct sterna_elem *e);                  /**< next sibling element or NULL */
/** First child with that name and namespace; ns NULL: the parent's own; name NULL: any name. */
struct sterna_elem *elem_child(const struct sterna_elem *e, const char *name, const char *ns);
/** All text directly in e; borrowed if it is one node, else joined in a; "" if none. */
const char *elem_text(struct arena *a, const struct sterna_elem *e);
/** Text of the child of that name in e's own namespace, NULL if there is no such child. */
const char *elem_child_text(struct arena *a, const struct sterna_elem *e, const char *name);

#define elem_foreach(c, e) \
	for (struct sterna_elem *c = elem_first(e); c != NULL; c = elem_next(c))

/** Write e as text. xmlns is declared wherever an element's namespace is not the one around it.
 *  @param around  default namespace in force where it will stand (NS_CLIENT inside a stream, whatever
 *                 that stream's own content namespace is called); NULL: none, always declare */
void elem_write(struct buf *out, const struct sterna_elem *e, const char *around);
/** Only what stands between e's tags, with e's namespace in force. */
void elem_write_inner(struct buf *out, const struct sterna_elem *e);
/** Escapers (RELIABILITY: one escaper). Text: & < > CR; attribute: also quotes, tab, LF, CR. */
void xml_escape_text(struct buf *out, const char *s, size_t len);
void xml_escape_attr(struct buf *out, const char *s, size_t len);

#endif
