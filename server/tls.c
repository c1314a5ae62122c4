/* tls.c - contexts of OpenSSL: files, rules, choice by SNI and ALPN. */
#include "server/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "server/log.h"
#include "server/mem.h"
#include "server/tls_ticket.h"

enum { PASSWORD_MAX = 1024, PEER_CHAIN_DEPTH = 8, PEER_CHAIN_BYTES = 65536 };

struct tls_host {
	char *name;
	SSL_CTX *ctx;
	int64_t not_after;
};

struct tls_context {
	atomic_uint refs;
	struct tls_host *hosts;
	size_t count;
	struct tls_tickets *tickets;
};

const char *tls_error_text(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return text != NULL ? text : "unknown error";
}

/* --- choice by what the client says first --- */

/* An exact name, or one that a certificate is good for (a service below the host's domain); else NULL. */
static struct tls_host *find_host(struct tls_context *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcasecmp(c->hosts[i].name, name) == 0)
			return &c->hosts[i];
	for (size_t i = 0; i < c->count; i++) {
		X509 *cert = SSL_CTX_get0_certificate(c->hosts[i].ctx);

		if (cert != NULL && X509_check_host(cert, name, 0, 0, NULL) == 1)
			return &c->hosts[i];
	}
	return NULL;
}

/* A name that nobody has gets the first host's certificate: the stream's to= decides later (RFC 6120 §4.7.2), and
 * many clients send the name of the machine here. */
static int on_sni(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!SSL_is_server(ssl))
		return SSL_TLSEXT_ERR_OK; /* OpenSSL asks on the connecting side too */
	struct tls_host *host = name != NULL ? find_host(arg, name) : NULL;

	if (host == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_get_SSL_CTX(ssl) != host->ctx)
		SSL_set_SSL_CTX(ssl, host->ctx);
	return SSL_TLSEXT_ERR_OK;
}

/* XEP-0368 §4: whoever offers protocols and not ours means another service. Without an offer all is well. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
	unsigned in_len, void *arg)
{
	const char *ours = SSL_get_app_data(ssl);
	const size_t len = ours != NULL ? strlen(ours) : 0;

	(void)arg;
	if (ours == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (unsigned at = 0; at < in_len && in_len - at > in[at]; at += 1u + in[at]) {
		if (in[at] != len || memcmp(in + at + 1, ours, len) != 0)
			continue;
		*out = in + at + 1;
		*out_len = in[at];
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A bad certificate does not end the handshake: who shows it may still log in another way. The result is kept. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

/* --- files --- */

static bool is_readable(const char *what, const char *file)
{
	FILE *f = fopen(file, "re");

	if (f == NULL) {
		log_error("tls", "cannot read file", "what", what, "file", file, "error", strerror(errno));
		return false;
	}
	fclose(f);
	return true;
}

/* The first line of the file; false: logged. */
static bool read_password(const char *file, char out[PASSWORD_MAX])
{
	FILE *f = is_readable("password", file) ? fopen(file, "re") : NULL;

	if (f == NULL)
		return false;
	const bool ok = fgets(out, PASSWORD_MAX, f) != NULL;

	fclose(f);
	if (!ok) {
		log_error("tls", "password file is empty", "file", file);
		return false;
	}
	out[strcspn(out, "\r\n")] = '\0';
	return true;
}

/* Never ask on the terminal: no password is an error. */
static int give_password(char *out, int size, int writing, void *arg)
{
	const char *password = arg;
	const size_t len = password != NULL ? strlen(password) : 0;

	(void)writing;
	if (password == NULL || len > (size_t)size)
		return -1;
	memcpy(out, password, len);
	return (int)len;
}

static EVP_PKEY *read_key(const char *file, const char *password_file)
{
	char password[PASSWORD_MAX] = "";
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;

	if (password_file != NULL && !read_password(password_file, password))
		goto out;
	if (!is_readable("key", file))
		goto out;
	bio = BIO_new_file(file, "r");
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, give_password, password_file != NULL ? password : NULL);
	if (key == NULL)
		log_error("tls", "cannot use key; is it PEM, and its password right?", "file", file, "error",
			tls_error_text());
out:
	OPENSSL_cleanse(password, sizeof password);
	BIO_free(bio);
	return key;
}

