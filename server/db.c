/* db.c - what every database has: values, rows, batches, gathering of a turn's jobs, delivery of answers. */
#include "server/db_driver.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE_BYTES = 64 << 20, READ_WAIT_MS = 5000, ANSWER_WAIT_MS = 10000 };

static const struct db_driver *const drivers[] = { &db_pg, &db_sqlite };

struct db_value db_text(const char *s)
{
	return db_textn(s, s != NULL ? strlen(s) : 0);
}

uint64_t db_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- rows --- */

struct db_rows *db_rows_new(const struct db_stmt *s)
{
	struct arena *a = arena_new(1024);
	struct db_rows *r = arena_zalloc(a, sizeof *r);

	r->arena = a;
	r->columns = s->columns != NULL ? strlen(s->columns) : 0;
	return r;
}

struct db_cell *db_rows_add(struct db_rows *r)
{
	const size_t row = sizeof(struct db_cell) * r->columns;

	if (r->count == r->room) {
		const size_t room = r->room > 0 ? r->room * 2 : 4;

		r->cells = arena_grow(r->arena, r->cells, r->room * row, room * row);
		r->room = room;
	}
	struct db_cell *cells = r->cells + r->count++ * r->columns;

	memset(cells, 0, row);
	return cells;
}

void db_rows_free(struct db_rows **r)
{
	struct db_rows *rows = *r;

	if (rows == NULL)
		return;
	*r = NULL;
	if (rows->release != NULL)
		rows->release(rows->owned);
	struct arena *a = rows->arena;

	arena_free(&a);
}

static const struct db_cell *cell(const struct db_rows *r, size_t row, size_t column)
{
	assert(row < r->count && column < r->columns);
	return &r->cells[row * r->columns + column];
}

size_t db_rows_count(const struct db_rows *r)
{
	return r->count;
}

bool db_is_null(const struct db_rows *r, size_t row, size_t column)
{
	return cell(r, row, column)->p == NULL;
}

int64_t db_int(const struct db_rows *r, size_t row, size_t column)
{
	return cell(r, row, column)->i;
}

const char *db_str(const struct db_rows *r, size_t row, size_t column, size_t *len)
{
	const struct db_cell *c = cell(r, row, column);

	if (len != NULL)
		*len = c->len;
	return c->p;
}

/* --- lists and jobs --- */

void db_jobs_init(struct db_job_list *l)
{
	l->first = NULL;
	l->tail = &l->first;
	l->count = 0;
}

void db_jobs_add(struct db_job_list *l, struct db_job *j)
{
	j->next = NULL;
	*l->tail = j;
	l->tail = &j->next;
	l->count++;
}

void db_jobs_join(struct db_job_list *l, struct db_job_list *more)
{
	if (more->first == NULL)
		return;
	*l->tail = more->first;
	l->tail = more->tail;
	l->count += more->count;
	db_jobs_init(more);
}

struct db_job *db_jobs_take(struct db_job_list *l)
{
	struct db_job *j = l->first;

	if (j == NULL)
		return NULL;
	l->first = j->next;
	if (l->first == NULL)
		l->tail = &l->first;
	l->count--;
	j->next = NULL;
	return j;
}

static void job_init(struct db_job *j, struct arena *a, struct db_client *c)
{
	j->arena = a;
	j->client = c;
	j->tail = &j->first;
}

void db_job_free(struct db_job *j)
{
	struct arena *a = j->arena;

	db_rows_free(&j->rows);
	arena_free(&a);
}

static void job_add(struct db_job *j, const struct db_stmt *s, const struct db_value *values)
{
	const size_t n = strlen(s->params);
	struct db_exec *e = arena_zalloc(j->arena, sizeof *e);

	e->stmt = s;
	e->values = arena_alloc(j->arena, (n > 0 ? n : 1) * sizeof *e->values);
	for (size_t i = 0; i < n; i++) {
		struct db_value *v = &e->values[i];

		*v = values[i];
		assert(v->type == 0 || v->type == s->params[i]);
		if (v->type == 't' || v->type == 'b')
			v->p = arena_strndup(j->arena, v->p, v->len);
	}
	*j->tail = e;
	j->tail = &e->next;
	j->count++;
}

/* --- answers: from the driver's threads to the loop --- */

struct db_wake {
	struct mail mail;
	struct db_client *client;    /* NULL: freed meanwhile; written on the loop's thread only */
};

static void job_gather(struct db_client *c, struct db_job *j)
{
	if (!j->read)
		c->seq++;
	j->seq = c->seq;
	db_jobs_add(&c->gathered, j);
	loop_defer(c->loop, &c->submit);
}

static bool is_to_repeat(const struct db_client *c, const struct db_job *j)
{
	return j->again > 0 && j->rc != STERNA_OK && !c->closing && (j->may == NULL || j->may(j->arg));
}

static void job_deliver(struct db_client *c, struct db_job *j)
{
	size_t *held = j->read ? &c->read_bytes : &c->write_bytes;

	if (is_to_repeat(c, j)) {
		j->again--;
		j->rc = STERNA_OK;
		j->tries = 0;
		job_gather(c, j);
		return;
	}
	*held -= j->bytes;
	if (j->fn != NULL)
		j->fn(j->arg, j->rc, j->rc == STERNA_OK && j->read ? j->rows : NULL);
	db_job_free(j);
}

