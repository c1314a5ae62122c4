/* audit_chain.c - hashes, seals, and the check of a chain. */
#define OPENSSL_SUPPRESS_DEPRECATED      /* engines: Debian 12 has PKCS #11 as an engine only */
#include "modules/audit_chain.h"
#include <inttypes.h>
#include <openssl/engine.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

/* --- hashes --- */

void audit_hash(const unsigned char before[AUDIT_HASH], const char *record, size_t len, unsigned char out[AUDIT_HASH])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(ctx, before, AUDIT_HASH) != 1
		|| EVP_DigestUpdate(ctx, record, len) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		abort(); /* no memory, or no SHA-256: neither can be gone on with */
	EVP_MD_CTX_free(ctx);
}

void audit_hex(const unsigned char hash[AUDIT_HASH], char out[AUDIT_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < AUDIT_HASH; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[2 * AUDIT_HASH] = '\0';
}

bool audit_unhex(const char *text, unsigned char out[AUDIT_HASH])
{
	if (text == NULL || strlen(text) != 2 * AUDIT_HASH || text[strspn(text, "0123456789abcdef")] != '\0')
		return false;
	for (int i = 0; i < AUDIT_HASH; i++) {
		const char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return true;
}

/* --- RFC 8785 --- */

static void put_text(struct buf *out, const char *s, size_t len)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)s[i];
		static const char named[] = "btn_fr"; /* of 8 to 13 */

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c >= 8 && c <= 13 && c != 11)
			buf_addf(out, "\\%c", named[c - 8]);
		else if (c < 0x20)
			buf_addf(out, "\\u%04x", c);
		else
			buf_putc(out, (char)c);
	}
	buf_putc(out, '"');
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool put_value(struct buf *out, const json_t *v, int depth);

static bool put_object(struct buf *out, const json_t *o, int depth)
{
	const char **keys = xalloc((json_object_size(o) + 1) * sizeof *keys), *key;
	size_t n = 0;
	json_t *value;
	bool ok = true;

	json_object_foreach((json_t *)(uintptr_t)o, key, value)
		keys[n++] = key;
	qsort(keys, n, sizeof *keys, by_key);
	buf_putc(out, '{');
	for (size_t i = 0; ok && i < n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		put_text(out, keys[i], strlen(keys[i]));
		buf_putc(out, ':');
		ok = put_value(out, json_object_get(o, keys[i]), depth + 1);
	}
	buf_putc(out, '}');
	free(keys);
	return ok;
}

static bool put_value(struct buf *out, const json_t *v, int depth)
{
	if (json_is_object(v) && depth < 8)
		return put_object(out, v, depth);
	if (json_is_string(v))
		put_text(out, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v))
		buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		buf_puts(out, json_is_true(v) ? "true" : "false");
	else
		return false;
	return true;
}

char *audit_canonical(const json_t *object)
{
	struct buf out = BUF_INIT;
	char *text = put_value(&out, object, 0) ? xstrndup(buf_data(&out), buf_len(&out)) : NULL;

	buf_release(&out);
	return text;
}

char *audit_base64(const unsigned char *bytes, size_t len)
{
	char *text = xalloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

/* --- keys --- */

struct audit_key {
	EVP_PKEY *pkey;
	ENGINE *engine;                  /* whose key it is; NULL */
	char name[AUDIT_HEX + 8];
};

const char *audit_key_name(const struct audit_key *k)
{
	return k->name;
}

static EVP_PKEY *from_file(const char *file, bool is_private)
{
	BIO *in = BIO_new_file(file, "r");
	EVP_PKEY *k = NULL;

	if (in == NULL)
		return NULL;
	k = is_private ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
	if (k == NULL && !is_private && BIO_reset(in) == 0) { /* a certificate will do */
		X509 *crt = PEM_read_bio_X509(in, NULL, NULL, NULL);

		k = crt != NULL ? X509_get_pubkey(crt) : NULL;
		X509_free(crt);
	}
	BIO_free(in);
	return k;
}

static EVP_PKEY *from_provider(const char *uri, bool is_private)
{
	OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	EVP_PKEY *k = NULL;

	while (store != NULL && k == NULL && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);

		if (info == NULL)
			break;
		k = is_private ? OSSL_STORE_INFO_get1_PKEY(info) : OSSL_STORE_INFO_get1_PUBKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	OSSL_STORE_close(store);
	return k;
}

static EVP_PKEY *from_engine(const char *uri, bool is_private, ENGINE **engine)
{
	ENGINE *e;
	EVP_PKEY *k;

	ENGINE_load_builtin_engines();
	e = ENGINE_by_id("pkcs11");
	if (e == NULL || !ENGINE_init(e)) {
		ENGINE_free(e);
		return NULL;
	}
	k = is_private ? ENGINE_load_private_key(e, uri, NULL, NULL) : ENGINE_load_public_key(e, uri, NULL, NULL);
	if (k == NULL)
		ENGINE_finish(e);
	else
		*engine = e;
	ENGINE_free(e);
	return k;
}

static void name_key(struct audit_key *k)
{
	unsigned char *der = NULL, hash[AUDIT_HASH];
	const int len = i2d_PUBKEY(k->pkey, &der);
	char hex[AUDIT_HEX] = "";

	if (len > 0 && EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1)
		audit_hex(hash, hex);
	hex[32] = '\0';
	snprintf(k->name, sizeof k->name, "SHA256:%s", hex);
	OPENSSL_free(der);
}

struct audit_key *audit_key_open(const char *file, bool is_private, char *why)
{
	struct audit_key *k = xalloc(sizeof *k);

	if (strncmp(file, "pkcs11:", 7) == 0) {
		k->pkey = from_provider(file, is_private);
		if (k->pkey == NULL)
			k->pkey = from_engine(file, is_private, &k->engine);
	} else {
		k->pkey = from_file(file, is_private);
	}
	if (k->pkey == NULL) {
		snprintf(why, 256, "%s", strncmp(file, "pkcs11:", 7) == 0
			? "no such key in the token, or OpenSSL has neither a provider nor an engine for PKCS #11"
			: is_private ? "the file cannot be read, or holds no private key in PEM"
			: "the file cannot be read, or holds no public key or certificate in PEM");
		free(k);
		return NULL;
	}
	name_key(k);
	return k;
}

void audit_key_free(struct audit_key **key)
{
	struct audit_key *k = *key;

	*key = NULL;
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey);
	if (k->engine != NULL)
		ENGINE_finish(k->engine);
	free(k);
}

