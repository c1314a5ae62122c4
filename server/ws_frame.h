/* ws_frame.h - frames of WebSocket (RFC 6455 §5), as a server reads and writes them. Nothing is kept: content is
 * unmasked and handed on as it comes, and lengths are judged before their first byte. Threads: values. */
#ifndef STERNA_WS_FRAME_H
#define STERNA_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
/** Codes of a close frame (§7.4.1). */
enum ws_code { WS_NORMAL = 1000, WS_GOING_AWAY = 1001, WS_PROTOCOL_ERROR = 1002, WS_UNSUPPORTED = 1003,
	WS_BAD_DATA = 1007, WS_POLICY = 1008, WS_TOO_BIG = 1009 };
enum { WS_CONTROL_MAX = 125, WS_FRAGMENTS_MAX = 1024 };

enum ws_event {
	WS_MORE,             /* all bytes are used, nothing is complete */
	WS_DATA,             /* content of a text message is at .data */
	WS_MESSAGE,          /* the same, and the message ends with it */
	WS_CONTROL,          /* a whole control frame: .opcode, .control, .control_len */
	WS_ERROR,            /* .code; the reader is dead */
};

struct ws_reader {
	uint64_t left;                       /* of the present frame's content */
	uint64_t message;                    /* bytes of the message so far, as frames announced them */
	unsigned char head[14], mask[4];
	unsigned char control[WS_CONTROL_MAX];
	unsigned char head_len, opcode, state, mask_at, control_len;
	bool fin, in_message;                /* in_message: a text message has begun and not ended */
	unsigned fragments;
	enum ws_code code;
};

/** Read on; call again with the rest until WS_MORE.
 *  @param max  bytes of one message
 *  @param[out] used  bytes taken
 *  @param[out] out,out_len  WS_DATA, WS_MESSAGE: content, unmasked; out has room for len bytes, and may be in */
enum ws_event ws_read(struct ws_reader *r, const char *in, size_t len, uint64_t max, size_t *used, char *out,
	size_t *out_len);

/** Begin a text message at the end of a buffer, of unknown length; returns where, for ws_end(). */
size_t ws_begin(struct buf *b);
/** The message is what was added since: its frame's head is put before it. Nothing was consumed meanwhile. */
void ws_end(struct buf *b, size_t at);
/** A control frame; at most WS_CONTROL_MAX bytes. */
void ws_control(struct buf *b, enum ws_opcode opcode, const void *bytes, size_t len);
void ws_close(struct buf *b, enum ws_code code);

#endif
