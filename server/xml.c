/* xml.c - XML parsers: input and life. Bytes pass the scanner (xml_scan.c), then expat (xml_tree.c), at most up
 * to the end of one first-level element at a time; the user's handlers run here, outside of expat, and may
 * stop, reset or free the parser. */
#include "server/xml.h"
#include <stdlib.h>
#include <string.h>
#include "server/xml_impl.h"

enum {
	KEPT_MORE = 65536,      /* taken while stopped, beyond the size of a stanza: what was read already */
	BUF_KEEP = 4096,        /* an empty buffer larger than this is given back */
	EXPAT_KEEP = 65536,     /* expat remembers every name it has met; above this it starts anew */
};

const struct xml_limits xml_limits_default = {
	.stanza_bytes = 262144, .depth = 64, .attributes = 64, .namespaces = 32, .elements = 4096, .name_bytes = 1024,
};

/* For XML that we have written ourselves. Escaping, wrapping (XEP-0297) and stamping made it larger than what
 * came in under a stream's limits; it must not get unreadable by that. */
static const struct xml_limits stored_limits = {
	.stanza_bytes = 8388608, .depth = 80, .attributes = 80, .namespaces = 64, .elements = 8192, .name_bytes = 1024,
};

bool xml_library_ok(const char **text)
{
	const XML_Expat_Version v = XML_ExpatVersionInfo();

	*text = XML_ExpatVersion();
	return v.major > 2 || (v.major == 2 && v.minor >= 5);
}

struct xml_parser *xml_new(const struct xml_handler *h, void *arg, const struct xml_limits *limits,
	const char *content_ns)
{
	struct xml_parser *p = xalloc(sizeof *p);

	p->handler = h;
	p->arg = arg;
	p->limits = limits;
	p->content_ns = content_ns != NULL ? xstrdup(content_ns) : NULL;
	xml_scan_init(&p->scan);
	return p;
}

void xml_use_pool(struct xml_parser *p, struct xml_pool *pool)
{
	p->pool = pool;
}

struct xml_pool *xml_pool_new(void)
{
	return xalloc(sizeof(struct xml_pool));
}

void xml_pool_free(struct xml_pool **pool)
{
	for (struct xml_engine *e = *pool != NULL ? (*pool)->free : NULL, *next; e != NULL; e = next) {
		next = e->next;
		xml_engine_free(e);
	}
	free(*pool);
	*pool = NULL;
}

static void begin(struct xml_parser *p)
{
	if (p->fixed_root == NULL) {
		xml_scan_init(&p->scan);
		return;
	}
	p->root_tag = xstrdup(p->fixed_root);
	xml_scan_init_inside(&p->scan);
}

/* All but what xml_new() was told. */
static void clear(struct xml_parser *p)
{
	const struct xml_parser kept = *p;

	xml_tree_drop_engine(p);
	buf_release(&p->in);
	buf_release(&p->text);
	buf_release(&p->decls);
	free(p->root_tag);
	free(p->default_ns);
	if (p->into == NULL)
		arena_free(&p->arena);
	*p = (struct xml_parser){ .handler = kept.handler, .arg = kept.arg, .limits = kept.limits,
		.content_ns = kept.content_ns, .pool = kept.pool, .fixed_root = kept.fixed_root };
	begin(p);
}

static void destroy(struct xml_parser *p)
{
	p->fixed_root = NULL;
	clear(p);
	free(p->content_ns);
	free(p);
}

void xml_free(struct xml_parser **p)
{
	if (*p != NULL && (*p)->in_call)
		(*p)->free_wanted = true;
	else if (*p != NULL)
		destroy(*p);
	*p = NULL;
}

void xml_reset(struct xml_parser *p)
{
	if (p->in_call)
		p->reset_wanted = true;
	else
		clear(p);
}

void xml_use_root(struct xml_parser *p, const char *root_tag)
{
	p->fixed_root = root_tag;
	xml_reset(p);
}

