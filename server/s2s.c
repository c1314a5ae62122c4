/* s2s.c - links: what is to go to other domains, and attempts to get streams for it. */
#include "server/s2s_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/isolation.h"
#include "server/region.h"

/* How often a link is tried anew: quickly where the peer was there of late, so that traffic flows again soon after
 * the cause has ended; ever more slowly where it never was. */
enum { PAUSE_FIRST_US = 500000, PAUSE_KNOWN_US = 3000000, AFTER_LOSS_US = 100000, SHORT_US = 10000000, FORGET_US = 600000000,
	FORGET_STRANGER_US = 20000000 };

bool s2s_is_on(const struct server *s)
{
	return s->ways != NULL && s->config->s2s.enabled;
}

/* FNV-1a: the same on all nodes. */
struct worker *s2s_owner(const struct server *s, const char *domain)
{
	uint32_t h = 2166136261u;

	for (; *domain != '\0'; domain++)
		h = (h ^ (unsigned char)*domain) * 16777619u;
	return s->workers[h % s->worker_count];
}

enum config_trust s2s_trust_of(const struct server *s, const char *domain)
{
	return isolation_has_domain(s, domain) ? CONFIG_TRUST_NONE : config_trust_of(s->config, domain);
}

bool s2s_is_enough(const struct server *s, const char *domain, enum tls_proof p)
{
	switch (s2s_trust_of(s, domain)) {
	case CONFIG_TRUST_DIALBACK:
		return true;
	case CONFIG_TRUST_PKIX:
		return p != TLS_PROOF_NONE;
	case CONFIG_TRUST_DANE:
		return p == TLS_PROOF_DANE || p == TLS_PROOF_PINNED;
	case CONFIG_TRUST_PINNED:
		return p == TLS_PROOF_PINNED;
	default:
		return false;
	}
}

static uint64_t now_us(const struct s2s_link *l)
{
	return loop_now_us(l->worker->loop);
}

static const struct config_s2s *config_of(const struct s2s_link *l)
{
	return &l->worker->server->config->s2s;
}

/* --- links --- */

static void on_retry(struct timer *t, void *arg);

static char *key_of(const struct host *host, const char *remote)
{
	return xasprintf("%s %s", jid_full(host->jid), remote);
}

struct s2s_link *s2s_link_find(struct worker *w, const struct host *host, const char *remote)
{
	char *key = key_of(host, remote);
	struct s2s_link *l = map_get(&w->links, key);

	free(key);
	return l;
}

struct s2s_link *s2s_link(struct worker *w, struct host *host, const struct jid *remote)
{
	struct s2s_link *l = s2s_link_find(w, host, jid_full(remote));

	if (l != NULL)
		return l;
	if (w->links.count >= w->server->config->s2s.connections)
		return NULL;
	l = xalloc(sizeof *l);
	l->worker = w;
	l->host = host;
	l->remote = jid_ref(remote);
	l->key = key_of(host, jid_full(remote));
	l->used_us = loop_now_us(w->loop);
	timer_init(&l->retry, w->loop, on_retry, l);
	s2s_queue_init(l);
	map_put(&w->links, l->key, l);
	return l;
}

static void link_free(struct s2s_link *l)
{
	timer_cancel(&l->retry);
	s2s_attempt_end(&l->attempt);
	s2s_attempt_end(&l->verifier);
	s2s_attempt_end(&l->test);
	s2s_checks_fail(l, STERNA_REMOTE_SERVER_TIMEOUT); /* at the server's end some may wait yet */
	s2s_resume_drop(l);
	s2s_queue_clear(l);
	s2s_lookup_end(l);
	map_remove(&l->worker->links, l->key);
	free(l->key);
	jid_unref(&l->remote);
	free(l);
}

void s2s_link_join(struct s2s_link *l, struct stream *s)
{
	s->s2s->link = l;
	l->streams++;
}

/* --- what is to be sent --- */

