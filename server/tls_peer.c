/* tls_peer.c - what an established TLS connection tells: channel binding, the peer's certificate. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "server/tls.h"

enum { EXPORTER_SIZE = 32, XMPP_ADDRS_MAX = 16, XMPP_ADDR_MAX = 3071 };

/* RFC 9266 §2; §3: with TLS 1.2 only where the extended master secret makes it unique to the connection. */
static enum sterna_result exporter(SSL *ssl, unsigned char *out, size_t size, size_t *len)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return STERNA_ENOTFOUND;
	if (size < EXPORTER_SIZE)
		return STERNA_ELIMIT;
	if (SSL_export_keying_material(ssl, out, EXPORTER_SIZE, label, sizeof label - 1, (const unsigned char *)"",
		0, 1) != 1) {
		ERR_clear_error();
		return STERNA_ENOTFOUND;
	}
	*len = EXPORTER_SIZE;
	return STERNA_OK;
}

/* RFC 5929 §4.1: the hash of the server's certificate, by its signature's hash; MD5 and SHA-1 become SHA-256. */
static enum sterna_result server_end_point(SSL *ssl, unsigned char *out, size_t size, size_t *len)
{
	X509 *cert = SSL_is_server(ssl) ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned hash_len = 0;
	int nid = NID_undef;

	if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1 || nid == NID_undef)
		goto none;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	const EVP_MD *md = EVP_get_digestbynid(nid);

	if (md == NULL || X509_digest(cert, md, hash, &hash_len) != 1)
		goto none;
	if (hash_len > size)
		return STERNA_ELIMIT;
	memcpy(out, hash, hash_len);
	*len = hash_len;
	return STERNA_OK;
none:
	ERR_clear_error();
	return STERNA_ENOTFOUND;
}

/* The client's first Finished (RFC 5929 §3). Not defined for TLS 1.3, so we never announce it; there it is a MAC under
 * this handshake's own secret just as well, and clients of Python's ssl module (slixmpp) know nothing else. */
static enum sterna_result unique(SSL *ssl, unsigned char *out, size_t size, size_t *len)
{
	if (SSL_session_reused(ssl) != 0 || (SSL_version(ssl) == TLS1_2_VERSION && SSL_get_extms_support(ssl) != 1))
		return STERNA_ENOTFOUND;
	const size_t n = SSL_is_server(ssl) ? SSL_get_peer_finished(ssl, out, size) : SSL_get_finished(ssl, out, size);

	if (n > size)
		return STERNA_ELIMIT;
	*len = n;
	return n > 0 ? STERNA_OK : STERNA_ENOTFOUND;
}

enum sterna_result tls_channel_binding(SSL *ssl, const char *type, unsigned char *out, size_t size, size_t *len)
{
	if (ssl == NULL || !SSL_is_init_finished(ssl))
		return STERNA_ENOTFOUND;
	if (strcmp(type, "tls-exporter") == 0)
		return exporter(ssl, out, size, len);
	if (strcmp(type, "tls-server-end-point") == 0)
		return server_end_point(ssl, out, size, len);
	if (strcmp(type, "tls-unique") == 0)
		return unique(ssl, out, size, len);
	return STERNA_ENOTFOUND;
}

bool tls_peer_is_verified(SSL *ssl)
{
	return ssl != NULL && SSL_is_init_finished(ssl) && SSL_get0_peer_certificate(ssl) != NULL &&
		SSL_get_verify_result(ssl) == X509_V_OK;
}

/* An id-on-xmppAddr that is a plausible address: UTF-8 string, no NUL inside. New, or NULL. */
static char *xmpp_addr(const GENERAL_NAME *name)
{
	if (name->type != GEN_OTHERNAME || OBJ_obj2nid(name->d.otherName->type_id) != NID_XmppAddr)
		return NULL;
	const ASN1_TYPE *value = name->d.otherName->value;

	if (value == NULL || value->type != V_ASN1_UTF8STRING)
		return NULL;
	const char *text = (const char *)ASN1_STRING_get0_data(value->value.utf8string);
	const int len = ASN1_STRING_length(value->value.utf8string);

	if (len <= 0 || len > XMPP_ADDR_MAX || memchr(text, '\0', (size_t)len) != NULL)
		return NULL;
	return xstrndup(text, (size_t)len);
}

char **tls_peer_xmpp_addrs(SSL *ssl)
{
	char **out = xalloc((XMPP_ADDRS_MAX + 1) * sizeof *out);
	size_t n = 0;

	if (!tls_peer_is_verified(ssl))
		return out;
	GENERAL_NAMES *names = X509_get_ext_d2i(SSL_get0_peer_certificate(ssl), NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && n < XMPP_ADDRS_MAX; i++) {
		out[n] = xmpp_addr(sk_GENERAL_NAME_value(names, i));
		if (out[n] != NULL)
			n++;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return out;
}

void tls_names_free(char ***names)
{
	for (char **at = *names; at != NULL && *at != NULL; at++)
		free(*at);
	free(*names);
	*names = NULL;
}
