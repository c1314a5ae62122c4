/* log.c - see log.h. A line is formatted on the stack and goes out under one lock, which also guards levels,
 * file and sink. The logger is one of the few things that the whole process shares. */
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/mem.h"

#define LINE_MAX_BYTES 4096     /* PIPE_BUF: POLLOUT on a pipe promises that such a write does not block */
#define LINE_TAIL 24            /* kept free for ,"truncated":true}\n */
#define VALUE_MAX_BYTES 1024
#define COMPONENTS_MAX 64
#define COMPONENT_LEN 32
#define ERROR_WAIT_MS 10
#define NUMBER_MARK '\1'        /* first byte of what log_int() makes */

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	bool full;
};

atomic_int log_threshold = LOG_LEVEL_NOTICE;

static struct {
	pthread_mutex_t lock;
	int fd;
	char *path;                     /* NULL: fd is not ours */
	bool json, colour;
	enum log_level level;
	struct { char name[COMPONENT_LEN]; enum log_level level; } components[COMPONENTS_MAX];
	size_t component_count;
	uint64_t dropped_since;         /* since a line went out */
	void (*sink)(void *arg, const char *line, size_t len);
	void *sink_arg;
	int64_t (*wall_us)(void);
	atomic_uint_least64_t lines[LOG_LEVEL_DEBUG + 1], dropped;
} logger = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO, .json = true, .level = LOG_LEVEL_NOTICE };

static const char *const level_names[] = { "off", "error", "warning", "notice", "info", "debug" };
static const char *const level_colours[] = { "", "\033[1;31m", "\033[33m", "\033[36m", "\033[32m", "\033[2m" };

const char *log_int(char out[LOG_NUMBER_LEN], int64_t n)
{
	snprintf(out, LOG_NUMBER_LEN, "%c%lld", NUMBER_MARK, (long long)n);
	return out;
}

const char *log_uint(char out[LOG_NUMBER_LEN], uint64_t n)
{
	snprintf(out, LOG_NUMBER_LEN, "%c%llu", NUMBER_MARK, (unsigned long long)n);
	return out;
}

static void line_add(struct line *l, const char *bytes, size_t n)
{
	if (l->full || n > sizeof l->text - LINE_TAIL - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->len, bytes, n);
	l->len += n;
}

static void line_puts(struct line *l, const char *s)
{
	line_add(l, s, strlen(s));
}

/* Length of the well-formed UTF-8 character at s (Unicode table 3-7), 0 if there is none. */
static size_t utf8_char(const unsigned char *s, uint32_t *cp)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
		: s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;

	if (n == 0)
		return 0;
	*cp = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)      /* also the final NUL */
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && (*cp < 0x800 || (*cp >= 0xd800 && *cp <= 0xdfff))) || (n == 4 && (*cp < 0x10000 || *cp > 0x10ffff)))
		return 0;
	return n;
}

