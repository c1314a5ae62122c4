/* ack.c - tokens of stanzas whose effects are not committed yet. */
#include "server/ack.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "server/mem.h"
#include "server/session.h"
#include "server/sm.h"

struct ack {
	struct mail mail;                /* brings the completion home */
	atomic_uint holds;
	atomic_bool failed;
	atomic_bool unwritten;
	bool tagged;
	struct worker *home;
	struct ack *older, *newer;       /* of the session; on home only */
	struct sterna_session *session;  /* a reference; touched on home only */
	uint32_t h;
	void (*settled)(void *arg, bool taken);  /* on home only */
	void *settled_arg;
	int64_t sid;
	void (*fn)(void *arg, uint32_t h, bool ok); /* in place of a session; on home only */
	void *arg;
};

struct ack *ack_new(struct sterna_session *s, uint32_t h)
{
	struct ack *a = xalloc(sizeof *a);

	atomic_init(&a->holds, 1);
	atomic_init(&a->failed, false);
	atomic_init(&a->unwritten, false);
	a->home = s->account->worker;
	a->session = session_ref(s);
	a->h = h;
	a->sid = h != 0 && sm_is_resumable(s) ? sm_sid(s) : 0;
	s->unsettled++;
	a->older = s->newest_ack;
	if (a->older != NULL)
		a->older->newer = a;
	s->newest_ack = a;
	return a;
}

struct ack *ack_new_for(struct worker *home, void (*fn)(void *arg, uint32_t h, bool ok), void *arg, uint32_t h)
{
	struct ack *a = xalloc(sizeof *a);

	atomic_init(&a->holds, 1);
	atomic_init(&a->failed, false);
	atomic_init(&a->unwritten, false);
	a->home = home;
	a->fn = fn;
	a->arg = arg;
	a->h = h;
	return a;
}

bool ack_is_of(const struct ack *a, const struct sterna_session *s)
{
	return a->session == s;
}

bool ack_is_local(const struct ack *a)
{
	return a->fn == NULL;
}

bool ack_is_oldest(const struct ack *a)
{
	return a->older == NULL;
}

void ack_hold(struct ack *a)
{
	if (a != NULL)
		atomic_fetch_add_explicit(&a->holds, 1, memory_order_relaxed);
}

static void complete(struct ack *a)
{
	if (a->fn != NULL) {
		if (a->settled != NULL)
			a->settled(a->settled_arg, !atomic_load(&a->failed) && !atomic_load(&a->unwritten));
		a->fn(a->arg, a->h, !atomic_load(&a->failed));
		free(a);
		return;
	}
	if (a->older != NULL)
		a->older->newer = a->newer;
	if (a->newer != NULL)
		a->newer->older = a->older;
	else
		a->session->newest_ack = a->older;
	if (a->settled != NULL)
		a->settled(a->settled_arg, !atomic_load(&a->failed) && !atomic_load(&a->unwritten));
	sm_committed(a->session, a->h, !atomic_load(&a->failed), a->tagged && !atomic_load(&a->unwritten));
	session_unref(&a->session);
	free(a);
}

static void on_home(struct mail *m, struct loop *l)
{
	(void)l;
	complete((struct ack *)m);
}

void ack_done(struct ack **ack, bool ok)
{
	struct ack *a = *ack;

	*ack = NULL;
	if (a == NULL)
		return;
	if (!ok)
		atomic_store(&a->failed, true);
	if (atomic_fetch_sub_explicit(&a->holds, 1, memory_order_acq_rel) != 1)
		return;
	/* Always by mail: whoever is done may stand deep in the account's own code. */
	a->mail.run = on_home;
	loop_post(a->home->loop, &a->mail);
}

uint32_t ack_h(const struct ack *a)
{
	return a->h;
}

int64_t ack_sid(const struct ack *a)
{
	return a->sid;
}

void ack_tagged(struct ack *a)
{
	a->tagged = true;
}

void ack_unwritten(struct ack *a)
{
	if (a != NULL)
		atomic_store(&a->unwritten, true);
}

void ack_when_settled(struct ack *a, void (*fn)(void *arg, bool taken), void *arg)
{
	a->settled = fn;
	a->settled_arg = arg;
}
