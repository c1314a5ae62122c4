/* floor.c - the least that any server must do: the TLS and the socket traffic of the same workload, and
 * nothing else. It parses nothing: to the n-th thing a client says it gives the n-th canned answer, and
 * what comes after the login it passes on, byte for byte, to the connection beside it (or to a whole
 * group). One thread, epoll, OpenSSL. `load --floor` drives it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server/buf.h"
#include "server/mem.h"

enum { SLOTS = 65536, EVENTS = 256, SLOT_AT = 14, SLOT_DIGITS = 8 };

#define HEADER \
	"<?xml version='1.0'?><stream:stream id='5a8e1b2c-7d4f-4a61-9c3e-2f10b6d8a975' from='bench.test' version='1.0' " \
	"xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define FEATURES(inner) HEADER "<stream:features>" inner "</stream:features>"

/* As long as a real server's answers; load reads them as such, but checks nothing with --floor. */
static const struct step {
	const char *answer;
	bool tls; /* a TLS handshake follows */
} steps[] = {
	{ FEATURES("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"), false },
	{ "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", true },
	{ FEATURES("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
		   "<mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>"), false },
	{ "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFCQkJCQkJCQkJCQkJCQkJC"
	  "QkJCQkJCQkIscz1RVUZCUVVGQlFVRkJRVUZCUVVGQlFRPT0saT00MDk2</challenge>", false },
	{ "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9</success>", false },
	{ FEATURES("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>"
		   "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
		   "<ver xmlns='urn:xmpp:features:rosterver'/><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
		   "node='http://bench.test' ver='5pFfWVZSJcIMVGZTLQsfdYuQXN4='/>"), false },
	{ "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user00000@bench.test/bench0"
	  "</jid></bind></iq>", false },
};

enum { STEPS = sizeof steps / sizeof *steps };

struct conn {
	int fd;
	SSL *ssl;
	unsigned step;
	unsigned slot;
	bool handshake, paired, dirty, gone, waits;
	struct buf out;
	struct conn *next; /* in floor->dirty or floor->gone */
};

struct floor {
	int epfd, listener;
	SSL_CTX *tls;
	unsigned fanout; /* 0: pairs; else groups of 1 + fanout, the first speaks */
	bool direct;
	struct conn *slots[SLOTS];
	struct conn *dirty, *gone;
	char chunk[17 * 1024];
};

static void drop(struct floor *f, struct conn *c)
{
	if (c->gone)
		return;
	c->gone = true;
	if (c->paired && f->slots[c->slot] == c)
		f->slots[c->slot] = NULL;
	SSL_free(c->ssl);
	close(c->fd);
	buf_release(&c->out);
	if (!c->dirty) {
		c->next = f->gone;
		f->gone = c;
	}
}

static void watch(struct floor *f, struct conn *c, bool out)
{
	struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c };

	if (c->waits != out && epoll_ctl(f->epfd, EPOLL_CTL_MOD, c->fd, &e) == 0)
		c->waits = out;
}

