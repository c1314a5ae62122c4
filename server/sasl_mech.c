/* sasl_mech.c - the table of mechanisms, and what a stream offers of it. */
#include "server/sasl_mech.h"

#include <string.h>
#include <openssl/crypto.h>

static const struct sasl_mech_info mechs[] = {
	[SASL_EXTERNAL] = { "EXTERNAL", 9, SASL_KIND_EXTERNAL },
	[SASL_SCRAM_SHA512_PLUS] = { "SCRAM-SHA-512-PLUS", 8, SASL_KIND_SCRAM, SCRAM_SHA512, true },
	[SASL_SCRAM_SHA256_PLUS] = { "SCRAM-SHA-256-PLUS", 7, SASL_KIND_SCRAM, SCRAM_SHA256, true },
	[SASL_SCRAM_SHA1_PLUS] = { "SCRAM-SHA-1-PLUS", 6, SASL_KIND_SCRAM, SCRAM_SHA1, true },
	[SASL_SCRAM_SHA512] = { "SCRAM-SHA-512", 5, SASL_KIND_SCRAM, SCRAM_SHA512, false },
	[SASL_SCRAM_SHA256] = { "SCRAM-SHA-256", 4, SASL_KIND_SCRAM, SCRAM_SHA256, false },
	[SASL_SCRAM_SHA1] = { "SCRAM-SHA-1", 3, SASL_KIND_SCRAM, SCRAM_SHA1, false },
	[SASL_PLAIN] = { "PLAIN", 1, SASL_KIND_PLAIN, SCRAM_SHA512, false },
	[SASL_ANONYMOUS] = { "ANONYMOUS", 0, SASL_KIND_ANONYMOUS },
};

static const char *const bindings[] = {
	[SASL_TLS_EXPORTER] = "tls-exporter",
	[SASL_TLS_SERVER_END_POINT] = "tls-server-end-point",
};

const struct sasl_mech_info *sasl_mech_info(enum sasl_mech m)
{
	return &mechs[m];
}

bool sasl_mech_from_name(const char *name, enum sasl_mech *out)
{
	for (int m = 0; m < SASL_MECH_COUNT; m++)
		if (strcmp(mechs[m].name, name) == 0) {
			*out = (enum sasl_mech)m;
			return true;
		}
	return false;
}

const char *sasl_binding_name(enum sasl_binding b)
{
	return bindings[b];
}

bool sasl_binding_from_name(const char *name, enum sasl_binding *out)
{
	for (int b = 0; b < SASL_BINDING_COUNT; b++)
		if (strcmp(bindings[b], name) == 0) {
			*out = (enum sasl_binding)b;
			return true;
		}
	return false;
}

unsigned sasl_bindings(sasl_binding_fn *fn, void *arg)
{
	unsigned mask = 0;
	unsigned char data[SASL_BINDING_MAX];
	size_t len;

	for (int b = 0; b < SASL_BINDING_COUNT; b++)
		if (fn(arg, bindings[b], data, sizeof data, &len) == STERNA_OK)
			mask |= 1u << b;
	OPENSSL_cleanse(data, sizeof data);
	return mask;
}

unsigned sasl_offer(const struct sasl_state *st)
{
	unsigned mask = 0;

	if (!st->secure)
		return 0;
	if (st->anonymous)
		return 1u << SASL_ANONYMOUS;
	if (st->client_certificate)
		mask |= 1u << SASL_EXTERNAL;
	for (int m = 0; m < SASL_MECH_COUNT; m++)
		if (mechs[m].kind == SASL_KIND_SCRAM && (st->hashes & 1u << mechs[m].hash) != 0 &&
			(!mechs[m].plus || st->bindings != 0))
			mask |= 1u << m;
	if (st->plain)
		mask |= 1u << SASL_PLAIN;
	return mask;
}
