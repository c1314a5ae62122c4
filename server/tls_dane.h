/* tls_dane.h - TLSA records for a connection (RFC 6698, RFC 7671, RFC 7673): the certificate that DNSSEC says.
 * Threads: one at a time. */
#ifndef STERNA_TLS_DANE_H
#define STERNA_TLS_DANE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_dane;

/** @param target  the machine's name, in A-labels, under which the records were found */
struct tls_dane *tls_dane_new(const char *target);
/** One record; what OpenSSL cannot use is left out then. */
void tls_dane_add(struct tls_dane *d, uint8_t usage, uint8_t selector, uint8_t matching, const unsigned char *data, size_t len);
void tls_dane_free(struct tls_dane **d);
/** Before the handshake of a connecting SSL. With records that can be used nothing else counts; a certificate may be for
 *  the domain as well as for the target (RFC 7673 §4). Without any it is as if there were none. */
bool tls_dane_use(const struct tls_dane *d, SSL *ssl, const char *domain);

#endif
