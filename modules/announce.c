/* Announcements to everyone who is online, messages of the day, and of welcome to new accounts (XEP-0133 §4.23 to §4.28).
 *
 * What is to be told is cached on each worker: commands run on all of them, and an account that is loaded brings it along
 * with what its owner has seen. A message of the day reaches each account once, at the first session that becomes
 * available after it was set; one of welcome each account that was made after it was set. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

#define ADMIN_NODE(word) "http://jabber.org/protocol/admin#" word

enum { MOTD, WELCOME, KINDS };
static const char *const kind_words[KINDS] = { "motd", "welcome" };

struct notice {
	struct notice *next;
	char *host, *text;               /* text NULL: there is none now */
	int kind;
	int64_t set_us;
};
struct announce_worker {
	struct notice *notices;          /* of our hosts: few */
};
struct announce_account {
	int64_t seen_us[KINDS], created_us;
};

enum { SENT };
static const struct sterna_metric metrics[] = {
	[SENT] = { "sterna_announcements_sent_total", "Announcements and messages of the day or of welcome that were sent.",
		METRIC_COUNTER },
	{ 0 }
};

struct announce_config { uint64_t text_bytes; };
static const struct sterna_option options[] = {
	STERNA_OPT(struct announce_config, text_bytes, "8192", "64..65536", "the longest announcement"),
	{ 0 }
};

static const struct db_stmt put = {
	.name = "notice_put", .params = "ttti",
	.sql = "INSERT INTO notice (host, kind, text, set_us) VALUES ($1, $2, $3, $4) ON CONFLICT (host, kind) "
	       "DO UPDATE SET text = excluded.text, set_us = excluded.set_us",
};
static const struct db_stmt drop = {
	.name = "notice_drop", .params = "tt", .sql = "DELETE FROM notice WHERE host = $1 AND kind = $2",
};
static const struct db_stmt get = {
	.name = "notice_get", .params = "tt", .columns = "ti",
	.sql = "SELECT text, set_us FROM notice WHERE host = $1 AND kind = $2",
};
static const struct db_stmt see = {
	.name = "notice_see", .params = "tti",
	.sql = "INSERT INTO notice_seen (owner, kind, set_us) VALUES ($1, $2, $3) ON CONFLICT (owner, kind) "
	       "DO UPDATE SET set_us = excluded.set_us",
};
static const struct db_stmt forget = {
	.name = "notice_forget", .params = "t", .sql = "DELETE FROM notice_seen WHERE owner = $1",
};
static const struct db_stmt load = {
	.name = "notice_load", .params = "t", .columns = "ttiii",
	.sql = "",
	.pg = "SELECT n.kind, n.text, n.set_us, s.set_us, a.created FROM account a JOIN notice n "
	      "ON n.host = split_part($1, '@', 2) LEFT JOIN notice_seen s ON s.owner = a.jid AND s.kind = n.kind WHERE a.jid = $1",
	.sqlite = "SELECT n.kind, n.text, n.set_us, s.set_us, a.created FROM account a JOIN notice n "
		  "ON n.host = substr($1, instr($1, '@') + 1) LEFT JOIN notice_seen s ON s.owner = a.jid AND s.kind = n.kind "
		  "WHERE a.jid = $1",
};

/* --- the cache --- */

static struct notice *find(struct sterna_call *c, const char *host, int kind)
{
	struct announce_worker *w = sterna_worker_slot(c);
	struct notice *n = w->notices;

	while (n != NULL && (n->kind != kind || strcmp(n->host, host) != 0))
		n = n->next;
	return n;
}

/* The newest counts; text NULL: none any more. */
static void remember(struct sterna_call *c, const char *host, int kind, const char *text, int64_t set_us)
{
	struct announce_worker *w = sterna_worker_slot(c);
	struct notice *n = find(c, host, kind);

	if (n != NULL && n->set_us > set_us)
		return;
	if (n == NULL) {
		n = xalloc(sizeof *n);
		n->host = xstrdup(host);
		n->kind = kind;
		n->next = w->notices;
		w->notices = n;
	}
	free(n->text);
	n->text = text != NULL ? xstrdup(text) : NULL;
	n->set_us = set_us;
}

