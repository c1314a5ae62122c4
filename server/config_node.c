/* config_node.c - see config_node.h: libyaml's events become nodes. */
#include "server/config_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>
#include "server/buf.h"

#define DEPTH_MAX 32
#define NODES_MAX 50000
#define FILE_MAX_BYTES (4u << 20)
#define SECRET_MAX_BYTES (64u << 10)
#define TAG_FILE "!file"

struct reader {
	yaml_parser_t yaml;
	struct arena *arena;
	const char *name, *dir, *text;
	size_t len;
	struct config_error *err;
	struct config_node *root, *parent;
	char *key;                      /* read, and its value not yet */
	unsigned key_line, key_column, depth;
	size_t nodes;
	bool done;
};

/* Values may hold secrets: buffers are wiped before they are freed. */
static void wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	buf_release(b);
}

enum sterna_result config_fail(struct config_error *err, const struct config_node *n, bool at_key, const char *fmt, ...)
{
	va_list ap;

	snprintf(err->file, sizeof err->file, "%s", n != NULL && n->file != NULL ? n->file : "");
	err->line = n == NULL ? 0 : at_key ? n->key_line : n->line;
	err->column = n == NULL ? 0 : at_key ? n->key_column : n->column;
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	return STERNA_EINVAL;
}

static enum sterna_result fail_at(struct reader *r, size_t line, size_t column, const char *fmt, ...)
	STERNA_PRINTF(4, 5);

static enum sterna_result fail_at(struct reader *r, size_t line, size_t column, const char *fmt, ...)
{
	va_list ap;

	snprintf(r->err->file, sizeof r->err->file, "%s", r->name);
	r->err->line = (unsigned)line;
	r->err->column = (unsigned)column;
	va_start(ap, fmt);
	vsnprintf(r->err->message, sizeof r->err->message, fmt, ap);
	va_end(ap);
	return STERNA_EINVAL;
}

/* libyaml reads ahead: its mark is not where the bad byte is, its offset is. */
static enum sterna_result fail_utf8(struct reader *r)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < r->yaml.problem_offset && i < r->len; i++) {
		column = r->text[i] == '\n' ? 1 : column + ((r->text[i] & 0xc0) != 0x80);
		line += r->text[i] == '\n';
	}
	return fail_at(r, line, column, "not valid YAML: %s; the file must be UTF-8 without control characters",
		r->yaml.problem);
}

/* libyaml's own complaint, with a hint for the usual causes. */
static enum sterna_result fail_yaml(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;
	const yaml_mark_t *mark = &y->problem_mark;
	const char *problem = y->problem != NULL ? y->problem : "cannot be read", *hint = "";

	if (y->error == YAML_READER_ERROR)
		return fail_utf8(r);
	if (strstr(problem, "cannot start any token") != NULL)
		hint = "; indent with spaces, not tabs, and put text that begins with @, ` or % in quotes";
	else if (strstr(problem, "mapping values are not allowed") != NULL)
		hint = "; is the indentation right, and text with ': ' in quotes?";
	else if (strstr(problem, "did not find expected") != NULL)
		hint = "; is the indentation right, and is every bracket and quote closed?";
	else if (strstr(problem, "could not find expected ':'") != NULL)
		hint = "; write 'key: value'";
	return fail_at(r, mark->line + 1, mark->column + 1, "not valid YAML: %s%s%s%s", y->context != NULL ? y->context : "",
		y->context != NULL ? ", " : "", problem, hint);
}

/* A whole file, at most max bytes. errno says why not; EFBIG: too large. */
static bool read_whole(const char *path, size_t max, struct buf *out)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
	} else {
		do {
			n = read(fd, buf_reserve(out, 4096), 4096);
			out->len += n > 0 ? (size_t)n : 0;
			if (buf_len(out) > max) {
				errno = EFBIG;
				n = -1;
			}
		} while (n > 0);
	}
	const int saved = errno;

	close(fd);
	errno = saved;
	return n == 0;
}

static enum sterna_result expand_file(struct reader *r, struct config_node *n, const char *path)
{
	struct buf content = BUF_INIT;
	char *full = *path == '/' ? xstrdup(path) : xasprintf("%s/%s", r->dir, path);
	enum sterna_result rc = STERNA_OK;

