/* idna.c - the domainpart (RFC 7622 §3.2): labels of a host name, U-labels by IDNA2008 after the mapping of
 * UTS 46 (non-transitional, STD 3 rules), or an IP address. What is kept are lower-case U-labels without a
 * final dot; the resolver wants A-labels and makes them from these. */
#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>
#include <string.h>
#include "server/jid.h"
#include "server/precis.h"

enum {
	LABEL_MAX = 63,      /* RFC 1035 §2.3.4, in A-label form */
	LABEL_RAW_MAX = 511, /* unmapped; bounds the work of Punycode */
	/* Without IDN2_USE_STD3_ASCII_RULES: that drops (in 2.3) what STD 3 forbids, so that a fullwidth '@'
	 * would vanish from a name. Here it becomes '@' and is refused by check_name() and is_ldh(). */
	FLAGS = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL,
};

static enum sterna_result result_of(int rc)
{
	if (rc == IDN2_OK)
		return STERNA_OK;
	return rc == IDN2_MALLOC ? STERNA_EIO : STERNA_EINVAL;
}

static bool is_ace(const char *label)
{
	return strncmp(label, "xn--", 4) == 0;
}

/* Letters, digits, hyphens, lower case; but no R-LDH label ("??--"), which RFC 5890 §2.3.1 reserves. */
static bool is_ldh(const char *label, size_t n)
{
	if (n == 0 || n > LABEL_MAX || label[0] == '-' || label[n - 1] == '-')
		return false;
	if (n > 3 && label[2] == '-' && label[3] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((label[i] >= 'a' && label[i] <= 'z') || (label[i] >= '0' && label[i] <= '9') || label[i] == '-'))
			return false;
	return true;
}

/* The U-label of an A-label; refused unless it leads back to the same A-label (RFC 5891 §5.4), which also
 * refuses what is encoded but not valid, not normal, or ASCII. */
static enum sterna_result from_ace(const char *ace, char *out, size_t size)
{
	char *label = NULL;
	uint8_t *again = NULL;
	enum sterna_result rc;

	if (strlen(ace) > LABEL_MAX)
		return STERNA_EINVAL;
	rc = result_of(idn2_to_unicode_8z8z(ace, &label, FLAGS));
	if (rc == STERNA_OK)
		rc = result_of(idn2_lookup_u8((const uint8_t *)label, &again, FLAGS));
	if (rc == STERNA_OK && (strcmp((const char *)again, ace) != 0 || strchr(label, '.') != NULL))
		rc = STERNA_EINVAL;
	if (rc == STERNA_OK && strlen(label) >= size)
		rc = STERNA_ELIMIT;
	if (rc == STERNA_OK)
		memcpy(out, label, strlen(label) + 1);
	idn2_free(label);
	idn2_free(again);
	return rc;
}

/* One label as it came; out gets its normal form. */
static enum sterna_result prepare_label(const char *s, size_t n, char *out, size_t size)
{
	char label[LABEL_RAW_MAX + 1];
	uint8_t *ace = NULL;
	bool ascii = true;
	enum sterna_result rc;

	if (n == 0 || n > LABEL_RAW_MAX)
		return STERNA_EINVAL;
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)s[i];

		ascii = ascii && c < 0x80;
		label[i] = (char)(c + ((c - (unsigned)'A' < 26u) << 5));
	}
	label[n] = '\0';
	if (ascii && !is_ace(label)) {
		if (!is_ldh(label, n))
			return STERNA_EINVAL;
		if (n >= size)
			return STERNA_ELIMIT;
		memcpy(out, label, n + 1);
		return STERNA_OK;
	}
	if (ascii)
		return from_ace(label, out, size);
	if (memchr(label, '\0', n) != NULL)
		return STERNA_EINVAL;
	rc = result_of(idn2_lookup_u8((const uint8_t *)label, &ace, FLAGS));
	if (rc == STERNA_OK) {
		const char *mapped = (const char *)ace;

		if (is_ace(mapped))
			rc = from_ace(mapped, out, size);
		else /* only wide forms of ASCII, say; never a dot, which is no LDH */
			rc = is_ldh(mapped, strlen(mapped)) && strlen(mapped) < size ? STERNA_OK : STERNA_EINVAL;
		if (rc == STERNA_OK && !is_ace(mapped))
			memcpy(out, mapped, strlen(mapped) + 1);
	}
	idn2_free(ace);
	return rc;
}

/* Bytes of the dot at s (UTS 46 §4.5: also U+3002, U+FF0E, U+FF61), 0 if there is none. */
static size_t dot_at(const char *s, size_t len)
{
	if (*s == '.')
		return 1;
	return len >= 3 && (memcmp(s, "\xE3\x80\x82", 3) == 0 || memcmp(s, "\xEF\xBC\x8E", 3) == 0 ||
			memcmp(s, "\xEF\xBD\xA1", 3) == 0) ? 3 : 0;
}

