/* test_precis.c - RFC 8264-8266: the RFCs' examples, the contextual rules, and what must hold for every
 * code point of Unicode. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uidna.h>
#include <unicode/unorm2.h>
#include <unicode/uset.h>
#include <unicode/ustring.h>
#include "server/jid.h"
#include "server/precis.h"
#include "server/utf.h"

#pragma GCC diagnostic ignored "-Wsign-conversion" /* in ICU's macros */

typedef enum sterna_result profile_fn(const char *s, size_t len, char *out, size_t size);

static void gives_(profile_fn *profile, const char *in, const char *want)
{
	char out[1024];

	ck_assert_msg(profile(in, strlen(in), out, sizeof out) == STERNA_OK, "refused: %s", in);
	ck_assert_str_eq(out, want);
}

static void refuses_(profile_fn *profile, const char *in)
{
	char out[1024];

	ck_assert_msg(profile(in, strlen(in), out, sizeof out) == STERNA_EINVAL, "accepted: %s", in);
}

START_TEST(usernames_of_rfc8265)
{
	gives_(precis_username, "juliet", "juliet");
	gives_(precis_username, "fussball", "fussball");
	gives_(precis_username, "fu\u00dfball", "fu\u00dfball");
	gives_(precis_username, "\u03c0", "\u03c0");
	gives_(precis_username, "\u03a3", "\u03c3");
	gives_(precis_username, "\u03c3", "\u03c3");
	gives_(precis_username, "\u03c2", "\u03c2");
	refuses_(precis_username, "juliet@example.com"); /* legal there; no localpart (RFC 7622 §3.3.1) */
	refuses_(precis_username, "foo bar");
	refuses_(precis_username, "");
	refuses_(precis_username, "henry\u2163");
	refuses_(precis_username, "\u265a");
}
END_TEST

START_TEST(passwords_of_rfc8265)
{
	gives_(precis_opaque, "correct horse battery staple", "correct horse battery staple");
	gives_(precis_opaque, "Correct Horse Battery Staple", "Correct Horse Battery Staple");
	gives_(precis_opaque, "\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5");
	gives_(precis_opaque, "Jack of \u2666s", "Jack of \u2666s");
	gives_(precis_opaque, "foo\u1680bar", "foo bar");
	gives_(precis_opaque, " x ", " x ");
	gives_(precis_opaque, "\uff21\u2163", "\uff21\u2163");
	refuses_(precis_opaque, "");
	refuses_(precis_opaque, "my cat is a \tby");
}
END_TEST

START_TEST(nicknames_of_rfc8266)
{
	gives_(precis_nickname, "Foo", "foo");
	gives_(precis_nickname, "foo", "foo");
	gives_(precis_nickname, "Foo Bar", "foo bar");
	gives_(precis_nickname, "foo bar", "foo bar");
	gives_(precis_nickname, "  Foo \u3000  Bar ", "foo bar");
	gives_(precis_nickname, "\u03a3", "\u03c3");
	gives_(precis_nickname, "\u03c3", "\u03c3");
	gives_(precis_nickname, "\u03c2", "\u03c2");
	gives_(precis_nickname, "\u265a", "\u265a");
	gives_(precis_nickname, "Richard \u2163", "richard iv");
	gives_(precis_nickname, "\u00a8x", "\u0308x"); /* NFKC makes a space, which goes in the next round */
	refuses_(precis_nickname, "");
	refuses_(precis_nickname, "   ");
	refuses_(precis_nickname, "\u00a0\u3000");
	refuses_(precis_nickname, "a\nb");
}
END_TEST

