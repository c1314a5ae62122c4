/* transport.h - a connection as a stream sees it: bytes in, bytes out, TLS. conn.c is the real one
 * (sockets, OpenSSL); tests/sim/ has one of its own. Threads: belongs to the loop it is attached to;
 * transport_move() brings it to another. */
#ifndef STERNA_TRANSPORT_H
#define STERNA_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"
#include "server/loop.h"
#include "server/result.h"
#include "server/tls_trust.h"

struct transport;

/** What a transport tells its owner. All on the loop's thread, never from within a call of the owner,
 *  except on_read's data which may have been waiting: each is called from the loop. */
struct transport_handler {
	/** Bytes have come; borrowed for the call. All of them are taken. */
	void (*on_read)(void *arg, const char *bytes, size_t len);
	/** TLS is established (after transport_start_tls, or on a direct TLS listener). */
	void (*on_secure)(void *arg);
	/** The output buffer fell below its low-water mark, or is empty. */
	void (*on_drained)(void *arg);
	/** It is over: peer closed (STERNA_ECLOSED), error (STERNA_EIO), time-out of a write (STERNA_ELIMIT).
	 *  text is for the log. No more callbacks follow; transport_free() is the owner's to call. */
	void (*on_closed)(void *arg, enum sterna_result why, const char *text);
};

struct transport_ops {
	void (*start_tls)(struct transport *t);  /* server side: discards unread plaintext, then handshakes */
	void (*flush)(struct transport *t);      /* try to write what is in out now (the end of a turn does) */
	void (*set_reading)(struct transport *t, bool on); /* back-pressure */
	/** A stranger's input waits for that of those who are known (io_set_patient()). Accepted connections begin so. */
	void (*set_patient)(struct transport *t, bool on);
	bool (*is_late)(struct transport *t);    /* there is input that waits: it is us who are slow, not the peer */
	void (*close)(struct transport *t);      /* write what is left, TLS close, then on_closed; bounded in time */
	void (*free)(struct transport **t);      /* at once; no callback */
	void (*detach)(struct transport *t);     /* from its loop: no callbacks until attach */
	void (*attach)(struct transport *t, struct loop *l);
	/** Channel binding data (RFC 9266, RFC 5929): type "tls-exporter", "tls-server-end-point", "tls-unique";
	 *  STERNA_ENOTFOUND where it cannot be had (TLS 1.2 without EMS, no TLS). */
	enum sterna_result (*channel_binding)(struct transport *t, const char *type, unsigned char *out,
		size_t size, size_t *len);
	/** TLS facts for logs and policy: "TLSv1.3", cipher; NULL without TLS. sni: name asked for, or NULL. */
	const char *(*tls_version)(struct transport *t);
	const char *(*tls_cipher)(struct transport *t);
	const char *(*tls_sni)(struct transport *t);
	/** The verified client certificate's xmppAddr names (RFC 6120 §13.7.1.4), one per call by index;
	 *  NULL past the end or without a verified certificate. Borrowed. */
	const char *(*peer_xmpp_addr)(struct transport *t, size_t index);
	/** Has the peer shown a certificate that an authority of ours has signed? */
	bool (*peer_verified)(struct transport *t);
	/** What the peer's certificate proves about a domain: tls_peer_proof(). */
	enum tls_proof (*peer_proof)(struct transport *t, const char *domain, const struct tls_pin *pin, const char **why);
};

struct transport {
	const struct transport_ops *ops;
	const struct transport_handler *handler;
	void *arg;                       /* for the handler */
	struct loop *loop;
	struct buf out;                  /* the owner appends here, then calls transport_send_later() */
	struct task flush_task;          /* flushes at the end of the turn */
	bool secure;                     /* TLS is up */
	const char *tls_host;            /* whose certificate a peer is shown that names nobody (SNI); NULL: any. Static */
	char peer[64];                   /* "[addr]:port" after PROXY protocol, for logs and limits */
	uint64_t bytes_in, bytes_out;    /* plaintext */
	uint64_t progress_us;            /* when bytes last left; now while out is empty */
};

static inline void transport_send_later(struct transport *t)
{
	loop_defer(t->loop, &t->flush_task);
}

#endif
