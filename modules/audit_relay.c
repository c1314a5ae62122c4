/* audit_relay.c - the relay's thread: gives committed records their place in the chain, seals what is new, carries it to
 * Kafka, and removes what is old. It may be killed at any instant: a record's number and hash are stored before it is sent,
 * and that it was sent is stored after Kafka has confirmed it; what is sent once more has the same number, hash and id.
 *
 * Several servers on one database may run it: a number that another one has taken fails the transaction, and the end of
 * the chain is read anew. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "modules/audit.h"

enum { PAGE = 1000, IDLE_MS = 100, RETRY_MS = 1000, FLUSH_MS = 3000, MARK_US = 1000000, LOOK_US = 2000000,
	PRUNE_US = 60000000, PRUNE_FIRST_US = 5000000 };

struct relay {
	struct audit *a;
	const struct audit_config *cfg;          /* held for one round of the thread */
	struct sterna_storage *db;
	bool known;                              /* the chain's end was read */
	int64_t head, sealed, marked, count;     /* the newest number; that of the last seal; what is stored as sent */
	unsigned char hash[AUDIT_HASH];          /* of head */
	int64_t sealed_us, marked_us, looked_us, pruned_us, told_us, alarmed_us;
	int64_t oldest_us, unchained;
	size_t rows;                             /* of the last read */
	struct buf json;
	int64_t lag_s, pending_told, last_id;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static const struct db_stmt head_get = {
	.name = "audit_head", .params = "", .columns = "ititi",
	.sql = "SELECT coalesce((SELECT max(seq) FROM audit_event WHERE seq IS NOT NULL), 0), "
	       "(SELECT hash FROM audit_event WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1), "
	       "coalesce((SELECT seq FROM audit_mark WHERE name = 'pruned'), 0), "
	       "(SELECT hash FROM audit_mark WHERE name = 'pruned'), "
	       "coalesce((SELECT seq FROM audit_mark WHERE name = 'sent'), 0)",
};
static const struct db_stmt fresh_get = {
	.name = "audit_fresh", .params = "i", .columns = "it",
	.sql = "SELECT id, event FROM audit_event WHERE seq IS NULL ORDER BY id LIMIT $1",
};
/* One statement: all of a page get their place, or none does. */
static const struct db_stmt chain_put = {
	.name = "audit_chain", .params = "t",
	.sql = "",
	.pg = "UPDATE audit_event SET seq = (r->>1)::bigint, hash = r->>2 FROM json_array_elements($1::json) AS r "
	      "WHERE id = (r->>0)::bigint AND seq IS NULL",
	.sqlite = "UPDATE audit_event SET seq = r.seq, hash = r.hash FROM (SELECT json_extract(value, '$[0]') AS id, "
		  "json_extract(value, '$[1]') AS seq, json_extract(value, '$[2]') AS hash FROM json_each($1)) AS r "
		  "WHERE audit_event.id = r.id AND +audit_event.seq IS NULL", /* +: by id, a row each; not all that are fresh */
};
static const struct db_stmt seal_put = {
	.name = "audit_seal", .params = "itttit",
	.sql = "INSERT INTO audit_event (id, key, type, event, seq, hash) VALUES ($1, $2, $3, $4, $5, $6)",
};
static const struct db_stmt own_put = {
	.name = "audit_put_own", .params = "ittt",
	.sql = "INSERT INTO audit_event (id, key, type, event) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
};
static const struct db_stmt send_get = {
	.name = "audit_send", .params = "ii", .columns = "ittt",
	.sql = "SELECT seq, key, hash, event FROM audit_event WHERE seq > $1 ORDER BY seq LIMIT $2",
};
static const struct db_stmt mark_put = {
	.name = "audit_mark_put", .params = "tit",
	.sql = "INSERT INTO audit_mark (name, seq, hash) VALUES ($1, $2, $3) ON CONFLICT (name) "
	       "DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
};
static const struct db_stmt waiting_get = {
	.name = "audit_waiting", .params = "i", .columns = "ii",
	.sql = "SELECT (SELECT count(*) FROM audit_event WHERE seq IS NULL), "
	       "coalesce((SELECT min(id) FROM (SELECT id FROM (SELECT id FROM audit_event WHERE seq IS NULL ORDER BY id LIMIT 1) AS a "
	       "UNION ALL SELECT id FROM audit_event WHERE seq = $1) AS b), 0)",
};
static const struct db_stmt old_get = {
	.name = "audit_old", .params = "ii", .columns = "it",
	.sql = "SELECT seq, hash FROM audit_event WHERE seq <= $2 AND id < $1 ORDER BY seq DESC LIMIT 1",
};
static const struct db_stmt old_drop = {
	.name = "audit_old_drop", .params = "i", .sql = "DELETE FROM audit_event WHERE seq <= $1",
};

