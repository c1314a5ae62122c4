/* One exchange from the first message to success, or to the condition that RFC 6120 §6.5 has for it. */
#include "server/sasl.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/scram_client.h"

enum { FEW = 16 }; /* iterations, so that tests are quick */

#define HOST "example.org"
#define MSG(literal) literal, sizeof(literal) - 1
#define BIT(m) (1u << (m))
#define ALL_HASHES (BIT(SCRAM_SHA1) | BIT(SCRAM_SHA256) | BIT(SCRAM_SHA512))

static enum sterna_result binding(void *arg, const char *type, unsigned char *out, size_t size, size_t *len)
{
	(void)arg;
	ck_assert_uint_ge(size, 4);
	if (strcmp(type, "tls-exporter") == 0)
		memcpy(out, "EXPR", 4);
	else if (strcmp(type, "tls-server-end-point") == 0)
		memcpy(out, "ENDP", 4);
	else
		return STERNA_ENOTFOUND;
	*len = 4;
	return STERNA_OK;
}

static enum sterna_result no_binding(void *arg, const char *type, unsigned char *out, size_t size, size_t *len)
{
	(void)arg, (void)type, (void)out, (void)size, (void)len;
	return STERNA_ENOTFOUND;
}

static const char *peer_addr(void *arg, size_t index)
{
	const char *const *addrs = arg;

	return addrs != NULL ? addrs[index] : NULL;
}

static struct sasl_config config(const char *const *addrs)
{
	struct sasl_config c = { .host = HOST, .bindings = sasl_bindings(binding, NULL), .binding = binding,
		.peer_addr = peer_addr, .secret = "sixteen bytes at least", .secret_len = 22, .iterations = FEW,
		.downgrade_protection = true };

	c.arg = (void *)(uintptr_t)addrs;
	c.offered = sasl_offer(&(struct sasl_state){ .secure = true, .bindings = c.bindings, .hashes = ALL_HASHES,
		.plain = true, .client_certificate = addrs != NULL });
	for (int i = 0; i < SASL_RANDOM_LEN; i++)
		c.random[i] = (uint8_t)i;
	return c;
}

static struct sasl *exchange(void)
{
	const struct sasl_config c = config(NULL);

	return sasl_new(&c);
}

static struct credential record(enum scram_hash h, const char *password)
{
	static const uint8_t salt[SCRAM_SALT_LEN] = "salt of a user";
	struct credential c;

	ck_assert_int_eq(scram_derive(h, password, strlen(password), salt, sizeof salt, FEW, &c), STERNA_OK);
	return c;
}

static void output(const struct sasl *s, char *out, size_t size)
{
	size_t len;
	const char *text = sasl_output(s, &len);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(len, size);
	memcpy(out, text, len);
	out[len] = '\0';
}

#define CK_FAILS(s, event, want) \
	do { \
		ck_assert_int_eq(event, SASL_FAILURE); \
		ck_assert_str_eq(sasl_condition_name(sasl_condition(s)), want); \
		ck_assert_ptr_nonnull(sasl_reason(s)); \
		sasl_free(&s); \
	} while (0)

/* --- what is offered --- */

START_TEST(nothing_is_offered_without_tls)
{
	ck_assert_uint_eq(sasl_offer(&(struct sasl_state){ .bindings = 3, .hashes = ALL_HASHES, .plain = true }), 0);
	ck_assert_uint_eq(sasl_offer(&(struct sasl_state){ .anonymous = true }), 0);
}
END_TEST

START_TEST(offer_follows_the_state_of_the_stream)
{
	struct sasl_state st = { .secure = true, .hashes = BIT(SCRAM_SHA256) };

	ck_assert_uint_eq(sasl_offer(&st), BIT(SASL_SCRAM_SHA256));
	st.bindings = sasl_bindings(binding, NULL);
	ck_assert_uint_eq(st.bindings, BIT(SASL_TLS_EXPORTER) | BIT(SASL_TLS_SERVER_END_POINT));
	ck_assert_uint_eq(sasl_offer(&st), BIT(SASL_SCRAM_SHA256) | BIT(SASL_SCRAM_SHA256_PLUS));
	st.plain = st.client_certificate = true;
	ck_assert_uint_eq(sasl_offer(&st), BIT(SASL_SCRAM_SHA256) | BIT(SASL_SCRAM_SHA256_PLUS) | BIT(SASL_PLAIN) |
		BIT(SASL_EXTERNAL));
	st.anonymous = true;
	ck_assert_uint_eq(sasl_offer(&st), BIT(SASL_ANONYMOUS));
	ck_assert_uint_eq(sasl_bindings(no_binding, NULL), 0);
}
END_TEST

