/* xml_tree.c - expat, its memory, and the trees made from what it reports. Knows the limits that can only be
 * told from parsed XML; the scanner has the others. */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "server/xml_impl.h"

/* Between a namespace and a local name. No XML document can contain it, so that no namespace can hold one
 * and be mistaken for another (CVE-2022-25236). */
#define SEPARATOR '\x01'

enum {
	ARENA_FIRST = 960,           /* with the allocator's and the arena's own bytes: 1 KiB */
	EXPAT_BASE = 65536,
	EXPAT_PER_BYTE = 8,
	POOL_MAX = 32,          /* idle engines kept, of at most so many bytes */
	POOL_BYTES = 32768,
};

size_t xml_tree_budget(const struct xml_limits *limits)
{
	return EXPAT_BASE + EXPAT_PER_BYTE * limits->stanza_bytes;
}

/* expat's allocator gets no argument to say for whom; each block remembers, and new ones belong to the parser
 * that this thread is running at the moment. Set for the time of one expat call only. */
static _Thread_local struct xml_account *current;

union block {
	struct {
		size_t size;
		struct xml_account *account;
	} of;
	max_align_t align;
};

static void *count_realloc(void *old, size_t size)
{
	union block *b = old != NULL ? (union block *)old - 1 : NULL;
	struct xml_account *const account = b != NULL ? b->of.account : current;
	const size_t had = b != NULL ? b->of.size : 0;

	if (account == NULL || size > account->limit || account->used - had > account->limit - size)
		return NULL;
	/* cppcheck-suppress memleakOnRealloc ; expat still has the old one */
	b = realloc(b, sizeof *b + size);
	if (b == NULL)
		return NULL;
	account->used = account->used - had + size;
	b->of.size = size;
	b->of.account = account;
	return b + 1;
}

static void *count_malloc(size_t size)
{
	return count_realloc(NULL, size);
}

static void count_free(void *p)
{
	if (p == NULL)
		return;
	union block *b = (union block *)p - 1;

	b->of.account->used -= b->of.size;
	free(b);
}

void xml_fail(struct xml_parser *p, enum xml_error error, const char *text)
{
	if (p->error != XML_OK)
		return;
	p->error = error;
	p->error_text = text;
	if (p->parsing && p->engine != NULL)
		XML_StopParser(p->engine->expat, XML_FALSE);
}

struct name {
	const char *ns, *local;
	size_t ns_len, local_len;
};

/* Take "namespace SEPARATOR local" apart; false and an error if it is too long. */
static bool split_name(struct xml_parser *p, const char *full, struct name *out)
{
	const char *at = strchr(full, SEPARATOR);

	out->ns = full;
	out->ns_len = at != NULL ? (size_t)(at - full) : 0;
	out->local = at != NULL ? at + 1 : full;
	out->local_len = strlen(out->local);
	if (out->local_len <= p->limits->name_bytes && out->ns_len <= p->limits->name_bytes)
		return true;
	xml_fail(p, XML_TOO_BIG, "name too long");
	return false;
}

static bool is_ns(const struct name *n, const char *ns)
{
	return strncmp(n->ns, ns, n->ns_len) == 0 && ns[n->ns_len] == '\0';
}

/* The namespace as the tree has it (elem.h). On a stream with another content namespace a stanza must not
 * become one by saying jabber:client: it gets the stream's own, which no rule of ours matches. */
static const char *element_ns(struct xml_parser *p, const struct name *n)
{
	const struct sterna_elem *const parent = p->at;

	if (parent != NULL && is_ns(n, parent->ns))
		return parent->ns;
	if (p->content_ns != NULL && is_ns(n, p->content_ns))
		return NS_CLIENT;
	if (parent == NULL && p->content_ns != NULL && is_ns(n, NS_CLIENT))
		return ns_intern(p->arena, p->content_ns, strlen(p->content_ns));
	return ns_intern(p->arena, n->ns, n->ns_len);
}

/* What writing this declaration takes. A short prefix may stand for a long name: without this bound, a stanza
 * of thousands of <p:a/> would leave a hundred times larger than it came. */
static bool count_ns(struct xml_parser *p, size_t len)
{
	p->ns_bytes += len + sizeof " xmlns=''";
	if (p->ns_bytes <= p->limits->stanza_bytes + p->limits->name_bytes)
		return true;
	xml_fail(p, XML_TOO_BIG, "too many changes of namespace");
	return false;
}

