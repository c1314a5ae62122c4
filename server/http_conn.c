/* http_conn.c - RFC 9112: requests come in, one after the other; answers go out.
 *
 * Nobody frees a connection while someone stands in its code: the transport's end does (on_closed), or a task at the
 * end of the turn. */
#include "server/http_conn.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/bosh.h"
#include "server/console.h"
#include "server/http_forwarded.h"
#include "server/net.h"
#include "server/rest.h"
#include "server/websocket.h"

enum { AHEAD_MAX = 65536 };          /* of later requests, read while one is answered */

static void next_request(struct http_conn *c);

static const struct config_http *config(const struct http_conn *c)
{
	const struct config *all = c->worker->server->config;

	return &all->http;
}

/* --- reading --- */

static void set_reading(struct http_conn *c, bool on)
{
	c->reading = on;
	c->transport->ops->set_reading(c->transport, on);
}

void http_conn_later(struct http_conn *c, http_conn_fn *fn)
{
	c->then = fn;
	loop_defer(c->worker->loop, &c->task);
}

void http_conn_wait(struct http_conn *c, void (*gone)(void *arg, struct http_conn *c), void *arg)
{
	c->gone = gone;
	c->gone_arg = arg;
	set_reading(c, true);
}

void http_conn_resumed(struct http_conn *c)
{
	c->gone = NULL;
	c->request.status = 0;
	c->request.later = false;
}

void http_conn_answered(struct http_conn *c, const char *module)
{
	if (c->request.later)
		return;
	if (c->request.status == 0) {
		log_error("http", "a module gave no answer", "module", module);
		sterna_http_reply(&c->request, 500, NULL, NULL, 0);
	}
	http_conn_answer(c);
}

static void on_task(struct task *t, void *arg)
{
	struct http_conn *c = arg;

	(void)t;
	c->then(c);
}

/* Everything is here: whose is it? */
static void complete(struct http_conn *c)
{
	struct sterna_http_request *r = &c->request;

	timer_cancel(&c->deadline);
	c->state = HTTP_ANSWER;
	set_reading(c, false);
	r->body = buf_len(&c->body) > 0 ? buf_data(&c->body) : "";
	r->body_len = buf_len(&c->body);
	if (c->console) {
		console_request(c);
		return;
	}
	if (c->api) {
		rest_request(c);
		return;
	}
	if (c->web && bosh_is_path(c->worker->server, r->path)) {
		bosh_request(c);
		return;
	}
	sterna_http_dispatch(c->worker, r);
	if (!r->later)
		http_conn_answer(c);
}

static void refuse(struct http_conn *c, unsigned status, const char *text)
{
	c->keep_alive = false; /* what follows is perhaps no request at all */
	c->state = HTTP_ANSWER;
	set_reading(c, false);
	http_conn_say(c, status, text);
}

/* At least so fast, on average. */
enum { LEAST_PER_S = 4096 };

static void allow_time(struct http_conn *c, uint64_t bytes)
{
	timer_set(&c->deadline, (uint64_t)config(c)->request_time.us + bytes / LEAST_PER_S * 1000000);
}

/* A route that is asked before the body is there. */
static void begin_stream(struct http_conn *c)
{
	const bool body = c->head.chunked || c->head.content_length > 0;

	c->state = HTTP_ANSWER;
	set_reading(c, false);
	allow_time(c, c->head.content_length);
	sterna_http_dispatch(c->worker, &c->request);
	if (c->state != HTTP_ANSWER || c->request.method == NULL)
		return; /* no helper had time, and that was said */
	if (c->request.later && c->store != NULL && strcmp(c->head.method, "PUT") == 0) {
		c->state = HTTP_BODY;
		c->body_left = c->head.content_length;
		c->continued = !c->head.expects_continue;
	} else if (!c->request.later) {
		c->keep_alive &= !body; /* it comes all the same, and is no request */
		http_conn_answer(c);
	}
}

static uint64_t body_max(const struct http_conn *c)
{
	const struct config *all = c->worker->server->config;

	return c->api ? all->api.body_bytes.bytes : all->http.body_bytes.bytes;
}

