/* invite_iq.h - invitations between accounts, and the commands that make them: a module linked into the core. */
#ifndef STERNA_INVITE_IQ_H
#define STERNA_INVITE_IQ_H

#include "server/module.h"

/** What the configuration says of invitations (modules.invite). */
struct server;
struct invite_options {
	int64_t lifetime_us;
	unsigned max_open;               /* of one user */
	bool accounts;                   /* a user's invitation lets make an account, too */
	const char *url;                 /* of the landing page; NULL: ours. Borrowed until the next reload */
	bool served;                     /* a module has a page for it below INVITE_PATH */
};
#define INVITE_PATH "/invite/"
/** Main thread. */
void invite_options(struct server *s, struct invite_options *out);

extern const struct sterna_module sterna_module_invite;

#endif
