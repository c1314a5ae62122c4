/* run_presence.c - presence to many contacts, items of a node to many contacts (XEP-0163), and the making of
 * subscriptions (RFC 6121 §3, §4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

#define PEP_NODE "urn:bench:pep"
/* Of <identity category='client' type='pc' name='bench'/> with the feature PEP_NODE "+notify": XEP-0115 §5. */
#define PEP_VER "lo7Vq1vU4pIaRQTBGQzAqWIo4RY="

enum { LOGIN_LIMIT_S = 300, SETUP_LIMIT_S = 120, LINE = 4096 };

struct presence {
	/* making subscriptions: session i asks targets one after the other */
	struct session **asks;   /* per session: whom it asks now; NULL: nobody */
	uint64_t *asked_at;
	uint64_t made, wanted;
	unsigned distance, next; /* of the pairs (i, i + distance) still to ask */
	unsigned rounds, open;
	/* broadcasts: groups of a leader and opt.contacts contacts */
	uint64_t deliveries, broadcasts;
	unsigned *missing; /* per leader: contacts that have not seen its last presence */
	uint64_t *sent_at;
	unsigned *number;
	bool closing;
	bool pep;                /* items of a node in place of presence */
	struct hist latency;
};

static void say(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct session *s, const char *fmt, ...)
{
	char line[LINE];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof line)
		session_send(s, line, (size_t)n);
}

/** Compare an attribute of the stanza's own tag. */
static bool attr_is(const char *text, size_t len, const char *name, const char *value)
{
	const char *gt = memchr(text, '>', len);
	char *v = attr_dup(text, gt != NULL ? (size_t)(gt - text) : len, name);
	const bool same = v != NULL && strcmp(v, value) == 0;

	free(v);
	return same;
}

static bool is_presence(const char *text, size_t len)
{
	return len > 9 && memcmp(text, "<presence", 9) == 0;
}

/** The target's side: approve whoever asks; answer roster pushes. @return true if it was that */
static bool approve(struct session *s, const char *text, size_t len)
{
	char *from, *id;

	if (is_presence(text, len) && attr_is(text, len, "type", "subscribe")) {
		from = attr_dup(text, len, "from");
		if (from != NULL)
			say(s, "<presence type='subscribed' to='%.*s'/>", (int)strcspn(from, "/"), from);
		free(from);
		return true;
	}
	if (len > 3 && memcmp(text, "<iq", 3) == 0 && attr_is(text, len, "type", "set")) {
		id = attr_dup(text, len, "id");
		if (id != NULL)
			say(s, "<iq type='result' id='%s'/>", id);
		free(id);
		return true;
	}
	return false;
}

static void made(struct session *s)
{
	struct presence *p = s->bench->run;

	if (p->asks[s->slot] == NULL)
		return;
	hist_add(&p->latency, (now_ns() - p->asked_at[s->slot]) / 1000);
	p->asks[s->slot] = NULL;
	p->open--;
	if (++p->made == p->wanted)
		s->bench->stop = true;
}

static void ask(struct session *s, struct session *whom)
{
	struct presence *p = s->bench->run;

	p->asks[s->slot] = whom;
	p->asked_at[s->slot] = now_ns();
	p->open++;
}

/** Whether a roster result has item jid with a subscription to it already. */
static bool roster_has(const char *text, size_t len, const char *jid)
{
	for (const char *item = text; (item = find(item, (size_t)(text + len - item), "<item")) != NULL; item++) {
		const size_t rest = (size_t)(text + len - item);

		if (attr_is(item, rest, "jid", jid) &&
			(attr_is(item, rest, "subscription", "to") || attr_is(item, rest, "subscription", "both")))
			return true;
	}
	return false;
}

/* -- presence to many contacts */

static void broadcast(struct session *leader, unsigned group)
{
	struct presence *p = leader->bench->run;

	p->missing[group] = leader->bench->opt.contacts;
	p->number[group]++;
	p->sent_at[group] = now_ns();
	p->broadcasts++;
	if (p->pep)
		say(leader, "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" PEP_NODE
			"'><item id='current'><x xmlns='urn:bench'>bench %08x</x></item></publish></pubsub></iq>",
			p->number[group]);
	else
		say(leader, "<presence><show>%s</show><status>bench %08x</status></presence>",
		p->number[group] % 2 ? "away" : "xa", p->number[group]);
}

