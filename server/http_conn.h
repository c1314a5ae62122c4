/* http_conn.h - a connection of the HTTP listener (RFC 9112): one request after the other, each with limits and a
 * deadline, until it is closed or becomes something else (WebSocket).
 * Threads: the worker it is on; http_conn_move() changes that. */
#ifndef STERNA_HTTP_CONN_H
#define STERNA_HTTP_CONN_H

#include "server/conn.h"
#include "server/http.h"
#include "server/http_head.h"
#include "server/server.h"

struct http_conn;
typedef void http_conn_fn(struct http_conn *c);

/** Where a request's body goes, or an answer comes from, piece by piece (http_file.h, http_object.h). */
struct http_store {
	/** The connection has bytes of the body: takes some, or none while it is busy. @return how many */
	size_t (*take)(void *store, const char *bytes, size_t len);
	void (*drained)(void *store);        /* the output was sent: more may come */
	void (*leave)(void *store);          /* the connection has no use for it any more: what was begun is removed */
};

enum http_state {
	HTTP_HEAD,           /* a request's head is awaited */
	HTTP_BODY,           /* its body */
	HTTP_ANSWER,         /* whoever answers has it */
	HTTP_CLOSED,         /* the last answer leaves */
};

struct http_conn {
	struct worker *worker;
	struct http_conn *prev, *next;       /* of the worker */
	struct transport *transport;
	struct ip ip;                        /* of the socket, or of the PROXY header */
	struct ip client;                    /* who asks: ip, or what a trusted proxy says */
	bool held;                           /* ip counts with the connections of its address */
	bool proxied, client_secure;         /* a trusted proxy forwards; the client speaks TLS, to us or to it */
	enum http_state state;
	struct buf in;                       /* what has come and is not used */
	struct buf head_bytes;               /* head points into it */
	size_t seen;                         /* of in, by the parser of heads */
	struct http_head head;
	struct http_chunks chunks;
	uint64_t body_left;
	struct buf body;
	struct sterna_http_request request;
	struct timer deadline;
	struct task task;                    /* at the end of the turn: then */
	http_conn_fn *then;
	struct worker *move_to;
	void (*gone)(void *arg, struct http_conn *c); /* HTTP_ANSWER: the connection ends without the answer */
	void *gone_arg;
	const struct http_store *how;        /* of store */
	void *store;                         /* the body goes there, or the answer comes from there; NULL: no such place */
	bool continued;                      /* 100 was said, or is not wanted */
	bool keep_alive, reading;
	bool web, monitoring, api, console;  /* what the listener serves */
};

/** An accepted socket of a listener l of kind http. ip: held for it already, or NULL: a PROXY header will tell. */
void http_conn_accept(struct worker *w, int fd, const struct conn_options *o, const struct config_listen *l,
	const struct ip *ip);
/** Send the answer and go on with the next request. request: status, type, content, headers.
 *  Takes nothing; the request is cleared. State HTTP_ANSWER only. */
void http_conn_answer(struct http_conn *c);
/** The same with a short text. */
void http_conn_say(struct http_conn *c, unsigned status, const char *text);
/** The answer comes later; gone(arg, c) is called if the connection ends before that. */
void http_conn_wait(struct http_conn *c, void (*gone)(void *arg, struct http_conn *c), void *arg);
/** Around the rest of a module's handler, which answers, or waits for something else. module: for the log. */
void http_conn_resumed(struct http_conn *c);
void http_conn_answered(struct http_conn *c, const char *module);
/* For http_file.c and http_object.c. */
/** Of an answer whose content, so many bytes, comes later; the deadline is for all of it. */
void http_conn_send_head(struct http_conn *c, uint64_t length);
void http_conn_sent(struct http_conn *c);                        /**< all of it is out */
void http_conn_resume(struct http_conn *c);                      /**< more of the body may come */
void http_conn_drop(struct http_conn *c);                        /**< the answer cannot be ended: the connection goes */
/** Instead of what the store was to do: an error, which ends the connection while some of the body is to come. The store is
 * the connection's no more. */
void http_conn_give_up(struct http_conn *c, unsigned status, const char *text);
/** Run fn at the end of the turn, when nobody stands in the connection's code. */
void http_conn_later(struct http_conn *c, http_conn_fn *fn);
/** Go on on another worker, at the end of the turn: fn(c) runs there. State HTTP_ANSWER only. */
void http_conn_move(struct http_conn *c, struct worker *to, http_conn_fn *fn);
/** Is nobody between us and the client: TLS, also a trusted proxy's, or the same machine? */
bool http_conn_is_covered(const struct http_conn *c);
/** May someone log in here: covered, or http.plain says so? */
bool http_conn_may_login(const struct http_conn *c);
/** Is the Origin (RFC 6454), if the client is a browser, one of http.origins? */
bool http_conn_origin_ok(const struct http_conn *c);
/** Access-Control-Allow-Origin and its like for the answer, as far as the Origin may. */
void http_conn_allow_origin(struct http_conn *c, const char *methods);
/** The transport is someone else's now; the rest goes. What was read and not used is c->in's. */
struct transport *http_conn_take(struct http_conn *c);
void http_conn_free(struct http_conn **c);
/** On the worker's thread: no more requests. */
void http_stop(struct worker *w);
/** For the worker's end: all that are left. */
void http_free(struct worker *w);

#endif
