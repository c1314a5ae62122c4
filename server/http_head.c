/* http_head.c - RFC 9112 §2-§7, strictly: lines end with CRLF, nothing is folded, one length. */
#include "server/http_head.h"
#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
		|| (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *s)
{
	const char *at = s;

	while (is_token_char((unsigned char)*at))
		at++;
	return at > s && *at == '\0';
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum sterna_result refuse(struct http_head *h, unsigned status)
{
	h->status = status;
	return STERNA_EINVAL;
}

const char *http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->header_count; i++)
		if (strcasecmp(h->headers[i].name, name) == 0)
			return h->headers[i].value;
	return NULL;
}

bool http_list_has(const char *list, const char *word)
{
	const size_t len = strlen(word);

	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		const size_t n = strcspn(list, ",");
		size_t used = n;

		while (used > 0 && (list[used - 1] == ' ' || list[used - 1] == '\t'))
			used--;
		if (used == len && strncasecmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

/* --- the request line: §3 --- */

/* One decoding, in place. No control characters come out of it, so no NUL either. */
static bool decode(char *s)
{
	char *out = s;

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '%') {
			if (hex(s[1]) < 0 || hex(s[2]) < 0)
				return false;
			c = (unsigned char)(hex(s[1]) << 4 | hex(s[2]));
			s += 2;
		}
		if (c < ' ' || c == 0x7f)
			return false;
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

/* §3.2.2: a target with scheme and authority, which then counts instead of Host. */
static bool take_authority(struct http_head *h, char **target)
{
	char *at = *target;

	if (strncasecmp(at, "http://", 7) == 0)
		at += 7;
	else if (strncasecmp(at, "https://", 8) == 0)
		at += 8;
	else
		return false;
	const size_t n = strcspn(at, "/?");

	if (n == 0 || memchr(at, '@', n) != NULL || at[n] != '/')
		return false;
	memmove(at - 1, at, n); /* room for its NUL before the path's slash */
	at[n - 1] = '\0';
	h->host = at - 1;
	*target = at + n;
	return true;
}

static enum sterna_result read_target(struct http_head *h, char *target)
{
	char *query;

	for (const char *c = target; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == '#' || *c == '\\')
			return refuse(h, 400);
	if (strcmp(target, "*") == 0 && strcmp(h->method, "OPTIONS") == 0) {
		h->path = target;
		return STERNA_OK;
	}
	if (*target != '/' && !take_authority(h, &target))
		return refuse(h, 400);
	query = strchr(target, '?');
	if (query != NULL) {
		*query = '\0';
		h->query = query + 1;
	}
	h->path = target;
	return decode(target) ? STERNA_OK : refuse(h, 400);
}

static enum sterna_result read_request_line(struct http_head *h, char *line)
{
	char *target = strchr(line, ' '), *version;

	if (target == NULL)
		return refuse(h, 400);
	*target++ = '\0';
	version = strchr(target, ' ');
	if (version == NULL || !is_token(line))
		return refuse(h, 400);
	*version++ = '\0';
	h->method = line;
	if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 || version[6] != '.')
		return refuse(h, 400);
	h->is_1_0 = strcmp(version, "HTTP/1.0") == 0;
	if (!h->is_1_0 && strcmp(version, "HTTP/1.1") != 0)
		return refuse(h, 505);
	return read_target(h, target);
}

/* --- headers: §5 --- */

static enum sterna_result read_header(struct http_head *h, char *line)
{
	char *value = strchr(line, ':'), *end;

	if (value == NULL)
		return refuse(h, 400);
	*value++ = '\0';
	if (!is_token(line)) /* also a space before the colon, and a folded line: §5.1, §5.2 */
		return refuse(h, 400);
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	if (h->header_count == HTTP_HEADERS_MAX)
		return refuse(h, 431);
	h->headers[h->header_count++] = (struct http_header){ line, value };
	return STERNA_OK;
}

static size_t count(const struct http_head *h, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < h->header_count; i++)
		n += strcasecmp(h->headers[i].name, name) == 0;
	return n;
}

/* §6: how long is the body? Whatever leaves a doubt is refused. */
static enum sterna_result read_length(struct http_head *h)
{
	const char *length = http_head_get(h, "Content-Length"), *coding = http_head_get(h, "Transfer-Encoding");

	if (coding != NULL) {
		if (length != NULL || h->is_1_0 || count(h, "Transfer-Encoding") > 1)
			return refuse(h, 400);
		if (strcasecmp(coding, "chunked") != 0)
			return refuse(h, 501);
		h->chunked = true;
		return STERNA_OK;
	}
	if (length == NULL)
		return STERNA_OK;
	if (*length == '\0' || count(h, "Content-Length") > 1 || length[strspn(length, "0123456789")] != '\0')
		return refuse(h, 400);
	for (; *length != '\0'; length++) {
		if (h->content_length > (UINT64_MAX >> 1) / 10)
			return refuse(h, 400);
		h->content_length = h->content_length * 10 + (uint64_t)(*length - '0');
	}
	h->has_length = true;
	return STERNA_OK;
}

static enum sterna_result read_meaning(struct http_head *h)
{
	const char *connection = http_head_get(h, "Connection"), *expect = http_head_get(h, "Expect");
	const size_t hosts = count(h, "Host");