static const char *attr_ns(struct xml_parser *p, const struct sterna_elem *e, const struct name *n, unsigned *count)
{
	if (n->ns_len == 0)
		return NULL;
	if (is_ns(n, NS_XML))
		return NS_XML;
	for (const struct sterna_attr *at = e->attrs; at != NULL; at = at->next)
		if (at->ns != NULL && is_ns(n, at->ns))
			return at->ns;
	/* each costs a declaration when it is written, and the element's own namespace one more */
	if (++*count >= p->limits->namespaces)
		xml_fail(p, XML_TOO_BIG, "too many namespaces in one element");
	else if (count_ns(p, n->ns_len + 4))
		return ns_intern(p->arena, n->ns, n->ns_len);
	return NULL;
}

static void add_attrs(struct xml_parser *p, struct sterna_elem *e, const char **atts)
{
	struct sterna_attr **last = &e->attrs;
	unsigned count = 0, foreign = 0;

	for (; atts[0] != NULL; atts += 2) {
		struct name n;

		if (++count > p->limits->attributes) {
			xml_fail(p, XML_TOO_BIG, "too many attributes");
			return;
		}
		if (!split_name(p, atts[0], &n))
			return;
		const char *const ns = attr_ns(p, e, &n, &foreign);

		if (p->error != XML_OK)
			return;
		const size_t value_len = strlen(atts[1]);
		struct sterna_attr *at = arena_alloc(p->arena, sizeof *at + n.local_len + value_len + 2);
		char *strings = (char *)(at + 1);

		at->name = memcpy(strings, n.local, n.local_len + 1);
		at->value = memcpy(strings + n.local_len + 1, atts[1], value_len + 1);
		at->ns = ns;
		at->next = NULL;
		*last = at;
		last = &at->next;
	}
}

static struct sterna_elem *make_elem(struct xml_parser *p, const char *full, const char **atts)
{
	struct name n;

	if (!split_name(p, full, &n))
		return NULL;
	struct sterna_elem *e = arena_alloc(p->arena, sizeof *e + n.local_len + 1);

	*e = (struct sterna_elem){ .arena = p->arena, .name = memcpy(e + 1, n.local, n.local_len + 1), .ns = element_ns(p, &n) };
	if (e->ns != (p->at != NULL ? p->at->ns : NS_CLIENT) && !count_ns(p, n.ns_len))
		return NULL;
	add_attrs(p, e, atts);
	return p->error == XML_OK ? e : NULL;
}

static void flush_text(struct xml_parser *p)
{
	const size_t len = buf_len(&p->text);

	if (len == 0)
		return;
	struct sterna_elem *node = arena_alloc(p->arena, sizeof *node + len + 1);
	char *text = (char *)(node + 1);

	memcpy(text, buf_data(&p->text), len);
	text[len] = '\0';
	*node = (struct sterna_elem){ .arena = p->arena, .text = text, .text_len = len };
	elem_append(p->at, node);
	buf_consume(&p->text, len);
}

static void on_root(struct xml_parser *p, const char *name, const char **atts)
{
	p->arena = arena_new(ARENA_FIRST);
	p->ready = make_elem(p, name, atts);
	p->ns_bytes = 0;
	if (p->ready != NULL)
		p->root_tag = xasprintf("<%.*s%s>", (int)p->root_name_len, p->root_name, buf_str(&p->decls));
	buf_release(&p->decls);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **atts)
{
	struct xml_parser *p = arg;

	if (p->error != XML_OK || p->waking)
		return;
	p->namespaces = 0;
	if (p->root_tag == NULL) {
		on_root(p, name, atts);
		return;
	}
	if (p->at != NULL)
		flush_text(p);
	else
		p->arena = p->into != NULL ? p->into : arena_new(ARENA_FIRST);
	if (++p->depth > p->limits->depth)
		xml_fail(p, XML_TOO_BIG, "nested too deeply");
	else if (++p->elements > p->limits->elements)
		xml_fail(p, XML_TOO_BIG, "too many elements");
	struct sterna_elem *e = p->error == XML_OK ? make_elem(p, name, atts) : NULL;

	if (e == NULL)
		return;
	if (p->at != NULL)
		elem_append(p->at, e);
	p->at = e;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct xml_parser *p = arg;

	(void)name;
	if (p->error != XML_OK || p->at == NULL) /* the root's end: the scanner tells */
		return;
	flush_text(p);
	if (--p->depth == 0) {
		p->ready = p->at;
		p->elements = 0;
		p->ns_bytes = 0;
	}
	p->at = p->at->parent;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct xml_parser *p = arg;

	if (p->error == XML_OK && p->at != NULL)
		buf_add(&p->text, text, (size_t)len);
}

