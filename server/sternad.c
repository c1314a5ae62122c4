/* sternad.c - the daemon: reads its arguments, starts the server, ends it in order. */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif
#include "server/config.h"
#include "server/control.h"
#include "server/crew.h"
#include "server/daemon.h"
#include "server/modules.h"
#include "server/net.h"
#include "server/registry.h"
#include "server/request.h"
#include "server/xml.h"

enum { EXIT_CONFIG = 78, EXIT_UNAVAILABLE = 69, EXIT_TEMPORARY = 75, MEMORY_LARGE = 256 * 1024 };

#ifdef STERNA_SANITIZED
/* What was freed is kept back for a while by ASan; little of it, so that memory can still be judged. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=12";
}
#endif

/* The C library learns from each large block that is freed to keep such blocks for itself, up to 64 MiB in each thread:
 * what one peer's burst took would never go back to the system. The thresholds stay where they are when they are set. */
static void give_memory_back(void)
{
#if defined(__GLIBC__) && !defined(STERNA_SANITIZED)
	mallopt(M_MMAP_THRESHOLD, MEMORY_LARGE);
	mallopt(M_TRIM_THRESHOLD, MEMORY_LARGE);
#endif
}

static void usage(FILE *out)
{
	fputs("Usage: sternad [-c FILE]\n"
	      "The XMPP server. It runs in the foreground; SIGTERM or SIGINT ends it, SIGHUP reloads.\n\n"
	      "  -c, --config FILE  configuration (" STERNA_CONF_DIR "/sterna.yaml)\n"
	      "  -V, --version\n"
	      "  -h, --help\n", out);
}

static void notify(const char *state)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

/* --- workers and their threads --- */

struct member {
	struct daemon *daemon;
	struct worker *worker;
	struct mail start;
	enum sterna_result started;
	atomic_bool ready;
};

static struct member *member_of(struct mail *m)
{
	return (struct member *)((char *)m - offsetof(struct member, start));
}

static void on_start(struct mail *m, struct loop *l)
{
	struct member *t = member_of(m);

	(void)l;
	worker_start(t->worker);
	atomic_store(&t->ready, true);
}

static void on_listen(struct mail *m, struct loop *l)
{
	struct member *t = member_of(m);

	(void)l;
	t->started = net_start(t->daemon->net, t->worker);
	atomic_store(&t->ready, true);
}

/* Streams say goodbye, then their bytes leave, then the loop ends. */
static void on_loop_end(struct timer *t, void *arg)
{
	(void)arg;
	loop_stop(t->loop);
}

struct ending {
	struct timer timer;
	struct net *net;
};

static void stop_worker(struct worker *w, void *arg)
{
	struct ending *e = arg;

	net_stop(e->net, w);
	worker_stop(w);
	timer_init(&e->timer, w->loop, on_loop_end, e);
	timer_set(&e->timer, 300000);
}

static void post_start(struct member *t, mail_fn *start)
{
	atomic_store(&t->ready, false);
	t->start.run = start;
	loop_post(t->worker->loop, &t->start);
}

static bool wait_started(const struct member *t)
{
	while (!atomic_load(&t->ready))
		usleep(1000);
	return t->started == STERNA_OK;
}

/* All workers first, then all ports: whoever connects may belong to any worker. */
static bool start_workers(struct daemon *d, struct member *members)
{
	struct loop *loops[CREW_MOST];
	const unsigned count = d->server->worker_count;
	bool ok = true;

	d->server->running = true;
	for (unsigned i = 0; i < count; i++) {
		members[i].daemon = d;
		members[i].worker = d->server->workers[i];
		loops[i] = members[i].worker->loop;
		post_start(&members[i], on_start);
	}
	if (crew_start(loops, count, &d->server->crew) != STERNA_OK) {
		log_error("server", "the system gives no more threads, or no more descriptors");
		for (unsigned i = 0; i < count; i++)
			loop_unpost(loops[i], &members[i].start);
		return false;
	}
	for (unsigned i = 0; i < count; i++)
		wait_started(&members[i]);
	for (unsigned i = 0; ok && i < count; i++) {
		post_start(&members[i], on_listen);
		ok = wait_started(&members[i]);
	}
	return ok;
}

static void stop_workers(struct daemon *d)
{
	struct ending *endings = xalloc(d->server->worker_count * sizeof *endings);

	atomic_store(&d->server->draining, true);
	for (unsigned i = 0; d->server->crew != NULL && i < d->server->worker_count; i++) {
		endings[i].net = d->net;
		worker_post(d->server->workers[i], stop_worker, &endings[i]);
	}
	crew_join(d->server->crew);
	d->server->running = false;
	free(endings);
}

/* --- the main thread's loop --- */

static void reload(struct daemon *d)
{
	struct buf said = BUF_INIT;

	log_reopen();
	notify("RELOADING=1");
	if (daemon_reload(d, &said) != STERNA_OK)
		log_error("reload", "refused, nothing was changed", "why", buf_str(&said));
	notify("READY=1");
	buf_release(&said);
}

