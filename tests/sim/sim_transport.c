/* sim_transport.c - a connection as two buffers of bytes in flight. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim.h"

static struct sim_conn *conn_of(struct transport *t)
{
	return (struct sim_conn *)t;
}

static void release(struct sim_conn *c)
{
	if (!c->server_gone || !c->client_gone)
		return;
	for (struct sim_conn **at = &c->sim->conns; *at != NULL; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	buf_release(&c->up);
	buf_release(&c->down);
	free(c);
}

static void write_out(struct sim_conn *c)
{
	struct buf *out = &c->t.out;

	if (buf_len(out) == 0)
		return;
	if (!c->cut && !c->killed)
		buf_add(&c->down, buf_data(out), buf_len(out));
	c->t.bytes_out += buf_len(out);
	buf_release(out);
	c->t.progress_us = loop_now_us(c->t.loop);
	c->drained = true;
}

static void on_flush(struct task *t, void *arg)
{
	(void)t;
	write_out(arg);
}

static void conn_start_tls(struct transport *t)
{
	t->secure = true;
}

static void conn_flush(struct transport *t)
{
	if (!conn_of(t)->detached)
		write_out(conn_of(t));
}

static void conn_set_reading(struct transport *t, bool on)
{
	conn_of(t)->reading = on;
}

/* There is time for everybody at once. */
static void conn_set_patient(struct transport *t, bool on)
{
	(void)t, (void)on;
}

static bool conn_is_late(struct transport *t)
{
	(void)t;
	return false;
}

static void conn_close(struct transport *t)
{
	conn_of(t)->server_closed = true;
}

static void conn_free(struct transport **t)
{
	struct sim_conn *c = *t != NULL ? conn_of(*t) : NULL;

	*t = NULL;
	if (c == NULL)
		return;
	if (!c->detached) {
		/* What was written is with the system by now, and arrives. */
		if (!c->killed)
			write_out(c);
		loop_undefer(c->t.loop, &c->t.flush_task);
	}
	buf_release(&c->t.out);
	c->server_gone = true;
	release(c);
}

static void conn_detach(struct transport *t)
{
	struct sim_conn *c = conn_of(t);

	loop_undefer(t->loop, &t->flush_task);
	c->detached = true;
	t->loop = NULL;
}

static void conn_attach(struct transport *t, struct loop *l)
{
	struct sim_conn *c = conn_of(t);

	t->loop = l;
	c->detached = false;
	if (buf_len(&t->out) > 0)
		loop_defer(l, &t->flush_task);
}

static enum sterna_result conn_channel_binding(struct transport *t, const char *type, unsigned char *out, size_t size,
	size_t *len)
{
	(void)t, (void)type, (void)out, (void)size, (void)len;
	return STERNA_ENOTFOUND;
}

static const char *conn_tls_text(struct transport *t)
{
	return t->secure ? "simulated" : NULL;
}

static const char *conn_tls_sni(struct transport *t)
{
	(void)t;
	return NULL;
}

static const char *conn_peer_xmpp_addr(struct transport *t, size_t index)
{
	const struct sim_conn *c = conn_of(t);

	return index == 0 && c->addr[0] != '\0' ? c->addr : NULL;
}

static enum tls_proof conn_peer_proof(struct transport *t, const char *domain, const struct tls_pin *pin, const char **why)
{
	(void)pin;
	*why = "simulated";
	return strcmp(conn_of(t)->addr, domain) == 0 ? TLS_PROOF_PKIX : TLS_PROOF_NONE;
}

static const struct transport_ops ops = {
	.start_tls = conn_start_tls, .flush = conn_flush, .set_reading = conn_set_reading, .close = conn_close,
	.set_patient = conn_set_patient, .is_late = conn_is_late, .free = conn_free, .detach = conn_detach, .attach = conn_attach, .channel_binding = conn_channel_binding,
	.tls_version = conn_tls_text, .tls_cipher = conn_tls_text, .tls_sni = conn_tls_sni,
	.peer_xmpp_addr = conn_peer_xmpp_addr, .peer_proof = conn_peer_proof,
};

struct sim_conn *sim_conn_new(struct sim *s, struct loop *l, const char *addr)
{
	struct sim_conn *c = xalloc(sizeof *c);

	c->sim = s;
	c->reading = true;
	c->t.ops = &ops;
	c->t.loop = l;
	c->t.secure = true;
	task_init(&c->t.flush_task, on_flush, c);
	snprintf(c->t.peer, sizeof c->t.peer, "[::1]:1");
	snprintf(c->addr, sizeof c->addr, "%s", addr != NULL ? addr : "");
	struct sim_conn **at = &s->conns;

	while (*at != NULL)
		at = &(*at)->next;
	*at = c;
	return c;
}

struct sim_conn *sim_connect(struct sim *s, unsigned worker, const struct stream_kind *kind, const char *addr)
{
	struct worker *w = s->server->workers[worker];
	struct sim_conn *c;

	sim_loop_begin(w->loop);
	c = sim_conn_new(s, w->loop, addr);
	stream_attach(stream_new(w, kind, true), &c->t);
	return c;
}

static bool notices_end(const struct sim_conn *c)
{
	return (c->server_closed && buf_len(&c->t.out) == 0)
		|| (c->cut && c->sim->now_us >= c->noticed_us && (buf_len(&c->up) == 0 || !c->reading));
}

bool sim_conn_is_ready(const struct sim_conn *c)
{
	if (c->server_gone || c->detached)
		return false;
	return c->greets || c->drained || (c->reading && buf_len(&c->up) > 0) || notices_end(c);
}

void sim_conn_input(struct sim_conn *c, size_t max)
{
	if (c->greets) {
		c->greets = false;
		c->t.handler->on_secure(c->t.arg);
	} else if (c->drained && !notices_end(c)) {
		c->drained = false;
		c->t.handler->on_drained(c->t.arg);
	} else if (c->reading && buf_len(&c->up) > 0) {
		const size_t n = buf_len(&c->up) < max ? buf_len(&c->up) : max;
		char *bytes = xstrndup(buf_data(&c->up), n);

		buf_consume(&c->up, n);
		c->t.bytes_in += n;
		c->t.handler->on_read(c->t.arg, bytes, n);
		free(bytes);
	} else if (notices_end(c)) {
		c->t.handler->on_closed(c->t.arg, STERNA_ECLOSED, "simulated");
	}
}

void sim_conn_cut(struct sim_conn *c, uint64_t after_us, bool lose)
{
	c->cut = true;
	c->noticed_us = c->sim->now_us + after_us;
	if (lose && buf_len(&c->up) > 0) {
		const size_t keep = sim_random(c->sim) % buf_len(&c->up);
		char *bytes = xstrndup(buf_data(&c->up), keep);

		buf_release(&c->up);
		buf_add(&c->up, bytes, keep);
		free(bytes);
	}
}

void sim_conn_let_go(struct sim_conn **conn)
{
	struct sim_conn *c = *conn;

	*conn = NULL;
	if (c == NULL)
		return;
	c->client_gone = true;
	c->cut = true;
	release(c);
}
