/* sim.c - scenarios from seeds: clients that talk, connections that break, a database that goes away, a server
 * that is killed; and at the end everything promised must have come true.
 *
 *     sim [--seeds N] [--seed S] [--steps N] [--verbose] [--waits]
 *
 * --waits adds a module whose hooks wait for reads (in even seeds). A seed that fails is printed; --seed repeats it exactly, --verbose says what happened. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sim/sim_client.h"

extern const struct sterna_module sterna_module_mam, sterna_module_stanza_id, sterna_module_hints, sterna_module_carbons,
	sterna_module_sim_wait;

static const struct sterna_module *const with_archive[] = { &sterna_module_hints, &sterna_module_mam,
	&sterna_module_stanza_id, &sterna_module_carbons, NULL };
static const struct sterna_module *const with_waits[] = { &sterna_module_hints, &sterna_module_mam,
	&sterna_module_stanza_id, &sterna_module_carbons, &sterna_module_sim_wait, NULL };
static const struct sterna_module *const without[] = { NULL };

static const char config[] =
	"hosts: { sim.example: {} }\n"
	"limits: { sm_resume_time: 60s }\n";

enum { QUIET_STEPS = 60000 };

/* --- steps --- */

static bool step_worker(struct sim_world *w, unsigned n)
{
	struct sim *s = &w->sim;
	struct loop *l = s->loops[n];
	unsigned ready = 0;
	bool any;

	sim_loop_begin(l);
	any = sim_chance(s, 70) ? loop_run_mail(l) : false;
	for (struct sim_conn *c = s->conns; c != NULL; c = c->next)
		if (!c->server_gone && !c->detached && c->t.loop == l && sim_conn_is_ready(c))
			ready++;
	if (ready > 0) {
		unsigned at = sim_below(s, ready);

		for (struct sim_conn *c = s->conns; c != NULL; c = c->next) {
			if (c->server_gone || c->detached || c->t.loop != l || !sim_conn_is_ready(c) || at-- > 0)
				continue;
			sim_conn_input(c, 1 + sim_below(s, sim_chance(s, 50) ? 1000 : 40));
			any = true;
			break;
		}
	}
	return sim_loop_end(l) || any;
}

static void step_faults(struct sim_world *w)
{
	struct sim *s = &w->sim;
	struct sim_client *c = &w->clients[sim_below(s, w->client_count)];

	switch (sim_below(s, 12)) {
	case 0: case 1: case 2:
		client_cut(c, sim_chance(s, 70) ? 0 : sim_below(s, 90) * 1000000u, sim_chance(s, 70));
		break;
	case 3:
		client_close(c);
		break;
	case 4: case 5:
		if (s->server != NULL)
			sim_db_set_down(s, true);
		break;
	case 6:
		if (s->server != NULL) {
			world_say(w, "the server is killed");
			w->kills++;
			sim_kill(s);
		}
		break;
	case 7:
		if (s->server != NULL && sim_chance(s, 30)) {
			world_say(w, "the server stops");
			sim_stop(s);
		}
		break;
	case 8:
		s->now_us += sim_below(s, 70) * 1000000u;
		break;
	default:
		s->now_us += sim_below(s, 3000000);
	}
}

static void step_client(struct sim_world *w)
{
	struct sim *s = &w->sim;
	struct sim_client *c = &w->clients[sim_below(s, w->client_count)];

	if (c->state == CLIENT_OFF) {
		if (sim_chance(s, 40))
			client_connect(c, w->quiet || sim_chance(s, 80));
		return;
	}
	switch (sim_below(s, 10)) {
	case 0:
		if (!w->quiet || c->told != c->h_in)
			client_ack(c);
		break;
	case 1: case 2:
		if (!w->quiet || c->queued > 0)
			client_ask(c);
		break;
	case 3:
		if (!w->quiet)
			client_send_item(c, ITEM_PRESENCE - (int)sim_below(s, 3));
		break;
	default:
		if (!w->quiet)
			client_send_message(c, sim_below(s, w->client_count));
	}
}

static void step(struct sim_world *w)
{
	struct sim *s = &w->sim;
	const unsigned what = sim_below(s, 1000);

	if (s->server == NULL) {
		if (sim_chance(s, 30)) {
			world_say(w, "the server starts");
			sim_start(s);
		}
	} else if (what < 450) {
		step_worker(w, sim_below(s, s->worker_count));
	} else if (what < 600) {
		sim_db_step(s, sim_below(s, s->worker_count));
		if (s->db_down && (w->quiet || sim_chance(s, 5)))
			sim_db_set_down(s, false);
	}
	if (what >= 600 && what < 850)
		client_read(&w->clients[sim_below(s, w->client_count)], 1 + sim_below(s, 600));
	else if (what >= 850 && what < 970)
		step_client(w);
	else if (what >= 970 && what < 990)
		s->now_us += sim_below(s, 20000);
	else if (what >= 990 && !w->quiet && sim_chance(s, 70))
		step_faults(w);
}

