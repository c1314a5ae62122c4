/* memory.c - /proc/self/statm and the control group's limit. */
#include "server/memory.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "max" (version 2), and version 1's largest number, are no limit. */
static uint64_t read_limit(const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t n = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1 || n >= (uint64_t)INT64_MAX / 2)
		n = 0;
	fclose(f);
	return n;
}

/* The group's own, or the nearest one's above it: in a container the path may not be visible, but its root is. */
static uint64_t limit_below(const char *root, char *group, const char *name)
{
	char path[PATH_MAX + 64];

	for (;;) {
		char *slash = strrchr(group, '/');

		snprintf(path, sizeof path, "%s%s/%s", root, group, name);
		const uint64_t n = read_limit(path);

		if (n > 0 || slash == NULL)
			return n;
		*slash = '\0';
	}
}

uint64_t memory_limit(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	uint64_t least = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *group = strrchr(line, ':');
		uint64_t n = 0;

		line[strcspn(line, "\n")] = '\0';
		if (group == NULL)
			continue;
		if (strncmp(line, "0::", 3) == 0)
			n = limit_below("/sys/fs/cgroup", group + 1, "memory.max");
		else if (strstr(line, ":memory:") != NULL)
			n = limit_below("/sys/fs/cgroup/memory", group + 1, "memory.limit_in_bytes");
		if (n > 0 && (least == 0 || n < least))
			least = n;
	}
	if (f != NULL)
		fclose(f);
	return least;
}

uint64_t memory_used(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