START_TEST(cases_and_widths_of_usernames)
{
	gives_(precis_username, "ABC\uff38\uff39\uff5a", "abcxyz");
	gives_(precis_username, "\uff76\uff9e", "\u30ac");          /* halfwidth KA and voiced mark */
	gives_(precis_username, "\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c3");
	gives_(precis_username, "\u0130", "i\u0307");
	gives_(precis_username, "A\u030a", "\u00e5");
	gives_(precis_username, "L\u00b7L", "l\u00b7l");
	refuses_(precis_username, "\u212b");                        /* ANGSTROM SIGN: HasCompat */
	refuses_(precis_username, "\u212a");                        /* KELVIN SIGN, whose lower case is k */
	refuses_(precis_username, "\u3000");
	refuses_(precis_username, "\ufb01");
	refuses_(precis_username, "\u01c5");
	refuses_(precis_username, "a\uff20");
	refuses_(precis_username, "\u1100\u1161");                  /* conjoining jamo */
	refuses_(precis_username, "a\u00ad");
	refuses_(precis_username, "a\u200b");
	refuses_(precis_username, "\ue000");
	refuses_(precis_username, "\u0378");
	refuses_(precis_username, "\ufdd0");
}
END_TEST

START_TEST(contextual_rules_of_rfc5892)
{
	static const struct {
		const char *good, *bad;
	} rules[] = {
		{ "\u0915\u094d\u200c\u0937", "\u0915\u200c\u0937" },                   /* A.1 after a virama */
		{ "\u0628\u200c\u0628", "a\u200cb" },                                   /* A.1 between joiners */
		{ "\u0628\u064b\u200c\u064b\u0628", "\u0628\u200c" },
		{ "\u0628\u200c\u0627", "\u0627\u200c\u0628" },                         /* alef joins on one side */
		{ "\u0915\u094d\u200d\u0937", "\u0915\u200d" },                         /* A.2 */
		{ "l\u00b7l", "l\u00b7" }, { "al\u00b7la", "\u00b7l" }, { "l\u00b7l\u00b7l", "a\u00b7l" }, /* A.3 */
		{ "\u0375\u03b1", "\u0375a" }, { "\u03b1\u0375\u03b2", "\u03b1\u0375" }, /* A.4 */
		{ "\u05d0\u05f3", "\u05f3\u05d0" },                                     /* A.5 */
		{ "\u05d0\u05f4\u05d1", "\u05f4" },                                     /* A.6 */
		{ "\u30ab\u30fb\u30ab", "a\u30fbb" }, { "\u6f22\u30fb", "\u30fb" },     /* A.7 */
		{ "\u0628\u0660\u0661", "\u0628\u0660\u06f1" },                         /* A.8 */
		{ "\u0628\u06f0\u06f1", "\u0628\u06f0\u0661" },                         /* A.9 */
	};

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		gives_(precis_username, rules[i].good, rules[i].good);
		gives_(precis_opaque, rules[i].good, rules[i].good);
		refuses_(precis_username, rules[i].bad);
		refuses_(precis_opaque, rules[i].bad);
	}
}
END_TEST

