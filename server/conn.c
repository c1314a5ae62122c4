/* conn.c - the real transport: sockets and OpenSSL.
 *
 * A connection goes through the states below from top to bottom, some left out. Every step returns what became of
 * the connection; failures are told by the loop's entry points only (on_io, on_turn_end, on_timer), so that no
 * callback ever runs inside a call of the owner. */
#include "server/conn.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server/mem.h"
#include "server/proxy_protocol.h"

enum state {
	CONNECTING,   /* connect() was begun */
	PROXY,        /* the load balancer's header is awaited */
	OPEN,         /* plain, or TLS is up */
	STARTTLS,     /* the last plaintext leaves, nothing is read */
	HANDSHAKE,
	CLOSING,      /* output leaves, then we wait for the peer's end; input is thrown away */
	CLOSED,       /* on_closed was called, or will be at the end of the turn */
};

/* What a step leaves behind. GONE: the owner freed or moved it in a callback; it must not be touched. */
enum outcome { GO_ON, GONE, FAILED };

enum { RECORD = 16384, READS_PER_TURN = 64 };

struct conn {
	struct transport t;
	struct io io;
	struct timer timer;          /* the one deadline of the present state */
	SSL *ssl;
	struct tls_context *tls;
	const struct conn_limits *limits;
	const char *alpn;
	char *tls_local, *tls_remote; /* connecting side; else NULL */
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
	bool direct, reading, blocked, drained, read_wants_write, more, kick, shut, told, detached, turn_end_due;
};

const struct conn_limits conn_limits_default = {
	.read_credit = 65536,
	.write_credit = 262144,
	.out_low = 65536,
	.connect_us = 10000000,
	.proxy_us = 5000000,
	.handshake_us = 10000000,
	.progress_us = 60000000,
	.close_us = 5000000,
};

static struct conn *conn_of(const struct transport *t)
{
	return (struct conn *)(uintptr_t)t;
}

static enum outcome fail(struct conn *c, enum sterna_result why, const char *text)
{
	c->state = CLOSED;
	c->why = why;
	c->text = text;
	return FAILED;
}

/* The same from within a call of the owner: told at the end of the turn. */
static void fail_later(struct conn *c, enum sterna_result why, const char *text)
{
	fail(c, why, text);
	loop_defer(c->t.loop, &c->t.flush_task);
}

static void update_watch(struct conn *c)
{
	const unsigned blocked = c->blocked ? IO_WRITE : 0;
	unsigned events = 0;

	if (c->detached)
		return;
	switch ((enum state)c->state) {
	case CONNECTING:
		events = IO_WRITE;
		break;
	case PROXY:
		events = IO_READ;
		break;
	case OPEN:
		events = blocked | (c->reading ? IO_READ : 0u) | (c->reading && (c->read_wants_write || c->more) ? IO_WRITE : 0u);
		break;
	case STARTTLS:
		events = blocked;
		break;
	case HANDSHAKE:
		events = c->want;
		break;
	case CLOSING:
		events = blocked | IO_READ;
		break;
	case CLOSED:
		break;
	}
	io_watch(&c->io, events);
}

/* --- callbacks; each says whether the connection is still ours --- */

static enum outcome after_callback(struct conn *c, const bool *gone)
{
	if (*gone)
		return GONE;
	c->gone = NULL;
	return c->state == CLOSED ? FAILED : GO_ON;
}

static enum outcome tell_read(struct conn *c, const char *bytes, size_t len)
{
	bool gone = false;

	c->gone = &gone;
	c->t.handler->on_read(c->t.arg, bytes, len);
	return after_callback(c, &gone);
}

static enum outcome tell_secure(struct conn *c)
{
	bool gone = false;

	c->gone = &gone;
	c->t.handler->on_secure(c->t.arg);
	return after_callback(c, &gone);
}

static enum outcome tell_drained(struct conn *c)
{
	bool gone = false;

	c->drained = false;
	c->gone = &gone;
	c->t.handler->on_drained(c->t.arg);
	return after_callback(c, &gone);
}

static void tell_closed(struct conn *c)
{
	if (c->told)
		return;
	c->told = true;
	timer_cancel(&c->timer);
	loop_undefer(c->t.loop, &c->t.flush_task);
	update_watch(c);
	c->t.handler->on_closed(c->t.arg, c->why, c->text);
}

