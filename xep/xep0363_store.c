/* XEP-0363: the store of uploaded files.
 *
 * An object store knows nothing of days, and may be away when a file is to go. So a thread of the module's own removes what
 * the table says, object by object, and a row goes when its object has gone. Several servers may do the same at once. */
#include "xep/xep0363_store.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 100, ROUND_S = 60, FIRST_S = 2, DAY_S = 86400, ID_LEN = 74 };

struct upload_store {
	struct sterna_mod *mod;
	char *folder;                        /* NULL: a bucket */
	struct sterna_bucket bucket;         /* its strings live as long as the module */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;                           /* under the lock */
};

#define B struct sterna_bucket
const struct sterna_option upload_bucket_options[] = {
	STERNA_OPT(B, endpoint, NULL, NULL, "https://HOST of the object store; without it files lie in the folder; taken at start"),
	STERNA_OPT(B, region, "us-east-1", NULL, "as the store calls it"),
	STERNA_OPT(B, bucket, NULL, NULL, "its name; it must be there"),
	STERNA_OPT(B, prefix, NULL, NULL, "of the objects' names, as 'upload/'"),
	STERNA_OPT(B, access_key, NULL, NULL, "may read, write and delete objects there, and should be allowed to list them"),
	STERNA_OPT(B, secret_key, NULL, NULL, "better '!file path' or ${NAME} than the key itself"),
	STERNA_OPT(B, authorities, NULL, NULL, "file of authorities, PEM, for the store's certificate; default: the system's"),
	STERNA_OPT(B, path_style, "true", NULL, "https://HOST/BUCKET/NAME; false: https://BUCKET.HOST/NAME"),
	STERNA_OPT(B, connect_time, "5s", "100ms..1m", "for a connection to the store"),
	STERNA_OPT(B, stall_time, "30s", "1s..10m", "with nothing sent or heard, then the transfer has failed"),
	{ 0 }
};
#undef B

/* owner: '' to be removed; '-' removed, but an upload may have been under way: once more when it is old. */
static const struct db_stmt gone_get = {
	.name = "upload_gone", .params = "ii", .columns = "ti",
	.sql = "SELECT slot, created FROM upload_slot WHERE owner = '' AND created < $1 ORDER BY created LIMIT $2",
};
static const struct db_stmt old_get = {
	.name = "upload_old", .params = "ii", .columns = "ti",
	.sql = "SELECT slot, created FROM upload_slot WHERE created < $1 ORDER BY created LIMIT $2",
};
static const struct db_stmt gone_mark = {
	.name = "upload_gone_mark", .params = "t", .sql = "UPDATE upload_slot SET owner = '-' WHERE slot = $1",
};
static const struct db_stmt gone_drop = {
	.name = "upload_gone_drop", .params = "t", .sql = "DELETE FROM upload_slot WHERE slot = $1",
};

/* --- the thread --- */

struct page {
	size_t count;
	struct { char id[ID_LEN + 1]; int64_t created; } row[PAGE];
};

static void on_rows(void *arg, const struct db_rows *rows)
{
	struct page *p = arg;
	const size_t n = db_rows_count(rows);

	for (p->count = 0; p->count < n && p->count < PAGE; p->count++) {
		snprintf(p->row[p->count].id, sizeof p->row[p->count].id, "%s", db_str(rows, p->count, 0, NULL));
		p->row[p->count].created = db_int(rows, p->count, 1);
	}
}

static void key_of(const char *id, char key[48])
{
	snprintf(key, 48, "%.8s/%.32s", id, strlen(id) > 9 ? id + 9 : "");
}

static bool is_ending(struct upload_store *s)
{
	pthread_mutex_lock(&s->lock);
	const bool stop = s->stop;

	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* @return true: all of the page is gone, and there may be more */
static bool remove_page(struct upload_store *s, struct sterna_storage *db, struct page *p, int64_t old)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct db_value slot = db_text(p->row[i].id);
		char key[48];

		key_of(p->row[i].id, key);
		if (is_ending(s) || sterna_remove_object(&s->bucket, key) != STERNA_OK)
			return false; /* the next round tries again */
		if (sterna_storage_write(db, p->row[i].created < old ? &gone_drop : &gone_mark, &slot) != STERNA_OK)
			return false;
	}
	return p->count == PAGE;
}

