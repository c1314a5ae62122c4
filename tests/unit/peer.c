/* peer.c - both ends of a connection, for tests. */
#include "tests/unit/peer.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "server/mem.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* --- workers --- */

static void *run(void *arg)
{
	loop_run(arg);
	return NULL;
}

void worker_start(struct worker *w)
{
	signal(SIGPIPE, SIG_IGN);
	must(loop_new(&w->loop) == STERNA_OK);
	must(pthread_create(&w->thread, NULL, run, w->loop) == 0);
}

struct call {
	struct mail mail;
	void (*fn)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;
};

static void on_call(struct mail *m, struct loop *l)
{
	struct call *c = (struct call *)m;

	(void)l;
	c->fn(c->arg);
	pthread_mutex_lock(&c->lock);
	c->is_done = true;
	pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
}

void worker_call(struct worker *w, void (*fn)(void *arg), void *arg)
{
	struct call c = { .mail.run = on_call, .fn = fn, .arg = arg };

	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.done, NULL);
	loop_post(w->loop, &c.mail);
	pthread_mutex_lock(&c.lock);
	while (!c.is_done)
		pthread_cond_wait(&c.done, &c.lock);
	pthread_mutex_unlock(&c.lock);
	pthread_mutex_destroy(&c.lock);
	pthread_cond_destroy(&c.done);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

void worker_stop(struct worker *w)
{
	worker_call(w, stop, w->loop);
	pthread_join(w->thread, NULL);
}

/* --- the server's side --- */

struct arrival {
	struct mail mail;
	struct side *side;
};

static void on_arrival(struct mail *m, struct loop *l)
{
	struct arrival *a = (struct arrival *)m;

	a->side->t->ops->attach(a->side->t, l);
	free(a);
}

static void move(struct side *s)
{
	struct arrival *a = xalloc(sizeof *a);
	struct loop *to = s->workers[s->at ^= 1].loop;

	a->mail.run = on_arrival;
	a->side = s;
	s->t->ops->detach(s->t);
	loop_post(to, &a->mail); /* from here on it is the other thread's */
}

static void on_read(void *arg, const char *bytes, size_t len)
{
	struct side *s = arg;

	s->reads++;
	if (s->echo) {
		buf_add(&s->t->out, bytes, len);
		transport_send_later(s->t);
		if (buf_len(&s->t->out) > 262144)
			s->t->ops->set_reading(s->t, false);
	} else {
		buf_add(&s->in, bytes, len);
	}
	if (s->starttls) {
		s->starttls = false;
		buf_lit(&s->t->out, "<proceed/>");
		s->t->ops->start_tls(s->t);
	} else if (s->close_on_read) {
		s->close_on_read = false;
		s->t->ops->close(s->t);
	} else if (s->free_on_read) {
		s->t->ops->free(&s->t);
	} else if (s->move) {
		move(s);
	}
}

static void on_secure(void *arg)
{
	struct side *s = arg;

	s->secure = true;
}

static void on_drained(void *arg)
{
	struct side *s = arg;

	s->drained++;
	s->t->ops->set_reading(s->t, true);
}

static void on_closed(void *arg, enum sterna_result why, const char *text)
{
	struct side *s = arg;

	must(!s->closed);
	s->closed = true;
	s->why = why;
	snprintf(s->text, sizeof s->text, "%s", text);
}

static const struct transport_handler handler = { on_read, on_secure, on_drained, on_closed };

struct start {
	struct side *side;
	const struct conn_options *o;
	int fd;
	bool connects;
};

static void start(void *arg)
{
	struct start *a = arg;
	struct loop *l = a->side->workers[0].loop;

	a->side->t = a->connects ? conn_connect(l, a->fd, a->o) : conn_accept(l, a->fd, a->o);
	a->side->t->handler = &handler;
	a->side->t->arg = a->side;
}

void side_serve(struct side *s, struct worker *workers, int fd, const struct conn_options *o)
{
	s->workers = workers;
	worker_call(&workers[0], start, &(struct start){ s, o, fd, false });
}

void side_connect(struct side *s, struct worker *workers, int fd, const struct conn_options *o)
{
	s->workers = workers;
	worker_call(&workers[0], start, &(struct start){ s, o, fd, true });
}

void side_end(struct side *s)
{
	if (s->t != NULL)
		s->t->ops->free(&s->t);
	buf_release(&s->in);
}

struct question {
	bool (*cond)(struct side *s);
	struct side *side;
	bool answer;
};

static void ask(void *arg)
{
	struct question *q = arg;

	q->answer = q->cond(q->side);
}

bool side_wait(struct side *s, bool (*cond)(struct side *s))
{
	struct question q = { .cond = cond, .side = s };

	for (int i = 0; i < 4000 && !q.answer; i++) {
		worker_call(&s->workers[s->at], ask, &q);
		if (!q.answer)
			usleep(2000);
	}
	return q.answer;
}

bool side_is_closed(struct side *s)
{
	return s->closed;
}

bool side_is_secure(struct side *s)
{
	return s->secure;
}

bool side_has_read(struct side *s)
{
	return s->reads > 0;
}

/* --- the client's side --- */

void tcp_pair(int *ours, int *theirs)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval limit = { 8, 0 };
	socklen_t len = sizeof at;
	const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(bind(listening, (struct sockaddr *)&at, len) == 0 && listen(listening, 1) == 0);
	must(getsockname(listening, (struct sockaddr *)&at, &len) == 0);
	*ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(*ours, (struct sockaddr *)&at, len) == 0);
	*theirs = accept(listening, NULL, NULL);
	must(*theirs >= 0);
	close(listening);
	setsockopt(*ours, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(*ours, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

void client_init(struct client *c, int fd, const char *sni, const char *alpn, const char *cert)
{
	c->fd = fd;
	c->ctx = SSL_CTX_new(TLS_client_method());
	must(c->ctx != NULL);
	if (cert != NULL) {
		must(SSL_CTX_use_certificate_chain_file(c->ctx, cert) == 1);
		must(SSL_CTX_use_PrivateKey_file(c->ctx, cert, SSL_FILETYPE_PEM) == 1);
	}
	c->ssl = SSL_new(c->ctx);
	must(c->ssl != NULL && SSL_set_fd(c->ssl, fd) == 1);
	if (sni != NULL)
		must(SSL_set_tlsext_host_name(c->ssl, sni) == 1);
	if (alpn != NULL)
		must(SSL_set_alpn_protos(c->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)) == 0);
}

bool client_handshake(struct client *c)
{
	ERR_clear_error();
	return SSL_connect(c->ssl) == 1;
}

void client_clear(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	*c = (struct client){ .fd = -1 };
}

bool client_read(struct client *c, char *out, size_t n)
{
	while (n > 0) {
		const ssize_t got = c->ssl != NULL ? SSL_read(c->ssl, out, (int)n) : recv(c->fd, out, n, 0);

		if (got <= 0)
			return false;
		out += got;
		n -= (size_t)got;
	}
	return true;
}

bool client_write(struct client *c, const char *bytes, size_t n)
{
	while (n > 0) {
		const ssize_t put = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)n) : send(c->fd, bytes, n, MSG_NOSIGNAL);

		if (put <= 0)
			return false;
		bytes += put;
		n -= (size_t)put;
	}
	return true;
}
