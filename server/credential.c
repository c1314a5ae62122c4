/* credential.c - SCRAM keys: made, faked, compared. */
#include "server/credential.h"

#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct {
	const char *name, *upgrade;
	size_t size;
	const EVP_MD *(*md)(void);
} hashes[] = {
	[SCRAM_SHA1] = { "SCRAM-SHA-1", NULL, 20, EVP_sha1 },
	[SCRAM_SHA256] = { "SCRAM-SHA-256", "UPGR-SCRAM-SHA-256", 32, EVP_sha256 },
	[SCRAM_SHA512] = { "SCRAM-SHA-512", "UPGR-SCRAM-SHA-512", 64, EVP_sha512 },
};

const char *scram_hash_name(enum scram_hash h)
{
	return hashes[h].name;
}

bool scram_hash_from_name(const char *name, enum scram_hash *out)
{
	for (int h = 0; h < SCRAM_HASH_COUNT; h++)
		if (strcmp(hashes[h].name, name) == 0) {
			*out = (enum scram_hash)h;
			return true;
		}
	return false;
}

size_t scram_hash_size(enum scram_hash h)
{
	return hashes[h].size;
}

/* OpenSSL can fail here for want of memory, or where SHA-1 is switched off by policy. A zeroed result
 * could be guessed, so what is left is the end of the process, as for any small allocation. */
static void must(bool ok)
{
	if (!ok)
		OPENSSL_die("digest failed", __FILE__, __LINE__);
}

void scram_digest(enum scram_hash h, const void *data, size_t len, uint8_t *out)
{
	must(EVP_Digest(data, len, out, NULL, hashes[h].md(), NULL) == 1);
}

void scram_hmac(enum scram_hash h, const void *key, size_t key_len, const void *data, size_t len, uint8_t *out)
{
	must(HMAC(hashes[h].md(), key, (int)key_len, data, len, out, NULL) != NULL);
}

bool credential_is_valid(const struct credential *c)
{
	return (unsigned)c->hash < SCRAM_HASH_COUNT && c->salt_len > 0 && c->salt_len <= SCRAM_SALT_MAX &&
	       c->iterations > 0 && c->iterations <= SCRAM_ITERATIONS_MAX;
}

void credential_clear(struct credential *c)
{
	OPENSSL_cleanse(c, sizeof *c);
}

/* RFC 5802 §3: ClientKey, StoredKey, ServerKey. */
static void keys_from_salted(enum scram_hash h, const uint8_t *salted, struct credential *out)
{
	const size_t size = hashes[h].size;
	uint8_t client_key[SCRAM_KEY_MAX];

	scram_hmac(h, salted, size, "Client Key", 10, client_key);
	scram_digest(h, client_key, size, out->stored_key);
	scram_hmac(h, salted, size, "Server Key", 10, out->server_key);
	OPENSSL_cleanse(client_key, sizeof client_key);
}

static enum sterna_result set_head(enum scram_hash h, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct credential *out)
{
	if (salt_len == 0 || salt_len > SCRAM_SALT_MAX || iterations == 0 || iterations > SCRAM_ITERATIONS_MAX)
		return STERNA_ELIMIT;
	memset(out, 0, sizeof *out);
	out->hash = h;
	out->iterations = iterations;
	out->salt_len = salt_len;
	memcpy(out->salt, salt, salt_len);
	return STERNA_OK;
}

enum sterna_result scram_derive(enum scram_hash h, const char *password, size_t password_len,
	const uint8_t *salt, size_t salt_len, uint32_t iterations, struct credential *out)
{
	const size_t size = hashes[h].size;
	uint8_t salted[SCRAM_KEY_MAX];
	enum sterna_result rc;

	if (password_len > PASSWORD_MAX)
		return STERNA_ELIMIT;
	rc = set_head(h, salt, salt_len, iterations, out);
	if (rc != STERNA_OK)
		return rc;
	must(PKCS5_PBKDF2_HMAC(password, (int)password_len, salt, (int)salt_len, (int)iterations, hashes[h].md(),
		     (int)size, salted) == 1);
	keys_from_salted(h, salted, out);
	OPENSSL_cleanse(salted, sizeof salted);
	return STERNA_OK;
}

