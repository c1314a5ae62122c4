/* roster_iq.h - the roster's IQ (RFC 6121 §2), a module linked into the core. */
#ifndef STERNA_ROSTER_IQ_H
#define STERNA_ROSTER_IQ_H

#include "server/module.h"

extern const struct sterna_module sterna_module_roster;

#endif
