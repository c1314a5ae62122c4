/* module.h - the API of modules; the only header that a module includes.
 *
 * A module is tables, which the core adds and removes, so that a module cannot forget to undo. It has no
 * variables of its own: its state lies in slots that the core makes. Handlers run on the thread of the
 * worker that owns the account, room or host concerned, without locks; a call is valid for the handler's
 * run, and over a STERNA_WAIT until the read's callback has returned a verdict.
 *
 * Words: borrowed: for this call. New: yours. Elements and strings made through a call live as long as
 * the stanza they are made for. */
#ifndef STERNA_MODULE_H
#define STERNA_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "server/base64.h"
#include "server/db.h"
#include "server/elem.h"
#include "server/fold.h"
#include "server/jid.h"
#include "server/log.h"
#include "server/map.h"
#include "server/metric.h"
#include "server/option.h"
#include "server/result.h"

#define STERNA_ABI 1u

struct sterna_call;     /* a handler's context: the stanza on its way, and whose turn it is */
struct sterna_mod;      /* this module, loaded in this server */
struct sterna_session;  /* one bound resource; borrowed */

enum sterna_verdict {
	STERNA_NEXT,    /* go on */
	STERNA_DONE,    /* handled: answered, stored or deliberately dropped; goes no further */
	STERNA_REJECT,  /* refused: the core answers with the error given to sterna_reject() */
	STERNA_WAIT,    /* a read is under way; its callback returns the verdict. Not from TO_SESSION and OBSERVE */
};

/** The stops of a stanza, in the order in which they are made. */
enum sterna_point {
	STERNA_OUT_POLICY, STERNA_OUT_STORE, STERNA_OUT_COPY,  /* sender's account */
	STERNA_IN_POLICY, STERNA_IN_STORE, STERNA_IN_COPY,     /* recipient's account, room, host */
	STERNA_OFFLINE,                                        /* no session took it */
	STERNA_TO_SESSION,                                     /* before one write to one stream */
	STERNA_OBSERVE,                                        /* always, also when refused; read-only */
	STERNA_POINTS
};

/** IQ types and scopes, as bits. The scope is the access check: it is tested before the handler runs. */
enum { STERNA_GET = 1, STERNA_SET = 2 };
enum sterna_scope {
	STERNA_SERVER = 1,       /* addressed to a host of ours */
	STERNA_OWN_ACCOUNT = 2,  /* to the sender's own bare JID, or without 'to' */
	STERNA_ANY_ACCOUNT = 4,  /* to any account's bare JID; the handler checks who may */
	STERNA_SERVICE = 8,      /* to a service host that this module offers */
};

/** Stanza error conditions (RFC 6120 §8.3.3); each has its usual type. */
enum sterna_condition {
	STERNA_BAD_REQUEST = 1, STERNA_CONFLICT, STERNA_FEATURE_NOT_IMPLEMENTED, STERNA_FORBIDDEN, STERNA_GONE,
	STERNA_INTERNAL_SERVER_ERROR, STERNA_ITEM_NOT_FOUND, STERNA_JID_MALFORMED, STERNA_NOT_ACCEPTABLE,
	STERNA_NOT_ALLOWED, STERNA_NOT_AUTHORIZED, STERNA_POLICY_VIOLATION, STERNA_RECIPIENT_UNAVAILABLE,
	STERNA_REDIRECT, STERNA_REGISTRATION_REQUIRED, STERNA_REMOTE_SERVER_NOT_FOUND,
	STERNA_REMOTE_SERVER_TIMEOUT, STERNA_RESOURCE_CONSTRAINT, STERNA_SERVICE_UNAVAILABLE,
	STERNA_SUBSCRIPTION_REQUIRED, STERNA_UNDEFINED_CONDITION, STERNA_UNEXPECTED_REQUEST
};

enum sterna_kind { STERNA_MESSAGE = 1, STERNA_PRESENCE = 2, STERNA_IQ = 4 };

typedef enum sterna_verdict sterna_fn(struct sterna_call *c);

/* --- the tables ------------------------------------------------------------------------------------ */

/** Announced in service discovery of the hosts (STERNA_SERVER) or accounts (…_ACCOUNT). */
struct sterna_feature {
	const char *ns;
	unsigned scope;
};
struct sterna_identity {
	const char *category, *type, *name;
	unsigned scope;
};
/** A node of service discovery on the hosts that this module answers for; prefix: and all that begin so. */
struct sterna_node {
	const char *node;
	bool prefix;
	sterna_fn *info, *items;
};
/** Called for each disco#info answer of that scope without node: add to *query* (forms, features). */
struct sterna_disco {
	unsigned scope;
	void (*fn)(struct sterna_call *c, struct sterna_elem *query);
};
/** An IQ handler; called only for its type, scope, and the payload's namespace and name (NULL: any). */
struct sterna_iq {
	unsigned type, scope;
	const char *ns, *name;
	sterna_fn *fn;
};
/** A stop. kinds: bits of enum sterna_kind; 0: messages only. Within one stop the order is by module
 *  name, unless .after names another module. */