static void on_wake(struct mail *m, struct loop *l)
{
	struct db_wake *w = (struct db_wake *)m;
	struct db_client *c = w->client;
	struct db_job_list done;

	(void)l;
	free(w);
	if (c == NULL)
		return;
	db_jobs_init(&done);
	pthread_mutex_lock(&c->lock);
	c->wake = NULL;
	db_jobs_join(&done, &c->done);
	const bool up = c->up_now;

	pthread_mutex_unlock(&c->lock);
	if (up != c->up) {
		c->up = up;
		if (c->on_state != NULL)
			c->on_state(c->state_arg, up);
	}
	for (struct db_job *j; (j = db_jobs_take(&done)) != NULL;)
		job_deliver(c, j);
}

static void wake(struct db_client *c)   /* under c->lock */
{
	if (c->wake != NULL)
		return;
	c->wake = xalloc(sizeof *c->wake);
	c->wake->mail.run = on_wake;
	c->wake->client = c;
	loop_post(c->loop, &c->wake->mail);
}

void db_job_finish(struct db_job *j, enum sterna_result rc)
{
	struct db_client *c = j->client;

	j->rc = rc;
	pthread_mutex_lock(&c->lock);
	db_jobs_add(&c->done, j);
	if (!c->closing)
		wake(c);
	pthread_mutex_unlock(&c->lock);
}

void db_job_answer(struct db_client *c, db_fn *fn, void *arg, enum sterna_result rc)
{
	struct arena *a = arena_new(0);
	struct db_job *j = arena_zalloc(a, sizeof *j);

	job_init(j, a, c);
	j->fn = fn;
	j->arg = arg;
	db_job_finish(j, rc);
}

void db_client_state(struct db_client *c, bool up)
{
	pthread_mutex_lock(&c->lock);
	if (c->up_now != up) {
		c->up_now = up;
		if (!c->closing)
			wake(c);
	}
	pthread_mutex_unlock(&c->lock);
}

/* --- the database --- */

static void options_clear(struct db_options *o)
{
	if (o->password != NULL)
		explicit_bzero((char *)o->password, strlen(o->password));
	free((char *)o->path);
	free((char *)o->conninfo);
	free((char *)o->password);
	free((char *)o->sync);
	free((char *)o->sql_dir);
}

