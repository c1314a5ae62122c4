/* XEP-0377 Blocking Command Reports: see xep0377_reports.h. The block itself does not depend on them. */
#include "xep/xep0377_reports.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 2000, MAX_MESSAGES = 50 };

static const struct db_stmt put = {
	.name = "report_put", .params = "ittttttiii",
	.sql = "INSERT INTO abuse_report (reported_at, reporter, reported, host, reason, explanation, messages, to_origin,"
	       " to_others) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE"
	       " (SELECT count(*) FROM abuse_report WHERE reporter = $2) < $10"
	       " ON CONFLICT (reported_at, reporter, reported) DO NOTHING",
};

static const char *messages_of(struct sterna_call *c, const struct sterna_elem *report)
{
	json_t *list = json_array();
	char *text;
	const char *out;

	elem_foreach(e, report)
		if (elem_is(e, "stanza-id", "urn:xmpp:sid:0") && elem_attr(e, "id") != NULL
			&& json_array_size(list) < MAX_MESSAGES)
			json_array_append_new(list, json_pack("{s:s?, s:s}", "by", elem_attr(e, "by"), "id", elem_attr(e, "id")));
	text = json_dumps(list, JSON_COMPACT);
	out = sterna_printf(c, "%s", text != NULL ? text : "[]");
	free(text);
	json_decref(list);
	return out;
}

/* At most so much, and no half a character. */
static const char *text_of_report(struct sterna_call *c, const struct sterna_elem *report)
{
	const char *text = sterna_child_text(report, "text");
	size_t n = text != NULL ? strlen(text) : 0;

	if (n > MAX_TEXT)
		for (n = MAX_TEXT; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
			;
	return text != NULL ? sterna_printf(c, "%.*s", (int)n, text) : NULL;
}

void reports_take(struct sterna_call *c, const struct sterna_elem *block, unsigned metric, unsigned max)
{
	char id[LOG_NUMBER_LEN];

	elem_foreach(item, block) {
		const struct sterna_elem *e = elem_child(item, "report", NS_REPORTING);
		struct report r;

		if (e == NULL || elem_attr(e, "reason") == NULL || elem_attr(item, "jid") == NULL)
			continue;
		r = (struct report){ .jid = elem_attr(item, "jid"), .reason = elem_attr(e, "reason"),
			.text = text_of_report(c, e), .messages = messages_of(c, e),
			.to_origin = elem_child(e, "report-origin", NULL) != NULL,
			.to_others = elem_child(e, "third-party", NULL) != NULL };
		sterna_count(c, metric, 1);
		log_notice("blocking", "reported", "by", sterna_owner(c), "jid", r.jid, "reason", r.reason, "stanza_id",
			log_uint(id, sterna_trace(c)));
		sterna_write(c, &put, sterna_now_us(c), sterna_owner(c), r.jid, sterna_host(c), r.reason, r.text, r.messages,
			(int64_t)r.to_origin, (int64_t)r.to_others, (int64_t)max);
		sterna_audit(c, "sterna.report.received.v1", sterna_owner(c), (const struct sterna_datum[]){
			STERNA_PERSONAL("jid", r.jid), STERNA_DATUM("reason", r.reason), STERNA_CONTENT("text", r.text),
			STERNA_CONTENT("messages", r.messages), { 0 } });
		sterna_run_stop(c, REPORT_RECEIVED, &r);
	}
}
