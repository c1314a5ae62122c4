/* usage.c - CPU time and memory of processes and their descendants. */
#include "tests/bench/usage.h"
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "server/mem.h"

struct proc {
	pid_t pid, parent;
	double cpu_s;
	bool ours;
};

/* proc(5): fields 4 (ppid) and 14 to 17 (utime, stime, cutime, cstime); the name may hold anything. */
static bool read_stat(const char *pid, struct proc *p)
{
	char path[64], line[1024];
	unsigned long ut, st;
	long cut, cst;
	int parent;

	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return false;
	const size_t n = fread(line, 1, sizeof line - 1, f);

	fclose(f);
	line[n] = '\0';
	const char *rest = strrchr(line, ')');

	if (rest == NULL || sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
				    &parent, &ut, &st, &cut, &cst) != 5)
		return false;
	p->pid = (pid_t)atoi(pid);
	p->parent = (pid_t)parent;
	p->cpu_s = (double)(ut + st + (unsigned long)cut + (unsigned long)cst) / (double)sysconf(_SC_CLK_TCK);
	p->ours = false;
	return true;
}

static size_t read_all(struct proc **out)
{
	struct proc *all = NULL;
	size_t n = 0, room = 0;
	DIR *dir = opendir("/proc");

	if (dir == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (n == room) {
			room = room > 0 ? room * 2 : 256;
			all = xrealloc(all, room * sizeof *all);
		}
		if (read_stat(e->d_name, &all[n]))
			n++;
	}
	closedir(dir);
	*out = all;
	return n;
}

/* Mark the roots, then children of marked ones until nothing changes. */
static void mark(struct proc *all, size_t n, const pid_t *pids, size_t n_pids)
{
	bool more = true;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_pids; k++)
			all[i].ours = all[i].ours || all[i].pid == pids[k];
	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < n && !all[i].ours; k++)
				if (all[k].ours && all[k].pid == all[i].parent)
					all[i].ours = more = true;
	}
}

static uint64_t read_pss(pid_t pid)
{
	char path[64], line[256];
	uint64_t kib = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "Pss:", 4) == 0)
			kib = strtoull(line + 4, NULL, 10);
	fclose(f);
	return kib;
}

static struct usage measure(const pid_t *pids, size_t n_pids, bool memory)
{
	struct usage u = { 0 };
	struct proc *all = NULL;

	if (n_pids == 0)
		return u;
	const size_t n = read_all(&all);

	mark(all, n, pids, n_pids);
	for (size_t i = 0; i < n; i++) {
		if (!all[i].ours)
			continue;
		u.processes++;
		u.cpu_s += all[i].cpu_s;
		if (memory)
			u.pss_kib += read_pss(all[i].pid);
	}
	free(all);
	return u;
}

struct usage usage_cpu(const pid_t *pids, size_t n)
{
	return measure(pids, n, false);
}

struct usage usage_all(const pid_t *pids, size_t n)
{
	return measure(pids, n, true);
}

void usage_settle(const pid_t *pids, size_t n, unsigned limit_ms)
{
	enum { STEP_MS = 100 };
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	double last = usage_cpu(pids, n).cpu_s;

	for (unsigned waited = 0, quiet = 0; n > 0 && waited < limit_ms && quiet < 2; waited += STEP_MS) {
		nanosleep(&step, NULL);
		const double now = usage_cpu(pids, n).cpu_s;

		quiet = now - last < 0.005 ? quiet + 1 : 0;
		last = now;
	}
}
