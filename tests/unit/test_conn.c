/* test_conn.c - connections over real sockets, against a real OpenSSL client. */
#include <arpa/inet.h>
#include <check.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/unit/certs.h"
#include "tests/unit/peer.h"

#define ALPN "\x0bxmpp-client"

static struct worker workers[2];
static struct certs certs;
static struct tls_context *tls;
static struct side side;
static struct client client;
static int theirs;

static void setup(void)
{
	int ours;

	memset(&side, 0, sizeof side);
	certs_make(&certs);
	ck_assert_int_eq(certs_context(&certs, &(struct tls_options){ .ca_file = certs.ca }, &tls), STERNA_OK);
	worker_start(&workers[0]);
	worker_start(&workers[1]);
	tcp_pair(&ours, &theirs);
	client = (struct client){ .fd = ours };
}

static void teardown(void)
{
	worker_stop(&workers[0]);
	worker_stop(&workers[1]);
	side_end(&side);
	client_clear(&client);
	tls_context_unref(&tls);
	certs_clear(&certs);
	loop_free(&workers[0].loop);
	loop_free(&workers[1].loop);
}

static void serve(const struct conn_options *o)
{
	side_serve(&side, workers, theirs, o);
}

static void serve_direct(void)
{
	serve(&(struct conn_options){ .tls = tls, .direct = true, .alpn = "xmpp-client" });
}

/* A secure connection to a side that echoes. */
static void secure_echo(void)
{
	side.echo = true;
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	ck_assert(client_handshake(&client));
	ck_assert(side_wait(&side, side_is_secure));
}

static void check_echo(const char *text)
{
	char got[128] = "";

	ck_assert(client_write(&client, text, strlen(text)));
	ck_assert(client_read(&client, got, strlen(text)));
	ck_assert_str_eq(got, text);
}

static void check_closed(enum sterna_result why)
{
	ck_assert(side_wait(&side, side_is_closed));
	ck_assert_msg(side.why == why, "%s: %s", sterna_result_text(side.why), side.text);
}

/* The peer has ended it: with a FIN or a reset. */
static void check_ended(void)
{
	char byte;

	ck_assert_int_le(recv(client.fd, &byte, 1, 0), 0);
	ck_assert_int_ne(errno, EAGAIN);
}

START_TEST(plaintext_goes_both_ways)
{
	side.echo = true;
	serve(&(struct conn_options){ 0 });
	check_echo("<stream>");
	ck_assert_ptr_null(side.t->ops->tls_version(side.t));
	ck_assert_int_eq(strncmp(side.t->peer, "127.0.0.1:", 10), 0);
	shutdown(client.fd, SHUT_WR);
	check_closed(STERNA_ECLOSED);
	ck_assert_uint_eq(side.t->bytes_in, 8);
	ck_assert_uint_eq(side.t->bytes_out, 8);
	ck_assert_ptr_null(side.t->out.data);
}
END_TEST

START_TEST(starttls_secures_an_open_connection)
{
	char proceed[11] = "";

	side.starttls = true;
	serve(&(struct conn_options){ .tls = tls });
	ck_assert(client_write(&client, "<starttls/>", 11));
	ck_assert(client_read(&client, proceed, 10));
	ck_assert_str_eq(proceed, "<proceed/>");
	side.echo = true;
	client_init(&client, client.fd, "a.example", "\x08whatever", NULL);
	ck_assert(client_handshake(&client));
	check_echo("<inside/>");
	ck_assert_str_eq(side.t->ops->tls_version(side.t), "TLSv1.3");
	ck_assert_str_eq(side.t->ops->tls_sni(side.t), "a.example");
	ck_assert_ptr_nonnull(side.t->ops->tls_cipher(side.t));
}
END_TEST

