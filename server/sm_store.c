/* sm_store.c - XEP-0198: what survives the process, and resumption. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/archive.h"
#include "server/presence.h"
#include "server/sm_impl.h"
#include "server/stream.h"

static const struct db_stmt sm_put = {
	.name = "sm_put", .params = "ittbiiitii",
	.sql = "INSERT INTO sm_session (sid, owner, resource, token_hash, position, acked_out, h_in, state, created, "
	       "expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (sid) DO UPDATE SET "
	       "position = excluded.position, acked_out = excluded.acked_out, h_in = excluded.h_in, "
	       "state = excluded.state, expires = excluded.expires",
	/* A session has one of these under way at a time. */
	.pg_bulk = "INSERT INTO sm_session (sid, owner, resource, token_hash, position, acked_out, h_in, state, created, "
		   "expires) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], "
		   "$6::bigint[], $7::bigint[], $8::text[], $9::bigint[], $10::bigint[]) ON CONFLICT (sid) DO UPDATE SET "
		   "position = excluded.position, acked_out = excluded.acked_out, h_in = excluded.h_in, "
		   "state = excluded.state, expires = excluded.expires",
};
static const struct db_stmt sm_delete = {
	.name = "sm_delete", .params = "i", .sql = "DELETE FROM sm_session WHERE sid = $1",
};
const struct db_stmt sm_delete_all = {
	.name = "sm_delete_all", .params = "t", .sql = "DELETE FROM sm_session WHERE owner = $1",
};
static const struct db_stmt sm_select = {
	.name = "sm_select", .params = "t", .columns = "itbiiitii",
	.sql = "SELECT sid, resource, token_hash, position, acked_out, h_in, state, created, expires FROM sm_session "
	       "WHERE owner = $1 ORDER BY sid",
};
static const struct db_stmt sm_retag = {
	.name = "sm_retag", .params = "titt",
	.sql = "UPDATE archive SET sm = replace(sm, $3, $4) WHERE owner = $1 AND id = $2",
};
static const struct db_stmt sm_rows = {
	.name = "sm_rows", .params = "ti", .columns = "itti",
	.sql = "SELECT id, sm, stanza, flags FROM archive WHERE owner = $1 AND id > $2 AND sm IS NOT NULL ORDER BY id",
};

/* --- what is kept of a session: presence, roster interest, what modules keep --- */

/* Whom it has sent presence directly (rooms): they hear when it goes, also if the server was killed meanwhile. */
static json_t *directed_of(const struct sterna_session *s)
{
	json_t *list = json_array();
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(s->directed, &at)) != NULL;)
		json_array_append_new(list, json_string(e->key));
	return list;
}

static char *state_of(const struct sterna_session *s)
{
	json_t *o = json_object();
	struct buf text = BUF_INIT;

	if (s->presence != NULL) {
		stanza_write_stored(&text, s->presence);
		json_object_set_new(o, "presence", json_string(buf_str(&text)));
		buf_release(&text);
	}
	if (s->directed != NULL && s->directed->count > 0)
		json_object_set_new(o, "directed", directed_of(s));
	json_object_set_new(o, "interested", json_boolean(s->interested));
	json_object_set_new(o, "timeout", json_integer((json_int_t)s->sm->timeout_us));
	if (s->kept != NULL)
		json_object_set(o, "kept", s->kept);
	char *out = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return out;
}

static void set_state(struct sterna_session *s, const char *text)
{
	json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;
	const char *presence = json_string_value(json_object_get(o, "presence"));

	s->interested = json_is_true(json_object_get(o, "interested"));
	s->sm->timeout_us = (uint64_t)json_integer_value(json_object_get(o, "timeout"));
	for (size_t i = 0; i < json_array_size(json_object_get(o, "directed")); i++)
		presence_remember(s, json_string_value(json_array_get(json_object_get(o, "directed"), i)));
	if (json_is_object(json_object_get(o, "kept")))
		s->kept = json_incref(json_object_get(o, "kept"));
	if (presence != NULL) {
		struct arena *a = arena_new(1024);
		struct sterna_elem *e = NULL;

		if (xml_parse(a, presence, strlen(presence), &e) == STERNA_OK
			&& stanza_new(&a, e, &s->presence) == STERNA_OK) {
			const char *priority = elem_child_text(s->presence->arena, e, "priority");

			s->available = true;
			s->priority = priority != NULL ? atoi(priority) : 0;
		}
		arena_free(&a);
	}
	json_decref(o);
}

