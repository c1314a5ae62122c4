/* FAST tokens: good once proven, for one mechanism, for a time, and never twice by 0-RTT. */
#include "server/fast.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000

static const uint8_t cb[] = "binding";

/* What a client sends. Returns the length. */
static size_t initiate(enum fast_mech m, const char *token, const char *user, char *out)
{
	const enum scram_hash h = strstr(fast_mech_name(m), "512") != NULL ? SCRAM_SHA512 : SCRAM_SHA256;
	char data[64] = "Initiator";
	size_t len = 9, n = strlen(user) + 1;

	if (fast_mech_binding(m) != NULL) {
		memcpy(data + 9, cb, sizeof cb);
		len += sizeof cb;
	}
	memcpy(out, user, n);
	scram_hmac(h, token, strlen(token), data, len, (uint8_t *)out + n);
	return n + scram_hash_size(h);
}

static struct fast_token token(uint8_t seed, enum fast_mech m)
{
	uint8_t random[FAST_RANDOM_LEN];
	struct fast_token t;

	memset(random, seed, sizeof random);
	fast_token_init(&t, random, m, NOW + 1);
	return t;
}

/* The verdict on a proof of t, where the server knows newer and current. */
static enum fast_verdict try(const struct fast_token *t, const struct fast_token *newer,
	const struct fast_token *current, struct fast_attempt a)
{
	char msg[FAST_MESSAGE_MAX];
	struct fast_message m;
	uint8_t response[SCRAM_KEY_MAX];
	size_t len;

	ck_assert_int_eq(fast_parse(a.mech, msg, initiate(a.mech, t->token, "user", msg), &m), STERNA_OK);
	ck_assert_str_eq(m.username, "user");
	a.message = &m;
	if (a.now_us == 0)
		a.now_us = NOW;
	if (fast_mech_binding(a.mech) != NULL && a.binding == NULL) {
		a.binding = cb;
		a.binding_len = sizeof cb;
	}
	return fast_verify(&a, newer, current, response, &len);
}

START_TEST(proven_token_is_answered_by_the_responder)
{
	/* HMAC-SHA-256("secret-token", "Initiator" || 01 02), computed with Python's hmac */
	static const uint8_t proof[] = { 0xcc, 0x4d, 0x1b, 0xf6, 0x9d, 0x8a, 0xfa, 0x0e, 0x18, 0xf7, 0x58, 0x3c,
		0x68, 0x11, 0x75, 0x8a, 0xd7, 0xfc, 0xe9, 0x52, 0x30, 0x5e, 0x27, 0x33, 0x2d, 0x61, 0x0b, 0x6f,
		0x51, 0x94, 0x1c, 0xc5 };
	struct fast_token t = { .token = "secret-token", .mech = FAST_SHA256_EXPR, .expires_at_us = NOW + 1 };
	struct fast_message m = { .username = "user" };
	struct fast_attempt a = { .mech = FAST_SHA256_EXPR, .message = &m, .binding = (const uint8_t *)"\1\2",
		.binding_len = 2, .now_us = NOW };
	uint8_t response[SCRAM_KEY_MAX], want[32];
	size_t len = 0;

	memcpy(m.proof, proof, sizeof proof);
	ck_assert_int_eq(fast_verify(&a, NULL, &t, response, &len), FAST_CURRENT);
	scram_hmac(SCRAM_SHA256, "secret-token", 12, "Responder\1\2", 11, want);
	ck_assert_uint_eq(len, 32);
	ck_assert_mem_eq(response, want, 32);
}
END_TEST

START_TEST(newer_and_current_token_are_told_apart)
{
	const struct fast_token a = token(1, (enum fast_mech)_i), b = token(2, (enum fast_mech)_i),
		c = token(3, (enum fast_mech)_i);
	const struct fast_attempt at = { .mech = (enum fast_mech)_i };

	ck_assert_int_eq(try(&a, &a, &b, at), FAST_NEW);
	ck_assert_int_eq(try(&b, &a, &b, at), FAST_CURRENT);
	ck_assert_int_eq(try(&b, NULL, &b, at), FAST_CURRENT);
	ck_assert_int_eq(try(&a, &a, NULL, at), FAST_NEW);
	ck_assert_int_eq(try(&c, &a, &b, at), FAST_DENIED);
	ck_assert_int_eq(try(&a, NULL, NULL, at), FAST_DENIED);
}
END_TEST

START_TEST(empty_token_proves_nothing)
{
	const struct fast_token empty = { .mech = FAST_SHA256_NONE, .expires_at_us = NOW + 1 };
	const struct fast_attempt at = { .mech = FAST_SHA256_NONE };

	ck_assert_int_eq(try(&empty, NULL, NULL, at), FAST_DENIED);
	ck_assert_int_eq(try(&empty, &empty, NULL, at), FAST_DENIED);
}
END_TEST

