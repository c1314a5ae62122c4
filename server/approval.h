/* approval.h - the second administrator: commands that the configuration names (approval.commands) are kept when they are
 * asked for, and run when somebody else who might have asked approves. Kept in the database, so also over a restart.
 * Threads: the main one. */
#ifndef STERNA_APPROVAL_H
#define STERNA_APPROVAL_H

#include "server/request.h"

/** Does this checked request wait? Not at the socket: whoever speaks there owns the machine. */
bool approval_wanted(const struct request *r);
/** Ends it with {"pending": id, …}, or with why it cannot wait. */
void approval_keep(struct request *r, const struct sterna_command *c);
/** Names in the configuration that are no command: a warning each. After start and reload. */
void approval_look(const struct server *s, const struct config *c);

#endif
