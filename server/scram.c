/* scram.c - SCRAM messages: taken apart strictly (RFC 5802 §7), put together, compared. */
#include "server/scram.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "server/base64.h"
#include "server/mem.h"
#include "server/utf.h"

struct scram {
	enum scram_hash hash;
	bool plus, plus_offered, known;
	char *gs2;              /* "p=tls-exporter,," as it came; part of c= */
	char *username, *authzid, *binding;
	char *first_bare;       /* client-first-message-bare */
	char *client_nonce;
	struct buf nonce;       /* the client's and ours */
	struct buf server_first;
	struct credential cred;
};

const char *scram_status_text(enum scram_status s)
{
	static const char *const texts[] = {
		[SCRAM_OK] = "ok",
		[SCRAM_MALFORMED] = "malformed SCRAM message",
		[SCRAM_DOWNGRADED] = "the client did not see that channel binding is offered",
		[SCRAM_WRONG_NONCE] = "nonce of another exchange",
		[SCRAM_WRONG_BINDING] = "channel binding does not match",
		[SCRAM_WRONG_PROOF] = "wrong proof",
	};

	return texts[s];
}

struct scram *scram_new(enum scram_hash h, bool plus, bool plus_offered)
{
	struct scram *s = xalloc(sizeof *s);

	s->hash = h;
	s->plus = plus;
	s->plus_offered = plus_offered;
	return s;
}

void scram_free(struct scram **sp)
{
	struct scram *s = *sp;

	if (s == NULL)
		return;
	free(s->gs2);
	free(s->username);
	free(s->authzid);
	free(s->binding);
	free(s->first_bare);
	free(s->client_nonce);
	buf_release(&s->nonce);
	buf_release(&s->server_first);
	credential_clear(&s->cred);
	free(s);
	*sp = NULL;
}

const char *scram_username(const struct scram *s)
{
	return s->username;
}

const char *scram_authzid(const struct scram *s)
{
	return s->authzid;
}

const char *scram_binding(const struct scram *s)
{
	return s->binding;
}

/* --- grammar --- */

struct cursor {
	const char *at, *end;
};

struct attr {
	char name;
	const char *value;
	size_t len;
};

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The next attr-val and the comma after it. A comma must be followed by another attribute. */
static bool take_attr(struct cursor *c, struct attr *out)
{
	const char *comma;

	if (c->end - c->at < 3 || !is_alpha(c->at[0]) || c->at[1] != '=' || c->at[2] == ',')
		return false;
	comma = memchr(c->at, ',', (size_t)(c->end - c->at));
	out->name = c->at[0];
	out->value = c->at + 2;
	out->len = (size_t)((comma != NULL ? comma : c->end) - out->value);
	c->at = comma != NULL ? comma + 1 : c->end;
	return comma == NULL || c->at < c->end;
}

/* Optional extensions are ignored (§5.1); those with a meaning elsewhere, and m=, are not extensions. */
static bool skip_extensions(struct cursor *c)
{
	struct attr a;

	while (c->at < c->end)
		if (!take_attr(c, &a) || strchr("anmrcsipve", a.name) != NULL)
			return false;
	return true;
}

/* value-char: UTF-8 without NUL. */
static bool is_text(const char *msg, size_t len)
{
	int32_t i = 0;

	if (len == 0 || len > SCRAM_MESSAGE_MAX)
		return false;
	while (i < (int32_t)len) {
		const UChar32 c = utf8_next(msg, &i, (int32_t)len);

		if (c <= 0)
			return false;
	}
	return true;
}

static bool is_nonce(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	return len > 0;
}

static bool is_binding_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_alpha(s[i]) && !(s[i] >= '0' && s[i] <= '9') && s[i] != '.' && s[i] != '-')
			return false;
	return len > 0;
}

/* saslname: "=2C" and "=3D" stand for ',' and '='. New, NULL if it is none. */
static char *unescape(const char *s, size_t len)
{
	char *out = xalloc(len + 1), *o = out;

	for (size_t i = 0; i < len; i++) {
		if (s[i] != '=') {
			*o++ = s[i];
		} else if (len - i >= 3 && (memcmp(s + i, "=2C", 3) == 0 || memcmp(s + i, "=3D", 3) == 0)) {
			*o++ = s[i + 1] == '2' ? ',' : '=';
			i += 2;
		} else {
			free(out);
			return NULL;
		}
	}
	return out;
}

