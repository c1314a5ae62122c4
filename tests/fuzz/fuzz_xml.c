/* The parser, with the input split at random: the same trees and errors as in one piece, and what is written
 * from a tree is read as that tree again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_xml: %s\n", what);
		abort();
	}
}

/* Written, read and written: the second writing is as the first. */
static void check_again(const struct buf *once)
{
	struct arena *a = arena_new(1024);
	struct buf twice = BUF_INIT;
	struct sterna_elem *e = NULL;

	must(xml_parse(a, buf_data(once), buf_len(once), &e) == STERNA_OK, "cannot read what we wrote");
	elem_write(&twice, e, NS_CLIENT);
	must(buf_len(once) == buf_len(&twice) && memcmp(buf_data(once), buf_data(&twice), buf_len(once)) == 0,
		"reading changed it");
	elem_write(&twice, elem_copy(a, e), NS_CLIENT);
	must(buf_len(&twice) == 2 * buf_len(once), "the copy differs");
	buf_release(&twice);
	arena_free(&a);
}

struct seen {
	struct buf text;
	struct xml_parser *p;
	bool stops;
};

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	struct seen *s = arg;

	buf_puts(&s->text, content_ns != NULL ? content_ns : "-");
	elem_write(&s->text, root, NULL);
	if (s->stops)
		xml_stop(s->p);
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct seen *s = arg;
	struct buf once = BUF_INIT;

	elem_write(&once, e, NS_CLIENT);
	check_again(&once);
	buf_add(&s->text, buf_data(&once), buf_len(&once));
	buf_release(&once);
	arena_free(&a);
	if (s->stops)
		xml_stop(s->p);
}

static void on_close(void *arg)
{
	struct seen *s = arg;

	buf_lit(&s->text, "close");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct xml_handler handler = { on_open, on_element, on_close, NULL };
	static const struct xml_limits limits = { 2000, 16, 16, 8, 64, 64 };
	struct seen whole = { BUF_INIT, NULL, false }, parts = { BUF_INIT, NULL, true };

	if (size < 1)
		return 0;
	uint32_t random = data[0] * 2654435761u + 1;
	const char *text = (const char *)data + 1;
	const char *ns = data[0] & 1 ? NS_SERVER : NS_CLIENT;
	size_t at = 0;

	size--;
	whole.p = xml_new(&handler, &whole, &limits, ns);
	parts.p = xml_new(&handler, &parts, &limits, ns);
	const enum xml_error error = xml_feed(whole.p, text, size);

	while (at < size) {
		random = random * 1664525 + 1013904223;
		size_t n = 1 + (random >> 24) % (random & 0x10000 ? 40 : 4);

		n = n < size - at ? n : size - at;
		xml_feed(parts.p, text + at, n);
		at += n;
		if (random & 0x20000)
			while (xml_is_stopped(parts.p))
				xml_resume(parts.p);
		if (random & 0x40000)
			xml_sleep(parts.p);
	}
	while (xml_is_stopped(parts.p))
		xml_resume(parts.p);
	must(xml_feed(parts.p, "", 0) == error, "another error when split");
	must(strcmp(xml_error_text(parts.p), xml_error_text(whole.p)) == 0, "another text when split");
	must(strcmp(buf_str(&parts.text), buf_str(&whole.text)) == 0, "other trees when split");
	must(xml_memory(whole.p) < 200000, "too much memory");
	xml_free(&whole.p);
	xml_free(&parts.p);
	buf_release(&whole.text);
	buf_release(&parts.text);
	return 0;
}
