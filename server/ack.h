/* ack.h - the promise behind XEP-0198's <a/>: a token that travels with a stanza and comes back when all of
 * its effects are committed, on the sender's and the recipient's owner (DESIGN, rule 3).
 *
 * Threads: ack_hold() and ack_done() from any worker; the completion runs on the sender's. */
#ifndef STERNA_ACK_H
#define STERNA_ACK_H

#include <stdbool.h>
#include <stdint.h>

struct ack;
struct sterna_session;
struct worker;

/** For the stanza with this inbound number (0: the session has no XEP-0198). Held once by the caller. The
 *  session counts it as unsettled: its own reads wait until it is not. */
struct ack *ack_new(struct sterna_session *s, uint32_t h);
/** For a stanza that came from elsewhere: fn runs on home when all is committed, or not (ok false). */
struct ack *ack_new_for(struct worker *home, void (*fn)(void *arg, uint32_t h, bool ok), void *arg, uint32_t h);
/** The stanza is one of this session's. */
bool ack_is_of(const struct ack *a, const struct sterna_session *s);
/** A session of ours has sent it, and not somebody elsewhere. */
bool ack_is_local(const struct ack *a);
/** No older one of its session is outstanding. */
bool ack_is_oldest(const struct ack *a);
void ack_hold(struct ack *a);                 /**< one more effect is under way; NULL does nothing */
/** One effect is committed (ok), or its outcome is not known: then the promise is never made. */
void ack_done(struct ack **a, bool ok);
/** The sender's inbound number, for the archive's tag. */
uint32_t ack_h(const struct ack *a);
int64_t ack_sid(const struct ack *a);          /**< 0: the session has no XEP-0198 */
void ack_tagged(struct ack *a);                /**< a row with its number is in a batch; on the sender's owner */
/** That batch was refused: nothing is written. NULL does nothing. */
void ack_unwritten(struct ack *a);

/** fn is told when its completion runs, on the sender's owner: taken: nothing was refused, and all is known. One at a
 *  time; NULL: nobody is told. */
void ack_when_settled(struct ack *a, void (*fn)(void *arg, bool taken), void *arg);

#endif
