/* fuzz_socks.c - any bytes: a greeting or a request is taken only where each shorter beginning asks for more, within its
 * length, and the answer names the same hash. */
#include <stdint.h>
#include <stdlib.h>
#include "server/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t greet(const uint8_t *data, size_t size)
{
	size_t used = 0, again;
	const enum sterna_result rc = socks_greeting(data, size, &used);

	if (rc == STERNA_EAGAIN && size >= SOCKS_GREETING_MAX)
		abort();
	if (rc != STERNA_OK)
		return 0;
	if (used > size || used > SOCKS_GREETING_MAX || socks_greeting(data, used - 1, &again) != STERNA_EAGAIN)
		abort();
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum socks_reply reply = SOCKS_DONE;
	struct socks_request r, same;
	struct buf out = BUF_INIT;
	size_t used = 0;
	const size_t skip = greet(data, size);

	data += skip;
	size -= skip;
	const enum sterna_result rc = socks_request(data, size, &r, &used, &reply);

	if ((rc == STERNA_EAGAIN && size >= SOCKS_REQUEST_MAX) || (rc == STERNA_EDENIED && reply == SOCKS_DONE))
		abort();
	if (rc != STERNA_OK)
		return 0;
	if (used > size || socks_request(data, used - 1, &same, &used, &reply) != STERNA_EAGAIN)
		abort();
	socks_write_reply(&out, SOCKS_DONE, &r);
	buf_reserve(&out, 1);
	out.data[out.start + 1] = 1; /* the answer has the form of a request */
	if (socks_request((const unsigned char *)buf_data(&out), buf_len(&out), &same, &used, &reply) != STERNA_OK
		|| memcmp(same.hash, r.hash, sizeof r.hash) != 0 || memcmp(same.port, r.port, sizeof r.port) != 0)
		abort();
	buf_release(&out);
	return 0;
}
