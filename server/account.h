/* account.h - an account (bare JID) as its owner's worker knows it: roster, sessions, modules' state.
 *
 * Loaded from the database when first needed: a stanza for an account that is being loaded waits, in order.
 * Kept for a while after its last session. Threads: the owning worker's only. */
#ifndef STERNA_ACCOUNT_H
#define STERNA_ACCOUNT_H

#include "server/call.h"
#include "server/roster.h"
#include "server/server.h"

enum account_state { ACCOUNT_LOADING, ACCOUNT_READY, ACCOUNT_ABSENT, ACCOUNT_FAILED };

struct account {
	struct worker *worker;
	struct jid *jid;
	struct host *host;
	enum account_state state;
	bool disabled;
	bool anonymous;                  /* of a host for ANONYMOUS: lives with its session, stores nothing */
	bool deleted;                    /* in storage; what is in memory goes with the last that holds it */
	bool load_failed;
	unsigned reads;                  /* of the load, not answered yet */
	bool away;                       /* it failed because the database is away: it is tried again */
	struct timer again;
	unsigned busy;                   /* calls that hold this account */
	struct sterna_call *waiting, **waiting_end;
	size_t waiting_count;
	struct roster roster;
	struct map *hidden;              /* bare JIDs and domains that do not see its presence (XEP-0191); or NULL */
	struct sterna_session *sessions;
	unsigned session_count;
	bool has_hidden;                 /* there may be rows that only a resumption needs (archive.h) */
	unsigned offline_count;          /* messages waiting for the next available session */
	bool pulling;                    /* they are on their way to one: what comes now waits behind them */
	bool offline_more;               /* one was stored since they were last read */
	struct pull *pull;
	struct origins *origins;         /* what it sent lately (origin.h); made by its first message */
	int64_t newest_shown;            /* in the archive, of what was archived since it is in memory; 0: nothing */
	int64_t last_logout_us;
	char *last_status;
	int64_t known_us;                /* since when it is in memory; logins: how many resources were bound since then */
	unsigned logins;
	void **slots;
	uint64_t rests;                  /* modules that rest here, by slot index (registry.h) */
	unsigned slot_count;
	struct account *idle_prev, *idle_next;
	bool is_idle;
};

/** The account, being loaded or ready; makes it (and begins the load) if it is not in memory.
 *  j may be full; its domain is a host of ours with users. */
struct account *account_get(struct worker *w, const struct jid *j);
/** For SASL ANONYMOUS: there until its session ends; nothing of it is stored. */
struct account *account_make_anonymous(struct worker *w, const struct jid *j);
/** In memory and ready, or NULL; never loads. */
struct account *account_find(struct worker *w, const char *bare);
/** Run fn when the account is ready, absent or could not be loaded: now if it is known already, else in the
 *  order of the calls. While the database is away they wait; those that are c->impatient find it ACCOUNT_FAILED
 *  meanwhile. The call is account_when's until then. @return false: too many wait; c was not taken */
bool account_when(struct account *a, struct sterna_call *c, void (*fn)(struct sterna_call *c));
/** A module was loaded while the account is in memory: its reads, and its event. */
void account_meet_module(struct account *a, const struct module_slot *slot);
void account_hold(struct account *a);    /**< not unloaded until released */
void account_release(struct account *a);
/** A slot of a module; made zeroed when first asked for. */
void *account_slot(struct account *a, const struct module_slot *m);
/** Forget all (worker stops, account deleted). The account has no sessions and no calls. */
void account_unload(struct account *a);
/** When its last session has gone: when, and with which words (XEP-0012). */
void account_save_last(struct account *a);
/** It is deleted in storage: sessions end, contacts hear that nobody is there to see any more (XEP-0077 §3.2). */
void account_deleted(struct account *a);
/** The worker ends: those that wait for a database that is away wait no more. */
void account_give_up(struct worker *w);
void account_trim(struct worker *w);     /**< unload the longest idle ones over the limit */

/** Someone (a bare JID, a domain) does not see this account's presence any more, or does again. */
void account_hide(struct account *a, const char *from_whom, bool hide);
bool account_hides(const struct account *a, const struct jid *from_whom);

/** First session of that resource (connected or resumable), or NULL. */
struct sterna_session *account_session(const struct account *a, const char *resource);

extern const struct db_stmt account_insert, account_delete;

#endif
