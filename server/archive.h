/* archive.h - the one log of an account: what was said, what waits for the next available session, and under
 * which XEP-0198 numbers it went out and came in. Rows are immutable but for flags and tags.
 *
 * A row's flags: ARCHIVE_SHOWN: part of the archive that XEP-0313 shows; ARCHIVE_OFFLINE: waits for the
 * next available session. Its tags (column sm): "i<sid>:<h>" this was the h-th stanza that session sent us;
 * "o<sid>:<n>" it was the n-th we sent to that session. After a crash they tell what each side has seen. */
#ifndef STERNA_ARCHIVE_H
#define STERNA_ARCHIVE_H

#include "server/call.h"

struct account;

enum { ARCHIVE_SHOWN = 1, ARCHIVE_OFFLINE = 2 };

/** The id under which c's stanza is (to be) stored for c->account. */
int64_t archive_id(struct sterna_call *c);
/** At the end of the sender's side: the row of what c->account sent, if it is to be archived. It travels with the
 *  stanza, so that both rows commit together or not at all: then a row's i-tag tells that all is stored. */
void archive_sent(struct sterna_call *c);
/** The stanza was refused: the row that it carries does not tell, after a crash or to a new session (origin.h), that it
 *  was taken. */
void archive_untag_carried(struct stanza *st);
/** Does the stanza carry a row? Whose, under which id; borrowed. */
bool archive_carried(const struct stanza *st, const char **owner, int64_t *id);
/** Where the stanza's way ends, whatever became of it: the row that it carries joins c's batch. */
void archive_take_carried(struct sterna_call *c);
/** At the end of the recipient's side, after delivery: the row, if archive, offline or a session's
 *  XEP-0198 queue needs one. */
void archive_received(struct sterna_call *c);
/** A row of an address that is no account (a room), shown. */
void archive_put(struct db_batch *b, const char *owner, int64_t id, const struct jid *peer,
	const struct sterna_elem *stanza);

/** Deliver what waits to a session that has become available, oldest first, with <delay/> (XEP-0203); but for what
 *  it has read in the archive. */
void offline_deliver(struct sterna_session *s);
/** Is it the session that is getting them now? */
bool offline_goes_to(const struct sterna_session *s);
/** The account goes out of memory. */
void offline_unload(struct account *a);
/** Rows up to this id that were kept for resumptions only: nobody lacks them any more. */
void archive_drop_hidden(struct db_batch *b, struct account *a, int64_t up_to);
/** Turn a row back into one that waits: a session ended without acknowledging it. */
void archive_mark_offline(struct db_batch *b, const char *owner, int64_t id);

extern const struct db_stmt archive_insert, offline_count;
extern const struct db_stmt archive_extent; /**< of what is shown to $1: first and last id, NULL if there is nothing */

#endif
