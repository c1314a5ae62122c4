/* sim.c - scenarios from seeds: clients that talk, connections that break, a database that goes away, a server
 * that is killed; and at the end everything promised must have come true.
 *
 *     sim [--seed S] [--seeds N] [--steps N] [--jobs N] [--verbose] [--watch N] [--waits] [--flaky] [--cover] [--rooms]
 *         [--s2s]
 *
 * --seeds from --seed (1) on, in so many processes; --cover: which states and transitions were reached, with their counts.
 * --flaky: now and then the database refuses something, or does not say whether it was written.
 * --watch N says what storage has of message N and of its recipient's sessions, whenever that changes.
 * --rooms: clients are in rooms, too (sim_room.h), and share nodes (sim_node.h), in every seed.
 * --s2s: two or three servers, and their clients write to each other (sim_net.h).
 * --waits adds a module whose hooks wait for reads (in even seeds). A seed that fails is printed; --seed repeats it exactly, --verbose says what happened. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/sim/sim_client.h"

extern const struct sterna_module sterna_module_mam, sterna_module_stanza_id, sterna_module_hints, sterna_module_carbons,
	sterna_module_disco, sterna_module_caps, sterna_module_pep, sterna_module_sim_wait, sterna_module_muc, sterna_module_pubsub;

static const struct sterna_module *const with_archive[] = { &sterna_module_hints, &sterna_module_mam,
	&sterna_module_stanza_id, &sterna_module_carbons, &sterna_module_disco, &sterna_module_caps, &sterna_module_pep, NULL };
static const struct sterna_module *const with_waits[] = { &sterna_module_hints, &sterna_module_mam,
	&sterna_module_stanza_id, &sterna_module_carbons, &sterna_module_disco, &sterna_module_caps, &sterna_module_pep,
	&sterna_module_sim_wait, NULL };
static const struct sterna_module *const with_rooms[] = { &sterna_module_hints, &sterna_module_mam,
	&sterna_module_stanza_id, &sterna_module_disco, &sterna_module_muc, &sterna_module_pubsub, NULL };
static const struct sterna_module *const without[] = { NULL };

static const char config[] =
	"hosts: { sim.example: {} }\n"
	"limits: { sm_resume_time: 60s }\n"
	"modules: { muc: { persistent: true } }\n";
/* Nothing goes back to its sender for the time that it waits, who may not be there to hear of it. */
static const char s2s_config[] =
	"hosts: { %s: {} }\n"
	"limits: { sm_resume_time: 60s }\n"
	"s2s: { queue_time: 7d, trust: dialback }\n";

enum { QUIET_STEPS = 60000, JOBS_MAX = 64 };

struct plan {
	unsigned long first, count;
	unsigned steps, jobs;
	int watched;
	bool verbose, waits, flaky, cover, rooms, s2s;
};

/* --- what is watched --- */

static void add_row(struct buf *now, sqlite3_stmt *q)
{
	for (int i = 0; i < sqlite3_column_count(q); i++)
		buf_addf(now, "%s%s=%s", i == 0 ? "\n\t" : " ", sqlite3_column_name(q, i), (const char *)sqlite3_column_text(q, i));
}

static void watch(struct sim_world *w)
{
	static const char *const looks[] = {
		"SELECT owner, id, flags, sm FROM archive WHERE origin_id = $1",
		"SELECT owner, sid, position, acked_out, h_in, expires FROM sm_session WHERE owner = $2",
		"SELECT remote, local, id AS waits FROM s2s_queue WHERE archive_id IN (SELECT id FROM archive WHERE origin_id = $1)" };
	enum { LOOKS = sizeof looks / sizeof looks[0] };
	struct buf now = BUF_INIT;
	char origin[20];

	if ((unsigned)w->watched >= w->message_count)
		return;
	snprintf(origin, sizeof origin, "o%d", w->watched);
	for (unsigned i = 0; i < LOOKS * world_servers(w); i++) {
		const char *look = looks[i % LOOKS];
		sqlite3_stmt *q = NULL;

		if (sqlite3_prepare_v2(world_server(w, i / LOOKS)->store, look, -1, &q, NULL) != SQLITE_OK)
			break; /* a server that is starting has it */
		sqlite3_bind_text(q, 1, strstr(look, "$1") != NULL ? origin : NULL, -1, SQLITE_STATIC);
		sqlite3_bind_text(q, 2, w->clients[w->messages[w->watched].to].account, -1, SQLITE_STATIC);
		while (sqlite3_step(q) == SQLITE_ROW)
			add_row(&now, q);
		sqlite3_finalize(q);
	}
	if (strcmp(buf_str(&now), w->seen) != 0) {
		world_say(w, "message %d is stored so:%s", w->watched, buf_str(&now));
		snprintf(w->seen, sizeof w->seen, "%s", buf_str(&now));
	}
	buf_release(&now);
}

