/* pie_read.c - reads XEP-0227's files: piece by piece, as hosts and users do not fit into memory. xml.h gives
 * first-level elements of streams; here what is wanted lies deeper, so this has an expat of its own, with the same
 * restrictions: no DTD (and so no entities), bounded depth and size. */
#include "server/pie.h"
#include <errno.h>
#include <expat.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "server/mem.h"

#define NS_XINCLUDE "http://www.w3.org/2001/XInclude"

enum { PIECE_BYTES = 16 << 20, PIECE_DEPTH = 100, PIECE_ELEMENTS = 200000, PIECE_ATTRIBUTES = 100, CHUNK = 65536, FILES_DEEP = 4 };
enum { DEPTH_DATA = 1, DEPTH_HOST, DEPTH_USER, DEPTH_ITEM };

/* One of the files, the innermost first. */
struct source {
	struct source *outer;
	const char *path;
	XML_Parser parser;
};

struct pie_reader {
	const struct pie_handler *h;
	void *arg;
	struct pie_error *err;
	enum sterna_result rc;
	struct source *source;
	unsigned files;
	unsigned depth;              /* of open elements, includes not counted */
	unsigned skip;               /* open elements that are not looked at */
	char *host;
	enum pie_place place;        /* PIE_USER, or the container that is open at DEPTH_ITEM */
	/* the piece being read */
	struct arena *arena;
	struct sterna_elem *root, *at;
	unsigned levels, elements;
	struct buf text;
	uint64_t since;              /* bytes fed since expat last said anything */
};

static void fail(struct pie_reader *r, enum sterna_result rc, unsigned long line, const char *text)
{
	if (r->rc != STERNA_OK)
		return;
	r->rc = rc;
	snprintf(r->err->file, sizeof r->err->file, "%s", r->source != NULL ? r->source->path : "");
	r->err->line = line;
	snprintf(r->err->message, sizeof r->err->message, "%s", text);
	for (struct source *s = r->source; s != NULL; s = s->outer)
		if (s->parser != NULL)
			XML_StopParser(s->parser, XML_FALSE);
}

void pie_place(const struct pie_reader *r, const char **file, unsigned long *line)
{
	*file = r->source->path;
	*line = XML_GetCurrentLineNumber(r->source->parser);
}

void pie_refuse(struct pie_reader *r, enum sterna_result rc, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fail(r, rc, XML_GetCurrentLineNumber(r->source->parser), text);
}

static void read_file(struct pie_reader *r, const char *path);

/* --- names: "namespace\nlocal" --- */

struct name {
	const char *local;
	char ns[1024];
};

static bool split(struct pie_reader *r, const char *full, struct name *out)
{
	const char *sep = strchr(full, '\n');
	const size_t n = sep != NULL ? (size_t)(sep - full) : 0;

	if (n >= sizeof out->ns) {
		pie_refuse(r, STERNA_ELIMIT, "the name of a namespace is too long");
		return false;
	}
	memcpy(out->ns, full, n);
	out->ns[n] = '\0';
	out->local = sep != NULL ? sep + 1 : full;
	return true;
}

static const char *attr(const char **atts, const char *name)
{
	for (; *atts != NULL; atts += 2)
		if (strcmp(atts[0], name) == 0)
			return atts[1];
	return NULL;
}

/* --- includes --- */

/* A relative path that stays below the folder of its file; nothing else is followed. */
static char *include_path(const struct pie_reader *r, const char *href)
{
	const char *slash = strrchr(r->source->path, '/');
	const int dir = slash != NULL ? (int)(slash + 1 - r->source->path) : 0;
	char *path;
	size_t n = 0;

	if (*href == '\0' || *href == '/' || strchr(href, ':') != NULL || strstr(href, "..") != NULL)
		return NULL;
	path = xasprintf("%.*s%s", dir, r->source->path, href);
	/* RFC 3986 §2.1 */
	for (const char *p = path; *p != '\0'; p++) {
		unsigned byte;

		if (p - path >= dir && *p == '%' && sscanf(p + 1, "%2x", &byte) == 1 && byte != 0 && byte != '/' && p[2] != '\0') {
			path[n++] = (char)byte;
			p += 2;
		} else {
			path[n++] = *p;
		}
	}
	path[n] = '\0';
	if (strstr(path + dir, "..") != NULL) {
		free(path);
		path = NULL;
	}
	return path;
}