START_TEST(bidi_rule_of_rfc5893)
{
	static const char *const good[] = {
		"\u05d0\u05d1", "\u05d01", "\u0628\u0661", "\u05d0\u05b0", "a1", "1a", "\u05d0-\u05d1", "\u0628.\u0628",
	};
	static const char *const bad[] = {
		"\u05d0a", "a\u05d0", "1\u05d0", "-\u05d0", "\u05d0-", "\u05b0\u05d0", "\u06281\u0661", "\u0661\u0628",
		"a\u0661",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		gives_(precis_username, good[i], good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refuses_(precis_username, bad[i]);
	gives_(precis_opaque, "\u05d0a", "\u05d0a"); /* no such rule for secrets and resources */
}
END_TEST

START_TEST(exceptions_of_rfc5892)
{
	static const UChar32 pvalid[] = { 0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007 };
	static const UChar32 context[] = { 0xB7, 0x375, 0x5F3, 0x5F4, 0x30FB, 0x660, 0x669, 0x6F0, 0x6F9, 0x200C,
		0x200D };
	static const UChar32 disallowed[] = { 0x640, 0x7FA, 0x302E, 0x302F, 0x3031, 0x3035, 0x303B, 0, 0x1F, 0x7F,
		0x1100, 0xAD, 0xFDD0, 0x10FFFF, 0xE000, 0xD800 };

	for (size_t i = 0; i < sizeof pvalid / sizeof *pvalid; i++)
		ck_assert_int_eq(precis_property(pvalid[i]), PRECIS_PVALID);
	for (size_t i = 0; i < sizeof context / sizeof *context; i++)
		ck_assert_int_eq(precis_property(context[i]), PRECIS_CONTEXT);
	for (size_t i = 0; i < sizeof disallowed / sizeof *disallowed; i++)
		ck_assert_int_eq(precis_property(disallowed[i]), PRECIS_DISALLOWED);
	ck_assert_int_eq(precis_property(0x378), PRECIS_UNASSIGNED);
	ck_assert_int_eq(precis_property(' '), PRECIS_FREE_PVAL);
	ck_assert_int_eq(precis_property(0x2163), PRECIS_FREE_PVAL);
	ck_assert_int_eq(precis_property('a'), PRECIS_PVALID);
}
END_TEST

/* What a profile gives for c alone, or "" if it refuses; and a second time gives the same. */
static bool settled(profile_fn *profile, UChar32 c, char *out, size_t size)
{
	char in[8], again[256];
	int32_t n = 0;

	n += utf8_put(in + n, c);
	if (profile(in, (size_t)n, out, size) != STERNA_OK)
		return false;
	ck_assert_msg(profile(out, strlen(out), again, sizeof again) == STERNA_OK && strcmp(out, again) == 0,
		"U+%04X is not stable", (unsigned)c);
	return true;
}

/* ./check --quick looks at one code point in so many; ./check at each. */
static UChar32 stride(void)
{
	return getenv("STERNA_TEST_QUICK") != NULL ? 13 : 1;
}

START_TEST(every_code_point_keeps_the_rules)
{
	static const uint32_t never = U_GC_CC_MASK | U_GC_CS_MASK | U_GC_CO_MASK | U_GC_CN_MASK;
	unsigned accepted = 0;

	for (UChar32 c = 0; c <= 0x10FFFF; c += stride()) {
		char user[256], opaque[256], nick[256];
		const bool u = settled(precis_username, c, user, sizeof user);
		const bool o = settled(precis_opaque, c, opaque, sizeof opaque);
		const bool n = settled(precis_nickname, c, nick, sizeof nick);

		if (U_GET_GC_MASK(c) & never)
			ck_assert_msg(!u && !o && !n, "U+%04X accepted", (unsigned)c);
		if (u)
			ck_assert_msg(settled(precis_opaque, c, opaque, sizeof opaque) ||
				u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE) == U_DT_WIDE, "U+%04X: Freeform lacks it",
				(unsigned)c);
		if (precis_property(c) == PRECIS_FREE_PVAL && o)
			ck_assert_msg(!u || u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE) == U_DT_WIDE ||
				u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE) == U_DT_NARROW,
				"U+%04X is free-form only", (unsigned)c);
		accepted += u;
	}
	ck_assert_uint_gt(accepted, 100000 / (unsigned)stride());
}
END_TEST

/* Two code points may compose, reorder or change each other's case. */
START_TEST(pairs_of_code_points_are_stable)
{
	uint32_t seed = 1;

	for (int i = 0; i < 200000 / stride(); i++) {
		static const UChar32 marks[] = { 0x301, 0x308, 0x327, 0x345, 0x307, 0x5B4, 0x64B, 0x94D, 0x3099, 'a', '1' };
		char in[16], out[256], again[256];
		int32_t n = 0;
		profile_fn *profile = i % 3 == 0 ? precis_username : i % 3 == 1 ? precis_opaque : precis_nickname;

		seed = seed * 1664525u + 1013904223u;
		UChar32 c = (UChar32)(seed >> 8) % 0x20000;
		if (U_IS_SURROGATE((uint32_t)c))
			continue;
		n += utf8_put(in + n, c);
		n += utf8_put(in + n, marks[(size_t)i % (sizeof marks / sizeof *marks)]);
		if (profile(in, (size_t)n, out, sizeof out) == STERNA_OK)
			ck_assert_msg(profile(out, strlen(out), again, sizeof again) == STERNA_OK && strcmp(out, again) == 0,
				"U+%04X", (unsigned)c);
	}
}
END_TEST

