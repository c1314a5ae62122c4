/* harness.c - a small client around the simulation's server. */
#include "tests/unit/harness.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"
#include "tests/sim/sim.h"

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='%s'>"

struct came {
	struct came *next;
	char *text;
};

struct device {
	struct device *next;
	struct test *test;
	struct jid *jid;
	struct sim_conn *conn;
	struct xml_parser *xml;
	struct came *first, **end;
	char *shown;                     /* what test_recv() gave last */
	bool authenticated, bound;
};

struct test {
	struct sim sim;
	struct device *devices;
};

static void to_server(struct device *d, const char *text)
{
	buf_puts(&d->conn->up, text);
}

static void header(struct device *d)
{
	char text[512];

	snprintf(text, sizeof text, HEADER, jid_domain(d->jid));
	to_server(d, text);
}

static void ask_to_bind(struct device *d)
{
	char text[512];

	snprintf(text, sizeof text, "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>%s"
		"</resource></bind></iq>", jid_resource(d->jid));
	to_server(d, text);
}

static void keep(struct device *d, const struct sterna_elem *e)
{
	struct came *c = xalloc(sizeof *c);
	struct buf text = BUF_INIT;

	elem_write(&text, e, NS_CLIENT);
	c->text = xstrdup(buf_str(&text));
	buf_release(&text);
	*d->end = c;
	d->end = &c->next;
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct device *d = arg;

	if (d->bound) {
		keep(d, e);
	} else if (strcmp(e->name, "features") == 0 && !d->authenticated) {
		to_server(d, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
	} else if (strcmp(e->name, "features") == 0) {
		ask_to_bind(d);
	} else if (strcmp(e->name, "success") == 0) {
		d->authenticated = true;
		xml_reset(d->xml);
		header(d);
	} else if (strcmp(e->name, "iq") == 0) {
		d->bound = true;
	} else {
		ck_abort_msg("login of %s: <%s/>", jid_full(d->jid), e->name);
	}
	arena_free(&a);
}

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	(void)arg, (void)root, (void)content_ns;
}

static void on_close(void *arg)
{
	(void)arg;
}

/* Both sides take turns until neither has anything to say. */
static void settle(struct test *t)
{
	for (bool any = true; any;) {
		any = false;
		sim_settle(&t->sim);
		for (struct device *d = t->devices; d != NULL; d = d->next) {
			if (d->conn == NULL || buf_len(&d->conn->down) == 0)
				continue;
			any = true;
			char *bytes = xstrndup(buf_data(&d->conn->down), buf_len(&d->conn->down));
			const size_t len = buf_len(&d->conn->down);

			buf_release(&d->conn->down);
			ck_assert_int_eq(xml_feed(d->xml, bytes, len), XML_OK);
			free(bytes);
		}
	}
}

/* --- life --- */

struct test *test_new_with(const struct sterna_module *const *modules, const char *config)
{
	struct test *t = xalloc(sizeof *t);
	char *text = xasprintf("hosts: { example.net: {}, example.com: {} }\n%s\n", config != NULL ? config : "");

	log_set_level(NULL, LOG_LEVEL_ERROR); /* each start brings the schema up */
	sim_init(&t->sim, 1, text, 2);
	free(text);
	t->sim.modules = modules;
	log_set_level(NULL, LOG_LEVEL_WARNING);
	sim_start(&t->sim);
	return t;
}

struct test *test_new(const struct sterna_module *m, const char *options)
{
	const struct sterna_module *const modules[] = { m, NULL };
	char *text = m != NULL ? xasprintf("modules: { %s: { %s } }", m->name, options != NULL ? options : "") : NULL;
	struct test *t = test_new_with(modules, text);

	free(text);
	t->sim.modules = NULL; /* it was on our stack, and is loaded */
	return t;
}

static void drop_all(struct device *d)
{
	while (d->first != NULL) {
		struct came *c = d->first;

		d->first = c->next;
		free(c->text);
		free(c);
	}
	d->end = &d->first;
}

static void let_go(struct device *d)
{
	sim_conn_let_go(&d->conn);
	xml_free(&d->xml);
	d->authenticated = d->bound = false;
}

void test_free(struct test **test)
{
	struct test *t = *test;

	*test = NULL;
	for (struct device *d; (d = t->devices) != NULL;) {
		t->devices = d->next;
		let_go(d);
		drop_all(d);
		free(d->shown);
		jid_unref(&d->jid);
		free(d);
	}
	sim_clear(&t->sim);
	free(t);
}

/* --- time --- */

void test_clock(struct test *t, int64_t unix_seconds)
{
	t->sim.wall_us = unix_seconds * 1000000 - (int64_t)t->sim.now_us;
	for (unsigned i = 0; i < t->sim.worker_count; i++)
		sim_loop_begin(t->sim.loops[i]);
}

void test_pass(struct test *t, uint64_t us)
{
	const uint64_t end = t->sim.now_us + us;

	settle(t);
	for (uint64_t due; (due = sim_next_due_us(&t->sim)) <= end;) {
		t->sim.now_us = due > t->sim.now_us ? due : t->sim.now_us;
		settle(t);
	}
	t->sim.now_us = end;
	settle(t);
}

/* --- clients --- */

static struct device *device(struct test *t, const char *full)
{
	struct device *d;
	struct jid *j = NULL;

	for (d = t->devices; d != NULL; d = d->next)
		if (strcmp(jid_full(d->jid), full) == 0)
			return d;
	ck_assert_msg(jid_parse(full, strlen(full), &j) == STERNA_OK && jid_resource(j) != NULL, "%s", full);
	d = xalloc(sizeof *d);
	d->test = t;
	d->jid = j;
	d->end = &d->first;
	d->next = t->devices;
	t->devices = d;
	return d;
}

void test_account(struct test *t, const char *bare)
{
	sim_add_account(&t->sim, bare);
}

void test_login(struct test *t, const char *full)
{
	static const struct xml_handler handler = { .open = on_open, .element = on_element, .close = on_close };
	struct device *d = device(t, full);

	if (d->conn != NULL)
		return;
	sim_add_account(&t->sim, jid_bare(d->jid));
	d->conn = sim_connect(&t->sim, 0, &c2s_kind, jid_bare(d->jid));
	d->xml = xml_new(&handler, d, &xml_limits_default, NS_CLIENT);
	header(d);
	settle(t);
	ck_assert_msg(d->bound, "%s could not log in", full);
}

void test_send(struct test *t, const char *full, const char *xml)
{
	test_login(t, full);
	to_server(device(t, full), xml);
	settle(t);
}

const char *test_recv(struct test *t, const char *full)
{
	struct device *d = device(t, full);
	struct came *c;

	settle(t);
	free(d->shown);
	d->shown = NULL;
	c = d->first;
	if (c == NULL)
		return "";
	d->shown = c->text;
	d->first = c->next;
	if (d->first == NULL)
		d->end = &d->first;
	free(c);
	return d->shown;
}

void test_drop(struct test *t, const char *full)
{
	settle(t);
	drop_all(device(t, full));
}

struct server *test_server(struct test *t)
{
	return t->sim.server;
}

void test_cut(struct test *t, const char *full)
{
	struct device *d = device(t, full);

	sim_conn_cut(d->conn, 0, false);
	let_go(d);
	settle(t);
}

void test_close(struct test *t, const char *full)
{
	test_send(t, full, "</stream:stream>");
	test_cut(t, full);
}
