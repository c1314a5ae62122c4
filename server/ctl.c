/* ctl.c - what the commands of sternactl have in common: configuration, storage, messages, output. */
#include "server/ctl.h"
#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum ctl_exit ctl_fail(enum ctl_exit code, const char *fmt, ...)
{
	va_list ap;

	ctl_progress_end();
	fputs("sternactl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

enum ctl_exit ctl_fail_result(enum sterna_result rc, const char *what)
{
	const char *text = "failed; the log line above says why";

	switch (rc) {
	case STERNA_ENOTFOUND:
		text = "there is no such account";
		break;
	case STERNA_EEXISTS:
		text = "the account is there already";
		break;
	case STERNA_EINVAL:
		text = "the password is empty, or has characters that are not allowed (RFC 8265)";
		break;
	case STERNA_ELIMIT:
		text = "the password is longer than 1023 bytes";
		break;
	case STERNA_EUNAVAILABLE:
		text = "the database cannot be reached; nothing was changed";
		break;
	case STERNA_EUNCERTAIN:
		text = "the database was lost in between; it is not known whether this was done: repeat it";
		break;
	default:
		break;
	}
	return ctl_fail(CTL_FAILED, "%s: %s", what, text);
}

const char *ctl_option(const struct ctl *c, const char *name)
{
	for (size_t i = 0; c->command->options != NULL && c->command->options[i].name != NULL; i++)
		if (strcmp(c->command->options[i].name, name) == 0)
			return c->values[i];
	return NULL;
}

/* --- configuration and storage --- */

static const char *find_config(void)
{
	static const char installed[] = STERNA_CONF_DIR "/sterna.yaml", here[] = "var/sterna.yaml";
	const char *given = getenv("STERNA_CONFIG");

	if (given != NULL && *given != '\0')
		return given;
	return access(installed, F_OK) == 0 || access(here, F_OK) != 0 ? installed : here;
}

enum ctl_exit ctl_need_config(struct ctl *c)
{
	struct config_error err = { 0 };
	char text[1024];

	if (c->config != NULL)
		return CTL_OK;
	if (c->config_path == NULL)
		c->config_path = find_config();
	if (config_load(c->config_path, &c->config, &err) == STERNA_OK)
		return CTL_OK;
	return ctl_fail(CTL_CONFIG, "%s", config_error_text(&err, text, sizeof text));
}

/* A database file that root made would be closed to the server, which runs as another user. */
static enum ctl_exit become_server_user(const struct config *c)
{
	if (geteuid() != 0 || c->server.user == NULL || c->storage.driver != CONFIG_SQLITE)
		return CTL_OK;
	const struct passwd *pw = getpwnam(c->server.user);

	if (pw == NULL)
		return ctl_fail(CTL_CONFIG, "server.user: there is no user '%s'", c->server.user);
	gid_t gid = pw->pw_gid;

	if (c->server.group != NULL) {
		const struct group *gr = getgrnam(c->server.group);

		if (gr == NULL)
			return ctl_fail(CTL_CONFIG, "server.group: there is no group '%s'", c->server.group);
		gid = gr->gr_gid;
	}
	if (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(pw->pw_uid) != 0)
		return ctl_fail(CTL_FAILED, "cannot become user '%s': %s", c->server.user, strerror(errno));
	return CTL_OK;
}

static enum ctl_exit open_storage(struct ctl *c)
{
	const struct config_storage *s = &c->config->storage;
	const char *sql = getenv("STERNA_SQL_DIR");
	const struct db_options o = { .driver = s->driver == CONFIG_SQLITE ? "sqlite" : "postgresql", .path = s->path,
		.conninfo = s->conninfo, .password = s->password, .sync = s->sync, .connections = 1,
		.queue_bytes = s->queue.bytes, .read_wait_ms = (unsigned)(s->read_wait.us / 1000),
		.answer_wait_ms = (unsigned)(s->answer_wait.us / 1000), .beside = true,
		.sql_dir = sql != NULL ? sql : s->sql_dir };
	enum sterna_result rc = db_open(&o, &c->db);

	if (rc == STERNA_OK)
		rc = db_migrate(c->db, NULL, NULL);
	if (rc == STERNA_OK)
		rc = users_new(&(struct users_options){ .db = c->db, .config = c->config }, &c->users);
	switch (rc) {
	case STERNA_OK:
		return CTL_OK;
	case STERNA_EUNAVAILABLE:
		return ctl_fail(CTL_FAILED, s->driver == CONFIG_SQLITE ? "the database '%s' cannot be read or written now"
			: "the database cannot be reached", s->path);
	case STERNA_ELIMIT:
		return ctl_fail(CTL_FAILED, "the database was written by a newer release; use its sternactl");
	default:
		return ctl_fail(CTL_FAILED, "the database cannot be used (%s)", sterna_result_text(rc));
	}
}

enum ctl_exit ctl_need_storage(struct ctl *c)
{
	enum ctl_exit code = ctl_need_config(c);

	if (code == CTL_OK && c->users == NULL) {
		const mode_t before = umask(077);

		code = become_server_user(c->config);
		if (code == CTL_OK)
			code = open_storage(c);
		umask(before);
	}
	return code;
}

/* --- output --- */

void ctl_print(const struct ctl *c, json_t *result, void (*show)(const json_t *result))
{
	if (c->json || show == NULL) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		show(result);
	}
	json_decref(result);
}

const char *ctl_time(int64_t us, char out[32])
{
	const time_t t = us / 1000000;
	struct tm tm;

	if (us == 0 || gmtime_r(&t, &tm) == NULL)
		return "-";
	strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
	return out;
}

/* A value as a word; out is used for numbers. */
static const char *word(const json_t *v, char out[32])
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v))
		snprintf(out, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else
		snprintf(out, 32, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
	return out;
}

/* Columns of text as wide as they look is beyond us; code points are near enough. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* What peers chose (names of clients, resources) must not speak to the terminal. */
static void put_word(const char *s)
{
	for (; *s != '\0'; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

void ctl_table(const json_t *rows, const char *const *keys, const char *const *titles)
{
	size_t widths[16] = { 0 }, columns = 0, i;
	char number[32];
	json_t *row;

	for (; columns < 16 && keys[columns] != NULL; columns++) {
		widths[columns] = width(titles[columns]);
		json_array_foreach(rows, i, row) {
			const size_t w = width(word(json_object_get(row, keys[columns]), number));

			if (w > widths[columns])
				widths[columns] = w;
		}
	}
	for (i = 0; i < columns; i++)
		printf("%-*s%s", i + 1 < columns ? (int)widths[i] : 0, titles[i], i + 1 < columns ? "  " : "\n");
	json_array_foreach(rows, i, row)
		for (size_t k = 0; k < columns; k++) {
			const char *text = word(json_object_get(row, keys[k]), number);

			put_word(text);
			if (k + 1 < columns)
				printf("%*s", (int)(widths[k] - width(text)) + 2, "");
			else
				putchar('\n');
		}
}

void ctl_progress(const char *what, uint64_t done, uint64_t total)
{
	enum { CELLS = 30 };
	const uint64_t full = total == 0 ? 0 : done >= total ? CELLS : done * CELLS / total;
	char bar[CELLS + 1];

	if (!isatty(STDERR_FILENO))
		return;
	memset(bar, '.', CELLS);
	memset(bar, '#', full);
	bar[CELLS] = '\0';
	if (total > 0)
		fprintf(stderr, "\r\033[K%s [%s] %3u%%", what, bar, (unsigned)(done >= total ? 100 : done * 100 / total));
	else
		fprintf(stderr, "\r\033[K%s %llu", what, (unsigned long long)done);
	fflush(stderr);
}

void ctl_progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* --- passwords --- */

static bool read_secret(const char *prompt, char *out)
{
	struct termios before, quiet;
	const bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;

	if (terminal) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		quiet.c_lflag |= ECHONL;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		fputs(prompt, stderr);
		fflush(stderr);
	}
	const bool ok = fgets(out, PASSWORD_MAX + 2, stdin) != NULL;

	if (terminal)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	if (ok)
		out[strcspn(out, "\r\n")] = '\0';
	return ok;
}

enum ctl_exit ctl_read_password(const char *who, char *out)
{
	char first[PASSWORD_MAX + 2], again[PASSWORD_MAX + 2], prompt[256];
	enum ctl_exit code = CTL_OK;

	setvbuf(stdin, NULL, _IONBF, 0); /* leaves no copy in stdio's buffer, and the rest to others */
	snprintf(prompt, sizeof prompt, "Password for %s: ", who);
	if (!read_secret(prompt, first))
		code = ctl_fail(CTL_USAGE, "no password on the standard input");
	else if (strlen(first) > PASSWORD_MAX)
		code = ctl_fail_result(STERNA_ELIMIT, who);
	else if (isatty(STDIN_FILENO) && (!read_secret("The same again: ", again) || strcmp(first, again) != 0))
		code = ctl_fail(CTL_FAILED, "the two are not the same");
	else
		strcpy(out, first);
	OPENSSL_cleanse(first, sizeof first);
	OPENSSL_cleanse(again, sizeof again);
	return code;
}