enum sterna_hook_flag {
	STERNA_HOOK_NOT_MANY = 1,    /* not for what goes to many at once (sterna_send_many()): rooms, notifications.
	                              * Others get that too, and only read it: all recipients share it */
	STERNA_HOOK_RESTS = 2,       /* not where the module has said that it rests (sterna_rest()) */
};
struct sterna_hook {
	enum sterna_point point;
	sterna_fn *fn;
	const char *after;
	unsigned kinds, flags;
};
/** A first-level element of a bound stream that is no stanza. */
struct sterna_element {
	const char *ns, *name;
	sterna_fn *fn;
};
/** Adds to <stream:features/> after authentication. */
struct sterna_advert {
	void (*fn)(struct sterna_call *c, struct sterna_elem *features);
};
enum sterna_event {
	STERNA_ACCOUNT_LOADED,      /* after its account_reads; may set up the account's slot */
	STERNA_ACCOUNT_UNLOADED,    /* free what the account's slot holds */
	STERNA_ACCOUNT_DELETED,     /* remove what is stored: sterna_write() joins the deletion's batch */
	STERNA_SESSION_BOUND,
	STERNA_SESSION_AVAILABLE,   /* initial presence */
	STERNA_SESSION_UNAVAILABLE,
	STERNA_SESSION_DETACHED,    /* connection lost, may be resumed */
	STERNA_SESSION_RESUMED,
	STERNA_SESSION_GONE,        /* free what the session's slot holds */
	STERNA_WORKER_TICK,         /* on each worker, every two seconds; no account. May send and write, not read */
	STERNA_WORKER_ENDED,        /* free what the worker's slot holds; nothing can be sent or written any more */
	STERNA_EVENTS
};
struct sterna_lifecycle {
	enum sterna_event event;
	void (*fn)(struct sterna_call *c);
};
struct sterna_rows;
/** A read when an account is loaded: one parameter, the bare JID; before any stanza reaches the account. */
struct sterna_account_read {
	const struct db_stmt *stmt;
	void (*fn)(struct sterna_call *c, const struct sterna_rows *rows);
};
/** Roles of administrators, as bits. Owners may do everything; the others what commands name them for. Every account has
 *  the role STERNA_USER on its own host. */
enum sterna_role { STERNA_OWNER = 1, STERNA_ADMIN = 2, STERNA_OPERATOR = 4, STERNA_AUDITOR = 8, STERNA_SUPPORT = 16,
	STERNA_USER = 32 };
enum sterna_field_type {
	STERNA_FIELD_TEXT, STERNA_FIELD_LINES, STERNA_FIELD_NUMBER, STERNA_FIELD_BOOL,
	STERNA_FIELD_CHOICE,                         /* choices: "a|b|c" */
	STERNA_FIELD_SECRET,                         /* never shown, logged or audited */
	STERNA_FIELD_ACCOUNT, STERNA_FIELD_ACCOUNTS, /* of a host of ours where the asker has the role; bare or full */
	STERNA_FIELD_JID, STERNA_FIELD_JIDS,         /* of anyone */
	STERNA_FIELD_SERVICE,                        /* below a service of ours (a room), of a host where the asker has the role */
	STERNA_FIELD_HOST,                           /* of ours, where the asker has the role */
};
/** An argument. Doors show label, check the value by its type, and name the field in errors. */
struct sterna_field {
	const char *name;
	unsigned type;
	bool required;
	const char *label, *choices;
};
enum sterna_command_flag {
	STERNA_COMMAND_SERVER = 1,    /* concerns all hosts: a role on one of them is not enough */
	STERNA_COMMAND_DANGEROUS = 2, /* doors for people ask once more */
	STERNA_COMMAND_READ = 4,      /* changes nothing: GET of the API */
	STERNA_COMMAND_LOCAL = 8,     /* for sternactl alone */
};
enum sterna_command_place { STERNA_ON_MAIN, STERNA_ON_OWNER, STERNA_ON_WORKERS };
/** An administrator's command, offered at every door: `sternactl NAME WORDS…`, ad-hoc commands, the REST API. Checks of who may and
 *  of the fields, and the audit, are the core's. Either fn or run.
 *  fn: on the main thread; argv are the fields in their order ("" not given; without fields: the words as they came);
 *  fills out (JSON). STERNA_EINVAL: wrong arguments.
 *  run: on workers, with a call whose sterna_host() is the host asked at (NULL: all). STERNA_ON_OWNER: on the worker
 *  that owns the first field's JID; if that is an account, it is loaded and is sterna_owner(); if it is below a service,
 *  it is sterna_to(), and stanzas for it wait meanwhile; where the first field is no address: on one worker. STERNA_ON_WORKERS: on
 *  each, and the results are joined (arrays appended, numbers of objects added). Returns STERNA_DONE after
 *  sterna_command_result(), or sterna_reject(); it may sterna_read() and sterna_write(): the answer waits for the
 *  commit. */
struct sterna_command {
	const char *name, *args, *summary;   /* args: for the help, "JID [REASON]" */
	enum sterna_result (*fn)(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out);
	unsigned roles;                      /* besides owners; 0: STERNA_ADMIN */
	unsigned flags;
	const struct sterna_field *fields;
	const char *node;                    /* as an ad-hoc command; NULL: "sterna#" and the name with '-' for blanks */
	sterna_fn *run, *current;            /* current: the values that a form shows at first, as its result; ON_WORKERS */
	enum sterna_command_place place;     /* of both */
};
/** A stop that another module makes, by its name (in that module's header, which says what arg is). It runs within that
 *  module's handler, on its thread: it may read arg, write and send, but neither answer nor wait. */
