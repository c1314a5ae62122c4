/* control.c - the control socket: connections, lines, answers, and how workers are asked. */
#include "server/control.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "server/registry.h"

enum { CLIENTS_MAX = 16, LINE_MAX_BYTES = 65536, CLIENT_US = 60000000, READ_BYTES = 4096 };

struct control_client {
	struct control *control;
	struct control_client *prev, *next;
	struct io io;
	struct buf in, out;
	struct timer deadline;
	struct control_request *request;     /* under way: nothing is read meanwhile */
	bool closing;                        /* after out is written */
	bool reading, dead;                  /* client_read() stands in it: freed there */
};

struct control {
	struct daemon *daemon;
	struct io io;
	struct control_client *clients;
	unsigned client_count, parts;        /* parts: with workers */
	bool stopping;
	char *path;
	uid_t owner;                         /* who may speak to us, besides root */
};

struct control_part {
	struct mail mail;                    /* home */
	struct control_request *request;
	control_part_fn *fn;
	unsigned index;
	bool waits;
	json_t *found;
};

static void client_read(struct control_client *k);

/* --- connections --- */

static void client_free(struct control_client *k)
{
	struct control *c = k->control;

	if (k->request != NULL)
		k->request->client = NULL;
	k->request = NULL;
	if (k->reading) {
		k->dead = true;
		return;
	}
	timer_cancel(&k->deadline);
	io_clear(&k->io);
	close(k->io.fd);
	*(k->prev != NULL ? &k->prev->next : &c->clients) = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	c->client_count--;
	buf_release(&k->in);
	buf_release(&k->out);
	free(k);
	if (!c->stopping)
		io_watch(&c->io, IO_READ);
}

static void on_deadline(struct timer *t, void *arg)
{
	(void)t;
	client_free(arg);
}

static void client_watch(struct control_client *k)
{
	io_watch(&k->io, buf_len(&k->out) > 0 ? IO_WRITE : k->request != NULL ? 0 : IO_READ);
}

/* @return false: it is gone, or will be */
static bool client_write(struct control_client *k)
{
	while (buf_len(&k->out) > 0) {
		const ssize_t n = send(k->io.fd, buf_data(&k->out), buf_len(&k->out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_free(k);
			return false;
		}
		buf_consume(&k->out, (size_t)n);
		timer_set(&k->deadline, CLIENT_US);
	}
	if (buf_len(&k->out) == 0) {
		buf_release(&k->out);
		if (k->closing) {
			client_free(k);
			return false;
		}
	}
	client_watch(k);
	return true;
}

/* Takes message. */
static void client_send(struct control_client *k, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);

	if (text == NULL) /* a value that is no UTF-8: cannot come from our own data */
		text = xstrdup("{\"ok\":false,\"error\":\"the answer cannot be written\",\"code\":\"failed\"}");
	buf_puts(&k->out, text);
	buf_putc(&k->out, '\n');
	free(text);
	json_decref(message);
}

/* --- requests --- */

static void request_free(struct control_request *r)
{
	if (r->client != NULL)
		r->client->request = NULL;
	for (unsigned i = 0; i < r->asked; i++)
		json_decref(r->parts[i]);
	free(r->parts);
	free(r->data);
	json_decref(r->line);
	free(r);
}

static void finish(struct control_request *r, json_t *message)
{
	struct control_client *k = r->client;

	request_free(r);
	if (k == NULL) {
		json_decref(message);
		return;
	}
	client_send(k, message);
	timer_set(&k->deadline, CLIENT_US);
	if (client_write(k) && buf_len(&k->out) == 0)
		client_read(k);
}

void control_answer(struct control_request *r, json_t *result)
{
	finish(r, json_pack("{s:b, s:o}", "ok", 1, "result", result != NULL ? result : json_null()));
}

void control_refuse(struct control_request *r, const char *code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	json_t *message = json_pack("{s:b, s:s, s:s}", "ok", 0, "error", text, "code", code);

	if (message == NULL)
		message = json_pack("{s:b, s:s, s:s}", "ok", 0, "error", "the command is refused", "code", code);
	finish(r, message);
}

/* How many of the request's words the name takes; 0: it is another. */
static int match(const char *name, const struct control_request *r)
{
	int used = 0;

	for (; *name != '\0'; used++) {
		const size_t n = strcspn(name, " ");

		if (used == r->count || strlen(r->word[used]) != n || strncmp(name, r->word[used], n) != 0)
			return 0;
		name += n + (name[n] == ' ');
	}
	return used;
}