struct sterna_elem *sm_enabled_elem(const struct sterna_session *s, struct arena *a)
{
	struct sterna_elem *e = elem_new(a, "enabled", NS_SM);
	char text[64];

	if (s->sm->resumable) {
		elem_set_attr(a, e, "resume", "true");
		sm_id(s, text);
		elem_set_attr(a, e, "id", text);
		snprintf(text, sizeof text, "%u", (unsigned)(s->sm->timeout_us / 1000000));
		elem_set_attr(a, e, "max", text);
	}
	return e;
}

/* From here on what we send is counted. */
static void announce(struct sterna_session *s)
{
	struct sm *m = s->sm;
	sm_enabled_fn *tell = m->tell;

	m->enabled = true;
	m->announced = true;
	if (s->stream == NULL)
		return;
	if (tell != NULL) {
		m->tell = NULL;
		tell(s);
		return;
	}
	struct arena *a = arena_new(256);

	stream_send_elem(s->stream, sm_enabled_elem(s, a));
	arena_free(&a);
	sm_flush(s);
}

/* --- storing --- */

struct saving {
	struct sterna_session *session;
	uint32_t h;
};

static void on_saved(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct saving *v = arg;
	struct sterna_session *s = v->session;
	struct sm *m = s->sm;

	(void)rows;
	if (m != NULL && !s->gone) {
		m->saving = false;
		m->stored |= rc == STERNA_OK;
		m->resumable &= m->announced || rc == STERNA_OK; /* not stored: a session, and no promise */
		if (!m->announced)
			announce(s);
		if (rc == STERNA_OK && (int32_t)(v->h - m->h_durable) > 0)
			m->h_durable = v->h;
		if (m->save_again) {
			m->save_again = false;
			sm_store(s);
		} else if (rc == STERNA_OK) {
			sm_try_answer(s);
		}
	}
	session_unref(&v->session);
	free(v);
}

/* What lies before all positions is needed for no resumption. */
static void drop_hidden(struct account *a, struct db_batch *b)
{
	int64_t up_to = INT64_MAX;

	if (!a->has_hidden)
		return;
	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->sm != NULL && s->sm->position < up_to)
			up_to = s->sm->position;
	archive_drop_hidden(b, a, up_to != INT64_MAX ? up_to : worker_next_id(a->worker));
}

/* Of one that cannot be resumed nothing is stored; but what was kept for it goes. */
static void let_rows_go(struct sterna_session *s)
{
	struct worker *w = s->account->worker;

	if (s->sm->count > 0 || !s->account->has_hidden)
		return;
	struct db_batch *b = db_batch_new(w->db);

	s->sm->position = worker_next_id(w);
	drop_hidden(s->account, b);
	db_batch_commit(&b, NULL, NULL);
}

void sm_store(struct sterna_session *s)
{
	struct sm *m = s->sm;
	struct worker *w = s->account->worker;

	if (m->loading)
		return;
	if (!m->resumable) {
		let_rows_go(s);
		return;
	}
	if (m->saving) {
		m->save_again = true;
		return;
	}
	/* Recovery may skip rows that nobody lacks: none is pending, none unacknowledged. */
	const bool repeated = m->taken_count == 0 || (int32_t)(m->taken[m->taken_count - 1] - m->h_committed) <= 0;

	/* … and what was taken behind a gap has come once more, so that h_in covers it. */
	struct saving *v = xalloc(sizeof *v);
	struct db_batch *b = db_batch_new(w->db);

	if (m->pending_count == 0 && m->count == 0 && repeated) {
		m->position = worker_next_id(w);
		drop_hidden(s->account, b);
	}
	char *state = state_of(s);

	v->session = session_ref(s);
	v->h = m->h_committed;
	m->saving = true;
	db_batch_add(b, &sm_put, (const struct db_value[]){
		DB_INT(m->sid), db_text(jid_bare(s->jid)), db_text(jid_resource(s->jid)),
		DB_BLOB(m->token_hash, sizeof m->token_hash), DB_INT(m->position), DB_INT(m->acked),
		DB_INT(m->h_committed), db_text(state), DB_INT(s->bound_us),
		DB_INT(s->stream == NULL ? loop_wall_us(w->loop) + (int64_t)m->timeout_us : 0) });
	db_batch_commit(&b, on_saved, v);
	free(state);
}