/* --- what is wrong is said once a minute --- */

static bool storage_ok(struct relay *r, enum sterna_result rc, const char *what)
{
	if (rc == STERNA_OK)
		return true;
	sterna_mod_count(r->a->mod, AUDIT_FAILURES, 0, 1);
	r->known = false;
	if (now_us() - r->told_us > 60000000) {
		r->told_us = now_us();
		log_warning("audit", "the relay waits for the database", "what", what, "result", sterna_result_text(rc));
	}
	return false;
}

static bool sleep_ms(struct relay *r, int ms)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&r->a->lock);
	while (!r->a->stop && pthread_cond_timedwait(&r->a->wake, &r->a->lock, &until) != ETIMEDOUT)
		;
	stop = r->a->stop;
	pthread_mutex_unlock(&r->a->lock);
	return !stop;
}

/* --- the chain --- */

static void on_head(void *arg, const struct db_rows *rows)
{
	struct relay *r = arg;
	const char *hash = db_str(rows, 0, 1, NULL);

	r->head = db_int(rows, 0, 0);
	if (r->head < db_int(rows, 0, 2)) { /* all that there was is gone */
		r->head = db_int(rows, 0, 2);
		hash = db_str(rows, 0, 3, NULL);
	}
	memset(r->hash, 0, sizeof r->hash);
	if (r->head > 0 && !audit_unhex(hash, r->hash))
		log_error("audit", "the end of the chain has no hash; it begins anew behind it", "seq", LOG_INT(r->head));
	r->marked = db_int(rows, 0, 4);
}

static bool know(struct relay *r)
{
	if (r->known)
		return true;
	if (!storage_ok(r, sterna_storage_read(r->db, &head_get, NULL, on_head, r), "the chain's end"))
		return false;
	r->known = true;
	if (r->sealed == 0)
		r->sealed = r->head;
	atomic_store(&r->a->head_seq, r->head);
	atomic_store(&r->a->sent_seq, r->marked);
	return true;
}

static void on_fresh(void *arg, const struct db_rows *rows)
{
	struct relay *r = arg;
	char hex[AUDIT_HEX];

	r->rows = db_rows_count(rows);
	buf_consume(&r->json, buf_len(&r->json));
	buf_putc(&r->json, '[');
	for (size_t i = 0; i < r->rows; i++) {
		size_t len = 0;
		const char *event = db_str(rows, i, 1, &len);

		audit_hash(r->hash, event, len, r->hash);
		audit_hex(r->hash, hex);
		buf_addf(&r->json, "%s[%" PRId64 ",%" PRId64 ",\"%s\"]", i > 0 ? "," : "", db_int(rows, i, 0), ++r->head, hex);
	}
	buf_putc(&r->json, ']');
}

/* A few at a time would cost a commit each: what is not a page waits for the next round.
 * @return true: there is more */
