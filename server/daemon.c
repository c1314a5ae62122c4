/* daemon.c - putting a server together, and reloading its configuration. */
#include "server/daemon.h"
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/approval.h"
#include "server/memory.h"
#include "server/audit.h"
#include "server/modules.h"
#include "server/net.h"
#include "server/registry.h"
#include "server/retire.h"
#include "server/work.h"

enum { EXIT_CONFIG = 78, EXIT_UNAVAILABLE = 69, EXIT_TEMPORARY = 75, WORK_DEPTH = 1000 };

static int config_mistake(const struct config_error *err)
{
	char text[1024];

	fprintf(stderr, "sternad: %s\n", config_error_text(err, text, sizeof text));
	return EXIT_CONFIG;
}

static enum sterna_result open_storage(const struct config_storage *c, struct db **out)
{
	const char *sql = getenv("STERNA_SQL_DIR");

	return db_open(&(struct db_options){
		.driver = c->driver == CONFIG_SQLITE ? "sqlite" : "postgresql", .path = c->path, .conninfo = c->conninfo,
		.password = c->password, .sync = c->sync, .connections = c->connections,
		.queue_bytes = c->queue.bytes, .read_wait_ms = (unsigned)(c->read_wait.us / 1000),
		.answer_wait_ms = (unsigned)(c->answer_wait.us / 1000),
		.sql_dir = sql != NULL ? sql : c->sql_dir }, out);
}

static unsigned worker_count(const struct config *c)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->server.workers > 0)
		return c->server.workers > 64 ? 64 : c->server.workers;
	return n > 0 && n <= 64 ? (unsigned)n : 1;
}

static enum sterna_result make_server(struct daemon *d)
{
	struct loop *loops[64];
	struct server_parts parts = { .config = d->config, .db = d->db, .pool = d->pool, .loops = loops,
		.worker_count = worker_count(d->config) };

	for (unsigned i = 0; i < parts.worker_count; i++)
		if (loop_new(&loops[i]) != STERNA_OK) {
			log_error("server", "the system gives no event loop");
			while (i-- > 0)
				loop_free(&loops[i]);
			return STERNA_EIO;
		}
	const enum sterna_result rc = server_new(&parts, &d->server);

	if (rc == STERNA_OK)
		d->server->home = d->loop;
	return rc;
}

static int storage_code(const struct config_storage *c, enum sterna_result rc)
{
	switch (rc) {
	case STERNA_OK:
		return 0;
	case STERNA_ELIMIT:
		fputs("sternad: the database's schema is from a newer version of Sterna; this one leaves it alone\n", stderr);
		return EXIT_CONFIG;
	case STERNA_EINVAL:
		fputs("sternad: the database cannot be opened as it is configured; see the log\n", stderr);
		return EXIT_CONFIG;
	case STERNA_EUNAVAILABLE:
		fprintf(stderr, "sternad: the database cannot be %s; see the log\n", c->driver == CONFIG_SQLITE ? "read or written now" : "reached");
		return EXIT_UNAVAILABLE;
	default:
		fputs("sternad: the database cannot be used; see the log\n", stderr);
		return EXIT_TEMPORARY;
	}
}

bool daemon_find_user(const struct config_server *c, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = getpwnam(c->user);
	const struct group *gr = c->group != NULL ? getgrnam(c->group) : NULL;

	if (pw == NULL || (c->group != NULL && gr == NULL)) {
		fprintf(stderr, "sternad: %s: there is no %s '%s'\n", pw == NULL ? "server.user" : "server.group",
			pw == NULL ? "user" : "group", pw == NULL ? c->user : c->group);
		return false;
	}
	*uid = pw->pw_uid;
	*gid = gr != NULL ? gr->gr_gid : pw->pw_gid;
	return true;
}

/* What can be seen to be wrong before anything is written. */
static bool is_sound(const struct config *c)
{
	uid_t uid;
	gid_t gid;

	if (c->server.user != NULL && geteuid() == 0 && !daemon_find_user(&c->server, &uid, &gid))
		return false;
	return net_check_tls(c) == STERNA_OK;
}

