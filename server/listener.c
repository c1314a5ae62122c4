/* listener.c - accepting connections: so many per turn, and in peace when the system has no more to give. */
#include "server/listener.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server/log.h"
#include "server/mem.h"

enum {
	BACKLOG = 1024,
	ACCEPT_BUDGET = 8,            /* a turn of the loop stays short */
	PAUSE_US = 100000,           /* without descriptors: try again after this */
	QUIET_US = 10000000,         /* and say so no more often than this */
};

struct listener {
	struct io io;
	struct timer timer;
	const struct listener_handler *handler;
	void *arg;
	unsigned budget;
	bool paused;
	uint64_t accepted, refused, exhausted, said_us;
	char address[IP_TEXT_SIZE];  /* for the log */
};

static void watch(struct listener *ln)
{
	io_watch(&ln->io, ln->paused || timer_is_set(&ln->timer) ? 0 : IO_READ);
}

/* EMFILE and its like: the connection stays in the queue and the socket readable, so look away for a while. */
static void on_exhausted(struct listener *ln, int error)
{
	const uint64_t now = loop_now_us(ln->io.loop);

	ln->exhausted++;
	if (ln->said_us == 0 || now - ln->said_us >= QUIET_US) {
		ln->said_us = now;
		log_error("listener", "cannot accept connections; is the limit of open files too low?", "address",
			ln->address, "error", strerrordesc_np(error));
	}
	timer_set(&ln->timer, PAUSE_US);
	watch(ln);
}

static void on_pause_over(struct timer *t, void *arg)
{
	(void)t;
	watch(arg);
}

/* accept() reports what befell a waiting connection, and what the network reports (accept(2)): on to the next. */
static bool is_passing(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM: /* a firewall's rule */
		return true;
	default:
		return false;
	}
}

static void on_readable(struct io *io, unsigned what, void *arg)
{
	struct listener *ln = arg;

	(void)what;
	for (unsigned i = 0; i < ln->budget && !ln->paused; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof peer;
		const int fd = accept4(io->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct ip ip;

		if (fd < 0 && is_passing(errno))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				on_exhausted(ln, errno);
			return;
		}
		ip_from_sockaddr((struct sockaddr *)&peer, &ip);
		if (ln->handler->admit != NULL && !ln->handler->admit(ln->arg, &ip)) {
			ln->refused++;
			close(fd);
			continue;
		}
		ln->accepted++;
		ln->handler->accept(ln->arg, fd, &ip);
	}
}

/* --- sockets --- */

static enum sterna_result make_address(const struct listener_options *o, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	const char *text = o->address != NULL ? o->address : "::";
	struct ip ip;

	memset(out, 0, sizeof *out);
	if (ip_parse(text, &ip) != STERNA_OK) {
		log_error("listener", "this is no IP address", "address", text);
		return STERNA_EINVAL;
	}
	if (strchr(text, ':') == NULL) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(o->port);
		memcpy(&v4->sin_addr, ip.bytes + 12, 4);
		*len = sizeof *v4;
		return STERNA_OK;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(o->port);
	memcpy(&v6->sin6_addr, ip.bytes, 16);
	*len = sizeof *v6;
	return STERNA_OK;
}

/* A bound socket, or -1 with errno. */
static int bind_socket(const struct sockaddr_storage *at, socklen_t len, bool share)
{
	const int one = 1, zero = 0;
	const int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
	    (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0) &&
	    (at->ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == 0) &&
	    bind(fd, (const struct sockaddr *)at, len) == 0)
		return fd;
	const int error = errno;

	close(fd);
	errno = error;
	return -1;
}

/* A kernel without IPv6: "::" then means every IPv4 address. */
static bool fall_back(const struct listener_options *o, struct sockaddr_storage *at, socklen_t *len)
{
	const struct listener_options any = { .address = "0.0.0.0", .port = o->port };

	return errno == EAFNOSUPPORT && (o->address == NULL || strcmp(o->address, "::") == 0) &&
		make_address(&any, at, len) == STERNA_OK;
}

static int open_socket(const struct listener_options *o, struct sockaddr_storage *at, socklen_t *len)
{
	int fd;

	if (o->first && o->port != 0) {
		fd = bind_socket(at, *len, false);
		if (fd < 0 && !fall_back(o, at, len))
			return -1;
		if (fd >= 0)
			close(fd);
	}
	fd = bind_socket(at, *len, true);
	if (fd < 0 && fall_back(o, at, len))
		fd = bind_socket(at, *len, true);
	if (fd >= 0 && listen(fd, o->backlog > 0 ? o->backlog : BACKLOG) != 0) {
		const int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void log_refusal(const char *address, int error)
{
	const char *text = error == EADDRINUSE      ? "port is in use by another program"
			   : error == EACCES        ? "not allowed to use this port; ports below 1024 need a privilege"
			   : error == EADDRNOTAVAIL ? "this machine does not have this address"
						    : "cannot listen";

	log_error("listener", text, "address", address, "error", strerrordesc_np(error));
}

/* --- life --- */

enum sterna_result listener_new(struct loop *l, const struct listener_options *o, const struct listener_handler *h,
	void *arg, struct listener **out)
{
	struct sockaddr_storage at;
	char address[IP_TEXT_SIZE];
	socklen_t len;
	const enum sterna_result rc = make_address(o, &at, &len);

	if (rc != STERNA_OK)
		return rc;
	ip_format_peer((struct sockaddr *)&at, address);
	const int fd = open_socket(o, &at, &len);

	if (fd < 0) {
		log_refusal(address, errno);
		return STERNA_EIO;
	}
	struct listener *ln = xalloc(sizeof *ln);

	ln->handler = h;
	ln->arg = arg;
	ln->budget = o->accept_budget > 0 ? o->accept_budget : ACCEPT_BUDGET;
	memcpy(ln->address, address, sizeof address);
	io_init(&ln->io, l, fd, on_readable, ln);
	timer_init(&ln->timer, l, on_pause_over, ln);
	watch(ln);
	*out = ln;
	return STERNA_OK;
}

uint16_t listener_port(const struct listener *ln)
{
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof at;

	return getsockname(ln->io.fd, (struct sockaddr *)&at, &len) == 0 ? ip_port((struct sockaddr *)&at) : 0;
}

void listener_pause(struct listener *ln, bool pause)
{
	ln->paused = pause;
	watch(ln);
}

uint64_t listener_accepted(const struct listener *ln)
{
	return ln->accepted;
}

uint64_t listener_refused(const struct listener *ln)
{
	return ln->refused;
}

uint64_t listener_exhausted(const struct listener *ln)
{
	return ln->exhausted;
}

void listener_free(struct listener **lnp)
{
	struct listener *ln = *lnp;

	*lnp = NULL;
	if (ln == NULL)
		return;
	io_clear(&ln->io);
	timer_cancel(&ln->timer);
	close(ln->io.fd);
	free(ln);
}
