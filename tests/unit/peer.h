/* peer.h - for tests of connections: a server's side on the thread of its loop, a blocking OpenSSL client on the
 * test's own, both over TCP on the loopback. */
#ifndef STERNA_TEST_PEER_H
#define STERNA_TEST_PEER_H

#include <pthread.h>
#include "server/conn.h"

struct worker {
	struct loop *loop;
	pthread_t thread;
};
void worker_start(struct worker *w);
void worker_stop(struct worker *w);
/** Run fn on the loop's thread, and wait for its end. */
void worker_call(struct worker *w, void (*fn)(void *arg), void *arg);

/** What the server's side does and has seen. Touched on its loop's thread only, or before and after. */
struct side {
	struct transport *t;
	struct worker *workers;      /* [0] to begin with; move: to the other of two, at every read */
	bool echo, starttls, close_on_read, free_on_read, move;
	unsigned at, reads, drained;
	struct buf in;
	bool secure, closed;
	enum sterna_result why;
	char text[128];
};
/** A side over fd (accepted); options as for conn_accept(). */
void side_serve(struct side *s, struct worker *workers, int fd, const struct conn_options *o);
void side_connect(struct side *s, struct worker *workers, int fd, const struct conn_options *o);
void side_end(struct side *s);       /**< frees what is left; on any thread, after the workers stopped */

/** Wait until cond(s) is true on the loop's thread; false after 8 s. For sides that do not move. */
bool side_wait(struct side *s, bool (*cond)(struct side *s));
bool side_is_closed(struct side *s);
bool side_is_secure(struct side *s);
bool side_has_read(struct side *s);

void tcp_pair(int *ours, int *theirs);   /**< two ends; "ours" times out after 8 s */

struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};
/** alpn: in wire form ("\x0bxmpp-client") or NULL; sni or NULL; cert: a file of certificate and key, or NULL. */
void client_init(struct client *c, int fd, const char *sni, const char *alpn, const char *cert);
bool client_handshake(struct client *c);
void client_clear(struct client *c);
bool client_read(struct client *c, char *out, size_t n);     /**< exactly n bytes; TLS or plain */
bool client_write(struct client *c, const char *bytes, size_t n);

#endif
