/* audit_chain.h - what makes the audit's records tamper-evident: each hash covers the one before (SHA-256), and seals, which
 * are records themselves, sign a hash with a key that may live in an HSM. Also checks a chain, in the database or in what
 * was read from a topic. Needs nothing of a running server: the module and sternactl are made with it.
 *
 * hash(n) = SHA-256(hash(n-1) || record(n)); record: the CloudEvents object in the form of RFC 8785, without the
 * attributes chainhash, chainprev and chainseq. hash(0) is 32 zero bytes.
 * Threads: one at a time for each object. */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUDIT_HASH = 32, AUDIT_HEX = 65, AUDIT_SIGNATURE_MAX = 1024 };
#define AUDIT_SEALED "sterna.audit.sealed.v1"

void audit_hash(const unsigned char before[AUDIT_HASH], const char *record, size_t len, unsigned char out[AUDIT_HASH]);
void audit_hex(const unsigned char hash[AUDIT_HASH], char out[AUDIT_HEX]);
bool audit_unhex(const char *text, unsigned char out[AUDIT_HASH]);
/** An object of texts, whole numbers, truths and objects in the form of RFC 8785; new, free() it. NULL: something else */
char *audit_canonical(const json_t *object);
/** Bytes in base 64; new. */
char *audit_base64(const unsigned char *bytes, size_t len);

/* --- signing --- */

struct audit_key;                        /* a private key, or a public one */
/** file: PEM; "pkcs11:…": a key in a token, by OpenSSL's provider or engine pkcs11. why: what went wrong, 256 bytes.
 *  @return NULL: why says it */
struct audit_key *audit_key_open(const char *file, bool is_private, char *why);
void audit_key_free(struct audit_key **k);
/** "SHA256:" and the hash of the public key (SubjectPublicKeyInfo). */
const char *audit_key_name(const struct audit_key *k);
/** Signs "sterna audit seal" with the number and the hash of a record. @return new, base 64; NULL: the key does not */
char *audit_sign(const struct audit_key *k, int64_t seq, const unsigned char hash[AUDIT_HASH]);
bool audit_signature_ok(const struct audit_key *k, int64_t seq, const unsigned char hash[AUDIT_HASH], const char *base64);

/* --- checking --- */

/** A record as it is checked: from a row, or a message of the topic. */
struct audit_record {
	const char *event, *id;          /* event: without the chain's attributes, canonical */
	int64_t seq;
	const char *hash;                /* hexadecimal, as it is stored */
	const char *before;              /* that of the record before; NULL where it is not told */
};
struct audit_check {
	const struct audit_key *key;     /* NULL: signatures are not looked at */
	int64_t records, seals, first, last;
	unsigned char hash[AUDIT_HASH];
	int64_t sealed;                  /* everything up to here is under a signature that holds */
	char broken[512];                /* "" as long as the chain holds */
};
/** The next record, in the order of their numbers. @return false: c->broken names the record and what is wrong with it */
bool audit_check_next(struct audit_check *c, const struct audit_record *r);

#endif
