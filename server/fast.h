/* fast.h - tokens for quick re-authentication (XEP-0484), proven by the Hashed Token mechanisms HT-*.
 *
 * One round trip: the client sends  authcid NUL HMAC(token, "Initiator" || cb)  and gets
 * HMAC(token, "Responder" || cb)  back, so each proves that it has the token. Storage, SASL2 and the
 * user agent's id are the caller's (XEP-0388). All functions are pure. Threads: any. */
#ifndef STERNA_FAST_H
#define STERNA_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/credential.h"
#include "server/result.h"
#include "server/sasl_mech.h"

/** Mechanisms, the best first. No -UNIQ: tls-unique has no meaning in TLS 1.3. */
enum fast_mech {
	FAST_SHA512_EXPR, FAST_SHA256_EXPR, /* tls-exporter */
	FAST_SHA512_ENDP, FAST_SHA256_ENDP, /* tls-server-end-point */
	FAST_SHA512_NONE, FAST_SHA256_NONE,
	FAST_MECH_COUNT
};
const char *fast_mech_name(enum fast_mech m); /**< "HT-SHA-256-EXPR"; also the name to store with a token */
bool fast_mech_from_name(const char *name, enum fast_mech *out);
/** Channel binding type to get data for, NULL for -NONE. */
const char *fast_mech_binding(enum fast_mech m);
/** Which to offer with these channel binding types (sasl_bindings()): a mask of 1u << enum fast_mech.
 *  -NONE always is; without it browsers could not use FAST (§3.1). */
unsigned fast_offer(unsigned bindings);

/* --- tokens --- */

#define FAST_RANDOM_LEN 32
#define FAST_TOKEN_SIZE 48 /* with the NUL */

struct fast_token {
	char token[FAST_TOKEN_SIZE]; /* the secret, as in <token token=''/>; the key is these characters */
	enum fast_mech mech;         /* the only one it is good for (§3.4) */
	int64_t expires_at_us;       /* Unix time */
	uint64_t count;              /* highest 'count' seen; 0: none yet */
};
/** A new token.
 *  @param random FAST_RANDOM_LEN fresh bytes from loop_random() */
void fast_token_init(struct fast_token *t, const uint8_t *random, enum fast_mech m, int64_t expires_at_us);
void fast_token_clear(struct fast_token *t);

/* --- authentication --- */

#define FAST_MESSAGE_MAX (1023 + 1 + SCRAM_KEY_MAX)

struct fast_message {
	char username[1024];            /* prepared local part */
	uint8_t proof[SCRAM_KEY_MAX];
};
/** Take the initiator's message apart.
 *  @return STERNA_EINVAL  no NUL, or a proof of another length than the mechanism's: <malformed-request/>
 *          STERNA_EDENIED no valid user name: <not-authorized/>, as for a user that there is not */
enum sterna_result fast_parse(enum fast_mech m, const void *msg, size_t len, struct fast_message *out) STERNA_CHECKED;

enum fast_verdict {
	FAST_NEW,      /* it proved the newer token: make it the current one, forget the older (§5.1) */
	FAST_CURRENT,  /* it proved the current token; a newer one stays valid */
	FAST_EXPIRED,  /* it proved a token whose time is over: <credentials-expired/> */
	FAST_REPLAYED, /* the count is not above the last: <not-authorized/> */
	FAST_DENIED,   /* it proved none, or one for another mechanism: <not-authorized/> */
};

struct fast_attempt {
	enum fast_mech mech;            /* used now */
	const struct fast_message *message;
	const uint8_t *binding;         /* channel binding data; NULL with -NONE */
	size_t binding_len;
	int64_t now_us;                 /* Unix time */
	uint64_t count;                 /* <fast count=''/>; 0: absent */
	bool early_data;                /* came as TLS 0-RTT: a count is needed (§3.4) */
};
/** Compare with the tokens of the user agent (§5.1), in constant time, doing the same work whether there
 *  are two tokens, one or none.
 *  @param newer,current  NULL where there is none
 *  @param[out] response  on FAST_NEW and _CURRENT the responder's message, response_len bytes; the caller
 *                        then stores the attempt's count with the token if it is not 0 */
enum fast_verdict fast_verify(const struct fast_attempt *a, const struct fast_token *newer,
	const struct fast_token *current, uint8_t response[SCRAM_KEY_MAX], size_t *response_len) STERNA_CHECKED;

#endif
