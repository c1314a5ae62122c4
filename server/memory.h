/* memory.h - how much memory the process may use, and uses. Linux; any thread. */
#ifndef STERNA_MEMORY_H
#define STERNA_MEMORY_H

#include <stdint.h>

/** The limit of the control group (version 2 or 1) that the process is in, in bytes; 0: none is set. Reads files: at the
 *  start, and not on a loop's every turn. */
uint64_t memory_limit(void);
/** What is resident now, in bytes; 0: not known. */
uint64_t memory_used(void);

#endif
