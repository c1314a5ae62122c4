/* fuzz_pie.c - files of XEP-0227: whatever the bytes, reading ends, and users begin and end in pairs. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "server/pie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_user(void *arg, struct pie_reader *r, const char *host, const char *name, const char *password)
{
	int *open = arg;

	(void)r;
	(void)password;
	if (host == NULL || name == NULL || ++*open != 1)
		abort();
}

static void on_item(void *arg, struct pie_reader *r, enum pie_place place, struct arena *a, struct sterna_elem *e)
{
	(void)r;
	(void)place;
	(void)a;
	if (*(int *)arg != 1 || e == NULL || e->name == NULL)
		abort();
}

static void on_user_end(void *arg, struct pie_reader *r)
{
	int *open = arg;

	(void)r;
	if (--*open != 0)
		abort();
}

static void on_unknown(void *arg, struct pie_reader *r, const char *ns, const char *name)
{
	(void)arg;
	if (*name == '\0' && *ns == '\0')
		pie_refuse(r, STERNA_EINVAL, "no name");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pie_handler handler = { on_user, on_item, on_user_end, on_unknown, NULL };
	const int fd = memfd_create("pie", MFD_CLOEXEC);
	struct pie_error err;
	char path[64];
	int open = 0;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (pie_read(path, &handler, &open, &err) == STERNA_OK && open != 0)
		abort();
	close(fd);
	return 0;
}
