/* stream.h - an XML stream over a transport (RFC 6120 §4): header, features, errors, framing. What its elements
 * mean is a table of its kind: c2s.c, component.c. Threads: the worker it is on; stream_move() changes that. */
#ifndef STERNA_STREAM_H
#define STERNA_STREAM_H

#include "server/ratelimit.h"
#include "server/server.h"
#include "server/stanza.h"
#include "server/transport.h"

struct account;
struct auth;
struct captcha;
struct registration;
struct s2s;
struct sasl2;
struct sterna_session;
struct stream_late;

/** States, as bits: a rule names those in which its element may come. */
enum stream_state {
	STREAM_NEW = 1,          /* no header yet */
	STREAM_OPEN = 2,         /* header exchanged, not encrypted */
	STREAM_SECURE = 4,       /* encrypted, nobody authenticated */
	STREAM_AUTHED = 8,       /* authenticated, no resource */
	STREAM_BOUND = 16,       /* bound, or resumed */
	STREAM_CLOSED = 32,      /* our end tag is out */
	STREAM_TASKS = 64,       /* proven, with tasks left to do (XEP-0388 §2.6.3) */
};

struct stream_rule {
	unsigned when;
	const char *ns, *name;   /* name NULL: any of that namespace */
	void (*fn)(struct stream *s, struct arena **a, struct sterna_elem *e);
};

struct stream_kind {
	const char *name;            /* "c2s" */
	const char *content_ns;
	const struct stream_rule *rules;
	size_t rule_count;
	/** The header was read and checked as far as all kinds want it: answer it. */
	void (*opened)(struct stream *s, const struct sterna_elem *root);
	/** A stanza of a bound stream; takes the arena. */
	void (*stanza)(struct stream *s, struct arena **a, struct sterna_elem *e);
	/** Nothing was heard for limits.idle_time: ask for a sign of life. NULL: nobody asks. */
	void (*ask)(struct stream *s);
	/** It has ended: cut (resumable) or closed in order. */
	void (*ended)(struct stream *s, bool cut);
	/* the rest may be NULL */
	/** TLS is up: before a new document begins. */
	void (*secured)(struct stream *s);
	/** The output fell below its low-water mark. */
	void (*drained)(struct stream *s);
	/** The document's first words, in place of the usual response header. */
	void (*header)(struct stream *s);
};

/** How elements travel where the stream is no document: in messages of WebSocket, in bodies of BOSH. Each is
 *  standalone then, with its namespaces. */
struct stream_framing {
	void (*header)(struct stream *s, const char *from);     /**< in place of the response header */
	size_t (*begin)(struct stream *s);                      /**< an element is added to the transport's output: before */
	void (*end)(struct stream *s, size_t at);               /**< and after it; at: what begin() said */
	void (*close)(struct stream *s);                        /**< in place of the end tag */
	void (*read)(struct stream *s, const char *bytes, size_t len); /**< keeps what comes while the stream is held */
	void (*element)(struct stream *s, struct arena **a, struct sterna_elem *e); /**< the parser has one; takes *a */
	void (*resume)(struct stream *s);                       /**< not held any more: go on with what was kept */
	void (*free)(struct stream *s);                         /**< what s->framed points to */
};

struct stream {
	struct worker *worker;
	struct stream *prev, *next;  /* of the worker */
	struct transport *transport;
	struct xml_parser *xml;
	const struct stream_kind *kind;
	const struct stream_framing *framing; /* NULL: a document, as RFC 6120 has it */
	void *framed;                /* the framing's */
	unsigned state;              /* one of enum stream_state */
	char id[33];
	struct host *host;           /* as the header's 'to' says; NULL before */
	struct jid *jid;             /* authenticated: the bare JID */
	struct jid *claimed;         /* bare, as the header's 'from' says; until a resource is bound; NULL */
	struct account *account;     /* held from then until a resource is bound: it does not go meanwhile */
	struct sterna_session *session;
	struct auth *auth;           /* an exchange under way */
	struct sasl2 *sasl2;         /* a request of XEP-0388 under way */
	struct captcha *captcha;         /* a question that was asked before that */
	struct registration *registration; /* of an account, under way (XEP-0077) */
	struct invite *invite;           /* shown before it (XEP-0445) … */
	char *invite_token;              /* … by this text */
	struct s2s *s2s;             /* another server's (s2s_impl.h) */
	char *authenticated_by;      /* the mechanism, for lists */
	char *agent_id;              /* of SASL2's user-agent, a UUID; secret (XEP-0386 §3.2.1); NULL */
	char *tried;                 /* as whom a login was tried, while its failure is told; NULL */
	char *client;                /* its software and device, for lists; NULL */
	char *lang;                  /* of its stanzas that say none (RFC 6120 §4.7.4); NULL: ours */
	struct timer deadline;       /* of the state: TLS, authentication, bind */
	struct timer thaw;           /* reading goes on: a rate was passed */
	struct task end_task;        /* the end, when nobody stands in it any more */
	struct task resume_task;     /* reading goes on */
	struct task move_task;       /* off to another worker */
	struct worker *move_to;
	void (*move_fn)(struct stream *s);
	struct ratelimit bytes, stanzas;
	struct xml_limits limits;
	uint64_t heard_us;           /* when bytes came last */
	uint64_t read_bytes;         /* all that came */
	unsigned tries;              /* failed authentications; then, failed attempts to bind */
	unsigned holds;              /* reading is held back by: bits of enum stream_hold */
	bool header_sent, direct_tls, end_seen, cut, ending, ping_sent, known;
	bool web;                    /* over HTTP: TLS is not this stream's matter */
	bool covered;                /* and there was TLS on the way, or no way at all */
	struct ip ip;                /* for limits by address */
	bool has_ip, held_after;
	bool joined;                 /* a component's, in its host's list */
	struct stream *awake_prev, *awake_next; /* with a parser; the one heard last first */
	bool awake;
	struct stream *next_component; /* of the same domain; worker 0's */
	struct stream_late *late;    /* stanzas that wait for room in the output (stream_late.h); or NULL */
	const char *closed_text;     /* why the connection ended by itself; static; NULL */
};

