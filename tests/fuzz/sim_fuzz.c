#include "tests/fuzz/sim_fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include "server/log.h"

enum { NEVER = 200000 };

extern const struct sterna_module sterna_module_last, sterna_module_disco, sterna_module_private, sterna_module_vcard,
	sterna_module_version, sterna_module_caps, sterna_module_contact, sterna_module_offline, sterna_module_blocking,
	sterna_module_ping, sterna_module_time, sterna_module_carbons, sterna_module_mam, sterna_module_hints,
	sterna_module_csi, sterna_module_stanza_id, sterna_module_pep;

static const struct sterna_module *const modules[] = { &sterna_module_disco, &sterna_module_caps, &sterna_module_hints,
	&sterna_module_mam, &sterna_module_stanza_id, &sterna_module_carbons, &sterna_module_offline,
	&sterna_module_blocking, &sterna_module_csi, &sterna_module_last, &sterna_module_private, &sterna_module_vcard,
	&sterna_module_version, &sterna_module_contact, &sterna_module_ping, &sterna_module_time, &sterna_module_pep, NULL };

static const char config[] =
	"hosts: { sim.example: {} }\n"
	"limits: { sm_resume_time: 60s, sm_queue_count: 50 }\n";

static void no_log(void *arg, const char *line, size_t len)
{
	(void)arg, (void)line, (void)len;
}

/* Rows go, tables stay. */
static void empty(struct sim *s)
{
	sqlite3_stmt *names = NULL;
	struct buf sql = BUF_INIT;

	if (sqlite3_prepare_v2(s->store, "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'schema_version'", -1,
		&names, NULL) != SQLITE_OK)
		abort();
	while (sqlite3_step(names) == SQLITE_ROW)
		buf_addf(&sql, "DELETE FROM \"%s\";", (const char *)sqlite3_column_text(names, 0));
	sqlite3_finalize(names);
	if (sqlite3_exec(s->store, buf_str(&sql), NULL, NULL, NULL) != SQLITE_OK)
		abort();
	buf_release(&sql);
}

struct sim *sim_fuzz_begin(void)
{
	static struct sim s;

	if (s.store == NULL) {
		log_set_sink(no_log, NULL);
		sim_init(&s, 1, config, 2);
		s.modules = modules;
	} else {
		empty(&s);
	}
	s.rng = 1;
	s.now_us = 1000000;
	sim_add_account(&s, "u0@sim.example");
	sim_add_account(&s, "u1@sim.example");
	return &s;
}

static bool read_one(struct sim *s, size_t max)
{
	for (struct sim_conn *c = s->conns; c != NULL; c = c->next) {
		struct loop *l = c->t.loop;

		if (!sim_conn_is_ready(c))
			continue;
		sim_loop_begin(l);
		sim_conn_input(c, max == SIZE_MAX ? max : 1 + sim_below(s, (unsigned)max));
		sim_loop_end(l);
		return true; /* it may be gone, and the list another */
	}
	return false;
}

void sim_fuzz_settle(struct sim *s, size_t max)
{
	bool any = true;

	for (unsigned turns = 0; any; turns++) {
		if (turns == NEVER) {
			fprintf(stderr, "it does not come to rest\n");
			abort();
		}
		any = false;
		for (unsigned i = 0; i < s->worker_count; i++) {
			any |= sim_loop_turn(s->loops[i]);
			while (sim_db_step(s, i))
				any = true;
		}
		any |= read_one(s, max);
	}
}

void sim_fuzz_end(struct sim *s)
{
	if (s->server != NULL) {
		sim_db_set_down(s, false);
		sim_fuzz_settle(s, SIZE_MAX);
		sim_stop(s);
	}
	while (s->conns != NULL) {
		struct sim_conn *c = s->conns;

		if (!c->server_gone)
			abort(); /* the server has stopped and holds a connection */
		sim_conn_let_go(&c);
	}
}
