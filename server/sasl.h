/* sasl.h - one authentication exchange, as a state machine without a stream and without a database.
 *
 * SASL1 (RFC 6120 §6) and SASL2 (XEP-0388) drive it the same way: they decode base64, call sasl_start(),
 * sasl_response(), sasl_abort(), and do what the returned event asks for:
 *
 *     SASL_CONTINUE          send sasl_output() as a challenge (it may be empty)
 *     SASL_NEED_CREDENTIALS  fetch the record of sasl_username() for sasl_hash(), then sasl_credentials()
 *     SASL_NEED_WORK         sasl_take_work(), sasl_work_run() on a helper thread, then sasl_work_done()
 *     SASL_SUCCESS           the peer is sasl_username(); send sasl_output() as additional data if not NULL
 *     SASL_FAILURE           send sasl_condition()
 *
 * After the last two the exchange is over: free it; a further call answers SASL_FAILURE. Whether the
 * account is disabled (<account-disabled/>), or exists at all after EXTERNAL, is the caller's to see after
 * SASL_SUCCESS, when it tells strangers nothing. The number of tries is the stream's to count.
 *
 * An unknown user cannot be told from a wrong password: same steps, same answers, same work (RFC 6120
 * §6.5.10, RFC 5802 §9). Threads: an exchange belongs to one; a struct sasl_work to whoever holds it. */
#ifndef STERNA_SASL_H
#define STERNA_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/credential.h"
#include "server/result.h"
#include "server/sasl_mech.h"

/* --- an exchange --- */

#define SASL_RANDOM_LEN 32
#define SASL_USERNAME_MAX 1023

struct sasl_config {                /* copied; what it points to must outlive the exchange */
	const char *host;           /* prepared domain that the stream is for */
	const char *from;           /* bare JID that its header names (XEP-0388 §2.3); NULL: none */
	unsigned offered;           /* mechanisms that this stream's profile (SASL1 or SASL2) did offer */
	unsigned bindings;          /* types that the stream announced (XEP-0440); 0: no announcement */
	sasl_binding_fn *binding;   /* NULL: none */
	const char *(*peer_addr)(void *arg, size_t index); /* as transport_ops.peer_xmpp_addr; NULL: none */
	void *arg;                  /* for both */
	const void *secret;         /* of the server, for fake salts: credential_fake() */
	size_t secret_len;
	uint32_t iterations;        /* of new passwords here; unknown users seem to have as many */
	bool downgrade_protection;  /* send h= (XEP-0474) in SCRAM */
	uint8_t random[SASL_RANDOM_LEN]; /* fresh from loop_random(), for this one exchange */
};

enum sasl_event { SASL_CONTINUE, SASL_NEED_CREDENTIALS, SASL_NEED_WORK, SASL_SUCCESS, SASL_FAILURE };

/** Conditions of RFC 6120 §6.5. */
enum sasl_condition {
	SASL_ABORTED, SASL_ACCOUNT_DISABLED, SASL_CREDENTIALS_EXPIRED, SASL_ENCRYPTION_REQUIRED,
	SASL_INCORRECT_ENCODING, SASL_INVALID_AUTHZID, SASL_INVALID_MECHANISM, SASL_MALFORMED_REQUEST,
	SASL_MECHANISM_TOO_WEAK, SASL_NOT_AUTHORIZED, SASL_TEMPORARY_AUTH_FAILURE,
};
const char *sasl_condition_name(enum sasl_condition c); /**< element name: "not-authorized"; static */

struct sasl;
struct sasl_work;

struct sasl *sasl_new(const struct sasl_config *config);
void sasl_free(struct sasl **s); /**< at any time; a work that was taken lives on */

/** Begin. Once.
 *  @param mechanism  as the peer wrote it
 *  @param initial    its initial response; NULL if it sent none, "" if it sent an empty one ("=") */
enum sasl_event sasl_start(struct sasl *s, const char *mechanism, const void *initial, size_t len);
/** The answer to a challenge. When none is open: SASL_FAILURE, malformed-request. */
enum sasl_event sasl_response(struct sasl *s, const void *data, size_t len);
enum sasl_event sasl_abort(struct sasl *s); /**< <abort/>: SASL_FAILURE, aborted (RFC 6120 §6.4.4) */

/** The answer to SASL_NEED_CREDENTIALS, exactly once.
 *  @param rc  STERNA_OK: c is the record; STERNA_ENOTFOUND: no such user, or no record of this hash;
 *             any other: not known now, which ends in temporary-auth-failure
 *  @param c   borrowed; after PLAIN a record of any hash will do */
enum sasl_event sasl_credentials(struct sasl *s, enum sterna_result rc, const struct credential *c);

/** After SASL_NEED_WORK: new; run it, then give it to sasl_work_done(), or free it if s has gone. */
struct sasl_work *sasl_take_work(struct sasl *s);
void sasl_work_run(struct sasl_work *w); /**< SLOW; any thread; touches w alone */
/** Takes *w. If it was not run (queue full, cancelled): temporary-auth-failure. */
enum sasl_event sasl_work_done(struct sasl *s, struct sasl_work **w);
void sasl_work_free(struct sasl_work **w); /**< wipes it */

/* --- what the last event is about; borrowed until the next call --- */

const char *sasl_output(const struct sasl *s, size_t *len); /**< NULL: none */
/** Prepared local part: claimed until SASL_SUCCESS, then proven. NULL before it is known.
 *  After ANONYMOUS a fresh random name. */
const char *sasl_username(const struct sasl *s);
enum scram_hash sasl_hash(const struct sasl *s);           /**< wanted; for PLAIN the best to have */
enum sasl_mech sasl_mechanism(const struct sasl *s);       /**< SASL_MECH_COUNT before it is known */
enum sasl_condition sasl_condition(const struct sasl *s);  /**< after SASL_FAILURE */
/** Why it failed, for log and audit; never for the peer, as it may tell what exists. Static. */
const char *sasl_reason(const struct sasl *s);

#endif