/* Two would end each other's connections, and take each other's sessions for their own. */
static bool is_alone(struct db *db)
{
	char who[64] = "";
	const enum sterna_result rc = db_is_alone(db, who, sizeof who);

	if (rc == STERNA_EEXISTS)
		log_error("server", "another sternad works on this database. One database is for one server: stop the other one, or "
			"name a database of its own in storage.conninfo", "it_connects_from", who);
	else if (rc != STERNA_OK)
		log_error("server", "it cannot be known whether another server works on this database", "result", sterna_result_text(rc));
	return rc == STERNA_OK;
}

int daemon_open(const char *path, struct daemon *d)
{
	struct config_error err = { 0 };
	enum sterna_result rc;
	int from = 0, to = 0;

	d->config_path = xstrdup(path);
	if (config_load(path, &d->config, &err) != STERNA_OK)
		return config_mistake(&err);
	d->first = config_ref(d->config);
	if (config_apply_log(&d->config->log) != STERNA_OK) {
		fprintf(stderr, "sternad: cannot open the log %s\n", d->config->log.file);
		return EXIT_CONFIG;
	}
	if (modules_check(NULL, d->config, &err) != STERNA_OK)
		return config_mistake(&err);
	if (!is_sound(d->config))
		return EXIT_CONFIG;
	rc = open_storage(&d->config->storage, &d->db);
	if (rc == STERNA_OK)
		rc = db_migrate(d->db, &from, &to);
	if (rc != STERNA_OK)
		return storage_code(&d->config->storage, rc);
	if (!is_alone(d->db))
		return EXIT_TEMPORARY;
	if (from != to)
		log_notice("server", "the database's schema was brought up to date", "from", LOG_INT(from), "to", LOG_INT(to));
	if (loop_new(&d->loop) != STERNA_OK || work_pool_new(2, WORK_DEPTH, &d->pool) != STERNA_OK)
		return EXIT_TEMPORARY;
	if (db_maintain(d->db, loop_wall_us(d->loop) / 1000) != STERNA_OK)
		return storage_code(&d->config->storage, STERNA_EIO);
	rc = make_server(d);
	if (rc == STERNA_OK) {
		d->server->memory_limit = memory_limit();
		rc = modules_load(d->server);
	}
	if (rc == STERNA_OK)
		rc = net_open(d->server, &d->net);
	return rc == STERNA_OK ? 0 : rc == STERNA_EINVAL || rc == STERNA_ENOTFOUND ? EXIT_CONFIG : EXIT_TEMPORARY;
}

void daemon_close(struct daemon *d)
{
	/* Helpers first: what they are done with goes home to loops that are still there. */
	if (d->pool != NULL)
		work_pool_free(&d->pool);
	if (d->server != NULL)
		server_free(&d->server);
	net_free(&d->net);
	if (d->db != NULL)
		db_close(&d->db);
	loop_free(&d->loop);
	config_unref(&d->config);
	config_unref(&d->first);
	free(d->config_path);
	log_close();
}

void daemon_say_ready(const struct daemon *d)
{
	for (size_t i = 0; i < d->config->listen.count; i++) {
		const struct config_listen *l = &config_listens(d->config)[i];
		static const char *const kinds[] = { "c2s", "s2s", "http", "component" };

		log_notice("server", "listens", "kind", kinds[l->kind & 3], "address", l->address, "port", LOG_UINT(l->port));
	}
	log_notice("server", "ready", "version", PACKAGE_VERSION, "workers", LOG_UINT(d->server->worker_count));
}

/* --- the end --- */

static void on_end(struct timer *t, void *arg)
{
	const struct daemon *d = arg;

	log_notice("server", d->restart ? "restarts" : "ends", "by", "a command");
	loop_stop(t->loop);
}

void daemon_end(struct daemon *d, unsigned after_s, bool restart)
{
	d->restart = restart;
	timer_cancel(&d->end);
	timer_init(&d->end, d->loop, on_end, d);
	timer_set(&d->end, (uint64_t)after_s * 1000000);
}

/* --- maintenance --- */

struct maintenance {
	struct work work;
	struct db *db;
	int64_t now_ms;
	enum sterna_result rc;
};

static void maintain_run(struct work *w)
{
	struct maintenance *m = (struct maintenance *)w;

	m->rc = db_maintain(m->db, m->now_ms);
}

static void maintain_done(struct work *w)
{
	struct maintenance *m = (struct maintenance *)w;

	if (m->rc != STERNA_OK)
		log_error("db", "daily maintenance failed; it is tried again tomorrow", "result", sterna_result_text(m->rc));
	free(m);
}

