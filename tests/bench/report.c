/* report.c - what a run has measured: one JSON object on stdout, one readable line on stderr. */
#include <stdio.h>
#include <sys/resource.h>
#include "tests/bench/bench.h"

enum { SETTLE_MS = 5000 };

static double own_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void measure_start(const struct bench *b, struct measure *m)
{
	m->server_cpu_s = usage_cpu(b->opt.pids, b->opt.n_pids).cpu_s;
	m->load_cpu_s = own_cpu_s();
	m->began = now_ns();
	m->seconds = 0;
}

void measure_stop(const struct bench *b, struct measure *m, bool settle)
{
	m->seconds = (double)(now_ns() - m->began) / 1e9;
	m->load_cpu_s = own_cpu_s() - m->load_cpu_s;
	if (settle)
		usage_settle(b->opt.pids, b->opt.n_pids, SETTLE_MS);
	m->server_cpu_s = usage_cpu(b->opt.pids, b->opt.n_pids).cpu_s - m->server_cpu_s;
}

void report_begin(struct report *r, const struct bench *b, const char *scenario)
{
	*r = (struct report){ BUF_INIT, BUF_INIT };
	buf_addf(&r->json, "{\"scenario\":\"%s\",\"server\":\"%s\",\"sessions\":%u,\"failed\":%u,\"dropped\":%u",
		scenario, b->opt.label, b->opt.sessions, b->failed, b->lost_sessions);
	buf_addf(&r->line, "%-10s %-16s", b->opt.label, scenario);
	if (b->failed + b->lost_sessions > 0)
		buf_addf(&r->line, " failed=%u dropped=%u", b->failed, b->lost_sessions);
}

void report_num(struct report *r, const char *key, double value)
{
	buf_addf(&r->json, ",\"%s\":%.10g", key, value);
	buf_addf(&r->line, " %s=%.5g", key, value);
}

void report_hist(struct report *r, const char *prefix, const struct hist *h)
{
	static const struct {
		const char *name;
		double share;
	} points[] = { { "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p999", .999 } };

	buf_addf(&r->json, ",\"%s_us\":{\"count\":%llu,\"mean\":%.1f", prefix, (unsigned long long)h->total,
		h->total > 0 ? h->sum / (double)h->total : 0.0);
	buf_addf(&r->line, " %s_us", prefix);
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		const unsigned long long v = hist_at(h, points[i].share);

		buf_addf(&r->json, ",\"%s\":%llu", points[i].name, v);
		buf_addf(&r->line, " %s=%llu", points[i].name, v);
	}
	buf_addf(&r->json, ",\"max\":%llu}", (unsigned long long)h->max);
}

void report_cost(struct report *r, const struct measure *m, double operations)
{
	const double per = operations > 0 ? 1e6 / operations : 0;

	report_num(r, "operations", operations);
	report_num(r, "seconds", m->seconds);
	report_num(r, "per_second", m->seconds > 0 ? operations / m->seconds : 0);
	report_num(r, "server_cpu_us", m->server_cpu_s * per);
	report_num(r, "load_cpu_us", m->load_cpu_s * per);
	report_num(r, "server_cores", m->seconds > 0 ? m->server_cpu_s / m->seconds : 0);
}

void report_end(struct report *r)
{
	printf("%s}\n", buf_str(&r->json));
	fflush(stdout);
	fprintf(stderr, "%s\n", buf_str(&r->line));
	buf_release(&r->json);
	buf_release(&r->line);
}
