/* jid.h - addresses local@domain/resource (RFC 7622), prepared and checked once, where they enter.
 * Threads: a jid never changes; hold and pass it anywhere through jid_ref(). */
#ifndef STERNA_JID_H
#define STERNA_JID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

struct jid;

/** Parse an address that a peer sent.
 *  @param text,len  bytes of UTF-8, no NUL needed; at most 3071 (RFC 7622 §3.1)
 *  @param[out] out  on STERNA_OK a new reference, give it back with jid_unref(); else untouched
 *  @return STERNA_EINVAL  no valid JID: answer <jid-malformed/> (RFC 6120 §8.3.3.8)
 *          STERNA_ELIMIT  a part is over 1023 bytes: same answer */
enum sterna_result jid_parse(const char *text, size_t len, struct jid **out) STERNA_CHECKED;
/** From parts that are not prepared yet; local and resource may be NULL. */
enum sterna_result jid_make(const char *local, const char *domain, const char *resource, struct jid **out)
	STERNA_CHECKED;
/** The bare JID of j; j itself (one more reference) if it has no resource. */
struct jid *jid_to_bare(const struct jid *j);
/** The domain alone as a JID. */
struct jid *jid_to_domain(const struct jid *j);
/** j's bare JID with that resource (prepared here; at most 1023 bytes). */
enum sterna_result jid_with_resource(const struct jid *j, const char *resource, struct jid **out) STERNA_CHECKED;

struct jid *jid_ref(const struct jid *j);   /**< thread-safe; NULL stays NULL */
void jid_unref(struct jid **j);             /**< one owner less; sets *j to NULL */

const char *jid_full(const struct jid *j);     /**< the whole, normal form; NUL-terminated, lives as long as j */
const char *jid_bare(const struct jid *j);     /**< without resource */
const char *jid_local(const struct jid *j);    /**< NULL if none */
const char *jid_domain(const struct jid *j);   /**< U-label form, lower case */
const char *jid_resource(const struct jid *j); /**< NULL if none */
uint32_t jid_hash(const struct jid *j);        /**< of the bare JID; decides the shard; same on all nodes */
bool jid_equal(const struct jid *a, const struct jid *b);      /**< full; NULL equals NULL */
bool jid_bare_equal(const struct jid *a, const struct jid *b);

/** PRECIS profiles on their own (RFC 8265): results NUL-terminated in out, at most size bytes with the NUL.
 *  STERNA_EINVAL: refused; STERNA_ELIMIT: longer than size, or the input than 3071 bytes; STERNA_EIO: ICU or
 *  libidn2 had no memory (so may jid_parse() and the like say). Unless STERNA_OK out holds anything. */
enum sterna_result precis_username(const char *s, size_t len, char *out, size_t size);  /**< UsernameCaseMapped + RFC 7622 §3.3.1 */
enum sterna_result precis_opaque(const char *s, size_t len, char *out, size_t size);    /**< OpaqueString: passwords, resources */
enum sterna_result precis_nickname(const char *s, size_t len, char *out, size_t size);  /**< RFC 8266, for comparison */
enum sterna_result precis_domain(const char *s, size_t len, char *out, size_t size);    /**< IDNA2008, IP literals allowed */
/** A prepared domain in A-labels, as DNS and certificates have it; IP literals stay as they are. Size 256 always does
 *  for what DNS can hold. @return STERNA_ELIMIT longer than that; STERNA_EINVAL, STERNA_EIO as above */
enum sterna_result idna_to_ascii(const char *domain, char *out, size_t size);

#endif