void sm_save(struct sterna_session *s)
{
	if (s->sm != NULL && s->sm->resumable && !s->gone)
		sm_store(s);
}

void sm_forget(struct sterna_session *s, struct db_batch *b)
{
	if (s->sm->resumable)
		db_batch_add(b, &sm_delete, (const struct db_value[]){ DB_INT(s->sm->sid) });
	drop_hidden(s->account, b);
}

/* --- enabling --- */

/* "<sid>.<secret>": the secret is stored as a hash only. */
static void make_secret(struct sterna_session *s)
{
	worker_token(s->account->worker, s->sm->secret);
	EVP_Digest(s->sm->secret, 32, s->sm->token_hash, NULL, EVP_sha256(), NULL);
}

void sm_id(const struct sterna_session *s, char out[64])
{
	snprintf(out, 64, "%" PRIx64 ".%s", (uint64_t)s->sm->sid, s->sm->secret);
}

void sm_enable(struct sterna_session *s, bool resume, uint32_t max_s, sm_enabled_fn *inline_)
{
	const struct config_limits *limits = &s->account->worker->server->config->limits;
	const uint64_t most = (uint64_t)limits->sm_resume_time.us;
	struct sm *m = sm_new(s);

	m->resumable = resume && most > 0 && !s->account->anonymous;
	m->timeout_us = max_s > 0 && (uint64_t)max_s * 1000000 < most ? (uint64_t)max_s * 1000000 : most;
	m->tell = inline_;
	m->enabled = inline_ != NULL;
	if (!m->resumable) {
		announce(s);
		return;
	}
	/* It must survive us from the moment on at which the client knows: <enabled/> follows the commit. */
	make_secret(s);
	sm_store(s);
}

/* --- resuming --- */

static struct sterna_session *find(struct account *a, const char *previd)
{
	unsigned char hash[32];
	char *dot = NULL;
	const uint64_t sid = strtoull(previd, &dot, 16);

	if (dot == NULL || *dot != '.' || strlen(dot + 1) != 32)
		return NULL;
	EVP_Digest(dot + 1, 32, hash, NULL, EVP_sha256(), NULL);
	for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->sm != NULL && s->sm->resumable && (uint64_t)s->sm->sid == sid
			&& CRYPTO_memcmp(hash, s->sm->token_hash, sizeof hash) == 0) {
			memcpy(s->sm->secret, dot + 1, 32);
			return s;
		}
	return NULL;
}

struct renumbering {
	struct sterna_session *session;
};

static bool still_counts(const void *arg)
{
	return !((const struct renumbering *)arg)->session->gone;
}

static void on_renumbered(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct renumbering *v = arg;

	(void)rows;
	if (rc != STERNA_OK)
		log_error("sm", "the new numbers are not stored: after another crash messages may come twice", "jid",
			jid_full(v->session->jid), "result", sterna_result_text(rc));
	sm_let_go(v->session);
	session_unref(&v->session);
	free(v);
}

/* After a crash: what the client has not seen is numbered on from what it has, and the rows say so before it is
 * sent: else another crash would count it as not seen. */
static void renumber(struct sterna_session *s, uint32_t h)
{
	struct sm *m = s->sm;
	struct db_batch *b = db_batch_new(s->account->worker->db);
	struct renumbering *v;

	while (m->count > 0 && (int32_t)(sm_at(m, 0)->number - h) <= 0)
		sm_drop_acked(m, m->acked + 1); /* one */
	for (size_t i = 0; i < m->count; i++) {
		struct sm_entry *e = sm_at(m, i);
		char old[64], new[64];

		snprintf(old, sizeof old, "o%lld:%u;", (long long)m->sid, e->number);
		e->number = h + 1 + (uint32_t)i;
		snprintf(new, sizeof new, "o%lld:%u;", (long long)m->sid, e->number);
		if (e->archive_id != 0)
			db_batch_add(b, &sm_retag, (const struct db_value[]){ db_text(jid_bare(s->jid)),
				DB_INT(e->archive_id), db_text(old), db_text(new) });
	}
	m->acked = h;
	m->out = h + (uint32_t)m->count;
	m->written = h;
	m->back_from_crash = true;
	m->recovered = false;
	if (db_batch_count(b) == 0) {
		db_batch_drop(&b);
		return;
	}
	v = xalloc(sizeof *v);
	v->session = session_ref(s);
	sm_withhold(s);
	db_batch_repeat(b, SM_TRIES, still_counts);
	db_batch_commit(&b, on_renumbered, v);
}