/* STD 3 for ASCII; beyond it the IdentifierClass, which holds all of IDNA2008's PVALID (and capitals, which
 * are mapped by now), and the contextual rules, by the same tables as for the other parts. */
static bool label_ok(const struct precis_text *t)
{
	for (int32_t i = 0; i < t->n; i++) {
		const UChar32 c = t->cp[i];
		const enum precis_property p = precis_property(c);

		if (c < 0x80 && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
		if (p != PRECIS_PVALID && !(p == PRECIS_CONTEXT && precis_context_ok(t, i)))
			return false;
	}
	return true;
}

/* In a name with one right-to-left label all labels keep the Bidi Rule (RFC 5893 §2). */
static enum sterna_result check_name(const char *name)
{
	struct precis_text t;
	bool bidi = false, bidi_ok = true;

	for (const char *p = name; *p != '\0';) {
		const size_t n = strcspn(p, ".");
		const enum sterna_result rc = precis_decode(p, n, &t);

		if (rc != STERNA_OK)
			return rc;
		if (!label_ok(&t))
			return STERNA_EINVAL;
		bidi = bidi || precis_has_rtl(&t);
		bidi_ok = bidi_ok && precis_bidi_ok(&t);
		p += n + (p[n] == '.');
	}
	return bidi && !bidi_ok ? STERNA_EINVAL : STERNA_OK;
}

static enum sterna_result prepare_name(const char *s, size_t len, char *out, size_t size)
{
	size_t at = 0;
	enum sterna_result rc;

	if (len > PRECIS_TEXT_MAX)
		return STERNA_ELIMIT;
	for (size_t i = 0; i < len;) {
		size_t end = i, dot = 0;

		while (end < len && (dot = dot_at(s + end, len - end)) == 0)
			end++;
		if (at > 0) {
			if (at + 1 >= size)
				return STERNA_ELIMIT;
			out[at++] = '.';
		}
		if ((rc = prepare_label(s + i, end - i, out + at, size - at)) != STERNA_OK)
			return rc;
		at += strlen(out + at);
		i = end + dot; /* a dot at the very end is dropped (RFC 7622 §3.2) */
	}
	return at > 0 ? check_name(out) : STERNA_EINVAL;
}

/* RFC 3986 §3.2.2 IP-literal; kept in the form of RFC 5952. No zone: it means nothing to a peer. */
static enum sterna_result prepare_ipv6(const char *s, size_t len, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len < 4 || s[len - 1] != ']' || len - 2 >= sizeof text || memchr(s, '\0', len) != NULL)
		return STERNA_EINVAL;
	memcpy(text, s + 1, len - 2);
	text[len - 2] = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1 ||
		inet_ntop(AF_INET6, &address, text, sizeof text) == NULL)
		return STERNA_EINVAL;
	if (strlen(text) + 2 >= size)
		return STERNA_ELIMIT;
	snprintf(out, size, "[%s]", text);
	return STERNA_OK;
}

/* The usual name, in one pass; false leaves the verdict to prepare_name(). */
static bool prepare_ascii(const char *s, size_t len, char *out, size_t size)
{
	size_t start = 0;

	if (len == 0 || len >= size)
		return false;
	if (s[len - 1] == '.')
		len--;
	for (size_t i = 0;; i++) {
		const unsigned char c = i < len ? (unsigned char)s[i] : '.';

		if (c == '.') {
			const size_t n = i - start;

			if (n == 0 || n > LABEL_MAX || s[start] == '-' || s[i - 1] == '-' ||
				(n > 3 && s[start + 2] == '-' && s[start + 3] == '-'))
				return false;
			start = i + 1;
			if (i == len)
				break;
		} else if ((c | 0x20u) - 'a' >= 26u && c - (unsigned)'0' >= 10u && c != '-') {
			return false;
		}
		out[i] = (char)(c + ((c - (unsigned)'A' < 26u) << 5));
	}
	out[len] = '\0';
	return true;
}

enum sterna_result precis_domain(const char *s, size_t len, char *out, size_t size)
{
	if (prepare_ascii(s, len, out, size))
		return STERNA_OK;
	if (len > 0 && s[0] == '[')
		return prepare_ipv6(s, len, out, size);
	return prepare_name(s, len, out, size);
}

enum sterna_result idna_to_ascii(const char *domain, char *out, size_t size)
{
	uint8_t *ace = NULL;
	enum sterna_result rc = STERNA_OK;

	if (*domain != '[') /* an IPv6 literal is no name */
		rc = result_of(idn2_lookup_u8((const uint8_t *)domain, &ace, FLAGS));
	const char *text = ace != NULL ? (const char *)ace : domain;

	if (rc == STERNA_OK && strlen(text) >= size)
		rc = STERNA_ELIMIT;
	if (rc == STERNA_OK)
		memcpy(out, text, strlen(text) + 1);
	idn2_free(ace);
	return rc;
}
