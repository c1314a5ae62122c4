/* clock.c - a wall clock that can be set: to be preloaded into a process (LD_PRELOAD). CLOCK_OFFSET names a file of eight
 * bytes: by how many seconds the time is wrong now. Other clocks are as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t offset(void)
{
	static const volatile int64_t *mapped;
	const char *path = getenv("CLOCK_OFFSET");

	if (mapped == NULL && path != NULL) {
		const int fd = open(path, O_RDONLY | O_CLOEXEC);
		void *p = fd >= 0 ? mmap(NULL, sizeof *mapped, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

		if (p == MAP_FAILED)
			abort();
		close(fd);
		mapped = p;
	}
	return mapped != NULL ? *mapped : 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);

	if (real == NULL)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	const int rc = real(id, t);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += offset();
	return rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
