/* isolation.h - whom the server keeps out for a time: addresses, domains of other servers, accounts of ours; or lets log
 * in slowly, addresses and accounts. In memory, and in a table that is read at the start; each ends by itself.
 *
 * An address of IPv6 stands for its /64, a domain for all below it. As long as nobody is kept out, it costs one atomic
 * read to ask. Threads: any, but for isolation_load(). */
#ifndef STERNA_ISOLATION_H
#define STERNA_ISOLATION_H

#include "server/cidr.h"
#include "server/server.h"

enum isolation_kind { ISOLATION_ADDRESS, ISOLATION_DOMAIN, ISOLATION_ACCOUNT, ISOLATION_SLOW_ADDRESS, ISOLATION_SLOW_ACCOUNT,
	ISOLATION_KINDS };

struct isolation;
struct isolation *isolation_new(const uint64_t seed[2]);
void isolation_free(struct isolation **i);
/** What was there when the last process ended. Before the workers run. */
enum sterna_result isolation_load(struct server *s) STERNA_CHECKED;

/** "address", "domain", "account", "slow address", "slow account" */
const char *isolation_name(enum isolation_kind k);
/** Which it is, and its normal form: an address of the network, of an account of ours, or another server's domain.
 *  @param[out] target  new; why: static, what is wrong with it
 *  @return STERNA_EINVAL */
enum sterna_result isolation_target(const struct server *s, const char *text, bool slow, enum isolation_kind *kind,
	char **target, const char **why) STERNA_CHECKED;

/** In memory alone; the caller stores it. until_us: wall clock. @return STERNA_ELIMIT limits.isolations */
enum sterna_result isolation_put(struct server *s, enum isolation_kind k, const char *target, int64_t until_us,
	const char *reason) STERNA_CHECKED;
bool isolation_drop(struct server *s, enum isolation_kind k, const char *target);
void isolation_each(struct server *s, void (*fn)(void *arg, enum isolation_kind k, const char *target, int64_t until_us,
	const char *reason), void *arg);
/** Rows: kind, target, until, reason, who; those that end before a moment; one. */
extern const struct db_stmt isolation_insert, isolation_expire, isolation_delete;

bool isolation_is_used(const struct server *s);          /**< is anybody kept out at all? */
bool isolation_has_address(const struct server *s, const struct ip *ip);
bool isolation_has_domain(const struct server *s, const char *domain);
bool isolation_has_account(const struct server *s, const char *bare);
/** A login is to be tried: 0: now; else not for so many microseconds (limits.throttled_logins). now_us: monotonic */
uint64_t isolation_address_wait_us(const struct server *s, const struct ip *ip, uint64_t now_us);
uint64_t isolation_account_wait_us(const struct server *s, const char *bare, uint64_t now_us);
/** Every few seconds, on one worker: what is over ends, which is an event. */
void isolation_sweep(struct worker *w);

#endif
