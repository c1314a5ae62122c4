/* What a SOCKS5 proxy says to us. */
#include <stdlib.h>
#include <string.h>
#include "server/dial_socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dial_proxy p = { (char *)"host.example", 5269, (char *)"user", NULL };
	struct dial_socks s;
	struct buf out = BUF_INIT;
	const char *why = NULL;
	enum dial_socks_state state = DIAL_SOCKS_WAITS;

	if (size > 0 && data[0] % 2 == 0)
		p.user = NULL;
	dial_socks_begin(&s, &p, &out);
	for (size_t at = 1; at < size && state == DIAL_SOCKS_WAITS;) {
		const size_t room = s.need - s.have, n = size - at < room ? size - at : room;

		if (s.need > sizeof s.in || room == 0)
			abort();
		state = dial_socks_take(&s, data + at, n, &out, &why);
		at += n;
	}
	if (state == DIAL_SOCKS_FAILED && why == NULL)
		abort();
	buf_release(&out);
	return 0;
}
