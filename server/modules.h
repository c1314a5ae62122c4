/* modules.h - which modules are loaded when the configuration does not say. */
#ifndef STERNA_MODULES_H
#define STERNA_MODULES_H

#include "server/server.h"

/** Load the usual modules and what modules: names, but for what is off there, in an order that satisfies their needs.
 *  @return STERNA_EINVAL one cannot be loaded (logged) */
enum sterna_result modules_load(struct server *s) STERNA_CHECKED;

/** Would a configuration do: are its modules there, with what they need, and their options right? Nothing is loaded.
 *  @param s    the running server, whose loaded modules are asked and not their files; NULL: none runs
 *  @param[out] err where and what is wrong
 *  @return STERNA_EINVAL */
enum sterna_result modules_check(const struct server *s, const struct config *c, struct config_error *err) STERNA_CHECKED;
/** After a reload: options of loaded modules anew, modules that are named no more unloaded, new ones loaded. */
enum sterna_result modules_apply(struct server *s) STERNA_CHECKED;

#endif
