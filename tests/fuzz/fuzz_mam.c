/* XEP-0313's query: form, ids and paging, as a client may write them. */
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/registry.h"
#include "server/xml.h"
#include "xep/xep0313_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mam_config config = { .page = 50, .max_page = 100 };

static void check(const struct mam_query *q)
{
	struct jid *j = NULL;

	if (q->limit < 0 || q->limit > config.max_page || q->named_count > config.max_page + 4 || q->named == NULL || q->low < 0
		|| q->high < 0 || q->before < 0)
		abort();
	if (q->filter == MAM_ANYONE)
		return;
	if (q->peer == NULL || jid_parse(q->peer, strlen(q->peer), &j) != STERNA_OK || jid_resource(j) != NULL
		|| (q->filter == MAM_RESOURCE) != (q->resource != NULL))
		abort();
	jid_unref(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct module_slot slot = { 0 };
	struct sterna_call c = { .module = &slot };
	struct arena *a = arena_new(1024 + size);
	struct sterna_elem *e = NULL;
	const struct mam_source source = { "room@example.net", config.page, config.max_page, config.max_bytes.bytes, 0 };
	struct mam_query q = { .source = &source };
	enum sterna_verdict refused = STERNA_NEXT;
	struct buf text = BUF_INIT;

	slot.config = (void *)(uintptr_t)&config;
	buf_puts(&text, "<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2' queryid='q'>");
	buf_add(&text, (const char *)data, size);
	buf_puts(&text, "</query></iq>");
	if (xml_parse(a, buf_data(&text), buf_len(&text), &e) == STERNA_OK && stanza_new(&a, e, &c.stanza) == STERNA_OK) {
		if (mam_query_read(&c, &q, &refused))
			check(&q);
		else if (refused != STERNA_REJECT)
			abort();
	}
	stanza_unref(&c.stanza);
	arena_free(&c.arena);
	arena_free(&a);
	buf_release(&text);
	return 0;
}