START_TEST(what_is_slipped_in_behind_starttls_ends_the_connection)
{
	char *bytes = calloc(1, 40000);
	int size = 1 << 20;

	memset(bytes, ' ', 40000);
	memcpy(bytes, "<starttls/>", 11);
	setsockopt(theirs, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	ck_assert(client_write(&client, bytes, 40000));
	usleep(20000);
	side.starttls = true;
	serve(&(struct conn_options){ .tls = tls });
	check_closed(STERNA_EINVAL);
	ck_assert(!side.secure);
	ck_assert_uint_eq(side.reads, 1);
	free(bytes);
}
END_TEST

START_TEST(direct_tls_wants_our_protocol_or_none)
{
	secure_echo();
	check_echo("hello");
	const unsigned char *got;
	unsigned len;

	SSL_get0_alpn_selected(client.ssl, &got, &len);
	ck_assert_uint_eq(len, 11);
}
END_TEST

START_TEST(direct_tls_without_alpn_is_accepted)
{
	side.echo = true;
	serve_direct();
	client_init(&client, client.fd, NULL, NULL, NULL);
	ck_assert(client_handshake(&client));
	check_echo("hello");
	ck_assert_ptr_null(side.t->ops->tls_sni(side.t));
}
END_TEST

START_TEST(direct_tls_for_another_protocol_is_refused)
{
	serve_direct();
	client_init(&client, client.fd, "a.example", "\x02h2\x0bxmpp-server", NULL);
	ck_assert(!client_handshake(&client));
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
	check_closed(STERNA_EIO);
}
END_TEST

START_TEST(direct_tls_without_certificate_is_never_plain)
{
	serve(&(struct conn_options){ .direct = true });
	check_closed(STERNA_EIO);
}
END_TEST

START_TEST(a_handshake_may_come_byte_by_byte)
{
	side.echo = true;
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char bytes[4096];

	SSL_set_bio(client.ssl, in, out);
	for (int rc = 0, i = 0; rc != 1 && i < 50; i++) {
		rc = SSL_connect(client.ssl);
		const int n = BIO_read(out, bytes, sizeof bytes);

		for (int k = 0; k < n; k++) {
			ck_assert_int_eq(send(client.fd, bytes + k, 1, MSG_NOSIGNAL), 1);
			if (k % 8 == 0)
				usleep(500);
		}
		if (rc == 1)
			break;
		const ssize_t got = recv(client.fd, bytes, sizeof bytes, 0);

		ck_assert_int_gt(got, 0);
		BIO_write(in, bytes, (int)got);
	}
	ck_assert(side_wait(&side, side_is_secure));
}
END_TEST

START_TEST(garbage_for_a_client_hello_ends_the_connection)
{
	char *bytes = malloc(20005);

	memset(bytes, 0xaa, 20005);
	memcpy(bytes, "\x16\x03\x01\xff\xff", 5);
	serve_direct();
	ck_assert(client_write(&client, bytes, 20005));
	check_closed(STERNA_EIO);
	free(bytes);
}
END_TEST

START_TEST(old_versions_and_ciphers_are_refused)
{
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	SSL_set_security_level(client.ssl, 0);
	SSL_set_min_proto_version(client.ssl, TLS1_VERSION);
	SSL_set_max_proto_version(client.ssl, TLS1_1_VERSION);
	ck_assert(!client_handshake(&client));
	check_closed(STERNA_EIO);
}
END_TEST

START_TEST(cbc_and_static_rsa_are_refused)
{
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	ck_assert_int_eq(SSL_set_cipher_list(client.ssl, "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:"
		"ECDHE-ECDSA-AES256-SHA:DHE-RSA-AES128-GCM-SHA256"), 1);
	ck_assert(!client_handshake(&client));
	check_closed(STERNA_EIO);
}
END_TEST

START_TEST(renegotiation_is_refused)
{
	side.echo = true;
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	ck_assert(client_handshake(&client));
	check_echo("before");
	SSL_renegotiate(client.ssl);
	ck_assert_int_ne(SSL_do_handshake(client.ssl), 1);
}
END_TEST

/* Writes while another thread reads, so that neither waits for the other. */
struct writing {
	size_t bytes;
	const char *data;
	bool ok;
};

static void *plain_writer(void *arg)
{
	struct writing *w = arg;

	w->ok = client_write(&client, w->data, w->bytes);
	return NULL;
}

static char *pattern(size_t n)
{
	char *p = malloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

/* Echo of n bytes, read in small slow pieces at first. */
static void echo_slowly(size_t n)
{
	char *sent = pattern(n), *got = malloc(n);
	struct writing w = { n, sent, false };
	pthread_t thread;
	size_t at = 0;

	pthread_create(&thread, NULL, plain_writer, &w);
	for (; at < 64 * 512; at += 512) {
		ck_assert(client_read(&client, got + at, 512));
		usleep(500);
	}
	ck_assert(client_read(&client, got + at, n - at));
	pthread_join(thread, NULL);
	ck_assert(w.ok);
	ck_assert_int_eq(memcmp(sent, got, n), 0);
	free(sent);
	free(got);
}

START_TEST(four_mebibytes_pass_a_slow_reader)
{
	side.echo = true;
	serve(&(struct conn_options){ 0 });
	echo_slowly(4 << 20);
	ck_assert_uint_gt(side.drained, 0);
}
END_TEST

/* One thread: TLS objects have no lock. 16 KiB there, 16 KiB back, and 1 MiB that the server sends on its own. */
START_TEST(a_mebibyte_each_way_through_tls)
{
	char *sent = pattern(1 << 20), *got = malloc(1 << 20);

	secure_echo();
	for (size_t at = 0; at < 1 << 20; at += 1 << 16) {
		ck_assert(client_write(&client, sent + at, 1 << 16));
		ck_assert(client_read(&client, got + at, 1 << 16));
	}
	ck_assert_int_eq(memcmp(sent, got, 1 << 20), 0);
	free(sent);
	free(got);
}
END_TEST

/* Headers of records that a client reads: how many, and the longest record. */
struct records {
	unsigned count, longest;
};

static void on_record(int writes, int version, int type, const void *header, size_t len, SSL *ssl, void *arg)
{
	struct records *r = arg;
	const unsigned char *h = header;

	(void)version;
	(void)ssl;
	if (writes || type != SSL3_RT_HEADER || len != 5)
		return;
	const unsigned size = (unsigned)h[3] << 8 | h[4];

	r->count++;
	r->longest = size > r->longest ? size : r->longest;
}

static void send_two_hundred_kib(void *arg)
{
	struct side *s = arg;
	char *bytes = pattern(200 << 10);

	buf_add(&s->t->out, bytes, 200 << 10);
	transport_send_later(s->t);
	free(bytes);
}

/* What is short goes in short records, for which little memory is enough; much goes in long ones all the same. */
START_TEST(much_behind_little_goes_in_long_records)
{
	struct records seen = { 0, 0 };
	char *expected = pattern(200 << 10), *got = malloc(200 << 10);

	secure_echo();
	check_echo("short");
	SSL_set_msg_callback(client.ssl, on_record);
	SSL_set_msg_callback_arg(client.ssl, &seen);
	worker_call(&workers[0], send_two_hundred_kib, &side);
	ck_assert(client_read(&client, got, 200 << 10));
	ck_assert_mem_eq(got, expected, 200 << 10);
	ck_assert_uint_gt(seen.longest, 16384);
	ck_assert_uint_le(seen.count, 16);
	check_echo("short again");
	free(expected);
	free(got);
}
END_TEST

static void send_mebibyte_and_close(void *arg)
{
	struct side *s = arg;
	char *bytes = pattern(1 << 20);

	buf_add(&s->t->out, bytes, 1 << 20);
	s->t->ops->close(s->t);
	free(bytes);
}

START_TEST(close_lets_output_leave_and_says_goodbye)
{
	char *want = pattern(1 << 20), *got = malloc(1 << 20), byte;

	secure_echo();
	worker_call(&workers[0], send_mebibyte_and_close, &side);
	for (size_t at = 0; at < 1 << 20; at += 1 << 15) {
		ck_assert(client_read(&client, got + at, 1 << 15));
		usleep(1000);
	}
	ck_assert_int_eq(memcmp(want, got, 1 << 20), 0);
	const int rc = SSL_read(client.ssl, &byte, 1);

	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(SSL_get_error(client.ssl, rc), SSL_ERROR_ZERO_RETURN);
	ck_assert(!side.closed);
	SSL_shutdown(client.ssl);
	shutdown(client.fd, SHUT_WR);
	check_closed(STERNA_ECLOSED);
	free(want);
	free(got);
}
END_TEST

START_TEST(close_waits_only_so_long_for_the_peer)
{
	static const struct conn_limits quick = { 65536, 262144, 65536, 100000, 100000, 100000, 100000, 100000 };

	side.close_on_read = true;
	serve(&(struct conn_options){ .limits = &quick });
	ck_assert(client_write(&client, "x", 1));
	check_closed(STERNA_ECLOSED);
	check_ended();
}
END_TEST

START_TEST(the_peers_close_is_told)
{
	secure_echo();
	SSL_shutdown(client.ssl);
	check_closed(STERNA_ECLOSED);
	ck_assert_str_eq(side.text, "closed by the peer");
}
END_TEST

START_TEST(the_owner_may_free_in_a_callback)
{
	side.free_on_read = true;
	serve(&(struct conn_options){ 0 });
	ck_assert(client_write(&client, "x", 1));
	ck_assert(side_wait(&side, side_has_read));
	ck_assert_ptr_null(side.t);
	check_ended();
}
END_TEST

START_TEST(a_stalled_handshake_is_ended)
{
	static const struct conn_limits quick = { 65536, 262144, 65536, 100000, 100000, 100000, 100000, 100000 };

	serve(&(struct conn_options){ .tls = tls, .direct = true, .limits = &quick });
	check_closed(STERNA_ELIMIT);
}
END_TEST

static void send_sixteen_mebibytes(void *arg)
{
	struct side *s = arg;

	memset(buf_reserve(&s->t->out, 16 << 20), 'x', 16 << 20);
	s->t->out.len += 16 << 20;
	transport_send_later(s->t);
}

START_TEST(a_peer_that_does_not_read_is_ended)
{
	static const struct conn_limits quick = { 65536, 262144, 65536, 100000, 100000, 9000000, 200000, 100000 };

	serve(&(struct conn_options){ .tls = tls, .direct = true, .limits = &quick });
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	ck_assert(client_handshake(&client));
	ck_assert(side_wait(&side, side_is_secure));
	worker_call(&workers[0], send_sixteen_mebibytes, &side);
	check_closed(STERNA_ELIMIT);
}
END_TEST

static void stop_reading(void *arg)
{
	struct side *s = arg;

	s->t->ops->set_reading(s->t, false);
}

static void start_reading(void *arg)
{
	struct side *s = arg;

	s->t->ops->set_reading(s->t, true);
}

START_TEST(reading_can_be_stopped_and_goes_on)
{
	secure_echo();
	worker_call(&workers[0], stop_reading, &side);
	ck_assert(client_write(&client, "hello", 5));
	usleep(50000);
	ck_assert_uint_eq(side.reads, 0);
	worker_call(&workers[0], start_reading, &side);
	ck_assert(side_wait(&side, side_has_read));
}
END_TEST

START_TEST(a_connection_moves_between_loops_while_data_flows)
{
	char sent[3000], got[sizeof sent];

	secure_echo();
	side.move = true;
	for (int i = 0; i < 300; i++) {
		memset(sent, 'a' + i % 26, sizeof sent);
		ck_assert(client_write(&client, sent, 1000));
		ck_assert(client_write(&client, sent + 1000, sizeof sent - 1000));
		ck_assert(client_read(&client, got, sizeof got));
		ck_assert_int_eq(memcmp(sent, got, sizeof got), 0);
	}
	ck_assert_uint_gt(side.reads, 299);
}
END_TEST

START_TEST(a_plain_connection_moves_with_full_buffers)
{
	side.echo = true;
	side.move = true;
	serve(&(struct conn_options){ 0 });
	echo_slowly(2 << 20);
}
END_TEST

struct binding {
	unsigned char data[64];
	size_t len;
	enum sterna_result rc;
	const char *type;
};

static void get_binding(void *arg)
{
	struct binding *b = arg;

	b->rc = side.t->ops->channel_binding(side.t, b->type, b->data, sizeof b->data, &b->len);
}

static struct binding binding(const char *type)
{
	struct binding b = { .type = type };

	worker_call(&workers[0], get_binding, &b);
	return b;
}

static void check_exporter(void)
{
	const struct binding b = binding("tls-exporter");
	unsigned char ours[32];

	ck_assert_int_eq(b.rc, STERNA_OK);
	ck_assert_uint_eq(b.len, 32);
	ck_assert_int_eq(SSL_export_keying_material(client.ssl, ours, 32, "EXPORTER-Channel-Binding", 24,
		(const unsigned char *)"", 0, 1), 1);
	ck_assert_int_eq(memcmp(ours, b.data, 32), 0);
}

START_TEST(channel_bindings_are_equal_on_both_sides)
{
	unsigned char ours[64];
	unsigned len;

	secure_echo();
	check_exporter();
	const struct binding b = binding("tls-server-end-point");

	ck_assert_int_eq(b.rc, STERNA_OK);
	ck_assert_int_eq(X509_digest(SSL_get0_peer_certificate(client.ssl), EVP_sha256(), ours, &len), 1);
	ck_assert_uint_eq(b.len, len);
	ck_assert_int_eq(memcmp(ours, b.data, len), 0);
	/* what Python's ssl module calls tls-unique on TLS 1.3 too: the client's Finished */
	const struct binding u = binding("tls-unique");

	ck_assert_int_eq(u.rc, STERNA_OK);
	ck_assert_uint_eq(SSL_get_finished(client.ssl, ours, sizeof ours), u.len);
	ck_assert_int_eq(memcmp(ours, u.data, u.len), 0);
	ck_assert_int_eq(binding("tls-unknown").rc, STERNA_ENOTFOUND);
}
END_TEST

START_TEST(tls_1_2_has_an_exporter_with_extended_master_secret_only)
{
	serve_direct();
	client_init(&client, client.fd, "b.example", ALPN, NULL);
	SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	if (_i == 1)
		SSL_set_options(client.ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	ck_assert(client_handshake(&client));
	ck_assert(side_wait(&side, side_is_secure));
	if (_i == 0)
		check_exporter();
	else
		ck_assert_int_eq(binding("tls-exporter").rc, STERNA_ENOTFOUND);
	ck_assert_uint_eq(binding("tls-server-end-point").len, 64); /* b's is signed with SHA-512 */
}
END_TEST

START_TEST(without_tls_there_is_no_channel_binding)
{
	serve(&(struct conn_options){ .tls = tls });
	ck_assert_int_eq(binding("tls-exporter").rc, STERNA_ENOTFOUND);
	ck_assert_int_eq(binding("tls-server-end-point").rc, STERNA_ENOTFOUND);
}
END_TEST

static bool proven(struct transport *t, const char *domain)
{
	const char *why = NULL;

	return t->ops->peer_proof(t, domain, NULL, &why) == TLS_PROOF_PKIX;
}

START_TEST(a_trusted_client_certificate_names_its_accounts)
{
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, certs.client);
	ck_assert(client_handshake(&client));
	ck_assert(side_wait(&side, side_is_secure));
	ck_assert_str_eq(side.t->ops->peer_xmpp_addr(side.t, 0), "romeo@a.example");
	ck_assert_str_eq(side.t->ops->peer_xmpp_addr(side.t, 1), "juliet@a.example");
	ck_assert_ptr_null(side.t->ops->peer_xmpp_addr(side.t, 2));
	ck_assert_ptr_null(side.t->ops->peer_xmpp_addr(side.t, 99));
	ck_assert(proven(side.t, "s2s.example"));
	ck_assert(!proven(side.t, "a.example"));
}
END_TEST

START_TEST(an_untrusted_client_certificate_names_nobody)
{
	struct certs strangers;

	certs_make(&strangers);
	serve_direct();
	client_init(&client, client.fd, "a.example", ALPN, strangers.client);
	ck_assert(client_handshake(&client));
	ck_assert(side_wait(&side, side_is_secure));
	ck_assert_ptr_null(side.t->ops->peer_xmpp_addr(side.t, 0));
	ck_assert(!proven(side.t, "s2s.example"));
	certs_clear(&strangers);
}
END_TEST

/* --- behind a load balancer --- */

static bool admit(void *arg, const struct ip *peer)
{
	char text[IP_TEXT_SIZE];

	ip_format(peer, text);
	return strcmp(arg, text) == 0;
}

static void serve_proxied(const char *trusted, const char *admitted)
{
	static const struct conn_limits quick = { 65536, 262144, 65536, 100000, 200000, 9000000, 200000, 100000 };
	struct cidr_set proxies = CIDR_SET_INIT;

	ck_assert_int_eq(cidr_set_add(&proxies, trusted), STERNA_OK);
	side.echo = true;
	serve(&(struct conn_options){ .tls = tls, .direct = true, .alpn = "xmpp-client", .proxies = &proxies,
		.limits = &quick, .admit = admit, .admit_arg = (void *)(uintptr_t)admitted });
	cidr_set_clear(&proxies);
}

START_TEST(a_trusted_proxy_tells_whose_connection_it_is)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 203.0.113.2 51000 5223\r\n";

	serve_proxied("127.0.0.0/8", "192.0.2.1");
	for (size_t i = 0; i < sizeof header - 1; i++) {
		ck_assert(client_write(&client, header + i, 1));
		usleep(200);
	}
	client_init(&client, client.fd, "a.example", ALPN, NULL);
	ck_assert(client_handshake(&client));
	check_echo("hello");
	ck_assert_str_eq(side.t->peer, "192.0.2.1:51000");
}
END_TEST

START_TEST(an_address_behind_a_proxy_can_be_refused)
{
	serve_proxied("127.0.0.0/8", "192.0.2.99");
	ck_assert(client_write(&client, "PROXY TCP4 192.0.2.1 203.0.113.2 51000 5223\r\n", 45));
	check_closed(STERNA_ELIMIT);
}
END_TEST

START_TEST(a_trusted_proxy_must_send_its_header)
{
	serve_proxied("127.0.0.1", "x");
	ck_assert(client_write(&client, "\x16\x03\x01", 3));
	check_closed(STERNA_EIO);
}
END_TEST

START_TEST(a_proxys_header_is_not_awaited_for_ever)
{
	serve_proxied("127.0.0.1", "x");
	ck_assert(client_write(&client, "PROXY ", 6));
	check_closed(STERNA_ELIMIT);
}
END_TEST

START_TEST(a_header_from_others_is_no_header)
{
	serve_proxied("192.0.2.0/24", "x");
	ck_assert(client_write(&client, "PROXY TCP4 192.0.2.1 203.0.113.2 51000 5223\r\n", 45));
	check_closed(STERNA_EIO);
	ck_assert_int_eq(strncmp(side.t->peer, "127.0.0.1:", 10), 0);
}
END_TEST

/* --- the side that connects --- */

START_TEST(the_connecting_side_speaks_tls_too)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	const int listening = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct side out = { 0 };

	ck_assert_int_eq(bind(listening, (struct sockaddr *)&at, len) | listen(listening, 1), 0);
	getsockname(listening, (struct sockaddr *)&at, &len);
	ck_assert(connect(fd, (struct sockaddr *)&at, len) == 0 || errno == EINPROGRESS);
	side_connect(&out, workers, fd, &(struct conn_options){ .tls = tls, .direct = true, .alpn = "xmpp-server",
		.tls_local = "a.example", .tls_remote = "b.example" });
	close(theirs);
	theirs = accept(listening, NULL, NULL);
	serve(&(struct conn_options){ .tls = tls, .direct = true, .alpn = "xmpp-server" });
	ck_assert(side_wait(&out, side_is_secure));
	ck_assert(side_wait(&side, side_is_secure));
	ck_assert(proven(out.t, "b.example"));
	ck_assert(!proven(out.t, "a.example"));
	ck_assert(proven(side.t, "a.example"));
	ck_assert_str_eq(side.t->ops->tls_sni(side.t), "b.example");
	worker_call(&workers[0], stop_reading, &out);
	out.t->ops->free(&out.t);
	side_end(&out);
	close(listening);
}
END_TEST

