/* command_session.c - sessions end, and accounts that were changed on the storage are taken up by their owners. */
#include "server/command_session.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/farewell.h"
#include "server/registry.h"
#include "server/session.h"

enum { RETRY_US = 100000, RETRIES = 50 };

/* What the parts read; the request's data. */
struct hearing {
	const char *field, *what;
};

/* Sessions of an account, or the one of a full JID. */
static unsigned kick(struct account *a, const char *resource, const char *condition, const char *text)
{
	unsigned count = 0;
	bool found = true;

	/* The list changes with every one that goes, and perhaps by what modules do then: begin anew. */
	while (found) {
		found = false;
		for (struct sterna_session *s = a->sessions; s != NULL; s = s->next)
			if (resource == NULL || strcmp(jid_resource(s->jid), resource) == 0) {
				session_kick(s, condition, text);
				count++;
				found = true;
				break;
			}
	}
	return count;
}


static struct jid *own_jid(const struct request *r, const struct worker *w, const char *field, size_t index)
{
	const char *text = request_arg_at(r, field, index);
	struct jid *j = NULL;

	if (text == NULL || jid_parse(text, strlen(text), &j) != STERNA_OK)
		return NULL;
	if (server_owner(w->server, j) != w)
		jid_unref(&j);
	return j;
}

/* --- kick --- */

static json_t *kick_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const struct hearing *h = r->data;
	const char *reason = request_arg(r, "reason");
	unsigned count = 0;

	for (size_t i = 0; request_arg_at(r, h->field, i) != NULL; i++) {
		struct jid *j = own_jid(r, w, h->field, i);
		struct account *a = j != NULL ? account_find(w, jid_bare(j)) : NULL;

		if (a != NULL) {
			account_hold(a);
			count += kick(a, jid_resource(j), "policy-violation", reason != NULL ? reason
				: "the session was ended by an administrator");
			account_release(a);
		}
		jid_unref(&j);
	}
	return json_pack("{s:i}", "ended", (int)count);
}

static struct hearing *hearing_of(struct request *r, const char *field, const char *what)
{
	struct hearing *h = xalloc(sizeof *h);

	*h = (struct hearing){ field, what };
	free(r->data);
	r->data = h;
	return h;
}

void sessions_kick(struct request *r, const char *field, void (*done)(struct request *r))
{
	hearing_of(r, field, NULL);
	request_gather(r, NULL, kick_part, done);
}

/* --- accounts changed on the storage --- */

/* Deleted or imported accounts of one worker are forgotten as soon as nothing holds them. */
struct forgetting {
	struct timer timer;
	struct worker *worker;
	struct request_part *part;
	struct jid **jid;
	size_t count;
	unsigned tries;
};

static void forgotten(struct forgetting *f)
{
	const bool all = f->count == 0;

	while (f->count > 0)
		jid_unref(&f->jid[--f->count]);
	request_part_done(f->part, json_boolean(all));
	free(f->jid);
	free(f);
}

static void try_forget(struct timer *t, void *arg)
{
	struct forgetting *f = arg;

	for (size_t i = f->count; i-- > 0;) {
		struct account *a = map_get(&f->worker->accounts, jid_bare(f->jid[i]));

		if (a != NULL && !a->is_idle)
			continue;
		if (a != NULL)
			account_unload(a);
		jid_unref(&f->jid[i]);
		f->jid[i] = f->jid[--f->count];
	}
	if (f->count > 0 && ++f->tries < RETRIES)
		timer_set(t, RETRY_US);
	else
		forgotten(f);
}

static void hear(struct account *a, const char *what)
{
	account_hold(a);
	if (strcmp(what, "enabled") == 0) {
		a->disabled = false;
	} else if (strcmp(what, "password") == 0) {
		kick(a, NULL, "not-authorized", "the password was changed");
	} else {
		a->disabled = strcmp(what, "imported") != 0;
		kick(a, NULL, a->disabled ? "not-authorized" : "reset", strcmp(what, "deleted") == 0
			? "the account was deleted" : a->disabled ? "the account was disabled" : "the account was imported");
	}
	account_release(a);
}

static json_t *hear_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const struct hearing *h = r->data;
	const bool forget = strcmp(h->what, "deleted") == 0 || strcmp(h->what, "imported") == 0;
	struct forgetting *f = xalloc(sizeof *f);

	if (strcmp(h->what, "deleted") == 0)
		farewell_look(w);

	for (size_t i = 0; request_arg_at(r, h->field, i) != NULL; i++) {
		struct jid *j = own_jid(r, w, h->field, i);
		struct account *a = j != NULL ? map_get(&w->accounts, jid_bare(j)) : NULL;

		/* Modules hear of it as of one that a client removed; also where the account is not in memory. */
		if (j != NULL && strcmp(h->what, "deleted") == 0) {
			a = a != NULL ? a : account_get(w, j);
			modules_event(w, STERNA_ACCOUNT_DELETED, a, NULL, NULL);
		}
		if (a != NULL)
			hear(a, h->what);
		if (a != NULL && forget) {
			f->jid = xrealloc(f->jid, (f->count + 1) * sizeof(struct jid *));
			f->jid[f->count++] = jid_ref(j);
		}
		jid_unref(&j);
	}
	if (f->count == 0) {
		free(f);
		return json_true();
	}
	f->worker = w;
	f->part = p;
	request_part_wait(p);
	timer_init(&f->timer, w->loop, try_forget, f);
	timer_set(&f->timer, 1000);
	return NULL;
}

void sessions_hear(struct request *r, const char *field, const char *what, void (*done)(struct request *r))
{
	hearing_of(r, field, what);
	request_gather(r, NULL, hear_part, done);
}

bool sessions_heard(struct request *r)
{
	for (unsigned i = 0; i < r->asked; i++)
		if (!json_is_true(r->parts[i])) {
			request_note(r, "unavailable", NULL, "an account is still in use");
			return false;
		}
	return true;
}
