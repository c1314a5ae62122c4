/* control.c - the control socket: connections, lines, answers. */
#include "server/control.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "server/request.h"

enum { CLIENTS_MAX = 16, LINE_MAX_BYTES = 65536, CLIENT_US = 60000000, READ_BYTES = 4096, WORDS_MAX = 32 };

struct control_client {
	struct control *control;
	uid_t uid;
	struct control_client *prev, *next;
	struct io io;
	struct buf in, out;
	struct timer deadline;
	struct asking *asking;               /* under way: nothing is read meanwhile */
	bool closing;                        /* after out is written */
	bool reading, dead;                  /* client_read() stands in it: freed there */
};

struct control {
	struct admin *admin;
	struct io io;
	struct control_client *clients;
	unsigned client_count;
	bool stopping;
	char *path;
	uid_t owner;                         /* who may speak to us, besides root */
};

/* A command under way. */
struct asking {
	struct control_client *client;       /* NULL: gone; the answer goes nowhere */
	json_t *line;                        /* holds the words */
};

static void client_read(struct control_client *k);

/* --- connections --- */

static void client_free(struct control_client *k)
{
	struct control *c = k->control;

	if (k->asking != NULL)
		k->asking->client = NULL;
	k->asking = NULL;
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
	io_watch(&k->io, buf_len(&k->out) > 0 ? IO_WRITE : k->asking != NULL ? 0 : IO_READ);
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

static void client_answer(struct control_client *k, json_t *message)
{
	client_send(k, message);
	timer_set(&k->deadline, CLIENT_US);
	if (client_write(k) && buf_len(&k->out) == 0)
		client_read(k);
}

static void client_refuse(struct control_client *k, const char *text)
{
	client_answer(k, json_pack("{s:b, s:s, s:s}", "ok", 0, "error", text, "code", "usage"));
}

static void on_outcome(void *arg, const struct sterna_outcome *o)
{
	struct asking *a = arg;
	struct control_client *k = a->client;
	json_t *message;

	json_decref(a->line);
	free(a);
	if (k == NULL)
		return;
	k->asking = NULL;
	if (o->code == NULL)
		message = json_pack("{s:b, s:o}", "ok", 1, "result", o->result != NULL
			? json_incref((json_t *)(uintptr_t)o->result) : json_null());
	else
		message = json_pack("{s:b, s:s, s:s, s:s?}", "ok", 0, "error", o->text, "code", o->code, "field", o->field);
	if (message == NULL)
		message = json_pack("{s:b, s:s, s:s}", "ok", 0, "error", "the command is refused", "code", o->code);
	client_answer(k, message);
}

/* {"command":["word", …], "args":{…}}; the fields in args, or as words in their order. */
static void run_line(struct control_client *k, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, 0, NULL), *words = json_object_get(line, "command"), *word;
	json_t *args = json_object_get(line, "args");
	const char *list[WORDS_MAX];
	char who[32];
	size_t i;

	if (json_array_size(words) == 0 || json_array_size(words) > WORDS_MAX || (args != NULL && !json_is_object(args))) {
		json_decref(line);
		client_refuse(k, "a request is {\"command\":[\"word\", …]}");
		return;
	}
	json_array_foreach(words, i, word) {
		list[i] = json_string_value(word);
		if (list[i] == NULL) {
			json_decref(line);
			client_refuse(k, "the words of a command are strings");
			return;
		}
	}
	struct asking *a = xalloc(sizeof *a);

	a->client = k;
	a->line = line;
	k->asking = a;
	snprintf(who, sizeof who, "uid %u", (unsigned)k->uid);
	admin_ask(k->control->admin, &(struct ask){ .kind = REQUEST_RUN, .door = "control", .who = who, .is_local = true,
		.word = list, .count = (int)json_array_size(words), .args = args != NULL ? json_incref(args) : NULL,
		.done = on_outcome, .arg = a });
}

/* Whole lines, one after the other, until one cannot be answered at once. */
static void client_read(struct control_client *k)
{
	if (k->reading)
		return;
	k->reading = true;
	while (!k->dead && k->asking == NULL && buf_len(&k->out) == 0 && buf_len(&k->in) > 0) {
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

static bool may_speak(const struct control *c, int fd, uid_t *uid)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	*uid = peer.uid;
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
	uid_t uid;

	if (!may_speak(c, fd, &uid)) {
		close(fd);
		return;
	}
	struct control_client *k = xalloc(sizeof *k);

	k->control = c;
	k->uid = uid;
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

	c->admin = d->server->admin;
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
	free(c->path);
	free(c);
}
