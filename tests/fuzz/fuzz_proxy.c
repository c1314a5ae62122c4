/* fuzz_proxy.c - any bytes: a header is accepted only where each shorter beginning asks for more. */
#include <stdint.h>
#include <stdlib.h>
#include "server/cidr.h"
#include "server/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct proxy_header h, again;
	size_t used, part_used;
	char text[IP_TEXT_SIZE];

	const enum sterna_result rc = proxy_parse(bytes, size, &h, &used);

	if (rc != STERNA_OK)
		return 0;
	if (used == 0 || used > size || used > PROXY_MAX)
		abort();
	if (proxy_parse(bytes, used, &again, &part_used) != STERNA_OK || part_used != used)
		abort();
	if (proxy_parse(bytes, used - 1, &again, &part_used) != STERNA_EAGAIN)
		abort();
	if (h.known) {
		ip_format_peer((struct sockaddr *)&h.src, text);
		ip_format_peer((struct sockaddr *)&h.dst, text);
	}
	return 0;
}
