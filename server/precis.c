/* precis.c - the profiles: UsernameCaseMapped and OpaqueString (RFC 8265), Nickname (RFC 8266).
 *
 * A string goes through a profile's rules in the order of RFC 8264 §7, and again until they change
 * nothing (at most four times, as RFC 8266 §2.3 has it), so that what is stored is what a second
 * preparation gives. ASCII that needs no rule goes by without ICU. */
#include "server/precis.h"
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include "server/jid.h"
#include "server/utf.h"

enum { ROUNDS_MAX = 4, LOWER_MAX = 8 };

typedef enum sterna_result round_fn(struct precis_text *t);
typedef const UNormalizer2 *form_fn(UErrorCode *err);

enum sterna_result precis_decode(const char *s, size_t len, struct precis_text *t)
{
	if (len > PRECIS_TEXT_MAX)
		return STERNA_ELIMIT;
	t->n = 0;
	for (int32_t i = 0; i < (int32_t)len;) {
		const UChar32 c = utf8_next(s, &i, (int32_t)len);

		if (c < 0)
			return STERNA_EINVAL;
		t->cp[t->n++] = c;
	}
	return STERNA_OK;
}

enum sterna_result precis_encode(const struct precis_text *t, char *out, size_t size)
{
	size_t at = 0;

	for (int32_t i = 0; i < t->n; i++) {
		char one[U8_MAX_LENGTH];
		const int32_t n = utf8_put(one, t->cp[i]);

		if (at + (size_t)n >= size)
			return STERNA_ELIMIT;
		memcpy(out + at, one, (size_t)n);
		at += (size_t)n;
	}
	if (at >= size)
		return STERNA_ELIMIT;
	out[at] = '\0';
	return STERNA_OK;
}

/* No more than what is there: the struct is large. */
static void copy(struct precis_text *to, const struct precis_text *from)
{
	to->n = from->n;
	memcpy(to->cp, from->cp, (size_t)from->n * sizeof *from->cp);
}

/* Preparation: every code point is of the class; contexts are looked at later, in the string that results
 * (RFC 8265 §3.3.2). */
static bool holds_only(const struct precis_text *t, bool freeform)
{
	for (int32_t i = 0; i < t->n; i++) {
		const enum precis_property p = precis_property(t->cp[i]);

		if (p != PRECIS_PVALID && p != PRECIS_CONTEXT && !(freeform && p == PRECIS_FREE_PVAL))
			return false;
	}
	return true;
}

/* The behavioural rules of RFC 8264 §7, and a result that is not empty. */
static enum sterna_result check_class(const struct precis_text *t, bool freeform)
{
	if (t->n == 0 || !holds_only(t, freeform))
		return STERNA_EINVAL;
	for (int32_t i = 0; i < t->n; i++)
		if (t->cp[i] > 0x7E && precis_property(t->cp[i]) == PRECIS_CONTEXT && !precis_context_ok(t, i))
			return STERNA_EINVAL;
	return STERNA_OK;
}

/* Fullwidth and halfwidth forms to what they stand for (RFC 8264 §5.2.1): raw, that is one step. */
static void map_width(struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++) {
		UErrorCode err = U_ZERO_ERROR;
		UChar to[LOWER_MAX];
		const int32_t type = u_getIntPropertyValue(t->cp[i], UCHAR_DECOMPOSITION_TYPE);

		if (type != U_DT_WIDE && type != U_DT_NARROW)
			continue;
		const int32_t n =
			unorm2_getRawDecomposition(unorm2_getNFKCInstance(&err), t->cp[i], to, LOWER_MAX, &err);
		if (U_SUCCESS(err) && n > 0) {
			int32_t at = 0;

			t->cp[i] = utf16_next(to, &at, n); /* width mappings are one code point each */
		}
	}
}

/* toLowercase() of each code point by itself: so capital sigma becomes the small one everywhere, and not
 * the final one at an end (RFC 7622 §3.5, examples 9 to 11), and no locale has a say. */
static enum sterna_result map_case(struct precis_text *t)
{
	struct precis_text from;

	copy(&from, t);
	t->n = 0;
	for (int32_t i = 0; i < from.n; i++) {
		UErrorCode err = U_ZERO_ERROR;
		UChar one[U16_MAX_LENGTH], to[LOWER_MAX];
		int32_t len = 0, n, at = 0;

		U16_APPEND_UNSAFE(one, len, from.cp[i]);
		n = u_strToLower(to, LOWER_MAX, one, len, "", &err);
		if (U_FAILURE(err))
			return STERNA_EIO;
		while (at < n) {
			if (t->n == PRECIS_TEXT_MAX)
				return STERNA_ELIMIT;
			t->cp[t->n] = utf16_next(to, &at, n);
			t->n++;
		}
	}
	return STERNA_OK;
}

static enum sterna_result normalize(struct precis_text *t, form_fn *form)
{
	UErrorCode err = U_ZERO_ERROR;
	UChar from[2 * PRECIS_TEXT_MAX], to[2 * PRECIS_TEXT_MAX];
	int32_t len = 0, at = 0;

