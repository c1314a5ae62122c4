/* trail.h - what was tried, step by step, with its time: for `sternactl s2s explain`, and for the one line of the log
 * that says why a link failed. Bounded. Threads: one at a time. */
#ifndef STERNA_TRAIL_H
#define STERNA_TRAIL_H

#include <stdbool.h>
#include <stdint.h>
#include "server/result.h"

enum { TRAIL_STEPS = 40, TRAIL_TEXT = 200 };

struct trail_step {
	uint64_t at_us;              /* since it began */
	const char *what;            /* "dns", "connect", "tls", "certificate", "sasl", "dialback"…; static */
	bool ok;
	char text[TRAIL_TEXT];
};

struct trail {
	uint64_t began_us;
	int64_t began_wall_us;
	unsigned count;              /* of steps; beyond TRAIL_STEPS the last one is replaced */
	struct trail_step step[TRAIL_STEPS];
};

void trail_begin(struct trail *t, uint64_t now_us, int64_t wall_us);
void trail_add(struct trail *t, uint64_t now_us, const char *what, bool ok, const char *fmt, ...) STERNA_PRINTF(5, 6);
/** The last step that failed, or NULL. */
const struct trail_step *trail_failure(const struct trail *t);

#endif