/* --- bytes: above 0 so many, 0 none now, -1 failed --- */

static ssize_t failed(struct conn *c, enum sterna_result why, const char *text)
{
	fail(c, why, text);
	return -1;
}

static ssize_t socket_failed(struct conn *c, int error)
{
	if (error == EPIPE || error == ECONNRESET)
		return failed(c, STERNA_ECLOSED, "connection reset by the peer");
	return failed(c, STERNA_EIO, strerrordesc_np(error));
}

/* What SSL_read and SSL_write mean by a result that is not above 0. */
static ssize_t tls_result(struct conn *c, int rc, bool writing)
{
	const int error = errno;

	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return 0; /* also between two records of the protocol itself: the socket is still readable then */
	case SSL_ERROR_WANT_WRITE:
		c->read_wants_write = !writing;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return failed(c, STERNA_ECLOSED, "closed by the peer");
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return error != 0 ? socket_failed(c, error) : failed(c, STERNA_ECLOSED, "closed by the peer");
	default:
		break;
	}
	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		ERR_clear_error();
		return failed(c, STERNA_ECLOSED, "closed by the peer without close_notify");
	}
	return failed(c, STERNA_EIO, tls_error_text());
}

static ssize_t read_some(struct conn *c, char *out, size_t size)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		c->read_wants_write = false;
		const int n = SSL_read(c->ssl, out, (int)size);

		return n > 0 ? n : tls_result(c, n, false);
	}
	const ssize_t n = recv(c->io.fd, out, size, 0);

	if (n == 0)
		return failed(c, STERNA_ECLOSED, "closed by the peer");
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return socket_failed(c, errno);
	return n > 0 ? n : 0;
}

static ssize_t write_some(struct conn *c, const char *bytes, size_t len)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		const int n = SSL_write(c->ssl, bytes, (int)(len < RECORD ? len : RECORD));

		return n > 0 ? n : tls_result(c, n, true);
	}
	const ssize_t n = send(c->io.fd, bytes, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return socket_failed(c, errno);
	return n > 0 ? n : 0;
}

/* For what OpenSSL has read ahead nobody would wake us. */
static void kick_if_pending(struct conn *c)
{
	if (!c->reading || c->state != OPEN || c->ssl == NULL || SSL_has_pending(c->ssl) == 0)
		return;
	c->kick = true;
	loop_defer(c->t.loop, &c->t.flush_task);
}

/* --- input --- */

static enum outcome read_in(struct conn *c)
{
	char bytes[RECORD]; /* as large as a record: nothing decrypted is left inside OpenSSL */
	size_t credit = c->limits->read_credit;
	unsigned empty = 0;

	c->more = false;
	for (unsigned i = 0; i < READS_PER_TURN && c->state == OPEN && c->reading && credit > 0; i++) {
		const ssize_t n = read_some(c, bytes, sizeof bytes);

		if (n < 0)
			return FAILED;
		if (n == 0) {
			/* After a record that was no data others may be there; or a part of one. */
			if (c->ssl != NULL && SSL_has_pending(c->ssl) != 0 && empty++ == 0)
				continue;
			update_watch(c);
			return GO_ON;
		}
		empty = 0;
		const bool was_tls = c->ssl != NULL;

		c->t.bytes_in += (uint64_t)n;
		credit -= (size_t)n < credit ? (size_t)n : credit;
		const enum outcome o = tell_read(c, bytes, (size_t)n);

		if (o != GO_ON)
			return o;
		/* The socket is empty: no need to ask. If it is not, it says so in the next turn. */
		if (was_tls ? c->ssl != NULL && SSL_has_pending(c->ssl) == 0 : (size_t)n < sizeof bytes) {
			update_watch(c);
			return GO_ON;
		}
	}
	/* Enough for this turn. What OpenSSL has read ahead no descriptor tells of: one that can be written to wakes us. */
	c->more = c->state == OPEN && c->reading && c->ssl != NULL && SSL_has_pending(c->ssl) != 0;
	update_watch(c);
	return GO_ON;
}

/* While closing: thrown away, so that the kernel does not answer it with a reset that would overtake our output. */
static enum outcome drain(struct conn *c)
{
	char bytes[RECORD];

