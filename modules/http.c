/* The HTTP listener: what the configuration listens on with kind http, on a thread of its own, by libevent's evhttp.
 * Which path does what is in the modules' tables (struct sterna_route); here are the sockets and their limits.
 * It speaks plain HTTP/1.1: a proxy before it has the certificates. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "server/http.h"
#include "server/module.h"

struct http_config {
	struct sterna_size header_bytes, body_bytes;
	struct sterna_duration request_time;
	unsigned connections;
};

#define C struct http_config
static const struct sterna_option options[] = {
	STERNA_OPT(C, header_bytes, "16KiB", "1KiB..1MiB", "request line and headers together"),
	STERNA_OPT(C, body_bytes, "1MiB", "0..64MiB", "body of a request"),
	STERNA_OPT(C, request_time, "30s", "1s..10m", "for a request, from connection or previous answer to this answer's end"),
	STERNA_OPT(C, connections, "100", "1..10000", "open at once; more wait to be accepted"),
	{ 0 }
};
#undef C

enum { M_REQUESTS, M_FULL, M_CONNECTIONS };
static const char *const classes[] = { "2xx", "3xx", "4xx", "5xx", NULL };
static const struct sterna_metric metrics[] = {
	[M_REQUESTS] = { "sterna_http_requests_total", "HTTP requests answered.", METRIC_COUNTER,
		.labels = { { "class", classes } } },
	[M_FULL] = { "sterna_http_connections_full_total",
		"Times that new HTTP connections had to wait for others to end.", METRIC_COUNTER },
	[M_CONNECTIONS] = { "sterna_http_connections", "Open HTTP connections.", METRIC_GAUGE },
	{ 0 }
};

/* A connection, and until when what it does now must be done. evhttp tells of a connection when its first request is
 * complete; this knows it from the start: a reference of its bufferevent, whose callbacks evhttp takes away at its end. */
struct open {
	struct bufferevent *bev;
	struct timeval until;
};

struct http {
	struct sterna_mod *mod;
	struct http_config config;      /* as it was when the module was loaded */
	struct event_base *base;
	struct evhttp *http;
	struct event *stop, *sweep;
	int stop_fd;
	pthread_t thread;
	bool running;
	struct evhttp_bound_socket **listeners;
	unsigned listener_count;
	struct open *open;
	unsigned open_count;
};

/* --- connections --- */

static void accept_more(struct http *h, bool more)
{
	if (!more)
		sterna_mod_count(h->mod, M_FULL, 0, 1);
	for (unsigned i = 0; i < h->listener_count; i++) {
		struct evconnlistener *l = evhttp_bound_socket_get_listener(h->listeners[i]);

		more ? evconnlistener_enable(l) : evconnlistener_disable(l);
	}
}

static void allow_time(struct http *h, struct open *o)
{
	event_base_gettimeofday_cached(h->base, &o->until);
	o->until.tv_sec += h->config.request_time.us / 1000000;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct http *h = arg;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (bev == NULL || h->open_count == h->config.connections)
		return bev;
	struct open *o = &h->open[h->open_count++];

	bufferevent_incref(bev);
	o->bev = bev;
	allow_time(h, o);
	sterna_mod_count(h->mod, M_CONNECTIONS, 0, 1);
	if (h->open_count == h->config.connections)
		accept_more(h, false);
	return bev;
}

static bool has_ended(struct bufferevent *bev)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(bev, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void forget(struct http *h, unsigned i)
{
	bufferevent_decref(h->open[i].bev);
	h->open[i] = h->open[--h->open_count];
	sterna_mod_count(h->mod, M_CONNECTIONS, 0, -1);
}

/* evhttp's own time-outs begin anew with each byte; here a request has one for the whole. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	const bool full = h->open_count == h->config.connections;
	struct timeval now;

	(void)fd;
	(void)what;
	event_base_gettimeofday_cached(h->base, &now);
	for (unsigned i = h->open_count; i-- > 0;) {
		if (has_ended(h->open[i].bev))
			forget(h, i);
		else if (evutil_timercmp(&h->open[i].until, &now, <))
			shutdown(bufferevent_getfd(h->open[i].bev), SHUT_RDWR); /* evhttp sees the end, and ends it */
	}
	if (full && h->open_count < h->config.connections)
		accept_more(h, true);
}

static void on_answered(struct http *h, struct evhttp_request *req)
{
	const struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));

	for (unsigned i = 0; i < h->open_count; i++)
		if (h->open[i].bev == bev)
			allow_time(h, &h->open[i]);
}

/* --- requests --- */

static const char *header(const struct sterna_http_request *r, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(r->transport), name);
}

static const char *method_text(enum evhttp_cmd_type type)
{
	switch (type) {
	case EVHTTP_REQ_GET: return "GET";
	case EVHTTP_REQ_POST: return "POST";
	case EVHTTP_REQ_HEAD: return "HEAD";
	case EVHTTP_REQ_PUT: return "PUT";
	case EVHTTP_REQ_DELETE: return "DELETE";
	case EVHTTP_REQ_OPTIONS: return "OPTIONS";
	case EVHTTP_REQ_TRACE: return "TRACE";
	case EVHTTP_REQ_CONNECT: return "CONNECT";
	case EVHTTP_REQ_PATCH: return "PATCH";
	default: return "";
	}
}

