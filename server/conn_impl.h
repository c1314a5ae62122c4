/* conn_impl.h - what conn.c (states, bytes, TLS) and conn_ops.c (the owner's calls) share. */
#ifndef STERNA_CONN_IMPL_H
#define STERNA_CONN_IMPL_H

#include "server/conn.h"

enum conn_state {
	CONNECTING,   /* connect() was begun */
	PROXY,        /* the load balancer's header is awaited */
	OPEN,         /* plain, or TLS is up */
	STARTTLS,     /* the last plaintext leaves, nothing is read */
	HANDSHAKE,
	CLOSING,      /* output leaves, then we wait for the peer's end; input is thrown away */
	CLOSED,       /* on_closed was called, or will be at the end of the turn */
};

/* What a step leaves behind. GONE: the owner freed or moved it in a callback; it must not be touched. */
enum conn_outcome { GO_ON, GONE, FAILED };

struct conn {
	struct transport t;
	struct io io;
	struct timer timer;          /* the one deadline of the present state */
	SSL *ssl;
	struct tls_context *tls;
	const struct conn_limits *limits;
	const char *alpn;
	char *tls_local, *tls_remote; /* connecting side; else NULL */
	struct tls_dane *dane;       /* connecting side; NULL: none */
	char **xmpp_addrs;           /* read when first asked for */
	bool (*admit)(void *arg, const struct ip *peer);
	void *admit_arg;
	struct buf head;             /* an incomplete PROXY header */
	bool *gone;                  /* in a callback: where to say that the owner freed or moved us */
	const char *text;            /* CLOSED: why */
	uint64_t turn_us;            /* the turn that turn_bytes were written in */
	size_t turn_bytes;
	uint64_t due_us;             /* detached: the timer's, or 0 */
	struct ip ip;
	enum sterna_result why;
	uint8_t state, want;         /* want: IO_READ or IO_WRITE, for the handshake */
	bool direct, reading, blocked, drained, read_wants_write, more, kick, shut, told, detached, turn_end_due,
		patient, small_records, record_waits; /* of OpenSSL; one that did not leave yet */
};

static inline struct conn *conn_of(const struct transport *t)
{
	return (struct conn *)(uintptr_t)t;
}

/* conn_ops.c */
extern const struct transport_ops conn_transport_ops;

/* conn.c */
/** Failure from within a call of the owner: told at the end of the turn. */
void conn_fail_later(struct conn *c, enum sterna_result why, const char *text);
/** Watch the descriptor for what the present state waits for. */
void conn_update_watch(struct conn *c);
/** For what OpenSSL has read ahead nobody would wake us. */
void conn_kick_if_pending(struct conn *c);
/** Write what credit and socket take. @return never GONE: it calls nobody back */
enum conn_outcome conn_write_out(struct conn *c);
void conn_on_io(struct io *io, unsigned what, void *arg);
void conn_on_timer(struct timer *timer, void *arg);

#endif
