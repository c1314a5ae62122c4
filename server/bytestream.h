/* bytestream.h - a relay between two clients (XEP-0065 §6): both connect to us and name the same hash, which only they can
 * know; then one of them, a user of ours, asks over XMPP that the two be joined, and bytes go both ways until one side
 * closes. Before that nothing is read or passed on.
 *
 * Threads: a pair's home is the worker on which its first connection came in; the second one moves there. Who is there
 * and what is joined is known under a lock, which holds nobody up: it is taken once for each of these steps. */
#ifndef STERNA_BYTESTREAM_H
#define STERNA_BYTESTREAM_H

#include "server/conn.h"
#include "server/server.h"

struct bytestreams *bytestreams_new(struct server *s, const uint64_t seed[2]);
/** When no connection is left. */
void bytestreams_free(struct bytestreams **b);

/** An accepted socket of a listener of that kind, which is taken. ip: held for it already, or NULL: a PROXY header tells. */
void bytestream_accept(struct worker *w, int fd, const struct conn_options *o, const struct ip *ip);
/** Join the two connections that have named that hash. Any thread.
 *  @param owner  bare JID of the one who asks: what its streams count for
 *  @return STERNA_ENOTFOUND nobody has named it; STERNA_EUNAVAILABLE only one has; STERNA_EEXISTS they are joined already;
 *          STERNA_ELIMIT there are too many, of this owner or of all */
enum sterna_result bytestream_join(struct server *s, const char *hash, const char *owner) STERNA_CHECKED;
/** How many are joined now; for metrics. */
size_t bytestream_count(struct server *s);

/** On the worker's thread: its connections end. */
void bytestream_stop(struct worker *w);
/** The same, at once, for the worker's end. */
void bytestream_free_all(struct worker *w);

#endif
