/* command_list.c - how many accounts there are, and which: registered, disabled, online, active, idle (XEP-0133 §4.13
 * to §4.22). */
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/request.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/user_impl.h"

#define ADMIN_NODE(word) "http://jabber.org/protocol/admin#" word

enum { LIST_MAX = 10000 };
#define IDLE_US UINT64_C(300000000)      /* nothing was heard from it for so long: idle */

/* One set of accounts: where it is found, and what the fields of the answers are called. */
struct kind {
	const char *name;                    /* the command's last word */
	const char *count, *list;            /* XEP-0133's fields */
};
enum { REGISTERED, DISABLED, ONLINE, ACTIVE, IDLE };
static const struct kind kinds[] = {
	[REGISTERED] = { "registered", "registeredusersnum", "registereduserjids" },
	[DISABLED] = { "disabled", "disabledusersnum", "disableduserjids" },
	[ONLINE] = { "online", "onlineusersnum", "onlineuserjids" },
	[ACTIVE] = { "active", "activeusersnum", "activeuserjids" },
	[IDLE] = { "idle", "idleusersnum", "activeuserjids" },
};

static int kind_of(const struct request *r)
{
	const char *word = strrchr(r->name, ' ') + 1;
	int k = REGISTERED;

	while (strcmp(kinds[k].name, word) != 0)
		k++;
	return k;
}

static bool counts(const struct request *r)
{
	return strncmp(r->name, "count ", 6) == 0;
}

static const char *host_of(const struct request *r)
{
	const char *host = request_arg(r, "host");

	return host != NULL ? host : r->host;
}

static size_t max_items(const struct request *r)
{
	const char *max = request_arg(r, "max_items");

	return max == NULL || strcmp(max, "none") == 0 ? LIST_MAX : strtoul(max, NULL, 10);
}

/* --- those that the storage knows --- */

struct collecting {
	const struct request *r;
	json_t *list;
	size_t count;
	int kind;
};

static void on_user(void *arg, const struct user_info *i)
{
	struct collecting *c = arg;

	if (c->kind == DISABLED && !i->disabled)
		return;
	c->count++;
	if (c->list != NULL && json_array_size(c->list) < max_items(c->r))
		json_array_append_new(c->list, json_string(i->jid));
}

static void on_count(void *arg, const struct db_rows *rows)
{
	*(size_t *)arg = (size_t)db_int(rows, 0, 0);
}

static enum sterna_result count_stored(struct request *r, struct users *u, int kind, size_t *count)
{
	/* state: 0 active, 1 disabled; $2 2: any. $1: '@host', or '' */
	static const struct db_stmt get = {
		.name = "command_count", .params = "ti", .columns = "i",
		.sql = "",
		.pg = "SELECT count(*) FROM account WHERE right(jid, length($1)) = $1 AND ($2 = 2 OR state = $2)",
		.sqlite = "SELECT count(*) FROM account WHERE ($1 = '' OR substr(jid, -length($1)) = $1) AND ($2 = 2 OR state = $2)",
	};
	char *end = host_of(r) != NULL ? xasprintf("@%s", host_of(r)) : xstrdup("");
	const enum sterna_result rc = users_read(u, &get, (const struct db_value[]){ db_text(end),
		DB_INT(kind == DISABLED ? 1 : 2) }, on_count, count);

	free(end);
	return rc;
}

static void run_stored(struct request *r, struct users *u)
{
	const int kind = kind_of(r);
	struct collecting c = { .r = r, .kind = kind };
	enum sterna_result rc;

	if (counts(r)) {
		rc = count_stored(r, u, kind, &c.count);
	} else {
		c.list = json_array();
		rc = user_list(u, host_of(r), on_user, &c);
	}
	if (!request_stored(r, rc, NULL, "the accounts"))
		json_decref(c.list);
	else if (c.list != NULL)
		r->found = json_pack("{s:o}", kinds[kind].list, c.list);
	else
		r->found = json_pack("{s:I}", kinds[kind].count, (json_int_t)c.count);
}

static void stored(struct request *r)
{
	request_on_storage(r, run_stored, NULL);
}

/* --- those that are connected --- */

static bool is_active(const struct worker *w, const struct account *a)
{
	for (const struct sterna_session *s = a->sessions; s != NULL; s = s->next)
		if (s->stream != NULL && loop_now_us(w->loop) - s->stream->heard_us < IDLE_US)
			return true;
	return false;
}

static json_t *live_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const int kind = kind_of(r);
	const char *host = host_of(r);
	json_t *list = counts(r) ? NULL : json_array();
	struct map_entry *e;
	size_t count = 0;

	for (size_t at = 0; (e = map_next(&w->accounts, &at)) != NULL;) {
		const struct account *a = e->value;

		if (a->sessions == NULL || (host != NULL && strcmp(host, jid_domain(a->jid)) != 0)
			|| (kind != ONLINE && is_active(w, a) != (kind == ACTIVE)))
			continue;
		count++;
		if (list != NULL && json_array_size(list) < max_items(r))
			json_array_append_new(list, json_string(jid_full(a->jid)));
	}
	return list != NULL ? list : json_pack("{s:I}", kinds[kind].count, (json_int_t)count);
}

static void live_gathered(struct request *r)
{
	json_t *all = request_joined(r);

	if (counts(r)) {
		r->found = all;
	} else {
		while (json_array_size(all) > max_items(r))
			json_array_remove(all, json_array_size(all) - 1);
		r->found = json_pack("{s:o}", kinds[kind_of(r)].list, all);
	}
	request_end(r);
}

static void live(struct request *r)
{
	request_gather(r, NULL, live_part, live_gathered);
}

static const struct sterna_field count_fields[] = {
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts", NULL }, { 0 } };
static const struct sterna_field list_fields[] = {
	{ "max_items", STERNA_FIELD_CHOICE, false, "Maximum number of items to show", "none|25|50|75|100|150|200" },
	{ "host", STERNA_FIELD_HOST, false, "one of our hosts", NULL }, { 0 } };

enum { ALL = STERNA_ADMIN | STERNA_OPERATOR | STERNA_SUPPORT };

#define COUNT(word_, node_, summary_, fn_) \
	{ .c = { .name = "count " word_, .node = ADMIN_NODE(node_), .roles = ALL, .flags = STERNA_COMMAND_READ, \
	  .fields = count_fields, .summary = summary_ }, .fn = fn_ }
#define LIST(word_, node_, summary_, fn_) \
	{ .c = { .name = "list " word_, .node = ADMIN_NODE(node_), .roles = ALL, .flags = STERNA_COMMAND_READ, \
	  .fields = list_fields, .summary = summary_ }, .fn = fn_ }

const struct command list_commands[] = {
	COUNT("active", "get-active-users-num", "Get Number of Active Users", live),
	COUNT("disabled", "get-disabled-users-num", "Get Number of Disabled Users", stored),
	COUNT("idle", "get-idle-users-num", "Get Number of Idle Users", live),
	COUNT("online", "get-online-users-num", "Get Number of Online Users", live),
	COUNT("registered", "get-registered-users-num", "Get Number of Registered Users", stored),
	LIST("active", "get-active-users", "Get List of Active Users", live),
	LIST("disabled", "get-disabled-users-list", "Get List of Disabled Users", stored),
	LIST("idle", "get-idle-users", "Get List of Idle Users", live),
	LIST("online", "get-online-users-list", "Get List of Online Users", live),
	LIST("registered", "get-registered-users-list", "Get List of Registered Users", stored),
	{ .fn = NULL }
};
