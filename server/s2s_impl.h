/* s2s_impl.h - what the files about other servers share: links, attempts, what a stream knows of its peer. */
#ifndef STERNA_S2S_IMPL_H
#define STERNA_S2S_IMPL_H

#include "server/dial.h"
#include "server/s2s.h"
#include "server/trail.h"

#define NS_DIALBACK "jabber:server:dialback"
#define NS_BIDI "urn:xmpp:bidi"
#define NS_LIMITS "urn:xmpp:stream-limits:0"
#define NS_BIDI_FEATURE "urn:xmpp:features:bidi"
#define NS_DIALBACK_FEATURE "urn:xmpp:features:dialback"

struct ack;

enum { S2S_LOCALS_MAX = 32 };        /* of our domains that one incoming stream may be authorised for */

/** What waits for its server, or for its confirmation. */
struct s2s_item {
	struct s2s_item *next;
	struct stanza *stanza;
	uint64_t since_us, until_us; /* it came; then it goes back */
	size_t size;
	int64_t id;                  /* of its row; 0: it has none */
	uint32_t n;                  /* sent as the n-th on the stream */
	bool restored;               /* from before we began */
	bool suspect;                /* under way when the peer ended a stream with an error: it goes alone */
};
struct s2s_list {
	struct s2s_item *first, *last;
	size_t count;
};

/** A key that a peer has shown us, on its way to its own server (XEP-0220 §2.2): db:result came, db:verify goes out. */
struct s2s_check {
	struct s2s_check *next;      /* of the link */
	struct s2s_link *link;       /* theirs and ours: who claims, to whom */
	struct stream *stream;       /* who waits for the verdict; NULL: gone */
	struct host *host;
	char *key, *id;              /* id: of that stream */
	uint64_t until_us;
	bool sent;
};

/** Another domain: what it may send us, and what it did that it should not. */
enum { S2S_BUDGETS = CONFIG_BUDGET_JOINS + 1 };
struct s2s_peer {
	char *domain;                /* key in worker->peers */
	struct ratelimit bucket[S2S_BUDGETS];
	uint64_t held[S2S_BUDGETS];  /* stanzas beyond it */
	unsigned offences;           /* since offences_since_us */
	uint64_t offences_since_us, all_offences, used_us;
};

/** What came on a stream, by XEP-0198; outlives it while commits are under way, and while it may be resumed. */
enum { S2S_RING = 4096 };            /* stanzas whose commits may come out of order */
struct s2s_sm {
	unsigned refs;
	struct s2s_sm *next, **at;   /* of its worker */
	struct worker *worker;
	struct stream *stream;       /* NULL: gone */
	uint32_t in, committed;      /* numbers, from 1 */
	uint32_t wanted;             /* a request waits for this one; 0: none */
	uint32_t base;               /* in, when the peer enabled it */
	bool enabled;
	bool broken;                 /* an outcome is not known: never to be resumed */
	bool given_up;               /* the link that held it has gone on without it: the same */
	bool ours, both;             /* we opened its stream, and may resume it; stanzas go both ways */
	char *id;                    /* to resume it with; NULL: it cannot be */
	uint64_t max_us, until_us;   /* after a cut; until then */
	struct jid *remote;          /* theirs to resume: by whom, … */
	struct host *host;           /* … with which of ours */
	uint32_t out_base;           /* the link's numbers, while that holds it */
	struct stream *resuming;     /* waits until all is committed; NULL: none */
	struct s2s_ping *pings;      /* are answered when all before them is committed */
	size_t ping_count;
	uint64_t *hashes;            /* of messages, until they are committed (s2s_seen.c); NULL: none yet */
	bool done[S2S_RING];
};

