/* s2s_seen.c - what other servers have sent us of late, so that what comes again is recognised.
 *
 * A peer that lost its stream, and cannot resume it, sends again what we have not confirmed: in order, as the first things
 * on its new stream. So messages are compared with those of before until the first that is new; those with an <origin-id/>
 * (XEP-0359 §3.1) always: where the peer was killed before it knew what it had sent, the client there sends it again, and
 * it comes behind others. A message without an id is never taken for another. Only what is committed is remembered: else the repetition is all there is. Where that is
 * not known yet, s2s_lookup.c waits for it. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>

/* Messages of all peers of a worker; a peer may have a few thousand under way. The oldest of a bucket makes room. */
enum { BUCKETS = 4096, BUCKET = 8 };

struct s2s_seen {
	uint64_t hash[BUCKETS][BUCKET];
	uint8_t next[BUCKETS];
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

static size_t bucket_of(uint64_t hash)
{
	return (hash ^ hash >> 32) % BUCKETS;
}

bool s2s_seen_has(const struct worker *w, uint64_t hash)
{
	for (size_t i = 0; w->seen != NULL && i < BUCKET; i++)
		if (w->seen->hash[bucket_of(hash)][i] == hash)
			return true;
	return false;
}

void s2s_seen_add(struct worker *w, uint64_t hash)
{
	struct s2s_seen *s = seen_of(w);
	const size_t n = bucket_of(hash);

	s->hash[n][s->next[n]] = hash;
	s->next[n] = (uint8_t)((s->next[n] + 1) % BUCKET);
}

/* --- whose commits are under way --- */

void s2s_seen_note(struct s2s_sm *m, uint32_t n, uint64_t hash)
{
	if (m->hashes == NULL)
		m->hashes = xalloc(S2S_RING * sizeof *m->hashes);
	m->hashes[n % S2S_RING] = hash;
}

void s2s_seen_outcome(struct s2s_sm *m, uint32_t n, bool committed)
{
	uint64_t *hash = m->hashes != NULL ? &m->hashes[n % S2S_RING] : NULL;

	if (hash == NULL || *hash == 0)
		return;
	if (committed)
		s2s_seen_add(m->worker, *hash);
	*hash = 0;
	s2s_lookup_hurry(m->worker);
}

bool s2s_seen_is_pending(const struct worker *w, uint64_t hash)
{
	for (const struct s2s_sm *m = w->s2s_sms; m != NULL; m = m->next)
		for (uint32_t n = m->committed; m->hashes != NULL && n != m->in;)
			if (m->hashes[++n % S2S_RING] == hash)
				return true;
	return false;
}

void s2s_seen_free(struct worker *w)
{
	free(w->seen);
	w->seen = NULL;
}
