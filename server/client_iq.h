/* client_iq.h - users see what has access to their account, and take it away (XEP-0494): a module linked into the core, as
 * "client list" and "client revoke" (command_client.c) are for administrators. */
#ifndef STERNA_CLIENT_IQ_H
#define STERNA_CLIENT_IQ_H

#include "server/module.h"

extern const struct sterna_module sterna_module_clients;

#endif