static bool chain(struct relay *r)
{
	const struct db_value limit = DB_INT(PAGE);

	if (!storage_ok(r, sterna_storage_read(r->db, &fresh_get, &limit, on_fresh, r), "what is new") || r->rows == 0)
		return false;
	const struct db_value json = db_text(buf_str(&r->json));

	if (!storage_ok(r, sterna_storage_write(r->db, &chain_put, &json), "the chain"))
		return false; /* r->known is false now: whatever became of it is read */
	atomic_store(&r->a->head_seq, r->head);
	return r->rows == PAGE;
}

static void write_own(struct relay *r, struct buf *out, const char *id, const char *type, const struct sterna_datum *data)
{
	const char *host = sterna_mod_host(r->a->mod, 0);

	audit_write_event(out, &(struct audit_stamp){ id, host != NULL ? host : "localhost", "audit", now_us() },
		&(struct sterna_audit_event){ type, "audit", host, data }, r->cfg);
}

/* A time as all ids, with the highest lower bits: workers count up to there in no millisecond. */
static int64_t own_id(struct relay *r)
{
	int64_t id = now_us() / 1000 * 1048576 + 1048575;

	if (id <= r->last_id)
		id = r->last_id + 1048576;
	r->last_id = id;
	return id;
}

static void seal(struct relay *r)
{
	const struct audit_config *cfg = r->cfg;
	unsigned char hash[AUDIT_HASH];
	struct buf event = BUF_INIT;
	char hex[AUDIT_HEX], id[40], *signature;

	if (r->a->key == NULL || r->head == r->sealed || now_us() - r->sealed_us < cfg->seal_every.us)
		return;
	signature = audit_sign(r->a->key, r->head, r->hash);
	if (signature == NULL) {
		sterna_mod_count(r->a->mod, AUDIT_FAILURES, 0, 1);
		log_error("audit", "the key does not sign", "key", audit_key_name(r->a->key));
		r->sealed_us = now_us();
		return;
	}
	audit_hex(r->hash, hex);
	const struct sterna_datum data[] = { STERNA_NUMBER("seq", r->head), STERNA_DATUM("hash", hex),
		STERNA_DATUM("key", audit_key_name(r->a->key)), STERNA_DATUM("signature", signature), { 0 } };

	snprintf(id, sizeof id, "seal-%" PRId64, r->head + 1);
	write_own(r, &event, id, AUDIT_SEALED, data);
	audit_hash(r->hash, buf_data(&event), buf_len(&event), hash);
	audit_hex(hash, hex);
	if (storage_ok(r, sterna_storage_write(r->db, &seal_put, (const struct db_value[]){ DB_INT(own_id(r)),
		db_text("audit"), db_text(AUDIT_SEALED), db_text(buf_str(&event)), DB_INT(r->head + 1), db_text(hex) }), "a seal")) {
		memcpy(r->hash, hash, sizeof hash);
		r->sealed = ++r->head;
		r->sealed_us = now_us();
		atomic_store(&r->a->head_seq, r->head);
		sterna_mod_count(r->a->mod, AUDIT_SEALS, 0, 1);
	}
	buf_release(&event);
	free(signature);
}

/* An event of the relay itself; it waits for its place in the chain as all others. */
static bool put_own(struct relay *r, const char *type, const struct sterna_datum *data)
{
	const int64_t id = own_id(r);
	struct buf event = BUF_INIT;
	char text[40];
	bool ok;

	snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)id);
	write_own(r, &event, text, type, data);
	ok = storage_ok(r, sterna_storage_write(r->db, &own_put, (const struct db_value[]){ DB_INT(id), db_text("audit"),
		db_text(type), db_text(buf_str(&event)) }), type);
	buf_release(&event);
	return ok;
}

/* What was left out while the outbox was full is itself an event. */
static void report_dropped(struct relay *r)
{
	const int64_t n = atomic_exchange(&r->a->dropped, 0);

	if (n > 0 && !put_own(r, "sterna.audit.dropped.v1", (const struct sterna_datum[]){ STERNA_NUMBER("messages", n), { 0 } }))
		atomic_fetch_add(&r->a->dropped, n);
}

/* --- Kafka --- */

