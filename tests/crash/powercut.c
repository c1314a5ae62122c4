/* powercut.c - a disk that forgets what was not synced: to be preloaded into a process (LD_PRELOAD).
 *
 * POWERCUT_DIR: files below this folder are watched. POWERCUT_SHADOW: the folder that has, under the same names, what
 * would be on the disk if the power went now. What is written gets there with fsync() or fdatasync(), in order; and some
 * of it before, sector by sector, as a disk does that has room in its queue: POWERCUT_CHANCE percent (30). After the
 * process was killed the shadow is put in place of the files, and that was a loss of power.
 * A sector (512 bytes) is written as a whole. Names: a file's own fsync() makes its name durable, as with ext4. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, FDS = 65536 };

struct change {
	struct change *next;
	off_t at;
	size_t len;             /* SIZE_MAX: the file is cut there */
	char bytes[];
};

struct file {
	struct file *next;
	char path[PATH_MAX], shadow[PATH_MAX];
	struct change *first, **end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files, *by_fd[FDS];
static unsigned long long dice = 88172645463325252ULL;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static unsigned chance(void)
{
	static int percent = -1;

	if (percent < 0) {
		const char *text = getenv("POWERCUT_CHANCE");

		percent = text != NULL ? atoi(text) : 30;
		dice ^= (unsigned long long)getpid() << 20;
	}
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % 100 < (unsigned)percent;
}

static void fail(const char *what)
{
	fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
	abort();
}

static struct file *file_of(const char *path)
{
	const char *dir = getenv("POWERCUT_DIR"), *shadow = getenv("POWERCUT_SHADOW");
	const size_t n = strlen(path);
	struct file *f;

	if (dir == NULL || shadow == NULL || strncmp(path, dir, strlen(dir)) != 0 || (n > 4 && strcmp(path + n - 4, "-shm") == 0))
		return NULL;
	for (f = files; f != NULL; f = f->next)
		if (strcmp(f->path, path) == 0)
			return f;
	f = calloc(1, sizeof *f);
	if (f == NULL)
		fail("memory");
	snprintf(f->path, sizeof f->path, "%s", path);
	snprintf(f->shadow, sizeof f->shadow, "%s/%s", shadow, strrchr(path, '/') + 1);
	f->end = &f->first;
	f->next = files;
	files = f;
	return f;
}

static void opened(int fd, const char *path)
{
	struct stat st;

	if (fd < 0 || fd >= FDS)
		return;
	pthread_mutex_lock(&lock);
	by_fd[fd] = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? file_of(path) : NULL;
	pthread_mutex_unlock(&lock);
}

static void apply(int fd, const struct change *c)
{
	if (c->len == SIZE_MAX ? REAL(ftruncate64)(fd, c->at) != 0
		: REAL(pwrite64)(fd, c->bytes, c->len, c->at) != (ssize_t)c->len)
		fail("the shadow cannot be written");
}

static int shadow_fd(const struct file *f)
{
	const int fd = REAL(open64)(f->shadow, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(f->shadow);
	return fd;
}

static void note(int fd, const void *bytes, size_t len, off_t at)
{
	struct file *f = fd >= 0 && fd < FDS ? by_fd[fd] : NULL;

	if (f == NULL)
		return;
	pthread_mutex_lock(&lock);
	struct change *c = malloc(sizeof *c + (bytes != NULL ? len : 0));

	if (c == NULL)
		fail("memory");
	*c = (struct change){ .at = at, .len = bytes != NULL ? len : SIZE_MAX };
	if (bytes != NULL)
		memcpy(c->bytes, bytes, len);
	*f->end = c;
	f->end = &c->next;
	/* Only what lies in a file that the disk knows already. */
	if (access(f->shadow, F_OK) == 0 && bytes != NULL) {
		const int to = shadow_fd(f);

		for (size_t n = 0; n < len;) {
			size_t part = SECTOR - (size_t)(at + (off_t)n) % SECTOR;

			if (part > len - n)
				part = len - n;
			if (chance() && REAL(pwrite64)(to, (const char *)bytes + n, part, at + (off_t)n) != (ssize_t)part)
				fail("the shadow cannot be written");
			n += part;
		}
		REAL(close)(to);
	}
	pthread_mutex_unlock(&lock);
}

static int sync_file(int fd)
{
	struct file *f = fd >= 0 && fd < FDS ? by_fd[fd] : NULL;

	if (f == NULL)
		return 0;
	pthread_mutex_lock(&lock);
	const int to = shadow_fd(f);

	for (struct change *c; (c = f->first) != NULL;) {
		apply(to, c);
		f->first = c->next;
		free(c);
	}
	f->end = &f->first;
	REAL(close)(to);
	pthread_mutex_unlock(&lock);
	return 0;
}

/* --- what is called instead --- */

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		va_list ap; \
		va_start(ap, flags); \
		const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0; \
		va_end(ap); \
		const int fd = REAL(name)(path, flags, mode); \
		opened(fd, path); \
		return fd; \
	}
OPEN(open)
OPEN(open64)

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		by_fd[fd] = NULL;
	return REAL(close)(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	const ssize_t n = REAL(pwrite64)(fd, bytes, len, at);

	if (n > 0)
		note(fd, bytes, (size_t)n, at);
	return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return pwrite64(fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	const off_t at = fd >= 0 && fd < FDS && by_fd[fd] != NULL ? lseek(fd, 0, SEEK_CUR) : -1;
	const ssize_t n = REAL(write)(fd, bytes, len);

	if (n > 0 && at >= 0)
		note(fd, bytes, (size_t)n, at);
	return n;
}

int ftruncate64(int fd, off64_t len)
{
	const int rc = REAL(ftruncate64)(fd, len);

	if (rc == 0)
		note(fd, NULL, 0, len);
	return rc;
}

int ftruncate(int fd, off_t len)
{
	return ftruncate64(fd, len);
}

int fsync(int fd)
{
	return sync_file(fd);
}

int fdatasync(int fd)
{
	return sync_file(fd);
}

int unlink(const char *path)
{
	pthread_mutex_lock(&lock);
	struct file *f = file_of(path);

	if (f != NULL) {
		for (struct change *c; (c = f->first) != NULL;) {
			f->first = c->next;
			free(c);
		}
		f->end = &f->first;
		REAL(unlink)(f->shadow);
	}
	pthread_mutex_unlock(&lock);
	return REAL(unlink)(path);
}
