/* metric.h - counters, gauges and histograms: declared in tables, counted per worker, summed when read.
 *
 *     enum { M_SENT, M_QUEUED, M_COMMIT };
 *     static const char *const kinds[] = { "message", "presence", "iq", NULL };
 *     static const struct sterna_metric metrics[] = {
 *         [M_SENT] = { "sterna_stanzas_sent_total", "Stanzas written to streams.", METRIC_COUNTER,
 *                      .labels = { { "kind", kinds } } },
 *         [M_QUEUED] = { "sterna_stanzas_queued", "Stanzas that wait for a commit.", METRIC_GAUGE },
 *         [M_COMMIT] = { "sterna_commit_seconds", "Time of a commit.", METRIC_HISTOGRAM,
 *                        .bounds = metric_bounds_us, .scale = 1e-6 },
 *         { 0 }
 *     };
 *     metric_add(set, worker, M_SENT, KIND_IQ, 1);
 *
 * The values of labels are part of the table, so no peer can make the number of series grow.
 * Threads: counting from any thread, without locks; a worker gives its number, other threads
 * metrics_workers(m). Adding, removing and writing take the registry's lock, never one that counting needs. */
#ifndef STERNA_METRIC_H
#define STERNA_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "server/buf.h"
#include "server/result.h"

enum metric_type {
	METRIC_COUNTER,         /* name ends with _total */
	METRIC_GAUGE,           /* the sum of what the workers hold */
	METRIC_GAUGE_MAX,       /* the greatest that a worker holds */
	METRIC_HISTOGRAM,
};

struct sterna_metric {
	const char *name;                       /* sterna_[a-z0-9_]+, with the unit (_seconds, _bytes) */
	const char *help;                       /* a sentence */
	enum metric_type type;
	struct {
		const char *name;               /* NULL: no label */
		const char *const *values;      /* all that there are, then NULL */
	} labels[2];
	const uint64_t *bounds;                 /* histogram: upper bounds, rising, then 0; +Inf is added */
	double scale;                           /* what is counted times scale is shown; 0 is 1 */
};

/** 100 µs to 30 s, for times counted in microseconds (.scale = 1e-6). */
STERNA_API extern const uint64_t metric_bounds_us[];
/** 64 bytes to 1 MiB. */
STERNA_API extern const uint64_t metric_bounds_bytes[];

struct metrics;                                 /* the registry of one server */

/** One table in use. The fields are for the functions below. */
struct metric_set {
	const struct sterna_metric *table;
	uint32_t *first;                        /* per metric: its first cell */
	uint32_t cells;                         /* per worker */
	unsigned slots;                         /* workers + 1 */
	atomic_int_least64_t **slot;
	struct metric_set *next;
};

struct metrics *metrics_new(unsigned workers);
void metrics_free(struct metrics **m);
unsigned metrics_workers(const struct metrics *m);

/** Start to count for a table, which outlives the set. All values begin with 0.
 *  @return STERNA_EEXISTS a name is in use; STERNA_EINVAL the table breaks the rules above (both logged) */
enum sterna_result metrics_add(struct metrics *m, const struct sterna_metric *table, struct metric_set **out)
	STERNA_CHECKED;
void metrics_remove(struct metrics *m, struct metric_set **set);        /**< nobody counts in it any more */

/** Called before each read, under the registry's lock, to store gauges that are known elsewhere. It must not add,
 *  remove or read. A second call for the same arg with fn NULL ends it. */
void metrics_on_read(struct metrics *m, void (*fn)(void *arg), void *arg);

/** All, in the Prometheus text format 0.0.4. */
void metrics_write(struct metrics *m, struct buf *out);
/** One value, over all workers, not scaled (a histogram: the number of observations); 0 if there is none such. */
int64_t metrics_read(struct metrics *m, const char *name, unsigned label);

/** Index of the value at both labels, for the label argument below. */
static inline unsigned metric_label2(unsigned first, unsigned second, unsigned second_count)
{
	return first * second_count + second;
}

/** @param label  index of the label's value, 0 without labels; out of range is ignored */
static inline atomic_int_least64_t *metric_cell_(const struct metric_set *s, unsigned slot, unsigned index,
	unsigned cell)
{
	const uint32_t at = s->first[index] + cell;

	if (at >= s->first[index + 1])
		return NULL;
	return &s->slot[slot < s->slots ? slot : s->slots - 1][at];
}

/** Counter or gauge: n more (or less, in a gauge). */
static inline void metric_add(const struct metric_set *s, unsigned worker, unsigned index, unsigned label, int64_t n)
{
	atomic_int_least64_t *cell = metric_cell_(s, worker, index, label);

	if (cell != NULL)
		atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

/** Gauge: this worker's part is n; also for counters that are kept elsewhere. */
static inline void metric_store(const struct metric_set *s, unsigned worker, unsigned index, unsigned label, int64_t n)
{
	atomic_int_least64_t *cell = metric_cell_(s, worker, index, label);

	if (cell != NULL)
		atomic_store_explicit(cell, n, memory_order_relaxed);
}

/** Histogram: one observation. */
STERNA_API void metric_observe(const struct metric_set *s, unsigned worker, unsigned index, unsigned label,
	uint64_t value);

#endif
