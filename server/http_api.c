/* http_api.c - module.h's functions about HTTP that touch connections, files and the server's secret. */
#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/fetch.h"
#include "server/http_file.h"
#include "server/http_object.h"
#include "server/registry.h"
#include "server/s3.h"

void sterna_sign(struct sterna_mod *m, const char *text, char mac[STERNA_MAC_LEN])
{
	const struct server *s = m->server;
	unsigned char key[32], sum[32];
	unsigned len = sizeof key;
	char what[64];

	/* A key for each module: none can make what another believes. */
	snprintf(what, sizeof what, "module %s", m->slot->m->name);
	if (HMAC(EVP_sha256(), s->secret, sizeof s->secret, (const unsigned char *)what, strlen(what), key, &len) == NULL
		|| HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)text, strlen(text), sum, &len) == NULL)
		abort(); /* OpenSSL without SHA-256 */
	for (unsigned i = 0; i < sizeof sum; i++)
		snprintf(mac + 2 * i, 3, "%02x", sum[i]);
}

const char *sterna_mod_file(struct sterna_mod *m, const char *path)
{
	return config_file(m->server->config, m->slot->first->arena, path);
}

bool sterna_http_length(const struct sterna_http_request *r, uint64_t *out)
{
	*out = r->head != NULL ? r->head->content_length : 0;
	return r->head != NULL && r->head->has_length;
}

int64_t sterna_http_now(const struct sterna_http_request *r)
{
	return r->conn != NULL ? loop_wall_us(r->conn->worker->loop) / 1000000 : 0;
}

void sterna_http_save(struct sterna_http_request *r, const char *path, uint64_t size)
{
	r->later = true;
	http_file_save(r->conn, path, size);
}

void sterna_http_send(struct sterna_http_request *r, const char *path, const char *type)
{
	r->later = true;
	r->type = type;
	http_file_send(r->conn, path);
}

void sterna_http_save_object(struct sterna_http_request *r, const struct sterna_bucket *b, const char *key, uint64_t size)
{
	r->later = true;
	http_object_save(r->conn, b, key, size);
}

void sterna_http_send_object(struct sterna_http_request *r, const struct sterna_bucket *b, const char *key, const char *type)
{
	r->later = true;
	r->type = type;
	http_object_send(r->conn, b, key);
}

/* --- reading from the database --- */

enum { VALUES_MAX = 8 };

struct http_read {
	struct http_conn *conn;              /* NULL: the asker has gone */
	struct registry *registry;           /* a reference: the module stays loaded */
	const struct module_slot *slot;
	sterna_http_rows_fn *fn;
};

static void on_gone(void *arg, struct http_conn *c)
{
	struct http_read *read = arg;

	(void)c;
	read->conn = NULL;
}

static void on_rows(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct http_read *read = arg;
	struct http_conn *c = read->conn;

	if (c != NULL) {
		http_conn_resumed(c);
		read->fn(read->slot->mod, &c->request, rc, rows);
		http_conn_answered(c, read->slot->m->name);
	}
	registry_unref(&read->registry);
	free(read);
}

void sterna_http_read(struct sterna_mod *m, struct sterna_http_request *r, sterna_http_rows_fn *fn,
	const struct db_stmt *stmt, ...)
{
	struct db_value values[VALUES_MAX] = { { 0 } };
	struct worker *w = r->conn != NULL ? r->conn->worker : NULL;
	struct http_read *read;
	va_list ap;

	if (w == NULL || w->db == NULL) {
		fn(m, r, STERNA_EUNAVAILABLE, NULL);
		return;
	}
	va_start(ap, stmt);
	for (size_t i = 0; i < VALUES_MAX && stmt->params[i] != '\0'; i++)
		values[i] = stmt->params[i] == 'i' ? DB_INT(va_arg(ap, int64_t)) : db_text(va_arg(ap, const char *));
	va_end(ap);
	read = xalloc(sizeof *read);
	*read = (struct http_read){ r->conn, registry_ref(w->registry), m->slot, fn };
	r->later = true;
	http_conn_wait(r->conn, on_gone, read);
	db_read(w->db, stmt, values, on_rows, read);
}

/* --- files that are not wanted any more --- */

struct removal {
	struct work work;
	char *path;
};

static void on_remove(struct work *w)
{
	const struct removal *r = (const struct removal *)w;

	if (unlink(r->path) != 0 && errno != ENOENT)
		log_error("http", "a file cannot be removed", "path", r->path, "error", strerrordesc_np(errno));
}

static void on_removed(struct work *w)
{
	struct removal *r = (struct removal *)w;

	free(r->path);
	free(r);
}

void sterna_remove_file(struct sterna_mod *m, const char *path)
{
	struct removal *r = xalloc(sizeof *r);

	r->path = xstrdup(path);
	work_init(&r->work, m->server->workers[0]->loop, on_remove, on_removed);
	if (work_submit(m->server->pool, &r->work) == STERNA_OK)
		return;
	on_remove(&r->work); /* too much waits for helpers: better a moment here than a file that stays */
	on_removed(&r->work);
}

enum sterna_result sterna_remove_object(const struct sterna_bucket *b, const char *key)
{
	struct s3_request s;
	unsigned status = 0;

	s3_sign(b, "DELETE", key, "", false, (int64_t)time(NULL), &s);
	const char *headers[] = { s.headers[0], s.headers[1], s.headers[2], s.headers[3], NULL };
	const struct fetch_request r = { .method = "DELETE", .url = s.url, .headers = headers,
		.connect_us = (uint64_t)b->connect_time.us, .stall_us = (uint64_t)b->stall_time.us, .authorities = b->authorities };
	const enum sterna_result rc = fetch_now(&r, &status);

	s3_request_clear(&s);
	if (rc == STERNA_OK && (status / 100 == 2 || status == 404))
		return STERNA_OK;
	log_error("http", "an object cannot be removed; it will be tried again", "key", key, "result", sterna_result_text(rc),
		"status", LOG_UINT(status));
	return STERNA_EUNAVAILABLE;
}

/* --- old days --- */

struct purge {
	struct work work;
	char *folder;
	long before;                         /* 20261126 */
};

static void remove_day(const char *day)
{
	DIR *d = opendir(day);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		char *file = xasprintf("%s/%s", day, e->d_name);

		unlink(file);
		free(file);
	}
	if (d != NULL)
		closedir(d);
	rmdir(day);
}

static void on_purge(struct work *w)
{
	const struct purge *p = (const struct purge *)w;
	DIR *d = opendir(p->folder);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strlen(e->d_name) != 8 || strspn(e->d_name, "0123456789") != 8 || strtol(e->d_name, NULL, 10) >= p->before)
			continue;
		char *day = xasprintf("%s/%s", p->folder, e->d_name);

		remove_day(day);
		free(day);
	}
	if (d != NULL)
		closedir(d);
}

static void on_purged(struct work *w)
{
	struct purge *p = (struct purge *)w;

	free(p->folder);
	free(p);
}

void sterna_purge_days(struct sterna_mod *m, const char *folder, int64_t before)
{
	struct purge *p = xalloc(sizeof *p);
	const time_t t = (time_t)before;
	struct tm day;

	gmtime_r(&t, &day);
	p->folder = xstrdup(folder);
	p->before = (day.tm_year + 1900) * 10000L + (day.tm_mon + 1) * 100 + day.tm_mday;
	work_init(&p->work, m->server->workers[0]->loop, on_purge, on_purged);
	if (work_submit(m->server->pool, &p->work) != STERNA_OK)
		on_purged(&p->work); /* another time */
}
