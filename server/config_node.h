/* config_node.h - sterna.yaml as a tree in which every node knows its file, line and column.
 *
 * What is read: YAML 1.1 by libyaml, one document, without anchors, aliases and tags of its own, at most 32 deep,
 * 4 MiB, 50,000 values. In values ${NAME} is the environment's variable, ${NAME:-text} the same with a default,
 * $${ a plain ${; text in 'single quotes' stays as it is. `key: !file path` takes the value from a file (at most
 * 64 KiB; one final newline is cut), for secrets. Such values never show up in a message.
 * Threads: a tree does not change once it is read. */
#ifndef STERNA_CONFIG_NODE_H
#define STERNA_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include "server/mem.h"
#include "server/result.h"

/** Where something is wrong, and what to do about it. */
struct config_error {
	char file[256];
	unsigned line, column;          /* from 1; 0: the file as such */
	char message[512];
};

enum config_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

struct config_node {
	enum config_kind kind;
	const char *key;                /* in a map; else NULL */
	const char *text;               /* scalar: expanded; else NULL */
	bool plain;                     /* scalar without quotes */
	bool secret;                    /* from the environment or a file: not to be shown */
	unsigned line, column;          /* of the value */
	unsigned key_line, key_column;  /* of the key; in a list the value's */
	const char *file;
	size_t count;                   /* of children */
	struct config_node *parent, *first, *last, *next;
};

/** Read a file. @param[out] out in a; an empty file is an empty map */
enum sterna_result config_read(struct arena *a, const char *path, struct config_node **out, struct config_error *err)
	STERNA_CHECKED;
/** The same from memory; name stands for the file in messages, paths are relative to dir. */
enum sterna_result config_read_text(struct arena *a, const char *text, size_t len, const char *name, const char *dir,
	struct config_node **out, struct config_error *err) STERNA_CHECKED;

/** Child of a map, NULL if there is none; map may be NULL. */
const struct config_node *config_child(const struct config_node *map, const char *key);
/** Nothing given: `key:`, `key: null`, `key: ~`. */
bool config_is_null(const struct config_node *n);
/** "a.b[2].c" of a node, cut to size. Returns out. */
char *config_path(const struct config_node *n, char *out, size_t size);
/** Fill err with a node's place (its key's, with at_key) and a message. Returns STERNA_EINVAL. */
enum sterna_result config_fail(struct config_error *err, const struct config_node *n, bool at_key, const char *fmt, ...)
	STERNA_PRINTF(4, 5);
/** What differs between two trees: fn gets the path of each least part that was added, removed or changed. Either
 *  may be NULL. */
void config_node_diff(const struct config_node *before, const struct config_node *after,
	void (*fn)(void *arg, const char *path), void *arg);

#endif
