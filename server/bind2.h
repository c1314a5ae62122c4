/* bind2.h - XEP-0386: a resource, and what a client wants on it, along with the login. Threads: the account's owner. */
#ifndef STERNA_BIND2_H
#define STERNA_BIND2_H

#include "server/stream.h"

struct account;

#define NS_BIND2 "urn:xmpp:bind:0"

/** <bind/> with what can be had along with it, into SASL2's <inline/>. */
void bind2_features(struct stream *s, struct arena *a, struct sterna_elem *inline_);
/** Bind. The earlier sessions of the same user agent end. The stream has its session then; that it is STREAM_BOUND,
 *  and stream management, are the caller's.
 *  @param bind      as the client sent it
 *  @param[out] out  <bound/>, made in a
 *  @return STERNA_ELIMIT too many sessions */
enum sterna_result bind2(struct stream *s, struct account *acc, struct arena *a, const struct sterna_elem *bind,
	struct sterna_elem **out) STERNA_CHECKED;

/** Is there an archive (XEP-0313) that tells a client what it missed? */
bool bind2_has_archive(const struct worker *w);

/** The part of a resource that stays the same for a user agent and says nothing about it. */
#define BIND2_STABLE_SIZE 17
void bind2_stable(const void *secret, size_t secret_len, const char *bare, const char *agent_id,
	char out[BIND2_STABLE_SIZE]);

#endif