	if (hosts > 1 || (hosts == 0 && !h->is_1_0))
		return refuse(h, 400);
	if (*h->host == '\0' && hosts == 1)
		h->host = http_head_get(h, "Host");
	if (h->host[strcspn(h->host, "/@\\ \t?#")] != '\0')
		return refuse(h, 400);
	h->keep_alive = h->is_1_0 ? http_list_has(connection, "keep-alive") : !http_list_has(connection, "close");
	if (expect != NULL && !h->is_1_0) {
		if (strcasecmp(expect, "100-continue") != 0)
			return refuse(h, 417);
		h->expects_continue = true;
	}
	return read_length(h);
}

/* --- the whole --- */

/* A line without its CRLF; the bytes are known to end with an empty one. NULL: a lone CR, LF or a NUL. */
static char *next_line(char **at)
{
	char *line = *at, *end = line;

	for (;; end++) {
		const unsigned char c = (unsigned char)*end;

		if (c == '\r' && end[1] == '\n')
			break;
		if (c == 0x7f || (c < ' ' && c != '\t'))
			return NULL;
	}
	*end = '\0';
	*at = end + 2;
	return line;
}

static enum sterna_result read_lines(char *bytes, struct http_head *h)
{
	char *line = next_line(&bytes);
	enum sterna_result rc = line != NULL ? read_request_line(h, line) : refuse(h, 400);

	while (rc == STERNA_OK) {
		line = next_line(&bytes);
		if (line == NULL)
			return refuse(h, 400);
		if (*line == '\0')
			return read_meaning(h);
		rc = read_header(h, line);
	}
	return rc;
}

enum sterna_result http_head_parse(char *bytes, size_t len, size_t max, size_t *seen, struct http_head *out)
{
	const size_t window = len < max ? len : max;
	size_t begin = 0;

	*out = (struct http_head){ .query = "", .host = "", .path = "", .method = "" };
	while (begin + 1 < window && bytes[begin] == '\r' && bytes[begin + 1] == '\n') /* §2.2 */
		begin += 2;
	if (begin < window && !is_token_char((unsigned char)bytes[begin]) && bytes[begin] != '\r')
		return refuse(out, 400); /* no HTTP at all */
	for (size_t i = *seen > begin + 3 ? *seen : begin + 3; i < window; i++) {
		if (bytes[i] != '\n' || memcmp(bytes + i - 3, "\r\n\r\n", 4) != 0)
			continue;
		out->size = i + 1;
		return read_lines(bytes + begin, out);
	}
	*seen = window;
	return len >= max ? refuse(out, 431) : STERNA_EAGAIN;
}

/* --- chunks: §7.1 --- */

enum { CHUNK_FIRST, CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, TRAILER, TRAILER_LINE,
	TRAILER_LF, TRAILER_END };
enum { CHUNK_LINE_MAX = 256, TRAILER_MAX = 4096 };

static bool chunk_size(struct http_chunks *c, char byte)
{
	if (hex(byte) >= 0) {
		if (c->left >> 56 != 0)
			return false;
		c->left = c->left << 4 | (uint64_t)hex(byte);
		c->state = CHUNK_SIZE;
		return true;
	}
	if (c->state == CHUNK_FIRST)
		return false;
	c->state = byte == '\r' ? CHUNK_LF : CHUNK_EXTENSION;
	return byte == '\r' || byte == ';' || byte == ' ' || byte == '\t';
}

/* A byte that is no content. */
static bool chunk_byte(struct http_chunks *c, char byte)
{
	switch (c->state) {
	case CHUNK_FIRST:
	case CHUNK_SIZE:
		return ++c->line <= CHUNK_LINE_MAX && chunk_size(c, byte);
	case CHUNK_EXTENSION:
		c->state = byte == '\r' ? CHUNK_LF : CHUNK_EXTENSION;
		return ++c->line <= CHUNK_LINE_MAX && byte != '\n';
	case CHUNK_LF:
		c->state = c->left > 0 ? CHUNK_DATA : TRAILER;
		return byte == '\n';
	case CHUNK_DATA_CR:
		c->state = CHUNK_DATA_LF;
		return byte == '\r';
	case CHUNK_DATA_LF:
		c->state = CHUNK_FIRST;
		c->line = 0;
		return byte == '\n';
	case TRAILER: /* a line begins; an empty one is the end */
		c->state = byte == '\r' ? TRAILER_END : TRAILER_LINE;
		return ++c->trailer <= TRAILER_MAX && byte != '\n';
	case TRAILER_LINE:
		c->state = byte == '\r' ? TRAILER_LF : TRAILER_LINE;
		return ++c->trailer <= TRAILER_MAX && byte != '\n';
	case TRAILER_LF:
		c->state = TRAILER;
		return byte == '\n';
	default:
		return byte == '\n';
	}
}

enum sterna_result http_chunks_feed(struct http_chunks *c, const char *bytes, size_t len, size_t *used,
	const char **data, size_t *data_len)
{
	*data_len = 0;
	for (*used = 0; *used < len && c->state != CHUNK_DATA; ++*used) {
		const bool last = c->state == TRAILER_END;

		if (!chunk_byte(c, bytes[*used]))
			return STERNA_EINVAL;
		if (last) {
			++*used;
			return STERNA_OK;
		}
	}
	if (c->state != CHUNK_DATA || *used == len)
		return STERNA_EAGAIN;
	*data = bytes + *used;
	*data_len = len - *used < c->left ? len - *used : (size_t)c->left;
	*used += *data_len;
	c->left -= *data_len;
	if (c->left == 0)
		c->state = CHUNK_DATA_CR;
	return STERNA_EAGAIN;
}