bool sm_is_behind(const struct sterna_session *s, int64_t id)
{
	return s->sm->resumable && id <= s->sm->position;
}

void sm_reach_back(struct sterna_session *s, struct db_batch *b, int64_t id)
{
	static const struct db_stmt lower = {
		.name = "sm_reach_back", .params = "ii", .sql = "UPDATE sm_session SET position = $2 WHERE sid = $1",
	};
	struct sm *m = s->sm;

	if (!sm_is_behind(s, id))
		return;
	m->position = id - 1;
	db_batch_add(b, &lower, (const struct db_value[]){ DB_INT(m->sid), DB_INT(m->position) });
}

void sm_resume(struct account *a, struct stream *st, const char *previd, uint32_t h, sm_resume_fn *done)
{
	struct sterna_session *s = find(a, previd);

	if (s == NULL || s->gone || s->sm->broken) {
		done(st, NULL, "item-not-found", 0);
		return;
	}
	struct sm *m = s->sm;

	/* Of a recovered session we do not know what was written: presence and answers had no rows. */
	if (h - m->acked > (m->recovered ? m->out : m->written) - m->acked) {
		done(st, NULL, "item-not-found", m->h_committed);
		return;
	}
	if (m->recovered)
		renumber(s, h);
	else
		sm_drop_acked(m, h);
	if (!sm_is_doomed(m))
		timer_cancel(&m->expiry);
	if (s->stream != NULL)
		stream_replaced(s->stream); /* a half-open connection: the new one takes over */
	s->stream = st;
	st->session = session_ref(s);
	m->resuming = st;
	m->resume_done = done;
	sm_store(s); /* it is connected: its time does not run any more, also after a crash */
	sm_try_answer(s); /* at once, or when what is pending is committed */
}

/* --- recovery, when the account is loaded --- */

struct loading {
	struct account *account;
	void (*done)(struct account *a, enum sterna_result rc);
};

/* One tag of a row that concerns this session: updates the chain or the queue. */
static void take_tag(struct sterna_session *s, const char *tag, const struct db_rows *rows, size_t row)
{
	struct sm *m = s->sm;
	long long sid;
	unsigned n;

	if (sscanf(tag, "i%lld:%u", &sid, &n) == 2 && sid == m->sid) {
		if ((int32_t)(n - m->h_in) <= 0)
			return;
		m->taken = xrealloc(m->taken, (m->taken_count + 1) * sizeof *m->taken);
		m->taken[m->taken_count++] = n;
	} else if (sscanf(tag, "o%lld:%u", &sid, &n) == 2 && sid == m->sid && (int32_t)(n - m->acked) > 0) {
		size_t len = 0;
		const char *text = db_str(rows, row, 2, &len);
		struct arena *a = arena_new(1024 + len);
		struct sterna_elem *e = NULL;
		struct stanza *st = NULL;

		if (text != NULL && xml_parse(a, text, len, &e) == STERNA_OK)
			(void)!stanza_new(&a, e, &st);
		if (st != NULL) {
			/* Numbers without a row in between were presence and answers: gone with the process. */
			sm_append(m, st, NULL, db_int(rows, row, 0), false);
			sm_at(m, m->count - 1)->number = n;
			stanza_unref(&st);
		}
		arena_free(&a);
	}
}

/* Up to the first that is missing all was taken. What was missing the client sends again; what is behind it and
 * has a row is known then, by its number. */
static int by_number(const void *a, const void *b)
{
	const int32_t d = (int32_t)(*(const uint32_t *)a - *(const uint32_t *)b);

	return (d > 0) - (d < 0);
}

static void advance(struct sm *m)
{
	/* Rows need not be in the order of the numbers. */
	if (m->taken_count > 0)
		qsort(m->taken, m->taken_count, sizeof *m->taken, by_number);
	for (size_t i = 0; i < m->taken_count; i++)
		if (m->taken[i] == m->h_in + 1)
			m->h_in++;
	m->h_committed = m->h_durable = m->h_in;
}

