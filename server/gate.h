/* gate.h - lets so many through at one time; the others wait, in the order in which they came.
 * Threads: its loop's. */
#ifndef STERNA_GATE_H
#define STERNA_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include "server/loop.h"

struct gate;
struct pass;
typedef void pass_fn(struct pass *p);

/** Embedded, zeroed, in what wants through; must live until fn was called, and until gate_leave() after that. */
struct pass {
	struct gate *gate;       /* NULL: neither inside nor waiting */
	struct pass *next;
	pass_fn *fn;
	bool inside;
};

struct gate {
	struct task task;
	struct loop *loop;
	struct pass *first, *last; /* those who wait */
	size_t waiting, inside, limit;
};

void gate_init(struct gate *g, struct loop *l, size_t limit);
void gate_clear(struct gate *g);   /**< nobody waits any more */
/** fn is called once p is inside: at once, or at the end of the turn in which another leaves. */
void gate_enter(struct gate *g, struct pass *p, pass_fn *fn);
void gate_leave(struct pass *p);   /**< also when it is not inside; who waits stays in the queue */

#endif
