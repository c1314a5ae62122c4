/* db_pg_group.c - what a group sends: its statements one by one, or many executions of one as arrays. */
#include "server/buf.h"
#include "server/db_pg.h"
#include <stdlib.h>
#include <string.h>

enum { BULK_MIN = 4 };
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_BYTEAS = 1001, OID_TEXTS = 1009, OID_INT8S = 1016 };

struct item {
	const struct db_exec *exec;
	struct db_job *job;
	bool sent;
};

static void add_int32(struct buf *b, uint32_t n)
{
	const unsigned char bytes[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n };

	buf_add(b, bytes, sizeof bytes);
}

static void add_value(struct buf *b, const struct db_value *v)
{
	if (v->type == 0) {
		add_int32(b, UINT32_MAX);
	} else if (v->type == 'i') {
		add_int32(b, 8);
		add_int32(b, (uint32_t)((uint64_t)v->i >> 32));
		add_int32(b, (uint32_t)v->i);
	} else {
		add_int32(b, (uint32_t)v->len);
		buf_add(b, v->p, v->len);
	}
}

/* One parameter of n executions as a one-dimensional array in PostgreSQL's binary form (array_recv). */
static void add_array(struct buf *b, char type, const struct item *const *items, size_t n, size_t param)
{
	bool nulls = false;

	for (size_t i = 0; i < n; i++)
		nulls |= items[i]->exec->values[param].type == 0;
	add_int32(b, 1);
	add_int32(b, nulls);
	add_int32(b, type == 'i' ? OID_INT8 : type == 'b' ? OID_BYTEA : OID_TEXT);
	add_int32(b, (uint32_t)n);
	add_int32(b, 1);
	for (size_t i = 0; i < n; i++)
		add_value(b, &items[i]->exec->values[param]);
}

static bool send_bulk(struct pg_conn *k, const struct item *const *items, size_t n)
{
	const struct db_stmt *s = items[0]->exec->stmt;
	struct buf arrays[PG_PARAMS_MAX];
	struct pg_params p = { .count = (int)strlen(s->params) };

	for (int i = 0; i < p.count; i++) {
		const char type = s->params[i];

		arrays[i] = (struct buf)BUF_INIT;
		add_array(&arrays[i], type, items, n, (size_t)i);
		p.types[i] = type == 'i' ? OID_INT8S : type == 'b' ? OID_BYTEAS : OID_TEXTS;
		p.formats[i] = 1;
		p.values[i] = buf_data(&arrays[i]);
		p.lengths[i] = (int)buf_len(&arrays[i]);
	}
	const bool good = pg_send_params(k, s->pg_bulk, &p, items[0]->exec, NULL);

	for (int i = 0; i < p.count; i++)
		buf_release(&arrays[i]);
	return good;
}

/* Those that may go with the first: the same statement, behind it at once or, if it commutes, anywhere. */
static size_t collect(struct item *items, size_t count, const struct item **found)
{
	const struct db_stmt *s = items[0].exec->stmt;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (items[i].exec->stmt == s && !items[i].sent)
			found[n++] = &items[i];
		else if (!s->commutes)
			break;
	}
	return n;
}

static bool send_items(struct pg_conn *k, struct item *items, size_t count, const struct item **found, bool plain)
{
	for (size_t i = 0; i < count; i++) {
		const struct db_exec *e = items[i].exec;
		size_t n = 0;

		if (items[i].sent)
			continue;
		if (!plain && e->stmt->pg_bulk != NULL)
			n = collect(&items[i], count - i, found);
		if (n < BULK_MIN) {
			if (!pg_send_exec(k, e, items[i].job))
				return false;
			continue;
		}
		if (!send_bulk(k, found, n))
			return false;
		for (size_t f = 0; f < n; f++)
			items[found[f] - items].sent = true;
	}
	return true;
}

bool pg_send_group(struct pg_conn *k, const struct db_job_list *group, bool plain)
{
	size_t count = 0, n = 0;

	for (const struct db_job *j = group->first; j != NULL; j = j->next)
		count += j->count;
	struct item *items = xalloc(count * sizeof *items);
	const struct item **found = xalloc(count * sizeof *found);

	for (struct db_job *j = group->first; j != NULL; j = j->next)
		for (const struct db_exec *e = j->first; e != NULL && j->rc == STERNA_OK; e = e->next)
			items[n++] = (struct item){ e, j, false };
	const bool good = send_items(k, items, n, found, plain);

	free(items);
	free(found);
	return good;
}
