/* dial_find.c - where a domain's server is: a static route, an address as a domain, or what DNS says (RFC 6120 §3.2,
 * XEP-0368): SRV records of both kinds as one list, else the domain's own addresses. */
#include "server/dial_impl.h"
#include <stdlib.h>
#include <string.h>
#include "server/dns.h"

enum { SRV_MAX = 8, WAIT_US = 3000000, PORT = 5269 };

/* A name that may have a server, in the order in which they are tried. */
struct place {
	struct dial *dial;
	struct dns_srv srv;
	bool direct;
	struct dns_query *a, *aaaa;
	struct ip ips[2][DNS_RECORDS];   /* of A, AAAA */
	unsigned count[2];
	bool secure;                     /* DNSSEC has proven all of it */
	struct dns_query *query;         /* of TLSA */
	struct dns_answer *tlsa;
};

struct dial_finding {
	struct dns_query *srv[2];        /* xmpps-server, xmpp-server */
	struct dns_answer *found[2];
	struct place places[SRV_MAX];
	unsigned count, open;            /* open: look-ups without an answer */
	struct timer enough;             /* whoever has not answered by then is left out */
	bool failed;                     /* one could not be answered */
	bool none;                       /* all names do not exist */
	char why[160];
};

static const char *const services[] = { "_xmpps-server._tcp.", "_xmpp-server._tcp." };

static uint64_t now_us(const struct dial *d)
{
	return loop_now_us(d->worker->loop);
}

/* --- what may be connected to --- */

bool dial_is_public(const struct ip *ip)
{
	/* RFC 6890 and its registry; IPv4 also where it hides in IPv6 (6to4, NAT64). */
	static const char *const inner[] = { "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
		"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
		"2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8" };
	struct cidr c;

	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		if (cidr_parse(inner[i], &c) == STERNA_OK && cidr_has(&c, ip))
			return false;
	return true;
}

static void add_target(struct dial *d, const struct ip *ip, uint16_t port, bool direct, const char *name)
{
	struct dial_target *t = &d->targets[d->count];
	char text[IP_TEXT_SIZE];

	if (d->count >= DIAL_TARGETS)
		return;
	if (!d->worker->server->config->s2s.private_addresses && !dial_is_public(ip)) {
		ip_format(ip, text);
		trail_add(d->trail, now_us(d), "dns", false, "%s of %s is no public address (s2s.private_addresses)", text,
			*name != '\0' ? name : "the domain");
		return;
	}
	t->ip = *ip;
	t->port = port;
	t->direct = direct;
	snprintf(t->name, sizeof t->name, "%s", name);
	d->count++;
}

/* --- a route, an address --- */

static void take_route(struct dial *d, const struct config_route *r)
{
	struct dial_target *t = &d->targets[0];

	if (r->socks5 != NULL)
		d->proxy = (struct dial_proxy){ .host = xstrdup(r->address), .port = (uint16_t)r->port,
			.user = r->socks5_user != NULL ? xstrdup(r->socks5_user) : NULL,
			.password = r->socks5_password != NULL ? xstrdup(r->socks5_password) : NULL };
	t->port = (uint16_t)(r->socks5 != NULL ? r->socks5_port : r->port);
	t->direct = r->tls == CONFIG_ROUTE_DIRECT;
	d->has_bind = r->bind != NULL && ip_parse(r->bind, &d->bind) == STERNA_OK;
	/* the configuration was checked */
	d->count = ip_parse(r->socks5 != NULL ? r->socks5 : r->address, &t->ip) == STERNA_OK;
	trail_add(d->trail, now_us(d), "route", true, "%s port %u, %s%s%s%s%s", r->address, r->port,
		t->direct ? "TLS from the first byte" : "STARTTLS", r->bind != NULL ? ", from " : "", r->bind != NULL ? r->bind : "",
		r->socks5 != NULL ? ", through the proxy " : "", r->socks5 != NULL ? r->socks5 : "");
}

