/* sasl2.h - the extensible SASL profile (XEP-0388 1.0.4) on the exchanges of auth.h, with what goes along with a login:
 * resumption (XEP-0198 §8), binding (XEP-0386), tokens (XEP-0484), upgrades of an account's hashes (XEP-0480).
 * After success there is no new stream: the features of the present one follow at once. Threads: the stream's worker. */
#ifndef STERNA_SASL2_H
#define STERNA_SASL2_H

#include "server/stream.h"

#define NS_SASL2 "urn:xmpp:sasl:2"
#define NS_FAST "urn:xmpp:fast:0"

struct sasl2;

/** <authentication/> with what can be had inline. */
void sasl2_features(struct stream *s, struct arena *a, struct sterna_elem *features);
void sasl2_on_authenticate(struct stream *s, struct arena **a, struct sterna_elem *e);
void sasl2_on_response(struct stream *s, struct arena **a, struct sterna_elem *e);
void sasl2_on_abort(struct stream *s, struct arena **a, struct sterna_elem *e);
void sasl2_on_next(struct stream *s, struct arena **a, struct sterna_elem *e);
void sasl2_on_task_data(struct stream *s, struct arena **a, struct sterna_elem *e);
/** The request is over, or its stream is. */
void sasl2_free(struct stream *s);

#endif
