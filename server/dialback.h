/* dialback.h - the keys of server dialback (XEP-0220, XEP-0185).
 *
 * A key is HMAC-SHA-256 over the receiving domain, the originating domain and the stream's id, each with its length
 * before it, so that no two triples give the same input; the secret is the server's, the same on all nodes and after a
 * restart. Threads: any. */
#ifndef STERNA_DIALBACK_H
#define STERNA_DIALBACK_H

#include <stdbool.h>
#include <stddef.h>
#include "server/result.h"

enum { DIALBACK_KEY_SIZE = 65 }; /* hexadecimal, with NUL */

void dialback_key(const unsigned char secret[32], const char *receiving, const char *originating, const char *stream_id,
	char out[DIALBACK_KEY_SIZE]);
/** Did we make that key? In the same time for every wrong one of the right length. */
bool dialback_is_ours(const unsigned char secret[32], const char *receiving, const char *originating,
	const char *stream_id, const char *key);

#endif
