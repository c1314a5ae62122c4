/* audit_kafka.c - an idempotent producer (librdkafka) of numbered records. What is under way is bounded, and known by its
 * number until the broker has confirmed it: everything up to a number has been delivered when no gap is left before it. */
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>
#include "modules/audit.h"

#ifdef __clang__ /* librdkafka's macros check their types with statement expressions */
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

enum { WINDOW = 16384, RECONNECT_MAX_MS = 5000, SCRAM_SINCE = 0x020601ff };

struct audit_kafka {
	rd_kafka_t *rk;
	char *topic;
	int64_t sent, produced;          /* delivered up to; handed over up to */
	bool done[WINDOW];               /* delivered, by number modulo WINDOW */
	bool failed, up;
	int64_t told_s;                  /* when its errors were logged last */
};

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, char *why)
{
	return value == NULL || rd_kafka_conf_set(conf, name, value, why, 512) == RD_KAFKA_CONF_OK;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	struct audit_kafka *k = arg;
	const int64_t seq = (int64_t)(intptr_t)m->_private;

	(void)rk;
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		/* Purged, or refused for good: from its number on everything is sent anew, with the same ids. */
		if (m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE && m->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
			log_error("audit", "Kafka refuses a record; it is tried again", "seq", LOG_INT(seq), "error", rd_kafka_err2str(m->err));
		k->failed = true;
		return;
	}
	k->up = true;
	if (seq > k->sent)
		k->done[seq % WINDOW] = true;
	while (k->sent < k->produced && k->done[(k->sent + 1) % WINDOW])
		k->done[++k->sent % WINDOW] = false;
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *arg)
{
	struct audit_kafka *k = arg;
	char text[256];

	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		k->failed = true;
		rd_kafka_fatal_error(rk, text, sizeof text);
		log_error("audit", "Kafka: the producer begins anew", "error", text);
		return;
	}
	k->up = false;
	const int64_t now_s = rd_kafka_version() != 0 ? (int64_t)time(NULL) : 0;

	if (now_s - k->told_s >= 60) {
		k->told_s = now_s;
		log_warning("audit", "Kafka cannot be used now; records wait in the database", "error",
			rd_kafka_err2str((rd_kafka_resp_err_t)err), "reason", reason);
	}
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	log_debug("audit", "librdkafka", "level", LOG_INT(level), "facility", facility, "text", text);
}

static bool secure(rd_kafka_conf_t *conf, const struct audit_kafka_config *c, char *why)
{
	static const char *const names[] = { "plaintext", "ssl", "sasl_plaintext", "sasl_ssl" };
	const bool tls = c->security == KAFKA_TLS || c->security == KAFKA_SASL_TLS;
	const bool sasl = c->security == KAFKA_SASL_PLAINTEXT || c->security == KAFKA_SASL_TLS;

	if (!set(conf, "security.protocol", names[c->security & 3], why))
		return false;
	if (tls && !(set(conf, "ssl.ca.location", c->authorities, why) && set(conf, "ssl.certificate.location", c->certificate, why)
		&& set(conf, "ssl.key.location", c->key, why)))
		return false;
	if (!sasl)
		return true;
	if (c->user == NULL || c->password == NULL) {
		snprintf(why, 512, "kafka.security has SASL: it needs kafka.user and kafka.password");
		return false;
	}
	if (strncmp(c->mechanism, "SCRAM", 5) == 0 && rd_kafka_version() < SCRAM_SINCE)
		log_warning("audit", "this librdkafka (before 2.6.1) sends a wrong nonce with SCRAM, which Kafka 4 refuses as wrong "
			"credentials; use PLAIN over TLS, a newer librdkafka, or Kafka 3", "librdkafka", rd_kafka_version_str());
	return set(conf, "sasl.mechanisms", c->mechanism, why) && set(conf, "sasl.username", c->user, why)
		&& set(conf, "sasl.password", c->password, why);
}

static bool configure(rd_kafka_conf_t *conf, const struct audit_kafka_config *c, char *why)
{
	struct buf brokers = BUF_INIT;
	bool ok;

	for (size_t i = 0; i < c->brokers.count; i++)
		buf_addf(&brokers, "%s%s", i > 0 ? "," : "", c->brokers.item[i]);
	/* Never given up: a record leaves the outbox after its report only. Order within a key: idempotence keeps it. */
	ok = set(conf, "bootstrap.servers", buf_str(&brokers), why) && set(conf, "client.id", "sterna", why)
		&& set(conf, "enable.idempotence", "true", why) && set(conf, "acks", "all", why)
		&& set(conf, "message.timeout.ms", "0", why) && set(conf, "queue.buffering.max.messages", "16384", why)
		&& set(conf, "queue.buffering.max.kbytes", "65536", why) && set(conf, "linger.ms", "10", why)
		&& set(conf, "compression.type", c->compression, why) && set(conf, "reconnect.backoff.max.ms", "5000", why)
		&& set(conf, "partitioner", "murmur2_random", why) && set(conf, "log_level", "4", why) && secure(conf, c, why);
	buf_release(&brokers);
	return ok;
}

struct audit_kafka *audit_kafka_open(const struct audit_kafka_config *c, char *why)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct audit_kafka *k = xalloc(sizeof *k);

	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_opaque(conf, k);
	if (configure(conf, c, why))
		k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, 512);
	if (k->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		free(k);
		return NULL;
	}
	k->topic = xstrdup(c->topic);
	return k;
}

void audit_kafka_reset(struct audit_kafka *k, int64_t sent)
{
	k->sent = k->produced = sent;
	memset(k->done, 0, sizeof k->done);
}

int64_t audit_kafka_produced(const struct audit_kafka *k)
{
	return k->produced;
}

bool audit_kafka_produce(struct audit_kafka *k, int64_t seq, const char *key, const char *value, size_t len)
{
	if (k->failed || seq - k->sent >= WINDOW)
		return false;
	const rd_kafka_resp_err_t err = rd_kafka_producev(k->rk, RD_KAFKA_V_TOPIC(k->topic), RD_KAFKA_V_KEY(key, strlen(key)),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)value, len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_HEADER("content-type", "application/cloudevents+json; charset=UTF-8", -1),
		RD_KAFKA_V_OPAQUE((void *)(intptr_t)seq), RD_KAFKA_V_END);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		k->produced = seq;
	else if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
		k->failed = true;
	return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

int64_t audit_kafka_poll(struct audit_kafka *k, int wait_ms)
{
	rd_kafka_poll(k->rk, wait_ms);
	return k->sent;
}

bool audit_kafka_failed(const struct audit_kafka *k)
{
	return k->failed;
}

bool audit_kafka_is_up(const struct audit_kafka *k)
{
	return k->up;
}

int64_t audit_kafka_close(struct audit_kafka **kafka, int wait_ms)
{
	struct audit_kafka *k = *kafka;
	int64_t sent;

	*kafka = NULL;
	rd_kafka_flush(k->rk, wait_ms);
	rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_flush(k->rk, 500); /* the reports of what was purged */
	rd_kafka_destroy(k->rk);
	sent = k->sent;
	free(k->topic);
	free(k);
	return sent;
}