	for (unsigned i = 0; i < 4; i++) {
		const ssize_t n = recv(c->io.fd, bytes, sizeof bytes, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return fail(c, STERNA_ECLOSED, "closed");
		if (n < 0)
			break;
	}
	return GO_ON;
}

/* --- output --- */

static void on_timer(struct timer *timer, void *arg);

static bool may_write(struct conn *c)
{
	return (c->state == OPEN || c->state == STARTTLS || c->state == CLOSING) && !c->shut;
}

/* Credit of this turn that is left. */
static size_t write_credit(struct conn *c)
{
	if (c->turn_us != loop_now_us(c->t.loop)) {
		c->turn_us = loop_now_us(c->t.loop);
		c->turn_bytes = 0;
	}
	return c->turn_bytes < c->limits->write_credit ? c->limits->write_credit - c->turn_bytes : 0;
}

static enum outcome write_out(struct conn *c)
{
	struct buf *out = &c->t.out;
	const size_t before = buf_len(out), low = c->limits->out_low;

	if (!may_write(c))
		return GO_ON;
	if (!c->blocked)
		c->t.progress_us = loop_now_us(c->t.loop); /* it was empty until this turn */
	for (size_t credit = write_credit(c); buf_len(out) > 0 && credit > 0; credit = write_credit(c)) {
		const size_t len = buf_len(out);
		const ssize_t n = write_some(c, buf_data(out), len < credit ? len : credit);

		if (n < 0)
			return FAILED;
		if (n == 0)
			break;
		buf_consume(out, (size_t)n);
		c->t.bytes_out += (uint64_t)n;
		c->turn_bytes += (size_t)n;
		c->t.progress_us = loop_now_us(c->t.loop);
	}
	c->blocked = buf_len(out) > 0;
	if (!c->blocked)
		buf_release(out);
	if (before > 0 && (!c->blocked || (before > low && buf_len(out) <= low)))
		c->drained = true;
	if (c->state == OPEN && !c->blocked)
		timer_cancel(&c->timer);
	else if (c->state == OPEN && !timer_is_set(&c->timer))
		timer_set(&c->timer, c->limits->progress_us);
	update_watch(c);
	return GO_ON;
}

/* --- TLS --- */

static enum outcome handshake(struct conn *c)
{
	ERR_clear_error();
	errno = 0;
	const int rc = SSL_do_handshake(c->ssl), error = errno;

	if (rc == 1) {
		timer_cancel(&c->timer);
		c->state = OPEN;
		c->t.secure = true;
		update_watch(c);
		const enum outcome o = tell_secure(c);

		if (o == GO_ON)
			kick_if_pending(c);
		return o;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		c->want = IO_READ;
		break;
	case SSL_ERROR_WANT_WRITE:
		c->want = IO_WRITE;
		break;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return fail(c, STERNA_ECLOSED, error != 0 ? strerrordesc_np(error) : "closed in the TLS handshake");
	default:
		return fail(c, STERNA_EIO, tls_error_text());
	}
	update_watch(c);
	return GO_ON;
}

static enum outcome begin_handshake(struct conn *c)
{
	const bool connects = c->tls_remote != NULL;

	if (c->tls == NULL)
		return fail(c, STERNA_EIO, "no certificate for direct TLS");
	c->ssl = connects ? tls_connect_new(c->tls, c->io.fd, c->tls_local, c->tls_remote, c->direct ? c->alpn : NULL)
			  : tls_accept_new(c->tls, c->io.fd, c->direct ? c->alpn : NULL, c->t.tls_host);
	if (c->ssl == NULL)
		return fail(c, STERNA_EIO, "no TLS connection could be made");
	c->state = HANDSHAKE;
	c->want = IO_READ;
	if (!timer_is_set(&c->timer))
		timer_set(&c->timer, c->limits->handshake_us);
	update_watch(c);
	return connects ? handshake(c) : GO_ON;
}

/* All output has left: say goodbye, and wait for the peer's (RFC 6120 §4.4, RFC 8446 §6.1). */
static enum outcome shut(struct conn *c)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		const int rc = SSL_shutdown(c->ssl);

		if (rc < 0 && SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_WRITE) {
			c->blocked = true;
			update_watch(c);
			return GO_ON;
		}
		ERR_clear_error();
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	c->shut = true;
	c->blocked = false;
	shutdown(c->io.fd, SHUT_WR);
	update_watch(c);
	return drain(c);
}

