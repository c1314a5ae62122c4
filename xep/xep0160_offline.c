/* XEP-0160 Best Practices for Handling Offline Messages 1.0.1: the core stores what waits (server/archive.c);
 * this tells clients that it does (§4). */
#include "server/module.h"

STERNA_MODULE(offline, .spec = "XEP-0160 1.0.1", .summary = "Offline messages, announced",
	.features = (const struct sterna_feature[]){ { "msgoffline", STERNA_SERVER }, { 0 } });
