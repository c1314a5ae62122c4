/* c2s.h - streams of clients. */
#ifndef STERNA_C2S_H
#define STERNA_C2S_H

#include "server/stream.h"

extern const struct stream_kind c2s_kind;

/** The session is bound to this stream: from here on stanzas flow. */
void c2s_bound(struct stream *s, struct sterna_session *session);
/** What <resume/> came to, for SASL1 and inline: NULL session: failed. Answers with *e* in NS_SM on success. */
struct sterna_elem *c2s_resumed_elem(struct arena *a, struct sterna_session *session, uint32_t h);
struct sterna_elem *c2s_sm_failed_elem(struct arena *a, const char *condition, bool has_h, uint32_t h);

#endif