bool xml_is_between(const struct xml_parser *p)
{
	return p->error == XML_OK && !p->closed && p->at == NULL && xml_scan_is_between(&p->scan);
}

static bool goes_on(const struct xml_parser *p)
{
	return p->error == XML_OK && !p->stopped && !p->closed && !p->reset_wanted && !p->free_wanted;
}

static void deliver_root(struct xml_parser *p)
{
	struct arena *a = p->arena;
	const struct sterna_elem *root = p->ready;

	p->arena = NULL;
	p->ready = NULL;
	if (p->handler->open != NULL)
		p->handler->open(p->arg, root, p->default_ns);
	arena_free(&a);
}

static void deliver_element(struct xml_parser *p)
{
	struct arena *a = p->arena;
	struct sterna_elem *e = p->ready;

	p->arena = NULL;
	p->ready = NULL;
	p->handler->element(p->arg, a, e);
}

/* Something ended, and expat has seen it. */
static void deliver(struct xml_parser *p, enum scan_event event, bool is_root)
{
	if ((event == SCAN_ROOT || event == SCAN_ELEMENT || is_root) && p->ready == NULL) {
		xml_fail(p, XML_NOT_WELL_FORMED, "tags do not match");
		return;
	}
	if (is_root)
		deliver_root(p);
	if (event == SCAN_ELEMENT)
		deliver_element(p);
	if (event == SCAN_CLOSE && p->error == XML_OK && !p->free_wanted && !p->reset_wanted) {
		p->closed = true;
		if (p->handler->close != NULL)
			p->handler->close(p->arg);
	}
	if (event == SCAN_ELEMENT && p->engine != NULL && p->engine->account.used > EXPAT_KEEP)
		xml_tree_drop_engine(p);
	if (event == SCAN_ELEMENT && p->text.size > BUF_KEEP)
		buf_release(&p->text);
}

/* The root's name as it was sent: the end tag must have the same prefix, also after sleep. */
static void note_root_name(struct xml_parser *p, const char *tag, size_t len)
{
	size_t n = 1;

	while (n < len && strchr(" \t\r\n/>", tag[n]) == NULL)
		n++;
	p->root_name = tag + 1;
	p->root_name_len = n - 1;
}

/* Scan and parse a window; returns how much of it is done with. */
static size_t work(struct xml_parser *p, const char *window, size_t len)
{
	size_t fed = 0;

	while (goes_on(p)) {
		const enum scan_event event = xml_scan(&p->scan, window, len, p->limits->stanza_bytes);
		const size_t safe = xml_scan_safe(&p->scan);
		const bool is_root = (event == SCAN_ROOT || event == SCAN_CLOSE) && p->root_tag == NULL;

		if (event == SCAN_SPACE) {
			fed = safe;
			if (p->handler->space != NULL)
				p->handler->space(p->arg);
			continue;
		}
		if (is_root)
			note_root_name(p, window + p->scan.hold, safe - p->scan.hold);
		xml_tree_feed(p, window + fed, safe - fed);
		fed = safe;
		if (event == SCAN_ERROR)
			xml_fail(p, p->scan.error, p->scan.error_text);
		if (event == SCAN_MORE)
			break;
		if (p->error == XML_OK)
			deliver(p, event, is_root);
	}
	return fed;
}

/* What handlers asked for while p could not be taken away from under us. */
static enum xml_error leave(struct xml_parser *p)
{
	p->in_call = false;
	if (p->free_wanted) {
		destroy(p);
		return XML_OK;
	}
	if (p->reset_wanted)
		clear(p);
	return p->error;
}

/* After work(): the rest stays for later, if there is a later. */
static bool done_for_good(const struct xml_parser *p)
{
	return p->error != XML_OK || p->closed || p->reset_wanted || p->free_wanted;
}

static enum xml_error work_on_kept(struct xml_parser *p)
{
	const size_t n = work(p, buf_data(&p->in), buf_len(&p->in));

