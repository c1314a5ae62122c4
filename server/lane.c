/* lane.c - queues by address, there only while someone is in them. */
#include "server/lane.h"
#include <stdlib.h>
#include "server/server.h"

enum { LANE_MAX = 10000 };

struct lane {
	char *key;
	struct sterna_call *first, **end;
	size_t count;
	bool running;                    /* the loop below goes on: nobody recurses */
	bool taken;                      /* someone is in it */
	bool of_stop;                    /* lane_take() made it */
};

static void run(struct worker *w, struct lane *l)
{
	if (l->running)
		return;
	l->running = true;
	while (!l->taken && l->first != NULL) {
		struct sterna_call *c = l->first;

		l->first = c->next;
		if (l->first == NULL)
			l->end = &l->first;
		l->count--;
		c->next = NULL;
		l->taken = true;
		c->ready(c);
	}
	l->running = false;
	if (l->taken)
		return;
	map_remove(&w->lanes, l->key);
	w->stop_lanes -= l->of_stop;
	free(l->key);
	free(l);
}

static struct lane *make(struct worker *w, const char *key)
{
	struct lane *l = xalloc(sizeof *l);

	l->key = xstrdup(key);
	l->end = &l->first;
	map_put(&w->lanes, l->key, l);
	return l;
}

static void append(struct lane *l, struct sterna_call *c, void (*fn)(struct sterna_call *c))
{
	c->lane = l;
	c->ready = fn;
	c->next = NULL;
	*l->end = c;
	l->end = &c->next;
	l->count++;
}

bool lane_enter(struct sterna_call *c, const char *key, void (*fn)(struct sterna_call *c))
{
	struct worker *w = c->worker;
	struct lane *l = map_get(&w->lanes, key);

	if (l == NULL)
		l = make(w, key);
	else if (l->count >= LANE_MAX)
		return false;
	append(l, c, fn);
	run(w, l);
	return true;
}

bool lane_join(struct sterna_call *c, const char *key, void (*fn)(struct sterna_call *c), bool *full)
{
	struct lane *l = map_get(&c->worker->lanes, key);

	*full = l != NULL && l->count >= LANE_MAX;
	if (l == NULL || *full)
		return false;
	append(l, c, fn);
	return true;
}

void lane_take(struct sterna_call *c, const char *key)
{
	if (c->lane != NULL || map_get(&c->worker->lanes, key) != NULL)
		return;
	c->lane = make(c->worker, key);
	c->lane->taken = c->lane->of_stop = true;
	c->worker->stop_lanes++;
}

struct lane *lane_of(struct sterna_call *c)
{
	struct lane *l = c->lane;

	c->lane = NULL;
	return l;
}

void lane_leave(struct worker *w, struct lane *l)
{
	if (l == NULL)
		return;
	l->taken = false;
	run(w, l);
}
