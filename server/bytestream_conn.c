/* bytestream_conn.c - one connection of a relayed bytestream: SOCKS, waiting, and its life.
 *
 * What a connection sends is read while it speaks SOCKS and when it is joined; in between it waits in the kernel. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/bytestream_impl.h"
#include "server/mem.h"
#include "server/net.h"

enum { SOCKS_US = 10000000 };        /* for both steps together, which need two round trips */

static void conn_free(struct bytestream_conn **cp)
{
	struct bytestream_conn *c = *cp;

	*cp = NULL;
	timer_cancel(&c->timer);
	bytestream_conn_unlink(c);
	if (c->pair != NULL)
		bytestream_leave(c);
	if (c->held)
		net_release(c->worker->server, &c->ip, loop_now_us(c->worker->loop));
	bytestream_gone(c->worker->server);
	c->transport->ops->free(&c->transport);
	buf_release(&c->in);
	free(c);
}

/* --- SOCKS --- */

static void send_out(struct bytestream_conn *c)
{
	transport_send_later(c->transport);
}

void bytestream_conn_refuse(struct bytestream_conn *c, enum socks_reply reply)
{
	socks_write_reply(&c->transport->out, reply, reply == SOCKS_NOT_ALLOWED && c->request.hash[0] != '\0' ? &c->request : NULL);
	send_out(c);
	bytestream_conn_leave(c);
}

void bytestream_conn_ready(struct bytestream_conn *c)
{
	socks_write_reply(&c->transport->out, SOCKS_DONE, &c->request);
	send_out(c);
	timer_set(&c->timer, (uint64_t)bytestream_config(c->worker)->wait_time.us);
}

static void read_greeting(struct bytestream_conn *c)
{
	size_t used = 0;
	const enum sterna_result rc = socks_greeting((const unsigned char *)buf_data(&c->in), buf_len(&c->in), &used);

	if (rc == STERNA_EAGAIN)
		return;
	if (rc == STERNA_EINVAL) {
		bytestream_conn_leave(c);
		return;
	}
	buf_consume(&c->in, used);
	socks_write_method(&c->transport->out, rc == STERNA_OK);
	send_out(c);
	if (rc == STERNA_OK)
		c->state = BYTESTREAM_REQUEST;
	else
		bytestream_conn_leave(c);
}

/* After it c may be on another worker. */
static void read_request(struct bytestream_conn *c)
{
	enum socks_reply reply = SOCKS_FAILED;
	size_t used = 0;
	const enum sterna_result rc = socks_request((const unsigned char *)buf_data(&c->in), buf_len(&c->in), &c->request, &used,
		&reply);

	if (rc == STERNA_EAGAIN)
		return;
	if (rc == STERNA_EINVAL) {
		bytestream_conn_leave(c);
		return;
	}
	if (rc != STERNA_OK) {
		bytestream_conn_refuse(c, reply);
		return;
	}
	buf_consume(&c->in, used);
	c->transport->ops->set_reading(c->transport, false);
	bytestream_enter(c);
}

/* --- the transport's events --- */

static void on_read(void *arg, const char *bytes, size_t len)
{
	struct bytestream_conn *c = arg;

	switch (c->state) {
	case BYTESTREAM_GREETING:
	case BYTESTREAM_REQUEST:
		buf_add(&c->in, bytes, len);
		if (c->state == BYTESTREAM_GREETING)
			read_greeting(c);
		if (c->state == BYTESTREAM_REQUEST && buf_len(&c->in) > 0)
			read_request(c);
		return;
	case BYTESTREAM_WAITING:
	case BYTESTREAM_LEAVING:
		return; /* it is not read */
	case BYTESTREAM_JOINED:
		bytestream_pass(c, bytes, len);
		return;
	}
}

static void on_secure(void *arg)
{
	(void)arg;
}

static void on_drained(void *arg)
{
	struct bytestream_conn *c = arg;

	if (c->state == BYTESTREAM_LEAVING) {
		if (buf_len(&c->transport->out) == 0)
			c->transport->ops->close(c->transport);
		return;
	}
	bytestream_drained(c);
}

static void on_closed(void *arg, enum sterna_result why, const char *text)
{
	struct bytestream_conn *c = arg;

	log_debug("bytestream", "connection ended", "peer", c->transport->peer, "result", sterna_result_text(why), "text", text);
	conn_free(&c);
}

