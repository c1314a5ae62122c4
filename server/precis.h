/* precis.h - what the preparation of strings is made of: RFC 8264's classes, the contextual rules of RFC
 * 5892 and the Bidi Rule of RFC 5893. The profiles themselves stand in jid.h. For precis.c and idna.c.
 * Threads: any. */
#ifndef STERNA_PRECIS_H
#define STERNA_PRECIS_H

#include <stdbool.h>
#include <stdint.h>
#include <unicode/utypes.h>
#include "server/result.h"

/** The derived property of a code point (RFC 8264 §8). */
enum precis_property {
	PRECIS_PVALID,      /* in both classes */
	PRECIS_FREE_PVAL,   /* in the FreeformClass, not in the IdentifierClass */
	PRECIS_CONTEXT,     /* CONTEXTJ, CONTEXTO: valid where precis_context_ok() */
	PRECIS_DISALLOWED,
	PRECIS_UNASSIGNED,
};

enum { PRECIS_TEXT_MAX = 3071 }; /* code points, and bytes of input: what one JID can hold */

/** Code points on their way through a profile. */
struct precis_text {
	int32_t n;
	UChar32 cp[PRECIS_TEXT_MAX];
};

enum precis_property precis_property(UChar32 c);
/** Whether the contextual rule for t->cp[i] holds (RFC 5892 appendix A); t->cp[i] is PRECIS_CONTEXT. */
bool precis_context_ok(const struct precis_text *t, int32_t i);

/** Whether a code point is written from the right (RFC 5893 §1.4: R, AL or AN). */
bool precis_has_rtl(const struct precis_text *t);
/** The Bidi Rule (RFC 5893 §2), whatever the direction of t. */
bool precis_bidi_ok(const struct precis_text *t);

/** STERNA_EINVAL: not UTF-8 (RFC 3629: no surrogates, no long forms); STERNA_ELIMIT: over PRECIS_TEXT_MAX bytes. */
enum sterna_result precis_decode(const char *s, size_t len, struct precis_text *t) STERNA_CHECKED;
/** NUL-terminated; STERNA_ELIMIT if size bytes are not enough. */
enum sterna_result precis_encode(const struct precis_text *t, char *out, size_t size) STERNA_CHECKED;

/** The version of Unicode that decides, as "15.0". The normal form is stored and is the key of accounts:
 *  another version is a migration. */
const char *precis_unicode_version(void);

#endif
