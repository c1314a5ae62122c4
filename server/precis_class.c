/* precis_class.c - which code points a string may hold, and where: RFC 8264 §8-9 by ICU's properties. */
#include "server/precis.h"
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/utf16.h>
#include <unicode/uvernum.h>

/* RFC 8264 §9.6 (RFC 5892 §2.6). BackwardCompatible (§9.7) is empty. */
static bool exception(UChar32 c, enum precis_property *out)
{
	switch (c) {
	case 0x00DF: case 0x03C2: case 0x06FD: case 0x06FE: case 0x0F0B: case 0x3007:
		*out = PRECIS_PVALID;
		return true;
	case 0x00B7: case 0x0375: case 0x05F3: case 0x05F4: case 0x30FB:
		*out = PRECIS_CONTEXT;
		return true;
	case 0x0640: case 0x07FA: case 0x302E: case 0x302F: case 0x3031: case 0x3032: case 0x3033: case 0x3034:
	case 0x3035: case 0x303B:
		*out = PRECIS_DISALLOWED;
		return true;
	default:
		*out = PRECIS_CONTEXT;
		return (c >= 0x0660 && c <= 0x0669) || (c >= 0x06F0 && c <= 0x06F9);
	}
}

/* §9.17 HasCompat: NFKC changes it. An error of ICU counts as a change: it must not open the class. */
static bool has_compat(UChar32 c)
{
	UErrorCode err = U_ZERO_ERROR;
	const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&err);
	UChar s[2];
	int32_t n = 0;

	U16_APPEND_UNSAFE(s, n, c);
	return !(unorm2_isNormalized(nfkc, s, n, &err) && U_SUCCESS(err));
}

/* §9.9 OldHangulJamo. */
static bool is_jamo(UChar32 c)
{
	const int32_t type = u_getIntPropertyValue(c, UCHAR_HANGUL_SYLLABLE_TYPE);

	return type == U_HST_LEADING_JAMO || type == U_HST_VOWEL_JAMO || type == U_HST_TRAILING_JAMO;
}

/* The order is the one of §8. */
enum precis_property precis_property(UChar32 c)
{
	enum precis_property p;
	const uint32_t category = U_GET_GC_MASK(c);

	if (c >= 0x21 && c <= 0x7E)
		return PRECIS_PVALID; /* ASCII7; no earlier rule meets one */
	if (exception(c, &p))
		return p;
	if ((category & U_GC_CN_MASK) && !u_hasBinaryProperty(c, UCHAR_NONCHARACTER_CODE_POINT))
		return PRECIS_UNASSIGNED;
	if (u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL))
		return PRECIS_CONTEXT;
	if (is_jamo(c) || u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) ||
		u_hasBinaryProperty(c, UCHAR_NONCHARACTER_CODE_POINT) || (category & U_GC_CC_MASK))
		return PRECIS_DISALLOWED;
	if (category & U_GC_CS_MASK)
		return PRECIS_DISALLOWED; /* no Unicode scalar value: not asked for its normal form */
	if (has_compat(c))
		return PRECIS_FREE_PVAL;
	if (category & (U_GC_LL_MASK | U_GC_LU_MASK | U_GC_LO_MASK | U_GC_ND_MASK | U_GC_LM_MASK | U_GC_MN_MASK |
			U_GC_MC_MASK))
		return PRECIS_PVALID; /* LetterDigits */
	if (category & (U_GC_LT_MASK | U_GC_NL_MASK | U_GC_NO_MASK | U_GC_ME_MASK | U_GC_ZS_MASK | U_GC_S_MASK |
			U_GC_P_MASK))
		return PRECIS_FREE_PVAL; /* OtherLetterDigits, Spaces, Symbols, Punctuation */
	return PRECIS_DISALLOWED;
}

static bool is_virama(const struct precis_text *t, int32_t i)
{
	return i >= 0 && u_getCombiningClass(t->cp[i]) == 9;
}

/* The nearest code point in a direction that is not transparent joins towards the ZWNJ (RFC 5892 A.1). */
static bool joins(const struct precis_text *t, int32_t i, int32_t step, UJoiningType towards)
{
	for (i += step; i >= 0 && i < t->n; i += step) {
		const int32_t type = u_getIntPropertyValue(t->cp[i], UCHAR_JOINING_TYPE);

		if (type != U_JT_TRANSPARENT)
			return type == (int32_t)towards || type == U_JT_DUAL_JOINING;
	}
	return false;
}

