/* scram.h - the client's side of SCRAM-SHA-1 (RFC 5802), keeping what PBKDF2 yielded for the next login.
 * Threads: one at a time. */
#ifndef BENCH_SCRAM_H
#define BENCH_SCRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { SCRAM_KEY = 20 };

/** What an account remembers between logins; zeroed at first. */
struct scram_cache {
	unsigned char salted[SCRAM_KEY], salt[128];
	unsigned iterations; /* 0: nothing yet */
	unsigned char salt_len;
};

struct scram {
	char nonce[25], first_bare[128];
	unsigned char server_signature[SCRAM_KEY];
};

/** The client's first message, base64, for <auth/>.
 *  @return its length, 0 when user is too long */
size_t scram_first(struct scram *s, const char *user, char *out, size_t size);
/** The answer to a <challenge/>, base64 both.
 *  @return its length, 0 when the challenge is no valid one or out is too small */
size_t scram_answer(struct scram *s, struct scram_cache *cache, const char *password, const char *challenge,
	size_t len, char *out, size_t size);
/** True if <success/> shows that the server knows the key too (§3). */
bool scram_verify(const struct scram *s, const char *success, size_t len);

#endif