/* --- steps --- */

static bool step_worker(struct sim *s, unsigned n)
{
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

static unsigned server_index(struct sim_world *w, const struct sim *s)
{
	return s == &w->sim ? 0 : (unsigned)(s - w->net.others) + 1;
}

static struct sim *any_server(struct sim_world *w)
{
	return world_server(w, w->net.other_count > 0 ? sim_below(&w->sim, world_servers(w)) : 0);
}

static void end_server(struct sim_world *w, struct sim *s, bool kill)
{
	world_say(w, "server %u %s", server_index(w, s), kill ? "is killed" : "stops");
	if (kill)
		sim_kill(s);
	else
		sim_stop(s);
	world_ended(w, s);
}

static void step_faults(struct sim_world *w)
{
	struct sim *s = any_server(w);
	struct sim_client *c = &w->clients[sim_below(&w->sim, w->client_count)];

	switch (sim_below(&w->sim, w->net.other_count > 0 ? 18 : 14)) {
	case 0: case 1: case 2:
		client_cut(c, sim_chance(&w->sim, 70) ? 0 : sim_below(&w->sim, 90) * 1000000u, sim_chance(&w->sim, 70));
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
			w->kills++;
			end_server(w, s, true);
		}
		break;
	case 7:
		if (s->server != NULL && sim_chance(&w->sim, 30)) {
			w->stops++;
			end_server(w, s, false);
		}
		break;
	case 12:
		if (s->server != NULL)
			sim_db_set_full(s, true);
		break;
	case 13: { /* the clock is set: an hour or a day, forward or back */
		static const int64_t jumps[] = { 3600, -3600, 86400, -86400, 1, -1 };

		s->wall_us += jumps[sim_below(&w->sim, 6)] * INT64_C(1000000);
		break;
	}
	case 8:
		world_pass(w, sim_below(&w->sim, 70) * 1000000u);
		break;
	case 14: case 15: case 16: case 17:
		net_fault(w);
		break;
	default:
		world_pass(w, sim_below(&w->sim, 3000000));
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
	if (w->rooms && w->quiet && sim_chance(s, 30)) {
		sim_room_return(c);
		return;
	}
	if (w->rooms && !w->quiet && sim_chance(s, 50)) {
		if (sim_chance(s, 70))
			sim_room_act(c);
		else
			sim_node_act(c);
		return;
	}
	if (w->net.other_count > 0 && !w->quiet && sim_chance(s, 10)) {
		client_send_item(c, ITEM_FAR - (int)sim_below(s, w->client_count));
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
		if (w->quiet)
			break;
		if (sim_chance(s, 40))
			client_publish(c);
		else
			client_send_item(c, ITEM_PRESENCE - (int)sim_below(s, 3));
		break;
	default:
		if (!w->quiet)
			client_send_message(c, sim_below(s, w->client_count));
	}
}

/* While the database is away a message goes on unasked when it has waited for a while (origin.h). */
static void mark_unasked(struct sim_world *w)
{
	for (unsigned i = 0; i < w->client_count; i++) {
		const struct sim_client *c = &w->clients[i];

		if (c->home->server == NULL || !(c->home->db_down || c->home->db_full || c->home->db_flaky))
			continue;
		for (size_t n = 0; n < c->queued; n++)
			if (c->queue[n] >= 0)
				w->messages[c->queue[n]].unasked = true;
	}
}

static void step_server(struct sim_world *w, struct sim *s, unsigned what)
{
	if (s->server == NULL) {
		if (sim_chance(&w->sim, 30)) {
			world_say(w, "server %u starts", server_index(w, s));
			sim_start(s);
		}
	} else if (what < 450) {
		step_worker(s, sim_below(&w->sim, s->worker_count));
	} else if (what < 600) {
		sim_db_step(s, sim_below(&w->sim, s->worker_count));
		if (s->db_down && (w->quiet || sim_chance(&w->sim, 5)))
			sim_db_set_down(s, false);
		else if (s->db_full && (w->quiet || sim_chance(&w->sim, 5)))
			sim_db_set_full(s, false);
	}
}

static void step(struct sim_world *w)
{
	struct sim *s = &w->sim;
	const unsigned what = sim_below(s, 1000);

	step_server(w, any_server(w), what);
	if (w->net.other_count > 0)
		net_step(w);
	if (what >= 600 && what < 850)
		client_read(&w->clients[sim_below(s, w->client_count)], 1 + sim_below(s, 600));
	else if (what >= 850 && what < 970)
		step_client(w);
	else if (what >= 970 && what < 990)
		world_pass(w, sim_below(s, 20000));
	else if (what >= 990 && !w->quiet && sim_chance(s, 70))
		step_faults(w);
	mark_unasked(w);
	cover_step(w);
	if (w->watched >= 0)
		watch(w);
}

/* --- the end of it --- */

static const char *server_unrest(const struct sim *s)
{
	if (s->server == NULL || !sim_db_is_idle(s))
		return "the database";
	for (unsigned i = 0; i < s->worker_count; i++)
		if (loop_mail_depth(s->loops[i]) > 0)
			return "mail";
	for (const struct sim_conn *c = s->conns; c != NULL; c = c->next)
		if (sim_conn_is_ready(c) || buf_len(&c->t.out) > 0)
			return "a connection";
	return NULL;
}

static const char *unrest(struct sim_world *w)
{
	const char *why = NULL;

	for (unsigned n = 0; n < world_servers(w); n++)
		if ((why = server_unrest(world_server(w, n))) != NULL)
			return why;
	for (unsigned i = 0; i < w->client_count; i++)
		if (!client_is_settled(&w->clients[i]))
			return w->clients[i].state == CLIENT_ON ? "a client with unacknowledged stanzas" : "a client not logged in";
	for (unsigned i = 0; i < w->client_count; i++)
		if (w->rooms && !sim_room_is_settled(&w->clients[i]))
			return "a client that cannot enter a room";
	return net_unrest(w);
}

/* Everyone comes back, everything is asked for; and it lasts. */
static void run_to_the_end(struct sim_world *w)
{
	const unsigned steps = QUIET_STEPS * world_servers(w);
	const char *why = NULL;
	unsigned calm = 0;

	w->quiet = true;
	net_heal(w);
	for (unsigned n = 0; n < world_servers(w); n++) {
		struct sim *s = world_server(w, n);

		s->db_flaky = false;
		if (s->server != NULL) {
			sim_db_set_full(s, false);
			sim_db_set_down(s, false);
		}
	}
	for (unsigned i = 0; i < steps && calm < 400 && w->fault[0] == '\0'; i++) {
		step(w);
		if (i % 50 == 0)
			world_pass(w, 200000);
		const char *now = unrest(w);

		calm = now == NULL ? calm + 1 : 0;
		why = now != NULL ? now : why;
	}
	if (calm < 400)
		world_fault(w, "it does not come to rest: %s", why);
}

/* Servers and clients, as the plan and the seed want them. */
static void begin(struct sim_world *w, const struct plan *p, uint64_t seed)
{
	struct sim *s = &w->sim;

	w->verbose = p->verbose;
	w->watched = p->watched;
	w->rooms = p->rooms && !p->s2s;
	w->stanza_ids = w->rooms || p->s2s || seed % 2 == 0;
	w->flaky = p->flaky;
	if (p->s2s) {
		w->net.dialback = seed % 4 == 0;
		w->net.plain = seed % 8 == 3 || seed % 8 == 4;
		net_init(w, 2 + (unsigned)(seed % 2), seed, s2s_config);
	} else {
		sim_init(s, seed, config, 1 + (unsigned)(seed % 3));
	}
	for (unsigned n = 0; n < world_servers(w); n++) {
		world_server(w, n)->db_flaky = p->flaky;
		world_server(w, n)->modules = w->rooms ? with_rooms : !w->stanza_ids ? without : p->waits ? with_waits : with_archive;
	}
	w->client_count = 3 + sim_below(s, 4);
	for (unsigned i = 0; i < w->client_count; i++)
		client_init(w, i, world_server(w, i % world_servers(w)), p->s2s ? net_domain(i % world_servers(w)) : "sim.example");
	for (unsigned n = 0; n < world_servers(w); n++)
		sim_start(world_server(w, n));
}

static bool run(const struct plan *p, uint64_t seed)
{
	struct sim_world *w = xalloc(sizeof *w);

	begin(w, p, seed);
	for (unsigned i = 0; i < p->steps && w->fault[0] == '\0'; i++)
		step(w);
	run_to_the_end(w);
	world_check(w);
	const bool ok = w->fault[0] == '\0';

	if (!ok)
		printf("seed %llu: %s\n", (unsigned long long)seed, w->fault);
	else if (p->verbose)
		printf("%u messages, %u sessions, %u resumed, %u kills, %u cuts between servers\n", w->message_count, w->bound,
			w->resumed, w->kills, w->cuts);
	for (unsigned i = 0; i < w->client_count; i++)
		client_clear(&w->clients[i]);
	net_clear(w);
	free(w);
	return ok;
}

static void no_log(void *arg, const char *line, size_t len)
{
	if (*(bool *)arg)
		fwrite(line, 1, len, stdout);
}

/* Every jobs-th seed of the range, from the job's own on. */
static void run_job(const struct plan *p, unsigned job, unsigned long counts[2])
{
	for (unsigned long i = job; i < p->count; i += p->jobs)
		counts[run(p, p->first + i) ? 0 : 1]++;
}

/* In a process of its own. @return the end of a pipe that tells what became of it */
static int fork_job(const struct plan *p, unsigned job)
{
	unsigned long counts[2] = { 0, 0 };
	int fds[2];

	if (pipe(fds) != 0)
		abort();
	const pid_t pid = fork();

	if (pid < 0)
		abort();
	if (pid > 0) {
		close(fds[1]);
		return fds[0];
	}
	close(fds[0]);
	run_job(p, job, counts);
	if (write(fds[1], counts, sizeof counts) != (ssize_t)sizeof counts)
		abort();
	cover_write(fds[1]);
	exit(0);
}

static void run_all(const struct plan *p, unsigned long counts[2])
{
	int fds[JOBS_MAX];

	if (p->jobs == 1) {
		run_job(p, 0, counts);
		return;
	}
	for (unsigned job = 0; job < p->jobs; job++)
		fds[job] = fork_job(p, job);
	for (unsigned job = 0; job < p->jobs; job++) {
		unsigned long part[2];
		int status = 0;

		if (read(fds[job], part, sizeof part) != (ssize_t)sizeof part || !cover_add(fds[job])) {
			printf("job %u died\n", job);
			part[0] = 0;
			part[1] = 1;
		}
		close(fds[job]);
		if (wait(&status) > 0 && status != 0)
			part[1]++;
		counts[0] += part[0];
		counts[1] += part[1];
	}
}

static bool read_options(int argc, char **argv, struct plan *p)
{
	static const struct option options[] = { { "seeds", 1, NULL, 'n' }, { "seed", 1, NULL, 's' }, { "steps", 1, NULL, 't' },
		{ "jobs", 1, NULL, 'j' }, { "verbose", 0, NULL, 'v' }, { "waits", 0, NULL, 'w' }, { "flaky", 0, NULL, 'f' }, { "cover", 0, NULL, 'c' },
		{ "watch", 1, NULL, 'm' }, { "rooms", 0, NULL, 'r' },
		{ "s2s", 0, NULL, '2' }, { 0 } };
	bool counted = false;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const unsigned long n = optarg != NULL ? strtoul(optarg, NULL, 10) : 0;

		switch (o) {
		case 'n':
			p->count = n;
			counted = true;
			break;
		case 's':
			p->first = n;
			p->count = counted ? p->count : 1;
			break;
		case 't':
			p->steps = (unsigned)n;
			break;
		case 'j':
			p->jobs = n >= 1 && n <= JOBS_MAX ? (unsigned)n : 1;
			break;
		case 'w':
			p->waits = true;
			break;
		case 'f':
			p->flaky = true;
			break;
		case 'm':
			p->watched = (int)n;
			break;
		case 'c':
			p->cover = true;
			break;
		case 'r':
			p->rooms = true;
			break;
		case '2':
			p->s2s = true;
			break;
		case 'v':
			p->verbose = true;
			break;
		default:
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct plan p = { .first = 1, .count = 200, .steps = 6000, .jobs = 1, .watched = -1 };
	unsigned long counts[2] = { 0, 0 };

	if (!read_options(argc, argv, &p)) {
		fprintf(stderr, "usage: sim [--seed S] [--seeds N] [--steps N] [--jobs N] [--verbose] [--watch N] [--waits] [--flaky] [--cover] [--rooms] [--s2s]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_sink(no_log, &p.verbose);
	if (p.verbose)
		(void)!log_set_level(NULL, LOG_LEVEL_DEBUG);
	run_all(&p, counts);
	cover_report(p.cover);
	printf("%lu passed, %lu failed\n", counts[0], counts[1]);
	return counts[1] == 0 ? 0 : 1;
}
