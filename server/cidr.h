/* cidr.h - IP addresses and sets of networks: trusted proxies, limits per address.
 * Threads: values; a set is read-only once it is filled. */
#ifndef STERNA_CIDR_H
#define STERNA_CIDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "server/result.h"

/** An address of either family; IPv4 is kept as ::ffff:a.b.c.d, so that both compare alike. */
struct ip {
	uint8_t bytes[16];
};

struct cidr {
	struct ip ip;        /* bits beyond the prefix are zero */
	uint8_t bits;        /* 0..128, IPv4 counted as 96 more */
};

struct cidr_set {
	struct cidr *items;
	size_t count;
};
#define CIDR_SET_INIT { NULL, 0 }

enum { IP_TEXT_SIZE = 64 };  /* "[address]:port" and NUL */

/** @return false for another family than IPv4 and IPv6; *out is then :: */
bool ip_from_sockaddr(const struct sockaddr *sa, struct ip *out);
uint16_t ip_port(const struct sockaddr *sa);                       /**< 0 for another family */
enum sterna_result ip_parse(const char *text, struct ip *out) STERNA_CHECKED;
bool ip_is_v4(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/** The network of the first bits (counted as in struct cidr): a key for limits, such as an IPv6 /64. */
struct ip ip_mask(const struct ip *ip, unsigned bits);
void ip_format(const struct ip *ip, char out[IP_TEXT_SIZE]);       /**< "192.0.2.1", "2001:db8::1" */
/** As logs and limits name a peer: "192.0.2.1:5222", "[2001:db8::1]:5222", "unix". */
void ip_format_peer(const struct sockaddr *sa, char out[IP_TEXT_SIZE]);

/** "192.0.2.0/24", "2001:db8::/32", or an address alone.
 *  @return STERNA_EINVAL no such thing, or bits are set beyond the prefix (a typing error, most likely) */
enum sterna_result cidr_parse(const char *text, struct cidr *out) STERNA_CHECKED;
bool cidr_has(const struct cidr *c, const struct ip *ip);

enum sterna_result cidr_set_add(struct cidr_set *s, const char *text) STERNA_CHECKED; /**< as cidr_parse() */
bool cidr_set_has(const struct cidr_set *s, const struct ip *ip);  /**< false for NULL and the empty set */
void cidr_set_clear(struct cidr_set *s);

#endif