struct sterna_stop {
	const char *name;
	void (*fn)(struct sterna_call *c, void *arg);
};
/** A path of the HTTP listeners, matched as a whole after one decoding; HEAD goes to GET's. The handler runs on any
 *  worker, also on several at once: it touches no slots, and answers before it returns, or goes on in sterna_http_read(). */
struct sterna_http_request;
enum {
	STERNA_HTTP_BELOW = 1,               /* path ends in '/', and stands for all below it */
	STERNA_HTTP_CORS = 2,                /* pages of any origin may read it */
	STERNA_HTTP_STREAM = 8,              /* the handler is called before the body comes, and may take it into a file */
	STERNA_HTTP_MONITORING = 4,          /* not for clients: only where listen[].serves says so */
};
struct sterna_route {
	const char *method, *path;           /* "GET", "/metrics" */
	void (*fn)(struct sterna_mod *m, struct sterna_http_request *r);
	unsigned flags;
};

/** What an auditor wants to know, and its details; borrowed. Values are left out where text is NULL. */
enum sterna_datum_kind { STERNA_DATUM_PUBLIC, STERNA_DATUM_NUMBER, STERNA_DATUM_PERSONAL, STERNA_DATUM_CONTENT };
struct sterna_datum {
	const char *name, *text;
	int64_t number;                      /* STERNA_DATUM_NUMBER */
	enum sterna_datum_kind kind;
};
#define STERNA_DATUM(name_, text_) ((struct sterna_datum){ .name = (name_), .text = (text_) })
#define STERNA_PERSONAL(name_, text_) ((struct sterna_datum){ .name = (name_), .text = (text_), .kind = STERNA_DATUM_PERSONAL })
#define STERNA_CONTENT(name_, text_) ((struct sterna_datum){ .name = (name_), .text = (text_), .kind = STERNA_DATUM_CONTENT })
#define STERNA_NUMBER(name_, n_) ((struct sterna_datum){ .name = (name_), .number = (n_), .kind = STERNA_DATUM_NUMBER })
struct sterna_audit_event {
	const char *type;                    /* "sterna.roster.changed.v1": sterna, what, the version of its schema */
	const char *subject;                 /* the account (bare), room or host: order holds for it; NULL: the host */
	const char *host;
	const struct sterna_datum *data;     /* ended by one without a name; or NULL */
};

struct sterna_module {
	uint32_t abi;                        /* STERNA_ABI; the loader refuses any other */
	const char *name, *spec, *summary;   /* "time", "XEP-0202 2.0", "Entity Time" */
	const char *const *needs;            /* modules loaded before this one; NULL-terminated */
	const struct sterna_feature *features;
	const struct sterna_identity *identities;
	const struct sterna_disco *disco;
	const struct sterna_node *nodes;
	const struct sterna_iq *iq;
	const struct sterna_hook *hooks;
	/** Hears of each sterna_audit(); what it writes commits with the batch of c. */
	void (*audit)(struct sterna_call *c, const struct sterna_audit_event *e);
	sterna_fn *service;                  /* all else to a service host of ours: messages, presence, answers, IQs to
	                                      * a resource. What is for one bare JID comes one by one: while a
	                                      * handler waits for a read, the next waits for it */
	const struct sterna_element *elements;
	const struct sterna_advert *stream_features;
	const struct sterna_lifecycle *on;
	const struct sterna_account_read *account_reads;
	const struct sterna_command *commands;
	const struct sterna_route *http;
	const struct sterna_stop *stops;
	const struct sterna_metric *metrics;
	const struct sterna_option *options;
	size_t config_size, worker_size, account_size, session_size;  /* zeroed slots, made by the core */
	enum sterna_result (*load)(struct sterna_mod *m);   /* optional: timers, interfaces; main thread */
	void (*unload)(struct sterna_mod *m);               /* optional: frees what load() made, no more */
};

#define STERNA_MODULE(word, ...) \
	STERNA_API extern const struct sterna_module sterna_module_##word; \
	const struct sterna_module sterna_module_##word = { .abi = STERNA_ABI, .name = #word, __VA_ARGS__ }

/* --- the call --------------------------------------------------------------------------------------- */

/** This module's options; borrowed for this turn: a reload replaces them. What waits copies what it needs later, or asks again. */
const void *sterna_config(struct sterna_call *c);
struct sterna_mod *sterna_mod(struct sterna_call *c);        /**< this module: sterna_mod_data() */
time_t sterna_now(struct sterna_call *c);                    /**< wall clock, seconds */
int64_t sterna_now_us(struct sterna_call *c);                /**< wall clock, microseconds */
int64_t sterna_uptime(struct sterna_call *c);                /**< of the server, seconds */
void sterna_random(struct sterna_call *c, void *out, size_t n);
#define STERNA_STAMP_LEN 32
char *sterna_stamp(time_t t, char stamp[STERNA_STAMP_LEN]);  /**< XEP-0082, UTC; returns stamp */
/** A time that a peer wrote (XEP-0082), as microseconds since 1970. @return STERNA_EINVAL no such text or time */
enum sterna_result sterna_parse_stamp(const char *text, int64_t *us);
char *sterna_stamp_us(int64_t us, char stamp[STERNA_STAMP_LEN]);

void *sterna_worker_slot(struct sterna_call *c);
void *sterna_account_slot(struct sterna_call *c);            /**< of the account whose turn it is; NULL if none */
void *sterna_session_slot(struct sterna_call *c);            /**< of sterna_session(); NULL if none */
void *sterna_slot_of(struct sterna_call *c, struct sterna_session *s); /**< of another session of the account */

