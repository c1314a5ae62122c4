/* sim_ways.c - the way to another server: a pipe, whose other end the test plays, or another server has (sim_net.c). */
#include <stdlib.h>
#include <string.h>
#include "server/dial.h"
#include "tests/sim/sim.h"

struct dial {
	struct worker *worker;
	struct timer timer;
	char *domain;
	dial_fn *fn;
	void *arg;
	bool used;                       /* there is one address */
};

static void on_timer(struct timer *t, void *arg)
{
	struct dial *d = arg;
	struct sim *s = sim_of_loop(d->worker->loop);
	struct sim_conn *c;

	(void)t;
	if (s->reaches != NULL && !s->reaches(s, d->domain)) {
		d->fn(d->arg, &(struct dial_result){ .rc = STERNA_EUNAVAILABLE, .text = "nobody is there" });
		return;
	}
	if (d->used) {
		d->fn(d->arg, &(struct dial_result){ .rc = STERNA_EUNAVAILABLE, .text = "no other address" });
		return;
	}
	d->used = true;
	c = sim_conn_new(s, d->worker->loop, d->domain);
	c->outgoing = c->greets = true;
	d->fn(d->arg, &(struct dial_result){ .rc = STERNA_OK, .transport = &c->t, .direct = true, .text = "simulated" });
}

static struct dial *start(struct worker *w, const struct host *from, const char *domain, struct trail *trail, dial_fn *fn,
	void *arg)
{
	struct dial *d = xalloc(sizeof *d);

	(void)from, (void)trail;
	d->worker = w;
	d->domain = xstrdup(domain);
	d->fn = fn;
	d->arg = arg;
	timer_init(&d->timer, w->loop, on_timer, d);
	timer_set(&d->timer, 0);
	return d;
}

static void next(struct dial *d)
{
	timer_set(&d->timer, 0);
}

static void end(struct dial **dial)
{
	struct dial *d = *dial;

	*dial = NULL;
	if (d == NULL)
		return;
	timer_cancel(&d->timer);
	free(d->domain);
	free(d);
}

const struct s2s_ways sim_ways = { .start = start, .next = next, .free = end };
