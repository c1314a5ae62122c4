/* user.h - accounts as an administrator sees them: made, listed, disabled, deleted. Works on the storage, whether
 * a server runs on it or not; a running server is told apart from this (its sessions end by the control socket).
 *
 * Blocking, for tools and tests, never on a worker: a users has a loop and a database client of its own.
 * Threads: the one that made it; only bulk work starts helper threads, and ends them before it returns. */
#ifndef STERNA_USER_H
#define STERNA_USER_H

#include <stdio.h>
#include "server/config.h"
#include "server/credential.h"
#include "server/db.h"
#include "server/jid.h"

struct users;

struct users_options {
	struct db *db;               /* migrated; outlives the users */
	const struct config *config; /* for hosts and auth.iterations; borrowed. NULL: for rows alone */
	unsigned wait_ms;            /* for the database, per call; 0: a minute */
};
enum sterna_result users_new(const struct users_options *o, struct users **out) STERNA_CHECKED;
void users_free(struct users **u);

/** All calls below: STERNA_EUNAVAILABLE the database is away (nothing was written); STERNA_EUNCERTAIN it went away
 *  in between (not known whether it was written; doing it again is safe); STERNA_EIO it refused (logged). */

/** An address that an account here can have: with a local part, without a resource, of one of our hosts.
 *  @param[out] out  new; why: what is wrong with it, static
 *  @return STERNA_EINVAL no such address; STERNA_ENOTFOUND the domain is none of our hosts */
enum sterna_result user_address(const struct users *u, const char *text, struct jid **out, const char **why)
	STERNA_CHECKED;
/** Prepare a password (RFC 8265 OpaqueString). out: PASSWORD_MAX + 1 bytes, cleanse it after use.
 *  @return STERNA_EINVAL empty, or a code point that is not allowed; STERNA_ELIMIT too long */
enum sterna_result user_password(const char *text, char *out) STERNA_CHECKED;

/** Account and credentials in one transaction. SLOW. @param password prepared or not: it is prepared here
 *  @return STERNA_EEXISTS; STERNA_EINVAL, STERNA_ELIMIT the password */
enum sterna_result user_create(struct users *u, const struct jid *j, const char *password) STERNA_CHECKED;
/** New credentials; tokens of earlier logins (XEP-0484) end. SLOW. @return STERNA_ENOTFOUND no such account */
enum sterna_result user_set_password(struct users *u, const struct jid *j, const char *password) STERNA_CHECKED;
/** The account and all that is stored of it. @return STERNA_ENOTFOUND no account; remains, if any, are gone */
enum sterna_result user_delete(struct users *u, const struct jid *j) STERNA_CHECKED;
/** reason: for the operator, or NULL. @return STERNA_ENOTFOUND */
enum sterna_result user_disable(struct users *u, const struct jid *j, const char *reason) STERNA_CHECKED;
enum sterna_result user_enable(struct users *u, const struct jid *j) STERNA_CHECKED;

struct user_info {
	const char *jid;
	int64_t created_us;
	bool disabled;
	const char *reason;          /* why it is disabled, or NULL */
	int64_t last_logout_us;      /* 0: never */
	const char *last_status;     /* or NULL */
};
/** What `user show` adds. */
struct user_details {
	char mechanisms[128];        /* "SCRAM-SHA-1 SCRAM-SHA-256 …", "" without password */
	int64_t iterations;          /* the least of them */
	int64_t contacts, archived, offline;
};
typedef void user_fn(void *arg, const struct user_info *info); /* borrowed for the call */
/** details may be NULL. @return STERNA_ENOTFOUND */
enum sterna_result user_get(struct users *u, const struct jid *j, struct user_details *details, user_fn *fn, void *arg)
	STERNA_CHECKED;
/** All accounts in the order of their addresses; domain NULL: of every host. fn must not call users. */
enum sterna_result user_list(struct users *u, const char *domain, user_fn *fn, void *arg) STERNA_CHECKED;

/** Many at once: lines `address password`, # for comments; a password may hold blanks within. Every line is checked
 *  before anything is written; keys are derived on helper threads; accounts are written in transactions of 200. */
struct user_bulk {
	unsigned threads;            /* 0: as many as processors */
	bool skip_existing;          /* accounts that are there stay as they are; else they are mistakes */
	void (*wrong)(void *arg, unsigned line, const char *what);      /* may be NULL */
	void (*progress)(void *arg, size_t done, size_t total);         /* may be NULL */
	void *arg;
};
struct user_bulk_result {
	size_t lines, wrong;         /* accounts named; mistakes */
	size_t skipped, created;
};
/** @return STERNA_EINVAL lines are wrong: nothing was written; STERNA_EIO also: the file cannot be read;
 *          any other: what the database said to a batch. out says how far it came; skip_existing goes on. */
enum sterna_result user_create_many(struct users *u, FILE *in, const struct user_bulk *o, struct user_bulk_result *out)
	STERNA_CHECKED;

#endif