static void XMLCALL on_namespace(void *arg, const XML_Char *prefix, const XML_Char *uri)
{
	struct xml_parser *p = arg;

	if (p->error != XML_OK || p->waking)
		return;
	if (++p->namespaces > p->limits->namespaces) {
		xml_fail(p, XML_TOO_BIG, "too many namespace declarations");
		return;
	}
	if ((prefix != NULL && strlen(prefix) > p->limits->name_bytes) ||
			(uri != NULL && strlen(uri) > p->limits->name_bytes)) {
		xml_fail(p, XML_TOO_BIG, "name too long");
		return;
	}
	if (p->root_tag != NULL || uri == NULL)
		return;
	buf_lit(&p->decls, " xmlns");
	if (prefix != NULL) {
		buf_putc(&p->decls, ':');
		buf_puts(&p->decls, prefix);
	} else {
		p->default_ns = xstrdup(uri);
	}
	buf_lit(&p->decls, "='");
	xml_escape_attr(&p->decls, uri, strlen(uri));
	buf_putc(&p->decls, '\'');
}

/* RFC 6120 §11.6 and XML 1.0 §2.8. expat itself goes by the encoding it was made with. */
static void XMLCALL on_declaration(void *arg, const XML_Char *version, const XML_Char *encoding, int standalone)
{
	(void)standalone;
	if (encoding != NULL && strcasecmp(encoding, "UTF-8") != 0)
		xml_fail(arg, XML_BAD_ENCODING, "an encoding other than UTF-8 is declared");
	else if (version == NULL || strncmp(version, "1.", 2) != 0)
		xml_fail(arg, XML_NOT_WELL_FORMED, "unknown version of XML");
}

/* The second wall: the scanner lets none of these through. */
static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *sys, const XML_Char *pub, int subset)
{
	(void)name, (void)sys, (void)pub, (void)subset;
	xml_fail(arg, XML_RESTRICTED, "DTD");
}

static void XMLCALL on_entity(void *arg, const XML_Char *name, int parameter, const XML_Char *value, int len,
	const XML_Char *base, const XML_Char *sys, const XML_Char *pub, const XML_Char *notation)
{
	(void)name, (void)parameter, (void)value, (void)len, (void)base, (void)sys, (void)pub, (void)notation;
	xml_fail(arg, XML_RESTRICTED, "entity declaration");
}

static void XMLCALL on_comment(void *arg, const XML_Char *text)
{
	(void)text;
	xml_fail(arg, XML_RESTRICTED, "comment");
}

static void XMLCALL on_instruction(void *arg, const XML_Char *target, const XML_Char *data)
{
	(void)target, (void)data;
	xml_fail(arg, XML_RESTRICTED, "processing instruction");
}

static void XMLCALL on_skipped(void *arg, const XML_Char *name, int parameter)
{
	(void)name, (void)parameter;
	xml_fail(arg, XML_RESTRICTED, "undefined entity");
}

static enum xml_error error_of(enum XML_Error code)
{
	switch (code) {
	case XML_ERROR_UNDEFINED_ENTITY:
	case XML_ERROR_RECURSIVE_ENTITY_REF:
	case XML_ERROR_BINARY_ENTITY_REF:
	case XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF:
	case XML_ERROR_EXTERNAL_ENTITY_HANDLING:
	case XML_ERROR_ENTITY_DECLARED_IN_PE:
	case XML_ERROR_PARAM_ENTITY_REF:
		return XML_RESTRICTED;
	case XML_ERROR_UNBOUND_PREFIX:
		return XML_BAD_PREFIX;
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING:
		return XML_BAD_ENCODING;
	case XML_ERROR_NO_MEMORY:
		return XML_TOO_BIG;
	default:
		return XML_NOT_WELL_FORMED;
	}
}