START_TEST(a_refused_connection_is_told)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	const int unused = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(unused, (struct sockaddr *)&at, len), 0); /* bound, and does not listen */
	getsockname(unused, (struct sockaddr *)&at, &len);
	(void)!connect(fd, (struct sockaddr *)&at, len);
	side_connect(&side, workers, fd, &(struct conn_options){ 0 });
	check_closed(STERNA_EUNAVAILABLE);
	close(unused);
	close(theirs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conn");
	TCase *tc = tcase_create("conn");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, plaintext_goes_both_ways);
	tcase_add_test(tc, starttls_secures_an_open_connection);
	tcase_add_test(tc, what_is_slipped_in_behind_starttls_ends_the_connection);
	tcase_add_test(tc, direct_tls_wants_our_protocol_or_none);
	tcase_add_test(tc, direct_tls_without_alpn_is_accepted);
	tcase_add_test(tc, direct_tls_for_another_protocol_is_refused);
	tcase_add_test(tc, direct_tls_without_certificate_is_never_plain);
	tcase_add_test(tc, a_handshake_may_come_byte_by_byte);
	tcase_add_test(tc, garbage_for_a_client_hello_ends_the_connection);
	tcase_add_test(tc, old_versions_and_ciphers_are_refused);
	tcase_add_test(tc, cbc_and_static_rsa_are_refused);
	tcase_add_test(tc, renegotiation_is_refused);
	tcase_add_test(tc, four_mebibytes_pass_a_slow_reader);
	tcase_add_test(tc, a_mebibyte_each_way_through_tls);
	tcase_add_test(tc, much_behind_little_goes_in_long_records);
	tcase_add_test(tc, close_lets_output_leave_and_says_goodbye);
	tcase_add_test(tc, close_waits_only_so_long_for_the_peer);
	tcase_add_test(tc, the_peers_close_is_told);
	tcase_add_test(tc, the_owner_may_free_in_a_callback);
	tcase_add_test(tc, a_stalled_handshake_is_ended);
	tcase_add_test(tc, a_peer_that_does_not_read_is_ended);
	tcase_add_test(tc, reading_can_be_stopped_and_goes_on);
	tcase_add_test(tc, a_connection_moves_between_loops_while_data_flows);
	tcase_add_test(tc, a_plain_connection_moves_with_full_buffers);
	tcase_add_test(tc, channel_bindings_are_equal_on_both_sides);
	tcase_add_loop_test(tc, tls_1_2_has_an_exporter_with_extended_master_secret_only, 0, 2);
	tcase_add_test(tc, without_tls_there_is_no_channel_binding);
	tcase_add_test(tc, a_trusted_client_certificate_names_its_accounts);
	tcase_add_test(tc, an_untrusted_client_certificate_names_nobody);
	tcase_add_test(tc, a_trusted_proxy_tells_whose_connection_it_is);
	tcase_add_test(tc, an_address_behind_a_proxy_can_be_refused);
	tcase_add_test(tc, a_trusted_proxy_must_send_its_header);
	tcase_add_test(tc, a_proxys_header_is_not_awaited_for_ever);
	tcase_add_test(tc, a_header_from_others_is_no_header);
	tcase_add_test(tc, the_connecting_side_speaks_tls_too);
	tcase_add_test(tc, a_refused_connection_is_told);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
