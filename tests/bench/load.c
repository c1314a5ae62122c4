/* load.c - the load generator: `load SCENARIO [OPTION...]`; `load --help` lists both. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

static const struct scenario {
	const char *name;
	int (*run)(struct bench *b);
	const char *what;
} scenarios[] = {
	{ "register", run_register, "create the accounts (XEP-0077)" },
	{ "login", run_login, "log everybody in, --rounds times; of two or more the first is not counted" },
	{ "idle", run_idle, "hold the sessions: memory of each, CPU of all over --seconds" },
	{ "chat", run_chat, "closed loop: pairs, both ways, --in-flight messages each way" },
	{ "rate", run_rate, "pairs at --rate messages a second in all; latency from when due" },
	{ "archive-read", run_archive_read, "pages of --page messages; --fill messages a session before" },
	{ "presence", run_presence, "groups of one whose presence goes to --contacts others" },
	{ "pep", run_pep, "groups of one whose node's items go to --contacts others" },
	{ "room", run_room, "rooms of --contacts and one more: all enter, then the first speaks to all" },
	{ "subscribe", run_subscribe, "subscribe and approve, --rounds for each session" },
	{ "reconnect", run_reconnect, "all go and return at once, with --restart after that" },
};

enum opt {
	O_LABEL = 256, O_ADDRESS, O_PORT, O_DIRECT, O_CA, O_INSECURE, O_TLS12, O_ACCOUNTS, O_SESSIONS,
	O_CONCURRENCY, O_ADDRESSES, O_ROUNDS, O_IN_FLIGHT, O_RATE, O_ACK_EVERY, O_BODY, O_BARE, O_CONTACTS,
	O_PAGE, O_FILL, O_FIRST, O_ARCHIVE, O_RESTART, O_SECONDS, O_WARM, O_PID, O_FLOOR, O_QUIET, O_WEBSOCKET, O_HELP
};

static const struct {
	struct option opt;
	const char *what;
} options[] = {
	{ { "accounts", 1, NULL, O_ACCOUNTS }, "file of lines `jid password`; session i takes line --first + i" },
	{ { "ack-every", 1, NULL, O_ACK_EVERY }, "stream management: <r/> after each so many messages (0: none)" },
	{ { "address", 1, NULL, O_ADDRESS }, "server's IPv4 address (127.0.0.1)" },
	{ { "addresses", 1, NULL, O_ADDRESSES }, "own addresses to rotate over, from 127.0.1.1 up (0: no choice)" },
	{ { "archive", 1, NULL, O_ARCHIVE }, "archive-read: a room's, which is open to all (everybody's own)" },
	{ { "bare", 0, NULL, O_BARE }, "messages go to the bare JID" },
	{ { "body", 1, NULL, O_BODY }, "bytes of a message's body (200)" },
	{ { "ca", 1, NULL, O_CA }, "PEM file of the CA that signed the server's certificate" },
	{ { "concurrency", 1, NULL, O_CONCURRENCY }, "logins or subscriptions under way at once (20)" },
	{ { "contacts", 1, NULL, O_CONTACTS }, "who gets one presence (100)" },
	{ { "direct-tls", 0, NULL, O_DIRECT }, "TLS from the first byte (XEP-0368)" },
	{ { "fill", 1, NULL, O_FILL }, "messages of each session into the archive before it is read (0)" },
	{ { "first", 1, NULL, O_FIRST }, "accounts of the file to skip, for a second load beside this (0)" },
	{ { "floor", 0, NULL, O_FLOOR }, "the server is `floor`: nothing it says is checked" },
	{ { "help", 0, NULL, O_HELP }, "this" },
	{ { "in-flight", 1, NULL, O_IN_FLIGHT }, "messages under way from each session (4)" },
	{ { "insecure", 0, NULL, O_INSECURE }, "any certificate will do" },
	{ { "label", 1, NULL, O_LABEL }, "the server's name in the report" },
	{ { "page", 1, NULL, O_PAGE }, "messages of an archive's page (100)" },
	{ { "pid", 1, NULL, O_PID }, "a process of the server; with its descendants it is measured; repeatable" },
	{ { "port", 1, NULL, O_PORT }, "5222" },
	{ { "quiet", 0, NULL, O_QUIET }, "room: only moderators' presence is shown" },
	{ { "rate", 1, NULL, O_RATE }, "messages a second in all (1000)" },
	{ { "restart", 1, NULL, O_RESTART }, "reconnect: command that restarts the server, waits for it, prints its processes' ids" },
	{ { "rounds", 1, NULL, O_ROUNDS }, "1" },
	{ { "seconds", 1, NULL, O_SECONDS }, "measured time (10)" },
	{ { "sessions", 1, NULL, O_SESSIONS }, "how many (100)" },
	{ { "tls12", 0, NULL, O_TLS12 }, "TLS 1.2 will do" },
	{ { "warm", 1, NULL, O_WARM }, "seconds before the measured time (1)" },
	{ { "websocket", 1, NULL, O_WEBSOCKET }, "over WebSocket with TLS, at this path (/xmpp-websocket)" },
};

enum { N_OPTIONS = sizeof options / sizeof *options, N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

static void help(FILE *to)
{
	fputs("usage: load SCENARIO --accounts FILE [OPTION...]\n\nscenarios:\n", to);
	for (size_t i = 0; i < N_SCENARIOS; i++)
		fprintf(to, "  %-14s %s\n", scenarios[i].name, scenarios[i].what);
	fputs("\noptions:\n", to);
	for (size_t i = 0; i < N_OPTIONS; i++)
		fprintf(to, "  --%-13s %s\n", options[i].opt.name, options[i].what);
}

static unsigned number(const char *text)
{
	char *end;

	errno = 0;
	const unsigned long v = strtoul(text, &end, 10);

	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || v > 100000000) {
		fprintf(stderr, "load: not a number that makes sense: %s\n", text);
		exit(2);
	}
	return (unsigned)v;
}

static unsigned *number_field(struct options *o, int opt)
{
	switch (opt) {
	case O_PORT: return &o->port;
	case O_SESSIONS: return &o->sessions;
	case O_CONCURRENCY: return &o->concurrency;
	case O_ADDRESSES: return &o->addresses;
	case O_ROUNDS: return &o->rounds;
	case O_IN_FLIGHT: return &o->in_flight;
	case O_RATE: return &o->rate;
	case O_ACK_EVERY: return &o->ack_every;
	case O_BODY: return &o->body;
	case O_CONTACTS: return &o->contacts;
	case O_PAGE: return &o->page;
	case O_FILL: return &o->fill;
	case O_FIRST: return &o->first;
	default: return NULL;
	}
}

static void set_option(struct options *o, int opt, const char *arg)
{
	unsigned *field = number_field(o, opt);

	if (field != NULL) {
		*field = number(arg);
		return;
	}
	switch (opt) {
	case O_LABEL: o->label = arg; break;
	case O_ADDRESS: o->address = arg; break;
	case O_CA: o->ca = arg; break;
	case O_ACCOUNTS: o->accounts = arg; break;
	case O_RESTART: o->restart = arg; break;
	case O_ARCHIVE: o->archive = arg; break;
	case O_WEBSOCKET: o->websocket = arg; break;
	case O_DIRECT: o->direct_tls = true; break;
	case O_INSECURE: o->insecure = true; break;
	case O_TLS12: o->tls12 = true; break;
	case O_BARE: o->bare = true; break;
	case O_QUIET: o->quiet = true; break;
	case O_FLOOR: o->floor = true; break;
	case O_SECONDS: o->seconds = strtod(arg, NULL); break;
	case O_WARM: o->warm_s = strtod(arg, NULL); break;
	case O_PID:
		if (o->n_pids < PIDS_MAX)
			o->pids[o->n_pids++] = (pid_t)number(arg);
		break;
	case O_HELP: help(stdout); exit(0);
	default: help(stderr); exit(2);
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	struct option list[N_OPTIONS + 1] = { 0 };

	*o = (struct options){ .label = "server", .address = "127.0.0.1", .port = 5222, .sessions = 100,
		.concurrency = 20, .rounds = 1, .in_flight = 4, .rate = 1000, .body = 200, .contacts = 100,
		.page = 100, .seconds = 10, .warm_s = 1 };
	for (size_t i = 0; i < N_OPTIONS; i++)
		list[i] = options[i].opt;
	for (int opt; (opt = getopt_long(argc, argv, "h", list, NULL)) != -1;)
		set_option(o, opt == 'h' ? O_HELP : opt, optarg);
	if (o->accounts == NULL || o->sessions == 0 || o->concurrency == 0 || o->rounds == 0 || o->rate == 0 ||
		o->contacts == 0 || !(o->seconds > 0) || (o->ca == NULL && !o->insecure)) {
		fputs("load: --accounts, and --ca or --insecure, must be given; no count may be 0\n", stderr);
		exit(2);
	}
}

static void read_accounts(struct bench *b)
{
	char line[1024], jid[400], password[400];
	unsigned skip = b->opt.first;
	FILE *f = fopen(b->opt.accounts, "re");

	if (f == NULL) {
		perror(b->opt.accounts);
		exit(2);
	}
	while (b->n_accounts < b->opt.sessions && fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%399s %399s", jid, password) != 2 || strchr(jid, '@') == NULL)
			continue;
		if (skip > 0) {
			skip--;
			continue;
		}
		b->accounts = xrealloc(b->accounts, (b->n_accounts + 1) * sizeof *b->accounts);
		struct account *a = &b->accounts[b->n_accounts++];
		const size_t at = strcspn(jid, "@");

		*a = (struct account){ .jid = xstrdup(jid), .user = xstrndup(jid, at),
			.domain = xstrdup(jid + at + 1), .password = xstrdup(password) };
	}
	fclose(f);
	if (b->n_accounts < b->opt.sessions) {
		fprintf(stderr, "load: %s has %zu accounts, --sessions asks for %u\n", b->opt.accounts,
			b->n_accounts, b->opt.sessions);
		exit(2);
	}
}

static void make_tls(struct bench *b)
{
	static const unsigned char alpn[] = "\x0bxmpp-client";

	b->tls = SSL_CTX_new(TLS_client_method());
	if (b->tls == NULL || SSL_CTX_set_min_proto_version(b->tls, b->opt.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) != 1 ||
		(b->opt.ca != NULL && SSL_CTX_load_verify_locations(b->tls, b->opt.ca, NULL) != 1)) {
		fputs("load: TLS cannot be set up; is --ca a PEM file?\n", stderr);
		exit(2);
	}
	SSL_CTX_set_verify(b->tls, b->opt.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(b->tls,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(b->tls, 1);
	SSL_CTX_set_session_cache_mode(b->tls, SSL_SESS_CACHE_OFF);
	if (b->opt.direct_tls)
		SSL_CTX_set_alpn_protos(b->tls, alpn, sizeof alpn - 1);
}

static void make_sessions(struct bench *b)
{
	b->sessions = xalloc(b->opt.sessions * sizeof *b->sessions);
	b->queue = xalloc(b->opt.sessions * sizeof *b->queue);
	for (unsigned i = 0; i < b->opt.sessions; i++) {
		struct session *s = &b->sessions[i];

		s->bench = b;
		s->account = &b->accounts[i];
		s->slot = i;
		s->fd = -1;
	}
}

static struct bench *bench_new(int argc, char **argv)
{
	struct bench *b = xalloc(sizeof *b);

	parse(&b->opt, argc, argv);
	read_accounts(b);
	make_tls(b);
	make_sessions(b);
	b->login_time = xalloc(sizeof *b->login_time);
	b->ack_time = xalloc(sizeof *b->ack_time);
	b->next_tick = UINT64_MAX;
	b->epfd = epoll_create1(EPOLL_CLOEXEC);
	return b;
}

static void bench_free(struct bench **bp)
{
	struct bench *b = *bp;

	for (size_t i = 0; i < b->n_accounts; i++) {
		conn_close(&b->sessions[i]);
		free(b->sessions[i].jid);
		free(b->accounts[i].jid);
		free(b->accounts[i].user);
		free(b->accounts[i].domain);
		free(b->accounts[i].password);
	}
	SSL_CTX_free(b->tls);
	close(b->epfd);
	free(b->sessions);
	free(b->accounts);
	free(b->queue);
	free(b->login_time);
	free(b->ack_time);
	free(b);
	*bp = NULL;
}

/* The measured time is over; a second one ends the program. */
static void on_signal(int sig)
{
	bench_interrupted = 1;
	signal(sig, SIG_DFL);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const struct scenario *which = NULL;

	for (size_t i = 0; i < N_SCENARIOS && argc > 1; i++)
		if (strcmp(argv[1], scenarios[i].name) == 0)
			which = &scenarios[i];
	if (which == NULL) {
		const bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;

		help(asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	prctl(PR_SET_TIMERSLACK, 1000UL); /* the kernel's 50 us would be seen in the latencies */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	struct bench *b = bench_new(argc - 1, argv + 1);
	const int status = which->run(b);

	bench_free(&b);
	return status;
}
