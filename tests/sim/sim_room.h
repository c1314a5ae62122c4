/* sim_room.h - rooms (XEP-0045) in the simulation: clients enter, talk, rename, kick, make each other owners and
 * configure, while connections break and servers die. What must come true:
 *
 * - a message that was acknowledged, and heard by another, is in the room's archive (one that was not heard may have been
 *   refused, and the refusal lost with a server);
 * - what one occupant said, another hears in the order in which it was said, and once (a server that goes may not have
 *   told what it took: then it is said once more);
 * - when all is quiet, who believes to be inside is inside, and all who are see the same occupants. What is in flight to
 *   a client when a server dies is lost, if no archive has it: then clients enter once more, as they may (§17.3). */
#ifndef STERNA_SIM_ROOM_H
#define STERNA_SIM_ROOM_H

#include "server/elem.h"

enum { SIM_ROOMS = 2, SIM_ROOM_STANZAS_MAX = 3000, SIM_ROOM_NICKS = 40 };

struct sim_client;
struct sim_world;

struct sim_room_stanza {
	char xml[460];
	unsigned from, room;
	bool acked, heard, refused;
	char kind;                           /* of a node's (sim_node.c); 0: a room's */
	unsigned whom;
	bool done;                           /* its result came */
};
/** A client's view of a room. */
struct sim_view {
	bool inside, entering, anew;         /* anew: has entered once more since all is quiet */
	char nick[16];
	char others[SIM_ROOM_NICKS][16];     /* and itself */
	unsigned count;
	unsigned last[12];                   /* newest message of each client, plus one */
};

/** Into the ledger, and sent. @return NULL: the ledger is full */
struct sim_room_stanza *sim_room_put(struct sim_client *c, unsigned room, const char *fmt, ...) STERNA_PRINTF(3, 4);
/** One thing that a client does in a room. */
void sim_room_act(struct sim_client *c);
/** At the end: those who are not inside enter. */
void sim_room_return(struct sim_client *c);
/** A stanza came. @return true: it was a room's */
bool sim_room_stanza(struct sim_client *c, const struct sterna_elem *e);
void sim_room_bound(struct sim_client *c);       /**< a new session: it is nowhere inside */
void sim_room_acked(struct sim_world *w, unsigned n);
bool sim_room_is_settled(const struct sim_client *c);
void sim_room_check(struct sim_world *w);

#endif