static void begin_body(struct http_conn *c)
{
	if (c->head.content_length > body_max(c)) {
		refuse(c, 413, "this is too large\n");
		return;
	}
	if (!c->head.chunked && c->head.content_length == 0) {
		complete(c);
		return;
	}
	c->state = HTTP_BODY;
	c->body_left = c->head.content_length;
	c->chunks = (struct http_chunks){ 0 };
	if (c->head.expects_continue && buf_len(&c->in) == 0) {
		buf_lit(&c->transport->out, "HTTP/1.1 100 Continue\r\n\r\n");
		transport_send_later(c->transport);
	}
}

static void begin_request(struct http_conn *c)
{
	struct sterna_http_request *r = &c->request;

	*r = (struct sterna_http_request){ .method = c->head.method, .path = c->head.path, .query = c->head.query,
		.head = &c->head, .conn = c };
	c->keep_alive = c->head.keep_alive && !c->worker->stopping;
	http_forwarded(c);
	r->no_web = !c->web;
	r->no_monitoring = !c->monitoring || c->proxied; /* a proxy passes on what comes from outside */
	if (c->console ? strcmp(r->path, CONSOLE_WEBSOCKET) == 0 : c->web && websocket_is_path(c->worker->server, r->path)) {
		c->state = HTTP_ANSWER;
		set_reading(c, false);
		timer_cancel(&c->deadline);
		websocket_request(c);
		return;
	}
	if (!c->api && !c->console && sterna_http_streams(c->worker, r))
		begin_stream(c);
	else
		begin_body(c);
}

static void read_head(struct http_conn *c)
{
	const enum sterna_result rc = http_head_parse(buf_len(&c->in) > 0 ? c->in.data + c->in.start : NULL, buf_len(&c->in),
		config(c)->header_bytes.bytes, &c->seen, &c->head);

	if (rc == STERNA_EAGAIN)
		return;
	c->seen = 0;
	if (rc != STERNA_OK) {
		buf_release(&c->in);
		refuse(c, c->head.status, "this is no request that is understood here\n");
		return;
	}
	/* The head stays where it is, what follows moves: the parser's pointers hold. */
	const size_t rest = buf_len(&c->in) - c->head.size;
	struct buf in = BUF_INIT;

	buf_add(&in, buf_data(&c->in) + c->head.size, rest);
	c->head_bytes = c->in;
	c->in = in;
	begin_request(c);
}

static void read_chunks(struct http_conn *c)
{
	while (buf_len(&c->in) > 0) {
		const char *data = NULL;
		size_t used = 0, len = 0;
		const enum sterna_result rc = http_chunks_feed(&c->chunks, buf_data(&c->in), buf_len(&c->in), &used, &data, &len);

		if (rc == STERNA_EINVAL) {
			refuse(c, 400, "these are no chunks\n");
			return;
		}
		if (buf_len(&c->body) + len > body_max(c)) {
			refuse(c, 413, "this is too large\n");
			return;
		}
		buf_add(&c->body, data, len);
		buf_consume(&c->in, used);
		if (rc == STERNA_OK) {
			complete(c);
			return;
		}
	}
}

static void read_into_store(struct http_conn *c)
{
	const size_t n = c->how->take(c->store, buf_data(&c->in), buf_len(&c->in));

	if (c->state != HTTP_BODY)
		return; /* refused */
	buf_consume(&c->in, n);
	c->body_left -= n;
}

void http_conn_resume(struct http_conn *c)
{
	if (!c->continued && buf_len(&c->in) == 0) {
		buf_lit(&c->transport->out, "HTTP/1.1 100 Continue\r\n\r\n");
		transport_send_later(c->transport);
	}
	c->continued = true;
	if (buf_len(&c->in) > 0)
		read_into_store(c);
	else
		set_reading(c, true);
}

static void read_body(struct http_conn *c)
{
	if (c->store != NULL) {
		read_into_store(c);
		return;
	}
	if (c->head.chunked) {
		read_chunks(c);
		return;
	}
	const size_t there = buf_len(&c->in), n = there < c->body_left ? there : (size_t)c->body_left;

	buf_add(&c->body, buf_data(&c->in), n);
	buf_consume(&c->in, n);
	c->body_left -= n;
	if (c->body_left == 0)
		complete(c);
}

