/* run_login.c - scenarios about getting in and staying: accounts, a storm of logins, idle sessions,
 * everybody's return at once. */
#include <stdio.h>
#include <stdlib.h>
#include "tests/bench/bench.h"

enum { LOGIN_LIMIT_S = 300 };

static void close_from(struct bench *b, unsigned first)
{
	for (unsigned i = first; i < b->opt.sessions; i++) {
		if (b->sessions[i].state == S_READY)
			b->ready--;
		conn_close(&b->sessions[i]);
	}
}

/** Create the accounts by the server's own registration (XEP-0077). */
int run_register(struct bench *b)
{
	struct measure m;
	struct report r;

	b->registering = true;
	measure_start(b, &m);
	login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S);
	measure_stop(b, &m, true);
	report_begin(&r, b, "register");
	report_cost(&r, &m, (double)b->login_time->total);
	report_end(&r);
	return b->login_time->total == b->opt.sessions ? 0 : 1;
}

/** Log everybody in, rounds times; the first round only warms up when there is more than one, so that
 *  neither side's first PBKDF2 is counted. */
int run_login(struct bench *b)
{
	struct measure m;
	struct report r;
	unsigned done = 0;

	if (b->opt.rounds > 1) {
		login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S);
		close_from(b, 0);
		usage_settle(b->opt.pids, b->opt.n_pids, 5000);
		hist_reset(b->login_time);
	}
	double open_s = 0;

	measure_start(b, &m);
	for (unsigned i = b->opt.rounds > 1 ? 1 : 0; i < b->opt.rounds; i++) {
		const uint64_t began = now_ns();

		done += login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S);
		open_s += (double)(now_ns() - began) / 1e9;
		usage_settle(b->opt.pids, b->opt.n_pids, 5000);
		if (i + 1 < b->opt.rounds) {
			close_from(b, 0);
			usage_settle(b->opt.pids, b->opt.n_pids, 5000);
		}
	}
	measure_stop(b, &m, true);
	m.seconds = open_s;
	report_begin(&r, b, "login");
	report_cost(&r, &m, done);
	report_hist(&r, "login", b->login_time);
	report_end(&r);
	return done > 0 && b->failed == 0 ? 0 : 1;
}

/** What idle sessions weigh, and what they cost while nothing happens. */
int run_idle(struct bench *b)
{
	const struct options *o = &b->opt;
	const uint64_t before = usage_all(o->pids, o->n_pids).pss_kib;
	struct measure m;
	struct report r;
	const unsigned ready = login_all(b, 0, o->sessions, LOGIN_LIMIT_S);

	bench_loop(b, now_ns() + (uint64_t)(o->warm_s * 1e9));
	usage_settle(o->pids, o->n_pids, 5000);
	const uint64_t after = usage_all(o->pids, o->n_pids).pss_kib;

	measure_start(b, &m);
	bench_loop(b, now_ns() + (uint64_t)(o->seconds * 1e9));
	measure_stop(b, &m, false);
	report_begin(&r, b, "idle");
	report_num(&r, "ready", ready);
	report_num(&r, "pss_before_kib", (double)before);
	report_num(&r, "pss_after_kib", (double)after);
	report_num(&r, "pss_per_session_kib",
		ready > 0 && after > before ? (double)(after - before) / ready : 0);
	report_num(&r, "idle_cpu_ms_per_s", m.server_cpu_s * 1000 / m.seconds);
	report_end(&r);
	return ready == o->sessions && b->lost_sessions == 0 ? 0 : 1;
}

/** Run the command that restarts the server; it prints the ids of the new processes, which are measured from now on. */
static void restart(struct bench *b)
{
	FILE *f = popen(b->opt.restart, "r");
	char line[32];

	if (f == NULL) {
		perror("load: restart");
		return;
	}
	b->opt.n_pids = 0;
	while (fgets(line, sizeof line, f) != NULL && b->opt.n_pids < PIDS_MAX)
		b->opt.pids[b->opt.n_pids++] = (pid_t)strtol(line, NULL, 10);
	const int rc = pclose(f);

	if (rc != 0)
		fprintf(stderr, "load: the restart command ended with status %d\n", rc);
}

/** Everybody goes without a word and returns at once; with --restart that command runs in between. What
 *  those who stay see of it is for a second `load rate` with other accounts (--first) to say: in one
 *  process its own handshakes would be in their latencies. */
int run_reconnect(struct bench *b)
{
	const unsigned n = b->opt.sessions;
	struct measure m;
	struct report r;

	login_all(b, 0, n, LOGIN_LIMIT_S);
	close_from(b, 0);
	if (b->opt.restart != NULL)
		restart(b);
	b->failed = b->lost_sessions = 0;
	hist_reset(b->login_time);
	b->opt.concurrency = n;
	measure_start(b, &m);
	const unsigned back = login_all(b, 0, n, LOGIN_LIMIT_S);

	measure_stop(b, &m, b->opt.restart == NULL); /* else others may be there, and no rest */
	report_begin(&r, b, "reconnect");
	report_num(&r, "refused_for_good", n - back);
	report_cost(&r, &m, back);
	report_hist(&r, "login", b->login_time);
	report_end(&r);
	return back == n ? 0 : 1;
}
