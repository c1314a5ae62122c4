/* ws.c - a session over WebSocket (RFC 6455, RFC 7395): the upgrade, one text frame for each element that leaves, and the
 * elements out of the frames that come. Like scan.c it trusts the server: no frame is checked, and nothing is fragmented. */
#include <stdio.h>
#include <string.h>
#include "tests/bench/bench.h"

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10, HEAD_MAX = 14 };

void ws_upgrade(struct session *s)
{
	char text[512];
	const int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n",
		s->bench->opt.websocket, s->account->domain);

	s->state = S_UPGRADE;
	s->framed = false;
	conn_send(s, text, (size_t)n);
}

static void send_frame(struct session *s, unsigned opcode, const char *a, size_t a_len, const char *b, size_t b_len)
{
	static const unsigned char mask[4] = { 0x5a, 0x13, 0xc7, 0x88 };
	const size_t len = a_len + b_len;
	struct buf *out = &s->frame;
	char head[HEAD_MAX];
	size_t n = 2;

	head[0] = (char)(0x80 | opcode);
	if (len < 126) {
		head[1] = (char)(0x80 | len);
	} else {
		head[1] = (char)(0x80 | 126);
		head[2] = (char)(len >> 8);
		head[3] = (char)(len & 255);
		n = 4;
	}
	memcpy(head + n, mask, sizeof mask);
	buf_add(out, head, n + sizeof mask);
	buf_add(out, a, a_len);
	buf_add(out, b, b_len);
	char *payload = out->data + out->start + n + sizeof mask;

	for (size_t i = 0; i < len; i++)
		payload[i] ^= (char)mask[i & 3];
	conn_send(s, buf_data(out), buf_len(out));
	buf_consume(out, buf_len(out));
}

/* RFC 7395 §3.3.3: each element stands alone, and says its namespace itself. */
void ws_send(struct session *s, const char *text, size_t len)
{
	static const char ns[] = " xmlns='jabber:client'";
	char first[32 + sizeof ns];
	const size_t name = strcspn(text, " />");
	const bool stanza = strncmp(text, "<m", 2) == 0 || strncmp(text, "<p", 2) == 0 || strncmp(text, "<i", 2) == 0;

	if (!stanza || name > 32) {
		send_frame(s, TEXT, text, len, "", 0);
		return;
	}
	memcpy(first, text, name);
	memcpy(first + name, ns, sizeof ns - 1);
	send_frame(s, TEXT, first, name + sizeof ns - 1, text + name, len - name);
}

/** The head of the answer has come. @return the bytes used, 0: not yet */
static size_t upgraded(struct session *s, const char *data, size_t len)
{
	const char *end = find(data, len, "\r\n\r\n");

	if (end == NULL)
		return 0;
	if (find(data, (size_t)(end - data), " 101 ") == NULL) {
		login_lost(s, "no upgrade to WebSocket");
		return len;
	}
	s->framed = true;
	login_upgraded(s);
	return (size_t)(end - data) + 4;
}

/** One frame. @return the bytes used, 0: not all of it is there */
static size_t one_frame(struct session *s, const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *)data;
	size_t head = 2, n;

	if (len < 2)
		return 0;
	n = p[1] & 127;
	if (n >= 126) {
		const size_t bytes = n == 126 ? 2 : 8;

		head += bytes;
		if (len < head)
			return 0;
		n = 0;
		for (size_t i = 0; i < bytes; i++)
			n = n << 8 | p[2 + i];
	}
	if (len - head < n)
		return 0;
	switch (p[0] & 15) {
	case PING: send_frame(s, PONG, data + head, n, "", 0); break;
	case CLOSE: login_lost(s, "closed by the server"); break;
	case PONG: break;
	default: session_feed(s, data + head, n);
	}
	return head + n;
}

void ws_feed(struct session *s, const char *data, size_t len)
{
	const bool kept = buf_len(&s->frames) > 0;
	size_t done = 0, used;

	if (kept) {
		buf_add(&s->frames, data, len);
		data = buf_data(&s->frames);
		len = buf_len(&s->frames);
	}
	while (done < len && s->fd >= 0) {
		used = s->framed ? one_frame(s, data + done, len - done) : upgraded(s, data + done, len - done);
		if (used == 0)
			break;
		done += used;
	}
	if (s->fd < 0)
		return; /* conn_close() has released all */
	if (kept)
		buf_consume(&s->frames, done);
	else
		buf_add(&s->frames, data + done, len - done);
	if (buf_len(&s->frames) == 0)
		buf_release(&s->frames);
}