	if (done_for_good(p)) {
		buf_release(&p->in);
	} else {
		buf_consume(&p->in, n);
		xml_scan_consume(&p->scan, n);
		if (buf_len(&p->in) == 0 && p->in.size > BUF_KEEP)
			buf_release(&p->in);
	}
	return leave(p);
}

enum xml_error xml_feed(struct xml_parser *p, const char *bytes, size_t len)
{
	if (p->error != XML_OK || p->closed || len == 0)
		return p->error;
	if (p->stopped) {
		if (buf_len(&p->in) + len > p->limits->stanza_bytes + KEPT_MORE)
			xml_fail(p, XML_TOO_BIG, "too much sent before the answer");
		else
			buf_add(&p->in, bytes, len);
		return p->error;
	}
	p->in_call = true;
	if (buf_len(&p->in) > 0) {
		buf_add(&p->in, bytes, len);
		return work_on_kept(p);
	}
	const size_t n = work(p, bytes, len);

	if (!done_for_good(p)) {
		buf_add(&p->in, bytes + n, len - n);
		xml_scan_consume(&p->scan, n);
	}
	return leave(p);
}

void xml_stop(struct xml_parser *p)
{
	p->stopped = true;
}

bool xml_is_stopped(const struct xml_parser *p)
{
	return p->stopped;
}

enum xml_error xml_resume(struct xml_parser *p)
{
	p->stopped = false;
	if (p->error != XML_OK || buf_len(&p->in) == 0)
		return p->error;
	p->in_call = true;
	return work_on_kept(p);
}

size_t xml_kept(const struct xml_parser *p)
{
	return buf_len(&p->in);
}

void xml_set_limits(struct xml_parser *p, const struct xml_limits *limits)
{
	p->limits = limits;
	if (p->engine != NULL)
		p->engine->account.limit = xml_tree_budget(limits);
}

bool xml_sleep(struct xml_parser *p)
{
	if (p->error != XML_OK || p->in_call || p->root_tag == NULL || p->closed || p->at != NULL ||
			buf_len(&p->in) > 0 || !xml_scan_is_between(&p->scan) || p->engine == NULL)
		return false;
	xml_tree_drop_engine(p);
	buf_release(&p->in);
	buf_release(&p->text);
	return true;
}

const char *xml_error_text(const struct xml_parser *p)
{
	return p->error_text != NULL ? p->error_text : "";
}

size_t xml_memory(const struct xml_parser *p)
{
	size_t n = sizeof *p + (p->engine != NULL ? p->engine->account.used : 0) + p->in.size + p->text.size + p->decls.size;

	if (p->root_tag != NULL)
		n += strlen(p->root_tag) + 1;
	if (p->arena != NULL && p->into == NULL)
		n += arena_size(p->arena);
	return n;
}

struct stored {
	struct sterna_elem *e;
	unsigned count;
};

static void on_stored(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct stored *s = arg;

	(void)a;
	if (s->count++ == 0)
		s->e = e;
}

enum sterna_result xml_parse(struct arena *a, const char *text, size_t len, struct sterna_elem **out)
{
	static const struct xml_handler handler = { .element = on_stored };
	struct stored s = { NULL, 0 };
	struct xml_parser *p = xml_new(&handler, &s, &stored_limits, NULL);

	p->into = a;
	p->root_tag = xasprintf("<stored xmlns='%s'>", NS_CLIENT);
	xml_scan_init_inside(&p->scan);
	const enum xml_error error = xml_feed(p, text, len);
	const bool one = s.count == 1 && xml_scan_is_between(&p->scan) && !p->closed;

	xml_free(&p);
	if (error != XML_OK)
		return error == XML_TOO_BIG ? STERNA_ELIMIT : STERNA_EINVAL;
	if (!one)
		return STERNA_EINVAL;
	*out = s.e;
	return STERNA_OK;
}
