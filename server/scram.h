/* scram.h - the server's half of one SCRAM exchange (RFC 5802, RFC 7677; SHA-512 in the same manner).
 *
 *     scram_new → scram_first (client-first-message) → [the caller fetches the user's record]
 *               → scram_challenge (server-first) → scram_final (client-final; server-final comes out)
 *
 * Messages are raw bytes, without the base64 of the stream. Pure: no I/O, no clock, no randomness of its
 * own. sasl.c is its one user. Threads: an exchange belongs to one thread at a time. */
#ifndef STERNA_SCRAM_H
#define STERNA_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"
#include "server/credential.h"
#include "server/result.h"

#define SCRAM_MESSAGE_MAX 4096 /* bytes of a client's message */

enum scram_status {
	SCRAM_OK,
	SCRAM_MALFORMED,    /* against the grammar, or a reserved m= (§5.1): <malformed-request/> */
	SCRAM_DOWNGRADED,   /* 'y', yet -PLUS was offered (§6): <not-authorized/> */
	SCRAM_WRONG_NONCE,  /* not the nonce of this exchange: a replay; this and what follows: <not-authorized/> */
	SCRAM_WRONG_BINDING,/* c= is not the GS2 header and channel binding data of this connection */
	SCRAM_WRONG_PROOF,  /* another password, or no such user */
};
const char *scram_status_text(enum scram_status s); /**< for the log, not for the peer; static */

struct scram;

/** @param plus          the mechanism's name ends in -PLUS
 *  @param plus_offered  the peer was offered this hash with -PLUS as well */
struct scram *scram_new(enum scram_hash h, bool plus, bool plus_offered);
void scram_free(struct scram **s); /**< wipes the keys */

/** Take the client-first-message: SCRAM_OK, _MALFORMED or _DOWNGRADED. */
enum scram_status scram_first(struct scram *s, const char *msg, size_t len) STERNA_CHECKED;
/* What it said, unescaped; borrowed, as long as s lives. */
const char *scram_username(const struct scram *s);
const char *scram_authzid(const struct scram *s); /**< NULL if none */
const char *scram_binding(const struct scram *s); /**< type in "p=type"; NULL without -PLUS */

/** Append the server-first-message to out.
 *  @param c           the user's record of this hash, or a fake one
 *  @param known       false: scram_final() does the same work, and fails
 *  @param nonce       our part of the nonce: fresh and random, printable ASCII without ','
 *  @param offer_hash  value of h= (XEP-0474), NULL: none */
void scram_challenge(struct scram *s, const struct credential *c, bool known, const char *nonce,
	const char *offer_hash, struct buf *out);

/** Take the client-final-message; on SCRAM_OK append the server-final-message to out.
 *  @param data,len  channel binding data of the connection for scram_binding(); len 0 without -PLUS
 *  @return any status but _DOWNGRADED */
enum scram_status scram_final(struct scram *s, const char *msg, size_t msg_len, const uint8_t *data, size_t len,
	struct buf *out) STERNA_CHECKED;

/** Downgrade protection (XEP-0474 §5.1): append base64(H(list)) of what was offered to out.
 *  @param mechanisms,types  NULL-terminated, in any order; types NULL: no XEP-0440 list was sent;
 *                           at most SCRAM_OFFER_MAX entries each */
#define SCRAM_OFFER_MAX 32
void scram_offer_hash(enum scram_hash h, const char *const *mechanisms, const char *const *types, struct buf *out);

#endif
