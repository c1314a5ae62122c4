/* dial.c - connecting: a race over the targets that dial_find.c has found. */
#include "server/dial_impl.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/conn.h"
#include "server/net.h"

enum { STAGGER_US = 250000 }; /* RFC 8305 §5 */

static uint64_t now_us(const struct dial *d)
{
	return loop_now_us(d->worker->loop);
}

/* --- one connection of the race --- */

static void runner_clear(struct dial_runner *r)
{
	if (r->fd < 0)
		return;
	io_clear(&r->io);
	timer_cancel(&r->timer);
	close(r->fd);
	r->fd = -1;
}

static void stop_all(struct dial *d)
{
	for (unsigned i = 0; i < DIAL_RUNNERS; i++)
		runner_clear(&d->runners[i]);
	timer_cancel(&d->stagger);
}

static bool any_runs(const struct dial *d)
{
	for (unsigned i = 0; i < DIAL_RUNNERS; i++)
		if (d->runners[i].fd >= 0)
			return true;
	return false;
}

static socklen_t to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (ip_is_v4(ip)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)out;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, ip->bytes + 12, 4);
		return sizeof *v4;
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip->bytes, 16);
	return sizeof *v6;
}

static const char *target_text(const struct dial_target *t, char *out, size_t size)
{
	char ip[IP_TEXT_SIZE];

	ip_format(&t->ip, ip);
	snprintf(out, size, "%s port %u%s%s%s", ip, t->port, t->direct ? " with TLS" : "", *t->name != '\0' ? " for " : "",
		t->name);
	return out;
}

static void target_failed(struct dial *d, const struct dial_target *t, const char *why)
{
	char text[DIAL_TEXT];

	trail_add(d->trail, now_us(d), "connect", false, "%s: %s", target_text(t, text, sizeof text), why);
}

/* RFC 7673 §3: records that DNSSEC has proven. */
static struct tls_dane *dane_of(struct dial *d, const struct dial_target *t)
{
	struct tls_dane *dane;

	if (t->tlsa == NULL || t->tlsa->count == 0)
		return NULL;
	dane = tls_dane_new(t->name);
	for (unsigned i = 0; i < t->tlsa->count; i++) {
		const struct dns_tlsa *r = &t->tlsa->record[i].tlsa;

		tls_dane_add(dane, r->usage, r->selector, r->matching, r->data, r->len);
	}
	trail_add(d->trail, now_us(d), "dane", true, "%u TLSA records for %s", t->tlsa->count, t->name);
	return dane;
}

/* The connection that was first: the others are given up. */
static void won(struct dial *d, struct dial_runner *r)
{
	const struct dial_target *t = r->target;
	const int fd = r->fd;
	struct tls_context *tls = net_s2s_tls(d->worker->server->net);
	char ascii[256], text[DIAL_TEXT];

	io_clear(&r->io);
	timer_cancel(&r->timer);
	r->fd = -1;
	stop_all(d);
	trail_add(d->trail, now_us(d), "connect", true, "%s", target_text(t, text, sizeof text));
	if (idna_to_ascii(d->domain, ascii, sizeof ascii) != STERNA_OK)
		snprintf(ascii, sizeof ascii, "%s", d->domain);
	struct dial_result result = { .rc = STERNA_OK, .direct = t->direct, .text = text };

	result.transport = conn_connect(d->worker->loop, fd, &(struct conn_options){ .tls = tls, .direct = t->direct,
		.alpn = t->direct ? "xmpp-server" : NULL, .tls_local = d->from->ascii, .tls_remote = ascii,
		.dane = dane_of(d, t) });
	tls_context_unref(&tls);
	d->fn(d->arg, &result);
}

static void lost(struct dial *d, struct dial_runner *r, const char *why)
{
	target_failed(d, r->target, why);
	runner_clear(r);
	dial_run(d);
}

/* --- through a proxy --- */

/* A few hundred bytes on a connection that has said next to nothing: they fit, or something is wrong. */
static bool tell(struct dial_runner *r, struct buf *out)
{
	const bool all = buf_len(out) == 0
		|| send(r->fd, buf_data(out), buf_len(out), MSG_NOSIGNAL) == (ssize_t)buf_len(out);

	buf_release(out);
	return all;
}

static void proxy_failed(struct dial_runner *r, const char *why)
{
	struct dial *d = r->dial;

	trail_add(d->trail, now_us(d), "socks5", false, "%s", why);
	runner_clear(r);
	dial_run(d);
}

static void ask_proxy(struct dial_runner *r)
{
	struct buf out = BUF_INIT;

	r->asks = true;
	dial_socks_begin(&r->socks, &r->dial->proxy, &out);
	io_watch(&r->io, IO_READ);
	if (!tell(r, &out))
		proxy_failed(r, "the proxy closed the connection");
}

