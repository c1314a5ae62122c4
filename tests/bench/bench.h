/* bench.h - what the parts of the load generator share: options, accounts, sessions and their loop.
 * One thread; all times are CLOCK_MONOTONIC nanoseconds unless the name says otherwise. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "server/buf.h"
#include "tests/bench/hist.h"
#include "tests/bench/scan.h"
#include "tests/bench/scram.h"
#include "tests/bench/usage.h"

enum { PIDS_MAX = 64, TRIES_MAX = 5 };

struct options {
	const char *label, *address, *domain, *ca, *accounts, *restart;
	const char *archive; /* whose it is that is read; NULL: everybody's own */
	const char *websocket; /* its path; NULL: TCP */
	unsigned port, sessions, concurrency, addresses, rounds;
	unsigned in_flight, rate, ack_every, body, contacts, page, fill, first;
	double seconds, warm_s;
	bool direct_tls, insecure, floor, bare, tls12, quiet;
	pid_t pids[PIDS_MAX];
	size_t n_pids;
};

struct account {
	char *jid, *user, *domain, *password;
	struct scram_cache scram;
};

/* Where a session stands; login.c has the steps between. */
enum state {
	S_CLOSED, S_CONNECTING, S_PLAIN, S_PROCEED, S_HANDSHAKE, S_UPGRADE, S_SECURE, S_CHALLENGE, S_SUCCESS, S_AUTHED,
	S_BIND, S_SESSION, S_ENABLE, S_REGISTER, S_READY
};

struct session {
	struct bench *bench;
	struct account *account;
	unsigned slot; /* its place in bench->sessions */
	enum state state;
	int fd;            /* -1: none */
	uint32_t interest; /* what epoll watches now */
	SSL *ssl;
	struct buf in, out;
	struct buf frames, frame; /* WebSocket: what has come and is no whole frame; one that is made */
	bool framed;
	struct scan scan;
	bool dirty, needs_session;
	struct session *next_dirty;
	struct scram scram;
	char *jid; /* full, from the server; NULL before it is bound */
	uint64_t started, not_before;
	unsigned tries;
	/* stream management (XEP-0198), when sm is set */
	bool sm;
	uint32_t sm_in, sm_out, sm_acked, sm_asked;
	uint64_t sm_asked_at; /* 0: no <r/> is being timed */
	void *run;            /* the scenario's own part */
};

struct bench {
	struct options opt;
	struct account *accounts;
	size_t n_accounts;
	struct session *sessions; /* opt.sessions of them */
	SSL_CTX *tls;
	int epfd;
	bool stop;
	bool registering;  /* a login creates its account and ends there */
	unsigned next_address;
	struct session *dirty;
	/* login queue: a ring of sessions, each with its not_before */
	struct session **queue;
	unsigned queue_head, queue_len, pending;
	unsigned ready, failed, lost_sessions;
	struct hist *login_time, *ack_time;
	uint64_t acks;
	uint64_t next_tick; /* UINT64_MAX: none */
	void (*on_tick)(struct bench *b, uint64_t now);
	void (*on_ready)(struct session *s);                               /* may be NULL */
	void (*on_stanza)(struct session *s, const char *text, size_t len); /* of a ready session */
	void *run;
	char chunk[16384 + 1024];
};

/* Loop and sockets (loop.c). */
extern volatile sig_atomic_t bench_interrupted; /**< by SIGINT: what is measured now ends, and is reported */
uint64_t now_ns(void);
void bench_loop(struct bench *b, uint64_t until); /**< until that time, or until b->stop, which it resets */
bool conn_open(struct session *s);                /**< starts to connect; false when the system refuses */
void conn_start_tls(struct session *s);
void conn_send(struct session *s, const char *bytes, size_t n); /**< leaves at the end of the loop's turn */
void conn_flush_all(struct bench *b);
void conn_close(struct session *s); /**< at once, without a word; safe to repeat */

/* Streams (login.c). */
void login_queue(struct session *s); /**< log in when a place of opt.concurrency is free */
void login_pump(struct bench *b, uint64_t now);
/** Log in sessions [first, first + n) and wait. @return how many are ready */
unsigned login_all(struct bench *b, unsigned first, unsigned n, double limit_s);
void login_connected(struct session *s); /**< TCP, or TLS, is there: send what comes next */
void login_lost(struct session *s, const char *why);
void session_feed(struct session *s, const char *data, size_t len);
/** Send one stanza, counted for stream management. */
void session_send(struct session *s, const char *text, size_t len);
void session_ask(struct session *s, uint64_t now); /**< <r/>, timed unless one is already */

/* WebSocket (ws.c). */
void ws_upgrade(struct session *s);
void ws_send(struct session *s, const char *text, size_t len); /**< one element, as a frame */
void ws_feed(struct session *s, const char *data, size_t len);
void login_upgraded(struct session *s);                        /**< (login.c) the upgrade is there */

/* Text of a stanza (login.c). */
const char *find(const char *text, size_t len, const char *needle);
/** The value of the first attribute name='…' in text, as a new string; NULL when there is none. */
char *attr_dup(const char *text, size_t len, const char *name);

/* Results (report.c). */
struct measure {
	uint64_t began;
	double server_cpu_s, load_cpu_s, seconds; /* at first the readings, after measure_stop() the differences */
};
void measure_start(const struct bench *b, struct measure *m);
/** @param settle  wait until the server is at rest before its CPU is read (the seconds end before) */
void measure_stop(const struct bench *b, struct measure *m, bool settle);
struct report {
	struct buf json, line;
};
void report_begin(struct report *r, const struct bench *b, const char *scenario);
void report_num(struct report *r, const char *key, double value);
void report_hist(struct report *r, const char *prefix, const struct hist *h);
/** operations, their rate, and the CPU that one took. */
void report_cost(struct report *r, const struct measure *m, double operations);
void report_end(struct report *r); /**< JSON to stdout, the readable line to stderr */

/* Scenarios: each logs in what it needs and prints its report.  @return the exit status */
int run_register(struct bench *b);
int run_login(struct bench *b);
int run_idle(struct bench *b);
int run_reconnect(struct bench *b);
int run_chat(struct bench *b);
int run_rate(struct bench *b);
int run_archive_read(struct bench *b);
int run_presence(struct bench *b);
int run_room(struct bench *b);
int run_pep(struct bench *b);
int run_subscribe(struct bench *b);

/** Each session sends that many messages to its pair (run_chat.c). @return true if all arrived */
bool chat_fill(struct bench *b, uint32_t per_session);

#endif
