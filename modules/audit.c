/* The audit: who did what, in the transaction that did it.
 *
 * Every event becomes a row of audit_event, written with the batch of the stanza that it is about. A thread of the module,
 * the relay, puts the rows into a hash chain, seals it, and carries it to Kafka (audit_relay.c). docs/audit.md. */
#include "modules/audit.h"
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS "none|metadata|envelope|whole"
#define K struct audit_kafka_config
static const struct sterna_option kafka_options[] = {
	STERNA_OPT(K, brokers, NULL, NULL, "host:port of the brokers to begin with; none: the database alone"),
	STERNA_OPT(K, topic, "sterna-audit", NULL, "the topic"),
	STERNA_OPT(K, compression, "none", "none|gzip|snappy|lz4|zstd", "of batches; consumers must be able to read it"),
	STERNA_OPT(K, security, "plaintext", "plaintext|tls|sasl_plaintext|sasl_tls", "of the connections"),
	STERNA_OPT(K, mechanism, "PLAIN", "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512", "with sasl: how to log in"),
	STERNA_OPT(K, user, NULL, NULL, "with sasl"),
	STERNA_OPT(K, password, NULL, NULL, "with sasl; better '!file path' or ${NAME} than the password itself"),
	STERNA_OPT(K, authorities, NULL, NULL, "with tls: file of CA certificates; default: the system's"),
	STERNA_OPT(K, certificate, NULL, NULL, "with tls: a client certificate, PEM"),
	STERNA_OPT(K, key, NULL, NULL, "its private key, PEM"),
	{ 0 }
};
#define A struct audit_config
static const struct sterna_option options[] = {
	STERNA_OPT(A, messages, "metadata", LEVELS, "of messages: nothing; who to whom; and a hash of the stanza; and the stanza"),
	STERNA_OPT(A, policies, NULL, LEVELS, "of messages of an account, room, host, or with a label ('label:SECRET')"),
	STERNA_OPT(A, redact, NULL, "personal|content", "classes of data whose values are left out"),
	STERNA_OPT(A, leave_out, NULL, NULL, "types that are not recorded, as 'room.joined'"),
	STERNA_OPT(A, content_bytes, "64KiB", "1KiB..512KiB", "of a whole stanza; of larger ones the hash alone"),
	STERNA_OPT(A, outbox, "1000000", "100..1000000000", "records that may wait for the relay"),
	STERNA_OPT(A, on_full, "refuse", "refuse|drop_messages_metadata", "then: refuse messages; or do without their records"),
	STERNA_OPT(A, keep, "90d", "1m..3650d", "how long the database keeps what was sent"),
	STERNA_OPT(A, seal_every, "60s", "1s..1d", "how often what is new is signed"),
	STERNA_OPT(A, key, NULL, NULL, "private key that signs: a file in PEM, or 'pkcs11:…'; none: no seals"),
	STERNA_OPT_SECTION(A, kafka, kafka_options, "where the records go"),
	{ 0 }
};

static const struct sterna_metric metrics[] = {
	[AUDIT_RECORDS] = { "sterna_audit_records_total", "Records that were written.", METRIC_COUNTER },
	[AUDIT_DROPPED] = { "sterna_audit_dropped_total", "Records of messages that were left out: the outbox was full.",
		METRIC_COUNTER },
	[AUDIT_REFUSED] = { "sterna_audit_refused_total", "Messages that were refused: the outbox was full.", METRIC_COUNTER },
	[AUDIT_PENDING] = { "sterna_audit_pending", "Records that wait for the relay.", METRIC_GAUGE },
	[AUDIT_SENT] = { "sterna_audit_sent_total", "Records whose delivery Kafka has confirmed.", METRIC_COUNTER },
	[AUDIT_SEALS] = { "sterna_audit_seals_total", "Seals.", METRIC_COUNTER },
	[AUDIT_FAILURES] = { "sterna_audit_failures_total", "Times that the relay could not go on: database, key or Kafka.",
		METRIC_COUNTER },
	[AUDIT_LAG] = { "sterna_audit_lag_seconds", "Age of the oldest record that waits.", METRIC_GAUGE },
	{ 0 }
};

