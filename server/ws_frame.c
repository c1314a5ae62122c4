/* ws_frame.c - RFC 6455 §5. */
#include "server/ws_frame.h"
#include <string.h>

enum { HEAD, CONTENT, DEAD };

static enum ws_event fail(struct ws_reader *r, enum ws_code code)
{
	r->state = DEAD;
	r->code = code;
	return WS_ERROR;
}

/* How long the head is, as far as its bytes tell. */
static size_t head_size(const struct ws_reader *r)
{
	if (r->head_len < 2)
		return 2;
	const unsigned len = r->head[1] & 0x7f;

	return 2 + (len == 126 ? 2u : len == 127 ? 8u : 0u) + 4;
}

static bool is_control(unsigned opcode)
{
	return (opcode & 8) != 0;
}

/* What the first two bytes alone forbid: reserved bits (no extension was agreed on), opcodes, unmasked frames. */
static enum ws_code judge_start(const struct ws_reader *r)
{
	const unsigned opcode = r->head[0] & 0x0f, len = r->head[1] & 0x7f;

	if ((r->head[0] & 0x70) != 0 || (r->head[1] & 0x80) == 0)
		return WS_PROTOCOL_ERROR;
	if (is_control(opcode))
		return opcode > WS_PONG || (r->head[0] & 0x80) == 0 || len > WS_CONTROL_MAX ? WS_PROTOCOL_ERROR : 0;
	if (opcode == WS_BINARY)
		return WS_UNSUPPORTED; /* RFC 7395 §3.2 */
	if (opcode > WS_BINARY)
		return WS_PROTOCOL_ERROR;
	return (opcode == WS_CONTINUATION) == r->in_message ? 0 : WS_PROTOCOL_ERROR;
}

static enum ws_code begin_content(struct ws_reader *r, uint64_t max)
{
	const unsigned len = r->head[1] & 0x7f, bytes = len == 126 ? 2 : len == 127 ? 8 : 0;

	r->left = bytes == 0 ? len : 0;
	for (unsigned i = 0; i < bytes; i++)
		r->left = r->left << 8 | r->head[2 + i];
	if ((len == 126 && r->left < 126) || (len == 127 && (r->left < 65536 || r->left >> 63 != 0)))
		return WS_PROTOCOL_ERROR; /* §5.2: the shortest form */
	memcpy(r->mask, r->head + 2 + bytes, 4);
	r->mask_at = 0;
	r->opcode = r->head[0] & 0x0f;
	r->fin = (r->head[0] & 0x80) != 0;
	r->head_len = 0;
	r->control_len = 0;
	r->state = CONTENT;
	if (is_control(r->opcode))
		return 0;
	if (!r->in_message) {
		r->message = 0;
		r->fragments = 0;
	}
	r->in_message = true;
	if (r->left > max || r->message > max - r->left || ++r->fragments > WS_FRAGMENTS_MAX)
		return WS_TOO_BIG;
	r->message += r->left;
	return 0;
}

/* @return 0: go on */
static enum ws_code read_head(struct ws_reader *r, const char *in, size_t len, uint64_t max, size_t *used)
{
	while (*used < len && r->state == HEAD) {
		r->head[r->head_len++] = (unsigned char)in[(*used)++];
		if (r->head_len == 2) {
			const enum ws_code code = judge_start(r);

			if (code != 0)
				return code;
		}
		if (r->head_len >= 2 && r->head_len == head_size(r))
			return begin_content(r, max);
	}
	return 0;
}

static void unmask(struct ws_reader *r, const char *in, char *out, size_t n)
{
	unsigned char key[8];
	uint64_t wide, word;
	size_t i = 0;

	for (unsigned k = 0; k < 8; k++)
		key[k] = r->mask[(r->mask_at + k) & 3];
	memcpy(&wide, key, sizeof wide);
	for (; n - i >= sizeof word; i += sizeof word) {
		memcpy(&word, in + i, sizeof word);
		word ^= wide;
		memcpy(out + i, &word, sizeof word);
	}
	for (; i < n; i++)
		out[i] = (char)((unsigned char)in[i] ^ key[i & 7]);
	r->mask_at = (unsigned char)((r->mask_at + n) & 3);
}

static enum ws_event read_control(struct ws_reader *r, const char *in, size_t n)
{
	unmask(r, in, (char *)r->control + r->control_len, n);
	r->control_len = (unsigned char)(r->control_len + n);
	if (r->left > 0)
		return WS_MORE;
	r->state = HEAD;
	if (r->opcode == WS_CLOSE && r->control_len == 1)
		return fail(r, WS_PROTOCOL_ERROR); /* §5.5.1 */
	return WS_CONTROL;
}

enum ws_event ws_read(struct ws_reader *r, const char *in, size_t len, uint64_t max, size_t *used, char *out,
	size_t *out_len)
{
	*used = 0;
	*out_len = 0;
	if (r->state == DEAD)
		return WS_ERROR;
	const enum ws_code code = r->state == HEAD ? read_head(r, in, len, max, used) : 0;

	if (code != 0)
		return fail(r, code);
	if (r->state != CONTENT)
		return WS_MORE;
	const size_t there = len - *used, n = there < r->left ? there : (size_t)r->left;

	in += *used;
	*used += n;
	r->left -= n;
	if (is_control(r->opcode))
		return read_control(r, in, n);
	unmask(r, in, out, n);
	*out_len = n;
	if (r->left > 0)
		return n > 0 ? WS_DATA : WS_MORE;
	r->state = HEAD;
	if (!r->fin)
		return WS_DATA;
	r->in_message = false;
	return WS_MESSAGE;
}

/* --- writing --- */

enum { ROOM = 4 };                           /* for the usual head; others move the content */

size_t ws_begin(struct buf *b)
{
	const size_t at = buf_len(b);

	(void)buf_reserve(b, ROOM);
	b->len += ROOM;
	return at;
}

void ws_end(struct buf *b, size_t at)
{
	const size_t len = buf_len(b) - at - ROOM, head = len < 126 ? 2 : len < 65536 ? 4 : 10;
	unsigned char *p;

	if (head > ROOM)
		(void)buf_reserve(b, head - ROOM);
	p = (unsigned char *)b->data + b->start + at;
	if (head != ROOM)
		memmove(p + head, p + ROOM, len);
	b->len = b->len - ROOM + head;
	p[0] = 0x80 | WS_TEXT;
	p[1] = (unsigned char)(len < 126 ? len : len < 65536 ? 126 : 127);
	for (size_t i = 2; i < head; i++)
		p[i] = (unsigned char)((uint64_t)len >> 8 * (head - 1 - i));
}

void ws_control(struct buf *b, enum ws_opcode opcode, const void *bytes, size_t len)
{
	buf_putc(b, (char)(0x80 | opcode));
	buf_putc(b, (char)len);
	buf_add(b, bytes, len);
}

void ws_close(struct buf *b, enum ws_code code)
{
	const unsigned char bytes[2] = { (unsigned char)(code >> 8), (unsigned char)code };

	ws_control(b, WS_CLOSE, bytes, sizeof bytes);
}
