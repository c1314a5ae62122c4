/* proxy_protocol.c - PROXY protocol versions 1 (§2.1) and 2 (§2.2) of HAProxy's specification. */
#include "server/proxy_protocol.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
enum { V2_HEAD = 16, V2_INET = 12, V2_INET6 = 36, TLV_HEAD = 3, TLV_CRC32C = 3, TLV_CRC_SIZE = 4 };

static unsigned u16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* --- version 1: a line of text --- */

/* A port: decimal, no sign, no leading zero, at most 65535. */
static bool parse_port(const char *text, uint16_t *out)
{
	const size_t len = strlen(text);
	unsigned long n = 0;

	if (len == 0 || len > 5 || (text[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (unsigned long)(text[i] - '0');
	}
	if (n > UINT16_MAX)
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool v1_address(int family, const char *address, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	uint16_t n;

	memset(out, 0, sizeof *out);
	if (!parse_port(port, &n))
		return false;
	out->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		v4->sin_port = htons(n);
		return inet_pton(AF_INET, address, &v4->sin_addr) == 1;
	}
	v6->sin6_port = htons(n);
	return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
}

static enum sterna_result v1_fields(char *line, struct proxy_header *out)
{
	char *field[6];
	size_t n = 0;

	for (char *at = line; at != NULL && n < 6; n++) {
		field[n] = at;
		/* cppcheck-suppress nullPointer ; the loop has asked */
		at = strchr(at, ' ');
		if (at != NULL)
			*at++ = '\0';
		if (at != NULL && n == 5)
			return STERNA_EINVAL;
	}
	if (n != 6)
		return STERNA_EINVAL;
	const int family = strcmp(field[1], "TCP4") == 0 ? AF_INET : strcmp(field[1], "TCP6") == 0 ? AF_INET6 : 0;

	if (family == 0 || !v1_address(family, field[2], field[4], &out->src) ||
	    !v1_address(family, field[3], field[5], &out->dst))
		return STERNA_EINVAL;
	out->known = true;
	return STERNA_OK;
}

static enum sterna_result parse_v1(const char *bytes, size_t len, struct proxy_header *out, size_t *used)
{
	static const char prefix[] = "PROXY ";
	const size_t head = sizeof prefix - 1, look = len < PROXY_V1_MAX ? len : PROXY_V1_MAX;
	char line[PROXY_V1_MAX + 1];

	if (memcmp(bytes, prefix, len < head ? len : head) != 0)
		return STERNA_EINVAL;
	const char *end = memchr(bytes, '\n', look);

	if (end == NULL)
		return look < PROXY_V1_MAX ? STERNA_EAGAIN : STERNA_EINVAL;
	const size_t n = (size_t)(end - bytes);

	if (n < head + 1 || end[-1] != '\r' || memchr(bytes, '\0', n) != NULL)
		return STERNA_EINVAL;
	memcpy(line, bytes, n - 1);
	line[n - 1] = '\0';
	*used = n + 1;
	/* After UNKNOWN the line may hold anything, which the receiver must ignore. */
	if (strcmp(line, "PROXY UNKNOWN") == 0 || strncmp(line, "PROXY UNKNOWN ", 14) == 0)
		return STERNA_OK;
	return v1_fields(line, out);
}

/* --- version 2: binary --- */

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* §2.2.3: the sum over the whole header, with the sum's own field taken as zero. */
static bool v2_sum_is_right(const uint8_t *bytes, size_t len, size_t at)
{
	static const uint8_t zero[TLV_CRC_SIZE];
	uint32_t crc = crc32c(UINT32_MAX, bytes, at);

	crc = crc32c(crc, zero, sizeof zero);
	crc = ~crc32c(crc, bytes + at + TLV_CRC_SIZE, len - at - TLV_CRC_SIZE);
	return crc == ((uint32_t)u16(bytes + at) << 16 | u16(bytes + at + 2));
}

static bool v2_tlvs_are_right(const uint8_t *bytes, size_t len, size_t at)
{
	while (at < len) {
		if (len - at < TLV_HEAD)
			return false;
		const size_t value = at + TLV_HEAD, size = u16(bytes + at + 1);

		if (len - value < size)
			return false;
		if (bytes[at] == TLV_CRC32C && (size != TLV_CRC_SIZE || !v2_sum_is_right(bytes, len, value)))
			return false;
		at = value + size;
	}
	return true;
}

static void v2_inet(const uint8_t *p, struct proxy_header *out)
{
	struct sockaddr_in *src = (struct sockaddr_in *)&out->src, *dst = (struct sockaddr_in *)&out->dst;

	src->sin_family = dst->sin_family = AF_INET;
	memcpy(&src->sin_addr, p, 4);
	memcpy(&dst->sin_addr, p + 4, 4);
	memcpy(&src->sin_port, p + 8, 2);
	memcpy(&dst->sin_port, p + 10, 2);
	out->known = true;
}

static void v2_inet6(const uint8_t *p, struct proxy_header *out)
{
	struct sockaddr_in6 *src = (struct sockaddr_in6 *)&out->src, *dst = (struct sockaddr_in6 *)&out->dst;

	src->sin6_family = dst->sin6_family = AF_INET6;
	memcpy(&src->sin6_addr, p, 16);
	memcpy(&dst->sin6_addr, p + 16, 16);
	memcpy(&src->sin6_port, p + 32, 2);
	memcpy(&dst->sin6_port, p + 34, 2);
	out->known = true;
}

static enum sterna_result parse_v2(const uint8_t *bytes, size_t len, struct proxy_header *out, size_t *used)
{
	enum { VERSION = 0x20, CMD_LOCAL = 0, CMD_PROXY = 1, AF_UNSPEC_ = 0, AF_INET_ = 1, AF_INET6_ = 2, AF_UNIX_ = 3 };

	if (len < V2_HEAD)
		return STERNA_EAGAIN;
	const unsigned command = bytes[12] & 0x0f, family = bytes[13] >> 4, proto = bytes[13] & 0x0f;
	const size_t total = V2_HEAD + (size_t)u16(bytes + 14);
	const size_t need = family == AF_INET_ ? V2_INET : family == AF_INET6_ ? V2_INET6 : 0;

	if ((bytes[12] & 0xf0) != VERSION || command > CMD_PROXY || family > AF_UNIX_ || proto > 2)
		return STERNA_EINVAL;
	if (total > PROXY_MAX)
		return STERNA_ELIMIT;
	if (len < total)
		return STERNA_EAGAIN;
	*used = total;
	/* §2.2: with LOCAL and UNSPEC the rest is to be skipped, whatever it says. */
	if (command == CMD_LOCAL || family == AF_UNSPEC_ || family == AF_UNIX_)
		return STERNA_OK;
	if (proto != 1 || total < V2_HEAD + need || !v2_tlvs_are_right(bytes, total, V2_HEAD + need))
		return STERNA_EINVAL;
	if (family == AF_INET_)
		v2_inet(bytes + V2_HEAD, out);
	else
		v2_inet6(bytes + V2_HEAD, out);
	return STERNA_OK;
}

enum sterna_result proxy_parse(const char *bytes, size_t len, struct proxy_header *out, size_t *used)
{
	const size_t head = len < sizeof v2_signature ? len : sizeof v2_signature;

	memset(out, 0, sizeof *out);
	*used = 0;
	if (len == 0)
		return STERNA_EAGAIN;
	if (bytes[0] == 'P')
		return parse_v1(bytes, len, out, used);
	if (memcmp(bytes, v2_signature, head) != 0)
		return STERNA_EINVAL;
	return parse_v2((const uint8_t *)bytes, len, out, used);
}