static void work(struct http_conn *c)
{
	if (c->state == HTTP_HEAD && buf_len(&c->in) > 0)
		read_head(c);
	if (c->state == HTTP_BODY && buf_len(&c->in) > 0)
		read_body(c);
}

static void on_read(void *arg, const char *bytes, size_t len)
{
	struct http_conn *c = arg;

	if (c->state == HTTP_CLOSED)
		return;
	/* While an answer is made nothing is read, or to see the end of the connection: then not much. */
	buf_add(&c->in, bytes, len);
	if (c->state == HTTP_ANSWER && buf_len(&c->in) > AHEAD_MAX)
		set_reading(c, false);
	work(c);
}

static void on_secure(void *arg)
{
	(void)arg;
}

static void on_drained(void *arg)
{
	struct http_conn *c = arg;

	if (c->store != NULL)
		c->how->drained(c->store);
}

static void on_closed(void *arg, enum sterna_result why, const char *text)
{
	struct http_conn *c = arg;

	log_debug("http", "connection ended", "peer", c->transport->peer, "result", sterna_result_text(why), "text", text);
	http_conn_free(&c);
}

static const struct transport_handler events = {
	.on_read = on_read, .on_secure = on_secure, .on_drained = on_drained, .on_closed = on_closed,
};

static void leave_store(struct http_conn *c)
{
	void *store = c->store;

	c->store = NULL;
	c->how->leave(store);
}

/* A request has one deadline for the whole: bytes that trickle do not move it. */
static void on_deadline(struct timer *t, void *arg)
{
	struct http_conn *c = arg;

	(void)t;
	if (c->store != NULL) {
		const bool sending = c->state == HTTP_ANSWER;

		leave_store(c);
		if (sending) {
			http_conn_free(&c);
			return;
		}
	}
	if (c->state == HTTP_BODY || buf_len(&c->in) > 0)
		refuse(c, 408, "this took too long\n");
	else
		http_conn_free(&c); /* nothing was asked, and all is answered */
}

/* --- answers --- */

static const char *reason(unsigned status)
{
	switch (status) {
	case 101: return "Switching Protocols";
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 204: return "No Content";
	case 206: return "Partial Content";
	case 304: return "Not Modified";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 413: return "Content Too Large";
	case 415: return "Unsupported Media Type";
	case 416: return "Range Not Satisfiable";
	case 417: return "Expectation Failed";
	case 422: return "Unprocessable Content";
	case 426: return "Upgrade Required";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	case 507: return "Insufficient Storage";
	default: return "";
	}
}

static void write_date(struct http_conn *c, struct buf *out)
{
	const time_t now = (time_t)(loop_wall_us(c->worker->loop) / 1000000);
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm t;

	if (gmtime_r(&now, &t) != NULL)
		buf_addf(out, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + 3 * t.tm_wday, t.tm_mday,
			months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void write_head(struct http_conn *c, uint64_t len)
{
	const struct sterna_http_request *r = &c->request;
	struct buf *out = &c->transport->out;

	buf_addf(out, "HTTP/1.1 %u %s\r\n", r->status, reason(r->status));
	write_date(c, out);
	buf_lit(out, "X-Content-Type-Options: nosniff\r\n");
	if (!r->cached)
		buf_lit(out, "Cache-Control: no-store\r\n");
	if (r->type != NULL)
		buf_addf(out, "Content-Type: %s\r\n", r->type);
	if (r->status != 204 && r->status != 304 && r->status >= 200)
		buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)len);
	if (r->allow[0] != '\0')
		buf_addf(out, "Allow: %s\r\n", r->allow);
	buf_add(out, buf_data(&r->headers), buf_len(&r->headers));
	if (!c->keep_alive)
		buf_lit(out, "Connection: close\r\n");
	else if (c->head.is_1_0)
		buf_lit(out, "Connection: keep-alive\r\n");
	buf_lit(out, "\r\n");
	transport_send_later(c->transport);
}

void http_conn_send_head(struct http_conn *c, uint64_t length)
{
	allow_time(c, length);
	write_head(c, length);
}