/* The chain's attributes come first by their names, so they stand before the event's own. */
static void on_send(void *arg, const struct db_rows *rows)
{
	struct relay *r = arg;
	struct buf value = BUF_INIT;

	r->rows = 0;
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		const int64_t seq = db_int(rows, i, 0);

		buf_consume(&value, buf_len(&value));
		buf_addf(&value, "{\"chainhash\":\"%s\",\"chainseq\":%" PRId64 ",", db_str(rows, i, 2, NULL), seq);
		buf_puts(&value, db_str(rows, i, 3, NULL) + 1);
		if (!audit_kafka_produce(r->a->kafka, seq, db_str(rows, i, 1, NULL), buf_data(&value), buf_len(&value)))
			break;
		r->rows++;
	}
	buf_release(&value);
}

static void open_kafka(struct relay *r)
{
	const struct audit_config *cfg = r->cfg;
	char why[512] = "";

	if (cfg->kafka.brokers.count == 0)
		return;
	r->a->kafka = audit_kafka_open(&cfg->kafka, why);
	if (r->a->kafka != NULL) {
		audit_kafka_reset(r->a->kafka, r->marked);
		return;
	}
	sterna_mod_count(r->a->mod, AUDIT_FAILURES, 0, 1);
	log_error("audit", "Kafka cannot be used as it is configured; records wait in the database", "why", why);
	(void)sleep_ms(r, 10 * RETRY_MS);
}

static void note_sent(struct relay *r, int64_t sent, bool now)
{
	if (sent <= r->marked || (!now && sent - r->marked < PAGE && now_us() - r->marked_us < MARK_US))
		return;
	if (!storage_ok(r, sterna_storage_write(r->db, &mark_put, (const struct db_value[]){ db_text("sent"), DB_INT(sent),
		DB_NULL }), "what was sent"))
		return;
	sterna_mod_count(r->a->mod, AUDIT_SENT, 0, sent - r->marked);
	r->marked = sent;
	r->marked_us = now_us();
	atomic_store(&r->a->sent_seq, sent);
}

/* @return true: it could go on at once */
static bool send(struct relay *r)
{
	int64_t sent;

	if (r->a->kafka != NULL && audit_kafka_failed(r->a->kafka)) {
		note_sent(r, audit_kafka_close(&r->a->kafka, 0), true);
		sterna_mod_count(r->a->mod, AUDIT_FAILURES, 0, 1);
		(void)sleep_ms(r, RETRY_MS);
	}
	if (r->a->kafka == NULL)
		open_kafka(r);
	if (r->a->kafka == NULL)
		return false;
	r->rows = 0;
	if (audit_kafka_produced(r->a->kafka) < r->head)
		(void)storage_ok(r, sterna_storage_read(r->db, &send_get, (const struct db_value[]){
			DB_INT(audit_kafka_produced(r->a->kafka)), DB_INT(PAGE) }, on_send, r), "what is to be sent");
	sent = audit_kafka_poll(r->a->kafka, 0);
	atomic_store(&r->a->kafka_up, audit_kafka_is_up(r->a->kafka));
	note_sent(r, sent, false);
	return r->rows == PAGE;
}

/* --- the outbox's size, and what is old --- */

static void on_waiting(void *arg, const struct db_rows *rows)
{
	struct relay *r = arg;
	const int64_t id = db_int(rows, 0, 1);

	r->unchained = db_int(rows, 0, 0);
	r->oldest_us = id > 0 ? (id >> 20) * 1000 : 0;
}