	if (*path == '\0') {
		rc = fail_at(r, n->line, n->column, "!file needs the path of a file");
	} else if (!read_whole(full, SECRET_MAX_BYTES, &content)) {
		rc = fail_at(r, n->line, n->column, "cannot read the file '%s': %s", full, strerror(errno));
	} else if (memchr(buf_data(&content), '\0', buf_len(&content)) != NULL) {
		rc = fail_at(r, n->line, n->column, "the file '%s' is no text: it holds a NUL byte", full);
	} else {
		size_t len = buf_len(&content);

		if (len > 0 && buf_data(&content)[len - 1] == '\n')
			len--;
		if (len > 0 && buf_data(&content)[len - 1] == '\r')
			len--;
		n->text = arena_strndup(r->arena, buf_data(&content), len);
		n->secret = true;
	}
	free(full);
	wipe(&content);
	return rc;
}

/* ${NAME} or ${NAME:-text} at s; returns what follows, NULL on an error. */
static const char *expand_one(struct reader *r, struct config_node *n, const char *s, struct buf *out)
{
	const char *end = strchr(s, '}'), *value;
	char name[128];
	size_t len;

	if (end == NULL) {
		fail_at(r, n->line, n->column, "${ without }; write $${ for a plain ${");
		return NULL;
	}
	len = strspn(s + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	if (len == 0 || len >= sizeof name || (s + 2 + len != end && strncmp(s + 2 + len, ":-", 2) != 0)) {
		fail_at(r, n->line, n->column, "'%.*s' is no variable; write ${NAME} or ${NAME:-default}",
			(int)(end - s < 100 ? end + 1 - s : 100), s);
		return NULL;
	}
	memcpy(name, s + 2, len);
	name[len] = '\0';
	value = getenv(name);
	if (s + 2 + len != end && (value == NULL || *value == '\0')) {
		buf_add(out, s + 4 + len, (size_t)(end - (s + 4 + len)));
	} else if (value == NULL) {
		fail_at(r, n->line, n->column, "the environment has no variable %s", name);
		return NULL;
	} else {
		buf_puts(out, value);
		n->secret = true;
	}
	return end + 1;
}

static enum sterna_result expand_env(struct reader *r, struct config_node *n, const char *text)
{
	struct buf out = BUF_INIT;

	while (text != NULL && *text != '\0') {
		if (strncmp(text, "$${", 3) == 0) {
			buf_lit(&out, "${");
			text += 3;
		} else if (strncmp(text, "${", 2) == 0) {
			text = expand_one(r, n, text, &out);
		} else {
			buf_putc(&out, *text++);
		}
	}
	if (text != NULL)
		n->text = arena_strndup(r->arena, buf_len(&out) > 0 ? buf_data(&out) : "", buf_len(&out));
	wipe(&out);
	return text != NULL ? STERNA_OK : STERNA_EINVAL;
}

static enum sterna_result add_node(struct reader *r, const yaml_event_t *e, enum config_kind kind,
	struct config_node **out)
{
	struct config_node *n = arena_zalloc(r->arena, sizeof *n);

	n->kind = kind;
	n->file = r->name;
	n->line = n->key_line = (unsigned)e->start_mark.line + 1;
	n->column = n->key_column = (unsigned)e->start_mark.column + 1;
	if (++r->nodes > NODES_MAX)
		return fail_at(r, n->line, n->column, "more than %d values", NODES_MAX);
	if (r->key != NULL) {
		n->key = r->key;
		n->key_line = r->key_line;
		n->key_column = r->key_column;
		r->key = NULL;
	}
	n->parent = r->parent;
	if (r->parent == NULL) {
		r->root = n;
	} else {
		if (r->parent->last != NULL)
			r->parent->last->next = n;
		else
			r->parent->first = n;
		r->parent->last = n;
		r->parent->count++;
	}
	*out = n;
	return STERNA_OK;
}

static enum sterna_result on_key(struct reader *r, const yaml_event_t *e)
{
	const size_t line = e->start_mark.line + 1, column = e->start_mark.column + 1;
	const char *key = (const char *)e->data.scalar.value;
	const struct config_node *other = config_child(r->parent, key);

	if (*key == '\0' || strlen(key) != e->data.scalar.length)
		return fail_at(r, line, column, "a key must not be empty or hold a NUL byte");
	if (strcmp(key, "<<") == 0 && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail_at(r, line, column, "merge keys (<<) are not supported");
	if (other != NULL)
		return fail_at(r, line, column, "'%s' is given twice; first in line %u", key, other->key_line);
	r->key = arena_strndup(r->arena, key, strlen(key));
	r->key_line = (unsigned)line;
	r->key_column = (unsigned)column;
	return STERNA_OK;
}

static enum sterna_result on_scalar(struct reader *r, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value, *tag = (const char *)e->data.scalar.tag;
	const yaml_scalar_style_t style = e->data.scalar.style;
	struct config_node *n;

	if (r->parent != NULL && r->parent->kind == CONFIG_MAP && r->key == NULL)
		return on_key(r, e);
	if (add_node(r, e, CONFIG_SCALAR, &n) != STERNA_OK)
		return STERNA_EINVAL;
	if (strlen(text) != e->data.scalar.length)
		return fail_at(r, n->line, n->column, "a value must not hold a NUL byte");
	n->plain = style == YAML_PLAIN_SCALAR_STYLE && tag == NULL;
	if (tag != NULL && strcmp(tag, TAG_FILE) == 0)
		return expand_file(r, n, text);
	if (tag != NULL)
		return fail_at(r, n->line, n->column, "the tag %s is not known; there is only !file", tag);
	if (style != YAML_SINGLE_QUOTED_SCALAR_STYLE && strstr(text, "${") != NULL)
		return expand_env(r, n, text);
	n->text = arena_strndup(r->arena, text, strlen(text));
	return STERNA_OK;
}

static enum sterna_result on_start(struct reader *r, const yaml_event_t *e, enum config_kind kind)
{
	const yaml_char_t *tag = kind == CONFIG_LIST ? e->data.sequence_start.tag : e->data.mapping_start.tag;
	const size_t line = e->start_mark.line + 1, column = e->start_mark.column + 1;
	struct config_node *n;

	if (r->parent != NULL && r->parent->kind == CONFIG_MAP && r->key == NULL)
		return fail_at(r, line, column, "a key must be a word");
	if (tag != NULL)
		return fail_at(r, line, column, "the tag %s cannot stand here", (const char *)tag);
	if (++r->depth > DEPTH_MAX)
		return fail_at(r, line, column, "nested more than %d deep", DEPTH_MAX);
	if (add_node(r, e, kind, &n) != STERNA_OK)
		return STERNA_EINVAL;
	r->parent = n;
	return STERNA_OK;
}

static enum sterna_result on_event(struct reader *r, const yaml_event_t *e)
{
	const size_t line = e->start_mark.line + 1, column = e->start_mark.column + 1;

	if ((e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor != NULL) || e->type == YAML_ALIAS_EVENT
			|| (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor != NULL)
			|| (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor != NULL))
		return fail_at(r, line, column, "anchors (&) and aliases (*) are not supported; put text with & or * in quotes");
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(r, e, CONFIG_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_start(r, e, CONFIG_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->parent = r->parent->parent;
		r->depth--;
		return STERNA_OK;
	case YAML_DOCUMENT_START_EVENT:
		return r->root == NULL ? STERNA_OK : fail_at(r, line, column, "a second document (---); there can be only one");
	case YAML_STREAM_END_EVENT:
		r->done = true;
		return STERNA_OK;
	default:
		return STERNA_OK;
	}
}

static enum sterna_result read_events(struct reader *r)
{
	enum sterna_result rc = STERNA_OK;
	yaml_event_t e;

	while (rc == STERNA_OK && !r->done) {
		if (!yaml_parser_parse(&r->yaml, &e))
			return fail_yaml(r);
		rc = on_event(r, &e);
		yaml_event_delete(&e);
	}
	return rc;
}

enum sterna_result config_read_text(struct arena *a, const char *text, size_t len, const char *name, const char *dir,
	struct config_node **out, struct config_error *err)
{
	struct reader r = { .arena = a, .name = arena_strndup(a, name, strlen(name)), .dir = dir, .text = text,
		.len = len, .err = err };
	enum sterna_result rc;

	if (len > FILE_MAX_BYTES)
		return fail_at(&r, 0, 0, "larger than %u bytes", FILE_MAX_BYTES);
	if (!yaml_parser_initialize(&r.yaml))
		return fail_at(&r, 0, 0, "out of memory");
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, len);
	rc = read_events(&r);
	yaml_parser_delete(&r.yaml);
	if (rc != STERNA_OK)
		return rc;
	if (r.root == NULL || config_is_null(r.root)) {
		r.root = arena_zalloc(a, sizeof *r.root);
		*r.root = (struct config_node){ .kind = CONFIG_MAP, .line = 1, .column = 1, .key_line = 1, .key_column = 1,
			.file = r.name };
	}
	*out = r.root;
	return STERNA_OK;
}

enum sterna_result config_read(struct arena *a, const char *path, struct config_node **out, struct config_error *err)
{
	struct buf text = BUF_INIT;
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	enum sterna_result rc;

	if (!read_whole(path, FILE_MAX_BYTES, &text)) {
		config_fail(err, NULL, false, "cannot read the configuration: %s", strerror(errno));
		snprintf(err->file, sizeof err->file, "%s", path);
		rc = STERNA_EIO;
	} else {
		rc = config_read_text(a, buf_str(&text), buf_len(&text), path, dir, out, err);
	}
	wipe(&text);
	free(dir);
	return rc;
}

const struct config_node *config_child(const struct config_node *map, const char *key)
{
	if (map == NULL || map->kind != CONFIG_MAP)
		return NULL;
	for (const struct config_node *n = map->first; n != NULL; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

bool config_is_null(const struct config_node *n)
{
	return n == NULL || (n->kind == CONFIG_SCALAR && n->plain && !n->secret
		&& (*n->text == '\0' || strcmp(n->text, "null") == 0 || strcmp(n->text, "~") == 0));
}

char *config_path(const struct config_node *n, char *out, size_t size)
{
	const struct config_node *way[DEPTH_MAX + 2];
	size_t depth = 0, len = 0;

	for (; n != NULL && n->parent != NULL && depth < DEPTH_MAX + 2; n = n->parent)
		way[depth++] = n;
	out[0] = '\0';
	while (depth-- > 0 && len < size) {
		size_t index = 0;

		/* cppcheck-suppress uninitvar ; depth of them are set above */
		if (way[depth]->key != NULL) {
			len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? "." : "", way[depth]->key);
			continue;
		}
		for (const struct config_node *s = way[depth]->parent->first; s != way[depth]; s = s->next)
			index++;
		len += (size_t)snprintf(out + len, size - len, "[%zu]", index);
	}
	return out;
}

static void tell(const struct config_node *n, void (*fn)(void *arg, const char *path), void *arg)
{
	char path[512];

	fn(arg, config_path(n, path, sizeof path));
}

/* Bounded by DEPTH_MAX. */
void config_node_diff(const struct config_node *before, const struct config_node *after,
	void (*fn)(void *arg, const char *path), void *arg)
{
	if (before == NULL || after == NULL) {
		if (before != after)
			tell(before != NULL ? before : after, fn, arg);
		return;
	}
	if (before->kind != after->kind) {
		tell(after, fn, arg);
	} else if (before->kind == CONFIG_SCALAR) {
		if (strcmp(before->text, after->text) != 0)
			tell(after, fn, arg);
	} else if (before->kind == CONFIG_LIST) {
		const struct config_node *b = before->first, *a = after->first;

		for (; b != NULL || a != NULL; b = b != NULL ? b->next : NULL, a = a != NULL ? a->next : NULL)
			config_node_diff(b, a, fn, arg);
	} else {
		for (const struct config_node *b = before->first; b != NULL; b = b->next)
			config_node_diff(b, config_child(after, b->key), fn, arg);
		for (const struct config_node *a = after->first; a != NULL; a = a->next)
			if (config_child(before, a->key) == NULL)
				tell(a, fn, arg);
	}
}
