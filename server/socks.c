/* socks.c - RFC 1928, as XEP-0065 uses it: no authentication, CONNECT, and a domain name that is a hash. */
#include "server/socks.h"
#include <string.h>

enum { VERSION = 5, METHOD_NONE = 0, NO_METHOD = 0xff, CONNECT = 1, IPV4 = 1, DOMAIN = 3, IPV6 = 4 };

enum sterna_result socks_greeting(const unsigned char *bytes, size_t len, size_t *used)
{
	if (len > 0 && bytes[0] != VERSION)
		return STERNA_EINVAL;
	if (len > 1 && bytes[1] == 0)
		return STERNA_EINVAL;
	if (len < 2 || len < 2u + bytes[1])
		return STERNA_EAGAIN;
	*used = 2u + bytes[1];
	return memchr(bytes + 2, METHOD_NONE, bytes[1]) != NULL ? STERNA_OK : STERNA_EDENIED;
}

static bool read_hash(const unsigned char *name, char out[SOCKS_HASH_LEN + 1])
{
	for (size_t i = 0; i < SOCKS_HASH_LEN; i++) {
		const char c = (char)name[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
			return false;
		out[i] = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
	}
	out[SOCKS_HASH_LEN] = '\0';
	return true;
}

static enum sterna_result deny(enum socks_reply what, enum socks_reply *reply)
{
	*reply = what;
	return STERNA_EDENIED;
}

enum sterna_result socks_request(const unsigned char *bytes, size_t len, struct socks_request *out, size_t *used,
	enum socks_reply *reply)
{
	struct socks_request r;

	if (len > 0 && bytes[0] != VERSION)
		return STERNA_EINVAL;
	if (len > 1 && bytes[1] != CONNECT)
		return deny(SOCKS_NO_SUCH_COMMAND, reply);
	if (len > 2 && bytes[2] != 0)
		return STERNA_EINVAL;
	if (len > 3 && bytes[3] != DOMAIN)
		return bytes[3] == IPV4 || bytes[3] == IPV6 ? deny(SOCKS_NOT_ALLOWED, reply) : deny(SOCKS_NO_SUCH_ADDRESS, reply);
	if (len > 4 && bytes[4] != SOCKS_HASH_LEN)
		return deny(SOCKS_NOT_ALLOWED, reply);
	if (len < 5 + SOCKS_HASH_LEN + 2)
		return STERNA_EAGAIN;
	if (!read_hash(bytes + 5, r.hash))
		return deny(SOCKS_NOT_ALLOWED, reply);
	memcpy(r.port, bytes + 5 + SOCKS_HASH_LEN, 2);
	*out = r;
	*used = 5 + SOCKS_HASH_LEN + 2;
	return STERNA_OK;
}

void socks_write_method(struct buf *out, bool ok)
{
	buf_putc(out, VERSION);
	buf_putc(out, (char)(ok ? METHOD_NONE : NO_METHOD));
}

void socks_write_reply(struct buf *out, enum socks_reply reply, const struct socks_request *r)
{
	static const char nowhere[] = { IPV4, 0, 0, 0, 0, 0, 0 };

	buf_putc(out, VERSION);
	buf_putc(out, (char)reply);
	buf_putc(out, 0);
	if (r == NULL) {
		buf_add(out, nowhere, sizeof nowhere);
		return;
	}
	buf_putc(out, DOMAIN);
	buf_putc(out, SOCKS_HASH_LEN);
	buf_add(out, r->hash, SOCKS_HASH_LEN);
	buf_add(out, r->port, sizeof r->port);
}
