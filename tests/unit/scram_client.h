/* scram_client.h - the client's half of SCRAM, for tests: computes proofs as RFC 5802 §3 says. */
#ifndef STERNA_TESTS_SCRAM_CLIENT_H
#define STERNA_TESTS_SCRAM_CLIENT_H

#include <check.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "server/base64.h"
#include "server/credential.h"

struct scram_client {
	enum scram_hash hash;
	const char *password;
	const char *gs2;         /* "n,,", "p=tls-exporter,," */
	const char *bare;        /* client-first-message-bare */
	const char *binding;     /* channel binding data as a string, or NULL */
	const char *extension;   /* ",x=1" before the proof, or NULL */
	char final[8192];        /* out: client-final-message */
	char server_final[128];  /* out: "v=..." that the server has to send */
};

static inline const EVP_MD *scram_client_md(enum scram_hash h)
{
	return h == SCRAM_SHA1 ? EVP_sha1() : h == SCRAM_SHA256 ? EVP_sha256() : EVP_sha512();
}

/* The value of x= in a comma-separated message. */
static inline void scram_client_attr(const char *msg, char name, char *out, size_t size)
{
	const char *at = msg;

	while (at != NULL && !(at[0] == name && at[1] == '=')) {
		at = strchr(at, ',');
		at = at != NULL ? at + 1 : NULL;
	}
	ck_assert_ptr_nonnull(at);
	snprintf(out, size, "%.*s", (int)strcspn(at + 2, ","), at + 2);
}

static inline void scram_client_final(struct scram_client *c, const char *server_first)
{
	const size_t size = scram_hash_size(c->hash);
	uint8_t salt[256], salted[64], key[64], stored[64], sig[64], server_key[64];
	char nonce[1024], text[512], count[16], header[2048], auth[16384];
	size_t salt_len = 0, len;

	scram_client_attr(server_first, 'r', nonce, sizeof nonce);
	scram_client_attr(server_first, 's', text, sizeof text);
	scram_client_attr(server_first, 'i', count, sizeof count);
	ck_assert_int_eq(base64_decode(text, strlen(text), salt, sizeof salt, &salt_len), STERNA_OK);
	PKCS5_PBKDF2_HMAC(c->password, (int)strlen(c->password), salt, (int)salt_len, atoi(count),
		scram_client_md(c->hash), (int)size, salted);
	scram_hmac(c->hash, salted, size, "Client Key", 10, key);
	scram_digest(c->hash, key, size, stored);
	scram_hmac(c->hash, salted, size, "Server Key", 10, server_key);

	snprintf(header, sizeof header, "%s%s", c->gs2, c->binding != NULL ? c->binding : "");
	ck_assert_int_eq(base64_encode(header, strlen(header), text, sizeof text), STERNA_OK);
	len = (size_t)snprintf(c->final, sizeof c->final, "c=%s,r=%s%s", text, nonce,
		c->extension != NULL ? c->extension : "");
	snprintf(auth, sizeof auth, "%s,%s,%s", c->bare, server_first, c->final);
	scram_hmac(c->hash, stored, size, auth, strlen(auth), sig);
	for (size_t i = 0; i < size; i++)
		key[i] ^= sig[i];
	ck_assert_int_eq(base64_encode(key, size, text, sizeof text), STERNA_OK);
	snprintf(c->final + len, sizeof c->final - len, ",p=%s", text);
	scram_hmac(c->hash, server_key, size, auth, strlen(auth), sig);
	ck_assert_int_eq(base64_encode(sig, size, text, sizeof text), STERNA_OK);
	snprintf(c->server_final, sizeof c->server_final, "v=%.*s", 120, text);
}

#endif
