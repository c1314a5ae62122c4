/* fetch.h - requests to other HTTP servers, by libcurl, on a worker's loop. Names are looked up on libcurl's own threads,
 * nothing is waited for, redirections are not followed, and the environment's proxies are not used.
 *
 * Threads: all of a worker's. Callbacks come from its loop, never from within a call. */
#ifndef STERNA_FETCH_H
#define STERNA_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/server.h"

struct fetch;

/** Borrowed for the call that it is given to. */
struct fetch_request {
	const char *method;                  /* "GET", "HEAD", "PUT", "DELETE" */
	const char *url;
	const char *const *headers;          /* "Name: value"; ended by NULL; may be NULL */
	uint64_t body_bytes;                 /* of a PUT: on_want brings them */
	uint64_t connect_us, stall_us;       /* stall_us: with nothing to be sent or heard, while neither side is paused by us */
	const char *authorities;             /* file, PEM; NULL: the system's */
};

struct fetch_answer {
	unsigned status;                     /* 0: there is none */
	int64_t length;                      /* of the content; -1: not said */
	char range[80];                      /* Content-Range, or "" */
};

struct fetch_handler {
	/** Content has come; false: not now, fetch_resume() brings it again. May be NULL. It may not cancel. */
	bool (*on_data)(void *arg, const char *bytes, size_t len);
	/** Up to so many bytes of the body. @return how many; 0: not now, see fetch_resume(). It may not cancel. */
	size_t (*on_want)(void *arg, char *bytes, size_t size);
	/** It is over, and the fetch is gone. STERNA_OK: the answer is whole, whatever its status; STERNA_ELIMIT: it took too long;
	 *  STERNA_EUNAVAILABLE: no connection, or it broke off. text: for the log */
	void (*on_done)(void *arg, enum sterna_result rc, const char *text);
};

/** Begin. arg: for the handler.
 *  @return STERNA_EIO libcurl refuses (logged); nothing will be called */
enum sterna_result fetch_new(struct worker *w, const struct fetch_request *r, const struct fetch_handler *h, void *arg,
	struct fetch **out) STERNA_CHECKED;
/** What is known of the answer by now. */
const struct fetch_answer *fetch_answer(const struct fetch *f);
void fetch_resume(struct fetch *f);
/** No callback any more; sets *f to NULL. */
void fetch_cancel(struct fetch **f);
void fetcher_free(struct fetcher **f);   /**< for the worker's end, when nothing is under way */

/** For threads that may wait: the same at once, without content. @return as on_done() */
enum sterna_result fetch_now(const struct fetch_request *r, unsigned *status) STERNA_CHECKED;

#endif