/* --- the same by other ways of ICU's: sets of its properties, its string functions, its UTS 46 --- */

/* A set as ICU writes it; the words of RFC 8264 §9. */
static USet *set(const char *pattern)
{
	UErrorCode err = U_ZERO_ERROR;
	UChar text[512];
	USet *s;

	u_uastrcpy(text, pattern);
	s = uset_openPattern(text, -1, &err);
	ck_assert_msg(U_SUCCESS(err), "%s: %s", pattern, u_errorName(err));
	uset_freeze(s);
	return s;
}

START_TEST(properties_are_those_of_rfc8264)
{
	static const struct {
		const char *pattern;
		enum precis_property property;
	} steps[] = { /* the algorithm of §8, in its order */
		{ "[\\u00DF\\u03C2\\u06FD\\u06FE\\u0F0B\\u3007]", PRECIS_PVALID },                        /* Exceptions */
		{ "[\\u00B7\\u0375\\u05F3\\u05F4\\u30FB\\u0660-\\u0669\\u06F0-\\u06F9]", PRECIS_CONTEXT },
		{ "[\\u0640\\u07FA\\u302E\\u302F\\u3031-\\u3035\\u303B]", PRECIS_DISALLOWED },
		{ "[[:Cn:]-[:Noncharacter_Code_Point:]]", PRECIS_UNASSIGNED },
		{ "[\\u0021-\\u007E]", PRECIS_PVALID },                                                   /* ASCII7 */
		{ "[:Join_Control:]", PRECIS_CONTEXT },
		{ "[[:Hangul_Syllable_Type=L:][:Hangul_Syllable_Type=V:][:Hangul_Syllable_Type=T:]]", PRECIS_DISALLOWED },
		{ "[[:Default_Ignorable_Code_Point:][:Noncharacter_Code_Point:]]", PRECIS_DISALLOWED },
		{ "[:Cc:]", PRECIS_DISALLOWED },
		{ "[:NFKC_Quick_Check=No:]", PRECIS_FREE_PVAL },                                          /* HasCompat */
		{ "[[:Ll:][:Lu:][:Lo:][:Nd:][:Lm:][:Mn:][:Mc:]]", PRECIS_PVALID },                        /* LetterDigits */
		{ "[[:Lt:][:Nl:][:No:][:Me:]]", PRECIS_FREE_PVAL },                                       /* OtherLetterDigits */
		{ "[[:Zs:][:Sm:][:Sc:][:Sk:][:So:][:Pc:][:Pd:][:Ps:][:Pe:][:Pi:][:Pf:][:Po:]]", PRECIS_FREE_PVAL },
		{ "[\\U00000000-\\U0010FFFF]", PRECIS_DISALLOWED },
	};
	enum { STEPS = sizeof steps / sizeof *steps };
	unsigned met[STEPS] = { 0 };
	USet *sets[STEPS];

	for (int i = 0; i < STEPS; i++)
		sets[i] = set(steps[i].pattern);
	for (UChar32 c = 0; c <= 0x10FFFF; c++) {
		int i = 0;

		while (!uset_contains(sets[i], c))
			i++;
		met[i]++;
		ck_assert_msg(precis_property(c) == steps[i].property, "U+%04X: %d, not %d (%s)", (unsigned)c,
			precis_property(c), steps[i].property, steps[i].pattern);
	}
	for (int i = 0; i < STEPS; i++) {
		ck_assert_msg(met[i] > 0, "nothing is in %s", steps[i].pattern);
		uset_close(sets[i]);
	}
}
END_TEST

