/* stream_late.h - stanzas that wait for room in a connection's output (limits.output_high): of bursts that the peer has
 * asked for, and what comes behind them. Bounded by limits.burst_count, and by limits.output_max for all else.
 * For sessions with XEP-0198 their queue does the same (sm_flush()). Threads: the stream's. */
#ifndef STERNA_STREAM_LATE_H
#define STERNA_STREAM_LATE_H

#include "server/stanza.h"

struct stream;

/** Does it have to wait? Then it is queued, with references of its own. */
bool stream_is_late(struct stream *s, struct stanza *st, const struct jid *to);
/** The output has drained: as much as fits. */
void stream_late_write(struct stream *s);
void stream_late_free(struct stream *s);

#endif
