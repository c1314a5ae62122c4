/* db_migrate.c - brings the schema forward: NNNN_name.sql for both databases, or NNNN_name.pg.sql beside
 * NNNN_name.sqlite.sql. Each runs once, in a transaction of its own, under a lock that other nodes wait for;
 * the table schema_version says what has run. */
#include "server/buf.h"
#include "server/db_driver.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20 };

struct migration {
	int version;
	char *file;
};
struct migrations {
	struct migration *items;
	size_t count;
};

static const char create_table[] =
	"CREATE TABLE IF NOT EXISTS schema_version"
	" (version bigint PRIMARY KEY, name text NOT NULL, applied bigint NOT NULL)";
static const struct db_stmt get_version = {
	.name = "schema_version_get", .params = "", .columns = "i",
	.sql = "SELECT coalesce(max(version), 0) FROM schema_version",
};
static const struct db_stmt put_version = {
	.name = "schema_version_put", .params = "iti",
	.sql = "INSERT INTO schema_version (version, name, applied) VALUES ($1, $2, $3)",
};

static bool ends_with(const char *s, const char *end)
{
	const size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* The version, or 0: not for this database. */
static int version_of(const char *file, const char *suffix)
{
	char *end;
	const long n = strtol(file, &end, 10);

	if (end != file + 4 || *end != '_' || n < 1 || !ends_with(file, ".sql"))
		return 0;
	const bool special = ends_with(file, ".pg.sql") || ends_with(file, ".sqlite.sql");

	return !special || ends_with(file, suffix) ? (int)n : 0;
}

static int by_version(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return x->version - y->version;
}

static void migrations_clear(struct migrations *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->items[i].file);
	free(m->items);
	*m = (struct migrations){ NULL, 0 };
}

static enum sterna_result migrations_list(const struct db *db, struct migrations *m)
{
	DIR *dir = opendir(db->o.sql_dir);

	if (dir == NULL) {
		db_log_error("cannot read the folder of migrations", db->o.sql_dir, strerror(errno));
		return STERNA_EIO;
	}
	for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
		const int version = version_of(e->d_name, db->driver->suffix);

		if (version == 0)
			continue;
		m->items = xrealloc(m->items, (m->count + 1) * sizeof *m->items);
		m->items[m->count].version = version;
		m->items[m->count++].file = xstrdup(e->d_name);
	}
	closedir(dir);
	if (m->count > 0)
		qsort(m->items, m->count, sizeof *m->items, by_version);
	for (size_t i = 0; i < m->count; i++) {
		if (m->items[i].version == (int)i + 1)
			continue;
		db_log_error("migrations must be numbered 0001, 0002 and so on, each once", m->items[i].file, NULL);
		return STERNA_EIO;
	}
	if (m->count == 0) {
		db_log_error("no migrations found; is the folder right?", db->o.sql_dir, NULL);
		return STERNA_EIO;
	}
	return STERNA_OK;
}

static enum sterna_result read_file(const struct db *db, const char *file, struct buf *out)
{
	char *path = xasprintf("%s/%s", db->o.sql_dir, file);
	FILE *f = fopen(path, "re");
	size_t n = 0;

	if (f != NULL) {
		do {
			n = fread(buf_reserve(out, 4096), 1, 4096, f);
			out->len += n;
		} while (n > 0 && buf_len(out) <= FILE_MAX_BYTES);
	}
	const bool good = f != NULL && !ferror(f) && buf_len(out) <= FILE_MAX_BYTES;

	if (!good)
		db_log_error("cannot read a migration", path, strerror(errno));
	if (f != NULL)
		fclose(f);
	free(path);
	return good ? STERNA_OK : STERNA_EIO;
}

static void on_version(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	if (rc == STERNA_OK && db_rows_count(rows) == 1)
		*(int64_t *)arg = db_int(rows, 0, 0);
}

static enum sterna_result run_file(struct db *db, const struct migration *m)
{
	struct buf sql = BUF_INIT;
	enum sterna_result rc = read_file(db, m->file, &sql);

	if (rc == STERNA_OK)
		rc = db->driver->script(db, buf_str(&sql));
	buf_release(&sql);
	if (rc == STERNA_OK) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		rc = db_exec_now(db, &put_version, (const struct db_value[]){ DB_INT(m->version), db_text(m->file),
			DB_INT((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000) }, NULL, NULL);
	}
	if (rc != STERNA_OK)
		db_log_error("a migration failed and was rolled back", m->file, NULL);
	return rc;
}

/* One step under the lock: the next migration, if there is one. */
static enum sterna_result step(struct db *db, const struct migrations *m, int64_t *version, bool *more)
{
	enum sterna_result rc = db->driver->script(db, db->driver->lock);

	if (rc != STERNA_OK)
		return rc;
	rc = db->driver->script(db, create_table);
	if (rc == STERNA_OK)
		rc = db_exec_now(db, &get_version, NULL, on_version, version);
	if (rc == STERNA_OK && *version > (int64_t)m->count) {
		db_log_error("the database is newer than this program; install the newer release", db->o.sql_dir,
			NULL);
		rc = STERNA_ELIMIT;
	}
	*more = rc == STERNA_OK && *version < (int64_t)m->count;
	if (*more)
		rc = run_file(db, &m->items[*version]);
	if (rc == STERNA_OK)
		rc = db->driver->script(db, db->driver->unlock);
	if (rc == STERNA_OK && *more)
		db_log_notice("migrated", m->items[(*version)++].file);
	else if (rc != STERNA_OK)
		(void)db->driver->script(db, db->driver->rollback);
	return rc;
}

enum sterna_result db_migrate(struct db *db, int *from, int *to)
{
	struct migrations m = { NULL, 0 };
	int64_t version = 0, first = -1;
	bool more = true;
	enum sterna_result rc = migrations_list(db, &m);

	pthread_mutex_lock(&db->now_lock);
	while (rc == STERNA_OK && more) {
		rc = step(db, &m, &version, &more);
		if (first < 0)
			first = version - (rc == STERNA_OK && more);
	}
	pthread_mutex_unlock(&db->now_lock);
	migrations_clear(&m);
	if (from != NULL)
		*from = (int)(first > 0 ? first : 0);
	if (to != NULL)
		*to = (int)version;
	return rc == STERNA_OK || rc == STERNA_ELIMIT || rc == STERNA_EUNAVAILABLE ? rc : STERNA_EIO;
}

enum sterna_result db_maintain(struct db *db, int64_t now_ms)
{
	const struct db_stmt maintain = {
		.name = "db_maintain", .params = "i", .sql = db->driver->maintain,
	};

	if (db->driver->maintain == NULL)
		return STERNA_OK;
	return db_exec_now(db, &maintain, (const struct db_value[]){ DB_INT(now_ms) }, NULL, NULL);
}