/** From now on this module's hooks with STERNA_HOOK_RESTS are not called here: on this worker, for the account whose turn
 *  it is, for sterna_session(). At first nothing rests; so a hook that finds nothing to do says so, and whoever
 *  brings it something wakes it. What goes to many passes by those that rest at no cost. */
enum sterna_rest { STERNA_REST_WORKER, STERNA_REST_ACCOUNT, STERNA_REST_SESSION };
void sterna_rest(struct sterna_call *c, enum sterna_rest where, bool rests);

/** The stanza. */
enum sterna_kind sterna_kind(struct sterna_call *c);
const char *sterna_type(struct sterna_call *c);              /**< 'type' as it holds: "normal", "available", "get"… */
struct sterna_elem *sterna_stanza(struct sterna_call *c);    /**< <message/>, <presence/>, <iq/> */
struct sterna_elem *sterna_payload(struct sterna_call *c);   /**< of an IQ get or set: its one child */
const struct jid *sterna_from(struct sterna_call *c);        /**< stamped by the core, always there */
const struct jid *sterna_to(struct sterna_call *c);          /**< NULL if there is no 'to' */
const char *sterna_id(struct sterna_call *c);                /**< or NULL */
uint64_t sterna_trace(struct sterna_call *c);                /**< the id that all its log lines carry */

/** Whose turn it is: the sender's account in OUT_*, the recipient's in IN_*, the asked one in an IQ. */
const char *sterna_owner(struct sterna_call *c);             /**< bare JID */
const struct jid *sterna_owner_jid(struct sterna_call *c);
const char *sterna_host(struct sterna_call *c);              /**< the host concerned */
bool sterna_is_own(struct sterna_call *c);                   /**< sender's bare JID is sterna_owner() */
struct sterna_session *sterna_session(struct sterna_call *c);/**< the sender's (OUT_*, elements, own IQ), or the target's (TO_SESSION); NULL */
const struct jid *sterna_session_jid(struct sterna_session *s);
bool sterna_session_is_available(struct sterna_session *s);
bool sterna_session_is_connected(struct sterna_session *s); /**< else it has lost its connection, and may be resumed */
/** XEP-0198: how many stanzas it was sent, and how many of them its client has acknowledged, modulo 2^32; without
 *  stream management both are 0. */
void sterna_session_counts(struct sterna_session *s, uint32_t *sent, uint32_t *acked);
int sterna_session_priority(struct sterna_session *s);
struct sterna_elem *sterna_session_presence(struct sterna_session *s); /**< last broadcast, or NULL; read-only */
/** The account's sessions: first with NULL; connected ones and those that may be resumed. */
struct sterna_session *sterna_next_session(struct sterna_call *c, struct sterna_session *s);
/** IN_COPY, OFFLINE, OBSERVE of a message: will (did) this session get it by RFC 6121 §8? */
bool sterna_is_target(struct sterna_call *c, struct sterna_session *s);
/** Does sterna_owner() let this contact see its presence (subscription from or both)? Is it the owner's? */
bool sterna_may_see(struct sterna_call *c, const struct jid *contact);
bool sterna_in_roster(struct sterna_call *c, const struct jid *contact);
/** Does a session of sterna_owner() send it directed presence, or another resource of it (an occupant of a room that it is in)? */
bool sterna_has_shown(struct sterna_call *c, const struct jid *other);
/** The sender's domain, if it is another server's, has done what an honest one does not: so many offences, and it is isolated
 *  (s2s.isolate_after). what: static, for the operator. */
void sterna_offence(struct sterna_call *c, unsigned weight, const char *what);
/** Calls fn for each roster contact with subscription 'from' or 'both' (from: true), or 'to'/'both'. */
void sterna_each_contact(struct sterna_call *c, bool from, void (*fn)(struct sterna_call *c,
	const char *contact, void *arg), void *arg);

/** A small value that stays with the session, also over a resumption after a crash (XEP-0198). NULL removes. Modules
 *  read it back on STERNA_SESSION_RESUMED. Keys: the module's name, or "name.what". */
void sterna_keep(struct sterna_call *c, struct sterna_session *s, const char *key, const char *value);
const char *sterna_kept(const struct sterna_session *s, const char *key);
/** The session has read the archive up to this id: that is not sent to it once more when it becomes available. */
void sterna_catches_up(struct sterna_call *c, int64_t id);
/** TO_SESSION: the session (sterna_session()) may be written to now; what a module held back leaves first. */
void sterna_release(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza);
/** The roster item of a contact as <item/> (RFC 6121 §2.1.2), a copy; NULL if there is none. */
struct sterna_elem *sterna_roster_item(struct sterna_call *c, const struct jid *contact);
/** Last logout of the owner: seconds since then, and its status text or NULL; -1: never. Connected: 0. */
int64_t sterna_last_activity(struct sterna_call *c, const char **status);

