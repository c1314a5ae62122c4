/* Whole streams of clients, on a real core: the input is what they send, in random splits.
 *
 * Byte 0x1D and one more is an order to the simulation instead (see order()), so that inputs reach bound sessions,
 * resumption, a database that is away and a server that dies. What the server writes must be well-formed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"
#include "server/xml.h"
#include "tests/fuzz/sim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " \
	"to='sim.example' version='1.0'>"

enum { PEERS = 3, ORDERS_MAX = 200, KILLS_MAX = 3 };

struct peer {
	struct sim_conn *conn;
	struct xml_parser *xml;
	bool restarted;                  /* after <success/>, until the next header */
	char sm_id[80];
};

struct world {
	struct sim *sim;
	struct peer peers[PEERS];
	struct peer *now;
	size_t max;                      /* bytes a read */
	unsigned orders, kills;
};

/* The third has no certificate. */
static const char *const addrs[PEERS] = { "u0@sim.example", "u1@sim.example", NULL };

/* --- what the server says --- */

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
	} else if (elem_is(e, "enabled", "urn:xmpp:sm:3") && elem_attr(e, "id") != NULL) {
		snprintf(p->sm_id, sizeof p->sm_id, "%s", elem_attr(e, "id"));
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

/* A stream that ends right behind <success/> has no new header: its end belongs to the old document. */
static void hear(struct peer *p)
{
	struct sim_conn *c = p->conn;

	if (c == NULL)
		return;
	if (buf_len(&c->down) > 0) {
		if (xml_feed(p->xml, buf_data(&c->down), buf_len(&c->down)) != XML_OK && !p->restarted) {
			fprintf(stderr, "the server wrote what is not well-formed (%s): %s\n", xml_error_text(p->xml),
				buf_str(&c->down));
			abort();
		}
		buf_release(&c->down);
	}
	if (c->server_gone)
		leave(p);
}

static void settle(struct world *w)
{
	sim_fuzz_settle(w->sim, w->max);
	for (size_t i = 0; i < PEERS; i++)
		hear(&w->peers[i]);
}

/* --- what clients do --- */

static void connect_now(struct world *w)
{
	static const struct xml_handler handler = { .open = on_open, .element = on_element, .close = on_close };
	const unsigned i = (unsigned)(w->now - w->peers);

	if (w->now->conn != NULL)
		return;
	w->now->conn = sim_connect(w->sim, i % w->sim->worker_count, &c2s_kind, addrs[i]);
	w->now->xml = xml_new(&handler, w->now, &xml_limits_default, NS_CLIENT);
	w->now->restarted = false;
}

static void say(struct world *w, const char *bytes, size_t len)
{
	connect_now(w);
	buf_add(&w->now->conn->up, bytes, len);
	settle(w);
}

static void cut(struct world *w, bool lose)
{
	struct peer *p = w->now;

	if (p->conn == NULL)
		return;
	sim_conn_cut(p->conn, 0, lose);
	leave(p);
	settle(w);
}

static void text(struct world *w, const char *t)
{
	say(w, t, strlen(t));
}

static void log_in(struct world *w)
{
	cut(w, false);
	text(w, HEADER);
	text(w, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
	text(w, HEADER);
}

static void bind_and_enable(struct world *w)
{
	log_in(w);
	text(w, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>"
		"<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>");
}

static void resume(struct world *w)
{
	char previd[80];

	log_in(w);
	snprintf(previd, sizeof previd, "%s", w->now->sm_id);
	text(w, "<resume xmlns='urn:xmpp:sm:3' h='0' previd='");
	text(w, previd);
	text(w, "'/>");
}

static void kill_server(struct world *w)
{
	if (w->kills++ >= KILLS_MAX)
		return;
	sim_kill(w->sim);
	for (size_t i = 0; i < PEERS; i++)
		leave(&w->peers[i]);
	sim_start(w->sim);
}

static void order(struct world *w, uint8_t what)
{
	switch (what) {
	case '0': case '1': case '2':
		w->now = &w->peers[what - '0'];
		break;
	case 'H':
		text(w, HEADER);
		break;
	case 'L':
		log_in(w);
		break;
	case 'B':
		bind_and_enable(w);
		break;
	case 'R':
		resume(w);
		break;
	case 'x': case 'X':
		cut(w, what == 'X');
		break;
	case 't': case 'T':
		w->sim->now_us += what == 't' ? 1000000 : 100000000;
		settle(w);
		break;
	case 'd': case 'u':
		sim_db_set_down(w->sim, what == 'd');
		settle(w);
		break;
	case 'K':
		kill_server(w);
		break;
	default:
		w->max = 1 + what; /* from here on */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .sim = sim_fuzz_begin(), .max = SIZE_MAX };

	w.now = w.peers;
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
	for (size_t i = 0; i < PEERS; i++) {
		w.now = &w.peers[i];
		cut(&w, false);
	}
	sim_fuzz_end(w.sim);
	return 0;
}
