/* sasl_mech.h - the SASL mechanisms and channel binding types that there are, and which of them to offer.
 * Threads: any. */
#ifndef STERNA_SASL_MECH_H
#define STERNA_SASL_MECH_H

#include <stdbool.h>
#include <stddef.h>
#include "server/credential.h"
#include "server/result.h"

/** Mechanisms in the order in which they are offered: the best first. */
enum sasl_mech {
	SASL_EXTERNAL,
	SASL_SCRAM_SHA512_PLUS, SASL_SCRAM_SHA256_PLUS, SASL_SCRAM_SHA1_PLUS,
	SASL_SCRAM_SHA512, SASL_SCRAM_SHA256, SASL_SCRAM_SHA1,
	SASL_PLAIN,
	SASL_ANONYMOUS,
	SASL_MECH_COUNT
};

enum sasl_kind { SASL_KIND_EXTERNAL, SASL_KIND_SCRAM, SASL_KIND_PLAIN, SASL_KIND_ANONYMOUS };

struct sasl_mech_info {
	const char *name;
	unsigned strength;     /* 0: nobody is proven .. 9; for policy, metrics, audit */
	enum sasl_kind kind;
	enum scram_hash hash;  /* SCRAM; for PLAIN the record that is best to have */
	bool plus;             /* SCRAM with channel binding */
};
const struct sasl_mech_info *sasl_mech_info(enum sasl_mech m); /**< static */
bool sasl_mech_from_name(const char *name, enum sasl_mech *out);
static inline const char *sasl_mech_name(enum sasl_mech m)
{
	return sasl_mech_info(m)->name;
}

/** Channel binding types (XEP-0440), the best first. */
enum sasl_binding { SASL_TLS_EXPORTER, SASL_TLS_SERVER_END_POINT, SASL_BINDING_COUNT };
const char *sasl_binding_name(enum sasl_binding b); /**< "tls-exporter" (RFC 9266), "tls-server-end-point" (RFC 5929) */
bool sasl_binding_from_name(const char *name, enum sasl_binding *out);

/** Channel binding data of the connection; as transport_ops.channel_binding. */
typedef enum sterna_result sasl_binding_fn(void *arg, const char *type, unsigned char *out, size_t size, size_t *len);
#define SASL_BINDING_MAX 64
/** The types that fn has data for now: a mask of 1u << enum sasl_binding. */
unsigned sasl_bindings(sasl_binding_fn *fn, void *arg);

struct sasl_state {
	bool secure;              /* TLS is up; without it nothing is offered */
	unsigned bindings;        /* from sasl_bindings() */
	unsigned hashes;          /* 1u << enum scram_hash, which the host has switched on */
	bool plain;               /* the host allows PLAIN */
	bool client_certificate;  /* verified, and names an address (transport_ops.peer_xmpp_addr) */
	bool anonymous;           /* the host is for anonymous users, and for them alone (XEP-0175) */
};
/** What to offer: a mask of 1u << enum sasl_mech. */
unsigned sasl_offer(const struct sasl_state *st);

#endif
