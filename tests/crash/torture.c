/* torture.c - calls that fail: to be preloaded into a process (LD_PRELOAD).
 *
 * TORTURE_FILE names a file of three 64-bit numbers, mapped by both sides. The first counts down with each call that can
 * fail; the call that makes it zero fails, and the third says which it was. It stays still while it is zero. The second
 * counts all such calls.
 * A call fails as the system lets it fail: reads of files with EIO, writes with ENOSPC, sockets with ECONNRESET and EPIPE,
 * what makes a descriptor with EMFILE, an allocation with NULL. Allocations fail where a library asks for more than
 * SMALL bytes: what is small and of one size, a digest's context say, ends the process on purpose as the program's own does
 * (server/mem.h), and its large ones have met a limit before. Only with -DWITH_MEMORY, and not together with ASan, which
 * begins before this file can. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum call { NONE, READ, RECV, WRITE, SEND, SYNC, OPEN, ACCEPT, SOCKET, CUT, MEMORY };

struct plan {
	_Atomic int64_t left, seen, which;
};

static struct plan *plan;

#ifdef WITH_MEMORY
enum { RANGES = 16, SMALL = 512 };

static struct {
	uintptr_t from, to;
} libraries[RANGES];
static unsigned count;

/* Code of the libraries that say what becomes of a NULL. */
static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const char *const names[] = { "libcrypto.so", "libssl.so", "libsqlite3.so", "libpq.so", "libidn2.so", "libexpat.so" };

	(void)size;
	(void)arg;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		for (int p = 0; strstr(info->dlpi_name, names[i]) != NULL && p < info->dlpi_phnum; p++)
			if (info->dlpi_phdr[p].p_type == PT_LOAD && (info->dlpi_phdr[p].p_flags & PF_X) && count < RANGES) {
				libraries[count].from = info->dlpi_addr + info->dlpi_phdr[p].p_vaddr;
				libraries[count].to = libraries[count].from + info->dlpi_phdr[p].p_memsz;
				count++;
			}
	return 0;
}
#endif

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TORTURE_FILE");
	const int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
#ifdef WITH_MEMORY
	dl_iterate_phdr(look, NULL);
#endif
	void *p = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		abort();
	close(fd);
	plan = p;
}

static bool fails(enum call which)
{
	int64_t left;

	if (plan == NULL)
		return false;
	atomic_fetch_add(&plan->seen, 1);
	left = atomic_load(&plan->left);
	while (left > 0 && !atomic_compare_exchange_weak(&plan->left, &left, left - 1))
		;
	if (left != 1)
		return false;
	atomic_store(&plan->which, which);
	return true;
}

/* Not the pipes and counters that threads wake each other by. */
static enum call kind(int fd, enum call file, enum call socket)
{
	struct stat s;
	const int before = errno;
	const int rc = fstat(fd, &s);

	errno = before;
	return rc != 0 ? NONE : S_ISREG(s.st_mode) ? file : S_ISSOCK(s.st_mode) ? socket : NONE;
}

static bool fails_on(int fd, enum call file, enum call socket, int file_error, int socket_error)
{
	const enum call which = kind(fd, file, socket);

	if (which == NONE || !fails(which))
		return false;
	errno = which == file ? file_error : socket_error;
	return true;
}

ssize_t read(int fd, void *to, size_t len)
{
	return fails_on(fd, READ, RECV, EIO, ECONNRESET) ? -1 : REAL(read)(fd, to, len);
}

ssize_t pread64(int fd, void *to, size_t len, off64_t at)
{
	return fails_on(fd, READ, RECV, EIO, ECONNRESET) ? -1 : REAL(pread64)(fd, to, len, at);
}

ssize_t pread(int fd, void *to, size_t len, off_t at)
{
	return fails_on(fd, READ, RECV, EIO, ECONNRESET) ? -1 : REAL(pread)(fd, to, len, at);
}

ssize_t recv(int fd, void *to, size_t len, int flags)
{
	return fails_on(fd, READ, RECV, EIO, ECONNRESET) ? -1 : REAL(recv)(fd, to, len, flags);
}

ssize_t write(int fd, const void *from, size_t len)
{
	return fails_on(fd, WRITE, SEND, ENOSPC, EPIPE) ? -1 : REAL(write)(fd, from, len);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at)
{
	return fails_on(fd, WRITE, SEND, ENOSPC, EPIPE) ? -1 : REAL(pwrite64)(fd, from, len, at);
}

ssize_t writev(int fd, const struct iovec *from, int n)
{
	return fails_on(fd, WRITE, SEND, ENOSPC, EPIPE) ? -1 : REAL(writev)(fd, from, n);
}

ssize_t send(int fd, const void *from, size_t len, int flags)
{
	return fails_on(fd, WRITE, SEND, ENOSPC, EPIPE) ? -1 : REAL(send)(fd, from, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return fails_on(fd, WRITE, SEND, ENOSPC, EPIPE) ? -1 : REAL(sendmsg)(fd, m, flags);
}

#define FAIL(which, error) \
	do { \
		if (fails(which)) { \
			errno = error; \
			return -1; \
		} \
	} while (0)

int fsync(int fd)
{
	FAIL(SYNC, EIO);
	return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	FAIL(SYNC, EIO);
	return REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t len)
{
	FAIL(CUT, ENOSPC);
	return REAL(ftruncate64)(fd, len);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;

	FAIL(OPEN, EMFILE);
	va_start(ap, flags);
	const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;

	va_end(ap);
	return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;

	FAIL(OPEN, EMFILE);
	va_start(ap, flags);
	const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;

	va_end(ap);
	return REAL(open)(path, flags, mode);
}

int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	FAIL(ACCEPT, EMFILE);
	return REAL(accept4)(fd, from, len, flags);
}

int socket(int domain, int type, int protocol)
{
	FAIL(SOCKET, EMFILE);
	return REAL(socket)(domain, type, protocol);
}

/* --- memory --- */

#ifdef WITH_MEMORY

static bool library_asks(const void *caller, size_t size)
{
	for (unsigned i = 0; size > SMALL && i < count; i++)
		if ((uintptr_t)caller >= libraries[i].from && (uintptr_t)caller < libraries[i].to)
			return true;
	return false;
}

/* dlsym() may ask for memory itself. */
static void *early(size_t size)
{
	static char room[8192];
	static size_t used;

	used = (used + 15) & ~(size_t)15;
	if (used + size > sizeof room)
		abort();
	used += size;
	return room + used - size;
}

static __thread bool asking;

static void *real_of(const char *name)
{
	if (asking)
		return NULL;
	asking = true;
	void *f = dlsym(RTLD_NEXT, name);

	asking = false;
	return f;
}

void *malloc(size_t size)
{
	static void *(*real)(size_t);

	if (real == NULL && (real = (void *(*)(size_t))real_of("malloc")) == NULL)
		return early(size);
	return library_asks(__builtin_return_address(0), size) && fails(MEMORY) ? NULL : real(size);
}

void *calloc(size_t n, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (real == NULL && (real = (void *(*)(size_t, size_t))real_of("calloc")) == NULL)
		return early(n * size);
	return library_asks(__builtin_return_address(0), n * size) && fails(MEMORY) ? NULL : real(n, size);
}

void *realloc(void *old, size_t size)
{
	static void *(*real)(void *, size_t);

	if (real == NULL)
		real = (void *(*)(void *, size_t))real_of("realloc");
	return library_asks(__builtin_return_address(0), size) && fails(MEMORY) ? NULL : real(old, size);
}

#endif
