/* hist.c - a histogram of durations. */
#include "tests/bench/hist.h"
#include <math.h>
#include <string.h>

void hist_reset(struct hist *h)
{
	memset(h, 0, sizeof *h);
}

/* Below HIST_SUB a bin holds one value; above, the power of two picks a row of HIST_SUB bins. */
static unsigned bin_of(uint64_t v)
{
	if (v < HIST_SUB)
		return (unsigned)v;
	const unsigned shift = 63u - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	const unsigned bin = (shift + 1) * HIST_SUB + (unsigned)((v >> shift) - HIST_SUB);

	return bin < HIST_BINS ? bin : HIST_BINS - 1;
}

static uint64_t top_of(unsigned bin)
{
	if (bin < HIST_SUB)
		return bin;
	const unsigned shift = bin / HIST_SUB - 1;

	return ((uint64_t)(bin % HIST_SUB + HIST_SUB + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t value_us)
{
	h->bins[bin_of(value_us)]++;
	h->total++;
	h->sum += (double)value_us;
	if (value_us > h->max)
		h->max = value_us;
}

uint64_t hist_at(const struct hist *h, double share)
{
	const uint64_t rank = (uint64_t)ceil(share * (double)h->total);
	uint64_t seen = 0;

	for (unsigned bin = 0; bin < HIST_BINS; bin++) {
		seen += h->bins[bin];
		if (seen >= rank && seen > 0)
			return top_of(bin) < h->max ? top_of(bin) : h->max;
	}
	return 0;
}