static bool is_wanted(const struct s2s_link *l)
{
	return s2s_trust_of(l->worker->server, jid_full(l->remote)) != CONFIG_TRUST_NONE;
}

void s2s_link_try(struct s2s_link *l)
{
	if ((l->waiting.first != NULL || s2s_resume_wants(l)) && !s2s_resume_waits(l) && l->stream == NULL && l->attempt == NULL
		&& !timer_is_set(&l->retry) && is_wanted(l)
		&& !l->worker->stopping && l->worker->s2s_loading == NULL)
		s2s_attempt_start(l, false);
}

struct s2s_link *s2s_admit(struct worker *w, const struct stanza *st, enum sterna_condition *condition, const char **text)
{
	struct jid *domain = jid_to_domain(st->to);
	struct host *h = st->from != NULL ? server_host(w->server, jid_domain(st->from)) : NULL;
	struct s2s_link *l = NULL;

	*text = NULL;
	*condition = STERNA_NOT_ALLOWED;
	if (h == NULL) {
		log_error("s2s", "a stanza that is not ours to send", "stanza_id", LOG_UINT(st->trace));
	} else if (s2s_trust_of(w->server, jid_full(domain)) == CONFIG_TRUST_NONE) {
		*text = isolation_has_domain(w->server, jid_full(domain)) ? "this server does not talk to that one at present"
			: "this server does not talk to that one";
	} else if ((l = s2s_link(w, h, domain)) == NULL) {
		*condition = STERNA_RESOURCE_CONSTRAINT;
		*text = "too many links to other servers";
	} else {
		*text = s2s_queue_refuses(l, st, condition);
	}
	jid_unref(&domain);
	return *text == NULL ? l : NULL;
}

void s2s_send(struct s2s_link *l, struct stanza **st, int64_t id)
{
	s2s_queue_put(l, st, id);
}

/* All that waited before we began is in its queue. */
void s2s_loaded(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; !w->stopping && (e = map_next(&w->links, &at)) != NULL;) {
		s2s_link_flush(e->value);
		s2s_link_try(e->value);
	}
}

/* --- up and down --- */

void s2s_link_took_up(struct s2s_link *l, struct stream *s)
{
	l->stream = s;
	l->up_us = l->used_us = now_us(l);
	l->last_up_wall_us = loop_wall_us(l->worker->loop);
	l->was_up = true;
	l->failures = 0;
	l->pause_us = 0;
	l->condition = 0;
	timer_cancel(&l->retry);
	s2s_attempt_end(&l->attempt); /* the peer was faster */
}

/* What the stream before it left is not resumed: it goes again. */
static void give_up_held(struct s2s_link *l)
{
	if (l->held == NULL)
		return;
	s2s_resume_drop(l);
	s2s_queue_lost(l, "");
}

void s2s_link_up(struct s2s_link *l, struct stream *s)
{
	s2s_link_took_up(l, s);
	if (s2s_resume_ask(l, s))
		return;
	give_up_held(l);
	l->out = 0;
	if (s->s2s->offers_sm)
		s2s_sm_enable(s);
	s2s_link_flush(l);
}

/* Between three quarters and five quarters: those who failed together do not come back together. */
static uint64_t jitter(const struct s2s_link *l, uint64_t us)
{
	uint32_t r;

	loop_random(l->worker->loop, &r, sizeof r);
	return us / 4 * 3 + us / 2 * (r % 1024) / 1024;
}

/* At once where the stream was good; a peer that ends each one soon is not asked many times a second. */
static uint64_t after_loss(const struct s2s_link *l)
{
	uint64_t us = AFTER_LOSS_US;

	for (unsigned i = 1; i < l->short_lived && us < PAUSE_KNOWN_US; i++)
		us *= 2;
	return us < PAUSE_KNOWN_US ? us : PAUSE_KNOWN_US;
}

