/* XEP-0313 §4: answering a query - pages, results, and what the archive holds (§5). Part of the module "mam". */
#include "xep/xep0313_query.h"
#include <stdlib.h>
#include <string.h>

#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_DELAY "urn:xmpp:delay"

/* --- statements: each filter has its own, so that each has its own plan --- */

#define SHOWN "FROM archive WHERE owner = $1 AND (flags & 1) <> 0 AND id > $2 AND id < $3"
#define WITH_PEER " AND peer = $5"
#define WITH_RESOURCE " AND peer = $5 AND resource = $6"
#define PAGE(name_, params_, filter_, order_) { .name = name_, .params = params_, .columns = "it", \
	.sql = "SELECT id, stanza " SHOWN filter_ " ORDER BY id " order_ " LIMIT $4" }
#define COUNT(name_, params_, filter_) { .name = name_, .params = params_, .columns = "i", \
	.sql = "SELECT count(*) FROM (SELECT 1 " SHOWN filter_ " LIMIT $4) AS found" }

static const struct db_stmt forward[] = {
	[MAM_ANYONE] = PAGE("mam_forward", "tiii", "", "ASC"),
	[MAM_PEER] = PAGE("mam_forward_peer", "tiiit", WITH_PEER, "ASC"),
	[MAM_RESOURCE] = PAGE("mam_forward_resource", "tiiitt", WITH_RESOURCE, "ASC"),
};
static const struct db_stmt backward[] = {
	[MAM_ANYONE] = PAGE("mam_backward", "tiii", "", "DESC"),
	[MAM_PEER] = PAGE("mam_backward_peer", "tiiit", WITH_PEER, "DESC"),
	[MAM_RESOURCE] = PAGE("mam_backward_resource", "tiiitt", WITH_RESOURCE, "DESC"),
};
static const struct db_stmt count[] = {
	[MAM_ANYONE] = COUNT("mam_count", "tiii", ""),
	[MAM_PEER] = COUNT("mam_count_peer", "tiiit", WITH_PEER),
	[MAM_RESOURCE] = COUNT("mam_count_resource", "tiiitt", WITH_RESOURCE),
};
enum { COUNT_LIMIT = 100000 };          /* a longer archive is not counted to its end */

/* A list of ids, "1,2,3": the two databases take it apart in their own ways. */
#define IN_LIST_PG " AND id = ANY (('{' || $2 || '}')::bigint[])"
#define IN_LIST_SQLITE " AND id IN (SELECT value FROM json_each('[' || $2 || ']'))"
/* +: by the list, a look-up each; not all that lies between. */
#define BY_ID "FROM archive WHERE owner = $1 AND (flags & 1) <> 0"
#define BY_ID_ORDER " AND +id > $3 AND +id < $4 AND (CAST($5 AS text) IS NULL OR peer = $5)" \
	" AND (CAST($6 AS text) IS NULL OR resource = $6) ORDER BY id LIMIT $7"

static const struct db_stmt by_ids = {
	.name = "mam_by_ids", .params = "ttiitti", .columns = "it",
	.pg = "SELECT id, stanza " BY_ID IN_LIST_PG BY_ID_ORDER,
	.sqlite = "SELECT id, stanza " BY_ID IN_LIST_SQLITE BY_ID_ORDER,
};
static const struct db_stmt count_named = {
	.name = "mam_count_named", .params = "tti", .columns = "i",
	.pg = "SELECT count(*) " BY_ID IN_LIST_PG " AND +id > $3",
	.sqlite = "SELECT count(*) " BY_ID IN_LIST_SQLITE " AND +id > $3",
};
static const struct db_stmt extent = {
	.name = "mam_extent", .params = "ti", .columns = "ii",
	.sql = "SELECT min(id), max(id) FROM archive WHERE owner = $1 AND id > $2 AND (flags & 1) <> 0",
};

static int64_t id_us(int64_t id)
{
	return (id >> 20) * 1000;
}

/* The archive of the account whose turn it is. */
static bool is_own(struct sterna_call *c, const struct mam_source *source)
{
	return sterna_is_own(c) && strcmp(source->owner, sterna_owner(c)) == 0;
}