void daemon_maintain(struct daemon *d)
{
	struct maintenance *m = xalloc(sizeof *m);

	work_init(&m->work, d->loop, maintain_run, maintain_done);
	m->db = d->db;
	m->now_ms = loop_wall_us(d->loop) / 1000;
	if (work_submit(d->pool, &m->work) != STERNA_OK) {
		log_error("db", "daily maintenance could not begin");
		free(m);
	}
}

/* --- reload --- */

struct changes {
	struct buf *said;
	size_t count;
	bool tls, modules;
	char fixed[256];             /* the first that needs a restart */
};

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* What live connections, sockets and storage hang on cannot change under them. */
static void on_change(void *arg, const char *path)
{
	struct changes *c = arg;
	static const char *const applied[] = { "admins", "limits", "log", "auth", "modules", "tls", "s2s", "routes", "http", "api", "approval", "console" };
	bool ok = false;

	c->count++;
	for (size_t i = 0; i < sizeof applied / sizeof *applied; i++)
		ok |= starts(path, applied[i]);
	if (strcmp(path, "s2s.enabled") == 0 || starts(path, "http.proxies"))
		ok = false; /* listeners hang on it */
	if (starts(path, "hosts.") && (strstr(path, ".certificate") != NULL || strstr(path, ".key") != NULL))
		ok = true;
	c->modules |= starts(path, "modules");
	if (!ok && c->fixed[0] == '\0')
		snprintf(c->fixed, sizeof c->fixed, "%s", path);
	buf_addf(c->said, "%s%s", buf_len(c->said) > 0 ? ", " : "", path);
}

static enum sterna_result refuse(struct buf *said, const char *why, const char *what)
{
	buf_release(said);
	buf_addf(said, "%s%s%s", why, what != NULL ? ": " : "", what != NULL ? what : "");
	return STERNA_EINVAL;
}

static void end_config(void *thing)
{
	struct config *c = thing;

	config_unref(&c);
}

static enum sterna_result reload(struct daemon *d, struct buf *said)
{
	struct config *fresh = NULL;
	struct config_error err = { 0 };
	struct changes c = { .said = said };
	char text[1024];

	if (config_load(d->config_path, &fresh, &err) != STERNA_OK)
		return refuse(said, config_error_text(&err, text, sizeof text), NULL);
	config_diff(d->config, fresh, on_change, &c);
	if (c.fixed[0] != '\0') {
		config_unref(&fresh);
		return refuse(said, "this needs a restart", c.fixed);
	}
	if (modules_check(d->server, fresh, &err) != STERNA_OK) {
		config_unref(&fresh);
		return refuse(said, config_error_text(&err, text, sizeof text), NULL);
	}
	/* Certificates are read anew in any case: files change under the same names. */
	if (net_check_tls(fresh) != STERNA_OK) {
		config_unref(&fresh);
		return refuse(said, "a certificate cannot be used; the log says which", NULL);
	}
	if (config_apply_log(&fresh->log) != STERNA_OK) {
		snprintf(text, sizeof text, "%.900s", fresh->log.file);
		config_unref(&fresh);
		return refuse(said, "the log cannot be opened", text);
	}
	if (net_reload_tls(d->net, fresh) != STERNA_OK) { /* a file has changed since the look at it */
		(void)!config_apply_log(&d->config->log);
		config_unref(&fresh);
		return refuse(said, "a certificate cannot be used; the log says which", NULL);
	}
	struct config *old = d->config;

	d->config = fresh;
	atomic_store(&d->server->config, fresh);
	server_retire(d->server, end_config, old);
	if (c.modules && modules_apply(d->server) != STERNA_OK)
		log_error("reload", "not all modules could be changed");
	approval_look(d->server, fresh);
	buf_puts(said, c.count > 0 ? "; certificates read anew" : "nothing changed; certificates read anew");
	log_notice("reload", "applied", "what", buf_str(said));
	return STERNA_OK;
}

enum sterna_result daemon_reload(struct daemon *d, struct buf *said)
{
	const enum sterna_result rc = reload(d, said);

	audit_post(d->server, NULL, "sterna.config.reloaded.v1", NULL, (const struct sterna_datum[]){
		STERNA_DATUM("outcome", rc == STERNA_OK ? "done" : "refused"),
		STERNA_DATUM(rc == STERNA_OK ? "applied" : "reason", buf_str(said)), { 0 } });
	return rc;
}
