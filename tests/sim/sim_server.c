/* sim_server.c - a server's life in the simulation. */
#include "tests/sim/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/registry.h"

static void open_db(struct sim *s)
{
	const struct db_options o = { .driver = "simulation", .path = s->store_name, .sql_dir = TEST_SQL_DIR, .arg = s };

	if (db_open_with(&sim_db_driver, &o, &s->db) != STERNA_OK)
		abort();
}

void sim_init(struct sim *s, uint64_t seed, const char *config, unsigned workers)
{
	struct config_error err;

	s->rng = seed * 0x2545f4914f6cdd1du + 1;
	s->now_us = 1000000;
	s->wall_us = 1600000000000000;
	s->worker_count = workers;
	snprintf(s->store_name, sizeof s->store_name, "file:sim%p?mode=memory&cache=shared", (void *)s);
	if (config_load_text(config, strlen(config), "simulation", "/", &s->config, &err) != STERNA_OK) {
		char text[512];

		fprintf(stderr, "%s\n", config_error_text(&err, text, sizeof text));
		abort();
	}
	/* A connection of our own keeps the database in memory alive between servers. */
	if (sqlite3_open_v2(s->store_name, &s->store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL)
		!= SQLITE_OK)
		abort();
	open_db(s);
	if (db_migrate(s->db, NULL, NULL) != STERNA_OK)
		abort();
	db_close(&s->db);
}

void sim_add_account(struct sim *s, const char *jid)
{
	char *sql = sqlite3_mprintf("INSERT OR IGNORE INTO account (jid, created, state) VALUES (%Q, 0, 0)", jid);

	if (sqlite3_exec(s->store, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
	sqlite3_free(sql);
}

void sim_start(struct sim *s)
{
	struct server_parts parts = { .config = s->config, .loops = s->loops, .worker_count = s->worker_count };

	s->now_us += 2000; /* a start takes time: ids have milliseconds in them */
	s->db_dead = s->db_down = s->db_full = false;
	open_db(s);
	s->pool = work_pool_new_inline();
	for (unsigned i = 0; i < s->worker_count; i++)
		s->loops[i] = sim_loop_new(s);
	parts.db = s->db;
	parts.pool = s->pool;
	if (server_new(&parts, &s->server) != STERNA_OK)
		abort();
	for (size_t i = 0; s->modules != NULL && s->modules[i] != NULL; i++)
		if (module_load_static(s->server, s->modules[i]) != STERNA_OK)
			abort();
	s->server->ways = s->ways;
	for (unsigned i = 0; i < s->worker_count; i++)
		worker_start(s->server->workers[i]);
	s->server->running = true;
}

static void end_server(struct sim *s)
{
	server_free(&s->server); /* with its loops */
	memset(s->loops, 0, sizeof s->loops);
	work_pool_free(&s->pool);
	db_close(&s->db);
}

void sim_kill(struct sim *s)
{
	s->db_dead = true;
	for (struct sim_conn *c = s->conns; c != NULL; c = c->next)
		c->killed = !c->server_gone;
	end_server(s);
}

void sim_stop(struct sim *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		sim_loop_begin(s->loops[i]);
		worker_stop(s->server->workers[i]);
	}
	end_server(s);
}

void sim_clear(struct sim *s)
{
	if (s->server != NULL)
		sim_stop(s);
	sqlite3_close(s->store);
	config_unref(&s->config);
}

void sim_settle(struct sim *s)
{
	for (bool any = true; any;) {
		any = false;
		for (unsigned i = 0; i < s->worker_count; i++) {
			any |= sim_loop_turn(s->loops[i]);
			while (sim_db_step(s, i))
				any = true;
		}
		for (struct sim_conn *c = s->conns; c != NULL; c = c->next) {
			struct loop *l = c->t.loop;

			if (!sim_conn_is_ready(c))
				continue;
			any = true;
			sim_loop_begin(l);
			sim_conn_input(c, SIZE_MAX);
			sim_loop_end(l);
			break; /* it may be gone, and the list another */
		}
	}
}