static const struct transport_handler events = {
	.on_read = on_read, .on_secure = on_secure, .on_drained = on_drained, .on_closed = on_closed,
};

static void on_timer(struct timer *t, void *arg)
{
	struct bytestream_conn *c = arg;

	(void)t;
	if (c->state == BYTESTREAM_JOINED)
		bytestream_conn_hold(c, BYTESTREAM_HOLD_RATE, false);
	else
		conn_free(&c);
}

/* --- for bytestream.c --- */

void bytestream_conn_hold(struct bytestream_conn *c, unsigned why, bool on)
{
	const unsigned before = c->holds;

	c->holds = on ? before | why : before & ~why;
	if (c->state == BYTESTREAM_JOINED && (before == 0) != (c->holds == 0))
		c->transport->ops->set_reading(c->transport, c->holds == 0);
}

void bytestream_conn_send(struct bytestream_conn *c, const char *bytes, size_t len)
{
	if (c->state == BYTESTREAM_LEAVING)
		return;
	buf_add(&c->transport->out, bytes, len);
	send_out(c);
}

void bytestream_conn_join(struct bytestream_conn *c)
{
	const struct config_bytestreams *cfg = bytestream_config(c->worker);
	struct buf early = c->in;

	c->in = (struct buf)BUF_INIT;
	c->state = BYTESTREAM_JOINED;
	timer_cancel(&c->timer);
	if (c->held)
		net_release(c->worker->server, &c->ip, loop_now_us(c->worker->loop)); /* its account counts from here on */
	c->held = false;
	ratelimit_init(&c->bytes, &cfg->bytes, loop_now_us(c->worker->loop));
	c->transport->ops->set_patient(c->transport, false);
	c->transport->ops->set_reading(c->transport, true);
	if (buf_len(&early) > 0)
		bytestream_pass(c, buf_data(&early), buf_len(&early));
	buf_release(&early);
}

void bytestream_conn_leave(struct bytestream_conn *c)
{
	if (c->state == BYTESTREAM_LEAVING)
		return;
	c->state = BYTESTREAM_LEAVING;
	timer_cancel(&c->timer);
	c->transport->ops->set_reading(c->transport, false);
	/* What is left leaves at its reader's pace, as long as it takes any (limits.write_time). */
	if (buf_len(&c->transport->out) == 0)
		c->transport->ops->close(c->transport);
	else
		send_out(c);
}

/* --- life --- */

void bytestream_conn_unlink(struct bytestream_conn *c)
{
	*(c->prev != NULL ? &c->prev->next : &c->worker->bytestream_conns) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
	timer_cancel(&c->timer);
}

void bytestream_conn_enroll(struct bytestream_conn *c, struct worker *w)
{
	c->worker = w;
	c->next = w->bytestream_conns;
	if (c->next != NULL)
		c->next->prev = c;
	w->bytestream_conns = c;
	timer_init(&c->timer, w->loop, on_timer, c);
}

static bool on_admit(void *arg, const struct ip *peer)
{
	struct bytestream_conn *c = arg;

	if (!net_hold(c->worker->server, peer, loop_now_us(c->worker->loop)))
		return false;
	c->ip = *peer;
	c->held = true;
	return true;
}

void bytestream_accept(struct worker *w, int fd, const struct conn_options *o, const struct ip *ip)
{
	struct conn_options with = *o;

	if (!bytestream_admit(w->server)) {
		if (ip != NULL)
			net_release(w->server, ip, loop_now_us(w->loop));
		close(fd);
		return;
	}
	struct bytestream_conn *c = xalloc(sizeof *c);

	bytestream_conn_enroll(c, w);
	if (ip != NULL)
		c->ip = *ip;
	c->held = ip != NULL;
	with.admit = on_admit;
	with.admit_arg = c;
	c->transport = conn_accept(w->loop, fd, &with);
	c->transport->handler = &events;
	c->transport->arg = c;
	timer_set(&c->timer, SOCKS_US);
}

void bytestream_stop(struct worker *w)
{
	for (struct bytestream_conn *c = w->bytestream_conns, *next; c != NULL; c = next) {
		next = c->next;
		bytestream_conn_leave(c);
	}
}

void bytestream_free_all(struct worker *w)
{
	while (w->bytestream_conns != NULL) {
		struct bytestream_conn *c = w->bytestream_conns;

		conn_free(&c);
	}
}
