/* How long it takes to parse and to write a usual message: bench_xml [rounds]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "server/xml.h"

static const char header[] = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
	"to='example.net' version='1.0'>";
static const char message[] = "<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' "
	"type='chat' id='5f1d0a3c-9f0b-4d52-8b43-1f0f2a6f7c11' xml:lang='en'><body>Art thou not Romeo, and a Montague? "
	"Neither, fair saint, if either thee dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
	"<request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='5f1d0a3c-9f0b'/><thread>e0ffe42b2</thread>"
	"</message>";

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct arena **last = arg;

	(void)e;
	arena_free(last);
	*last = a;
}

int main(int argc, char **argv)
{
	static const struct xml_handler handler = { .element = on_element };
	const int rounds = argc > 1 ? atoi(argv[1]) : 200000;
	struct arena *last = NULL, *a = arena_new(4096);
	struct xml_parser *p = xml_new(&handler, &last, &xml_limits_default, NS_CLIENT);
	struct sterna_elem *e = NULL;
	struct buf out = BUF_INIT;
	const size_t len = sizeof message - 1;

	xml_feed(p, header, sizeof header - 1);
	double start = now_us();

	for (int i = 0; i < rounds; i++)
		if (xml_feed(p, message, len) != XML_OK)
			abort();
	printf("parse   %zu bytes  %.3f us\n", len, (now_us() - start) / rounds);
	start = now_us();
	for (int i = 0; i < rounds; i++) {
		if (!xml_sleep(p) || xml_feed(p, message, len) != XML_OK)
			abort();
	}
	printf("wake    %zu bytes  %.3f us\n", len, (now_us() - start) / rounds);
	if (xml_parse(a, message, len, &e) != STERNA_OK)
		abort();
	start = now_us();
	for (int i = 0; i < rounds; i++) {
		elem_write(&out, e, NS_CLIENT);
		buf_consume(&out, buf_len(&out));
	}
	printf("write   %zu bytes  %.3f us\n", len, (now_us() - start) / rounds);
	printf("memory  %zu bytes awake", xml_memory(p));
	xml_sleep(p);
	printf(", %zu asleep\n", xml_memory(p));
	xml_free(&p);
	buf_release(&out);
	arena_free(&last);
	arena_free(&a);
	return 0;
}