/* One call into expat, with the allocator counting for p. Handlers of ours run inside, none of the user's. */
static void parse(struct xml_parser *p, const char *bytes, size_t len)
{
	struct xml_account *const outer = current;

	current = &p->engine->account;
	p->parsing = true;
	const enum XML_Status status = XML_Parse(p->engine->expat, bytes, (int)len, 0);

	p->parsing = false;
	current = outer;
	if (status != XML_STATUS_OK && p->error == XML_OK) {
		const enum XML_Error code = XML_GetErrorCode(p->engine->expat);

		xml_fail(p, error_of(code), code == XML_ERROR_NO_MEMORY ? "too much memory" : XML_ErrorString(code));
	}
}

/* Handlers and settings of a parser that is new, or reset. */
static void prepare(struct xml_parser *p)
{
	struct XML_ParserStruct *const expat = p->engine->expat;

	XML_SetHashSalt(expat, p->engine->salt);
#ifdef HAVE_XML_SETREPARSEDEFERRALENABLED
	XML_SetReparseDeferralEnabled(expat, XML_FALSE); /* the scanner hands over whole tags only */
#endif
	XML_SetUserData(expat, p);
	XML_SetParamEntityParsing(expat, XML_PARAM_ENTITY_PARSING_NEVER);
	XML_SetElementHandler(expat, on_start, on_end);
	XML_SetCharacterDataHandler(expat, on_text);
	XML_SetStartNamespaceDeclHandler(expat, on_namespace);
	XML_SetXmlDeclHandler(expat, on_declaration);
	XML_SetStartDoctypeDeclHandler(expat, on_doctype);
	XML_SetEntityDeclHandler(expat, on_entity);
	XML_SetCommentHandler(expat, on_comment);
	XML_SetProcessingInstructionHandler(expat, on_instruction);
	XML_SetSkippedEntityHandler(expat, on_skipped);
}

static struct xml_engine *make_engine(const struct xml_limits *limits)
{
	static const XML_Memory_Handling_Suite counting = { count_malloc, count_realloc, count_free };
	static const char separator[] = { SEPARATOR, '\0' };
	struct xml_account *const outer = current;
	unsigned long salt;

	if (getrandom(&salt, sizeof salt, 0) != (ssize_t)sizeof salt)
		return NULL;
	struct xml_engine *e = xalloc(sizeof *e);

	e->salt = salt | 1; /* 0 would mean: none given */
	e->account.limit = xml_tree_budget(limits);
	current = &e->account;
	e->expat = XML_ParserCreate_MM("UTF-8", &counting, separator);
	current = outer;
	if (e->expat == NULL) {
		free(e);
		return NULL;
	}
	return e;
}

static bool take_engine(struct xml_parser *p)
{
	struct xml_engine *e = p->pool != NULL ? p->pool->free : NULL;

	if (e != NULL) {
		p->pool->free = e->next;
		p->pool->count--;
		e->account.limit = xml_tree_budget(p->limits);
	} else {
		e = make_engine(p->limits);
	}
	if (e == NULL) {
		xml_fail(p, XML_TOO_BIG, "no memory for a parser");
		return false;
	}
	p->engine = e;
	prepare(p);
	return true;
}

void xml_tree_feed(struct xml_parser *p, const char *bytes, size_t len)
{
	if (len == 0 || p->error != XML_OK)
		return;
	if (p->engine == NULL) {
		if (!take_engine(p))
			return;
		if (p->root_tag != NULL) {
			p->waking = true;
			parse(p, p->root_tag, strlen(p->root_tag));
			p->waking = false;
			if (p->error != XML_OK)
				return;
		}
	}
	parse(p, bytes, len);
}

void xml_engine_free(struct xml_engine *e)
{
	XML_ParserFree(e->expat);
	free(e);
}

/* What is kept has parsed nothing wrong, and is small. */
static bool may_keep(const struct xml_parser *p)
{
	return p->pool != NULL && p->pool->count < POOL_MAX && p->error == XML_OK && p->engine->account.used <= POOL_BYTES;
}

void xml_tree_drop_engine(struct xml_parser *p)
{
	struct xml_engine *e = p->engine;
	struct xml_account *const outer = current;
	bool kept = false;

	if (e == NULL)
		return;
	if (may_keep(p)) {
		current = &e->account;
		kept = XML_ParserReset(e->expat, "UTF-8") == XML_TRUE;
		current = outer;
	}
	if (kept) {
		e->next = p->pool->free;
		p->pool->free = e;
		p->pool->count++;
	} else {
		xml_engine_free(e);
	}
	p->engine = NULL;
}
