/* websocket.c - RFC 7395. A message is one element, whole; it is handled when all of it is there and nothing else is in
 * the message. The parser is that of every stream, with the same limits. */
#include "server/websocket.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "server/base64.h"
#include "server/c2s.h"
#include "server/net.h"
#include "server/ws_frame.h"

#define NS_FRAMING "urn:ietf:params:xml:ns:xmpp-framing"
#define ROOT "<messages xmlns='jabber:client'>"

enum { UNMASK_MAX = 16384, ROOM = 1024 };    /* ROOM: for white space around an element */

struct websocket {
	struct ws_reader reader;
	struct buf kept;                     /* frames that came while the stream was held */
	struct arena *arena;                 /* of the message's element */
	struct sterna_elem *element;
	enum ws_code code;                   /* of our close frame */
	bool excess;                         /* the message has more than one element */
};

/* --- output --- */

static size_t begin(struct stream *s)
{
	return ws_begin(&s->transport->out);
}

static void end(struct stream *s, size_t at)
{
	ws_end(&s->transport->out, at);
}

/* §3.3.2 */
static void header(struct stream *s, const char *from)
{
	struct buf *out = &s->transport->out;
	const size_t at = begin(s);

	buf_addf(out, "<open xmlns='" NS_FRAMING "' id='%s", s->id);
	if (from != NULL) {
		buf_lit(out, "' from='");
		xml_escape_attr(out, from, strlen(from));
	}
	buf_lit(out, "' version='1.0' xml:lang='en'/>");
	end(s, at);
}

/* §3.6, and the end of the WebSocket with it. */
static void close_stream(struct stream *s)
{
	const struct websocket *ws = s->framed;
	const size_t at = begin(s);

	buf_lit(&s->transport->out, "<close xmlns='" NS_FRAMING "'/>");
	end(s, at);
	ws_close(&s->transport->out, ws->code);
}

/* --- input --- */

static void on_element(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	struct websocket *ws = s->framed;

	if (ws->arena != NULL) {
		ws->excess = true;
		arena_free(a);
		return;
	}
	ws->arena = *a;
	ws->element = e;
	*a = NULL;
}

static void fail(struct stream *s, enum ws_code code, const char *condition, const char *text)
{
	struct websocket *ws = s->framed;

	ws->code = code;
	stream_error(s, condition, text);
}

static void handle(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	if (elem_is(e, "open", NS_FRAMING) && !s->header_sent) {
		stream_opened(s, e);
		arena_free(a);
	} else if (elem_is(e, "close", NS_FRAMING)) {
		stream_end_seen(s);
		arena_free(a);
	} else if (strcmp(e->ns, NS_FRAMING) == 0) {
		stream_error(s, "unsupported-stanza-type", NULL);
		arena_free(a);
	} else if (!s->header_sent) {
		stream_error(s, "bad-format", "a stream begins with <open/>"); /* §3.3.1, §3.3.3 */
		arena_free(a);
	} else {
		stream_element(s, a, e);
	}
}

/* §3.3.3: the message is over; was it one element? White space alone does nobody harm. */
static void end_message(struct stream *s)
{
	struct websocket *ws = s->framed;
	struct arena *a = ws->arena;

	ws->arena = NULL;
	if (ws->excess || !xml_is_between(s->xml))
		fail(s, WS_POLICY, "bad-format", "a message is one whole element");
	else if (a != NULL)
		handle(s, &a, ws->element);
	arena_free(&a);
}

static void on_control(struct stream *s)
{
	struct websocket *ws = s->framed;
	const struct ws_reader *r = &ws->reader;

	if (r->opcode == WS_PING) {
		ws_control(&s->transport->out, WS_PONG, r->control, r->control_len);
		stream_written(s);
	} else if (r->opcode == WS_CLOSE) {
		/* Without <close/>: a page that was left, a network that is gone. The session may be resumed. */
		ws_close(&s->transport->out, WS_NORMAL);
		transport_send_later(s->transport);
		stream_lost(s);
	}
}

static void on_content(struct stream *s, const char *bytes, size_t len, bool last)
{
	struct websocket *ws = s->framed;
	const enum xml_error e = xml_feed(s->xml, bytes, len);

	if (e != XML_OK) {
		ws->code = e == XML_BAD_ENCODING ? WS_BAD_DATA : WS_POLICY;
		stream_xml_error(s, e);
	} else if (last) {
		end_message(s);
	}
}

/* Frames, until the stream is held or over. @return bytes taken */
static size_t take(struct stream *s, const char *bytes, size_t len)
{
	struct websocket *ws = s->framed;
	char content[UNMASK_MAX];
	size_t at = 0;

	while (at < len && s->state != STREAM_CLOSED && !xml_is_stopped(s->xml)) {
		const size_t n = len - at < sizeof content ? len - at : sizeof content;
		size_t used, size;
		const enum ws_event event = ws_read(&ws->reader, bytes + at, n, s->limits.stanza_bytes + ROOM, &used, content, &size);

		at += used;
		if (event == WS_ERROR)
			fail(s, ws->reader.code, ws->reader.code == WS_TOO_BIG ? "policy-violation" : "bad-format", NULL);
		else if (event == WS_CONTROL)
			on_control(s);
		else if (event != WS_MORE)
			on_content(s, content, size, event == WS_MESSAGE);
	}
	return at;
}

