/* cidr.c - IP addresses and sets of networks. */
#include "server/cidr.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"

enum { V4_BITS = 96, ALL_BITS = 128 };
static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void from_v4(const struct in_addr *in, struct ip *out)
{
	memcpy(out->bytes, v4_prefix, sizeof v4_prefix);
	memcpy(out->bytes + sizeof v4_prefix, in, 4);
}

bool ip_from_sockaddr(const struct sockaddr *sa, struct ip *out)
{
	memset(out, 0, sizeof *out);
	if (sa->sa_family == AF_INET)
		from_v4(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, out);
	else if (sa->sa_family == AF_INET6)
		memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	else
		return false;
	return true;
}

uint16_t ip_port(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
	if (sa->sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
	return 0;
}

enum sterna_result ip_parse(const char *text, struct ip *out)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		from_v4(&v4, out);
	else if (inet_pton(AF_INET6, text, &v6) == 1)
		memcpy(out->bytes, &v6, 16);
	else
		return STERNA_EINVAL;
	return STERNA_OK;
}

bool ip_is_v4(const struct ip *ip)
{
	return memcmp(ip->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

struct ip ip_mask(const struct ip *ip, unsigned bits)
{
	struct ip out = *ip;

	for (unsigned i = 0; i < 16; i++) {
		const unsigned kept = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;

		out.bytes[i] &= (uint8_t)(0xff00u >> kept);
	}
	return out;
}

void ip_format(const struct ip *ip, char out[IP_TEXT_SIZE])
{
	if (ip_is_v4(ip))
		inet_ntop(AF_INET, ip->bytes + sizeof v4_prefix, out, IP_TEXT_SIZE);
	else
		inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_SIZE);
}

void ip_format_peer(const struct sockaddr *sa, char out[IP_TEXT_SIZE])
{
	char address[IP_TEXT_SIZE];
	struct ip ip;

	if (!ip_from_sockaddr(sa, &ip)) {
		snprintf(out, IP_TEXT_SIZE, "unix");
		return;
	}
	ip_format(&ip, address);
	snprintf(out, IP_TEXT_SIZE, ip_is_v4(&ip) ? "%.46s:%u" : "[%.46s]:%u", address, ip_port(sa));
}

/* Decimal without sign, space or leading zeros; -1 if it is none. */
static int parse_bits(const char *text)
{
	const size_t len = strlen(text);

	if (len == 0 || len > 3 || strspn(text, "0123456789") != len || (text[0] == '0' && len > 1))
		return -1;
	return atoi(text);
}

enum sterna_result cidr_parse(const char *text, struct cidr *out)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	const size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct ip ip;

	if (len >= sizeof address)
		return STERNA_EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (ip_parse(address, &ip) != STERNA_OK)
		return STERNA_EINVAL;

	const int base = strchr(address, ':') == NULL ? V4_BITS : 0;
	const int bits = slash != NULL ? parse_bits(slash + 1) : ALL_BITS - base;

	if (bits < 0 || bits > ALL_BITS - base)
		return STERNA_EINVAL;
	const struct ip masked = ip_mask(&ip, (unsigned)(base + bits));

	if (!ip_equal(&masked, &ip))
		return STERNA_EINVAL;
	*out = (struct cidr){ ip, (uint8_t)(base + bits) };
	return STERNA_OK;
}

bool cidr_has(const struct cidr *c, const struct ip *ip)
{
	const struct ip masked = ip_mask(ip, c->bits);

	return ip_equal(&masked, &c->ip);
}

enum sterna_result cidr_set_add(struct cidr_set *s, const char *text)
{
	struct cidr c;
	const enum sterna_result rc = cidr_parse(text, &c);

	if (rc != STERNA_OK)
		return rc;
	s->items = xrealloc(s->items, (s->count + 1) * sizeof *s->items);
	s->items[s->count++] = c;
	return STERNA_OK;
}

bool cidr_set_has(const struct cidr_set *s, const struct ip *ip)
{
	for (size_t i = 0; s != NULL && i < s->count; i++)
		if (cidr_has(&s->items[i], ip))
			return true;
	return false;
}

void cidr_set_clear(struct cidr_set *s)
{
	free(s->items);
	*s = (struct cidr_set)CIDR_SET_INIT;
}