void http_conn_drop(struct http_conn *c)
{
	http_conn_free(&c);
}

void http_conn_answer(struct http_conn *c)
{
	const struct buf *content = &c->request.content;

	c->gone = NULL;
	set_reading(c, false);
	write_head(c, buf_len(content));
	if (c->request.method == NULL || strcmp(c->request.method, "HEAD") != 0)
		buf_add(&c->transport->out, buf_data(content), buf_len(content));
	http_conn_sent(c);
}

void http_conn_sent(struct http_conn *c)
{
	const unsigned class = c->request.status / 100;

	if (class >= 2 && class <= 5)
		metric_add(c->worker->server->metric_set, c->worker->index, METRIC_HTTP_REQUESTS, class - 2, 1);
	sterna_http_clear(&c->request);
	buf_release(&c->head_bytes);
	buf_release(&c->body);
	c->request = (struct sterna_http_request){ 0 };
	if (!c->keep_alive) {
		c->state = HTTP_CLOSED;
		timer_cancel(&c->deadline);
		buf_release(&c->in);
		set_reading(c, true);
		c->transport->ops->close(c->transport);
		return;
	}
	http_conn_later(c, next_request); /* not from within: pipelined requests would nest */
}

void http_conn_say(struct http_conn *c, unsigned status, const char *text)
{
	if (c->api)
		rest_say(&c->request, status, text);
	else
		sterna_http_reply(&c->request, status, "text/plain; charset=utf-8", text, strlen(text));
	http_conn_answer(c);
}

void http_conn_give_up(struct http_conn *c, unsigned status, const char *text)
{
	c->keep_alive = c->keep_alive && c->state == HTTP_ANSWER && status == 404;
	c->state = HTTP_ANSWER;
	set_reading(c, false);
	http_conn_say(c, status, text);
}

/* A client that asks on and on and does not read its answers waits until it does. */
static void next_request(struct http_conn *c)
{
	const struct config *all = c->worker->server->config;

	if (c->state == HTTP_CLOSED)
		return;
	if (buf_len(&c->transport->out) > all->limits.output_high.bytes) {
		c->keep_alive = false;
		c->state = HTTP_CLOSED;
		c->transport->ops->close(c->transport);
		return;
	}
	c->state = HTTP_HEAD;
	timer_set(&c->deadline, (uint64_t)config(c)->request_time.us);
	set_reading(c, true);
	work(c);
}

/* --- who asks --- */

bool http_conn_is_covered(const struct http_conn *c)
{
	static const struct ip loopback6 = { { [15] = 1 } };
	const bool here = (ip_is_v4(&c->ip) && c->ip.bytes[12] == 127) || ip_equal(&c->ip, &loopback6);

	return c->client_secure || (here && !c->proxied);
}

bool http_conn_may_login(const struct http_conn *c)
{
	return http_conn_is_covered(c) || config(c)->plain;
}

bool http_conn_origin_ok(const struct http_conn *c)
{
	const char *origin = http_head_get(&c->head, "Origin");
	const struct sterna_list *allowed = &config(c)->origins;

	if (c->console)
		return console_origin_ok(c);
	if (origin == NULL)
		return true; /* no browser */
	for (size_t i = 0; i < allowed->count; i++)
		if (strcmp(allowed->item[i], "*") == 0 || strcasecmp(allowed->item[i], origin) == 0)
			return true;
	return false;
}

void http_conn_allow_origin(struct http_conn *c, const char *methods)
{
	const char *origin = http_head_get(&c->head, "Origin");

	sterna_http_add_header(&c->request, "Vary", "Origin");
	if (origin == NULL || !http_conn_origin_ok(c))
		return;
	sterna_http_add_header(&c->request, "Access-Control-Allow-Origin", origin);
	sterna_http_add_header(&c->request, "Access-Control-Allow-Methods", methods);
	sterna_http_add_header(&c->request, "Access-Control-Allow-Headers", "Content-Type");
	sterna_http_add_header(&c->request, "Access-Control-Max-Age", "7200");
}

/* --- life --- */

