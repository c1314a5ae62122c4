/* credential.h - what is stored of a password: SCRAM keys (RFC 5802 §3), one record for each hash.
 *
 * All functions are pure, fit for any thread. Those marked SLOW run PBKDF2 and belong on a helper thread
 * (work.h). Passwords and user names come prepared (precis_opaque, precis_username). Records are secrets:
 * credential_clear() them when done. */
#ifndef STERNA_CREDENTIAL_H
#define STERNA_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

enum scram_hash { SCRAM_SHA1, SCRAM_SHA256, SCRAM_SHA512, SCRAM_HASH_COUNT };

#define SCRAM_KEY_MAX 64   /* bytes of the longest hash */
#define SCRAM_SALT_LEN 16  /* of the salts we make */
#define SCRAM_SALT_MAX 64  /* of an imported salt */
#define SCRAM_ITERATIONS_MIN 4096      /* RFC 7677 §4 */
#define SCRAM_ITERATIONS_DEFAULT 10000 /* XEP-0438 §4 */
#define SCRAM_ITERATIONS_MAX 1000000   /* so that one login cannot hold a helper for seconds */
#define PASSWORD_MAX 1023  /* bytes; what is longer is not even hashed */

const char *scram_hash_name(enum scram_hash h); /**< "SCRAM-SHA-1", also the name in the database; static */
bool scram_hash_from_name(const char *name, enum scram_hash *out);
size_t scram_hash_size(enum scram_hash h);      /**< bytes: 20, 32, 64 */
/** Hash and HMAC; out has scram_hash_size(h) bytes. */
void scram_digest(enum scram_hash h, const void *data, size_t len, uint8_t *out);
void scram_hmac(enum scram_hash h, const void *key, size_t key_len, const void *data, size_t len, uint8_t *out);

struct credential {
	enum scram_hash hash;
	uint32_t iterations;
	size_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_MAX]; /* scram_hash_size(hash) bytes */
	uint8_t server_key[SCRAM_KEY_MAX];
};

/** Whether a record from the database or an import can be used: salt and iterations within the limits. */
bool credential_is_valid(const struct credential *c);
void credential_clear(struct credential *c);

/** SLOW. The record of a password.
 *  @return STERNA_ELIMIT password, salt or iterations out of bounds (iterations: at least 1, for imports) */
enum sterna_result scram_derive(enum scram_hash h, const char *password, size_t password_len,
	const uint8_t *salt, size_t salt_len, uint32_t iterations, struct credential *out) STERNA_CHECKED;

/** SLOW. Whether password is that of c; in constant time save for the password's length. */
bool credential_matches(const struct credential *c, const char *password, size_t password_len);

/** A record for every hash, for a new password. */
struct credential_set {
	struct credential of[SCRAM_HASH_COUNT];
};
/** SLOW.
 *  @param salts random bytes (loop_random), a salt for each hash
 *  @return STERNA_EINVAL the password is empty; STERNA_ELIMIT as scram_derive() */
enum sterna_result credential_set_derive(const char *password, size_t password_len,
	const uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN], uint32_t iterations, struct credential_set *out)
	STERNA_CHECKED;
void credential_set_clear(struct credential_set *s);

/** What an unknown user is answered with (RFC 6120 §6.5.10 wants no difference): a salt that is the same
 *  at every try, the normal iteration count, keys that no password has. The salt depends on the hash, as
 *  those of a real account do.
 *  @param secret of the server, kept over restarts and shared by its nodes; at least 16 bytes
 *  @param username prepared */
void credential_fake(const void *secret, size_t secret_len, enum scram_hash h, const char *username,
	uint32_t iterations, struct credential *out);

/* --- upgrade tasks (XEP-0480 §3) --- */

/** The task's name, "UPGR-SCRAM-SHA-256"; NULL for SHA-1, to which nobody upgrades. Static. */
const char *credential_upgrade_name(enum scram_hash h);
bool credential_upgrade_from_name(const char *name, enum scram_hash *out);
/** The record from the SaltedPassword that an authenticated client computed for our salt and iterations.
 *  @return STERNA_EINVAL salted has not the length of the hash, or is all zero */
enum sterna_result credential_from_salted(enum scram_hash h, const uint8_t *salted, size_t salted_len,
	const uint8_t *salt, size_t salt_len, uint32_t iterations, struct credential *out) STERNA_CHECKED;

#endif