static const struct db_stmt insert = {
	.name = "audit_insert", .params = "ittt",
	.sql = "INSERT INTO audit_event (id, key, type, event) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
	.pg_bulk = "INSERT INTO audit_event (id, key, type, event) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], "
		   "$4::text[]) ON CONFLICT (id) DO NOTHING",
	.commutes = true,
};

static struct audit *audit_of(struct sterna_call *c)
{
	return sterna_mod_data(sterna_mod(c));
}

/* --- every event --- */

static void on_event(struct sterna_call *c, const struct sterna_audit_event *e)
{
	const struct audit_config *cfg = sterna_config(c);
	const char *host = sterna_host(c) != NULL ? sterna_host(c) : e->host;
	struct buf out = BUF_INIT;
	const int64_t id = sterna_unique_id(c);
	char text[24];

	snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)id);
	audit_write_event(&out, &(struct audit_stamp){ text, host != NULL ? host : "localhost", e->subject != NULL ? e->subject
		: host != NULL ? host : "", sterna_now_us(c) }, e, cfg);
	sterna_write(c, &insert, id, e->subject != NULL ? e->subject : host != NULL ? host : "", e->type, buf_str(&out));
	buf_release(&out);
	atomic_fetch_add(&audit_of(c)->pending, 1);
	sterna_count(c, AUDIT_RECORDS, 1);
}

/* "sterna.room.joined.v1" is left out by the word room.joined. */
static bool is_left_out(const struct audit_config *cfg, const char *type)
{
	const char *name = strncmp(type, "sterna.", 7) == 0 ? type + 7 : type, *version = strrchr(name, '.');

	for (size_t i = 0; version != NULL && i < cfg->leave_out.count; i++)
		if (strncmp(cfg->leave_out.item[i], name, (size_t)(version - name)) == 0
			&& cfg->leave_out.item[i][version - name] == '\0')
			return true;
	return false;
}

static void on_told(struct sterna_call *c, const struct sterna_audit_event *e)
{
	if (!is_left_out(sterna_config(c), e->type))
		on_event(c, e);
}

/* --- messages: by policy --- */

static enum audit_level level_of(const char *word)
{
	static const char *const words[] = { "none", "metadata", "envelope", "whole" };
	enum audit_level l = LEVEL_NONE;

	while (l < LEVEL_WHOLE && strcmp(words[l], word) != 0)
		l++;
	return l;
}

static bool named(const struct audit_config *cfg, const char *name, enum audit_level *out)
{
	for (size_t i = 0; name != NULL && i < cfg->policies.count; i++)
		if (strcmp(cfg->policies.key[i], name) == 0) {
			*out = level_of(cfg->policies.value[i]);
			return true;
		}
	return false;
}

/* XEP-0258: the words of a display marking. */
static bool by_label(struct sterna_call *c, const struct audit_config *cfg, enum audit_level *out)
{
	const struct sterna_elem *label = elem_child(sterna_stanza(c), "securitylabel", "urn:xmpp:sec-label:0");
	const char *marking = label != NULL ? sterna_child_text(label, "displaymarking") : NULL;

	return marking != NULL && named(cfg, sterna_printf(c, "label:%s", marking), out);
}

/* The narrowest that is named: label, account or room, host; of sender and recipient the one who is told more about. */
static enum audit_level policy(struct sterna_call *c)
{
	const struct audit_config *cfg = sterna_config(c);
	enum audit_level from = cfg->messages, to = cfg->messages, one = LEVEL_NONE;
	bool any = false;

	if (cfg->policies.count == 0)
		return cfg->messages;
	if (by_label(c, cfg, &one))
		return one;
	if (sterna_to(c) != NULL && named(cfg, jid_bare(sterna_to(c)), &to))
		any = true;
	else
		to = LEVEL_NONE;
	if (named(cfg, jid_bare(sterna_from(c)), &from))
		any = true;
	else
		from = LEVEL_NONE;
	if (any)
		return from > to ? from : to;
	from = to = cfg->messages;
	if (sterna_to(c) != NULL)
		(void)named(cfg, jid_domain(sterna_to(c)), &to);
	(void)named(cfg, jid_domain(sterna_from(c)), &from);
	return from > to ? from : to;
}

static bool is_full(struct sterna_call *c)
{
	const struct audit_config *cfg = sterna_config(c);

	return atomic_load_explicit(&audit_of(c)->pending, memory_order_relaxed) >= (int64_t)cfg->outbox;
}

