/* dial_socks.c - SOCKS5, as a client. */
#include "server/dial_socks.h"
#include <stdlib.h>
#include <string.h>
#include "server/cidr.h"

enum { METHOD, AUTH, HEAD, REST };
enum { NONE = 0, PASSWORD = 2 };

void dial_proxy_clear(struct dial_proxy *p)
{
	free(p->host);
	free(p->user);
	free(p->password);
	memset(p, 0, sizeof *p);
}

static void put(struct buf *out, unsigned n)
{
	const char byte = (char)n;

	buf_add(out, &byte, 1);
}

static void put_text(struct buf *out, const char *text)
{
	const size_t len = strlen(text) < 255 ? strlen(text) : 255;

	put(out, (unsigned)len);
	buf_add(out, text, len);
}

static void expect(struct dial_socks *s, unsigned stage, size_t need)
{
	s->stage = stage;
	s->need = need;
}

void dial_socks_begin(struct dial_socks *s, const struct dial_proxy *p, struct buf *out)
{
	memset(s, 0, sizeof *s);
	s->proxy = p;
	put(out, 5);
	put(out, p->user != NULL ? 2 : 1);
	put(out, NONE);
	if (p->user != NULL)
		put(out, PASSWORD);
	expect(s, METHOD, 2);
}

/* RFC 1929 §2. */
static void say_password(struct dial_socks *s, struct buf *out)
{
	put(out, 1);
	put_text(out, s->proxy->user);
	put_text(out, s->proxy->password != NULL ? s->proxy->password : "");
	s->have = 0;
	expect(s, AUTH, 2);
}

/* RFC 1928 §4: CONNECT. */
static void say_where(struct dial_socks *s, struct buf *out)
{
	struct ip ip;

	put(out, 5);
	put(out, 1);
	put(out, 0);
	if (ip_parse(s->proxy->host, &ip) != STERNA_OK) {
		put(out, 3);
		put_text(out, s->proxy->host);
	} else if (ip_is_v4(&ip)) {
		put(out, 1);
		buf_add(out, (const char *)ip.bytes + 12, 4);
	} else {
		put(out, 4);
		buf_add(out, (const char *)ip.bytes, 16);
	}
	put(out, s->proxy->port >> 8);
	put(out, s->proxy->port & 255);
	s->have = 0;
	expect(s, HEAD, 5);
}

static enum dial_socks_state fail(const char **why, const char *text)
{
	*why = text;
	return DIAL_SOCKS_FAILED;
}

static enum dial_socks_state on_method(struct dial_socks *s, struct buf *out, const char **why)
{
	if (s->in[0] != 5)
		return fail(why, "the proxy does not speak SOCKS5");
	if (s->in[1] == NONE) {
		say_where(s, out);
	} else if (s->in[1] == PASSWORD && s->proxy->user != NULL) {
		say_password(s, out);
	} else {
		return fail(why, s->proxy->user != NULL ? "the proxy wants to know us by neither nothing nor a password"
			: "the proxy wants to know who asks (socks5_user)");
	}
	return DIAL_SOCKS_WAITS;
}

/* RFC 1928 §6. */
static const char *refusal(unsigned code)
{
	static const char *const texts[] = { "", "the proxy failed", "the proxy's rules do not allow it", "network unreachable from the proxy",
		"host unreachable from the proxy", "connection refused, the proxy says", "the proxy's packets lived too long",
		"the proxy knows no CONNECT", "the proxy does not know that kind of address" };

	return code < sizeof texts / sizeof *texts ? texts[code] : "the proxy refuses, and does not say why";
}

/* The address that it connects from is of no use to us, but stands before what the peer says. */
static enum dial_socks_state on_head(struct dial_socks *s, const char **why)
{
	if (s->in[0] != 5)
		return fail(why, "the proxy does not speak SOCKS5");
	if (s->in[1] != 0)
		return fail(why, refusal(s->in[1]));
	if (s->in[3] != 1 && s->in[3] != 3 && s->in[3] != 4)
		return fail(why, "the proxy's answer cannot be read");
	expect(s, REST, s->in[3] == 1 ? 10 : s->in[3] == 4 ? 22 : (size_t)7 + s->in[4]);
	return DIAL_SOCKS_WAITS;
}

enum dial_socks_state dial_socks_take(struct dial_socks *s, const unsigned char *bytes, size_t n, struct buf *out,
	const char **why)
{
	if (n > s->need - s->have)
		n = s->need - s->have;
	memcpy(s->in + s->have, bytes, n);
	s->have += n;
	if (s->have < s->need)
		return DIAL_SOCKS_WAITS;
	switch (s->stage) {
	case METHOD:
		return on_method(s, out, why);
	case AUTH:
		if (s->in[1] != 0)
			return fail(why, "the proxy does not take our name and password");
		say_where(s, out);
		return DIAL_SOCKS_WAITS;
	case HEAD:
		return on_head(s, why);
	default:
		return DIAL_SOCKS_DONE;
	}
}
