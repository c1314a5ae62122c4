/* retire.c - what a reload replaces comes to its end when nobody reads it any more. */
#include "server/retire.h"
#include <stdlib.h>

struct retired {
	struct mail mail;            /* home, from the last worker */
	struct server *server;
	struct retired *prev, *next;
	void (*end)(void *thing);
	void *thing;
	atomic_uint left;            /* workers that have not begun another turn yet */
};

static void retired_end(struct retired *r)
{
	struct server *s = r->server;

	*(r->prev != NULL ? &r->prev->next : &s->retired) = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	r->end(r->thing);
	free(r);
}

static void on_home(struct mail *m, struct loop *l)
{
	(void)l;
	retired_end((struct retired *)m);
}

/* On a worker: no handler is under way here. */
static void pass(struct worker *w, void *arg)
{
	struct retired *r = arg;

	if (atomic_fetch_sub(&r->left, 1) == 1)
		loop_post(w->server->home, &r->mail);
}

void server_retire(struct server *s, void (*end)(void *thing), void *thing)
{
	if (!s->running || s->home == NULL) {
		end(thing);
		return;
	}
	struct retired *r = xalloc(sizeof *r);

	*r = (struct retired){ .mail = { .run = on_home }, .server = s, .next = s->retired, .end = end, .thing = thing };
	atomic_init(&r->left, s->worker_count);
	if (s->retired != NULL)
		s->retired->prev = r;
	s->retired = r;
	for (unsigned i = 0; i < s->worker_count; i++)
		worker_post(s->workers[i], pass, r);
}

void server_retire_all(struct server *s)
{
	while (s->retired != NULL)
		retired_end(s->retired);
}