/* A command of a loaded module. @return false: nobody has it */
static bool run_module(struct control_request *r)
{
	const struct registry *reg = r->daemon->server->registry;

	for (size_t i = 0; i < reg->module_count; i++)
		for (const struct sterna_command *k = reg->modules[i]->m->commands; k != NULL && k->name != NULL; k++) {
			const int used = match(k->name, r);
			struct buf out = BUF_INIT;

			if (used == 0)
				continue;
			const enum sterna_result rc = k->fn(reg->modules[i]->mod, r->count - used, r->word + used, &out);
			json_t *result = buf_len(&out) > 0
				? json_loadb(buf_data(&out), buf_len(&out), JSON_DECODE_ANY, NULL) : NULL;

			if (rc == STERNA_OK)
				control_answer(r, result);
			else if (rc == STERNA_EINVAL)
				control_refuse(r, "usage", "usage: %s %s", k->name, k->args != NULL ? k->args : "");
			else
				control_refuse(r, "failed", "%s: %s", k->name, sterna_result_text(rc));
			if (rc != STERNA_OK)
				json_decref(result);
			buf_release(&out);
			return true;
		}
	return false;
}

static void dispatch(struct control_request *r)
{
	const struct control_command *best = NULL;
	int used = 0;

	for (const struct control_command *k = control_commands; k->name != NULL; k++) {
		const int n = match(k->name, r);

		if (n > used) {
			used = n;
			best = k;
		}
	}
	if (best == NULL) {
		if (!run_module(r))
			control_refuse(r, "unknown", "there is no command '%s'", r->word[0]);
		return;
	}
	r->arg = r->word + used;
	r->arg_count = r->count - used;
	if (r->arg_count < best->min || r->arg_count > best->max)
		control_refuse(r, "usage", "%s: wrong number of arguments", best->name);
	else
		best->fn(r);
}

static void run_line(struct control_client *k, const char *text, size_t len)
{
	struct control_request *r = xalloc(sizeof *r);
	json_t *words, *word;
	size_t i;

	r->control = k->control;
	r->daemon = k->control->daemon;
	r->client = k;
	k->request = r;
	r->line = json_loadb(text, len, 0, NULL);
	words = json_object_get(r->line, "command");
	if (json_array_size(words) == 0 || json_array_size(words) > CONTROL_WORDS_MAX) {
		control_refuse(r, "usage", "a request is {\"command\":[\"word\", …]}");
		return;
	}
	json_array_foreach(words, i, word) {
		r->word[i] = json_string_value(word);
		if (r->word[i] == NULL) {
			control_refuse(r, "usage", "the words of a command are strings");
			return;
		}
	}
	r->count = (int)json_array_size(words);
	log_info("control", "command", "word", r->word[0], "second", r->word[1]);
	dispatch(r);
}

/* Whole lines, one after the other, until one cannot be answered at once. */
static void client_read(struct control_client *k)
{
	if (k->reading)
		return;
	k->reading = true;
	while (!k->dead && k->request == NULL && buf_len(&k->out) == 0 && buf_len(&k->in) > 0) {
		const size_t held = buf_len(&k->in);
		const char *end = memchr(buf_data(&k->in), '\n', held);

		if (end == NULL && held > LINE_MAX_BYTES) {
			client_send(k, json_pack("{s:b, s:s, s:s}", "ok", 0, "error", "the line is too long", "code",
				"usage"));
			k->closing = true;
			client_write(k);
		}
		if (end == NULL)
			break;
		char *line = xstrndup(buf_data(&k->in), (size_t)(end - buf_data(&k->in)));

		buf_consume(&k->in, (size_t)(end - buf_data(&k->in)) + 1);
		run_line(k, line, strlen(line));
		free(line);
	}
	k->reading = false;
	if (k->dead)
		client_free(k);
	else
		client_watch(k);
}