static void on_worker_end(struct sterna_call *c)
{
	struct announce_worker *w = sterna_worker_slot(c);

	while (w != NULL && w->notices != NULL) {
		struct notice *n = w->notices;

		w->notices = n->next;
		free(n->host);
		free(n->text);
		free(n);
	}
}

static void on_load(struct sterna_call *c, const struct sterna_rows *rows)
{
	struct announce_account *a = sterna_account_slot(c);

	for (size_t i = 0; i < rows->count; i++) {
		const int kind = strcmp(rows->text[i * rows->columns], kind_words[MOTD]) == 0 ? MOTD : WELCOME;

		remember(c, sterna_host(c), kind, rows->text[i * rows->columns + 1], db_int(rows->db, i, 2));
		a->seen_us[kind] = db_int(rows->db, i, 3);
		a->created_us = db_int(rows->db, i, 4);
	}
}

/* --- telling --- */

static struct sterna_elem *message(struct sterna_call *c, const char *from, const char *text)
{
	struct sterna_elem *m = sterna_elem(c, "message", "jabber:client");

	sterna_attr(m, "type", "headline"); /* RFC 6121 §5.2.2: not kept for later */
	sterna_attr(m, "from", from);
	sterna_text(m, "body", text);
	return m;
}

static void on_available(struct sterna_call *c)
{
	struct announce_account *a = sterna_account_slot(c);

	for (int kind = 0; kind < KINDS; kind++) {
		const struct notice *n = find(c, sterna_host(c), kind);

		if (n == NULL || n->text == NULL || n->set_us <= a->seen_us[kind] || (kind == WELCOME && a->created_us <= n->set_us))
			continue;
		a->seen_us[kind] = n->set_us;
		sterna_send_to(c, sterna_session(c), message(c, sterna_host(c), n->text));
		sterna_write(c, &see, sterna_owner(c), kind_words[kind], n->set_us);
		sterna_count(c, SENT, 1);
	}
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
}

/* --- commands; each on every worker --- */

/* The lines of a field; NULL: refused. */
static const char *text_of(struct sterna_call *c, const char *field)
{
	const struct announce_config *cfg = sterna_config(c);
	const char *text = "", *line;

	for (size_t i = 0; (line = sterna_command_arg_at(c, field, i)) != NULL; i++) {
		if (strlen(text) + strlen(line) >= cfg->text_bytes) {
			(void)sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the text is too long (option text_bytes of announce)");
			return NULL;
		}
		text = i == 0 ? line : sterna_printf(c, "%s\n%s", text, line);
	}
	return text;
}

struct telling { const char *text; json_int_t count; };

static void tell(struct sterna_call *c, struct sterna_session *s, void *arg)
{
	struct telling *t = arg;
	struct sterna_elem *m;

	if (!sterna_session_is_available(s))
		return;
	m = message(c, jid_domain(sterna_session_jid(s)), t->text);
	sterna_attr(m, "to", jid_full(sterna_session_jid(s)));
	sterna_send_to(c, s, m);
	t->count++;
}

static enum sterna_verdict announce(struct sterna_call *c)
{
	struct telling t = { text_of(c, "announcement"), 0 };

	if (t.text == NULL)
		return STERNA_REJECT;
	sterna_each_session(c, sterna_host(c), tell, &t);
	sterna_count(c, SENT, (uint64_t)t.count);
	sterna_command_result(c, json_pack("{s:I}", "sent", t.count));
	return STERNA_DONE;
}

/* At the socket no host is named: the field then says which. */
static const char *host_of(struct sterna_call *c)
{
	const char *host = sterna_command_arg(c, "host");

	if (host == NULL)
		host = sterna_host(c);
	if (host == NULL)
		(void)sterna_reject(c, STERNA_BAD_REQUEST, "name the host");
	return host;
}

/* Every worker writes the same row: who is first does not matter. */
static enum sterna_verdict set(struct sterna_call *c, int kind, int64_t set_us)
{
	const char *host = host_of(c), *text = host != NULL ? text_of(c, kind_words[kind]) : NULL;

	if (text == NULL)
		return STERNA_REJECT;
	remember(c, host, kind, text, set_us);
	sterna_write(c, &put, host, kind_words[kind], text, set_us);
	return STERNA_DONE;
}

static enum sterna_verdict set_motd(struct sterna_call *c)
{
	return set(c, MOTD, sterna_command_time(c));
}

