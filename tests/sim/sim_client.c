/* sim_client.c - a client: EXTERNAL, bind or resume, XEP-0198 on both sides, and its ledger. */
#include "tests/sim/sim_client.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"

#define NS_SM_ "urn:xmpp:sm:3"

void world_fault(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->fault[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(w->fault, sizeof w->fault, fmt, ap);
	va_end(ap);
	world_say(w, "FAULT %s", w->fault);
}

void world_say(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%9.3f ", (double)w->sim.now_us / 1e6);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void say(struct sim_client *c, const char *fmt, ...) STERNA_PRINTF(2, 3);
static void say(struct sim_client *c, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (c->conn == NULL || c->conn->cut)
		return;
	world_say(c->world, "c%u > %s", c->index, text);
	buf_puts(&c->conn->up, text);
}

static void say_header(struct sim_client *c)
{
	say(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
		"to='%s' version='1.0'>", strchr(c->account, '@') + 1);
}

/* --- the ledger --- */

static void ack_up_to(struct sim_client *c, uint32_t h, const char *by)
{
	const uint32_t n = h - c->acked;

	if (n > c->queued) {
		world_fault(c->world, "client %u: %s says h=%u, but only %u..%u are outstanding", c->index, by, h, c->acked,
			c->out);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		if (c->queue[i] >= 0)
			c->world->messages[c->queue[i]].acked = true;
		else if (c->queue[i] <= ITEM_ROOM)
			sim_room_acked(c->world, (unsigned)(ITEM_ROOM - c->queue[i]));
	c->queued -= n;
	memmove(c->queue, c->queue + n, c->queued * sizeof c->queue[0]);
	c->acked = h;
}

static void send_item(struct sim_client *c, int item)
{
	if (item >= 0) {
		struct sim_message *m = &c->world->messages[item];

		m->sends++;
		say(c, "<message type='chat' id='m%d' to='%s'><body>m%d</body><origin-id xmlns='urn:xmpp:sid:0' id='o%d'/></message>",
			item, c->world->clients[m->to].account, item, item);
	} else if (item <= ITEM_ROOM) {
		say(c, "%s", c->world->room_stanzas[ITEM_ROOM - item].xml);
	} else if (item <= ITEM_NODE) {
		say(c, "<iq type='set' id='n%d'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:sim'>"
			"<item id='current'><x xmlns='urn:sim'>%d</x></item></publish></pubsub></iq>", ITEM_NODE - item,
			ITEM_NODE - item);
	} else if (item <= ITEM_FAR) {
		const char *to = c->world->clients[ITEM_FAR - item].account;

		if (sim_chance(&c->world->sim, 50))
			say(c, "<iq type='get' id='f%u' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", c->out, strchr(to, '@') + 1);
		else
			say(c, "<presence to='%s'/>", to);
	} else if (item == ITEM_PRESENCE) {
		say(c, "<presence/>");
	} else if (item == ITEM_IQ) {
		say(c, "<iq type='get' id='i%u'><query xmlns='jabber:iq:roster'/></iq>", c->out);
	} else {
		say(c, "<iq type='set' id='i%u'><query xmlns='jabber:iq:roster'><item jid='f%u@sim.example'/></query></iq>", c->out,
			sim_below(&c->world->sim, 5));
	}
}

static void enqueue(struct sim_client *c, int item)
{
	if (c->queued == SIM_MESSAGES_MAX)
		return;
	c->queue[c->queued++] = item;
	c->out++;
	send_item(c, item);
}

void client_send_item(struct sim_client *c, int item)
{
	if (c->state == CLIENT_ON)
		enqueue(c, item);
}

void client_publish(struct sim_client *c)
{
	if (c->state == CLIENT_ON)
		enqueue(c, ITEM_NODE - (int)++c->published);
}

void client_send_message(struct sim_client *c, unsigned to)
{
	struct sim_world *w = c->world;

	if (c->state != CLIENT_ON || w->message_count == SIM_MESSAGES_MAX)
		return;
	w->messages[w->message_count] = (struct sim_message){ .from = c->index, .to = to,
		.ends = w->clients[to].home->ends };
	enqueue(c, (int)w->message_count++);
}

void client_ask(struct sim_client *c)
{
	if (c->state != CLIENT_ON || c->asked || !c->enabled)
		return;
	c->asked = true;
	say(c, "<r xmlns='" NS_SM_ "'/>");
}

void client_ack(struct sim_client *c)
{
	if (c->state != CLIENT_ON || !c->enabled)
		return;
	c->told = c->h_in;
	say(c, "<a xmlns='" NS_SM_ "' h='%u'/>", c->h_in);
}

/* The session is given up: what came in it may come again, for the server need not know that it came. */
static void forget_session(struct sim_client *c)
{
	for (size_t i = 0; i < c->record_count; i++) {
		struct sim_record *r = &c->records[i];

		if (r->session == c->session && !r->again_ok) {
			r->again_ok = true;
			c->world->messages[r->message].again_ok++;
		}
	}
	c->sm_id[0] = '\0';
	c->session++;
}

/* --- what comes --- */

static void on_refused(struct sim_client *c, unsigned n)
{
	struct sim_message *m = &c->world->messages[n];

	if (m->from != c->index)
		world_fault(c->world, "client %u got an error for message %u of client %u", c->index, n, m->from);
	m->refused = true;
}

static void check_again(struct sim_client *c, unsigned n, const char *id)
{
	struct sim_message *m = &c->world->messages[n];

	for (size_t i = 0; i < c->record_count; i++) {
		const struct sim_record *r = &c->records[i];

		if (id[0] != '\0' && !r->again_ok && strcmp(r->id, id) == 0)
			world_fault(c->world, "client %u got message %u twice under the same stanza-id %s", c->index, n, id);
	}
	if (m->got > m->sends + m->again_ok + (unsigned)world_is_forgotten(c->world, m))
		world_fault(c->world, "client %u got message %u %u times; sent %u times, %u repetitions allowed", c->index, n,
			m->got, m->sends, m->again_ok);
}

static void on_message(struct sim_client *c, const struct sterna_elem *e)
{
	const struct sterna_elem *sid = elem_child(e, "stanza-id", "urn:xmpp:sid:0");
	const char *type = elem_attr(e, "type"), *id = sid != NULL ? elem_attr(sid, "id") : "", *name = elem_attr(e, "id");
	const unsigned n = name != NULL && *name == 'm' ? (unsigned)strtoul(name + 1, NULL, 10) : UINT32_MAX;

	if (n >= c->world->message_count) {
		world_fault(c->world, "client %u got a message that nobody sent", c->index);
		return;
	}
	if (type != NULL && strcmp(type, "error") == 0) {
		on_refused(c, n);
		return;
	}
	struct sim_message *m = &c->world->messages[n];

	if (m->to != c->index) {
		world_fault(c->world, "client %u got message %u, which is for client %u", c->index, n, m->to);
		return;
	}
	if (c->world->stanza_ids && sid == NULL)
		world_fault(c->world, "message %u came without a stanza-id", n);
	m->got++;
	m->again_ok += m->loose && c->conn->server_gone; /* the last words of a server that has ended */
	/* Else it was refused and went out again, behind others; or the database took what came behind it and not this. */
	if (m->got == 1 && !m->refused && !(c->world->flaky && m->sends > 1)) {
		if (n + 1 < c->last_from[m->from])
			world_fault(c->world, "client %u: message %u comes after %u from the same sender", c->index, n,
				c->last_from[m->from] - 1);
		c->last_from[m->from] = n + 1;
	}
	check_again(c, n, id);
	if (c->record_count < SIM_RECORDS_MAX) {
		struct sim_record *r = &c->records[c->record_count++];

		*r = (struct sim_record){ .message = n, .session = c->session };
		snprintf(r->id, sizeof r->id, "%s", id);
	}
}

static uint32_t h_of(const struct sterna_elem *e)
{
	return (uint32_t)strtoul(elem_attr(e, "h") != NULL ? elem_attr(e, "h") : "0", NULL, 10);
}

/* A new session: what was not acknowledged in the one before is sent again, in order. */
static void on_bound(struct sim_client *c)
{
	int again[SIM_MESSAGES_MAX];
	size_t count = 0;

	c->world->bound++;
	c->state = CLIENT_ON;
	c->enabled = c->asked = false;
	say(c, "<enable xmlns='" NS_SM_ "' resume='true'/>");
	for (size_t i = 0; i < c->queued; i++)
		if (c->queue[i] >= 0)
			again[count++] = c->queue[i];
	c->queued = 0;
	c->out = c->acked = c->h_in = 0;
	sim_room_bound(c);
	enqueue(c, ITEM_PRESENCE);
	for (size_t i = 0; i < count; i++)
		enqueue(c, again[i]);
}

static void on_resumed(struct sim_client *c, const struct sterna_elem *e)
{
	c->world->resumed++;
	c->state = CLIENT_ON;
	c->asked = false;
	ack_up_to(c, h_of(e), "<resumed/>");
	for (size_t i = 0; i < c->queued; i++)
		send_item(c, c->queue[i]);
}

static void ask_to_bind(struct sim_client *c)
{
	c->state = CLIENT_BIND;
	say(c, "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>");
}

static void on_sm(struct sim_client *c, const struct sterna_elem *e)
{
	if (strcmp(e->name, "enabled") == 0) {
		c->enabled = true;
		snprintf(c->sm_id, sizeof c->sm_id, "%s", elem_attr(e, "id") != NULL ? elem_attr(e, "id") : "");
	} else if (strcmp(e->name, "resumed") == 0) {
		on_resumed(c, e);
	} else if (strcmp(e->name, "failed") == 0) {
		c->world->lost_sessions++;
		if (elem_attr(e, "h") != NULL)
			ack_up_to(c, h_of(e), "<failed/>");
		forget_session(c);
		ask_to_bind(c);
	} else if (strcmp(e->name, "r") == 0) {
		client_ack(c);
	} else if (strcmp(e->name, "a") == 0) {
		c->asked = false;
		ack_up_to(c, h_of(e), "<a/>");
	}
}

static void on_features(struct sim_client *c)
{
	if (c->state == CLIENT_HEADER) {
		c->state = CLIENT_AUTH;
		say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
	} else if (c->sm_id[0] != '\0') {
		c->state = CLIENT_RESUME;
		say(c, "<resume xmlns='" NS_SM_ "' previd='%s' h='%u'/>", c->sm_id, c->h_in);
	} else {
		ask_to_bind(c);
	}
}

/* A result is a promise: the item is stored. */
static void on_result(struct sim_client *c, const struct sterna_elem *e)
{
	const char *id = elem_attr(e, "id"), *type = elem_attr(e, "type");
	const unsigned n = id != NULL && *id == 'n' ? (unsigned)strtoul(id + 1, NULL, 10) : 0;

	if (n > c->published)
		world_fault(c->world, "client %u: a result for item %u, which was not sent", c->index, n);
	else if (n > c->promised && type != NULL && strcmp(type, "result") == 0)
		c->promised = n;
}

static void on_stanza(struct sim_client *c, const struct sterna_elem *e)
{
	if (c->state == CLIENT_BIND) {
		if (strcmp(e->name, "iq") == 0 && elem_attr(e, "type") != NULL && strcmp(elem_attr(e, "type"), "result") == 0)
			on_bound(c);
		return;
	}
	if (c->enabled)
		c->h_in++;
	if (c->state == CLIENT_RESUME)
		world_fault(c->world, "client %u got a stanza before <resumed/>", c->index);
	if (c->world->rooms && (sim_room_stanza(c, e) || sim_node_stanza(c, e)))
		return;
	if (strcmp(e->name, "message") == 0)
		on_message(c, e);
	else if (strcmp(e->name, "iq") == 0)
		on_result(c, e);
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct sim_client *c = arg;

	if (c->world->verbose) {
		struct buf text = BUF_INIT;

		elem_write(&text, e, NS_CLIENT);
		world_say(c->world, "c%u < %s", c->index, buf_str(&text));
		buf_release(&text);
	}
	if (strcmp(e->name, "features") == 0) {
		on_features(c);
	} else if (strcmp(e->name, "success") == 0) {
		c->state = CLIENT_HEADER2;
		xml_reset(c->xml);
		say_header(c);
	} else if (strcmp(e->name, "failure") == 0) {
		c->ended = true; /* the database is away */
	} else if (strcmp(e->name, "error") == 0 && strcmp(e->ns, NS_CLIENT) != 0) {
		c->ended = true;
	} else if (strcmp(e->ns, NS_SM_) == 0) {
		on_sm(c, e);
	} else if (strcmp(e->ns, NS_CLIENT) == 0) {
		on_stanza(c, e);
	}
	arena_free(&a);
}

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	(void)arg, (void)root, (void)content_ns;
}

static void on_close(void *arg)
{
	((struct sim_client *)arg)->ended = true;
}

/* --- connections --- */

static void leave(struct sim_client *c)
{
	sim_conn_let_go(&c->conn);
	xml_free(&c->xml);
	c->state = CLIENT_OFF;
	c->ended = false;
}

void client_connect(struct sim_client *c, bool resume)
{
	static const struct xml_handler handler = { .open = on_open, .element = on_element, .close = on_close };
	struct sim *s = c->home;

	if (c->conn != NULL || s->server == NULL)
		return;
	if (c->sm_id[0] != '\0' ? !resume : c->enabled) /* it may not have been resumable */
		forget_session(c);
	c->conn = sim_connect(s, sim_below(s, s->worker_count), &c2s_kind, c->account);
	c->xml = xml_new(&handler, c, &xml_limits_default, NS_CLIENT);
	c->state = CLIENT_HEADER;
	c->ended = false;
	say_header(c);
}

bool client_read(struct sim_client *c, size_t max)
{
	struct sim_conn *k = c->conn;

	if (k == NULL)
		return false;
	if (buf_len(&k->down) == 0) {
		if (!k->server_gone && !c->ended)
			return false;
		world_say(c->world, "c%u: connection ended", c->index);
		leave(c);
		return true;
	}
	const size_t n = buf_len(&k->down) < max ? buf_len(&k->down) : max;
	char *bytes = xstrndup(buf_data(&k->down), n);

	buf_consume(&k->down, n);
	if (xml_feed(c->xml, bytes, n) == XML_OK)
		;
	else if (c->state == CLIENT_HEADER2)
		c->ended = true; /* the stream ended right behind <success/>: its header went with the old document */
	else
		world_fault(c->world, "client %u cannot read what it gets: %s", c->index, xml_error_text(c->xml));
	free(bytes);
	return true;
}

void client_cut(struct sim_client *c, uint64_t noticed_after_us, bool lose)
{
	if (c->conn == NULL)
		return;
	world_say(c->world, "c%u: cut, noticed after %.3f s", c->index, (double)noticed_after_us / 1e6);
	if (!c->conn->server_gone)
		sim_conn_cut(c->conn, noticed_after_us, lose);
	leave(c);
}

void client_close(struct sim_client *c)
{
	if (c->state != CLIENT_ON)
		return;
	say(c, "</stream:stream>");
	forget_session(c);
	c->enabled = false;
	sim_conn_cut(c->conn, 1000, false);
	leave(c);
}

bool client_is_settled(const struct sim_client *c)
{
	return c->state == CLIENT_ON && c->enabled && c->queued == 0 && buf_len(&c->conn->down) == 0;
}

void client_init(struct sim_world *w, unsigned index, struct sim *home, const char *domain)
{
	struct sim_client *c = &w->clients[index];

	c->world = w;
	c->index = index;
	c->home = home;
	snprintf(c->account, sizeof c->account, "u%u@%s", index, domain);
	sim_add_account(home, c->account);
}

void client_clear(struct sim_client *c)
{
	leave(c);
}