/* Width, case, NFC of a whole string, by ICU's own functions. Case goes code point by code point (RFC 7622 §3.5). */
static int32_t mapped(const UChar *from, int32_t len, UChar *out, int32_t size)
{
	UErrorCode err = U_ZERO_ERROR;
	UChar lower[64];
	int32_t n = 0;

	for (int32_t i = 0; i < len;) {
		UChar one[2], wide[8];
		int32_t k = 0, w;
		UChar32 c;

		U16_NEXT(from, i, len, c);
		U16_APPEND_UNSAFE(one, k, c);
		const int32_t type = u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE);

		w = type == U_DT_WIDE || type == U_DT_NARROW
			? unorm2_normalize(unorm2_getNFKCInstance(&err), one, k, wide, 8, &err) : k;
		n += u_strToLower(lower + n, 64 - n, w == k && type != U_DT_WIDE && type != U_DT_NARROW ? one : wide, w, "", &err);
	}
	n = unorm2_normalize(unorm2_getNFCInstance(&err), lower, n, out, size, &err);
	ck_assert(U_SUCCESS(err));
	return n;
}

START_TEST(usernames_are_mapped_as_icu_maps_strings)
{
	uint32_t seed = 7;
	unsigned accepted = 0;

	for (UChar32 c = 0x80; c < 0x30000; c += stride()) {
		static const UChar32 after[] = { 0, 'A', 0x301, 0x308, 0x327, 0x3099, 0x345, 0x3A3, 0xFF76, 0x1100 };
		UChar in[8], want[64];
		char text[32], expected[256], got[256];
		int32_t n = 0, bytes = 0, written = 0;
		UErrorCode err = U_ZERO_ERROR;

		if (U_IS_SURROGATE(c))
			continue;
		seed = seed * 1664525u + 1013904223u;
		U16_APPEND_UNSAFE(in, n, c);
		U8_APPEND_UNSAFE(text, bytes, c);
		const UChar32 second = after[(seed >> 16) % (sizeof after / sizeof *after)];

		if (second != 0) {
			U16_APPEND_UNSAFE(in, n, second);
			U8_APPEND_UNSAFE(text, bytes, second);
		}
		if (precis_username(text, (size_t)bytes, got, sizeof got) != STERNA_OK)
			continue;
		n = mapped(in, n, want, 64);
		u_strToUTF8(expected, sizeof expected, &written, want, n, &err);
		ck_assert_msg(U_SUCCESS(err) && strcmp(got, expected) == 0, "U+%04X U+%04X: %s, not %s", (unsigned)c,
			(unsigned)second, got, expected);
		accepted++;
	}
	ck_assert_uint_gt(accepted, 80000 / (unsigned)stride());
}
END_TEST

START_TEST(secrets_are_mapped_as_icu_maps_strings)
{
	USet *spaces = set("[:Zs:]");

	for (UChar32 c = 0; c <= 0x10FFFF; c += stride()) {
		const enum precis_property p = precis_property(c);
		UChar in[8], want[64];
		char text[8], expected[256], got[256];
		int32_t n = 0, bytes = 0, written = 0;
		UErrorCode err = U_ZERO_ERROR;

		U8_APPEND_UNSAFE(text, bytes, c);
		const bool taken = precis_opaque(text, (size_t)bytes, got, sizeof got) == STERNA_OK;

		if (p == PRECIS_DISALLOWED || p == PRECIS_UNASSIGNED) {
			ck_assert_msg(!taken, "U+%04X", (unsigned)c);
			continue;
		}
		U16_APPEND_UNSAFE(in, n, uset_contains(spaces, c) ? ' ' : c);
		n = unorm2_normalize(unorm2_getNFCInstance(&err), in, n, want, 64, &err);
		u_strToUTF8(expected, sizeof expected, &written, want, n, &err);
		if (taken)
			ck_assert_msg(U_SUCCESS(err) && strcmp(got, expected) == 0, "U+%04X: %s, not %s", (unsigned)c, got,
				expected);
		else /* what may not stand alone; U+0387 becomes such a one */
			ck_assert_msg(n == 1 && precis_property(want[0]) == PRECIS_CONTEXT, "U+%04X is refused", (unsigned)c);
	}
	uset_close(spaces);
}
END_TEST

