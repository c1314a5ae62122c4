/* Recovery of XEP-0198 sessions from rows: what the tags, the stanzas and the session's state say is the input.
 *
 * 12 bytes: acked_out, h_in, the h that the client resumes with; then, parted by 0x1D: the state, and for each row of
 * the archive its tags and its stanza. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/c2s.h"
#include "tests/fuzz/sim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='sim.example' " \
	"version='1.0'>"
#define SECRET "0123456789abcdef0123456789abcdef"

enum { ROWS_MAX = 40 };

struct input {
	const uint8_t *data;
	size_t size;
};

static uint32_t number(struct input *in)
{
	uint32_t n;

	memcpy(&n, in->data, sizeof n);
	in->data += sizeof n, in->size -= sizeof n;
	return n;
}

static char *section(struct input *in)
{
	const uint8_t *end = in->size > 0 ? memchr(in->data, 0x1d, in->size) : NULL;
	const size_t len = end != NULL ? (size_t)(end - in->data) : in->size, used = end != NULL ? len + 1 : len;
	char *text = xstrndup((const char *)in->data, len);

	in->data += used, in->size -= used;
	return text;
}

static void run_sql(struct sim *s, char *sql)
{
	if (sqlite3_exec(s->store, sql, NULL, NULL, NULL) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(s->store));
		abort();
	}
	sqlite3_free(sql);
}

static void add_session(struct sim *s, uint32_t acked, uint32_t h_in, struct input *in)
{
	unsigned char hash[32];
	char hex[65], *state = section(in);

	EVP_Digest(SECRET, 32, hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	run_sql(s, sqlite3_mprintf("INSERT INTO sm_session (sid, owner, resource, token_hash, position, acked_out, h_in, state, "
		"created, expires) VALUES (10, 'u0@sim.example', 'r', x'%s', 0, %lld, %lld, %Q, 0, 0)", hex, (long long)acked,
		(long long)h_in, state));
	free(state);
}

static void add_rows(struct sim *s, struct input *in)
{
	for (int i = 1; i <= ROWS_MAX && in->size > 0; i++) {
		char *tags = section(in), *stanza = section(in);

		run_sql(s, sqlite3_mprintf("INSERT INTO archive (owner, id, peer, flags, kind, sm, stanza) VALUES "
			"('u0@sim.example', %d, 'u1@sim.example', 0, 0, %Q, %Q)", i, tags, stanza));
		free(tags);
		free(stanza);
	}
}

static void say(struct sim *s, struct sim_conn *c, const char *text)
{
	buf_puts(&c->up, text);
	sim_fuzz_settle(s, SIZE_MAX);
	buf_release(&c->down);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char resume[160];

	if (size < 12)
		return 0;
	struct sim *s = sim_fuzz_begin();
	const uint32_t acked = number(&in), h_in = number(&in), h = number(&in);

	add_session(s, acked, h_in, &in);
	add_rows(s, &in);
	sim_start(s);
	struct sim_conn *c = sim_connect(s, 0, &c2s_kind, "u0@sim.example");

	snprintf(resume, sizeof resume, "<resume xmlns='urn:xmpp:sm:3' previd='a." SECRET "' h='%u'/>", h);
	say(s, c, HEADER);
	say(s, c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
	say(s, c, HEADER);
	say(s, c, resume);
	say(s, c, "<r xmlns='urn:xmpp:sm:3'/><message to='u0@sim.example'><body>b</body></message>");
	sim_conn_cut(c, 0, false);
	sim_conn_let_go(&c);
	sim_fuzz_settle(s, SIZE_MAX);
	s->now_us += 100000000;
	sim_fuzz_end(s);
	return 0;
}
