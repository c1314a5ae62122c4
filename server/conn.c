/* conn.c - the real transport: sockets and OpenSSL.
 *
 * A connection goes through the states below from top to bottom, some left out. Every step returns what became of
 * the connection; failures are told by the loop's entry points only (conn_on_io, on_turn_end, on_timer), so that no
 * callback ever runs inside a call of the owner. */
#include "server/conn_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include "server/mem.h"
#include "server/proxy_protocol.h"

enum { RECORD = 16384, SMALL_RECORD = 640, READS_PER_TURN = 64, LATE_US = 1000000 };

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

static enum conn_outcome fail(struct conn *c, enum sterna_result why, const char *text)
{
	c->state = CLOSED;
	c->why = why;
	c->text = text;
	return FAILED;
}

void conn_fail_later(struct conn *c, enum sterna_result why, const char *text)
{
	fail(c, why, text);
	loop_defer(c->t.loop, &c->t.flush_task);
}

void conn_update_watch(struct conn *c)
{
	const unsigned blocked = c->blocked ? IO_WRITE : 0;
	unsigned events = 0;

	if (c->detached)
		return;
	switch ((enum conn_state)c->state) {
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

static enum conn_outcome after_callback(struct conn *c, const bool *gone)
{
	if (*gone)
		return GONE;
	c->gone = NULL;
	return c->state == CLOSED ? FAILED : GO_ON;
}

static enum conn_outcome tell_read(struct conn *c, const char *bytes, size_t len)
{
	bool gone = false;

	c->gone = &gone;
	c->t.handler->on_read(c->t.arg, bytes, len);
	return after_callback(c, &gone);
}

static enum conn_outcome tell_secure(struct conn *c)
{
	bool gone = false;

	c->gone = &gone;
	c->t.handler->on_secure(c->t.arg);
	return after_callback(c, &gone);
}

static enum conn_outcome tell_drained(struct conn *c)
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
	conn_update_watch(c);
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

/* OpenSSL asks for a buffer of the largest record that may come, and gives it back after each write. Most writes are one
 * stanza: then it is one of those that malloc has at hand. */
static void fit_record(struct conn *c, size_t len)
{
	const bool small = len <= SMALL_RECORD;

	if (c->small_records == small)
		return;
	c->small_records = small;
	SSL_set_max_send_fragment(c->ssl, small ? SMALL_RECORD : RECORD);
	/* The smaller maximum took this down with it; the larger one does not bring it back. */
	SSL_set_split_send_fragment(c->ssl, small ? SMALL_RECORD : RECORD);
}

static ssize_t write_some(struct conn *c, const char *bytes, size_t len)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		if (!c->record_waits)
			fit_record(c, len);
		const int n = SSL_write(c->ssl, bytes, (int)(len < RECORD ? len : RECORD));

		c->record_waits = n <= 0; /* then it is to be written once more as it is */
		return n > 0 ? n : tls_result(c, n, true);
	}
	const ssize_t n = send(c->io.fd, bytes, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return socket_failed(c, errno);
	return n > 0 ? n : 0;
}

void conn_kick_if_pending(struct conn *c)
{
	if (!c->reading || c->state != OPEN || c->ssl == NULL || SSL_has_pending(c->ssl) == 0)
		return;
	c->kick = true;
	loop_defer(c->t.loop, &c->t.flush_task);
}

/* --- input --- */

static enum conn_outcome read_in(struct conn *c)
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
			conn_update_watch(c);
			return GO_ON;
		}
		empty = 0;
		const bool was_tls = c->ssl != NULL;

		c->t.bytes_in += (uint64_t)n;
		credit -= (size_t)n < credit ? (size_t)n : credit;
		const enum conn_outcome o = tell_read(c, bytes, (size_t)n);

		if (o != GO_ON)
			return o;
		/* The socket is empty: no need to ask. If it is not, it says so in the next turn. */
		if (was_tls ? c->ssl != NULL && SSL_has_pending(c->ssl) == 0 : (size_t)n < sizeof bytes) {
			conn_update_watch(c);
			return GO_ON;
		}
	}
	/* Enough for this turn. What OpenSSL has read ahead no descriptor tells of: one that can be written to wakes us. */
	c->more = c->state == OPEN && c->reading && c->ssl != NULL && SSL_has_pending(c->ssl) != 0;
	conn_update_watch(c);
	return GO_ON;
}

/* While closing: thrown away, so that the kernel does not answer it with a reset that would overtake our output. */
static enum conn_outcome drain(struct conn *c)
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

enum conn_outcome conn_write_out(struct conn *c)
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
	conn_update_watch(c);
	return GO_ON;
}

/* --- TLS --- */

static enum conn_outcome handshake(struct conn *c)
{
	ERR_clear_error();
	errno = 0;
	const int rc = SSL_do_handshake(c->ssl), error = errno;

	if (rc == 1) {
		timer_cancel(&c->timer);
		c->state = OPEN;
		c->t.secure = true;
		conn_update_watch(c);
		const enum conn_outcome o = tell_secure(c);

		if (o == GO_ON)
			conn_kick_if_pending(c);
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
	conn_update_watch(c);
	return GO_ON;
}

static enum conn_outcome begin_handshake(struct conn *c)
{
	const bool connects = c->tls_remote != NULL;

