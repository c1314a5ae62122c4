/* bosh_pipe.h - what lies between a stream over BOSH and its home: elements one way, bytes the other. It is the stream's
 * transport. Threads: each half belongs to its own; what they share is behind a lock. */
#ifndef STERNA_BOSH_PIPE_H
#define STERNA_BOSH_PIPE_H

#include "server/stream.h"

struct bosh_pipe;

enum bosh_item_kind { BOSH_OPEN, BOSH_ELEMENT, BOSH_END };
struct bosh_item {
	struct bosh_item *next;
	enum bosh_item_kind kind;
	struct arena *arena;         /* of the element; NULL: BOSH_END */
	struct sterna_elem *element; /* BOSH_OPEN: its attributes are those of a stream's header */
	size_t bytes;                /* what it cost to read, for the limits of rate */
};
void bosh_items_free(struct bosh_item **first);

/** What the home is told, on its own thread. */
typedef void bosh_wake_fn(void *home);

/** A stream on this worker over a new pipe; the home's half is *out. */
struct stream *bosh_pipe_new(struct worker *w, bosh_wake_fn *wake, void *home, struct bosh_pipe **out);

/* --- the home's half --- */
/** Hands elements to the stream, in order; takes the list. */
void bosh_pipe_push(struct bosh_pipe *p, struct bosh_item **first);
/** Adds to out what the stream has said. *ended: it is over, and why: a condition of XEP-0124 §17, or NULL. */
void bosh_pipe_take(struct bosh_pipe *p, struct buf *out, bool *ended, const char **condition);
/** Bytes pushed that the stream has not taken; the home is woken when they fall below BOSH_WAITING_MAX. */
enum { BOSH_WAITING_MAX = 524288 };
size_t bosh_pipe_waiting(struct bosh_pipe *p);
bool bosh_pipe_is_known(struct bosh_pipe *p);           /**< it is authenticated */
void bosh_pipe_id(struct bosh_pipe *p, char id[33]);    /**< of the stream */
/** The home is gone: the stream, if it is still there, is cut. Sets *p to NULL. */
void bosh_pipe_leave(struct bosh_pipe **p);

#endif
