/* jid.c - addresses. One allocation each: a head of 16 bytes and the forms that are asked for, each ended
 * by NUL, found by offset:
 *
 *     local@domain/resource 0  local@domain 0  local 0
 *     ^ 0            ^resource ^bare ^domain   ^local
 *
 * The full form comes first and is the bare one too if there is no resource. */
#include "server/jid.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "server/precis.h"

enum { PART_MAX = 1023, JID_MAX = 3 * PART_MAX + 2 }; /* RFC 7622 §3.1 */

_Static_assert((int)JID_MAX == (int)PRECIS_TEXT_MAX, "a JID and the text of a profile have one limit");

struct jid {
	_Atomic uint32_t refs;
	uint32_t hash;
	uint16_t bare, domain;    /* offsets in text */
	uint16_t local, resource; /* 0: none */
	char text[];
};

/* One part, borrowed; text NULL if there is none. */
struct part {
	const char *text;
	size_t len;
};

/* FNV-1a over the bare JID, then the last step of MurmurHash3, which spreads it over the low bits. It has
 * no key: every node of every release must come to the same shard. Who wants to fill one table chooses
 * names for it; tables that a stranger can fill have limits of their own. */
static uint32_t hash_of(const char *bare, size_t len)
{
	uint32_t h = UINT32_C(2166136261);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bare[i]) * UINT32_C(16777619);
	h = (h ^ h >> 16) * UINT32_C(0x85ebca6b);
	h = (h ^ h >> 13) * UINT32_C(0xc2b2ae35);
	return h ^ h >> 16;
}

static char *put(char *to, struct part p)
{
	memcpy(to, p.text, p.len);
	return to + p.len;
}

/* From parts in normal form. */
static struct jid *build(struct part local, struct part domain, struct part resource)
{
	const size_t head = local.text != NULL ? local.len + 1 : 0, bare = head + domain.len;
	const size_t full = bare + (resource.text != NULL ? resource.len + 1 : 0);
	struct jid *j = xalloc(sizeof *j + full + 1 + (resource.text != NULL ? bare + 1 : 0) + head);
	char *to = j->text;

	if (local.text != NULL) {
		to = put(to, local);
		*to++ = '@';
	}
	to = put(to, domain);
	j->hash = hash_of(j->text, bare);
	if (resource.text != NULL) {
		*to++ = '/';
		j->resource = (uint16_t)(to - j->text);
		to = put(to, resource);
		*to++ = '\0';
		j->bare = (uint16_t)(to - j->text);
		memcpy(to, j->text, bare);
		to += bare;
	}
	*to++ = '\0';
	j->domain = (uint16_t)(j->bare + head);
	if (local.text != NULL) {
		j->local = (uint16_t)(to - j->text);
		*put(to, local) = '\0';
	}
	atomic_init(&j->refs, 1);
	return j;
}

/* From parts as they came. */
static enum sterna_result prepare(struct part local, struct part domain, struct part resource, struct jid **out)
{
	char l[PART_MAX + 1], d[PART_MAX + 1], r[PART_MAX + 1];
	enum sterna_result rc;

	if ((rc = precis_domain(domain.text, domain.len, d, sizeof d)) != STERNA_OK)
		return rc;
	domain = (struct part){ d, strlen(d) };
	if (local.text != NULL) {
		if ((rc = precis_username(local.text, local.len, l, sizeof l)) != STERNA_OK)
			return rc;
		local = (struct part){ l, strlen(l) };
	}
	if (resource.text != NULL) {
		if ((rc = precis_opaque(resource.text, resource.len, r, sizeof r)) != STERNA_OK)
			return rc;
		resource = (struct part){ r, strlen(r) };
	}
	*out = build(local, domain, resource);
	return STERNA_OK;
}

/* The text is cut before anything is mapped: what maps to '@' or '/' is no separator (RFC 7622 §3.2). */
enum sterna_result jid_parse(const char *text, size_t len, struct jid **out)
{
	struct part local = { 0 }, domain = { text, len }, resource = { 0 };

	if (len > JID_MAX)
		return STERNA_ELIMIT;
	if (len == 0)
		return STERNA_EINVAL;
	const char *slash = memchr(text, '/', len);
	if (slash != NULL) {
		resource = (struct part){ slash + 1, len - (size_t)(slash + 1 - text) };
		domain.len = (size_t)(slash - text);
	}
	const char *at = memchr(text, '@', domain.len);
	if (at != NULL) {
		local = (struct part){ text, (size_t)(at - text) };
		domain = (struct part){ at + 1, domain.len - local.len - 1 };
	}
	return prepare(local, domain, resource, out);
}

/* Too long stays too long: the profiles refuse what is over JID_MAX. */
static struct part part_of(const char *s)
{
	return (struct part){ s, s != NULL ? strnlen(s, JID_MAX + 1) : 0 };
}

enum sterna_result jid_make(const char *local, const char *domain, const char *resource, struct jid **out)
{
	return prepare(part_of(local), part_of(domain), part_of(resource), out);
}

struct jid *jid_to_bare(const struct jid *j)
{
	if (j->resource == 0)
		return jid_ref(j);
	return build(part_of(jid_local(j)), part_of(jid_domain(j)), (struct part){ 0 });
}

struct jid *jid_to_domain(const struct jid *j)
{
	if (j->resource == 0 && j->local == 0)
		return jid_ref(j);
	return build((struct part){ 0 }, part_of(jid_domain(j)), (struct part){ 0 });
}

enum sterna_result jid_with_resource(const struct jid *j, const char *resource, struct jid **out)
{
	char r[PART_MAX + 1];
	const struct part raw = part_of(resource);
	const enum sterna_result rc = precis_opaque(raw.text, raw.len, r, sizeof r);

	if (rc == STERNA_OK)
		*out = build(part_of(jid_local(j)), part_of(jid_domain(j)), (struct part){ r, strlen(r) });
	return rc;
}

struct jid *jid_ref(const struct jid *j)
{
	struct jid *mine = (struct jid *)j; /* only the count changes */

	if (mine != NULL)
		atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
	return mine;
}

void jid_unref(struct jid **j)
{
	struct jid *mine = *j;

	*j = NULL;
	if (mine != NULL && atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1)
		free(mine);
}

const char *jid_full(const struct jid *j)
{
	return j->text;
}

const char *jid_bare(const struct jid *j)
{
	return j->text + j->bare;
}

const char *jid_local(const struct jid *j)
{
	return j->local != 0 ? j->text + j->local : NULL;
}

const char *jid_domain(const struct jid *j)
{
	return j->text + j->domain;
}

const char *jid_resource(const struct jid *j)
{
	return j->resource != 0 ? j->text + j->resource : NULL;
}

uint32_t jid_hash(const struct jid *j)
{
	return j->hash;
}

bool jid_equal(const struct jid *a, const struct jid *b)
{
	return a == b || (a != NULL && b != NULL && a->hash == b->hash && strcmp(a->text, b->text) == 0);
}

bool jid_bare_equal(const struct jid *a, const struct jid *b)
{
	return a == b || (a != NULL && b != NULL && a->hash == b->hash && strcmp(jid_bare(a), jid_bare(b)) == 0);
}
