/* SASL exchanges: the input chooses mechanism, offer and the answers of the caller, then brings messages.
 *
 * byte 0: mechanism (SASL_MECH_COUNT: FAST); byte 1: what the server's side does (bits below); then the
 * messages, parted by 0x1D. The nonce of the server cannot be guessed: bytes 0x1C are replaced by it. */
#include <stdlib.h>
#include <string.h>
#include "server/buf.h"
#include "server/fast.h"
#include "server/mem.h"
#include "server/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KNOWN = 1, AWAY = 2, NO_INITIAL = 4, NO_PLUS = 8, NOT_RUN = 16, ABORT = 32, OTHER_HASH = 64 };

/* base64 of the fixed random bytes below, after the client's nonce */
static const char server_nonce[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static const char *const addrs[] = { "user@example.org", "other@example.org", NULL };

static enum sterna_result binding(void *arg, const char *type, unsigned char *out, size_t size, size_t *len)
{
	(void)arg, (void)type, (void)size;
	memcpy(out, "cb", 2);
	*len = 2;
	return STERNA_OK;
}

static const char *peer_addr(void *arg, size_t index)
{
	(void)arg;
	return addrs[index];
}

static void fuzz_fast(const uint8_t *data, size_t size)
{
	static const struct fast_token t = { .token = "token", .mech = FAST_SHA256_NONE, .expires_at_us = 1 };
	struct fast_message m;
	const struct fast_attempt a = { .mech = FAST_SHA256_NONE, .message = &m };
	uint8_t response[SCRAM_KEY_MAX];
	size_t len;

	if (fast_parse(FAST_SHA256_NONE, data, size, &m) == STERNA_OK &&
		fast_verify(&a, NULL, &t, response, &len) == FAST_CURRENT && len != 32)
		abort();
}

/* The caller's half of an event. */
static enum sasl_event serve(struct sasl *s, enum sasl_event e, unsigned how)
{
	static const uint8_t salt[SCRAM_SALT_LEN] = "salt";
	struct credential c;

	if (e == SASL_NEED_CREDENTIALS) {
		if (sasl_username(s) == NULL ||
			scram_derive((how & OTHER_HASH) != 0 ? SCRAM_SHA1 : sasl_hash(s), "pw", 2, salt, sizeof salt, 1, &c) !=
				STERNA_OK)
			abort();
		e = sasl_credentials(s, (how & AWAY) != 0 ? STERNA_EUNAVAILABLE : (how & KNOWN) != 0 ? STERNA_OK : STERNA_ENOTFOUND,
			&c);
	}
	if (e == SASL_NEED_WORK) {
		struct sasl_work *w = sasl_take_work(s);

		if ((how & NOT_RUN) == 0)
			sasl_work_run(w);
		e = sasl_work_done(s, &w);
	}
	return e;
}

static void check(struct sasl *s, enum sasl_event e, unsigned how)
{
	size_t len;

	if (e == SASL_CONTINUE && sasl_output(s, &len) == NULL)
		abort();
	if (e == SASL_SUCCESS && (sasl_username(s) == NULL ||
					 (sasl_mech_info(sasl_mechanism(s))->kind <= SASL_KIND_PLAIN &&
						 sasl_mechanism(s) != SASL_EXTERNAL && (how & KNOWN) == 0)))
		abort();
	if (e == SASL_FAILURE && (sasl_output(s, &len) != NULL || sasl_reason(s) == NULL ||
					 sasl_condition_name(sasl_condition(s)) == NULL))
		abort();
}

static void expand(struct buf *out, const uint8_t *msg, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (msg[i] == 0x1c)
			buf_puts(out, server_nonce);
		else
			buf_putc(out, (char)msg[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_config config = { .host = "example.org", .bindings = 3, .binding = binding, .peer_addr = peer_addr,
		.secret = "sixteen bytes at least", .secret_len = 22, .iterations = 1, .downgrade_protection = true };
	const unsigned mech = size > 0 ? data[0] % (SASL_MECH_COUNT + 1) : 0, how = size > 1 ? data[1] : 0;
	enum sasl_event e = SASL_CONTINUE;
	struct sasl *s;
	bool started = false;

	if (size < 2)
		return 0;
	data += 2, size -= 2;
	if (mech == SASL_MECH_COUNT) {
		fuzz_fast(data, size);
		return 0;
	}
	config.offered = (1u << SASL_MECH_COUNT) - 1;
	if ((how & NO_PLUS) != 0)
		config.offered &= ~(1u << SASL_SCRAM_SHA512_PLUS | 1u << SASL_SCRAM_SHA256_PLUS | 1u << SASL_SCRAM_SHA1_PLUS);
	s = sasl_new(&config);
	for (int step = 0; step < 6 && e == SASL_CONTINUE; step++) {
		const uint8_t *end = size > 0 ? memchr(data, 0x1d, size) : NULL;
		const size_t len = end != NULL ? (size_t)(end - data) : size;
		struct buf msg = BUF_INIT;

		expand(&msg, data, len);
		if (!started && (how & NO_INITIAL) != 0)
			e = sasl_start(s, sasl_mech_name((enum sasl_mech)mech), NULL, 0);
		else if (!started)
			e = sasl_start(s, sasl_mech_name((enum sasl_mech)mech), buf_str(&msg), buf_len(&msg));
		else if ((how & ABORT) != 0)
			e = sasl_abort(s);
		else
			e = sasl_response(s, buf_str(&msg), buf_len(&msg));
		if (started || (how & NO_INITIAL) == 0) {
			data += end != NULL ? len + 1 : len;
			size -= end != NULL ? len + 1 : len;
		}
		started = true;
		buf_release(&msg);
		e = serve(s, e, how);
		check(s, e, how);
	}
	sasl_free(&s);
	return 0;
}
