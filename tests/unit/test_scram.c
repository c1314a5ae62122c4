/* SCRAM: the vectors of the RFCs, and every way to get it wrong. */
#include "server/scram.h"

#include <check.h>
#include <stdlib.h>
#include "tests/unit/scram_client.h"

#define RFC_SALT "QSXCR+Q6sek8bf92"
#define CLIENT_NONCE "fyko+d2lbbFgONRv9qkxdawL"
#define SERVER_NONCE "3rfcNHYJY1ZVvWVs7j"
#define FIRST "n,,n=user,r=" CLIENT_NONCE
#define NONCE CLIENT_NONCE SERVER_NONCE

static struct credential record(enum scram_hash h, const char *password, const char *salt_text)
{
	struct credential c;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t len = 0;

	ck_assert_int_eq(base64_decode(salt_text, strlen(salt_text), salt, sizeof salt, &len), STERNA_OK);
	ck_assert_int_eq(scram_derive(h, password, strlen(password), salt, len, 4096, &c), STERNA_OK);
	return c;
}

static struct vector {
	enum scram_hash hash;
	bool plus;
	const char *salt, *first, *server_nonce, *offer_hash, *challenge, *final, *binding, *end;
} vectors[] = {
	/* RFC 5802 §5 */
	{ SCRAM_SHA1, false, RFC_SALT, FIRST, SERVER_NONCE, NULL, "r=" NONCE ",s=" RFC_SALT ",i=4096",
		"c=biws,r=" NONCE ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	/* RFC 7677 §3 */
	{ SCRAM_SHA256, false, "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", NULL,
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
	/* computed with Python's hashlib */
	{ SCRAM_SHA512, false, RFC_SALT, FIRST, SERVER_NONCE, NULL, "r=" NONCE ",s=" RFC_SALT ",i=4096",
		"c=biws,r=" NONCE ",p=VdS8LkrURiej1tG6iX+fqCXQfUnBb//d9llXYaH+ylUbDwBUz9geyR9fC4TewskRUM2tlYSalhAT4Aay1Q5dTA==",
		"", "v=14PAAuavk9hxBEkgB0brDxUhvWu+N16meYk+qxVNFqchR8QPohM09Y4Z6WaTCuX4C6nqMB9KIJTDm6RpSM990g==" },
	/* XEP-0474 §5.3: with channel binding, h= and an extension of the client's */
	{ SCRAM_SHA1, true, RFC_SALT, "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6",
		"a09117a6-ac50-4f2f-93f1-93799c2bddf6", "G6k/rBLDqgOhRRaCuuatSDFkJ08=",
		"r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=" RFC_SALT
		",i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
		"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,"
		"r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,"
		"x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
		"THIS IS FAKE CB DATA", "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=" },
};

START_TEST(published_exchanges_are_reproduced)
{
	const struct vector *v = &vectors[_i];
	const struct credential c = record(v->hash, "pencil", v->salt);
	struct scram *s = scram_new(v->hash, v->plus, v->plus);
	struct buf out = BUF_INIT;

	ck_assert_int_eq(scram_first(s, v->first, strlen(v->first)), SCRAM_OK);
	ck_assert_str_eq(scram_username(s), "user");
	ck_assert_ptr_null(scram_authzid(s));
	scram_challenge(s, &c, true, v->server_nonce, v->offer_hash, &out);
	ck_assert_str_eq(buf_str(&out), v->challenge);
	buf_release(&out);
	ck_assert_int_eq(scram_final(s, v->final, strlen(v->final), (const uint8_t *)v->binding, strlen(v->binding),
				 &out), SCRAM_OK);
	ck_assert_str_eq(buf_str(&out), v->end);
	buf_release(&out);
	scram_free(&s);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(offer_hash_is_that_of_xep_0474)
{
	const char *const mechs[] = { "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", NULL };
	const char *const types[] = { "tls-server-end-point", "tls-exporter", NULL };
	struct buf with = BUF_INIT, without = BUF_INIT;

	scram_offer_hash(SCRAM_SHA1, mechs, types, &with);
	ck_assert_str_eq(buf_str(&with), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
	scram_offer_hash(SCRAM_SHA1, mechs, NULL, &without);
	ck_assert_str_ne(buf_str(&with), buf_str(&without));
	buf_release(&with);
	buf_release(&without);
}
END_TEST

#define MSG(literal) literal, sizeof(literal) - 1

static const struct {
	const char *msg;
	size_t len;
	enum scram_status want;
} firsts[] = {
	{ MSG(FIRST), SCRAM_OK },
	{ MSG("y,,n=user,r=abc"), SCRAM_OK },
	{ MSG("n,a=user@example.org,n=user,r=abc"), SCRAM_OK },
	{ MSG("n,,n=user,r=abc,x=ignored,y=too"), SCRAM_OK },
	{ MSG("n,,n=\xc3\xa9t\xc3\xa9,r=abc"), SCRAM_OK },
	{ MSG(""), SCRAM_MALFORMED },
	{ MSG("n"), SCRAM_MALFORMED },
	{ MSG("n,"), SCRAM_MALFORMED },
	{ MSG("n,,"), SCRAM_MALFORMED },
	{ MSG("n,,n=,r="), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r="), SCRAM_MALFORMED },
	{ MSG("n,,n=,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,,x=1"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,x"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,x="), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,1=2"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,m=ext"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,r=def"), SCRAM_MALFORMED },
	{ MSG("n,,n=alice,r=abc,n=bob"), SCRAM_MALFORMED },
	{ MSG("n,,r=abc,n=alice"), SCRAM_MALFORMED },
	{ MSG("n,,m=ext,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n,,x=1,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("x,,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("N,,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("nn,,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG(",,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n,,n=a=ZZb,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=a=2,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=a=2c,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=a=,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=a,b,r=abc"), SCRAM_MALFORMED },
	{ MSG("\0\0\0"), SCRAM_MALFORMED },
	{ MSG("n,,n=a\0b,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=\xff\xfe,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=\xc3,r=abc"), SCRAM_MALFORMED },
	{ MSG("n,,n=a,r=\x00\x01"), SCRAM_MALFORMED },
	{ MSG("n,,n=a,r=a\x01"), SCRAM_MALFORMED },
	{ MSG("n,,n=a,r=a b"), SCRAM_MALFORMED },
	{ MSG("n,,n=a,r=\xc3\xa9"), SCRAM_MALFORMED },
	{ MSG("n,a=,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n,b=x,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n,a=x=,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("n,a=x"), SCRAM_MALFORMED },
	{ MSG("p=tls-exporter,,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("p=,,n=a,r=b"), SCRAM_MALFORMED },
	{ MSG("p,,n=a,r=b"), SCRAM_MALFORMED },
};

START_TEST(first_message_keeps_to_the_grammar)
{
	struct scram *s = scram_new(SCRAM_SHA1, false, false);

	ck_assert_msg(scram_first(s, firsts[_i].msg, firsts[_i].len) == firsts[_i].want, "%s", firsts[_i].msg);
	scram_free(&s);
}
END_TEST

START_TEST(first_message_has_a_limit)
{
	static char msg[SCRAM_MESSAGE_MAX + 64];
	struct scram *s = scram_new(SCRAM_SHA1, false, false);
	size_t len;

	strcpy(msg, "n,,n=");
	memset(msg + 5, 'a', SCRAM_MESSAGE_MAX);
	strcat(msg, ",r=b");
	len = strlen(msg);
	ck_assert_int_eq(scram_first(s, msg, len), SCRAM_MALFORMED);
	scram_free(&s);
}
END_TEST

START_TEST(plus_wants_channel_binding_and_nothing_else_may)
{
	static const char *const bad[] = { "n,,n=a,r=b", "y,,n=a,r=b", "p=,,n=a,r=b", "p=tls exporter,,n=a,r=b", "p=x" };
	struct scram *s;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		s = scram_new(SCRAM_SHA256, true, true);
		ck_assert_int_eq(scram_first(s, bad[i], strlen(bad[i])), SCRAM_MALFORMED);
		scram_free(&s);
	}
	s = scram_new(SCRAM_SHA256, true, true);
	ck_assert_int_eq(scram_first(s, MSG("p=tls-exporter,,n=a,r=b")), SCRAM_OK);
	ck_assert_str_eq(scram_binding(s), "tls-exporter");
	scram_free(&s);
}
END_TEST

START_TEST(y_flag_is_refused_when_plus_was_offered)
{
	struct scram *s = scram_new(SCRAM_SHA256, false, true);

	ck_assert_int_eq(scram_first(s, MSG("y,,n=a,r=b")), SCRAM_DOWNGRADED);
	scram_free(&s);
	s = scram_new(SCRAM_SHA256, false, true);
	ck_assert_int_eq(scram_first(s, MSG("n,,n=a,r=b")), SCRAM_OK);
	scram_free(&s);
}
END_TEST

START_TEST(names_are_unescaped)
{
	struct scram *s = scram_new(SCRAM_SHA1, false, false);

	ck_assert_int_eq(scram_first(s, MSG("n,a=x=2Cy,n=a=3Db=2C=3D2C,r=b")), SCRAM_OK);
	ck_assert_str_eq(scram_username(s), "a=b,=2C");
	ck_assert_str_eq(scram_authzid(s), "x,y");
	scram_free(&s);
}
END_TEST

#define GOOD_PROOF "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="

static const struct {
	const char *msg;
	size_t len;
	enum scram_status want;
} finals[] = {
	{ MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF), SCRAM_OK },
	{ MSG(""), SCRAM_MALFORMED },
	{ MSG("c=biws"), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",p="), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",p=!!!!"), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF ","), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF ",x=1"), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF ",p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("r=" NONCE ",c=biws,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("r=" NONCE ",p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=,r=" NONCE ",p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",m=x,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",c=biws,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("m=x,c=biws,r=" NONCE ",p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE "\0,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",x=\xff,p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG(",p=" GOOD_PROOF), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" CLIENT_NONCE ",p=" GOOD_PROOF), SCRAM_WRONG_NONCE },
	{ MSG("c=biws,r=" NONCE "x,p=" GOOD_PROOF), SCRAM_WRONG_NONCE },
	{ MSG("c=biws,r=x,p=" GOOD_PROOF), SCRAM_WRONG_NONCE },
	{ MSG("c=eSws,r=" NONCE ",p=" GOOD_PROOF), SCRAM_WRONG_BINDING },   /* y,, */
	{ MSG("c=biwsYQ==,r=" NONCE ",p=" GOOD_PROOF), SCRAM_WRONG_BINDING }, /* n,,a */
	{ MSG("c=bix=,r=" NONCE ",p=" GOOD_PROOF), SCRAM_WRONG_BINDING },
	{ MSG("c=!!!!,r=" NONCE ",p=" GOOD_PROOF), SCRAM_WRONG_BINDING },
	{ MSG("c=biws,r=" NONCE ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ss="), SCRAM_WRONG_PROOF },
	{ MSG("c=biws,r=" NONCE ",p=AAAA"), SCRAM_WRONG_PROOF },
	{ MSG("c=biws,r=" NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAA="), SCRAM_WRONG_PROOF },
	{ MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF "AAAA"), SCRAM_MALFORMED },
	{ MSG("c=biws,r=" NONCE ",x=1,p=" GOOD_PROOF), SCRAM_WRONG_PROOF },
};

/* The exchange of RFC 5802 §5 up to the challenge. */
static struct scram *challenged(bool known, const char *server_nonce)
{
	const struct credential c = record(SCRAM_SHA1, "pencil", RFC_SALT);
	struct scram *s = scram_new(SCRAM_SHA1, false, false);
	struct buf out = BUF_INIT;

	ck_assert_int_eq(scram_first(s, MSG(FIRST)), SCRAM_OK);
	scram_challenge(s, &c, known, server_nonce, NULL, &out);
	buf_release(&out);
	return s;
}

START_TEST(final_message_keeps_to_the_grammar)
{
	struct scram *s = challenged(true, SERVER_NONCE);
	struct buf out = BUF_INIT;

	ck_assert_msg(scram_final(s, finals[_i].msg, finals[_i].len, NULL, 0, &out) == finals[_i].want, "%s",
		finals[_i].msg);
	ck_assert_int_eq(buf_len(&out) > 0, finals[_i].want == SCRAM_OK);
	buf_release(&out);
	scram_free(&s);
}
END_TEST

START_TEST(overlong_proof_is_a_wrong_proof)
{
	struct scram *s = challenged(true, SERVER_NONCE);
	struct buf out = BUF_INIT, msg = BUF_INIT;

	buf_puts(&msg, "c=biws,r=" NONCE ",p=");
	for (int i = 0; i < 100; i++)
		buf_puts(&msg, "AAAA");
	ck_assert_int_eq(scram_final(s, buf_data(&msg), buf_len(&msg), NULL, 0, &out), SCRAM_WRONG_PROOF);
	buf_release(&msg);
	scram_free(&s);
}
END_TEST

START_TEST(replayed_message_does_not_fit_a_new_nonce)
{
	struct scram *s = challenged(true, "anotherNonceOfTheServer");
	struct buf out = BUF_INIT;

	ck_assert_int_eq(scram_final(s, MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF), NULL, 0, &out), SCRAM_WRONG_NONCE);
	ck_assert_uint_eq(buf_len(&out), 0);
	scram_free(&s);
}
END_TEST

START_TEST(unknown_user_fails_even_with_the_right_proof)
{
	struct scram *s = challenged(false, SERVER_NONCE);
	struct buf out = BUF_INIT;

	ck_assert_int_eq(scram_final(s, MSG("c=biws,r=" NONCE ",p=" GOOD_PROOF), NULL, 0, &out), SCRAM_WRONG_PROOF);
	ck_assert_uint_eq(buf_len(&out), 0);
	scram_free(&s);
}
END_TEST

START_TEST(channel_binding_of_another_connection_fails)
{
	const struct credential c = record(SCRAM_SHA512, "pencil", RFC_SALT);
	struct scram_client client = { .hash = SCRAM_SHA512, .password = "pencil", .gs2 = "p=tls-exporter,,",
		.bare = "n=user,r=abc", .binding = "right", .extension = ",x=1" };
	static const char *const data[] = { "right", "wrong", "", "right+" };
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < 4; i++) {
		struct scram *s = scram_new(SCRAM_SHA512, true, true);

		ck_assert_int_eq(scram_first(s, MSG("p=tls-exporter,,n=user,r=abc")), SCRAM_OK);
		scram_challenge(s, &c, true, "def", "aGFzaA==", &out);
		scram_client_final(&client, buf_str(&out));
		buf_release(&out);
		ck_assert_int_eq(scram_final(s, client.final, strlen(client.final), (const uint8_t *)data[i],
					 strlen(data[i]), &out), i == 0 ? SCRAM_OK : SCRAM_WRONG_BINDING);
		if (i == 0)
			ck_assert_str_eq(buf_str(&out), client.server_final);
		buf_release(&out);
		scram_free(&s);
	}
}
END_TEST

START_TEST(tampered_offer_hash_spoils_the_proof)
{
	const struct credential c = record(SCRAM_SHA1, "pencil", RFC_SALT);
	struct scram_client client = { .hash = SCRAM_SHA1, .password = "pencil", .gs2 = "n,,", .bare = "n=user,r=abc" };
	struct scram *s = scram_new(SCRAM_SHA1, false, false);
	struct buf out = BUF_INIT;

	ck_assert_int_eq(scram_first(s, MSG("n,,n=user,r=abc")), SCRAM_OK);
	scram_challenge(s, &c, true, "def", "aGFzaA==", &out);
	strcpy(strstr(out.data, ",h=") + 3, "QUFBQQ==");
	scram_client_final(&client, out.data);
	buf_release(&out);
	ck_assert_int_eq(scram_final(s, client.final, strlen(client.final), NULL, 0, &out), SCRAM_WRONG_PROOF);
	scram_free(&s);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
	Suite *s = suite_create("scram");
	TCase *tc = tcase_create("scram");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, published_exchanges_are_reproduced, 0, COUNT(vectors));
	tcase_add_test(tc, offer_hash_is_that_of_xep_0474);
	tcase_add_loop_test(tc, first_message_keeps_to_the_grammar, 0, COUNT(firsts));
	tcase_add_test(tc, first_message_has_a_limit);
	tcase_add_test(tc, plus_wants_channel_binding_and_nothing_else_may);
	tcase_add_test(tc, y_flag_is_refused_when_plus_was_offered);
	tcase_add_test(tc, names_are_unescaped);
	tcase_add_loop_test(tc, final_message_keeps_to_the_grammar, 0, COUNT(finals));
	tcase_add_test(tc, overlong_proof_is_a_wrong_proof);
	tcase_add_test(tc, replayed_message_does_not_fit_a_new_nonce);
	tcase_add_test(tc, unknown_user_fails_even_with_the_right_proof);
	tcase_add_test(tc, channel_binding_of_another_connection_fails);
	tcase_add_test(tc, tampered_offer_hash_spoils_the_proof);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