static void record_message(struct sterna_call *c, enum audit_level level)
{
	const struct audit_config *cfg = sterna_config(c);
	const char *refused = sterna_refused(c), *owner = sterna_owner(c), *key;
	struct sterna_datum data[12] = { { .name = "from", .text = jid_full(sterna_from(c)), .kind = STERNA_DATUM_PERSONAL } };
	unsigned char hash[AUDIT_HASH];
	char hex[AUDIT_HEX];
	size_t n = 1, len;

	if (sterna_to(c) != NULL)
		data[n++] = (struct sterna_datum){ .name = "to", .text = jid_full(sterna_to(c)), .kind = STERNA_DATUM_PERSONAL };
	data[n++] = STERNA_DATUM("kind", sterna_type(c));
	if (sterna_id(c) != NULL)
		data[n++] = STERNA_DATUM("stanza", sterna_id(c));
	if (refused != NULL)
		data[n++] = STERNA_DATUM("refused", refused);
	if (sterna_archive_id(c) != 0)
		data[n++] = STERNA_DATUM("archive", sterna_printf(c, "%" PRId64, sterna_archive_id(c)));
	if (level >= LEVEL_ENVELOPE) {
		const char *xml = sterna_stanza_text(c, &len);

		EVP_Digest(xml, len, hash, NULL, EVP_sha256(), NULL);
		audit_hex(hash, hex);
		data[n++] = STERNA_DATUM("sha256", hex);
		data[n++] = STERNA_NUMBER("bytes", (int64_t)len);
		if (level == LEVEL_WHOLE && len <= cfg->content_bytes.bytes)
			data[n++] = (struct sterna_datum){ .name = "content", .text = sterna_printf(c, "%.*s", (int)len, xml),
				.kind = STERNA_DATUM_CONTENT };
	}
	/* Where the batch is committed, so that order holds for the key: the recipient, or the sender of what leaves. */
	key = owner != NULL && strchr(owner, '@') != NULL ? owner : sterna_to(c) != NULL && jid_local(sterna_to(c)) != NULL
		&& owner != NULL ? jid_bare(sterna_to(c)) : jid_bare(sterna_from(c));
	on_event(c, &(struct sterna_audit_event){ "sterna.message.v1", key, jid_domain(sterna_from(c)), data });
}

static bool is_policy(const char *condition)
{
	static const char *const names[] = { "forbidden", "not-allowed", "policy-violation", "not-authorized", NULL };

	for (size_t i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], condition) == 0)
			return true;
	return false;
}

static void record_refusal(struct sterna_call *c, const char *condition)
{
	const struct sterna_datum data[] = { STERNA_DATUM("condition", condition),
		STERNA_DATUM("stanza", sterna_stanza(c)->name), STERNA_DATUM("module", sterna_refused_by(c)),
		STERNA_PERSONAL("to", sterna_to(c) != NULL ? jid_full(sterna_to(c)) : NULL), { 0 } };

	sterna_audit(c, "sterna.policy.refused.v1", jid_bare(sterna_from(c)), data);
}

static enum sterna_verdict on_observe(struct sterna_call *c)
{
	const struct audit_config *cfg = sterna_config(c);
	const char *refused = sterna_refused(c);
	enum audit_level level;

	if (sterna_from(c) == NULL)
		return STERNA_NEXT;
	if (refused != NULL && is_policy(refused))
		record_refusal(c, refused);
	if (sterna_kind(c) != STERNA_MESSAGE || strcmp(sterna_type(c), "error") == 0)
		return STERNA_NEXT;
	level = policy(c);
	if (level == LEVEL_NONE)
		return STERNA_NEXT;
	if (cfg->on_full == FULL_DROP && is_full(c)) {
		atomic_fetch_add(&audit_of(c)->dropped, 1);
		sterna_count(c, AUDIT_DROPPED, 1);
		return STERNA_NEXT;
	}
	record_message(c, level);
	return STERNA_NEXT;
}

static enum sterna_verdict on_policy(struct sterna_call *c)
{
	const struct audit_config *cfg = sterna_config(c);

	if (cfg->on_full != FULL_REFUSE || !is_full(c) || policy(c) == LEVEL_NONE)
		return STERNA_NEXT;
	sterna_count(c, AUDIT_REFUSED, 1);
	return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "messages must be recorded, and the records cannot be sent on now");
}

