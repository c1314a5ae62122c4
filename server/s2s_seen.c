/* s2s_seen.c - what other servers have sent us of late, so that what comes again is recognised.
 *
 * A peer that lost its stream, and cannot resume it, sends again what we have not confirmed: in order, as the first things
 * on its new stream. So messages are compared with those of before until the first that is new. A message without an id
 * is never taken for another. Only what is committed is remembered: else the repetition is all there is. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>

enum { SEEN_MAX = 32768 };       /* messages of all peers of a worker; a peer may have a few thousand under way */

struct s2s_seen {
	uint64_t hash[SEEN_MAX];
	size_t next;
	uint64_t seed;           /* nobody outside knows it: collisions cannot be prepared */
};

static struct s2s_seen *seen_of(struct worker *w)
{
	if (w->seen == NULL) {
		w->seen = xalloc(sizeof *w->seen);
		loop_random(w->loop, &w->seen->seed, sizeof w->seen->seed);
	}
	return w->seen;
}

/* FNV-1a, 64 bits. */
static uint64_t add(uint64_t h, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
	return (h ^ 0xff) * 1099511628211u; /* ends the field */
}

uint64_t s2s_seen_hash(struct worker *w, const struct stanza *st)
{
	const char *id = stanza_id(st), *type = elem_attr(st->elem, "type");
	struct buf inner = BUF_INIT;
	uint64_t h;

	if (st->kind != STERNA_MESSAGE || id == NULL || *id == '\0')
		return 0;
	elem_write_inner(&inner, st->elem);
	h = 14695981039346656037u ^ seen_of(w)->seed;
	h = add(h, id, strlen(id));
	h = add(h, jid_full(st->from), strlen(jid_full(st->from)));
	h = add(h, jid_full(st->to), strlen(jid_full(st->to)));
	h = add(h, type != NULL ? type : "", type != NULL ? strlen(type) : 0);
	h = add(h, buf_data(&inner), buf_len(&inner));
	buf_release(&inner);
	return h != 0 ? h : 1;
}

bool s2s_seen_before(const struct worker *w, uint64_t hash)
{
	for (size_t i = 0; w->seen != NULL && i < SEEN_MAX; i++)
		if (w->seen->hash[i] == hash)
			return true;
	return false;
}

void s2s_seen_add(struct worker *w, uint64_t hash)
{
	struct s2s_seen *s = seen_of(w);

	s->hash[s->next] = hash;
	s->next = (s->next + 1) % SEEN_MAX;
}

void s2s_seen_free(struct worker *w)
{
	free(w->seen);
	w->seen = NULL;
}
