/* test_tls.c - contexts: files good and bad, choice by SNI, reload, tickets; listeners are in test_listener.c. */
#include <check.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/log.h"
#include "tests/unit/certs.h"
#include "tests/unit/peer.h"

static struct worker worker;
static struct certs certs;
static char logged[4096];

static void on_line(void *arg, const char *line, size_t len)
{
	(void)arg;
	if (strlen(logged) + len < sizeof logged)
		strncat(logged, line, len);
}

static void setup(void)
{
	certs_make(&certs);
	logged[0] = '\0';
	log_set_sink(on_line, NULL);
	worker_start(&worker);
}

static void teardown(void)
{
	worker_stop(&worker);
	loop_free(&worker.loop);
	log_set_sink(NULL, NULL);
	certs_clear(&certs);
}

static enum sterna_result one_host(const char *cert, const char *key, const char *password, struct tls_context **out)
{
	const struct tls_host_options host = { "a.example", cert, key, password };

	return tls_context_new(&(struct tls_options){ .hosts = &host, .count = 1, .now_s = (int64_t)time(NULL) }, out);
}

static void refused(const char *cert, const char *key, const char *password, const char *why)
{
	struct tls_context *tls = NULL;

	logged[0] = '\0';
	ck_assert_int_eq(one_host(cert, key, password, &tls), STERNA_EINVAL);
	ck_assert_ptr_null(tls);
	ck_assert_msg(strstr(logged, why) != NULL, "%s", logged);
}

START_TEST(a_bad_file_is_named_with_its_reason)
{
	char missing[128];

	snprintf(missing, sizeof missing, "%s/missing", certs.dir);
	refused(missing, NULL, NULL, "No such file");
	ck_assert_ptr_nonnull(strstr(logged, missing));
	refused(certs.password, NULL, NULL, "cannot use certificate");
	refused(certs.a, certs.password, NULL, "cannot use key");
	refused(certs.a, certs.other, NULL, "key does not belong to certificate");
	refused(certs.a, missing, NULL, "No such file");
	refused(certs.sealed, NULL, NULL, "cannot use key");
	refused(certs.sealed, NULL, certs.a, "cannot use key");
	refused(certs.sealed, NULL, missing, "No such file");
	ck_assert_int_eq(tls_context_new(&(struct tls_options){ 0 }, &(struct tls_context *){ NULL }), STERNA_EINVAL);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

START_TEST(a_key_may_be_under_a_password)
{
	struct tls_context *tls = NULL;

	ck_assert_int_eq(one_host(certs.sealed, NULL, certs.password, &tls), STERNA_OK);
	ck_assert_str_eq(logged, "");
	tls_context_unref(&tls);
}
END_TEST

START_TEST(an_expired_or_foreign_certificate_is_a_warning)
{
	struct tls_context *tls = NULL;

	ck_assert_int_eq(one_host(certs.expired, NULL, NULL, &tls), STERNA_OK);
	ck_assert_ptr_nonnull(strstr(logged, "certificate has expired"));
	ck_assert_int_eq(tls_context_days_left(tls, NULL, time(NULL)), -30);
	tls_context_unref(&tls);
	logged[0] = '\0';
	ck_assert_int_eq(one_host(certs.b, NULL, NULL, &tls), STERNA_OK);
	ck_assert_ptr_nonnull(strstr(logged, "certificate is not for this host"));
	tls_context_unref(&tls);
}
END_TEST

START_TEST(the_days_left_are_those_of_the_host_or_the_least)
{
	struct tls_context *tls = NULL;
	const int64_t now = (int64_t)time(NULL);

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ 0 }, &tls), STERNA_OK);
	ck_assert_int_eq(tls_context_days_left(tls, "a.example", now), 30);
	ck_assert_int_eq(tls_context_days_left(tls, "b.example", now), 60);
	ck_assert_int_eq(tls_context_days_left(tls, NULL, now), 30);
	ck_assert_int_eq(tls_context_days_left(tls, "c.example", now), INT32_MAX);
	tls_context_unref(&tls);
}
END_TEST

/* The common name of the certificate that a client gets which asks for name. */
static void check_sni(struct tls_context *tls, const char *name, const char *want)
{
	struct side side = { .echo = true };
	struct client client;
	int ours, theirs;
	char cn[64] = "";

	tcp_pair(&ours, &theirs);
	side_serve(&side, &worker, theirs, &(struct conn_options){ .tls = tls, .direct = true });
	client_init(&client, ours, name, NULL, NULL);
	ck_assert(client_handshake(&client));
	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(client.ssl)), NID_commonName, cn,
		sizeof cn);
	ck_assert_str_eq(cn, want);
	client_clear(&client);
	ck_assert(side_wait(&side, side_is_closed));
	side_end(&side);
}

START_TEST(a_client_gets_the_certificate_of_the_host_it_names)
{
	struct tls_context *tls = NULL;

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ 0 }, &tls), STERNA_OK);
	check_sni(tls, "a.example", "a.example");
	check_sni(tls, "b.example", "b.example");
	check_sni(tls, "B.EXAMPLE", "b.example");
	check_sni(tls, "conference.b.example", "b.example");
	check_sni(tls, "unknown.example", "a.example");
	check_sni(tls, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", "a.example");
	check_sni(tls, "xn--80ak6aa92e.com", "a.example");
	check_sni(tls, NULL, "a.example");
	tls_context_unref(&tls);
}
END_TEST

