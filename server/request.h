/* request.h - administrators' commands: one registry behind every door (control.h's socket, ad-hoc commands, rest.h), with the
 * same names, fields, checks and roles at each.
 *
 * A request is one command under way, for one administrator. It is checked (does the command exist, who may, are the
 * fields what they should be), run, and ends with exactly one outcome, which its door is told.
 * Threads: the main one, but for admin_submit(); what workers know is gathered by mails, what blocks is done on a helper
 * thread. */
#ifndef STERNA_REQUEST_H
#define STERNA_REQUEST_H

#include <jansson.h>
#include "server/daemon.h"
#include "server/module.h"
#include "server/user.h"

struct admin;
struct request;

/** Before anyone can ask. Roles are read from the storage.
 *  @return STERNA_EIO no thread, or the roles cannot be read (logged) */
enum sterna_result admin_start(struct daemon *d, struct admin **out) STERNA_CHECKED;
/** Before the workers end: whatever is under way gets its outcome, nothing new begins. */
void admin_stop(struct admin *a);
/** After they have ended. */
void admin_free(struct admin **a);

/** A core command. The table's roles, flags and fields are checked by request_run(). */
struct command {
	struct sterna_command c;
	void (*fn)(struct request *r);
	void (*current)(struct request *r);  /* answers what the form shows at first, as an object; NULL: nothing */
};
extern const struct command core_commands[], user_commands[], list_commands[], s2s_commands[], region_commands[], s2s_peer_commands[],
	service_commands[], invite_commands[], isolation_commands[], api_commands[], client_commands[], report_commands[],
	pending_commands[];

/** What command_s2s.c and command_s2s_peer.c share: who owns the domain in the field of that name (NULL: refused; else
 *  r->data is its struct jid), the outcome from the only part, and a link as JSON. */
struct s2s_link;
struct worker *s2s_command_owner(struct request *r);
void s2s_command_answer(struct request *r);
json_t *s2s_link_json(const struct s2s_link *l);

/** A command of the core or of a loaded module, as it is found; the tables belong to the registry. */
struct found_command {
	const struct sterna_command *c;
	const struct command *core;          /* NULL: a module's */
	struct module_slot *slot;
};
/** By its words (used: how many of them the name takes; the longest name wins), or by its node. */
bool command_by_words(const struct server *s, const char *const *word, int count, struct found_command *out, int *used);
bool command_by_node(const struct server *s, const char *node, struct found_command *out);
void command_each(const struct server *s, void (*fn)(void *arg, const struct found_command *f), void *arg);
/** The node of an ad-hoc command: new. */
char *command_node(const struct sterna_command *c);
unsigned command_roles(const struct sterna_command *c);

/** What a door asks for. */
enum request_kind { REQUEST_RUN, REQUEST_CHECK, REQUEST_DESCRIBE, REQUEST_LIST };
typedef void request_done_fn(void *arg, const struct sterna_outcome *o);

struct request {
	struct admin *admin;
	struct daemon *daemon;
	struct request *prev, *next;         /* of admin's */
	enum request_kind kind;
	char *name;                          /* of the command; NULL as long as none is found */
	char *who;                           /* a bare JID; "uid 0" at the socket */
	const char *door;                    /* "control", "adhoc", "rest"; static */
	char *host;                          /* asked at; NULL: all of them */
	int64_t asked_us;
	bool is_local;                       /* the system's user may do everything */
	char *token, *scopes;                /* of the API: its id, and what it is good for; NULL: no token */
	int64_t token_expires_us;
	json_t *args;                        /* checked: field to text, or to an array of texts */
	json_t *shown;                       /* of them, what is no secret: for the audit */
	char *approved_by;                   /* a second administrator (approval.h); or NULL */
	bool waits;                          /* for one: it is kept, and not run */
	unsigned flags;
	/* while workers are asked */
	json_t **parts;
	unsigned asked, left;
	void (*gathered)(struct request *r);
	void *data;                          /* the command's; free()d at the end */
	/* what was found, or what went wrong, so far: on_storage()'s run and workers' parts note it */
	json_t *found;
	char code[16], *text, *field;
	struct module_slot *slot;            /* of a module's command, while workers run it */
	sterna_fn *run;
	request_done_fn *done;
	void *arg;
};

/** A request of a door on the main thread. door: static. done is called once, perhaps before this returns.
 *  @param who   bare JID; local: anything
 *  @param node  or words and count
 *  @param token,scopes,token_expires_us  of the API (api_token.h), else NULL
 *  @param approved_by  the administrator who lets run what who has asked for; else NULL
 *  @param args  taken; NULL: the words behind the command's name are the fields in their order */
