/* call.h - a handler's context, and a stanza's way on one owner's worker. Core only. */
#ifndef STERNA_CALL_H
#define STERNA_CALL_H

#include "server/ack.h"
#include "server/db.h"
#include "server/module.h"
#include "server/stanza.h"

/* What becomes of a message to an account (deliver.h). */
enum deliver_plan {
	PLAN_SESSIONS,     /* to c->targets */
	PLAN_OFFLINE,      /* store for later, or refuse where that is not to be had */
	PLAN_IGNORE,       /* silently */
	PLAN_REFUSE,       /* <service-unavailable/> */
};

struct account;
struct host;
struct lane;
struct module_slot;
struct registry;
struct worker;

/** What is to be sent when the call's batch is committed (or at once if it has none). */
struct after {
	struct after *next;
	struct stanza *stanza;               /* routed; or, with session, straight to it */
	struct sterna_session *session;
	struct sterna_elem *raw;             /* no stanza: written to the session's stream */
};

enum call_side { SIDE_OUT, SIDE_IN, SIDE_NONE };

struct sterna_call {
	struct worker *worker;
	struct registry *registry;           /* a reference */
	struct stanza *stanza;               /* a reference */
	struct account *account;             /* whose turn it is; held; NULL on a host or service */
	struct host *host;
	struct sterna_session *session;      /* the sender's; a reference; NULL */
	struct sterna_session *target;       /* full JID: the session addressed; TO_SESSION; a reference */
	const struct module_slot *module;    /* whose handler runs */
	struct ack *ack;                     /* the promise to the sender that waits for this call; or NULL */
	struct db_batch *batch;
	struct lane *lane;                   /* of a service's address, while its handler is at work */
	struct after *after, **after_end;
	struct sterna_call *next;            /* in an account's waiting list, or the worker's free ones */
	enum call_side side;
	enum sterna_point point, last_point;
	unsigned hook;                       /* next row of the point's table */
	unsigned marks;
	int64_t archive_id;
	bool archive_offline;                /* the row waits for the next available session */
	struct buf sm_tags;                  /* which XEP-0198 sessions got it under which number */
	struct sterna_session **targets;     /* of a message: references; RFC 6121 §8 */
	size_t target_count;
	struct {
		enum sterna_condition condition;
		const char *text;
		const struct sterna_elem *app, *payload;
		const char *where;           /* of <gone/> and <redirect/> */
	} error;
	struct sterna_elem *reply;
	bool replied, in_handler, in_stops, committing;
	bool holds_stream;                   /* a stop of the sender's side waits: its stream is not read */
	sterna_rows_fn *on_rows;
	const struct db_stmt *read_stmt;
	const struct db_value *read_values;
	struct sterna_session *reader;       /* whose read it is; a reference while it waits */
	void (*then)(struct sterna_call *c, enum sterna_verdict v); /* goes on after hooks or a handler */
	void (*ready)(struct sterna_call *c);                      /* account_when's */
	void *data;
	struct arena *arena;                 /* what handlers build; made when first asked for */
	uint64_t trace;
	bool impatient;                      /* account_when: is to hear at once that the database is away */
	struct jid *send_to;                 /* TO_SESSION: in place of the stanza's own 'to' */
	enum deliver_plan plan;              /* of a message */
	void (*checked)(struct sterna_call *c, bool repeated);     /* origin_check()'s, while it waits */
	enum sterna_condition refused;       /* what it was refused with; 0: it was not */
	const char *refused_by;              /* which module did */
	void *command;                       /* a command's run (request_run.c), which ended() brings home */
	void (*ended)(struct sterna_call *c, enum sterna_result rc); /* once its batch is committed, or not */
	bool to_many;                        /* the stanza is shared, and only read (many.c) */
	bool left;                           /* the stanza has gone on to its recipient's owner */
};

/** Takes one reference of the stanza (a pointer to it: set to NULL). */
struct sterna_call *call_new(struct worker *w, struct stanza **st);
void call_set_account(struct sterna_call *c, struct account *a);
void call_set_session(struct sterna_call *c, struct sterna_session *s);
/** Everything is done: gives back all it holds. */
void call_free(struct sterna_call *c);
struct arena *call_arena(struct sterna_call *c);

/** Run the stops from..to (inclusive) for the stanza's kind, then c->then(c, verdict): STERNA_NEXT if all let
 *  it pass. A hook that waits is resumed by its read; c->then comes later then. */
void call_run_hooks(struct sterna_call *c, enum sterna_point from, enum sterna_point to,
	void (*then)(struct sterna_call *c, enum sterna_verdict v));
/** The name of the lane (lane.h) of this stanza's sender and recipient. */
const char *call_lane_key(struct sterna_call *c);
/** Run one handler in this call's context; the verdict to c->then. */
void call_run_handler(struct sterna_call *c, const struct module_slot *m, sterna_fn *fn,
	void (*then)(struct sterna_call *c, enum sterna_verdict v));
/** After a wait: the verdict of the read's callback. */
void call_resume(struct sterna_call *c, enum sterna_verdict v);
/** Run fn with rows in the modules' form. */
void call_with_rows(struct sterna_call *c, const struct db_stmt *stmt, const struct db_rows *db,
	void (*fn)(struct sterna_call *c, const struct sterna_rows *rows));
/** The batch of this call, made when first asked for. */
struct db_batch *call_batch(struct sterna_call *c);
/** Submit what was written; what was to be sent leaves after the commit; the ack follows it. Frees the call. */
void call_finish(struct sterna_call *c);
void call_after(struct sterna_call *c, struct stanza **st, struct sterna_session *s); /**< takes st */
/** Tell the observers, once for each stanza. */
void call_observe(struct sterna_call *c);

#endif
