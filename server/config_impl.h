/* config_impl.h - what the files that check a configuration share. */
#ifndef STERNA_CONFIG_IMPL_H
#define STERNA_CONFIG_IMPL_H

#include "server/config.h"

/** The index-th item of a list or map, or NULL. */
const struct config_node *config_nth(const struct config_node *list, size_t index);
/** The node of a key if it is there, else of its section: where an error is. */
const struct config_node *config_blame(const struct config_node *section, const char *key);
enum sterna_result config_check_domains(const struct config_node *map, struct config_error *err);
enum sterna_result config_check_s2s(struct config *c, struct config_error *err);
enum sterna_result config_check_regions(struct config *c, struct config_error *err);

#endif
