/* log.h - the log: one event, one line, one write. JSON lines for machines, readable lines on a terminal.
 *
 *     log_error("tls", "cannot use certificate; is it PEM, and readable?", "file", crt);
 *     log_info("stream", "closed", "jid", jid, "bytes", LOG_UINT(n));
 *
 * The component is the word of the source file or module. The message is a fixed text, of ours; what varies is in
 * pairs of key and value, both strings (a NULL value is left out). The compiler refuses other types.
 * Never log a secret, a body or other content of stanzas; JIDs, ids, addresses, names and sizes only.
 *
 * What peers chose is harmless in any value: control characters, C1 controls, direction marks, line separators
 * and bytes that are no UTF-8 are escaped; a value is cut at 1,024 bytes, a line holds at most 4,096 (pairs
 * that do not fit are left out, "truncated" says so).
 *
 * The log never holds up a worker: if the pipe that it writes to is full, the line is dropped and counted
 * (an error waits up to 10 ms); the next line that gets through is preceded by one with the count.
 * Threads: everything here may be called from any thread; nothing from a signal handler. */
#ifndef STERNA_LOG_H
#define STERNA_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "server/result.h"

enum log_level { LOG_LEVEL_OFF, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
#define LOG_LEVELS "off|error|warning|notice|info|debug"   /* in the order of the enum */
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT }; /* auto: text on a terminal, else JSON */
#define LOG_FORMATS "auto|json|text"

/** error: someone must act. warning: something is wrong, the server copes. notice: rare and worth knowing (start,
 *  reload, a peer refused by policy). info: life of streams and sessions. debug: for one who reads the code. */
#define log_error(component, ...) LOG_AT_(LOG_LEVEL_ERROR, component, __VA_ARGS__, NULL)
#define log_warning(component, ...) LOG_AT_(LOG_LEVEL_WARNING, component, __VA_ARGS__, NULL)
#define log_notice(component, ...) LOG_AT_(LOG_LEVEL_NOTICE, component, __VA_ARGS__, NULL)
#define log_info(component, ...) LOG_AT_(LOG_LEVEL_INFO, component, __VA_ARGS__, NULL)
#define log_debug(component, ...) LOG_AT_(LOG_LEVEL_DEBUG, component, __VA_ARGS__, NULL)
#define log_at(level, component, ...) LOG_AT_((level), component, __VA_ARGS__, NULL)

/** Numbers as values, alive until the end of the enclosing block; bare numbers in JSON. */
#define LOG_NUMBER_LEN 24
#define LOG_INT(n) log_int((char[LOG_NUMBER_LEN]){ 0 }, (n))
#define LOG_UINT(n) log_uint((char[LOG_NUMBER_LEN]){ 0 }, (n))
STERNA_API const char *log_int(char out[LOG_NUMBER_LEN], int64_t n);
STERNA_API const char *log_uint(char out[LOG_NUMBER_LEN], uint64_t n);

/** May anything of this level be written, for any component? One relaxed load. */
STERNA_API extern atomic_int log_threshold;
static inline bool log_may(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}
/** May this component write at this level? To save the work of preparing values. */
STERNA_API bool log_enabled(const char *component, enum log_level level);

struct log_options {
	enum log_level level;
	enum log_format format;
	const char *file;               /* NULL, "" or "stderr"; "stdout"; else a path, appended to */
};
/** Where and how to write from now on; before the first call: notices and worse to stderr. Levels of components
 *  stay. @return STERNA_EIO the file cannot be opened (errno): the log goes on as before */
enum sterna_result log_open(const struct log_options *o) STERNA_CHECKED;
/** Open the file anew under its name (after rotation; on SIGHUP). On failure the old one is kept, and says so. */
enum sterna_result log_reopen(void);
void log_close(void);                   /**< back to stderr, and frees what is held */

/** Level of one component, or of all that have none of their own (component NULL).
 *  @return STERNA_ELIMIT more than 64 components with levels, or a name over 31 bytes */
enum sterna_result log_set_level(const char *component, enum log_level level);
void log_clear_level(const char *component); /**< back to the general one; NULL: every component */
enum log_level log_level(const char *component);
bool log_level_parse(const char *text, enum log_level *out);
const char *log_level_text(enum log_level level); /**< static */

/** Lines written (or dropped) since the start, for the metrics. */
uint64_t log_lines(enum log_level level);
uint64_t log_dropped(void);

/** For tests and the simulation: lines (with '\n') go to fn, under the log's lock, in place of the file; NULL ends
 *  that. clock: microseconds since 1970; NULL is the system's. */
void log_set_sink(void (*fn)(void *arg, const char *line, size_t len), void *arg);
void log_set_clock(int64_t (*wall_us)(void));

/* What the macros use. pairs[0] is the message. */
STERNA_API void log_write(enum log_level level, const char *component, const char *const *pairs, size_t count);
#define LOG_AT_(level_, component_, ...) \
	do { \
		if (log_may(level_)) \
			log_write(level_, component_, (const char *const[]){ __VA_ARGS__ }, \
				sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)); \
	} while (0)

#endif