/** An attempt to get a stream to the domain: to carry the queue, or to verify keys. */
struct s2s_attempt {
	struct s2s_link *link;
	bool verifies, ready;        /* ready: db:verify may be sent */
	bool refused;                /* a server was there, and one of us did not want the other */
	struct dial *dial;
	struct stream *stream;       /* its present one; NULL: being dialled */
	struct trail trail;
	struct timer deadline;       /* s2s.connect_time, for all of it */
	/** A test: told how it ended, in place of all else; the stream is closed then. */
	void (*done)(void *arg, const struct s2s_attempt *a, bool ok);
	void *arg;
};

/** A pair of domains, ours and theirs. */
struct s2s_link {
	struct worker *worker;
	struct host *host;
	struct jid *remote;
	char *key;                   /* in worker->links */
	struct s2s_list waiting, sent; /* sent: not confirmed yet */
	size_t bytes;                /* of both */
	size_t suspects;             /* in both */
	uint32_t out;                /* sent on this stream */
	unsigned unasked;            /* of those, since we asked last */
	struct timer ask;
	uint64_t asked_us;           /* a ping is under way since then; 0: none */
	uint32_t asked_n;            /* what it confirms */
	unsigned asked_again;        /* so many had no answer */
	bool answers;                /* pings, as far as we have seen */
	char ping_id[33];
	struct stream *stream;       /* carries the queue; NULL: none does */
	struct s2s_sm *held;         /* of a stream that was cut: 'sent' waits for its resumption; NULL: none */
	uint64_t held_until_us;
	struct s2s_attempt *attempt; /* to get one; NULL: none under way */
	struct s2s_attempt *verifier; /* for checks */
	struct s2s_attempt *test;    /* an administrator's */
	struct s2s_check *checks;
	size_t check_count;
	unsigned streams;            /* that point here: it stays */
	struct timer retry;
	uint64_t pause_us;           /* before the next attempt */
	uint64_t used_us;            /* last time anything went either way */
	uint64_t up_us;              /* since when stream is there */
	int64_t last_up_wall_us;     /* when it was there last; 0: never */
	bool was_up;                 /* since we started: then we try often */
	unsigned looked;             /* messages that came, of the first */
	uint8_t *met;                /* of whose recipients: this process has had one that no earlier one had; NULL: none */
	bool wanted;                 /* something of ours was to be sent, or is authenticated; not only keys to verify */
	unsigned failures;           /* in a row */
	unsigned short_lived;        /* streams in a row that were lost soon */
	struct trail trail;          /* of the last attempt that ended */
	enum sterna_condition condition; /* what goes back now that it failed; 0: not known to fail */
	char why[TRAIL_TEXT];        /* the same for people */
	uint64_t sent_count, received; /* stanzas */
	uint64_t latency_us;         /* until it confirmed what it was sent, of late; 0: not known */
};

/** A stream's part. */
struct s2s {
	struct jid *remote;          /* their domain; NULL: not known yet */
	struct s2s_link *link;       /* whose queue it carries (or will) */
	struct s2s_attempt *attempt; /* outgoing, before it is bound */
	struct host *locals[S2S_LOCALS_MAX]; /* who may be written to by remote on this stream */
	size_t local_count;
	enum tls_proof proof;        /* what its certificate says */
	const char *proof_text;
	char *their_id;              /* outgoing: the stream's id (XEP-0220 §2.1.1) */
	bool out;                    /* we opened it */
	bool bidi;                   /* both ways (XEP-0288) */
	bool external, dialback;     /* what was tried */
	size_t max_bytes;            /* of a stanza that the peer takes (XEP-0478); 0: it does not say */
	bool offers_sm, sm_pending, sm_out; /* XEP-0198: it could; we asked for it; what we send is acknowledged */
	uint32_t sm_base;            /* link->out, when it began */
	uint64_t charged_bytes;      /* of what came, to its domain's budget */
	struct s2s_sm *sm;           /* of what comes; NULL: nothing has */
	struct s2s_sm *resuming;     /* of an older stream, that this one asks for; NULL: none */
	uint32_t resume_h;           /* what the peer has of us then */
	bool news;                   /* a message has come that did not come before, as far as can be told */
	struct s2s_lookup *lookup;   /* whether the last one did is not known yet (s2s_lookup.c); NULL */
	bool failed;                 /* why is in the trail */
	char blame[64];              /* the peer's stream error, if it may be about what we sent; "": none */
	unsigned checks;             /* keys of it that wait for a verdict */
};