static void on_signal(struct io *io, unsigned what, void *arg)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	(void)what;
	if (read(io->fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGHUP) {
		reload(d);
		return;
	}
	log_notice("server", "ends", "signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	loop_stop(io->loop);
}

/* A worker that is stuck is as good as a process that is: systemd hears of it by hearing nothing. */
static void on_watchdog(struct timer *t, void *arg)
{
	const struct daemon *d = arg;

	if (server_is_alive(d->server))
		notify("WATCHDOG=1");
	timer_set(t, 5000000);
}

static void on_daily(struct timer *t, void *arg)
{
	daemon_maintain(arg);
	timer_set(t, UINT64_C(86400) * 1000000);
}

static void run_main(struct daemon *d, struct io *signals)
{
	struct timer watchdog, daily;

	io_watch(signals, IO_READ);
	timer_init(&watchdog, d->loop, on_watchdog, d);
	timer_init(&daily, d->loop, on_daily, d);
	timer_set(&watchdog, 5000000);
	timer_set(&daily, UINT64_C(86400) * 1000000);
	notify("READY=1\nSTATUS=listening");
	loop_run(d->loop);
	notify("STOPPING=1");
	timer_cancel(&watchdog);
	timer_cancel(&daily);
	io_clear(signals);
}

/* --- privileges --- */

/* What root has made on the way here is the user's; what was there before stays as it is. */
static void give(const char *path, const char *suffix, uid_t uid, gid_t gid)
{
	char name[PATH_MAX];
	struct stat st;

	if (path == NULL || snprintf(name, sizeof name, "%s%s", path, suffix) >= (int)sizeof name)
		return;
	if (lstat(name, &st) == 0 && st.st_uid == 0 && (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode))
		&& lchown(name, uid, gid) != 0)
		log_error("server", "cannot give a file to the user", "file", name, "error", strerrordesc_np(errno));
}

static void give_files(const struct config *c, uid_t uid, gid_t gid)
{
	if (c->storage.driver == CONFIG_SQLITE) {
		give(c->storage.path, "", uid, gid);
		give(c->storage.path, "-wal", uid, gid);
		give(c->storage.path, "-shm", uid, gid);
	}
	give(c->log.file, "", uid, gid);
	give(c->server.control, "", uid, gid);
}

static bool drop_privileges(const struct config *config)
{
	const struct config_server *c = &config->server;
	uid_t uid;
	gid_t gid;

	if (c->user == NULL || geteuid() != 0)
		return true;
	if (!daemon_find_user(c, &uid, &gid))
		return false;
	give_files(config, uid, gid);
	if (initgroups(c->user, gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0) {
		log_error("server", "cannot become the user", "user", c->user, "error", strerrordesc_np(errno));
		return false;
	}
	return true;
}

static void write_pid(const char *path)
{
	FILE *f = path != NULL ? fopen(path, "w") : NULL;

	if (f != NULL)
		fprintf(f, "%d\n", (int)getpid());
	if (path != NULL && (f == NULL || fclose(f) != 0))
		log_error("server", "cannot write the pid file", "file", path, "error", strerror(errno));
}

static int serve(struct daemon *d)
{
	struct member *members = xalloc(d->server->worker_count * sizeof *members);
	struct control *control = NULL;
	struct admin *admin = NULL;
	struct io signals;
	sigset_t set;
	int fd, code = EXIT_TEMPORARY;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	io_init(&signals, d->loop, fd, on_signal, d);
	if (start_workers(d, members) && admin_start(d, &admin) == STERNA_OK && control_start(d, &control) == STERNA_OK
		&& drop_privileges(d->config)) {
		daemon_say_ready(d);
		write_pid(d->config->server.pid_file);
		run_main(d, &signals);
		code = 0;
	}
	timer_cancel(&d->end);
	control_stop(&control);
	admin_stop(admin);
	stop_workers(d);
	admin_free(&admin);
	io_clear(&signals);
	close(fd);
	free(members);
	return code;
}

/* The command restart. Who has given up root cannot open what root can: there, and wherever a supervisor watches, that
 * one starts the program anew, told so by the exit code. */
static int begin_anew(char **argv, bool was_privileged)
{
	sigset_t none;

	if ((was_privileged && geteuid() != 0) || getenv("NOTIFY_SOCKET") != NULL)
		return EXIT_TEMPORARY;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], argv);
	return EXIT_TEMPORARY;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *path = STERNA_CONF_DIR "/sterna.yaml", *wrong = NULL;
	struct daemon d = { 0 };
	sigset_t set;
	int o, code;

	while ((o = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case 'V':
			puts("sternad " PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	give_memory_back();
	/* Signals are the main thread's, by descriptor; threads inherit the mask. */
	sigfillset(&set);
	sigdelset(&set, SIGABRT);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGILL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!xml_library_ok(&wrong)) {
		fprintf(stderr, "sternad: %s\n", wrong);
		return EXIT_UNAVAILABLE;
	}
	const bool privileged = geteuid() == 0;

	code = daemon_open(path, &d);
	if (code == 0)
		code = serve(&d);
	const bool again = code == 0 && d.restart;

	daemon_close(&d);
	if (again)
		code = begin_anew(argv, privileged);
	return code;
}
