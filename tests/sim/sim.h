/* sim.h - whole servers in one thread, from a seed (DESIGN, rule 8): loops on a virtual clock, connections that are
 * byte pipes, storage on the simulation's schedule. The servers' code is the real one, down to the statements on
 * SQLite; what differs is behind the seams loop_impl.h, transport.h and db_driver.h.
 *
 * The same seed gives the same run. Also under the unit tests' harness (tests/unit/harness.h), without faults. */
#ifndef STERNA_SIM_H
#define STERNA_SIM_H

#include <sqlite3.h>
#include "server/db_driver.h"
#include "server/loop_impl.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/stream.h"
#include "server/transport.h"

enum { SIM_WORKERS_MAX = 8 };

struct sim_conn;
struct sim_world;

struct sim {
	uint64_t rng;
	uint64_t now_us;                 /* virtual, monotonic */
	int64_t wall_us;                 /* Unix time when now_us was 0 */
	/* what outlives a server: the database's committed contents */
	sqlite3 *store;
	char store_name[64];
	/* a server, NULL when it is down */
	struct config *config;
	struct loop *loops[SIM_WORKERS_MAX];
	unsigned worker_count;
	struct db *db;
	struct work_pool *pool;
	struct server *server;
	const struct sterna_module *const *modules; /* to load; NULL-terminated */
	const struct s2s_ways *ways;     /* to other servers; NULL: none */
	bool (*reaches)(struct sim *s, const char *domain); /* is there a way to it now? NULL: always */
	/* faults */
	bool db_down;                    /* the database does not answer */
	bool db_full;                    /* it answers, and takes no writes: no room on its disk */
	bool db_flaky;                   /* now and then it refuses something, or nobody knows whether it was written */
	bool db_dead;                    /* the process is being killed: nothing reaches the database any more */
	struct sim_conn *conns;
	unsigned ends;                   /* how often a server has ended */
	struct sim_world *world;         /* of several servers (sim_net.h); NULL: it is alone */
	void (*broken)(struct sim *s, const char *what); /* an expectation of the simulation's own does not hold */
};

/* --- chance --- */
uint64_t sim_random(struct sim *s);
/** 0 … n-1. */
unsigned sim_below(struct sim *s, unsigned n);
static inline bool sim_chance(struct sim *s, unsigned percent)
{
	return sim_below(s, 100) < percent;
}

/* --- loops (sim_loop.c) --- */
struct loop *sim_loop_new(struct sim *s);
/** Mail, timers, and what was deferred. @return false: there was nothing to do */
bool sim_loop_turn(struct loop *l);
bool sim_loop_is_idle(const struct loop *l);
struct sim *sim_of_loop(struct loop *l);
void sim_loop_begin(struct loop *l);     /**< a turn with input: sets its time; then the input; then end */
bool sim_loop_end(struct loop *l);
/** The next timer of all loops, or UINT64_MAX. */
uint64_t sim_next_due_us(const struct sim *s);

/* --- connections (sim_transport.c) --- */
struct sim_conn {
	struct transport t;
	struct sim *sim;
	struct sim_conn *next;
	struct buf up, down;             /* in flight: to the server, to the client */
	bool reading, detached, drained;
	bool server_closed, server_gone; /* the server said close; has freed it */
	bool killed;                     /* the server's process was: it writes no more */
	bool cut, client_gone;           /* the client is away; has let go of it */
	uint64_t noticed_us;             /* when the server notices a cut */
	uint8_t covered;                 /* sim_cover.c's */
	bool outgoing;                   /* the server has opened it */
	struct sim_conn *far_end;        /* in another server of the same world (sim_net.h); NULL: the test plays it */
	bool greets;                     /* TLS is up, and the server has not been told yet */
	char addr[64];                   /* what the client's certificate says */
};
/** A new connection to a worker; its stream believes TLS to be up, with a certificate for addr (NULL: none). */
struct sim_conn *sim_connect(struct sim *s, unsigned worker, const struct stream_kind *kind, const char *addr);
/** The same without a stream. */
struct sim_conn *sim_conn_new(struct sim *s, struct loop *l, const char *addr);
/** Pipes to other servers (sim_ways.c): the test finds them in conns. */
extern const struct s2s_ways sim_ways;
/** Something of it may happen on the server's side in a turn of its worker. */
bool sim_conn_is_ready(const struct sim_conn *c);
/** One thing, within a turn of its loop: at most max bytes read, or drained, or closed. It may be gone afterwards. */
void sim_conn_input(struct sim_conn *c, size_t max);
/** The client's end goes: after `after_us` the server notices. What is in flight to the server may be lost. */
void sim_conn_cut(struct sim_conn *c, uint64_t after_us, bool lose);
void sim_conn_let_go(struct sim_conn **c);

/* --- storage (sim_db.c) --- */
extern const struct db_driver sim_db_driver;
/** One read, or some batches as a transaction, of the client of a worker. @return false: nothing waits */
bool sim_db_step(struct sim *s, unsigned worker);
bool sim_db_is_idle(const struct sim *s);
void sim_db_set_down(struct sim *s, bool down);
void sim_db_set_full(struct sim *s, bool full);

/* --- servers (sim_server.c) --- */
/** A database with the schema, and nothing in it. */
void sim_init(struct sim *s, uint64_t seed, const char *config, unsigned workers);
void sim_add_account(struct sim *s, const char *jid);
void sim_start(struct sim *s);
/** As kill -9: what is not committed never will be, what is in flight may arrive. */
void sim_kill(struct sim *s);
/** In order: as SIGTERM. */
void sim_stop(struct sim *s);
void sim_clear(struct sim *s);
/** Everything that can happen without time passing, to its end, in order: for tests without chance. */
void sim_settle(struct sim *s);

#endif