/* gs2-header: flag "," [ "a=" saslname ] "," */
static enum scram_status take_gs2(struct scram *s, struct cursor *c)
{
	const char *start = c->at, *comma = memchr(c->at, ',', (size_t)(c->end - c->at));
	const char flag = *start;

	if (comma == NULL)
		return SCRAM_MALFORMED;
	if (flag == 'p' && comma - start > 2 && start[1] == '=' && is_binding_name(start + 2, (size_t)(comma - start - 2)))
		s->binding = xstrndup(start + 2, (size_t)(comma - start - 2));
	else if ((flag != 'n' && flag != 'y') || comma - start != 1)
		return SCRAM_MALFORMED;
	if ((flag == 'p') != s->plus) /* §6: p= with -PLUS and nowhere else */
		return SCRAM_MALFORMED;
	c->at = comma + 1;
	comma = memchr(c->at, ',', (size_t)(c->end - c->at));
	if (comma == NULL)
		return SCRAM_MALFORMED;
	if (comma > c->at) {
		if (comma - c->at < 3 || memcmp(c->at, "a=", 2) != 0)
			return SCRAM_MALFORMED;
		s->authzid = unescape(c->at + 2, (size_t)(comma - c->at - 2));
		if (s->authzid == NULL)
			return SCRAM_MALFORMED;
	}
	c->at = comma + 1;
	s->gs2 = xstrndup(start, (size_t)(c->at - start));
	return flag == 'y' && s->plus_offered ? SCRAM_DOWNGRADED : SCRAM_OK;
}

enum scram_status scram_first(struct scram *s, const char *msg, size_t len)
{
	struct cursor c = { msg, msg + len };
	struct attr name, nonce;
	enum scram_status st;

	if (!is_text(msg, len))
		return SCRAM_MALFORMED;
	st = take_gs2(s, &c);
	if (st != SCRAM_OK)
		return st;
	s->first_bare = xstrndup(c.at, (size_t)(c.end - c.at));
	if (!take_attr(&c, &name) || name.name != 'n' || !take_attr(&c, &nonce) || nonce.name != 'r' ||
		!is_nonce(nonce.value, nonce.len) || !skip_extensions(&c))
		return SCRAM_MALFORMED;
	s->username = unescape(name.value, name.len);
	if (s->username == NULL)
		return SCRAM_MALFORMED;
	s->client_nonce = xstrndup(nonce.value, nonce.len);
	return SCRAM_OK;
}

/* --- the answers --- */

static void add_base64(struct buf *out, const void *bytes, size_t len)
{
	const size_t n = BASE64_TEXT_LEN(len);

	if (base64_encode(bytes, len, buf_reserve(out, n + 1), n + 1) == STERNA_OK)
		out->len += n;
}

void scram_challenge(struct scram *s, const struct credential *c, bool known, const char *nonce,
	const char *offer_hash, struct buf *out)
{
	s->cred = *c;
	s->known = known;
	buf_puts(&s->nonce, s->client_nonce);
	buf_puts(&s->nonce, nonce);
	buf_addf(&s->server_first, "r=%s,s=", buf_str(&s->nonce));
	add_base64(&s->server_first, c->salt, c->salt_len);
	buf_addf(&s->server_first, ",i=%u", (unsigned)c->iterations);
	if (offer_hash != NULL)
		buf_addf(&s->server_first, ",h=%s", offer_hash);
	buf_add(out, buf_data(&s->server_first), buf_len(&s->server_first));
}

static bool same_bytes(const struct buf *b, const char *s, size_t len)
{
	return buf_len(b) == len && CRYPTO_memcmp(buf_data(b), s, len) == 0;
}

/* §5.1 c=: the GS2 header as it came in the first message, then the binding of this connection. */
static bool binding_matches(const struct scram *s, const struct attr *c, const uint8_t *data, size_t len)
{
	struct buf raw = BUF_INIT, want = BUF_INIT;
	bool same;

	buf_puts(&raw, s->gs2);
	if (len > 0)
		buf_add(&raw, data, len);
	add_base64(&want, buf_data(&raw), buf_len(&raw));
	same = same_bytes(&want, c->value, c->len);
	buf_release(&raw);
	buf_release(&want);
	return same;
}

