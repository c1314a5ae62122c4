/* usage.h - what processes and all their descendants have used: CPU time and memory, from /proc.
 * Threads: any; each call reads /proc afresh. */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
	double cpu_s;      /* user and system, with children that have ended and been waited for */
	uint64_t pss_kib;  /* proportional set size; 0 where smaps_rollup can't be read */
	unsigned processes;
};

/** Sum over pids[0..n) and everything below them. Processes that are gone count as nothing. */
struct usage usage_cpu(const pid_t *pids, size_t n);
/** The same with pss_kib, which costs the kernel a walk over all pages: not within a measurement. */
struct usage usage_all(const pid_t *pids, size_t n);
/** Wait until the processes have used no CPU for 200 ms, at most limit_ms. */
void usage_settle(const pid_t *pids, size_t n, unsigned limit_ms);

#endif
