/* dns_record.c - what records say; no network. */
#include "server/dns.h"
#include <string.h>

/* A name that is not compressed, as text without a final dot. Only what a host can be called (RFC 952, and "_").
 * @return bytes used, 0: it is none */
static size_t take_name(const unsigned char *data, size_t len, char out[DNS_NAME_SIZE])
{
	size_t at = 0, n = 0;

	while (at < len && data[at] != 0) {
		const size_t label = data[at++];

		if (label > 63 || label > len - at || n + label + 1 >= DNS_NAME_SIZE)
			return 0;
		for (size_t i = 0; i < label; i++) {
			const unsigned char c = data[at + i];

			if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
				return 0;
			out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
		}
		out[n++] = '.';
		at += label;
	}
	if (at >= len)
		return 0;
	out[n > 0 ? n - 1 : 0] = '\0';
	return at + 1;
}

static uint16_t number(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool take_srv(struct dns_srv *out, const unsigned char *data, size_t len)
{
	if (len < 7 || take_name(data + 6, len - 6, out->target) != len - 6)
		return false;
	out->priority = number(data);
	out->weight = number(data + 2);
	out->port = number(data + 4);
	return true;
}

static bool take_tlsa(struct dns_tlsa *out, const unsigned char *data, size_t len)
{
	if (len < 4 || len - 3 > DNS_TLSA_MAX)
		return false;
	out->usage = data[0];
	out->selector = data[1];
	out->matching = data[2];
	out->len = (uint16_t)(len - 3);
	memcpy(out->data, data + 3, len - 3);
	return true;
}

bool dns_take(struct dns_answer *a, enum dns_type type, const unsigned char *data, size_t len)
{
	struct dns_record r = { 0 };
	bool ok = false;

	if (a->count >= DNS_RECORDS)
		return false;
	switch (type) {
	case DNS_A:
		ok = len == 4;
		r.ip.bytes[10] = r.ip.bytes[11] = 0xff;
		memcpy(r.ip.bytes + 12, data, ok ? 4 : 0);
		break;
	case DNS_AAAA:
		ok = len == 16;
		memcpy(r.ip.bytes, data, ok ? 16 : 0);
		break;
	case DNS_SRV:
		ok = take_srv(&r.srv, data, len);
		break;
	case DNS_TLSA:
		ok = take_tlsa(&r.tlsa, data, len);
		break;
	}
	if (ok)
		a->record[a->count++] = r;
	return ok;
}

static void swap(struct dns_srv *a, struct dns_srv *b)
{
	const struct dns_srv t = *a;

	*a = *b;
	*b = t;
}

/* RFC 2782: those of weight 0 first in the list, then one by chance, as its share of the sum says. */
static void draw(struct dns_srv *srv, unsigned count, uint32_t chance)
{
	uint64_t sum = 0, upto = 0;
	unsigned first = 0;

	for (unsigned i = 0; i < count; i++) {
		sum += srv[i].weight;
		if (srv[i].weight == 0)
			swap(&srv[first++], &srv[i]);
	}
	const uint64_t drawn = chance % (sum + 1);

	for (unsigned i = 0; i < count; i++) {
		upto += srv[i].weight;
		if (upto >= drawn) {
			swap(&srv[0], &srv[i]);
			return;
		}
	}
}

void dns_order_srv(struct dns_srv *srv, unsigned count, const uint32_t *chance)
{
	for (unsigned i = 1; i < count; i++)
		for (unsigned j = i; j > 0 && srv[j - 1].priority > srv[j].priority; j--)
			swap(&srv[j - 1], &srv[j]);
	for (unsigned i = 0; i < count; i++) {
		unsigned end = i;

		while (end < count && srv[end].priority == srv[i].priority)
			end++;
		draw(srv + i, end - i, chance[i]);
	}
}