/** Building; everything lives as long as the stanza. */
struct sterna_elem *sterna_elem(struct sterna_call *c, const char *name, const char *ns);
struct sterna_elem *sterna_add(struct sterna_elem *parent, const char *name, const char *ns); /**< ns NULL: the parent's */
void sterna_attr(struct sterna_elem *e, const char *name, const char *value);
struct sterna_elem *sterna_text(struct sterna_elem *e, const char *name, const char *text); /**< child with text; name NULL: text into e */
void sterna_add_xml(struct sterna_elem *e, const char *xml);       /**< stored XML becomes a child; refused if broken */
/** The same where it is only passed on: sterna_child() and the like do not see it. Costs less than half. */
void sterna_add_stored(struct sterna_elem *e, const char *xml);
void sterna_add_copy(struct sterna_elem *e, const struct sterna_elem *child);
const char *sterna_xml(const struct sterna_elem *e);               /**< as text, standalone */
char *sterna_printf(struct sterna_call *c, const char *fmt, ...) STERNA_PRINTF(2, 3);
static inline struct sterna_elem *sterna_child(const struct sterna_elem *e) { return elem_first(e); }
static inline const char *sterna_ns(const struct sterna_elem *e) { return e->ns; }
/** Text of the child of that name (in e's namespace); NULL if there is none. */
const char *sterna_child_text(const struct sterna_elem *e, const char *name);
/** Data forms (XEP-0004): value of a field, NULL if absent; form may be NULL. */
const char *sterna_form_value(const struct sterna_elem *form, const char *var);
struct sterna_elem *sterna_form(struct sterna_elem *parent, const char *type, const char *form_type);
struct sterna_elem *sterna_form_field(struct sterna_elem *form, const char *var, const char *type, const char *value);

/** Answers. */
enum sterna_verdict sterna_reply(struct sterna_call *c, struct sterna_elem *payload); /**< result; leaves when the batch is committed */
enum sterna_verdict sterna_reject(struct sterna_call *c, enum sterna_condition condition, const char *text);
/** The same with an application-specific condition (RFC 6120 §8.3.4), e.g. XEP-0191's <blocked/>. */
enum sterna_verdict sterna_reject_with(struct sterna_call *c, enum sterna_condition condition, const char *text,
	const char *name, const char *ns);
/** The same with an element of your own as that condition, and one that stands before <error/>: what was wrong of the
 *  request. Both made through the call; either may be NULL. */
enum sterna_verdict sterna_reject_elem(struct sterna_call *c, enum sterna_condition condition, const char *text,
	const struct sterna_elem *app, const struct sterna_elem *payload);
/** STERNA_GONE or STERNA_REDIRECT with the address to go to, a URI (RFC 6120 §8.3.3.5, §8.3.3.14). */
enum sterna_verdict sterna_reject_to(struct sterna_call *c, enum sterna_condition condition, const char *where);

/** The error to the sender as it would be sent, for what the handler adds to it: give it to sterna_send(), and return
 *  STERNA_DONE. NULL: none may be sent. */
struct sterna_elem *sterna_error(struct sterna_call *c, enum sterna_condition condition, const char *text);

/** Sending. The stanza (from sterna_elem(c, "message", NS_CLIENT)) goes its own way, after this call's
 *  batch is committed if that has writes. 'from' must be the owner, one of its sessions, or the host. */
void sterna_send(struct sterna_call *c, struct sterna_elem *stanza);
/** From now on someone does not hear of the owner's presence, by broadcast or probe, whatever the roster says, and is not
 *  asked for theirs; or does again. A bare JID or a domain; forgotten with the account, so to be repeated when it is
 *  loaded. To whom sessions have sent their presence directly, they are unavailable now: there also a full JID, and
 *  domain/resource. */
void sterna_hide_presence(struct sterna_call *c, const char *from_whom, bool hide);
/** Presence of the owner's available sessions to someone; as unavailable where show is false (XEP-0191 §3.3). */
void sterna_show_presence(struct sterna_call *c, const struct jid *to, bool show);
/** One stanza to many: serialised once, with 'from' and without 'to'. */
struct sterna_shared;
struct sterna_shared *sterna_share(struct sterna_call *c, const struct sterna_elem *stanza); /**< new, copied; NULL: no stanza */
struct sterna_shared *sterna_shared_ref(struct sterna_shared *s);
void sterna_shared_unref(struct sterna_shared **s);          /**< may be NULL; sets *s to NULL */
const struct sterna_elem *sterna_shared_elem(const struct sterna_shared *s);
/** At once, without waiting for this call's batch: what a service (a room) sends live keeps its order. to: full JIDs,
 *  borrowed, in any number; each gets it as its own, through the stops of its side. Also to one. */
void sterna_send_many(struct sterna_call *c, struct sterna_shared *s, const struct jid *const *to, size_t count);
/** Many to one, who has asked for all of them (the occupants of a room that it enters): as single ones in this order, but
 *  by other limits (limits.burst_count), as one mail, and written as the client takes them. */
void sterna_send_burst(struct sterna_call *c, struct sterna_shared *const *s, size_t count, const struct jid *to);
/** Straight to one session of the owner: pushes, notifications. */
void sterna_send_to(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza);
/** The same at once, as the message itself is delivered: copies keep the order of what they are copies of. */
void sterna_deliver(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *stanza);
/** A first-level element that is no stanza, to the session's stream (not counted by XEP-0198). */
void sterna_send_raw(struct sterna_call *c, struct sterna_session *s, struct sterna_elem *e);

/** Storing: joins the stanza's batch. Arguments by the statement's params: t const char *, i int64_t,
 *  b const void * and size_t. Acks and results wait for the commit. */
void sterna_write(struct sterna_call *c, const struct db_stmt *stmt, ...);

/** For the audit: something has happened, that commits with this call's batch. Costs next to nothing when no module
 *  listens. A new type brings its schema, docs/audit/WHAT.vN.schema.json. data may be NULL. */