static bool take_literal(struct dial *d)
{
	char text[IP_TEXT_SIZE];
	struct ip ip;
	const size_t len = strlen(d->domain);

	if (len >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%s", d->domain + (*d->domain == '['));
	if (*d->domain == '[')
		text[len - 2] = '\0';
	if (ip_parse(text, &ip) != STERNA_OK)
		return false;
	add_target(d, &ip, PORT, false, "");
	return true;
}

/* --- the end of the look-ups --- */

static void conclude(struct dial *d)
{
	struct dial_finding *f = d->finding;

	timer_cancel(&f->enough);
	for (unsigned i = 0; i < f->count; i++) {
		struct place *p = &f->places[i];
		const unsigned most = p->count[0] > p->count[1] ? p->count[0] : p->count[1];

		const unsigned before = d->count;

		dns_cancel(&p->a);
		dns_cancel(&p->aaaa);
		dns_cancel(&p->query);
		/* RFC 8305 §4: the families in turn, IPv6 first. */
		for (unsigned n = 0; n < most; n++) {
			if (n < p->count[1])
				add_target(d, &p->ips[1][n], p->srv.port, p->direct, p->srv.target);
			if (n < p->count[0])
				add_target(d, &p->ips[0][n], p->srv.port, p->direct, p->srv.target);
		}
		for (unsigned n = before; n < d->count; n++)
			d->targets[n].tlsa = p->tlsa;
	}
	if (d->count > 0)
		dial_run(d);
	else if (f->failed)
		dial_failed(d, STERNA_EUNAVAILABLE, "DNS gives no answer");
	else
		dial_failed(d, STERNA_ENOTFOUND, "the domain has no server that could be connected to");
}

static void on_enough(struct timer *t, void *arg)
{
	struct dial *d = arg;

	(void)t;
	trail_add(d->trail, now_us(d), "dns", false, "not all addresses were answered in time");
	d->finding->failed = true;
	conclude(d);
}

static const char *security(const struct dns_answer *a)
{
	return a->secure ? ", DNSSEC: secure" : "";
}

/* --- addresses --- */

static void note_addresses(struct dial *d, const struct place *p, const struct dns_answer *a, const char *type)
{
	char text[160] = "", ip[IP_TEXT_SIZE];

	for (unsigned i = 0; i < a->count && strlen(text) + IP_TEXT_SIZE + 2 < sizeof text; i++) {
		ip_format(&a->record[i].ip, ip);
		strcat(text, " ");
		strcat(text, ip);
	}
	trail_add(d->trail, now_us(d), "dns", a->state == DNS_FOUND || a->state == DNS_NONE, "%s %s:%s%s%s", p->srv.target, type,
		a->state == DNS_FOUND ? text : a->state == DNS_NONE ? " none" : " ",
		a->state == DNS_FOUND || a->state == DNS_NONE ? "" : a->why, security(a));
}

/* --- which certificate it has --- */

static void on_tlsa(void *arg, const struct dns_answer *a)
{
	struct place *p = arg;
	struct dial *d = p->dial;

	p->query = NULL;
	trail_add(d->trail, now_us(d), "dns", a->state == DNS_FOUND || a->state == DNS_NONE, "%s TLSA: %u records%s", p->srv.target,
		a->count, security(a));
	if (a->state == DNS_FOUND && a->secure) {
		p->tlsa = xalloc(sizeof *a);
		*p->tlsa = *a;
		p->tlsa->why = NULL;
	} else if (a->state == DNS_FAILED || a->state == DNS_BOGUS) {
		/* RFC 7673 §3.3: it could be there and be kept from us, so this target is none. */
		p->count[0] = p->count[1] = 0;
		d->finding->failed = true;
	}
	if (--d->finding->open == 0)
		conclude(d);
}

/* Only where DNSSEC has proven the way to it; else whoever could forge that could forge this. */
static void look_up_certificates(struct dial *d)
{
	struct dial_finding *f = d->finding;
	char name[DNS_NAME_SIZE + 32];

	timer_cancel(&f->enough);
	for (unsigned i = 0; i < f->count; i++)
		f->open += f->places[i].secure && f->places[i].count[0] + f->places[i].count[1] > 0;
	if (f->open == 0) {
		conclude(d);
		return;
	}
	for (unsigned i = 0; i < f->count; i++) {
		struct place *p = &f->places[i];

		if (!p->secure || p->count[0] + p->count[1] == 0)
			continue;
		snprintf(name, sizeof name, "_%u._tcp.%s", p->srv.port, p->srv.target);
		p->query = dns_ask(d->worker, name, DNS_TLSA, on_tlsa, p);
	}
}

static void took(struct place *p, const struct dns_answer *a, unsigned family)
{
	struct dial *d = p->dial;
	struct dial_finding *f = d->finding;

	note_addresses(d, p, a, family == 0 ? "A" : "AAAA");
	f->failed |= a->state == DNS_FAILED || a->state == DNS_BOGUS;
	p->secure = p->secure && a->secure;
	for (unsigned i = 0; a->state == DNS_FOUND && i < a->count; i++)
		p->ips[family][p->count[family]++] = a->record[i].ip;
	if (--f->open == 0)
		look_up_certificates(d);
	else if (!timer_is_set(&f->enough))
		timer_set(&f->enough, WAIT_US);
}

static void on_a(void *arg, const struct dns_answer *a)
{
	struct place *p = arg;

	p->a = NULL;
	took(p, a, 0);
}

static void on_aaaa(void *arg, const struct dns_answer *a)
{
	struct place *p = arg;

	p->aaaa = NULL;
	took(p, a, 1);
}

static void look_up_addresses(struct dial *d)
{
	struct dial_finding *f = d->finding;

	f->open = 2 * f->count;
	for (unsigned i = 0; i < f->count; i++) {
		struct place *p = &f->places[i];

		p->dial = d;
		p->a = dns_ask(d->worker, p->srv.target, DNS_A, on_a, p);
		p->aaaa = dns_ask(d->worker, p->srv.target, DNS_AAAA, on_aaaa, p);
	}
}

/* --- services --- */

static void note_srv(struct dial *d, unsigned n, const struct dns_answer *a)
{
	char text[160] = "";

	for (unsigned i = 0; i < a->count; i++) {
		const struct dns_srv *s = &a->record[i].srv;
		const size_t at = strlen(text);

		snprintf(text + at, sizeof text - at, " %u %u %u %s", s->priority, s->weight, s->port,
			*s->target != '\0' ? s->target : ".");
	}
	trail_add(d->trail, now_us(d), "dns", a->state == DNS_FOUND || a->state == DNS_NONE, "%s SRV:%s%s%s", services[n],
		a->state == DNS_FOUND ? text : a->state == DNS_NONE ? " none" : " ",
		a->state == DNS_FOUND || a->state == DNS_NONE ? "" : a->why, security(a));
}

/* Both lists as one (XEP-0368 §3); a record that says "." alone says that there is no such service. */
static unsigned merge(const struct dial_finding *f, struct dns_srv *srv, bool *direct, bool *refused)
{
	unsigned count = 0;

	*refused = false;
	for (unsigned n = 0; n < 2; n++)
		for (unsigned i = 0; i < f->found[n]->count; i++) {
			const struct dns_srv *s = &f->found[n]->record[i].srv;

			if (*s->target == '\0' || s->port == 0) {
				*refused = true;
				continue;
			}
			srv[count] = *s;
			direct[count] = n == 0;
			count++;
		}
	return count;
}

/* The order decides; which kind each is of goes along in the (unused) upper half of its number. */
static void order(struct dial *d, struct dns_srv *srv, const bool *direct, unsigned count)
{
	struct dial_finding *f = d->finding;
	uint32_t chance[2 * DNS_RECORDS];
	bool taken[2 * DNS_RECORDS] = { false };
	struct dns_srv sorted[2 * DNS_RECORDS];

	memcpy(sorted, srv, count * sizeof *srv);
	loop_random(d->worker->loop, chance, sizeof chance);
	dns_order_srv(sorted, count, chance);
	for (unsigned i = 0; i < count && f->count < SRV_MAX; i++)
		for (unsigned k = 0; k < count; k++) {
			if (taken[k] || memcmp(&srv[k], &sorted[i], sizeof *srv) != 0)
				continue;
			taken[k] = true;
			f->places[f->count].srv = srv[k];
			f->places[f->count].direct = direct[k];
			f->places[f->count++].secure = f->found[direct[k] ? 0 : 1]->secure;
			break;
		}
}

/* RFC 6120 §3.2.2: the domain itself. */
static void fall_back(struct dial *d)
{
	struct dial_finding *f = d->finding;
	struct place *p = &f->places[f->count++];

	p->srv.port = PORT;
	p->secure = f->found[1]->secure;
	if (idna_to_ascii(d->domain, p->srv.target, sizeof p->srv.target) != STERNA_OK)
		f->count = 0;
}

static void services_known(struct dial *d)
{
	struct dial_finding *f = d->finding;
	struct dns_srv srv[2 * DNS_RECORDS];
	bool direct[2 * DNS_RECORDS], refused;
	const unsigned count = merge(f, srv, direct, &refused);

	order(d, srv, direct, count);
	if (count == 0 && refused) {
		trail_add(d->trail, now_us(d), "dns", false, "the domain says that it has no server");
		dial_failed(d, STERNA_ENOTFOUND, "the domain says that it has no server");
		return;
	}
	if (count == 0 && f->failed) {
		dial_failed(d, STERNA_EUNAVAILABLE, "DNS gives no answer");
		return;
	}
	if (count == 0)
		fall_back(d);
	look_up_addresses(d);
}

static void on_srv(struct dial *d, unsigned n, const struct dns_answer *a)
{
	struct dial_finding *f = d->finding;

	f->srv[n] = NULL;
	f->found[n] = xalloc(sizeof *a);
	*f->found[n] = *a;
	if (a->state != DNS_FOUND)
		f->found[n]->count = 0;
	f->found[n]->why = NULL; /* borrowed */
	note_srv(d, n, a);
	f->failed |= a->state == DNS_FAILED || a->state == DNS_BOGUS;
	if (f->found[0] != NULL && f->found[1] != NULL)
		services_known(d);
}

static void on_xmpps(void *arg, const struct dns_answer *a)
{
	on_srv(arg, 0, a);
}

static void on_xmpp(void *arg, const struct dns_answer *a)
{
	on_srv(arg, 1, a);
}

static void look_up(struct dial *d)
{
	static dns_fn *const fns[] = { on_xmpps, on_xmpp };
	char ascii[256], name[300];

	if (idna_to_ascii(d->domain, ascii, sizeof ascii) != STERNA_OK) {
		trail_add(d->trail, now_us(d), "dns", false, "this is no name that DNS could have");
		dial_failed(d, STERNA_ENOTFOUND, "this is no name that DNS could have");
		return;
	}
	d->finding = xalloc(sizeof *d->finding);
	timer_init(&d->finding->enough, d->worker->loop, on_enough, d);
	for (unsigned n = 0; n < 2; n++) {
		snprintf(name, sizeof name, "%s%s", services[n], ascii);
		d->finding->srv[n] = dns_ask(d->worker, name, DNS_SRV, fns[n], d);
	}
}

void dial_find(struct dial *d)
{
	const struct config_route *r = config_route(d->worker->server->config, d->domain);

	if (r != NULL)
		take_route(d, r);
	else if (!take_literal(d)) {
		look_up(d);
		return;
	}
	if (d->count > 0)
		dial_run(d);
	else
		dial_failed(d, STERNA_ENOTFOUND, "the domain is an address that nobody is sent to");
}

void dial_find_end(struct dial *d)
{
	struct dial_finding *f = d->finding;

	d->finding = NULL;
	if (f == NULL)
		return;
	timer_cancel(&f->enough);
	for (unsigned n = 0; n < 2; n++) {
		dns_cancel(&f->srv[n]);
		free(f->found[n]);
	}
	for (unsigned i = 0; i < f->count; i++) {
		dns_cancel(&f->places[i].a);
		dns_cancel(&f->places[i].aaaa);
		dns_cancel(&f->places[i].query);
		free(f->places[i].tlsa);
	}
	free(f);
}
