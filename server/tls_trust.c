/* tls_trust.c - names in certificates, and pins. */
#include "server/tls_trust.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "server/jid.h"
#include "server/log.h"
#include "server/mem.h"
#include "server/tls.h"

enum { NAMES_MAX = 256, PIN_DEPTH = 8, DOMAIN_MAX = 256 };

struct tls_pin {
	atomic_uint refs;
	X509_STORE *store;
	unsigned char (*digests)[32];
	size_t count;
};

const char *tls_proof_name(enum tls_proof p)
{
	static const char *const names[] = { "none", "pkix", "dane", "pinned" };

	return names[p];
}

/* --- pins --- */

enum sterna_result tls_pin_new(const char *ca_file, const unsigned char (*digests)[32], size_t count,
	struct tls_pin **out)
{
	struct tls_pin *p = xalloc(sizeof *p);

	atomic_init(&p->refs, 1);
	p->count = count;
	p->digests = xalloc((count + 1) * sizeof *p->digests);
	memcpy(p->digests, digests, count * sizeof *p->digests);
	if (ca_file != NULL) {
		p->store = X509_STORE_new();
		if (p->store == NULL || X509_STORE_load_file(p->store, ca_file) != 1) {
			log_error("tls", "cannot use authorities; is it PEM, and readable?", "file", ca_file, "error",
				tls_error_text());
			tls_pin_unref(&p);
			return STERNA_EINVAL;
		}
	}
	*out = p;
	return STERNA_OK;
}

struct tls_pin *tls_pin_ref(struct tls_pin *p)
{
	if (p != NULL)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void tls_pin_unref(struct tls_pin **pin)
{
	struct tls_pin *p = *pin;

	*pin = NULL;
	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	X509_STORE_free(p->store);
	free(p->digests);
	free(p);
}

/* --- names --- */

/* A string of the certificate: no NUL inside, not too long. */
static bool plain(const ASN1_STRING *s, char *out, size_t size)
{
	const int len = s != NULL ? ASN1_STRING_length(s) : 0;
	const char *text = s != NULL ? (const char *)ASN1_STRING_get0_data(s) : NULL;

	if (len <= 0 || (size_t)len >= size || memchr(text, '\0', (size_t)len) != NULL)
		return false;
	memcpy(out, text, (size_t)len);
	out[len] = '\0';
	return true;
}

/* RFC 9525 §6.3: letters of either case; a wildcard is the whole first label, and stands for one label. */
static bool dns_matches(const char *pattern, const char *ascii)
{
	const char *rest;

	if (strncmp(pattern, "*.", 2) != 0)
		return strcasecmp(pattern, ascii) == 0;
	rest = strchr(ascii, '.');
	return rest != NULL && rest != ascii && strchr(pattern + 2, '.') != NULL && strcasecmp(pattern + 1, rest) == 0;
}

static bool other_matches(const OTHERNAME *other, const char *domain, const char *ascii)
{
	static const char srv[] = "_xmpp-server.";
	const int nid = OBJ_obj2nid(other->type_id);
	char text[DOMAIN_MAX * 4], prepared[DOMAIN_MAX * 4];

	if (other->value == NULL)
		return false;
	if (nid == NID_SRVName && other->value->type == V_ASN1_IA5STRING && plain(other->value->value.ia5string, text, sizeof text))
		return strncasecmp(text, srv, sizeof srv - 1) == 0 && strcasecmp(text + sizeof srv - 1, ascii) == 0;
	if (nid == NID_XmppAddr && other->value->type == V_ASN1_UTF8STRING
		&& plain(other->value->value.utf8string, text, sizeof text))
		return precis_domain(text, strlen(text), prepared, sizeof prepared) == STERNA_OK && strcmp(prepared, domain) == 0;
	return false;
}

bool tls_cert_names(X509 *cert, const char *domain)
{
	char ascii[DOMAIN_MAX], text[DOMAIN_MAX];
	bool found = false;

	if (idna_to_ascii(domain, ascii, sizeof ascii) != STERNA_OK)
		return false;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names) && i < NAMES_MAX; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			found = plain(n->d.dNSName, text, sizeof text) && dns_matches(text, ascii);
		else if (n->type == GEN_OTHERNAME)
			found = other_matches(n->d.otherName, domain, ascii);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return found;
}

/* --- the proof --- */

/* The chain as the peer has sent it, checked against the pin's authorities alone. */
static long check_chain(SSL *ssl, X509 *cert, X509_STORE *store)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	long result = X509_V_ERR_UNSPECIFIED;

	if (ctx != NULL && X509_STORE_CTX_init(ctx, store, cert, SSL_get_peer_cert_chain(ssl)) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

		X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
		X509_VERIFY_PARAM_set_depth(param, PIN_DEPTH);
		result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
		if (result == X509_V_OK && X509_STORE_CTX_get_error(ctx) != X509_V_OK)
			result = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return result;
}

static enum tls_proof pinned(SSL *ssl, X509 *cert, const char *domain, const struct tls_pin *pin, const char **why)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	for (size_t i = 0; i < pin->count && X509_digest(cert, EVP_sha256(), digest, &len) == 1; i++)
		if (len == sizeof pin->digests[i] && memcmp(digest, pin->digests[i], len) == 0) {
			*why = "its fingerprint is pinned";
			return TLS_PROOF_PINNED;
		}
	*why = "its fingerprint is not one of the route's";
	if (pin->store == NULL)
		return TLS_PROOF_NONE;
	const long result = check_chain(ssl, cert, pin->store);

	if (result != X509_V_OK) {
		*why = X509_verify_cert_error_string(result);
		return TLS_PROOF_NONE;
	}
	if (!tls_cert_names(cert, domain)) {
		*why = "the certificate does not name the domain";
		return TLS_PROOF_NONE;
	}
	*why = "its authority is pinned";
	return TLS_PROOF_PINNED;
}

enum tls_proof tls_peer_proof(SSL *ssl, const char *domain, const struct tls_pin *pin, const char **why)
{
	X509 *cert = ssl != NULL && SSL_is_init_finished(ssl) ? SSL_get0_peer_certificate(ssl) : NULL;

	if (cert == NULL) {
		*why = "no certificate was shown";
		return TLS_PROOF_NONE;
	}
	if (pin != NULL)
		return pinned(ssl, cert, domain, pin, why);
	if (SSL_get_verify_result(ssl) != X509_V_OK) {
		*why = X509_verify_cert_error_string(SSL_get_verify_result(ssl));
		return TLS_PROOF_NONE;
	}
	if (SSL_get0_dane_authority(ssl, NULL, NULL) >= 0) {
		*why = "it is what DNSSEC says (DANE)";
		return TLS_PROOF_DANE;
	}
	if (!tls_cert_names(cert, domain)) {
		*why = "the certificate does not name the domain";
		return TLS_PROOF_NONE;
	}
	*why = "the certificate holds";
	return TLS_PROOF_PKIX;
}
