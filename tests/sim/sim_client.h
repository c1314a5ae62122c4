/* sim_client.h - a client of the simulation, and the ledgers of what was said: who was promised what. */
#ifndef STERNA_SIM_CLIENT_H
#define STERNA_SIM_CLIENT_H

#include "tests/sim/sim.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_room.h"

enum { SIM_CLIENTS_MAX = 12, SIM_MESSAGES_MAX = 2000, SIM_RECORDS_MAX = 8000 };

/** One message, however often it is sent. */
struct sim_message {
	unsigned from, to;               /* clients */
	unsigned sends;                  /* how often its stanza was sent */
	unsigned got;                    /* arrivals at the recipient */
	unsigned again_ok;               /* arrivals more that are not the server's fault */
	bool acked;                      /* promised: by <a/>, <resumed/> or <failed/> */
	bool refused;                    /* an error has come back */
	bool loose;                      /* its recipient's server ended, and had not stored it */
	bool unstored;                   /* its sender's server ended, and had not stored it: perhaps sent without knowing */
	unsigned ends;                   /* of its recipient's server, when it was sent first */
	bool unasked;                    /* sent while nobody could see whether it was stored before: perhaps archived twice */
};

struct sim_record {                      /* an arrival */
	unsigned message;
	char id[24];                     /* its stanza-id, "" without */
	unsigned session;                /* of the recipient, counted */
	bool again_ok;                   /* the recipient gave up the session in which it came */
};

struct sim_world;

enum sim_client_state { CLIENT_OFF, CLIENT_HEADER, CLIENT_AUTH, CLIENT_HEADER2, CLIENT_BIND, CLIENT_RESUME, CLIENT_ON };

struct sim_client {
	struct sim_world *world;
	struct sim *home;                /* the server of its account */
	unsigned index;
	char account[40];                /* bare JID */
	struct sim_conn *conn;
	struct xml_parser *xml;
	enum sim_client_state state;
	bool ended;                      /* the server has said its last */
	bool enabled;                    /* <enabled/> has come */
	char sm_id[80];                  /* to resume with; "" none */
	uint32_t h_in, told, out, acked;   /* told: the last <a/> */
	unsigned session;
	int queue[SIM_MESSAGES_MAX];     /* sent and not acknowledged: message, or ITEM_… */
	size_t queued;
	bool asked;                      /* <r/> is out */
	struct sim_record records[SIM_RECORDS_MAX];
	size_t record_count;
	uint8_t covered;                 /* sim_cover.c's */
	unsigned last_from[SIM_CLIENTS_MAX]; /* newest message from each sender, plus one */
	struct sim_view views[SIM_ROOMS];
	struct sim_node_view nodes[SIM_NODES];
	unsigned published, promised;    /* numbers of items of its node: the last sent; the last with a result */
};

/* ITEM_NODE - n: publishes n on its node; ITEM_ROOM - n: stanza n of those for rooms. */
/* ITEM_FAR - n: something that is not stored, for client n. */
enum { ITEM_PRESENCE = -1, ITEM_IQ = -2, ITEM_ROSTER = -3, ITEM_FAR = -100, ITEM_NODE = -1000, ITEM_ROOM = -1000000 };

struct sim_world {
	struct sim sim;                  /* the first server; its chance is that of all that is no server's */
	struct sim_net net;              /* the others */
	struct sim_client clients[SIM_CLIENTS_MAX];
	unsigned client_count;
	struct sim_message messages[SIM_MESSAGES_MAX];
	unsigned message_count;
	bool rooms;                      /* they talk in rooms, too */
	struct sim_room_stanza room_stanzas[SIM_ROOM_STANZAS_MAX];
	unsigned room_stanza_count;
	bool quiet;                      /* no more faults: all is to come to its end */
	bool verbose, flaky;
	int watched;                     /* message whose rows are shown when they change; -1 none */
	char seen[2000];                 /* … as they were shown last */
	bool stanza_ids;                 /* the server gives them */
	char fault[400];                 /* the first expectation that did not hold */
	uint8_t covered[SIM_SERVERS_MAX];
	unsigned resumed, bound, lost_sessions, kills, stops, cuts; /* what happened */
};

/** Servers of the world, from 0. */
unsigned world_servers(const struct sim_world *w);
struct sim *world_server(struct sim_world *w, unsigned n);
/** Time passes, for all of them. */
void world_pass(struct sim_world *w, uint64_t us);
/** What must have come true when all is at rest (sim_check.c). */
void world_check(struct sim_world *w);
/** A server has ended: what it delivered and never committed may be delivered again. */
void world_ended(struct sim_world *w, struct sim *s);
/** Neither of its servers can know that it went from one to the other before. */
bool world_is_forgotten(const struct sim_world *w, const struct sim_message *m);

void world_fault(struct sim_world *w, const char *fmt, ...) STERNA_PRINTF(2, 3);
void world_say(struct sim_world *w, const char *fmt, ...) STERNA_PRINTF(2, 3);

void client_init(struct sim_world *w, unsigned index, struct sim *home, const char *domain);
void client_clear(struct sim_client *c);
/** Connects and logs in; resume: if it can. */
void client_connect(struct sim_client *c, bool resume);
/** Takes at most max bytes of what is in flight to it. @return false: there is nothing */
bool client_read(struct sim_client *c, size_t max);
/** A message to another; nothing if it is not bound. */
void client_send_message(struct sim_client *c, unsigned to);
void client_send_item(struct sim_client *c, int item);
void client_publish(struct sim_client *c);       /**< the next item of its node (XEP-0163) */
void client_ask(struct sim_client *c);           /**< <r/> */
void client_ack(struct sim_client *c);           /**< <a/> */
void client_cut(struct sim_client *c, uint64_t noticed_after_us, bool lose);
void client_close(struct sim_client *c);         /**< in order */
bool client_is_settled(const struct sim_client *c);

/* --- what was reached (sim_cover.c) --- */
void cover_step(struct sim_world *w);
/** Out of one process and into another: their sum is there. */
void cover_write(int fd);
bool cover_add(int fd);
void cover_report(bool all);             /**< all: every transition with its count */

#endif