/* --- the end of it --- */

static const char *unrest(struct sim_world *w)
{
	const struct sim *s = &w->sim;

	if (s->server == NULL || !sim_db_is_idle(s))
		return "the database";
	for (unsigned i = 0; i < s->worker_count; i++)
		if (loop_mail_depth(s->loops[i]) > 0)
			return "mail";
	for (const struct sim_conn *c = s->conns; c != NULL; c = c->next)
		if (sim_conn_is_ready(c) || buf_len(&c->t.out) > 0)
			return "a connection";
	for (unsigned i = 0; i < w->client_count; i++)
		if (!client_is_settled(&w->clients[i]))
			return w->clients[i].state == CLIENT_ON ? "a client with unacknowledged stanzas" : "a client not logged in";
	return NULL;
}

/* Everyone comes back, everything is asked for; and it lasts. */
static void run_to_the_end(struct sim_world *w)
{
	struct sim *s = &w->sim;
	const char *why = NULL;
	unsigned calm = 0;

	w->quiet = true;
	if (s->server != NULL)
		sim_db_set_down(s, false);
	for (unsigned i = 0; i < QUIET_STEPS && calm < 400 && w->fault[0] == '\0'; i++) {
		step(w);
		if (i % 50 == 0)
			s->now_us += 200000;
		const char *now = unrest(w);

		calm = now == NULL ? calm + 1 : 0;
		why = now != NULL ? now : why;
	}
	if (calm < 400)
		world_fault(w, "it does not come to rest: %s", why);
}

static void check_ledger(struct sim_world *w)
{
	for (unsigned i = 0; i < w->message_count; i++) {
		const struct sim_message *m = &w->messages[i];

		if (m->got == 0 && !m->refused)
			world_fault(w, "message %u from client %u to client %u was %s, and never came", i, m->from, m->to,
				m->acked ? "acknowledged" : "sent");
	}
}

static bool run(uint64_t seed, unsigned steps, bool verbose, bool waits)
{
	struct sim_world *w = xalloc(sizeof *w);
	struct sim *s = &w->sim;

	w->verbose = verbose;
	sim_init(s, seed, config, 1 + (unsigned)(seed % 3));
	w->stanza_ids = seed % 2 == 0;
	s->modules = !w->stanza_ids ? without : waits ? with_waits : with_archive;
	w->client_count = 3 + sim_below(s, 4);
	for (unsigned i = 0; i < w->client_count; i++) {
		char account[40];

		snprintf(account, sizeof account, "u%u@sim.example", i);
		client_init(w, i, account);
	}
	sim_start(s);
	for (unsigned i = 0; i < steps && w->fault[0] == '\0'; i++)
		step(w);
	run_to_the_end(w);
	if (w->fault[0] == '\0')
		check_ledger(w);
	const bool ok = w->fault[0] == '\0';

	if (!ok)
		printf("seed %llu: %s\n", (unsigned long long)seed, w->fault);
	else if (verbose)
		printf("%u messages, %u sessions, %u resumed, %u kills\n", w->message_count, w->bound, w->resumed, w->kills);
	for (unsigned i = 0; i < w->client_count; i++)
		client_clear(&w->clients[i]);
	sim_clear(s);
	free(w);
	return ok;
}

static void no_log(void *arg, const char *line, size_t len)
{
	if (*(bool *)arg)
		fwrite(line, 1, len, stdout);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seeds", 1, NULL, 'n' }, { "seed", 1, NULL, 's' }, { "steps", 1, NULL, 't' },
		{ "verbose", 0, NULL, 'v' },
		{ "waits", 0, NULL, 'w' }, { 0 } };
	unsigned long first = 1, count = 200, passed = 0, failed = 0;
	unsigned steps = 6000;
	bool verbose = false, waits = false;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'n':
			count = strtoul(optarg, NULL, 10);
			break;
		case 's':
			first = strtoul(optarg, NULL, 10);
			count = 1;
			break;
		case 't':
			steps = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			waits = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			fprintf(stderr, "usage: sim [--seeds N] [--seed S] [--steps N] [--verbose] [--waits]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_sink(no_log, &verbose);
	for (unsigned long i = 0; i < count; i++) {
		if (run(first + i, steps, verbose, waits))
			passed++;
		else
			failed++;
	}
	printf("%lu passed, %lu failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}