struct ask {
	enum request_kind kind;
	const char *door, *who, *host, *node;
	const char *const *word;
	int count;
	bool is_local;
	const char *token, *scopes, *approved_by;
	int64_t token_expires_us;
	json_t *args;
	request_done_fn *done;
	void *arg;
};
void admin_ask(struct admin *a, const struct ask *ask);
/** From any thread: an account is gone, by whatever way; what was granted to it goes too. */
void admin_account_gone(struct server *s, const char *jid);
/** From any thread: a command, as the server itself (who: for the log and the audit). Copies. words: ended by NULL, as at
 *  sternactl. @return false: the server ends, or has no administration; it will not be run */
bool admin_order(struct server *s, const char *who, const char *const *words);
/** From any thread: a mail that runs on the main one. @return false: the server ends; the mail was not taken */
bool admin_post(struct admin *a, struct mail *m);

/* --- for commands --- */

/** Its first value; NULL: not given. */
const char *request_arg(const struct request *r, const char *field);
/** The value number index of a field with many; NULL behind the last. */
const char *request_arg_at(const struct request *r, const char *field, size_t index);
/** Ends the request. Takes result (NULL: none). */
void request_answer(struct request *r, json_t *result);
/** Ends the request. code: of struct sterna_outcome; field: NULL or the one at fault. */
void request_refuse(struct request *r, const char *code, const char *field, const char *fmt, ...) STERNA_PRINTF(4, 5);
/** Keep the mistake for later; the first one stays. On the thread that works for the request now. */
void request_note(struct request *r, const char *code, const char *field, const char *fmt, ...) STERNA_PRINTF(4, 5);
/** Ends the request with what was noted, or with r->found. */
void request_end(struct request *r);

/** Part of an answer, on a worker: fn returns what it has found (new), or NULL. It may say that it has it later:
 *  request_part_wait(), then request_part_done(). */
struct request_part;
typedef json_t *request_part_fn(struct worker *w, struct request_part *p);
/** Ask this worker, or all (only NULL); then done(r) on the main thread, with r->parts. */
void request_gather(struct request *r, struct worker *only, request_part_fn *fn, void (*done)(struct request *r));
/** The request, of which a part reads what does not change while workers are asked: args, host, data. */
const struct request *request_of(const struct request_part *p);
void request_part_wait(struct request_part *p);
void request_part_done(struct request_part *p, json_t *found);
/** Of r->parts: arrays appended to one another; numbers of objects added up. New. */
json_t *request_joined(const struct request *r);
/** The first value of the field as an address, into r->data (request_clear_jid()). NULL: refused, r is gone. */
struct worker *request_owner(struct request *r, const char *field);
struct jid *request_take_jid(struct request *r);

/** run(r, u) on the helper thread, where it may block: it reads r->args and sets r->found or notes a mistake. Then
 *  then(r) on the main thread; NULL: request_end(). */
void request_on_storage(struct request *r, void (*run)(struct request *r, struct users *u), void (*then)(struct request *r));
/** A result of users' functions, noted with the address. @return false: it was a mistake */
bool request_stored(struct request *r, enum sterna_result rc, const char *field, const char *jid);

/** A command of a module (request_run.c), or what its form shows. */
void request_run_module(struct request *r, const struct found_command *f, bool current);

/* --- who may what (role.c) --- */

struct roles;
enum sterna_result roles_new(struct daemon *d, struct roles **out) STERNA_CHECKED;
void roles_free(struct roles **r);
struct roles *admin_roles(struct admin *a);
/** Bits that this bare JID has for the host: by the configuration and by command. host NULL: for all hosts. */
unsigned roles_of(struct roles *r, const char *jid, const char *host);
/** Any role on any host? */
bool roles_any(struct roles *r, const char *jid);
/** The highest of them, 0 to 5. */
unsigned roles_rank(unsigned roles);
/** Has the target a role on some host where who has none that is as high? Then who does nothing to the target. */
bool roles_above(struct roles *r, const char *target, const char *who);
/** The account is gone: what was granted to it goes too, in memory. */
void roles_forget(struct roles *r, const char *jid);
unsigned roles_parse(const char *word);          /**< 0: there is no such role */
const char *roles_word(unsigned role);
/** In memory, after the storage has it; role 0 takes it away. host "": all. */
void roles_set(struct roles *r, const char *jid, const char *host, unsigned role);
/** fn for each: from the configuration (fixed) or by command. */
void roles_each(struct roles *r, void (*fn)(void *arg, const char *jid, const char *host, unsigned role, bool fixed),
	void *arg);

#endif
