/* rtbl.h - real-time block lists: what the module's files share.
 *
 * A list is a node of a pubsub service whose items have hashes as ids: SHA-256, in hexadecimal, of a bare JID or of a
 * domain. We subscribe to it, keep a copy in the database, and look senders up in it. All workers read the same sets, under
 * a lock that is only written to when a list changes. */
#ifndef STERNA_RTBL_H
#define STERNA_RTBL_H

#include <pthread.h>
#include <stdatomic.h>
#include "server/module.h"

enum { RTBL_LISTS_MAX = 16, RTBL_HASH_LEN = 65, RTBL_NAME_MAX = 1024 };

struct rtbl_options {
	struct sterna_list lists, exceptions;
	const char *host, *publish;
	unsigned contacts;           /* 0: pass */
	unsigned items;
	struct sterna_duration refresh;
};

enum rtbl_state { RTBL_NEW, RTBL_ASKED, RTBL_LIVE, RTBL_FAILED };

struct rtbl_list {
	char *name;                  /* "service/node" */
	char *service;
	const char *node;            /* within name */
	struct map items;            /* hash to itself, in the heap */
	struct map fresh;            /* the same, of a copy that is being fetched */
	enum rtbl_state state;
	int64_t asked_us, complete_us, changed_us; /* 0: never */
	char why[120];               /* RTBL_FAILED */
	unsigned tries;              /* since it was complete */
	bool full;                   /* it has more than we keep */
};

struct rtbl {
	pthread_rwlock_t lock;       /* of all below, but what never changes: names, domain, count */
	struct rtbl_list list[RTBL_LISTS_MAX];
	size_t count;
	char *domain;                /* the host of ours that has the subscriptions; NULL: there is none */
	char *publish;               /* "service/node" of our own list, or NULL */
	atomic_size_t total;         /* items of all: 0 needs no lock */
	unsigned number;             /* of requests */
};

enum { RTBL_M_REFUSED, RTBL_M_ITEMS, RTBL_M_BAD };

/* --- rtbl_set.c: sets of hashes, and their rows --- */

/** out: RTBL_HASH_LEN bytes. */
void rtbl_hash(const char *text, char *out);
/** In lower case. @return false: it is no hash */
bool rtbl_read_hash(const char *text, char out[RTBL_HASH_LEN]);
/** @return false: it was there, or there is no room (max) */
bool rtbl_set_add(struct map *set, const char *hash, size_t max);
bool rtbl_set_remove(struct map *set, const char *hash);
void rtbl_set_clear(struct map *set);
/** Before the workers run: what an earlier process had. */
void rtbl_load_rows(struct sterna_mod *m, struct rtbl *r, size_t max);
/** With the call's batch. */
void rtbl_put_row(struct sterna_call *c, const struct rtbl_list *l, const char *hash);
void rtbl_drop_row(struct sterna_call *c, const struct rtbl_list *l, const char *hash);

/* --- rtbl_feed.c: subscriptions, copies, changes --- */

/** Has it come to our host from a service that has a list of ours? Then it is taken care of. */
bool rtbl_takes(struct sterna_call *c);
void rtbl_on_tick(struct sterna_call *c);
/** To our own list: hash, with a reason (may be NULL), or without it. */
void rtbl_publish(struct sterna_call *c, const char *hash, const char *reason);
void rtbl_retract(struct sterna_call *c, const char *hash);

#endif
