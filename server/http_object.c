/* http_object.c - bodies to and from an object store. An upload asks first whether the object is there (HEAD), for not all
 * stores know conditions on PUT; between the two only the same client, who holds the slot, could have put one. */
#include "server/http_object.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/fetch.h"
#include "server/http_file.h"
#include "server/mem.h"
#include "server/s3.h"

enum { PIECE = 65536, OUTPUT_HIGH = 4 * PIECE };
enum step { PROBE, PUT, GET };

struct http_object {
	struct http_conn *conn;
	struct worker *worker;
	struct fetch *fetch;
	enum step step;
	struct s3_request put;               /* signed, for when PROBE has found nothing */
	uint64_t connect_us, stall_us;
	char *authorities;
	char *piece;                         /* of the body: [at, len) is not taken by the store yet */
	size_t at, len;
	uint64_t size, left;                 /* of the body; still to come from the client */
	struct task task;                    /* asks the client for more */
	bool answered;                       /* the head of the answer is out */
};

static void release(struct http_object *o)
{
	if (o->conn != NULL)
		o->conn->store = NULL;
	fetch_cancel(&o->fetch);
	loop_undefer(o->worker->loop, &o->task);
	s3_request_clear(&o->put);
	free(o->authorities);
	free(o->piece);
	free(o);
}

static void give_up(struct http_object *o, unsigned status, const char *text)
{
	struct http_conn *c = o->conn;

	release(o);
	http_conn_give_up(c, status, text);
}

/* The store's fault, or ours with it. */
static void store_failed(struct http_object *o, enum sterna_result rc, const struct fetch_answer *a, const char *text)
{
	log_error("http", "the object store does not do what it is asked to", "result", sterna_result_text(rc), "status",
		LOG_UINT(a->status), "text", rc == STERNA_OK ? "" : text);
	if (rc == STERNA_ELIMIT)
		give_up(o, 504, "the store is slow\n");
	else
		give_up(o, 502, "the store is away\n");
}

/* --- taking --- */

static bool begin(struct http_object *o, const char *method, const struct s3_request *s, const char *range);

static void on_hungry(struct task *t, void *arg)
{
	struct http_object *o = arg;

	(void)t;
	if (o->len == 0 && o->left > 0 && o->conn->state == HTTP_BODY)
		http_conn_resume(o->conn);
}

static size_t on_want(void *arg, char *bytes, size_t size)
{
	struct http_object *o = arg;
	const size_t there = o->len - o->at, n = there < size ? there : size;

	memcpy(bytes, o->piece + o->at, n);
	o->at += n;
	if (o->at == o->len) {
		o->at = o->len = 0;
		if (o->left > 0)
			loop_defer(o->worker->loop, &o->task);
	}
	return n;
}

static size_t take(void *store, const char *bytes, size_t len)
{
	struct http_object *o = store;

	if (o->step != PUT || o->len > 0 || o->left == 0)
		return 0;
	len = len < PIECE ? len : PIECE;
	len = len < o->left ? len : (size_t)o->left;
	memcpy(o->piece, bytes, len);
	o->len = len;
	o->left -= len;
	o->conn->transport->ops->set_reading(o->conn->transport, false);
	fetch_resume(o->fetch);
	return len;
}

/* 403: a key that may not list the bucket is not told whether an object is there. One of another size is what a careless store
 * has kept of an upload that broke off. */
static void probed(struct http_object *o, enum sterna_result rc, const struct fetch_answer *a, const char *text)
{
	if (rc == STERNA_OK && (a->status == 200 || a->status == 404 || a->status == 403)) {
		if (a->status == 200 && a->length == (int64_t)o->size) {
			give_up(o, 409, "this is here already\n");
			return;
		}
		o->step = PUT;
		if (!begin(o, "PUT", &o->put, NULL))
			give_up(o, 503, "too busy\n");
		return;
	}
	store_failed(o, rc, a, text);
}

static void put_done(struct http_object *o, enum sterna_result rc, const struct fetch_answer *a, const char *text)
{
	struct http_conn *c = o->conn;

	if (rc != STERNA_OK || a->status / 100 != 2 || o->left > 0) {
		store_failed(o, rc, a, text);
		return;
	}
	release(o);
	c->state = HTTP_ANSWER;
	sterna_http_reply(&c->request, 201, NULL, NULL, 0);
	http_conn_answer(c);
}

/* --- sending --- */

static void answer(struct http_object *o, const struct fetch_answer *a)
{
	struct sterna_http_request *r = &o->conn->request;

	o->answered = true;
	sterna_http_add_header(r, "Accept-Ranges", "bytes");
	if (a->status == 206 && a->range[0] != '\0')
		sterna_http_add_header(r, "Content-Range", a->range);
	r->status = a->status;
	http_conn_send_head(o->conn, (uint64_t)a->length);
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct http_object *o = arg;
	const struct fetch_answer *a = fetch_answer(o->fetch);

	if (o->step != GET || (a->status != 200 && a->status != 206) || a->length < 0)
		return true; /* what the store says of an error is not for the client */
	if (buf_len(&o->conn->transport->out) > OUTPUT_HIGH)
		return false;
	if (!o->answered)
		answer(o, a);
	buf_add(&o->conn->transport->out, bytes, len);
	transport_send_later(o->conn->transport);
	return true;
}