static void on_delivery(struct session *s, const char *text, size_t len)
{
	struct bench *b = s->bench;
	struct presence *p = b->run;
	const unsigned size = b->opt.contacts + 1, group = s->slot / size;
	const char *mark = find(text, len, ">bench ");

	if (s->slot % size == 0 || mark == NULL || strtoul(mark + 7, NULL, 16) != p->number[group])
		return;
	p->deliveries++;
	hist_add(&p->latency, (now_ns() - p->sent_at[group]) / 1000);
	if (--p->missing[group] == 0 && !p->closing)
		broadcast(&b->sessions[group * size], group);
}

static void on_setup(struct session *s, const char *text, size_t len)
{
	struct presence *p = s->bench->run;

	if (approve(s, text, len))
		return;
	if (is_presence(text, len)) {
		if (attr_is(text, len, "type", "subscribed"))
			made(s);
		return;
	}
	struct session *leader = p->asks[s->slot];

	if (leader == NULL || !attr_is(text, len, "id", "roster"))
		return;
	if (roster_has(text, len, leader->account->jid))
		made(s);
	else
		say(s, "<presence type='subscribe' to='%s'/>", leader->account->jid);
}

static void on_presence(struct session *s, const char *text, size_t len)
{
	if (is_presence(text, len))
		on_delivery(s, text, len);
	else
		approve(s, text, len);
}

/* An account asks what the client wants to hear of: XEP-0115 §6.2. */
static bool tell_features(struct session *s, const char *text, size_t len)
{
	char *id, *from;

	if (len < 3 || memcmp(text, "<iq", 3) != 0 || find(text, len, "disco#info") == NULL)
		return false;
	id = attr_dup(text, len, "id");
	from = attr_dup(text, len, "from");
	if (id != NULL && from != NULL)
		say(s, "<iq type='result' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'><identity "
			"category='client' type='pc' name='bench'/><feature var='" PEP_NODE "+notify'/></query></iq>", id, from);
	free(id);
	free(from);
	return true;
}

static void on_pep(struct session *s, const char *text, size_t len)
{
	if (len > 8 && memcmp(text, "<message", 8) == 0)
		on_delivery(s, text, len);
	else if (!tell_features(s, text, len))
		approve(s, text, len);
}

static struct presence *presence_new(struct bench *b, unsigned groups)
{
	struct presence *p = xalloc(sizeof *p);

	p->asks = xalloc(b->opt.sessions * sizeof *p->asks);
	p->asked_at = xalloc(b->opt.sessions * sizeof *p->asked_at);
	p->missing = xalloc(groups * sizeof *p->missing);
	p->sent_at = xalloc(groups * sizeof *p->sent_at);
	p->number = xalloc(groups * sizeof *p->number);
	return p;
}

static void presence_free(struct presence **p)
{
	free((*p)->asks);
	free((*p)->asked_at);
	free((*p)->missing);
	free((*p)->sent_at);
	free((*p)->number);
	free(*p);
	*p = NULL;
}

/** Subscribe each contact to its leader, where it is not yet. */
static bool subscribe_groups(struct bench *b)
{
	struct presence *p = b->run;
	const unsigned size = b->opt.contacts + 1;

	b->on_stanza = on_setup;
	for (unsigned i = 0; i < b->opt.sessions; i++) {
		if (i % size != 0) {
			ask(&b->sessions[i], &b->sessions[i / size * size]);
			p->wanted++;
		}
		say(&b->sessions[i], "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
	}
	bench_loop(b, now_ns() + SETUP_LIMIT_S * 1000000000ull);
	return p->made == p->wanted;
}

/* Leaders see their contacts too, who say what they want to hear of, and are asked what that means. */
static void announce(struct bench *b)
{
	const unsigned size = b->opt.contacts + 1;

	b->on_stanza = on_pep;
	for (unsigned i = 0; i < b->opt.sessions; i++)
		if (i % size != 0)
			say(&b->sessions[i / size * size], "<presence type='subscribe' to='%s'/>", b->sessions[i].account->jid);
	bench_loop(b, now_ns() + 3000000000ull);
	for (unsigned i = 0; i < b->opt.sessions; i++)
		if (i % size != 0)
			say(&b->sessions[i], "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='b' "
				"ver='" PEP_VER "'/></presence>");
	bench_loop(b, now_ns() + 3000000000ull);
}

static int run(struct bench *b, bool pep)
{
	const unsigned size = b->opt.contacts + 1, groups = b->opt.sessions / size;
	struct measure m;
	struct report r;

	b->opt.sessions = groups * size;
	if (groups == 0 || login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S) != b->opt.sessions)
		return 1;
	struct presence *p = presence_new(b, groups);

	b->run = p;
	p->pep = pep;
	if (!b->opt.floor && !subscribe_groups(b)) {
		fprintf(stderr, "load: %llu of %llu subscriptions were made\n", (unsigned long long)p->made,
			(unsigned long long)p->wanted);
		presence_free(&p);
		return 1;
	}
	if (pep)
		announce(b);
	usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	hist_reset(&p->latency);
	b->on_stanza = pep ? on_pep : on_presence;
	measure_start(b, &m);
	for (unsigned g = 0; g < groups; g++)
		broadcast(&b->sessions[g * size], g);
	bench_loop(b, now_ns() + (uint64_t)(b->opt.seconds * 1e9));
	p->closing = true;
	bench_loop(b, now_ns() + 1000000000ull);
	measure_stop(b, &m, true);
	m.seconds -= 1;
	report_begin(&r, b, pep ? "pep" : "presence");
	report_num(&r, "contacts", b->opt.contacts);
	report_num(&r, "lost", (double)(p->broadcasts * b->opt.contacts - p->deliveries));
	report_cost(&r, &m, (double)p->deliveries);
	report_hist(&r, "delivery", &p->latency);
	report_end(&r);
	const int rc = p->deliveries > 0 && p->deliveries == p->broadcasts * b->opt.contacts ? 0 : 1;

	presence_free(&p);
	return rc;
}

