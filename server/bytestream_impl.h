/* bytestream_impl.h - what bytestream.c (pairs) and bytestream_conn.c (one connection) share. */
#ifndef STERNA_BYTESTREAM_IMPL_H
#define STERNA_BYTESTREAM_IMPL_H

#include "server/bytestream.h"
#include "server/ratelimit.h"
#include "server/socks.h"

struct bytestream;

enum bytestream_state {
	BYTESTREAM_GREETING,         /* SOCKS, first and second step */
	BYTESTREAM_REQUEST,
	BYTESTREAM_WAITING,          /* for the other side, and to be joined; it is not read */
	BYTESTREAM_JOINED,
	BYTESTREAM_LEAVING,          /* what is left for it leaves, then it ends */
};
enum { BYTESTREAM_HOLD_OUTPUT = 1, BYTESTREAM_HOLD_RATE = 2 }; /* why a joined one is not read now */

struct bytestream_conn {
	struct worker *worker;
	struct bytestream_conn *prev, *next; /* of the worker */
	struct transport *transport;
	struct ip ip;
	bool held;                           /* counts with the connections of its address */
	enum bytestream_state state;
	unsigned holds;
	struct buf in;                       /* SOCKS; then what came too early */
	struct socks_request request;
	struct timer timer;                  /* until it is joined: its end; then: of BYTESTREAM_HOLD_RATE */
	struct ratelimit bytes;
	struct bytestream *pair;             /* from BYTESTREAM_WAITING on */
};

/* bytestream_conn.c */
void bytestream_conn_join(struct bytestream_conn *c);            /**< it may be read */
/** Bytes of the other side for it. */
void bytestream_conn_send(struct bytestream_conn *c, const char *bytes, size_t len);
void bytestream_conn_hold(struct bytestream_conn *c, unsigned why, bool on);
void bytestream_conn_leave(struct bytestream_conn *c);           /**< BYTESTREAM_LEAVING */
/** It belongs to that worker from now on, and to its loop. */
void bytestream_conn_enroll(struct bytestream_conn *c, struct worker *w);
void bytestream_conn_unlink(struct bytestream_conn *c);
/** The answer to its request: its pair has it. */
void bytestream_conn_ready(struct bytestream_conn *c);
void bytestream_conn_refuse(struct bytestream_conn *c, enum socks_reply reply);

/* bytestream.c */
/** Is there room for one more? Counts it then. */
bool bytestream_admit(struct server *s);
/** c->request is there: c goes to its pair, perhaps on another worker. Refuses it if there are two already. */
void bytestream_enter(struct bytestream_conn *c);
/** c ends; its pair is not to be touched any more. */
void bytestream_leave(struct bytestream_conn *c);
/** Bytes have come from c, joined. */
void bytestream_pass(struct bytestream_conn *c, const char *bytes, size_t len);
/** c's output fell: the other side may be read again. */
void bytestream_drained(struct bytestream_conn *c);
void bytestream_gone(struct server *s);                          /**< the opposite of bytestream_admit() */

static inline const struct config_bytestreams *bytestream_config(const struct worker *w)
{
	const struct config *c = w->server->config;

	return &c->bytestreams;
}

#endif