static int64_t unix_time(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* What an operator should know; no reason not to start. */
static void check_certificate(const struct tls_host_options *o, X509 *cert, int64_t now_s)
{
	if (unix_time(X509_get0_notAfter(cert)) < now_s)
		log_warning("tls", "certificate has expired", "host", o->name, "file", o->cert_file);
	if (unix_time(X509_get0_notBefore(cert)) > now_s)
		log_warning("tls", "certificate is not valid yet", "host", o->name, "file", o->cert_file);
	if (X509_check_host(cert, o->name, 0, 0, NULL) != 1)
		log_warning("tls", "certificate is not for this host", "host", o->name, "file", o->cert_file);
}

static bool load_certificate(struct tls_host *host, const struct tls_host_options *o, int64_t now_s)
{
	const char *key_file = o->key_file != NULL ? o->key_file : o->cert_file;
	EVP_PKEY *key = NULL;
	bool ok = false;

	if (!is_readable("certificate", o->cert_file))
		return false;
	if (SSL_CTX_use_certificate_chain_file(host->ctx, o->cert_file) != 1) {
		log_error("tls", "cannot use certificate; is it PEM?", "host", o->name, "file", o->cert_file, "error",
			tls_error_text());
		return false;
	}
	X509 *cert = SSL_CTX_get0_certificate(host->ctx);

	key = read_key(key_file, o->password_file);
	if (key == NULL)
		goto out;
	if (X509_check_private_key(cert, key) != 1) {
		ERR_clear_error();
		log_error("tls", "key does not belong to certificate", "host", o->name, "file", key_file,
			"certificate", o->cert_file);
		goto out;
	}
	if (SSL_CTX_use_PrivateKey(host->ctx, key) != 1) {
		log_error("tls", "cannot use key", "host", o->name, "file", key_file, "error", tls_error_text());
		goto out;
	}
	check_certificate(o, cert, now_s);
	const int64_t not_after = unix_time(X509_get0_notAfter(cert));

	if (not_after < host->not_after)
		host->not_after = not_after;
	ok = true;
out:
	EVP_PKEY_free(key);
	return ok;
}

/* --- rules --- */

static bool set_ciphers(SSL_CTX *ctx, const struct tls_options *o)
{
	static const char ecdhe_aead[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!aNULL";
	const char *list = o->ciphers != NULL ? o->ciphers : ecdhe_aead;

	if (SSL_CTX_set_cipher_list(ctx, list) == 1
		&& (o->ciphersuites == NULL || SSL_CTX_set_ciphersuites(ctx, o->ciphersuites) == 1)
		&& SSL_CTX_set1_groups_list(ctx, o->groups != NULL ? o->groups : "X25519:P-256") == 1)
		return true;
	log_error("tls", "no usable cipher or group in a list", "ciphers", list, "ciphersuites", o->ciphersuites, "groups",
		o->groups, "error", tls_error_text());
	return false;
}

static bool set_issuers(SSL_CTX *ctx, const struct tls_options *o)
{
	if (o->ca_file == NULL && !o->system_cas)
		return true;
	if (o->ca_file != NULL) {
		if (!is_readable("issuers", o->ca_file))
			return false;
		if (SSL_CTX_load_verify_file(ctx, o->ca_file) != 1) {
			log_error("tls", "cannot use issuers; is it PEM?", "file", o->ca_file, "error", tls_error_text());
			return false;
		}
	}
	if (o->system_cas && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		log_error("tls", "cannot use the system's issuers", "error", tls_error_text());
		return false;
	}
	if (o->any_purpose)
		X509_VERIFY_PARAM_set_purpose(SSL_CTX_get0_param(ctx), X509_PURPOSE_ANY);
	/* No list of issuers is sent: it would be long, and clients that have one certificate need none. */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	SSL_CTX_set_verify_depth(ctx, PEER_CHAIN_DEPTH);
	return true;
}

static SSL_CTX *new_ctx(struct tls_context *c, const struct tls_options *o)
{
	static const unsigned char id[] = "sterna";
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (ctx == NULL) {
		log_error("tls", "no TLS", "error", tls_error_text());
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, o->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
			SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_ENABLE_PARTIAL_WRITE);
	/* A record comes with one read of the socket, not its header and its body with one each (conn.c, read_in). */
	SSL_CTX_set_read_ahead(ctx, 1);
	/* One record per SSL_read: a flood of key updates must come back to the loop between two of them. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_BYTES);
	if (SSL_CTX_dane_enable(ctx) != 1) {
		log_error("tls", "no DANE", "error", tls_error_text());
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, on_sni);
	SSL_CTX_set_tlsext_servername_arg(ctx, c);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (c->tickets != NULL) {
		SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
		tls_tickets_use(c->tickets, ctx);
	}
	if (!set_ciphers(ctx, o) || !set_issuers(ctx, o)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* The host of that name, made if it is new. NULL: logged. */
static struct tls_host *get_host(struct tls_context *c, const struct tls_options *o, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcasecmp(c->hosts[i].name, name) == 0)
			return &c->hosts[i];
	SSL_CTX *ctx = new_ctx(c, o);

	if (ctx == NULL)
		return NULL;
	c->hosts[c->count] = (struct tls_host){ xstrdup(name), ctx, INT64_MAX };
	return &c->hosts[c->count++];
}

/* --- life --- */

enum sterna_result tls_context_new(const struct tls_options *o, struct tls_context **out)
{
	struct tls_context *c = xalloc(sizeof *c);

	ERR_clear_error();
	atomic_init(&c->refs, 1);
	c->hosts = xalloc(o->count * sizeof *c->hosts);
	if (o->tickets)
		c->tickets = tls_tickets_new();
	if (o->count == 0)
		log_error("tls", "no host has a certificate");
	for (size_t i = 0; i < o->count; i++) {
		struct tls_host *host = get_host(c, o, o->hosts[i].name);

		if (host == NULL || !load_certificate(host, &o->hosts[i], o->now_s)) {
			tls_context_unref(&c);
			return STERNA_EINVAL;
		}
	}
	if (o->count == 0) {
		tls_context_unref(&c);
		return STERNA_EINVAL;
	}
	*out = c;
	return STERNA_OK;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	if (c != NULL)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void tls_context_unref(struct tls_context **cp)
{
	struct tls_context *c = *cp;

	*cp = NULL;
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < c->count; i++) {
		SSL_CTX_free(c->hosts[i].ctx);
		free(c->hosts[i].name);
	}
	tls_tickets_free(&c->tickets);
	free(c->hosts);
	free(c);
}

int64_t tls_context_not_after(const struct tls_context *c, const char *host)
{
	int64_t earliest = INT64_MAX;

	for (size_t i = 0; i < c->count; i++)
		if ((host == NULL || strcasecmp(c->hosts[i].name, host) == 0) && c->hosts[i].not_after < earliest)
			earliest = c->hosts[i].not_after;
	return earliest;
}

int tls_context_days_left(const struct tls_context *c, const char *host, int64_t now_s)
{
	const int64_t end = tls_context_not_after(c, host), left = end - now_s, day = 86400;

	if (end == INT64_MAX || left / day > INT32_MAX)
		return INT32_MAX;
	return (int)(left >= 0 ? left / day : -((-left + day - 1) / day));
}

static SSL *new_ssl(const struct tls_host *host, int fd)
{
	ERR_clear_error();
	SSL *ssl = SSL_new(host->ctx);

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1)
		return ssl;
	SSL_free(ssl);
	log_error("tls", "cannot begin", "error", tls_error_text());
	return NULL;
}

SSL *tls_accept_new(struct tls_context *c, int fd, const char *alpn, const char *host)
{
	const struct tls_host *shown = host != NULL ? find_host(c, host) : NULL;
	SSL *ssl = new_ssl(shown != NULL ? shown : &c->hosts[0], fd);

	if (ssl == NULL)
		return NULL;
	if (alpn != NULL)
		SSL_set_app_data(ssl, (void *)(uintptr_t)alpn);
	SSL_set_accept_state(ssl);
	return ssl;
}

SSL *tls_connect_new(struct tls_context *c, int fd, const char *local, const char *remote, const char *alpn)
{
	const struct tls_host *host = find_host(c, local);
	SSL *ssl = new_ssl(host != NULL ? host : &c->hosts[0], fd);
	unsigned char offer[64];

	if (ssl == NULL)
		return NULL;
	SSL_set_tlsext_host_name(ssl, remote);
	if (alpn != NULL && strlen(alpn) < sizeof offer) {
		offer[0] = (unsigned char)strlen(alpn);
		memcpy(offer + 1, alpn, offer[0]);
		SSL_set_alpn_protos(ssl, offer, offer[0] + 1u);
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
