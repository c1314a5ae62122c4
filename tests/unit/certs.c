/* certs.c - certificates for tests. */
#include "tests/unit/certs.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY (24 * 3600L)

static void must(int ok)
{
	if (ok != 1)
		abort();
}

static void add_san(X509 *cert, X509 *issuer, const char *san)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);

	must(ext != NULL && X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

static void add_ca(X509 *cert)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");

	must(ext != NULL && X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

static X509 *make(const char *name, const char *san, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, long days,
	const EVP_MD *md)
{
	static long serial = 1;
	X509 *cert = X509_new();

	must(X509_set_version(cert, X509_VERSION_3));
	must(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++));
	X509_gmtime_adj(X509_getm_notBefore(cert), (days < 0 ? 2 * days : -1) * DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert), days * DAY + 600);
	must(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const unsigned char *)name,
		-1, -1, 0));
	must(X509_set_issuer_name(cert, X509_get_subject_name(ca != NULL ? ca : cert)));
	must(X509_set_pubkey(cert, key));
	if (ca == NULL)
		add_ca(cert);
	if (san != NULL)
		add_san(cert, ca, san);
	must(X509_sign(cert, ca != NULL ? ca_key : key, md) > 0);
	return cert;
}

static void put(const char *file, X509 *cert, EVP_PKEY *key, const char *password)
{
	FILE *f = fopen(file, "we");

	must(f != NULL);
	if (cert != NULL)
		must(PEM_write_X509(f, cert));
	if (key != NULL)
		must(PEM_write_PrivateKey(f, key, password != NULL ? EVP_aes_128_cbc() : NULL,
			(const unsigned char *)password, password != NULL ? (int)strlen(password) : 0, NULL, NULL));
	fclose(f);
}

void certs_make(struct certs *c)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	EVP_PKEY *rsa_key = EVP_RSA_gen(2048);
	X509 *ca = make("Test CA", NULL, ca_key, NULL, NULL, 100, EVP_sha256());
	X509 *a = make("a.example", "DNS:a.example", key, ca, ca_key, 30, EVP_sha256());
	X509 *b = make("b.example", "DNS:b.example,DNS:*.b.example", key, ca, ca_key, 60, EVP_sha512());
	X509 *old = make("a.example", "DNS:a.example", key, ca, ca_key, -30, EVP_sha256());
	X509 *rsa = make("a.example", "DNS:a.example", rsa_key, ca, ca_key, 30, EVP_sha384());
	X509 *client = make("romeo", "otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@a.example,"
		"otherName:1.3.6.1.5.5.7.8.5;UTF8:juliet@a.example,email:x@a.example,DNS:s2s.example", key, ca, ca_key, 30,
		EVP_sha256());
	FILE *f;

	strcpy(c->dir, "/tmp/sterna-certs-XXXXXX");
	must(mkdtemp(c->dir) != NULL);
#define NAME(field) snprintf(c->field, sizeof c->field, "%s/" #field, c->dir)
	NAME(ca), NAME(a), NAME(b), NAME(other), NAME(sealed), NAME(password), NAME(expired), NAME(client), NAME(rsa);
#undef NAME
	put(c->ca, ca, NULL, NULL);
	put(c->a, a, key, NULL);
	put(c->b, b, key, NULL);
	put(c->other, NULL, other, NULL);
	put(c->sealed, a, key, "open sesame");
	put(c->expired, old, key, NULL);
	put(c->client, client, key, NULL);
	put(c->rsa, rsa, rsa_key, NULL);
	f = fopen(c->password, "we");
	must(f != NULL && fputs("open sesame\n", f) >= 0);
	fclose(f);
	X509_free(ca), X509_free(a), X509_free(b), X509_free(old), X509_free(rsa), X509_free(client);
	EVP_PKEY_free(ca_key), EVP_PKEY_free(key), EVP_PKEY_free(other), EVP_PKEY_free(rsa_key);
}

void certs_clear(struct certs *c)
{
	const char *const files[] = { c->ca, c->a, c->b, c->other, c->sealed, c->password, c->expired, c->client, c->rsa };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(files[i]);
	rmdir(c->dir);
}

enum sterna_result certs_context(const struct certs *c, const struct tls_options *o, struct tls_context **out)
{
	const struct tls_host_options hosts[] = { { .name = "a.example", .cert_file = c->a },
		{ .name = "b.example", .cert_file = c->b } };
	struct tls_options all = *o;

	if (all.count == 0) {
		all.hosts = hosts;
		all.count = 2;
	}
	if (all.now_s == 0)
		all.now_s = (int64_t)time(NULL);
	return tls_context_new(&all, out);
}