static void send_answer(struct http *h, struct evhttp_request *req, const struct sterna_http_request *r)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	struct evbuffer *body = evbuffer_new();
	const bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	char length[24];

	evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(out, "Cache-Control", "no-store");
	snprintf(length, sizeof length, "%zu", buf_len(&r->content));
	evhttp_add_header(out, "Content-Length", length);
	if (r->type != NULL)
		evhttp_add_header(out, "Content-Type", r->type);
	if (r->allow[0] != '\0')
		evhttp_add_header(out, "Allow", r->allow);
	if (body != NULL && !head && buf_len(&r->content) > 0)
		evbuffer_add(body, buf_data(&r->content), buf_len(&r->content));
	if (r->status >= 200 && r->status < 600)
		sterna_mod_count(h->mod, M_REQUESTS, r->status / 100 - 2, 1);
	on_answered(h, req);
	evhttp_send_reply(req, (int)r->status, NULL, body);
	if (body != NULL)
		evbuffer_free(body);
}

/* One decoding; what then has a NUL, or was no path, is refused. New, or NULL. */
static char *decode(const char *path)
{
	size_t len = 0;
	char *text = path != NULL ? evhttp_uridecode(path, 0, &len) : NULL;

	if (text != NULL && (text[0] != '/' || strlen(text) != len)) {
		free(text);
		text = NULL;
	}
	return text;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;
	char *path = uri != NULL ? decode(evhttp_uri_get_path(uri)) : NULL;
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	struct sterna_http_request r = { .method = method_text(evhttp_request_get_command(req)), .path = path,
		.query = query != NULL ? query : "", .header = header, .transport = req };

	r.body_len = in != NULL ? evbuffer_get_length(in) : 0;
	r.body = r.body_len > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
	if (path == NULL)
		sterna_http_reply(&r, 400, "text/plain; charset=utf-8", "this is no path\n", 16);
	else if (r.body == NULL)
		sterna_http_reply(&r, 503, NULL, NULL, 0);
	else
		sterna_http_dispatch(h->mod, &r);
	send_answer(h, req, &r);
	sterna_http_clear(&r);
	free(path);
}

/* --- life --- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void *run(void *arg)
{
	const struct http *h = arg;

	event_base_dispatch(h->base);
	return NULL;
}

static enum sterna_result listen_on(struct http *h)
{
	struct sterna_http_listener l;
	size_t i = 0;

	for (; sterna_http_listener(h->mod, i, &l); i++) {
		if (l.tls) {
			log_error("http", "there is no TLS here; let a proxy have it, and listen on a local address",
				"address", l.address, "port", LOG_UINT(l.port));
			return STERNA_EINVAL;
		}
		struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(h->http, l.address, l.port);

		if (bound == NULL) {
			log_error("http", "cannot listen; is the port in use?", "address", l.address, "port",
				LOG_UINT(l.port), "error", strerror(errno));
			return STERNA_EIO;
		}
		h->listeners = xrealloc(h->listeners, (h->listener_count + 1) * sizeof(struct evhttp_bound_socket *));
		h->listeners[h->listener_count++] = bound;
	}
	if (i == 0)
		log_warning("http", "the configuration has no listener of kind http");
	return STERNA_OK;
}

static bool make(struct http *h)
{
	struct event_config *c = event_config_new();

	if (c != NULL) {
		/* Only this thread touches the base: it needs no locks, and none may be in place. */
		event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK);
		h->base = event_base_new_with_config(c);
		event_config_free(c);
	}
	h->http = h->base != NULL ? evhttp_new(h->base) : NULL;
	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->http == NULL || h->stop_fd < 0)
		return false;
	h->stop = event_new(h->base, h->stop_fd, EV_READ, on_stop, h->base);
	h->sweep = event_new(h->base, -1, EV_PERSIST, on_sweep, h);
	if (h->stop == NULL || h->sweep == NULL || event_add(h->stop, NULL) != 0
		|| event_add(h->sweep, &(struct timeval){ .tv_sec = 1 }) != 0)
		return false;
	evhttp_set_timeout(h->http, (int)(h->config.request_time.us / 1000000));
	evhttp_set_max_headers_size(h->http, (ev_ssize_t)h->config.header_bytes.bytes);
	evhttp_set_max_body_size(h->http, (ev_ssize_t)h->config.body_bytes.bytes);
	evhttp_set_allowed_methods(h->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT
		| EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(h->http, on_accept, h);
	evhttp_set_gencb(h->http, on_request, h);
	return true;
}

static void unload(struct sterna_mod *m)
{
	struct http *h = sterna_mod_data(m);
	const uint64_t one = 1;

	if (h->running) {
		while (write(h->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
			;
		pthread_join(h->thread, NULL);
	}
	if (h->stop != NULL)
		event_free(h->stop);
	if (h->sweep != NULL)
		event_free(h->sweep);
	if (h->http != NULL)
		evhttp_free(h->http);
	while (h->open_count > 0)
		forget(h, h->open_count - 1);
	if (h->base != NULL)
		event_base_free(h->base);
	if (h->stop_fd >= 0)
		close(h->stop_fd);
	free(h->open);
	free(h->listeners);
	free(h);
	sterna_mod_set_data(m, NULL);
}

static enum sterna_result load(struct sterna_mod *m)
{
	struct http *h = xalloc(sizeof *h);
	enum sterna_result rc = STERNA_EIO;

	h->mod = m;
	memcpy(&h->config, sterna_mod_config(m), sizeof h->config);
	h->stop_fd = -1;
	h->open = xalloc(h->config.connections * sizeof *h->open);
	sterna_mod_set_data(m, h);
	if (make(h))
		rc = listen_on(h);
	if (rc == STERNA_OK && pthread_create(&h->thread, NULL, run, h) != 0)
		rc = STERNA_EIO;
	h->running = rc == STERNA_OK;
	if (rc != STERNA_OK)
		unload(m);
	return rc;
}

STERNA_MODULE(http, .summary = "HTTP listener for what other modules offer",
	.options = options, .config_size = sizeof(struct http_config), .metrics = metrics,
	.load = load, .unload = unload);