/* --- results: §4.2 --- */

static struct sterna_elem *result_of(struct sterna_call *c, const struct mam_query *q, const struct sterna_rows *rows,
	size_t row)
{
	struct sterna_elem *message = sterna_elem(c, "message", NS_CLIENT), *result, *forwarded, *delay;
	char stamp[STERNA_STAMP_LEN];

	sterna_attr(message, "from", q->source->owner);
	sterna_attr(message, "to", jid_full(sterna_from(c)));
	result = sterna_add(message, "result", NS_MAM);
	sterna_attr(result, "id", rows->text[row * rows->columns]);
	if (q->queryid != NULL)
		sterna_attr(result, "queryid", q->queryid);
	forwarded = sterna_add(result, "forwarded", NS_FORWARD);
	delay = sterna_add(forwarded, "delay", NS_DELAY);
	sterna_attr(delay, "stamp", sterna_stamp_us(id_us(db_int(rows->db, row, 0)), stamp));
	sterna_add_stored(forwarded, rows->text[row * rows->columns + 1]);
	return message;
}

/* In the order of the rows, or the other way round. What is another's (a room's) goes as one burst: nothing is to be
 * written before it. */
static void send_results(struct sterna_call *c, const struct mam_query *q, const struct sterna_rows *rows, size_t n,
	bool as_rows)
{
	struct sterna_shared **all = sterna_alloc(c, (n + 1) * sizeof *all);

	for (size_t i = 0; i < n; i++) {
		struct sterna_elem *message = result_of(c, q, rows, as_rows ? i : n - 1 - i);

		if (is_own(c, q->source))
			sterna_send_to(c, sterna_session(c), message);
		else
			all[i] = sterna_share(c, message);
	}
	if (is_own(c, q->source))
		return;
	sterna_send_burst(c, all, n, sterna_from(c));
	for (size_t i = 0; i < n; i++)
		sterna_shared_unref(&all[i]);
}

/* How many rows from the cursor on fit into the page. */
static size_t fitting(const struct mam_query *q, const struct sterna_rows *rows)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (; n < rows->count && n < (size_t)q->limit; n++) {
		const char *text = rows->text[n * rows->columns + 1];

		bytes += text != NULL ? strlen(text) : 0;
		if (n > 0 && bytes > q->source->max_bytes)
			break;
	}
	return n;
}

/* XEP-0160 §3, XEP-0313 §5.1.1: who has read the archive up to the present, in one page or in several that go back
 * from it, is not sent once more what waits. first, last: of the page; 0: it is empty. */
static void note_reading(struct sterna_call *c, const struct mam_query *q, bool complete, int64_t first, int64_t last)
{
	struct mam_session *s = is_own(c, q->source) ? sterna_session_slot(c) : NULL;

	if (s == NULL || !q->open_end || q->filter != MAM_ANYONE || first == 0)
		return;
	if (q->before != 0 && !(q->backward && q->before == s->seen_from))
		return; /* from somewhere within the archive */
	if (q->before == 0)
		s->seen_to = last;
	if (complete)
		sterna_catches_up(c, s->seen_to);
	s->seen_from = q->backward ? first : 0;
}

static struct sterna_elem *fin(struct sterna_call *c, bool complete, struct sterna_elem **set)
{
	struct sterna_elem *e = sterna_elem(c, "fin", NS_MAM);

	if (complete)
		sterna_attr(e, "complete", "true");
	*set = sterna_add(e, "set", NS_RSM);
	return e;
}

