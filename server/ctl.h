/* ctl.h - sternactl: a table of commands, each with its words, arguments, options and a function.
 *
 * What concerns accounts and the schema is done on the storage, also while no server runs; what concerns a running
 * server is asked over its control socket (control.h). Threads: the main one. */
#ifndef STERNA_CTL_H
#define STERNA_CTL_H

#include <jansson.h>
#include "server/config.h"
#include "server/user.h"

enum ctl_exit { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_NO_SERVER = 69, CTL_CONFIG = 78 };

struct ctl_option {
	const char *name;            /* without "--"; NULL ends a table */
	const char *value;           /* what it is called in the help; NULL: takes none */
	const char *help;
};

enum { CTL_OPTIONS_MAX = 8, CTL_ARGS_MAX = 16 };

struct ctl_command;

/** One run of the program. */
struct ctl {
	const char *config_path;
	bool json;
	struct config *config;
	struct db *db;
	struct users *users;
	const struct ctl_command *command;
	const char *values[CTL_OPTIONS_MAX]; /* of command->options; "" where it takes none; NULL: not given */
	const char *args[CTL_ARGS_MAX + 1];
	int arg_count;
};

struct ctl_command {
	const char *name;            /* its words: "user add" */
	const char *args;            /* "JID [REASON]" */
	const char *summary;         /* a line */
	const struct ctl_option *options;    /* or NULL */
	int min, max;                /* arguments */
	enum ctl_exit (*fn)(struct ctl *c);
};

extern const struct ctl_command ctl_user_commands[], ctl_config_commands[], ctl_server_commands[], ctl_pie_commands[],
	ctl_report_commands[], ctl_s2s_commands[], ctl_audit_commands[];
/** All of them. fn returns true to stop. */
const struct ctl_command *ctl_each(bool (*fn)(void *arg, const struct ctl_command *k), void *arg);

/** Value of an option of this command, or NULL. */
const char *ctl_option(const struct ctl *c, const char *name);

/** Print "sternactl: …" to stderr; returns code. */
enum ctl_exit ctl_fail(enum ctl_exit code, const char *fmt, ...) STERNA_PRINTF(2, 3);
/** A failure of the storage or of an account, in words; what: "juliet@example.org". */
enum ctl_exit ctl_fail_result(enum sterna_result rc, const char *what);

/** The configuration; says what is wrong with it. Once. */
enum ctl_exit ctl_need_config(struct ctl *c);
/** The same, the storage opened and migrated, and c->users. Files that the caller may read and the server's user not
 *  are opened before: as root this takes on the server's user where the database is a file. */
enum ctl_exit ctl_need_storage(struct ctl *c);

/** Takes result: prints it, as JSON or by show(). */
void ctl_print(const struct ctl *c, json_t *result, void (*show)(const json_t *result));
/** Microseconds as "2026-01-31 12:00:00" (UTC), or "-" for 0, into out. */
const char *ctl_time(int64_t us, char out[32]);
/** Rows of objects as a table with these keys. */
void ctl_table(const json_t *rows, const char *const *keys, const char *const *titles);

/** A progress bar on stderr, if that is a terminal; total 0: unknown. ctl_progress_end() clears it. */
void ctl_progress(const char *what, uint64_t done, uint64_t total);
void ctl_progress_end(void);

/** A record of the audit, where the configuration has one: of what is done without a running server. The storage is open.
 *  type: "sterna.data.exported.v1"; takes data, texts and whole numbers, of which only "args" may be personal. */
enum ctl_exit ctl_audit_put(struct ctl *c, const char *type, const char *subject, json_t *data);

/** A password: twice without echo from a terminal, else a line of the standard input.
 *  @param out PASSWORD_MAX + 1 bytes */
enum ctl_exit ctl_read_password(const char *who, char *out);

/** Ask the running server. words: NULL-terminated. @param[out] result new, on CTL_OK; json null if it said nothing
 *  @return CTL_NO_SERVER nobody listens
 *          (quiet: nothing is printed then; and the same if the server does not know the command) */
enum ctl_exit ctl_ask(struct ctl *c, const char *const *words, bool quiet, json_t **result);
/** The same with fields by their names: takes args; what they hold is cleansed afterwards. */
enum ctl_exit ctl_ask_with(struct ctl *c, const char *const *words, json_t *args, bool quiet, json_t **result);

#endif