/* After output: whatever waited for its end. */
static enum outcome after_write(struct conn *c)
{
	if (c->drained && (c->state == OPEN || c->state == STARTTLS)) {
		const enum outcome o = tell_drained(c);

		if (o != GO_ON)
			return o;
	}
	if (buf_len(&c->t.out) > 0)
		return GO_ON;
	if (c->state == STARTTLS)
		return begin_handshake(c);
	if (c->state == CLOSING && !c->shut)
		return shut(c);
	return GO_ON;
}

static enum outcome flush_out(struct conn *c)
{
	const enum outcome o = write_out(c);

	return o == GO_ON ? after_write(c) : o;
}

/* --- before the stream --- */

/* The socket is ours to use, its peer known. */
static enum outcome begin(struct conn *c)
{
	timer_cancel(&c->timer);
	if (c->direct)
		return begin_handshake(c);
	c->state = OPEN;
	update_watch(c);
	return flush_out(c);
}

static enum outcome finish_connect(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0)
		return fail(c, STERNA_EUNAVAILABLE, strerrordesc_np(error));
	return begin(c);
}

static enum outcome take_header(struct conn *c, const struct proxy_header *h)
{
	const struct sockaddr *src = (const struct sockaddr *)&h->src;

	if (h->known) {
		ip_from_sockaddr(src, &c->ip);
		ip_format_peer(src, c->t.peer);
		if (c->admit != NULL && !c->admit(c->admit_arg, &c->ip))
			return fail(c, STERNA_ELIMIT, "address refused");
	}
	buf_release(&c->head);
	return begin(c);
}

/* Looks before it takes: what follows the header (perhaps a ClientHello) must stay in the socket. */
static enum outcome read_header(struct conn *c)
{
	char *at = buf_reserve(&c->head, PROXY_MAX);
	const size_t had = buf_len(&c->head);
	const ssize_t n = recv(c->io.fd, at, PROXY_MAX, MSG_PEEK);
	struct proxy_header header;
	size_t used;

	if (n == 0)
		return fail(c, STERNA_ECLOSED, "closed before the PROXY header");
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? GO_ON : fail(c, STERNA_EIO, strerrordesc_np(errno));
	const enum sterna_result rc = proxy_parse(buf_data(&c->head), had + (size_t)n, &header, &used);
	const size_t take = rc == STERNA_OK ? used - had : (size_t)n;

	if (rc != STERNA_OK && rc != STERNA_EAGAIN)
		return fail(c, STERNA_EIO, "no PROXY header from a trusted proxy");
	if (recv(c->io.fd, at, take, 0) != (ssize_t)take)
		return fail(c, STERNA_EIO, "the socket took bytes back");
	c->head.len += take;
	return rc == STERNA_OK ? take_header(c, &header) : GO_ON;
}

/* --- the loop's entry points --- */

static enum outcome io_step(struct conn *c, unsigned what)
{
	enum outcome o = GO_ON;

	switch ((enum state)c->state) {
	case CONNECTING:
		return finish_connect(c);
	case PROXY:
		return read_header(c);
	case HANDSHAKE:
		return handshake(c);
	case OPEN:
		if ((what & IO_WRITE) != 0 && c->blocked)
			o = flush_out(c);
		return o == GO_ON && c->state == OPEN && c->reading ? read_in(c) : o;
	case STARTTLS:
		return flush_out(c);
	case CLOSING:
		if (c->blocked && (what & IO_WRITE) != 0)
			o = flush_out(c);
		return o == GO_ON && (what & IO_READ) != 0 ? drain(c) : o;
	case CLOSED:
		break;
	}
	return GO_ON;
}

static void on_io(struct io *io, unsigned what, void *arg)
{
	struct conn *c = arg;

	(void)io;
	if (io_step(c, what) == FAILED)
		tell_closed(c);
}

static void on_turn_end(struct task *task, void *arg)
{
	struct conn *c = arg;
	enum outcome o = c->state == CLOSED ? FAILED : flush_out(c);

	(void)task;
	if (o == GO_ON && c->kick) {
		c->kick = false;
		if (c->state == OPEN && c->reading)
			o = read_in(c);
	}
	if (o == FAILED)
		tell_closed(c);
}

