/* listener.h - a listening TCP socket on a loop. Every worker has one of its own on the same address (SO_REUSEPORT):
 * the kernel spreads connections over them, and no descriptor travels between threads.
 * Threads: belongs to its loop. */
#ifndef STERNA_LISTENER_H
#define STERNA_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include "server/cidr.h"
#include "server/loop.h"

struct listener_options {
	const char *address;         /* "0.0.0.0", "192.0.2.1", "::1"; "::" (and NULL) also takes IPv4 */
	uint16_t port;               /* 0: any free one, see listener_port() */
	int backlog;                 /* 0: 1024 (the system's somaxconn may be less) */
	unsigned accept_budget;      /* connections accepted per turn; 0: 32 */
	bool first;                  /* the first of its address in this process: another process there is an error,
	                              * where SO_REUSEPORT alone would quietly share the port with it */
};

struct listener_handler {
	/** May this address connect now (its limits of number and rate)? False: the connection is closed at once.
	 *  For a trusted proxy answer true, and ask again in conn_options.admit. NULL: all may. */
	bool (*admit)(void *arg, const struct ip *peer);
	/** A connection: fd is the callee's, non-blocking and close-on-exec. */
	void (*accept)(void *arg, int fd, const struct ip *peer);
};

struct listener;
/** @return STERNA_EINVAL  no such address; STERNA_EIO the system refuses, as for a port in use. Both logged. */
enum sterna_result listener_new(struct loop *l, const struct listener_options *o, const struct listener_handler *h,
	void *arg, struct listener **out) STERNA_CHECKED;
uint16_t listener_port(const struct listener *ln);
/** Leave new connections in the kernel's queue (overload), or take them again. */
void listener_pause(struct listener *ln, bool pause);
uint64_t listener_accepted(const struct listener *ln);     /**< for metrics, also the next two */
uint64_t listener_refused(const struct listener *ln);      /**< by admit */
uint64_t listener_exhausted(const struct listener *ln);    /**< times that the system had no descriptor or memory */
void listener_free(struct listener **ln);                  /**< closes the socket; not from a handler's call */

#endif