void sterna_audit(struct sterna_call *c, const char *type, const char *subject, const struct sterna_datum *data);
/** Does any module listen? Where the data of an event are costly to make. */
bool sterna_is_audited(struct sterna_call *c);
/** OBSERVE: the condition that the stanza was refused with, and by which module (NULL: the core); NULL: it was not. */
const char *sterna_refused(struct sterna_call *c);
const char *sterna_refused_by(struct sterna_call *c);
/** The stanza as the archive has it. */
const char *sterna_stanza_text(struct sterna_call *c, size_t *len);
/** Unique in the database, growing on this worker, with the time in its upper bits (milliseconds << 20). */
int64_t sterna_unique_id(struct sterna_call *c);

struct sterna_rows {
	size_t count, columns;
	const char *const *text;     /* text[row * columns + column]; NULL for SQL NULL; integers as digits */
	const struct db_rows *db;    /* for db_int(), db_str() */
};
typedef enum sterna_verdict sterna_rows_fn(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows);
enum sterna_verdict sterna_read(struct sterna_call *c, sterna_rows_fn *fn, const struct db_stmt *stmt, ...); /**< STERNA_WAIT */
void sterna_set_data(struct sterna_call *c, void *data);   /**< kept over a wait, e.g. parsed arguments */
void *sterna_data(struct sterna_call *c);
void *sterna_alloc(struct sterna_call *c, size_t size);    /**< zeroed, lives as long as the stanza */

/** Archiving (the account's log, server/archive.h): set in STORE stops. */
enum { STERNA_ARCHIVE = 1, STERNA_NO_ARCHIVE = 2, STERNA_NO_STORE = 4, STERNA_NO_COPY = 8 };
void sterna_mark(struct sterna_call *c, unsigned marks);   /**< adds; NO_… win */
unsigned sterna_marks(struct sterna_call *c);
int64_t sterna_archive_id(struct sterna_call *c);          /**< of this stanza in the owner's archive; 0: none */

/** An id for the archive: unique in the server, growing with time (milliseconds << 20). */
int64_t sterna_new_id(struct sterna_call *c);
/** A row in the archive of a service's address (a room), with the batch of this call. peer: who said it, as the
 *  archive's reader may know it. */
void sterna_archive_put(struct sterna_call *c, const char *owner, int64_t id, const struct jid *peer,
	const struct sterna_elem *stanza);
/** Such an archive goes, up to an id, with the batch of this call; its rows are deleted later, step by step. Whoever has the
 *  address next reads from that id on (mam.h: since). */
void sterna_archive_drop(struct sterna_call *c, const char *owner, int64_t up_to);

/** Service discovery and introspection, over all loaded modules. */
void sterna_each_feature(struct sterna_call *c, unsigned scope, void (*fn)(void *arg, const char *ns), void *arg);
void sterna_each_identity(struct sterna_call *c, unsigned scope,
	void (*fn)(void *arg, const struct sterna_identity *i), void *arg);
void sterna_run_disco(struct sterna_call *c, unsigned scope, struct sterna_elem *query);
/** Make a stop of your own: every loaded module that names it runs, in the order of the modules' names. */
void sterna_run_stop(struct sterna_call *c, const char *name, void *arg);
/** The module that has this node (in its nodes) answers: its verdict. STERNA_NEXT: there is none. */
enum sterna_verdict sterna_run_node(struct sterna_call *c, const char *node, bool items);
/** Domains of components and services under this host, for disco#items: index from 0, NULL past the end. */
const char *sterna_item(struct sterna_call *c, size_t index);

/** Metrics: this module's own table by index; per worker, no locks. */
void sterna_count(struct sterna_call *c, unsigned metric, uint64_t n);

/** Commands: what a handler of run is given, and what it finds. */
struct json_t;
const char *sterna_command_arg(struct sterna_call *c, const char *field);  /**< its (first) value, or NULL */
const char *sterna_command_arg_at(struct sterna_call *c, const char *field, size_t index);
void sterna_command_result(struct sterna_call *c, struct json_t *result);  /**< takes it; may be NULL */
int64_t sterna_command_time(struct sterna_call *c);  /**< when it was asked for, microseconds; the same on all workers */
/** Each session here of users of this host (NULL: of any). ON_WORKERS; fn must not end it. */
void sterna_each_session(struct sterna_call *c, const char *host,
	void (*fn)(struct sterna_call *c, struct sterna_session *s, void *arg), void *arg);

/** Doors: what the sender of the stanza may do at the host that it is for, and doing it. The outcome comes later; fn is
 *  the rest of the handler. A module that waits here is not unloaded meanwhile. */
struct sterna_outcome {
	const char *code;                /* NULL: done. usage, forbidden, unknown, conflict, not-found, unavailable, failed */
	const char *field, *text;        /* of a mistake; field may be NULL */
	const struct json_t *result;     /* borrowed */
};
typedef enum sterna_verdict sterna_outcome_fn(struct sterna_call *c, const struct sterna_outcome *o);
/** result: [{name, node, summary}] */
enum sterna_verdict sterna_commands_list(struct sterna_call *c, sterna_outcome_fn *fn);
/** result: {name, node, summary, dangerous, fields: [{name, type, label, required, choices, value}]}; type as in XEP-0004 */
enum sterna_verdict sterna_command_describe(struct sterna_call *c, const char *node, sterna_outcome_fn *fn);
/** args: an object, field to text or array of texts; taken. check: only look whether that would be let through. */
enum sterna_verdict sterna_command_run(struct sterna_call *c, const char *node, struct json_t *args, bool check,
	sterna_outcome_fn *fn);