static void include(struct pie_reader *r, const char **atts)
{
	const char *href = attr(atts, "href");
	char *path;

	if (href == NULL || attr(atts, "parse") != NULL || attr(atts, "xpointer") != NULL) {
		pie_refuse(r, STERNA_EINVAL, "an include of this kind is not read: it has a relative href, and nothing else");
		return;
	}
	path = include_path(r, href);
	if (path == NULL)
		pie_refuse(r, STERNA_EINVAL, "an include may only name a file below this one's folder");
	else if (r->files >= FILES_DEEP)
		pie_refuse(r, STERNA_ELIMIT, "files include each other too deeply");
	else
		read_file(r, path);
	free(path);
}

/* --- pieces --- */

static void flush_text(struct pie_reader *r)
{
	if (r->at != NULL && buf_len(&r->text) > 0)
		elem_add_text(r->arena, r->at, buf_data(&r->text), buf_len(&r->text));
	r->text.start = r->text.len = 0;
}

static void piece_start(struct pie_reader *r, const struct name *n, const char **atts)
{
	if (r->arena == NULL) {
		r->arena = arena_new(4096);
		r->root = r->at = elem_new(r->arena, n->local, n->ns);
		r->elements = 1;
	} else {
		flush_text(r);
		r->at = elem_add(r->arena, r->at, n->local, n->ns);
		r->elements++;
	}
	r->levels++;
	for (unsigned count = 0; *atts != NULL; atts += 2) {
		struct name a;

		if (++count > PIECE_ATTRIBUTES) {
			pie_refuse(r, STERNA_ELIMIT, "an element has too many attributes");
			return;
		}

		if (!split(r, atts[0], &a))
			return;
		if (a.ns[0] != '\0')
			elem_set_attr_ns(r->arena, r->at, a.local, strcmp(a.ns, NS_XML) == 0 ? NS_XML
				: arena_strndup(r->arena, a.ns, strlen(a.ns)), atts[1]);
		else
			elem_set_attr(r->arena, r->at, a.local, atts[1]);
	}
	if (r->levels > PIECE_DEPTH || r->elements > PIECE_ELEMENTS || arena_size(r->arena) > 4 * PIECE_BYTES)
		pie_refuse(r, STERNA_ELIMIT, "an element is too deep or too large");
}

static void piece_end(struct pie_reader *r)
{
	flush_text(r);
	r->at = r->at->parent;
	if (--r->levels > 0)
		return;
	r->h->item(r->arg, r, r->place, r->arena, r->root);
	arena_free(&r->arena);
	r->root = r->at = NULL;
	buf_release(&r->text);
}

/* --- the format --- */

static void on_start_host(struct pie_reader *r, const struct name *n, const char **atts)
{
	const char *jid = attr(atts, "jid");

	if (strcmp(n->local, "host") != 0 || strcmp(n->ns, NS_PIE) != 0) {
		r->h->unknown(r->arg, r, n->ns, n->local);
		r->skip = 1;
	} else if (jid == NULL) {
		pie_refuse(r, STERNA_EINVAL, "<host/> without 'jid'");
	} else {
		free(r->host);
		r->host = xstrdup(jid);
		r->depth++;
	}
}

static void on_start_user(struct pie_reader *r, const struct name *n, const char **atts)
{
	const char *name = attr(atts, "name");

	if (strcmp(n->local, "user") != 0 || strcmp(n->ns, NS_PIE) != 0) {
		r->h->unknown(r->arg, r, n->ns, n->local);
		r->skip = 1;
	} else if (name == NULL) {
		pie_refuse(r, STERNA_EINVAL, "<user/> without 'name'");
	} else {
		r->depth++;
		r->h->user(r->arg, r, r->host, name, attr(atts, "password"));
	}
}

static void on_start_item(struct pie_reader *r, const struct name *n, const char **atts)
{
	if (r->place == PIE_USER && strcmp(n->ns, NS_PIE) == 0 && strcmp(n->local, "offline-messages") == 0)
		r->place = PIE_OFFLINE;
	else if (r->place == PIE_USER && strcmp(n->ns, NS_PIE_MAM) == 0 && strcmp(n->local, "archive") == 0)
		r->place = PIE_ARCHIVE;
	else
		piece_start(r, n, atts);
}