static void unlink_conn(struct http_conn *c)
{
	*(c->prev != NULL ? &c->prev->next : &c->worker->http_conns) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

static void enroll(struct http_conn *c, struct worker *w)
{
	c->worker = w;
	c->next = w->http_conns;
	if (c->next != NULL)
		c->next->prev = c;
	w->http_conns = c;
	timer_init(&c->deadline, w->loop, on_deadline, c);
	task_init(&c->task, on_task, c);
}

static bool on_admit(void *arg, const struct ip *peer)
{
	struct http_conn *c = arg;

	if (!net_hold(c->worker->server, peer, loop_now_us(c->worker->loop)))
		return false;
	c->ip = c->client = *peer;
	c->held = true;
	return true;
}

void http_conn_accept(struct worker *w, int fd, const struct conn_options *o, const struct config_listen *l,
	const struct ip *ip)
{
	struct http_conn *c = xalloc(sizeof *c);
	struct conn_options with = *o;

	enroll(c, w);
	c->reading = true;
	c->api = l->serves == CONFIG_SERVES_API;
	c->console = l->serves == CONFIG_SERVES_CONSOLE;
	c->web = l->serves == CONFIG_SERVES_ALL || l->serves == CONFIG_SERVES_WEB;
	c->monitoring = l->serves == CONFIG_SERVES_ALL || l->serves == CONFIG_SERVES_MONITORING;
	c->held = ip != NULL;
	with.admit = on_admit;
	with.admit_arg = c;
	c->transport = conn_accept(w->loop, fd, &with);
	c->ip = c->client = *conn_peer_ip(c->transport);
	c->transport->handler = &events;
	c->transport->arg = c;
	timer_set(&c->deadline, (uint64_t)config(c)->request_time.us);
	net_http_opened(w);
}

struct transport *http_conn_take(struct http_conn *c)
{
	struct transport *t = c->transport;

	c->transport = NULL;
	c->held = false;
	return t;
}

void http_conn_free(struct http_conn **cp)
{
	struct http_conn *c = *cp;

	*cp = NULL;
	if (c->gone != NULL)
		c->gone(c->gone_arg, c);
	timer_cancel(&c->deadline);
	loop_undefer(c->worker->loop, &c->task);
	unlink_conn(c);
	if (c->store != NULL)
		leave_store(c);
	if (c->held)
		net_release(c->worker->server, &c->ip, loop_now_us(c->worker->loop));
	net_http_closed(c->worker);
	if (c->transport != NULL)
		c->transport->ops->free(&c->transport);
	sterna_http_clear(&c->request);
	buf_release(&c->in);
	buf_release(&c->head_bytes);
	buf_release(&c->body);
	free(c);
}

struct move {
	struct mail mail;
	struct http_conn *conn;
	struct worker *to;
};

static void on_moved(struct mail *m, struct loop *l)
{
	struct move *v = (struct move *)m;
	struct http_conn *c = v->conn;

	enroll(c, v->to);
	c->transport->ops->attach(c->transport, l);
	free(v);
	c->then(c);
}

static void on_move(struct task *t, void *arg)
{
	struct http_conn *c = arg;
	struct move *v = xalloc(sizeof *v);

	(void)t;
	timer_cancel(&c->deadline);
	unlink_conn(c);
	c->transport->ops->detach(c->transport);
	v->mail.run = on_moved;
	v->conn = c;
	v->to = c->move_to;
	loop_post(v->to->loop, &v->mail);
}

void http_conn_move(struct http_conn *c, struct worker *to, http_conn_fn *fn)
{
	c->move_to = to;
	c->then = fn;
	task_init(&c->task, on_move, c);
	loop_defer(c->worker->loop, &c->task);
}

void http_stop(struct worker *w)
{
	for (struct http_conn *c = w->http_conns, *next; c != NULL; c = next) {
		next = c->next;
		c->keep_alive = false;
		if (c->state != HTTP_HEAD)
			continue;
		c->state = HTTP_CLOSED;
		timer_cancel(&c->deadline);
		c->transport->ops->close(c->transport);
	}
}

void http_free(struct worker *w)
{
	while (w->http_conns != NULL) {
		struct http_conn *c = w->http_conns;

		http_conn_free(&c);
	}
}
