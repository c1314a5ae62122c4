/* dial.h - a connection to another server: the addresses in the order in which they are tried (RFC 6120 §3.2,
 * XEP-0368), raced where there are several (RFC 8305), or the one of a static route.
 *
 * Threads: the worker's. The seam for the simulation is struct s2s_ways. */
#ifndef STERNA_DIAL_H
#define STERNA_DIAL_H

#include "server/cidr.h"
#include "server/server.h"
#include "server/trail.h"
#include "server/transport.h"

struct dial;

struct dial_result {
	enum sterna_result rc;       /* STERNA_OK: transport is there; STERNA_ENOTFOUND: the domain has no server;
	                              * STERNA_EUNAVAILABLE: none of its addresses answers, for now */
	struct transport *transport; /* the callee's; its handler is to be set at once */
	bool direct;                 /* TLS from the first byte: it is under way */
	const char *text;            /* STERNA_OK: the address; else why; borrowed */
};
typedef void dial_fn(void *arg, const struct dial_result *r);

/** The ways to other servers: real ones are dial_ways; the simulation has its own. */
struct s2s_ways {
	/** fn comes later, from the loop; once for each dial_new() and dial_next(). */
	struct dial *(*start)(struct worker *w, const struct host *from, const char *domain, struct trail *trail, dial_fn *fn,
		void *arg);
	/** What came of the last one was no use: the next address. */
	void (*next)(struct dial *d);
	void (*free)(struct dial **d);
};
extern const struct s2s_ways dial_ways;

/** For a socket to or from another server: what TCP itself must notice, a way that is cut. */
void dial_set_options(int fd, const struct config_s2s *c);
/** Is that an address that anybody may be sent to by DNS: not loopback, private, link-local, multicast…? */
bool dial_is_public(const struct ip *ip);

#endif