/* What could act on a terminal, or look like another line or order than it is. */
static bool is_unsafe(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x061c || (cp >= 0x200e && cp <= 0x200f)
		|| (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* The inside of a JSON string; the readable form has the same. */
static void line_escaped(struct line *l, const char *text)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + strnlen(text, VALUE_MAX_BYTES);
	char esc[8];
	uint32_t cp = 0;

	while (s < end) {
		size_t n = utf8_char(s, &cp);

		if (n == 0) {
			line_puts(l, "\\ufffd");
			n = 1;
		} else if (cp == '"' || cp == '\\') {
			line_add(l, (char[]){ '\\', (char)cp }, 2);
		} else if (cp == '\n') {
			line_puts(l, "\\n");
		} else if (is_unsafe(cp)) {
			snprintf(esc, sizeof esc, "\\u%04x", (unsigned)cp & 0xffff);
			line_puts(l, esc);
		} else {
			line_add(l, (const char *)s, n);
		}
		s += n;
	}
	if (*s != '\0' && s >= end)
		line_puts(l, "\xe2\x80\xa6");
}

static bool is_number(const char *s)
{
	return s[0] == NUMBER_MARK && s[1] != '\0' && strspn(s + 1, "-0123456789") == strlen(s + 1);
}

/* Readable form: may it stand without quotes? */
static bool is_plain(const char *s)
{
	return *s != '\0' && strnlen(s, 64) < 64 && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789_.:/@+-[]%,") == strlen(s);
}

static void line_value(struct line *l, const char *s, bool json)
{
	if (is_number(s)) {
		line_puts(l, s + 1);
	} else if (!json && is_plain(s)) {
		line_puts(l, s);
	} else {
		line_add(l, "\"", 1);
		line_escaped(l, s);
		line_add(l, "\"", 1);
	}
}

/* RFC 3339, UTC, microseconds. */
static void line_time(struct line *l)
{
	struct timespec ts;
	struct tm tm;
	char text[64];
	int64_t us;

	if (logger.wall_us != NULL) {
		us = logger.wall_us();
		ts.tv_sec = (time_t)(us / 1000000);
		ts.tv_nsec = (long)(us % 1000000) * 1000;
	} else {
		clock_gettime(CLOCK_REALTIME, &ts);
	}
	if (gmtime_r(&ts.tv_sec, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000);
	line_puts(l, text);
}

static void line_head(struct line *l, enum log_level level, const char *component, const char *message)
{
	if (logger.json) {
		line_puts(l, "{\"time\":\"");
		line_time(l);
		line_puts(l, "\",\"level\":\"");
		line_puts(l, level_names[level]);
		line_puts(l, "\",\"component\":");
		line_value(l, component, true);
		line_puts(l, ",\"message\":");
		line_value(l, message, true);
		return;
	}
	line_time(l);
	line_puts(l, logger.colour ? level_colours[level] : "");
	line_puts(l, " ");
	line_puts(l, level_names[level]);
	line_puts(l, logger.colour ? "\033[0m " : " ");
	line_escaped(l, component);
	line_puts(l, ": ");
	line_escaped(l, message);
}

static void line_pair(struct line *l, const char *key, const char *value)
{
	const size_t mark = l->len;

	if (logger.json) {
		line_puts(l, ",");
		line_value(l, key, true);
		line_puts(l, ":");
	} else {
		line_puts(l, logger.colour ? " \033[2m" : " ");
		line_escaped(l, key);
		line_puts(l, logger.colour ? "=\033[0m" : "=");
	}
	line_value(l, value, logger.json);
	if (l->full)
		l->len = mark;
}

/* One write. False if it would have to wait. */
static bool emit(const char *text, size_t len, enum log_level level)
{
	struct pollfd p = { logger.fd, POLLOUT, 0 };
	ssize_t n;

	if (logger.sink != NULL) {
		logger.sink(logger.sink_arg, text, len);
		return true;
	}
	if (poll(&p, 1, level == LOG_LEVEL_ERROR ? ERROR_WAIT_MS : 0) != 1 || !(p.revents & POLLOUT))
		return false;
	do
		n = write(logger.fd, text, len);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

static void line_finish(struct line *l)
{
	const char *end = logger.json ? (l->full ? ",\"truncated\":true}\n" : "}\n") : (l->full ? " truncated=true\n" : "\n");
	const size_t n = strlen(end);

	memcpy(l->text + l->len, end, n);       /* LINE_TAIL is free */
	l->len += n;
}

static void write_locked(enum log_level level, const char *component, const char *const *pairs, size_t count)
{
	struct line l;

	l.len = 0;
	l.full = false;
	line_head(&l, level, component, pairs[0] != NULL ? pairs[0] : "");
	for (size_t i = 1; i + 1 < count && pairs[i] != NULL; i += 2)
		if (pairs[i + 1] != NULL)
			line_pair(&l, pairs[i], pairs[i + 1]);
	line_finish(&l);
	if (!emit(l.text, l.len, level)) {
		logger.dropped_since++;
		atomic_fetch_add_explicit(&logger.dropped, 1, memory_order_relaxed);
	}
}

static enum log_level level_locked(const char *component)
{
	for (size_t i = 0; component != NULL && i < logger.component_count; i++)
		if (strcmp(logger.components[i].name, component) == 0)
			return logger.components[i].level;
	return logger.level;
}

void log_write(enum log_level level, const char *component, const char *const *pairs, size_t count)
{
	const int saved = errno;

	if (level <= LOG_LEVEL_OFF || level > LOG_LEVEL_DEBUG || count == 0)
		return;
	pthread_mutex_lock(&logger.lock);
	if (level <= level_locked(component)) {
		if (logger.dropped_since > 0) {
			const uint64_t lost = logger.dropped_since;

			logger.dropped_since = 0;
			write_locked(LOG_LEVEL_WARNING, "log", (const char *const[]){
				"lines were dropped; whoever reads the log is too slow", "count", LOG_UINT(lost) }, 3);
			if (logger.dropped_since > 0)
				logger.dropped_since = lost;    /* that one too; try again next time */
		}
		write_locked(level, component, pairs, count);
		atomic_fetch_add_explicit(&logger.lines[level], 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&logger.lock);
	errno = saved;
}

bool log_enabled(const char *component, enum log_level level)
{
	return log_may(level) && level <= log_level(component);
}

enum log_level log_level(const char *component)
{
	pthread_mutex_lock(&logger.lock);
	const enum log_level level = level_locked(component);
	pthread_mutex_unlock(&logger.lock);
	return level;
}

static void update_threshold(void)
{
	enum log_level most = logger.level;

	for (size_t i = 0; i < logger.component_count; i++)
		if (logger.components[i].level > most)
			most = logger.components[i].level;
	atomic_store_explicit(&log_threshold, (int)most, memory_order_relaxed);
}

enum sterna_result log_set_level(const char *component, enum log_level level)
{
	enum sterna_result rc = STERNA_OK;
	size_t i = 0;

	if (component != NULL && strlen(component) >= COMPONENT_LEN)
		return STERNA_ELIMIT;
	pthread_mutex_lock(&logger.lock);
	if (component == NULL) {
		logger.level = level;
	} else {
		while (i < logger.component_count && strcmp(logger.components[i].name, component) != 0)
			i++;
		if (i == COMPONENTS_MAX) {
			rc = STERNA_ELIMIT;
		} else {
			if (i == logger.component_count)
				logger.component_count++;
			snprintf(logger.components[i].name, COMPONENT_LEN, "%s", component);
			logger.components[i].level = level;
		}
	}
	update_threshold();
	pthread_mutex_unlock(&logger.lock);
	return rc;
}

void log_clear_level(const char *component)
{
	pthread_mutex_lock(&logger.lock);
	if (component == NULL)
		logger.component_count = 0;
	for (size_t i = 0; i < logger.component_count; i++) {
		if (strcmp(logger.components[i].name, component) == 0) {
			logger.components[i] = logger.components[--logger.component_count];
			break;
		}
	}
	update_threshold();
	pthread_mutex_unlock(&logger.lock);
}

bool log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_level_text(enum log_level level)
{
	return level <= LOG_LEVEL_DEBUG ? level_names[level] : "unknown";
}

uint64_t log_lines(enum log_level level)
{
	return level <= LOG_LEVEL_DEBUG ? atomic_load_explicit(&logger.lines[level], memory_order_relaxed) : 0;
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&logger.dropped, memory_order_relaxed);
}

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* The old file goes, fd comes; path is taken. */
static void use_locked(int fd, char *path)
{
	if (logger.path != NULL) {
		close(logger.fd);
		free(logger.path);
	}
	logger.fd = fd;
	logger.path = path;
}

enum sterna_result log_open(const struct log_options *o)
{
	const char *file = o->file != NULL ? o->file : "", *term = getenv("TERM");
	int fd = STDERR_FILENO;
	char *path = NULL;

	if (strcmp(file, "stdout") == 0) {
		fd = STDOUT_FILENO;
	} else if (*file != '\0' && strcmp(file, "stderr") != 0) {
		fd = open_file(file);
		if (fd < 0)
			return STERNA_EIO;
		path = xstrdup(file);
	}
	const bool terminal = isatty(fd) == 1;

	pthread_mutex_lock(&logger.lock);
	use_locked(fd, path);
	logger.json = o->format == LOG_FORMAT_JSON || (o->format == LOG_FORMAT_AUTO && !terminal);
	logger.colour = terminal && getenv("NO_COLOR") == NULL && term != NULL && strcmp(term, "dumb") != 0;
	logger.level = o->level;
	update_threshold();
	pthread_mutex_unlock(&logger.lock);
	return STERNA_OK;
}

enum sterna_result log_reopen(void)
{
	int fd = -1, err = 0;
	bool ours = false;

	pthread_mutex_lock(&logger.lock);
	if (logger.path != NULL) {
		ours = true;
		fd = open_file(logger.path);
		err = errno;
		if (fd >= 0) {
			close(logger.fd);
			logger.fd = fd;
		}
	}
	pthread_mutex_unlock(&logger.lock);
	if (ours && fd < 0) {
		log_error("log", "cannot open the log file anew, writing to the old one", "reason", strerror(err));
		return STERNA_EIO;
	}
	return STERNA_OK;
}

void log_close(void)
{
	pthread_mutex_lock(&logger.lock);
	use_locked(STDERR_FILENO, NULL);
	logger.colour = false;
	pthread_mutex_unlock(&logger.lock);
}

void log_set_sink(void (*fn)(void *arg, const char *line, size_t len), void *arg)
{
	pthread_mutex_lock(&logger.lock);
	logger.sink = fn;
	logger.sink_arg = arg;
	pthread_mutex_unlock(&logger.lock);
}

void log_set_clock(int64_t (*wall_us)(void))
{
	pthread_mutex_lock(&logger.lock);
	logger.wall_us = wall_us;
	pthread_mutex_unlock(&logger.lock);
}
