/* mam.h - what the module "mam" (XEP-0313) offers to modules that keep archives of other addresses: the query, its
 * form, and which messages are worth keeping. Threads: those of the call. */
#ifndef XEP_MAM_H
#define XEP_MAM_H

#include "server/module.h"

#define NS_MAM "urn:xmpp:mam:2"
#define MAM_VERSION 2u

/** An archive, and how much one answer may hold. */
struct mam_source {
	const char *owner;           /* whose rows: a bare JID; results come from it */
	unsigned page, max_page;     /* results without a number asked for; most */
	uint64_t max_bytes;
	int64_t since;               /* only what is newer than this id; 0: all */
};

struct mam_api {
	/** Would a person miss it (XEP-0313 §5.1.1)? */
	bool (*is_worth_it)(const struct sterna_elem *message);
	/** Answers <query/> (set) from that archive, to whoever asks: the caller has checked who may.
	 *  @return a verdict of the handler, also STERNA_WAIT */
	enum sterna_verdict (*query)(struct sterna_call *c, const struct mam_source *source);
	enum sterna_verdict (*form)(struct sterna_call *c);          /**< <query/> (get) */
	enum sterna_verdict (*metadata)(struct sterna_call *c, const struct mam_source *source);
};

#endif
