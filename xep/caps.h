/* caps.h - the interface "caps" of the module of the same name: what a client can, by the capabilities that its
 * presence announces (XEP-0115). Version 1; sterna_use(m, "caps", 1) in load().
 * Threads: any; the answer comes from one cache of the whole server. */
#ifndef XEP_CAPS_H
#define XEP_CAPS_H

#include "server/module.h"

#define CAPS_VERSION 1

struct caps {
	/** Does the client that sent this presence announce the feature? false also while it is not known: its
	 *  hash is asked for when its presence comes, and it is then verified before it is believed. Then the answer,
	 *  an IQ with the id "caps-…" to the account, passes the stops after STERNA_IN_POLICY: time to ask again. */
	bool (*has)(const struct caps *self, const struct sterna_elem *presence, const char *feature);
};

#endif