/* --- loading ---------------------------------------------------------------------------------------- */

/** In load(): the options as of now, which live as long as the module. On a worker or the main thread: as sterna_config(). */
const void *sterna_mod_config(struct sterna_mod *m);
/** The same for a thread that the module runs itself: good until it lets go. */
const void *sterna_mod_hold_config(struct sterna_mod *m);
void sterna_mod_let_config(struct sterna_mod *m, const void *config);
void *sterna_mod_data(struct sterna_mod *m);
void sterna_mod_set_data(struct sterna_mod *m, void *data);  /**< what load() made; unload() frees it */
/** For a thread that the module runs itself (from load() to unload()): a client of the database whose calls block, up to
 *  a minute while it is away. One thread at a time. open: NULL: the system gives no loop; write: one statement, committed. */
struct sterna_storage;
struct sterna_storage *sterna_storage_open(struct sterna_mod *m);
enum sterna_result sterna_storage_read(struct sterna_storage *s, const struct db_stmt *stmt, const struct db_value *values,
	void (*fn)(void *arg, const struct db_rows *rows), void *arg) STERNA_CHECKED;
enum sterna_result sterna_storage_write(struct sterna_storage *s, const struct db_stmt *stmt, const struct db_value *values)
	STERNA_CHECKED;
void sterna_storage_close(struct sterna_storage **s);
/** A command, run by the server itself on behalf of this module, as at sternactl: {"isolate", "192.0.2.1", "15m", "why", NULL},
 *  at most eight words. Its outcome is in the log and the audit (door "module"). Any thread. @return false: it will not be run */
bool sterna_order(struct sterna_mod *m, const char *const *words);
/** Interfaces of large modules: a versioned struct of functions. */
void sterna_provide(struct sterna_mod *m, const char *name, unsigned version, const void *functions);
const void *sterna_use(struct sterna_mod *m, const char *name, unsigned version);
/** A service host ("conference.example"): stanzas to it come to this module's STERNA_SERVICE rows. */
enum sterna_result sterna_serve(struct sterna_mod *m, const char *domain, const char *category, const char *type,
	const char *name);
/** Domains whose users this server has: index from 0, NULL past the end. For load(): services below them. */
const char *sterna_mod_host(struct sterna_mod *m, size_t index);
/** Is that domain one of ours: a host, a component's, a service's? */
bool sterna_mod_has_domain(struct sterna_mod *m, const char *domain);
/** A module's own metric, from any thread; label: index of the label's value. */
void sterna_mod_count(struct sterna_mod *m, unsigned metric, unsigned label, int64_t n);
/** A request of the HTTP listener; all borrowed, as long as the handler runs. */
const char *sterna_http_method(const struct sterna_http_request *r);
const char *sterna_http_path(const struct sterna_http_request *r);
const char *sterna_http_query(const struct sterna_http_request *r);  /**< as it came, after '?'; "" if there is none */
const char *sterna_http_header(const struct sterna_http_request *r, const char *name); /**< or NULL */
/** The name that the client asked for (Host), in lower case and without port; "" if there is none. Returns out. */
#define STERNA_HOST_LEN 256
const char *sterna_http_host(const struct sterna_http_request *r, char out[STERNA_HOST_LEN]);
const char *sterna_http_body(const struct sterna_http_request *r, size_t *len);
/** The answer; the last one counts. type: static, NULL without a body; bytes are copied. */
void sterna_http_reply(struct sterna_http_request *r, unsigned status, const char *type, const void *bytes, size_t len);

/** A header more for the answer; its length and type have their own way. A value with a line break is left out. */
void sterna_http_add_header(struct sterna_http_request *r, const char *name, const char *value);
/** Read from the database before the answer: fn is the rest of the handler, on the same thread, and answers. Arguments
 *  as sterna_write()'s, at most 8. Not called if the asker goes away. Not for routes with STERNA_HTTP_STREAM. */
typedef void sterna_http_rows_fn(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc,
	const struct db_rows *rows);
void sterna_http_read(struct sterna_mod *m, struct sterna_http_request *r, sterna_http_rows_fn *fn,
	const struct db_stmt *stmt, ...);
/** A field of a form that was sent (application/x-www-form-urlencoded). New, free() it; NULL: it is not there, is no text (NUL,
 *  no UTF-8), or is longer than max bytes; or the body is no form. */
char *sterna_http_form(const struct sterna_http_request *r, const char *field, size_t max);
/** Is nobody between us and the client: TLS to us or to a trusted proxy, or the same machine? */
bool sterna_http_is_private(const struct sterna_http_request *r);
/** Does the request come from a page of ours, or from no page (Origin, Sec-Fetch-Site)? */
bool sterna_http_is_own(const struct sterna_http_request *r);
/** Make an account on a host of ours with the token of an invitation, by the rules of XEP-0077 and 0445: fn is the rest of the
 *  handler, as in sterna_http_read(). condition: 0: it is made, and jid is its address; STERNA_ITEM_NOT_FOUND: the token is not good;
 *  STERNA_CONFLICT: the name is taken; STERNA_NOT_ACCEPTABLE, STERNA_NOT_ALLOWED: name or password cannot be used;
 *  STERNA_RESOURCE_CONSTRAINT: not now. */
