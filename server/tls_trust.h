/* tls_trust.h - what a server's certificate proves about a domain (RFC 6120 §13.7, RFC 9525): its chain and its names,
 * or a pin.
 *
 * Names count from the subjectAltName only: dNSName (also with a wildcard as its whole first label), SRVName
 * "_xmpp-server.domain" (RFC 4985), id-on-xmppAddr; never the common name. The purposes of a certificate are not
 * asked: authorities do not issue any for TLS clients nowadays.
 * Threads: a pin does not change once it is made, and is shared by all workers. */
#ifndef STERNA_TLS_TRUST_H
#define STERNA_TLS_TRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include "server/result.h"

/** How it was proven that the peer is that domain. */
enum tls_proof { TLS_PROOF_NONE, TLS_PROOF_PKIX, TLS_PROOF_DANE, TLS_PROOF_PINNED };
const char *tls_proof_name(enum tls_proof p);   /**< "none", "pkix" … */

/** A domain's certificates or authorities as the operator has them. */
struct tls_pin;
/** @param ca_file  PEM, or NULL
 *  @param digests  count SHA-256 digests of certificates (DER); copied
 *  @return STERNA_EINVAL the file cannot be used (logged) */
enum sterna_result tls_pin_new(const char *ca_file, const unsigned char (*digests)[32], size_t count,
	struct tls_pin **out) STERNA_CHECKED;
struct tls_pin *tls_pin_ref(struct tls_pin *p);
void tls_pin_unref(struct tls_pin **p);

/** Does the certificate name that domain (as a JID has it, U-labels)? */
bool tls_cert_names(X509 *cert, const char *domain);

/** @param domain  as a JID has it
 *  @param pin     NULL: none; else nothing but the pin counts
 *  @param[out] why  static: what it fails for, or what it holds by */
enum tls_proof tls_peer_proof(SSL *ssl, const char *domain, const struct tls_pin *pin, const char **why);

#endif