/* --- s2s.c: links --- */

/** The link of these two, made if need be; NULL: there are too many, or the domain is none. */
struct s2s_link *s2s_link(struct worker *w, struct host *host, const struct jid *remote);
struct s2s_link *s2s_link_find(struct worker *w, const struct host *host, const char *remote);
/** The stream has to do with that link. */
void s2s_link_join(struct s2s_link *l, struct stream *s);
/** The stream carries the link's queue from now on. */
void s2s_link_up(struct s2s_link *l, struct stream *s);
/** It does not any more. cut: not in order; then it may be resumed. */
void s2s_link_down(struct s2s_link *l, struct stream *s, bool cut);
/** It carries the link's queue again, where the stream before it has ended. */
void s2s_link_took_up(struct s2s_link *l, struct stream *s);
/** A stream, if one is wanted and none under way. */
void s2s_link_try(struct s2s_link *l);
/** As much of the queue as the stream takes. */
void s2s_link_flush(struct s2s_link *l);
/** The peer gave a sign of life: an attempt that waits begins now. */
void s2s_link_hurry(struct s2s_link *l);
/** The attempt ended without a stream. */
void s2s_link_failed(struct s2s_link *l, struct s2s_attempt *a, enum sterna_condition condition);
/** What the configuration wants of this domain; none: we do not talk to it, also because it is kept out now. */
enum config_trust s2s_trust_of(const struct server *s, const char *domain);
/** Is that proof enough for what the configuration wants of this domain? */
bool s2s_is_enough(const struct server *s, const char *domain, enum tls_proof p);

/* --- s2s_queue.c --- */

void s2s_queue_init(struct s2s_link *l);
void s2s_queue_clear(struct s2s_link *l);
/** Why it cannot be taken, or NULL. */
const char *s2s_queue_refuses(const struct s2s_link *l, const struct stanza *st, enum sterna_condition *condition);
void s2s_queue_put(struct s2s_link *l, struct stanza **st, int64_t id);
/** A row of an earlier process; in order. Takes st. */
void s2s_queue_restore(struct s2s_link *l, struct stanza **st, int64_t id, int64_t expires_us);
/** Back to their senders: all that wait, or those whose time is over. */
void s2s_queue_bounce(struct s2s_link *l, bool all, enum sterna_condition condition, const char *text);
/** The peer has the first n of this stream. */
void s2s_queue_confirmed(struct s2s_link *l, uint32_t n);
/** Ask for that. */
void s2s_queue_ask(struct s2s_link *l);
/** Is it the answer to our ping? */
bool s2s_queue_answer(struct worker *w, const struct stanza *st);
/** The stream is lost: what is not confirmed waits again.
 *  @param blame  the peer's stream error, if it may be about a stanza; "": it is not */
void s2s_queue_lost(struct s2s_link *l, const char *blame);
/** It was cut, and may be resumed: what is not confirmed stays as it is. */
void s2s_queue_paused(struct s2s_link *l);
/** It is resumed, and the peer has the first n: the rest goes again, and nothing comes twice. */
void s2s_queue_resumed(struct s2s_link *l, uint32_t n);
void s2s_queue_sweep(struct s2s_link *l);

/* --- s2s_store.c --- */

void s2s_store_confirmed(struct s2s_link *l, int64_t up_to);
void s2s_store_drop(struct s2s_link *l, int64_t id);
void s2s_loaded(struct worker *w);          /**< s2s.c: the queues are as they were */
void s2s_load_cancel(struct worker *w);

/* --- s2s_sm.c --- */

