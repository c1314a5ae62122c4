/* gate.c - a queue before a bounded number of places. */
#include "server/gate.h"

/* Those for whom there is room by now. */
static void on_room(struct task *t, void *arg)
{
	struct gate *g = arg;

	(void)t;
	while (g->first != NULL && g->inside < g->limit) {
		struct pass *p = g->first;

		g->first = p->next;
		if (g->first == NULL)
			g->last = NULL;
		g->waiting--;
		g->inside++;
		p->next = NULL;
		p->inside = true;
		p->fn(p);
	}
}

void gate_init(struct gate *g, struct loop *l, size_t limit)
{
	*g = (struct gate){ .loop = l, .limit = limit };
	task_init(&g->task, on_room, g);
}

void gate_clear(struct gate *g)
{
	loop_undefer(g->loop, &g->task);
}

void gate_enter(struct gate *g, struct pass *p, pass_fn *fn)
{
	p->gate = g;
	p->fn = fn;
	p->next = NULL;
	if (g->first == NULL && g->inside < g->limit) {
		g->inside++;
		p->inside = true;
		fn(p);
		return;
	}
	*(g->last != NULL ? &g->last->next : &g->first) = p;
	g->last = p;
	g->waiting++;
}

void gate_leave(struct pass *p)
{
	struct gate *g = p->gate;

	if (!p->inside)
		return;
	p->inside = false;
	p->gate = NULL;
	g->inside--;
	if (g->first != NULL)
		loop_defer(g->loop, &g->task);
}