enum { BEYOND = 1 << 24 };

/* By number: what was fetched from offline storage went out later than its id says. What comes now, before
 * the client is back, gets numbers beyond all that it can have seen. */
static void order(struct sm *m)
{
	for (size_t i = 1; i < m->count; i++) {
		const struct sm_entry e = *sm_at(m, i);
		size_t j = i;

		for (; j > 0 && (int32_t)(sm_at(m, j - 1)->number - e.number) > 0; j--)
			*sm_at(m, j) = *sm_at(m, j - 1);
		*sm_at(m, j) = e;
	}
	m->out = (m->count > 0 ? sm_at(m, m->count - 1)->number : m->acked) + BEYOND;
}

static void on_rows(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct loading *l = arg;
	struct account *a = l->account;

	for (struct sterna_session *s = a->sessions; rc == STERNA_OK && s != NULL; s = s->next) {
		if (!s->sm->recovered)
			continue;
		for (size_t row = 0; row < db_rows_count(rows); row++) {
			const char *tags = db_str(rows, row, 1, NULL);

			while (tags != NULL && *tags != '\0') {
				take_tag(s, tags, rows, row);
				tags += strcspn(tags, ";");
				tags += *tags == ';';
			}
		}
		advance(s->sm);
		order(s->sm);
		s->sm->loading = false;
		timer_set(&s->sm->expiry, s->sm->left_us);
	}
	l->done(a, rc);
	free(l);
}

static void restore(struct account *a, const struct db_rows *rows, size_t row)
{
	struct jid *full = NULL;
	size_t len = 0;
	const char *hash = db_str(rows, row, 2, &len);
	const int64_t now = loop_wall_us(a->worker->loop), expires = db_int(rows, row, 8);

	if (jid_with_resource(a->jid, db_str(rows, row, 1, NULL), &full) != STERNA_OK || len != 32) {
		jid_unref(&full);
		return;
	}
	/* That an older one of this resource had ended may not have been stored: it ends now. */
	struct sterna_session *old = account_session(a, jid_resource(full));
	struct sterna_session *s = session_restore(a, full);
	struct sm *m = sm_new(s);

	jid_unref(&full);
	if (old != NULL && old->sm != NULL) {
		old->sm->left_us = 1;
		old->available = old->interested = false; /* the newer one speaks for it */
		presence_forget(old);
	}
	m->sid = db_int(rows, row, 0);
	memcpy(m->token_hash, hash, 32);
	m->position = db_int(rows, row, 3);
	m->acked = m->out = (uint32_t)db_int(rows, row, 4);
	m->h_in = m->h_committed = m->h_durable = (uint32_t)db_int(rows, row, 5);
	s->bound_us = db_int(rows, row, 7);
	m->resumable = m->enabled = m->announced = m->stored = m->recovered = true;
	set_state(s, db_str(rows, row, 6, NULL));
	/* It was connected when the process died: its time runs from now. */
	m->left_us = expires == 0 ? m->timeout_us : expires > now ? (uint64_t)(expires - now) : 1;
	m->loading = true;
}

static void on_sessions(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct loading *l = arg;
	const size_t count = rc == STERNA_OK ? db_rows_count(rows) : 0;
	int64_t position = INT64_MAX;

	l->account->has_hidden = true; /* perhaps; asked once */
	for (size_t row = 0; row < count; row++) {
		restore(l->account, rows, row);
		if (db_int(rows, row, 3) < position)
			position = db_int(rows, row, 3);
	}
	if (count == 0) {
		l->done(l->account, rc);
		free(l);
		return;
	}
	db_read(l->account->worker->db, &sm_rows,
		(const struct db_value[]){ db_text(jid_bare(l->account->jid)), DB_INT(position) }, on_rows, l);
}

void sm_load(struct account *a, void (*done)(struct account *a, enum sterna_result rc))
{
	struct loading *l = xalloc(sizeof *l);

	l->account = a;
	l->done = done;
	db_read(a->worker->db, &sm_select, (const struct db_value[]){ db_text(jid_bare(a->jid)) }, on_sessions, l);
}