static void on_timer(struct timer *timer, void *arg)
{
	struct conn *c = arg;
	const uint64_t waited = loop_now_us(c->t.loop) - c->t.progress_us;

	switch ((enum state)c->state) {
	case CONNECTING:
		fail(c, STERNA_EUNAVAILABLE, "no connection in time");
		break;
	case PROXY:
		fail(c, STERNA_ELIMIT, "no PROXY header in time");
		break;
	case STARTTLS:
	case HANDSHAKE:
		fail(c, STERNA_ELIMIT, "no TLS in time");
		break;
	case OPEN:
		if (waited < c->limits->progress_us) {
			timer_set(timer, c->limits->progress_us - waited);
			return;
		}
		fail(c, STERNA_ELIMIT, "the peer does not read");
		break;
	case CLOSING:
		fail(c, STERNA_ECLOSED, "closed; the peer did not answer");
		break;
	case CLOSED:
		break;
	}
	tell_closed(c);
}

/* --- what the owner calls --- */

static void conn_start_tls(struct transport *t)
{
	struct conn *c = conn_of(t);
	char byte;

	if (c->state != OPEN || c->ssl != NULL || c->tls == NULL) {
		if (c->state != CLOSED)
			fail_later(c, STERNA_EINVAL, "no TLS to be had here");
		return;
	}
	/* RFC 6120 §5.4.3.3: the peer waits for our answer. What is here already was slipped in, perhaps by
	 * someone between us, to be taken for the inside of TLS later. */
	if (recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		fail_later(c, STERNA_EINVAL, "bytes between STARTTLS and TLS");
		return;
	}
	c->state = STARTTLS;
	timer_set(&c->timer, c->limits->handshake_us);
	update_watch(c);
	loop_defer(t->loop, &t->flush_task);
}

static void conn_flush(struct transport *t)
{
	struct conn *c = conn_of(t);

	if (c->state == CLOSED || c->detached)
		return;
	if (write_out(c) == FAILED || c->drained || c->state != OPEN)
		loop_defer(t->loop, &t->flush_task);
}

static void conn_set_reading(struct transport *t, bool on)
{
	struct conn *c = conn_of(t);

	if (c->reading == on)
		return;
	c->reading = on;
	if (c->detached)
		return;
	update_watch(c);
	kick_if_pending(c);
}

static void conn_close(struct transport *t)
{
	struct conn *c = conn_of(t);

	if (c->state == CLOSING || c->state == CLOSED)
		return;
	if (c->state != OPEN && c->state != STARTTLS) {
		fail_later(c, STERNA_ECLOSED, "closed");
		return;
	}
	c->state = CLOSING;
	timer_set(&c->timer, c->limits->close_us);
	update_watch(c);
	loop_defer(t->loop, &t->flush_task);
}

static void conn_detach(struct transport *t)
{
	struct conn *c = conn_of(t);

	if (c->gone != NULL)
		*c->gone = true;
	c->gone = NULL;
	io_clear(&c->io);
	c->due_us = timer_is_set(&c->timer) ? c->timer.due_us : 0;
	timer_cancel(&c->timer);
	c->turn_end_due = t->flush_task.queued;
	loop_undefer(t->loop, &t->flush_task);
	c->detached = true;
	t->loop = NULL;
}

static void conn_attach(struct transport *t, struct loop *l)
{
	struct conn *c = conn_of(t);
	const uint64_t now = loop_now_us(l);

	t->loop = l;
	c->detached = false;
	io_init(&c->io, l, c->io.fd, on_io, c);
	timer_init(&c->timer, l, on_timer, c);
	if (c->due_us != 0)
		timer_set(&c->timer, c->due_us > now ? c->due_us - now : 0);
	if (c->turn_end_due || c->drained || buf_len(&t->out) > 0)
		loop_defer(l, &t->flush_task);
	update_watch(c);
	kick_if_pending(c);
}

static void conn_free(struct transport **t)
{
	struct conn *c = *t != NULL ? conn_of(*t) : NULL;

	*t = NULL;
	if (c == NULL)
		return;
	if (c->gone != NULL)
		*c->gone = true;
	if (!c->detached) {
		io_clear(&c->io);
		timer_cancel(&c->timer);
		loop_undefer(c->t.loop, &c->t.flush_task);
	}
	SSL_free(c->ssl);
	close(c->io.fd);
	buf_release(&c->t.out);
	buf_release(&c->head);
	tls_names_free(&c->xmpp_addrs);
	tls_context_unref(&c->tls);
	free(c->tls_local);
	free(c->tls_remote);
	free(c);
}