static enum sterna_verdict set_welcome(struct sterna_call *c)
{
	return set(c, WELCOME, sterna_command_time(c));
}

static enum sterna_verdict on_edited(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the database is away");
	/* §4.25: a correction; who has seen it is not told again. */
	return set(c, MOTD, rows->count > 0 ? db_int(rows->db, 0, 1) : sterna_command_time(c));
}

static enum sterna_verdict edit_motd(struct sterna_call *c)
{
	const char *host = host_of(c);

	return host != NULL ? sterna_read(c, on_edited, &get, host, kind_words[MOTD]) : STERNA_REJECT;
}

static enum sterna_verdict delete(struct sterna_call *c, int kind)
{
	const char *host = host_of(c);

	if (host == NULL)
		return STERNA_REJECT;
	remember(c, host, kind, NULL, sterna_command_time(c));
	sterna_write(c, &drop, host, kind_words[kind]);
	return STERNA_DONE;
}

static enum sterna_verdict delete_motd(struct sterna_call *c)
{
	return delete(c, MOTD);
}

static enum sterna_verdict delete_welcome(struct sterna_call *c)
{
	return delete(c, WELCOME);
}

static enum sterna_verdict on_current(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	json_t *lines = json_array();

	for (const char *p = rc == STERNA_OK && rows->count > 0 ? rows->text[0] : ""; *p != '\0';) {
		const size_t n = strcspn(p, "\n");

		json_array_append_new(lines, json_stringn(p, n));
		p += n + (p[n] == '\n');
	}
	sterna_command_result(c, json_pack("{s:o}", (const char *)sterna_data(c), lines));
	return STERNA_DONE;
}

static enum sterna_verdict current(struct sterna_call *c, int kind)
{
	sterna_set_data(c, (void *)(uintptr_t)kind_words[kind]);
	return sterna_host(c) != NULL ? sterna_read(c, on_current, &get, sterna_host(c), kind_words[kind]) : STERNA_DONE;
}

static enum sterna_verdict current_motd(struct sterna_call *c)
{
	return current(c, MOTD);
}

static enum sterna_verdict current_welcome(struct sterna_call *c)
{
	return current(c, WELCOME);
}

static const struct sterna_field announce_fields[] = {
	{ "announcement", STERNA_FIELD_LINES, true, "Announcement", NULL }, { 0 } };
static const struct sterna_field motd_fields[] = {
	{ "motd", STERNA_FIELD_LINES, true, "Message of the Day", NULL },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };
static const struct sterna_field welcome_fields[] = {
	{ "welcome", STERNA_FIELD_LINES, true, "Welcome Message", NULL },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };
static const struct sterna_field host_fields[] = {
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts; default: the one asked at", NULL }, { 0 } };

#define COMMAND(name_, node_, fields_, summary_, ...) \
	{ .name = name_, .node = ADMIN_NODE(node_), .fields = fields_, .summary = summary_, .place = STERNA_ON_WORKERS, \
	  __VA_ARGS__ }

STERNA_MODULE(announce, .spec = "XEP-0133 1.3.1", .summary = "Announcements, messages of the day and of welcome",
	.options = options, .config_size = sizeof(struct announce_config), .metrics = metrics,
	.worker_size = sizeof(struct announce_worker), .account_size = sizeof(struct announce_account),
	.account_reads = (const struct sterna_account_read[]){ { &load, on_load }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_SESSION_AVAILABLE, on_available },
		{ STERNA_ACCOUNT_DELETED, on_deleted }, { STERNA_WORKER_ENDED, on_worker_end }, { 0 } },
	.commands = (const struct sterna_command[]){
		COMMAND("announce", "announce", announce_fields, "Send Announcement to Online Users", .run = announce),
		COMMAND("motd delete", "delete-motd", host_fields, "Delete Message of the Day", .run = delete_motd),
		COMMAND("motd edit", "edit-motd", motd_fields, "Edit Message of the Day", .run = edit_motd, .current = current_motd),
		COMMAND("motd set", "set-motd", motd_fields, "Set Message of the Day", .run = set_motd),
		COMMAND("welcome delete", "delete-welcome", host_fields, "Delete Welcome Message", .run = delete_welcome),
		COMMAND("welcome set", "set-welcome", welcome_fields, "Set Welcome Message", .run = set_welcome,
			.current = current_welcome),
		{ 0 } });