/** Why nothing is read: bits. */
enum stream_hold { HOLD_BUSY = 1, HOLD_RATE = 2, HOLD_OUTPUT = 4, HOLD_WORK = 8,
	HOLD_COMMIT = 16, HOLD_READS = 32, HOLD_SETUP = 64, HOLD_STOPS = 128 };

/** A stream, and the transport it is over. */
struct stream *stream_new(struct worker *w, const struct stream_kind *kind, bool direct_tls);
void stream_attach(struct stream *s, struct transport *t);
void stream_limits(struct stream *s); /**< those of its state now */
/** The only writer of s->state. */
void stream_enter(struct stream *s, enum stream_state next);

void stream_write(struct stream *s, const char *text, size_t len);
void stream_send(struct stream *s, struct stanza *st, const struct jid *to);
void stream_send_elem(struct stream *s, const struct sterna_elem *e);
/** For framings: what a reader of the stream calls. The header, as <stream/> or <open/>; an element, taken; the end. */
void stream_opened(struct stream *s, const struct sterna_elem *root);
void stream_element(struct stream *s, struct arena **a, struct sterna_elem *e);
void stream_end_seen(struct stream *s);
/** The parser's error becomes the stream's. */
void stream_xml_error(struct stream *s, enum xml_error e);
/** Output was added by a framing itself: send it, and see whether it is read. */
void stream_written(struct stream *s);
/** The connection is lost: the session may be resumed. */
void stream_lost(struct stream *s);
/** The response header (§4.7), once per document. */
void stream_header(struct stream *s, const char *from);
/** A new document begins: after STARTTLS, after SASL. */
void stream_restart(struct stream *s);

/** A stream error (§4.9), our end tag, the end. The session, if any, ends for good. */
void stream_error(struct stream *s, const char *condition, const char *text);
/** The same with an application-specific condition (§4.9.4): XML. */
void stream_error_with(struct stream *s, const char *condition, const char *text, const char *application);
/** Our end tag and the end, in order. */
void stream_close(struct stream *s);
/** The session goes on elsewhere (resumed by another stream): <conflict/>, and this one ends alone. */
void stream_replaced(struct stream *s);
void stream_detach_session(struct stream *s);

/** What was read is paid for; in debt, nothing is read for a while. */
void stream_charge(struct stream *s, struct ratelimit *bucket, const struct sterna_rate *rate, uint64_t n);
/** What it sent went to a mailbox that is full: nothing is read for a moment. */
void stream_pause_if_congested(struct stream *s);
void stream_hold(struct stream *s, enum stream_hold why);
void stream_release(struct stream *s, enum stream_hold why);
/** Go on on another worker: fn(s) runs there. Held with HOLD_BUSY meanwhile; fn releases it. */
void stream_move(struct stream *s, struct worker *to, void (*fn)(struct stream *s));
/** Every other second: parsers of idle streams sleep, and in a part of all streams (a fifth, and as many as there are
 *  where there are few) the dead are found. */
void stream_sweep(struct worker *w);
void stream_free_now(struct stream *s);
/** The account, which this stream holds from now on; NULL: none any more. On its owner. */
void stream_hold_account(struct stream *s, struct account *a);
size_t stream_memory(const struct stream *s);

#endif
