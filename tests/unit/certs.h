/* certs.h - certificates for tests, made on the spot: in files of a directory of their own. */
#ifndef STERNA_TEST_CERTS_H
#define STERNA_TEST_CERTS_H

#include "server/tls.h"

struct certs {
	char dir[64];
	char ca[96], a[96], b[96], other[96], sealed[96], password[96], expired[96], client[96], rsa[96];
};

/** a: a.example, b: b.example and *.b.example, each with its key in the same file; other: a key alone, of neither;
 *  sealed: a.example, its key needs the password in the file; expired: a.example of long ago; client: with the
 *  xmppAddr names romeo@a.example and juliet@a.example; rsa: a.example, RSA with SHA-384. All from ca. */
void certs_make(struct certs *c);
void certs_clear(struct certs *c);  /**< removes the directory */
/** A context with the hosts a.example and b.example; o: further options. */
enum sterna_result certs_context(const struct certs *c, const struct tls_options *o, struct tls_context **out);

#endif
