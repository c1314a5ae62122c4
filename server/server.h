/* server.h - one server: its hosts, its workers, what they share. Nothing is global, so that the simulation
 * runs several servers in one process (rule 8).
 *
 * Threads: struct server is made and changed on the main thread before the workers run; what changes later
 * (hosts' settings, module tables, TLS contexts) is replaced on each worker by a mail. A struct worker
 * belongs to its own thread. */
#ifndef STERNA_SERVER_H
#define STERNA_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include "server/config.h"
#include "server/db.h"
#include "server/gate.h"
#include "server/jid.h"
#include "server/loop.h"
#include "server/map.h"
#include "server/metric.h"
#include "server/module.h"
#include "server/work.h"
#include "server/xml.h"

struct account;
struct admin;
struct bytestream_conn;
struct bytestreams;
struct dns;
struct farewell;
struct fetcher;
struct http_conn;
struct isolation;
struct net;
struct registry;
struct retired;
struct regions;
struct s2s_loading;
struct s2s_lookup;
struct s2s_seen;
struct s2s_sm;
struct s2s_ways;
struct stanza;
struct stream;

enum host_kind { HOST_USERS, HOST_SERVICE, HOST_COMPONENT };

/** A domain that we answer for. */
struct host {
	struct jid *jid;
	char *ascii;                             /* its A-labels, for certificates and DNS */
	enum host_kind kind;
	const struct config_host *config;        /* HOST_USERS */
	const struct module_slot *module;        /* HOST_SERVICE */
	char *category, *type, *name;            /* of a service or component, for discovery */
	char *secret;                            /* HOST_COMPONENT */
	struct stream *component;                /* HOST_COMPONENT: those connected; worker 0's */
};

struct server {
	_Atomic(const struct config *) config;   /* replaced by a reload; whoever reads it keeps no pointer over a turn (retire.h) */
	struct map hosts;                        /* domain to struct host; fixed while workers run */
	struct host **host_list;
	size_t host_count;
	struct worker **workers;
	unsigned worker_count;
	struct db *db;
	struct work_pool *pool;
	struct registry *registry;               /* the newest; workers hold their own reference */
	struct metrics *metrics;
	struct metric_set *metric_set;
	struct net *net;                         /* NULL in the simulation */
	struct regions *regions;                 /* that routes name (region.h) */
	const struct s2s_ways *ways;             /* to other servers (dial.h); NULL: there are none */
	struct bytestreams *bytestreams;         /* connections that are relayed to each other (bytestream.h) */
	struct isolation *isolation;             /* who is kept out (isolation.h) */
	struct admin *admin;                     /* who runs commands; NULL: nobody */
	struct loop *home;                       /* the main thread's; NULL: it has none */
	struct retired *retired;                 /* what was replaced and may be read still (retire.h) */
	unsigned char secret[32];                /* for SCRAM answers to unknown users; same over restarts */
	int64_t started_us;
	_Atomic(int64_t) clock_noted_ms;         /* the time that is stored (ids.h) … */
	_Atomic(int64_t) clock_ahead_ms;         /* … and how far it was ahead of the monotonic clock then */
	atomic_ulong sessions, streams;          /* now */
	atomic_ulong http_connections, bosh_sessions;
	atomic_bool purge_wanted;                /* archives were noted that are to go (purge.h) */
	uint64_t memory_limit;                   /* of the control group; 0: none, or a simulation */
	atomic_bool memory_short;                /* above 85 % of what the process may use */
	bool running;                            /* the workers run */
	struct crew *crew;                       /* their threads; NULL in the simulation */
	atomic_bool draining;                    /* no new connections, streams are being closed */
	pthread_mutex_t visit_lock;              /* of the three below, and of changes of registry */
	pthread_cond_t visits_over;
	unsigned visits;                         /* other threads that use the registry and the workers now */
	bool closed;                             /* to visits, for ever */
};

/** Streams under way, for limits, `session list`, shutdown. */
struct worker {
	struct server *server;
	struct loop *loop;
	unsigned index;
	struct db_client *db;
	struct registry *registry;
	struct map accounts;                     /* bare JID to struct account */
	struct map lanes;                        /* addresses of services with something under way (lane.h) */
	size_t stop_lanes;                       /* those of them that a stop waits in */
	struct map links;                        /* "ours theirs" to struct s2s_link (s2s_impl.h) */
	struct map peers;                        /* domain to struct s2s_peer (s2s_peer.c) */
	struct map resumable;                    /* id to struct s2s_sm, of streams of other servers (s2s_resume.c) */
	struct s2s_seen *seen;                   /* what those have sent of late; NULL: nothing yet */
	struct s2s_sm *s2s_sms;                  /* what is being counted of them */
	struct s2s_lookup *s2s_lookups;          /* of which it is not known whether they came before */
	struct timer s2s_hurry;                  /* for those, while there are any */
	struct s2s_loading *s2s_loading;         /* queues of an earlier process are being read */
	struct farewell *farewell;               /* of deleted accounts (farewell.h); NULL: not begun */
	struct fetcher *fetcher;                 /* made when first asked (fetch.h) */
	struct dns *dns;                         /* made when first asked */
	struct stream *streams;                  /* doubly linked, all of this worker */
	struct stream *sweep_next;               /* where the next sweep goes on; NULL: at the first */
	size_t stream_count;
	struct stream *awake_first, *awake_last; /* those whose XML parser is there, the one heard last first */
	unsigned awake_count;
	struct xml_pool *parsers;
	struct http_conn *http_conns;            /* doubly linked, all of this worker */
	struct bytestream_conn *bytestream_conns; /* doubly linked, all of this worker */
	struct map bosh;                         /* id to session of BOSH, those whose home this worker is */
	struct account *idle_first, *idle_last;  /* accounts without sessions or work, longest idle first */
	size_t idle_count;
	void **slots;                            /* modules' worker slots, by slot index */
	uint64_t rests;                          /* modules that rest on this worker, by slot index (registry.h) */
	unsigned slot_count;
	uint64_t last_id;                        /* of the archive; see worker_next_id() */
	uint64_t last_trace, last_session;
	struct timer sweep;                      /* every few seconds: idle parsers sleep, idle streams end */
	struct task flush;
	unsigned calls;                          /* under way or waiting */
	size_t waiting;                          /* of those, for accounts that are being loaded */
	struct gate logins;                      /* those that ask the database now, and those that wait for that */
	struct sterna_call *free_calls;
	unsigned sweeps;
	bool noting;                             /* the time is being stored (ids.c) */
	bool purging;                            /* archives are being deleted, or looked for (purge.c) … */
	unsigned purge_looks;                    /* … and how often they are looked for again */
	struct timer purge_next;
	bool stopping, congested;                /* congested: another worker's mailbox is over its limit */
	uint64_t turn_us[2], turn_window_us;     /* longest turns of this window and the one before it */
	_Atomic(uint64_t) alive_us;              /* last sweep, monotonic; 0: not begun */
	atomic_bool db_up;
};

