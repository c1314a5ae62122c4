/* xml.h - the only constructor of XML parsers. Streams, stored XML, vCards, imports: all come through here.
 *
 * In front of expat stands a scanner that checks UTF-8, counts bytes, refuses DTD, comments and processing
 * instructions (RFC 6120 §11.1), and holds back a tag until it is complete, so that one-byte reads of a
 * long tag cost linear time. Threads: a parser belongs to one thread at a time. */
#ifndef STERNA_XML_H
#define STERNA_XML_H

#include "server/elem.h"

struct xml_limits {
	size_t stanza_bytes;     /* of one first-level element, counted before expat sees them */
	unsigned depth;          /* of elements below the stream's root */
	unsigned attributes;     /* per element */
	unsigned namespaces;     /* declarations per element */
	unsigned elements;       /* per stanza */
	size_t name_bytes;       /* element, attribute name; prefix; namespace name */
};
extern const struct xml_limits xml_limits_default; /**< 262144, 64, 64, 32, 4096, 1024 */

enum xml_error {             /* each is a stream error of RFC 6120 §4.9.3 */
	XML_OK,
	XML_NOT_WELL_FORMED,         /* <not-well-formed/> */
	XML_RESTRICTED,              /* <restricted-xml/>: DTD, comment, PI, undefined entity */
	XML_BAD_ENCODING,            /* <unsupported-encoding/>: invalid UTF-8, another declared encoding */
	XML_TOO_BIG,                 /* <policy-violation/>: a limit; xml_error_text() says which */
	XML_BAD_PREFIX,              /* <bad-namespace-prefix/>: an undeclared prefix */
	XML_NOT_XML,                 /* first bytes are no XML at all: HTTP, TLS… close with not-well-formed */
};

struct xml_handler {
	/** The root's start tag (stream header). root has attributes and no children, valid for this call.
	 *  content_ns: the default namespace declared on it, or NULL. */
	void (*open)(void *arg, const struct sterna_elem *root, const char *content_ns);
	/** A complete first-level element in an arena of its own, which the callee takes. */
	void (*element)(void *arg, struct arena *a, struct sterna_elem *e);
	void (*close)(void *arg);    /* the root's end tag */
	void (*space)(void *arg);    /* white space between stanzas (a keepalive); may be NULL */
};
struct xml_parser;

/** To be asked at start-up: false if the expat found is older than 2.5.0. *text: its name, static. */
bool xml_library_ok(const char **text);

/** @param content_ns  elements of this namespace become NS_CLIENT in the tree (copied); NULL: no mapping.
 *                     With another than NS_CLIENT, a first-level element that says jabber:client gets
 *                     content_ns literally, so that it is no stanza */
struct xml_parser *xml_new(const struct xml_handler *h, void *arg, const struct xml_limits *limits,
	const char *content_ns);
/** Feed bytes, split anywhere. Handlers run inside. A handler may call xml_stop(): nothing of what
 *  follows in this or later calls is parsed until xml_resume(). It may also call xml_reset() or xml_free()
 *  (done when this call ends, which then returns XML_OK; the rest of the bytes is dropped), but not feed.
 *  After the root's end tag everything is ignored.
 *  @return what went wrong, and then always the same: the parser is dead */
enum xml_error xml_feed(struct xml_parser *p, const char *bytes, size_t len);
/** From a handler: stop after this element. The bytes not yet parsed are kept by the parser. */
void xml_stop(struct xml_parser *p);
bool xml_is_stopped(const struct xml_parser *p);
enum xml_error xml_resume(struct xml_parser *p); /**< goes on with the kept bytes; not from a handler */
size_t xml_kept(const struct xml_parser *p);     /**< bytes kept: stopped, or an incomplete tag */
/** Each document, from now on and after xml_reset(), begins inside this root: there is no start tag to come, and its
 *  end tag is an error of the peer. For elements that come one by one. root_tag: static. */
void xml_use_root(struct xml_parser *p, const char *root_tag);
bool xml_is_between(const struct xml_parser *p); /**< inside the root, and outside all else */
/** Forget everything and begin a new document (after STARTTLS, after SASL): kept bytes too. */
void xml_reset(struct xml_parser *p);
/** Limits for what follows (larger after authentication). limits must outlive the parser. */
void xml_set_limits(struct xml_parser *p, const struct xml_limits *limits);
/** Idle: gives expat's memory back if we are between stanzas and the stream is open; it is re-created,
 *  with the root's namespaces, when bytes come. Returns true if memory was freed. */
bool xml_sleep(struct xml_parser *p);
/** Parsers that sleep leave expat's memory to those that wake up, of the same pool: one per thread. The pool must
 *  outlive its parsers, or be taken from them (NULL). */
struct xml_pool;
struct xml_pool *xml_pool_new(void);
void xml_pool_free(struct xml_pool **pool);
void xml_use_pool(struct xml_parser *p, struct xml_pool *pool);
const char *xml_error_text(const struct xml_parser *p); /**< for the log and the error's text; static or p's */
size_t xml_memory(const struct xml_parser *p);          /**< bytes held, expat's included */
void xml_free(struct xml_parser **p);

/** One whole element from text (stored XML), in arena a; content namespace NS_CLIENT assumed outside.
 *  The limits are a stream's with room for what escaping, wrapping and stamping have added.
 *  @return STERNA_EINVAL not well-formed or restricted; STERNA_ELIMIT over a limit */
enum sterna_result xml_parse(struct arena *a, const char *text, size_t len, struct sterna_elem **out);
/** Is this one well-formed element with a namespace of its own, in the form that elem_write() gives? Then it may stand
 *  in a stream as it is (elem_add_whole()). Everything unusual is answered with no, however well-formed. */
bool xml_is_whole(const char *text, size_t len);

#endif
