/* metric.c - see metric.h. A metric has its cells side by side: one per label value, or, for a histogram,
 * per label value one for each bucket, one for +Inf and one for the sum. */
#include "server/metric.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/log.h"
#include "server/mem.h"

#define CELLS_MAX 4096          /* of one metric */
#define CACHE_LINE 64
#define PREFIX "sterna_"

const uint64_t metric_bounds_us[] = { 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	1000000, 2500000, 5000000, 10000000, 30000000, 0 };
const uint64_t metric_bounds_bytes[] = { 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 0 };

struct reader {
	void (*fn)(void *arg);
	void *arg;
	struct reader *next;
};

struct metrics {
	pthread_mutex_t lock;
	unsigned workers;
	struct metric_set *sets, **sets_end;    /* in the order added */
	struct reader *readers;
};

struct metrics *metrics_new(unsigned workers)
{
	struct metrics *m = xalloc(sizeof *m);

	pthread_mutex_init(&m->lock, NULL);
	m->workers = workers;
	m->sets_end = &m->sets;
	return m;
}

static void set_free(struct metric_set *s)
{
	for (unsigned i = 0; i < s->slots; i++)
		free(s->slot[i]);
	free(s->slot);
	free(s->first);
	free(s);
}

void metrics_free(struct metrics **m)
{
	if (*m == NULL)
		return;
	for (struct metric_set *s = (*m)->sets, *next; s != NULL; s = next) {
		next = s->next;
		set_free(s);
	}
	for (struct reader *r = (*m)->readers, *next; r != NULL; r = next) {
		next = r->next;
		free(r);
	}
	pthread_mutex_destroy(&(*m)->lock);
	free(*m);
	*m = NULL;
}

unsigned metrics_workers(const struct metrics *m)
{
	return m->workers;
}

static unsigned label_values(const struct sterna_metric *d, unsigned label)
{
	unsigned n = 0;

	if (d->labels[label].name == NULL)
		return 1;
	while (d->labels[label].values[n] != NULL)
		n++;
	return n;
}

static unsigned bucket_count(const struct sterna_metric *d)
{
	unsigned n = 0;

	while (d->bounds[n] != 0)
		n++;
	return n;
}

/* Cells for each value of the labels. */
static unsigned cell_stride(const struct sterna_metric *d)
{
	return d->type == METRIC_HISTOGRAM ? bucket_count(d) + 2 : 1;
}

