/* http_file.c - one step after the other, each a work for a helper thread: while it runs, the connection is not read (or
 * has nothing more to send), and the struct is the helper's. */
#include "server/http_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 65536, PATH_BYTES = 512 };
enum step { OPEN_NEW, WRITE, FINISH, REMOVE, OPEN_OLD, READ };

struct http_file {
	struct work work;
	struct http_conn *conn;              /* NULL: gone */
	struct worker *worker;
	enum step step;
	bool busy, saving;
	int fd;
	int error;                           /* errno of the step */
	char path[PATH_BYTES], temporary[PATH_BYTES];
	char *piece;
	size_t len;
	uint64_t left;                       /* still to be taken, or to be sent */
	uint64_t at, size;
	struct timespec changed;
};

/* --- on a helper thread --- */

static bool make_folders(const char *path)
{
	char folder[PATH_BYTES];

	for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			return false;
	}
	return true;
}

static bool write_all(const struct http_file *f)
{
	for (size_t done = 0; done < f->len;) {
		const ssize_t n = write(f->fd, f->piece + done, f->len - done);

		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* A name is durable when its folder is. */
static bool sync_folder(const char *path)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');

	memcpy(folder, path, (size_t)(slash - path));
	folder[slash - path] = '\0';
	const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_old(struct http_file *f)
{
	struct stat st;

	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = ENOENT;
		return false;
	}
	f->size = (uint64_t)st.st_size;
	f->changed = st.st_mtim;
	return true;
}

static bool read_piece(struct http_file *f)
{
	const size_t want = f->left < PIECE ? (size_t)f->left : PIECE;
	const ssize_t n = pread(f->fd, f->piece, want, (off_t)f->at);

	f->len = n > 0 ? (size_t)n : 0;
	errno = n == 0 ? EIO : errno; /* it became shorter */
	return n > 0;
}

static bool run_step(struct http_file *f)
{
	switch (f->step) {
	case OPEN_NEW:
		if (!make_folders(f->temporary))
			return false;
		f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		return f->fd >= 0;
	case WRITE:
		return write_all(f);
	case FINISH:
		return fsync(f->fd) == 0 && link(f->temporary, f->path) == 0 && unlink(f->temporary) == 0 && sync_folder(f->path);
	case REMOVE:
		return unlink(f->temporary) == 0;
	case OPEN_OLD:
		return open_old(f);
	case READ:
		return read_piece(f);
	}
	return false;
}

static void on_run(struct work *w)
{
	struct http_file *f = (struct http_file *)w;

	errno = 0;
	f->error = run_step(f) ? 0 : errno != 0 ? errno : EIO;
}

/* --- on the worker --- */

static void on_done(struct work *w);

static void dispose(struct http_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->piece);
	free(f);
}

/* @return false: too much is waiting for helpers */
static bool do_step(struct http_file *f, enum step step)
{
	if (f->worker->stopping)
		return false; /* helpers end before loops do */
	f->step = step;
	work_init(&f->work, f->worker->loop, on_run, on_done);
	f->busy = work_submit(f->worker->server->pool, &f->work) == STERNA_OK;
	return f->busy;
}

static void forget(struct http_file *f)
{
	struct http_conn *c = f->conn;

	if (c != NULL)
		c->store = NULL;
	f->conn = NULL;
}

/* The end of it: nothing half made stays behind. */
static void release(struct http_file *f)
{
	const bool left = f->saving && f->fd >= 0 && f->step != REMOVE && (f->step != FINISH || f->error != 0);

	forget(f);
	if (left && do_step(f, REMOVE))
		return;
	if (left)
		(void)!unlink(f->temporary); /* no helper has time: better a moment here than a file that stays */
	dispose(f);
}

static void give_up(struct http_file *f, unsigned status, const char *text)
{
	struct http_conn *c = f->conn;

	release(f);
	if (c == NULL)
		return;
	http_conn_give_up(c, status, text);
}

static void failed(struct http_file *f)
{
	const int e = f->error;

	if (e == ENOENT || e == ELOOP || e == ENOTDIR) {
		give_up(f, 404, "there is nothing here\n");
	} else if (e == EEXIST) {
		give_up(f, 409, "this is here already\n");
	} else {
		log_error("http", "a file cannot be used", "path", f->path, "error", strerrordesc_np(e));
		give_up(f, e == ENOSPC || e == EDQUOT ? 507 : 500, "the file cannot be used\n");
	}
}

static void go_on_taking(struct http_file *f)
{
	if (f->left > 0)
		http_conn_resume(f->conn);
	else if (!do_step(f, FINISH))
		give_up(f, 503, "too busy\n");
}

static void saved(struct http_file *f)
{
	struct http_conn *c = f->conn;

	f->saving = false;
	release(f);
	if (c == NULL)
		return;
	c->state = HTTP_ANSWER;
	sterna_http_reply(&c->request, 201, NULL, NULL, 0);
	http_conn_answer(c);
}

enum sterna_result http_range(const char *header, uint64_t size, uint64_t *from, uint64_t *to)
{
	char *end;