static void flush(struct floor *f, struct conn *c)
{
	while (buf_len(&c->out) > 0) {
		const int len = (int)buf_len(&c->out);
		ssize_t n;

		if (c->ssl != NULL && !c->handshake) {
			ERR_clear_error();
			n = SSL_write(c->ssl, buf_data(&c->out), len);
			const int err = n > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, (int)n);

			if (err != SSL_ERROR_NONE && err != SSL_ERROR_WANT_WRITE && err != SSL_ERROR_WANT_READ) {
				drop(f, c);
				return;
			}
		} else {
			n = send(c->fd, buf_data(&c->out), (size_t)len, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN) {
				drop(f, c);
				return;
			}
		}
		if (n <= 0) {
			watch(f, c, true);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
	buf_release(&c->out);
	watch(f, c, false);
}

static void add(struct floor *f, struct conn *c, const char *bytes, size_t n)
{
	if (c == NULL || c->gone)
		return;
	buf_add(&c->out, bytes, n);
	if (!c->dirty) {
		c->dirty = true;
		c->next = f->dirty;
		f->dirty = c;
	}
}

/* The last step of a login is <presence id='XXXXXXXX'/>: the slot stands at a fixed place. */
static void pair(struct floor *f, struct conn *c, const char *data, size_t n)
{
	char digits[SLOT_DIGITS + 1] = "";

	if (n >= SLOT_AT + SLOT_DIGITS)
		memcpy(digits, data + SLOT_AT, SLOT_DIGITS);
	c->slot = (unsigned)strtoul(digits, NULL, 16) % SLOTS;
	c->paired = true;
	f->slots[c->slot] = c;
}

static void on_data(struct floor *f, struct conn *c, const char *data, size_t n)
{
	if (c->step < STEPS) {
		const struct step *s = &steps[c->step++];

		add(f, c, s->answer, strlen(s->answer));
		if (!s->tls)
			return;
		flush(f, c);
		c->ssl = c->gone ? NULL : SSL_new(f->tls);
		c->handshake = true;
		if (c->ssl != NULL)
			SSL_set_fd(c->ssl, c->fd);
	} else if (!c->paired) {
		pair(f, c, data, n);
	} else if (f->fanout == 0) {
		add(f, f->slots[c->slot ^ 1], data, n);
	} else {
		for (unsigned i = 1; i <= f->fanout && c->slot + i < SLOTS; i++)
			add(f, f->slots[c->slot + i], data, n);
	}
}

static void on_readable(struct floor *f, struct conn *c)
{
	do {
		ssize_t n;

		if (c->ssl == NULL) {
			n = recv(c->fd, f->chunk, sizeof f->chunk, 0);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				drop(f, c);
		} else {
			ERR_clear_error();
			const int rc = c->handshake ? SSL_accept(c->ssl)
						    : SSL_read(c->ssl, f->chunk, sizeof f->chunk);
			const int err = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);

			if (err != SSL_ERROR_NONE && err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
				drop(f, c);
			n = rc;
			if (c->handshake && rc == 1) {
				c->handshake = false;
				continue; /* read ahead, the client's first words may be here already */
			}
		}
		if (c->gone || n <= 0)
			return;
		on_data(f, c, f->chunk, (size_t)n);
	} while (!c->gone && c->ssl != NULL && SSL_has_pending(c->ssl));
}

static void accept_all(struct floor *f)
{
	const int one = 1;

	for (int fd; (fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct conn *c = xalloc(sizeof *c);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		c->fd = fd;
		if (f->direct) {
			c->step = 2;
			c->handshake = true;
			c->ssl = SSL_new(f->tls);
			SSL_set_fd(c->ssl, fd);
		}
		epoll_ctl(f->epfd, EPOLL_CTL_ADD, fd, &e);
	}
}

static void end_turn(struct floor *f)
{
	while (f->dirty != NULL) {
		struct conn *c = f->dirty;

		f->dirty = c->next;
		c->dirty = false;
		if (!c->gone) {
			flush(f, c);
		} else {
			c->next = f->gone;
			f->gone = c;
		}
	}
	while (f->gone != NULL) {
		struct conn *c = f->gone;

		f->gone = c->next;
		free(c);
	}
}

static bool make_tls(struct floor *f, const char *cert, const char *key)
{
	f->tls = SSL_CTX_new(TLS_server_method());
	if (f->tls == NULL || SSL_CTX_use_certificate_chain_file(f->tls, cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(f->tls, key, SSL_FILETYPE_PEM) != 1)
		return false;
	SSL_CTX_set_mode(f->tls,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(f->tls, 1);
	SSL_CTX_set_num_tickets(f->tls, 0);
	return SSL_CTX_set_min_proto_version(f->tls, TLS1_3_VERSION) == 1;
}

static bool make_listener(struct floor *f, unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
	const int one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	f->epfd = epoll_create1(EPOLL_CLOEXEC);
	setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	return bind(f->listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(f->listener, SOMAXCONN) == 0 &&
		epoll_ctl(f->epfd, EPOLL_CTL_ADD, f->listener, &e) == 0;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	struct rlimit files;
	struct floor *f = xalloc(sizeof *f);

	if (argc < 4) {
		fputs("usage: floor PORT CERT.pem KEY.pem [FANOUT] [direct]\n", stderr);
		return 2;
	}
	f->fanout = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	f->direct = argc > 5;
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!make_tls(f, argv[2], argv[3]) || !make_listener(f, (unsigned)strtoul(argv[1], NULL, 10))) {
		perror("floor: certificate, key or port cannot be used");
		return 1;
	}
	for (;;) {
		const int n = epoll_wait(f->epfd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c == NULL)
				accept_all(f);
			else if (!c->gone && (events[i].events & EPOLLOUT) && buf_len(&c->out) > 0)
				flush(f, c);
			if (c != NULL && !c->gone && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				on_readable(f, c);
		}
		end_turn(f);
	}
}
