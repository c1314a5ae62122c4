/* bosh_body.c - XEP-0124 §4. */
#include "server/bosh_body.h"
#include <stdlib.h>
#include <string.h>

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	struct bosh_body *b = arg;

	(void)content_ns;
	b->arena = arena_new(1024);
	b->root = elem_copy(b->arena, root);
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct bosh_body *b = arg;
	struct bosh_item *i = xalloc(sizeof *i);

	i->kind = BOSH_ELEMENT;
	i->arena = a;
	i->element = e;
	i->bytes = arena_size(a);
	*b->last = i;
	b->last = &i->next;
	b->count++;
}

static void on_close(void *arg)
{
	struct bosh_body *b = arg;

	b->closed = true;
}

void bosh_body_clear(struct bosh_body *b)
{
	bosh_items_free(&b->first);
	arena_free(&b->arena);
	b->root = NULL;
	b->last = &b->first;
}

enum sterna_result bosh_body_parse(const char *text, size_t len, const struct xml_limits *limits, struct xml_pool *pool,
	struct bosh_body *out)
{
	static const struct xml_handler handler = { .open = on_open, .element = on_element, .close = on_close };
	struct xml_parser *p;

	*out = (struct bosh_body){ .arena = NULL };
	out->last = &out->first;
	p = xml_new(&handler, out, limits, NS_CLIENT);
	xml_use_pool(p, pool);
	const enum xml_error e = xml_feed(p, text, len);

	xml_use_pool(p, NULL);
	xml_free(&p);
	if (e == XML_OK && out->closed && elem_is(out->root, "body", NS_BOSH))
		return STERNA_OK;
	bosh_body_clear(out);
	return e == XML_TOO_BIG ? STERNA_ELIMIT : STERNA_EINVAL;
}

bool bosh_body_number(const struct bosh_body *b, const char *name, uint64_t *out)
{
	const char *text = elem_attr(b->root, name);
	uint64_t n = 0;

	if (text == NULL || *text == '\0' || strlen(text) > 16)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	*out = n;
	return n < UINT64_C(1) << 53;
}