START_TEST(mechanisms_are_ordered_by_strength)
{
	enum sasl_mech m;

	for (int i = 0; i < SASL_MECH_COUNT; i++) {
		ck_assert(sasl_mech_from_name(sasl_mech_name((enum sasl_mech)i), &m));
		ck_assert_int_eq(m, i);
		if (i > 0)
			ck_assert_uint_lt(sasl_mech_info((enum sasl_mech)i)->strength,
				sasl_mech_info((enum sasl_mech)(i - 1))->strength);
	}
	ck_assert(!sasl_mech_from_name("plain", &m));
	ck_assert(!sasl_mech_from_name("", &m));
}
END_TEST

/* --- SCRAM --- */

static const struct scram_case {
	enum sasl_mech mech;
	const char *gs2, *binding;
} scrams[] = {
	{ SASL_SCRAM_SHA1, "n,,", NULL },
	{ SASL_SCRAM_SHA256, "n,a=user@example.org,", NULL },
	{ SASL_SCRAM_SHA512, "n,,", NULL },
	{ SASL_SCRAM_SHA1_PLUS, "p=tls-exporter,,", "EXPR" },
	{ SASL_SCRAM_SHA256_PLUS, "p=tls-server-end-point,,", "ENDP" },
	{ SASL_SCRAM_SHA512_PLUS, "p=tls-exporter,a=user@example.org,", "EXPR" },
};

/* To the client's final message, which lies in client. */
static enum sasl_event start_scram(struct sasl *s, const struct scram_case *sc, const char *name,
	const struct credential *cred, struct scram_client *client)
{
	static char bare[256];
	char first[512], challenge[1024];

	snprintf(bare, sizeof bare, "n=%s,r=clientNonce", name);
	snprintf(first, sizeof first, "%s%s", sc->gs2, bare);
	*client = (struct scram_client){ .hash = sasl_mech_info(sc->mech)->hash, .password = "pencil", .gs2 = sc->gs2,
		.bare = bare, .binding = sc->binding };
	ck_assert_int_eq(sasl_start(s, sasl_mech_name(sc->mech), first, strlen(first)), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_hash(s), client->hash);
	ck_assert_int_eq(sasl_mechanism(s), sc->mech);
	ck_assert_int_eq(sasl_credentials(s, cred != NULL ? STERNA_OK : STERNA_ENOTFOUND, cred), SASL_CONTINUE);
	output(s, challenge, sizeof challenge);
	ck_assert_ptr_nonnull(strstr(challenge, ",h="));
	scram_client_final(client, challenge);
	return SASL_CONTINUE;
}

START_TEST(scram_succeeds_with_the_right_password)
{
	const struct scram_case *sc = &scrams[_i];
	const struct credential cred = record(sasl_mech_info(sc->mech)->hash, "pencil");
	struct scram_client client;
	struct sasl *s = exchange();
	char out[256];

	start_scram(s, sc, "User", &cred, &client);
	ck_assert_int_eq(sasl_response(s, client.final, strlen(client.final)), SASL_SUCCESS);
	ck_assert_str_eq(sasl_username(s), "user"); /* prepared */
	output(s, out, sizeof out);
	ck_assert_str_eq(out, client.server_final);
	CK_FAILS(s, sasl_response(s, client.final, strlen(client.final)), "malformed-request");
}
END_TEST

START_TEST(scram_fails_with_a_wrong_password)
{
	const struct credential cred = record(sasl_mech_info(scrams[_i].mech)->hash, "Pencil");
	struct scram_client client;
	struct sasl *s = exchange();

	start_scram(s, &scrams[_i], "user", &cred, &client);
	CK_FAILS(s, sasl_response(s, client.final, strlen(client.final)), "not-authorized");
}
END_TEST

