/* audit_event.c - an event as CloudEvents 1.0 wants it (structured JSON), in the canonical form of RFC 8785. */
#include <string.h>
#include "modules/audit.h"

enum { DATA_MAX = 32 };

/* Whole code points of valid UTF-8 come in; the rest is escaped as §3.2.2.2 says. */
static void put_text(struct buf *out, const char *s)
{
	static const char named[] = "btn_fr"; /* of 8 to 13 */
	const char *from = s;

	buf_putc(out, '"');
	for (; *s != '\0'; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(out, from, (size_t)(s - from));
		from = s + 1;
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c >= 8 && c <= 13 && c != 11)
			buf_addf(out, "\\%c", named[c - 8]);
		else
			buf_addf(out, "\\u%04x", c);
	}
	buf_add(out, from, (size_t)(s - from));
	buf_putc(out, '"');
}

static bool is_redacted(const struct audit_config *cfg, unsigned kind)
{
	static const char *const words[] = { NULL, NULL, "personal", "content" };

	for (size_t i = 0; words[kind & 3] != NULL && i < cfg->redact.count; i++)
		if (strcmp(cfg->redact.item[i], words[kind & 3]) == 0)
			return true;
	return false;
}

/* Members in the order of their names; what has no value is not there. */
static void put_data(struct buf *out, const struct sterna_datum *data, const struct audit_config *cfg)
{
	const struct sterna_datum *sorted[DATA_MAX];
	size_t n = 0;

	for (const struct sterna_datum *d = data; d != NULL && d->name != NULL && n < DATA_MAX; d++) {
		size_t at = n;

		if (d->kind != STERNA_DATUM_NUMBER && d->text == NULL)
			continue;
		for (; at > 0 && strcmp(sorted[at - 1]->name, d->name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = d;
		n++;
	}
	buf_putc(out, '{');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		put_text(out, sorted[i]->name);
		buf_putc(out, ':');
		if (sorted[i]->kind == STERNA_DATUM_NUMBER)
			buf_addf(out, "%lld", (long long)sorted[i]->number);
		else
			put_text(out, is_redacted(cfg, sorted[i]->kind) ? "(redacted)" : sorted[i]->text);
	}
	buf_putc(out, '}');
}

/* "sterna.session.bound.v1" has the schema urn:sterna:audit:session.bound:1. */
static void put_schema(struct buf *out, const char *type)
{
	const char *name = strncmp(type, "sterna.", 7) == 0 ? type + 7 : type, *version = strrchr(name, '.');

	buf_puts(out, "\"urn:sterna:audit:");
	buf_add(out, name, version != NULL ? (size_t)(version - name) : strlen(name));
	buf_addf(out, ":%s\"", version != NULL && version[1] == 'v' ? version + 2 : "1");
}

void audit_write_event(struct buf *out, const struct audit_stamp *s, const struct sterna_audit_event *e,
	const struct audit_config *cfg)
{
	char time[STERNA_STAMP_LEN];

	buf_puts(out, "{\"data\":");
	put_data(out, e->data, cfg);
	buf_puts(out, ",\"datacontenttype\":\"application/json\",\"dataschema\":");
	put_schema(out, e->type);
	buf_addf(out, ",\"id\":\"%s\",\"partitionkey\":", s->id);
	put_text(out, s->key);
	buf_puts(out, ",\"source\":\"xmpp:");
	for (const char *p = s->host; *p != '\0'; p++) /* a URI reference; domains have none of these otherwise */
		buf_putc(out, *p == '"' || *p == '\\' || (unsigned char)*p <= 0x20 ? '_' : *p);
	buf_puts(out, "\",\"specversion\":\"1.0\",\"subject\":");
	put_text(out, s->key);
	buf_addf(out, ",\"time\":\"%s\",\"type\":\"%s\"}", sterna_stamp_us(s->time_us, time), e->type);
}
