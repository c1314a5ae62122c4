/* run_archive.c - everybody reads their archive (XEP-0313), or that of --archive, from its beginning, page by page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "tests/bench/bench.h"

enum { LOGIN_LIMIT_S = 300, LINE = 600 };

struct reading {
	uint64_t messages, pages, ends, errors;
	bool closing;
	unsigned open; /* queries without their answer yet */
	uint64_t *asked_at;
	struct hist latency;
};

static void ask(struct session *s, const char *after)
{
	struct reading *r = s->bench->run;
	char line[LINE];
	const char *whose = s->bench->opt.archive;
	const int n = snprintf(line, sizeof line,
		"<iq type='set' id='mam'%s%s%s><query xmlns='urn:xmpp:mam:2' queryid='q'>"
		"<set xmlns='http://jabber.org/protocol/rsm'><max>%u</max>%s%s%s</set></query></iq>",
		whose != NULL ? " to='" : "", whose != NULL ? whose : "", whose != NULL ? "'" : "", s->bench->opt.page, after != NULL ? "<after>" : "", after != NULL ? after : "",
		after != NULL ? "</after>" : "");

	if (n < 0 || (size_t)n >= sizeof line) {
		r->errors++;
		return;
	}
	r->open++;
	r->asked_at[s->slot] = now_ns();
	session_send(s, line, (size_t)n);
}

static void on_page(struct session *s, const char *text, size_t len)
{
	struct reading *r = s->bench->run;
	const char *fin = find(text, len, "<fin");
	const char *last = find(text, len, "<last>");
	char *after = NULL, *complete;

	r->open--;
	if (fin == NULL) {
		if (r->errors++ == 0)
			fprintf(stderr, "load: no page: %.*s\n", (int)(len < 1000 ? len : 1000), text);
		return;
	}
	hist_add(&r->latency, (now_ns() - r->asked_at[s->slot]) / 1000);
	r->pages++;
	complete = attr_dup(fin, (size_t)(text + len - fin), "complete");
	if (last != NULL) {
		const char *end = memchr(last + 6, '<', (size_t)(text + len - last - 6));

		after = end != NULL ? xstrndup(last + 6, (size_t)(end - last - 6)) : NULL;
	}
	if (after == NULL || (complete != NULL && strcmp(complete, "true") == 0)) {
		r->ends++;
		free(after);
		after = NULL;
	}
	if (!r->closing)
		ask(s, after);
	free(after);
	free(complete);
}

static void on_stanza(struct session *s, const char *text, size_t len)
{
	struct reading *r = s->bench->run;

	if (len > 8 && memcmp(text, "<message", 8) == 0)
		r->messages += find(text, len, "urn:xmpp:mam:2") != NULL;
	else if (len > 3 && memcmp(text, "<iq", 3) == 0)
		on_page(s, text, len);
}

int run_archive_read(struct bench *b)
{
	struct reading *r;
	struct measure m;
	struct report out;

	if (login_all(b, 0, b->opt.sessions, LOGIN_LIMIT_S) != b->opt.sessions)
		return 1;
	if (b->opt.fill > 0 && !chat_fill(b, b->opt.fill)) {
		fputs("load: the archive could not be filled\n", stderr);
		return 1;
	}
	usage_settle(b->opt.pids, b->opt.n_pids, 5000);
	b->run = r = xalloc(sizeof *r);
	r->asked_at = xalloc(b->opt.sessions * sizeof *r->asked_at);
	b->on_stanza = on_stanza;
	measure_start(b, &m);
	for (unsigned i = 0; i < b->opt.sessions; i++)
		ask(&b->sessions[i], NULL);
	bench_loop(b, now_ns() + (uint64_t)(b->opt.seconds * 1e9));
	r->closing = true;
	for (unsigned i = 0; r->open > 0 && i < 100; i++)
		bench_loop(b, now_ns() + 100000000);
	measure_stop(b, &m, true);
	report_begin(&out, b, "archive-read");
	report_cost(&out, &m, (double)r->messages);
	report_num(&out, "pages", (double)r->pages);
	report_num(&out, "whole_archives", (double)r->ends);
	report_num(&out, "errors", (double)r->errors + r->open);
	report_hist(&out, "page", &r->latency);
	report_end(&out);
	const int rc = r->messages > 0 && r->errors + r->open == 0 ? 0 : 1;

	free(r->asked_at);
	free(r);
	return rc;
}