/* --- sessions and accounts --- */

static void session(struct sterna_call *c, const char *type)
{
	struct sterna_session *s = sterna_session(c);
	const struct sterna_datum data[] = { STERNA_DATUM("resource", s != NULL ? jid_resource(sterna_session_jid(s)) : NULL),
		{ 0 } };

	sterna_audit(c, type, sterna_owner(c), data);
}

static void on_bound(struct sterna_call *c)
{
	session(c, "sterna.session.bound.v1");
}

static void on_resumed(struct sterna_call *c)
{
	session(c, "sterna.session.resumed.v1");
}

static void on_gone(struct sterna_call *c)
{
	session(c, "sterna.session.ended.v1");
}

static void on_deleted(struct sterna_call *c)
{
	sterna_audit(c, "sterna.account.deleted.v1", sterna_owner(c), NULL);
}

/* --- commands --- */

static enum sterna_result status(struct sterna_mod *m, int argc, const char *const *argv, struct buf *out)
{
	const struct audit *a = sterna_mod_data(m);
	const struct audit_config *cfg = sterna_mod_config(m);

	(void)argc;
	(void)argv;
	buf_addf(out, "{\"records\":%" PRId64 ",\"sent\":%" PRId64 ",\"pending\":%" PRId64 ",\"outbox\":%" PRIu64
		",\"kafka\":\"%s\",\"key\":\"%s\"}", atomic_load(&a->head_seq), atomic_load(&a->sent_seq),
		atomic_load(&a->pending), cfg->outbox, cfg->kafka.brokers.count == 0 ? "off" : atomic_load(&a->kafka_up)
		? "connected" : "away", a->key != NULL ? audit_key_name(a->key) : "none");
	return STERNA_OK;
}

/* --- life --- */

static enum sterna_result load(struct sterna_mod *m)
{
	const struct audit_config *cfg = sterna_mod_config(m);
	struct audit *a = xalloc(sizeof *a);
	char why[256];

	a->mod = m;
	if (cfg->key != NULL) {
		a->key = audit_key_open(cfg->key, true, why);
		if (a->key == NULL) {
			log_error("audit", "the key cannot be used", "key", cfg->key, "why", why);
			free(a);
			return STERNA_EINVAL;
		}
	}
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	sterna_mod_set_data(m, a);
	if (pthread_create(&a->thread, NULL, audit_relay_run, a) == 0)
		return STERNA_OK;
	log_error("audit", "the system gives no thread");
	audit_key_free(&a->key);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return STERNA_EIO;
}

static void unload(struct sterna_mod *m)
{
	struct audit *a = sterna_mod_data(m);

	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	audit_key_free(&a->key);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

#define KINDS (STERNA_MESSAGE | STERNA_PRESENCE | STERNA_IQ)
static const struct sterna_field none[] = { { 0 } };

STERNA_MODULE(audit, .spec = "CloudEvents 1.0", .summary = "Audit with a hash chain, to Kafka",
	.options = options, .config_size = sizeof(struct audit_config), .metrics = metrics,
	.audit = on_told,
	.hooks = (const struct sterna_hook[]){ { STERNA_OUT_POLICY, on_policy }, { STERNA_OBSERVE, on_observe, NULL, KINDS },
		{ 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_SESSION_BOUND, on_bound }, { STERNA_SESSION_RESUMED, on_resumed },
		{ STERNA_SESSION_GONE, on_gone }, { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.commands = (const struct sterna_command[]){
		{ .name = "audit status", .summary = "how many records there are, and how many wait", .fn = status,
		  .roles = STERNA_ADMIN | STERNA_OPERATOR | STERNA_AUDITOR, .flags = STERNA_COMMAND_READ | STERNA_COMMAND_SERVER,
		  .fields = none },
		{ .name = "audit search", .summary = "the audit's records, the newest first", .run = audit_search,
		  .place = STERNA_ON_OWNER, .roles = STERNA_AUDITOR, .flags = STERNA_COMMAND_READ | STERNA_COMMAND_SERVER,
		  .fields = audit_search_fields, .args = "[TYPE [KEY [SINCE [UNTIL [COUNT]]]]]" }, { 0 } },
	.load = load, .unload = unload);
