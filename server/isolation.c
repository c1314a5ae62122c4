/* isolation.c - whom the server keeps out: a map by kind and target, under a lock that is rarely asked for. */
#include "server/isolation.h"
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/ratelimit.h"

static const char *const names[ISOLATION_KINDS] = { "address", "domain", "account", "slow address", "slow account" };

struct entry {
	enum isolation_kind kind;
	char *key;                           /* "kind target" */
	const char *target;                  /* in key */
	char *reason;                        /* or NULL */
	int64_t until_us;
	struct ratelimit logins;             /* of the slow ones */
};

struct isolation {
	pthread_mutex_t lock;
	struct map entries;
	atomic_size_t count;
};

const struct db_stmt isolation_insert = {
	.name = "isolation_insert", .params = "ttitt",
	.sql = "INSERT INTO isolation (kind, target, until, reason, who) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, target) "
	       "DO UPDATE SET until = excluded.until, reason = excluded.reason, who = excluded.who",
};
const struct db_stmt isolation_expire = {
	.name = "isolation_expire", .params = "i", .sql = "DELETE FROM isolation WHERE until <= $1",
};
const struct db_stmt isolation_delete = {
	.name = "isolation_delete", .params = "t", .sql = "DELETE FROM isolation WHERE target = $1",
};

const char *isolation_name(enum isolation_kind k)
{
	return names[k];
}

struct isolation *isolation_new(const uint64_t seed[2])
{
	struct isolation *i = xalloc(sizeof *i);

	pthread_mutex_init(&i->lock, NULL);
	map_init(&i->entries, seed[0], seed[1]);
	return i;
}

static void entry_free(struct entry *e)
{
	free(e->key);
	free(e->reason);
	free(e);
}