static void drained(void *store)
{
	struct http_object *o = store;

	if (o->step == GET && buf_len(&o->conn->transport->out) < PIECE)
		fetch_resume(o->fetch);
}

static void no_such_part(struct http_object *o, const char *range)
{
	if (range[0] != '\0')
		sterna_http_add_header(&o->conn->request, "Content-Range", range);
	give_up(o, 416, "there is no such part\n");
}

static void get_done(struct http_object *o, enum sterna_result rc, const struct fetch_answer *a, const char *text)
{
	struct http_conn *c = o->conn;

	if (rc == STERNA_OK && (a->status == 200 || a->status == 206) && a->length >= 0) {
		if (!o->answered)
			answer(o, a);
		release(o);
		http_conn_sent(c);
	} else if (o->answered) {
		log_error("http", "the object store broke off", "result", sterna_result_text(rc), "text", text);
		release(o);
		http_conn_drop(c); /* in the middle of an answer there is no other word for it */
	} else if (rc == STERNA_OK && a->status == 404) {
		give_up(o, 404, "there is nothing here\n");
	} else if (rc == STERNA_OK && a->status == 416) {
		no_such_part(o, a->range);
	} else {
		store_failed(o, rc, a, text);
	}
}

/* --- both --- */

static void on_done(void *arg, enum sterna_result rc, const char *text)
{
	struct http_object *o = arg;
	const struct fetch_answer a = *fetch_answer(o->fetch);

	o->fetch = NULL; /* it goes by itself */
	if (o->step == PROBE)
		probed(o, rc, &a, text);
	else if (o->step == PUT)
		put_done(o, rc, &a, text);
	else
		get_done(o, rc, &a, text);
}

static void leave(void *store)
{
	struct http_object *o = store;

	o->conn = NULL;
	release(o);
}

static const struct http_store as_object = { take, drained, leave };
static const struct fetch_handler handler = { on_data, on_want, on_done };

static bool begin(struct http_object *o, const char *method, const struct s3_request *s, const char *range)
{
	const char *headers[] = { s->headers[0], s->headers[1], s->headers[2], s->headers[3], range, NULL };
	const struct fetch_request r = { .method = method, .url = s->url, .headers = headers, .body_bytes = o->size,
		.connect_us = o->connect_us, .stall_us = o->stall_us, .authorities = o->authorities };

	return fetch_new(o->worker, &r, &handler, o, &o->fetch) == STERNA_OK;
}

static struct http_object *object_new(struct http_conn *c, const struct sterna_bucket *b, enum step step)
{
	struct http_object *o = xalloc(sizeof *o);

	o->conn = c;
	o->worker = c->worker;
	o->step = step;
	o->connect_us = (uint64_t)b->connect_time.us;
	o->stall_us = (uint64_t)b->stall_time.us;
	o->authorities = b->authorities != NULL ? xstrdup(b->authorities) : NULL;
	task_init(&o->task, on_hungry, o);
	c->how = &as_object;
	c->store = o;
	return o;
}

static int64_t now_s(const struct http_conn *c)
{
	return loop_wall_us(c->worker->loop) / 1000000;
}

void http_object_save(struct http_conn *c, const struct sterna_bucket *b, const char *key, uint64_t size)
{
	struct http_object *o = object_new(c, b, PROBE);
	struct s3_request probe;

	o->size = o->left = size;
	o->piece = xalloc(PIECE);
	c->transport->ops->set_reading(c->transport, false);
	s3_sign(b, "PUT", key, "", true, now_s(c), &o->put);
	s3_sign(b, "HEAD", key, "", false, now_s(c), &probe);
	if (!begin(o, "HEAD", &probe, NULL))
		give_up(o, 503, "too busy\n");
	s3_request_clear(&probe);
}

/* A range that we would take of a file goes to the store as it is: it knows the size. */
static char *range_of(const struct http_conn *c, bool *none)
{
	const char *header = http_head_get(&c->head, "Range");
	uint64_t from, to;
	const enum sterna_result rc = http_range(header, UINT64_MAX, &from, &to);

	*none = rc == STERNA_ELIMIT;
	return rc == STERNA_OK ? xasprintf("Range: %s", header) : NULL;
}

void http_object_send(struct http_conn *c, const struct sterna_bucket *b, const char *key)
{
	const char *method = strcmp(c->head.method, "HEAD") == 0 ? "HEAD" : "GET";
	struct http_object *o = object_new(c, b, GET);
	struct s3_request get;
	bool none;
	char *range = range_of(c, &none);

	s3_sign(b, method, key, "", false, now_s(c), &get);
	if (none)
		no_such_part(o, "");
	else if (!begin(o, method, &get, range))
		give_up(o, 503, "too busy\n");
	free(range);
	s3_request_clear(&get);
}