static void look(struct relay *r)
{
	const struct audit_config *cfg = r->cfg;
	int64_t pending, lag_s = 0;

	if (now_us() - r->looked_us < LOOK_US)
		return;
	r->looked_us = now_us();
	const struct db_value next = DB_INT(cfg->kafka.brokers.count > 0 ? r->marked + 1 : -1);

	if (!storage_ok(r, sterna_storage_read(r->db, &waiting_get, &next, on_waiting, r), "what waits"))
		return;
	pending = r->unchained + (cfg->kafka.brokers.count > 0 ? r->head - r->marked : 0);
	atomic_store(&r->a->pending, pending);
	if (r->oldest_us > 0 && r->oldest_us < now_us())
		lag_s = (now_us() - r->oldest_us) / 1000000;
	sterna_mod_count(r->a->mod, AUDIT_PENDING, 0, pending - r->pending_told);
	sterna_mod_count(r->a->mod, AUDIT_LAG, 0, lag_s - r->lag_s);
	r->pending_told = pending;
	r->lag_s = lag_s;
	if (pending >= (int64_t)(cfg->outbox / 4 * 3) && now_us() - r->alarmed_us > 60000000) {
		r->alarmed_us = now_us();
		log_error("audit", "the outbox is nearly full", "records", LOG_INT(pending), "outbox", LOG_UINT(cfg->outbox),
			"then", cfg->on_full == FULL_REFUSE ? "messages are refused" : "messages are not recorded");
	}
}

struct old {
	int64_t seq;
	char hash[AUDIT_HEX];
};

static void on_old(void *arg, const struct db_rows *rows)
{
	struct old *o = arg;

	if (db_rows_count(rows) == 0)
		return;
	o->seq = db_int(rows, 0, 0);
	snprintf(o->hash, sizeof o->hash, "%s", db_str(rows, 0, 1, NULL));
}

/* First the mark, then the rows: a chain that begins later says what it follows. */
static void prune(struct relay *r)
{
	const struct audit_config *cfg = r->cfg;
	const int64_t horizon = (now_us() - cfg->keep.us) / 1000 * 1048576; /* as an id */
	struct old o = { 0, "" };

	if (now_us() - r->pruned_us < PRUNE_US)
		return;
	r->pruned_us = now_us();
	const int64_t most = cfg->kafka.brokers.count > 0 ? r->marked : r->head;

	if (!storage_ok(r, sterna_storage_read(r->db, &old_get, (const struct db_value[]){ DB_INT(horizon), DB_INT(most) },
		on_old, &o), "what is old") || o.seq == 0)
		return;
	if (!storage_ok(r, sterna_storage_write(r->db, &mark_put, (const struct db_value[]){ db_text("pruned"), DB_INT(o.seq),
		db_text(o.hash) }), "what was removed")
		|| !storage_ok(r, sterna_storage_write(r->db, &old_drop, &DB_INT(o.seq)), "what is old"))
		return;
	char stamp[STERNA_STAMP_LEN];

	(void)put_own(r, "sterna.retention.applied.v1", (const struct sterna_datum[]){ STERNA_DATUM("what", "audit"),
		STERNA_DATUM("before", sterna_stamp_us(now_us() - cfg->keep.us, stamp)), STERNA_NUMBER("through", o.seq), { 0 } });
}

void *audit_relay_run(void *audit)
{
	struct relay r = { .a = audit, .json = BUF_INIT, .pruned_us = now_us() - PRUNE_US + PRUNE_FIRST_US,
		.sealed_us = now_us() };
	bool go = true;

	while (go && (r.db = sterna_storage_open(r.a->mod)) == NULL)
		go = sleep_ms(&r, RETRY_MS);
	while (go) {
		bool more = false;

		r.cfg = sterna_mod_hold_config(r.a->mod);
		if (know(&r)) {
			report_dropped(&r);
			more = chain(&r);
			if (r.known)
				seal(&r);
			if (r.known)
				more |= send(&r);
			if (r.known) {
				look(&r);
				prune(&r);
			}
		}
		sterna_mod_let_config(r.a->mod, r.cfg);
		go = sleep_ms(&r, !r.known ? RETRY_MS : more ? 0 : IDLE_MS);
	}
	if (r.a->kafka != NULL)
		note_sent(&r, audit_kafka_close(&r.a->kafka, FLUSH_MS), true);
	sterna_storage_close(&r.db);
	buf_release(&r.json);
	return NULL;
}