void isolation_free(struct isolation **isolation)
{
	struct isolation *i = *isolation;
	const struct map_entry *e;

	*isolation = NULL;
	if (i == NULL)
		return;
	for (size_t at = 0; (e = map_next(&i->entries, &at)) != NULL;)
		entry_free(e->value);
	map_clear(&i->entries);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

/* --- targets --- */

static char *address_text(const struct ip *ip)
{
	const struct ip key = ratelimit_address(ip);
	char text[IP_TEXT_SIZE];

	ip_format(&key, text);
	return xstrdup(text);
}

enum sterna_result isolation_target(const struct server *s, const char *text, bool slow, enum isolation_kind *kind,
	char **target, const char **why)
{
	struct jid *j = NULL;
	struct ip ip;

	*why = NULL;
	if (ip_parse(text, &ip) == STERNA_OK) {
		*kind = slow ? ISOLATION_SLOW_ADDRESS : ISOLATION_ADDRESS;
		*target = address_text(&ip);
		return STERNA_OK;
	}
	if (jid_parse(text, strlen(text), &j) != STERNA_OK || jid_resource(j) != NULL) {
		*why = "this is no IP address, account (name@domain) or domain";
	} else if (jid_local(j) != NULL) {
		const struct host *h = server_host(s, jid_domain(j));

		if (h == NULL || h->kind != HOST_USERS)
			*why = "this is no account of ours; other servers are kept out by their domains";
		*kind = slow ? ISOLATION_SLOW_ACCOUNT : ISOLATION_ACCOUNT;
	} else {
		if (slow)
			*why = "only addresses and accounts can log in slowly";
		else if (server_host(s, jid_full(j)) != NULL)
			*why = "this is a domain of ours";
		*kind = ISOLATION_DOMAIN;
	}
	if (*why == NULL)
		*target = xstrdup(jid_full(j));
	jid_unref(&j);
	return *why == NULL ? STERNA_OK : STERNA_EINVAL;
}

/* --- changes --- */

static char *key_of(enum isolation_kind k, const char *target)
{
	return xasprintf("%s %s", names[k], target);
}

static void drop_locked(struct isolation *i, struct entry *e)
{
	map_remove(&i->entries, e->key);
	atomic_fetch_sub(&i->count, 1);
	entry_free(e);
}

enum sterna_result isolation_put(struct server *s, enum isolation_kind k, const char *target, int64_t until_us,
	const char *reason)
{
	struct isolation *i = s->isolation;
	struct entry *e = xalloc(sizeof *e), *was;
	const struct config *c = s->config;

	*e = (struct entry){ .kind = k, .key = key_of(k, target), .until_us = until_us,
		.reason = reason != NULL ? xstrdup(reason) : NULL };
	e->target = e->key + strlen(names[k]) + 1;
	ratelimit_init(&e->logins, &c->limits.throttled_logins, 0);
	pthread_mutex_lock(&i->lock);
	was = map_get(&i->entries, e->key);
	if (was == NULL && i->entries.count >= c->limits.isolations) {
		pthread_mutex_unlock(&i->lock);
		entry_free(e);
		return STERNA_ELIMIT;
	}
	if (was != NULL)
		drop_locked(i, was);
	map_put(&i->entries, e->key, e);
	atomic_fetch_add(&i->count, 1);
	pthread_mutex_unlock(&i->lock);
	return STERNA_OK;
}

bool isolation_drop(struct server *s, enum isolation_kind k, const char *target)
{
	struct isolation *i = s->isolation;
	char *key = key_of(k, target);
	struct entry *e;

	pthread_mutex_lock(&i->lock);
	e = map_get(&i->entries, key);
	if (e != NULL)
		drop_locked(i, e);
	pthread_mutex_unlock(&i->lock);
	free(key);
	return e != NULL;
}

void isolation_each(struct server *s, void (*fn)(void *arg, enum isolation_kind k, const char *target, int64_t until_us,
	const char *reason), void *arg)
{
	struct isolation *i = s->isolation;
	const struct map_entry *m;

	pthread_mutex_lock(&i->lock);
	for (size_t at = 0; (m = map_next(&i->entries, &at)) != NULL;) {
		const struct entry *e = m->value;

		fn(arg, e->kind, e->target, e->until_us, e->reason);
	}
	pthread_mutex_unlock(&i->lock);
}

/* --- questions --- */

static bool is_empty(const struct server *s)
{
	return atomic_load_explicit(&s->isolation->count, memory_order_relaxed) == 0;
}

bool isolation_is_used(const struct server *s)
{
	return !is_empty(s);
}

static bool has(const struct server *s, enum isolation_kind k, const char *target)
{
	struct isolation *i = s->isolation;
	char *key = key_of(k, target);

	pthread_mutex_lock(&i->lock);
	const bool found = map_get(&i->entries, key) != NULL;

	pthread_mutex_unlock(&i->lock);
	free(key);
	return found;
}

bool isolation_has_address(const struct server *s, const struct ip *ip)
{
	char *text;

	if (is_empty(s))
		return false;
	text = address_text(ip);
	const bool found = has(s, ISOLATION_ADDRESS, text);

	free(text);
	return found;
}

bool isolation_has_domain(const struct server *s, const char *domain)
{
	if (is_empty(s))
		return false;
	for (const char *d = domain; d != NULL; d = strchr(d, '.') != NULL ? strchr(d, '.') + 1 : NULL)
		if (has(s, ISOLATION_DOMAIN, d))
			return true;
	return false;
}

bool isolation_has_account(const struct server *s, const char *bare)
{
	return !is_empty(s) && has(s, ISOLATION_ACCOUNT, bare);
}

static uint64_t wait_us(const struct server *s, enum isolation_kind k, const char *target, uint64_t now_us)
{
	const struct sterna_rate *rate = &s->config->limits.throttled_logins;
	struct isolation *i = s->isolation;
	char *key = key_of(k, target);
	uint64_t wait = 0;

	pthread_mutex_lock(&i->lock);
	struct entry *e = map_get(&i->entries, key);

	if (e != NULL && !ratelimit_take(&e->logins, rate, now_us, 1))
		wait = ratelimit_wait_us(&e->logins, rate, now_us, 1) + 1;
	pthread_mutex_unlock(&i->lock);
	free(key);
	return wait;
}

uint64_t isolation_address_wait_us(const struct server *s, const struct ip *ip, uint64_t now_us)
{
	char *text;

	if (is_empty(s))
		return 0;
	text = address_text(ip);
	const uint64_t wait = wait_us(s, ISOLATION_SLOW_ADDRESS, text, now_us);

	free(text);
	return wait;
}

uint64_t isolation_account_wait_us(const struct server *s, const char *bare, uint64_t now_us)
{
	return is_empty(s) ? 0 : wait_us(s, ISOLATION_SLOW_ACCOUNT, bare, now_us);
}

/* --- the end, and the beginning --- */

static struct entry *take_expired(struct isolation *i, int64_t now_us)
{
	const struct map_entry *m;
	struct entry *found = NULL;

	pthread_mutex_lock(&i->lock);
	for (size_t at = 0; found == NULL && (m = map_next(&i->entries, &at)) != NULL;)
		if (((struct entry *)m->value)->until_us <= now_us)
			found = m->value;
	if (found != NULL) {
		map_remove(&i->entries, found->key);
		atomic_fetch_sub(&i->count, 1);
	}
	pthread_mutex_unlock(&i->lock);
	return found;
}

static void ignore(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	(void)arg;
	(void)rc; /* the next one that ends takes the row with it */
	(void)rows;
}

void isolation_sweep(struct worker *w)
{
	const int64_t now = loop_wall_us(w->loop);
	struct db_batch *b;
	struct entry *e;
	bool any = false;

	if (is_empty(w->server))
		return;
	while ((e = take_expired(w->server->isolation, now)) != NULL) {
		any = true;
		log_notice("isolation", "is over", "kind", names[e->kind], "target", e->target);
		audit_note(w, w->server->host_list[0], "sterna.isolation.ended.v1", e->kind == ISOLATION_ADDRESS
			|| e->kind == ISOLATION_SLOW_ADDRESS ? NULL : e->target, (const struct sterna_datum[]){
			STERNA_DATUM("kind", names[e->kind]), STERNA_PERSONAL("target", e->target), STERNA_DATUM("cause", "expired"),
			{ 0 } });
		entry_free(e);
	}
	if (!any || w->db == NULL)
		return;
	b = db_batch_new(w->db);
	db_batch_add(b, &isolation_expire, &DB_INT(now));
	db_batch_commit(&b, ignore, NULL);
}

static void on_stored(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct server *s = arg;

	for (size_t i = 0; rc == STERNA_OK && i < db_rows_count(rows); i++)
		for (unsigned k = 0; k < ISOLATION_KINDS; k++)
			if (strcmp(names[k], db_str(rows, i, 0, NULL)) == 0 && isolation_put(s, (enum isolation_kind)k,
				db_str(rows, i, 1, NULL), db_int(rows, i, 2), db_str(rows, i, 3, NULL)) != STERNA_OK)
				log_error("isolation", "limits.isolations is lower than what is stored", "target",
					db_str(rows, i, 1, NULL));
}

enum sterna_result isolation_load(struct server *s)
{
	static const struct db_stmt all = {
		.name = "isolation_all", .params = "i", .columns = "ttit",
		.sql = "SELECT kind, target, until, reason FROM isolation WHERE until > $1",
	};

	return db_exec_now(s->db, &all, &DB_INT(s->started_us), on_stored, s);
}
