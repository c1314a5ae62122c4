/* ratelimit.h - token buckets, and a bounded table of them by address or account.
 *
 * A bucket holds at most rate.count tokens, begins full, and fills evenly in rate.per_us. Time comes in with each
 * call, from the caller's monotonic clock; arithmetic is in integers. The rate is not part of the bucket, so that a
 * reload takes effect at once.
 * Threads: a bucket belongs to its owner; a table has a lock of its own and may be used from any thread. */
#ifndef STERNA_RATELIMIT_H
#define STERNA_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/cidr.h"
#include "server/option.h"
#include "server/result.h"

struct ratelimit {
	int64_t tokens;         /* below 0: a debt from ratelimit_charge() */
	uint64_t filled_us;     /* up to when tokens are counted */
	uint64_t part;          /* of the next token, in 1/rate.per_us */
};

/** A rate whose count is 0 is no limit: everything is allowed. */
void ratelimit_init(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us);
/** Take n tokens if they are there; all or none. */
bool ratelimit_take(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n);
/** Take n tokens that have been used already (bytes that were read), into debt if need be.
 *  @return microseconds until the debt is paid, 0 if there is none: stop reading for so long */
uint64_t ratelimit_charge(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n);
/** Microseconds until n tokens (at most rate.count of them) are there. */
uint64_t ratelimit_wait_us(struct ratelimit *r, const struct sterna_rate *rate, uint64_t now_us, uint64_t n);

/** Per key two buckets and two counts of what is held (connections before and after authentication). What is not
 *  held and took nothing is forgotten at once, the others after idle_us without use; at max entries the longest unused
 *  of those goes first. */
enum { RATELIMIT_SLOTS = 2, RATELIMIT_KEY_MAX = 2047 };
struct ratelimit_table;

/** @param seed  random, secret: keys come from peers */
struct ratelimit_table *ratelimit_table_new(size_t max, uint64_t idle_us, const uint64_t seed[2]);
void ratelimit_table_free(struct ratelimit_table **t);
size_t ratelimit_table_count(struct ratelimit_table *t);        /**< a metric */

/** Take n tokens of the key's bucket.
 *  @param[out] wait_us  may be NULL; on STERNA_ELIMIT when to try again
 *  @return STERNA_ELIMIT not enough, or the table is full of held entries; STERNA_EINVAL no such slot or key */
enum sterna_result ratelimit_table_take(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	const struct sterna_rate *rate, uint64_t now_us, uint64_t n, uint64_t *wait_us) STERNA_CHECKED;
/** Would it take them? For what is to be counted when it is known how it ended. @return as above */
enum sterna_result ratelimit_table_has(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	const struct sterna_rate *rate, uint64_t now_us, uint64_t n) STERNA_CHECKED;
/** Hold one more, if fewer than max are held. @return as above */
enum sterna_result ratelimit_table_hold(struct ratelimit_table *t, const void *key, size_t len, unsigned slot,
	unsigned max, uint64_t now_us) STERNA_CHECKED;
/** Give one back; each hold has one release. */
void ratelimit_table_release(struct ratelimit_table *t, const void *key, size_t len, unsigned slot, uint64_t now_us);
unsigned ratelimit_table_held(struct ratelimit_table *t, const void *key, size_t len, unsigned slot);

/** What counts as one address: IPv4 as it is, IPv6 by its /64. The key is the struct's bytes. */
struct ip ratelimit_address(const struct ip *ip);

#endif