void s2s_link_down(struct s2s_link *l, struct stream *s, bool cut)
{
	if (l->stream != s)
		return;
	l->stream = NULL;
	l->last_up_wall_us = loop_wall_us(l->worker->loop);
	if (l->worker->stopping)
		return; /* what waits is stored */
	if (l->held != NULL || (cut && s2s_resume_keep(l, s)))
		s2s_queue_paused(l);
	else
		s2s_queue_lost(l, s->s2s->blame);
	l->short_lived = now_us(l) < l->up_us + SHORT_US ? l->short_lived + 1 : 0;
	if (s2s_resume_waits(l))
		timer_set(&l->retry, l->held_until_us - now_us(l));
	else if (l->waiting.first != NULL || s2s_resume_wants(l))
		timer_set(&l->retry, jitter(l, after_loss(l)));
}

void s2s_link_hurry(struct s2s_link *l)
{
	l->pause_us = 0;
	if (timer_is_set(&l->retry) && l->waiting.first != NULL && !s2s_resume_waits(l))
		timer_set(&l->retry, 0);
}

static void on_retry(struct timer *t, void *arg)
{
	struct s2s_link *l = arg;

	(void)t;
	if (l->held != NULL && l->stream == NULL && now_us(l) >= l->held_until_us)
		give_up_held(l);
	s2s_link_try(l);
}

static void say_failed(struct s2s_link *l, const struct s2s_attempt *a, const struct trail_step *cause)
{
	/* One line each time the cause changes, and now and then while it stays. */
	const bool same = l->failures > 1 && strncmp(l->why, cause->text, sizeof l->why - 1) == 0;

	if (!same || l->failures % 32 == 0)
		log_notice("s2s", "no stream", "domain", jid_full(l->remote), "host", jid_full(l->host->jid), "for",
			a->verifies ? "dialback" : "stanzas", "at", cause->what, "why", cause->text, "attempts", LOG_UINT(l->failures),
			"waiting", LOG_UINT(l->waiting.count));
}

static unsigned failure_label(const char *what)
{
	static const struct { const char *what; unsigned label; } labels[] = {
		{ "dns", S2S_FAILURE_DNS }, { "route", S2S_FAILURE_DNS }, { "connect", S2S_FAILURE_CONNECT },
		{ "socks5", S2S_FAILURE_CONNECT },
		{ "tls", S2S_FAILURE_TLS }, { "certificate", S2S_FAILURE_CERTIFICATE }, { "sasl", S2S_FAILURE_SASL },
		{ "dialback", S2S_FAILURE_DIALBACK }, { "time", S2S_FAILURE_TIME },
	};

	for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
		if (strcmp(labels[i].what, what) == 0)
			return labels[i].label;
	return S2S_FAILURE_STREAM;
}

void s2s_link_failed(struct s2s_link *l, struct s2s_attempt *a, enum sterna_condition condition)
{
	static const struct trail_step unknown = { .what = "stream", .text = "the stream could not be opened" };
	const struct trail_step *cause = trail_failure(&a->trail) != NULL ? trail_failure(&a->trail) : &unknown;
	const uint64_t most = l->was_up ? PAUSE_KNOWN_US : (uint64_t)config_of(l)->retry_time.us;

	l->failures++;
	say_failed(l, a, cause);
	l->trail = a->trail;
	snprintf(l->why, sizeof l->why, "%s", cause->text);
	metric_add(l->worker->server->metric_set, l->worker->index, METRIC_S2S_FAILURES, failure_label(cause->what), 1);
	if (a->verifies)
		return;
	l->condition = condition;
	l->pause_us = l->pause_us == 0 ? PAUSE_FIRST_US : l->pause_us * 2 < most ? l->pause_us * 2 : most;
	timer_set(&l->retry, jitter(l, l->pause_us));
	/* No such domain, or one that we never got on with: nobody needs to wait to hear that. */
	if (condition == STERNA_REMOTE_SERVER_NOT_FOUND || (a->refused && !l->was_up))
		s2s_queue_bounce(l, true, condition, l->why);
}

/* --- every few seconds --- */

static bool is_idle(const struct s2s_link *l, uint64_t us)
{
	return now_us(l) > l->used_us + us;
}