/* What is signed: unmistakable for anything else that the key may sign. */
static int statement(char out[192], int64_t seq, const unsigned char hash[AUDIT_HASH])
{
	char hex[AUDIT_HEX];

	audit_hex(hash, hex);
	return snprintf(out, 192, "sterna audit seal\n%" PRId64 "\n%s\n", seq, hex);
}

char *audit_sign(const struct audit_key *k, int64_t seq, const unsigned char hash[AUDIT_HASH])
{
	unsigned char signature[AUDIT_SIGNATURE_MAX];
	char text[192];
	const size_t len = (size_t)statement(text, seq, hash);
	size_t size = sizeof signature;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char *out = NULL;

	if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1
		&& EVP_DigestSign(ctx, signature, &size, (const unsigned char *)text, len) == 1)
		out = audit_base64(signature, size);
	EVP_MD_CTX_free(ctx);
	return out;
}

bool audit_signature_ok(const struct audit_key *k, int64_t seq, const unsigned char hash[AUDIT_HASH], const char *base64)
{
	unsigned char signature[AUDIT_SIGNATURE_MAX];
	const size_t len = strlen(base64);
	char text[192];
	EVP_MD_CTX *ctx;
	int size;
	bool ok;

	if (len == 0 || len % 4 != 0 || len / 4 * 3 > sizeof signature)
		return false;
	size = EVP_DecodeBlock(signature, (const unsigned char *)base64, (int)len);
	if (size < 0)
		return false;
	size -= (base64[len - 1] == '=') + (len > 1 && base64[len - 2] == '=');
	ctx = EVP_MD_CTX_new();
	ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1
		&& EVP_DigestVerify(ctx, signature, (size_t)size, (const unsigned char *)text, (size_t)statement(text, seq, hash)) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* --- checking --- */

static bool broken(struct audit_check *c, const struct audit_record *r, const char *what)
{
	snprintf(c->broken, sizeof c->broken, "record %" PRId64 " (id %.40s): %s", r->seq, r->id, what);
	return false;
}

/* A seal covers everything before it. before: NULL: not known. */
static bool check_seal(struct audit_check *c, const struct audit_record *r, const json_t *data,
	const unsigned char *before)
{
	const json_int_t seq = json_integer_value(json_object_get(data, "seq"));
	const char *hash = json_string_value(json_object_get(data, "hash"));
	const char *signature = json_string_value(json_object_get(data, "signature"));
	unsigned char signed_hash[AUDIT_HASH];

	if (!audit_unhex(hash, signed_hash) || signature == NULL || seq != r->seq - 1)
		return broken(c, r, "the seal is not for the record before it");
	if (before != NULL && memcmp(signed_hash, before, AUDIT_HASH) != 0)
		return broken(c, r, "the seal is for another history than the one that is here");
	c->seals++;
	if (c->key == NULL)
		return true;
	if (!audit_signature_ok(c->key, seq, signed_hash, signature))
		return broken(c, r, "the seal's signature does not hold");
	c->sealed = seq;
	return true;
}

bool audit_check_next(struct audit_check *c, const struct audit_record *r)
{
	unsigned char before[AUDIT_HASH], stored[AUDIT_HASH], hash[AUDIT_HASH];
	json_t *event;
	const char *type;
	bool ok = true, known = true;            /* known: what came before it */

	if (c->records > 0 && r->seq != c->last + 1) {
		snprintf(c->broken, sizeof c->broken, "record %" PRId64 " is missing (after %" PRId64 " comes %" PRId64 ")",
			c->last + 1, c->last, r->seq);
		return false;
	}
	memcpy(before, c->hash, AUDIT_HASH);
	if (c->records == 0) {
		c->first = r->seq;
		memset(before, 0, sizeof before);
		known = r->seq == 1 || audit_unhex(r->before, before);
	} else if (r->before != NULL && (!audit_unhex(r->before, stored) || memcmp(stored, before, AUDIT_HASH) != 0)) {
		return broken(c, r, "it does not follow the record before it");
	}
	/* The first one of what is left of a longer chain is taken as it is; the next seal is for it too. */
	if (known)
		audit_hash(before, r->event, strlen(r->event), hash);
	else if (!audit_unhex(r->hash, hash))
		return broken(c, r, "it has no hash");
	if (!audit_unhex(r->hash, stored) || memcmp(stored, hash, AUDIT_HASH) != 0)
		return broken(c, r, "its content is not what was hashed");
	event = json_loads(r->event, 0, NULL);
	type = json_string_value(json_object_get(event, "type"));
	if (type == NULL)
		ok = broken(c, r, "it is no event");
	else if (strcmp(type, AUDIT_SEALED) == 0)
		ok = check_seal(c, r, json_object_get(event, "data"), known ? before : NULL);
	json_decref(event);
	memcpy(c->hash, hash, AUDIT_HASH);
	c->last = r->seq;
	c->records++;
	return ok;
}