bool credential_matches(const struct credential *c, const char *password, size_t password_len)
{
	struct credential made;
	bool same;

	if (scram_derive(c->hash, password, password_len, c->salt, c->salt_len, c->iterations, &made) != STERNA_OK)
		return false;
	same = CRYPTO_memcmp(made.stored_key, c->stored_key, hashes[c->hash].size) == 0;
	credential_clear(&made);
	return same;
}

enum sterna_result credential_set_derive(const char *password, size_t password_len,
	const uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN], uint32_t iterations, struct credential_set *out)
{
	enum sterna_result rc = password_len > 0 ? STERNA_OK : STERNA_EINVAL;

	for (int h = 0; rc == STERNA_OK && h < SCRAM_HASH_COUNT; h++)
		rc = scram_derive((enum scram_hash)h, password, password_len, salts[h], SCRAM_SALT_LEN, iterations,
			&out->of[h]);
	return rc;
}

void credential_set_clear(struct credential_set *s)
{
	OPENSSL_cleanse(s, sizeof *s);
}

/* HMAC(secret, what NUL hash NUL username), as SHA-512 so that one call fills any field. */
static void fake_bytes(const void *secret, size_t secret_len, const char *what, enum scram_hash h,
	const char *username, uint8_t out[SCRAM_KEY_MAX])
{
	uint8_t key[SCRAM_KEY_MAX];

	/* Two steps keep the parts apart without a buffer for a name of any length. */
	scram_hmac(SCRAM_SHA512, secret, secret_len, what, strlen(what), key);
	scram_hmac(SCRAM_SHA512, key, sizeof key, hashes[h].name, strlen(hashes[h].name), key);
	scram_hmac(SCRAM_SHA512, key, sizeof key, username, strlen(username), out);
	OPENSSL_cleanse(key, sizeof key);
}

void credential_fake(const void *secret, size_t secret_len, enum scram_hash h, const char *username,
	uint32_t iterations, struct credential *out)
{
	uint8_t salt[SCRAM_KEY_MAX];

	memset(out, 0, sizeof *out);
	out->hash = h;
	out->iterations = iterations;
	out->salt_len = SCRAM_SALT_LEN;
	fake_bytes(secret, secret_len, "sterna fake salt", h, username, salt);
	memcpy(out->salt, salt, SCRAM_SALT_LEN);
	fake_bytes(secret, secret_len, "sterna fake stored key", h, username, out->stored_key);
	fake_bytes(secret, secret_len, "sterna fake server key", h, username, out->server_key);
}

const char *credential_upgrade_name(enum scram_hash h)
{
	return hashes[h].upgrade;
}

bool credential_upgrade_from_name(const char *name, enum scram_hash *out)
{
	for (int h = 0; h < SCRAM_HASH_COUNT; h++)
		if (hashes[h].upgrade != NULL && strcmp(hashes[h].upgrade, name) == 0) {
			*out = (enum scram_hash)h;
			return true;
		}
	return false;
}

enum sterna_result credential_from_salted(enum scram_hash h, const uint8_t *salted, size_t salted_len,
	const uint8_t *salt, size_t salt_len, uint32_t iterations, struct credential *out)
{
	uint8_t any = 0;
	enum sterna_result rc;

	if (salted_len != hashes[h].size)
		return STERNA_EINVAL;
	for (size_t i = 0; i < salted_len; i++)
		any |= salted[i];
	if (any == 0) /* a client's bug, which would let anyone in */
		return STERNA_EINVAL;
	rc = set_head(h, salt, salt_len, iterations, out);
	if (rc == STERNA_OK)
		keys_from_salted(h, salted, out);
	return rc;
}
