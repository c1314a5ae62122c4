/* session.h - one bound resource. It outlives its stream while it may be resumed (XEP-0198 §5).
 * Threads: the worker that owns its account. */
#ifndef STERNA_SESSION_H
#define STERNA_SESSION_H

#include <jansson.h>
#include "server/account.h"
#include "server/stanza.h"

struct ack;
struct sm;

struct sterna_session {
	unsigned refs;
	struct account *account;         /* NULL once gone */
	struct sterna_session *next;     /* of the account */
	struct jid *jid;                 /* full */
	struct stream *stream;           /* NULL: detached, or gone */
	uint64_t id;                     /* in this process, for `session list` */
	int64_t bound_us;
	uint64_t stanzas_in;             /* since it was bound, or restored */
	int priority;                    /* of the last available presence */
	int64_t open_since;              /* an archive id: since then it gets what is for the bare JID; 0: not known */
	bool available, interested;      /* interested: has asked for the roster (RFC 6121 §2.2) */
	bool gone;
	bool asked_for;                  /* what comes now is of a burst that it has asked for (many.c) */
	int64_t read_up_to;              /* it has read the archive up to this id: that does not wait for it */
	struct stanza *presence;         /* last broadcast; NULL while unavailable */
	struct map *directed;            /* bare or full JIDs that got directed presence; key is the value */
	struct sm *sm;                   /* NULL: not enabled */
	void **slots;
	uint64_t rests;                  /* modules that rest here, by slot index (registry.h) */
	unsigned slot_count;
	unsigned reading;                /* answers that wait for a read */
	struct ack *newest_ack;          /* of those; NULL: none */
	unsigned unsettled;              /* stanzas taken whose effects are not committed yet */
	struct sterna_call *reads, **reads_end; /* reads of this session that wait for that */
	json_t *kept;                    /* what modules want to survive a resumption after a crash */
	char *client;                    /* what SASL2's user-agent says, for lists */
};

/** Bind: resource NULL or "": one is made. Conflict: the old session is ended with <conflict/>; over the limit of
 *  sessions the oldest one ends.
 *  @return STERNA_EINVAL  no resource by RFC 7622 */
enum sterna_result session_bind(struct account *a, struct stream *st, const char *resource,
	struct sterna_session **out) STERNA_CHECKED;
struct sterna_session *session_ref(struct sterna_session *s);
void session_unref(struct sterna_session **s);
/** The stream has ended. resumable: it was cut, not closed: keep the session if it may be resumed. */
void session_lost(struct sterna_session *s, bool resumable);
/** For good: unavailable presence, offline for what was not acknowledged. */
void session_end(struct sterna_session *s);
/** The process ends: out of memory it goes, in storage it stays. */
void session_drop(struct sterna_session *s);
/** As from the outside (kick, conflict, deletion): the stream gets this stream error first. */
void session_kick(struct sterna_session *s, const char *condition, const char *text);

/** To this session: TO_SESSION stops, XEP-0198's queue, the stream. from_archive: its id there, 0 if none.
 *  to: in place of the stanza's own, or NULL. Holds a reference of its own where it must. */
void session_send(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id);
/** Without the stops: what a stop held back and lets go now. */
void session_send_now(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id);
/** It has sent more than is good while commits take so long: most stanzas unsettled, or any while the database's
 *  queue fills. Then it is not read. */
bool session_is_behind(const struct sterna_session *s, unsigned most);
/** Is all settled that it has sent before this call's stanza? Then the call may read. */
bool session_may_read(const struct sterna_session *s, const struct sterna_call *c);
/** Something of it was settled: reads that waited for that go on. */
void session_settled(struct sterna_session *s);
/** A session of before a crash, detached. */
struct sterna_session *session_restore(struct account *a, const struct jid *full);
void *session_slot(struct sterna_session *s, const struct module_slot *m);
static inline bool session_is_available(const struct sterna_session *s)
{
	return s->available;
}

#endif
