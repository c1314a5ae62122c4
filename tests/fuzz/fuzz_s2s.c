/* Streams between servers, on a real core: the input is what a peer says, on a stream that it opened (with a certificate
 * for peer.example, or without) or on the last one that we opened to it, in random splits.
 *
 * Byte 0x1D and one more is an order: '0', '1' incoming with and without certificate, 'O' what we opened last, 'H' a stream
 * header, 'E' up to an authenticated stream, 'D' a message of ours to peer.example, 't' and 'T' time passes, 'x' a cut. What
 * is written on incoming streams must be well-formed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/route.h"
#include "server/s2s.h"
#include "server/xml.h"
#include "tests/fuzz/sim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' " \
	"xmlns:stream='http://etherx.jabber.org/streams' from='peer.example' to='sim.example' id='x' version='1.0'>"

enum { PEERS = 2, ORDERS_MAX = 100 };

struct peer {
	struct sim_conn *conn;
	struct xml_parser *xml;
	bool restarted;                  /* after <success/>, until the next header */
};

struct world {
	struct sim *sim;
	struct peer peers[PEERS];
	int now;                         /* of peers; PEERS: what we opened */
	size_t max;
	unsigned orders;
};

static const char *const addrs[PEERS] = { "peer.example", NULL };

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	(void)root, (void)content_ns;
	((struct peer *)arg)->restarted = false;
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct peer *p = arg;

	if (elem_is(e, "success", "urn:ietf:params:xml:ns:xmpp-sasl")) {
		p->restarted = true;
		xml_reset(p->xml);
	}
	arena_free(&a);
}

static void on_close(void *arg)
{
	(void)arg;
}

static void leave(struct peer *p)
{
	sim_conn_let_go(&p->conn);
	xml_free(&p->xml);
}

static void hear(struct peer *p)
{
	struct sim_conn *c = p->conn;

	if (c == NULL)
		return;
	if (buf_len(&c->down) > 0) {
		if (xml_feed(p->xml, buf_data(&c->down), buf_len(&c->down)) != XML_OK && !p->restarted) {
			fprintf(stderr, "what is not well-formed (%s): %s\n", xml_error_text(p->xml), buf_str(&c->down));
			abort();
		}
		buf_release(&c->down);
	}
	if (c->server_gone)
		leave(p);
}

/* Those that the server has let go of go. */
static void clear_outgoing(struct sim *s)
{
	for (struct sim_conn *c = s->conns, *next; c != NULL; c = next) {
		next = c->next;
		if (c->outgoing) {
			buf_release(&c->down);
			if (c->server_gone)
				sim_conn_let_go(&(struct sim_conn *){ c });
		}
	}
}

static void settle(struct world *w)
{
	sim_fuzz_settle(w->sim, w->max);
	for (size_t i = 0; i < PEERS; i++)
		hear(&w->peers[i]);
	clear_outgoing(w->sim);
}

static struct sim_conn *target(struct world *w)
{
	static const struct xml_handler handler = { .open = on_open, .element = on_element, .close = on_close };
	struct sim_conn *last = NULL;

	if (w->now == PEERS) {
		for (struct sim_conn *c = w->sim->conns; c != NULL; c = c->next)
			if (c->outgoing && !c->server_gone)
				last = c;
		return last;
	}
	struct peer *p = &w->peers[w->now];

	if (p->conn == NULL) {
		p->conn = sim_connect(w->sim, (unsigned)w->now % w->sim->worker_count, &s2s_in_kind, addrs[w->now]);
		p->xml = xml_new(&handler, p, &xml_limits_default, NS_SERVER);
		p->restarted = false;
	}
	return p->conn;
}

static void say(struct world *w, const char *bytes, size_t len)
{
	struct sim_conn *c = target(w);

	if (c != NULL)
		buf_add(&c->up, bytes, len);
	settle(w);
}

static void text(struct world *w, const char *t)
{
	say(w, t, strlen(t));
}

static void deliver(struct world *w)
{
	struct worker *owner = w->sim->server->workers[0];
	struct jid *from = NULL, *to = NULL;

	if (jid_make("u0", "sim.example", "r", &from) != STERNA_OK || jid_make("x", "peer.example", NULL, &to) != STERNA_OK)
		abort();
	struct stanza *st = stanza_make("message", "chat", from, to, "m");

	elem_add_text_elem(st->arena, st->elem, "body", "hi");
	sim_loop_begin(owner->loop);
	route_hop(owner, &st, NULL);
	sim_loop_end(owner->loop);
	jid_unref(&from);
	jid_unref(&to);
	settle(w);
}

static void authenticate(struct world *w)
{
	text(w, HEADER);
	if (w->now == PEERS)
		text(w, "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
			"<bidi xmlns='urn:xmpp:features:bidi'/></stream:features><success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
	else
		text(w, "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
	text(w, HEADER);
	if (w->now == PEERS)
		text(w, "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features><enabled xmlns='urn:xmpp:sm:3'/>");
}

static void order(struct world *w, uint8_t what)
{
	switch (what) {
	case '0': case '1':
		w->now = what - '0';
		break;
	case 'O':
		w->now = PEERS;
		break;
	case 'H':
		text(w, HEADER);
		break;
	case 'E':
		authenticate(w);
		break;
	case 'D':
		deliver(w);
		break;
	case 't': case 'T':
		w->sim->now_us += what == 't' ? 1000000 : 400000000;
		settle(w);
		break;
	case 'x':
		if (target(w) != NULL)
			sim_conn_cut(target(w), 0, false);
		if (w->now < PEERS)
			leave(&w->peers[w->now]);
		settle(w);
		break;
	default:
		w->max = 1 + what;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .sim = sim_fuzz_begin(), .max = SIZE_MAX };

	w.sim->ways = &sim_ways;
	sim_start(w.sim);
	while (size > 0) {
		const uint8_t *end = memchr(data, 0x1d, size);
		const size_t len = end != NULL ? (size_t)(end - data) : size;

		if (len > 0)
			say(&w, (const char *)data, len);
		data += len, size -= len;
		if (size < 2 || w.orders++ == ORDERS_MAX)
			break;
		order(&w, data[1]);
		data += 2, size -= 2;
	}
	for (size_t i = 0; i < PEERS; i++)
		leave(&w.peers[i]);
	sim_fuzz_end(w.sim);
	return 0;
}
