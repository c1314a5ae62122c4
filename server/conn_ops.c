/* conn_ops.c - the real transport: what the owner calls.
 *
 * Nothing here calls the owner back: a failure is noted, and told at the end of the turn. */
#include "server/conn_impl.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void conn_start_tls(struct transport *t)
{
	struct conn *c = conn_of(t);
	char byte;

	if (c->state != OPEN || c->ssl != NULL || c->tls == NULL) {
		if (c->state != CLOSED)
			conn_fail_later(c, STERNA_EINVAL, "no TLS to be had here");
		return;
	}
	/* RFC 6120 §5.4.3.3: the peer waits for our answer. What is here already was slipped in, perhaps by
	 * someone between us, to be taken for the inside of TLS later. */
	if (recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		conn_fail_later(c, STERNA_EINVAL, "bytes between STARTTLS and TLS");
		return;
	}
	c->state = STARTTLS;
	timer_set(&c->timer, c->limits->handshake_us);
	conn_update_watch(c);
	loop_defer(t->loop, &t->flush_task);
}

static void conn_flush(struct transport *t)
{
	struct conn *c = conn_of(t);

	if (c->state == CLOSED || c->detached)
		return;
	if (conn_write_out(c) == FAILED || c->drained || c->state != OPEN)
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
	conn_update_watch(c);
	conn_kick_if_pending(c);
}

static void conn_set_patient(struct transport *t, bool on)
{
	struct conn *c = conn_of(t);

	c->patient = on;
	if (!c->detached)
		io_set_patient(&c->io, on);
}

static bool conn_is_late(struct transport *t)
{
	const struct conn *c = conn_of(t);

	return !c->detached && io_is_late(&c->io);
}

static void conn_close(struct transport *t)
{
	struct conn *c = conn_of(t);

	if (c->state == CLOSING || c->state == CLOSED)
		return;
	if (c->state != OPEN && c->state != STARTTLS) {
		conn_fail_later(c, STERNA_ECLOSED, "closed");
		return;
	}
	c->state = CLOSING;
	timer_set(&c->timer, c->limits->close_us);
	conn_update_watch(c);
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
	io_init(&c->io, l, c->io.fd, conn_on_io, c);
	io_set_patient(&c->io, c->patient);
	timer_init(&c->timer, l, conn_on_timer, c);
	if (c->due_us != 0)
		timer_set(&c->timer, c->due_us > now ? c->due_us - now : 0);
	if (c->turn_end_due || c->drained || buf_len(&t->out) > 0)
		loop_defer(l, &t->flush_task);
	conn_update_watch(c);
	conn_kick_if_pending(c);
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
	tls_dane_free(&c->dane);
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

static bool conn_peer_verified(struct transport *t)
{
	return tls_peer_is_verified(conn_of(t)->ssl);
}

static enum tls_proof conn_peer_proof(struct transport *t, const char *domain, const struct tls_pin *pin, const char **why)
{
	return tls_peer_proof(conn_of(t)->ssl, domain, pin, why);
}

const struct transport_ops conn_transport_ops = {
	.start_tls = conn_start_tls,
	.flush = conn_flush,
	.set_reading = conn_set_reading,
	.set_patient = conn_set_patient,
	.is_late = conn_is_late,
	.close = conn_close,
	.free = conn_free,
	.detach = conn_detach,
	.attach = conn_attach,
	.channel_binding = conn_channel_binding,
	.tls_version = conn_tls_version,
	.tls_cipher = conn_tls_cipher,
	.tls_sni = conn_tls_sni,
	.peer_xmpp_addr = conn_peer_xmpp_addr,
	.peer_verified = conn_peer_verified,
	.peer_proof = conn_peer_proof,
};

const struct ip *conn_peer_ip(const struct transport *t)
{
	return &conn_of(t)->ip;
}