START_TEST(token_is_bound_to_its_mechanism)
{
	const struct fast_token t = token(1, FAST_SHA256_EXPR);

	for (int m = 0; m < FAST_MECH_COUNT; m++)
		ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = (enum fast_mech)m }),
			m == FAST_SHA256_EXPR ? FAST_NEW : FAST_DENIED);
}
END_TEST

START_TEST(token_of_another_connection_is_denied)
{
	const struct fast_token t = token(1, FAST_SHA256_ENDP);
	uint8_t big[SASL_BINDING_MAX + 1] = { 0 };

	ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = FAST_SHA256_ENDP, .binding = cb,
		.binding_len = sizeof cb - 1 }), FAST_DENIED);
	ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = FAST_SHA256_ENDP, .binding = cb }), FAST_DENIED);
	ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = FAST_SHA256_ENDP, .binding = big,
		.binding_len = sizeof big }), FAST_DENIED);
}
END_TEST

START_TEST(token_expires)
{
	const struct fast_token t = token(1, FAST_SHA256_NONE);

	ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = FAST_SHA256_NONE, .now_us = NOW }), FAST_NEW);
	ck_assert_int_eq(try(&t, &t, NULL, (struct fast_attempt){ .mech = FAST_SHA256_NONE, .now_us = NOW + 1 }),
		FAST_EXPIRED);
}
END_TEST

START_TEST(count_guards_against_replay)
{
	struct fast_token t = token(1, FAST_SHA256_NONE);
	struct fast_attempt a = { .mech = FAST_SHA256_NONE, .early_data = true };

	t.count = 7;
	ck_assert_int_eq(try(&t, NULL, &t, a), FAST_REPLAYED);
	a.count = 7;
	ck_assert_int_eq(try(&t, NULL, &t, a), FAST_REPLAYED);
	a.count = 8;
	ck_assert_int_eq(try(&t, NULL, &t, a), FAST_CURRENT);
	a.early_data = false;
	a.count = 6;
	ck_assert_int_eq(try(&t, NULL, &t, a), FAST_REPLAYED);
	a.count = 0;
	ck_assert_int_eq(try(&t, NULL, &t, a), FAST_CURRENT);
}
END_TEST

START_TEST(message_keeps_to_the_grammar)
{
	char msg[FAST_MESSAGE_MAX + 64];
	struct fast_message m;
	size_t len = initiate(FAST_SHA256_NONE, "t", "User", msg);

	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg, len, &m), STERNA_OK);
	ck_assert_str_eq(m.username, "user");
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg, len - 1, &m), STERNA_EINVAL);
	ck_assert_int_eq(fast_parse(FAST_SHA512_NONE, msg, len, &m), STERNA_EINVAL);
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, "", 0, &m), STERNA_EINVAL);
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg + 4, len - 4, &m), STERNA_EINVAL);
	msg[1] = '\0';
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg, len, &m), STERNA_EINVAL);
	len = initiate(FAST_SHA256_NONE, "t", "a@b", msg);
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg, len, &m), STERNA_EDENIED);
	memset(msg, 'a', sizeof msg);
	ck_assert_int_eq(fast_parse(FAST_SHA256_NONE, msg, sizeof msg, &m), STERNA_EINVAL);
}
END_TEST

START_TEST(offer_follows_channel_binding)
{
	enum fast_mech m;

	ck_assert_uint_eq(fast_offer(0), 1u << FAST_SHA256_NONE | 1u << FAST_SHA512_NONE);
	ck_assert_uint_eq(fast_offer(1u << SASL_TLS_EXPORTER | 1u << SASL_TLS_SERVER_END_POINT), (1u << FAST_MECH_COUNT) - 1);
	ck_assert(fast_mech_from_name("HT-SHA-256-ENDP", &m));
	ck_assert_str_eq(fast_mech_binding(m), "tls-server-end-point");
	ck_assert(!fast_mech_from_name("HT-SHA-256-UNIQ", &m));
}
END_TEST

START_TEST(tokens_are_text_and_differ)
{
	struct fast_token a = token(1, FAST_SHA256_NONE);
	const struct fast_token b = token(2, FAST_SHA256_NONE);

	ck_assert_uint_eq(strlen(a.token), 44);
	ck_assert_str_ne(a.token, b.token);
	fast_token_clear(&a);
	ck_assert_str_eq(a.token, "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fast");
	TCase *tc = tcase_create("fast");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(tc, proven_token_is_answered_by_the_responder);
	tcase_add_loop_test(tc, newer_and_current_token_are_told_apart, 0, FAST_MECH_COUNT);
	tcase_add_test(tc, empty_token_proves_nothing);
	tcase_add_test(tc, token_is_bound_to_its_mechanism);
	tcase_add_test(tc, token_of_another_connection_is_denied);
	tcase_add_test(tc, token_expires);
	tcase_add_test(tc, count_guards_against_replay);
	tcase_add_test(tc, message_keeps_to_the_grammar);
	tcase_add_test(tc, offer_follows_channel_binding);
	tcase_add_test(tc, tokens_are_text_and_differ);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
