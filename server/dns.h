/* dns.h - the resolver: libunbound, asynchronous, with its cache and DNSSEC; one for each worker, made when first asked.
 *
 * Answers are kept as long as their TTL says, also that there are none. Threads: the worker's; libunbound has a thread
 * of its own behind it. dns.c is the only file that includes unbound.h. */
#ifndef STERNA_DNS_H
#define STERNA_DNS_H

#include "server/cidr.h"
#include "server/server.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52 };
enum dns_state {
	DNS_FOUND,           /* there are records */
	DNS_NONE,            /* the name, or records of that type, do not exist */
	DNS_FAILED,          /* nobody could say */
	DNS_BOGUS,           /* DNSSEC says that the answer is forged */
};
enum { DNS_RECORDS = 16, DNS_NAME_SIZE = 256, DNS_TLSA_MAX = 512 };

struct dns_srv {
	uint16_t priority, weight, port;
	char target[DNS_NAME_SIZE];  /* without a final dot; "" is ".": there is no such service */
};
struct dns_tlsa {
	uint8_t usage, selector, matching;
	uint16_t len;
	unsigned char data[DNS_TLSA_MAX];
};
struct dns_record {
	union {
		struct ip ip;
		struct dns_srv srv;
		struct dns_tlsa tlsa;
	};
};

struct dns_answer {
	enum dns_state state;
	bool secure;                 /* DNSSEC has proven it, also that there is nothing */
	uint32_t ttl_s;
	unsigned count;              /* at most DNS_RECORDS; more are left out */
	struct dns_record record[DNS_RECORDS];
	const char *why;             /* DNS_FAILED, DNS_BOGUS: for people; borrowed */
};
/** The answer is borrowed for the call; the query has ended. Never from within dns_ask(). */
typedef void dns_fn(void *arg, const struct dns_answer *a);

struct dns_query;
/** @param name  in A-labels */
struct dns_query *dns_ask(struct worker *w, const char *name, enum dns_type type, dns_fn *fn, void *arg);
void dns_cancel(struct dns_query **q);          /**< NULL does nothing */
/** With its worker; queries under way end without an answer. */
void dns_free(struct dns **d);

/** One record's data, as it is on the wire (RFC 1035 §3.3, names not compressed), into the answer.
 *  @return false: it is none of that type; the answer is as it was */
bool dns_take(struct dns_answer *a, enum dns_type type, const unsigned char *data, size_t len);
/** In the order in which they are to be tried: by priority, within one by chance and weight (RFC 2782).
 *  @param chance  a random number for each record */
void dns_order_srv(struct dns_srv *srv, unsigned count, const uint32_t *chance);

#endif