/* §3: ClientKey = proof XOR HMAC(StoredKey, AuthMessage), and H(ClientKey) is stored. */
static bool proof_matches(const struct scram *s, const uint8_t *proof, const struct buf *auth)
{
	const size_t size = scram_hash_size(s->hash);
	uint8_t key[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX];
	bool same;

	scram_hmac(s->hash, s->cred.stored_key, size, buf_data(auth), buf_len(auth), key);
	for (size_t i = 0; i < size; i++)
		key[i] ^= proof[i];
	scram_digest(s->hash, key, size, stored);
	same = CRYPTO_memcmp(stored, s->cred.stored_key, size) == 0;
	OPENSSL_cleanse(key, sizeof key);
	return same && s->known;
}

/* c= r= extensions p=, in this order; without: what stands before ",p=". */
static bool parse_final(const char *msg, size_t len, struct attr *c, struct attr *r, uint8_t *proof,
	size_t *proof_len, size_t *without)
{
	struct cursor cur;
	const char *p = NULL;

	if (!is_text(msg, len))
		return false;
	for (const char *at = msg + len; p == NULL && at > msg; at--)
		if (at[-1] == ',')
			p = at - 1;
	if (p == NULL || msg + len - p < 4 || p[1] != 'p' || p[2] != '=')
		return false;
	*without = (size_t)(p - msg);
	cur = (struct cursor){ msg, p };
	if (!take_attr(&cur, c) || c->name != 'c' || !take_attr(&cur, r) || r->name != 'r' || !skip_extensions(&cur))
		return false;
	switch (base64_decode(p + 3, (size_t)(msg + len - p - 3), proof, SCRAM_KEY_MAX, proof_len)) {
	case STERNA_OK:
		return true;
	case STERNA_ELIMIT: /* longer than any hash: a wrong proof, not wrong grammar */
		*proof_len = 0;
		return true;
	default:
		return false;
	}
}

enum scram_status scram_final(struct scram *s, const char *msg, size_t msg_len, const uint8_t *data, size_t len,
	struct buf *out)
{
	const size_t size = scram_hash_size(s->hash);
	uint8_t proof[SCRAM_KEY_MAX], signature[SCRAM_KEY_MAX];
	struct buf auth = BUF_INIT;
	struct attr c, r;
	size_t proof_len, without;
	bool good;

	if (!parse_final(msg, msg_len, &c, &r, proof, &proof_len, &without))
		return SCRAM_MALFORMED;
	if (!same_bytes(&s->nonce, r.value, r.len))
		return SCRAM_WRONG_NONCE;
	if (!binding_matches(s, &c, data, len))
		return SCRAM_WRONG_BINDING;
	if (proof_len != size)
		return SCRAM_WRONG_PROOF;
	buf_addf(&auth, "%s,%s,", s->first_bare, buf_str(&s->server_first));
	buf_add(&auth, msg, without);
	good = proof_matches(s, proof, &auth);
	scram_hmac(s->hash, s->cred.server_key, size, buf_data(&auth), buf_len(&auth), signature);
	buf_release(&auth);
	if (!good)
		return SCRAM_WRONG_PROOF;
	buf_puts(out, "v=");
	add_base64(out, signature, size);
	return SCRAM_OK;
}

/* --- XEP-0474 --- */

static int by_octets(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted by octets (RFC 4790 §9.3), joined by 0x1E. */
static void add_sorted(struct buf *out, const char *const *list)
{
	const char *sorted[SCRAM_OFFER_MAX];
	size_t n = 0;

	while (n < SCRAM_OFFER_MAX && list[n] != NULL) {
		sorted[n] = list[n];
		n++;
	}
	/* cppcheck-suppress uninitvar ; n of them are set */
	qsort(sorted, n, sizeof sorted[0], by_octets);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(out, 0x1e);
		buf_puts(out, sorted[i]);
	}
}

void scram_offer_hash(enum scram_hash h, const char *const *mechanisms, const char *const *types, struct buf *out)
{
	struct buf list = BUF_INIT;
	uint8_t digest[SCRAM_KEY_MAX];

	add_sorted(&list, mechanisms);
	if (types != NULL) {
		buf_putc(&list, 0x1f);
		add_sorted(&list, types);
	}
	scram_digest(h, buf_str(&list), buf_len(&list), digest);
	add_base64(out, digest, scram_hash_size(h));
	buf_release(&list);
}