/** Is it the peer's question whether all is there (XEP-0199), which has to wait for that? Then it is taken. It was counted
 *  just now. */
bool s2s_sm_parks(struct stream *s, struct stanza **st, struct ack **ack);
/** One more stanza has come: its acknowledgement. */
struct ack *s2s_sm_count_in(struct stream *s);
void s2s_sm_unref(struct s2s_sm *m);
/** The stream ends: the peer has confirmed more than it was sent (§5). */
void s2s_sm_too_high(struct stream *s, uint32_t h, uint32_t sent);
void s2s_sm_forget(struct s2s *x);
void s2s_sm_enable(struct stream *s);
void s2s_sm_on_enable(struct stream *s, struct arena **a, struct sterna_elem *e);
void s2s_sm_on_enabled(struct stream *s, struct arena **a, struct sterna_elem *e);
void s2s_sm_on_failed(struct stream *s, struct arena **a, struct sterna_elem *e);
void s2s_sm_on_r(struct stream *s, struct arena **a, struct sterna_elem *e);
void s2s_sm_on_a(struct stream *s, struct arena **a, struct sterna_elem *e);

/* --- s2s_peer.c --- */

struct s2s_peer *s2s_peer(struct worker *w, const char *domain);    /**< made if need be */
struct s2s_peer *s2s_peer_find(const struct worker *w, const char *domain);
/** A stanza has come from the stream's domain: its budgets are charged, and the stream held back if they are used up.
 *  @return NULL, or why the stanza is to be refused with resource-constraint */
const char *s2s_peer_charge(struct stream *s, const struct stanza *st);
/** It has done what an honest one does not; so many of that, and it is isolated. what: static or short, for people */
void s2s_peer_offence(struct worker *w, const char *domain, unsigned weight, const char *what);
void s2s_peer_sweep(struct worker *w);
void s2s_peer_clear(struct worker *w);

/* --- s2s_resume.c --- */

/** <enable resume='true'/> came: the stream gets an id to be resumed with, if there is room. */
void s2s_resume_offer(struct stream *s);
/** <enabled/> came: what it says of that. */
void s2s_resume_promised(struct s2s *x, const struct sterna_elem *enabled);
void s2s_resume_ended(struct stream *s, bool cut);
/** The link's stream was cut. @return true: what is not confirmed waits for its resumption */
bool s2s_resume_keep(struct s2s_link *l, struct stream *s);
/** What the link holds for that is given up; what is not confirmed is the caller's matter. */
void s2s_resume_drop(struct s2s_link *l);
/** Is there a reason to connect, though nothing waits? To wait, though something does? */
bool s2s_resume_wants(const struct s2s_link *l);
bool s2s_resume_waits(const struct s2s_link *l);
/** On a new stream of ours, in place of <enable/>. @return false: there is nothing to resume */
bool s2s_resume_ask(struct s2s_link *l, struct stream *s);
void s2s_resume_settled(struct s2s_sm *m);  /**< what m->resuming waited for */
void s2s_resume_cancel(struct s2s *x);      /**< the stream goes */
void s2s_resume_on_resume(struct stream *s, struct arena **a, struct sterna_elem *e);
void s2s_resume_on_resumed(struct stream *s, struct arena **a, struct sterna_elem *e);
/** @return false: it was not about that */
bool s2s_resume_on_failed(struct stream *s, const struct sterna_elem *e);
void s2s_resume_sweep(struct worker *w);
void s2s_resume_clear(struct worker *w);

/* --- s2s_seen.c --- */

/** To know a message again by; 0: it cannot be. */
uint64_t s2s_seen_hash(struct worker *w, const struct stanza *st);
bool s2s_seen_has(const struct worker *w, uint64_t hash);
void s2s_seen_add(struct worker *w, uint64_t hash);
/** m's n-th is being committed; what came of it. */
void s2s_seen_note(struct s2s_sm *m, uint32_t n, uint64_t hash);
void s2s_seen_outcome(struct s2s_sm *m, uint32_t n, bool committed);
/** Is one like it being committed, of any stream? */
bool s2s_seen_is_pending(const struct worker *w, uint64_t hash);
void s2s_seen_free(struct worker *w);

