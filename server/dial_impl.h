/* dial_impl.h - what dial.c (the race) and dial_find.c (the targets) share. */
#ifndef STERNA_DIAL_IMPL_H
#define STERNA_DIAL_IMPL_H

#include "server/dial.h"
#include "server/dial_socks.h"
#include "server/dns.h"

enum { DIAL_TARGETS = 16, DIAL_RUNNERS = 4, DIAL_NAME = 256, DIAL_TEXT = 400 };

struct dial_target {
	struct ip ip;
	uint16_t port;
	bool direct;
	char name[DIAL_NAME];        /* of the machine, as SRV says; "" of a route */
	const struct dns_answer *tlsa; /* of the finding; NULL: none */
};

struct dial_runner {
	struct dial *dial;
	const struct dial_target *target;
	struct io io;
	struct timer timer;
	int fd;                      /* -1: does not run */
	bool asks;                   /* the proxy, through which it goes */
	struct dial_socks socks;
};

struct dial {
	struct worker *worker;
	const struct host *from;
	char *domain;
	struct trail *trail;
	dial_fn *fn;
	void *arg;
	struct dial_target targets[DIAL_TARGETS];
	unsigned count, next;        /* next: to join the race */
	struct dial_runner runners[DIAL_RUNNERS];
	struct timer stagger, failed;
	enum sterna_result rc;       /* of failed */
	const char *text;
	struct ip bind;
	bool has_bind;
	struct dial_proxy proxy;     /* host NULL: none */
	struct dial_finding *finding; /* look-ups under way */
};

/** Fills targets, now or later; then dial_run() or dial_failed(). */
void dial_find(struct dial *d);
void dial_find_end(struct dial *d);
void dial_run(struct dial *d);
/** The result comes from the loop. text: static. */
void dial_failed(struct dial *d, enum sterna_result rc, const char *text);

#endif
