/* stanza.h - a message, presence or IQ: a refcounted arena that holds its tree (DESIGN: the way of a stanza).
 *
 * Threads: one worker at a time while it is being changed; once it is in a queue or shared by a fan-out it
 * is read-only. The reference count is atomic. */
#ifndef STERNA_STANZA_H
#define STERNA_STANZA_H

#include <stdatomic.h>
#include "server/elem.h"
#include "server/jid.h"
#include "server/module.h"

enum stanza_type {
	TYPE_INVALID,
	/* iq */
	IQ_GET, IQ_SET, IQ_RESULT, IQ_ERROR,
	/* message */
	MESSAGE_NORMAL, MESSAGE_CHAT, MESSAGE_GROUPCHAT, MESSAGE_HEADLINE, MESSAGE_ERROR,
	/* presence */
	PRESENCE_AVAILABLE, PRESENCE_UNAVAILABLE, PRESENCE_SUBSCRIBE, PRESENCE_SUBSCRIBED, PRESENCE_UNSUBSCRIBE,
	PRESENCE_UNSUBSCRIBED, PRESENCE_PROBE, PRESENCE_ERROR,
};

struct archive_row;

struct stanza {
	atomic_uint refs;
	struct arena *arena;
	struct sterna_elem *elem;
	enum sterna_kind kind;
	enum stanza_type type;
	struct jid *from, *to;       /* to: NULL if there is none */
	uint64_t trace;
	const char *inner;           /* the children as text, made once; NULL: not yet */
	size_t inner_len;
	const char *head;            /* shared: the start of its tag without 'to', made once; NULL: not so simple */
	size_t head_len;
	struct archive_row *carried; /* the sender's row, to be committed with the recipient's; in the arena */
	bool may_bounce;             /* an error may be sent to 'from' */
	bool owed;                   /* our error for a message that is worth keeping: so is this */
	bool noted;                  /* observers have seen it */
	bool many;                   /* a message: more than one session of its recipient got it */
};

/** Takes the arena with the element in it; 'to' and 'from' are brought into their prepared form. On an error *a is still
 *  the caller's.
 *  @return STERNA_EINVAL  no stanza, or a type that the kind does not have
 *          STERNA_ELIMIT  'to' or 'from' is no JID: answer <jid-malformed/> */
enum sterna_result stanza_new(struct arena **a, struct sterna_elem *e, struct stanza **out) STERNA_CHECKED;
/** Any element, so that a call can carry it: <r/>, <active/>. Takes the arena. It has no kind. */
struct stanza *stanza_wrap(struct arena **a, struct sterna_elem *e);
/** A new stanza of ours; from and to are referenced. type NULL: no attribute. */
struct stanza *stanza_make(const char *name, const char *type, const struct jid *from, const struct jid *to,
	const char *id);
struct stanza *stanza_ref(struct stanza *s);
void stanza_unref(struct stanza **s);

const char *stanza_id(const struct stanza *s);
const char *stanza_type_text(const struct stanza *s);        /**< "chat", "available", "get" … */
void stanza_set_from(struct stanza *s, const struct jid *from); /**< attribute and field */
void stanza_set_to(struct stanza *s, const struct jid *to);
/** The tree was changed: what was serialised is void. */
void stanza_touch(struct stanza *s);

/** Before other workers get references: what is written lazily is written now. From then on nobody changes it. */
void stanza_share(struct stanza *s);
/** Write it for a stream whose default namespace is the content namespace.
 *  @param to  instead of its own 'to'; NULL: its own */
void stanza_write(struct buf *out, struct stanza *s, const char *to);
/** The same where no namespace is in force: it is declared. */
void stanza_write_alone(struct buf *out, struct stanza *s, const char *to);
/** The same with its own 'to': for storage. */
void stanza_write_stored(struct buf *out, struct stanza *s);

/** An error reply to s (RFC 6120 §8.3), from what s was sent to; NULL if s must not be answered: it is an
 *  error or a result itself, or presence that nobody expects an answer to (unavailable, probes).
 *  app: application-specific condition (§8.3.4); payload: stands before <error/>; copied, NULL: none */
struct stanza *stanza_error(const struct stanza *s, enum sterna_condition condition, const char *text,
	const struct sterna_elem *app, const struct sterna_elem *payload);
/** An IQ result for s, without payload yet. */
struct stanza *stanza_result(const struct stanza *s);
const char *condition_name(enum sterna_condition c);         /**< "bad-request" … */

/** A message that is worth keeping for later: has a body, or is encrypted, or what XEP-0313 §… counts. */
bool stanza_is_storable(const struct stanza *s);

#endif