static void on_proxy(struct dial_runner *r)
{
	struct dial *d = r->dial;
	struct buf out = BUF_INIT;
	unsigned char bytes[sizeof r->socks.in];
	const char *why = "the proxy closed the connection";
	const ssize_t n = recv(r->fd, bytes, r->socks.need - r->socks.have, 0);
	enum dial_socks_state state = DIAL_SOCKS_FAILED;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		state = dial_socks_take(&r->socks, bytes, (size_t)n, &out, &why);
	if (state != DIAL_SOCKS_FAILED && !tell(r, &out))
		state = DIAL_SOCKS_FAILED;
	buf_release(&out);
	if (state == DIAL_SOCKS_FAILED) {
		proxy_failed(r, why);
	} else if (state == DIAL_SOCKS_DONE) {
		trail_add(d->trail, now_us(d), "socks5", true, "the proxy has connected to %s port %u", d->proxy.host, d->proxy.port);
		won(d, r);
	}
}

static void on_ready(struct io *io, unsigned what, void *arg)
{
	struct dial_runner *r = arg;
	int error = 0;
	socklen_t len = sizeof error;

	(void)io;
	(void)what;
	if (r->asks) {
		on_proxy(r);
		return;
	}
	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0 && r->dial->proxy.host != NULL)
		ask_proxy(r);
	else if (error == 0)
		won(r->dial, r);
	else
		lost(r->dial, r, strerrordesc_np(error));
}

static void on_late(struct timer *timer, void *arg)
{
	struct dial_runner *r = arg;

	(void)timer;
	lost(r->dial, r, r->asks ? "no answer of the proxy in time" : "no connection in time");
}

void dial_set_options(int fd, const struct config_s2s *c)
{
	const int one = 1, stall_ms = (int)(c->stall_time.us / 1000);

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

static bool run_one(struct dial *d, struct dial_runner *r, const struct dial_target *t)
{
	const struct config_s2s *c = &d->worker->server->config->s2s;
	struct sockaddr_storage to, from;
	const socklen_t len = to_sockaddr(&t->ip, t->port, &to);
	const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	r->dial = d;
	r->target = t;
	if (fd >= 0) {
		dial_set_options(fd, c);
		if ((!d->has_bind || bind(fd, (struct sockaddr *)&from, to_sockaddr(&d->bind, 0, &from)) == 0)
			&& (connect(fd, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS)) {
			r->fd = fd;
			r->asks = false;
			io_init(&r->io, d->worker->loop, fd, on_ready, r);
			io_watch(&r->io, IO_WRITE);
			timer_init(&r->timer, d->worker->loop, on_late, r);
			timer_set(&r->timer, (uint64_t)c->try_time.us);
			return true;
		}
	}
	target_failed(d, t, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
	return false;
}

/* The next target joins the race, if one is left; when none is and nobody runs, that is the result. */
void dial_run(struct dial *d)
{
	for (unsigned i = 0; i < DIAL_RUNNERS && d->next < d->count; i++) {
		if (d->runners[i].fd >= 0)
			continue;
		while (d->next < d->count && d->runners[i].fd < 0)
			(void)run_one(d, &d->runners[i], &d->targets[d->next++]);
		break;
	}
	if (d->next < d->count)
		timer_set(&d->stagger, STAGGER_US);
	if (!any_runs(d))
		dial_failed(d, STERNA_EUNAVAILABLE, "no address of the domain can be connected to");
}

static void on_stagger(struct timer *timer, void *arg)
{
	(void)timer;
	dial_run(arg);
}

static void on_failed(struct timer *timer, void *arg)
{
	struct dial *d = arg;
	const struct dial_result r = { .rc = d->rc, .text = d->text };

	(void)timer;
	d->fn(d->arg, &r);
}

void dial_failed(struct dial *d, enum sterna_result rc, const char *text)
{
	d->rc = rc;
	d->text = text;
	timer_set(&d->failed, 0);
}

/* --- the ways --- */

static struct dial *dial_start(struct worker *w, const struct host *from, const char *domain, struct trail *trail,
	dial_fn *fn, void *arg)
{
	struct dial *d = xalloc(sizeof *d);

	d->worker = w;
	d->from = from;
	d->domain = xstrdup(domain);
	d->trail = trail;
	d->fn = fn;
	d->arg = arg;
	timer_init(&d->stagger, w->loop, on_stagger, d);
	timer_init(&d->failed, w->loop, on_failed, d);
	for (unsigned i = 0; i < DIAL_RUNNERS; i++)
		d->runners[i].fd = -1;
	dial_find(d);
	return d;
}

static void dial_next(struct dial *d)
{
	stop_all(d);
	dial_run(d);
}

static void dial_free(struct dial **dial)
{
	struct dial *d = *dial;

	*dial = NULL;
	if (d == NULL)
		return;
	stop_all(d);
	timer_cancel(&d->failed);
	dial_find_end(d);
	dial_proxy_clear(&d->proxy);
	free(d->domain);
	free(d);
}

const struct s2s_ways dial_ways = { .start = dial_start, .next = dial_next, .free = dial_free };
