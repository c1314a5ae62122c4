/* XEP-0115's verification string: of any disco#info with data forms. The order of what is in it makes no difference
 * to whether it has one. */
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/xml.h"
#include "xep/disco_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same children, last first. */
static struct sterna_elem *reversed(struct arena *a, const struct sterna_elem *e)
{
	struct sterna_elem *out = elem_new(a, e->name, e->ns);
	const struct sterna_elem *list[4096];
	size_t n = 0;

	for (const struct sterna_elem *t = e->first; t != NULL && n < sizeof list / sizeof *list; t = t->next)
		list[n++] = t;
	while (n-- > 0)
		if (list[n]->name != NULL)
			elem_append(out, elem_copy(a, list[n]));
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sterna_call c = { 0 };
	struct arena *a = arena_new(1024 + size);
	struct sterna_elem *e = NULL;
	struct buf text = BUF_INIT;
	char ver[CAPS_VER_SIZE] = "", again[CAPS_VER_SIZE] = "";

	buf_puts(&text, "<query xmlns='http://jabber.org/protocol/disco#info'>");
	buf_add(&text, (const char *)data, size);
	buf_puts(&text, "</query>");
	if (xml_parse(a, buf_data(&text), buf_len(&text), &e) == STERNA_OK) {
		const bool ok = caps_ver(&c, e, ver);

		if (ok && strlen(ver) != CAPS_VER_SIZE - 1)
			abort();
		if (caps_ver(&c, reversed(a, e), again) != ok || (ok && strcmp(ver, again) != 0))
			abort();
	}
	arena_free(&c.arena);
	arena_free(&a);
	buf_release(&text);
	return 0;
}
