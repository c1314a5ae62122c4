/* daemon.h - what sternad is made of, from the configuration to the end; used by sternad.c and control.c.
 * Threads: the main one. */
#ifndef STERNA_DAEMON_H
#define STERNA_DAEMON_H

#include <sys/types.h>
#include "server/config.h"
#include "server/server.h"

struct net;

struct daemon {
	char *config_path;
	struct config *config;       /* in force */
	struct config *first;        /* as of the start: hosts and listeners point into it */
	struct loop *loop;           /* the main thread's */
	struct db *db;
	struct work_pool *pool;
	struct server *server;
	struct net *net;
	struct timer end;            /* daemon_end() */
	bool restart;                /* once more, when everything has ended */
};

/** Everything up to the point where threads start. @return 0, or the exit code (said on stderr or the log) */
int daemon_open(const char *config_path, struct daemon *d);
void daemon_close(struct daemon *d);
/** Of server.user (which is given) and server.group; false: there are no such (said on stderr). */
bool daemon_find_user(const struct config_server *c, uid_t *uid, gid_t *gid);
void daemon_say_ready(const struct daemon *d);

/** Read the configuration anew. What can change while connections live is applied, all of it or nothing: log,
 *  certificates, limits, modules and their options. said: what was applied and what waits for a restart, or
 *  why it was refused. @return STERNA_EINVAL refused */
enum sterna_result daemon_reload(struct daemon *d, struct buf *said) STERNA_CHECKED;
/** The main loop ends after so many seconds, in order; restart: the program begins anew then. */
void daemon_end(struct daemon *d, unsigned after_s, bool restart);
/** Once a day, off the main loop: partitions of the archive. */
void daemon_maintain(struct daemon *d);

#endif