/* --- s2s_lookup.c --- */

/** Is it a repetition of what came before, or has that to be found out? Then it is taken care of: st and ack may be taken.
 *  It was counted just now. */
bool s2s_lookup_takes(struct stream *s, struct stanza **st, uint64_t hash, struct ack **ack);
void s2s_lookup_init(struct worker *w);     /**< the worker begins */
void s2s_lookup_hurry(struct worker *w);    /**< something is known now that was not */
void s2s_lookup_forget(struct s2s *x);      /**< the stream goes */
void s2s_lookup_end(struct s2s_link *l);    /**< the link goes */
void s2s_lookup_clear(struct worker *w);    /**< the worker ends */

/* --- s2s_out.c --- */

void s2s_attempt_start(struct s2s_link *l, bool verifies);
/** A try: done is called once, from the loop, or when the link goes. */
void s2s_attempt_test(struct s2s_link *l, void (*done)(void *arg, const struct s2s_attempt *a, bool ok), void *arg);
/** Also in the middle of it; its stream is closed. */
void s2s_attempt_end(struct s2s_attempt **a);
/** A verifying attempt is ready, or more keys have come: send them. */
void s2s_verify_flush(struct s2s_attempt *a);

/* --- s2s_check.c: dialback as the receiving server --- */

/** Ask the domain's own server about a key. @return false: too many wait */
bool s2s_check(struct s2s_link *l, struct stream *s, struct host *host, const char *key);
/** db:verify came back. @return false: nobody asked */
bool s2s_check_verdict(struct s2s_link *l, const char *id, const char *type);
/** Whatever waits gets that error. */
void s2s_checks_fail(struct s2s_link *l, enum sterna_condition condition);
void s2s_checks_forget(struct stream *s);
void s2s_checks_sweep(struct s2s_link *l);
/** db:verify of another server: is the key ours (§2.3)? */
void s2s_on_verify_request(struct stream *s, struct arena *a, struct sterna_elem *e);
/** <db:NAME from= to= id= type=>error or key</db:NAME>; each may be NULL. */
void s2s_send_db(struct stream *s, const char *name, const char *from, const char *to, const char *id, const char *type,
	const char *key, enum sterna_condition condition);

/* --- s2s_in.c --- */

/** The verdict on a key that this stream has shown. */
void s2s_in_verdict(struct stream *s, struct host *host, const char *type, enum sterna_condition condition);

/* --- s2s_stream.c: both directions --- */

struct s2s *s2s_of(struct stream *s);
void s2s_header(struct stream *s);
bool s2s_may_write(const struct s2s *x, const struct host *h);
void s2s_authorise(struct stream *s, struct host *h);
/** A stanza that came: its pair is checked, then it hops to its recipient. */
void s2s_stanza(struct stream *s, struct arena **a, struct sterna_elem *e);
/** Two domains of an element; false: the stream ended with an error. */
bool s2s_pair(struct stream *s, const struct sterna_elem *e, struct jid **from, struct jid **to);
uint64_t s2s_now(const struct stream *s);
/** For the audit: who is at the other end was believed (why NULL), or not. by: "EXTERNAL", "dialback", "certificate",
 *  "configuration". h: of ours. */
void s2s_audit(struct stream *s, struct host *h, const char *by, const char *why);
/** The peer ends the stream with that error (RFC 6120 §4.9): noted if it may be about what we sent. @return its name */
const char *s2s_blame(struct stream *s, const struct sterna_elem *error);
/** That stream error says that the peer, or its host, goes, and not that something of ours is wrong. */
bool s2s_is_innocent(const char *condition);

#endif