static bool name_is_good(const char *name)
{
	return *name != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static const char *fault(const struct sterna_metric *d)
{
	const size_t len = strlen(d->name);

	if (strncmp(d->name, PREFIX, sizeof PREFIX - 1) != 0 || !name_is_good(d->name))
		return "the name is not of the form sterna_name";
	if ((d->type == METRIC_COUNTER) != (len > 6 && strcmp(d->name + len - 6, "_total") == 0))
		return "a counter, and no other metric, ends with _total";
	if (d->help == NULL || *d->help == '\0')
		return "no help text";
	if ((d->type == METRIC_HISTOGRAM) != (d->bounds != NULL))
		return "a histogram, and no other metric, has bounds";
	for (unsigned i = 0; d->bounds != NULL && d->bounds[i] != 0; i++)
		if (i > 0 && d->bounds[i] <= d->bounds[i - 1])
			return "the bounds do not rise";
	if (d->labels[0].name == NULL && d->labels[1].name != NULL)
		return "a second label without a first";
	for (unsigned i = 0; i < 2; i++)
		if (d->labels[i].name != NULL && (!name_is_good(d->labels[i].name) || d->labels[i].values == NULL
				|| label_values(d, i) == 0))
			return "a label without a good name or without values";
	if ((size_t)label_values(d, 0) * label_values(d, 1) * cell_stride(d) > CELLS_MAX)
		return "too many values";
	return NULL;
}

static const struct sterna_metric *find(const struct metrics *m, const char *name, const struct metric_set **set)
{
	for (const struct metric_set *s = m->sets; s != NULL; s = s->next) {
		for (const struct sterna_metric *d = s->table; d->name != NULL; d++) {
			if (strcmp(d->name, name) == 0) {
				*set = s;
				return d;
			}
		}
	}
	return NULL;
}

static enum sterna_result check_table(struct metrics *m, const struct sterna_metric *table)
{
	const struct metric_set *other;

	for (const struct sterna_metric *d = table; d->name != NULL; d++) {
		const char *text = fault(d);
		bool twice = find(m, d->name, &other) != NULL;

		for (const struct sterna_metric *e = table; e < d; e++)
			twice = twice || strcmp(e->name, d->name) == 0;
		if (text != NULL || twice) {
			log_error("metric", "cannot add a metric", "metric", d->name, "reason",
				text != NULL ? text : "there is one of that name");
			return text != NULL ? STERNA_EINVAL : STERNA_EEXISTS;
		}
	}
	return STERNA_OK;
}

static struct metric_set *set_new(const struct sterna_metric *table, unsigned slots)
{
	struct metric_set *s = xalloc(sizeof *s);
	size_t count = 0, bytes;

	while (table[count].name != NULL)
		count++;
	s->table = table;
	s->slots = slots;
	s->first = xalloc((count + 1) * sizeof *s->first);
	for (size_t i = 0; i < count; i++)
		s->first[i + 1] = s->first[i] + label_values(&table[i], 0) * label_values(&table[i], 1)
			* cell_stride(&table[i]);
	s->cells = s->first[count];
	/* Whole cache lines for each worker, so that they do not disturb each other. */
	bytes = (s->cells * sizeof **s->slot + CACHE_LINE) / CACHE_LINE * CACHE_LINE;
	s->slot = xalloc(slots * sizeof *s->slot);
	for (unsigned i = 0; i < slots; i++) {
		s->slot[i] = aligned_alloc(CACHE_LINE, bytes);
		if (s->slot[i] == NULL)
			abort();
		memset(s->slot[i], 0, bytes);
	}
	return s;
}

enum sterna_result metrics_add(struct metrics *m, const struct sterna_metric *table, struct metric_set **out)
{
	pthread_mutex_lock(&m->lock);
	const enum sterna_result rc = check_table(m, table);

	if (rc == STERNA_OK) {
		*out = set_new(table, m->workers + 1);
		*m->sets_end = *out;
		m->sets_end = &(*out)->next;
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

void metrics_remove(struct metrics *m, struct metric_set **set)
{
	struct metric_set **at;

	if (*set == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	for (at = &m->sets; *at != NULL && *at != *set; at = &(*at)->next)
		;
	if (*at != NULL) {
		*at = (*set)->next;
		if (m->sets_end == &(*set)->next)
			m->sets_end = at;
		set_free(*set);
	}
	pthread_mutex_unlock(&m->lock);
	*set = NULL;
}

void metrics_on_read(struct metrics *m, void (*fn)(void *arg), void *arg)
{
	struct reader **at = &m->readers, *r;

	pthread_mutex_lock(&m->lock);
	if (fn != NULL) {
		r = xalloc(sizeof *r);
		*r = (struct reader){ fn, arg, m->readers };
		m->readers = r;
	}
	while (fn == NULL && (r = *at) != NULL) {
		if (r->arg == arg) {
			*at = r->next;
			free(r);
		} else {
			at = &r->next;
		}
	}
	pthread_mutex_unlock(&m->lock);
}

void metric_observe(const struct metric_set *s, unsigned worker, unsigned index, unsigned label, uint64_t value)
{
	const struct sterna_metric *d = &s->table[index];
	unsigned bucket = 0, buckets = bucket_count(d);
	atomic_int_least64_t *cell = metric_cell_(s, worker, index, label * (buckets + 2) + buckets + 1);

	if (cell == NULL)
		return;
	while (bucket < buckets && value > d->bounds[bucket])
		bucket++;
	atomic_fetch_add_explicit(cell, (int64_t)value, memory_order_relaxed);
	atomic_fetch_add_explicit(cell - (buckets + 1) + bucket, 1, memory_order_relaxed);
}

static int64_t cell_total(const struct metric_set *s, const struct sterna_metric *d, unsigned cell)
{
	const uint32_t at = s->first[d - s->table] + cell;
	int64_t total = 0;

	for (unsigned i = 0; i < s->slots; i++) {
		const int64_t n = atomic_load_explicit(&s->slot[i][at], memory_order_relaxed);

		total = d->type == METRIC_GAUGE_MAX ? (n > total ? n : total) : (int64_t)((uint64_t)total + (uint64_t)n);
	}
	return total;
}

static void write_escaped(struct buf *out, const char *text, bool quotes)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\' || (quotes && *text == '"'))
			buf_putc(out, '\\');
		if (*text == '\n')
			buf_lit(out, "\\n");
		else
			buf_putc(out, *text);
	}
}

/* {a="x",b="y",le="0.1"}; le NULL or a number */
static void write_labels(struct buf *out, const struct sterna_metric *d, unsigned value, const char *le)
{
	const unsigned second = label_values(d, 1), at[2] = { value / second, value % second };
	const char *between = "{";

	for (unsigned i = 0; i < 2; i++) {
		if (d->labels[i].name == NULL)
			continue;
		buf_addf(out, "%s%s=\"", between, d->labels[i].name);
		write_escaped(out, d->labels[i].values[at[i]], true);
		buf_lit(out, "\"");
		between = ",";
	}
	if (le != NULL) {
		buf_addf(out, "%sle=\"%s\"", between, le);
		between = ",";
	}
	if (*between == ',')
		buf_lit(out, "}");
}

static void write_number(struct buf *out, const struct sterna_metric *d, int64_t n)
{
	if (d->scale == 0 || d->scale == 1)
		buf_addf(out, " %" PRId64 "\n", n);
	else
		buf_addf(out, " %.15g\n", (double)n * d->scale);
}

static void write_histogram(struct buf *out, const struct metric_set *s, const struct sterna_metric *d, unsigned value)
{
	const unsigned buckets = bucket_count(d), first = value * (buckets + 2);
	const double scale = d->scale != 0 ? d->scale : 1;
	int64_t count = 0;
	char le[40] = "+Inf";

	for (unsigned i = 0; i <= buckets; i++) {
		count += cell_total(s, d, first + i);
		if (i < buckets)
			snprintf(le, sizeof le, "%.9g", (double)d->bounds[i] * scale);
		else
			strcpy(le, "+Inf");
		buf_addf(out, "%s_bucket", d->name);
		write_labels(out, d, value, le);
		buf_addf(out, " %" PRId64 "\n", count);
	}
	buf_addf(out, "%s_sum", d->name);
	write_labels(out, d, value, NULL);
	write_number(out, d, cell_total(s, d, first + buckets + 1));
	buf_addf(out, "%s_count", d->name);
	write_labels(out, d, value, NULL);
	buf_addf(out, " %" PRId64 "\n", count);
}

static void write_metric(struct buf *out, const struct metric_set *s, const struct sterna_metric *d)
{
	static const char *const types[] = { "counter", "gauge", "gauge", "histogram" };
	const unsigned values = label_values(d, 0) * label_values(d, 1);

	buf_addf(out, "# HELP %s ", d->name);
	write_escaped(out, d->help, false);
	buf_addf(out, "\n# TYPE %s %s\n", d->name, types[d->type]);
	for (unsigned i = 0; i < values; i++) {
		if (d->type == METRIC_HISTOGRAM) {
			write_histogram(out, s, d, i);
			continue;
		}
		buf_puts(out, d->name);
		write_labels(out, d, i, NULL);
		write_number(out, d, cell_total(s, d, i));
	}
}

void metrics_write(struct metrics *m, struct buf *out)
{
	pthread_mutex_lock(&m->lock);
	for (struct reader *r = m->readers; r != NULL; r = r->next)
		r->fn(r->arg);
	for (const struct metric_set *s = m->sets; s != NULL; s = s->next)
		for (const struct sterna_metric *d = s->table; d->name != NULL; d++)
			write_metric(out, s, d);
	pthread_mutex_unlock(&m->lock);
}

int64_t metrics_read(struct metrics *m, const char *name, unsigned label)
{
	const struct metric_set *s = NULL;
	int64_t n = 0;

	pthread_mutex_lock(&m->lock);
	for (struct reader *r = m->readers; r != NULL; r = r->next)
		r->fn(r->arg);
	const struct sterna_metric *d = find(m, name, &s);

	if (d != NULL && label < label_values(d, 0) * label_values(d, 1)) {
		const unsigned stride = cell_stride(d);

		for (unsigned i = 0; i < (d->type == METRIC_HISTOGRAM ? stride - 1 : 1); i++)
			n += cell_total(s, d, label * stride + i);
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}
