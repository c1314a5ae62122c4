/* s2s.h - other servers: what the rest of the server knows of them.
 *
 * A remote domain has one owner, a worker (rule 1): all its links, queues and authenticated streams are that worker's.
 * A link is a pair of domains, one of ours and one of theirs, with the queue of what is to be sent; it is carried by a
 * stream that we opened (s2s_out.c), or by one that the peer opened and made bidirectional (s2s_in.c, XEP-0288).
 * Threads: the worker given. */
#ifndef STERNA_S2S_H
#define STERNA_S2S_H

#include "server/stream.h"

struct s2s_link;

extern const struct stream_kind s2s_in_kind, s2s_out_kind;

/** Are there links to other servers at all? */
bool s2s_is_on(const struct server *s);
/** Which worker owns that remote domain. */
struct worker *s2s_owner(const struct server *s, const char *domain);
/** On the owner of st's recipient: the link that takes it, or NULL: it is to be refused so. */
struct s2s_link *s2s_admit(struct worker *w, const struct stanza *st, enum sterna_condition *condition, const char **text);
/** c's stanza is for that link: if it is worth keeping, c's batch gets a row that outlives us. @return its id, or 0 */
int64_t s2s_store(struct s2s_link *l, struct sterna_call *c);
/** To that server, now or when it can be reached; what cannot be sent in time goes back with remote-server-not-found or
 *  remote-server-timeout. Takes st. */
void s2s_send(struct s2s_link *l, struct stanza **st, int64_t id);
/** When the worker starts: what waited when the last process ended. */
void s2s_load(struct worker *w);

/** On any worker: a user of that domain, or the domain itself, has done what honest ones do not. Nothing for our own domains.
 *  what: static, for people */
void s2s_offence(struct worker *w, const char *domain, unsigned weight, const char *what);

/** Every few seconds: what has waited too long goes back, idle streams end. */
void s2s_sweep(struct worker *w);
/** The worker ends: nothing is tried any more. */
void s2s_stop(struct worker *w);
void s2s_clear(struct worker *w);       /**< after its streams; frees all links */
void s2s_forget(struct stream *s);      /**< a stream goes: its part of ours */

#endif
