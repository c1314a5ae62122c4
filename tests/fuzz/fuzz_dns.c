/* Records as they are on the wire: what is taken is whole, and fits. */
#include <stdlib.h>
#include <string.h>
#include "server/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_SRV, DNS_TLSA };
	static struct dns_answer a;
	struct dns_srv srv[DNS_RECORDS];
	uint32_t chance[DNS_RECORDS];
	unsigned count = 0;

	a.count = 0;
	while (size > 2) {
		const enum dns_type type = types[data[0] % 4];
		const size_t len = data[1] < size - 2 ? data[1] : size - 2;

		if (dns_take(&a, type, data + 2, len) && type == DNS_SRV) {
			const struct dns_srv *s = &a.record[a.count - 1].srv;

			if (memchr(s->target, '\0', sizeof s->target) == NULL || strpbrk(s->target, " <>&'\"/@") != NULL)
				abort();
			chance[count] = (uint32_t)len;
			srv[count++] = *s;
		}
		data += 2 + len, size -= 2 + len;
	}
	dns_order_srv(srv, count, chance);
	for (unsigned i = 1; i < count; i++)
		if (srv[i - 1].priority > srv[i].priority)
			abort();
	return 0;
}