	if (header == NULL || strncmp(header, "bytes=", 6) != 0 || strchr(header, ',') != NULL)
		return STERNA_ENOTFOUND; /* several: the whole is an answer too */
	header += 6;
	if (*header == '-') {
		const uint64_t last = strtoull(header + 1, &end, 10);

		if (header[1] < '0' || header[1] > '9' || *end != '\0')
			return STERNA_ENOTFOUND;
		if (last == 0 || size == 0)
			return STERNA_ELIMIT;
		*from = last < size ? size - last : 0;
		*to = size - 1;
		return STERNA_OK;
	}
	if (*header < '0' || *header > '9')
		return STERNA_ENOTFOUND;
	*from = strtoull(header, &end, 10);
	if (*end++ != '-')
		return STERNA_ENOTFOUND;
	*to = size - 1;
	if (*end != '\0') {
		if (*end < '0' || *end > '9')
			return STERNA_ENOTFOUND;
		const uint64_t last = strtoull(end, &end, 10);

		if (*end != '\0' || last < *from)
			return STERNA_ENOTFOUND;
		*to = last < *to ? last : *to;
	}
	return size == 0 || *from >= size ? STERNA_ELIMIT : STERNA_OK;
}

static void read_next(struct http_file *f)
{
	if (f->left > 0) {
		if (!do_step(f, READ)) {
			struct http_conn *c = f->conn;

			release(f);
			http_conn_drop(c); /* in the middle of an answer there is no other word for it */
		}
		return;
	}
	struct http_conn *c = f->conn;

	release(f);
	http_conn_sent(c);
}

static void opened_old(struct http_file *f)
{
	struct http_conn *c = f->conn;
	struct sterna_http_request *r = &c->request;
	uint64_t from = 0, to = f->size - 1;
	char text[80];
	const enum sterna_result rc = http_range(http_head_get(&c->head, "Range"), f->size, &from, &to);

	sterna_http_add_header(r, "Accept-Ranges", "bytes");
	if (rc == STERNA_ELIMIT) {
		snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)f->size);
		sterna_http_add_header(r, "Content-Range", text);
		give_up(f, 416, "there is no such part\n");
		return;
	}
	if (rc == STERNA_OK) {
		snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)from, (unsigned long long)to,
			(unsigned long long)f->size);
		sterna_http_add_header(r, "Content-Range", text);
	}
	f->at = from;
	f->left = f->size == 0 ? 0 : to - from + 1;
	r->status = rc == STERNA_OK ? 206 : 200;
	http_conn_send_head(c, f->left);
	if (strcmp(c->head.method, "HEAD") == 0)
		f->left = 0;
	f->piece = xalloc(PIECE);
	read_next(f);
}

static void on_done(struct work *w)
{
	struct http_file *f = (struct http_file *)w;

	f->busy = false;
	if (f->conn == NULL || f->step == REMOVE) {
		if (f->step == REMOVE)
			dispose(f);
		else
			release(f);
		return;
	}
	if (w->cancelled)
		f->error = ESHUTDOWN;
	if (f->error != 0 && f->step == READ) {
		struct http_conn *c = f->conn;

		release(f);
		http_conn_drop(c);
	} else if (f->error != 0) {
		failed(f);
	} else if (f->step == FINISH) {
		saved(f);
	} else if (f->step == OPEN_OLD) {
		opened_old(f);
	} else if (f->step == READ) {
		f->at += f->len;
		f->left -= f->len;
		buf_add(&f->conn->transport->out, f->piece, f->len);
		transport_send_later(f->conn->transport);
		if (f->left == 0)
			read_next(f); /* else when it has left: http_file_drained() */
	} else {
		go_on_taking(f);
	}
}

static size_t take(void *store, const char *bytes, size_t len)
{
	struct http_file *f = store;

	if (f->busy || f->left == 0)
		return 0;
	len = len < PIECE ? len : PIECE;
	len = len < f->left ? len : (size_t)f->left;
	memcpy(f->piece, bytes, len);
	f->len = len;
	f->left -= len;
	f->conn->transport->ops->set_reading(f->conn->transport, false);
	if (!do_step(f, WRITE))
		give_up(f, 503, "too busy\n");
	return len;
}

static void drained(void *store)
{
	struct http_file *f = store;

	if (!f->saving && !f->busy && f->step == READ && buf_len(&f->conn->transport->out) < PIECE)
		read_next(f);
}

static void leave(void *store)
{
	struct http_file *f = store;

	f->conn = NULL;
	if (!f->busy)
		release(f);
}

static const struct http_store as_file = { take, drained, leave };

static struct http_file *file_new(struct http_conn *c, const char *path)
{
	struct http_file *f = xalloc(sizeof *f);

	f->conn = c;
	f->worker = c->worker;
	f->fd = -1;
	snprintf(f->path, sizeof f->path, "%s", path);
	c->how = &as_file;
	c->store = f;
	return f;
}

void http_file_save(struct http_conn *c, const char *path, uint64_t size)
{
	struct http_file *f = file_new(c, path);
	char token[33];

	worker_token(c->worker, token);
	snprintf(f->temporary, sizeof f->temporary, "%.400s.%s", path, token);
	f->saving = true;
	f->left = size;
	f->piece = xalloc(PIECE);
	c->transport->ops->set_reading(c->transport, false);
	if (strlen(path) > 400 || !do_step(f, OPEN_NEW))
		give_up(f, 503, "too busy\n");
}

void http_file_send(struct http_conn *c, const char *path)
{
	struct http_file *f = file_new(c, path);

	if (!do_step(f, OPEN_OLD))
		give_up(f, 503, "too busy\n");
}
