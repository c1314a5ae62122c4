/* invite.h - invitations: tokens that let someone make an account here (XEP-0445), become somebody's contact without a
 * question (XEP-0379), or both (XEP-0401).
 *
 * A token is 120 random bits as text; the database has its SHA-256 alone, so that a backup is no heap of keys. It is good
 * once, for a time. That it was used is a row of its own: made in the transaction of the account, so that of two who use
 * one token at the same time one gets the account.
 * Threads: the worker of the call or stream concerned. */
#ifndef STERNA_INVITE_H
#define STERNA_INVITE_H

#include <stdbool.h>
#include <stdint.h>
#include "server/db.h"

struct buf;
struct host;
struct jid;
struct loop;
struct worker;

#define NS_INVITE_PREAUTH "urn:xmpp:pars:0"
#define NS_INVITE_FEATURE "urn:xmpp:ibr-token:0"

enum { INVITE_TOKEN_SIZE = 25, INVITE_HASH_SIZE = 65 };

/** What a token says. */
struct invite {
	char hash[INVITE_HASH_SIZE];
	char *inviter;               /* bare JID; "": the operator */
	char *username;              /* the localpart that it is for; "": any */
	bool contact;                /* who uses it becomes a contact of the inviter */
	bool account;                /* an account may be made with it */
	int64_t expires_us;
};

struct invite *invite_copy(const struct invite *i);  /**< new */
void invite_free(struct invite **i);
/** A new token, text and hash. */
void invite_token(struct loop *l, char token[INVITE_TOKEN_SIZE], char hash[INVITE_HASH_SIZE]);
/** The hash of what a peer sent; any text. */
void invite_hash(const char *token, char hash[INVITE_HASH_SIZE]);

/** Parameters: hash, host, inviter, username, contact, account, created, expires (microseconds). */
extern const struct db_stmt invite_insert;
/** hash, host, now: rows inviter, username, contact, account, expires, if it is good still. */
extern const struct db_stmt invite_get;
/** hash, account (bare JID), now: it is used; a second time violates the key. */
extern const struct db_stmt invite_use;
/** The same where a second time does not matter. */
extern const struct db_stmt invite_use_once;
/** host, username, hash, now: a row if the name is kept for somebody with another invitation. */
extern const struct db_stmt invite_reserved;
/** now, inviter: how many of it are open; "" for the operator's. */
extern const struct db_stmt invite_count;
/** now: those that were not used in time go; run after invite_purge_uses. */
extern const struct db_stmt invite_purge, invite_purge_uses;

/** "xmpp:local@domain" (RFC 5122), what URIs have other uses for encoded; local "": "xmpp:domain". */
void invite_address(struct buf *out, const char *local, const char *domain);
/** The row of invite_get, or NULL. */
struct invite *invite_of(const char *hash, const struct db_rows *rows);
/** The account was made: the two become contacts of each other, if the invitation says so. */
void invite_befriend(struct worker *w, const struct invite *i, const struct jid *account, const char *token);

#endif
