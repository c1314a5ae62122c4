/* sim_fuzz.h - a whole server for a fuzz target: the simulation's, with every module of xep/, emptied between inputs.
 * The schema is migrated once; accounts u0@ and u1@sim.example are there; two workers. */
#ifndef STERNA_SIM_FUZZ_H
#define STERNA_SIM_FUZZ_H

#include "tests/sim/sim.h"

/** The simulation, its server down and its database empty but for the accounts. Same clock, same chance each time. */
struct sim *sim_fuzz_begin(void);
/** Everything that can happen without time passing, at most max bytes a read. Aborts if it never comes to rest. */
void sim_fuzz_settle(struct sim *s, size_t max);
/** Everyone leaves, the server stops in order. */
void sim_fuzz_end(struct sim *s);

#endif