static enum sterna_result conn_channel_binding(struct transport *t, const char *type, unsigned char *out,
	size_t size, size_t *len)
{
	return tls_channel_binding(conn_of(t)->ssl, type, out, size, len);
}

static const char *conn_tls_version(struct transport *t)
{
	return t->secure && conn_of(t)->ssl != NULL ? SSL_get_version(conn_of(t)->ssl) : NULL;
}

static const char *conn_tls_cipher(struct transport *t)
{
	return t->secure && conn_of(t)->ssl != NULL ? SSL_get_cipher_name(conn_of(t)->ssl) : NULL;
}

static const char *conn_tls_sni(struct transport *t)
{
	SSL *ssl = conn_of(t)->ssl;

	return ssl != NULL ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

static const char *conn_peer_xmpp_addr(struct transport *t, size_t index)
{
	struct conn *c = conn_of(t);

	if (!tls_peer_is_verified(c->ssl))
		return NULL;
	if (c->xmpp_addrs == NULL)
		c->xmpp_addrs = tls_peer_xmpp_addrs(c->ssl);
	for (size_t i = 0; i < index; i++)
		if (c->xmpp_addrs[i] == NULL)
			return NULL;
	return c->xmpp_addrs[index];
}

static const struct transport_ops conn_ops = {
	.start_tls = conn_start_tls,
	.flush = conn_flush,
	.set_reading = conn_set_reading,
	.close = conn_close,
	.free = conn_free,
	.detach = conn_detach,
	.attach = conn_attach,
	.channel_binding = conn_channel_binding,
	.tls_version = conn_tls_version,
	.tls_cipher = conn_tls_cipher,
	.tls_sni = conn_tls_sni,
	.peer_xmpp_addr = conn_peer_xmpp_addr,
};

const struct ip *conn_peer_ip(const struct transport *t)
{
	return &conn_of(t)->ip;
}

bool conn_peer_is_host(struct transport *t, const char *domain)
{
	return tls_peer_is_host(conn_of(t)->ssl, domain);
}

/* --- life --- */

static struct conn *conn_new(struct loop *l, int fd, const struct conn_options *o)
{
	struct conn *c = xalloc(sizeof *c);
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;
	const int one = 1;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* we write once a turn; no TCP: no matter */
	c->t.ops = &conn_ops;
	c->t.loop = l;
	task_init(&c->t.flush_task, on_turn_end, c);
	io_init(&c->io, l, fd, on_io, c);
	timer_init(&c->timer, l, on_timer, c);
	c->t.progress_us = loop_now_us(l);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
		peer.ss_family = AF_UNSPEC;
	ip_from_sockaddr((struct sockaddr *)&peer, &c->ip);
	ip_format_peer((struct sockaddr *)&peer, c->t.peer);
	c->tls = tls_context_ref(o->tls);
	c->direct = o->direct;
	c->alpn = o->alpn;
	c->admit = o->admit;
	c->admit_arg = o->admit_arg;
	c->limits = o->limits != NULL ? o->limits : &conn_limits_default;
	c->reading = true;
	return c;
}

struct transport *conn_accept(struct loop *l, int fd, const struct conn_options *o)
{
	struct conn *c = conn_new(l, fd, o);

	if (cidr_set_has(o->proxies, &c->ip)) {
		c->state = PROXY;
		timer_set(&c->timer, c->limits->proxy_us);
		update_watch(c);
	} else if (c->direct) {
		if (begin_handshake(c) == FAILED)
			loop_defer(l, &c->t.flush_task);
	} else {
		c->state = OPEN;
		update_watch(c);
	}
	return &c->t;
}

struct transport *conn_connect(struct loop *l, int fd, const struct conn_options *o)
{
	struct conn *c = conn_new(l, fd, o);

	c->tls_local = xstrdup(o->tls_local != NULL ? o->tls_local : "");
	c->tls_remote = xstrdup(o->tls_remote != NULL ? o->tls_remote : "");
	c->state = CONNECTING;
	timer_set(&c->timer, c->limits->connect_us);
	update_watch(c);
	return &c->t;
}
