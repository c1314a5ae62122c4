/* conn.h - the real transport: a socket, with or without TLS (OpenSSL on the descriptor), behind a load balancer
 * that speaks the PROXY protocol or not.
 *
 * Input is read into the stack and handed on at once, at most read_credit bytes per turn and connection; a
 * connection has no read buffer, and none for output once it is drained. The process must ignore SIGPIPE.
 * Threads: as transport.h: everything on the loop it is attached to. */
#ifndef STERNA_CONN_H
#define STERNA_CONN_H

#include "server/cidr.h"
#include "server/tls.h"
#include "server/tls_dane.h"
#include "server/transport.h"

struct conn_limits {
	size_t read_credit;          /* bytes handed on per turn (65536; it may be passed by one record) */
	size_t write_credit;         /* bytes written per turn (262144) */
	size_t out_low;              /* on_drained: the output fell to this (65536), or became empty */
	uint64_t connect_us;         /* until connect() has succeeded (10 s) */
	uint64_t proxy_us;           /* until the PROXY header is complete (5 s) */
	uint64_t handshake_us;       /* until TLS is established, from start_tls or accept (10 s) */
	uint64_t progress_us;        /* with output waiting and nothing leaving: on_closed(STERNA_ELIMIT) (60 s) */
	uint64_t close_us;           /* for close(): rest of the output, close_notify, the peer's end (5 s) */
};
extern const struct conn_limits conn_limits_default;

struct conn_options {
	struct tls_context *tls;     /* one more reference is taken; NULL: no TLS to be had */
	bool direct;                 /* TLS from the first byte (XEP-0368), else from start_tls() on */
	const char *alpn;            /* with direct: "xmpp-client", "xmpp-server"; static */
	const struct cidr_set *proxies; /* those must begin with a PROXY header; borrowed for the call */
	/** May this address, read from a PROXY header, connect? False: on_closed(STERNA_ELIMIT). NULL: all may. */
	bool (*admit)(void *arg, const struct ip *peer);
	void *admit_arg;
	/** conn_connect(): names for TLS, A-labels, copied; local for our certificate, remote for SNI. */
	const char *tls_local, *tls_remote;
	struct tls_dane *dane;       /* conn_connect(): what the peer's certificate must be; taken; NULL: none */
	const struct conn_limits *limits; /* must outlive the connection; NULL: the defaults */
};

/** A transport over an accepted socket (TCP, or a UNIX one), which it owns from now on and makes non-blocking.
 *  Set handler and arg before the loop goes on. It reads at once: set_reading(false) stops that. */
struct transport *conn_accept(struct loop *l, int fd, const struct conn_options *o);
/** Over a socket on which connect() was begun: the owner may write at once, it leaves when there is a connection.
 *  start_tls() (or direct) is then the client's side. Failure to connect: on_closed(STERNA_EUNAVAILABLE). */
struct transport *conn_connect(struct loop *l, int fd, const struct conn_options *o);

/** The peer's address, from the PROXY header once that was read; :: for a UNIX socket. A key for limits. */
const struct ip *conn_peer_ip(const struct transport *t);

#endif
