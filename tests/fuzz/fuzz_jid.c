/* fuzz_jid.c - a JID that is accepted is in normal form: read again it is the same, and so are its parts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "server/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int held)
{
	if (!held)
		abort();
}

static void check_parts(const struct jid *j)
{
	struct jid *again = NULL, *bare = jid_to_bare(j), *domain = jid_to_domain(j);
	const char *local = jid_local(j), *resource = jid_resource(j);

	must(jid_parse(jid_full(j), strlen(jid_full(j)), &again) == STERNA_OK && jid_equal(again, j));
	jid_unref(&again);
	must(jid_make(local, jid_domain(j), resource, &again) == STERNA_OK && jid_equal(again, j));
	jid_unref(&again);
	must(jid_bare_equal(bare, j) && strcmp(jid_full(bare), jid_bare(j)) == 0);
	must(strcmp(jid_full(domain), jid_domain(j)) == 0);
	must(strpbrk(jid_domain(j), "@/ <>&'\"") == NULL && strlen(jid_domain(j)) <= 1023);
	must(local == NULL || (strpbrk(local, "@/ <>&'\":") == NULL && strlen(local) <= 1023 && *local != '\0'));
	must(resource == NULL || (strlen(resource) <= 1023 && *resource != '\0'));
	jid_unref(&bare);
	jid_unref(&domain);
}

static void check_profile(enum sterna_result (*profile)(const char *, size_t, char *, size_t), const char *s, size_t n)
{
	char once[1024], twice[1024];

	if (profile(s, n, once, sizeof once) == STERNA_OK)
		must(profile(once, strlen(once), twice, sizeof twice) == STERNA_OK && strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size > 0 ? size : 1); /* exactly as long as it is: ASan sees one byte more */
	struct jid *j = NULL;

	if (size > 0)
		memcpy(text, data, size);
	if (jid_parse(text, size, &j) == STERNA_OK)
		check_parts(j);
	jid_unref(&j);
	check_profile(precis_username, text, size);
	check_profile(precis_opaque, text, size);
	check_profile(precis_nickname, text, size);
	check_profile(precis_domain, text, size);
	free(text);
	return 0;
}
