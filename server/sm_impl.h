/* sm_impl.h - what sm.c (counting, queue) and sm_store.c (rows, recovery) share. */
#ifndef STERNA_SM_IMPL_H
#define STERNA_SM_IMPL_H

#include "server/session.h"
#include "server/sm.h"

/** How often what must be stored at a session's end or resumption is tried. */
enum { SM_TRIES = 20 };

struct sm_entry {
	struct stanza *stanza;           /* a reference */
	struct jid *to;                  /* in place of its own; NULL */
	int64_t archive_id;              /* 0: no row */
	uint32_t number;                 /* the n-th that we sent */
	uint32_t size;
	bool burst;                      /* it has asked for that (limits.burst_count) */
};

struct sm {
	int64_t sid;
	unsigned char token_hash[32];
	char secret[33];                 /* as the client has it; empty after a crash, when only its hash is known */
	bool resumable, enabled;         /* enabled: we count */
	bool announced;                  /* <enabled/> is out */
	sm_enabled_fn *tell;             /* by someone else's answer; NULL: by itself */
	bool stored;                     /* the row of sm_session is committed */
	bool recovered;                  /* from rows after the death of a process; until resumed */
	bool back_from_crash;            /* resumed since: others must hear of its presence */
	bool loading;                    /* its rows are being read: nothing of it may be stored or ended yet */
	uint64_t timeout_us, left_us;    /* left_us: of the time to resume it, when it was loaded */
	struct timer expiry;             /* while detached; or at once, when the queue is over its limit */
	bool overflow;
	/* in */
	uint32_t h_in;                   /* taken */
	uint32_t h_committed;            /* all effects up to here are committed */
	uint32_t h_durable;              /* and that could be told after a crash */
	uint32_t asked;                  /* <r/> waits for this number */
	bool asking, broken;             /* broken: an outcome is not known; no ack beyond it */
	bool saving, save_again;
	struct { uint32_t h; bool done, row; } *pending; /* not committed yet, in order */
	size_t pending_count, pending_size;
	uint32_t *taken;                 /* numbers above h_in whose rows survived a crash */
	size_t taken_count;
	/* out */
	uint32_t out, acked, written;    /* written: to the stream */
	unsigned withheld;
	struct sm_entry *queue;          /* a ring */
	size_t head, count, size;
	size_t bytes;                    /* without: */
	size_t burst_count, burst_bytes; /* of the queue: what it has asked for */
	uint32_t request_at;             /* written, when <r/> was sent last */
	uint64_t asked_us;               /* when an <r/> went out that is not answered yet; 0: none */
	int64_t position;                /* archive rows up to here need not be read at recovery */
	/* a resumption that waits for pending effects */
	struct stream *resuming;
	sm_resume_fn *resume_done;
};

static inline struct sm_entry *sm_at(struct sm *m, size_t i)
{
	return &m->queue[(m->head + i) % m->size];
}

/* It ends as soon as the loop runs: not from within what found out. */
static inline bool sm_is_doomed(const struct sm *m)
{
	return m->overflow || m->broken;
}

struct sm *sm_new(struct sterna_session *s);
void sm_append(struct sm *m, struct stanza *st, const struct jid *to, int64_t archive_id, bool burst);
void sm_drop_acked(struct sm *m, uint32_t h);
void sm_clear(struct sm *m);
void sm_try_answer(struct sterna_session *s);
/** Write the row; then sm_try_answer. */
void sm_store(struct sterna_session *s);
void sm_forget(struct sterna_session *s, struct db_batch *b);
void sm_on_expiry(struct timer *t, void *arg);

#endif