static const char *copy(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

enum sterna_result db_open(const struct db_options *o, struct db **out)
{
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (o->driver != NULL && strcmp(drivers[i]->name, o->driver) == 0)
			return db_open_with(drivers[i], o, out);
	db_log_error("no such database driver; use sqlite or postgresql", o->driver, NULL);
	return STERNA_EINVAL;
}

enum sterna_result db_open_with(const struct db_driver *driver, const struct db_options *o, struct db **out)
{
	struct db *db = xalloc(sizeof *db);
	pthread_mutexattr_t recursive;

	db->driver = driver;
	db->o = *o;
	db->o.driver = driver->name;
	db->o.path = copy(o->path);
	db->o.conninfo = copy(o->conninfo);
	db->o.password = copy(o->password);
	db->o.sync = copy(o->sync);
	db->o.sql_dir = copy(o->sql_dir != NULL ? o->sql_dir : STERNA_SQL_DIR);
	if (db->o.connections == 0)
		db->o.connections = 1;
	if (db->o.queue_bytes == 0)
		db->o.queue_bytes = QUEUE_BYTES;
	if (db->o.read_wait_ms == 0)
		db->o.read_wait_ms = READ_WAIT_MS;
	if (db->o.answer_wait_ms == 0)
		db->o.answer_wait_ms = ANSWER_WAIT_MS;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&db->now_lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	const enum sterna_result rc = driver->open(db);

	if (rc == STERNA_OK) {
		*out = db;
		return rc;
	}
	pthread_mutex_destroy(&db->now_lock);
	options_clear(&db->o);
	free(db);
	return rc;
}

void db_close(struct db **db)
{
	struct db *d = *db;

	if (d == NULL)
		return;
	*db = NULL;
	d->driver->close(d);
	pthread_mutex_destroy(&d->now_lock);
	options_clear(&d->o);
	free(d);
}

enum sterna_result db_exec_now(struct db *db, const struct db_stmt *s, const struct db_value *values,
	db_fn *fn, void *arg)
{
	struct db_rows *rows = NULL;
	struct db_exec e = { NULL, s, (struct db_value *)values };

	pthread_mutex_lock(&db->now_lock);
	const enum sterna_result rc = db->driver->now(db, &e, &rows);

	pthread_mutex_unlock(&db->now_lock);
	if (fn != NULL)
		fn(arg, rc, rc == STERNA_OK ? rows : NULL);
	db_rows_free(&rows);
	return rc;
}

/* --- clients --- */

static void on_submit(struct task *t, void *arg)
{
	struct db_client *c = arg;

	(void)t;
	if (c->gathered.first != NULL)
		c->db->driver->submit(c, &c->gathered);
}

struct db_client *db_client_new(struct db *db, struct loop *l)
{
	struct db_client *c = xalloc(sizeof *c);

	c->db = db;
	c->loop = l;
	db_jobs_init(&c->gathered);
	db_jobs_init(&c->done);
	task_init(&c->submit, on_submit, c);
	pthread_mutex_init(&c->lock, NULL);
	db->driver->client_new(c);
	c->up = c->up_now;
	return c;
}

bool db_client_stop(struct db_client *c, unsigned wait_ms)
{
	bool any = false;

	if (!c->closing) {
		loop_undefer(c->loop, &c->submit);
		pthread_mutex_lock(&c->lock);
		c->closing = true;
		pthread_mutex_unlock(&c->lock);
		on_submit(NULL, c);
		c->db->driver->client_free(c, wait_ms);
	}
	/* No thread knows the client any more. What callbacks submit now is refused, and answered here, too. */
	for (struct db_job *j; (j = db_jobs_take(&c->done)) != NULL; any = true)
		job_deliver(c, j);
	return any;
}

void db_client_free(struct db_client **client, unsigned wait_ms)
{
	struct db_client *c = *client;

	if (c == NULL)
		return;
	db_client_stop(c, wait_ms);
	if (c->wake != NULL) {
		c->wake->client = NULL;
		if (loop_unpost(c->loop, &c->wake->mail))
			free(c->wake);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
	*client = NULL;
}

bool db_is_up(const struct db_client *c)
{
	return c->up;
}

void db_on_state(struct db_client *c, void (*fn)(void *arg, bool up), void *arg)
{
	c->on_state = fn;
	c->state_arg = arg;
}

size_t db_queued_bytes(const struct db_client *c)
{
	return c->write_bytes;
}

bool db_is_filling(const struct db_client *c)
{
	return c->write_bytes > c->db->o.queue_bytes / 2;
}

static void job_submit(struct db_client *c, struct db_job *j, db_fn *fn, void *arg)
{
	size_t *held = j->read ? &c->read_bytes : &c->write_bytes;

	j->fn = fn;
	j->arg = arg;
	j->bytes = arena_size(j->arena);
	const bool refused = c->closing || *held + j->bytes > c->db->o.queue_bytes;

	*held += j->bytes;
	if (refused) {
		db_job_finish(j, STERNA_EUNAVAILABLE);
		return;
	}
	job_gather(c, j);
}

struct db_batch *db_batch_new(struct db_client *c)
{
	struct arena *a = arena_new(1024);
	struct db_batch *b = arena_zalloc(a, sizeof *b);

	job_init(&b->job, a, c);
	return b;
}

void db_batch_add(struct db_batch *b, const struct db_stmt *s, const struct db_value *values)
{
	job_add(&b->job, s, values);
}

size_t db_batch_count(const struct db_batch *b)
{
	return b->job.count;
}

void db_batch_commit(struct db_batch **b, db_fn *fn, void *arg)
{
	struct db_job *j = &(*b)->job;

	*b = NULL;
	job_submit(j->client, j, fn, arg);
}

void db_batch_repeat(struct db_batch *b, unsigned times, bool (*may)(const void *arg))
{
	b->job.again = times;
	b->job.may = may;
}

void db_batch_drop(struct db_batch **b)
{
	if (*b != NULL)
		db_job_free(&(*b)->job);
	*b = NULL;
}

void db_read(struct db_client *c, const struct db_stmt *s, const struct db_value *values, db_fn *fn, void *arg)
{
	struct arena *a = arena_new(512);
	struct db_job *j = arena_zalloc(a, sizeof *j);

	job_init(j, a, c);
	j->read = true;
	j->deadline_us = db_clock_us() + (uint64_t)c->db->o.read_wait_ms * 1000;
	job_add(j, s, values);
	job_submit(c, j, fn, arg);
}

/* --- prepared statements --- */

struct db_prepared *db_cache_get(struct db_cache *k, const char *name, const char *sql)
{
	unsigned hash = 5381;

	for (const char *s = name; *s != '\0'; s++)
		hash = hash * 33 + (unsigned char)*s;
	struct db_prepared **slot = &k->slots[hash % (sizeof k->slots / sizeof *k->slots)];

	for (struct db_prepared *p = *slot; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0 && strcmp(p->sql, sql) == 0)
			return p;
	struct db_prepared *p = xalloc(sizeof *p);

	p->name = xstrdup(name);
	p->sql = xstrdup(sql);
	p->number = ++k->made;
	p->next = *slot;
	*slot = p;
	return p;
}

void db_cache_clear(struct db_cache *k, void (*drop)(void *handle))
{
	for (size_t i = 0; i < sizeof k->slots / sizeof *k->slots; i++) {
		for (struct db_prepared *p; (p = k->slots[i]) != NULL;) {
			k->slots[i] = p->next;
			if (drop != NULL && p->handle != NULL)
				drop(p->handle);
			free(p->name);
			free(p->sql);
			free(p);
		}
	}
	k->made = 0;
}
