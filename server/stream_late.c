/* stream_late.c - what was asked for at once and is more than a connection should hold as bytes: the occupants of a large
 * room. The stanzas, which others share, wait in order, and are written as the peer takes what is before them. */
#include "server/stream_late.h"
#include <stdlib.h>
#include "server/session.h"
#include "server/stream.h"

struct late_entry {
	struct stanza *stanza;           /* a reference */
	struct jid *to;                  /* a reference, or NULL */
	size_t bytes;
	bool burst;
};
struct stream_late {
	struct late_entry *queue;        /* a ring */
	size_t head, count, size;
	size_t burst_bytes, bytes;       /* of what was asked for, and of the rest */
	bool writing;
};

static bool is_full(const struct stream *s)
{
	return buf_len(&s->transport->out) > s->worker->server->config->limits.output_high.bytes;
}

static void append(struct stream_late *l, struct stanza *st, const struct jid *to, bool burst)
{
	const size_t bytes = arena_size(st->arena);


	if (l->count == l->size) {
		const size_t size = l->size > 0 ? l->size * 2 : 64;
		struct late_entry *queue = xalloc(size * sizeof *queue);

		for (size_t i = 0; i < l->count; i++)
			queue[i] = l->queue[(l->head + i) % l->size];
		free(l->queue);
		l->queue = queue;
		l->head = 0;
		l->size = size;
	}
	l->queue[(l->head + l->count++) % l->size] = (struct late_entry){ stanza_ref(st), jid_ref(to), bytes, burst };
	*(burst ? &l->burst_bytes : &l->bytes) += bytes;
}

bool stream_is_late(struct stream *s, struct stanza *st, const struct jid *to)
{
	const struct config_limits *limits = &s->worker->server->config->limits;
	const bool burst = s->session != NULL && s->session->asked_for;
	struct stream_late *l = s->late;

	if (l == NULL && (!burst || !is_full(s)))
		return false;
	if (l != NULL && l->writing)
		return false;
	if (l == NULL)
		l = s->late = xalloc(sizeof *l);
	append(l, st, to, burst);
	if (l->count > limits->burst_count || l->burst_bytes > limits->burst_bytes.bytes
		|| l->bytes > limits->output_max.bytes) {
		log_notice("stream", "the peer does not read what it has asked for", "stream_id", s->id, "peer",
			s->transport->peer);
		stream_lost(s);
	}
	return true;
}

static struct late_entry take(struct stream_late *l)
{
	const struct late_entry e = l->queue[l->head];

	l->head = (l->head + 1) % l->size;
	l->count--;
	*(e.burst ? &l->burst_bytes : &l->bytes) -= e.bytes;
	return e;
}

void stream_late_write(struct stream *s)
{
	struct stream_late *l = s->late;

	if (l == NULL)
		return;
	l->writing = true;
	while (l->count > 0 && s->state == STREAM_BOUND && !is_full(s)) {
		struct late_entry e = take(l);

		stream_send(s, e.stanza, e.to);
		stanza_unref(&e.stanza);
		jid_unref(&e.to);
	}
	l->writing = false;
	if (l->count == 0)
		stream_late_free(s);
}

void stream_late_free(struct stream *s)
{
	struct stream_late *l = s->late;

	s->late = NULL;
	while (l != NULL && l->count > 0) {
		struct late_entry e = take(l);

		stanza_unref(&e.stanza);
		jid_unref(&e.to);
	}
	if (l != NULL)
		free(l->queue);
	free(l);
}