START_TEST(scram_unknown_user_takes_the_same_steps)
{
	const struct credential wrong_hash = record(SCRAM_SHA1, "pencil");
	struct scram_client client, again;
	struct sasl *s = exchange();
	char salt[64], salt2[64];

	start_scram(s, &scrams[2], "nosuch", NULL, &client);
	ck_assert_ptr_null(strstr(sasl_username(s), "/"));
	{
		char challenge[1024];
		struct sasl *t = exchange();

		output(s, challenge, sizeof challenge);
		scram_client_attr(challenge, 's', salt, sizeof salt);
		start_scram(t, &scrams[2], "nosuch", &wrong_hash, &again); /* no record of this hash: the same */
		output(t, challenge, sizeof challenge);
		scram_client_attr(challenge, 's', salt2, sizeof salt2);
		ck_assert_str_eq(salt, salt2);
		ck_assert_ptr_nonnull(strstr(challenge, ",i=16"));
		CK_FAILS(t, sasl_response(t, again.final, strlen(again.final)), "not-authorized");
	}
	CK_FAILS(s, sasl_response(s, client.final, strlen(client.final)), "not-authorized");
}
END_TEST

START_TEST(scram_initial_response_may_come_later)
{
	struct sasl *s = exchange();
	size_t len;

	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-256", NULL, 0), SASL_CONTINUE);
	ck_assert_str_eq(sasl_output(s, &len), "");
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(sasl_response(s, MSG("n,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	ck_assert_ptr_null(sasl_output(s, &len));
	sasl_free(&s);
}
END_TEST

START_TEST(downgrade_protection_covers_the_offer_and_can_be_left_out)
{

	struct sasl_config c = config(NULL);
	const struct credential cred = record(SCRAM_SHA256, "pencil");
	char challenge[512], got[128];
	uint8_t digest[32];
	char want[64];
	struct sasl *s;

	c.offered = BIT(SASL_PLAIN) | BIT(SASL_SCRAM_SHA256);
	c.bindings = BIT(SASL_TLS_EXPORTER);
	s = sasl_new(&c);
	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-256", MSG("y,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_CONTINUE);
	output(s, challenge, sizeof challenge);
	scram_client_attr(challenge, 'h', got, sizeof got);
	scram_digest(SCRAM_SHA256, "PLAIN\x1eSCRAM-SHA-256\x1ftls-exporter", 32, digest);
	ck_assert_int_eq(base64_encode(digest, 32, want, sizeof want), STERNA_OK);
	ck_assert_str_eq(got, want);
	sasl_free(&s);

	c.downgrade_protection = false;
	s = sasl_new(&c);
	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-256", MSG("y,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_CONTINUE);
	output(s, challenge, sizeof challenge);
	ck_assert_ptr_null(strstr(challenge, ",h="));
	sasl_free(&s);
}
END_TEST

static const struct {
	const char *mech, *initial, *want;
} refused[] = {
	{ "SCRAM-SHA-256", "y,,n=user,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "p=tls-exporter,,n=user,r=abc", "malformed-request" },
	{ "SCRAM-SHA-256-PLUS", "n,,n=user,r=abc", "malformed-request" },
	{ "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=user,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,a=other@example.org,n=user,r=abc", "invalid-authzid" },
	{ "SCRAM-SHA-256", "n,a=user@example.net,n=user,r=abc", "invalid-authzid" },
	{ "SCRAM-SHA-256", "n,a=user@example.org/a,n=user,r=abc", "invalid-authzid" },
	{ "SCRAM-SHA-256", "n,a=user,n=user,r=abc", "invalid-authzid" },
	{ "SCRAM-SHA-256", "n,a=example.org,n=user,r=abc", "invalid-authzid" },
	{ "SCRAM-SHA-256", "n,a=,n=user,r=abc", "malformed-request" },
	{ "SCRAM-SHA-256", "n,,m=x,n=user,r=abc", "malformed-request" },
	{ "SCRAM-SHA-256", "", "malformed-request" },
	{ "SCRAM-SHA-256", "n,,n=a@b,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=a/b,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=a\"b,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=a b,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=a\x07" "b,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=\xe2\x80\xae" "alice,r=abc", "not-authorized" },
	{ "SCRAM-SHA-256", "n,,n=alice\xc2\xad,r=abc", "not-authorized" },
	{ "SCRAM-SHA-384", "n,,n=user,r=abc", "invalid-mechanism" },
	{ "scram-sha-256", "n,,n=user,r=abc", "invalid-mechanism" },
	{ "EXTERNAL", "", "invalid-mechanism" },
	{ "ANONYMOUS", "", "invalid-mechanism" },
	{ "", "", "invalid-mechanism" },
	{ "PLAIN", "", "malformed-request" },
};

START_TEST(first_message_is_refused_with_its_condition)
{
	struct sasl *s = exchange();

	CK_FAILS(s, sasl_start(s, refused[_i].mech, refused[_i].initial, strlen(refused[_i].initial)),
		refused[_i].want);
}
END_TEST

START_TEST(channel_binding_that_does_not_match_is_refused)
{
	static const struct scram_case wrong[] = {
		{ SASL_SCRAM_SHA256_PLUS, "p=tls-exporter,,", "ENDP" },
		{ SASL_SCRAM_SHA256_PLUS, "p=tls-server-end-point,,", "EXPR" },
		{ SASL_SCRAM_SHA256_PLUS, "p=tls-exporter,,", NULL },
		{ SASL_SCRAM_SHA256, "n,,", "EXPR" },
	};
	const struct credential cred = record(SCRAM_SHA256, "pencil");
	struct scram_client client;
	struct sasl *s = exchange();

	start_scram(s, &wrong[_i], "user", &cred, &client);
	CK_FAILS(s, sasl_response(s, client.final, strlen(client.final)), "not-authorized");
}
END_TEST

/* --- order of events --- */

START_TEST(database_that_is_away_gives_temporary_failure)
{
	struct sasl *s = exchange();

	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-1", MSG("n,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	CK_FAILS(s, sasl_credentials(s, STERNA_EUNAVAILABLE, NULL), "temporary-auth-failure");
}
END_TEST

START_TEST(abort_ends_any_state)
{
	const struct credential cred = record(SCRAM_SHA1, "pencil");
	struct sasl *s = exchange();

	CK_FAILS(s, sasl_abort(s), "aborted");
	s = exchange();
	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-1", MSG("n,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_abort(s), SASL_FAILURE);
	CK_FAILS(s, sasl_credentials(s, STERNA_OK, &cred), "aborted");
	s = exchange();
	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-1", MSG("n,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_CONTINUE);
	CK_FAILS(s, sasl_abort(s), "aborted");
}
END_TEST