enum server_metric { METRIC_STANZAS_IN, METRIC_STANZAS_OUT, METRIC_STANZAS_REFUSED, METRIC_STREAM_ERRORS, METRIC_LOGINS,
	METRIC_LOGIN_FAILURES, METRIC_SESSIONS, METRIC_STREAMS, METRIC_ACCOUNTS, METRIC_MAILBOX_DEPTH,
	METRIC_LONGEST_TURN, METRIC_DB_QUEUE_BYTES, METRIC_DB_UP, METRIC_OFFLINE_STORED, METRIC_SM_RESUMED,
	METRIC_S2S_STANZAS, METRIC_S2S_BOUNCED, METRIC_S2S_FAILURES, METRIC_S2S_HELD, METRIC_S2S_ISOLATIONS, METRIC_S2S_RESUMED,
	METRIC_S2S_LATENCY, METRIC_S2S_LINKS, METRIC_S2S_WAITING, METRIC_S2S_UNCONFIRMED, METRIC_S2S_OLDEST, METRIC_WORKERS, METRIC_WORKER_THREADS,
	METRIC_LOGINS_WAITING, METRIC_LATE, METRIC_CERTIFICATE_DAYS, METRIC_LOG_LINES, METRIC_LOG_DROPPED, METRIC_STARTED,
	METRIC_HTTP_REQUESTS, METRIC_HTTP_CONNECTIONS, METRIC_HTTP_FULL,
	METRIC_BOSH_SESSIONS, METRIC_BYTESTREAMS, METRIC_BYTESTREAM_BYTES };
enum s2s_direction { S2S_IN, S2S_OUT };
/** Why no stream to or from another server came about: labels of METRIC_S2S_FAILURES. */
enum s2s_failure { S2S_FAILURE_DNS, S2S_FAILURE_CONNECT, S2S_FAILURE_TLS, S2S_FAILURE_CERTIFICATE, S2S_FAILURE_SASL,
	S2S_FAILURE_DIALBACK, S2S_FAILURE_STREAM, S2S_FAILURE_TIME };
extern const struct sterna_metric server_metric_table[];

/** Which worker owns this JID's bare form. */
struct worker *server_owner(const struct server *s, const struct jid *j);
/** The host of that domain, or NULL: it is a remote one. */
struct host *server_host(const struct server *s, const char *domain);

/** An archive id: unique, growing, its time in the upper bits (milliseconds << 20). */
int64_t worker_next_id(struct worker *w);
static inline int64_t id_time_us(int64_t id)
{
	return (id >> 20) * 1000;
}
/** An id that all log lines of a stanza carry. */
uint64_t worker_trace(struct worker *w);
/** 128 random bits as 32 hexadecimal digits and a NUL. */
void worker_token(struct worker *w, char out[33]);

/** A domain more; before the workers run. NULL: no domain, or there twice (logged). */
struct host *server_add_host(struct server *s, const char *domain, enum host_kind kind);

/** A mail that runs fn(worker, arg) on that worker; arg is fn's. */
void worker_post(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);

/** For threads that are no workers: the registry's newest tables, held; while a visit lasts no module goes, nor the
 *  server. Short: it holds up the one who unloads. @return NULL: the server ends; give back with server_leave() */
struct registry *server_visit(struct server *s);
void server_leave(struct server *s, struct registry **r);

/* --- life (server.c) --- */

struct server_parts {
	const struct config *config;
	struct db *db;
	struct work_pool *pool;
	struct loop **loops;                     /* one per worker; taken */
	unsigned worker_count;
};
/** Makes the server with its workers; loads what the configuration names of modules. */
enum sterna_result server_new(const struct server_parts *parts, struct server **out) STERNA_CHECKED;
/** On the worker's thread (or before it runs): its database client, timers. */
void worker_start(struct worker *w);
/** On the worker's thread: ends streams with <system-shutdown/>, hands unacked stanzas to storage. */
void worker_stop(struct worker *w);
/** Do all workers turn? Any thread. */
bool server_is_alive(const struct server *s);
/** After the workers' threads have ended. Does not close the db or the pool. */
void server_free(struct server **s);

#endif