static void remove_all(struct upload_store *s, struct sterna_storage *db, const struct db_stmt *get, int64_t before, int64_t old)
{
	const struct db_value values[] = { DB_INT(before), DB_INT(PAGE) };
	struct page *p = xalloc(sizeof *p);

	do {
		p->count = 0;
		if (sterna_storage_read(db, get, values, on_rows, p) != STERNA_OK)
			break;
	} while (remove_page(s, db, p, old));
	free(p);
}

static void clean(struct upload_store *s, struct sterna_storage *db)
{
	const struct upload_config *cfg = sterna_mod_hold_config(s->mod);
	const int64_t now = (int64_t)time(NULL), old = now - cfg->keep.us / 1000000 - DAY_S;

	const int64_t used = now - cfg->slot_time.us / 1000000;

	sterna_mod_let_config(s->mod, cfg);
	remove_all(s, db, &gone_get, used, old);
	remove_all(s, db, &old_get, old, old);
}

/* @return false: it is to end */
static bool sleep_s(struct upload_store *s, time_t seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&s->lock);
	while (!s->stop && pthread_cond_timedwait(&s->wake, &s->lock, &until) != ETIMEDOUT)
		;
	const bool stop = s->stop;

	pthread_mutex_unlock(&s->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct upload_store *s = arg;
	struct sterna_storage *db = NULL;

	for (time_t wait = FIRST_S; sleep_s(s, wait); wait = ROUND_S) {
		if (db == NULL)
			db = sterna_storage_open(s->mod);
		if (db != NULL)
			clean(s, db);
	}
	if (db != NULL)
		sterna_storage_close(&db);
	return NULL;
}

/* --- for the module --- */

bool upload_store_cleans(const struct upload_store *s)
{
	return s->folder == NULL;
}

static char *file_of(const struct upload_store *s, const char *id)
{
	return xasprintf("%s/%.8s/%.32s", s->folder, id, id + 9);
}

void upload_store_save(struct upload_store *s, struct sterna_http_request *r, const char *id, uint64_t size)
{
	char *file = s->folder != NULL ? file_of(s, id) : NULL, key[48];

	key_of(id, key);
	if (file != NULL)
		sterna_http_save(r, file, size);
	else
		sterna_http_save_object(r, &s->bucket, key, size);
	free(file);
}

void upload_store_send(struct upload_store *s, struct sterna_http_request *r, const char *id, const char *type)
{
	char *file = s->folder != NULL ? file_of(s, id) : NULL, key[48];

	key_of(id, key);
	if (file != NULL)
		sterna_http_send(r, file, type);
	else
		sterna_http_send_object(r, &s->bucket, key, type);
	free(file);
}

void upload_store_remove(struct upload_store *s, const char *id)
{
	char *file = file_of(s, id);

	sterna_remove_file(s->mod, file);
	free(file);
}

void upload_store_purge(struct upload_store *s, int64_t before)
{
	sterna_purge_days(s->mod, s->folder, before);
}

static enum sterna_result begin_thread(struct upload_store *s)
{
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	if (pthread_create(&s->thread, NULL, run, s) == 0)
		return STERNA_OK;
	log_error("upload", "the system gives no thread");
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	return STERNA_EIO;
}

enum sterna_result upload_store_new(struct sterna_mod *m, struct upload_store **out)
{
	const struct upload_config *cfg = sterna_mod_config(m);
	struct upload_store *s = xalloc(sizeof *s);
	const char *wrong = cfg->s3.endpoint != NULL ? sterna_bucket_wrong(&cfg->s3) : NULL;
	enum sterna_result rc = STERNA_OK;

	s->mod = m;
	if (wrong != NULL) {
		log_error("upload", "the object store cannot be used", "modules.upload.s3", wrong);
		rc = STERNA_EINVAL;
	} else if (cfg->s3.endpoint != NULL) {
		s->bucket = cfg->s3;
		if (cfg->s3.authorities != NULL)
			s->bucket.authorities = sterna_mod_file(m, cfg->s3.authorities);
		rc = begin_thread(s);
	} else {
		s->folder = xstrdup(sterna_mod_file(m, cfg->folder));
	}
	if (rc == STERNA_OK)
		*out = s;
	else
		free(s);
	return rc;
}

void upload_store_free(struct upload_store **sp)
{
	struct upload_store *s = *sp;

	*sp = NULL;
	if (s->folder == NULL) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
		pthread_cond_destroy(&s->wake);
		pthread_mutex_destroy(&s->lock);
	}
	free(s->folder);
	free(s);
}
