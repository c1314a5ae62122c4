/* control.h - the control socket: what sternactl asks a running server.
 *
 * A Unix socket (server.control), mode 0600; the peer's user (SO_PEERCRED) must be ours or root. One JSON object per
 * line: {"command":["session","list"]} is answered by {"ok":true,"result":…} or {"ok":false,"error":"…","code":"…"}
 * with a code of failed, usage, unknown. Requests of one connection are answered one after the other.
 * Limits: 16 connections, lines of 64 KiB, a minute for a request or its answer.
 * Threads: the main one; what workers know is gathered by mails. */
#ifndef STERNA_CONTROL_H
#define STERNA_CONTROL_H

#include <jansson.h>
#include "server/daemon.h"

struct control;

/** Before privileges are dropped: the socket is given to server.user then.
 *  @return STERNA_EIO the socket cannot be made; STERNA_EEXISTS another server listens on it (both logged) */
enum sterna_result control_start(struct daemon *d, struct control **out) STERNA_CHECKED;
/** After the main loop has ended and before the workers do. Waits for what workers were asked. */
void control_stop(struct control **c);

/* --- for commands (control_core.c) --- */

enum { CONTROL_WORDS_MAX = 32 };

/** A request under way; ends with exactly one answer. */
struct control_request {
	struct control *control;
	struct daemon *daemon;
	struct control_client *client;       /* NULL: gone; the answer goes nowhere */
	json_t *line;                        /* holds the words */
	const char *word[CONTROL_WORDS_MAX + 1];
	int count;                           /* all words, the command's own too */
	const char *const *arg;              /* words after the command's, arg_count of them */
	int arg_count;
	/* while workers are asked */
	json_t **parts;
	unsigned asked, left;
	void (*gathered)(struct control_request *r);
	void *data;                          /* the command's; free()d at the end */
};

struct control_command {
	const char *name;                    /* its words */
	int min, max;                        /* of arguments */
	void (*fn)(struct control_request *r);
};
extern const struct control_command control_commands[];
void control_s2s_list(struct control_request *r);        /**< control_s2s.c */
void control_s2s_explain(struct control_request *r);
void control_s2s_test(struct control_request *r);
void control_s2s_reset(struct control_request *r);

/** Takes result (NULL: none). */
void control_answer(struct control_request *r, json_t *result);
/** code: "failed" or "usage". */
void control_refuse(struct control_request *r, const char *code, const char *fmt, ...) STERNA_PRINTF(3, 4);

/** Part of an answer, on a worker: fn returns what it has found (new), or NULL. It may say that it has it later:
 *  control_part_wait(), then control_part_done(). */
struct control_part;
typedef json_t *control_part_fn(struct worker *w, struct control_part *p);
/** Ask this worker, or all (only NULL); then done(r) on the main thread, with r->parts. */
void control_gather(struct control_request *r, struct worker *only, control_part_fn *fn,
	void (*done)(struct control_request *r));
/** r's words, which do not change while workers are asked. */
const struct control_request *control_part_request(const struct control_part *p);
void control_part_wait(struct control_part *p);
void control_part_done(struct control_part *p, json_t *found);

#endif