/* What ICU's UTS 46 finds wrong with a label; false: it is severe, so that the rules were not looked at. */
static bool uts46_errors(UIDNA *idna, const struct precis_text *t, uint32_t *errors)
{
	UIDNAInfo info = UIDNA_INFO_INITIALIZER;
	UErrorCode err = U_ZERO_ERROR;
	UChar label[32], out[64];
	int32_t n = 0;

	for (int32_t i = 0; i < t->n; i++)
		U16_APPEND_UNSAFE(label, n, t->cp[i]);
	const int32_t len = uidna_labelToUnicode(idna, label, n, out, 64, &info, &err);

	*errors = info.errors;
	return U_SUCCESS(err) && len == n && u_memcmp(label, out, n) == 0 && (info.errors & (UIDNA_ERROR_LEADING_COMBINING_MARK
		| UIDNA_ERROR_DISALLOWED | UIDNA_ERROR_PUNYCODE | UIDNA_ERROR_LABEL_HAS_DOT | UIDNA_ERROR_INVALID_ACE_LABEL)) == 0;
}

/* Random labels of these code points: f says the same of them as ICU. */
static void agrees_with_uts46(const UChar32 *pool, size_t size, uint32_t mask, bool (*f)(const struct precis_text *t))
{
	UErrorCode err = U_ZERO_ERROR;
	UIDNA *idna = uidna_openUTS46(UIDNA_NONTRANSITIONAL_TO_UNICODE | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ
		| UIDNA_CHECK_CONTEXTO, &err);
	unsigned good = 0, bad = 0;
	uint32_t seed = 3;

	ck_assert(U_SUCCESS(err));
	for (int round = 0; round < 300000 / stride(); round++) {
		struct precis_text t = { .n = 0 };
		uint32_t errors;
		char shown[64] = "";

		seed = seed * 1664525u + 1013904223u;
		for (uint32_t n = 1 + (seed >> 29); n > 0; n--) {
			seed = seed * 1664525u + 1013904223u;
			t.cp[t.n++] = pool[(seed >> 8) % size];
		}
		if (!uts46_errors(idna, &t, &errors))
			continue;
		for (int32_t i = 0; i < t.n; i++)
			snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%X ", (unsigned)t.cp[i]);
		ck_assert_msg(f(&t) == ((errors & mask) == 0), "%s: %d here, errors %X of ICU", shown, f(&t), (unsigned)errors);
		*(f(&t) ? &good : &bad) += 1;
	}
	ck_assert_uint_gt(good, 1000);
	ck_assert_uint_gt(bad, 1000);
	uidna_close(idna);
}

static bool keeps_bidi(const struct precis_text *t)
{
	return !precis_has_rtl(t) || precis_bidi_ok(t);
}

START_TEST(bidi_rule_is_that_of_uts46)
{
	static const UChar32 pool[] = { 'a', 'z', '0', '9', '-', '+', '%', ',', '!', 0x5D0, 0x5EA, 0x628, 0x62F, 0x6FD, 0x661, 0x6F1,
		0x5B0, 0x64B, 0x300, 0x7C1, 0x10A00, 0x1E900 + 0x22, 0x3B1, 0x915 };

	agrees_with_uts46(pool, sizeof pool / sizeof *pool, UIDNA_ERROR_BIDI, keeps_bidi);
}
END_TEST

static bool keeps_contexts(const struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++)
		if (t->cp[i] > 0x7E && precis_property(t->cp[i]) == PRECIS_CONTEXT && !precis_context_ok(t, i))
			return false;
	return true;
}

START_TEST(joiners_are_those_of_uts46)
{
	static const UChar32 pool[] = { 0x200C, 0x200D, 0x94D, 0x915, 0x628, 0x627, 0x62F, 0x64B, 0x300, 0xA872, 'a', 0x71D, 0x1807 };

	agrees_with_uts46(pool, sizeof pool / sizeof *pool, UIDNA_ERROR_CONTEXTJ, keeps_contexts);
}
END_TEST

