/* origin.h - a message that a client sends once more is taken once.
 *
 * A client that resumes is understood by its numbers (sm.h). One that cannot, or does not want to, begins a new
 * session and repeats what it has no acknowledgement for, under the same <origin-id/> (XEP-0359 §3.2). What an
 * earlier session of the account sent to the same bare JID under that id, and what is stored, is not taken again: it
 * is acknowledged. Within one session nothing is compared: there a client has no reason to repeat, and one that
 * gives every message the same id is not made dumb.
 * Known are the last 128 of an account: of this process, and on the first message, from its archive. Threads: the
 * owning worker's. */
#ifndef STERNA_ORIGIN_H
#define STERNA_ORIGIN_H

#include <stdbool.h>

struct account;
struct sterna_call;

/** Is c's message (on the sender's side, with its session and ack) such a repetition? go_on is told, at once or when
 *  it is known whether the first one was stored; meanwhile the sender's stream is not read. */
void origin_check(struct sterna_call *c, void (*go_on)(struct sterna_call *c, bool repeated));
/** The account goes out of memory. Nobody waits. */
void origin_unload(struct account *a);

#endif
