/* invite.h - what the linked-in module "invite" offers others: what a token of an invitation says.
 * Version 1; sterna_use(m, "invite", 1) in load(). Threads: any. */
#ifndef XEP_INVITE_H
#define XEP_INVITE_H

#include "server/module.h"

#define INVITE_VERSION 1u

enum { INVITE_HASH_LEN = 65 };

struct invite_api {
	/** What the database knows a token by; any text. */
	void (*hash)(const char *token, char hash[INVITE_HASH_LEN]);
	/** Parameter: hash. Row: host, inviter (bare JID; "": the operator), username ("": any), contact (0, 1: who uses it
	 *  becomes the inviter's contact), account (0, 1: it lets make an account), expires (microseconds), used (0, 1). */
	const struct db_stmt *look;
	/** "xmpp:local@domain" (RFC 5122, encoded), or "xmpp:domain" for a local of "". */
	void (*address)(struct buf *out, const char *local, const char *domain);
};

#endif