	if (c->tls == NULL)
		return fail(c, STERNA_EIO, "no certificate for direct TLS");
	c->ssl = connects ? tls_connect_new(c->tls, c->io.fd, c->tls_local, c->tls_remote, c->direct ? c->alpn : NULL)
			  : tls_accept_new(c->tls, c->io.fd, c->direct ? c->alpn : NULL, c->t.tls_host);
	if (c->ssl == NULL || (c->dane != NULL && !tls_dane_use(c->dane, c->ssl, c->tls_remote)))
		return fail(c, STERNA_EIO, "no TLS connection could be made");
	c->state = HANDSHAKE;
	c->want = IO_READ;
	if (!timer_is_set(&c->timer))
		timer_set(&c->timer, c->limits->handshake_us);
	conn_update_watch(c);
	return connects ? handshake(c) : GO_ON;
}

/* All output has left: say goodbye, and wait for the peer's (RFC 6120 §4.4, RFC 8446 §6.1). */
static enum conn_outcome shut(struct conn *c)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		const int rc = SSL_shutdown(c->ssl);

		if (rc < 0 && SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_WRITE) {
			c->blocked = true;
			conn_update_watch(c);
			return GO_ON;
		}
		ERR_clear_error();
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	c->shut = true;
	c->blocked = false;
	shutdown(c->io.fd, SHUT_WR);
	conn_update_watch(c);
	return drain(c);
}

/* After output: whatever waited for its end. */
static enum conn_outcome after_write(struct conn *c)
{
	if (c->drained && (c->state == OPEN || c->state == STARTTLS)) {
		const enum conn_outcome o = tell_drained(c);

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

static enum conn_outcome flush_out(struct conn *c)
{
	const enum conn_outcome o = conn_write_out(c);

	return o == GO_ON ? after_write(c) : o;
}

/* --- before the stream --- */

/* The socket is ours to use, its peer known. */
static enum conn_outcome begin(struct conn *c)
{
	timer_cancel(&c->timer);
	if (c->direct)
		return begin_handshake(c);
	c->state = OPEN;
	conn_update_watch(c);
	return flush_out(c);
}

static enum conn_outcome finish_connect(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0)
		return fail(c, STERNA_EUNAVAILABLE, strerrordesc_np(error));
	return begin(c);
}

static enum conn_outcome take_header(struct conn *c, const struct proxy_header *h)
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
static enum conn_outcome read_header(struct conn *c)
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

static enum conn_outcome io_step(struct conn *c, unsigned what)
{
	enum conn_outcome o = GO_ON;

	switch ((enum conn_state)c->state) {
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

void conn_on_io(struct io *io, unsigned what, void *arg)
{
	struct conn *c = arg;

	(void)io;
	if (io_step(c, what) == FAILED)
		tell_closed(c);
}

static void on_turn_end(struct task *task, void *arg)
{
	struct conn *c = arg;
	enum conn_outcome o = c->state == CLOSED ? FAILED : flush_out(c);

	(void)task;
	if (o == GO_ON && c->kick) {
		c->kick = false;
		if (c->state == OPEN && c->reading)
			o = read_in(c);
	}
	if (o == FAILED)
		tell_closed(c);
}

void conn_on_timer(struct timer *timer, void *arg)
{
	struct conn *c = arg;
	const uint64_t waited = loop_now_us(c->t.loop) - c->t.progress_us;

	if (io_is_late(&c->io)) {
		timer_set(timer, LATE_US); /* its bytes wait for us */
		return;
	}
	switch ((enum conn_state)c->state) {
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

/* --- life --- */

static struct conn *conn_new(struct loop *l, int fd, const struct conn_options *o)
{
	struct conn *c = xalloc(sizeof *c);
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;
	const int one = 1;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* we write once a turn; no TCP: no matter */
	c->t.ops = &conn_transport_ops;
	c->t.loop = l;
	task_init(&c->t.flush_task, on_turn_end, c);
	io_init(&c->io, l, fd, conn_on_io, c);
	timer_init(&c->timer, l, conn_on_timer, c);
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

	c->patient = true;
	io_set_patient(&c->io, true);
	if (cidr_set_has(o->proxies, &c->ip)) {
		c->state = PROXY;
		timer_set(&c->timer, c->limits->proxy_us);
		conn_update_watch(c);
	} else if (c->direct) {
		if (begin_handshake(c) == FAILED)
			loop_defer(l, &c->t.flush_task);
	} else {
		c->state = OPEN;
		conn_update_watch(c);
	}
	return &c->t;
}

struct transport *conn_connect(struct loop *l, int fd, const struct conn_options *o)
{
	struct conn *c = conn_new(l, fd, o);

	c->tls_local = xstrdup(o->tls_local != NULL ? o->tls_local : "");
	c->tls_remote = xstrdup(o->tls_remote != NULL ? o->tls_remote : "");
	c->dane = o->dane;
	c->state = CONNECTING;
	timer_set(&c->timer, c->limits->connect_us);
	conn_update_watch(c);
	return &c->t;
}
