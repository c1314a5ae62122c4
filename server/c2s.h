/* c2s.h - streams of clients. */
#ifndef STERNA_C2S_H
#define STERNA_C2S_H

#include "server/sm.h"
#include "server/stream.h"

extern const struct stream_kind c2s_kind;

/** The session is bound to this stream: from here on stanzas flow. */
void c2s_bound(struct stream *s, struct sterna_session *session);
/** <stream:features/> of the present state. */
void c2s_features(struct stream *s);
/** <enable/> of XEP-0198, for itself and inline (sm_enable()). @return NULL, or <failed/> and nothing was done */
struct sterna_elem *c2s_enable(struct arena *a, struct sterna_session *session, const struct sterna_elem *e,
	sm_enabled_fn *inline_);
/** A decimal number without sign, as XEP-0198 has them. */
bool c2s_number(const char *text, uint32_t *out);
bool c2s_is_true(const char *text);
/** What <resume/> came to, for SASL1 and inline: NULL session: failed. Answers with *e* in NS_SM on success. */
struct sterna_elem *c2s_resumed_elem(struct arena *a, struct sterna_session *session, uint32_t h);
struct sterna_elem *c2s_sm_failed_elem(struct arena *a, const char *condition, bool has_h, uint32_t h);

#endif