/* Rows begin at the cursor: for a page that goes back they are newest first. */
static enum sterna_verdict on_page(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct mam_query *q = sterna_data(c);
	struct sterna_elem *set, *end;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (is_own(c, q->source) && sterna_session(c) == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	const size_t n = fitting(q, rows);
	const bool complete = n == rows->count, rising = !q->backward;

	send_results(c, q, rows, n, rising != q->flip);
	end = fin(c, complete, &set);
	if (n > 0) {
		sterna_text(set, "first", rows->text[(rising ? 0 : n - 1) * rows->columns]);
		sterna_text(set, "last", rows->text[(rising ? n - 1 : 0) * rows->columns]);
	}
	note_reading(c, q, complete, n > 0 ? db_int(rows->db, rising ? 0 : n - 1, 0) : 0,
		n > 0 ? db_int(rows->db, rising ? n - 1 : 0, 0) : 0);
	return sterna_reply(c, end);
}

/* XEP-0059 §2.7: max 0 asks for the number alone. */
static enum sterna_verdict on_count(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *set, *end;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	end = fin(c, db_int(rows->db, 0, 0) == 0, &set);
	sterna_text(set, "count", rows->text[0]);
	return sterna_reply(c, end);
}

/* The same of certain messages: all that were named and pass the other fields. */
static enum sterna_verdict on_named_count(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *set, *end;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	end = fin(c, rows->count == 0, &set);
	sterna_text(set, "count", sterna_printf(c, "%zu", rows->count));
	return sterna_reply(c, end);
}

static enum sterna_verdict read_page(struct sterna_call *c, const struct mam_query *q)
{
	sterna_rows_fn *fn = q->limit > 0 ? on_page : on_count;
	const struct db_stmt *s = q->limit == 0 ? count : q->backward ? backward : forward;
	const int64_t limit = q->limit > 0 ? q->limit + 1 : COUNT_LIMIT; /* one more tells whether there is more */

	if (q->ids != NULL)
		return sterna_read(c, q->limit > 0 ? on_page : on_named_count, &by_ids, q->source->owner, q->ids, q->low, q->high, q->peer, q->resource,
			limit);
	switch (q->filter) {
	case MAM_PEER:
		return sterna_read(c, fn, &s[MAM_PEER], q->source->owner, q->low, q->high, limit, q->peer);
	case MAM_RESOURCE:
		return sterna_read(c, fn, &s[MAM_RESOURCE], q->source->owner, q->low, q->high, limit, q->peer, q->resource);
	default:
		return sterna_read(c, fn, &s[MAM_ANYONE], q->source->owner, q->low, q->high, limit);
	}
}

/* §4.1.4, §4.3.2: every id that was named must be in the archive. */
static enum sterna_verdict on_named(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct mam_query *q = sterna_data(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (db_int(rows->db, 0, 0) != (int64_t)q->named_count)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	return read_page(c, q);
}

enum sterna_verdict mam_query(struct sterna_call *c, const struct mam_source *source)
{
	struct mam_query *q = sterna_alloc(c, sizeof *q);
	struct mam_source *kept = sterna_alloc(c, sizeof *kept);
	enum sterna_verdict refused;

	*kept = *source;
	kept->owner = sterna_printf(c, "%s", source->owner);
	q->source = kept;
	if (!mam_query_read(c, q, &refused))
		return refused;
	if (q->ids != NULL)
		q->backward = false;
	sterna_set_data(c, q);
	if (q->named_count > 0)
		return sterna_read(c, on_named, &count_named, q->source->owner, q->named, q->source->since);
	return read_page(c, q);
}

/* --- §5: the first and the last --- */

static void add_end(struct sterna_elem *metadata, const char *name, const struct sterna_rows *rows, size_t column)
{
	struct sterna_elem *e = sterna_add(metadata, name, NULL);
	char stamp[STERNA_STAMP_LEN];

	sterna_attr(e, "id", rows->text[column]);
	sterna_attr(e, "timestamp", sterna_stamp_us(id_us(db_int(rows->db, 0, column)), stamp));
}

static enum sterna_verdict on_extent(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	struct sterna_elem *metadata = sterna_elem(c, "metadata", NS_MAM);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (rows->count > 0 && rows->text[0] != NULL) {
		add_end(metadata, "start", rows, 0);
		add_end(metadata, "end", rows, 1);
	}
	return sterna_reply(c, metadata);
}

enum sterna_verdict mam_metadata(struct sterna_call *c, const struct mam_source *source)
{
	return sterna_read(c, on_extent, &extent, source->owner, source->since);
}
