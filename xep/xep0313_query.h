/* xep0313_query.h - a query as it was understood; lives as long as its stanza. */
#ifndef XEP0313_QUERY_H
#define XEP0313_QUERY_H

#include "xep/xep0313_mam.h"

#define NS_RSM "http://jabber.org/protocol/rsm"

enum mam_filter { MAM_ANYONE, MAM_PEER, MAM_RESOURCE };

struct mam_query {
	const struct mam_source *source;
	const char *queryid;
	int64_t low, high;               /* ids between them, exclusive */
	enum mam_filter filter;
	const char *peer, *resource;     /* bare JID; resource */
	int64_t limit;                   /* results; 0: only their number */
	bool backward;                   /* the page that ends at high, not the one that begins at low */
	bool flip;                       /* sent newest first */
	bool open_end;                   /* nothing but paging bounds it above: it may reach the present */
	const char *ids;                 /* "1,2,3": only these; or NULL */
	const char *named;               /* all ids that were named, each once: they must be there; "" if none */
	size_t named_count;
	int64_t before;                  /* RSM's, 0 if there is none */
};

/** Read <query/>; q->source is set. @return false: refused already, the verdict is in *refused */
bool mam_query_read(struct sterna_call *c, struct mam_query *q, enum sterna_verdict *refused);

#endif