typedef void sterna_http_made_fn(struct sterna_mod *m, struct sterna_http_request *r, unsigned condition, const struct jid *jid);
void sterna_http_register(struct sterna_mod *m, struct sterna_http_request *r, const char *host, const char *token,
	const char *name, const char *password, sterna_http_made_fn *fn);
/** For routes with STERNA_HTTP_STREAM. Take the body, of so many bytes, into a new file (absolute path, at most 400 bytes;
 *  folders are made), never overwriting: 201, 409, 507… is answered when it is on disk, and half of one leaves nothing. */
void sterna_http_save(struct sterna_http_request *r, const char *path, uint64_t size);
/** Answer with a file, or the part that Range asks for; 404 if there is none. type: static. */
void sterna_http_send(struct sterna_http_request *r, const char *path, const char *type);
bool sterna_http_length(const struct sterna_http_request *r, uint64_t *out); /**< Content-Length; false: there is none */
int64_t sterna_http_now(const struct sterna_http_request *r);                /**< Unix time */
/** HMAC-SHA-256 in hexadecimal, by a key of this module that is the same on every node and after a restart. */
#define STERNA_MAC_LEN 65
void sterna_sign(struct sterna_mod *m, const char *text, char mac[STERNA_MAC_LEN]);
/** In load(): a path as the configuration means it; borrowed, as long as the module. */
const char *sterna_mod_file(struct sterna_mod *m, const char *path);
/** The same with an object store (S3) in place of files: borrowed for the call. A store that is away or slow: 502, 504. */
struct sterna_bucket {
	const char *endpoint;                /* "https://s3.example.org" */
	const char *region, *bucket, *prefix, *access_key, *secret_key; /* prefix: of all keys; NULL: none */
	const char *authorities;             /* file of those that sign its certificate; NULL: the system's */
	bool path_style;                     /* https://HOST/BUCKET/KEY, else https://BUCKET.HOST/KEY */
	struct sterna_duration connect_time, stall_time; /* stall_time: with nothing to be sent or heard */
};
/** @return NULL, or what is wrong with it; static */
const char *sterna_bucket_wrong(const struct sterna_bucket *b);
void sterna_http_save_object(struct sterna_http_request *r, const struct sterna_bucket *b, const char *key, uint64_t size);
void sterna_http_send_object(struct sterna_http_request *r, const struct sterna_bucket *b, const char *key, const char *type);
/** Remove an object, for a thread of the module's own: it blocks. One that is not there is no mistake.
 *  @return STERNA_EUNAVAILABLE it could not be done now (logged) */
enum sterna_result sterna_remove_object(const struct sterna_bucket *b, const char *key) STERNA_CHECKED;
/** Remove a file; done later, by a helper thread. One that is not there is no mistake. */
void sterna_remove_file(struct sterna_mod *m, const char *path);
/** Remove folders named by a day ("20261126") before that time, and the files in them; done later, by a helper thread. */
void sterna_purge_days(struct sterna_mod *m, const char *folder, int64_t before);

/** Where clients find us: "wss://example.org:5281/xmpp-websocket", "https://…/http-bind", "https://…" for a host of
 *  ours, as http.url says or as the listeners have it. New (free() it), or NULL: not to be reached over TLS. */
enum sterna_web { STERNA_WEB_PAGE, STERNA_WEB_SOCKET, STERNA_WEB_BOSH };
char *sterna_web_url(struct sterna_mod *m, const char *host, enum sterna_web what);
/** The path of it on every listener, as configured; "": not offered. Borrowed for this turn. */
const char *sterna_web_path(struct sterna_mod *m, enum sterna_web what);
/** How someone new gets an account on a domain of ours. */
enum sterna_joining { STERNA_CLOSED, STERNA_BY_INVITATION, STERNA_OPEN };
enum sterna_joining sterna_joining(struct sterna_mod *m, const char *domain);
/** Service domains of modules, all hosts': index from 0; false past the end. Borrowed, as long as the server. */
bool sterna_mod_service(struct sterna_mod *m, size_t index, const char **domain, const char **category, const char **type);
/** The port of the first listener of that kind, 0: there is none. */
enum sterna_port { STERNA_PORT_CLIENTS, STERNA_PORT_CLIENTS_TLS, STERNA_PORT_BYTESTREAMS };
unsigned sterna_port(struct sterna_mod *m, enum sterna_port what);
/** Two connections to a listener for bytestreams have named that hash (XEP-0065 §5.3.2): from now on they are passed on to
 *  each other. owner: bare JID of who asks. Any thread.
 *  @return STERNA_ENOTFOUND nobody has; STERNA_EUNAVAILABLE only one; STERNA_EEXISTS they are joined already;
 *          STERNA_ELIMIT there are too many, of this owner or of all */
enum sterna_result sterna_bytestream_join(struct sterna_mod *m, const char *hash, const char *owner) STERNA_CHECKED;
/** Is that one of the domains whose accounts are here? */
bool sterna_has_host(struct sterna_mod *m, const char *domain);

/** Do all workers turn? Is the database up, and the server not about to end? why: a static text. From any thread
 *  that a route's handler runs on. @return STERNA_EUNAVAILABLE no */
enum sterna_result sterna_alive(struct sterna_mod *m, const char **why);
enum sterna_result sterna_ready(struct sterna_mod *m, const char **why);
/** All metrics of the server in Prometheus' text format. */
void sterna_metrics_write(struct sterna_mod *m, struct buf *out);

#endif