START_TEST(messages_out_of_turn_are_malformed)
{
	struct sasl *s = exchange();

	CK_FAILS(s, sasl_response(s, MSG("n,,n=user,r=abc")), "malformed-request");
	s = exchange();
	ck_assert_int_eq(sasl_start(s, "SCRAM-SHA-1", MSG("n,,n=user,r=abc")), SASL_NEED_CREDENTIALS);
	CK_FAILS(s, sasl_response(s, MSG("c=biws,r=abc,p=AAAA")), "malformed-request");
	s = exchange();
	ck_assert_int_eq(sasl_start(s, "PLAIN", NULL, 0), SASL_CONTINUE);
	CK_FAILS(s, sasl_start(s, "PLAIN", MSG("\0user\0pencil")), "malformed-request");
}
END_TEST

/* --- PLAIN --- */

static enum sasl_event run_plain(struct sasl *s, const char *msg, size_t len, const struct credential *cred)
{
	struct sasl_work *w;

	ck_assert_int_eq(sasl_start(s, "PLAIN", msg, len), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, cred != NULL ? STERNA_OK : STERNA_ENOTFOUND, cred), SASL_NEED_WORK);
	w = sasl_take_work(s);
	ck_assert_ptr_nonnull(w);
	sasl_work_run(w);
	return sasl_work_done(s, &w);
}

START_TEST(plain_succeeds_with_a_record_of_any_hash)
{
	for (int h = 0; h < SCRAM_HASH_COUNT; h++) {
		const struct credential cred = record((enum scram_hash)h, "pencil");
		struct sasl *s = exchange();
		size_t len;

		ck_assert_int_eq(run_plain(s, MSG("user@example.org\0user\0pencil"), &cred), SASL_SUCCESS);
		ck_assert_str_eq(sasl_username(s), "user");
		ck_assert_ptr_null(sasl_output(s, &len));
		sasl_free(&s);
	}
}
END_TEST