static void on_client(struct io *io, unsigned what, void *arg)
{
	struct control_client *k = arg;
	ssize_t n;

	if ((what & IO_WRITE) != 0) {
		if (client_write(k) && buf_len(&k->out) == 0)
			client_read(k);
		return;
	}
	n = recv(io->fd, buf_reserve(&k->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(k);
		return;
	}
	k->in.len += (size_t)n;
	client_read(k);
}

static bool may_speak(const struct control *c, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	if (peer.uid == 0 || peer.uid == c->owner)
		return true;
	log_warning("control", "refused: another user", "uid", LOG_UINT(peer.uid));
	return false;
}

static void on_accept(struct io *io, unsigned what, void *arg)
{
	struct control *c = arg;
	const int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (!may_speak(c, fd)) {
		close(fd);
		return;
	}
	struct control_client *k = xalloc(sizeof *k);

	k->control = c;
	k->next = c->clients;
	if (k->next != NULL)
		k->next->prev = k;
	c->clients = k;
	io_init(&k->io, io->loop, fd, on_client, k);
	timer_init(&k->deadline, io->loop, on_deadline, k);
	timer_set(&k->deadline, CLIENT_US);
	io_watch(&k->io, IO_READ);
	if (++c->client_count == CLIENTS_MAX)
		io_watch(&c->io, 0); /* the others wait in the socket's queue */
}

/* --- workers --- */

static void part_home(struct mail *m, struct loop *l)
{
	struct control_part *p = (struct control_part *)m;
	struct control_request *r = p->request;
	struct control *c = r->control;

	r->parts[p->index] = p->found;
	free(p);
	c->parts--;
	if (--r->left == 0)
		r->gathered(r);
	if (c->stopping && c->parts == 0)
		loop_stop(l);
}

void control_part_wait(struct control_part *p)
{
	p->waits = true;
}

void control_part_done(struct control_part *p, json_t *found)
{
	p->found = found;
	loop_post(p->request->daemon->loop, &p->mail);
}

const struct control_request *control_part_request(const struct control_part *p)
{
	return p->request;
}

static void part_run(struct worker *w, void *arg)
{
	struct control_part *p = arg;
	json_t *found = p->fn(w, p);

	if (!p->waits)
		control_part_done(p, found);
}

void control_gather(struct control_request *r, struct worker *only, control_part_fn *fn,
	void (*done)(struct control_request *r))
{
	const struct server *s = r->daemon->server;

	r->asked = r->left = only != NULL ? 1 : s->worker_count;
	r->parts = xalloc(r->asked * sizeof *r->parts);
	r->gathered = done;
	r->control->parts += r->asked;
	for (unsigned i = 0; i < r->asked; i++) {
		struct control_part *p = xalloc(sizeof *p);

		p->mail.run = part_home;
		p->request = r;
		p->fn = fn;
		p->index = i;
		worker_post(only != NULL ? only : s->workers[i], part_run, p);
	}
}

/* --- life --- */

/* What a server before us left behind when it was killed; never the socket of one that lives. */
static enum sterna_result clear_path(const struct sockaddr_un *addr)
{
	struct stat st;
	enum sterna_result rc = STERNA_OK;

	if (lstat(addr->sun_path, &st) != 0)
		return STERNA_OK;
	if (!S_ISSOCK(st.st_mode)) {
		log_error("control", "server.control is there already, and no socket", "path", addr->sun_path);
		return STERNA_EIO;
	}
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 || errno == EAGAIN)) {
		log_error("control", "another server runs with this configuration", "path", addr->sun_path);
		rc = STERNA_EEXISTS;
	}
	if (fd >= 0)
		close(fd);
	if (rc == STERNA_OK)
		unlink(addr->sun_path);
	return rc;
}

/* The user that the server will run as. */
static uid_t future_owner(const struct config_server *c)
{
	const struct passwd *pw = geteuid() == 0 && c->user != NULL ? getpwnam(c->user) : NULL;

	return pw != NULL ? pw->pw_uid : geteuid();
}

static int open_socket(const struct config_server *c, const struct sockaddr_un *addr, uid_t owner)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const mode_t before = umask(0177);
	const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)addr, sizeof *addr) == 0;
	const int why = errno;

	umask(before);
	if (bound && (owner == geteuid() || chown(addr->sun_path, owner, (gid_t)-1) == 0) && listen(fd, CLIENTS_MAX) == 0)
		return fd;
	log_error("control", "cannot make the control socket; see server.control", "path", c->control,
		"error", strerror(bound ? errno : why));
	if (fd >= 0)
		close(fd);
	return -1;
}

enum sterna_result control_start(struct daemon *d, struct control **out)
{
	const struct config_server *conf = &d->config->server;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	enum sterna_result rc;

	if (strlen(conf->control) >= sizeof addr.sun_path) {
		log_error("control", "the path of server.control is too long for a socket", "path", conf->control);
		return STERNA_EIO;
	}
	strcpy(addr.sun_path, conf->control);
	rc = clear_path(&addr);
	if (rc != STERNA_OK)
		return rc;
	const uid_t owner = future_owner(conf);
	const int fd = open_socket(conf, &addr, owner);

	if (fd < 0)
		return STERNA_EIO;
	struct control *c = xalloc(sizeof *c);

	c->daemon = d;
	c->owner = owner;
	c->path = xstrdup(conf->control);
	io_init(&c->io, d->loop, fd, on_accept, c);
	io_watch(&c->io, IO_READ);
	*out = c;
	return STERNA_OK;
}

void control_stop(struct control **control)
{
	struct control *c = *control;

	*control = NULL;
	if (c == NULL)
		return;
	c->stopping = true;
	io_clear(&c->io);
	close(c->io.fd);
	unlink(c->path);
	while (c->clients != NULL)
		client_free(c->clients);
	if (c->parts > 0)
		loop_run(c->daemon->loop);
	free(c->path);
	free(c);
}
