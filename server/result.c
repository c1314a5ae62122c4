/* result.c - the words for results. */
#include "server/result.h"
#include <stddef.h>

const char *sterna_result_text(enum sterna_result rc)
{
	static const char *const words[] = {
		[STERNA_OK] = "ok",
		[STERNA_EINVAL] = "invalid",
		[STERNA_ELIMIT] = "limit reached",
		[STERNA_ENOTFOUND] = "not found",
		[STERNA_EEXISTS] = "exists already",
		[STERNA_EDENIED] = "not allowed",
		[STERNA_EUNAVAILABLE] = "unavailable",
		[STERNA_EUNCERTAIN] = "not known whether done",
		[STERNA_EIO] = "input/output error",
		[STERNA_EAGAIN] = "nothing yet",
		[STERNA_ECLOSED] = "closed",
	};

	return (unsigned)rc < sizeof words / sizeof *words && words[rc] != NULL ? words[rc] : "unknown";
}