START_TEST(plain_fails_the_same_way_for_wrong_password_and_unknown_user)
{
	const struct credential cred = record(SCRAM_SHA512, "pencil");
	struct sasl *s = exchange();

	CK_FAILS(s, run_plain(s, MSG("\0user\0Pencil"), &cred), "not-authorized");
	s = exchange();
	CK_FAILS(s, run_plain(s, MSG("\0nosuch\0pencil"), NULL), "not-authorized");
}
END_TEST

static const struct {
	const char *msg;
	size_t len;
	const char *want;
} plains[] = {
	{ MSG("abc"), "malformed-request" },
	{ MSG("\0"), "malformed-request" },
	{ MSG("\0\0"), "malformed-request" },
	{ MSG("\0\0\0\0\0"), "malformed-request" },
	{ MSG("\0alice"), "malformed-request" },
	{ MSG("\0alice\0"), "malformed-request" },
	{ MSG("\0\0pw"), "malformed-request" },
	{ MSG("\0alice\0pw\0"), "malformed-request" },
	{ MSG("\0alice\0pw\0x"), "malformed-request" },
	{ MSG("\0\xff\xfe\0pw"), "not-authorized" },
	{ MSG("\0a@b\0pw"), "not-authorized" },
	{ MSG("\0alice\0p\x07w"), "not-authorized" },
	{ MSG("bob@example.org\0alice\0pw"), "invalid-authzid" },
	{ MSG("bob\0alice\0pw"), "invalid-authzid" },
	{ MSG("alice@example.org/r\0alice\0pw"), "invalid-authzid" },
	{ MSG("\xff\0alice\0pw"), "invalid-authzid" },
};

START_TEST(plain_keeps_to_the_grammar)
{
	struct sasl *s = exchange();

	CK_FAILS(s, sasl_start(s, "PLAIN", plains[_i].msg, plains[_i].len), plains[_i].want);
}
END_TEST

START_TEST(plain_parts_have_limits)
{
	static char msg[70010];
	struct sasl *s = exchange();

	memset(msg + 1, 'a', 70000);
	memcpy(msg + 70001, "\0x", 2);
	CK_FAILS(s, sasl_start(s, "PLAIN", msg, 70003), "not-authorized");
	s = exchange();
	memcpy(msg, "\0a\0", 3);
	CK_FAILS(s, sasl_start(s, "PLAIN", msg, 3 + PASSWORD_MAX + 1), "malformed-request");
}
END_TEST

