/* tls.h - certificates and rules of TLS for a set of hosts (RFC 7590, RFC 9325), and what a TLS connection can
 * tell: channel binding, the peer's certificate.
 *
 * TLS 1.3, or 1.2 with ECDHE and AEAD; no renegotiation, compression, early data; a host's certificate is chosen
 * by SNI. A reload makes a new context; connections keep the one they began with.
 * Threads: a context never changes and is shared by all workers. An SSL belongs to its connection's. */
#ifndef STERNA_TLS_H
#define STERNA_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

struct tls_context;

/** A host that answers. Give one host two entries to serve two kinds of key (ECDSA and RSA). */
struct tls_host_options {
	const char *name;            /* A-label form ("xn--…") */
	const char *cert_file;       /* PEM: the host's certificate, then its chain */
	const char *key_file;        /* PEM; NULL: also in cert_file */
	const char *password_file;   /* of the key: its first line; NULL: none */
};

struct tls_options {
	const struct tls_host_options *hosts;   /* the first answers also for names that nobody has */
	size_t count;
	const char *ca_file;         /* peers are asked for a certificate, these issuers are trusted; NULL: none */
	bool system_cas;             /* peers are asked, the system's issuers are trusted (also) */
	bool any_purpose;            /* s2s: a peer's certificate may be one for servers only */
	bool tickets;                /* TLS session tickets; their keys change every 12 hours */
	bool only_1_3;
	const char *ciphersuites;    /* for TLS 1.3; NULL: OpenSSL's */
	const char *groups;          /* of the key exchange; NULL: X25519, P-256 */
	const char *ciphers;         /* OpenSSL's list for TLS 1.2; NULL: ECDHE with AEAD */
	int64_t now_s;               /* Unix time: certificates outside their validity get a warning */
};

/** Reads all files. What is wrong is logged with file and reason; a certificate that has expired or is not for
 *  its host is a warning, no error.
 *  @return STERNA_EINVAL  a file cannot be used; *out is untouched (at a reload: keep the old one) */
enum sterna_result tls_context_new(const struct tls_options *o, struct tls_context **out) STERNA_CHECKED;
struct tls_context *tls_context_ref(struct tls_context *c);  /**< thread-safe; NULL stays NULL */
void tls_context_unref(struct tls_context **c);

/** Unix time at which the host's certificate ends (with two, the earlier); NULL: the earliest of all hosts.
 *  INT64_MAX if there is no such host. */
int64_t tls_context_not_after(const struct tls_context *c, const char *host);
/** Whole days left, for a metric; negative: it has expired. */
int tls_context_days_left(const struct tls_context *c, const char *host, int64_t now_s);

/** New connection objects, on a connected non-blocking socket; NULL only without memory (logged).
 *  @param alpn  the protocol of a direct TLS port ("xmpp-client", "xmpp-server"; static): a client that offers
 *               others only is refused (XEP-0368 §4). NULL (STARTTLS): what is offered is ignored.
 *  @param host  whose certificate is shown to a client without SNI; NULL: the first host's */
SSL *tls_accept_new(struct tls_context *c, int fd, const char *alpn, const char *host);
/** As the one who connects: local names the certificate to show if asked, remote the peer (SNI, A-label). The peer's
 *  certificate is checked and the result kept, but never ends the handshake: see tls_peer_is_verified(). */
SSL *tls_connect_new(struct tls_context *c, int fd, const char *local, const char *remote, const char *alpn);

/** RFC 9266 "tls-exporter", RFC 5929 "tls-server-end-point" (of the server's certificate) and "tls-unique" (also on
 *  TLS 1.3, for clients that know nothing else; not to be announced).
 *  @return STERNA_ENOTFOUND not to be had: TLS 1.2 without extended master secret, a certificate without hash;
 *          STERNA_ELIMIT size is too small (64 always do) */
enum sterna_result tls_channel_binding(SSL *ssl, const char *type, unsigned char *out, size_t size, size_t *len);
bool tls_peer_is_verified(SSL *ssl);                 /**< there is a certificate, and its chain is trusted */
/** New array of new strings, NULL at the end: the verified certificate's id-on-xmppAddr names (RFC 6120
 *  §13.7.1.4); empty if there is none. At most 16. */
char **tls_peer_xmpp_addrs(SSL *ssl);
void tls_names_free(char ***names);
/** What OpenSSL's error queue says first; empties it. Static. */
const char *tls_error_text(void);

#endif