START_TEST(one_host_may_have_keys_of_two_kinds)
{
	const struct tls_host_options hosts[] = { { "a.example", certs.rsa, NULL, NULL }, { "a.example", certs.a, NULL, NULL } };
	struct tls_context *tls = NULL;
	unsigned char hash[64];
	size_t len;

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ .hosts = hosts, .count = 2 }, &tls), STERNA_OK);
	for (int rsa = 0; rsa < 2; rsa++) {
		struct side side = { 0 };
		struct client client;
		int ours, theirs;

		tcp_pair(&ours, &theirs);
		side_serve(&side, &worker, theirs, &(struct conn_options){ .tls = tls, .direct = true });
		client_init(&client, ours, "a.example", NULL, NULL);
		ck_assert_int_eq(SSL_set1_sigalgs_list(client.ssl, rsa ? "rsa_pss_rsae_sha256:RSA+SHA384" : "ECDSA+SHA256"), 1);
		ck_assert(client_handshake(&client));
		ck_assert(side_wait(&side, side_is_secure));
		ck_assert_int_eq(side.t->ops->channel_binding(side.t, "tls-server-end-point", hash, sizeof hash, &len),
			STERNA_OK);
		ck_assert_uint_eq(len, rsa ? 48 : 32);
		client_clear(&client);
		ck_assert(side_wait(&side, side_is_closed));
		side_end(&side);
	}
	tls_context_unref(&tls);
}
END_TEST

START_TEST(a_reload_leaves_connections_alone)
{
	struct side side = { .echo = true };
	struct tls_context *tls = NULL;
	struct client client;
	int ours, theirs;
	char got[5];

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ 0 }, &tls), STERNA_OK);
	tcp_pair(&ours, &theirs);
	side_serve(&side, &worker, theirs, &(struct conn_options){ .tls = tls, .direct = true });
	client_init(&client, ours, "a.example", NULL, NULL);
	ck_assert(client_handshake(&client));
	tls_context_unref(&tls);
	ck_assert_int_eq(one_host(certs.b, NULL, NULL, &tls), STERNA_OK);
	check_sni(tls, "a.example", "b.example");
	tls_context_unref(&tls);
	ck_assert(client_write(&client, "hello", 5));
	ck_assert(client_read(&client, got, 5));
	client_clear(&client);
	ck_assert(side_wait(&side, side_is_closed));
	side_end(&side);
}
END_TEST

/* Two connections, the second with the session of the first; true if it was resumed. */
static bool resumes(struct tls_context *tls, int max_version)
{
	SSL_SESSION *session = NULL;
	bool resumed = false;

	for (int i = 0; i < 2; i++) {
		struct side side = { .echo = true };
		struct client client;
		int ours, theirs;
		char got[5];

		tcp_pair(&ours, &theirs);
		side_serve(&side, &worker, theirs, &(struct conn_options){ .tls = tls, .direct = true });
		client_init(&client, ours, "b.example", NULL, NULL);
		SSL_set_max_proto_version(client.ssl, max_version);
		if (session != NULL)
			SSL_set_session(client.ssl, session);
		ck_assert(client_handshake(&client));
		ck_assert(client_write(&client, "hello", 5));
		ck_assert(client_read(&client, got, 5));
		resumed = SSL_session_reused(client.ssl);
		SSL_SESSION_free(session);
		session = SSL_get1_session(client.ssl);
		SSL_shutdown(client.ssl);
		client_clear(&client);
		ck_assert(side_wait(&side, side_is_closed));
		side_end(&side);
	}
	SSL_SESSION_free(session);
	return resumed;
}

START_TEST(sessions_resume_only_where_tickets_are_on)
{
	const int version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	struct tls_context *tls = NULL;

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ 0 }, &tls), STERNA_OK);
	ck_assert(!resumes(tls, version));
	tls_context_unref(&tls);
	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ .tickets = true }, &tls), STERNA_OK);
	ck_assert(resumes(tls, version));
	tls_context_unref(&tls);
}
END_TEST

START_TEST(tls_1_2_can_be_switched_off)
{
	struct side side = { 0 };
	struct tls_context *tls = NULL;
	struct client client;
	int ours, theirs;

	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ .only_1_3 = true }, &tls), STERNA_OK);
	tcp_pair(&ours, &theirs);
	side_serve(&side, &worker, theirs, &(struct conn_options){ .tls = tls, .direct = true });
	client_init(&client, ours, NULL, NULL, NULL);
	SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	ck_assert(!client_handshake(&client));
	client_clear(&client);
	ck_assert(side_wait(&side, side_is_closed));
	side_end(&side);
	tls_context_unref(&tls);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tc = tcase_create("tls");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_bad_file_is_named_with_its_reason);
	tcase_add_test(tc, a_key_may_be_under_a_password);
	tcase_add_test(tc, an_expired_or_foreign_certificate_is_a_warning);
	tcase_add_test(tc, the_days_left_are_those_of_the_host_or_the_least);
	tcase_add_test(tc, a_client_gets_the_certificate_of_the_host_it_names);
	tcase_add_test(tc, one_host_may_have_keys_of_two_kinds);
	tcase_add_test(tc, a_reload_leaves_connections_alone);
	tcase_add_loop_test(tc, sessions_resume_only_where_tickets_are_on, 0, 2);
	tcase_add_test(tc, tls_1_2_can_be_switched_off);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
