/* command_session.h - what commands do to sessions after accounts were changed on the storage. */
#ifndef STERNA_COMMAND_SESSION_H
#define STERNA_COMMAND_SESSION_H

#include "server/request.h"

/** The accounts of a field (each on its owner's worker) take up what happened to them: "password", "disabled", "deleted",
 *  "imported": their sessions end, and the account is forgotten where it is another now; "enabled". Then done(r), with
 *  r->parts true where all of them could. what: static. */
void sessions_hear(struct request *r, const char *field, const char *what, void (*done)(struct request *r));
/** All parts are true? Else noted. */
bool sessions_heard(struct request *r);
/** Ends sessions of the addresses (bare: all; full: that one) of a field; done(r) with {"ended": count} in the parts. */
void sessions_kick(struct request *r, const char *field, void (*done)(struct request *r));

#endif
