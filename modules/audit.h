/* audit.h - between the files of the module audit: its options, and what workers and the relay's thread share. */
#ifndef AUDIT_H
#define AUDIT_H

#include <pthread.h>
#include <stdatomic.h>
#include "modules/audit_chain.h"
#include "server/module.h"

enum audit_level { LEVEL_NONE, LEVEL_METADATA, LEVEL_ENVELOPE, LEVEL_WHOLE };
enum audit_full { FULL_REFUSE, FULL_DROP };
enum audit_security { KAFKA_PLAINTEXT, KAFKA_TLS, KAFKA_SASL_PLAINTEXT, KAFKA_SASL_TLS };

struct audit_kafka_config {
	struct sterna_list brokers;
	const char *topic, *compression;
	unsigned security;                       /* enum audit_security */
	const char *mechanism, *user, *password;
	const char *authorities, *certificate, *key;
};
struct audit_config {
	unsigned messages;                       /* enum audit_level */
	struct sterna_pairs policies;
	struct sterna_list redact, leave_out;
	struct sterna_size content_bytes;
	uint64_t outbox;
	unsigned on_full;                        /* enum audit_full */
	struct sterna_duration keep, seal_every;
	const char *key;
	struct audit_kafka_config kafka;
};

enum audit_metric { AUDIT_RECORDS, AUDIT_DROPPED, AUDIT_REFUSED, AUDIT_PENDING, AUDIT_SENT, AUDIT_SEALS, AUDIT_FAILURES,
	AUDIT_LAG };

/** One for each server; made by load(), freed by unload(). */
struct audit {
	struct sterna_mod *mod;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;                               /* under lock */
	struct audit_key *key;                   /* NULL: no seals */
	struct audit_kafka *kafka;               /* the relay's; NULL: no brokers */
	_Atomic(int64_t) pending;                /* records that wait for the relay; about */
	_Atomic(int64_t) dropped;                /* metadata of messages that was dropped, not yet reported */
	_Atomic(int64_t) sent_seq, head_seq;     /* for `audit status` */
	atomic_bool kafka_up;
};

/** The relay's thread (audit_relay.c): chains, seals, sends, removes what is old. */
void *audit_relay_run(void *audit);

/* --- audit_kafka.c; the relay's thread --- */

struct audit_kafka;
/** why: 512 bytes. @return NULL: why */
struct audit_kafka *audit_kafka_open(const struct audit_kafka_config *c, char *why);
/** Everything up to sent has been delivered: begin behind it. */
void audit_kafka_reset(struct audit_kafka *k, int64_t sent);
/** The number of the last record that was handed over. */
int64_t audit_kafka_produced(const struct audit_kafka *k);
/** Copies. @return false: it has enough under way; later */
bool audit_kafka_produce(struct audit_kafka *k, int64_t seq, const char *key, const char *value, size_t len);
/** Serve reports for up to wait_ms. @return everything up to this number has been delivered */
int64_t audit_kafka_poll(struct audit_kafka *k, int wait_ms);
/** Something went wrong for good (why, logged): it has to be opened anew. */
bool audit_kafka_failed(const struct audit_kafka *k);
bool audit_kafka_is_up(const struct audit_kafka *k);
/** Waits up to wait_ms for what is under way. @return as audit_kafka_poll() */
int64_t audit_kafka_close(struct audit_kafka **k, int wait_ms);

/** A record as CloudEvents wants it, without the chain's attributes, canonical; appended to out. */
struct audit_stamp { const char *id, *host, *key; int64_t time_us; };
void audit_write_event(struct buf *out, const struct audit_stamp *s, const struct sterna_audit_event *e,
	const struct audit_config *cfg);

/** The command "audit search" (audit_search.c). */
sterna_fn audit_search;
extern const struct sterna_field audit_search_fields[];

#endif
