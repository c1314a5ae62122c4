/* tls_ticket.c - keys of TLS session tickets. OpenSSL's own never change, so that whoever learns them can read
 * what was recorded in months; ours seal for 12 hours and open for 12 more. */
#include "server/tls_ticket.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/mem.h"

enum { KEY_SECONDS = 12 * 3600, TICKET_SECONDS = 12 * 3600 };

struct ticket_key {
	unsigned char name[16], aes[32], hmac[32];
	time_t made;                 /* monotonic seconds; 0: none */
};

struct tls_tickets {
	pthread_mutex_t lock;
	struct ticket_key now, before;
};

static bool new_key(struct ticket_key *k, time_t now)
{
	if (RAND_bytes(k->name, sizeof k->name) != 1 || RAND_bytes(k->aes, sizeof k->aes) != 1 ||
	    RAND_bytes(k->hmac, sizeof k->hmac) != 1)
		return false;
	k->made = now;
	return true;
}

/* Handshakes are the only users, and OpenSSL asks on any worker: this is the clock that needs no loop. */
static time_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + 1;
}

/* A copy of the key to seal with (name NULL) or of the one with that name. */
static bool get_key(struct tls_tickets *t, const unsigned char *name, struct ticket_key *out, bool *old)
{
	const time_t now = seconds();
	bool found = true;

	pthread_mutex_lock(&t->lock);
	if (t->now.made == 0 || now - t->now.made >= KEY_SECONDS) {
		t->before = t->now;
		if (!new_key(&t->now, now))
			t->now.made = 0;
	}
	*old = false;
	if (name == NULL || memcmp(name, t->now.name, sizeof t->now.name) == 0) {
		*out = t->now;
	} else if (memcmp(name, t->before.name, sizeof t->before.name) == 0 &&
		   now - t->before.made < KEY_SECONDS + TICKET_SECONDS) {
		*out = t->before;
		*old = true;
	} else {
		found = false;
	}
	pthread_mutex_unlock(&t->lock);
	return found && out->made != 0;
}

/* OpenSSL's contract: 1 go on, 2 go on and send a fresh ticket, 0 no ticket, negative error. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
	int seal)
{
	struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	bool old = false;
	int rc = -1;

	if (t == NULL || !get_key(t, seal ? NULL : name, &key, &old))
		return 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.hmac, sizeof key.hmac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
		OSSL_PARAM_construct_end(),
	};

	if (seal) {
		memcpy(name, key.name, sizeof key.name);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			goto out;
	}
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.aes, iv, seal) != 1 ||
	    EVP_MAC_CTX_set_params(mac, params) != 1)
		goto out;
	rc = old ? 2 : 1;
out:
	OPENSSL_cleanse(&key, sizeof key);
	return rc;
}

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *t = xalloc(sizeof *t);

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void tls_tickets_free(struct tls_tickets **t)
{
	if (*t == NULL)
		return;
	pthread_mutex_destroy(&(*t)->lock);
	OPENSSL_cleanse(*t, sizeof **t);
	free(*t);
	*t = NULL;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx)
{
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_timeout(ctx, TICKET_SECONDS);
	SSL_CTX_set_num_tickets(ctx, 1);
}
