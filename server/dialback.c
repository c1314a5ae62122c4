/* dialback.c - XEP-0185 §3. */
#include "server/dialback.h"
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include "server/buf.h"

/* What it is for, then each part with its length: fields cannot run into each other (CVE-2016-0756). */
static void add_part(struct buf *b, const char *text)
{
	buf_addf(b, "%zu:", strlen(text));
	buf_puts(b, text);
}

void dialback_key(const unsigned char secret[32], const char *receiving, const char *originating, const char *stream_id,
	char out[DIALBACK_KEY_SIZE])
{
	struct buf b = BUF_INIT;
	unsigned char mac[32];
	unsigned len = 0;

	add_part(&b, "dialback");
	add_part(&b, receiving);
	add_part(&b, originating);
	add_part(&b, stream_id);
	HMAC(EVP_sha256(), secret, 32, (const unsigned char *)buf_data(&b), buf_len(&b), mac, &len);
	buf_release(&b);
	for (unsigned i = 0; i < sizeof mac; i++)
		snprintf(out + 2 * (size_t)i, 3, "%02x", mac[i]);
	OPENSSL_cleanse(mac, sizeof mac);
}

bool dialback_is_ours(const unsigned char secret[32], const char *receiving, const char *originating,
	const char *stream_id, const char *key)
{
	char right[DIALBACK_KEY_SIZE];

	dialback_key(secret, receiving, originating, stream_id, right);
	return strlen(key) == DIALBACK_KEY_SIZE - 1 && CRYPTO_memcmp(key, right, DIALBACK_KEY_SIZE - 1) == 0;
}
