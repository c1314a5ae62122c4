/* XEP-0060's configuration of a node: a form as a client may write it, and what is stored of it. */
#include <stdlib.h>
#include <string.h>
#include "server/call.h"
#include "server/registry.h"
#include "server/xml.h"
#include "xep/pubsub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pubsub_limits limits = { .nodes = 4, .items = 1000, .members = 10, .page = 100, .payload = 65536 };

/* What was taken is met by itself, stays within its limits, and comes back from storage as it was. */
static void check(struct sterna_call *c, const struct pubsub_config *cfg, const struct sterna_elem *form,
	bool on_service)
{
	struct pubsub_config back;
	char *json = pubsub_config_json(cfg), *again;

	if (pubsub_config_meets(cfg, c, form, &limits) != PUBSUB_OK || (cfg->max_items != PUBSUB_MAX && cfg->max_items > limits.items)
		|| cfg->max_items == 0 || cfg->item_expire == 0)
		abort();
	pubsub_config_default(&back, on_service, "n");
	if (!pubsub_config_parse(&back, json))
		abort();
	again = pubsub_config_json(&back);
	if (strcmp(json, again) != 0)
		abort();
	pubsub_config_form(&back, c, sterna_elem(c, "x", NS_DATA), false);
	pubsub_config_clear(&back);
	free(again);
	free(json);
}

static void try_form(struct sterna_call *c, const struct sterna_elem *form, bool on_service)
{
	struct pubsub_config cfg;

	pubsub_config_default(&cfg, on_service, NULL);
	if (pubsub_config_set(&cfg, c, form, &limits) == PUBSUB_OK)
		check(c, &cfg, form, on_service);
	pubsub_config_clear(&cfg);
}

/* A row of the database that is not of our making: an import's, or damaged. */
static void try_stored(const uint8_t *data, size_t size)
{
	struct pubsub_config cfg;
	char *text = xstrndup((const char *)data, size);

	pubsub_config_default(&cfg, false, NULL);
	(void)pubsub_config_parse(&cfg, text);
	pubsub_config_clear(&cfg);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct module_slot slot = { 0 };
	struct sterna_call c = { .module = &slot };
	struct arena *a = arena_new(1024 + size);
	struct sterna_elem *form = NULL;
	struct buf text = BUF_INIT;

	buf_puts(&text, "<x xmlns='jabber:x:data' type='submit'>");
	buf_add(&text, (const char *)data, size);
	buf_puts(&text, "</x>");
	if (xml_parse(a, buf_data(&text), buf_len(&text), &form) == STERNA_OK) {
		try_form(&c, form, false);
		try_form(&c, form, true);
	}
	try_stored(data, size);
	arena_free(&c.arena);
	arena_free(&a);
	buf_release(&text);
	return 0;
}
