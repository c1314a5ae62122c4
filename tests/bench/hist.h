/* hist.h - a histogram of durations with a relative error below 0.8 % at every size (as HdrHistogram:
 * a power of two is cut into 128 equal steps). Values are microseconds up to 2^40. Threads: one at a time. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 7, HIST_SUB = 1 << HIST_SUB_BITS, HIST_BINS = (41 - HIST_SUB_BITS) * HIST_SUB };

struct hist {
	uint64_t total, max;
	double sum;
	uint64_t bins[HIST_BINS];
};

void hist_reset(struct hist *h);
void hist_add(struct hist *h, uint64_t value_us);
/** The value that a share (0 to 1) of all values does not exceed; 0 when there is none. */
uint64_t hist_at(const struct hist *h, double share);

#endif
