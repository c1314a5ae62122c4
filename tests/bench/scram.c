/* scram.c - the client's side of SCRAM-SHA-1 (RFC 5802). */
#include "tests/bench/scram.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 512, ITERATIONS_MAX = 1000000 };

static size_t encode(const char *text, size_t len, char *out, size_t size)
{
	if (4 * ((len + 2) / 3) + 1 > size)
		return 0;
	return (size_t)EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
}

/** Decode into out, NUL-terminated; returns the length, 0 on error. */
static size_t decode(const char *text, size_t len, char *out, size_t size)
{
	if (len == 0 || len % 4 != 0 || len / 4 * 3 + 1 > size)
		return 0;
	int n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);

	if (n < 0)
		return 0;
	for (size_t i = len; i > len - 2 && text[i - 1] == '='; i--)
		n--;
	out[n] = '\0';
	return (size_t)n;
}

static void hmac(const unsigned char key[SCRAM_KEY], const char *text, size_t len, unsigned char *out)
{
	HMAC(EVP_sha1(), key, SCRAM_KEY, (const unsigned char *)text, len, out, NULL);
}

size_t scram_first(struct scram *s, const char *user, char *out, size_t size)
{
	unsigned char random[18];
	char first[160];

	if (RAND_bytes(random, sizeof random) != 1)
		return 0;
	EVP_EncodeBlock((unsigned char *)s->nonce, random, sizeof random);
	const int n = snprintf(s->first_bare, sizeof s->first_bare, "n=%s,r=%s", user, s->nonce);

	if (n < 0 || (size_t)n >= sizeof s->first_bare)
		return 0;
	return encode(first, (size_t)snprintf(first, sizeof first, "n,,%s", s->first_bare), out, size);
}

/* §3: SaltedPassword := Hi(password, salt, i), unless it is the same as last time. */
static bool salt_password(
	struct scram_cache *c, const char *password, const char *salt64, size_t len, unsigned iterations)
{
	char salt[sizeof c->salt + 3];
	const size_t n = decode(salt64, len, salt, sizeof salt);

	if (n == 0 || n > sizeof c->salt || iterations == 0 || iterations > ITERATIONS_MAX)
		return false;
	if (c->iterations == iterations && c->salt_len == n && memcmp(c->salt, salt, n) == 0)
		return true;
	c->iterations = iterations;
	c->salt_len = (unsigned char)n;
	memcpy(c->salt, salt, n);
	return PKCS5_PBKDF2_HMAC(password, (int)strlen(password), c->salt, (int)n, (int)iterations,
		       EVP_sha1(), SCRAM_KEY, c->salted) == 1;
}

/* §3: ClientProof := ClientKey XOR HMAC(H(ClientKey), AuthMessage). */
static void prove(struct scram *s, const struct scram_cache *c, const char *auth, size_t len, unsigned char *proof)
{
	unsigned char client[SCRAM_KEY], stored[SCRAM_KEY], server[SCRAM_KEY];

	hmac(c->salted, "Client Key", 10, client);
	hmac(c->salted, "Server Key", 10, server);
	SHA1(client, sizeof client, stored);
	hmac(stored, auth, len, proof);
	hmac(server, auth, len, s->server_signature);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		proof[i] ^= client[i];
}

size_t scram_answer(struct scram *s, struct scram_cache *cache, const char *password, const char *challenge,
	size_t len, char *out, size_t size)
{
	char server[TEXT_MAX], auth[2 * TEXT_MAX], final[TEXT_MAX], proof64[32];
	unsigned char proof[SCRAM_KEY];

	if (decode(challenge, len, server, sizeof server) == 0)
		return 0;
	const char *r = strstr(server, "r="), *salt = strstr(server, ",s="), *i = strstr(server, ",i=");

	if (r != server || salt == NULL || i == NULL || i < salt ||
		strncmp(r + 2, s->nonce, strlen(s->nonce)) != 0)
		return 0;
	if (!salt_password(cache, password, salt + 3, (size_t)(i - salt - 3), (unsigned)strtoul(i + 3, NULL, 10)))
		return 0;
	const int bare = snprintf(final, sizeof final, "c=biws,%.*s", (int)(salt - r), r);
	const int n = snprintf(auth, sizeof auth, "%s,%s,%s", s->first_bare, server, final);

	if (bare < 0 || n < 0 || (size_t)n >= sizeof auth)
		return 0;
	prove(s, cache, auth, (size_t)n, proof);
	EVP_EncodeBlock((unsigned char *)proof64, proof, sizeof proof);
	const int whole = snprintf(final + bare, sizeof final - (size_t)bare, ",p=%s", proof64);

	if (whole < 0 || (size_t)(bare + whole) >= sizeof final)
		return 0;
	return encode(final, (size_t)(bare + whole), out, size);
}

bool scram_verify(const struct scram *s, const char *success, size_t len)
{
	char text[TEXT_MAX], signature[64];
	const size_t n = decode(success, len, text, sizeof text);

	if (n < 3 || strncmp(text, "v=", 2) != 0)
		return false;
	return decode(text + 2, strcspn(text + 2, ","), signature, sizeof signature) == SCRAM_KEY &&
		CRYPTO_memcmp(signature, s->server_signature, SCRAM_KEY) == 0;
}
