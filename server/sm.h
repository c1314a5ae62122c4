/* sm.h - stream management (XEP-0198 1.6): counting, acknowledgements that are promises, resumption after a
 * cut and after the death of the process.
 *
 * What is durable: sm_session has a row per resumable session; the archive's rows carry tags (archive.h):
 *   "i<sid>:<h>"  this was the h-th stanza we took from that session
 *   "o<sid>:<n>"  it was the n-th stanza we sent to it
 * A sender's row commits together with the recipient's. So after a crash the row of sm_session says up to where
 * all was taken, i-tags without a gap behind it take that further, those behind a gap tell what the client
 * will repeat, and the o-tags above the client's own count say what it still lacks. A stanza without a row makes
 * the row of sm_session be written before the <a/> that covers it.
 * Threads: the account's owner. */
#ifndef STERNA_SM_H
#define STERNA_SM_H

#include <stdbool.h>
#include <stdint.h>
#include "server/ack.h"
#include "server/buf.h"
#include "server/db.h"

struct account;
struct arena;
struct jid;
struct sterna_elem;
struct sterna_session;
struct stanza;
struct stream;
struct worker;

#define NS_SM "urn:xmpp:sm:3"

/** <enable/>: max_s is what the client wishes, 0: no wish. <enabled/> follows when the session's row is committed (at
 *  once if it is not to be resumed). inline_ NULL: it is written to the stream. Else inline_ is called then, to tell of
 *  it within something else; what is sent meanwhile waits in the queue: sm_replay() after it is told. */
typedef void sm_enabled_fn(struct sterna_session *s);
void sm_enable(struct sterna_session *s, bool resume, uint32_t max_s, sm_enabled_fn *inline_);
/** <enabled/> as it is to be told. */
struct sterna_elem *sm_enabled_elem(const struct sterna_session *s, struct arena *a);
/** <resume previd h/> on an authenticated stream without a session. done() gets the session, bound to the
 *  stream, or NULL and the condition for <failed/>; perhaps later. */
typedef void sm_resume_fn(struct stream *st, struct sterna_session *s, const char *condition, uint32_t h);
void sm_resume(struct account *a, struct stream *st, const char *previd, uint32_t h, sm_resume_fn *done);
/** After <resumed/> was written: send again what the client lacks. */
void sm_replay(struct sterna_session *s);
/** That stream has ended. @return true: it was to resume the session, and never did */
bool sm_stream_gone(struct sterna_session *s, const struct stream *st);

/** A stanza has come in: its number. */
uint32_t sm_count_in(struct sterna_session *s);
/** Was this number taken before a crash already? Then it is a repetition of what is stored. */
bool sm_was_taken(struct sterna_session *s, uint32_t h);
/** All effects of the h-th stanza are committed (ok), or it will never be known. */
void sm_committed(struct sterna_session *s, uint32_t h, bool ok, bool has_row);
/** An <r/> of ours is not answered within limits.sm_ack_time: the connection is as good as lost. */
bool sm_is_overdue(const struct sterna_session *s);
/** Ask for an acknowledgement now and then. */
void sm_request(struct sterna_session *s);
void sm_committed_now(struct sterna_session *s, uint32_t h, bool has_row);  /**< no effects are under way */
uint32_t sm_sent(const struct sterna_session *s);
/** What was sent or waits to be, and what of it is acknowledged; 0 without. */
void sm_counts(const struct sterna_session *s, uint32_t *out, uint32_t *acked);
/** The id to resume it with: what <enabled/> said. */
void sm_id(const struct sterna_session *s, char out[64]);
/** <r/>; <a h/>. @return false: h is more than was sent (stream error undefined-condition, §5) */
void sm_on_request(struct sterna_session *s);
bool sm_on_ack(struct sterna_session *s, uint32_t h);

/** A stanza goes out: queued until acknowledged. @return false: over the limit; the session
 *  ends in the next turn, and the stanza, which is in the queue, waits for the next one: it is not to be sent now */
bool sm_push(struct sterna_session *s, struct stanza *st, const struct jid *to, int64_t archive_id);
/** Write to the stream what is queued and was not written yet; while withheld, nothing. */
void sm_flush(struct sterna_session *s);
void sm_withhold(struct sterna_session *s);          /**< its numbers must be committed first … */
void sm_let_go(struct sterna_session *s);            /**< … and are */
/** Whether recovery, as it is stored, would not look as far back as this row. */
bool sm_is_behind(const struct sterna_session *s, int64_t id);
/** A row older than the session is to be delivered to it: recovery must look that far back. */
void sm_reach_back(struct sterna_session *s, struct db_batch *b, int64_t id);
/** Tags for the archive's row of a stanza just sent, or just taken. */
void sm_tag_out(struct sterna_session *s, const struct stanza *st, struct buf *tags);
void sm_tag_in(struct ack *a, struct buf *tags);
void sm_keep_in_tags(const char *old, struct buf *tags);

int64_t sm_sid(const struct sterna_session *s);      /**< 0 without */
bool sm_is_resumable(const struct sterna_session *s);
/** The connection was lost: the time runs. */
void sm_detached(struct sterna_session *s);
/** For good: what is unacknowledged goes offline, or back to its sender. */
void sm_end(struct sterna_session *s);
void sm_free(struct sterna_session *s);
/** What must survive (presence, flags) has changed. */
void sm_save(struct sterna_session *s);
size_t sm_unacked(const struct sterna_session *s);

/** When an account is loaded: its sessions of before the crash. Two reads; done(a) when they are there. */
void sm_load(struct account *a, void (*done)(struct account *a, enum sterna_result rc));
extern const struct db_stmt sm_delete_all;

#endif