START_TEST(other_contexts_are_those_of_uts46)
{
	static const UChar32 pool[] = { 0xB7, 'l', 'a', 0x375, 0x3B1, 0x5F3, 0x5F4, 0x5D0, 0x30FB, 0x30AB, 0x3042, 0x6F22, 0x660, 0x669,
		0x6F0, 0x6F9, 0x628, 0xB7, 'l' };

	agrees_with_uts46(pool, sizeof pool / sizeof *pool,
		UIDNA_ERROR_CONTEXTO_PUNCTUATION | UIDNA_ERROR_CONTEXTO_DIGITS, keeps_contexts);
}
END_TEST

START_TEST(results_fit_or_are_refused)
{
	char in[3100], out[1024];

	memset(in, 'a', sizeof in);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(precis_username(in, 1023, out, sizeof out), STERNA_OK);
		ck_assert_uint_eq(strlen(out), 1023);
		ck_assert_int_eq(precis_username(in, 1024, out, sizeof out), STERNA_ELIMIT);
		ck_assert_int_eq(precis_opaque(in, 1023, out, sizeof out), STERNA_OK);
		ck_assert_int_eq(precis_opaque(in, 1024, out, sizeof out), STERNA_ELIMIT);
		ck_assert_int_eq(precis_nickname(in, 1023, out, sizeof out), STERNA_OK);
		ck_assert_int_eq(precis_nickname(in, 1024, out, sizeof out), STERNA_ELIMIT);
		ck_assert_int_eq(precis_opaque(in, 3072, out, sizeof out), STERNA_ELIMIT);
		memcpy(in, "\u00e9", 2); /* and again past the quick way */
	}
	for (int i = 0; i < 3069; i += 3)
		memcpy(in + i, "e\u0301", 3); /* 3069 bytes that become 2046 */
	ck_assert_int_eq(precis_username(in, 1533, out, sizeof out), STERNA_OK);
	ck_assert_uint_eq(strlen(out), 1022);
	ck_assert_int_eq(precis_username(in, 1536, out, sizeof out), STERNA_ELIMIT);
	ck_assert_int_eq(precis_username("abc", 3, out, 3), STERNA_ELIMIT);
	ck_assert_int_eq(precis_username("abc", 3, out, 4), STERNA_OK);
	for (int i = 0; i + 3 <= 3069; i += 3)
		memcpy(in + i, "\ufdfa", 3); /* NFKC makes 18 of each */
	ck_assert_int_eq(precis_nickname(in, 3069, out, sizeof out), STERNA_ELIMIT);
}
END_TEST

START_TEST(only_utf8_is_text)
{
	static const char *const bad[] = {
		"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xff", "a\xe2\x82", "\xc3(",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		refuses_(precis_username, bad[i]);
		refuses_(precis_opaque, bad[i]);
		refuses_(precis_nickname, bad[i]);
		refuses_(precis_domain, bad[i]);
	}
	ck_assert_uint_ge(strlen(precis_unicode_version()), 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("precis");
	TCase *t = tcase_create("precis");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, usernames_of_rfc8265);
	tcase_add_test(t, passwords_of_rfc8265);
	tcase_add_test(t, nicknames_of_rfc8266);
	tcase_add_test(t, cases_and_widths_of_usernames);
	tcase_add_test(t, contextual_rules_of_rfc5892);
	tcase_add_test(t, bidi_rule_of_rfc5893);
	tcase_add_test(t, exceptions_of_rfc5892);
	tcase_add_test(t, every_code_point_keeps_the_rules);
	tcase_add_test(t, pairs_of_code_points_are_stable);
	tcase_add_test(t, properties_are_those_of_rfc8264);
	tcase_add_test(t, usernames_are_mapped_as_icu_maps_strings);
	tcase_add_test(t, secrets_are_mapped_as_icu_maps_strings);
	tcase_add_test(t, bidi_rule_is_that_of_uts46);
	tcase_add_test(t, joiners_are_those_of_uts46);
	tcase_add_test(t, other_contexts_are_those_of_uts46);
	tcase_add_test(t, results_fit_or_are_refused);
	tcase_add_test(t, only_utf8_is_text);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
