/* sim_loop.c - a loop on a virtual clock, stepped by the simulation. */
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim.h"

struct sim_loop {
	struct loop base;
	struct sim *sim;
};

uint64_t sim_random(struct sim *s)
{
	uint64_t z = (s->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

unsigned sim_below(struct sim *s, unsigned n)
{
	return (unsigned)(sim_random(s) % n);
}

static void get_random(struct loop *l, void *out, size_t n)
{
	struct sim *s = ((struct sim_loop *)l)->sim;
	unsigned char *at = out;

	while (n-- > 0)
		*at++ = (unsigned char)sim_random(s);
}

struct sim *sim_of_loop(struct loop *l)
{
	return ((struct sim_loop *)l)->sim;
}

static void nothing(struct loop *l)
{
	(void)l;
}

/* There are no descriptors here. */
static void no_io(struct io *io, unsigned events)
{
	(void)io;
	(void)events;
	abort();
}

static void no_io_clear(struct io *io)
{
	(void)io;
}

static void no_io_patient(struct io *io, bool on)
{
	(void)io;
	(void)on;
	abort();
}

static void free_loop(struct loop *l)
{
	free(l);
}

static const struct loop_ops ops = {
	.run = nothing, .stop = nothing, .wake = nothing, .io_set = no_io, .io_clear = no_io_clear,
	.io_set_patient = no_io_patient,
	.random = get_random, .free = free_loop,
};

struct loop *sim_loop_new(struct sim *s)
{
	struct sim_loop *l = xalloc(sizeof *l);

	l->sim = s;
	loop_init(&l->base, &ops);
	sim_loop_begin(&l->base);
	return &l->base;
}

void sim_loop_begin(struct loop *l)
{
	const struct sim *s = ((struct sim_loop *)l)->sim;

	l->now_us = s->now_us;
	l->wall_us = s->wall_us + (int64_t)s->now_us;
}

bool sim_loop_end(struct loop *l)
{
	const bool timers = loop_run_timers(l);

	return loop_run_tasks(l) || timers;
}

bool sim_loop_turn(struct loop *l)
{
	sim_loop_begin(l);
	const bool mail = loop_run_mail(l);

	return sim_loop_end(l) || mail;
}

bool sim_loop_is_idle(const struct loop *l)
{
	const struct sim *s = ((const struct sim_loop *)l)->sim;

	return loop_mail_depth(l) == 0 && l->tasks == NULL && loop_next_due_us(l) > s->now_us;
}

uint64_t sim_next_due_us(const struct sim *s)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; s->server != NULL && i < s->worker_count; i++)
		if (loop_next_due_us(s->loops[i]) < due)
			due = loop_next_due_us(s->loops[i]);
	return due;
}
