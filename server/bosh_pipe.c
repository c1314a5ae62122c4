/* bosh_pipe.c - a transport without a socket. Each side puts things in under the lock and posts a mail to the other's loop,
 * unless one is on its way. A stream that moves is not there for a while (stream_loop is NULL); its new loop looks. */
#include "server/bosh_pipe.h"
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"

enum { TO_HOME_MAX = 262144 };       /* more stays in the stream's output, whose limits then count */

struct bosh_pipe {
	struct transport t;              /* the stream's half … */
	struct task end_task;
	struct bosh_item *present;       /* what the stream is to take now */
	bool reading, closing;           /* … to here */
	bosh_wake_fn *wake;              /* the home's half */
	void *home;                      /* NULL: gone */
	struct loop *home_loop;
	pthread_mutex_t lock;            /* of all below */
	unsigned refs;
	struct loop *stream_loop;        /* NULL: on its way, or gone */
	struct bosh_item *first, **last;
	size_t waiting;
	struct buf to_home;
	char id[33];
	const char *condition;
	bool waking_home, waking_stream, ended, left, known;
};

static struct bosh_pipe *pipe_of(struct transport *t)
{
	return (struct bosh_pipe *)(void *)t;
}

void bosh_items_free(struct bosh_item **first)
{
	while (*first != NULL) {
		struct bosh_item *i = *first;

		*first = i->next;
		arena_free(&i->arena);
		free(i);
	}
}

