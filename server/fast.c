/* fast.c - XEP-0484 tokens and the HT-* mechanisms. */
#include "server/fast.h"

#include <string.h>
#include <openssl/crypto.h>
#include "server/base64.h"
#include "server/jid.h"

enum { BINDING_NONE = SASL_BINDING_COUNT };

static const struct {
	const char *name;
	enum scram_hash hash;
	unsigned binding;
} mechs[] = {
	[FAST_SHA512_EXPR] = { "HT-SHA-512-EXPR", SCRAM_SHA512, SASL_TLS_EXPORTER },
	[FAST_SHA256_EXPR] = { "HT-SHA-256-EXPR", SCRAM_SHA256, SASL_TLS_EXPORTER },
	[FAST_SHA512_ENDP] = { "HT-SHA-512-ENDP", SCRAM_SHA512, SASL_TLS_SERVER_END_POINT },
	[FAST_SHA256_ENDP] = { "HT-SHA-256-ENDP", SCRAM_SHA256, SASL_TLS_SERVER_END_POINT },
	[FAST_SHA512_NONE] = { "HT-SHA-512-NONE", SCRAM_SHA512, BINDING_NONE },
	[FAST_SHA256_NONE] = { "HT-SHA-256-NONE", SCRAM_SHA256, BINDING_NONE },
};

const char *fast_mech_name(enum fast_mech m)
{
	return mechs[m].name;
}

bool fast_mech_from_name(const char *name, enum fast_mech *out)
{
	for (int m = 0; m < FAST_MECH_COUNT; m++)
		if (strcmp(mechs[m].name, name) == 0) {
			*out = (enum fast_mech)m;
			return true;
		}
	return false;
}

const char *fast_mech_binding(enum fast_mech m)
{
	return mechs[m].binding == BINDING_NONE ? NULL : sasl_binding_name((enum sasl_binding)mechs[m].binding);
}

unsigned fast_offer(unsigned bindings)
{
	unsigned mask = 0;

	for (int m = 0; m < FAST_MECH_COUNT; m++)
		if (mechs[m].binding == BINDING_NONE || (bindings & 1u << mechs[m].binding) != 0)
			mask |= 1u << m;
	return mask;
}

void fast_token_init(struct fast_token *t, const uint8_t *random, enum fast_mech m, int64_t expires_at_us)
{
	_Static_assert(BASE64_TEXT_LEN(FAST_RANDOM_LEN) < FAST_TOKEN_SIZE, "a token fits");
	memset(t, 0, sizeof *t);
	if (base64_encode(random, FAST_RANDOM_LEN, t->token, sizeof t->token) != STERNA_OK)
		OPENSSL_die("token does not fit", __FILE__, __LINE__);
	t->mech = m;
	t->expires_at_us = expires_at_us;
}

void fast_token_clear(struct fast_token *t)
{
	OPENSSL_cleanse(t, sizeof *t);
}

enum sterna_result fast_parse(enum fast_mech m, const void *msg, size_t len, struct fast_message *out)
{
	const size_t size = scram_hash_size(mechs[m].hash);
	const char *text = msg;

	/* The proof may hold any byte; the name ends where the proof has to begin, and holds no NUL. */
	if (len < size + 2 || len > FAST_MESSAGE_MAX || text[len - size - 1] != '\0' ||
		memchr(text, '\0', len - size - 1) != NULL)
		return STERNA_EINVAL;
	memset(out, 0, sizeof *out);
	memcpy(out->proof, text + len - size, size);
	if (precis_username(text, len - size - 1, out->username, sizeof out->username) != STERNA_OK)
		return STERNA_EDENIED;
	return STERNA_OK;
}

/* HMAC(token, role || channel binding data) */
static void hashed_token(const struct fast_attempt *a, const struct fast_token *t, const char *role, uint8_t *out)
{
	uint8_t data[16 + SASL_BINDING_MAX];
	const size_t role_len = strlen(role);

	memcpy(data, role, role_len);
	if (a->binding_len > 0)
		memcpy(data + role_len, a->binding, a->binding_len);
	scram_hmac(mechs[a->mech].hash, t->token, strlen(t->token), data, role_len + a->binding_len, out);
	OPENSSL_cleanse(data, sizeof data);
}

static bool proves(const struct fast_attempt *a, const struct fast_token *t)
{
	static const struct fast_token nobody;
	uint8_t want[SCRAM_KEY_MAX];
	bool same;

	hashed_token(a, t != NULL ? t : &nobody, "Initiator", want);
	same = CRYPTO_memcmp(want, a->message->proof, scram_hash_size(mechs[a->mech].hash)) == 0;
	OPENSSL_cleanse(want, sizeof want);
	return same && t != NULL && t->token[0] != '\0' && t->mech == a->mech;
}

enum fast_verdict fast_verify(const struct fast_attempt *a, const struct fast_token *newer,
	const struct fast_token *current, uint8_t response[SCRAM_KEY_MAX], size_t *response_len)
{
	const struct fast_token *t;
	bool by_newer, by_current;

	if (a->binding_len > SASL_BINDING_MAX || (a->binding_len == 0) != (fast_mech_binding(a->mech) == NULL))
		return FAST_DENIED;
	by_newer = proves(a, newer);
	by_current = proves(a, current);
	t = by_newer ? newer : current;
	if (!by_newer && !by_current)
		return FAST_DENIED;
	if (t->expires_at_us <= a->now_us)
		return FAST_EXPIRED;
	if ((a->early_data && a->count == 0) || (a->count != 0 && a->count <= t->count))
		return FAST_REPLAYED;
	hashed_token(a, t, "Responder", response);
	*response_len = scram_hash_size(mechs[a->mech].hash);
	return by_newer ? FAST_NEW : FAST_CURRENT;
}
