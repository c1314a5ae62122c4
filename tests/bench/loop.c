/* loop.c - the sockets of all sessions, their TLS, and the one loop that turns them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/bench/bench.h"

enum { EVENTS = 256, KEEP_BUFFER = 4096, TURN_MAX_NS = 50000000 };

volatile sig_atomic_t bench_interrupted;

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void watch(struct session *s, uint32_t interest)
{
	struct epoll_event e = { .events = interest, .data.ptr = s };

	if (s->interest == interest)
		return;
	if (epoll_ctl(s->bench->epfd, s->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, s->fd, &e) != 0)
		perror("load: epoll_ctl");
	s->interest = interest;
}

/* Client addresses rotate over 127.0.1.1 and up, so that no limit per address takes one load for an attack. */
static bool bind_address(struct session *s)
{
	struct bench *b = s->bench;
	struct sockaddr_in from = { .sin_family = AF_INET };
	const int one = 1;

	if (b->opt.addresses == 0)
		return true;
	const unsigned k = b->next_address++ % b->opt.addresses;

	from.sin_addr.s_addr = htonl(0x7f000000u + ((1 + k / 250) << 8) + 1 + k % 250);
	setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	return bind(s->fd, (struct sockaddr *)&from, sizeof from) == 0;
}

bool conn_open(struct session *s)
{
	const struct options *o = &s->bench->opt;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o->port) };
	const int one = 1;

	if (inet_pton(AF_INET, o->address, &to.sin_addr) != 1)
		return false;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return false;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (!bind_address(s) ||
		(connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
		conn_close(s);
		return false;
	}
	s->state = S_CONNECTING;
	memset(&s->scan, 0, sizeof s->scan);
	watch(s, EPOLLOUT);
	return true;
}

void conn_close(struct session *s)
{
	if (s->fd < 0)
		return;
	SSL_free(s->ssl);
	s->ssl = NULL;
	close(s->fd);
	s->fd = -1;
	s->interest = 0;
	s->state = S_CLOSED;
	buf_release(&s->in);
	buf_release(&s->out);
	buf_release(&s->frames);
	buf_release(&s->frame);
	s->framed = false;
}

static void tls_step(struct session *s)
{
	ERR_clear_error();
	const int rc = SSL_connect(s->ssl);

	if (rc == 1) {
		watch(s, EPOLLIN);
		login_connected(s);
		return;
	}
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		watch(s, EPOLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		watch(s, EPOLLOUT);
		break;
	default:
		login_lost(s, ERR_reason_error_string(ERR_peek_error()));
	}
}

void conn_start_tls(struct session *s)
{
	s->state = S_HANDSHAKE;
	s->ssl = SSL_new(s->bench->tls);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 ||
		SSL_set_tlsext_host_name(s->ssl, s->account->domain) != 1 ||
		(!s->bench->opt.insecure && SSL_set1_host(s->ssl, s->account->domain) != 1)) {
		login_lost(s, "TLS cannot be set up");
		return;
	}
	tls_step(s);
}

void conn_send(struct session *s, const char *bytes, size_t n)
{
	if (s->fd < 0)
		return;
	buf_add(&s->out, bytes, n);
	if (!s->dirty) {
		s->dirty = true;
		s->next_dirty = s->bench->dirty;
		s->bench->dirty = s;
	}
}

static void flush(struct session *s)
{
	while (buf_len(&s->out) > 0) {
		const size_t len = buf_len(&s->out);
		ssize_t n;

		if (s->ssl != NULL) {
			ERR_clear_error();
			n = SSL_write(s->ssl, buf_data(&s->out), (int)len);
			const int err = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, (int)n);

			if (err != SSL_ERROR_NONE && err != SSL_ERROR_WANT_WRITE && err != SSL_ERROR_WANT_READ) {
				login_lost(s, "write failed");
				return;
			}
		} else {
			n = send(s->fd, buf_data(&s->out), len, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN) {
				login_lost(s, strerror(errno));
				return;
			}
		}
		if (n <= 0) {
			watch(s, EPOLLIN | EPOLLOUT);
			return;
		}
		buf_consume(&s->out, (size_t)n);
	}
	if (s->out.size > KEEP_BUFFER || s->state != S_READY)
		buf_release(&s->out);
	watch(s, EPOLLIN);
}

void conn_flush_all(struct bench *b)
{
	while (b->dirty != NULL) {
		struct session *s = b->dirty;

		b->dirty = s->next_dirty;
		s->dirty = false;
		if (s->fd >= 0 && s->state != S_CONNECTING && s->state != S_HANDSHAKE)
			flush(s);
	}
}

/** One read. @return false when there is nothing more, or the session has ended */
static bool read_some(struct session *s)
{
	struct bench *b = s->bench;

	if (s->ssl == NULL) {
		const ssize_t n = recv(s->fd, b->chunk, sizeof b->chunk, 0);

		if (n > 0)
			session_feed(s, b->chunk, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			login_lost(s, n == 0 ? "closed by the server" : strerror(errno));
		return false;
	}
	ERR_clear_error();
	const int n = SSL_read(s->ssl, b->chunk, sizeof b->chunk);

	if (n > 0) {
		(b->opt.websocket != NULL ? ws_feed : session_feed)(s, b->chunk, (size_t)n);
		return s->ssl != NULL && SSL_has_pending(s->ssl);
	}
	const int err = SSL_get_error(s->ssl, n);

	if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
		login_lost(s, err == SSL_ERROR_ZERO_RETURN ? "closed by the server" : "read failed");
	return false;
}

static void on_event(struct session *s, uint32_t events)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (s->fd < 0)
		return;
	if (s->state == S_CONNECTING) {
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err != 0) {
			login_lost(s, strerror(err));
			return;
		}
		watch(s, EPOLLIN);
		login_connected(s);
	} else if (s->state == S_HANDSHAKE) {
		tls_step(s);
	} else {
		if (events & EPOLLOUT)
			flush(s);
		if (s->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			while (read_some(s))
				;
	}
}

void bench_loop(struct bench *b, uint64_t until)
{
	struct epoll_event events[EVENTS];

	while (!b->stop) {
		uint64_t now = now_ns();

		if (now >= until || bench_interrupted)
			break;
		if (now >= b->next_tick) {
			b->next_tick = UINT64_MAX;
			b->on_tick(b, now);
		}
		login_pump(b, now);
		conn_flush_all(b);
		uint64_t wake = until < b->next_tick ? until : b->next_tick;

		now = now_ns();
		wake = wake > now ? wake - now : 0;
		wake = wake < TURN_MAX_NS ? wake : TURN_MAX_NS;
		const struct timespec wait = { .tv_nsec = (long)wake };
		const int n = epoll_pwait2(b->epfd, events, EVENTS, &wait, NULL); /* -1: interrupted */

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, events[i].events);
		conn_flush_all(b);
	}
	b->stop = false;
	bench_interrupted = 0;
}
