/* test_listener.c - accepting, refusing, and running out of descriptors. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "server/listener.h"
#include "server/log.h"
#include "tests/unit/peer.h"

static struct worker workers[2];
static struct listener *listeners[2];
static char logged[4096];
static bool refuse;
static unsigned accepted;
static struct ip last_peer;

static void on_line(void *arg, const char *line, size_t len)
{
	(void)arg;
	if (strlen(logged) + len < sizeof logged)
		strncat(logged, line, len);
}

static bool on_admit(void *arg, const struct ip *peer)
{
	(void)arg;
	last_peer = *peer;
	return !refuse;
}

static void on_accept(void *arg, int fd, const struct ip *peer)
{
	(void)arg;
	(void)peer;
	__atomic_add_fetch(&accepted, 1, __ATOMIC_SEQ_CST);
	(void)!write(fd, "x", 1);
	close(fd);
}

static const struct listener_handler handler = { on_admit, on_accept };

struct opening {
	struct listener_options o;
	unsigned at;
	enum sterna_result rc;
};

static void do_open(void *arg)
{
	struct opening *a = arg;

	a->rc = listener_new(workers[a->at].loop, &a->o, &handler, NULL, &listeners[a->at]);
}

static enum sterna_result open_at(unsigned at, const char *address, uint16_t port, bool first)
{
	struct opening a = { { .address = address, .port = port, .first = first }, at, STERNA_OK };

	worker_call(&workers[at], do_open, &a);
	return a.rc;
}

static void do_close(void *arg)
{
	listener_free(arg);
}

static void setup(void)
{
	log_set_sink(on_line, NULL);
	logged[0] = '\0';
	worker_start(&workers[0]);
	worker_start(&workers[1]);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++) {
		worker_call(&workers[i], do_close, &listeners[i]);
		worker_stop(&workers[i]);
		loop_free(&workers[i].loop);
	}
	log_set_sink(NULL, NULL);
}

static int dial(int family, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	if ((family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
			       : connect(fd, (struct sockaddr *)&v6, sizeof v6)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* 1 if the server accepts and greets, 0 if it closes at once, -1 if nothing comes in that time. */
static int greeting(int fd, int timeout_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char byte;

	if (poll(&p, 1, timeout_ms) != 1)
		return -1;
	const ssize_t n = recv(fd, &byte, 1, 0);

	close(fd);
	return n == 1;
}

START_TEST(one_socket_takes_both_families)
{
	char text[IP_TEXT_SIZE];

	ck_assert_int_eq(open_at(0, "::", 0, true), STERNA_OK);
	const uint16_t port = listener_port(listeners[0]);

	ck_assert_int_eq(greeting(dial(AF_INET, port), 5000), 1);
	ip_format(&last_peer, text);
	ck_assert_str_eq(text, "127.0.0.1");
	const int fd = dial(AF_INET6, port);

	if (fd >= 0) { /* a container may have no ::1 */
		ck_assert_int_eq(greeting(fd, 5000), 1);
		ip_format(&last_peer, text);
		ck_assert_str_eq(text, "::1");
	}
}
END_TEST

START_TEST(workers_share_a_port)
{
	ck_assert_int_eq(open_at(0, "0.0.0.0", 0, true), STERNA_OK);
	const uint16_t port = listener_port(listeners[0]);

	ck_assert_int_eq(open_at(1, "0.0.0.0", port, false), STERNA_OK);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(greeting(dial(AF_INET, port), 5000), 1);
	ck_assert_uint_eq(accepted, 64);
	ck_assert_uint_gt(listener_accepted(listeners[0]), 0);
	ck_assert_uint_gt(listener_accepted(listeners[1]), 0);
}
END_TEST

START_TEST(a_port_in_use_is_one_clear_line)
{
	ck_assert_int_eq(open_at(0, "127.0.0.1", 0, true), STERNA_OK);
	ck_assert_int_eq(open_at(1, "127.0.0.1", listener_port(listeners[0]), true), STERNA_EIO);
	ck_assert_ptr_nonnull(strstr(logged, "port is in use"));
	ck_assert_ptr_eq(strchr(logged, '\n'), logged + strlen(logged) - 1);
	ck_assert_ptr_null(listeners[1]);
}
END_TEST

START_TEST(nonsense_is_no_address)
{
	ck_assert_int_eq(open_at(0, "localhost", 0, true), STERNA_EINVAL);
	ck_assert_int_eq(open_at(0, "192.0.2.77", 5222, true), STERNA_EIO);
	ck_assert_ptr_nonnull(strstr(logged, "does not have this address"));
}
END_TEST

START_TEST(who_is_not_admitted_is_closed_at_once)
{
	ck_assert_int_eq(open_at(0, "127.0.0.1", 0, true), STERNA_OK);
	refuse = true;
	ck_assert_int_eq(greeting(dial(AF_INET, listener_port(listeners[0])), 5000), 0);
	ck_assert_uint_eq(listener_refused(listeners[0]), 1);
	ck_assert_uint_eq(accepted, 0);
}
END_TEST

static void do_pause(void *arg)
{
	listener_pause(arg, true);
}

static void do_resume(void *arg)
{
	listener_pause(arg, false);
}

START_TEST(a_pause_leaves_connections_in_the_queue)
{
	ck_assert_int_eq(open_at(0, "127.0.0.1", 0, true), STERNA_OK);
	worker_call(&workers[0], do_pause, listeners[0]);
	const int fd = dial(AF_INET, listener_port(listeners[0]));

	ck_assert_int_eq(greeting(fd, 100), -1);
	worker_call(&workers[0], do_resume, listeners[0]);
	ck_assert_int_eq(greeting(fd, 5000), 1);
}
END_TEST

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

START_TEST(without_descriptors_it_waits_in_peace_and_goes_on)
{
	struct rlimit limit;
	int held[64];
	size_t n = 0;

	ck_assert_int_eq(open_at(0, "127.0.0.1", 0, true), STERNA_OK);
	const int fd = dial(AF_INET, listener_port(listeners[0])), first = greeting(fd, 5000);

	ck_assert_int_eq(first, 1);
	worker_call(&workers[0], do_resume, listeners[0]); /* the server's end is closed now */
	const int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(listener_port(listeners[0])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (n < 64 && (held[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	ck_assert_int_eq(connect(waiting, (struct sockaddr *)&at, sizeof at), 0);
	const uint64_t before = cpu_us();
	struct pollfd p = { waiting, POLLIN, 0 };

	ck_assert_int_eq(poll(&p, 1, 350), 0);
	ck_assert_uint_lt(cpu_us() - before, 100000);
	ck_assert_uint_ge(listener_exhausted(listeners[0]), 2);
	ck_assert_uint_le(listener_exhausted(listeners[0]), 5);
	ck_assert_ptr_nonnull(strstr(logged, "limit of open files"));
	ck_assert_ptr_eq(strchr(logged, '\n'), logged + strlen(logged) - 1);
	while (n > 0)
		close(held[--n]);
	ck_assert_int_eq(greeting(waiting, 5000), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listener");
	TCase *tc = tcase_create("listener");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_socket_takes_both_families);
	tcase_add_test(tc, workers_share_a_port);
	tcase_add_test(tc, a_port_in_use_is_one_clear_line);
	tcase_add_test(tc, nonsense_is_no_address);
	tcase_add_test(tc, who_is_not_admitted_is_closed_at_once);
	tcase_add_test(tc, a_pause_leaves_connections_in_the_queue);
	tcase_add_test(tc, without_descriptors_it_waits_in_peace_and_goes_on);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