START_TEST(work_outlives_its_exchange)
{
	const struct credential cred = record(SCRAM_SHA512, "pencil");
	struct sasl *s = exchange();
	struct sasl_work *w;

	ck_assert_int_eq(sasl_start(s, "PLAIN", MSG("\0user\0pencil")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_NEED_WORK);
	w = sasl_take_work(s);
	sasl_free(&s);
	sasl_work_run(w);
	sasl_work_free(&w);
	ck_assert_ptr_null(w);
}
END_TEST

START_TEST(work_that_was_not_run_is_a_temporary_failure)
{
	const struct credential cred = record(SCRAM_SHA512, "pencil");
	struct sasl *s = exchange();
	struct sasl_work *w;

	ck_assert_int_eq(sasl_start(s, "PLAIN", MSG("\0user\0pencil")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_NEED_WORK);
	w = sasl_take_work(s);
	CK_FAILS(s, sasl_work_done(s, &w), "temporary-auth-failure");
	ck_assert_ptr_null(w);
}
END_TEST

START_TEST(late_work_does_not_revive_an_aborted_exchange)
{
	const struct credential cred = record(SCRAM_SHA512, "pencil");
	struct sasl *s = exchange();
	struct sasl_work *w;

	ck_assert_int_eq(sasl_start(s, "PLAIN", MSG("\0user\0pencil")), SASL_NEED_CREDENTIALS);
	ck_assert_int_eq(sasl_credentials(s, STERNA_OK, &cred), SASL_NEED_WORK);
	w = sasl_take_work(s);
	sasl_work_run(w);
	ck_assert_int_eq(sasl_abort(s), SASL_FAILURE);
	CK_FAILS(s, sasl_work_done(s, &w), "aborted");
}
END_TEST

/* --- EXTERNAL, ANONYMOUS --- */

static const char *const one[] = { "juliet@example.net", "User@example.org", "user@example.org", NULL };
static const char *const two[] = { "user@example.org", "admin@example.org", "user@example.org/x", "@", NULL };
static const char *const none[] = { "juliet@example.net", "example.org", NULL };

static const struct {
	const char *const *addrs;
	const char *authzid, *user, *want;
} externals[] = {
	{ one, "", "user", NULL },
	{ one, "user@example.org", "user", NULL },
	{ one, "juliet@example.net", NULL, "invalid-authzid" },
	{ one, "admin@example.org", NULL, "invalid-authzid" },
	{ two, "", NULL, "invalid-authzid" },
	{ two, "admin@example.org", "admin", NULL },
	{ two, "user@example.org", "user", NULL },
	{ two, "user@example.org/x", NULL, "invalid-authzid" },
	{ none, "", NULL, "not-authorized" },
	{ none, "juliet@example.net", NULL, "not-authorized" },
};

START_TEST(external_takes_the_user_from_the_certificate)
{
	const struct sasl_config c = config(externals[_i].addrs);
	struct sasl *s = sasl_new(&c);
	enum sasl_event e = sasl_start(s, "EXTERNAL", externals[_i].authzid, strlen(externals[_i].authzid));

	if (externals[_i].want != NULL) {
		CK_FAILS(s, e, externals[_i].want);
	} else {
		ck_assert_int_eq(e, SASL_SUCCESS);
		ck_assert_str_eq(sasl_username(s), externals[_i].user);
		sasl_free(&s);
	}
}
END_TEST

START_TEST(anonymous_gets_a_random_name)
{
	struct sasl_config c = config(NULL);
	struct sasl *s;

	c.offered = BIT(SASL_ANONYMOUS);
	s = sasl_new(&c);
	ck_assert_int_eq(sasl_start(s, "ANONYMOUS", "", 0), SASL_SUCCESS);
	ck_assert_str_eq(sasl_username(s), "000102030405060708090a0b0c0d0e0f");
	sasl_free(&s);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
	Suite *s = suite_create("sasl");
	TCase *tc = tcase_create("sasl");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(tc, nothing_is_offered_without_tls);
	tcase_add_test(tc, offer_follows_the_state_of_the_stream);
	tcase_add_test(tc, mechanisms_are_ordered_by_strength);
	tcase_add_loop_test(tc, scram_succeeds_with_the_right_password, 0, COUNT(scrams));
	tcase_add_loop_test(tc, scram_fails_with_a_wrong_password, 0, COUNT(scrams));
	tcase_add_test(tc, scram_unknown_user_takes_the_same_steps);
	tcase_add_test(tc, scram_initial_response_may_come_later);
	tcase_add_test(tc, downgrade_protection_covers_the_offer_and_can_be_left_out);
	tcase_add_loop_test(tc, first_message_is_refused_with_its_condition, 0, COUNT(refused));
	tcase_add_loop_test(tc, channel_binding_that_does_not_match_is_refused, 0, 4);
	tcase_add_test(tc, database_that_is_away_gives_temporary_failure);
	tcase_add_test(tc, abort_ends_any_state);
	tcase_add_test(tc, messages_out_of_turn_are_malformed);
	tcase_add_test(tc, plain_succeeds_with_a_record_of_any_hash);
	tcase_add_test(tc, plain_fails_the_same_way_for_wrong_password_and_unknown_user);
	tcase_add_loop_test(tc, plain_keeps_to_the_grammar, 0, COUNT(plains));
	tcase_add_test(tc, plain_parts_have_limits);
	tcase_add_test(tc, work_outlives_its_exchange);
	tcase_add_test(tc, work_that_was_not_run_is_a_temporary_failure);
	tcase_add_test(tc, late_work_does_not_revive_an_aborted_exchange);
	tcase_add_loop_test(tc, external_takes_the_user_from_the_certificate, 0, COUNT(externals));
	tcase_add_test(tc, anonymous_gets_a_random_name);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
