/* bosh_body.h - the <body/> of a request of BOSH: its attributes and the elements in it. Threads: one at a time. */
#ifndef STERNA_BOSH_BODY_H
#define STERNA_BOSH_BODY_H

#include "server/bosh_pipe.h"

#define NS_BOSH "http://jabber.org/protocol/httpbind"
#define NS_XBOSH "urn:xmpp:xbosh"

struct bosh_body {
	struct arena *arena;
	struct sterna_elem *root;    /* attributes alone */
	struct bosh_item *first, **last;
	size_t count;
	bool closed;
};

/** Read one. The limits are those of a stream; the parser is that of every stream.
 *  @return STERNA_EINVAL no <body/>, or more than that; STERNA_ELIMIT over a limit; nothing is to be freed then */
enum sterna_result bosh_body_parse(const char *text, size_t len, const struct xml_limits *limits, struct xml_pool *pool,
	struct bosh_body *out) STERNA_CHECKED;
void bosh_body_clear(struct bosh_body *b);
/** An attribute that is a whole number below 2^53 (XEP-0124 §14.1). @return false: there is none, or it is no such number */
bool bosh_body_number(const struct bosh_body *b, const char *name, uint64_t *out);

#endif