static void unref(struct bosh_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	const bool last = --p->refs == 0;

	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	bosh_items_free(&p->first);
	buf_release(&p->to_home);
	buf_release(&p->t.out);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- mails --- */

struct wake {
	struct mail mail;
	struct bosh_pipe *pipe;
};

static void on_home_woken(struct mail *m, struct loop *l)
{
	struct bosh_pipe *p = ((struct wake *)m)->pipe;

	(void)l;
	free(m);
	pthread_mutex_lock(&p->lock);
	p->waking_home = false;
	pthread_mutex_unlock(&p->lock);
	if (p->home != NULL)
		p->wake(p->home);
	unref(p);
}

static void pull(struct bosh_pipe *p);

static void on_stream_woken(struct mail *m, struct loop *l)
{
	struct bosh_pipe *p = ((struct wake *)m)->pipe;

	free(m);
	pthread_mutex_lock(&p->lock);
	const bool here = p->stream_loop == l;

	if (here)
		p->waking_stream = false;
	pthread_mutex_unlock(&p->lock);
	if (here)
		pull(p);
	unref(p);
}

/* With the lock held. */
static void post(struct bosh_pipe *p, struct loop *l, mail_fn *fn)
{
	struct wake *w = xalloc(sizeof *w);

	w->mail.run = fn;
	w->pipe = p;
	p->refs++;
	loop_post(l, &w->mail);
}

static void wake_home(struct bosh_pipe *p)
{
	if (p->waking_home || p->left)
		return;
	p->waking_home = true;
	post(p, p->home_loop, on_home_woken);
}

static void wake_stream(struct bosh_pipe *p)
{
	if (p->waking_stream || p->stream_loop == NULL)
		return;
	p->waking_stream = true;
	post(p, p->stream_loop, on_stream_woken);
}

/* --- the stream's half --- */

static void to_home(struct bosh_pipe *p, bool all)
{
	struct buf *out = &p->t.out;

	pthread_mutex_lock(&p->lock);
	if (buf_len(out) > 0 && (all || buf_len(&p->to_home) < TO_HOME_MAX)) {
		buf_add(&p->to_home, buf_data(out), buf_len(out));
		p->t.bytes_out += buf_len(out);
		buf_release(out);
		wake_home(p);
	}
	pthread_mutex_unlock(&p->lock);
}

static void on_flush(struct task *t, void *arg)
{
	(void)t;
	to_home(arg, false);
}

static void on_end(struct task *t, void *arg)
{
	struct bosh_pipe *p = arg;

	(void)t;
	p->t.handler->on_closed(p->t.arg, STERNA_ECLOSED, "closed");
}

static struct bosh_item *pop(struct bosh_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	struct bosh_item *i = p->first;

	if (i != NULL) {
		p->first = i->next;
		if (p->waiting >= BOSH_WAITING_MAX && p->waiting - i->bytes < BOSH_WAITING_MAX)
			wake_home(p);
		p->waiting -= i->bytes;
		if (p->first == NULL)
			p->last = &p->first;
	}
	pthread_mutex_unlock(&p->lock);
	return i;
}

/* What has come, until the stream is held, or moves, or ends. The caller holds a reference. */
static void pull(struct bosh_pipe *p)
{
	const bool had = buf_len(&p->t.out) > 0;
	struct bosh_item *i;
	bool left;

	to_home(p, false);
	if (had && buf_len(&p->t.out) == 0)
		p->t.handler->on_drained(p->t.arg);
	while (p->reading && !p->closing && p->t.loop != NULL && (i = pop(p)) != NULL) {
		i->next = NULL;
		p->present = i;
		p->t.handler->on_read(p->t.arg, "", i->bytes);
		bosh_items_free(&p->present); /* a stream that is over does not take it */
	}
	pthread_mutex_lock(&p->lock);
	left = p->left && p->stream_loop != NULL && (p->first == NULL || p->closing);
	pthread_mutex_unlock(&p->lock);
	if (left && !p->closing) {
		p->closing = true;
		loop_defer(p->t.loop, &p->end_task);
	}
}

static void pipe_start_tls(struct transport *t)
{
	(void)t; /* no rule of a stream over HTTP gets here */
}

static void pipe_flush(struct transport *t)
{
	to_home(pipe_of(t), false);
}

static void pipe_set_reading(struct transport *t, bool on)
{
	struct bosh_pipe *p = pipe_of(t);

	p->reading = on;
	pthread_mutex_lock(&p->lock);
	if (on && (p->first != NULL || p->left))
		wake_stream(p);
	pthread_mutex_unlock(&p->lock);
}

static void pipe_close(struct transport *t)
{
	struct bosh_pipe *p = pipe_of(t);

	to_home(p, true);
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	wake_home(p);
	pthread_mutex_unlock(&p->lock);
	p->closing = true;
	loop_defer(t->loop, &p->end_task);
}

static void pipe_detach(struct transport *t)
{
	struct bosh_pipe *p = pipe_of(t);

	loop_undefer(t->loop, &t->flush_task);
	loop_undefer(t->loop, &p->end_task);
	t->loop = NULL;
	pthread_mutex_lock(&p->lock);
	p->stream_loop = NULL;
	p->waking_stream = false;
	pthread_mutex_unlock(&p->lock);
}

static void pipe_attach(struct transport *t, struct loop *l)
{
	struct bosh_pipe *p = pipe_of(t);

	t->loop = l;
	task_init(&t->flush_task, on_flush, p);
	task_init(&p->end_task, on_end, p);
	pthread_mutex_lock(&p->lock);
	p->stream_loop = l;
	wake_stream(p);
	pthread_mutex_unlock(&p->lock);
	if (p->closing)
		loop_defer(l, &p->end_task);
}

static void pipe_free(struct transport **t)
{
	struct bosh_pipe *p = pipe_of(*t);

	*t = NULL;
	if (p->t.loop != NULL) {
		loop_undefer(p->t.loop, &p->t.flush_task);
		loop_undefer(p->t.loop, &p->end_task);
	}
	pthread_mutex_lock(&p->lock);
	p->stream_loop = NULL;
	p->ended = true;
	wake_home(p);
	pthread_mutex_unlock(&p->lock);
	p->t.loop = NULL;
	unref(p);
}

static enum sterna_result no_binding(struct transport *t, const char *type, unsigned char *out, size_t size, size_t *len)
{
	(void)t, (void)type, (void)out, (void)size, (void)len;
	return STERNA_ENOTFOUND; /* the TLS there is belongs to single requests */
}

static void be_patient(struct transport *t, bool on)
{
	(void)t, (void)on; /* that is a matter of the requests' connections */
}

static bool is_late(struct transport *t)
{
	return bosh_pipe_waiting(pipe_of(t)) > 0;
}

static const char *nothing(struct transport *t)
{
	(void)t;
	return NULL;
}

static const char *no_addr(struct transport *t, size_t index)
{
	(void)t, (void)index;
	return NULL;
}

static const struct transport_ops ops = {
	.start_tls = pipe_start_tls, .flush = pipe_flush, .set_reading = pipe_set_reading, .close = pipe_close,
	.free = pipe_free, .detach = pipe_detach, .attach = pipe_attach, .channel_binding = no_binding,
	.set_patient = be_patient, .is_late = is_late,
	.tls_version = nothing, .tls_cipher = nothing, .tls_sni = nothing, .peer_xmpp_addr = no_addr,
};

/* --- the framing: XEP-0206 --- */

static void header(struct stream *s, const char *from)
{
	struct bosh_pipe *p = s->framed;

	(void)from;
	pthread_mutex_lock(&p->lock);
	memcpy(p->id, s->id, sizeof p->id);
	pthread_mutex_unlock(&p->lock);
}

static size_t begin(struct stream *s)
{
	(void)s;
	return 0;
}

static void end(struct stream *s, size_t at)
{
	(void)s, (void)at;
}

/* §4.3: a stream error is the end of the session, and its condition says so. */
static void close_stream(struct stream *s)
{
	static const char error[] = "</stream:error>";
	struct bosh_pipe *p = s->framed;
	const struct buf *out = &s->transport->out;
	const size_t n = sizeof error - 1;

	pthread_mutex_lock(&p->lock);
	if (buf_len(out) >= n && memcmp(buf_data(out) + buf_len(out) - n, error, n) == 0)
		p->condition = "remote-stream-error";
	pthread_mutex_unlock(&p->lock);
}

static void take_item(struct stream *s, struct bosh_item *i)
{
	switch (i->kind) {
	case BOSH_OPEN:
		if (s->header_sent)
			stream_error(s, "bad-format", "the stream is open");
		else
			stream_opened(s, i->element);
		break;
	case BOSH_ELEMENT:
		if (s->header_sent)
			stream_element(s, &i->arena, i->element);
		else
			stream_error(s, "bad-format", "a restart was to come first");
		break;
	case BOSH_END:
		stream_end_seen(s);
		break;
	}
}

static void read_item(struct stream *s, const char *bytes, size_t len)
{
	struct bosh_pipe *p = s->framed;
	struct bosh_item *i = p->present;

	(void)bytes, (void)len;
	p->present = NULL;
	take_item(s, i);
	bosh_items_free(&i);
	pthread_mutex_lock(&p->lock);
	p->known = s->known;
	pthread_mutex_unlock(&p->lock);
}

static void element(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)s, (void)e;
	arena_free(a); /* the stream's own parser is never fed */
}

