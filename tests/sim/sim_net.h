/* sim_net.h - several servers of one simulated world, and the network between them: pipes that carry bytes as chance
 * has it, that are cut at any byte, and that cannot be made for a while. Names and certificates are always right here. */
#ifndef STERNA_SIM_NET_H
#define STERNA_SIM_NET_H

#include "tests/sim/sim.h"

struct sim_world;

enum { SIM_SERVERS_MAX = 3 };

struct sim_net {
	struct sim others[SIM_SERVERS_MAX - 1];
	unsigned other_count;
	bool dialback;                   /* nobody has a certificate: servers ask each other (XEP-0220) */
	bool plain;                      /* nobody knows XEP-0198 */
	uint64_t apart_until_us[SIM_SERVERS_MAX][SIM_SERVERS_MAX]; /* no connection between these two until then */
	char why[200];                   /* net_unrest()'s */
	uint8_t covered[SIM_SERVERS_MAX][SIM_SERVERS_MAX]; /* sim_cover.c's */
};

/** The domain of server n. */
const char *net_domain(unsigned n);
/** Servers for the domains, with that configuration (a format for the domain); the first is the world's own. */
void net_init(struct sim_world *w, unsigned servers, uint64_t seed, const char *config);
void net_clear(struct sim_world *w);
/** Some bytes move, or a connection comes to be, or its end is noticed. @return false: nothing was there to do */
bool net_step(struct sim_world *w);
/** A connection is cut, or two servers lose sight of each other. */
void net_fault(struct sim_world *w);
/** All meet again. */
void net_heal(struct sim_world *w);
/** Why it is not at rest; NULL: it is. */
const char *net_unrest(struct sim_world *w);
/** The state of the link from one server to another, as sim_cover.c names it. */
unsigned net_link_state(struct sim_world *w, unsigned from, unsigned to);

#endif
