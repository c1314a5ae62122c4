/* s2s_check.c - dialback keys on their way: shown to us by a stream, verified by the domain's own server over a stream
 * of ours (XEP-0220 §2.2, §2.3). A verdict counts for the pair and the stream that it was asked for, once. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/dialback.h"

enum { KEY_MAX = 1024 };

static void check_free(struct s2s_check *c)
{
	free(c->key);
	free(c->id);
	free(c);
}

static size_t waiting(const struct s2s_link *l, const struct stream *s)
{
	size_t n = 0;

	for (const struct s2s_check *c = l->checks; c != NULL; c = c->next)
		n += (size_t)(c->stream == s);
	return n;
}

/* A key is text that we put into XML: as it comes, but no more than letters, digits and the like. */
static bool is_plain(const char *key)
{
	const size_t len = strlen(key);

	return len > 0 && len <= KEY_MAX && strpbrk(key, "<>&'\"") == NULL;
}

bool s2s_check(struct s2s_link *l, struct stream *s, struct host *host, const char *key)
{
	const struct config_s2s *config = &l->worker->server->config->s2s;
	struct s2s_check *c, **at = &l->checks;

	if (l->check_count >= config->verifications || waiting(l, s) > 0 || !is_plain(key))
		return false;
	c = xalloc(sizeof *c);
	c->link = l;
	c->stream = s;
	c->host = host;
	c->key = xstrdup(key);
	c->id = xstrdup(s->id);
	c->until_us = s2s_now(s) + (uint64_t)config->connect_time.us;
	while (*at != NULL)
		at = &(*at)->next;
	*at = c;
	l->check_count++;
	s->s2s->checks++;
	if (l->verifier == NULL)
		s2s_attempt_start(l, true);
	else
		s2s_verify_flush(l->verifier);
	return true;
}

void s2s_verify_flush(struct s2s_attempt *a)
{
	struct s2s_link *l = a->link;

	if (!a->ready)
		return;
	for (struct s2s_check *c = l->checks; c != NULL; c = c->next) {
		if (c->sent)
			continue;
		c->sent = true;
		s2s_send_db(a->stream, "verify", jid_full(l->host->jid), jid_full(l->remote), c->id, NULL, c->key, 0);
	}
}

/* Out of the list; the verdict to the stream that waits for it, if it is still there. */
static void settle(struct s2s_check **at, const char *type, enum sterna_condition condition)
{
	struct s2s_check *c = *at;

	*at = c->next;
	c->link->check_count--;
	if (c->stream != NULL)
		c->stream->s2s->checks--;
	if (c->stream != NULL && c->stream->state != STREAM_CLOSED)
		s2s_in_verdict(c->stream, c->host, type, condition);
	check_free(c);
}

bool s2s_check_verdict(struct s2s_link *l, const char *id, const char *type)
{
	for (struct s2s_check **at = &l->checks; *at != NULL; at = &(*at)->next)
		if ((*at)->sent && strcmp((*at)->id, id) == 0) {
			if (strcmp(type, "valid") == 0 || strcmp(type, "invalid") == 0)
				settle(at, type, 0);
			else
				settle(at, "error", STERNA_REMOTE_SERVER_NOT_FOUND);
			return true;
		}
	return false;
}

void s2s_checks_fail(struct s2s_link *l, enum sterna_condition condition)
{
	while (l->checks != NULL)
		settle(&l->checks, "error", condition);
}

void s2s_checks_sweep(struct s2s_link *l)
{
	const uint64_t now = loop_now_us(l->worker->loop);

	for (struct s2s_check **at = &l->checks; *at != NULL;)
		if ((*at)->until_us <= now)
			settle(at, "error", STERNA_REMOTE_SERVER_TIMEOUT);
		else
			at = &(*at)->next;
}

/* A stream that waits for verdicts goes: they go nowhere then. */
void s2s_checks_forget(struct stream *s)
{
	const struct map_entry *e;

	if (s->s2s == NULL || s->s2s->checks == 0)
		return;
	s->s2s->checks = 0;
	for (size_t at = 0; (e = map_next(&s->worker->links, &at)) != NULL;)
		for (struct s2s_check *c = ((struct s2s_link *)e->value)->checks; c != NULL; c = c->next)
			if (c->stream == s)
				c->stream = NULL;
}

/* §2.3: we are the authoritative server; who asks need not be authenticated. */
void s2s_on_verify_request(struct stream *s, struct arena *a, struct sterna_elem *e)
{
	const struct server *server = s->worker->server;
	const char *id = elem_attr(e, "id");
	struct jid *from = NULL, *to = NULL;

	if (id == NULL) {
		stream_error(s, "improper-addressing", "db:verify needs an id");
		return;
	}
	if (!s2s_pair(s, e, &from, &to))
		return;
	if (server_host(server, jid_full(to)) == NULL) {
		s2s_send_db(s, "verify", jid_full(to), jid_full(from), id, "error", NULL, STERNA_ITEM_NOT_FOUND);
	} else {
		const bool ours = dialback_is_ours(server->secret, jid_full(from), jid_full(to), id, elem_text(a, e));

		if (!ours)
			log_notice("s2s", "a key that is not ours", "domain", jid_full(from), "host", jid_full(to), "peer",
				s->transport->peer);
		s2s_send_db(s, "verify", jid_full(to), jid_full(from), id, ours ? "valid" : "invalid", NULL, 0);
	}
	jid_unref(&from);
	jid_unref(&to);
}