static void on_read(struct stream *s, const char *bytes, size_t len)
{
	struct websocket *ws = s->framed;
	const size_t used = buf_len(&ws->kept) == 0 ? take(s, bytes, len) : 0;

	/* While it is held the transport is not read: what comes now was on its way already, one read of it. */
	buf_add(&ws->kept, bytes + used, len - used);
}

static void on_resume(struct stream *s)
{
	struct websocket *ws = s->framed;
	struct buf kept = ws->kept;

	ws->kept = (struct buf)BUF_INIT;
	const size_t used = take(s, buf_data(&kept), buf_len(&kept));

	buf_add(&ws->kept, buf_data(&kept) + used, buf_len(&kept) - used);
	buf_release(&kept);
}

static void free_framed(struct stream *s)
{
	struct websocket *ws = s->framed;

	arena_free(&ws->arena);
	buf_release(&ws->kept);
	free(ws);
	s->framed = NULL;
}

static const struct stream_framing framing = {
	.header = header, .begin = begin, .end = end, .close = close_stream,
	.read = on_read, .element = on_element, .resume = on_resume, .free = free_framed,
};

/* --- the handshake: RFC 6455 §4.2 --- */

bool websocket_is_path(const struct server *s, const char *path)
{
	const struct config *c = s->config;

	return *c->http.websocket != '\0' && strcmp(c->http.websocket, path) == 0;
}

static bool answer_key(const char *key, char out[29])
{
	unsigned char bytes[64], digest[20];
	size_t len = 0;
	char text[64];

	if (strlen(key) != 24 || base64_decode(key, 24, bytes, sizeof bytes, &len) != STERNA_OK || len != 16)
		return false;
	memcpy(text, key, 24);
	memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 37);
	if (EVP_Digest(text, 60, digest, NULL, EVP_sha1(), NULL) != 1)
		return false;
	return base64_encode(digest, sizeof digest, out, 29) == STERNA_OK;
}

/* At the end of the turn: the connection becomes a stream. */
static void upgrade(struct http_conn *c)
{
	struct websocket *ws;
	struct transport *t;
	struct stream *s;
	char accept[29];

	/* Behind a proxy it is the client's address that counts. */
	if (c->proxied && !net_hold(c->worker->server, &c->client, loop_now_us(c->worker->loop))) {
		http_conn_say(c, 503, "too many connections\n");
		return;
	}
	ws = xalloc(sizeof *ws);
	s = stream_new(c->worker, &c2s_kind, true);
	ws->code = WS_NORMAL;
	s->framing = &framing;
	s->framed = ws;
	xml_use_root(s->xml, ROOT);
	s->web = true;
	s->covered = http_conn_is_covered(c);
	s->ip = c->client;
	s->has_ip = true;
	if (!answer_key(http_head_get(&c->head, "Sec-WebSocket-Key"), accept))
		accept[0] = '\0'; /* it was looked at before */
	t = http_conn_take(c);
	if (c->proxied)
		ip_format(&c->client, t->peer);
	buf_addf(&t->out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n", accept);
	stream_attach(s, t);
	transport_send_later(t);
	t->ops->set_reading(t, true);
	if (buf_len(&c->in) > 0)
		t->handler->on_read(t->arg, buf_data(&c->in), buf_len(&c->in));
	http_conn_free(&c);
}

static bool may_upgrade(struct http_conn *c)
{
	const struct http_head *h = &c->head;
	const char *version = http_head_get(h, "Sec-WebSocket-Version"), *key = http_head_get(h, "Sec-WebSocket-Key");
	char accept[29];

	if (strcmp(h->method, "GET") != 0 || h->is_1_0 || !http_list_has(http_head_get(h, "Upgrade"), "websocket")
		|| !http_list_has(http_head_get(h, "Connection"), "upgrade") || version == NULL || strcmp(version, "13") != 0) {
		sterna_http_add_header(&c->request, "Upgrade", "websocket");
		sterna_http_add_header(&c->request, "Sec-WebSocket-Version", "13");
		http_conn_say(c, 426, "this is for WebSocket, version 13\n");
	} else if (key == NULL || !answer_key(key, accept) || h->content_length > 0 || h->chunked) {
		http_conn_say(c, 400, "this is no handshake of WebSocket\n");
	} else if (!http_list_has(http_head_get(h, "Sec-WebSocket-Protocol"), "xmpp")) {
		http_conn_say(c, 400, "the subprotocol here is xmpp\n"); /* RFC 7395 §3.1 */
	} else if (!http_conn_origin_ok(c)) {
		http_conn_say(c, 403, "not from this web page\n");
	} else if (!http_conn_may_login(c)) {
		http_conn_say(c, 403, "over TLS only\n");
	} else {
		return true;
	}
	return false;
}

void websocket_request(struct http_conn *c)
{
	c->keep_alive = false;
	if (may_upgrade(c))
		http_conn_later(c, upgrade);
}