static bool has_script(const struct precis_text *t, int32_t i, UScriptCode script)
{
	UErrorCode err = U_ZERO_ERROR;

	return i >= 0 && i < t->n && uscript_getScript(t->cp[i], &err) == script && U_SUCCESS(err);
}

static bool holds_within(const struct precis_text *t, UChar32 lo, UChar32 hi)
{
	for (int32_t i = 0; i < t->n; i++)
		if (t->cp[i] >= lo && t->cp[i] <= hi)
			return true;
	return false;
}

static bool holds_japanese(const struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++)
		if (has_script(t, i, USCRIPT_HIRAGANA) || has_script(t, i, USCRIPT_KATAKANA) ||
			has_script(t, i, USCRIPT_HAN))
			return true;
	return false;
}

bool precis_context_ok(const struct precis_text *t, int32_t i)
{
	const UChar32 c = t->cp[i];

	switch (c) {
	case 0x200C: /* A.1 ZERO WIDTH NON-JOINER */
		return is_virama(t, i - 1) ||
			(joins(t, i, -1, U_JT_LEFT_JOINING) && joins(t, i, 1, U_JT_RIGHT_JOINING));
	case 0x200D: /* A.2 ZERO WIDTH JOINER */
		return is_virama(t, i - 1);
	case 0x00B7: /* A.3 MIDDLE DOT, as in Catalan */
		return i > 0 && i + 1 < t->n && t->cp[i - 1] == 'l' && t->cp[i + 1] == 'l';
	case 0x0375: /* A.4 GREEK LOWER NUMERAL SIGN */
		return has_script(t, i + 1, USCRIPT_GREEK);
	case 0x05F3: /* A.5, A.6 HEBREW PUNCTUATION GERESH, GERSHAYIM */
	case 0x05F4:
		return has_script(t, i - 1, USCRIPT_HEBREW);
	case 0x30FB: /* A.7 KATAKANA MIDDLE DOT */
		return holds_japanese(t);
	default: /* A.8, A.9: the two sets of Arabic-Indic digits do not mix */
		return c < 0x06F0 ? !holds_within(t, 0x06F0, 0x06F9) : !holds_within(t, 0x0660, 0x0669);
	}
}

#define DIR(d) (UINT32_C(1) << (d))
#define DIR_RTL (DIR(U_RIGHT_TO_LEFT) | DIR(U_RIGHT_TO_LEFT_ARABIC))
#define DIR_ANY                                                                                           \
	(DIR(U_EUROPEAN_NUMBER) | DIR(U_EUROPEAN_NUMBER_SEPARATOR) | DIR(U_COMMON_NUMBER_SEPARATOR) |     \
		DIR(U_EUROPEAN_NUMBER_TERMINATOR) | DIR(U_OTHER_NEUTRAL) | DIR(U_BOUNDARY_NEUTRAL) |      \
		DIR(U_DIR_NON_SPACING_MARK))

bool precis_has_rtl(const struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++)
		if (DIR(u_charDirection(t->cp[i])) & (DIR_RTL | DIR(U_ARABIC_NUMBER)))
			return true;
	return false;
}

bool precis_bidi_ok(const struct precis_text *t)
{
	uint32_t seen = 0, last = 0;

	for (int32_t i = 0; i < t->n; i++) {
		const uint32_t dir = DIR(u_charDirection(t->cp[i]));

		seen |= dir;
		if (dir != DIR(U_DIR_NON_SPACING_MARK))
			last = dir;
	}
	if (t->n == 0)
		return false;
	const uint32_t first = DIR(u_charDirection(t->cp[0]));
	const uint32_t both = DIR(U_EUROPEAN_NUMBER) | DIR(U_ARABIC_NUMBER);

	if (first == DIR(U_LEFT_TO_RIGHT)) /* conditions 1, 5, 6 */
		return (seen & ~(DIR_ANY | DIR(U_LEFT_TO_RIGHT))) == 0 &&
			(last & (DIR(U_LEFT_TO_RIGHT) | DIR(U_EUROPEAN_NUMBER)));
	return (first & DIR_RTL) && /* 1, 2, 3, 4 */
		(seen & ~(DIR_ANY | DIR_RTL | DIR(U_ARABIC_NUMBER))) == 0 && (last & (DIR_RTL | both)) &&
		(seen & both) != both;
}

const char *precis_unicode_version(void)
{
	return U_UNICODE_VERSION; /* ICU's symbols carry its release: the headers' version is the library's */
}
