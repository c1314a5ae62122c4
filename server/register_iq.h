/* register_iq.h - changing one's password and removing one's account (XEP-0077 §3.2, §3.3): a module linked into the
 * core. */
#ifndef STERNA_REGISTER_IQ_H
#define STERNA_REGISTER_IQ_H

#include "server/module.h"

extern const struct sterna_module sterna_module_register;

#endif
