/* work.c - a bounded queue in front of helper threads. */
#include "server/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include "server/mem.h"

struct work_ops {
	enum sterna_result (*submit)(struct work_pool *pool, struct work *w);
	void (*free)(struct work_pool *pool);
};

struct work_pool {
	const struct work_ops *ops;
	pthread_mutex_t lock;       /* all that follows, save the thread list */
	struct work_pool_stats stats;
	pthread_cond_t wake;        /* work has come, or stop was set */
	struct work *first, **end;
	size_t max_depth;
	bool stop;
	unsigned threads;
	pthread_t thread[];
};

static void on_home(struct mail *m, struct loop *l)
{
	struct work *w = (struct work *)((char *)m - offsetof(struct work, mail));

	(void)l;
	w->done(w);
}

void work_init(struct work *w, struct loop *loop, work_fn *fn, work_fn *done)
{
	w->mail.next = NULL;
	w->mail.run = on_home;
	w->next = NULL;
	w->loop = loop;
	w->fn = fn;
	w->done = done;
	w->cancelled = false;
}

static struct work_pool *pool_new(const struct work_ops *ops, unsigned threads, size_t max_depth)
{
	struct work_pool *p = xalloc(sizeof *p + threads * sizeof p->thread[0]);

	p->ops = ops;
	p->end = &p->first;
	p->max_depth = max_depth;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	return p;
}

static void pool_destroy(struct work_pool *p)
{
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- threads --- */

/* The next work, NULL when it is time to go. Called and left with the lock held. */
static struct work *pool_take(struct work_pool *p)
{
	struct work *w;

	while (p->first == NULL && !p->stop)
		pthread_cond_wait(&p->wake, &p->lock);
	if (p->stop)
		return NULL;
	w = p->first;
	p->first = w->next;
	if (p->first == NULL)
		p->end = &p->first;
	p->stats.depth--;
	return w;
}

static void *helper(void *arg)
{
	struct work_pool *p = arg;
	struct work *w;

	pthread_mutex_lock(&p->lock);
	while ((w = pool_take(p)) != NULL) {
		pthread_mutex_unlock(&p->lock);
		w->fn(w);
		loop_post(w->loop, &w->mail); /* w may be gone from here on */
		pthread_mutex_lock(&p->lock);
		p->stats.run++;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static enum sterna_result threads_submit(struct work_pool *p, struct work *w)
{
	enum sterna_result rc = STERNA_OK;

	pthread_mutex_lock(&p->lock);
	if (p->stats.depth >= p->max_depth || p->stop) {
		p->stats.refused++;
		rc = STERNA_ELIMIT;
	} else {
		w->next = NULL;
		*p->end = w;
		p->end = &w->next;
		p->stats.depth++;
		pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static void threads_free(struct work_pool *p)
{
	struct work *w;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	while ((w = p->first) != NULL) {
		p->first = w->next;
		w->cancelled = true;
		loop_post(w->loop, &w->mail);
	}
	pool_destroy(p);
}

static const struct work_ops threads_ops = { threads_submit, threads_free };

enum sterna_result work_pool_new(unsigned threads, size_t max_depth, struct work_pool **out)
{
	struct work_pool *p = pool_new(&threads_ops, threads, max_depth);
	sigset_t all, before;

	/* Signals are the main thread's; a helper inherits the mask it is born with. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->threads < threads && pthread_create(&p->thread[p->threads], NULL, helper, p) == 0)
		p->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (p->threads < threads) {
		threads_free(p);
		return STERNA_EIO;
	}
	*out = p;
	return STERNA_OK;
}

/* --- inline --- */

static enum sterna_result inline_submit(struct work_pool *p, struct work *w)
{
	w->fn(w);
	p->stats.run++;
	loop_post(w->loop, &w->mail);
	return STERNA_OK;
}

static const struct work_ops inline_ops = { inline_submit, pool_destroy };

struct work_pool *work_pool_new_inline(void)
{
	return pool_new(&inline_ops, 0, 0);
}

/* --- both --- */

enum sterna_result work_submit(struct work_pool *pool, struct work *w)
{
	return pool->ops->submit(pool, w);
}

void work_pool_stats(struct work_pool *pool, struct work_pool_stats *out)
{
	pthread_mutex_lock(&pool->lock);
	*out = pool->stats;
	pthread_mutex_unlock(&pool->lock);
}

void work_pool_free(struct work_pool **p)
{
	if (*p != NULL)
		(*p)->ops->free(*p);
	*p = NULL;
}