int run_presence(struct bench *b)
{
	return run(b, false);
}

int run_pep(struct bench *b)
{
	return run(b, true);
}

/* -- subscribe and approve */

/** Start as many as may be open at once: each session is subscribed to by the one distance places before. */
static void subscribe_next(struct bench *b)
{
	struct presence *p = b->run;

	while (p->open < b->opt.concurrency && p->distance <= p->rounds) {
		struct session *s = &b->sessions[p->next];

		if (p->asks[s->slot] != NULL)
			return;
		ask(s, &b->sessions[(p->next + p->distance) % b->opt.sessions]);
		say(s, "<presence type='subscribe' to='%s'/>", p->asks[s->slot]->account->jid);
		if (++p->next == b->opt.sessions) {
			p->next = 0;
			p->distance++;
		}
	}
}

static void on_subscription(struct session *s, const char *text, size_t len)
{
	if (approve(s, text, len))
		return;
	if (is_presence(text, len) && attr_is(text, len, "type", "subscribed")) {
		made(s);
		subscribe_next(s->bench);
	}
}

/** Undo the subscriptions, so that each run finds, and leaves, none: a server need not answer a request for
 *  what there is already. */
static void forget(struct bench *b, unsigned rounds)
{
	const unsigned n = b->opt.sessions;

	for (unsigned d = 1; d <= rounds; d++) {
		for (unsigned i = 0; i < n; i++) {
			say(&b->sessions[i],
				"<iq type='set' id='rm'><query xmlns='jabber:iq:roster'><item jid='%s' "
				"subscription='remove'/></query></iq>",
				b->sessions[(i + d) % n].account->jid);
			say(&b->sessions[(i + d) % n],
				"<iq type='set' id='rm'><query xmlns='jabber:iq:roster'><item jid='%s' "
				"subscription='remove'/></query></iq>",
				b->sessions[i].account->jid);
		}
		bench_loop(b, now_ns() + 500000000ull);
		usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	}
}

int run_subscribe(struct bench *b)
{
	struct measure m;
	struct report r;

	if (login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S) != b->opt.sessions)
		return 1;
	struct presence *p = presence_new(b, 1);

	b->run = p;
	b->on_stanza = on_subscription;
	for (unsigned i = 0; i < b->opt.sessions; i++)
		say(&b->sessions[i], "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
	bench_loop(b, now_ns() + 1000000000ull);
	usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	p->rounds = b->opt.rounds < b->opt.sessions / 2 ? b->opt.rounds : (b->opt.sessions - 1) / 2;
	forget(b, p->rounds);
	p->distance = 1;
	p->wanted = (uint64_t)p->rounds * b->opt.sessions;
	measure_start(b, &m);
	subscribe_next(b);
	bench_loop(b, now_ns() + SETUP_LIMIT_S * 1000000000ull);
	measure_stop(b, &m, true);
	report_begin(&r, b, "subscribe");
	report_cost(&r, &m, (double)p->made);
	report_num(&r, "lost", (double)(p->wanted - p->made));
	report_hist(&r, "approved", &p->latency);
	report_end(&r);
	const int rc = p->made == p->wanted && p->made > 0 ? 0 : 1;

	forget(b, p->rounds);
	presence_free(&p);
	return rc;
}