static void nothing_kept(struct stream *s)
{
	(void)s;
}

static const struct stream_framing framing = {
	.header = header, .begin = begin, .end = end, .close = close_stream,
	.read = read_item, .element = element, .resume = nothing_kept, .free = nothing_kept,
};

struct stream *bosh_pipe_new(struct worker *w, bosh_wake_fn *wake, void *home, struct bosh_pipe **out)
{
	struct bosh_pipe *p = xalloc(sizeof *p);
	struct stream *s = stream_new(w, &c2s_kind, true);

	pthread_mutex_init(&p->lock, NULL);
	p->refs = 2;
	p->last = &p->first;
	p->reading = true;
	p->wake = wake;
	p->home = home;
	p->home_loop = p->stream_loop = p->t.loop = w->loop;
	p->t.ops = &ops;
	task_init(&p->t.flush_task, on_flush, p);
	task_init(&p->end_task, on_end, p);
	s->framing = &framing;
	s->framed = p;
	s->web = true;
	stream_attach(s, &p->t);
	*out = p;
	return s;
}

/* --- the home's half --- */

void bosh_pipe_push(struct bosh_pipe *p, struct bosh_item **first)
{
	pthread_mutex_lock(&p->lock);
	while (*first != NULL) {
		struct bosh_item *i = *first;

		*first = i->next;
		i->next = NULL;
		*p->last = i;
		p->last = &i->next;
		p->waiting += i->bytes;
	}
	wake_stream(p);
	pthread_mutex_unlock(&p->lock);
}

void bosh_pipe_take(struct bosh_pipe *p, struct buf *out, bool *ended, const char **condition)
{
	pthread_mutex_lock(&p->lock);
	const bool was_full = buf_len(&p->to_home) >= TO_HOME_MAX;

	buf_add(out, buf_data(&p->to_home), buf_len(&p->to_home));
	buf_release(&p->to_home);
	*ended = p->ended;
	*condition = p->condition;
	if (was_full)
		wake_stream(p);
	pthread_mutex_unlock(&p->lock);
}

size_t bosh_pipe_waiting(struct bosh_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	const size_t n = p->waiting;

	pthread_mutex_unlock(&p->lock);
	return n;
}

bool bosh_pipe_is_known(struct bosh_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	const bool known = p->known;

	pthread_mutex_unlock(&p->lock);
	return known;
}

void bosh_pipe_id(struct bosh_pipe *p, char id[33])
{
	pthread_mutex_lock(&p->lock);
	memcpy(id, p->id, 33);
	pthread_mutex_unlock(&p->lock);
}

void bosh_pipe_leave(struct bosh_pipe **pp)
{
	struct bosh_pipe *p = *pp;

	*pp = NULL;
	p->home = NULL;
	pthread_mutex_lock(&p->lock);
	p->left = true;
	wake_stream(p);
	pthread_mutex_unlock(&p->lock);
	unref(p);
}
