/* component.h - external components (XEP-0114), several streams for one domain; stanzas are spread by the bare JID
 * of the other side. All streams of components live on worker 0. */
#ifndef STERNA_COMPONENT_H
#define STERNA_COMPONENT_H

#include "server/stream.h"

extern const struct stream_kind component_kind;

/** To the component of that host, from any worker. Takes st; without a component: an error to its sender. */
void component_send(struct worker *w, struct host *h, struct stanza **st);

#endif