static void on_start(void *arg, const char *full, const char **atts)
{
	struct pie_reader *r = arg;
	struct name n;

	r->since = 0;
	if (r->rc != STERNA_OK || !split(r, full, &n))
		return;
	if (r->skip > 0) {
		r->skip++;
	} else if (r->arena != NULL) {
		piece_start(r, &n, atts);
	} else if (r->depth > 0 && r->place == PIE_USER && strcmp(n.ns, NS_XINCLUDE) == 0 && strcmp(n.local, "include") == 0) {
		r->skip = 1;
		include(r, atts);
	} else if (r->depth == 0) {
		if (strcmp(n.local, "server-data") != 0 || strcmp(n.ns, NS_PIE) != 0)
			pie_refuse(r, STERNA_EINVAL, "this is no file of XEP-0227: it begins with <%s/>", n.local);
		r->depth = DEPTH_DATA;
	} else if (r->depth == DEPTH_DATA) {
		on_start_host(r, &n, atts);
	} else if (r->depth == DEPTH_HOST) {
		on_start_user(r, &n, atts);
	} else {
		on_start_item(r, &n, atts);
	}
}

static void on_end(void *arg, const char *full)
{
	struct pie_reader *r = arg;

	(void)full;
	r->since = 0;
	if (r->rc != STERNA_OK)
		return;
	if (r->skip > 0) {
		r->skip--;
	} else if (r->arena != NULL) {
		piece_end(r);
	} else if (r->place != PIE_USER) {
		r->place = PIE_USER;
	} else {
		if (r->depth == DEPTH_USER)
			r->h->user_end(r->arg, r);
		r->depth--;
	}
}

static void on_text(void *arg, const char *s, int len)
{
	struct pie_reader *r = arg;

	r->since = 0;
	if (r->rc != STERNA_OK || r->arena == NULL)
		return;
	if (buf_len(&r->text) + (size_t)len > PIECE_BYTES)
		pie_refuse(r, STERNA_ELIMIT, "a text is too long");
	else
		buf_add(&r->text, s, (size_t)len);
}

static void on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int has_internal)
{
	(void)name, (void)sysid, (void)pubid, (void)has_internal;
	pie_refuse(arg, STERNA_EINVAL, "a document type declaration is not allowed");
}

/* --- files --- */

static XML_Parser make_parser(struct pie_reader *r)
{
	XML_Parser p = XML_ParserCreateNS(NULL, '\n');

	if (p == NULL)
		abort(); /* as xalloc */
	XML_SetUserData(p, r);
	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	XML_SetStartDoctypeDeclHandler(p, on_doctype);
	return p;
}

static void feed(struct pie_reader *r, FILE *f, uint64_t total)
{
	char chunk[CHUNK];
	uint64_t done = 0;
	size_t n = 1;

	while (r->rc == STERNA_OK && n > 0) {
		n = fread(chunk, 1, sizeof chunk, f);
		if (ferror(f)) {
			fail(r, STERNA_EIO, 0, strerror(errno));
			return;
		}
		if (XML_Parse(r->source->parser, chunk, (int)n, n == 0) != XML_STATUS_OK)
			fail(r, STERNA_EINVAL, XML_GetCurrentLineNumber(r->source->parser),
				XML_ErrorString(XML_GetErrorCode(r->source->parser)));
		r->since += n;
		done += n;
		if (r->since > PIECE_BYTES)
			pie_refuse(r, STERNA_ELIMIT, "a tag is too long");
		if (r->source->outer == NULL && r->h->progress != NULL)
			r->h->progress(r->arg, done, total);
	}
}

/* An included file's root takes the place of its <include/>. */
static void read_file(struct pie_reader *r, const char *path)
{
	struct source s = { .outer = r->source, .path = path };
	FILE *f = fopen(path, "re");
	const unsigned skip = r->skip;
	struct stat st = { 0 };

	if (f == NULL || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
		char text[400];

		snprintf(text, sizeof text, "cannot read %.300s: %s", path, f != NULL ? "no file" : strerror(errno));
		fail(r, STERNA_EIO, s.outer != NULL ? XML_GetCurrentLineNumber(s.outer->parser) : 0, text);
	} else {
		s.parser = make_parser(r);
		r->source = &s;
		r->files++;
		r->skip = 0;
		feed(r, f, (uint64_t)st.st_size);
		r->skip = skip;
		r->files--;
		r->source = s.outer;
		XML_ParserFree(s.parser);
	}
	if (f != NULL)
		fclose(f);
}

enum sterna_result pie_read(const char *path, const struct pie_handler *h, void *arg, struct pie_error *err)
{
	struct pie_reader r = { .h = h, .arg = arg, .err = err, .text = BUF_INIT };

	*err = (struct pie_error){ "", 0, "" };
	read_file(&r, path);
	if (err->file[0] == '\0')
		snprintf(err->file, sizeof err->file, "%s", path);
	free(r.host);
	buf_release(&r.text);
	if (r.arena != NULL)
		arena_free(&r.arena);
	return r.rc;
}