	for (int32_t i = 0; i < t->n; i++)
		U16_APPEND_UNSAFE(from, len, t->cp[i]);
	const int32_t n = unorm2_normalize(form(&err), from, len, to, 2 * PRECIS_TEXT_MAX, &err);
	if (err == U_BUFFER_OVERFLOW_ERROR)
		return STERNA_ELIMIT;
	if (U_FAILURE(err))
		return STERNA_EIO;
	for (t->n = 0; at < n; t->n++) {
		if (t->n == PRECIS_TEXT_MAX)
			return STERNA_ELIMIT;
		t->cp[t->n] = utf16_next(to, &at, n);
	}
	return STERNA_OK;
}

static void map_spaces(struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++)
		if (t->cp[i] > 0x7E && u_charType(t->cp[i]) == U_SPACE_SEPARATOR)
			t->cp[i] = ' ';
}

/* No space at the ends, one between words (RFC 8266 §2.1). */
static void trim_spaces(struct precis_text *t)
{
	int32_t to = 0;

	for (int32_t i = 0; i < t->n; i++)
		if (t->cp[i] != ' ' || (to > 0 && t->cp[to - 1] != ' '))
			t->cp[to++] = t->cp[i];
	t->n = to > 0 && t->cp[to - 1] == ' ' ? to - 1 : to;
}

/* RFC 7622 §3.3.1: what the IdentifierClass holds and a localpart does not. */
static bool is_local_excluded(UChar32 c)
{
	return c < 0x80 && c > 0 && strchr("\"&'/:<>@", (int)c) != NULL;
}

/* RFC 8265 §3.3. */
static enum sterna_result username_round(struct precis_text *t)
{
	enum sterna_result rc;

	map_width(t);
	if (!holds_only(t, false))
		return STERNA_EINVAL;
	if ((rc = map_case(t)) != STERNA_OK || (rc = normalize(t, unorm2_getNFCInstance)) != STERNA_OK)
		return rc;
	if (precis_has_rtl(t) && !precis_bidi_ok(t))
		return STERNA_EINVAL;
	for (int32_t i = 0; i < t->n; i++)
		if (is_local_excluded(t->cp[i]))
			return STERNA_EINVAL;
	return check_class(t, false);
}

/* RFC 8265 §4.2. */
static enum sterna_result opaque_round(struct precis_text *t)
{
	enum sterna_result rc;

	if (!holds_only(t, true))
		return STERNA_EINVAL;
	map_spaces(t);
	if ((rc = normalize(t, unorm2_getNFCInstance)) != STERNA_OK)
		return rc;
	return check_class(t, true);
}

/* RFC 8266 §2.4. */
static enum sterna_result nickname_round(struct precis_text *t)
{
	enum sterna_result rc;

	if (!holds_only(t, true))
		return STERNA_EINVAL;
	map_spaces(t);
	trim_spaces(t);
	if ((rc = map_case(t)) != STERNA_OK || (rc = normalize(t, unorm2_getNFKCInstance)) != STERNA_OK)
		return rc;
	return check_class(t, true);
}

static enum sterna_result enforce(const char *s, size_t len, round_fn *round, char *out, size_t size)
{
	struct precis_text t, before;
	enum sterna_result rc = precis_decode(s, len, &t);

	if (rc != STERNA_OK)
		return rc;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		copy(&before, &t);
		if ((rc = round(&t)) != STERNA_OK)
			return rc;
		if (t.n == before.n && memcmp(t.cp, before.cp, (size_t)t.n * sizeof *t.cp) == 0)
			return precis_encode(&t, out, size);
	}
	return STERNA_EINVAL; /* has no normal form */
}

/* A bit for each character of ASCII that a localpart may hold, in upper or lower case. */
static const uint32_t local_ascii[8] = {
	[1] = ~(UINT32_C(1) << (' ' - 32) | UINT32_C(1) << ('"' - 32) | UINT32_C(1) << ('&' - 32) |
		UINT32_C(1) << ('\'' - 32) | UINT32_C(1) << ('/' - 32) | UINT32_C(1) << (':' - 32) |
		UINT32_C(1) << ('<' - 32) | UINT32_C(1) << ('>' - 32)),
	[2] = ~(UINT32_C(1) << ('@' - 64)),
	[3] = ~(UINT32_C(1) << (0x7F - 96)),
};

enum sterna_result precis_username(const char *s, size_t len, char *out, size_t size)
{
	size_t i = 0;

	if (len > 0 && len < size) {
		for (; i < len; i++) {
			const unsigned char c = (unsigned char)s[i];

			if (!(local_ascii[c >> 5] >> (c & 31) & 1))
				break;
			out[i] = (char)(c + ((c - (unsigned)'A' < 26u) << 5));
		}
		if (i == len) {
			out[i] = '\0';
			return STERNA_OK;
		}
	}
	return enforce(s, len, username_round, out, size);
}

enum sterna_result precis_opaque(const char *s, size_t len, char *out, size_t size)
{
	if (len > 0 && len < size) {
		size_t i = 0;

		while (i < len && (unsigned char)s[i] - 0x20u < 0x5Fu)
			i++;
		if (i == len) {
			memcpy(out, s, len);
			out[len] = '\0';
			return STERNA_OK;
		}
	}
	return enforce(s, len, opaque_round, out, size);
}

enum sterna_result precis_nickname(const char *s, size_t len, char *out, size_t size)
{
	return enforce(s, len, nickname_round, out, size);
}