static void sweep_link(struct s2s_link *l)
{
	const uint64_t idle = (uint64_t)config_of(l)->idle_time.us;

	if (l->held != NULL && l->stream == NULL && now_us(l) >= l->held_until_us)
		give_up_held(l);
	if (!is_wanted(l) && l->waiting.first != NULL)
		s2s_queue_bounce(l, true, STERNA_NOT_ALLOWED, "this server does not talk to that one any more");
	s2s_queue_sweep(l);
	s2s_checks_sweep(l);
	if (l->stream != NULL && l->waiting.first == NULL && l->sent.first == NULL && is_idle(l, idle))
		stream_close(l->stream);
	if (l->stream == NULL && l->waiting.first == NULL && l->sent.first == NULL && l->held == NULL && l->streams == 0 && l->attempt == NULL && l->verifier == NULL && l->test == NULL
		&& l->checks == NULL && is_idle(l, l->wanted ? FORGET_US : FORGET_STRANGER_US))
		link_free(l);
}

static void measure(struct worker *w)
{
	const struct metric_set *set = w->server->metric_set;
	struct region_load load[REGIONS_MAX + 1] = { 0 };  /* the last: none */
	int64_t waiting = 0, unconfirmed = 0, oldest = 0, up = 0;
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;) {
		const struct s2s_link *l = e->value;
		const struct s2s_item *first = l->sent.first != NULL ? l->sent.first : l->waiting.first;
		const int64_t age = first != NULL && now_us(l) > first->since_us ? (int64_t)(now_us(l) - first->since_us) : 0;
		struct region_load *region = &load[region_index(w->server, jid_full(l->remote))];

		waiting += (int64_t)l->waiting.count;
		unconfirmed += (int64_t)l->sent.count;
		up += l->stream != NULL;
		oldest = age > oldest ? age : oldest;
		region->up += l->stream != NULL;
		region->waiting += (int64_t)(l->waiting.count + l->sent.count);
		region->oldest_us = age > region->oldest_us ? age : region->oldest_us;
	}
	regions_store(w, load);
	metric_store(set, w->index, METRIC_S2S_LINKS, 0, up);
	metric_store(set, w->index, METRIC_S2S_LINKS, 1, (int64_t)w->links.count - up);
	metric_store(set, w->index, METRIC_S2S_WAITING, 0, waiting);
	metric_store(set, w->index, METRIC_S2S_UNCONFIRMED, 0, unconfirmed);
	metric_store(set, w->index, METRIC_S2S_OLDEST, 0, oldest);
}

void s2s_sweep(struct worker *w)
{
	const uint64_t idle = (uint64_t)w->server->config->s2s.idle_time.us, now = loop_now_us(w->loop);
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;)
		sweep_link(e->value);
	s2s_resume_sweep(w);
	s2s_peer_sweep(w);
	measure(w);
	for (struct stream *s = w->streams, *next; s != NULL; s = next) {
		next = s->next;
		if (s->s2s == NULL || s->state != STREAM_BOUND)
			continue;
		if (s2s_trust_of(w->server, jid_full(s->s2s->remote)) == CONFIG_TRUST_NONE)
			stream_error(s, "policy-violation", "this server does not talk to that domain any more");
		else if ((s->s2s->link == NULL || s->s2s->link->stream != s) && now > s->heard_us + idle)
			stream_close(s); /* it carries no queue */
	}
}

void s2s_stop(struct worker *w)
{
	const struct map_entry *e;

	s2s_load_cancel(w);
	timer_cancel(&w->s2s_hurry);
	s2s_lookup_clear(w);
	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;) {
		struct s2s_link *l = e->value;

		timer_cancel(&l->retry);
		s2s_attempt_end(&l->attempt);
		s2s_attempt_end(&l->verifier);
		s2s_attempt_end(&l->test);
	}
}

void s2s_clear(struct worker *w)
{
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;)
		link_free(e->value);
	s2s_resume_clear(w);
	s2s_peer_clear(w);
	s2s_seen_free(w);
}
